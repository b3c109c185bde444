#include "controller/host/lxc/adopted.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/record.h"
#include "controller/host/tree/tree.h"

#define FILE_NAME "adopted.json"

bool adopted_path_is_registered(const struct config *config, const char *lxc_path)
{
	for (size_t i = 0; i < config->lxc_path_count; i++)
		if (text_equal(config->lxc_paths[i], lxc_path))
			return true;
	return false;
}

static int open_directory(const struct config *config, const char *name, int *ret_dir,
			  struct ph_error *error)
{
	PH_AUTO_CLOSE int containers = -1;
	struct stat status;
	int code = paths_open(config, PATHS_CONTAINERS, &containers, error);

	if (code < 0)
		return code;
	if (!name_is_valid(name) || tree_stat(containers, name, &status) < 0)
		return -ENOENT;
	return tree_open_dir(containers, name, ret_dir, error);
}

int adopted_load(const struct config *config, const char *name, struct adopted *ret_adopted,
		 struct ph_error *error)
{
	RECORD_AUTO json_t *record = NULL;
	PH_AUTO_CLOSE int dir = -1;
	struct adopted adopted = { 0 };
	struct stat status;
	int code = open_directory(config, name, &dir, error);

	if (code < 0)
		return code;
	if (tree_stat(dir, FILE_NAME, &status) == -ENOENT)
		return -ENOENT;
	code = record_load(dir, FILE_NAME, &record, error);
	if (code < 0)
		return code;
	if (!record_text(record, "lxc_path", adopted.lxc_path, sizeof(adopted.lxc_path)) ||
	    !record_text(record, "written", adopted.written, sizeof(adopted.written)))
		return error_set(error, -EBADMSG, name, "phoenixctl unadopt it and adopt it again",
				 "the record " FILE_NAME " is damaged");
	if (!adopted_path_is_registered(config, adopted.lxc_path))
		return error_set(error, -EPERM, adopted.lxc_path,
				 "name it under 'lxc_paths' in /etc/phoenix/phoenix.yaml",
				 "the LXC path of the adopted container is not registered");
	*ret_adopted = adopted;
	return 0;
}

int adopted_save(const struct config *config, const char *name, const struct adopted *adopted,
		 struct ph_error *error)
{
	RECORD_AUTO json_t *record = json_object();
	PH_AUTO_CLOSE int dir = -1;
	int code = open_directory(config, name, &dir, error);

	if (code == -ENOENT)
		return error_set(error, code, name, NULL, "there is no directory for its record");
	if (code < 0)
		return code;
	record_set_text(record, "lxc_path", adopted->lxc_path);
	record_set_text(record, "written", adopted->written);
	return record_save(dir, FILE_NAME, record, error);
}

bool adopted_is(const struct config *config, const char *name)
{
	struct adopted adopted;
	struct ph_error error;

	return adopted_load(config, name, &adopted, &error) != -ENOENT;
}

int adopted_lxcpath(const struct config *config, const char *name, char *path, size_t size,
		    struct ph_error *error)
{
	struct adopted adopted;
	char ours[PATHS_SIZE];
	int code = adopted_load(config, name, &adopted, error);

	if (code == 0) {
		text_copy(path, size, adopted.lxc_path);
		return 0;
	}
	if (code == -ENOENT)
		code = paths_format(config, PATHS_CONTAINERS, NULL, NULL, ours, error);
	if (code == 0)
		text_copy(path, size, ours);
	return code;
}
