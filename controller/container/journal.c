/*
 * The commit happens in a prepare handle: after the callbacks of one iteration have run and before
 * the loop sleeps. An idle journal costs nothing.
 */
#include "controller/container/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/timer.h"

#define RETRY_MS 1000

struct journal_wait {
	STAILQ_ENTRY(journal_wait) link;
	void (*written)(void *user);
	void *user; /* borrowed */
};

struct journal {
	STAILQ_HEAD(, journal_wait) waits; /* owned */
	struct barrier *barrier;           /* borrowed; may be NULL */
	struct barrier_wait behind;        /* for those of waits whose events are committed */
	size_t behind_count;               /* how many of them: the first ones */
	struct events *events; /* owned */
	struct timer *retry;   /* owned */
	uv_prepare_t prepare;
	bool is_failing; /* the disk refuses: said once */
};

static void tell_first(struct journal *journal)
{
	struct journal_wait *wait = STAILQ_FIRST(&journal->waits);

	STAILQ_REMOVE_HEAD(&journal->waits, link);
	wait->written(wait->user);
	free(wait);
}

static size_t count_waits(const struct journal *journal)
{
	const struct journal_wait *wait;
	size_t count = 0;

	STAILQ_FOREACH(wait, &journal->waits, link)
		count++;
	return count;
}

/* Everything is committed: tell who waits for it, or let them wait for the disk too. Whoever is told may append and
 * wait again. */
static void tell_written(struct journal *journal)
{
	while (journal->behind_count == 0 && events_pending(journal->events) == 0 &&
	       !STAILQ_EMPTY(&journal->waits)) {
		if (journal->barrier && barrier_wait(journal->barrier, &journal->behind))
			journal->behind_count = count_waits(journal);
		else
			tell_first(journal);
	}
}

static void passed(struct barrier_wait *behind)
{
	struct journal *journal = container_of(behind, struct journal, behind);

	for (; journal->behind_count > 0; journal->behind_count--)
		tell_first(journal);
	tell_written(journal);
}

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
	tell_written(journal);
}

static void flush_later(void *user)
{
	journal_flush(user);
}

static void iteration_ended(uv_prepare_t *prepare)
{
	journal_flush(prepare->data);
}

int journal_open(uv_loop_t *loop, const char *path, struct barrier *barrier,
		 struct journal **ret_journal, struct ph_error *error)
{
	struct journal *journal = ph_alloc(sizeof(*journal));
	int r;

	r = events_open(path, 0, &journal->events, error);
	if (r == 0 && barrier)
		r = events_use_barrier(journal->events, barrier, error);
	if (r < 0) {
		events_close(journal->events);
		free(journal);
		return r;
	}
	journal->barrier = barrier;
	journal->behind.passed = passed;
	STAILQ_INIT(&journal->waits);
	uv_prepare_init(loop, &journal->prepare);
	journal->prepare.data = journal;
	journal->retry = timer_new(loop, flush_later, journal);
	*ret_journal = journal;
	return 0;
}

/* What could not be written is not acknowledged to anybody: nobody is connected any more. */
static void tell_closed(struct journal *journal)
{
	struct journal_wait *wait;

	while ((wait = STAILQ_FIRST(&journal->waits))) {
		STAILQ_REMOVE_HEAD(&journal->waits, link);
		wait->written(wait->user);
		free(wait);
	}
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
	if (journal->barrier)
		barrier_forget(journal->barrier, &journal->behind);
	events_close(journal->events);
	tell_closed(journal);
	uv_close((uv_handle_t *)&journal->prepare, prepare_closed);
}

struct events *journal_events(struct journal *journal)
{
	return journal->events;
}

void journal_append(struct journal *journal, const Phoenix__Event *event)
{
	journal_append_noting(journal, event, NULL);
}

void journal_append_noting(struct journal *journal, const Phoenix__Event *event, const char *note)
{
	struct ph_error error;

	if (events_append_noting(journal->events, event, note, NULL, &error) < 0) {
		log_error(LOG_LEVEL_WARNING, "journal", event->container, &error);
		return;
	}
	if (events_pending(journal->events) >= EVENTS_BATCH && !journal->is_failing)
		journal_flush(journal);
	else if (!journal->is_failing)
		uv_prepare_start(&journal->prepare, iteration_ended);
}

void journal_when_written(struct journal *journal, void (*written)(void *user), void *user)
{
	struct journal_wait *wait;

	wait = ph_alloc(sizeof(*wait));
	wait->written = written;
	wait->user = user;
	STAILQ_INSERT_TAIL(&journal->waits, wait, link);
	tell_written(journal);
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

void journal_write_noting(struct journal *journal, const Phoenix__Event *event, const char *note)
{
	log_write(level_of(event->severity), event->type, event->container, "%s: %s", event->reason,
		  event->message);
	journal_append_noting(journal, event, note);
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
