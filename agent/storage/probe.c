/*
 * The same battery that verify runs is the probe: what passes here is what verify will pass. Only
 * /dev/fuse, versions and what the data-root holds are looked up.
 */
#include "agent/storage/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/storage/held.h"
#include "agent/storage/report.h"
#include "agent/storage/scratch.h"
#include "agent/storage/storage_checks.h"
#include "agent/system/command.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"

#define VERSION_MS 10000

/* ---- names ---- */

void storage_filesystem_name(unsigned long type, char *name, size_t size)
{
	/* linux/magic.h, and the file systems that keep theirs to themselves */
	static const struct {
		unsigned long type;
		const char *name;
	} known[] = {
		{ 0xEF53, "ext4" },        { 0x58465342, "xfs" },  { 0x9123683E, "btrfs" },
		{ 0x2FC12FC1, "zfs" },     { 0x01021994, "tmpfs" }, { 0x794C7630, "overlay" },
		{ 0x65735546, "fuse" },    { 0x6969, "nfs" },      { 0xFF534D42, "cifs" },
		{ 0xFE534D42, "smb2" },    { 0x517B, "smb" },      { 0x01021997, "9p" },
		{ 0x00C36400, "ceph" },    { 0x5346414F, "afs" },  { 0xF15F, "ecryptfs" },
		{ 0xF2F52010, "f2fs" },    { 0xCA451A4E, "bcachefs" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
		if ((type & 0xFFFFFFFF) == known[i].type) {
			text_copy(name, size, known[i].name);
			return;
		}
	snprintf(name, size, "0x%lx", type);
}

static void look_at_filesystem(const char *data_root, struct storage_facts *facts)
{
	PH_AUTO_FREE char *version = NULL;
	struct statfs status;

	if (statfs(data_root, &status) < 0)
		return;
	storage_filesystem_name((unsigned long)status.f_type, facts->filesystem,
				sizeof(facts->filesystem));
	if (!text_equal(facts->filesystem, "zfs") ||
	    file_read_virtual("/sys/module/zfs/version", 256, &version, NULL) < 0)
		return;
	version[strcspn(version, "\n")] = '\0';
	text_copy(facts->filesystem_version, sizeof(facts->filesystem_version), version);
}

/* The first word behind a key in what a program prints of its version. */
static void ask_version(const char *program, const char *key, char *version, size_t size)
{
	const char *const argv[] = { program, "--version", NULL };
	const struct command command = { .argv = argv, .deadline_ms = VERSION_MS };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	const char *found;

	if (command_run(&command, &ended, NULL) < 0 || !ended.output)
		return;
	found = strstr(ended.output, key);
	if (!found)
		return;
	snprintf(version, size, "%.*s", (int)strcspn(found + strlen(key), " ,\n"),
		 found + strlen(key));
}

/* ---- behaviour ---- */

static void try_fuse_device(struct storage_facts *facts)
{
	PH_AUTO_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	facts->fuse_device = fd >= 0 ? STORAGE_YES : STORAGE_NO;
	if (fd < 0)
		text_copy(facts->fuse_problem, sizeof(facts->fuse_problem), strerror(errno));
}

static enum storage_answer try_entry_types(int directory)
{
	PH_AUTO_DIR DIR *stream = NULL;
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;

	stream = copy < 0 ? NULL : fdopendir(copy);
	while (stream && (entry = readdir(stream)))
		if (text_equal(entry->d_name, "lower"))
			return entry->d_type == DT_DIR ? STORAGE_YES : STORAGE_NO;
	return STORAGE_UNKNOWN;
}

static enum storage_answer try_acl(int directory)
{
	/* Version 2; user::rw-, user:1000:r--, group::r--, mask::r--, other::r--, little-endian. */
	static const unsigned char acl[] = {
		2,    0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2,    0, 4, 0, 0xE8, 3,   0,   0,   4, 0,
		4,    0, 255, 255, 255, 255, 0x10, 0, 4, 0, 255, 255, 255, 255, 0x20, 0, 4, 0, 255, 255,
		255,  255
	};
	PH_AUTO_CLOSE int fd = -1;

	if (scratch_write(directory, "acl", "", 0600) < 0)
		return STORAGE_UNKNOWN;
	fd = openat(directory, "acl", O_RDWR | O_CLOEXEC);
	if (fd >= 0 && fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) == 0)
		return STORAGE_YES;
	return fd >= 0 && errno == EOPNOTSUPP ? STORAGE_NO : STORAGE_UNKNOWN;
}

/* Before Linux 5.8 the call is refused in a user namespace, which says nothing of overlay's own. */
static enum storage_answer try_rename_whiteout(int directory)
{
	if (scratch_write(directory, "whiteout-from", "", 0600) < 0)
		return STORAGE_UNKNOWN;
	if (renameat2(directory, "whiteout-from", directory, "whiteout-to", RENAME_WHITEOUT) == 0)
		return STORAGE_YES;
	return errno == EINVAL || errno == EOPNOTSUPP ? STORAGE_NO : STORAGE_UNKNOWN;
}

static const Phoenix__Check *find_check(const Phoenix__VerifyReport *report, const char *id)
{
	for (size_t i = 0; i < report->n_checks; i++)
		if (text_equal(report->checks[i]->id, id))
			return report->checks[i];
	return NULL;
}

static enum storage_answer answer_of(const Phoenix__VerifyReport *report, const char *id)
{
	const Phoenix__Check *check = find_check(report, id);

	if (!check)
		return STORAGE_UNKNOWN;
	return check->status == PHOENIX__CHECK__STATUS__FAIL ? STORAGE_NO : STORAGE_YES;
}

static void judge_trial(const Phoenix__VerifyReport *report, struct storage_trial *trial)
{
	trial->passed = report->passed ? STORAGE_YES : STORAGE_NO;
	for (size_t i = 0; i < report->n_checks; i++) {
		const Phoenix__Check *check = report->checks[i];

		if (check->status != PHOENIX__CHECK__STATUS__FAIL)
			continue;
		text_copy(trial->check, sizeof(trial->check), check->id);
		text_copy(trial->got, sizeof(trial->got), check->got);
		return;
	}
}

/* The battery of one driver; with the first one the questions to the bare file system. */
static int try_driver(const char *driver, struct storage_facts *facts, struct ph_error *error)
{
	bool is_overlay = text_equal(driver, "overlay2");
	struct scratch scratch = SCRATCH_INIT;
	Phoenix__VerifyReport *message;
	struct report report;
	int r = scratch_make(&scratch, facts->data_root, error);

	if (r < 0) {
		scratch_fini(&scratch);
		return r;
	}
	if (is_overlay) {
		facts->entry_types = try_entry_types(scratch.base);
		facts->acl = try_acl(scratch.base);
		facts->rename_whiteout = try_rename_whiteout(scratch.base);
	}
	report_init(&report, driver, NULL, NULL);
	storage_checks(&scratch, driver, &report);
	scratch_fini(&scratch);
	message = report_take(&report);
	if (is_overlay) {
		facts->userxattr = answer_of(message, "storage.mount");
		facts->rename_lower = answer_of(message, "storage.rename-file");
	}
	judge_trial(message, is_overlay ? &facts->overlay : &facts->fuse);
	message_free(message);
	return 0;
}

int storage_probe(const char *data_root, struct storage_facts *ret_facts, struct ph_error *error)
{
	struct storage_facts *facts = ret_facts;
	struct utsname name;
	int r;

	*facts = (struct storage_facts){ .in_user_namespace = scratch_in_user_namespace() };
	text_copy(facts->data_root, sizeof(facts->data_root), data_root);
	uname(&name);
	text_copy(facts->kernel, sizeof(facts->kernel), name.release);
	look_at_filesystem(data_root, facts);
	ask_version("fuse-overlayfs", "fuse-overlayfs: version ", facts->fuse_overlayfs,
		    sizeof(facts->fuse_overlayfs));
	ask_version("dockerd", "Docker version ", facts->docker, sizeof(facts->docker));
	try_fuse_device(facts);
	storage_held(facts);
	r = try_driver("overlay2", facts, error);
	if (r == 0 && facts->fuse_device == STORAGE_YES && facts->fuse_overlayfs[0])
		r = try_driver("fuse-overlayfs", facts, error);
	return r;
}
