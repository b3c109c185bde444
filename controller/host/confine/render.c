/*
 * Line by line, so that everything a reviewer reads in profiles/ is in the rendered text too. Values
 * are refused, never escaped: a blank or a comma in a path would be another rule.
 */
#include "controller/host/confine/render.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/clash.h"
#include "controller/host/confine/pattern.h"

#define PATH_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-"
#define PATH_MAXIMUM 200
#define VARIABLE_MARK "@{PHOENIX_"
#define FEATURE_MARK "#?"
#define TEMPLATE_REMEDY "install Phoenix's profiles again; profiles_dir names their directory"

static const struct {
	const char *name;
	uint32_t feature;
} FEATURES[] = {
	{ "abi", CONFINE_FEATURE_ABI },
	{ "cgroup1", CONFINE_FEATURE_CGROUP1 },
	{ "io_uring", CONFINE_FEATURE_IO_URING },
	{ "mqueue", CONFINE_FEATURE_MQUEUE },
	{ "nosymfollow", CONFINE_FEATURE_NOSYMFOLLOW },
	{ "userns", CONFINE_FEATURE_USERNS },
};

_Static_assert(ARRAY_LENGTH(FEATURES) <= CONFINE_FEATURES_MAXIMUM, "names would not fit");

/* Every type that a mount rule of the template names: the complement is denied. */
static const char *const FSTYPES[] = {
	"cgroup", "cgroup2", "devpts", "fuse", "fuse.fuse-overlayfs", "mqueue",
	"overlay", "proc", "ramfs", "sysfs", "tmpfs",
};

enum variable {
	VARIABLE_DATA_ROOT,
	VARIABLE_OUTSIDE_DATA_ROOT,
	VARIABLE_OTHER_FSTYPES,
	VARIABLE_COUNT,
};

static const char *const VARIABLE_NAMES[] = {
	[VARIABLE_DATA_ROOT] = "DATA_ROOT",
	[VARIABLE_OUTSIDE_DATA_ROOT] = "OUTSIDE_DATA_ROOT",
	[VARIABLE_OTHER_FSTYPES] = "OTHER_FSTYPES",
};

struct rendering {
	char *values[VARIABLE_COUNT]; /* owned */
	bool is_set[VARIABLE_COUNT];  /* its line has been seen */
	uint32_t features;
	struct str text;
	unsigned int line;
};

static void rendering_fini(struct rendering *rendering)
{
	for (size_t i = 0; i < VARIABLE_COUNT; i++)
		free(rendering->values[i]);
	str_fini(&rendering->text);
}

uint32_t confine_feature_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(FEATURES); i++) {
		if (text_equal(FEATURES[i].name, name))
			return FEATURES[i].feature;
	}
	return 0;
}

size_t confine_feature_names(uint32_t features, const char *names[CONFINE_FEATURES_MAXIMUM])
{
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(FEATURES); i++) {
		if (features & FEATURES[i].feature)
			names[count++] = FEATURES[i].name;
	}
	return count;
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

static int compute_values(struct rendering *rendering, const char *data_root,
			  struct ph_error *error)
{
	PH_AUTO_STR struct str outside = STR_INIT;
	PH_AUTO_STR struct str others = STR_INIT;
	PH_AUTO_FREE char *below = NULL;
	const char *prefix;
	int code = check_data_root(data_root, error);

	if (code < 0)
		return code;
	below = ph_format("%s/", data_root);
	prefix = below;
	code = confine_pattern_outside(&prefix, 1, CONFINE_PATTERN_PREFIX, &outside);
	if (code == 0)
		code = confine_pattern_outside(FSTYPES, ARRAY_LENGTH(FSTYPES),
					       CONFINE_PATTERN_EXACT, &others);
	if (code < 0)
		return error_set(error, code, "data-root", NULL, "its complement cannot be written");
	rendering->values[VARIABLE_DATA_ROOT] = ph_strdup(data_root);
	rendering->values[VARIABLE_OUTSIDE_DATA_ROOT] = str_take(&outside);
	rendering->values[VARIABLE_OTHER_FSTYPES] = str_take(&others);
	return 0;
}

static int refuse_line(const struct rendering *rendering, struct ph_error *error, const char *why)
{
	PH_AUTO_FREE char *where = ph_format(CONFINE_PROFILE ":%u", rendering->line);

	return error_set(error, -EINVAL, where, TEMPLATE_REMEDY, "%s", why);
}

/* "@{PHOENIX_NAME}=value" at the beginning of a line. */
static int render_variable(struct rendering *rendering, const char *line, size_t length,
			   struct ph_error *error)
{
	const char *name = line + strlen(VARIABLE_MARK);
	const char *end = memchr(line, '}', length);

	if (!end || end + 1 >= line + length || end[1] != '=')
		return refuse_line(rendering, error, "a variable that is not set to anything");
	for (size_t i = 0; i < VARIABLE_COUNT; i++) {
		if (strlen(VARIABLE_NAMES[i]) != (size_t)(end - name) ||
		    memcmp(VARIABLE_NAMES[i], name, (size_t)(end - name)))
			continue;
		if (rendering->is_set[i])
			return refuse_line(rendering, error, "a variable that is set twice");
		rendering->is_set[i] = true;
		str_append_bytes(&rendering->text, line, (size_t)(end + 2 - line));
		str_append(&rendering->text, rendering->values[i]);
		str_append(&rendering->text, "\n");
		return 0;
	}
	return refuse_line(rendering, error, "a variable that nobody knows");
}

/* "   #?feature rule": the mark has been found at mark. */
static int render_feature(struct rendering *rendering, const char *line, size_t length,
			  const char *mark, struct ph_error *error)
{
	const char *name = mark + strlen(FEATURE_MARK);
	const char *blank = memchr(name, ' ', (size_t)(line + length - name));
	PH_AUTO_FREE char *known = NULL;
	uint32_t feature;

	if (!blank)
		return refuse_line(rendering, error, "a feature without a rule");
	known = ph_strndup(name, (size_t)(blank - name));
	feature = confine_feature_by_name(known);
	if (!feature)
		return refuse_line(rendering, error, "a feature that nobody knows");
	if (rendering->features & feature) {
		str_append_bytes(&rendering->text, line, (size_t)(mark - line));
		str_append_bytes(&rendering->text, blank + 1, (size_t)(line + length - blank - 1));
	} else {
		str_append_bytes(&rendering->text, line, length);
	}
	str_append(&rendering->text, "\n");
	return 0;
}

static int render_line(struct rendering *rendering, const char *line, size_t length,
		       struct ph_error *error)
{
	const char *first = line;

	while (first < line + length && *first == ' ')
		first++;
	if (length > strlen(VARIABLE_MARK) && text_has_prefix(line, VARIABLE_MARK))
		return render_variable(rendering, line, length, error);
	if ((size_t)(line + length - first) > strlen(FEATURE_MARK) &&
	    text_has_prefix(first, FEATURE_MARK))
		return render_feature(rendering, line, length, first, error);
	str_append_bytes(&rendering->text, line, length);
	str_append(&rendering->text, "\n");
	return 0;
}

static int render_lines(struct rendering *rendering, const char *source, struct ph_error *error)
{
	while (*source) {
		size_t length = strcspn(source, "\n");
		int code;

		rendering->line++;
		code = render_line(rendering, source, length, error);
		if (code < 0)
			return code;
		source += length + (source[length] == '\n');
	}
	for (size_t i = 0; i < VARIABLE_COUNT; i++) {
		if (!rendering->is_set[i])
			return error_set(error, -EINVAL, CONFINE_PROFILE, TEMPLATE_REMEDY,
					 "it does not set @{PHOENIX_%s}", VARIABLE_NAMES[i]);
	}
	return 0;
}

int confine_render_text(const char *source, const struct confine_render *render, char **ret_text,
			struct ph_error *error)
{
	__attribute__((cleanup(rendering_fini))) struct rendering rendering = {
		.features = render->features
	};
	int code = compute_values(&rendering, render->data_root ?: CONFINE_DATA_ROOT, error);

	if (code == 0)
		code = render_lines(&rendering, source, error);
	/* Lines are rendered one for one: the number is right for the template, too. */
	if (code == 0)
		code = confine_clash_refuse(CONFINE_PROFILE, str_text(&rendering.text), error);
	if (code < 0) {
		error_prefix(error, "render profile");
		return code;
	}
	*ret_text = str_take(&rendering.text);
	return 0;
}

static int read_template(const char *path, char **ret_source, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	PH_AUTO_FREE char *source = NULL;
	struct stat status;
	ssize_t length;

	if (fd < 0 || fstat(fd, &status))
		return error_errno(error, -errno, path, TEMPLATE_REMEDY, "open");
	if (!S_ISREG(status.st_mode) || status.st_size > CONFINE_TEMPLATE_MAXIMUM)
		return error_set(error, -EINVAL, path, TEMPLATE_REMEDY,
				 "it is not a file of at most 256 KiB");
	source = ph_alloc((size_t)status.st_size + 1);
	length = pread(fd, source, (size_t)status.st_size, 0);
	if (length < 0)
		return error_errno(error, -errno, path, TEMPLATE_REMEDY, "read");
	if (memchr(source, '\0', (size_t)length))
		return error_set(error, -EINVAL, path, TEMPLATE_REMEDY, "it is not a text");
	*ret_source = take_pointer(source);
	return 0;
}

int confine_render(const char *profiles_dir, const struct confine_render *render, char **ret_text,
		   struct ph_error *error)
{
	PH_AUTO_FREE char *path = ph_format("%s/" CONFINE_PROFILE, profiles_dir);
	PH_AUTO_FREE char *source = NULL;
	int code = read_template(path, &source, error);

	if (code < 0) {
		error_prefix(error, "render profile");
		return code;
	}
	return confine_render_text(source, render, ret_text, error);
}

void confine_text_hash(const char *text, char ret_hash[65])
{
	unsigned char digest[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(digest, (const unsigned char *)text, strlen(text));
	bytes_to_hex(digest, sizeof(digest), ret_hash);
}
