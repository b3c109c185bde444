/*
 * A spec without any of the further keys has no DockerSpec: it stays what it was before there were
 * these keys, and nothing is seen as changed.
 */
#include "controller/fleet/docker_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/schema.h"
#include "common/str.h"

#define TEXT_MAXIMUM 200
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define KEY_BEGIN "-----BEGIN PGP PUBLIC KEY BLOCK-----"

static const char *const keys[] = { "source",          "version", "hold",   "daemon",
				    "daemon_override", "users",   "bundle", "repository",
				    "repair",          NULL };
static const char *const repairs[] = { "fuse-daemon", NULL };
static const char *const repository_keys[] = { "uri", "suite", "components", "key", NULL };
static const char *const sources[] = { "distribution", "docker-ce", "bundle", "none", NULL };

static void set_text(char **text, const char *value)
{
	if (*text != protobuf_c_empty_string)
		free(*text);
	*text = ph_strdup(value);
}

static Phoenix__DockerSpec *docker_of(Phoenix__ContainerSpec *spec)
{
	if (!spec->docker) {
		spec->docker = ph_alloc(sizeof(*spec->docker));
		phoenix__docker_spec__init(spec->docker);
	}
	return spec->docker;
}

/* --- daemon ---------------------------------------------------------------------------------------- */

static int scalar_to_json(const struct yaml_node *node, json_t **ret_value)
{
	const char *text = node->text;
	json_t *value = NULL;

	if (node->plain && (!text[0] || strcmp(text, "~") == 0))
		value = json_null();
	else if (node->plain)
		value = json_loads(text, JSON_DECODE_ANY, NULL); /* true, 7, 2.5, null */
	if (!value)
		value = json_string(text);
	*ret_value = value;
	return value ? 0 : -EINVAL;
}

/* YAML_DEPTH_MAXIMUM bounds how deep this goes. */
static int node_to_json(const struct yaml_node *node, json_t **ret_value, struct ph_error *error)
{
	json_t *value;
	int ret = 0;

	if (node->kind == YAML_SCALAR) {
		if (scalar_to_json(node, ret_value) == 0)
			return 0;
		return schema_error(node, error, NULL, "this cannot be written as JSON");
	}
	value = node->kind == YAML_MAP ? json_object() : json_array();
	for (size_t i = 0; i < node->count && ret == 0; i++) {
		json_t *item;

		ret = node_to_json(node->items[i], &item, error);
		if (ret == 0 && node->kind == YAML_LIST)
			json_array_append_new(value, item);
		else if (ret == 0 && json_object_set_new(value, node->keys[i]->text, item) < 0)
			ret = schema_error(node->keys[i], error, NULL,
					   "this key cannot be written as JSON");
	}
	if (ret < 0)
		json_decref(value);
	else
		*ret_value = value;
	return ret;
}

int docker_keys_to_json(const struct yaml_node *map, char **ret_json, struct ph_error *error)
{
	json_t *value;
	int ret = node_to_json(map, &value, error);

	if (ret < 0)
		return ret;
	*ret_json = json_dumps(value, JSON_COMPACT);
	json_decref(value);
	return *ret_json ? 0 : schema_error(map, error, NULL, "this cannot be written as JSON");
}

static int read_daemon(const struct yaml_node *section, Phoenix__ContainerSpec *spec,
		       struct ph_error *error)
{
	const struct yaml_node *map;
	PH_AUTO_FREE char *json = NULL;
	bool override;
	int ret = schema_get_map(section, "daemon", &map, error);

	if (ret == 0)
		ret = docker_keys_to_json(map, &json, error);
	if (json)
		set_text(&docker_of(spec)->daemon, json);
	if (ret >= 0)
		ret = schema_get_bool(section, "daemon_override", &override, error);
	if (ret == 0)
		docker_of(spec)->daemon_override = override;
	return ret < 0 ? ret : 0;
}

/* --- users, repository ------------------------------------------------------------------------------ */

static void texts_clear(char ***texts, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		free((*texts)[i]);
	free(*texts);
	*texts = NULL;
	*count = 0;
}

static bool is_repair(const char *word)
{
	for (size_t i = 0; repairs[i]; i++)
		if (text_equal(word, repairs[i]))
			return true;
	return false;
}

static int read_users(const struct yaml_node *section, Phoenix__ContainerSpec *spec,
		      struct ph_error *error)
{
	Phoenix__DockerSpec *docker;
	const struct yaml_node *list;
	int ret = schema_get_list(section, "users", &list, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (list->count > DOCKER_USERS_MAXIMUM)
		return schema_error(list, error, NULL, "there are %zu users; at most %d fit",
				    list->count, DOCKER_USERS_MAXIMUM);
	docker = docker_of(spec);
	texts_clear(&docker->users, &docker->n_users); /* the container's list stands for itself */
	docker->users = ph_alloc_array(list->count ? list->count : 1, sizeof(*docker->users));
	for (size_t i = 0; i < list->count; i++) {
		const char *name;

		ret = schema_read_text(list->items[i], "users", 32, &name, error);
		if (ret < 0)
			return ret;
		docker->users[docker->n_users++] = ph_strdup(name);
	}
	return 0;
}

/* The container's list stands for itself, as with users; an empty one takes the consent back. */
static int read_repair(const struct yaml_node *section, Phoenix__ContainerSpec *spec,
		       struct ph_error *error)
{
	const struct yaml_node *list;
	Phoenix__DockerSpec *docker;
	int ret = schema_get_list(section, "repair", &list, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	docker = docker_of(spec);
	texts_clear(&docker->repair, &docker->n_repair);
	if (list->count > ARRAY_LENGTH(repairs) - 1)
		return schema_error(list, error, NULL, "there are only %zu kinds of repair",
				    ARRAY_LENGTH(repairs) - 1);
	docker->repair = ph_alloc_array(list->count ? list->count : 1, sizeof(*docker->repair));
	for (size_t i = 0; i < list->count; i++) {
		const char *word;

		ret = schema_read_text(list->items[i], "repair", 32, &word, error);
		if (ret < 0)
			return ret;
		if (!is_repair(word))
			return schema_error(list->items[i], error, "write fuse-daemon",
					    "'%s' is nothing that can be repaired", word);
		docker->repair[docker->n_repair++] = ph_strdup(word);
	}
	return 0;
}

/* The key goes along with the fleet: the containers' network need not reach where it comes from. */
static int read_key(const struct yaml_node *section, Phoenix__ContainerSpec *spec,
		    struct ph_error *error)
{
	PH_AUTO_FREE char *text = ph_alloc(DOCKER_KEY_MAXIMUM + 1);
	PH_AUTO_CLOSE int fd = -1;
	const char *path;
	ssize_t length;
	int ret = schema_get_path(section, "key", 400, &path, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	length = fd < 0 ? -1 : read(fd, text, DOCKER_KEY_MAXIMUM + 1);
	if (length < 0)
		return schema_error(schema_find(section, "key"), error,
				    "name the repository's public key on this machine",
				    "the key cannot be read: %s", strerror(errno));
	if (length > DOCKER_KEY_MAXIMUM || memchr(text, '\0', (size_t)length))
		return schema_error(schema_find(section, "key"), error,
				    "gpg --armor --export gives the right format",
				    "the file is no ASCII-armoured key of at most %d bytes",
				    DOCKER_KEY_MAXIMUM);
	text[length] = '\0';
	set_text(&docker_of(spec)->repository_key, text);
	return 0;
}

static int read_repository(const struct yaml_node *docker, Phoenix__ContainerSpec *spec,
			   struct ph_error *error)
{
	const struct yaml_node *section;
	const char *text;
	int ret = schema_get_map(docker, "repository", &section, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = schema_check_keys(section, "repository", repository_keys, error);
	if (ret == 0)
		ret = schema_get_text(section, "uri", TEXT_MAXIMUM, &text, error);
	if (ret == 0)
		set_text(&docker_of(spec)->repository_uri, text);
	if (ret >= 0)
		ret = schema_get_text(section, "suite", TEXT_MAXIMUM, &text, error);
	if (ret == 0)
		set_text(&docker_of(spec)->repository_suite, text);
	if (ret >= 0)
		ret = schema_get_text(section, "components", TEXT_MAXIMUM, &text, error);
	if (ret == 0)
		set_text(&docker_of(spec)->repository_components, text);
	return ret >= 0 ? read_key(section, spec, error) : ret;
}

int docker_keys_read(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
		     struct ph_error *error)
{
	const struct yaml_node *section;
	const char *text;
	size_t index;
	bool hold;
	int ret = schema_get_map(map, "docker", &section, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = schema_check_keys(section, "docker", keys, error);
	if (ret == 0)
		ret = schema_get_word(section, "source", sources, &index, error);
	if (ret == 0)
		set_text(&spec->docker_source, sources[index]);
	if (ret >= 0)
		ret = schema_get_text(section, "version", 64, &text, error);
	if (ret == 0)
		set_text(&docker_of(spec)->version, text);
	if (ret >= 0)
		ret = schema_get_bool(section, "hold", &hold, error);
	if (ret == 0)
		docker_of(spec)->unheld = !hold;
	if (ret >= 0)
		ret = schema_get_name(section, "bundle", &text, error);
	if (ret == 0)
		set_text(&docker_of(spec)->bundle, text);
	if (ret >= 0)
		ret = read_daemon(section, spec, error);
	if (ret == 0)
		ret = read_users(section, spec, error);
	if (ret == 0)
		ret = read_repair(section, spec, error);
	return ret == 0 ? read_repository(section, spec, error) : ret;
}

/* --- rules ------------------------------------------------------------------------------------------ */

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

static bool is_made_of(const char *text, const char *allowed, size_t maximum)
{
	size_t length = strnlen(text, maximum + 1);

	return length <= maximum && strspn(text, allowed) == length;
}

static int check_users(const Phoenix__DockerSpec *docker, struct check_problem *ret_problem)
{
	if (docker->n_users > DOCKER_USERS_MAXIMUM)
		return problem(ret_problem, "docker.users", NULL, "there are more than %d users",
			       DOCKER_USERS_MAXIMUM);
	for (size_t i = 0; i < docker->n_users; i++) {
		const char *name = docker->users[i];

		if (!name[0] || name[0] == '-' || strspn(name, "0123456789") == strlen(name) ||
		    !is_made_of(name, LETTERS "._-", 32))
			return problem(ret_problem, "docker.users",
				       "write names of users as /etc/passwd has them",
				       "'%.40s' is no user's name", name);
	}
	return 0;
}

static int check_repair(const Phoenix__DockerSpec *docker, struct check_problem *ret_problem)
{
	for (size_t i = 0; i < docker->n_repair; i++)
		if (!is_repair(docker->repair[i]))
			return problem(ret_problem, "docker.repair", "write fuse-daemon",
				       "'%.30s' is nothing that can be repaired",
				       docker->repair[i]);
	return 0;
}

static int check_daemon(const Phoenix__DockerSpec *docker, struct check_problem *ret_problem)
{
	static const char *const taken[][2] = {
		{ "storage-driver", "write 'storage: {driver: ...}' instead" },
		{ "data-root", "leave it out: the data-root is a place that Phoenix provides" },
	};
	json_t *root, *features;
	int ret = 0;

	if (text_empty(docker->daemon))
		return 0;
	if (strlen(docker->daemon) > DOCKER_DAEMON_MAXIMUM)
		return problem(ret_problem, "docker.daemon", NULL, "it is longer than %d bytes",
			       DOCKER_DAEMON_MAXIMUM);
	root = json_loads(docker->daemon, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(root))
		ret = problem(ret_problem, "docker.daemon", "write a map of daemon.json's keys",
			      "it is no JSON object");
	for (size_t i = 0; i < ARRAY_LENGTH(taken) && ret == 0; i++)
		if (json_object_get(root, taken[i][0]))
			ret = problem(ret_problem, "docker.daemon", taken[i][1],
				      "daemon.json's key '%s' is set by Phoenix itself",
				      taken[i][0]);
	features = json_object_get(root, "features");
	if (ret == 0 && features && !json_is_object(features))
		ret = problem(ret_problem, "docker.daemon", "write features: {name: true}",
			      "daemon.json's key 'features' is no map");
	if (ret == 0 && json_object_get(features, "containerd-snapshotter"))
		ret = problem(ret_problem, "docker.daemon", "leave it out",
			      "the feature 'containerd-snapshotter' is set by Phoenix itself");
	json_decref(root);
	return ret;
}

/* Each goes into a line of apt's own format: nothing that could begin another. */
static int check_repository(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem)
{
	const Phoenix__DockerSpec *docker = spec->docker;
	bool is_used = docker->repository_uri[0] || docker->repository_suite[0] ||
		       docker->repository_components[0] || docker->repository_key[0];

	if (is_used && strcmp(spec->docker_source, "docker-ce") != 0)
		return problem(ret_problem, "docker.repository", "write 'source: docker-ce' beside it",
			       "only the source docker-ce has a repository");
	if (docker->repository_uri[0] &&
	    (!is_made_of(docker->repository_uri, LETTERS "/:._~%+@-", TEXT_MAXIMUM) ||
	     (!text_has_prefix(docker->repository_uri, "https://") &&
	      !text_has_prefix(docker->repository_uri, "http://") &&
	      !text_has_prefix(docker->repository_uri, "file:/"))))
		return problem(ret_problem, "docker.repository.uri",
			       "write https://download.docker.com/linux/debian, or your mirror",
			       "'%.80s' is no address of a repository", docker->repository_uri);
	if (!is_made_of(docker->repository_suite, LETTERS "/._-", TEXT_MAXIMUM))
		return problem(ret_problem, "docker.repository.suite", "write trixie",
			       "'%.60s' is no suite", docker->repository_suite);
	if (!is_made_of(docker->repository_components, LETTERS "/._- ", TEXT_MAXIMUM))
		return problem(ret_problem, "docker.repository.components", "write stable",
			       "'%.60s' are no components", docker->repository_components);
	if (strlen(docker->repository_key) > DOCKER_KEY_MAXIMUM ||
	    (docker->repository_key[0] && !text_has_prefix(docker->repository_key, KEY_BEGIN)))
		return problem(ret_problem, "docker.repository.key",
			       "gpg --armor --export gives the right format",
			       "the key is not ASCII-armoured (" KEY_BEGIN ")");
	return 0;
}

static int check_source(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem)
{
	const char *bundle = spec->docker ? spec->docker->bundle : "";
	size_t i = 0;

	while (sources[i] && strcmp(spec->docker_source, sources[i]) != 0)
		i++;
	if (!sources[i])
		return problem(ret_problem, "docker.source",
			       "write distribution, docker-ce, bundle or none",
			       "'%.40s' is not a source of Docker", spec->docker_source);
	if (strcmp(sources[i], "bundle") == 0 && !name_is_valid(bundle))
		return problem(ret_problem, "docker.source",
			       "write 'bundle: NAME' beside it ('phoenixctl bundle list' shows them)",
			       "the source bundle needs the name of one");
	if (strcmp(sources[i], "bundle") != 0 && bundle[0])
		return problem(ret_problem, "docker.bundle", "write 'source: bundle' beside it",
			       "a bundle is named, but the source is %s", sources[i]);
	if (strcmp(sources[i], "docker-ce") == 0 &&
	    (!spec->docker || !spec->docker->repository_key[0]))
		return problem(ret_problem, "docker.source",
			       "write 'repository: {key: /path/docker.asc}' beside it: Phoenix "
			       "trusts no key that you have not named",
			       "the source docker-ce needs the repository's key");
	return 0;
}

int docker_keys_check(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem)
{
	int ret = check_source(spec, ret_problem);

	if (ret < 0 || !spec->docker)
		return ret;
	if (!is_made_of(spec->docker->version, LETTERS ".+~:*?-", 64))
		return problem(ret_problem, "docker.version",
			       "write any, a version, or a pattern: \"20.10.*\"",
			       "'%.60s' is no version", spec->docker->version);
	ret = check_users(spec->docker, ret_problem);
	if (ret == 0)
		ret = check_repair(spec->docker, ret_problem);
	if (ret == 0)
		ret = check_daemon(spec->docker, ret_problem);
	return ret == 0 ? check_repository(spec, ret_problem) : ret;
}
