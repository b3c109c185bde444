/* Which mounts are looked at, what comes of one that hangs, and what is said of those that do not answer. */
#include "agent/health/storage_mounts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/health/bounded.h"
#include "agent/health/processes.h"
#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

static const char mountinfo[] =
	"21 1 8:1 / / rw,relatime - ext4 /dev/sda rw\n"
	"30 21 8:2 / /var/lib/docker rw,nosuid - ext4 /dev/sdb rw\n"
	"31 30 0:50 / /var/lib/docker/overlay2/aa/merged rw - overlay overlay rw,lowerdir=l,userxattr\n"
	"32 30 0:51 / /var/lib/docker/overlay2/bb/merged rw - overlay overlay rw,lowerdir=l,xino=off\n"
	"33 30 0:52 / /var/lib/docker/fuse-overlayfs/cc/merged rw - fuse.fuse-overlayfs fuse rw\n"
	"34 30 0:53 / /var/lib/docker/fuse-overlayfs/dd/merged rw - fuse fuse-overlayfs rw\n"
	"35 21 0:54 / /var/lib/docker-other/merged rw - overlay overlay rw\n"
	"36 30 0:55 / /var/lib/docker/a\\040b rw - fuse.sshfs h rw\n"
	"37 30 0:56 / /var/lib/docker/volumes rw shared:1 - tmpfs tmpfs rw\n"
	"not a line of mountinfo\n"
	"38 31 0:57 / /var/lib/docker/overlay2/aa/merged rw - overlay overlay rw,lowerdir=m\n"
	"40 21 0:60 / /mnt ro,relatime - xfs /dev/sdc rw\n"
	"41 21 0:61 / /srv rw,relatime - ext4 /dev/sdd ro,errors=remount-ro\n";

static void test_mounts_below(void **state)
{
	static const struct {
		const char *point, *type;
		bool userxattr;
	} expected[] = {
		{ "/var/lib/docker/overlay2/aa/merged", "overlay", false }, /* the upper of two */
		{ "/var/lib/docker/overlay2/bb/merged", "overlay", false },
		{ "/var/lib/docker/fuse-overlayfs/cc/merged", "fuse.fuse-overlayfs", false },
		{ "/var/lib/docker/fuse-overlayfs/dd/merged", "fuse", false },
		{ "/var/lib/docker/a b", "fuse.sshfs", false },
	};
	PH_AUTO_MOUNTS struct mounts got = { 0 };

	mounts_below(mountinfo, "/var/lib/docker", &got);
	assert_int_equal(got.count, ARRAY_LENGTH(expected));
	for (size_t i = 0; i < got.count; i++) {
		assert_string_equal(got.items[i].point, expected[i].point);
		assert_string_equal(got.items[i].type, expected[i].type);
		assert_int_equal(got.items[i].has_userxattr, expected[i].userxattr);
	}
}

static void test_mounts_of(void **state)
{
	static const struct {
		const char *directory, *type;
		bool readonly;
	} cases[] = {
		{ "/var/lib/docker", "ext4", false },
		{ "/var/lib/docker/overlay2/bb/merged/etc", "overlay", false },
		{ "/var/lib/dockerfile", "ext4", false },
		{ "/mnt", "xfs", true },
		{ "/srv/deep/er", "ext4", true },
		{ "/", "ext4", false },
	};
	struct mount mount;

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		assert_true(mounts_of(mountinfo, cases[i].directory, &mount));
		if (!text_equal(mount.type, cases[i].type) ||
		    mount.is_readonly != cases[i].readonly)
			fail_msg("%s: %s, readonly %d", cases[i].directory, mount.type,
				 mount.is_readonly);
	}
	assert_false(mounts_of("", "/var/lib/docker", &mount));
}

/* ---- judging ---- */

#define FUSE "fuse.fuse-overlayfs"

static const struct {
	const char *name;
	struct storage_mount items[3];
	size_t count;
	bool in_user_namespace;
	int problem;
	Phoenix__Condition__Status status;
	const char *reason, *says;
} cases[] = {
	{ "none", { { .answer = MOUNT_ALIVE } }, 0, true, 0, JUDGEMENT_TRUE, "AllAnswer", "0" },
	{ "all alive",
	  { { .mount.type = FUSE, .answer = MOUNT_ALIVE },
	    { .mount.type = FUSE, .answer = MOUNT_ALIVE } },
	  2,
	  true,
	  0,
	  JUDGEMENT_TRUE,
	  "AllAnswer",
	  "2 mounts" },
	{ "a dead one is named",
	  { { .mount.type = FUSE, .answer = MOUNT_ALIVE },
	    { .mount.type = FUSE,
	      .answer = MOUNT_DEAD,
	      .error_number = ENOTCONN,
	      .container = "3f2a91c0d5e7aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	      .container_name = "web" } },
	  2,
	  true,
	  0,
	  JUDGEMENT_FALSE,
	  "MountDead",
	  "container web (3f2a91c0d5e7) is dead: Transport endpoint is not connected; 1 of 2" },
	{ "nobody knows whose",
	  { { .mount.point = "/var/lib/docker/x", .answer = MOUNT_HANGS } },
	  1,
	  true,
	  0,
	  JUDGEMENT_FALSE,
	  "MountHangs",
	  "the mount /var/lib/docker/x did not answer" },
	{ "dead goes before hanging",
	  { { .answer = MOUNT_HANGS }, { .answer = MOUNT_DEAD, .error_number = EIO } },
	  2,
	  true,
	  0,
	  JUDGEMENT_FALSE,
	  "MountDead",
	  "Input/output error" },
	{ "overlay without userxattr",
	  { { .mount = { .point = "/d/merged", .type = "overlay" }, .answer = MOUNT_ALIVE } },
	  1,
	  true,
	  0,
	  JUDGEMENT_FALSE,
	  "WithoutUserxattr",
	  "/d/merged" },
	{ "which the host needs not",
	  { { .mount = { .point = "/d/merged", .type = "overlay" }, .answer = MOUNT_ALIVE } },
	  1,
	  false,
	  0,
	  JUDGEMENT_TRUE,
	  "AllAnswer",
	  "1 mounts" },
	{ "no time left",
	  { { .answer = MOUNT_ALIVE }, { .answer = MOUNT_UNASKED } },
	  2,
	  true,
	  0,
	  JUDGEMENT_UNKNOWN,
	  "NotChecked",
	  "1 of 2" },
	{ "no child",
	  { { .answer = MOUNT_UNASKED } },
	  1,
	  true,
	  -EAGAIN,
	  JUDGEMENT_UNKNOWN,
	  "NotChecked",
	  "Resource temporarily" },
};

static void test_judge(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct storage_mounts mounts = { .items = (struct storage_mount *)cases[i].items,
						 .count = cases[i].count,
						 .in_user_namespace = cases[i].in_user_namespace,
						 .problem = cases[i].problem };
		struct judgement got = storage_mounts_judge(&mounts);

		if (got.status != cases[i].status || !text_equal(got.reason, cases[i].reason) ||
		    !strstr(got.message, cases[i].says))
			fail_msg("%s: %d %s: %s", cases[i].name, got.status, got.reason,
				 got.message);
		assert_int_equal(got.status == JUDGEMENT_TRUE, got.remedy[0] == '\0');
	}
}

/* ---- children that do not come back ---- */

struct steps {
	size_t done;
	int value;
};

static void look_well(void *shared)
{
	((struct steps *)shared)->value = 7;
}

/* Makes progress three times, then hangs for ever. */
static void look_and_hang(void *shared)
{
	struct steps *steps = shared;

	for (size_t i = 0; i < 3; i++) {
		poll(NULL, 0, 20);
		__atomic_store_n(&steps->done, steps->done + 1, __ATOMIC_RELAXED);
	}
	for (;;)
		pause();
}

static void look_and_crash(void *shared)
{
	_exit(3);
}

static void test_bounded(void **state)
{
	struct steps *steps = bounded_alloc(sizeof(*steps));

	assert_int_equal(bounded_run(look_well, steps, 10000, NULL), 0);
	assert_int_equal(steps->value, 7);
	assert_int_equal(bounded_run(look_and_crash, steps, 10000, NULL), -ECHILD);
	assert_int_equal(bounded_run(look_and_hang, steps, 500, &steps->done), -ETIMEDOUT);
	assert_int_equal(steps->done, 3); /* what it did before is kept */
	assert_true(wait(NULL) > 0);      /* it was killed, and is there to be reaped */
	bounded_free(steps, sizeof(*steps));
}

/* ---- processes ---- */

static void test_process_state(void **state)
{
	static const struct {
		const char *stat, *name;
		char state;
	} texts[] = {
		{ "12 (dockerd) S 1 12", "dockerd", 'S' },
		{ "12 (dockerd) T 1 12", "dockerd", 'T' },
		{ "12 (dockerd-x) S 1 12", "dockerd", 0 },
		{ "12 (a) b) D 1 12", "a) b", 'D' },
		{ "12 (fuse-overlayfs) S 1", "fuse-overlayfs", 'S' },
		{ "12 (a-name-of-fifte) R 1", "a-name-of-fifteen-and-more", 'R' },
		{ "12 (dockerd)", "dockerd", 0 },
		{ "", "dockerd", 0 },
		{ ")(", "dockerd", 0 },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
		if (process_state(texts[i].stat, texts[i].name) != texts[i].state)
			fail_msg("%s: %d", texts[i].stat,
				 process_state(texts[i].stat, texts[i].name));
}

/* A process of ours is found, with its state, and what it uses. */
static void test_processes_find(void **state)
{
	PH_AUTO_PROCESSES struct processes found = { 0 };
	char name[16] = "";
	FILE *file = fopen("/proc/self/comm", "re");
	bool is_there = false;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%15s", name), 1);
	fclose(file);
	processes_find(name, &found);
	for (size_t i = 0; i < found.count; i++) {
		if (found.items[i].pid != getpid())
			continue;
		is_there = true;
		process_measure(&found.items[i]);
		assert_true(found.items[i].resident_kib > 0);
		assert_true(found.items[i].files > 0);
		assert_true(found.items[i].files_maximum > 0);
	}
	assert_true(is_there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mounts_below),   cmocka_unit_test(test_mounts_of),
		cmocka_unit_test(test_judge),          cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_process_state),  cmocka_unit_test(test_processes_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
