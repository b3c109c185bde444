#include "common/io.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

ssize_t io_read(int fd, void *bytes, size_t size)
{
	uint8_t *at = bytes;
	size_t used = 0;

	while (used < size) {
		ssize_t got = read(fd, at + used, size - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

int io_write(int fd, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		ssize_t written = write(fd, at, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		at += written;
		size -= (size_t)written;
	}
	return 0;
}
