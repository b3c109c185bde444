/*
 * Preloaded into a program: fails its every Nth call of one kind, once or again and again.
 *
 *	PH_FAULT_CALL   read, write, connect, fsync, open or malloc
 *	PH_FAULT_AT     the call that fails, from 1
 *	PH_FAULT_EVERY  after that every so many-th; 0 or unset: no other
 *
 * Counts calls from main() on, and not those of the dynamic linker. Standard error is let through, so
 * that what a program says of it is seen.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static const char *failing; /* NULL: nothing fails (yet) */
static unsigned long at, every, count;

static __attribute__((constructor)) void begin(void)
{
	const char *text = getenv("PH_FAULT_AT");

	at = text ? strtoul(text, NULL, 10) : 0;
	text = getenv("PH_FAULT_EVERY");
	every = text ? strtoul(text, NULL, 10) : 0;
	failing = at ? getenv("PH_FAULT_CALL") : NULL;
}

/* Whether this call is one of those that fail. */
static bool fails(const char *call)
{
	unsigned long number;

	if (!failing || strcmp(failing, call) != 0)
		return false;
	number = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
	return number == at || (every && number > at && (number - at) % every == 0);
}

static bool is_socket(int fd)
{
	int type;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* FAIL(KIND, ERRNO): end the call here when it is one that fails. */
#define FAIL(call, number)                                                                         \
	do {                                                                                       \
		if (fails(call)) {                                                                 \
			errno = (number);                                                          \
			return -1;                                                                 \
		}                                                                                  \
	} while (0)

ssize_t read(int fd, void *bytes, size_t length)
{
	FAIL("read", EIO);
	return NEXT(read)(fd, bytes, length);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
	FAIL("read", EIO);
	return NEXT(pread64)(fd, bytes, length, offset);
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
	FAIL("read", ECONNRESET);
	return NEXT(recv)(fd, bytes, length, flags);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	if (fd != STDERR_FILENO)
		FAIL("write", is_socket(fd) ? EPIPE : ENOSPC);
	return NEXT(write)(fd, bytes, length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
	FAIL("write", ENOSPC);
	return NEXT(pwrite64)(fd, bytes, length, offset);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	FAIL("write", EPIPE);
	return NEXT(send)(fd, bytes, length, flags);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	FAIL("connect", ECONNREFUSED);
	return NEXT(connect)(fd, address, size);
}

int fsync(int fd)
{
	FAIL("fsync", EIO);
	return NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
	FAIL("fsync", EIO);
	return NEXT(fdatasync)(fd);
}

static int open_any(int (*next)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
	FAIL("open", EMFILE);
	return next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open_any(NEXT(open64), path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open_any(NEXT(open), path, flags, mode);
}

/* A sanitizer has its own allocator: there this kind is not to be had. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

#ifdef PH_FAULT_MALLOC
void *malloc(size_t size)
{
	if (fails("malloc")) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	if (fails("malloc")) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(number, size);
}

void *realloc(void *pointer, size_t size)
{
	if (fails("malloc")) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(pointer, size);
}
#endif
