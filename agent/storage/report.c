#include "agent/storage/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"

void report_init(struct report *report, const char *driver, verify_check_fn told, void *user)
{
	*report = (struct report){ .told = told, .user = user };
	report->message = ph_alloc(sizeof(*report->message));
	phoenix__verify_report__init(report->message);
	message_set_text(&report->message->driver, driver);
	report->started_us = clock_monotonic_us();
}

void report_begin(struct report *report)
{
	report->check_us = clock_monotonic_us();
}

void report_add(struct report *report, const char *id, const char *expected, const char *remedy,
		const struct outcome *outcome)
{
	Phoenix__VerifyReport *message = report->message;
	Phoenix__Check *check = ph_alloc(sizeof(*check));

	phoenix__check__init(check);
	message_set_text(&check->id, id);
	message_set_text(&check->expected, expected);
	message_set_text(&check->got, outcome->got);
	if (outcome->status == PHOENIX__CHECK__STATUS__FAIL)
		message_set_text(&check->remedy, remedy);
	check->status = outcome->status;
	check->error_number = outcome->error_number;
	check->duration_us = clock_monotonic_us() - report->check_us;
	message->checks = ph_realloc(message->checks,
				     (message->n_checks + 1) * sizeof(*message->checks));
	message->checks[message->n_checks++] = check;
	if (report->told)
		report->told(report->user, check);
	report_begin(report);
}

Phoenix__VerifyReport *report_take(struct report *report)
{
	Phoenix__VerifyReport *message = report->message;

	message->passed = message->n_checks > 0;
	for (size_t i = 0; i < message->n_checks; i++)
		if (message->checks[i]->status == PHOENIX__CHECK__STATUS__FAIL)
			message->passed = false;
	message->duration_ms = (clock_monotonic_us() - report->started_us) / 1000;
	message->wall_ms = clock_wall_ms();
	report->message = NULL;
	return message;
}

void report_fini(struct report *report)
{
	message_free(report->message);
	report->message = NULL;
}

static void fill(struct outcome *outcome, Phoenix__Check__Status status, int error_number,
		 const char *format, va_list arguments)
{
	char text[OUTCOME_TEXT];

	outcome->status = status;
	outcome->error_number = error_number;
	vsnprintf(text, sizeof(text), format, arguments);
	if (error_number)
		snprintf(outcome->got, sizeof(outcome->got), "%.120s: %.70s", text,
			 strerror(error_number));
	else
		snprintf(outcome->got, sizeof(outcome->got), "%s", text);
}

#define DEFINE_OUTCOME(status, error_number)                                                       \
	va_list arguments;                                                                         \
                                                                                                   \
	va_start(arguments, got);                                                                  \
	fill(outcome, PHOENIX__CHECK__STATUS__##status, error_number, got, arguments);             \
	va_end(arguments)

void outcome_pass(struct outcome *outcome, const char *got, ...)
{
	DEFINE_OUTCOME(PASS, 0);
}

void outcome_fail(struct outcome *outcome, int error_number, const char *got, ...)
{
	DEFINE_OUTCOME(FAIL, error_number);
}

void outcome_skip(struct outcome *outcome, const char *got, ...)
{
	DEFINE_OUTCOME(SKIP, 0);
}

void outcome_limit(struct outcome *outcome, int error_number, const char *got, ...)
{
	DEFINE_OUTCOME(KNOWN_LIMIT, error_number);
}
