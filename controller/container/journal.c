/*
 * The commit happens in a prepare handle: after the callbacks of one iteration have run and before
 * the loop sleeps. An idle journal costs nothing.
 */
#include "controller/container/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/timer.h"

#define RETRY_MS 1000

struct journal {
	struct events *events; /* owned */
	struct timer *retry;   /* owned */
	uv_prepare_t prepare;
	bool is_failing; /* the disk refuses: said once */
};

void journal_flush(struct journal *journal)
{
	struct ph_error error;

	uv_prepare_stop(&journal->prepare);
	if (events_flush(journal->events, &error) < 0) {
		if (!journal->is_failing)
			log_error(LOG_LEVEL_ERROR, "journal", NULL, &error);
		journal->is_failing = true;
		timer_start(journal->retry, RETRY_MS, 0);
		return;
	}
	journal->is_failing = false;
}

static void flush_later(void *user)
{
	journal_flush(user);
}

static void iteration_ended(uv_prepare_t *prepare)
{
	journal_flush(prepare->data);
}

int journal_open(uv_loop_t *loop, const char *path, struct journal **ret_journal,
		 struct ph_error *error)
{
	struct journal *journal = ph_alloc(sizeof(*journal));
	int r;

	r = events_open(path, 0, &journal->events, error);
	if (r < 0) {
		free(journal);
		return r;
	}
	uv_prepare_init(loop, &journal->prepare);
	journal->prepare.data = journal;
	journal->retry = timer_new(loop, flush_later, journal);
	*ret_journal = journal;
	return 0;
}

static void prepare_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	timer_close(journal->retry);
	events_close(journal->events);
	uv_close((uv_handle_t *)&journal->prepare, prepare_closed);
}

struct events *journal_events(struct journal *journal)
{
	return journal->events;
}

void journal_append(struct journal *journal, const Phoenix__Event *event)
{
	struct ph_error error;

	if (events_append(journal->events, event, NULL, &error) < 0) {
		log_error(LOG_LEVEL_WARNING, "journal", event->container, &error);
		return;
	}
	if (events_pending(journal->events) >= EVENTS_BATCH && !journal->is_failing)
		journal_flush(journal);
	else if (!journal->is_failing)
		uv_prepare_start(&journal->prepare, iteration_ended);
}

static enum log_level level_of(Phoenix__Event__Severity severity)
{
	switch (severity) {
	case PHOENIX__EVENT__SEVERITY__DEBUG:
		return LOG_LEVEL_DEBUG;
	case PHOENIX__EVENT__SEVERITY__WARNING:
		return LOG_LEVEL_WARNING;
	case PHOENIX__EVENT__SEVERITY__ERROR:
		return LOG_LEVEL_ERROR;
	default:
		return LOG_LEVEL_INFO;
	}
}

void journal_write(struct journal *journal, Phoenix__Event__Severity severity,
		   const char *container, const char *operation, const char *type,
		   const char *reason, const char *format, ...)
{
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);

	event.container = (char *)(container ? container : "");
	event.operation = (char *)(operation ? operation : "");
	event.type = (char *)type;
	event.severity = severity;
	event.reason = (char *)reason;
	event.message = message;
	log_write(level_of(severity), type, container, "%s: %s", reason, message);
	journal_append(journal, &event);
}

void journal_error(struct journal *journal, const char *container, const char *operation,
		   const char *type, const char *reason, const struct ph_error *error)
{
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	Phoenix__Pair where = PHOENIX__PAIR__INIT, step = PHOENIX__PAIR__INIT;
	Phoenix__Pair remedy = PHOENIX__PAIR__INIT;
	Phoenix__Pair *fields[] = { &where, &step, &remedy };
	char message[800];

	where.key = (char *)"where";
	where.value = (char *)error->where;
	step.key = (char *)"step";
	step.value = (char *)error->step;
	remedy.key = (char *)"remedy";
	remedy.value = (char *)error->remedy;
	event.container = (char *)(container ? container : "");
	event.operation = (char *)(operation ? operation : "");
	event.type = (char *)type;
	event.severity = PHOENIX__EVENT__SEVERITY__ERROR;
	event.reason = (char *)reason;
	event.message = error_format(error, message, sizeof(message));
	event.n_fields = ARRAY_LENGTH(fields);
	event.fields = fields;
	log_error(LOG_LEVEL_ERROR, type, container, error);
	journal_append(journal, &event);
}
