/*
 * The kernel writes key=value pairs. A value that somebody else chose is either in quotes, and then
 * has no quote, blank or control byte in it, or is hex of the whole value: that is what makes the
 * pairs unforgeable, and this reader holds the line to it. A pair that comes twice is refused, so
 * that nothing behind a real field can take its place.
 */
#include "controller/host/denials/line.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

#define VALUE_SIZE 4096 /* decoded; a path has no more */
#define CUT "\xe2\x80\xa6"

enum form {
	FORM_TEXT,   /* a word of the kernel's own */
	FORM_BYTES,  /* chosen by others: in quotes, or hex */
	FORM_NUMBER,
};

enum field {
	FIELD_APPARMOR,
	FIELD_OPERATION,
	FIELD_INFO,
	FIELD_ERROR,
	FIELD_SPACE,
	FIELD_PROFILE,
	FIELD_NAME,
	FIELD_PID,
	FIELD_PROCESS,
	FIELD_REQUESTED,
	FIELD_DENIED,
	FIELD_UID,
	FIELD_DETAIL, /* this and those behind it */
};

static const struct {
	const char *key;
	enum form form;
} fields[] = {
	[FIELD_APPARMOR] = { "apparmor", FORM_TEXT },
	[FIELD_OPERATION] = { "operation", FORM_TEXT },
	[FIELD_INFO] = { "info", FORM_TEXT },
	[FIELD_ERROR] = { "error", FORM_NUMBER },
	[FIELD_SPACE] = { "namespace", FORM_BYTES },
	[FIELD_PROFILE] = { "profile", FORM_BYTES },
	[FIELD_NAME] = { "name", FORM_BYTES },
	[FIELD_PID] = { "pid", FORM_NUMBER },
	[FIELD_PROCESS] = { "comm", FORM_BYTES },
	[FIELD_REQUESTED] = { "requested_mask", FORM_TEXT },
	[FIELD_DENIED] = { "denied_mask", FORM_TEXT },
	[FIELD_UID] = { "fsuid", FORM_NUMBER },
	{ "fstype", FORM_BYTES },
	{ "srcname", FORM_BYTES },
	{ "flags", FORM_TEXT },
	{ "capname", FORM_TEXT },
	{ "family", FORM_TEXT },
	{ "sock_type", FORM_TEXT },
	{ "signal", FORM_TEXT },
	{ "peer", FORM_BYTES },
	{ "target", FORM_BYTES },
	{ "addr", FORM_TEXT },
	{ "rlimit", FORM_TEXT },
};

struct value {
	const char *bytes; /* as in the line, or decoded */
	size_t length;
	bool is_quoted;
	bool is_cut; /* the line ended within it */
	char decoded[VALUE_SIZE];
};

/* ---- display ---- */

bool line_escape(const char *bytes, size_t length, char *text, size_t size)
{
	size_t out = 0, used;
	char piece[8];

	for (size_t i = 0; i < length; i += used) {
		char window[5] = { 0 };
		size_t wide;

		memcpy(window, bytes + i, length - i < 4 ? length - i : 4);
		wide = text_character(window);
		used = wide ? wide : 1;
		if (wide > 1 && (unsigned char)bytes[i] == 0xc2 && (unsigned char)bytes[i + 1] < 0xa0)
			wide = used = 1; /* C1 controls */
		if (wide > 1 || (wide == 1 && isprint((unsigned char)bytes[i]) && bytes[i] != '\\'))
			snprintf(piece, sizeof(piece), "%.*s", (int)used, bytes + i);
		else
			snprintf(piece, sizeof(piece), "\\x%02x", (unsigned char)bytes[i]);
		if (out + strlen(piece) + (i + used < length ? strlen(CUT) : 0) >= size) {
			text_copy(text + out, size - out, size - out > strlen(CUT) ? CUT : "");
			return false;
		}
		text_copy(text + out, size - out, piece);
		out += strlen(piece);
	}
	text[out] = '\0';
	return true;
}

/* ---- values ---- */

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Decode a bare value in place of its hex; false when it is none. An odd digit at a cut is dropped. */
static bool value_decode(struct value *value)
{
	size_t count = value->length / 2;

	if (value->length == 0 || (value->length % 2 && !value->is_cut))
		return false;
	if (count > VALUE_SIZE)
		count = VALUE_SIZE;
	for (size_t i = 0; i < count; i++) {
		int high = hex_digit(value->bytes[2 * i]), low = hex_digit(value->bytes[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		value->decoded[i] = (char)(high << 4 | low);
	}
	value->bytes = value->decoded;
	value->length = count;
	return true;
}

static bool value_number(const struct value *value, long long *ret_number)
{
	bool is_negative = value->length > 0 && value->bytes[0] == '-';
	char digits[24];
	uint64_t number;

	if (value->length >= sizeof(digits) || value->is_quoted)
		return false;
	snprintf(digits, sizeof(digits), "%.*s", (int)(value->length - is_negative),
		 value->bytes + is_negative);
	if (text_to_u64(digits, UINT32_MAX, &number) < 0)
		return false;
	*ret_number = is_negative ? -(long long)number : (long long)number;
	return true;
}

/* ---- the pairs ---- */

struct reader {
	const char *at;
	const char *end;
};

/* Read the next key; false at the end of the line. Text that is no pair is passed over. */
static bool next_key(struct reader *reader, const char **ret_key, size_t *ret_length)
{
	for (;;) {
		const char *begin;

		while (reader->at < reader->end && *reader->at == ' ')
			reader->at++;
		begin = reader->at;
		while (reader->at < reader->end && *reader->at != ' ' && *reader->at != '=')
			reader->at++;
		if (reader->at == reader->end)
			return false;
		if (*reader->at == '=' && reader->at > begin) {
			*ret_key = begin;
			*ret_length = (size_t)(reader->at++ - begin);
			return true;
		}
		reader->at++;
	}
}

static void next_value(struct reader *reader, struct value *ret_value)
{
	char stop = ' ';

	ret_value->is_quoted = reader->at < reader->end && *reader->at == '"';
	if (ret_value->is_quoted) {
		stop = '"';
		reader->at++;
	}
	ret_value->bytes = reader->at;
	while (reader->at < reader->end && *reader->at != stop)
		reader->at++;
	ret_value->length = (size_t)(reader->at - ret_value->bytes);
	ret_value->is_cut = reader->at == reader->end;
	if (reader->at < reader->end)
		reader->at++;
}

static int find_field(const char *key, size_t length)
{
	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
		if (strlen(fields[i].key) == length && memcmp(fields[i].key, key, length) == 0)
			return (int)i;
	return -1;
}

static int set_number(struct line *line, enum field field, const struct value *value)
{
	long long number;

	/* None of these ends a line: at the end it may be half a number. */
	if (value->is_cut)
		return 0;
	if (!value_number(value, &number))
		return -EBADMSG;
	if (field == FIELD_ERROR && (number > 0 || number < -4095))
		return -EBADMSG;
	if (field != FIELD_ERROR && number < 0)
		return -EBADMSG;
	if (field == FIELD_PID && number > INT32_MAX)
		return -EBADMSG;
	if (field == FIELD_ERROR)
		line->error = (int)number;
	else if (field == FIELD_PID)
		line->pid = (pid_t)number;
	else
		line->uid = (uint32_t)number;
	line->has_uid |= field == FIELD_UID;
	return 0;
}

static void set_detail(struct line *line, const char *key, const struct value *value)
{
	struct line_detail *detail = &line->details[line->detail_count];

	if (line->detail_count == LINE_DETAILS)
		return;
	detail->key = key;
	line_escape(value->bytes, value->length, detail->value, sizeof(detail->value));
	line->detail_count++;
}

static int set_kind(struct line *line, const struct value *value)
{
	char word[16];

	line_escape(value->bytes, value->length, word, sizeof(word));
	line->kind = text_equal(word, "DENIED")	   ? LINE_DENIED :
		     text_equal(word, "ALLOWED")   ? LINE_ALLOWED :
						     LINE_OTHER;
	return value->is_quoted ? 0 : -EBADMSG;
}

static int set_field(struct line *line, int field, struct value *value)
{
	const struct {
		char *text;
		size_t size;
	} places[FIELD_DETAIL] = {
		[FIELD_OPERATION] = { line->operation, sizeof(line->operation) },
		[FIELD_INFO] = { line->info, sizeof(line->info) },
		[FIELD_SPACE] = { line->space, sizeof(line->space) },
		[FIELD_PROFILE] = { line->profile, sizeof(line->profile) },
		[FIELD_NAME] = { line->name, sizeof(line->name) },
		[FIELD_PROCESS] = { line->process, sizeof(line->process) },
		[FIELD_REQUESTED] = { line->requested, sizeof(line->requested) },
		[FIELD_DENIED] = { line->denied, sizeof(line->denied) },
	};

	if (fields[field].form == FORM_NUMBER)
		return set_number(line, (enum field)field, value);
	if (field == FIELD_APPARMOR)
		return set_kind(line, value);
	/* "(null)" stands for nothing; other bare texts of others must be hex. */
	if (fields[field].form == FORM_BYTES && !value->is_quoted && !value_decode(value)) {
		bool is_null = value->length == 6 && memcmp(value->bytes, "(null)", 6) == 0;

		if (!is_null && !value->is_cut)
			return -EBADMSG;
		value->length = 0;
	}
	if (field >= FIELD_DETAIL)
		set_detail(line, fields[field].key, value);
	else
		line_escape(value->bytes, value->length, places[field].text, places[field].size);
	return 0;
}

/* ---- the line ---- */

static bool skip(struct reader *reader, const char *text)
{
	size_t length = strlen(text);

	if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, text, length) != 0)
		return false;
	reader->at += length;
	return true;
}

static bool read_number(struct reader *reader, char stop, uint64_t *ret_number)
{
	char digits[24];
	size_t length = 0;

	while (reader->at < reader->end && *reader->at != stop && length < sizeof(digits) - 1)
		digits[length++] = *reader->at++;
	digits[length] = '\0';
	if (reader->at == reader->end || *reader->at++ != stop)
		return false;
	return text_to_u64(digits, UINT64_MAX / 1000 - 1, ret_number) == 0;
}

/* "audit(1795487403.945:12): " */
static bool read_stamp(struct reader *reader, struct line *line)
{
	uint64_t seconds, milliseconds;

	skip(reader, "audit: type=1400 ");
	if (!skip(reader, "audit(") || !read_number(reader, '.', &seconds) ||
	    !read_number(reader, ':', &milliseconds) || !read_number(reader, ')', &line->serial) ||
	    milliseconds > 999 || !skip(reader, ": "))
		return false;
	line->time_ms = seconds * 1000 + milliseconds;
	return true;
}

/* A refused load of policy comes as a status with an error. */
static void judge_status(struct line *line)
{
	if (line->kind == LINE_OTHER && line->error == -EACCES)
		line->kind = LINE_DENIED;
	if (line->kind == LINE_OTHER && line->error == -EPERM)
		line->kind = LINE_DENIED;
}

int line_parse(const char *text, size_t length, struct line *ret_line)
{
	struct reader reader = { .at = text, .end = text + length };
	struct line line = { .kind = LINE_OTHER };
	bool seen[ARRAY_LENGTH(fields)] = { false };
	struct value value;
	const char *key;
	size_t key_length;
	int r;

	while (reader.end > text && (reader.end[-1] == '\n' || reader.end[-1] == '\0'))
		reader.end--;
	if (!read_stamp(&reader, &line))
		return -ENOMSG;
	while (next_key(&reader, &key, &key_length)) {
		int field = find_field(key, key_length);

		next_value(&reader, &value);
		if (field != FIELD_APPARMOR && !seen[FIELD_APPARMOR])
			return -ENOMSG; /* it is the first, always */
		if (field < 0)
			continue;
		if (seen[field])
			return -EBADMSG;
		seen[field] = true;
		r = set_field(&line, field, &value);
		if (r < 0)
			return r;
	}
	if (!seen[FIELD_APPARMOR])
		return -ENOMSG;
	if (!line.operation[0])
		return -EBADMSG;
	judge_status(&line);
	*ret_line = line;
	return 0;
}
