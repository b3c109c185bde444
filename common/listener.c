/*
 * Accepting must neither spin nor stall when descriptors run out: a connection in the backlog keeps
 * the socket readable. One descriptor is held back for all listeners, as the limit is the process's: it is
 * given up to accept and refuse that connection, and taken again; when even that fails the listener rests
 * for a moment.
 */
#include "common/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"

#define BACKLOG 256
#define ACCEPTS_PER_TURN 64 /* then the other sockets of the loop have theirs */
#define REST_MS 100
#define HANDLES 2

struct listener {
	uv_poll_t poll;
	uv_timer_t rest;
	unsigned int handles;
	int fd; /* owned */
	bool closing;
	struct address address;
	dev_t device; /* of our socket file, to tell it from a successor's */
	ino_t inode;
	listener_accepted_fn accepted;
	void *user; /* borrowed */
};

static void listener_polled(uv_poll_t *poll, int status, int events);
static void listener_rested(uv_timer_t *timer);
static void listener_handle_closed(uv_handle_t *handle);

/* Of the one thread that has listeners. */
static struct {
	int fd; /* -1 while it could not be had back */
	unsigned int listeners;
} reserve = { .fd = -1 };

static bool take_reserve(void)
{
	if (reserve.fd < 0)
		reserve.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return reserve.fd >= 0;
}

static void leave_reserve(void)
{
	if (--reserve.listeners == 0 && reserve.fd >= 0)
		close(take_fd(&reserve.fd));
}

static int listen_error(const struct address *address, int code, struct ph_error *error)
{
	char text[128];

	address_format(address, text);
	switch (code) {
	case -EEXIST:
		return error_set(error, code, text, "move the file away or choose another path",
				 "a file that is not a socket is in the way");
	case -EADDRINUSE:
		return error_set(error, code, text, "stop the process that listens there",
				 "another process listens there");
	case -ENOENT:
		return error_set(error, code, text, "create the directory",
				 "the directory does not exist");
	default:
		return error_errno(error, code, text, NULL, "listen");
	}
}

static void remember_file(struct listener *listener)
{
	struct stat status;

	if (listener->address.family != ADDRESS_UNIX || lstat(listener->address.path, &status) < 0)
		return;
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
}

bool listener_is_reachable(const struct listener *listener)
{
	struct stat status;

	if (listener->address.family != ADDRESS_UNIX || listener->inode == 0)
		return true;
	return lstat(listener->address.path, &status) == 0 && S_ISSOCK(status.st_mode) &&
	       status.st_dev == listener->device && status.st_ino == listener->inode;
}

static void remove_file(const struct listener *listener)
{
	if (listener->address.family == ADDRESS_UNIX && listener->inode != 0 &&
	    listener_is_reachable(listener))
		unlink(listener->address.path);
}

static void take_a_rest(struct listener *listener)
{
	uv_poll_stop(&listener->poll);
	uv_timer_start(&listener->rest, listener_rested, REST_MS, 0);
}

/* Refuse one connection with the reserve's descriptor; rest when there is none. */
static void shed(struct listener *listener)
{
	int refused;

	if (reserve.fd >= 0) {
		close(take_fd(&reserve.fd));
		refused = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (refused >= 0)
			close(refused);
	}
	if (!take_reserve())
		take_a_rest(listener);
}

static bool is_exhausted(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOBUFS || code == -ENOMEM;
}

/* Accept one connection: 1, 0 when there is none (any more), or a negative errno. */
static int accept_one(struct listener *listener)
{
	PH_AUTO_CLOSE int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t size = sizeof(peer);

	if (fd < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (listener->address.family == ADDRESS_UNIX &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return 1;
	listener->accepted(listener->user, take_fd(&fd), &peer);
	return 1;
}

static void accept_some(struct listener *listener)
{
	int r = 1;

	/* accepted() may close the listener. */
	for (int i = 0; i < ACCEPTS_PER_TURN && r > 0 && !listener->closing; i++) {
		r = accept_one(listener);
		/* These speak of the one connection, which is gone from the backlog. */
		if (r == -ECONNABORTED || r == -EINTR || r == -EPROTO || r == -EPERM)
			r = 1;
	}
	if (listener->closing)
		return;
	if (is_exhausted(r))
		shed(listener);
	else if (r < 0)
		take_a_rest(listener);
}

int listener_open(uv_loop_t *loop, const struct address *address, mode_t mode,
		  listener_accepted_fn accepted, void *user, struct listener **ret_listener,
		  struct ph_error *error)
{
	int fd = address_listen(address, mode, BACKLOG);

	if (fd < 0)
		return listen_error(address, fd, error);
	return listener_adopt(loop, fd, address, accepted, user, ret_listener, error);
}

int listener_adopt(uv_loop_t *loop, int owned_fd, const struct address *address,
		   listener_accepted_fn accepted, void *user, struct listener **ret_listener,
		   struct ph_error *error)
{
	PH_AUTO_FREE struct listener *listener = ph_alloc(sizeof(*listener));
	PH_AUTO_CLOSE int fd = owned_fd;
	int r = uv_poll_init(loop, &listener->poll, fd);

	if (r < 0)
		return listen_error(address, r, error);
	uv_timer_init(loop, &listener->rest);
	listener->poll.data = listener;
	listener->rest.data = listener;
	listener->handles = HANDLES;
	listener->fd = take_fd(&fd);
	reserve.listeners++;
	take_reserve();
	listener->address = *address;
	listener->accepted = accepted;
	listener->user = user;
	remember_file(listener);
	uv_poll_start(&listener->poll, UV_READABLE, listener_polled);
	*ret_listener = take_pointer(listener);
	return 0;
}

void listener_close(struct listener *listener)
{
	if (!listener || listener->closing)
		return;
	listener->closing = true;
	remove_file(listener);
	uv_close((uv_handle_t *)&listener->poll, listener_handle_closed);
	uv_close((uv_handle_t *)&listener->rest, listener_handle_closed);
	close(take_fd(&listener->fd));
	leave_reserve();
}

static void listener_polled(uv_poll_t *poll, int status, int events)
{
	accept_some(container_of(poll, struct listener, poll));
}

static void listener_rested(uv_timer_t *timer)
{
	struct listener *listener = container_of(timer, struct listener, rest);

	take_reserve();
	uv_poll_start(&listener->poll, UV_READABLE, listener_polled);
}

static void listener_handle_closed(uv_handle_t *handle)
{
	struct listener *listener = handle->data;

	if (--listener->handles == 0)
		free(listener);
}
