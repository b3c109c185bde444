/* A flat JSON record, read as data: every number has its bound, every text its size. */
#include "controller/host/verbs/placement.h"

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

#define FILE_NAME "container.json"

void placement_from_request(const Phoenix__ContainerCreateRequest *request,
			    struct placement *ret_placement)
{
	const Phoenix__Resources *resources = request->spec->resources;

	*ret_placement = (struct placement){
		.id_base = request->ids->first,
		.id_count = request->ids->count,
		.slot = request->slot,
		.vsock = request->spec->transport == PHOENIX__TRANSPORT__TRANSPORT_VSOCK,
	};
	text_copy(ret_placement->name, sizeof(ret_placement->name), request->spec->name);
	text_copy(ret_placement->image, sizeof(ret_placement->image), request->spec->image);
	text_copy(ret_placement->profile, sizeof(ret_placement->profile), request->profile);
	text_to_ipv4(request->address, &ret_placement->address);
	if (!resources)
		return;
	ret_placement->memory_bytes = resources->memory_bytes;
	ret_placement->cpu_percent = resources->cpu_percent;
	ret_placement->pids = resources->pids;
}

static int open_directory(const struct config *config, const char *name, int *ret_fd,
			  struct ph_error *error)
{
	PH_AUTO_CLOSE int containers = -1;
	struct stat status;
	int code = paths_open(config, PATHS_CONTAINERS, &containers, error);

	if (code < 0)
		return code;
	if (tree_stat(containers, name, &status) == -ENOENT)
		return -ENOENT;
	return tree_open_dir(containers, name, ret_fd, error);
}

static bool read_number(const json_t *record, const char *key, uint32_t *ret_number)
{
	uint64_t number;

	if (!record_number(record, key, UINT32_MAX, &number))
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

static bool read_record(const json_t *record, struct placement *placement)
{
	char address[16];

	return record_text(record, "image", placement->image, sizeof(placement->image)) &&
	       record_text(record, "profile", placement->profile, sizeof(placement->profile)) &&
	       record_text(record, "address", address, sizeof(address)) &&
	       text_to_ipv4(address, &placement->address) == 0 &&
	       read_number(record, "id_base", &placement->id_base) &&
	       read_number(record, "id_count", &placement->id_count) &&
	       read_number(record, "slot", &placement->slot) &&
	       read_number(record, "cpu_percent", &placement->cpu_percent) &&
	       read_number(record, "pids", &placement->pids) &&
	       record_number(record, "memory_bytes", INT64_MAX, &placement->memory_bytes);
}

int placement_load(const struct config *config, const char *name, struct placement *ret_placement,
		   struct ph_error *error)
{
	PH_AUTO_CLOSE int directory = -1;
	RECORD_AUTO json_t *record = NULL;
	struct placement placement = { 0 };
	uint64_t vsock;
	int code = open_directory(config, name, &directory, error);

	if (code == 0)
		code = record_load(directory, FILE_NAME, &record, error);
	if (code == -ENOENT)
		return error_set(error, -ENOENT, name, "create it: phoenixctl apply",
				 "there is no container of that name on this host");
	if (code < 0)
		return code;
	text_copy(placement.name, sizeof(placement.name), name);
	/* Absent in records of before there was a choice. */
	placement.vsock = record_number(record, "vsock", 1, &vsock) && vsock;
	if (!read_record(record, &placement))
		return error_set(error, -EBADMSG, name,
				 "remove the container and apply the fleet again",
				 "the record " FILE_NAME " of the container is damaged");
	*ret_placement = placement;
	return 0;
}

int placement_save(const struct config *config, const struct placement *placement,
		   struct ph_error *error)
{
	PH_AUTO_CLOSE int directory = -1;
	RECORD_AUTO json_t *record = json_object();
	char address[16];
	int code = paths_make(config, PATHS_CONTAINERS, placement->name, 0, placement->id_base,
			      0710, error);

	if (code >= 0)
		code = open_directory(config, placement->name, &directory, error);
	if (code < 0)
		return code;
	record_set_text(record, "image", placement->image);
	record_set_text(record, "profile", placement->profile);
	record_set_text(record, "address", ipv4_to_text(placement->address, address));
	record_set_number(record, "id_base", placement->id_base);
	record_set_number(record, "id_count", placement->id_count);
	record_set_number(record, "slot", placement->slot);
	record_set_number(record, "memory_bytes", placement->memory_bytes);
	record_set_number(record, "cpu_percent", placement->cpu_percent);
	record_set_number(record, "pids", placement->pids);
	record_set_number(record, "vsock", placement->vsock);
	return record_save(directory, FILE_NAME, record, error);
}

static int by_name(const void *left, const void *right)
{
	return strcmp(left, right);
}

int placement_names(const struct config *config, char (**ret_names)[64], size_t *ret_count,
		    struct ph_error *error)
{
	int fd = -1, code = paths_open(config, PATHS_CONTAINERS, &fd, error);
	PH_AUTO_DIR DIR *entries = code < 0 ? NULL : fdopendir(fd);
	char (*names)[64] = NULL;
	struct dirent *entry;
	size_t count = 0;

	if (code < 0)
		return code;
	while (entries && (entry = readdir(entries))) {
		if (!name_is_valid(entry->d_name))
			continue;
		names = ph_realloc(names, (count + 1) * sizeof(*names));
		text_copy(names[count++], sizeof(*names), entry->d_name);
	}
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

bool placement_equal(const struct placement *left, const struct placement *right)
{
	return text_equal(left->name, right->name) && text_equal(left->image, right->image) &&
	       text_equal(left->profile, right->profile) && left->id_base == right->id_base &&
	       left->id_count == right->id_count && left->address == right->address &&
	       left->slot == right->slot && left->memory_bytes == right->memory_bytes &&
	       left->cpu_percent == right->cpu_percent && left->pids == right->pids &&
	       left->vsock == right->vsock;
}
