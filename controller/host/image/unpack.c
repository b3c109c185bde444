/*
 * Besides being shut in, the child refuses on its own: absolute names, "..", entries that lead
 * through a symlink of an earlier entry, ids that are none. Device nodes are left out: liblxc makes
 * a container's /dev.
 */
#include "controller/host/image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <locale.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define READ_SIZE (256 * 1024)
#define PATH_LENGTH_MAXIMUM 4000
#define MEMORY_MAXIMUM (UINT64_C(2) * 1024 * 1024 * 1024) /* xz and zstd windows can be huge */

/* What the child tells at its end; smaller than PIPE_BUF, so it comes whole or not at all. */
struct verdict {
	int code;
	struct ph_error error;
	struct unpack_report report;
};

_Static_assert(sizeof(struct verdict) < 4096, "a verdict is one atomic write");

struct unpacking {
	int fd; /* borrowed */
	const struct unpack_limits *limits;
	struct archive *reader; /* owned */
	struct archive *writer; /* owned */
	crypto_hash_sha256_state hash;
	unsigned char *buffer; /* owned */
	struct unpack_report report;
	struct ph_error *error;
};

/* ---- reading, and hashing what is read ------------------------------------------------------ */

static la_ssize_t read_block(struct archive *reader, void *user, const void **ret_block)
{
	struct unpacking *unpacking = user;
	ssize_t got;

	do
		got = read(unpacking->fd, unpacking->buffer, READ_SIZE);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		archive_set_error(reader, errno, "read: %s", strerror(errno));
		return ARCHIVE_FATAL;
	}
	crypto_hash_sha256_update(&unpacking->hash, unpacking->buffer, (unsigned long long)got);
	*ret_block = unpacking->buffer;
	return got;
}

static void digest_to_hex(crypto_hash_sha256_state *hash, char digest[65])
{
	unsigned char bytes[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(hash, bytes);
	bytes_to_hex(bytes, sizeof(bytes), digest);
}

/* What tar does not need any more (padding) belongs to the digest as well. */
static int finish_digest(struct unpacking *unpacking)
{
	const void *block;
	la_ssize_t got;

	do
		got = read_block(unpacking->reader, unpacking, &block);
	while (got > 0);
	digest_to_hex(&unpacking->hash, unpacking->report.digest);
	return got < 0 ? error_errno(unpacking->error, -EIO, "archive", NULL, "read") : 0;
}

int unpack_digest(int fd, char digest[65])
{
	PH_AUTO_FREE unsigned char *buffer = ph_alloc(READ_SIZE);
	crypto_hash_sha256_state hash;
	ssize_t got;

	crypto_hash_sha256_init(&hash);
	while ((got = read(fd, buffer, READ_SIZE)) > 0)
		crypto_hash_sha256_update(&hash, buffer, (unsigned long long)got);
	if (got < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	digest_to_hex(&hash, digest);
	return 0;
}

/* ---- one entry ------------------------------------------------------------------------------ */

/* Why a name must not be unpacked; NULL when it is fine. */
static const char *name_objection(const char *name)
{
	if (!name || !*name)
		return "an entry has no readable name";
	if (name[0] == '/')
		return "its name is absolute";
	if (strlen(name) > PATH_LENGTH_MAXIMUM)
		return "its name is too long";
	for (const char *at = name; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
			return "its name has '..'";
	}
	return NULL;
}

static int refuse(struct unpacking *unpacking, const char *name, const char *objection)
{
	return error_set(unpacking->error, -EINVAL, name,
			 "pack the root filesystem with 'tar -C ROOTFS -c .'",
			 "unsafe archive: %s", objection);
}

/* A failure of libarchive's, with what the operator can do about it. */
static int explain(struct unpacking *unpacking, struct archive *side, const char *name)
{
	int code = archive_errno(side);
	const char *text = archive_error_string(side);

	if (code == ENOSPC || code == EDQUOT)
		return error_set(unpacking->error, -ENOSPC, name,
				 "free space on the file system of the state directory", "%s",
				 strerror(code));
	return error_set(unpacking->error, -EINVAL, name, NULL, "%s",
			 text ? text : "libarchive gives no reason");
}

static int note_id(struct unpacking *unpacking, const char *name, la_int64_t id)
{
	if (id < 0 || id >= UINT32_MAX)
		return refuse(unpacking, name, "its owner is no user id");
	if ((uint32_t)id > unpacking->report.highest_id)
		unpacking->report.highest_id = (uint32_t)id;
	return 0;
}

/* Keep what means something in a container; trusted.* would speak to the host's overlay. */
static void filter_attributes(struct archive_entry *entry)
{
	struct archive_entry *original = archive_entry_clone(entry);
	const char *name;
	const void *value;
	size_t size;

	archive_entry_xattr_clear(entry);
	archive_entry_xattr_reset(original);
	while (archive_entry_xattr_next(original, &name, &value, &size) == ARCHIVE_OK)
		if (name && (strcmp(name, "security.capability") == 0 ||
			     text_has_prefix(name, "user.")))
			archive_entry_xattr_add_entry(entry, name, value, size);
	archive_entry_free(original);
	archive_entry_set_fflags(entry, 0, 0); /* immutable and the like */
}

static bool is_wanted(struct archive_entry *entry)
{
	mode_t type = archive_entry_filetype(entry);

	return archive_entry_hardlink(entry) || type == AE_IFREG || type == AE_IFDIR ||
	       type == AE_IFLNK;
}

static int check_entry(struct unpacking *unpacking, struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);
	const char *link = archive_entry_hardlink(entry);
	const char *objection = name_objection(name);
	int result;

	if (++unpacking->report.entries > unpacking->limits->entries)
		return error_set(unpacking->error, -EFBIG, name, NULL,
				 "more than %llu entries in the archive",
				 (unsigned long long)unpacking->limits->entries);
	if (objection)
		return refuse(unpacking, name, objection);
	if (link && name_objection(link))
		return refuse(unpacking, name, "it is a hard link to a name outside");
	result = note_id(unpacking, name, archive_entry_uid(entry));
	return result < 0 ? result : note_id(unpacking, name, archive_entry_gid(entry));
}

static int copy_data(struct unpacking *unpacking, const char *name)
{
	const void *block;
	size_t size;
	la_int64_t offset;
	int code;

	while ((code = archive_read_data_block(unpacking->reader, &block, &size, &offset)) ==
	       ARCHIVE_OK) {
		unpacking->report.bytes += size;
		if (unpacking->report.bytes > unpacking->limits->bytes)
			return error_set(unpacking->error, -EFBIG, name, NULL,
					 "unpacks to more than %llu bytes",
					 (unsigned long long)unpacking->limits->bytes);
		if (archive_write_data_block(unpacking->writer, block, size, offset) < ARCHIVE_OK)
			return explain(unpacking, unpacking->writer, name);
	}
	return code == ARCHIVE_EOF ? 0 : explain(unpacking, unpacking->reader, name);
}

static int unpack_entry(struct unpacking *unpacking, struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);
	int result = check_entry(unpacking, entry);

	if (result < 0)
		return result;
	if (!is_wanted(entry)) {
		unpacking->report.skipped++;
		return 0;
	}
	filter_attributes(entry);
	if (archive_write_header(unpacking->writer, entry) < ARCHIVE_OK)
		return explain(unpacking, unpacking->writer, name);
	if (archive_entry_size(entry) > 0)
		result = copy_data(unpacking, name);
	if (result == 0 && archive_write_finish_entry(unpacking->writer) < ARCHIVE_OK)
		result = explain(unpacking, unpacking->writer, name);
	return result;
}

/* ---- the child ------------------------------------------------------------------------------ */

/* Without EXTRACT_UNLINK: with it libarchive replaces a symlink in the way instead of refusing. */
static int open_both(struct unpacking *unpacking)
{
	struct archive *reader = unpacking->reader = archive_read_new();
	struct archive *writer = unpacking->writer = archive_write_disk_new();

	archive_write_disk_set_options(writer,
				       ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM |
					       ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_ACL |
					       ARCHIVE_EXTRACT_XATTR |
					       ARCHIVE_EXTRACT_SECURE_SYMLINKS |
					       ARCHIVE_EXTRACT_SECURE_NODOTDOT |
					       ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
	archive_read_support_filter_gzip(reader);
	archive_read_support_filter_xz(reader);
	archive_read_support_filter_zstd(reader);
	archive_read_support_format_tar(reader);
	if (archive_read_open(reader, unpacking, NULL, read_block, NULL) < ARCHIVE_WARN)
		return error_set(unpacking->error, -EINVAL, "archive",
				 "give a tar archive: plain, .gz, .xz or .zst",
				 "no archive that can be read: %s", archive_error_string(reader));
	return 0;
}

static int unpack_all(struct unpacking *unpacking)
{
	struct archive_entry *entry;
	int result = open_both(unpacking);
	int code;

	while (result == 0) {
		code = archive_read_next_header(unpacking->reader, &entry);
		if (code == ARCHIVE_EOF)
			break;
		if (code < ARCHIVE_WARN)
			return explain(unpacking, unpacking->reader, "archive");
		result = unpack_entry(unpacking, entry);
	}
	/* Closing sets what was deferred: modes and times of directories. */
	if (result == 0 && archive_write_close(unpacking->writer) < ARCHIVE_OK)
		result = explain(unpacking, unpacking->writer, "directories");
	if (result == 0 && unpacking->report.entries == 0)
		result = error_set(unpacking->error, -EINVAL, "archive",
				   "give a tar archive: plain, .gz, .xz or .zst",
				   "the archive is empty");
	return result < 0 ? result : finish_digest(unpacking);
}

static int drop_capabilities(void)
{
	const uint32_t kept = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER |
			      1U << CAP_FSETID | 1U << CAP_SETFCAP;
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { kept, kept, 0 } };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, data) < 0)
		return -errno;
	return 0;
}

/* Shut this process into the directory. The locale is loaded before: tar names may be UTF-8. */
static int shut_in(int target)
{
	struct rlimit memory = { MEMORY_MAXIMUM, MEMORY_MAXIMUM };

	setlocale(LC_ALL, "C.UTF-8");
#ifndef __SANITIZE_ADDRESS__
	if (setrlimit(RLIMIT_AS, &memory) < 0)
		return -errno;
#else
	(void)memory; /* the sanitizer reserves terabytes */
#endif
	if (fchdir(target) < 0 || chroot(".") < 0)
		return -errno;
	return drop_capabilities();
}

static void run_child(int archive, int target, int output, const struct unpack_limits *limits)
{
	struct verdict verdict = { 0 };
	struct unpacking unpacking = {
		.fd = archive,
		.limits = limits,
		.buffer = ph_alloc(READ_SIZE),
		.error = &verdict.error,
	};

	umask(0);
	crypto_hash_sha256_init(&unpacking.hash);
	verdict.code = shut_in(target);
	if (verdict.code < 0)
		error_errno(&verdict.error, verdict.code, "unpacker", NULL, "shut in");
	else
		verdict.code = unpack_all(&unpacking);
	verdict.report = unpacking.report;
	_exit(write(output, &verdict, sizeof(verdict)) == (ssize_t)sizeof(verdict) ? 0 : 1);
}

/* The child has parsed hostile bytes: nothing it says is trusted to be well-formed. */
static void disarm(struct verdict *verdict)
{
	struct ph_error *error = &verdict->error;

	error->what[sizeof(error->what) - 1] = '\0';
	error->where[sizeof(error->where) - 1] = '\0';
	error->why[sizeof(error->why) - 1] = '\0';
	error->remedy[sizeof(error->remedy) - 1] = '\0';
	error->step[sizeof(error->step) - 1] = '\0';
	verdict->report.digest[sizeof(verdict->report.digest) - 1] = '\0';
	if (verdict->code > 0)
		verdict->code = -EIO;
}

static int hear(pid_t child, int input, struct verdict *verdict, struct ph_error *error)
{
	ssize_t got;
	int status = 0;

	do
		got = read(input, verdict, sizeof(*verdict));
	while (got < 0 && errno == EINTR);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (got != (ssize_t)sizeof(*verdict))
		return error_set(error, -EIO, "unpacker", NULL,
				 "ended by signal %d without a verdict",
				 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	disarm(verdict);
	if (verdict->code < 0 && error)
		*error = verdict->error;
	return verdict->code;
}

int unpack_archive(int archive, int target, const struct unpack_limits *limits,
		   struct unpack_report *ret_report, struct ph_error *error)
{
	struct verdict verdict = { 0 };
	int ends[2];
	pid_t parent = getpid(), child;
	int result;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(error, -errno, "unpacker", NULL, "pipe");
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		run_child(archive, target, ends[1], limits);
	}
	close(ends[1]);
	if (child < 0)
		result = error_errno(error, -errno, "unpacker", NULL, "fork");
	else
		result = hear(child, ends[0], &verdict, error);
	close(ends[0]);
	if (result == 0)
		*ret_report = verdict.report;
	return result;
}
