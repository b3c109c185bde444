/*
 * A clone that has only root 0 has the record that clones had before there could be more, so that a
 * Phoenix of before goes on with it. The record of several has none of the old keys: one of before
 * takes it for damaged, and neither starts nor makes again what it does not understand.
 */
#include "controller/host/image/clone_record.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/image/clone_dir.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/record.h"
#include "controller/host/tree/tree.h"

#define VERSION_OF_ONE 1
#define VERSION_OF_SEVERAL 2

static const char *const method_names[] = {
	[CLONE_AUTO] = "auto",
	[CLONE_OVERLAY] = "overlay",
	[CLONE_SNAPSHOT] = "snapshot",
	[CLONE_REFLINK] = "reflink",
	[CLONE_COPY] = "copy",
};

const char *clone_method_name(enum clone_method method)
{
	return (size_t)method < ARRAY_LENGTH(method_names) ? method_names[method] : "?";
}

static bool method_parse(const char *name, enum clone_method *ret_method)
{
	for (size_t i = CLONE_OVERLAY; i < ARRAY_LENGTH(method_names); i++) {
		if (strcmp(name, method_names[i]) == 0) {
			*ret_method = (enum clone_method)i;
			return true;
		}
	}
	return false;
}

/* The keys of a root, among others'. */
static bool read_root(const json_t *record, struct clone_root *root)
{
	char method[16];

	record_text(record, "reason", root->reason, sizeof(root->reason));
	return record_text(record, "image", root->image, sizeof(root->image)) && root->image[0] &&
	       record_text(record, "digest", root->digest, sizeof(root->digest)) &&
	       record_text(record, "method", method, sizeof(method)) &&
	       method_parse(method, &root->method) &&
	       record_number(record, "created_ms", INT64_MAX, &root->created_ms) &&
	       record_flag(record, "complete", &root->complete);
}

/* One of several; absent is none. */
static bool read_numbered(const json_t *roots, const char *key, struct clone_root *root)
{
	const json_t *record = json_object_get(roots, key);
	uint64_t number = 0;

	if (!record)
		return true;
	if (!json_is_object(record) ||
	    !record_number(record, "number", CLONE_DIR_ROOTS - 1, &number) ||
	    !read_root(record, root))
		return false;
	root->number = (unsigned int)number;
	return true;
}

static bool shares_number(const struct clone_root *left, const struct clone_root *right)
{
	return left->image[0] && right->image[0] && left->number == right->number;
}

static bool read_roots(const json_t *roots, struct clone *clone)
{
	return json_is_object(roots) && read_numbered(roots, "current", &clone->current) &&
	       read_numbered(roots, "kept", &clone->kept) &&
	       read_numbered(roots, "prepared", &clone->prepared) && clone->current.image[0] &&
	       !shares_number(&clone->current, &clone->kept) &&
	       !shares_number(&clone->current, &clone->prepared) &&
	       !shares_number(&clone->kept, &clone->prepared);
}

/* What only a later Phoenix understands is not guessed at. */
static int check_version(const json_t *record, const char *name, uint64_t *ret_version,
			 struct ph_error *error)
{
	uint64_t version;

	if (!record_number(record, "version", INT64_MAX, &version))
		version = 0;
	if (version > VERSION_OF_SEVERAL)
		return error_set(error, -EBADMSG, CLONE_RECORD, "install the newer Phoenix again",
				 "the record of the clone %s was written by a newer Phoenix", name);
	*ret_version = version;
	return 0;
}

int clone_record_load(int dir, const char *name, struct clone *ret_clone, struct ph_error *error)
{
	struct clone clone = { 0 };
	uint64_t base = 0, count = 0, version = 0;
	RECORD_AUTO json_t *record = NULL;
	int result = record_load(dir, CLONE_RECORD, &record, error);

	if (result == 0)
		result = check_version(record, name, &version, error);
	if (result < 0)
		return result;
	text_copy(clone.name, sizeof(clone.name), name);
	if (!record_number(record, "id_base", UINT32_MAX, &base) ||
	    !record_number(record, "id_count", UINT32_MAX, &count) ||
	    !(version == VERSION_OF_SEVERAL ? read_roots(json_object_get(record, "roots"), &clone) :
					      read_root(record, &clone.current)))
		return error_set(error, -EBADMSG, CLONE_RECORD, "remove the container and apply again",
				 "damaged record of the clone %s", name);
	clone.id_base = (uint32_t)base;
	clone.id_count = (uint32_t)count;
	*ret_clone = clone;
	return 0;
}

static void write_root(json_t *record, const struct clone_root *root)
{
	record_set_text(record, "image", root->image);
	record_set_text(record, "digest", root->digest);
	record_set_text(record, "method", clone_method_name(root->method));
	record_set_text(record, "reason", root->reason);
	record_set_number(record, "created_ms", root->created_ms);
	json_object_set_new(record, "complete", json_boolean(root->complete));
}

static void write_numbered(json_t *roots, const char *key, const struct clone_root *root)
{
	json_t *record;

	if (!root->image[0])
		return;
	record = json_object();
	record_set_number(record, "number", root->number);
	write_root(record, root);
	json_object_set_new(roots, key, record);
}

static void write_roots(json_t *record, const struct clone *clone)
{
	json_t *roots = json_object();

	write_numbered(roots, "current", &clone->current);
	write_numbered(roots, "kept", &clone->kept);
	write_numbered(roots, "prepared", &clone->prepared);
	json_object_set_new(record, "roots", roots);
}

int clone_record_save(int dir, const struct clone *clone, struct ph_error *error)
{
	bool has_several = clone->current.number || clone->kept.image[0] ||
			   clone->prepared.image[0];
	RECORD_AUTO json_t *record = json_object();

	record_set_number(record, "version", has_several ? VERSION_OF_SEVERAL : VERSION_OF_ONE);
	record_set_number(record, "id_base", clone->id_base);
	record_set_number(record, "id_count", clone->id_count);
	if (has_several)
		write_roots(record, clone);
	else
		write_root(record, &clone->current);
	return record_save(dir, CLONE_RECORD, record, error);
}

int clone_find(const struct config *config, const char *name, struct clone *ret_clone,
	       struct ph_error *error)
{
	PH_AUTO_CLOSE int containers = -1;
	PH_AUTO_CLOSE int dir = -1;
	int result;

	if (!name_is_valid(name))
		return error_set(error, -EINVAL, name, NULL, "not the name of a container");
	result = paths_open(config, PATHS_CONTAINERS, &containers, error);
	if (result == 0)
		result = tree_open_dir(containers, name, &dir, error);
	if (result == 0)
		result = clone_record_load(dir, name, ret_clone, error);
	if (result == -ENOENT)
		return error_set(error, result, name, NULL, "the container has no clone");
	return result;
}

static int compare_clones(const void *left, const void *right)
{
	return strcmp(((const struct clone *)left)->name, ((const struct clone *)right)->name);
}

int clone_list(const struct config *config, struct clone **ret_clones, size_t *ret_count,
	       struct ph_error *error)
{
	PH_AUTO_FREE struct clone *list = NULL;
	PH_AUTO_CLOSE int containers = -1;
	PH_AUTO_DIR DIR *dir = NULL;
	struct dirent *entry;
	size_t count = 0;
	int result = paths_open(config, PATHS_CONTAINERS, &containers, error);

	if (result < 0)
		return result;
	dir = fdopendir(dup(containers));
	while (dir && (entry = readdir(dir))) {
		struct clone clone = { 0 };

		if (!name_is_valid(entry->d_name))
			continue;
		result = clone_find(config, entry->d_name, &clone, error);
		if (result == -ENOENT || result == -ENOTDIR || result == -ELOOP)
			continue; /* somebody else's, or going away just now */
		if (result < 0)
			return result;
		list = ph_realloc(list, (count + 1) * sizeof(*list));
		list[count++] = clone;
	}
	if (count)
		qsort(list, count, sizeof(*list), compare_clones);
	error_clear(error);
	*ret_clones = take_pointer(list);
	*ret_count = count;
	return 0;
}
