#include "controller/host/image/clone_record.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/record.h"
#include "controller/host/tree/tree.h"

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

int clone_record_load(int dir, const char *name, struct clone *ret_clone, struct ph_error *error)
{
	struct clone clone = { 0 };
	uint64_t base = 0, count = 0;
	char method[16];
	RECORD_AUTO json_t *record = NULL;
	int result = record_load(dir, CLONE_RECORD, &record, error);

	if (result < 0)
		return result;
	text_copy(clone.name, sizeof(clone.name), name);
	record_text(record, "reason", clone.reason, sizeof(clone.reason));
	if (!record_text(record, "image", clone.image, sizeof(clone.image)) ||
	    !record_text(record, "digest", clone.digest, sizeof(clone.digest)) ||
	    !record_text(record, "method", method, sizeof(method)) ||
	    !method_parse(method, &clone.method) ||
	    !record_number(record, "id_base", UINT32_MAX, &base) ||
	    !record_number(record, "id_count", UINT32_MAX, &count) ||
	    !record_number(record, "created_ms", INT64_MAX, &clone.created_ms) ||
	    !record_flag(record, "complete", &clone.complete))
		return error_set(error, -EBADMSG, CLONE_RECORD, "remove the container and apply again",
				 "damaged record of the clone %s", name);
	clone.id_base = (uint32_t)base;
	clone.id_count = (uint32_t)count;
	*ret_clone = clone;
	return 0;
}

int clone_record_save(int dir, const struct clone *clone, struct ph_error *error)
{
	RECORD_AUTO json_t *record = json_object();

	record_set_number(record, "version", 1);
	record_set_text(record, "image", clone->image);
	record_set_text(record, "digest", clone->digest);
	record_set_text(record, "method", clone_method_name(clone->method));
	record_set_text(record, "reason", clone->reason);
	record_set_number(record, "id_base", clone->id_base);
	record_set_number(record, "id_count", clone->id_count);
	record_set_number(record, "created_ms", clone->created_ms);
	json_object_set_new(record, "complete", json_boolean(clone->complete));
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
