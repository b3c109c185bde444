/*
 * The openat2 module against hostile trees. Every case lays out a tree beside a file and a
 * directory that stand for the host, says whether a careless path lookup would reach them (the positive
 * control), acts through the module, and checks outcome and host.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "controller/host/tree/tree.h"

#define SECRET "host: must stay as it is\n"
#define RACE_MS 2000

/* base/host is the host, base/root the container's tree. */
struct fixture {
	char base[64];
	int root;
};

/* One thing laid out in the tree. In text "%s" is the base directory. */
struct item {
	char kind; /* d f l(ink) h(ard link to the host's file) p(ipe) c(har device) b(ind) P(roc) */
	const char *path;
	const char *text;
};

enum action { READ, WRITE, MAKE, REMOVE, OPEN, STAT };

struct tree_case {
	const char *name;
	struct item items[5];
	enum action action;
	const char *path;
	int expected;
	const char *contents; /* READ: what must come back */
	bool reaches_host;    /* a careless lookup of path ends at the host's file or directory */
	bool needs_mount;
};

static const struct tree_case tree_cases[] = {
	{ "read a plain file", { { 'd', "etc" }, { 'f', "etc/a", "A" } }, READ, "etc/a", 0, "A" },
	{ "read with leading slashes", { { 'f', "a", "A" } }, READ, "//a", 0, "A" },
	{ "read nothing", { { 'd', "etc" } }, READ, "etc/a", -ENOENT },
	{ "read: absolute symlink stays inside",
	  { { 'l', "a", "/etc/b" }, { 'd', "etc" }, { 'f', "etc/b", "B" } },
	  READ, "a", 0, "B" },
	{ "read: absolute symlink to the host", { { 'l', "a", "%s/host/secret" } }, READ, "a",
	  -ENOENT, NULL, true },
	{ "read: relative symlink to the host", { { 'l', "a", "../host/secret" } }, READ, "a",
	  -ENOENT, NULL, true },
	{ "read: many .. stop at the root",
	  { { 'l', "a", "../../../../../../b" }, { 'f', "b", "B" } }, READ, "a", 0, "B" },
	{ "read: .. in the path", { { 'd', "etc" } }, READ, "etc/../../host/secret", -ENOENT, NULL,
	  true },
	{ "read: symlink in the middle", { { 'l', "etc", "%s/host" } }, READ, "etc/secret", -ENOENT,
	  NULL, true },
	{ "read: dangling symlink", { { 'l', "a", "nowhere" } }, READ, "a", -ENOENT },
	{ "read: symlink loop", { { 'l', "a", "b" }, { 'l', "b", "a" } }, READ, "a", -ELOOP },
	{ "read: a directory", { { 'd', "a" } }, READ, "a", -EINVAL },
	{ "read: a FIFO does not block", { { 'p', "a" } }, READ, "a", -EINVAL },
	{ "read: a device is not opened", { { 'c', "a" } }, READ, "a", -EINVAL },
	{ "read: magic link root", { { 'd', "proc" }, { 'P', "proc" } }, READ,
	  "proc/self/root/etc/passwd", -ELOOP, NULL, false, true },
	{ "read: magic link of a descriptor", { { 'd', "proc" }, { 'P', "proc" } }, READ,
	  "proc/self/fd/0", -ELOOP, NULL, false, true },
	{ "read: too long", { { 'f', "a", "0123456789abcdef!" } }, READ, "a", -EFBIG },

	{ "write a new file", { { 'd', "etc" } }, WRITE, "etc/a", TREE_DONE },
	{ "write over a file", { { 'f', "a", "old" } }, WRITE, "a", TREE_DONE },
	{ "write over a longer file", { { 'f', "a", "old but longer" } }, WRITE, "a", TREE_DONE },
	{ "write: no directory", { { 'f', "b", "" } }, WRITE, "etc/a", -ENOENT },
	{ "write: final symlink to the host", { { 'l', "a", "%s/host/secret" } }, WRITE, "a",
	  -ELOOP, NULL, true },
	{ "write: final relative symlink", { { 'l', "a", "../host/secret" } }, WRITE, "a", -ELOOP,
	  NULL, true },
	{ "write: symlink within the tree", { { 'l', "a", "b" }, { 'f', "b", "B" } }, WRITE, "a",
	  -ELOOP },
	{ "write: dangling symlink would create", { { 'l', "a", "%s/host/dir/new" } }, WRITE, "a",
	  -ELOOP },
	{ "write: symlink in the middle", { { 'l', "etc", "%s/host" } }, WRITE, "etc/secret",
	  -ELOOP, NULL, true },
	{ "write: symlink in the middle, within", { { 'l', "etc", "usr" }, { 'd', "usr" } }, WRITE,
	  "etc/a", -ELOOP },
	{ "write: .. out of the root", { { 'd', "etc" } }, WRITE, "../host/secret", -EINVAL, NULL,
	  true },
	{ "write: .. within", { { 'd', "etc" } }, WRITE, "etc/../a", -EINVAL },
	{ "write: empty path", { { 'd', "etc" } }, WRITE, "", -EINVAL },
	{ "write: trailing slash", { { 'd', "etc" } }, WRITE, "etc/", -EINVAL },
	{ "write: hard link to the host", { { 'h', "a" } }, WRITE, "a", -EMLINK, NULL, true },
	{ "write: a FIFO", { { 'p', "a" } }, WRITE, "a", -EEXIST },
	{ "write: a device", { { 'c', "a" } }, WRITE, "a", -EEXIST },
	{ "write: a directory", { { 'd', "a" } }, WRITE, "a", -EEXIST },
	{ "write: into a bind mount", { { 'd', "m" }, { 'b', "m", "%s/host" } }, WRITE, "m/secret",
	  -EXDEV, NULL, true, true },
	{ "write: magic link", { { 'd', "proc" }, { 'P', "proc" } }, WRITE,
	  "proc/self/root/tmp/phoenix-evil", -EXDEV, NULL, false, true },
	{ "write: leftover temporary file", { { 'f', ".a.phoenix-new", "half" } }, WRITE, "a",
	  TREE_DONE },
	{ "write: temporary name is a symlink", { { 'l', ".a.phoenix-new", "%s/host/secret" } },
	  WRITE, "a", TREE_DONE },
	{ "write: temporary name is a directory", { { 'd', ".a.phoenix-new" } }, WRITE, "a",
	  -EISDIR },

	{ "make directories", { { 'd', "etc" } }, MAKE, "etc/a/b/c", TREE_DONE },
	{ "make: all there", { { 'd', "etc" } }, MAKE, "etc", TREE_UNCHANGED },
	{ "make: symlink in the middle", { { 'l', "etc", "%s/host/dir" } }, MAKE, "etc/a", -ELOOP },
	{ "make: final symlink", { { 'l', "etc", "%s/host/dir" } }, MAKE, "etc", -ELOOP, NULL,
	  true },
	{ "make: a file in the way", { { 'f', "etc", "" } }, MAKE, "etc/a", -ENOTDIR },
	{ "make: ..", { { 'd', "etc" } }, MAKE, "../host/dir/new", -EINVAL },
	{ "make: into a bind mount", { { 'd', "m" }, { 'b', "m", "%s/host/dir" } }, MAKE, "m/new",
	  -EXDEV, NULL, false, true },

	{ "remove a file", { { 'f', "a", "" } }, REMOVE, "a", TREE_DONE },
	{ "remove nothing", { { 'd', "etc" } }, REMOVE, "etc/a/b", TREE_UNCHANGED },
	{ "remove a symlink, not its target", { { 'l', "a", "%s/host/secret" } }, REMOVE, "a",
	  TREE_DONE, NULL, true },
	{ "remove a symlink to a directory", { { 'l', "a", "%s/host/dir" } }, REMOVE, "a", TREE_DONE,
	  NULL, true },
	{ "remove a tree with symlinks, FIFO, device, hard link",
	  { { 'd', "t" }, { 'l', "t/l", "%s/host/dir" }, { 'p', "t/p" }, { 'c', "t/c" },
	    { 'h', "t/h" } },
	  REMOVE, "t", TREE_DONE },
	{ "remove: symlink in the middle", { { 'l', "etc", "%s/host" } }, REMOVE, "etc/secret",
	  -ELOOP, NULL, true },
	{ "remove: ..", { { 'd', "etc" } }, REMOVE, "etc/../../host/secret", -EINVAL, NULL, true },
	{ "remove: the root itself", { { 'd', "etc" } }, REMOVE, "/", -EINVAL },
	{ "remove: a tree with a mount in it",
	  { { 'd', "t" }, { 'd', "t/m" }, { 'b', "t/m", "%s/host" } }, REMOVE, "t", -EBUSY, NULL,
	  false, true },
	{ "remove: through a mount", { { 'd', "m" }, { 'b', "m", "%s/host" } }, REMOVE, "m/secret",
	  -EXDEV, NULL, true, true },

	{ "open a directory", { { 'd', "etc" } }, OPEN, "etc", 0 },
	{ "open: a symlink to a directory", { { 'l', "etc", "%s/host/dir" } }, OPEN, "etc", -ELOOP,
	  NULL, true },
	{ "open: a file", { { 'f', "etc", "" } }, OPEN, "etc", -ENOTDIR },
	{ "stat a symlink itself", { { 'l', "a", "%s/host/secret" } }, STAT, "a", 0, NULL, true },
	{ "stat: symlink in the middle", { { 'l', "etc", "%s/host" } }, STAT, "etc/secret", -ELOOP,
	  NULL, true },
};

static bool mounts_work; /* set once in main(), before the tests */

/* base/part/path, from what a case says. */
static char *at(const struct fixture *fixture, const char *part, const char *path)
{
	return ph_format("%s/%s/%s", fixture->base, part, path);
}

static void write_plain(const char *path, const char *text)
{
	PH_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int setup(void **state)
{
	struct fixture *fixture = ph_alloc(sizeof(*fixture));
	PH_AUTO_FREE char *secret = NULL;
	PH_AUTO_FREE char *dir = NULL;
	PH_AUTO_FREE char *host = NULL;
	PH_AUTO_FREE char *root = NULL;

	snprintf(fixture->base, sizeof(fixture->base), "/tmp/phoenix-test-tree-XXXXXX");
	assert_non_null(mkdtemp(fixture->base));
	secret = at(fixture, "host", "secret");
	dir = at(fixture, "host", "dir");
	host = at(fixture, "host", "");
	root = at(fixture, "root", "");
	assert_int_equal(mkdir(host, 0755), 0);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(mkdir(root, 0755), 0);
	write_plain(secret, SECRET);
	assert_int_equal(tree_open_root(root, &fixture->root, NULL), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	PH_AUTO_FREE char *command = ph_format("rm -rf --one-file-system '%s'", fixture->base);

	close(fixture->root);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

static void lay_out(const struct fixture *fixture, const struct item *item)
{
	PH_AUTO_FREE char *path = at(fixture, "root", item->path);
	PH_AUTO_FREE char *text = ph_format(item->text ? item->text : "", fixture->base);
	PH_AUTO_FREE char *secret = at(fixture, "host", "secret");

	switch (item->kind) {
	case 'd':
		assert_int_equal(mkdir(path, 0755), 0);
		break;
	case 'f':
		write_plain(path, text);
		break;
	case 'l':
		assert_int_equal(symlink(text, path), 0);
		break;
	case 'h':
		assert_int_equal(link(secret, path), 0);
		break;
	case 'p':
		assert_int_equal(mkfifo(path, 0644), 0);
		break;
	case 'c':
		if (geteuid() == 0)
			assert_int_equal(mknod(path, S_IFCHR | 0644, makedev(1, 3)), 0);
		else
			assert_int_equal(mkfifo(path, 0644), 0);
		break;
	case 'b':
		assert_int_equal(mount(text, path, NULL, MS_BIND, NULL), 0);
		break;
	case 'P':
		assert_int_equal(mount("proc", path, "proc", 0, NULL), 0);
		break;
	}
}

/* Whether following the path carelessly ends on the host's side. */
static bool carelessly_reaches_host(const struct fixture *fixture, const char *path)
{
	PH_AUTO_FREE char *naive = at(fixture, "root", path);
	PH_AUTO_FREE char *secret = at(fixture, "host", "secret");
	PH_AUTO_FREE char *dir = at(fixture, "host", "dir");
	struct stat there, file, directory;

	if (stat(naive, &there) < 0)
		return false;
	assert_int_equal(stat(secret, &file), 0);
	assert_int_equal(stat(dir, &directory), 0);
	return there.st_ino == file.st_ino || there.st_ino == directory.st_ino;
}

static void assert_host_untouched(const struct fixture *fixture)
{
	PH_AUTO_FREE char *secret = at(fixture, "host", "secret");
	PH_AUTO_FREE char *dir = at(fixture, "host", "dir");
	char text[sizeof(SECRET) + 1] = "";
	struct stat status;
	struct dirent *entry;
	PH_AUTO_CLOSE int fd = open(secret, O_RDONLY);
	PH_AUTO_DIR DIR *entries = opendir(dir);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), (ssize_t)strlen(SECRET));
	assert_string_equal(text, SECRET);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_uid, geteuid());
	assert_int_equal(status.st_mode & 07777, 0644);
	assert_non_null(entries);
	while ((entry = readdir(entries)))
		assert_int_equal(entry->d_name[0], '.');
	assert_true(access("/tmp/phoenix-evil", F_OK) < 0);
}

static struct tree_owner owner_as_us(mode_t mode)
{
	return (struct tree_owner){ geteuid(), getegid(), mode };
}

static int act(const struct fixture *fixture, const struct tree_case *test, char **ret_text,
	       struct ph_error *error)
{
	struct tree_owner file = owner_as_us(0640), directory = owner_as_us(0750);
	PH_AUTO_CLOSE int fd = -1;
	struct stat status;
	int result;

	switch (test->action) {
	case READ:
		return tree_read_small(fixture->root, test->path, 16, ret_text, NULL, error);
	case WRITE:
		return tree_write_file(fixture->root, test->path, "new", 3, &file, error);
	case MAKE:
		return tree_make_dirs(fixture->root, test->path, &directory, error);
	case REMOVE:
		return tree_remove(fixture->root, test->path, error);
	case OPEN:
		return tree_open_dir(fixture->root, test->path, &fd, error);
	case STAT:
		result = tree_stat(fixture->root, test->path, &status);
		assert_true(result < 0 || S_ISLNK(status.st_mode));
		return result < 0 ? error_errno(error, result, test->path, NULL, "stat") : result;
	}
	return -EINVAL;
}

/* What the action must have left behind when it succeeded. */
static void assert_effect(const struct fixture *fixture, const struct tree_case *test)
{
	PH_AUTO_FREE char *text = NULL;
	struct stat status;
	int found = tree_stat(fixture->root, test->path, &status);

	if (test->action == REMOVE)
		assert_int_equal(found, -ENOENT);
	if (test->action == MAKE)
		assert_true(found == 0 && S_ISDIR(status.st_mode));
	if (test->action != WRITE)
		return;
	assert_true(found == 0 && S_ISREG(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0640);
	assert_int_equal(tree_read_small(fixture->root, test->path, 16, &text, NULL, NULL), 0);
	assert_string_equal(text, "new");
}

static void run_tree_case(const struct tree_case *test)
{
	struct ph_error error = { 0 };
	PH_AUTO_FREE char *text = NULL;
	void *state;
	struct fixture *fixture;
	int result;

	setup(&state);
	fixture = state;
	for (size_t i = 0; i < ARRAY_LENGTH(test->items) && test->items[i].kind; i++)
		lay_out(fixture, &test->items[i]);
	assert_int_equal(carelessly_reaches_host(fixture, test->path), test->reaches_host);

	result = act(fixture, test, &text, &error);
	if (result != test->expected)
		fail_msg("%s: %d instead of %d (%s)", test->name, result, test->expected, error.why);
	assert_int_equal(error.code, result < 0 ? result : 0);
	if (test->contents)
		assert_string_equal(text, test->contents);
	if (result >= 0)
		assert_effect(fixture, test);
	assert_host_untouched(fixture);

	for (size_t i = ARRAY_LENGTH(test->items); i-- > 0;) {
		PH_AUTO_FREE char *path = at(fixture, "root", test->items[i].path);

		if (test->items[i].kind == 'b' || test->items[i].kind == 'P')
			assert_int_equal(umount2(path, MNT_DETACH), 0);
	}
	teardown(&state);
}

static void hostile_trees(void **state)
{
	size_t skipped = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(tree_cases); i++) {
		if (tree_cases[i].needs_mount && !mounts_work)
			skipped++;
		else
			run_tree_case(&tree_cases[i]);
	}
	if (skipped)
		print_message("# SKIP %zu cases with mounts: not root\n", skipped);
}

static void equal_file_is_not_written(void **state)
{
	struct fixture *fixture = *state;
	struct tree_owner owner = owner_as_us(0644), other = owner_as_us(0600);
	struct stat before, after;

	assert_int_equal(tree_write_file(fixture->root, "a", "x", 1, &owner, NULL), TREE_DONE);
	assert_int_equal(tree_stat(fixture->root, "a", &before), 0);
	assert_int_equal(tree_write_file(fixture->root, "a", "x", 1, &owner, NULL), TREE_UNCHANGED);
	assert_int_equal(tree_stat(fixture->root, "a", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(tree_write_file(fixture->root, "a", "x", 1, &other, NULL), TREE_DONE);
	assert_int_equal(tree_write_file(fixture->root, "a", "y", 1, &other, NULL), TREE_DONE);
	assert_int_equal(tree_write_file(fixture->root, "a", "yy", 2, &other, NULL), TREE_DONE);
}

static void owners_are_given(void **state)
{
	struct fixture *fixture = *state;
	struct tree_owner owner = { 100000, 100001, 0751 };
	struct stat status;

	if (geteuid() != 0) {
		print_message("# SKIP: not root\n");
		skip();
	}
	assert_int_equal(tree_make_dirs(fixture->root, "etc/a", &owner, NULL), TREE_DONE);
	assert_int_equal(tree_stat(fixture->root, "etc", &status), 0);
	assert_int_equal(status.st_uid, 100000);
	assert_int_equal(status.st_mode & 07777, 0751);
	assert_int_equal(tree_write_file(fixture->root, "etc/a/f", "x", 1, &owner, NULL), TREE_DONE);
	assert_int_equal(tree_stat(fixture->root, "etc/a/f", &status), 0);
	assert_int_equal(status.st_uid, 100000);
	assert_int_equal(status.st_gid, 100001);
}

/* A directory chain deeper than any stack of descriptors, with a file at each level. */
static void deep_tree_is_removed(void **state)
{
	struct fixture *fixture = *state;
	struct tree_owner owner = owner_as_us(0700);
	PH_AUTO_CLOSE int level = dup(fixture->root);
	struct stat status;

	assert_int_equal(tree_make_dirs(fixture->root, "deep", &owner, NULL), TREE_DONE);
	for (int depth = 0; depth < 3000; depth++) {
		int next = openat(level, depth ? "d" : "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_true(next >= 0);
		close(level);
		level = next;
		assert_int_equal(mkdirat(level, "d", 0700), 0);
		assert_int_equal(mkdirat(level, "e", 0700), 0);
		assert_int_equal(symlinkat(fixture->base, level, "l"), 0);
	}
	assert_int_equal(tree_remove(fixture->root, "deep", NULL), TREE_DONE);
	assert_int_equal(tree_stat(fixture->root, "deep", &status), -ENOENT);
	assert_host_untouched(fixture);
}

struct racer {
	const struct fixture *fixture;
	atomic_bool stop;
	atomic_ulong swaps;
};

/* The container: exchanges its etc for a symlink to the host, as fast as it can. */
static void *race(void *argument)
{
	struct racer *racer = argument;

	while (!atomic_load(&racer->stop)) {
		if (renameat2(racer->fixture->root, "etc", racer->fixture->root, "trap",
			      RENAME_EXCHANGE) == 0)
			atomic_fetch_add(&racer->swaps, 1);
	}
	return NULL;
}

/* Successes and refusals of one action under the race: both must happen, else nothing was shown. */
struct race_counts {
	unsigned long done, refused;
};

static void count(struct race_counts *counts, int result)
{
	if (result >= 0)
		counts->done++;
	else
		counts->refused++;
}

static void renaming_thread_gains_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct racer racer = { .fixture = fixture };
	struct tree_owner file = owner_as_us(0644), directory = owner_as_us(0755);
	struct race_counts writes = { 0 }, makes = { 0 }, removes = { 0 };
	PH_AUTO_FREE char *target = at(fixture, "host", "");
	uint64_t end = clock_monotonic_ms() + RACE_MS;
	pthread_t thread;
	char contents[32];

	assert_int_equal(mkdirat(fixture->root, "etc", 0755), 0);
	assert_int_equal(symlinkat(target, fixture->root, "trap"), 0);
	assert_int_equal(pthread_create(&thread, NULL, race, &racer), 0);
	for (unsigned long round = 0; clock_monotonic_ms() < end; round++) {
		PH_AUTO_FREE char *text = NULL;

		snprintf(contents, sizeof(contents), "round %lu", round);
		count(&writes, tree_write_file(fixture->root, "etc/secret", contents,
					       strlen(contents), &file, NULL));
		count(&makes, tree_make_dirs(fixture->root, "etc/dir/sub", &directory, NULL));
		count(&removes, tree_remove(fixture->root, "etc/dir", NULL));
		if (tree_read_small(fixture->root, "etc/secret", 64, &text, NULL, NULL) == 0)
			assert_string_not_equal(text, SECRET);
	}
	atomic_store(&racer.stop, true);
	pthread_join(thread, NULL);

	assert_host_untouched(fixture);
	print_message("# %lu swaps; done/refused: write %lu/%lu, make %lu/%lu, remove %lu/%lu\n",
		      atomic_load(&racer.swaps), writes.done, writes.refused, makes.done,
		      makes.refused, removes.done, removes.refused);
	assert_true(atomic_load(&racer.swaps) > 1000);
	assert_true(writes.done > 0 && writes.refused > 0);
	assert_true(makes.done > 0 && makes.refused > 0);
	assert_true(removes.done > 0 && removes.refused > 0);
}

/* Somebody moves directories about in the tree that is being removed. */
static void *shuffle(void *argument)
{
	struct racer *racer = argument;

	while (!atomic_load(&racer->stop)) {
		renameat(racer->fixture->root, "t/a", racer->fixture->root, "t/b/a");
		renameat(racer->fixture->root, "t/b/a", racer->fixture->root, "t/a");
		atomic_fetch_add(&racer->swaps, 1);
	}
	return NULL;
}

static void removal_survives_renames(void **state)
{
	struct fixture *fixture = *state;
	struct racer racer = { .fixture = fixture };
	struct tree_owner owner = owner_as_us(0755);
	struct stat status;
	pthread_t thread;

	for (int round = 0; round < 20; round++) {
		assert_int_equal(tree_make_dirs(fixture->root, "t/b", &owner, NULL), TREE_DONE);
		for (int i = 0; i < 200; i++) {
			PH_AUTO_FREE char *path = ph_format("t/a/x%d/y", i);

			assert_int_equal(tree_make_dirs(fixture->root, path, &owner, NULL),
					 TREE_DONE);
		}
		atomic_store(&racer.stop, false);
		assert_int_equal(pthread_create(&thread, NULL, shuffle, &racer), 0);
		assert_int_equal(tree_remove(fixture->root, "t", NULL), TREE_DONE);
		atomic_store(&racer.stop, true);
		pthread_join(thread, NULL);
		assert_int_equal(tree_stat(fixture->root, "t", &status), -ENOENT);
	}
	assert_host_untouched(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_trees),
		cmocka_unit_test_setup_teardown(equal_file_is_not_written, setup, teardown),
		cmocka_unit_test_setup_teardown(owners_are_given, setup, teardown),
		cmocka_unit_test_setup_teardown(deep_tree_is_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(renaming_thread_gains_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_survives_renames, setup, teardown),
	};

	/* Mounts of the tests stay in a namespace of their own. */
	mounts_work = unshare(CLONE_NEWNS) == 0 &&
		      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
