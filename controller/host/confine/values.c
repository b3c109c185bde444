/*
 * Complements ("everything but") are computed here because AppArmor's globs have none, and a deny rule written
 * with one would go stale with the rule it belongs to.
 */
#include "controller/host/confine/values.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/pattern.h"

#define PATH_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-"
#define PATH_MAXIMUM 200

/* Behind the bits of enum confine_feature. */
enum {
	FACT_NAMED = 1 << 16,
	FACT_STACKED = 1 << 17,
	FACT_FUSE = 1 << 18,
	FACT_OVERLAY = 1 << 19,
	FACT_VSOCK = 1 << 20,
	FACT_NO_VSOCK = 1 << 21,
};

/* The features stand in the order of the alphabet. */
static const struct {
	const char *name;
	uint32_t bit;
} FACTS[] = {
	{ "abi", CONFINE_FEATURE_ABI },
	{ "cgroup1", CONFINE_FEATURE_CGROUP1 },
	{ "io_uring", CONFINE_FEATURE_IO_URING },
	{ "mqueue", CONFINE_FEATURE_MQUEUE },
	{ "nosymfollow", CONFINE_FEATURE_NOSYMFOLLOW },
	{ "userns", CONFINE_FEATURE_USERNS },
	{ "named", FACT_NAMED },
	{ "stacked", FACT_STACKED },
	{ "fuse", FACT_FUSE },
	{ "overlay", FACT_OVERLAY },
	{ "vsock", FACT_VSOCK },
	{ "no-vsock", FACT_NO_VSOCK },
};

/* What a storage driver of Docker mounts below the data-root. */
static const struct {
	const char *name;
	uint32_t facts;
} DRIVERS[] = {
	{ "auto", FACT_FUSE | FACT_OVERLAY },
	{ "fuse-overlayfs", FACT_FUSE },
	{ "overlay2", FACT_OVERLAY },
	{ "vfs", 0 },
};

/* Every type that a mount rule names, with the fact that the rule needs: the complement is denied. */
static const struct {
	const char *name;
	uint32_t fact;
} FSTYPES[] = {
	{ "cgroup", CONFINE_FEATURE_CGROUP1 },
	{ "cgroup2" },	 { "devpts" },
	{ "fuse", FACT_FUSE },
	{ "fuse.fuse-overlayfs", FACT_FUSE },
	{ "mqueue" },	 { "overlay", FACT_OVERLAY },
	{ "proc" },	 { "ramfs" },
	{ "sysfs" },	 { "tmpfs" },
};

static const char *const VARIABLES[] = {
	[CONFINE_VARIABLE_DATA_ROOT] = "DATA_ROOT",
	[CONFINE_VARIABLE_OUTSIDE_DATA_ROOT] = "OUTSIDE_DATA_ROOT",
	[CONFINE_VARIABLE_OTHER_FSTYPES] = "OTHER_FSTYPES",
};

void confine_values_fini(struct confine_values *values)
{
	for (size_t i = 0; i < CONFINE_VARIABLE_COUNT; i++)
		free(values->variables[i]);
}

const char *confine_variable_name(enum confine_variable variable)
{
	return VARIABLES[variable];
}

uint32_t confine_fact_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(FACTS); i++) {
		if (text_equal(FACTS[i].name, name))
			return FACTS[i].bit;
	}
	return 0;
}

uint32_t confine_feature_by_name(const char *name)
{
	uint32_t bit = confine_fact_by_name(name);

	return bit < FACT_NAMED ? bit : 0;
}

size_t confine_feature_names(uint32_t features, const char *names[CONFINE_FEATURES_MAXIMUM])
{
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(FACTS) && count < CONFINE_FEATURES_MAXIMUM; i++) {
		if (FACTS[i].bit < FACT_NAMED && features & FACTS[i].bit)
			names[count++] = FACTS[i].name;
	}
	return count;
}

void confine_render_name(const struct confine_render *render, char ret_name[CONFINE_NAME_SIZE])
{
	static const char *const bases[][2] = {
		[CONFINE_NAMED] = { CONFINE_PROFILE, CONFINE_PROFILE_VSOCK },
		[CONFINE_STACKED] = { CONFINE_PROFILE_STACKED, CONFINE_PROFILE_STACKED_VSOCK },
	};
	const char *base = bases[render->kind][render->vsock];
	const char *data_root = render->data_root ?: CONFINE_DATA_ROOT;
	const char *driver = render->driver ?: "auto";
	PH_AUTO_FREE char *facts = ph_format("%s\n%s\n", data_root, driver);
	char hash[65];

	confine_text_hash(facts, hash);
	if (text_equal(data_root, CONFINE_DATA_ROOT) && text_equal(driver, "auto"))
		text_copy(ret_name, CONFINE_NAME_SIZE, base);
	else
		snprintf(ret_name, CONFINE_NAME_SIZE, "%s-%.8s", base, hash);
}

void confine_text_hash(const char *text, char ret_hash[65])
{
	unsigned char digest[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(digest, (const unsigned char *)text, strlen(text));
	bytes_to_hex(digest, sizeof(digest), ret_hash);
}

static int check_data_root(const char *path, struct ph_error *error)
{
	const char *why = NULL;
	size_t length = strlen(path);

	if (!length || length > PATH_MAXIMUM)
		why = "it is empty or longer than 200 bytes";
	else if (strspn(path, PATH_BYTES) != length)
		why = "it has characters other than letters, digits and ._/-";
	else if (path[0] != '/' || path[length - 1] == '/')
		why = "it has to begin with a slash and not to end with one";
	else if (strstr(path, "//") || strstr(path, "/./") || strstr(path, "/../") ||
		 text_has_suffix(path, "/.") || text_has_suffix(path, "/.."))
		why = "it has an empty part, \".\" or \"..\"";
	if (!why)
		return 0;
	return error_set(error, -EINVAL, "data-root", "use a plain absolute path", "%s", why);
}

static int find_driver(const char *name, uint32_t *facts, struct ph_error *error)
{
	for (size_t i = 0; i < ARRAY_LENGTH(DRIVERS); i++) {
		if (text_equal(DRIVERS[i].name, name)) {
			*facts |= DRIVERS[i].facts;
			return 0;
		}
	}
	return error_set(error, -EINVAL, "driver", "write auto, fuse-overlayfs, overlay2 or vfs",
			 "there is no driver '%.64s'", name);
}

static int compute_other_types(uint32_t facts, struct str *ret_pattern)
{
	const char *names[ARRAY_LENGTH(FSTYPES)];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(FSTYPES); i++) {
		if (!FSTYPES[i].fact || facts & FSTYPES[i].fact)
			names[count++] = FSTYPES[i].name;
	}
	return confine_pattern_outside(names, count, CONFINE_PATTERN_EXACT, ret_pattern);
}

int confine_values_compute(const struct confine_render *render, struct confine_values *ret_values,
			   struct ph_error *error)
{
	const char *data_root = render->data_root ?: CONFINE_DATA_ROOT;
	PH_AUTO_FREE char *below = ph_format("%s/", data_root);
	const char *prefix = below;
	PH_AUTO_STR struct str outside = STR_INIT;
	PH_AUTO_STR struct str others = STR_INIT;
	uint32_t facts = render->features;
	int code = check_data_root(data_root, error);

	facts |= render->kind == CONFINE_STACKED ? FACT_STACKED : FACT_NAMED;
	facts |= render->vsock ? FACT_VSOCK : FACT_NO_VSOCK;
	if (code == 0)
		code = find_driver(render->driver ?: "auto", &facts, error);
	if (code < 0)
		return code;
	code = confine_pattern_outside(&prefix, 1, CONFINE_PATTERN_PREFIX, &outside);
	if (code == 0)
		code = compute_other_types(facts, &others);
	if (code < 0)
		return error_set(error, code, "data-root", NULL, "its complement cannot be written");
	ret_values->facts = facts;
	ret_values->variables[CONFINE_VARIABLE_DATA_ROOT] = ph_strdup(data_root);
	ret_values->variables[CONFINE_VARIABLE_OUTSIDE_DATA_ROOT] = str_take(&outside);
	ret_values->variables[CONFINE_VARIABLE_OTHER_FSTYPES] = str_take(&others);
	confine_render_name(render, ret_values->name);
	return 0;
}
