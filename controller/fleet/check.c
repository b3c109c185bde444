#include "controller/fleet/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/budget.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/fleet/docker_keys.h"
#include "controller/fleet/fleet.h"

#define LABEL_MAXIMUM 63
#define MEMORY_MINIMUM (UINT64_C(64) << 20) /* dockerd alone needs about as much */
#define MEMORY_MAXIMUM (UINT64_C(1) << 60)
#define CPU_PERCENT_MAXIMUM (1024 * 100)
#define PIDS_MINIMUM 64                /* an init, dockerd's and containerd's threads */
#define PIDS_MAXIMUM (4 * 1024 * 1024) /* the kernel's PID_MAX_LIMIT */
#define REQUEST_BYTES 1024             /* what the request around a fleet takes of each limit */
#define REQUEST_ALLOCATIONS 16

static int problem(struct check_problem *ret_problem, const char *field, const char *remedy,
		   const char *why, ...) __attribute__((format(printf, 4, 5)));

static int problem(struct check_problem *ret_problem, const char *field, const char *remedy,
		   const char *why, ...)
{
	va_list arguments;

	*ret_problem = (struct check_problem){ .other = CHECK_NONE,
					       .field = field,
					       .remedy = remedy };
	va_start(arguments, why);
	vsnprintf(ret_problem->why, sizeof(ret_problem->why), why, arguments);
	va_end(arguments);
	return -EINVAL;
}

static bool is_alphanumeric(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9');
}

static bool is_label(const char *text, const char *extra)
{
	size_t length = strnlen(text, LABEL_MAXIMUM + 1);

	if (length > LABEL_MAXIMUM || !is_alphanumeric(text[0]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_alphanumeric(text[i]) && !strchr(extra, text[i]))
			return false;
	return true;
}

bool check_label_key(const char *key)
{
	return is_label(key, "._-/");
}

bool check_label_value(const char *value)
{
	return is_label(value, "._-");
}

static int check_labels(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem)
{
	static const char remedy[] = "keys and values are 1 to 63 of letters, digits, '.', '_' and "
				     "'-', keys also '/'";

	if (spec->n_labels > FLEET_LABELS_MAXIMUM)
		return problem(ret_problem, "labels", NULL, "there are %zu labels; at most %d fit",
			       spec->n_labels, FLEET_LABELS_MAXIMUM);
	for (size_t i = 0; i < spec->n_labels; i++) {
		const Phoenix__Pair *label = spec->labels[i];

		if (!check_label_key(label->key))
			return problem(ret_problem, "labels", remedy,
				       "'%.60s' is not a key for a label", label->key);
		if (!check_label_value(label->value))
			return problem(ret_problem, "labels", remedy,
				       "'%.60s' is not a value for a label", label->value);
		for (size_t j = 0; j < i; j++)
			if (strcmp(label->key, spec->labels[j]->key) == 0)
				return problem(ret_problem, "labels", NULL,
					       "label '%s' is given twice", label->key);
	}
	return 0;
}

static int check_resources(const Phoenix__Resources *resources, struct check_problem *ret_problem)
{
	if (!resources)
		return problem(ret_problem, "resources", NULL, "the resources are missing");
	if (resources->memory_bytes != 0 &&
	    (resources->memory_bytes < MEMORY_MINIMUM || resources->memory_bytes > MEMORY_MAXIMUM))
		return problem(ret_problem, "resources.memory", "write 0 for no limit, or 512MiB",
			       "a memory limit of %llu bytes is not within 64MiB and 1EiB",
			       (unsigned long long)resources->memory_bytes);
	if (resources->cpu_percent > CPU_PERCENT_MAXIMUM)
		return problem(ret_problem, "resources.cpus", "write 0 for no limit, or 2",
			       "%u%% of a processor is more than 1024 processors",
			       resources->cpu_percent);
	if (resources->pids != 0 &&
	    (resources->pids < PIDS_MINIMUM || resources->pids > PIDS_MAXIMUM))
		return problem(ret_problem, "resources.pids", "write 0 for no limit, or 2000",
			       "a limit of %u processes is not within %d and %d", resources->pids,
			       PIDS_MINIMUM, PIDS_MAXIMUM);
	return 0;
}

static int check_storage(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem)
{
	static const char *const drivers[] = { "fuse-overlayfs", "overlay2", "auto" };
	const char *driver = spec->storage_driver;

	for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++)
		if (strcmp(driver, drivers[i]) == 0)
			return 0;
	if (strcmp(driver, "vfs") == 0 && spec->storage_allow_vfs)
		return 0;
	if (strcmp(driver, "vfs") == 0)
		return problem(ret_problem, "storage.driver",
			       "write 'driver: auto', or 'allow_vfs: true' beside it if full copies "
			       "are really wanted",
			       "vfs copies the whole image for each layer and each container");
	return problem(ret_problem, "storage.driver",
		       "write 'driver: auto', fuse-overlayfs or overlay2",
		       "'%.40s' is not a storage driver of Phoenix", driver);
}

/* Whether a container can have an address: not "this", loopback, multicast or reserved. */
static bool is_unicast(uint32_t address)
{
	uint32_t first = address >> 24;

	return first != 0 && first != 127 && first < 224;
}

static int check_address(const char *text, struct check_problem *ret_problem)
{
	uint32_t address;

	if (text_empty(text))
		return 0;
	if (text_to_ipv4(text, &address) < 0 || !is_unicast(address))
		return problem(ret_problem, "network.address",
			       "write an address of the bridge's network: 10.209.0.20",
			       "'%.40s' is not an IPv4 address for a container", text);
	return 0;
}

static int check_words(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem)
{
	if (!name_is_valid(spec->name))
		return problem(ret_problem, "name",
			       "a name is 1 to 63 of a-z, 0-9 and '-', and does not begin "
			       "with '-'",
			       "'%.60s' is not a name", spec->name);
	if (text_empty(spec->image))
		return problem(ret_problem, "image",
			       "write 'image: NAME' here or under 'defaults' ('phoenixctl image "
			       "list' shows them)",
			       "container '%s' has no image", spec->name);
	if (!name_is_valid(spec->image))
		return problem(ret_problem, "image", "'phoenixctl image list' shows their names",
			       "'%.60s' is not a name for an image", spec->image);
	if (spec->confinement != PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED &&
	    spec->confinement != PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT)
		return problem(ret_problem, "confinement", "write required or best-effort",
			       "there is no confinement number %d", (int)spec->confinement);
	if (spec->transport != PHOENIX__TRANSPORT__TRANSPORT_UNIX &&
	    spec->transport != PHOENIX__TRANSPORT__TRANSPORT_VSOCK)
		return problem(ret_problem, "transport", "write unix or vsock",
			       "there is no transport number %d", (int)spec->transport);
	if (!fleet_clone_name(spec->clone))
		return problem(ret_problem, "clone", "write auto, overlay, snapshot, reflink or copy",
			       "there is no clone method number %d", (int)spec->clone);
	if (spec->confinement_mode != PHOENIX__CONFINEMENT_MODE__CONFINEMENT_NAMED &&
	    spec->confinement_mode != PHOENIX__CONFINEMENT_MODE__CONFINEMENT_STACKED)
		return problem(ret_problem, "confinement", "write mode: named, or mode: stacked",
			       "there is no confinement mode number %d",
			       (int)spec->confinement_mode);
	return 0;
}

int check_spec(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem)
{
	int ret = check_words(spec, ret_problem);

	if (ret == 0)
		ret = check_labels(spec, ret_problem);
	if (ret == 0)
		ret = check_resources(spec->resources, ret_problem);
	if (ret == 0)
		ret = check_storage(spec, ret_problem);
	if (ret == 0)
		ret = docker_keys_check(spec, ret_problem);
	if (ret == 0)
		ret = check_address(spec->address, ret_problem);
	return ret;
}

/* The specs are valid by themselves: addresses can be compared as texts. */
static int check_collision(const Phoenix__Fleet *fleet, size_t left, size_t right,
			   struct check_problem *ret_problem)
{
	const Phoenix__ContainerSpec *first = fleet->containers[left];
	const Phoenix__ContainerSpec *second = fleet->containers[right];
	int ret = 0;

	if (strcmp(first->name, second->name) == 0)
		ret = problem(ret_problem, "name", "give each container a name of its own",
			      "the name '%s' is used twice", second->name);
	else if (!text_empty(second->address) && text_equal(first->address, second->address))
		ret = problem(ret_problem, "network.address",
			      "give each container an address of its own, or leave it out",
			      "the address %s of '%s' is also that of '%s'", second->address,
			      second->name, first->name);
	if (ret < 0) {
		ret_problem->container = right;
		ret_problem->other = left;
	}
	return ret;
}

static int check_whole(const Phoenix__Fleet *fleet, struct check_problem *ret_problem)
{
	int ret = 0;

	if (fleet->version != FLEET_VERSION)
		ret = problem(ret_problem, "version", "write 'version: 1'",
			      "this Phoenix knows version %d of the fleet file, not %u",
			      FLEET_VERSION, fleet->version);
	else if (fleet->n_containers == 0)
		ret = problem(ret_problem, "containers", "name at least one: '- name: web1'",
			      "the fleet has no containers");
	else if (fleet->n_containers > FLEET_CONTAINERS_MAXIMUM)
		ret = problem(ret_problem, "containers", "split the fleet into several files",
			      "the fleet has %zu containers; at most %d fit into one",
			      fleet->n_containers, FLEET_CONTAINERS_MAXIMUM);
	if (ret < 0)
		ret_problem->container = CHECK_NONE;
	return ret;
}

int check_fleet(const Phoenix__Fleet *fleet, struct check_problem *ret_problem)
{
	int ret = check_whole(fleet, ret_problem);

	for (size_t i = 0; i < fleet->n_containers && ret == 0; i++) {
		ret = check_spec(fleet->containers[i], ret_problem);
		if (ret < 0)
			ret_problem->container = i;
	}
	for (size_t i = 1; i < fleet->n_containers && ret == 0; i++)
		for (size_t j = 0; j < i && ret == 0; j++)
			ret = check_collision(fleet, j, i, ret_problem);
	return ret;
}

/* Decode it as the other side will. */
static bool is_decodable(const Phoenix__Fleet *fleet, size_t length)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(length);
	struct budget budget;
	bool decodable;

	phoenix__fleet__pack(fleet, bytes);
	budget_init(&budget, BUDGET_BYTES - REQUEST_BYTES,
		    BUDGET_ALLOCATIONS - REQUEST_ALLOCATIONS);
	decodable = budget_unpack(&budget, &phoenix__fleet__descriptor, bytes, length) != NULL ||
		    budget_lacks_memory(&budget); /* which says nothing of its size */
	budget_fini(&budget);
	return decodable;
}

int check_size(const Phoenix__Fleet *fleet, struct check_problem *ret_problem)
{
	size_t length = phoenix__fleet__get_packed_size(fleet), labels = 0;

	if (length <= FRAME_LIMIT - REQUEST_BYTES && is_decodable(fleet, length))
		return 0;
	for (size_t i = 0; i < fleet->n_containers; i++)
		labels += fleet->containers[i]->n_labels;
	problem(ret_problem, "containers",
		"use fewer labels, or split the fleet into several files",
		"%zu containers with %zu labels are more than one request can carry",
		fleet->n_containers, labels);
	ret_problem->container = CHECK_NONE;
	return -EINVAL;
}

static int check_in_subnet(const char *text, uint32_t subnet, uint32_t prefix_length,
			   struct check_problem *ret_problem)
{
	static const char remedy[] = "choose another address of that network, or leave it out";
	uint32_t host_bits = prefix_length ? UINT32_MAX >> prefix_length : UINT32_MAX;
	char network[16];
	uint32_t address;

	if (text_empty(text) || text_to_ipv4(text, &address) < 0)
		return 0;
	if ((address & ~host_bits) != subnet)
		return problem(ret_problem, "network.address", remedy,
			       "the address %s is not in the bridge's network %s/%u", text,
			       ipv4_to_text(subnet, network), prefix_length);
	if (address == subnet || address == subnet + 1 || address == (subnet | host_bits))
		return problem(ret_problem, "network.address", remedy,
			       "the address %s is the %s of the bridge's network", text,
			       address == subnet     ? "number" :
			       address == subnet + 1 ? "gateway" :
						       "broadcast address");
	return 0;
}

int check_addresses(const Phoenix__Fleet *fleet, uint32_t subnet, uint32_t prefix_length,
		    struct check_problem *ret_problem)
{
	int ret = 0;

	for (size_t i = 0; i < fleet->n_containers && ret == 0; i++) {
		ret = check_in_subnet(fleet->containers[i]->address, subnet, prefix_length,
				      ret_problem);
		if (ret < 0)
			ret_problem->container = i;
	}
	return ret;
}
