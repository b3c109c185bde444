/* What cannot be had (a lock beyond RLIMIT_MEMLOCK, a kernel that is too old) is done without. */
#include "common/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

uint8_t *secret_new(void)
{
	uint8_t *secret = mmap(NULL, SECRET_MAXIMUM, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secret == MAP_FAILED)
		abort();
	mlock(secret, SECRET_MAXIMUM);
	madvise(secret, SECRET_MAXIMUM, MADV_DONTDUMP);
	madvise(secret, SECRET_MAXIMUM, MADV_WIPEONFORK);
	return secret;
}

void secret_free(uint8_t *secret)
{
	if (!secret)
		return;
	sodium_memzero(secret, SECRET_MAXIMUM);
	munmap(secret, SECRET_MAXIMUM);
}

/* Read until length bytes are there or it ends; how many came, or a negative errno. */
static ssize_t read_all(int fd, uint8_t *bytes, size_t length)
{
	size_t used = 0;

	while (used < length) {
		ssize_t got = read(fd, bytes + used, length - used);

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

int secret_read(int fd, uint8_t *bytes, size_t length)
{
	uint8_t more;
	ssize_t got = read_all(fd, bytes, length);

	if (got < 0)
		return (int)got;
	if ((size_t)got != length || read_all(fd, &more, 1) != 0)
		return -EBADMSG;
	return 0;
}
