/* Log records: one line each, nothing in them can start another line or close a value. */
#include "common/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

/* stderr goes to an unlinked file between capture() and captured(). */
struct capture {
	int saved;
	int file;
	char text[8192];
};

static void capture(struct capture *capture)
{
	capture->saved = dup(STDERR_FILENO);
	capture->file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(capture->file >= 0);
	dup2(capture->file, STDERR_FILENO);
}

static const char *captured(struct capture *capture)
{
	ssize_t length;

	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	length = pread(capture->file, capture->text, sizeof(capture->text) - 1, 0);
	assert_true(length >= 0);
	capture->text[length] = '\0';
	close(capture->file);
	return capture->text;
}

/* The record behind its time stamp, whose form is checked. */
static const char *without_time(const char *record)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";

	for (size_t i = 0; form[i]; i++) {
		bool matches = form[i] == 'd' ? isdigit((unsigned char)record[i]) != 0 :
						record[i] == form[i];

		if (!matches)
			fail_msg("no time stamp: %s", record);
	}
	return record + strlen(form);
}

static const struct {
	const char *name;
	enum log_level level;
	const char *container, *message, *expected;
} record_cases[] = {
	{ "plain", LOG_LEVEL_INFO, "web1", "agent connected",
	  "level=info area=link container=web1 msg=\"agent connected\"\n" },
	{ "no container", LOG_LEVEL_WARNING, NULL, "x", "level=warning area=link msg=\"x\"\n" },
	{ "empty container", LOG_LEVEL_ERROR, "", "x", "level=error area=link msg=\"x\"\n" },
	{ "quotes", LOG_LEVEL_INFO, NULL, "say \"a\\b\"",
	  "level=info area=link msg=\"say \\\"a\\\\b\\\"\"\n" },
	{ "a forged record", LOG_LEVEL_INFO, NULL, "a\nlevel=error",
	  "level=info area=link msg=\"a\\x0alevel=error\"\n" },
	{ "escape sequence", LOG_LEVEL_INFO, NULL, "\x1b[2J\x7f",
	  "level=info area=link msg=\"\\x1b[2J\\x7f\"\n" },
	{ "umlauts stay", LOG_LEVEL_INFO, NULL, "für €", "level=info area=link msg=\"für €\"\n" },
	{ "bytes that are no text", LOG_LEVEL_INFO, NULL, "a\xff\xc3",
	  "level=info area=link msg=\"a\\xff\\xc3\"\n" },
	{ "below the level", LOG_LEVEL_DEBUG, NULL, "x", "" },
};

static void records_are_one_safe_line(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(record_cases); i++) {
		struct capture stderr_file;
		const char *text;

		capture(&stderr_file);
		log_write(record_cases[i].level, "link", record_cases[i].container, "%s",
			  record_cases[i].message);
		text = captured(&stderr_file);
		if (record_cases[i].expected[0])
			text = without_time(text);
		if (strcmp(text, record_cases[i].expected) != 0)
			fail_msg("%s: %s", record_cases[i].name, text);
	}
}

static void errors_are_written_with_all_their_fields(void **state)
{
	struct ph_error error = { 0 };
	struct capture stderr_file;

	error_set(&error, -EACCES, "/srv", "Remount it.", "denied");
	error_prefix(&error, "mount data-root");
	error_step(&error, "start container");
	capture(&stderr_file);
	log_error(LOG_LEVEL_ERROR, "container", "web1", &error);
	assert_string_equal(without_time(captured(&stderr_file)),
			    "level=error area=container container=web1 msg=\"mount data-root\" "
			    "why=\"denied\" where=\"/srv\" step=\"start container\" "
			    "remedy=\"Remount it.\"\n");
}

static void an_error_without_attempt_says_why(void **state)
{
	struct ph_error error = { 0 };
	struct capture stderr_file;

	error_set(&error, -EACCES, NULL, NULL, "denied");
	capture(&stderr_file);
	log_error(LOG_LEVEL_WARNING, "store", NULL, &error);
	assert_string_equal(without_time(captured(&stderr_file)),
			    "level=warning area=store msg=\"denied\"\n");
}

static void long_records_are_cut_and_stay_well_formed(void **state)
{
	struct ph_error error = { 0 };
	struct capture stderr_file;
	char long_text[400];
	const char *text;

	memset(long_text, '"', sizeof(long_text) - 1); /* each is written as two bytes */
	long_text[sizeof(long_text) - 1] = '\0';
	error_set(&error, -EIO, long_text, long_text, "%s", long_text);
	error_prefix(&error, "%s", long_text);
	error_step(&error, long_text);
	capture(&stderr_file);
	log_error(LOG_LEVEL_ERROR, "container", "web1", &error);
	text = captured(&stderr_file);
	assert_true(strlen(text) <= 2048);
	assert_true(strlen(text) > 1800);
	assert_true(text_has_suffix(text, "…\"\n"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void a_record_is_never_longer_than_it_may_be(void **state)
{
	struct capture stderr_file;
	char container[3000];
	const char *text;

	memset(container, 'x', sizeof(container) - 1);
	container[sizeof(container) - 1] = '\0';
	capture(&stderr_file);
	log_write(LOG_LEVEL_INFO, "link", container, "x");
	text = captured(&stderr_file);
	assert_int_equal(strlen(text), 2048);
	assert_true(text_has_suffix(text, "x\n"));
}

static void levels_have_names(void **state)
{
	static const struct {
		const char *name;
		int result;
		enum log_level level;
	} cases[] = {
		{ "debug", 0, LOG_LEVEL_DEBUG },     { "info", 0, LOG_LEVEL_INFO },
		{ "warning", 0, LOG_LEVEL_WARNING }, { "error", 0, LOG_LEVEL_ERROR },
		{ "warn", -EINVAL, LOG_LEVEL_INFO }, { "INFO", -EINVAL, LOG_LEVEL_INFO },
		{ "", -EINVAL, LOG_LEVEL_INFO },     { NULL, -EINVAL, LOG_LEVEL_INFO },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		enum log_level level = LOG_LEVEL_INFO;

		assert_int_equal(log_level_parse(cases[i].name, &level), cases[i].result);
		assert_int_equal(level, cases[i].level);
	}
}

static void the_level_decides(void **state)
{
	struct ph_error error = { 0 };
	struct capture stderr_file;

	error_set(&error, -EIO, NULL, NULL, "bad block");
	capture(&stderr_file);
	log_set_level(LOG_LEVEL_ERROR);
	log_error(LOG_LEVEL_ERROR, "store", NULL, &error);
	assert_string_equal(without_time(captured(&stderr_file)),
			    "level=error area=store msg=\"bad block\"\n");

	capture(&stderr_file);
	log_write(LOG_LEVEL_WARNING, "link", NULL, "dropped");
	log_error(LOG_LEVEL_WARNING, "store", NULL, &error);
	log_set_level(LOG_LEVEL_DEBUG);
	log_write(LOG_LEVEL_DEBUG, "link", NULL, "kept");
	log_set_level(LOG_LEVEL_INFO);
	assert_string_equal(without_time(captured(&stderr_file)),
			    "level=debug area=link msg=\"kept\"\n");
}

static void times_are_written_in_utc(void **state)
{
	static const struct {
		uint64_t wall_ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1, "1970-01-01T00:00:00.001Z" },
		{ UINT64_C(951782400999), "2000-02-29T00:00:00.999Z" },
		{ UINT64_C(253402300799999), "9999-12-31T23:59:59.999Z" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		char text[25];

		assert_string_equal(clock_format(cases[i].wall_ms, text), cases[i].text);
	}
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
	uint64_t before = clock_monotonic_us();

	assert_true(before > 0);
	assert_true(clock_monotonic_us() >= before);
	assert_true(clock_monotonic_ms() >= before / 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_one_safe_line),
		cmocka_unit_test(errors_are_written_with_all_their_fields),
		cmocka_unit_test(an_error_without_attempt_says_why),
		cmocka_unit_test(long_records_are_cut_and_stay_well_formed),
		cmocka_unit_test(a_record_is_never_longer_than_it_may_be),
		cmocka_unit_test(levels_have_names),
		cmocka_unit_test(the_level_decides),
		cmocka_unit_test(times_are_written_in_utc),
		cmocka_unit_test(the_monotonic_clock_does_not_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
