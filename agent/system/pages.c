/*
 * The program's headers say which of its segments nobody can write to. Below the frame of whoever runs,
 * the stack is nobody's.
 */
#include "agent/system/pages.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static int let_go_of_program(struct dl_phdr_info *program, size_t size, void *user)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	size_t *let_go = user;

	for (size_t i = 0; i < program->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &program->dlpi_phdr[i];
		uintptr_t begin = program->dlpi_addr + header->p_vaddr;
		uintptr_t end = (begin + header->p_memsz + page - 1) & ~(page - 1);

		begin &= ~(page - 1);
		if (header->p_type == PT_LOAD && !(header->p_flags & PF_W) &&
		    madvise((void *)begin, end - begin, MADV_DONTNEED) == 0)
			*let_go += end - begin;
	}
	return 1; /* the first is the program itself */
}

/* How far down the start may have come: what the kernel maps at first. */
#define STACK_BYTES (128 * 1024)
/* Frames that are entered on the way to madvise(), and the red zone. */
#define STACK_IN_USE (8 * 1024)

static void let_go_of_stack(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - STACK_IN_USE) & ~(page - 1);

	/* What is not mapped is passed over (madvise(2), ENOMEM). */
	madvise((void *)(end - STACK_BYTES), STACK_BYTES, MADV_DONTNEED);
}

size_t pages_let_go(void)
{
	size_t let_go = 0;

	dl_iterate_phdr(let_go_of_program, &let_go);
	let_go_of_stack();
	malloc_trim(0);
	return let_go;
}
