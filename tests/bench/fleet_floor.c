#include "tests/bench/fleet_floor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BYTES 4096
#define EVENTS 256
#define BACKOFF_FIRST_MS 20 /* as agents do */
#define BACKOFF_LAST_MS 1000
#define HEARTBEAT_SECONDS 10.0

struct parent {
	struct sockaddr_un address;
	struct floor_sizes sizes;
	size_t count;
	int listener, epoll;
	int *children; /* owned: sockets */
	size_t connected;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-fleet: floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

/* ---- a child ---- */

static int dial(const struct parent *parent)
{
	unsigned int wait = BACKOFF_FIRST_MS;
	int fd;

	for (;;) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, (const struct sockaddr *)&parent->address,
				       sizeof(parent->address)) == 0)
			return fd;
		close(fd);
		usleep((wait + (unsigned int)rand() % (wait / 2 + 1)) * 1000);
		wait = wait * 2 > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : wait * 2;
	}
}

/* Read it all: false when the other side has gone. */
static int take(int fd, size_t length)
{
	char bytes[BYTES];
	ssize_t got = 0;

	for (size_t at = 0; at < length; at += (size_t)got) {
		got = read(fd, bytes, length - at);
		if (got <= 0)
			return 0;
	}
	return 1;
}

static _Noreturn void serve(const struct parent *parent)
{
	const char bytes[BYTES] = { 0 };
	char kind;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	srand((unsigned int)getpid());
	close_range(STDERR_FILENO + 1, ~0U, 0); /* sockets of its elder siblings among them */
	for (;;) {
		fd = dial(parent);
		while (read(fd, &kind, 1) == 1) {
			/* 'q' is a question; 'h' makes it say its word, which is answered. */
			if (kind == 'q' && (!take(fd, parent->sizes.request - 1) ||
					    write(fd, bytes, parent->sizes.reply) < 0))
				break;
			if (kind == 'h' && (write(fd, bytes, parent->sizes.heartbeat) < 0 ||
					    !take(fd, parent->sizes.taken)))
				break;
		}
		close(fd);
	}
}

/* ---- the parent ---- */

static void open_sockets(struct parent *parent)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = UINT32_MAX };

	unlink(parent->address.sun_path);
	parent->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	parent->epoll = epoll_create1(EPOLL_CLOEXEC);
	parent->connected = 0;
	if (bind(parent->listener, (struct sockaddr *)&parent->address,
		 sizeof(parent->address)) < 0 ||
	    listen(parent->listener, 4096) < 0 ||
	    epoll_ctl(parent->epoll, EPOLL_CTL_ADD, parent->listener, &event) < 0)
		die("listen");
}

static void accept_all(struct parent *parent)
{
	int fd;

	while ((fd = accept4(parent->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = { .events = EPOLLIN,
					     .data.u32 = (uint32_t)parent->connected };

		if (epoll_ctl(parent->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
			die("epoll_ctl");
		parent->children[parent->connected++] = fd;
	}
}

/* One turn of the loop; returns how many bytes children have sent, and answers words with `answer` bytes. */
static size_t turn(struct parent *parent, size_t answer)
{
	static const char bytes[BYTES];
	struct epoll_event events[EVENTS];
	int count = epoll_wait(parent->epoll, events, EVENTS, -1);
	char buffer[BYTES];
	size_t total = 0;

	for (int i = 0; i < count; i++) {
		ssize_t got;

		if (events[i].data.u32 == UINT32_MAX) {
			accept_all(parent);
			continue;
		}
		got = read(parent->children[events[i].data.u32], buffer, sizeof(buffer));
		if (got <= 0)
			die("read");
		total += (size_t)got;
		if (answer && write(parent->children[events[i].data.u32], bytes, answer) < 0)
			die("write");
	}
	return total;
}

static void ask(struct parent *parent, char kind, size_t length)
{
	char bytes[BYTES] = { kind };

	for (size_t i = 0; i < parent->count; i++)
		if (write(parent->children[i], bytes, length) != (ssize_t)length)
			die("write");
}

static double query(struct parent *parent)
{
	double start = now_ms();
	size_t left = parent->count * parent->sizes.reply;

	ask(parent, 'q', parent->sizes.request);
	while (left)
		left -= turn(parent, 0);
	return now_ms() - start;
}

static double own_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/* The words come at once, after they were asked for, which is not counted. */
static double heartbeats(struct parent *parent)
{
	size_t left = parent->count * parent->sizes.heartbeat;
	double start;

	ask(parent, 'h', 1);
	start = own_ms();
	while (left)
		left -= turn(parent, parent->sizes.taken);
	return (own_ms() - start) / (HEARTBEAT_SECONDS * 1000) * 100;
}

static double restart(struct parent *parent)
{
	double start = now_ms();

	close(parent->listener);
	close(parent->epoll);
	for (size_t i = 0; i < parent->count; i++)
		close(parent->children[i]);
	open_sockets(parent);
	while (parent->connected < parent->count)
		turn(parent, 0);
	return now_ms() - start;
}

void floor_measure(const char *directory, size_t count, const struct floor_sizes *sizes,
		   struct floor_figures *ret_figures)
{
	struct parent parent = { .sizes = *sizes, .count = count, .address.sun_family = AF_UNIX };
	pid_t *pids = calloc(count, sizeof(*pids));
	double start;

	snprintf(parent.address.sun_path, sizeof(parent.address.sun_path), "%s/floor.sock",
		 directory);
	parent.children = calloc(count, sizeof(*parent.children));
	if (!pids || !parent.children)
		die("memory");
	open_sockets(&parent);
	start = now_ms();
	for (size_t i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (pids[i] == 0)
			serve(&parent);
		accept_all(&parent);
	}
	while (parent.connected < count)
		turn(&parent, 0);
	ret_figures->storm = now_ms() - start;
	for (size_t i = 0; i < FLOOR_ROUNDS; i++)
		ret_figures->query[i] = query(&parent);
	ret_figures->heartbeat_percent = heartbeats(&parent);
	ret_figures->restart = restart(&parent);
	for (size_t i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	for (size_t i = 0; i < count; i++) {
		waitpid(pids[i], NULL, 0);
		close(parent.children[i]);
	}
	close(parent.listener);
	close(parent.epoll);
	free(parent.children);
	free(pids);
}
