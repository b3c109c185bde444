/*
 * Two specs differ where the texts that a person would write for them differ: one table of fields
 * serves the plan and the question whether anything is to be done at all.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/fleet/fleet.h"

#define UNLIMITED "unlimited"

struct field {
	const char *name;
	char *(*write)(const Phoenix__ContainerSpec *spec);
};

static char *write_name(const Phoenix__ContainerSpec *spec)
{
	return ph_strdup(spec->name);
}

static int compare_labels(const void *left, const void *right)
{
	const Phoenix__Pair *const *first = left, *const *second = right;

	return strcmp((*first)->key, (*second)->key);
}

static char *write_labels(const Phoenix__ContainerSpec *spec)
{
	PH_AUTO_FREE Phoenix__Pair **sorted = ph_alloc_array(spec->n_labels, sizeof(*sorted));
	struct str text = STR_INIT;

	for (size_t i = 0; i < spec->n_labels; i++)
		sorted[i] = spec->labels[i];
	qsort(sorted, spec->n_labels, sizeof(*sorted), compare_labels);
	for (size_t i = 0; i < spec->n_labels; i++)
		str_appendf(&text, "%s%s: %s", i ? ", " : "", sorted[i]->key, sorted[i]->value);
	return str_take(&text);
}

static char *write_image(const Phoenix__ContainerSpec *spec)
{
	return ph_strdup(spec->image);
}

static char *write_confinement(const Phoenix__ContainerSpec *spec)
{
	bool required = spec->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED;

	bool stacked = spec->confinement_mode == PHOENIX__CONFINEMENT_MODE__CONFINEMENT_STACKED;

	return ph_format("%s%s", required ? "required" : "best-effort", stacked ? ", stacked" : "");
}

static char *write_memory(const Phoenix__ContainerSpec *spec)
{
	static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB" };
	uint64_t bytes = spec->resources ? spec->resources->memory_bytes : 0;
	size_t unit = 0;

	if (bytes == 0)
		return ph_strdup(UNLIMITED);
	while (bytes % 1024 == 0 && unit + 1 < ARRAY_LENGTH(units)) {
		bytes /= 1024;
		unit++;
	}
	return ph_format("%" PRIu64 "%s", bytes, units[unit]);
}

static char *write_cpus(const Phoenix__ContainerSpec *spec)
{
	uint32_t percent = spec->resources ? spec->resources->cpu_percent : 0;

	if (percent == 0)
		return ph_strdup(UNLIMITED);
	if (percent % 100 == 0)
		return ph_format("%u", percent / 100);
	if (percent % 10 == 0)
		return ph_format("%u.%u", percent / 100, percent % 100 / 10);
	return ph_format("%u.%02u", percent / 100, percent % 100);
}

static char *write_pids(const Phoenix__ContainerSpec *spec)
{
	uint32_t pids = spec->resources ? spec->resources->pids : 0;

	return pids ? ph_format("%u", pids) : ph_strdup(UNLIMITED);
}

static char *write_driver(const Phoenix__ContainerSpec *spec)
{
	return ph_strdup(spec->storage_driver);
}

static char *write_bool(bool value)
{
	return ph_strdup(value ? "true" : "false");
}

static char *write_allow_vfs(const Phoenix__ContainerSpec *spec)
{
	return write_bool(spec->storage_allow_vfs);
}

static char *write_allow_image_loss(const Phoenix__ContainerSpec *spec)
{
	return write_bool(spec->storage_allow_image_loss);
}

static char *write_source(const Phoenix__ContainerSpec *spec)
{
	return ph_strdup(spec->docker_source);
}

/* Specs without further keys are as the defaults. */
static char *write_docker_text(const Phoenix__ContainerSpec *spec, size_t offset)
{
	if (!spec->docker)
		return ph_strdup("");
	return ph_strdup(*(char *const *)((const char *)spec->docker + offset));
}

#define DOCKER_TEXT(name, member)                                                                 \
	static char *write_##name(const Phoenix__ContainerSpec *spec)                              \
	{                                                                                          \
		return write_docker_text(spec, offsetof(Phoenix__DockerSpec, member));             \
	}

DOCKER_TEXT(daemon, daemon)
DOCKER_TEXT(bundle, bundle)
DOCKER_TEXT(repository_uri, repository_uri)
DOCKER_TEXT(repository_suite, repository_suite)
DOCKER_TEXT(repository_components, repository_components)
DOCKER_TEXT(repository_key, repository_key)

static char *write_version(const Phoenix__ContainerSpec *spec)
{
	bool any = !spec->docker || text_empty(spec->docker->version);

	return ph_strdup(any ? "any" : spec->docker->version);
}

static char *write_hold(const Phoenix__ContainerSpec *spec)
{
	return write_bool(!spec->docker || !spec->docker->unheld);
}

static char *write_override(const Phoenix__ContainerSpec *spec)
{
	return write_bool(spec->docker && spec->docker->daemon_override);
}

static char *write_list(char *const *texts, size_t count)
{
	struct str text = STR_INIT;

	for (size_t i = 0; i < count; i++)
		str_appendf(&text, "%s%s", i ? ", " : "", texts[i]);
	return str_take(&text);
}

static char *write_users(const Phoenix__ContainerSpec *spec)
{
	return spec->docker ? write_list(spec->docker->users, spec->docker->n_users) :
			      ph_strdup("");
}

static char *write_repair(const Phoenix__ContainerSpec *spec)
{
	return spec->docker ? write_list(spec->docker->repair, spec->docker->n_repair) :
			      ph_strdup("");
}

static char *write_address(const Phoenix__ContainerSpec *spec)
{
	return ph_strdup(spec->address);
}

static char *write_transport(const Phoenix__ContainerSpec *spec)
{
	bool vsock = spec->transport == PHOENIX__TRANSPORT__TRANSPORT_VSOCK;

	return ph_strdup(vsock ? "vsock" : "unix");
}

static const char *const clone_names[] = {
	[PHOENIX__CLONE_METHOD__CLONE_AUTO] = "auto",
	[PHOENIX__CLONE_METHOD__CLONE_OVERLAY] = "overlay",
	[PHOENIX__CLONE_METHOD__CLONE_SNAPSHOT] = "snapshot",
	[PHOENIX__CLONE_METHOD__CLONE_REFLINK] = "reflink",
	[PHOENIX__CLONE_METHOD__CLONE_COPY] = "copy",
};

const char *fleet_clone_name(Phoenix__CloneMethod method)
{
	return (size_t)method < ARRAY_LENGTH(clone_names) ? clone_names[method] : NULL;
}

Phoenix__CloneMethod fleet_clone_method(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(clone_names); i++)
		if (text_equal(name, clone_names[i]))
			return (Phoenix__CloneMethod)i;
	return PHOENIX__CLONE_METHOD__CLONE_AUTO;
}

static char *write_clone(const Phoenix__ContainerSpec *spec)
{
	const char *name = fleet_clone_name(spec->clone);

	return ph_strdup(name ? name : "?");
}

/* In the order of the file format. */
static const struct field fields[] = {
	{ "name", write_name },
	{ "labels", write_labels },
	{ "image", write_image },
	{ "confinement", write_confinement },
	{ "resources.memory", write_memory },
	{ "resources.cpus", write_cpus },
	{ "resources.pids", write_pids },
	{ "storage.driver", write_driver },
	{ "storage.allow_vfs", write_allow_vfs },
	{ "storage.allow_image_loss", write_allow_image_loss },
	{ "docker.source", write_source },
	{ "docker.version", write_version },
	{ "docker.hold", write_hold },
	{ "docker.daemon", write_daemon },
	{ "docker.daemon_override", write_override },
	{ "docker.users", write_users },
	{ "docker.repair", write_repair },
	{ "docker.bundle", write_bundle },
	{ "docker.repository.uri", write_repository_uri },
	{ "docker.repository.suite", write_repository_suite },
	{ "docker.repository.components", write_repository_components },
	{ "docker.repository.key", write_repository_key },
	{ "network.address", write_address },
	{ "transport", write_transport },
	{ "clone", write_clone },
};

static void add(struct fleet_differences *differences, const char *field, char *old, char *new)
{
	differences->items = ph_realloc(differences->items,
					(differences->count + 1) * sizeof(*differences->items));
	differences->items[differences->count++] = (struct fleet_difference){ field, old, new };
}

void fleet_spec_diff(const Phoenix__ContainerSpec *old, const Phoenix__ContainerSpec *new,
		     struct fleet_differences *ret_differences)
{
	struct fleet_differences differences = { 0 };

	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
		PH_AUTO_FREE char *old_text = old ? fields[i].write(old) : ph_strdup("");
		PH_AUTO_FREE char *new_text = fields[i].write(new);

		if (strcmp(old_text, new_text) != 0)
			add(&differences, fields[i].name, take_pointer(old_text),
			    take_pointer(new_text));
	}
	*ret_differences = differences;
}

bool fleet_spec_equal(const Phoenix__ContainerSpec *left, const Phoenix__ContainerSpec *right)
{
	struct fleet_differences differences;
	bool equal;

	fleet_spec_diff(left, right, &differences);
	equal = differences.count == 0;
	fleet_differences_fini(&differences);
	return equal;
}

void fleet_differences_fini(struct fleet_differences *differences)
{
	for (size_t i = 0; i < differences->count; i++) {
		free(differences->items[i].old);
		free(differences->items[i].new);
	}
	free(differences->items);
	*differences = (struct fleet_differences){ 0 };
}
