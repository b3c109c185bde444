/*
 * What a peer's message may hold, decided on its bytes before anything is allocated for it: the size
 * of each method's input, of one reply or item, the number of items of a call and of those under way,
 * and how often a field may occur. Pure; knows messages by their descriptors and names only.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMITS_REPEATED 64 /* occurrences of a repeated field that has no row of its own */
#define LIMITS_DEPTH 8     /* messages within messages; ours have four */

struct limits_method {
	const char *service; /* "phoenix.Agent" */
	const char *method;
	uint32_t input;  /* bytes of the request's message */
	uint32_t output; /* bytes of a reply or of one item */
	uint32_t items;  /* of one call; 0: no end is foreseen */
	uint32_t window; /* items on their way to the caller at most; 0: no credit is kept */
};

/*
 * The limits of a method. Without a row of its own a method gets what a frame holds and no end of
 * items: a test sees to it that ours all have one.
 */
const struct limits_method *limits_of(const ProtobufCServiceDescriptor *service,
				      const char *method);

/* Whether limits_of() found a row; for the test. */
bool limits_are_own(const struct limits_method *limits);

/* How often a repeated field of a message type may occur. */
uint32_t limits_repeated(const ProtobufCMessageDescriptor *message, const char *field);

/* Whether it has a row of its own; for the test. */
bool limits_has_repeated(const ProtobufCMessageDescriptor *message, const char *field);

/*
 * Whether bytes are what a message of this type may look like: well-formed as far as lengths go, no
 * deeper than LIMITS_DEPTH, each field as often as it may: a repeated one as limits_repeated() says,
 * any other once, unknown ones LIMITS_REPEATED times altogether. Allocates nothing.
 */
bool limits_allow(const ProtobufCMessageDescriptor *message, const uint8_t *bytes, size_t length);
