/*
 * Two lists: subjects, and below each its patterns, newest use first. Both are short and searched
 * from the front, where a flood of one pattern finds itself at once. A subject at its limit gives up
 * its least recently used pattern, untold counts of which go to its dropped ones.
 */
#include "controller/host/denials/tally.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/memory.h"
#include "common/str.h"

struct pattern {
	TAILQ_ENTRY(pattern) link;
	struct origin origin; /* with the uid that was seen last */
	struct line line;
	uint64_t hash;
	uint64_t count;    /* not told yet */
	uint64_t first_ms; /* wall clock, of those */
	uint64_t last_ms;
	uint64_t used_ms;  /* monotonic */
	uint64_t told_ms;  /* monotonic; 0: never */
	uint64_t pause_ms; /* until it may be told again */
};

TAILQ_HEAD(patterns, pattern);

struct subject {
	TAILQ_ENTRY(subject) link;
	struct origin origin;
	struct patterns patterns; /* owned; the one used last first */
	size_t pattern_count;
	uint64_t dropped;
	uint64_t dropped_told_ms; /* monotonic; 0: never */
	uint64_t used_ms;
	uint64_t refilled_ms;
	unsigned int tokens;
};

TAILQ_HEAD(subjects, subject);

struct tally {
	struct subjects subjects; /* owned; the one used last first */
	size_t subject_count;
	size_t pattern_count;
	uint32_t first_id;
};

struct tally *tally_new(uint32_t first_id)
{
	struct tally *tally = ph_alloc(sizeof(*tally));

	TAILQ_INIT(&tally->subjects);
	tally->first_id = first_id;
	return tally;
}

static void pattern_free(struct tally *tally, struct subject *subject, struct pattern *pattern)
{
	subject->dropped += pattern->count;
	TAILQ_REMOVE(&subject->patterns, pattern, link);
	subject->pattern_count--;
	tally->pattern_count--;
	free(pattern);
}

static void subject_free(struct tally *tally, struct subject *subject)
{
	while (!TAILQ_EMPTY(&subject->patterns))
		pattern_free(tally, subject, TAILQ_FIRST(&subject->patterns));
	TAILQ_REMOVE(&tally->subjects, subject, link);
	tally->subject_count--;
	free(subject);
}

void tally_free(struct tally *tally)
{
	if (!tally)
		return;
	while (!TAILQ_EMPTY(&tally->subjects))
		subject_free(tally, TAILQ_FIRST(&tally->subjects));
	free(tally);
}

size_t tally_bytes(const struct tally *tally)
{
	return sizeof(*tally) + tally->subject_count * sizeof(struct subject) +
	       tally->pattern_count * sizeof(struct pattern);
}

/* ---- subjects ---- */

static uint32_t block_of(const struct tally *tally, uint32_t uid)
{
	return (uid - tally->first_id) / TALLY_IDS_PER_SUBJECT;
}

static bool is_same_subject(const struct tally *tally, const struct origin *left,
			    const struct origin *right)
{
	if (left->container[0] || right->container[0])
		return text_equal(left->container, right->container);
	if (left->has_uid != right->has_uid)
		return false;
	return !left->has_uid || block_of(tally, left->uid) == block_of(tally, right->uid);
}

static struct subject *find_subject(struct tally *tally, const struct origin *origin)
{
	struct subject *subject;

	TAILQ_FOREACH(subject, &tally->subjects, link)
		if (is_same_subject(tally, &subject->origin, origin))
			return subject;
	return NULL;
}

static struct subject *need_subject(struct tally *tally, const struct origin *origin,
				    uint64_t now_ms)
{
	static const struct origin nobody = { 0 };
	struct subject *subject = find_subject(tally, origin);

	if (!subject && tally->subject_count >= TALLY_SUBJECTS) {
		origin = &nobody;
		subject = find_subject(tally, origin);
	}
	if (!subject) {
		subject = ph_alloc(sizeof(*subject));
		subject->origin = *origin;
		subject->tokens = TALLY_BURST;
		subject->refilled_ms = now_ms;
		TAILQ_INIT(&subject->patterns);
		tally->subject_count++;
	} else {
		TAILQ_REMOVE(&tally->subjects, subject, link);
	}
	subject->used_ms = now_ms;
	TAILQ_INSERT_HEAD(&tally->subjects, subject, link);
	return subject;
}

/* ---- patterns ---- */

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return (hash ^ 0xff) * 0x100000001b3;
}

/* What makes two denials the same: all but when, which process number and which uid. */
static uint64_t hash_line(const struct line *line)
{
	uint64_t hash = 0xcbf29ce484222325;

	hash = hash_text(hash, line->operation);
	hash = hash_text(hash, line->profile);
	hash = hash_text(hash, line->space);
	hash = hash_text(hash, line->name);
	hash = hash_text(hash, line->requested);
	hash = hash_text(hash, line->denied);
	hash = hash_text(hash, line->process);
	hash = hash_text(hash, line->info);
	for (size_t i = 0; i < line->detail_count; i++) {
		hash = hash_text(hash, line->details[i].key);
		hash = hash_text(hash, line->details[i].value);
	}
	return hash;
}

static bool is_same_pattern(const struct line *left, const struct line *right)
{
	if (!text_equal(left->operation, right->operation) ||
	    !text_equal(left->profile, right->profile) || !text_equal(left->space, right->space) ||
	    !text_equal(left->name, right->name) ||
	    !text_equal(left->requested, right->requested) ||
	    !text_equal(left->denied, right->denied) ||
	    !text_equal(left->process, right->process) || !text_equal(left->info, right->info) ||
	    left->detail_count != right->detail_count)
		return false;
	for (size_t i = 0; i < left->detail_count; i++)
		if (!text_equal(left->details[i].key, right->details[i].key) ||
		    !text_equal(left->details[i].value, right->details[i].value))
			return false;
	return true;
}

static struct pattern *find_pattern(struct subject *subject, const struct line *line,
				    uint64_t hash)
{
	struct pattern *pattern;

	TAILQ_FOREACH(pattern, &subject->patterns, link)
		if (pattern->hash == hash && is_same_pattern(&pattern->line, line))
			return pattern;
	return NULL;
}

/* Room for one more: of the subject's own patterns first; NULL when others hold all there is. */
static struct pattern *make_pattern(struct tally *tally, struct subject *subject)
{
	struct pattern *pattern;

	if (subject->pattern_count >= TALLY_OWN_PATTERNS || tally->pattern_count >= TALLY_PATTERNS) {
		pattern = TAILQ_LAST(&subject->patterns, patterns);
		if (!pattern)
			return NULL;
		pattern_free(tally, subject, pattern);
	}
	pattern = ph_alloc(sizeof(*pattern));
	subject->pattern_count++;
	tally->pattern_count++;
	return pattern;
}

void tally_add(struct tally *tally, const struct origin *origin, const struct line *line,
	       uint64_t now_ms)
{
	struct subject *subject = need_subject(tally, origin, now_ms);
	uint64_t hash = hash_line(line);
	struct pattern *pattern = find_pattern(subject, line, hash);

	if (pattern) {
		TAILQ_REMOVE(&subject->patterns, pattern, link);
	} else {
		pattern = make_pattern(tally, subject);
		if (!pattern) {
			subject->dropped++;
			return;
		}
		pattern->hash = hash;
	}
	if (pattern->count == 0)
		pattern->first_ms = line->time_ms;
	pattern->count++;
	pattern->last_ms = line->time_ms;
	pattern->used_ms = now_ms;
	pattern->line = *line;
	/* A denial that only an id told of is told with that id, whoever it counts for. */
	pattern->origin = *origin;
	TAILQ_INSERT_HEAD(&subject->patterns, pattern, link);
}

/* ---- telling ---- */

static void refill(struct subject *subject, uint64_t now_ms)
{
	uint64_t more = (now_ms - subject->refilled_ms) / TALLY_REFILL_MS;

	if (more == 0)
		return;
	subject->refilled_ms += more * TALLY_REFILL_MS;
	subject->tokens = more >= TALLY_BURST - subject->tokens ?
				  TALLY_BURST :
				  subject->tokens + (unsigned int)more;
}

static uint64_t pattern_due(const struct pattern *pattern)
{
	if (pattern->count == 0)
		return UINT64_MAX;
	return pattern->told_ms ? pattern->told_ms + pattern->pause_ms : 0;
}

/* What was dropped is told beside the tokens: a flood uses them all up. */
static uint64_t dropped_due(const struct subject *subject)
{
	if (!subject->dropped)
		return UINT64_MAX;
	return subject->dropped_told_ms ? subject->dropped_told_ms + TALLY_REPEAT_MS : 0;
}

static void tell(struct subject *subject, struct pattern *pattern, uint64_t now_ms,
		 const struct tally_sink *sink)
{
	const struct tally_record record = {
		.origin = &pattern->origin,
		.line = &pattern->line,
		.count = pattern->count,
		.first_ms = pattern->first_ms,
		.last_ms = pattern->last_ms,
	};

	sink->record(sink->user, &record);
	subject->tokens--;
	pattern->count = 0;
	pattern->told_ms = now_ms;
	pattern->pause_ms = pattern->pause_ms ? 2 * pattern->pause_ms : TALLY_AGAIN_MS;
	if (pattern->pause_ms > TALLY_REPEAT_MS)
		pattern->pause_ms = TALLY_REPEAT_MS;
}

/* Without a token a pattern keeps its count and waits; it is dropped only when it is pushed out. */
static void flush_patterns(struct tally *tally, struct subject *subject, uint64_t now_ms,
			   const struct tally_sink *sink)
{
	struct pattern *pattern, *next;

	for (pattern = TAILQ_FIRST(&subject->patterns); pattern; pattern = next) {
		next = TAILQ_NEXT(pattern, link);
		if (subject->tokens && pattern_due(pattern) <= now_ms)
			tell(subject, pattern, now_ms, sink);
		else if (pattern->count == 0 && now_ms - pattern->used_ms >= TALLY_FORGET_MS)
			pattern_free(tally, subject, pattern);
	}
}

void tally_flush(struct tally *tally, uint64_t now_ms, const struct tally_sink *sink)
{
	struct subject *subject, *next;

	for (subject = TAILQ_FIRST(&tally->subjects); subject; subject = next) {
		next = TAILQ_NEXT(subject, link);
		refill(subject, now_ms);
		flush_patterns(tally, subject, now_ms, sink);
		if (dropped_due(subject) <= now_ms) {
			sink->dropped(sink->user, &subject->origin, subject->dropped);
			subject->dropped = 0;
			subject->dropped_told_ms = now_ms;
		}
		if (!subject->pattern_count && !subject->dropped &&
		    now_ms - subject->used_ms >= TALLY_FORGET_MS)
			subject_free(tally, subject);
	}
}

static uint64_t subject_due(const struct subject *subject)
{
	uint64_t token = subject->tokens ? 0 : subject->refilled_ms + TALLY_REFILL_MS;
	uint64_t first = dropped_due(subject);
	const struct pattern *pattern;

	TAILQ_FOREACH(pattern, &subject->patterns, link) {
		uint64_t due = pattern_due(pattern);

		if (due < token)
			due = token;
		if (due < first)
			first = due;
		if (pattern->count == 0 && pattern->used_ms + TALLY_FORGET_MS < first)
			first = pattern->used_ms + TALLY_FORGET_MS;
	}
	if (!subject->pattern_count && subject->used_ms + TALLY_FORGET_MS < first)
		first = subject->used_ms + TALLY_FORGET_MS;
	return first;
}

uint64_t tally_due(const struct tally *tally, uint64_t now_ms)
{
	const struct subject *subject;
	uint64_t first = UINT64_MAX;

	TAILQ_FOREACH(subject, &tally->subjects, link)
		if (subject_due(subject) < first)
			first = subject_due(subject);
	if (first == UINT64_MAX)
		return first;
	return first > now_ms ? first - now_ms : 0;
}
