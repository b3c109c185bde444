/*
 * Lets User-Mode Linux 6.1 run on processors with AMX. Preloaded into linux.uml.
 *
 * That kernel keeps 2696 bytes of a process' floating point state, everything up to AVX-512 and PKRU. A host
 * with AMX has 11 KiB of it and refuses to set less than all (PTRACE_SETREGSET is EFAULT), so UML's first
 * process dies. AMX needs a permission that nothing inside UML asks for: its part may stay in its initial
 * state, which is what a cleared bit in the header's state vector says.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum {
	STATE_MAX = 64 * 1024,
	STATE_VECTOR_OFFSET = 512, /* XSAVE area: 512 bytes of legacy state, then the header */
};

/* The components that end within the 2696 bytes: x87, SSE, AVX, (MPX), AVX-512, PKRU. */
static const uint64_t KEPT_COMPONENTS = 0x2ff;

typedef long (*ptrace_fn)(enum __ptrace_request, pid_t, void *, void *);

static size_t whole_size(ptrace_fn next, pid_t pid)
{
	static unsigned char state[STATE_MAX];
	struct iovec area = { .iov_base = state, .iov_len = sizeof(state) };

	if (next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &area) < 0)
		return 0;
	return area.iov_len;
}

static long set_state(ptrace_fn next, pid_t pid, struct iovec *given)
{
	static unsigned char state[STATE_MAX];
	static size_t size;
	struct iovec area = { .iov_base = state };
	uint64_t vector;

	if (!size)
		size = whole_size(next, pid);
	if (size <= given->iov_len)
		return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, given);
	memcpy(state, given->iov_base, given->iov_len);
	memcpy(&vector, state + STATE_VECTOR_OFFSET, sizeof(vector));
	vector &= KEPT_COMPONENTS;
	memcpy(state + STATE_VECTOR_OFFSET, &vector, sizeof(vector));
	area.iov_len = size;
	return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &area);
}

long ptrace(enum __ptrace_request request, ...)
{
	static ptrace_fn next;
	va_list arguments;
	pid_t pid;
	void *address, *data;

	va_start(arguments, request);
	pid = va_arg(arguments, pid_t);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);
	if (!next)
		next = (ptrace_fn)dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
		return set_state(next, pid, data);
	return next(request, pid, address, data);
}
