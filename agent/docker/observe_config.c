/*
 * Three texts decide: the user's daemon.json, the fragment of the fleet file, and the fragment that
 * was merged before, which tells our keys from the user's.
 */
#include "agent/docker/observe_config.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/docker/site.h"
#include "agent/docker/unit_flags.h"
#include "agent/system/file.h"
#include "agent/system/init.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define FRAGMENT_MAXIMUM (64 * 1024)
#define UNIT_MAXIMUM (256 * 1024)
#define DROP_INS "/etc/systemd/system/docker.service.d"

static uint64_t fingerprint(const char *bytes, size_t length)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

char *docker_fragment(const char *root)
{
	const struct docker_wanted wanted = { .root = root };
	PH_AUTO_FREE char *path = site_path(&wanted, SITE_FRAGMENT);
	char *text = NULL;

	return file_read(path, FRAGMENT_MAXIMUM, &text, NULL, NULL) == 0 ? text : ph_strdup("");
}

/* --- flags ------------------------------------------------------------------------------------------ */

static int flag_check(const struct docker_wanted *wanted, const char *file, enum unit_kind kind,
		      const json_t *keys, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(wanted, file);
	PH_AUTO_FREE char *text = NULL, *where = NULL;
	const char *key;
	json_t *value;
	unsigned int line;
	char flag[64];

	if (file_read(path, UNIT_MAXIMUM, &text, NULL, NULL) < 0)
		return 0;
	json_object_foreach((json_t *)keys, key, value) {
		if (!unit_flag_find(text, kind, key, flag, &line))
			continue;
		where = ph_format("%s:%u", file, line);
		error_set(error, -EEXIST, where,
			  "remove the flag from that file; daemon.json was not touched",
			  "dockerd gets %s as a flag there, and does not start when daemon.json "
			  "sets \"%s\" as well",
			  flag, key);
		error_prefix(error, "merge daemon.json");
		return -EEXIST;
	}
	return 0;
}

static int drop_ins_check(const struct docker_wanted *wanted, const json_t *keys,
			  struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(wanted, DROP_INS);
	PH_AUTO_DIR DIR *directory = opendir(path);
	struct dirent *entry;
	int result = 0;

	while (directory && result == 0 && (entry = readdir(directory))) {
		PH_AUTO_FREE char *file = ph_format(DROP_INS "/%s", entry->d_name);

		if (text_has_suffix(file, ".conf"))
			result = flag_check(wanted, file, UNIT_SYSTEMD, keys, error);
	}
	return result;
}

/* Where no init reads these files, we start dockerd without any flag. */
static int flags_check(const struct docker_wanted *wanted, struct ph_error *error)
{
	static const char *const units[] = { "/etc/systemd/system/docker.service",
					     "/lib/systemd/system/docker.service",
					     "/usr/lib/systemd/system/docker.service" };
	enum init_system init = init_detect(wanted->root);
	json_t *keys;
	int result = 0;

	if (init == INIT_NONE)
		return 0;
	keys = text_empty(wanted->daemon) ? json_object() : json_loads(wanted->daemon, 0, NULL);
	if (!keys)
		return 0; /* the merge says what is wrong with it */
	json_object_set_new(keys, "storage-driver", json_true());
	for (size_t i = 0; i < ARRAY_LENGTH(units) && result == 0 && init == INIT_SYSTEMD; i++)
		result = flag_check(wanted, units[i], UNIT_SYSTEMD, keys, error);
	if (result == 0 && init == INIT_SYSTEMD)
		result = drop_ins_check(wanted, keys, error);
	if (result == 0)
		result = flag_check(wanted, "/etc/default/docker", UNIT_DEFAULT, keys, error);
	json_decref(keys);
	return result;
}

/* --- merging ---------------------------------------------------------------------------------------- */

static int text_merge(const struct docker_wanted *wanted, const char *text, size_t length,
		      char **ret_text, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(wanted, SITE_DAEMON_JSON);
	PH_AUTO_FREE char *ours = docker_fragment(wanted->root);
	const struct daemon_json_wanted merge = {
		.driver = wanted->storage_driver,
		.replaces = wanted->replaces_driver,
		.fragment = wanted->daemon,
		.ours = wanted->sets_daemon ? ours : "",
		.override = wanted->daemon_override,
	};
	int result = daemon_json_merge(path, text, length, &merge, ret_text, error);
	int flags = result < 0 ? 0 : flags_check(wanted, error);

	if (flags < 0) {
		if (result == DAEMON_JSON_CHANGED)
			free(take_pointer(*ret_text));
		return flags;
	}
	return result;
}

int config_merge(const struct docker_wanted *wanted, char **ret_text, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(wanted, SITE_DAEMON_JSON);
	PH_AUTO_FREE char *text = NULL;
	size_t length = 0;
	int result = file_read(path, DAEMON_JSON_MAXIMUM, &text, &length, error);

	if (result < 0 && result != -ENOENT)
		return result;
	error_clear(error);
	return text_merge(wanted, text, length, ret_text, error);
}

/* Whether the record of our fragment is that of the one that is wanted. */
static bool record_matches(const struct docker_wanted *wanted)
{
	PH_AUTO_FREE char *ours = docker_fragment(wanted->root);

	return !wanted->sets_daemon || text_equal(ours, wanted->daemon);
}

void config_observe(const struct docker_wanted *wanted, struct docker_facts *facts)
{
	PH_AUTO_FREE char *path = site_path(wanted, SITE_DAEMON_JSON);
	PH_AUTO_FREE char *text = NULL, *merged = NULL;
	size_t length = 0;
	int result = file_read(path, DAEMON_JSON_MAXIMUM, &text, &length, &facts->config_refusal);

	facts->config_present = result != -ENOENT;
	if (result < 0 && result != -ENOENT) {
		error_prefix(&facts->config_refusal, "merge daemon.json");
		text_copy(facts->config_refusal.remedy, sizeof(facts->config_refusal.remedy),
			  "make it a readable, regular file; it was not touched");
		return;
	}
	error_clear(&facts->config_refusal);
	if (text) {
		facts->config_fingerprint = fingerprint(text, length);
		daemon_json_value(text, length, "data-root", facts->config_data_root,
				  sizeof(facts->config_data_root));
	}
	result = text_merge(wanted, text, length, &merged, &facts->config_refusal);
	facts->config_matches = result == DAEMON_JSON_UNCHANGED && record_matches(wanted);
}
