#include "tests/support/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ENDED 137 /* as a shell says of SIGKILL, which phoenixd's own seccomp filter would not let through */

static const char *const names[FAULTS_KINDS] = {
	[FAULTS_READ] = "read",     [FAULTS_WRITE] = "write", [FAULTS_CONNECT] = "connect",
	[FAULTS_ACCEPT] = "accept", [FAULTS_OPEN] = "open",   [FAULTS_FSYNC] = "fsync",
	[FAULTS_RENAME] = "rename", [FAULTS_MALLOC] = "malloc",
};

/* Numbers of one process. A second thread counts along, but for malloc: a sanitizer that starts a thread without memory
 * ends the process in its own way. */
static bool armed;
static pthread_t armed_by;
static enum faults_kind failing;
static unsigned long at, every, failed;
static unsigned long counts[FAULTS_KINDS];
static unsigned long commits, last_commit;
static int64_t wall_offset_ms, slept_ms;

const char *faults_name(enum faults_kind kind)
{
	return names[kind];
}

void faults_arm(enum faults_kind kind, unsigned long first, unsigned long then_every)
{
	memset(counts, 0, sizeof(counts));
	failing = kind;
	at = first;
	every = then_every;
	failed = 0;
	armed_by = pthread_self();
	armed = true;
}

void faults_disarm(void)
{
	armed = false;
}

unsigned long faults_count(enum faults_kind kind)
{
	return counts[kind];
}

unsigned long faults_failed(void)
{
	return failed;
}

void faults_jump_wall(int64_t offset_ms)
{
	wall_offset_ms = offset_ms;
}

void faults_suspend(int64_t milliseconds)
{
	slept_ms += milliseconds;
}

static unsigned long number_of(const char *variable)
{
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 10) : 0;
}

static __attribute__((constructor)) void begin(void)
{
	const char *call = getenv("PH_FAULT_CALL");

	last_commit = number_of("PH_FAULT_ENDS");
	for (int kind = 0; call && kind < FAULTS_KINDS; kind++)
		if (strcmp(call, names[kind]) == 0)
			faults_arm((enum faults_kind)kind, number_of("PH_FAULT_AT"),
				   number_of("PH_FAULT_EVERY"));
}

/* Whether this call is one of those that fail. */
static bool fails(enum faults_kind kind)
{
	unsigned long number;

	if (!armed || (kind == FAULTS_MALLOC && !pthread_equal(pthread_self(), armed_by)))
		return false;
	number = __atomic_add_fetch(&counts[kind], 1, __ATOMIC_RELAXED);
	if (kind != failing || !at)
		return false;
	if (number != at && !(every && number > at && (number - at) % every == 0))
		return false;
	__atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
	return true;
}

/* What a failing call on a descriptor says; 0 when it is not to fail. */
static int failure(enum faults_kind kind, int fd, int of_file, int of_socket)
{
	int before = errno;
	struct stat status;
	bool may_fail = armed && fd != STDERR_FILENO && fstat(fd, &status) == 0 &&
			(status.st_mode & S_IFMT) != 0;

	errno = before;
	if (!may_fail || !fails(kind))
		return 0;
	return S_ISSOCK(status.st_mode) ? of_socket : of_file;
}

#define NEXT(name)                                                                                 \
	({                                                                                         \
		static __typeof__(&name) next;                                                     \
		if (!next)                                                                         \
			next = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                         \
		next;                                                                              \
	})

/* End the call here when it is one that fails. */
#define FAIL(kind, number)                                                                         \
	do {                                                                                       \
		if (fails(kind)) {                                                                 \
			errno = (number);                                                          \
			return -1;                                                                 \
		}                                                                                  \
	} while (0)

#define FAIL_ON(kind, fd, of_file, of_socket)                                                      \
	do {                                                                                       \
		int _failure = failure(kind, fd, of_file, of_socket);                              \
		if (_failure) {                                                                    \
			errno = _failure;                                                          \
			return -1;                                                                 \
		}                                                                                  \
	} while (0)

#define FAIL_READ(fd) FAIL_ON(FAULTS_READ, fd, EIO, ECONNRESET)
#define FAIL_WRITE(fd) FAIL_ON(FAULTS_WRITE, fd, ENOSPC, EPIPE)

/* ---- reading and writing ---- */

ssize_t read(int fd, void *bytes, size_t length)
{
	FAIL_READ(fd);
	return NEXT(read)(fd, bytes, length);
}

ssize_t readv(int fd, const struct iovec *parts, int count)
{
	FAIL_READ(fd);
	return NEXT(readv)(fd, parts, count);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
	FAIL_READ(fd);
	return NEXT(pread64)(fd, bytes, length, offset);
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
	FAIL_READ(fd);
	return NEXT(recv)(fd, bytes, length, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	FAIL_READ(fd);
	return NEXT(recvmsg)(fd, message, flags);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	FAIL_WRITE(fd);
	return NEXT(write)(fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	FAIL_WRITE(fd);
	return NEXT(writev)(fd, parts, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
	FAIL_WRITE(fd);
	return NEXT(pwrite64)(fd, bytes, length, offset);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	FAIL_WRITE(fd);
	return NEXT(send)(fd, bytes, length, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	FAIL_WRITE(fd);
	return NEXT(sendmsg)(fd, message, flags);
}

/* ---- files and sockets ---- */

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	FAIL(FAULTS_CONNECT, ECONNREFUSED);
	return NEXT(connect)(fd, address, size);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	FAIL(FAULTS_ACCEPT, EMFILE);
	return NEXT(accept4)(fd, address, size, flags);
}

int socket(int domain, int type, int protocol)
{
	FAIL(FAULTS_OPEN, EMFILE);
	return NEXT(socket)(domain, type, protocol);
}

int fsync(int fd)
{
	FAIL(FAULTS_FSYNC, EIO);
	return NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
	FAIL(FAULTS_FSYNC, EIO);
	return NEXT(fdatasync)(fd);
}

int rename(const char *from, const char *to)
{
	FAIL(FAULTS_RENAME, EIO);
	return NEXT(rename)(from, to);
}

int unlink(const char *path)
{
	FAIL(FAULTS_RENAME, EIO);
	return NEXT(unlink)(path);
}

static int open_any(int (*next)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
	FAIL(FAULTS_OPEN, EMFILE);
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

/* ---- commits ---- */

struct sqlite3;
struct sqlite3_stmt;
int sqlite3_exec(struct sqlite3 *database, const char *sql, int (*row)(void *, int, char **, char **),
		 void *user, char **ret_message);
int sqlite3_bind_text(struct sqlite3_stmt *statement, int index, const char *text, int length,
		      void (*destroy)(void *));

/* Whether the transaction that is open has to do with a step. */
static bool is_step;

int sqlite3_bind_text(struct sqlite3_stmt *statement, int index, const char *text, int length,
		      void (*destroy)(void *))
{
	if (last_commit && (strncmp(text, "rollout/", 8) == 0 || strncmp(text, "operation/", 10) == 0))
		is_step = true;
	return NEXT(sqlite3_bind_text)(statement, index, text, length, destroy);
}

int sqlite3_exec(struct sqlite3 *database, const char *sql, int (*row)(void *, int, char **, char **),
		 void *user, char **ret_message)
{
	int result;

	if (strcmp(sql, "BEGIN IMMEDIATE") == 0)
		is_step = false;
	result = NEXT(sqlite3_exec)(database, sql, row, user, ret_message);
	if (last_commit && is_step && result == 0 && strcmp(sql, "COMMIT") == 0 && ++commits == last_commit)
		_exit(ENDED);
	return result;
}

/* ---- clocks ---- */

static void move(struct timespec *time, int64_t by_ms)
{
	int64_t nanoseconds = (int64_t)time->tv_nsec + by_ms % 1000 * 1000000;

	time->tv_sec += by_ms / 1000;
	if (nanoseconds < 0)
		time->tv_sec--, nanoseconds += 1000000000;
	if (nanoseconds >= 1000000000)
		time->tv_sec++, nanoseconds -= 1000000000;
	time->tv_nsec = nanoseconds;
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int r = NEXT(clock_gettime)(clock, ret_time);

	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		move(ret_time, wall_offset_ms + slept_ms);
	if (r == 0 && clock == CLOCK_BOOTTIME)
		move(ret_time, slept_ms);
	return r;
}

time_t time(time_t *ret_seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret_seconds)
		*ret_seconds = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *ret_time, void *zone)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	ret_time->tv_sec = now.tv_sec;
	ret_time->tv_usec = now.tv_nsec / 1000;
	return 0;
}

/* ---- memory ---- */

/* What a preloaded library cannot put itself before: a sanitizer's allocator. A program that is linked with it can. */
#if defined(PH_FAULT_MALLOC)
#if defined(PH_FAULT_SANITIZED)
#define ALLOCATOR(name) __interceptor_##name
#else
#define ALLOCATOR(name) __libc_##name
#endif
extern void *ALLOCATOR(malloc)(size_t size);
extern void *ALLOCATOR(calloc)(size_t count, size_t size);
extern void *ALLOCATOR(realloc)(void *pointer, size_t size);

void *malloc(size_t size)
{
	if (fails(FAULTS_MALLOC)) {
		errno = ENOMEM;
		return NULL;
	}
	return ALLOCATOR(malloc)(size);
}

void *calloc(size_t number, size_t size)
{
	if (fails(FAULTS_MALLOC)) {
		errno = ENOMEM;
		return NULL;
	}
	return ALLOCATOR(calloc)(number, size);
}

void *realloc(void *pointer, size_t size)
{
	if (fails(FAULTS_MALLOC)) {
		errno = ENOMEM;
		return NULL;
	}
	return ALLOCATOR(realloc)(pointer, size);
}
#endif
