/*
 * Bounded capture of a stream of bytes: keeps the head and the tail, counts what was left out
 * between them, and cuts lines off on the way. Pure.
 */
#pragma once

#include <stddef.h>

#include "common/str.h"

struct capture {
	size_t maximum; /* bytes kept, half head and half tail */
	struct str head;
	char *tail;         /* owned: a ring of maximum / 2 bytes, made when the head is full */
	size_t tail_length; /* bytes that went into the ring, all in all */
	struct str line;    /* the line begun */
	void (*line_ended)(void *user, const char *line); /* may be NULL */
	void *user;
};

/* Prepare an empty capture. line_ended may be NULL. */
void capture_init(struct capture *capture, size_t maximum,
		  void (*line_ended)(void *user, const char *line), void *user);

/* Free what was captured. */
void capture_fini(struct capture *capture);

/* Take bytes in; line_ended is called for each line that they end. */
void capture_feed(struct capture *capture, const char *bytes, size_t length);

/* The stream has ended: hand over the last line if it lacks its newline. */
void capture_end(struct capture *capture);

/* The kept text, terminated, for the caller to free; the capture is empty then. */
char *capture_take(struct capture *capture, size_t *ret_length);
