/* What cannot be had (a lock beyond RLIMIT_MEMLOCK, a kernel that is too old) is done without. */
#include "common/io.h"
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

int secret_read(int fd, uint8_t *bytes, size_t length)
{
	uint8_t more;
	ssize_t got = io_read(fd, bytes, length);

	if (got < 0)
		return (int)got;
	if ((size_t)got != length || io_read(fd, &more, 1) != 0)
		return -EBADMSG;
	return 0;
}
