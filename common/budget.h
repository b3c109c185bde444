/*
 * A protobuf-c allocator with a budget: decoding hostile bytes can take neither more memory nor more
 * allocations than granted (an empty sub-message amplifies its bytes about sixtyfold). Also an
 * arena: a message of a usual size takes nothing from malloc.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDGET_BYTES (1024 * 1024)
#define BUDGET_ALLOCATIONS 8192
#define BUDGET_FIRST 2048 /* bytes of a first chunk that needs no memory of its own */

struct budget {
	ProtobufCAllocator allocator; /* pass &budget.allocator to unpack */
	size_t bytes_left;
	size_t allocations_left;
	struct budget_block *blocks; /* owned: newest first, chunks among them */
	uint8_t *chunk_at;           /* what is left of the newest chunk, in blocks */
	size_t chunk_left;           /* bytes */
	size_t chunk_size;           /* that was wanted last; 0: none yet */
	bool lacks_memory;           /* the last block was granted and could not be had */
	alignas(max_align_t) uint8_t first[BUDGET_FIRST]; /* the first chunk: most messages need no other */
};

/* Grant a budget of bytes and allocations. */
void budget_init(struct budget *budget, size_t bytes, size_t allocations);

/* Free everything that was decoded with this budget. */
void budget_fini(struct budget *budget);

/*
 * Decode a message within the budget. The message lives until budget_fini(); it is never freed by
 * itself. Returns NULL when the bytes are malformed or the budget is exceeded, and when there is no
 * memory: budget_lacks_memory() tells that apart.
 */
ProtobufCMessage *budget_unpack(struct budget *budget, const ProtobufCMessageDescriptor *descriptor,
				const uint8_t *bytes, size_t length);

/* Whether decoding ended for want of memory here, which is no fault of who has sent the bytes. */
bool budget_lacks_memory(const struct budget *budget);
