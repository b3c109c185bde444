/*
 * The ways to make one call that bench-rpc compares: each is a server in a process of its own and a
 * client that times its calls. All carry a health request one way and a health reply of about 200
 * bytes the other. Nothing in here knows how the figures are reported.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAY_CONDITIONS 4 /* in a reply */

/* What a reply says. */
struct way_condition {
	const char *type;
	const char *reason;
	const char *message;
	uint64_t last_transition_ms;
};

extern const struct way_condition way_conditions[WAY_CONDITIONS];

struct way {
	const char *name; /* in the report */
	/* Fork the server; it dies with us. Returns what round() gets, or NULL and why not. */
	void *(*open)(const char **ret_absent);
	/* Make calls one after another and store the nanoseconds of each. */
	void (*round)(void *state, uint64_t *samples, size_t calls);
};

extern const struct way way_raw;
extern const struct way way_phoenix;
extern const struct way way_sdbus;
extern const struct way way_ttrpc;

/* How many bytes a call of ours puts on the wire each way, frame headers included. */
void way_phoenix_measure(size_t *ret_request_bytes, size_t *ret_reply_bytes);

/* What the echo carries; call before way_raw.open(). */
void way_raw_set_bytes(size_t request_bytes, size_t reply_bytes);

/* Monotonic time in nanoseconds. */
uint64_t way_now_ns(void);

/* End with what failed and errno's text. */
_Noreturn void way_die(const char *what);

/* Fork a process that serves one end of a socket pair and dies with us. Returns our end. */
int way_fork(void (*serve)(int fd));
