/* libuv aborts without a word in some places when memory is gone, and goes on with -ENOMEM in others. */
#include "common/loop.h"

#include <stdlib.h>
#include <uv.h>

#include "common/memory.h"

static void *allocate(size_t size)
{
	return ph_alloc(size);
}

void loop_adopt_memory(void)
{
	uv_replace_allocator(allocate, ph_realloc, ph_alloc_array, free);
}
