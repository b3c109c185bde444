/*
 * The floor of bench-fleet: a parent that does nothing but epoll, accept, read and write, and children that
 * do nothing but dial, read and write, with as many bytes as Phoenix has on the wire.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FLOOR_ROUNDS 5

struct floor_sizes {
	size_t request, reply;     /* a question to each child, and its answer */
	size_t heartbeat, taken;   /* a word of each child, and the answer */
};

/* Milliseconds, but for the last. */
struct floor_figures {
	double storm;                /* all children started and connected */
	double query[FLOOR_ROUNDS];  /* all asked and answered */
	double restart;              /* the parent's sockets closed and opened: all are back */
	double heartbeat_percent;    /* of a processor, with a word of each in ten seconds */
};

/* Measure with count children below a directory. Ends the program on failure. */
void floor_measure(const char *directory, size_t count, const struct floor_sizes *sizes,
		   struct floor_figures *ret_figures);
