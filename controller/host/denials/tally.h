/*
 * Counts denials: equal ones of one subject become one pattern with a count, told at once when it is
 * new and then ever more rarely while it goes on. Each subject, a container, has a token
 * bucket and a bounded number of patterns; what does not fit is counted as dropped. However many
 * names a container makes up, it costs only itself, and memory stays below TALLY_BYTES_MAXIMUM.
 * Pure: time is an argument.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controller/host/denials/line.h"
#include "controller/host/denials/origin.h"

#define TALLY_AGAIN_MS 500        /* what follows the first of a pattern is told after this, */
#define TALLY_REPEAT_MS 10000     /* twice that and so on up to this */
#define TALLY_FORGET_MS 60000    /* a pattern that has stopped is forgotten */
#define TALLY_SUBJECTS 1024      /* more share one */
#define TALLY_PATTERNS 2048      /* of all subjects */
#define TALLY_OWN_PATTERNS 32    /* of one subject */
#define TALLY_BURST 24           /* records a subject may tell at once */
#define TALLY_REFILL_MS 2000     /* and one more so often */
#define TALLY_IDS_PER_SUBJECT 65536
#define TALLY_BYTES_MAXIMUM (16 * 1024 * 1024)

struct tally;

/* One pattern to be told; borrowed during the call. */
struct tally_record {
	const struct origin *origin;
	const struct line *line; /* the last one */
	uint64_t count;          /* since it was last told */
	uint64_t first_ms, last_ms; /* wall clock, of those counted */
};

struct tally_sink {
	void (*record)(void *user, const struct tally_record *record);
	/* Denials of a subject that no record tells of. */
	void (*dropped)(void *user, const struct origin *origin, uint64_t count);
	void *user;
};

/*
 * Make an empty tally. first_id is where the host's id ranges for containers begin: ids without a
 * known container are told apart by blocks of TALLY_IDS_PER_SUBJECT from there.
 */
struct tally *tally_new(uint32_t first_id);

/* Free it with what was not told. NULL is allowed. */
void tally_free(struct tally *tally);

/* Count one denial. */
void tally_add(struct tally *tally, const struct origin *origin, const struct line *line,
	       uint64_t now_ms);

/* Tell what is due, forget what has stopped. */
void tally_flush(struct tally *tally, uint64_t now_ms, const struct tally_sink *sink);

/* Milliseconds from now until tally_flush() has something to do; UINT64_MAX: nothing is waiting. */
uint64_t tally_due(const struct tally *tally, uint64_t now_ms);

/* Bytes it holds. */
size_t tally_bytes(const struct tally *tally);
