/*
 * Unpack a tar archive that may be hostile into an empty directory. libarchive does it in a child
 * that is shut into that directory (chroot) and keeps only the capabilities that owners and modes
 * need: what a parser bug could reach is the directory itself.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

struct unpack_limits {
	uint64_t bytes;   /* of file contents */
	uint64_t entries;
};

struct unpack_report {
	char digest[65];     /* sha256 of the whole archive as it was read, hex */
	uint64_t bytes;
	uint64_t entries;
	uint64_t skipped;    /* device nodes, FIFOs and sockets */
	uint32_t highest_id;
};

/*
 * Unpack what archive (a descriptor at its start) holds into target. Owners, modes, ACLs, hard
 * links, holes, user attributes and file capabilities are kept. -EINVAL when an entry would leave
 * the directory or the archive is damaged, -ENOSPC, -EFBIG over a limit; the error names the entry.
 * What was unpacked so far stays.
 */
int unpack_archive(int archive, int target, const struct unpack_limits *limits,
		   struct unpack_report *ret_report, struct ph_error *error);

/* sha256 of what a descriptor reads from its start, as hex; leaves it at its start. */
int unpack_digest(int fd, char digest[65]);
