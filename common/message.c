#include "common/message.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"

static void *allocate(void *allocator_data, size_t size)
{
	return ph_alloc(size);
}

static void release(void *allocator_data, void *pointer)
{
	free(pointer);
}

ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, size_t length,
				 const uint8_t *bytes)
{
	/* The library's own allocator would say "damaged" for "out of memory". */
	static ProtobufCAllocator allocator = { .alloc = allocate, .free = release };

	return protobuf_c_message_unpack(type, &allocator, length, bytes);
}

uint8_t *message_pack(const void *message, size_t *ret_length)
{
	size_t length = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = ph_alloc(length);

	protobuf_c_message_pack(message, bytes);
	*ret_length = length;
	return bytes;
}

ProtobufCMessage *message_copy(const ProtobufCMessage *message)
{
	PH_AUTO_FREE uint8_t *bytes = NULL;
	size_t length;

	if (!message)
		return NULL;
	bytes = message_pack(message, &length);
	return message_unpack(message->descriptor, length, bytes);
}

void message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

bool message_equal(const void *left, const void *right)
{
	PH_AUTO_FREE uint8_t *left_bytes = NULL;
	PH_AUTO_FREE uint8_t *right_bytes = NULL;
	size_t left_length, right_length;

	if (!left || !right)
		return left == right;
	left_bytes = message_pack(left, &left_length);
	right_bytes = message_pack(right, &right_length);
	return left_length == right_length && memcmp(left_bytes, right_bytes, left_length) == 0;
}

void message_set_text(char **field, const char *text)
{
	char *copy = ph_strdup(text ? text : "");

	if (*field != (char *)protobuf_c_empty_string)
		free(*field);
	*field = copy;
}
