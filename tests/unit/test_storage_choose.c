/*
 * The decision table of docs/storage.md: facts in, driver and reasons out. No data-root is touched.
 */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/storage/choose.h"
#include "common/cleanup.h"
#include "common/str.h"

#define YES STORAGE_YES
#define NO STORAGE_NO
#define UNKNOWN STORAGE_UNKNOWN

/* A trial that fails at a check. */
#define FAILS(id, what) { .passed = STORAGE_NO, .check = id, .got = what }
#define PASSES { .passed = STORAGE_YES }
#define UNTRIED { .passed = STORAGE_UNKNOWN }

/* What a container with a current kernel and everything in place tells of a file system. */
#define FINE(name)                                                                                 \
	.data_root = "/var/lib/docker", .kernel = "6.1.0-18-amd64", .filesystem = name,            \
	.in_user_namespace = true, .entry_types = YES, .acl = YES, .rename_whiteout = YES,         \
	.userxattr = YES, .rename_lower = YES, .overlay = PASSES, .fuse_device = YES,              \
	.fuse_overlayfs = "1.10", .fuse = PASSES, .docker = "20.10.24+dfsg1"

/* Overlay does not mount at all. */
#define NO_OVERLAY                                                                                 \
	.userxattr = NO, .rename_lower = UNKNOWN,                                                  \
	.overlay = FAILS("storage.mount", "mount overlay: Invalid argument")

static const char refused[] = "";

/* Each case starts from FINE() and says again what is otherwise. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct {
	const char *name;
	struct storage_facts facts;
	struct storage_wanted wanted;
	int code;
	const char *driver, *alternative;
	const char *says;    /* a reason, or the refusal */
	const char *finding; /* NULL: none */
} cases[] = {
	/* the rows of the table */
	{ "ext4", { FINE("ext4") }, { .driver = "auto" }, 0, "overlay2", "fuse-overlayfs",
	  "every storage check passed", NULL },
	{ "xfs", { FINE("xfs") }, { .driver = "auto" }, 0, "overlay2", "fuse-overlayfs", "xfs",
	  NULL },
	{ "btrfs", { FINE("btrfs") }, { .driver = "auto" }, 0, "overlay2", "fuse-overlayfs",
	  "btrfs", NULL },
	{ "ext4, kernel 5.10 without userxattr",
	  { FINE("ext4"), .kernel = "5.10.0", NO_OVERLAY }, { .driver = "auto" }, 0,
	  "fuse-overlayfs", "", "not overlay2: overlay does not mount here with userxattr", NULL },
	{ "ext4, patched 5.10 that passes", { FINE("ext4"), .kernel = "5.10.0" },
	  { .driver = "auto" }, 0, "overlay2", "fuse-overlayfs", "overlay2", NULL },
	{ "ext4, 5.10 that mounts but cannot remove a lower directory",
	  { FINE("ext4"), .overlay = FAILS("storage.opaque", "remove the directory: Input/output "
							     "error") },
	  { .driver = "auto" }, 0, "fuse-overlayfs", "", "fails storage.opaque", NULL },
	{ "ZFS 2.2 that passes", { FINE("zfs"), .filesystem_version = "2.2.3" },
	  { .driver = "auto" }, 0, "overlay2", "fuse-overlayfs", "zfs 2.2.3", NULL },
	{ "ZFS 2.3 that refuses",
	  { FINE("zfs"), .filesystem_version = "2.3.4", NO_OVERLAY }, { .driver = "auto" }, 0,
	  "fuse-overlayfs", "", "does not mount here", NULL },
	{ "ZFS 2.1: overlay mounts, rename fails",
	  { FINE("zfs"), .filesystem_version = "2.1.11-1", .rename_whiteout = NO,
	    .rename_lower = NO, .acl = NO,
	    .overlay = FAILS("storage.rename-file", "rename: Invalid argument") },
	  { .driver = "auto" }, 0, "fuse-overlayfs", "", "lacks RENAME_WHITEOUT", NULL },
	{ "ZFS 2.1 without ACLs, fuse-overlayfs 1.10 not tried",
	  { FINE("zfs"), .rename_whiteout = NO, .rename_lower = NO, .acl = NO, .fuse = UNTRIED,
	    .overlay = FAILS("storage.rename-file", "rename: Invalid argument") },
	  { .driver = "auto" }, 0, "fuse-overlayfs", "", "/dev/fuse opens", "storage.no-acl" },
	{ "ZFS 2.1 without ACLs, fuse-overlayfs 1.13 not tried",
	  { FINE("zfs"), .rename_whiteout = NO, .rename_lower = NO, .acl = NO, .fuse = UNTRIED,
	    .fuse_overlayfs = "1.13",
	    .overlay = FAILS("storage.rename-file", "rename: Invalid argument") },
	  { .driver = "auto" }, 0, "fuse-overlayfs", "", "/dev/fuse opens", NULL },
	{ "overlay below, even when overlay would mount", { FINE("overlay") },
	  { .driver = "auto" }, 0, "fuse-overlayfs", "", "must not be stacked",
	  "storage.on-layers" },
	{ "FUSE below", { FINE("fuse") }, { .driver = "auto" }, 0, "fuse-overlayfs", "",
	  "must not be stacked", "storage.on-layers" },
	{ "overlay below, no /dev/fuse",
	  { FINE("overlay"), .fuse_device = NO, .fuse_problem = "No such file or directory" },
	  { .driver = "auto" }, -ENOTSUP, refused, "", "/dev/fuse cannot be opened",
	  "storage.on-layers" },
	{ "NFS", { FINE("nfs") }, { .driver = "auto" }, -ENOTSUP, refused, "",
	  "network file system", NULL },
	{ "SMB", { FINE("smb2") }, { .driver = "auto" }, -ENOTSUP, refused, "",
	  "network file system", NULL },
	{ "NFS is no place for full copies either", { FINE("nfs") },
	  { .driver = "auto", .accept_vfs = true }, -ENOTSUP, refused, "", "network file system",
	  NULL },
	{ "neither overlay nor /dev/fuse",
	  { FINE("ext4"), NO_OVERLAY, .fuse_device = NO, .fuse_problem = "Permission denied" },
	  { .driver = "auto" }, -ENOTSUP, refused, "", "Permission denied", NULL },
	{ "neither, full copies accepted",
	  { FINE("ext4"), NO_OVERLAY, .fuse_device = NO, .fuse_problem = "Permission denied" },
	  { .driver = "auto", .accept_vfs = true }, 0, "vfs", "", "full copy",
	  "storage.full-copies" },
	{ "xfs made with ftype=0", { FINE("xfs"), .entry_types = NO }, { .driver = "auto" }, 0,
	  "fuse-overlayfs", "", "ftype=0", NULL },
	{ "tmpfs", { FINE("tmpfs") }, { .driver = "auto" }, 0, "overlay2", "fuse-overlayfs",
	  "overlay2", "storage.on-tmpfs" },

	/* before anything is installed, and versions that refuse */
	{ "nothing installed yet, overlay not tried",
	  { FINE("ext4"), .overlay = UNTRIED, .userxattr = UNKNOWN, .rename_lower = UNKNOWN,
	    .fuse = UNTRIED, .fuse_overlayfs = "", .docker = "" },
	  { .driver = "auto" }, 0, "fuse-overlayfs", "", "could not be tried", NULL },
	{ "fuse-overlayfs is there and fails",
	  { FINE("ext4"), NO_OVERLAY, .fuse = FAILS("storage.other-user", "read") },
	  { .driver = "auto" }, -ENOTSUP, refused, "", "fails storage.other-user", NULL },
	{ "Docker 29.0.0 takes no driver by name", { FINE("ext4"), .docker = "29.0.0" },
	  { .driver = "auto" }, -ENOTSUP, refused, "", "29.0.0", NULL },

	/* a driver by name */
	{ "overlay2 where it passes", { FINE("ext4") }, { .driver = "overlay2" }, 0, "overlay2",
	  "fuse-overlayfs", "every storage check passed", NULL },
	{ "overlay2 on overlay", { FINE("overlay") }, { .driver = "overlay2" }, -ENOTSUP, refused,
	  "", "must not be stacked", "storage.on-layers" },
	{ "overlay2 on ZFS 2.1",
	  { FINE("zfs"), .rename_whiteout = NO, .rename_lower = NO,
	    .overlay = FAILS("storage.rename-file", "rename: Invalid argument") },
	  { .driver = "overlay2" }, -ENOTSUP, refused, "", "RENAME_WHITEOUT", NULL },
	{ "fuse-overlayfs where overlay2 is faster", { FINE("ext4") },
	  { .driver = "fuse-overlayfs" }, 0, "fuse-overlayfs", "overlay2",
	  "every storage check passed", "storage.slower" },
	{ "fuse-overlayfs without its device",
	  { FINE("ext4"), .fuse_device = NO, .fuse_problem = "No such file or directory" },
	  { .driver = "fuse-overlayfs" }, -ENOTSUP, refused, "", "No such file", NULL },
	{ "vfs without consent", { FINE("ext4") }, { .driver = "vfs" }, -EPERM, refused, "",
	  "nobody has consented", NULL },
	{ "vfs with consent", { FINE("ext4") }, { .driver = "vfs", .accept_vfs = true }, 0, "vfs",
	  "overlay2", "full copy", "storage.full-copies" },
	{ "no such driver", { FINE("ext4") }, { .driver = "devicemapper" }, -EINVAL, refused, "",
	  "not a storage driver", NULL },

	/* images that are there */
	{ "auto keeps what holds images",
	  { FINE("ext4"), .driver_now = "fuse-overlayfs", .images = { "nginx:1.27" },
	    .image_named = 1, .image_count = 1 },
	  { .driver = "auto" }, 0, "fuse-overlayfs", "overlay2", "it is kept", "storage.slower" },
	{ "auto may change what holds nothing", { FINE("ext4"), .driver_now = "fuse-overlayfs" },
	  { .driver = "auto" }, 0, "overlay2", "fuse-overlayfs", "overlay2", NULL },
	{ "auto with consent takes the best",
	  { FINE("ext4"), .driver_now = "fuse-overlayfs", .images = { "nginx:1.27" },
	    .image_named = 1, .image_count = 1 },
	  { .driver = "auto", .accept_loss = true }, 0, "overlay2", "fuse-overlayfs",
	  "hides 1 images (nginx:1.27)", NULL },
	{ "auto when the driver of the images stopped working",
	  { FINE("ext4"), .driver_now = "fuse-overlayfs", .fuse_device = NO,
	    .images = { "nginx:1.27" }, .image_named = 1, .image_count = 1 },
	  { .driver = "auto" }, -EPERM, refused, "", "nginx:1.27", NULL },
	{ "another driver hides images by name",
	  { FINE("ext4"), .driver_now = "fuse-overlayfs", .images = { "app:2", "nginx:1.27" },
	    .image_named = 2, .image_count = 5, .container_count = 1 },
	  { .driver = "overlay2" }, -EPERM, refused, "",
	  "hide 5 images and 1 containers: app:2, nginx:1.27 and 3 more", NULL },
	{ "a container alone is something to lose",
	  { FINE("ext4"), .driver_now = "vfs", .container_count = 1 }, { .driver = "overlay2" },
	  -EPERM, refused, "", "1 containers", NULL },
	{ "another driver with consent",
	  { FINE("ext4"), .driver_now = "fuse-overlayfs", .images = { "app:2" },
	    .image_named = 1, .image_count = 1 },
	  { .driver = "overlay2", .accept_loss = true }, 0, "overlay2", "fuse-overlayfs",
	  "hides 1 images (app:2)", NULL },
	{ "the same driver loses nothing",
	  { FINE("ext4"), .driver_now = "overlay2", .images = { "app:2" }, .image_named = 1,
	    .image_count = 1 },
	  { .driver = "overlay2" }, 0, "overlay2", "fuse-overlayfs", "every storage check", NULL },
};
#pragma GCC diagnostic pop

static bool is_said(const struct storage_decision *decision, const struct ph_error *error,
		    const char *text)
{
	for (size_t i = 0; i < decision->reason_count; i++)
		if (strstr(decision->reasons[i], text))
			return true;
	return strstr(error->why, text) != NULL;
}

static bool has_finding(const struct storage_decision *decision, const char *id)
{
	for (size_t i = 0; i < decision->finding_count; i++)
		if (text_equal(decision->findings[i].id, id))
			return true;
	return false;
}

static void the_table_decides(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct storage_decision decision;
		struct ph_error error = { 0 };
		int code = storage_choose(&cases[i].facts, &cases[i].wanted, &decision, &error);

		if (code != cases[i].code || !text_equal(decision.driver, cases[i].driver) ||
		    !text_equal(decision.alternative, cases[i].alternative))
			fail_msg("%s: %d, '%s', alternative '%s': %s", cases[i].name, code,
				 decision.driver, decision.alternative, error.why);
		if (!is_said(&decision, &error, cases[i].says))
			fail_msg("%s: nothing says '%s': %s: %s", cases[i].name, cases[i].says,
				 decision.reasons[0], error.why);
		if (decision.finding_count != (cases[i].finding ? 1 : 0) ||
		    (cases[i].finding && !has_finding(&decision, cases[i].finding)))
			fail_msg("%s: %zu findings, the first is '%s'", cases[i].name,
				 decision.finding_count, decision.findings[0].id);
		if (code < 0 && !error.remedy[0])
			fail_msg("%s: refused without a remedy", cases[i].name);
	}
}

static void the_same_facts_give_the_same_decision(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct storage_decision first, second;
		struct ph_error one = { 0 }, two = { 0 };

		memset(&first, 0x55, sizeof(first));
		memset(&second, 0xAA, sizeof(second));
		storage_choose(&cases[i].facts, &cases[i].wanted, &first, &one);
		storage_choose(&cases[i].facts, &cases[i].wanted, &second, &two);
		assert_memory_equal(first.reasons, second.reasons, sizeof(first.reasons));
		assert_string_equal(first.driver, second.driver);
		assert_string_equal(one.why, two.why);
	}
}

static void count_fact(void *user, const char *key, const char *value)
{
	assert_non_null(value);
	assert_true(key[0] != '\0');
	++*(int *)user;
}

static void every_fact_is_told(void **state)
{
	int count = 0;

	storage_facts_tell(&cases[0].facts, count_fact, &count);
	assert_int_equal(count, 18);
	assert_string_equal(storage_answer_word(STORAGE_NO), "no");
	assert_string_equal(storage_answer_word((enum storage_answer)7), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_decides),
		cmocka_unit_test(the_same_facts_give_the_same_decision),
		cmocka_unit_test(every_fact_is_told),
	};

	return cmocka_run_group_tests_name("storage_choose", tests, NULL, NULL);
}
