/*
 * The fleet file. Types and words are checked where they are read; what makes sense together is
 * check.h's business, and its problems are traced back to the line that wrote the field: the
 * container's own, else the one under 'defaults'.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/schema.h"
#include "common/str.h"
#include "common/yaml.h"
#include "controller/fleet/check.h"
#include "controller/fleet/docker_keys.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/rollout_keys.h"
#include "controller/fleet/selector.h"

#define LABEL_MAXIMUM 63
#define PIDS_MAXIMUM (4 * 1024 * 1024)

static const char *const top_keys[] = { "version", "defaults", "groups", "rollout", "containers", NULL };
static const char *const default_keys[] = {
	"labels", "image", "confinement", "resources", "storage", "docker",
	"transport", "clone", NULL,
};
static const char *const group_keys[] = {
	"match", "image", "confinement", "resources", "storage", "docker", "transport", "clone",
	NULL,
};
static const char *const container_keys[] = {
	"name", "labels", "image", "confinement", "resources", "storage", "docker", "network",
	"transport", "clone", NULL,
};
static const char *const resource_keys[] = { "memory", "cpus", "pids", NULL };
static const char *const storage_keys[] = { "driver", "allow_vfs", "allow_image_loss", NULL };
static const char *const network_keys[] = { "address", NULL };

/* In the order of Phoenix__Confinement. */
static const char *const confinements[] = { "required", "best-effort", NULL };
static const char *const confinement_keys[] = { "level", "mode", NULL };
static const char *const modes[] = { "named", "stacked", NULL };
/* In the order of Phoenix__Transport. */
static const char *const transports[] = { "unix", "vsock", NULL };
/* In the order of Phoenix__CloneMethod. */
static const char *const clones[] = { "auto", "overlay", "snapshot", "reflink", "copy", NULL };
static const char *const drivers[] = { "fuse-overlayfs", "overlay2", "auto", "vfs", NULL };

/* The file as it is read. */
struct parse {
	struct yaml_node *root;           /* owned */
	const struct yaml_node *defaults; /* in root; NULL: none */
	const struct yaml_node *groups;   /* in root; NULL: none */
	struct selector *matches;         /* owned; of the groups */
	const struct yaml_node *list;     /* in root: the containers */
	Phoenix__ContainerSpec *base;     /* owned: the defaults as a spec */
	Phoenix__Fleet *fleet;            /* owned */
};

static void parse_fini(struct parse *parse)
{
	yaml_node_free(parse->root);
	free(parse->matches);
	if (parse->base)
		phoenix__container_spec__free_unpacked(parse->base, NULL);
	fleet_free(parse->fleet);
}

/* Replace a text of a message; protobuf-c's empty string is nobody's to free. */
static void set_text(char **text, const char *value)
{
	if (*text != protobuf_c_empty_string)
		free(*text);
	*text = ph_strdup(value);
}

static Phoenix__ContainerSpec *new_spec(void)
{
	Phoenix__ContainerSpec *spec = ph_alloc(sizeof(*spec));

	phoenix__container_spec__init(spec);
	spec->resources = ph_alloc(sizeof(*spec->resources));
	phoenix__resources__init(spec->resources);
	spec->resources->pids = FLEET_PIDS_DEFAULT;
	set_text(&spec->storage_driver, drivers[0]);
	set_text(&spec->docker_source, "distribution");
	return spec;
}

static Phoenix__Pair *find_label(Phoenix__ContainerSpec *spec, const char *key)
{
	for (size_t i = 0; i < spec->n_labels; i++)
		if (strcmp(spec->labels[i]->key, key) == 0)
			return spec->labels[i];
	return NULL;
}

/* Set a label over the one that the defaults may have given. */
static void set_label(Phoenix__ContainerSpec *spec, const char *key, const char *value)
{
	Phoenix__Pair *label = find_label(spec, key);

	if (!label) {
		label = ph_alloc(sizeof(*label));
		phoenix__pair__init(label);
		set_text(&label->key, key);
		spec->labels = ph_realloc(spec->labels,
					  (spec->n_labels + 1) * sizeof(*spec->labels));
		spec->labels[spec->n_labels++] = label;
	}
	set_text(&label->value, value);
}

static int read_label(const struct yaml_node *key, const struct yaml_node *value,
		      Phoenix__ContainerSpec *spec, struct ph_error *error)
{
	static const char remedy[] = "keys and values are 1 to 63 of letters, digits, '.', '_' and "
				     "'-', keys also '/'";
	const char *text;
	int ret;

	if (!check_label_key(key->text))
		return schema_error(key, error, remedy, "'%.60s' is not a key for a label",
				    key->text);
	ret = schema_read_text(value, key->text, LABEL_MAXIMUM, &text, error);
	if (ret < 0)
		return ret;
	if (!check_label_value(text))
		return schema_error(value, error, remedy, "'%.60s' is not a value for a label",
				    text);
	set_label(spec, key->text, text);
	return 0;
}

static int read_labels(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
		       struct ph_error *error)
{
	const struct yaml_node *labels;
	int ret = schema_get_map(map, "labels", &labels, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	for (size_t i = 0; i < labels->count && ret == 0; i++)
		ret = read_label(labels->keys[i], labels->items[i], spec, error);
	return ret;
}

/* Get a map below a map and check its keys: 0, SCHEMA_ABSENT or -EINVAL. */
static int get_section(const struct yaml_node *map, const char *key, const char *const *keys,
		       const struct yaml_node **ret_section, struct ph_error *error)
{
	int ret = schema_get_map(map, key, ret_section, error);

	return ret == 0 ? schema_check_keys(*ret_section, key, keys, error) : ret;
}

static int read_resources(const struct yaml_node *map, Phoenix__Resources *resources,
			  struct ph_error *error)
{
	const struct yaml_node *section;
	uint64_t pids;
	int ret = get_section(map, "resources", resource_keys, &section, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = schema_get_size(section, "memory", &resources->memory_bytes, error);
	if (ret >= 0)
		ret = schema_get_cpus(section, "cpus", &resources->cpu_percent, error);
	if (ret >= 0)
		ret = schema_get_integer(section, "pids", 0, PIDS_MAXIMUM, &pids, error);
	if (ret == 0)
		resources->pids = (uint32_t)pids;
	return ret < 0 ? ret : 0;
}

/* Read the one word of a section such as "storage: {driver: …}". */
static int read_choice(const struct yaml_node *map, const char *name, const char *const *keys,
		       const char *const *words, char **text, struct ph_error *error)
{
	const struct yaml_node *section;
	size_t index;
	int ret = get_section(map, name, keys, &section, error);

	if (ret == 0)
		ret = schema_get_word(section, keys[0], words, &index, error);
	if (ret == 0)
		set_text(text, words[index]);
	return ret < 0 ? ret : 0;
}

/* Consents are words of their own: nothing else implies them. */
static int read_storage_consents(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
				 struct ph_error *error)
{
	const struct yaml_node *section;
	bool allowed;
	int ret = get_section(map, "storage", storage_keys, &section, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = schema_get_bool(section, "allow_vfs", &allowed, error);
	if (ret == 0)
		spec->storage_allow_vfs = allowed;
	if (ret >= 0)
		ret = schema_get_bool(section, "allow_image_loss", &allowed, error);
	if (ret == 0)
		spec->storage_allow_image_loss = allowed;
	return ret < 0 ? ret : 0;
}

static int read_address(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
			struct ph_error *error)
{
	const struct yaml_node *section;
	uint32_t address;
	char text[16];
	int ret = get_section(map, "network", network_keys, &section, error);

	if (ret == 0)
		ret = schema_get_ipv4(section, "address", &address, error);
	if (ret == 0)
		set_text(&spec->address, ipv4_to_text(address, text));
	return ret < 0 ? ret : 0;
}

static int read_scalars(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
			struct ph_error *error)
{
	const char *text;
	int ret = schema_get_name(map, "name", &text, error);

	if (ret == 0)
		set_text(&spec->name, text);
	if (ret >= 0)
		ret = schema_get_name(map, "image", &text, error);
	if (ret == 0)
		set_text(&spec->image, text);
	return ret < 0 ? ret : 0;
}

/* A word is the level, as before there were modes; a mapping has both. */
static int read_confinement(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
			    struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, "confinement"), *section = map;
	const char *key = "confinement";
	size_t index;
	int ret = 0;

	if (node && node->kind == YAML_MAP) {
		ret = get_section(map, "confinement", confinement_keys, &section, error);
		key = "level";
	}
	if (ret < 0)
		return ret;
	ret = schema_get_word(section, key, confinements, &index, error);
	if (ret == 0)
		spec->confinement = (Phoenix__Confinement)index;
	if (ret < 0 || section == map)
		return ret < 0 ? ret : 0;
	ret = schema_get_word(section, "mode", modes, &index, error);
	if (ret == 0)
		spec->confinement_mode = (Phoenix__ConfinementMode)index;
	return ret < 0 ? ret : 0;
}

static int read_transport(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
			  struct ph_error *error)
{
	size_t index;
	int ret = schema_get_word(map, "transport", transports, &index, error);

	if (ret == 0)
		spec->transport = (Phoenix__Transport)index;
	return ret < 0 ? ret : 0;
}

static int read_clone(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
		      struct ph_error *error)
{
	size_t index;
	int ret = schema_get_word(map, "clone", clones, &index, error);

	if (ret == 0)
		spec->clone = (Phoenix__CloneMethod)index;
	return ret < 0 ? ret : 0;
}

/* Read what a map says over what the spec already has; what names the map in errors. */
static int read_spec(const struct yaml_node *map, const char *what, const char *const *keys,
		     Phoenix__ContainerSpec *spec, struct ph_error *error)
{
	int ret = schema_check_keys(map, what, keys, error);

	if (ret == 0)
		ret = read_scalars(map, spec, error);
	if (ret == 0)
		ret = read_confinement(map, spec, error);
	if (ret == 0)
		ret = read_transport(map, spec, error);
	if (ret == 0)
		ret = read_clone(map, spec, error);
	if (ret == 0)
		ret = read_labels(map, spec, error);
	if (ret == 0)
		ret = read_resources(map, spec->resources, error);
	if (ret == 0)
		ret = read_choice(map, "storage", storage_keys, drivers, &spec->storage_driver,
				  error);
	if (ret == 0)
		ret = read_storage_consents(map, spec, error);
	if (ret == 0)
		ret = docker_keys_read(map, spec, error);
	return ret == 0 ? read_address(map, spec, error) : ret;
}

/* The version comes first: another one may have other keys. */
static int read_version(const struct yaml_node *root, uint32_t *ret_version, struct ph_error *error)
{
	const struct yaml_node *node = schema_find(root, "version");
	uint64_t version;
	int found = schema_get_integer(root, "version", 1, UINT32_MAX, &version, error);
	int ret;

	if (found < 0)
		return found;
	if (found == 0 && version != FLEET_VERSION)
		return schema_error(node, error, "write 'version: 1', or use a newer Phoenix",
				    "this Phoenix knows version %d of the fleet file, not %s",
				    FLEET_VERSION, node->text);
	ret = schema_check_keys(root, "the fleet file", top_keys, error);
	if (ret < 0)
		return ret;
	if (found == SCHEMA_ABSENT)
		return schema_error(root, error, "begin the file with 'version: 1'",
				    "key 'version' is missing");
	*ret_version = FLEET_VERSION;
	return 0;
}

static int read_defaults(struct parse *parse, struct ph_error *error)
{
	int ret = schema_get_map(parse->root, "defaults", &parse->defaults, error);

	parse->base = new_spec();
	if (ret == 0)
		ret = read_spec(parse->defaults, "defaults", default_keys, parse->base, error);
	return ret < 0 ? ret : 0;
}

static int read_match(const struct yaml_node *group, struct selector *ret_match,
		      struct ph_error *error)
{
	const struct yaml_node *node = schema_find(group, "match");
	struct ph_error problem;
	const char *text;
	int ret = schema_check_keys(group, "a group", group_keys, error);

	if (ret == 0)
		ret = schema_get_text(group, "match", SELECTOR_TEXT_MAXIMUM, &text, error);
	if (ret == SCHEMA_ABSENT)
		return schema_error(group, error, "write '- match: role=web'",
				    "this group does not say whom it is for");
	if (ret == 0 && selector_parse(text, ret_match, &problem) < 0)
		return schema_error(node, error, problem.remedy, "%s", problem.why);
	return ret;
}

/* What they say is read into each container that they match, and once here so that none escapes. */
static int read_groups(struct parse *parse, struct ph_error *error)
{
	int ret = schema_get_list(parse->root, "groups", &parse->groups, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (parse->groups->count > FLEET_GROUPS_MAXIMUM)
		return schema_error(parse->groups, error, "join some of them",
				    "there are more than %d groups", FLEET_GROUPS_MAXIMUM);
	parse->matches = ph_alloc_array(parse->groups->count, sizeof(*parse->matches));
	for (size_t i = 0; i < parse->groups->count && ret == 0; i++) {
		Phoenix__ContainerSpec *trial = fleet_spec_copy(parse->base);

		ret = read_match(parse->groups->items[i], &parse->matches[i], error);
		if (ret == 0)
			ret = read_spec(parse->groups->items[i], "a group", group_keys, trial,
					error);
		phoenix__container_spec__free_unpacked(trial, NULL);
	}
	return ret;
}

static bool is_in_group(const struct parse *parse, size_t group, const Phoenix__ContainerSpec *spec)
{
	return selector_matches(&parse->matches[group], spec->name, spec->labels, spec->n_labels);
}

static int find_list(struct parse *parse, struct ph_error *error)
{
	const struct yaml_node *node = schema_find(parse->root, "containers");
	int ret = schema_get_list(parse->root, "containers", &parse->list, error);

	if (ret < 0)
		return ret;
	if (ret == SCHEMA_ABSENT || parse->list->count == 0)
		return schema_error(node ? node : parse->root, error,
				    "name at least one under 'containers': '- name: web1'",
				    "the fleet has no containers");
	if (parse->list->count > FLEET_CONTAINERS_MAXIMUM)
		return schema_error(parse->list->items[FLEET_CONTAINERS_MAXIMUM], error,
				    "split the fleet into several files",
				    "the fleet has %zu containers; at most %d fit into one",
				    parse->list->count, FLEET_CONTAINERS_MAXIMUM);
	return 0;
}

static int read_container(struct parse *parse, const struct yaml_node *map, struct ph_error *error)
{
	Phoenix__ContainerSpec *spec = fleet_spec_copy(parse->base);
	int ret;

	parse->fleet->containers[parse->fleet->n_containers++] = spec;
	ret = schema_check_keys(map, "a container", container_keys, error);
	/* Groups are chosen by what the container says of itself. */
	if (ret == 0)
		ret = read_scalars(map, spec, error);
	if (ret == 0)
		ret = read_labels(map, spec, error);
	for (size_t i = 0; parse->groups && i < parse->groups->count && ret == 0; i++)
		if (is_in_group(parse, i, spec))
			ret = read_spec(parse->groups->items[i], "a group", group_keys, spec,
					error);
	if (ret == 0)
		ret = read_spec(map, "a container", container_keys, spec, error);
	if (ret == 0 && text_empty(spec->name))
		return schema_error(map, error, "write '- name: web1'",
				    "this container has no name");
	return ret;
}

/* The node of a field such as "resources.memory", or NULL: not in this map. */
static const struct yaml_node *find_field(const struct yaml_node *map, const char *field)
{
	const struct yaml_node *node = map;

	while (node && node->kind == YAML_MAP && *field) {
		size_t length = strcspn(field, ".");
		PH_AUTO_FREE char *key = ph_strndup(field, length);

		node = schema_find(node, key);
		field += length + (field[length] == '.');
	}
	return *field || node == map ? NULL : node;
}

/* The line that had the last word on a field of a container: its own, a group's, the defaults'. */
static const struct yaml_node *find_origin(const struct parse *parse, size_t container,
					   const char *field)
{
	const struct yaml_node *node = find_field(parse->list->items[container], field);

	for (size_t i = parse->groups ? parse->groups->count : 0; !node && i > 0; i--)
		if (is_in_group(parse, i - 1, parse->fleet->containers[container]))
			node = find_field(parse->groups->items[i - 1], field);
	return node ? node : find_field(parse->defaults, field);
}

/* Trace a problem back to the file. */
static int fail(const struct parse *parse, const struct check_problem *problem,
		struct ph_error *error)
{
	const struct yaml_node *map, *node, *other = NULL;

	if (problem->container == CHECK_NONE) {
		node = find_field(parse->root, problem->field);
		return schema_error(node ? node : parse->root, error, problem->remedy, "%s",
				    problem->why);
	}
	map = parse->list->items[problem->container];
	node = find_origin(parse, problem->container, problem->field);
	if (problem->other != CHECK_NONE)
		other = find_field(parse->list->items[problem->other], problem->field);
	if (other)
		return schema_error(node ? node : map, error, problem->remedy, "%s, in line %u",
				    problem->why, other->line);
	return schema_error(node ? node : map, error, problem->remedy, "%s", problem->why);
}

static int read_fleet(struct parse *parse, struct ph_error *error)
{
	struct check_problem problem;
	int ret;

	parse->fleet = ph_alloc(sizeof(*parse->fleet));
	phoenix__fleet__init(parse->fleet);
	ret = read_version(parse->root, &parse->fleet->version, error);
	if (ret == 0)
		ret = read_defaults(parse, error);
	if (ret == 0)
		ret = read_groups(parse, error);
	if (ret == 0)
		ret = rollout_keys_read(parse->root, parse->fleet, error);
	if (ret == 0)
		ret = find_list(parse, error);
	if (ret < 0)
		return ret;
	parse->fleet->containers = ph_alloc_array(parse->list->count,
						  sizeof(*parse->fleet->containers));
	for (size_t i = 0; i < parse->list->count && ret == 0; i++)
		ret = read_container(parse, parse->list->items[i], error);
	if (ret == 0 &&
	    (check_fleet(parse->fleet, &problem) < 0 || check_size(parse->fleet, &problem) < 0))
		ret = fail(parse, &problem, error);
	return ret;
}

static int parse_text(const char *file, const char *text, size_t length, Phoenix__Fleet **ret_fleet,
		      struct ph_error *error)
{
	PH_CLEANUP(parse_fini) struct parse parse = { 0 };
	int ret = yaml_parse(file, text, length, &parse.root, error);

	if (ret == YAML_EMPTY)
		return yaml_error(file, 1, 1, error,
				  "begin with 'version: 1' and a list 'containers'",
				  "the fleet file is empty");
	if (ret == 0)
		ret = read_fleet(&parse, error);
	if (ret == 0)
		*ret_fleet = take_pointer(parse.fleet);
	return ret;
}

int fleet_parse(const char *file, const char *text, size_t length, Phoenix__Fleet **ret_fleet,
		struct ph_error *error)
{
	int ret = parse_text(file, text, length, ret_fleet, error);

	if (ret < 0)
		error_prefix(error, "read the fleet file");
	return ret;
}

int fleet_load(const char *path, Phoenix__Fleet **ret_fleet, struct ph_error *error)
{
	bool standard_input = strcmp(path, "-") == 0;
	const char *file = standard_input ? "standard input" : path;
	PH_AUTO_CLOSE int fd = standard_input ? dup(STDIN_FILENO) :
						open(path, O_RDONLY | O_CLOEXEC);
	PH_AUTO_FREE char *text = NULL;
	size_t length;
	int ret;

	if (fd < 0)
		ret = error_errno(error, -errno, file, "name the right file with -f", "open");
	else
		ret = yaml_read(fd, file, &text, &length, error);
	if (ret < 0) {
		error_prefix(error, "read the fleet file");
		return ret;
	}
	return fleet_parse(file, text, length, ret_fleet, error);
}
