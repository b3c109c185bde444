/* A program's first words and its last ones are what explains a failure; the middle may be long. */
#include "agent/system/capture.h"

#include <stdlib.h>
#include <string.h>

#include "agent/system/command.h"
#include "common/cleanup.h"
#include "common/memory.h"

void capture_init(struct capture *capture, size_t maximum,
		  void (*line_ended)(void *user, const char *line), void *user)
{
	*capture = (struct capture){
		.maximum = maximum < 2 ? 2 : maximum,
		.line_ended = line_ended,
		.user = user,
	};
}

void capture_fini(struct capture *capture)
{
	str_fini(&capture->head);
	str_fini(&capture->line);
	free(take_pointer(capture->tail));
}

static void line_finish(struct capture *capture)
{
	capture->line_ended(capture->user, str_text(&capture->line));
	capture->line.length = 0;
	if (capture->line.data)
		capture->line.data[0] = '\0';
}

static void line_feed(struct capture *capture, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		/* Programs that redraw a line end it with a carriage return. */
		if (bytes[i] == '\n' || bytes[i] == '\r') {
			if (bytes[i] == '\n' || capture->line.length > 0)
				line_finish(capture);
			continue;
		}
		if (bytes[i] == '\0')
			continue;
		if (capture->line.length >= COMMAND_LINE_MAXIMUM)
			line_finish(capture);
		str_append_bytes(&capture->line, &bytes[i], 1);
	}
}

static size_t tail_size(const struct capture *capture)
{
	return capture->maximum - capture->maximum / 2;
}

static void keep(struct capture *capture, const char *bytes, size_t length)
{
	size_t room = capture->maximum / 2 - capture->head.length;
	size_t first = length < room ? length : room;
	size_t size = tail_size(capture);

	str_append_bytes(&capture->head, bytes, first);
	if (first == length)
		return;
	if (!capture->tail)
		capture->tail = ph_alloc(size);
	for (size_t i = first; i < length; i++)
		capture->tail[capture->tail_length++ % size] = bytes[i];
}

void capture_feed(struct capture *capture, const char *bytes, size_t length)
{
	keep(capture, bytes, length);
	if (capture->line_ended)
		line_feed(capture, bytes, length);
}

void capture_end(struct capture *capture)
{
	if (capture->line_ended && capture->line.length > 0)
		line_finish(capture);
}

char *capture_take(struct capture *capture, size_t *ret_length)
{
	size_t size = tail_size(capture), begin = 0, kept = capture->tail_length;
	char *text;

	if (kept > size) {
		str_appendf(&capture->head, "\n[... %zu bytes ...]\n", kept - size);
		begin = kept % size;
		kept = size;
	}
	for (size_t i = 0; i < kept; i++)
		str_append_bytes(&capture->head, &capture->tail[(begin + i) % size], 1);
	if (ret_length)
		*ret_length = capture->head.length;
	text = str_take(&capture->head);
	capture_fini(capture);
	return text;
}
