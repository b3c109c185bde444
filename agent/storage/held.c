/*
 * DATA_ROOT/image/DRIVER holds one image store per driver that was ever used: repositories.json with
 * the names, imagedb/content/sha256 with one file per image. Everything read is bounded: it belongs
 * to whoever is root in the container.
 */
#include "agent/storage/held.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/docker/daemon_json.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/str.h"

#define DAEMON_JSON "/etc/docker/daemon.json"
#define DATA_ROOT_DEFAULT "/var/lib/docker"
#define REPOSITORIES_MAXIMUM (4 * 1024 * 1024)
#define CONTAINER_CONFIG_MAXIMUM (256 * 1024)
#define ENTRIES_MAXIMUM 100000

static bool is_hidden(const struct dirent *entry)
{
	return entry->d_name[0] == '.';
}

static size_t count_entries(const char *path)
{
	PH_AUTO_DIR DIR *stream = opendir(path);
	const struct dirent *entry;
	size_t count = 0;

	while (stream && count < ENTRIES_MAXIMUM && (entry = readdir(stream)))
		count += !is_hidden(entry);
	return count;
}

static size_t count_images(const char *data_root, const char *driver)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/image/%s/imagedb/content/sha256", data_root, driver);
	return count_entries(path);
}

/* ---- the driver ---- */

/* What daemon.json says, when it speaks of this data-root. */
static void driver_from_config(struct storage_facts *facts)
{
	PH_AUTO_FREE char *text = NULL;
	char root[256] = "";
	size_t length = 0;

	if (file_read(DAEMON_JSON, DAEMON_JSON_MAXIMUM, &text, &length, NULL) < 0)
		return;
	daemon_json_value(text, length, "data-root", root, sizeof(root));
	if (text_equal(root[0] ? root : DATA_ROOT_DEFAULT, facts->data_root))
		daemon_json_value(text, length, "storage-driver", facts->driver_now,
				  sizeof(facts->driver_now));
}

/* Without a word of it: the store with images that was changed last. */
static void driver_from_stores(struct storage_facts *facts)
{
	PH_AUTO_DIR DIR *stream = NULL;
	const struct dirent *entry;
	time_t newest = 0;
	char path[600];

	snprintf(path, sizeof(path), "%s/image", facts->data_root);
	stream = opendir(path);
	while (stream && (entry = readdir(stream))) {
		struct stat status;

		if (is_hidden(entry) || strlen(entry->d_name) >= sizeof(facts->driver_now) ||
		    !count_images(facts->data_root, entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/image/%s/repositories.json", facts->data_root,
			 entry->d_name);
		if (stat(path, &status) < 0 || status.st_mtime < newest)
			continue;
		newest = status.st_mtime;
		text_copy(facts->driver_now, sizeof(facts->driver_now), entry->d_name);
	}
}

/* ---- images ---- */

static int compare_names(const void *left, const void *right)
{
	return strcmp(left, right);
}

/* {"Repositories": {"name": {"name:tag": "sha256:…", "name@sha256:…": …}}} */
static void take_names(struct storage_facts *facts, const json_t *root)
{
	const char *repository, *reference;
	const json_t *references, *id;

	json_object_foreach((json_t *)json_object_get(root, "Repositories"), repository, references)
		json_object_foreach((json_t *)references, reference, id)
			if (!strchr(reference, '@') && facts->image_named < STORAGE_IMAGES_MAXIMUM)
				text_copy(facts->images[facts->image_named++],
					  sizeof(facts->images[0]), reference);
	qsort(facts->images, facts->image_named, sizeof(facts->images[0]), compare_names);
}

static void read_images(struct storage_facts *facts)
{
	PH_AUTO_FREE char *text = NULL;
	char path[512];
	size_t length = 0;
	json_t *root;

	facts->image_count = count_images(facts->data_root, facts->driver_now);
	snprintf(path, sizeof(path), "%s/image/%s/repositories.json", facts->data_root,
		 facts->driver_now);
	if (file_read(path, REPOSITORIES_MAXIMUM, &text, &length, NULL) < 0)
		return;
	root = json_loadb(text, length, 0, NULL);
	take_names(facts, root);
	json_decref(root);
	if (facts->image_count < facts->image_named)
		facts->image_count = facts->image_named;
}

/* ---- containers ---- */

static bool is_of_driver(const char *data_root, const char *container, const char *driver)
{
	PH_AUTO_FREE char *text = NULL;
	char path[600], value[64] = "";
	size_t length = 0;

	snprintf(path, sizeof(path), "%s/containers/%s/config.v2.json", data_root, container);
	if (file_read(path, CONTAINER_CONFIG_MAXIMUM, &text, &length, NULL) < 0)
		return false;
	daemon_json_value(text, length, "Driver", value, sizeof(value));
	return text_equal(value, driver);
}

static void count_containers(struct storage_facts *facts)
{
	PH_AUTO_DIR DIR *stream = NULL;
	const struct dirent *entry;
	char path[512];

	snprintf(path, sizeof(path), "%s/containers", facts->data_root);
	stream = opendir(path);
	while (stream && facts->container_count < ENTRIES_MAXIMUM && (entry = readdir(stream)))
		if (!is_hidden(entry) &&
		    is_of_driver(facts->data_root, entry->d_name, facts->driver_now))
			facts->container_count++;
}

void storage_held(struct storage_facts *facts)
{
	driver_from_config(facts);
	if (!facts->driver_now[0])
		driver_from_stores(facts);
	if (!facts->driver_now[0] || strchr(facts->driver_now, '/'))
		return;
	read_images(facts);
	count_containers(facts);
}
