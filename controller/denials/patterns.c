/*
 * A record of phoenix-host is a pattern of the last seconds; here the same patterns are joined over
 * a longer time. A container at its limit gives up the pattern that it showed longest ago.
 */
#include "controller/denials/patterns.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/denials/hint.h"

#define DROPPED_EVERY_MS 60000

struct pattern {
	TAILQ_ENTRY(pattern) link;
	Phoenix__DenialPattern *message; /* owned */
	uint64_t announced_ms;           /* monotonic; 0: never */
	uint64_t announced_count;
};

TAILQ_HEAD(pattern_list, pattern);

struct subject {
	TAILQ_ENTRY(subject) link;
	char container[64];
	struct pattern_list patterns; /* owned; the one seen last first */
	size_t count;
	uint64_t refilled_ms;
	unsigned int tokens;
	uint64_t dropped_total, dropped; /* denials: ever; not told yet */
	uint64_t unannounced;            /* patterns that got no event, not told yet */
	uint64_t told_ms;
};

struct patterns {
	TAILQ_HEAD(subject_list, subject) subjects; /* owned; the one seen last first */
	size_t count;
};

struct patterns *patterns_new(void)
{
	struct patterns *patterns = ph_alloc(sizeof(*patterns));

	TAILQ_INIT(&patterns->subjects);
	return patterns;
}

static void pattern_free(struct subject *subject, struct pattern *pattern)
{
	TAILQ_REMOVE(&subject->patterns, pattern, link);
	subject->count--;
	message_free(pattern->message);
	free(pattern);
}

static void subject_free(struct patterns *patterns, struct subject *subject)
{
	while (!TAILQ_EMPTY(&subject->patterns))
		pattern_free(subject, TAILQ_FIRST(&subject->patterns));
	TAILQ_REMOVE(&patterns->subjects, subject, link);
	patterns->count--;
	free(subject);
}

void patterns_free(struct patterns *patterns)
{
	if (!patterns)
		return;
	while (!TAILQ_EMPTY(&patterns->subjects))
		subject_free(patterns, TAILQ_FIRST(&patterns->subjects));
	free(patterns);
}

static struct subject *find_subject(const struct patterns *patterns, const char *container)
{
	struct subject *subject;

	TAILQ_FOREACH(subject, &patterns->subjects, link)
		if (text_equal(subject->container, container))
			return subject;
	return NULL;
}

static struct subject *need_subject(struct patterns *patterns, const char *container,
				    uint64_t now_ms)
{
	struct subject *subject = find_subject(patterns, container);

	if (subject) {
		TAILQ_REMOVE(&patterns->subjects, subject, link);
		TAILQ_INSERT_HEAD(&patterns->subjects, subject, link);
		return subject;
	}
	if (patterns->count >= PATTERNS_CONTAINERS)
		subject_free(patterns, TAILQ_LAST(&patterns->subjects, subject_list));
	subject = ph_alloc(sizeof(*subject));
	text_copy(subject->container, sizeof(subject->container), container);
	subject->tokens = PATTERNS_BURST;
	subject->refilled_ms = now_ms;
	TAILQ_INIT(&subject->patterns);
	TAILQ_INSERT_HEAD(&patterns->subjects, subject, link);
	patterns->count++;
	return subject;
}

static bool has_same_details(const Phoenix__Denial *left, const Phoenix__Denial *right)
{
	if (left->n_details != right->n_details)
		return false;
	for (size_t i = 0; i < left->n_details; i++)
		if (!text_equal(left->details[i]->key, right->details[i]->key) ||
		    !text_equal(left->details[i]->value, right->details[i]->value))
			return false;
	return true;
}

static bool is_same(const Phoenix__Denial *left, const Phoenix__Denial *right)
{
	return text_equal(left->operation, right->operation) &&
	       text_equal(left->name, right->name) && text_equal(left->denied, right->denied) &&
	       text_equal(left->requested, right->requested) &&
	       text_equal(left->process, right->process) && text_equal(left->info, right->info) &&
	       text_equal(left->profile, right->profile) &&
	       text_equal(left->namespace_, right->namespace_) && has_same_details(left, right);
}

static struct pattern *find_pattern(struct subject *subject, const Phoenix__Denial *denial)
{
	struct pattern *pattern;

	TAILQ_FOREACH(pattern, &subject->patterns, link)
		if (is_same(pattern->message->denial, denial))
			return pattern;
	return NULL;
}

static struct pattern *make_pattern(struct subject *subject, const Phoenix__Denial *denial)
{
	Phoenix__DenialPattern message = PHOENIX__DENIAL_PATTERN__INIT;
	const struct hint *hint = hint_find(denial);
	struct pattern *pattern;

	if (subject->count >= PATTERNS_PER_CONTAINER) {
		pattern = TAILQ_LAST(&subject->patterns, pattern_list);
		subject->dropped_total += pattern->message->count;
		pattern_free(subject, pattern);
	}
	pattern = ph_alloc(sizeof(*pattern));
	message.denial = (Phoenix__Denial *)denial;
	message.first_ms = denial->first_ms;
	message.hint = (char *)(hint ? hint->reason : "");
	message.remedy = (char *)(hint ? hint->remedy : "");
	pattern->message = MESSAGE_COPY(&message);
	message_set_text(&pattern->message->denial->container, subject->container);
	subject->count++;
	return pattern;
}

static void refill(struct subject *subject, uint64_t now_ms)
{
	uint64_t more = (now_ms - subject->refilled_ms) / PATTERNS_REFILL_MS;

	subject->refilled_ms += more * PATTERNS_REFILL_MS;
	subject->tokens = more >= PATTERNS_BURST - subject->tokens ?
				  PATTERNS_BURST :
				  subject->tokens + (unsigned int)more;
}

/* New, or long ago, or become many times more; and the container has an event left. */
static bool deserves_event(struct subject *subject, struct pattern *pattern, uint64_t now_ms)
{
	uint64_t count = pattern->message->count;

	if (pattern->announced_ms && now_ms - pattern->announced_ms < PATTERNS_AGAIN_MS &&
	    count / PATTERNS_AGAIN_FACTOR < pattern->announced_count)
		return false;
	refill(subject, now_ms);
	if (!subject->tokens) {
		subject->unannounced++;
		return false;
	}
	subject->tokens--;
	pattern->announced_ms = now_ms;
	pattern->announced_count = count;
	return true;
}

const Phoenix__DenialPattern *patterns_take(struct patterns *patterns, const char *container,
					    const Phoenix__Denial *denial, uint64_t now_ms,
					    bool *ret_announce)
{
	struct subject *subject = need_subject(patterns, container, now_ms);
	struct pattern *pattern = find_pattern(subject, denial);

	if (pattern)
		TAILQ_REMOVE(&subject->patterns, pattern, link);
	else
		pattern = make_pattern(subject, denial);
	TAILQ_INSERT_HEAD(&subject->patterns, pattern, link);
	pattern->message->count += denial->count;
	pattern->message->last_ms = denial->last_ms;
	pattern->message->denial->pid = denial->pid;
	*ret_announce = deserves_event(subject, pattern, now_ms);
	return pattern->message;
}

void patterns_drop(struct patterns *patterns, const char *container, uint64_t count,
		   uint64_t now_ms)
{
	struct subject *subject = need_subject(patterns, container, now_ms);

	subject->dropped += count;
	subject->dropped_total += count;
}

const char *patterns_next_dropped(struct patterns *patterns, uint64_t now_ms,
				  uint64_t *ret_denials, uint64_t *ret_events)
{
	struct subject *subject;

	TAILQ_FOREACH(subject, &patterns->subjects, link) {
		if (!subject->dropped && !subject->unannounced)
			continue;
		if (subject->told_ms && now_ms - subject->told_ms < DROPPED_EVERY_MS)
			continue;
		*ret_denials = subject->dropped;
		*ret_events = subject->unannounced;
		subject->dropped = 0;
		subject->unannounced = 0;
		subject->told_ms = now_ms;
		return subject->container;
	}
	return NULL;
}

void patterns_forget(struct patterns *patterns, const char *container)
{
	struct subject *subject = find_subject(patterns, container);

	if (subject)
		subject_free(patterns, subject);
}

void patterns_visit(const struct patterns *patterns, const char *container,
		    void (*visit)(void *user, const Phoenix__DenialPattern *pattern), void *user)
{
	const struct subject *subject;
	const struct pattern *pattern;

	TAILQ_FOREACH(subject, &patterns->subjects, link) {
		if (container && !text_equal(subject->container, container))
			continue;
		TAILQ_FOREACH(pattern, &subject->patterns, link)
			visit(user, pattern->message);
	}
}

void patterns_visit_dropped(const struct patterns *patterns, const char *container,
			    void (*visit)(void *user, const char *container, uint64_t count),
			    void *user)
{
	const struct subject *subject;

	TAILQ_FOREACH(subject, &patterns->subjects, link)
		if (subject->dropped_total && (!container || text_equal(subject->container, container)))
			visit(user, subject->container, subject->dropped_total);
}
