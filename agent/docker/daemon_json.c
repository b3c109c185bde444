/*
 * Both keys are needed: Docker 29 takes "storage-driver" for the name of a containerd snapshotter
 * unless the snapshotter is switched off by its own key; older versions ignore that key.
 */
#include "agent/docker/daemon_json.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define INDENT 4

#define DRIVER_KEY "storage-driver"
#define FEATURES_KEY "features"
#define SNAPSHOTTER_KEY "containerd-snapshotter"

struct merge {
	const char *path;
	const char *text;
	size_t length;
	const struct daemon_json_wanted *wanted;
	json_t *root; /* owned */
	bool changed;
	struct ph_error *error;
};

/*
 * Where the key of this depth (1: top level) stands in a text that is known to be JSON; the text's
 * begin when it is not found as written (it may be spelt with escapes).
 */
static size_t key_offset(const char *text, size_t length, const char *key, int wanted_depth)
{
	size_t size = strlen(key);
	int depth = 0;

	for (size_t i = 0; i < length; i++) {
		size_t begin = i;

		depth += (text[i] == '{' || text[i] == '[') - (text[i] == '}' || text[i] == ']');
		if (text[i] != '"')
			continue;
		for (i++; i < length && text[i] != '"'; i++)
			i += text[i] == '\\';
		if (depth == wanted_depth && i - begin - 1 == size &&
		    memcmp(text + begin + 1, key, size) == 0) {
			size_t next = i + 1;

			while (next < length && strchr(" \t\r\n", text[next]))
				next++;
			if (next < length && text[next] == ':')
				return begin;
		}
	}
	return 0;
}

static char *place_of(const struct merge *merge, size_t offset, char where[256])
{
	int line = 1, column = 1;

	for (size_t i = 0; i < offset && i < merge->length; i++) {
		column = merge->text[i] == '\n' ? 1 : column + 1;
		line += merge->text[i] == '\n';
	}
	snprintf(where, 256, "%s:%d:%d", merge->path, line, column);
	return where;
}

static int key_refused(const struct merge *merge, const char *key, int depth, int code,
		       const char *why, const char *remedy)
{
	char where[256];

	place_of(merge, key_offset(merge->text, merge->length, key, depth), where);
	error_set(merge->error, code, where, remedy, "%s", why);
	return error_prefix(merge->error, "merge daemon.json");
}

static bool is_blank(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!strchr(" \t\r\n", text[i]) || text[i] == '\0')
			return false;
	return true;
}

static int root_load(struct merge *merge)
{
	json_error_t problem;
	char where[256];

	if (!merge->text || is_blank(merge->text, merge->length)) {
		merge->root = json_object();
		merge->changed = true;
		return 0;
	}
	merge->root = json_loadb(merge->text, merge->length,
				 JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
	if (!merge->root) {
		snprintf(where, sizeof(where), "%s:%d:%d", merge->path, problem.line,
			 problem.column);
		error_set(merge->error, -EINVAL, where,
			  "correct the file (dockerd would not start with it either); it was not "
			  "touched",
			  "it is not valid JSON: %s", problem.text);
		return error_prefix(merge->error, "merge daemon.json");
	}
	if (!json_is_object(merge->root)) {
		snprintf(where, sizeof(where), "%s:1:1", merge->path);
		error_set(merge->error, -EINVAL, where,
			  "write an object, {\"key\": value}; the file was not touched",
			  "it is JSON, but not an object");
		return error_prefix(merge->error, "merge daemon.json");
	}
	return 0;
}

static void root_set(struct merge *merge, json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
	merge->changed = true;
}

static int driver_merge(struct merge *merge)
{
	const json_t *driver = json_object_get(merge->root, DRIVER_KEY);
	const char *name = json_string_value(driver);
	PH_AUTO_FREE char *why = NULL;

	/* dockerd takes null and "" for unset. */
	if (!driver || json_is_null(driver) || (name && !name[0])) {
		root_set(merge, merge->root, DRIVER_KEY, json_string(merge->wanted->driver));
		return 0;
	}
	if (!name)
		return key_refused(merge, DRIVER_KEY, 1, -EINVAL,
				   "\"storage-driver\" is not a text",
				   "write the driver's name in quotes; the file was not touched");
	if (strcmp(name, merge->wanted->driver) == 0)
		return 0;
	if (!text_empty(merge->wanted->replaces) && strcmp(name, merge->wanted->replaces) == 0) {
		root_set(merge, merge->root, DRIVER_KEY, json_string(merge->wanted->driver));
		return 0;
	}
	why = ph_format("it sets \"storage-driver\" to \"%s\", and \"%s\" is wanted", name,
			merge->wanted->driver);
	return key_refused(
		merge, DRIVER_KEY, 1, -EEXIST, why,
		"remove the key from the file (images of the other driver will not be seen "
		"any more), or ask for that driver in the fleet file (storage.driver); the "
		"file was not touched");
}

static int snapshotter_merge(struct merge *merge)
{
	json_t *features = json_object_get(merge->root, FEATURES_KEY);
	const json_t *snapshotter;

	if (!features || json_is_null(features)) {
		features = json_object();
		root_set(merge, merge->root, FEATURES_KEY, features);
	}
	if (!json_is_object(features))
		return key_refused(
			merge, FEATURES_KEY, 1, -EINVAL, "\"features\" is not an object",
			"write {\"features\": {\"name\": true}}; the file was not touched");
	snapshotter = json_object_get(features, SNAPSHOTTER_KEY);
	if (!snapshotter) {
		root_set(merge, features, SNAPSHOTTER_KEY, json_false());
		return 0;
	}
	if (json_is_false(snapshotter))
		return 0;
	return key_refused(merge, SNAPSHOTTER_KEY, 2, -EEXIST,
			   "it switches the containerd snapshotter on, which knows no such storage "
			   "driver",
			   "set \"containerd-snapshotter\" to false, or remove it; the file was not "
			   "touched");
}

/* --- the fragment ---------------------------------------------------------------------------------- */

/* One object of the fragment and what it goes into. */
struct level {
	json_t *object;
	const json_t *fragment;
	const json_t *ours; /* NULL: nothing there is ours */
	int depth;
};

static int fragment_merge(struct merge *merge, const struct level *level);

static int value_merge(struct merge *merge, const struct level *level, const char *key,
		       json_t *value)
{
	json_t *present = json_object_get(level->object, key);
	const json_t *ours = json_object_get(level->ours, key);
	PH_AUTO_FREE char *why = NULL;

	if (json_is_object(present) && json_is_object(value)) {
		const struct level below = { present, value, ours, level->depth + 1 };

		return fragment_merge(merge, &below);
	}
	if (json_equal(present, value))
		return 0;
	if (!present || json_is_null(present) || merge->wanted->override ||
	    (ours && json_equal(present, ours))) {
		root_set(merge, level->object, key, json_deep_copy(value));
		return 0;
	}
	why = ph_format("it sets \"%.60s\" otherwise than docker.daemon of the fleet file", key);
	return key_refused(merge, key, level->depth, -EEXIST, why,
			   "remove the key here or there, or write 'daemon_override: true' in the "
			   "fleet file; the file was not touched");
}

/* What an earlier fragment has set and this one does not name any more, unless it was changed since. */
static void fragment_withdraw(struct merge *merge, const struct level *level)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)level->ours, key, value) {
		if (json_object_get(level->fragment, key) ||
		    !json_equal(json_object_get(level->object, key), value))
			continue;
		json_object_del(level->object, key);
		merge->changed = true;
	}
}

/* As deep as the fragment is nested: the fleet file bounds it. */
static int fragment_merge(struct merge *merge, const struct level *level)
{
	const char *key;
	json_t *value;
	int result = 0;

	json_object_foreach((json_t *)level->fragment, key, value) {
		result = value_merge(merge, level, key, value);
		if (result < 0)
			return result;
	}
	fragment_withdraw(merge, level);
	return 0;
}

static json_t *object_load(const char *text)
{
	return text_empty(text) ? json_object() : json_loads(text, JSON_REJECT_DUPLICATES, NULL);
}

/* Whether it has a say in what Phoenix sets itself: the driver, and the snapshotter with what holds it. */
static bool claims_our_keys(const json_t *fragment)
{
	const json_t *features = json_object_get(fragment, FEATURES_KEY);

	if (json_object_get(fragment, DRIVER_KEY))
		return true;
	return features &&
	       (!json_is_object(features) || json_object_get(features, SNAPSHOTTER_KEY));
}

static int fragments_merge(struct merge *merge)
{
	json_t *fragment = object_load(merge->wanted->fragment);
	json_t *ours = object_load(merge->wanted->ours);
	const struct level top = { merge->root, fragment, claims_our_keys(ours) ? NULL : ours, 1 };
	int result;

	if (json_is_object(fragment) && !claims_our_keys(fragment))
		result = fragment_merge(merge, &top);
	else if (json_is_object(fragment))
		result = error_set(merge->error, -EINVAL, "docker.daemon",
				   "leave them out of docker.daemon in the fleet file",
				   "the fragment for daemon.json sets the driver, the snapshotter, "
				   "or \"features\" to what is no object");
	else
		result = error_set(merge->error, -EINVAL, "docker.daemon",
				   "write a map of daemon.json's keys in the fleet file",
				   "the fragment for daemon.json is no JSON object");
	json_decref(fragment);
	json_decref(ours);
	return result;
}

int daemon_json_merge(const char *path, const char *text, size_t length,
		      const struct daemon_json_wanted *wanted, char **ret_text,
		      struct ph_error *error)
{
	struct merge merge = {
		.path = path,
		.text = text,
		.length = length,
		.wanted = wanted,
		.error = error,
	};
	PH_AUTO_FREE char *dumped = NULL;
	int result = root_load(&merge);

	if (result == 0)
		result = driver_merge(&merge);
	if (result == 0)
		result = snapshotter_merge(&merge);
	if (result == 0)
		result = fragments_merge(&merge);
	if (result == 0 && merge.changed) {
		dumped = json_dumps(merge.root, JSON_INDENT(INDENT));
		if (dumped)
			*ret_text = ph_format("%s\n", dumped);
		else
			result = error_set(error, -EINVAL, path, NULL,
					   "it cannot be written again");
	}
	json_decref(merge.root);
	if (result < 0)
		return result;
	return merge.changed ? DAEMON_JSON_CHANGED : DAEMON_JSON_UNCHANGED;
}

void daemon_json_value(const char *text, size_t length, const char *key, char *buffer, size_t size)
{
	json_t *root = json_loadb(text, length, 0, NULL);
	const char *value = json_string_value(json_object_get(root, key));

	text_copy(buffer, size, value ? value : "");
	json_decref(root);
}
