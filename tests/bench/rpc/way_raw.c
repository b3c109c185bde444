/* The floor: an echo of the same numbers of bytes by nothing but epoll, read and write. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/memory.h"
#include "tests/bench/rpc/way.h"

struct raw {
	int fd;
	int epoll;
};

static size_t request_size, reply_size; /* set once, before anything is forked */

void way_raw_set_bytes(size_t request_bytes, size_t reply_bytes)
{
	request_size = request_bytes;
	reply_size = reply_bytes;
}

static int open_epoll(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		way_die("epoll");
	return epoll;
}

/* Wait for exactly length bytes; false when the other side has gone. */
static bool take_bytes(int epoll, int fd, uint8_t *bytes, size_t length)
{
	struct epoll_event event;
	ssize_t got;

	while (length > 0) {
		if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
			return false;
		got = read(fd, bytes, length);
		if (got <= 0)
			return false;
		length -= (size_t)got;
	}
	return true;
}

static void serve(int fd)
{
	uint8_t bytes[4096] = { 0 };
	int epoll = open_epoll(fd);

	while (take_bytes(epoll, fd, bytes, request_size))
		if (write(fd, bytes, reply_size) != (ssize_t)reply_size)
			break;
}

static void *raw_open(const char **ret_absent)
{
	struct raw *raw = ph_alloc(sizeof(*raw));

	raw->fd = way_fork(serve);
	raw->epoll = open_epoll(raw->fd);
	return raw;
}

static void raw_round(void *state, uint64_t *samples, size_t calls)
{
	uint8_t bytes[4096] = { 0 };
	struct raw *raw = state;

	for (size_t i = 0; i < calls; i++) {
		uint64_t begun = way_now_ns();

		if (write(raw->fd, bytes, request_size) != (ssize_t)request_size ||
		    !take_bytes(raw->epoll, raw->fd, bytes, reply_size))
			way_die("echo");
		samples[i] = way_now_ns() - begun;
	}
}

const struct way way_raw = { "floor", raw_open, raw_round };
