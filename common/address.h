/*
 * Where a peer listens: "unix:PATH" or "vsock:CID:PORT". A text without a scheme that begins with '/' is
 * a Unix path.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/error.h"

enum address_family {
	ADDRESS_UNIX,
	ADDRESS_VSOCK,
};

struct address {
	enum address_family family;
	char path[108]; /* unix: terminated, never abstract */
	uint32_t cid;   /* vsock */
	uint32_t port;
};

/* Read an address. -EINVAL with the error filled: empty, too long, abstract, unknown scheme. */
int address_parse(const char *text, struct address *ret_address, struct ph_error *error);

/* Write it back; text needs 128 bytes. Returns text. */
char *address_format(const struct address *address, char text[128]);

/* Open a non-blocking close-on-exec socket and connect it; a negative errno, or the fd. */
int address_connect(const struct address *address);

/*
 * Open a listening socket. A Unix path left by a dead process is replaced (when it is a socket);
 * mode is the socket file's. A negative errno, or the fd.
 */
int address_listen(const struct address *address, mode_t mode, int backlog);

/* Whether a descriptor is a socket that listens on exactly this address. */
bool address_is_listening(int fd, const struct address *address);
