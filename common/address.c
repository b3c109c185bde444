/*
 * Peers are named by text in configuration and on command lines; this turns it into sockets, so that
 * nothing above knows which family it speaks over.
 */
#include "common/address.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

/* A vsock connect waits for the other side's kernel, which answers at once or never. */
#define VSOCK_CONNECT_MS 1000

union socket_address {
	struct sockaddr any;
	struct sockaddr_un local;
	struct sockaddr_vm vm;
};

static int parse_unix(const char *text, struct address *address, struct ph_error *error)
{
	if (text_empty(text))
		return error_set(error, -EINVAL, NULL, "write unix:/path/of/the/socket",
				 "the socket's path is empty");
	if (text[0] == '@')
		return error_set(error, -EINVAL, text, "use a path: a file has an owner and a mode",
				 "abstract sockets are open to every process of the host");
	if (strlen(text) >= sizeof(address->path))
		return error_set(error, -EINVAL, text, "choose a shorter directory",
				 "a socket's path has at most %zu bytes, this one has %zu",
				 sizeof(address->path) - 1, strlen(text));
	address->family = ADDRESS_UNIX;
	text_copy(address->path, sizeof(address->path), text);
	return 0;
}

static int parse_vsock(const char *text, struct address *address, struct ph_error *error)
{
	const char *colon = strchr(text, ':');
	char cid_text[24];
	uint64_t cid, port;

	if (!colon || (size_t)(colon - text) >= sizeof(cid_text))
		return error_set(error, -EINVAL, text, "write vsock:CID:PORT",
				 "a vsock address has a context id and a port");
	text_copy(cid_text, (size_t)(colon - text) + 1, text);
	if (text_to_u64(cid_text, UINT32_MAX, &cid) < 0 ||
	    text_to_u64(colon + 1, UINT32_MAX, &port) < 0)
		return error_set(error, -EINVAL, text, "write vsock:CID:PORT",
				 "the context id and the port are decimal numbers below 2^32");
	address->family = ADDRESS_VSOCK;
	address->cid = (uint32_t)cid;
	address->port = (uint32_t)port;
	return 0;
}

int address_parse(const char *text, struct address *ret_address, struct ph_error *error)
{
	struct address address = { 0 };
	int r;

	if (text_empty(text))
		return error_set(error, -EINVAL, NULL, "write unix:PATH or vsock:CID:PORT",
				 "the address is empty");
	if (text[0] == '/')
		r = parse_unix(text, &address, error);
	else if (text_has_prefix(text, "unix:"))
		r = parse_unix(text + strlen("unix:"), &address, error);
	else if (text_has_prefix(text, "vsock:"))
		r = parse_vsock(text + strlen("vsock:"), &address, error);
	else
		r = error_set(error, -EINVAL, text, "write unix:PATH or vsock:CID:PORT",
			      "no such kind of address");
	if (r == 0)
		*ret_address = address;
	return r;
}

char *address_format(const struct address *address, char text[128])
{
	if (address->family == ADDRESS_UNIX)
		snprintf(text, 128, "unix:%s", address->path);
	else
		snprintf(text, 128, "vsock:%u:%u", address->cid, address->port);
	return text;
}

static socklen_t to_socket_address(const struct address *address, union socket_address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (address->family == ADDRESS_UNIX) {
		ret->local.sun_family = AF_UNIX;
		memcpy(ret->local.sun_path, address->path, sizeof(ret->local.sun_path));
		return sizeof(ret->local);
	}
	ret->vm.svm_family = AF_VSOCK;
	ret->vm.svm_cid = address->cid;
	ret->vm.svm_port = address->port;
	return sizeof(ret->vm);
}

static int open_socket(const struct address *address)
{
	int family = address->family == ADDRESS_UNIX ? AF_UNIX : AF_VSOCK;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int finish_connect(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int result = 0;
	int ready;

	do
		ready = poll(&wait, 1, VSOCK_CONNECT_MS);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return ready < 0 ? -errno : -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size) < 0)
		return -errno;
	return -result;
}

int address_connect(const struct address *address)
{
	union socket_address peer;
	socklen_t length = to_socket_address(address, &peer);
	PH_AUTO_CLOSE int fd = open_socket(address);
	int r = 0;

	if (fd < 0)
		return fd;
	if (connect(fd, &peer.any, length) < 0)
		r = errno == EINPROGRESS ? finish_connect(fd) : -errno;
	return r < 0 ? r : take_fd(&fd);
}

/* Unlink a socket file that nobody listens on: 0, or why the path cannot be had. */
static int remove_stale(const struct address *address)
{
	PH_AUTO_CLOSE int probe = -1;
	struct stat status;

	if (lstat(address->path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	probe = address_connect(address);
	if (probe != -ECONNREFUSED)
		return probe < 0 && probe != -EAGAIN ? probe : -EADDRINUSE;
	return unlink(address->path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_unix(int fd, const struct address *address, mode_t mode)
{
	union socket_address self;
	socklen_t length = to_socket_address(address, &self);
	int r;

	/* The file is born with the socket inode's mode: there is no moment with a wider one. */
	if (fchmod(fd, mode) < 0)
		return -errno;
	if (bind(fd, &self.any, length) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	r = remove_stale(address);
	if (r < 0)
		return r;
	return bind(fd, &self.any, length) < 0 ? -errno : 0;
}

static int bind_vsock(int fd, const struct address *address)
{
	union socket_address self;
	socklen_t length = to_socket_address(address, &self);

	return bind(fd, &self.any, length) < 0 ? -errno : 0;
}

int address_listen(const struct address *address, mode_t mode, int backlog)
{
	PH_AUTO_CLOSE int fd = open_socket(address);
	int r;

	if (fd < 0)
		return fd;
	if (address->family == ADDRESS_UNIX)
		r = bind_unix(fd, address, mode);
	else
		r = bind_vsock(fd, address);
	if (r < 0)
		return r;
	/* The umask has narrowed the mode, and nobody can connect before listen(). */
	if (address->family == ADDRESS_UNIX && chmod(address->path, mode) < 0)
		return -errno;
	return listen(fd, backlog) < 0 ? -errno : take_fd(&fd);
}

bool address_is_listening(int fd, const struct address *address)
{
	union socket_address wanted, found = { 0 };
	socklen_t length = sizeof(found), size = sizeof(int);
	int listening = 0;

	to_socket_address(address, &wanted);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening ||
	    getsockname(fd, &found.any, &length) < 0 ||
	    found.any.sa_family != wanted.any.sa_family)
		return false;
	if (address->family == ADDRESS_UNIX)
		return strncmp(found.local.sun_path, address->path, sizeof(address->path)) == 0;
	return found.vm.svm_cid == address->cid && found.vm.svm_port == address->port;
}
