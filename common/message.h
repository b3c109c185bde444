/*
 * Small helpers for protobuf-c messages on the heap: copy, compare, and replace fields without
 * leaking or freeing the library's static empty string.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Decode bytes of our own making, such as a record of the store: NULL only when they are damaged, for out of memory
 * ends the process as everywhere. A peer's bytes need a budget (budget.h). Free with message_free().
 */
ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, size_t length,
				 const uint8_t *bytes);

/* Copy a message deeply; NULL gives NULL. Free with protobuf_c_message_free_unpacked(). */
ProtobufCMessage *message_copy(const ProtobufCMessage *message);

/* message_copy() of any message type, to any message pointer. */
#define MESSAGE_COPY(message) ((void *)message_copy((const ProtobufCMessage *)(message)))

/* Free a message made by an unpack or a copy; NULL is allowed. */
void message_free(void *message);

/* Replace *field of a heap message by a copy of its new value (NULL empties it). */
#define MESSAGE_REPLACE(field, value)                                                              \
	({                                                                                         \
		void *_copy = MESSAGE_COPY(value);                                                 \
		message_free(field);                                                               \
		(field) = _copy;                                                                   \
	})

/* Whether two messages of one type are equal, compared as packed bytes. NULL equals NULL. */
bool message_equal(const void *left, const void *right);

/* Replace a string field of a heap message by a copy of text (NULL is ""). */
void message_set_text(char **field, const char *text);

/* Pack into a new buffer that the caller frees. */
uint8_t *message_pack(const void *message, size_t *ret_length);
