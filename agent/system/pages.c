/* The program's headers say which of its segments nobody can write to. */
#include "agent/system/pages.h"

#include <link.h>
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

size_t pages_let_go(void)
{
	size_t let_go = 0;

	dl_iterate_phdr(let_go_of_program, &let_go);
	return let_go;
}
