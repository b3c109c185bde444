/*
 * Line by line, so that everything a reviewer reads in profiles/ is in the rendered text too. An error names
 * the line of the file it stands in, not that of the text.
 */
#include "controller/host/confine/render.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/clash.h"
#include "controller/host/confine/values.h"

#define FRAME CONFINE_PROFILE
#define FRAGMENTS CONFINE_PROFILE ".d"
#define FRAGMENT_BYTES "abcdefghijklmnopqrstuvwxyz0123456789-"
#define FRAGMENT_MARK "#+ "
#define FACT_MARK "#?"
#define VARIABLE_MARK "@{PHOENIX_"
#define NAME_MARK "@PROFILE@"
#define PIECES_MAXIMUM 64
#define REMEDY "install Phoenix's profiles again; profiles_dir names their directory"

/* From this line of the text on, its lines come from a file. */
struct piece {
	unsigned int text_line;
	unsigned int file_line;
	char *file; /* owned; below profiles_dir */
};

struct rendering {
	const char *profiles_dir;            /* borrowed */
	const struct confine_values *values; /* borrowed */
	bool is_set[CONFINE_VARIABLE_COUNT]; /* its line has been seen */
	struct str text;
	unsigned int text_line;
	struct piece pieces[PIECES_MAXIMUM];
	size_t piece_count;
	unsigned int depth; /* 1 in the frame, 2 in a fragment */
};

static int render_file(struct rendering *rendering, const char *file, struct ph_error *error);

static void rendering_fini(struct rendering *rendering)
{
	for (size_t i = 0; i < rendering->piece_count; i++)
		free(rendering->pieces[i].file);
	str_fini(&rendering->text);
}

/* "lxc-phoenix-v2.d/binds:7" for a line of the text. The caller frees it. */
static char *place_of(const struct rendering *rendering, unsigned int text_line)
{
	const struct piece *piece = &rendering->pieces[0];

	for (size_t i = 1; i < rendering->piece_count; i++) {
		if (rendering->pieces[i].text_line <= text_line)
			piece = &rendering->pieces[i];
	}
	return ph_format("%s:%u", piece->file, piece->file_line + text_line - piece->text_line);
}

static int refuse_line(const struct rendering *rendering, struct ph_error *error, const char *why)
{
	PH_AUTO_FREE char *where = place_of(rendering, rendering->text_line);

	return error_set(error, -EINVAL, where, REMEDY, "%s", why);
}

/* The next line of the text is this one of a file. */
static int begin_piece(struct rendering *rendering, const char *file, unsigned int file_line,
		       struct ph_error *error)
{
	if (rendering->piece_count == PIECES_MAXIMUM)
		return error_set(error, -EINVAL, file, REMEDY, "there are more than 30 fragments");
	rendering->pieces[rendering->piece_count++] = (struct piece){
		rendering->text_line, file_line, ph_strdup(file)
	};
	return 0;
}

static void end_line(struct rendering *rendering)
{
	str_append(&rendering->text, "\n");
	rendering->text_line++;
}

/* With the profile's name in the place of its mark. */
static void append_named(struct rendering *rendering, const char *line, size_t length)
{
	const char *end = line + length;
	const char *mark;

	while ((mark = memmem(line, (size_t)(end - line), NAME_MARK, strlen(NAME_MARK)))) {
		str_append_bytes(&rendering->text, line, (size_t)(mark - line));
		str_append(&rendering->text, rendering->values->name);
		line = mark + strlen(NAME_MARK);
	}
	str_append_bytes(&rendering->text, line, (size_t)(end - line));
}

/* "@{PHOENIX_NAME}=": whatever stands behind it gives way to the value. */
static int render_variable(struct rendering *rendering, const char *line, size_t length,
			   struct ph_error *error)
{
	const char *name = line + strlen(VARIABLE_MARK);
	const char *end = memchr(line, '}', length);

	if (!end || end + 1 >= line + length || end[1] != '=')
		return refuse_line(rendering, error, "a variable that is not set to anything");
	for (size_t i = 0; i < CONFINE_VARIABLE_COUNT; i++) {
		const char *known = confine_variable_name(i);

		if (strlen(known) != (size_t)(end - name) || memcmp(known, name, strlen(known)))
			continue;
		if (rendering->is_set[i])
			return refuse_line(rendering, error, "a variable that is set twice");
		rendering->is_set[i] = true;
		str_append_bytes(&rendering->text, line, (size_t)(end + 2 - line));
		str_append(&rendering->text, rendering->values->variables[i]);
		end_line(rendering);
		return 0;
	}
	return refuse_line(rendering, error, "a variable that nobody knows");
}

/* "#+ fragment": its lines in the place of this one, then on with the file that names it. */
static int render_fragment(struct rendering *rendering, const char *name, size_t length,
			   struct ph_error *error)
{
	const struct piece outer = rendering->pieces[rendering->piece_count - 1];
	unsigned int line = outer.file_line + rendering->text_line - outer.text_line;
	PH_AUTO_FREE char *file = NULL;
	int code;

	if (rendering->depth > 1)
		return refuse_line(rendering, error, "a fragment in a fragment");
	if (!length || length > 64 || strspn(name, FRAGMENT_BYTES) != length)
		return refuse_line(rendering, error, "this is not the name of a fragment");
	file = ph_format(FRAGMENTS "/%.*s", (int)length, name);
	code = render_file(rendering, file, error);
	return code < 0 ? code : begin_piece(rendering, outer.file, line + 1, error);
}

static int render_content(struct rendering *rendering, const char *line, size_t length,
			  struct ph_error *error)
{
	const char *first = line + strspn(line, " ");

	if ((size_t)(line + length - first) > strlen(FRAGMENT_MARK) &&
	    text_has_prefix(first, FRAGMENT_MARK)) {
		first += strlen(FRAGMENT_MARK);
		return render_fragment(rendering, first, (size_t)(line + length - first), error);
	}
	append_named(rendering, line, length);
	end_line(rendering);
	return 0;
}

/* "   #?fact text": the mark has been found at mark. */
static int render_fact(struct rendering *rendering, const char *line, size_t length,
		       const char *mark, struct ph_error *error)
{
	const char *name = mark + strlen(FACT_MARK);
	const char *blank = memchr(name, ' ', (size_t)(line + length - name));
	PH_AUTO_FREE char *known = NULL;
	PH_AUTO_FREE char *content = NULL;
	uint32_t fact;

	if (!blank)
		return refuse_line(rendering, error, "a fact without a text");
	known = ph_strndup(name, (size_t)(blank - name));
	fact = confine_fact_by_name(known);
	if (!fact)
		return refuse_line(rendering, error, "a fact that nobody knows");
	if (rendering->values->facts & fact) {
		content = ph_format("%.*s%.*s", (int)(mark - line), line,
				    (int)(line + length - blank - 1), blank + 1);
		return render_content(rendering, content, strlen(content), error);
	}
	append_named(rendering, line, length);
	end_line(rendering);
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
	if ((size_t)(line + length - first) > strlen(FACT_MARK) && text_has_prefix(first, FACT_MARK))
		return render_fact(rendering, line, length, first, error);
	return render_content(rendering, line, length, error);
}

static int read_file(const char *path, char **ret_source, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	PH_AUTO_FREE char *source = NULL;
	struct stat status;
	ssize_t length;

	if (fd < 0 || fstat(fd, &status))
		return error_errno(error, -errno, path, REMEDY, "open");
	if (!S_ISREG(status.st_mode) || status.st_size > CONFINE_FRAGMENT_MAXIMUM)
		return error_set(error, -EINVAL, path, REMEDY, "it is not a file of at most 64 KiB");
	source = ph_alloc((size_t)status.st_size + 1);
	length = pread(fd, source, (size_t)status.st_size, 0);
	if (length < 0)
		return error_errno(error, -errno, path, REMEDY, "read");
	if (memchr(source, '\0', (size_t)length))
		return error_set(error, -EINVAL, path, REMEDY, "it is not a text");
	*ret_source = take_pointer(source);
	return 0;
}

static int render_file(struct rendering *rendering, const char *file, struct ph_error *error)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", rendering->profiles_dir, file);
	PH_AUTO_FREE char *source = NULL;
	const char *line;
	int code = read_file(path, &source, error);

	if (code == 0)
		code = begin_piece(rendering, file, 1, error);
	if (code < 0)
		return code;
	rendering->depth++;
	for (line = source; code == 0 && *line;) {
		size_t length = strcspn(line, "\n");

		code = render_line(rendering, line, length, error);
		line += length + (line[length] == '\n');
	}
	rendering->depth--;
	return code;
}

static int check_text(const struct rendering *rendering, struct ph_error *error)
{
	struct confine_clash clash;
	PH_AUTO_FREE char *place = NULL;

	for (size_t i = 0; i < CONFINE_VARIABLE_COUNT; i++) {
		if (!rendering->is_set[i])
			return error_set(error, -EINVAL, FRAME, REMEDY,
					 "it does not set @{PHOENIX_%s}", confine_variable_name(i));
	}
	if (!confine_clash_find(str_text(&rendering->text), &clash))
		return 0;
	place = place_of(rendering, clash.line);
	return confine_clash_refuse(place, &clash, error);
}

int confine_render(const char *profiles_dir, const struct confine_render *render, char **ret_text,
		   struct ph_error *error)
{
	CONFINE_AUTO_VALUES struct confine_values values = CONFINE_VALUES_INIT;
	__attribute__((cleanup(rendering_fini))) struct rendering rendering = {
		.profiles_dir = profiles_dir, .values = &values, .text_line = 1
	};
	int code = confine_values_compute(render, &values, error);

	if (code == 0)
		code = render_file(&rendering, FRAME, error);
	if (code == 0)
		code = check_text(&rendering, error);
	if (code < 0) {
		error_prefix(error, "render profile");
		return code;
	}
	*ret_text = str_take(&rendering.text);
	return 0;
}
