/* Copied and hashed in one pass, so that the digest is that of the bytes that will run. */
#include "controller/host/lxc/sealed.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/str.h"

#define SIZE_MAXIMUM (64 << 20)

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

static int open_program(const char *path, int *ret_fd, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	static const char *const remedy = "set \"agent\" in the configuration to the installed "
					  "phoenix-agent";
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_errno(error, -errno, path, remedy, "open");
	if (!S_ISREG(status.st_mode) || status.st_size < (off_t)sizeof(Elf64_Ehdr) ||
	    status.st_size > SIZE_MAXIMUM)
		return error_set(error, -ENOEXEC, path, remedy, "this is no agent program");
	if (status.st_uid != 0 || (status.st_mode & (S_IWGRP | S_IWOTH)))
		return error_set(error, -EPERM, path, "chown root:root and chmod go-w it",
				 "others than root can change the agent program");
	*ret_fd = take_fd(&fd);
	return 0;
}

static int copy_hashed(int from, int to, char digest[65])
{
	uint8_t buffer[64 * 1024], hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	size_t total = 0;

	crypto_hash_sha256_init(&state);
	for (;;) {
		ssize_t got = io_read(from, buffer, sizeof(buffer));
		int code;

		if (got < 0)
			return (int)got;
		if (got == 0)
			break;
		total += (size_t)got;
		if (total > SIZE_MAXIMUM)
			return -EFBIG;
		crypto_hash_sha256_update(&state, buffer, (unsigned long long)got);
		code = io_write(to, buffer, (size_t)got);
		if (code < 0)
			return code;
	}
	crypto_hash_sha256_final(&state, hash);
	bytes_to_hex(hash, sizeof(hash), digest);
	return 0;
}

/* An interpreter would be looked up in the container: only a static program is what was pushed. */
static bool is_static(int fd)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(segment))
		return false;
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		off_t place = (off_t)(header.e_phoff + i * sizeof(segment));

		if (pread(fd, &segment, sizeof(segment), place) != sizeof(segment) ||
		    segment.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static int seal(int fd)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	if (fchmod(fd, 0555) < 0)
		return -errno;
	/* F_SEAL_EXEC (6.3) keeps the mode as it is; older kernels refuse what they do not know. */
	if (fcntl(fd, F_ADD_SEALS, seals | F_SEAL_EXEC) == 0)
		return 0;
	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

static int reopen_readonly(int fd)
{
	char path[48];
	int readonly;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readonly = open(path, O_RDONLY | O_CLOEXEC);
	return readonly < 0 ? -errno : readonly;
}

int sealed_load(const char *path, struct sealed *ret_sealed, struct ph_error *error)
{
	PH_AUTO_CLOSE int file = -1;
	PH_AUTO_CLOSE int memory = memfd_create(SEALED_NAME, MFD_ALLOW_SEALING | MFD_CLOEXEC);
	struct sealed sealed = { .fd = -1 };
	int code = open_program(path, &file, error);

	if (code < 0)
		return code;
	if (memory < 0)
		return error_errno(error, -errno, NULL, NULL, "memfd_create");
	code = copy_hashed(file, memory, sealed.digest);
	if (code < 0)
		return error_errno(error, code, path, NULL, "copy");
	if (!is_static(memory))
		return error_set(error, -ENOEXEC, path, "install the static phoenix-agent",
				 "the agent has to be a static program");
	code = seal(memory);
	if (code < 0)
		return error_errno(error, code, NULL, NULL, "seal the agent");
	sealed.fd = reopen_readonly(memory);
	if (sealed.fd < 0)
		return error_errno(error, sealed.fd, NULL, NULL, "reopen the agent");
	*ret_sealed = sealed;
	return 0;
}

void sealed_fini(struct sealed *sealed)
{
	if (sealed->fd >= 0)
		close(sealed->fd);
	sealed->fd = -1;
}
