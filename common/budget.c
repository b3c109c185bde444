/*
 * Small allocations are cut from chunks, larger ones are blocks of their own: protobuf-c's scratch
 * tables are, and it frees them while it decodes, so their bytes come back. Chunks and blocks are on
 * one list. Everything is charged, the list's links too, or a peer would get them for nothing.
 *
 * In a chunk a sanitizer sees each allocation's bounds all the same: what is not handed out is poisoned.
 */
#include "common/budget.h"

#include <assert.h>
#include <sanitizer/asan_interface.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>

#define CHUNK_LAST 7680
#define SMALL_MAXIMUM 480
static_assert(SMALL_MAXIMUM <= BUDGET_FIRST, "a new chunk holds whatever is small");

struct budget_block {
	struct budget_block *newer;
	struct budget_block *older;
	size_t charged; /* bytes, this header included */
	max_align_t data[];
};

/* In front of every allocation. */
struct allocation {
	struct budget_block *block; /* that is this allocation alone; NULL: it is in a chunk */
	max_align_t data[];
};

/* A block of size bytes behind its header, on the list; NULL when that is too much. */
static struct budget_block *block_take(struct budget *budget, size_t size)
{
	struct budget_block *block;
	size_t charged;

	if (__builtin_add_overflow(size, sizeof(*block), &charged) || charged > budget->bytes_left)
		return NULL;
	block = malloc(charged); /* not ph_alloc(): how much it is a peer decides, who may not make us abort */
	budget->lacks_memory = !block;
	if (!block)
		return NULL;
	budget->bytes_left -= charged;
	*block = (struct budget_block){ .older = budget->blocks, .charged = charged };
	if (budget->blocks)
		budget->blocks->newer = block;
	budget->blocks = block;
	return block;
}

static void block_give_back(struct budget *budget, struct budget_block *block)
{
	if (block->newer)
		block->newer->older = block->older;
	else
		budget->blocks = block->older;
	if (block->older)
		block->older->newer = block->newer;
	budget->bytes_left += block->charged;
	free(block);
}

/* The chunk that lies in the budget itself: charged as any other. */
static bool use_first(struct budget *budget)
{
	if (budget->chunk_size || budget->bytes_left < BUDGET_FIRST)
		return false;
	budget->bytes_left -= BUDGET_FIRST;
	budget->chunk_size = BUDGET_FIRST;
	budget->chunk_at = budget->first;
	budget->chunk_left = BUDGET_FIRST;
	return true;
}

/* Each chunk is twice as large as the one before. When the bytes don't last for that, one allocation's. */
static bool add_chunk(struct budget *budget, size_t needed)
{
	size_t size = budget->chunk_size ? 2 * budget->chunk_size : BUDGET_FIRST;
	struct budget_block *block;

	if (use_first(budget))
		return true;
	if (size > CHUNK_LAST)
		size = CHUNK_LAST;
	budget->chunk_size = size;
	block = block_take(budget, size);
	if (!block) {
		size = needed;
		block = block_take(budget, size);
	}
	if (!block)
		return false;
	ASAN_POISON_MEMORY_REGION(block->data, size);
	budget->chunk_at = (uint8_t *)block->data;
	budget->chunk_left = size;
	return true;
}

/* Cut size bytes, a multiple of the alignment, from the chunk. */
static struct allocation *cut(struct budget *budget, size_t size)
{
	struct allocation *allocation;

	if (size > budget->chunk_left && !add_chunk(budget, size))
		return NULL;
	assert(size <= budget->chunk_left);
	allocation = (struct allocation *)budget->chunk_at;
	budget->chunk_at += size;
	budget->chunk_left -= size;
	return allocation;
}

static void *budget_take(void *allocator_data, size_t size)
{
	struct budget *budget = allocator_data;
	struct budget_block *block = NULL;
	struct allocation *allocation;
	size_t rounded;

	if (budget->allocations_left == 0 ||
	    __builtin_add_overflow(size, sizeof(*allocation) + alignof(max_align_t) - 1, &rounded))
		return NULL;
	rounded -= rounded % alignof(max_align_t);
	if (rounded <= SMALL_MAXIMUM) {
		allocation = cut(budget, rounded);
	} else {
		block = block_take(budget, rounded);
		allocation = block ? (struct allocation *)block->data : NULL;
	}
	if (!allocation)
		return NULL;
	budget->allocations_left--;
	ASAN_UNPOISON_MEMORY_REGION(allocation, sizeof(*allocation) + size);
	allocation->block = block;
	ASAN_POISON_MEMORY_REGION(allocation, sizeof(*allocation));
	return allocation->data;
}

/* Gives the bytes of a block back, those of a chunk with the whole; never the allocation: their number
 * bounds the work, not the memory. */
static void budget_give_back(void *allocator_data, void *pointer)
{
	struct allocation *allocation;

	if (!pointer)
		return;
	allocation = (struct allocation *)((char *)pointer - offsetof(struct allocation, data));
	ASAN_UNPOISON_MEMORY_REGION(allocation, sizeof(*allocation));
	if (allocation->block)
		block_give_back(allocator_data, allocation->block);
	else
		ASAN_POISON_MEMORY_REGION(allocation, sizeof(*allocation));
}

void budget_init(struct budget *budget, size_t bytes, size_t allocations)
{
	/* One by one: the first chunk is not cleared. */
	budget->allocator = (ProtobufCAllocator){ .alloc = budget_take,
						  .free = budget_give_back,
						  .allocator_data = budget };
	budget->bytes_left = bytes;
	budget->allocations_left = allocations;
	budget->blocks = NULL;
	budget->chunk_at = NULL;
	budget->chunk_left = 0;
	budget->chunk_size = 0;
	budget->lacks_memory = false;
	ASAN_POISON_MEMORY_REGION(budget->first, sizeof(budget->first));
}

void budget_fini(struct budget *budget)
{
	struct budget_block *block = budget->blocks;

	while (block) {
		struct budget_block *older = block->older;

		free(block);
		block = older;
	}
	budget->blocks = NULL;
	budget->chunk_left = 0;
	ASAN_UNPOISON_MEMORY_REGION(budget->first, sizeof(budget->first));
}

ProtobufCMessage *budget_unpack(struct budget *budget, const ProtobufCMessageDescriptor *descriptor,
				const uint8_t *bytes, size_t length)
{
	return protobuf_c_message_unpack(descriptor, &budget->allocator, length, bytes);
}

bool budget_lacks_memory(const struct budget *budget)
{
	return budget->lacks_memory;
}
