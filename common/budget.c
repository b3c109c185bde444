/*
 * Every allocation is a block of its own on one list: protobuf-c frees its scratch tables while it
 * decodes, so their bytes come back, and a sanitizer sees each bound. The list's links are charged
 * too, or a peer would get them for nothing.
 */
#include "common/budget.h"

#include <stdlib.h>

struct budget_block {
	struct budget_block *newer;
	struct budget_block *older;
	size_t charged; /* bytes, this header included */
	max_align_t data[];
};

static void *budget_take(void *allocator_data, size_t size)
{
	struct budget *budget = allocator_data;
	struct budget_block *block;
	size_t charged;

	if (__builtin_add_overflow(size, sizeof(*block), &charged))
		return NULL;
	if (budget->allocations_left == 0 || charged > budget->bytes_left)
		return NULL;
	block = malloc(charged); /* a failure here is one more exceeded budget */
	if (!block)
		return NULL;
	budget->allocations_left--;
	budget->bytes_left -= charged;
	*block = (struct budget_block){ .older = budget->blocks, .charged = charged };
	if (budget->blocks)
		budget->blocks->newer = block;
	budget->blocks = block;
	return block->data;
}

/* Gives the bytes back, but not the allocation: their number bounds the work, not the memory. */
static void budget_give_back(void *allocator_data, void *pointer)
{
	struct budget *budget = allocator_data;
	struct budget_block *block;

	if (!pointer)
		return;
	block = (struct budget_block *)((char *)pointer - offsetof(struct budget_block, data));
	if (block->newer)
		block->newer->older = block->older;
	else
		budget->blocks = block->older;
	if (block->older)
		block->older->newer = block->newer;
	budget->bytes_left += block->charged;
	free(block);
}

void budget_init(struct budget *budget, size_t bytes, size_t allocations)
{
	*budget = (struct budget){
		.allocator = { .alloc = budget_take,
			       .free = budget_give_back,
			       .allocator_data = budget },
		.bytes_left = bytes,
		.allocations_left = allocations,
	};
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
}

ProtobufCMessage *budget_unpack(struct budget *budget, const ProtobufCMessageDescriptor *descriptor,
				const uint8_t *bytes, size_t length)
{
	return protobuf_c_message_unpack(descriptor, &budget->allocator, length, bytes);
}
