/*
 * Renames that replace nothing and such that exchange, on a file system that knows the kernel's flags for them and on
 * one that knows none, as ZFS before 2.2: renameat2 is this file's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/tree/rename.h"
#include "controller/host/tree/tree.h"
#include "tests/support/scratch.h"

static bool knows_flags; /* set by each case */

int __real_renameat2(int from, const char *name, int to, const char *new_name, unsigned int flags);
int __wrap_renameat2(int from, const char *name, int to, const char *new_name, unsigned int flags);

int __wrap_renameat2(int from, const char *name, int to, const char *new_name, unsigned int flags)
{
	if (!flags || knows_flags)
		return __real_renameat2(from, name, to, new_name, flags);
	errno = EINVAL;
	return -1;
}

/* Directories "work" and "taken", each with a file of its own name; "empty" has none. */
static int open_scratch(struct scratch *scratch)
{
	static const char *const names[] = { "work", "taken", "empty" };
	int dir;

	scratch_init(scratch);
	dir = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		PH_AUTO_FREE char *file = ph_format("%s/%s", names[i], names[i]);

		assert_int_equal(mkdirat(dir, names[i], 0700), 0);
		if (i < 2)
			close(openat(dir, file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
	return dir;
}

static bool has(int dir, const char *path)
{
	return faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static const struct {
	const char *name, *to;
	int expected;
	const char *there; /* afterwards */
} renames[] = {
	{ "work", "free", 0, "free/work" },
	{ "work", "taken", -EEXIST, "work/work" },
	{ "work", "empty", -EEXIST, "work/work" },
	{ "none", "free", -ENOENT, "work/work" },
	{ "none", "taken", -EEXIST, "taken/taken" },
};

static void nothing_is_replaced(void **state)
{
	for (size_t i = 0; i < 2 * ARRAY_LENGTH(renames); i++) {
		size_t j = i / 2;
		struct scratch scratch;
		PH_AUTO_CLOSE int dir = open_scratch(&scratch);
		int result;

		knows_flags = i % 2;
		result = rename_new(dir, renames[j].name, dir, renames[j].to);
		/* The kernel may look for either first. */
		if (result != renames[j].expected && !(knows_flags && result == -ENOENT))
			fail_msg("%s to %s: %d", renames[j].name, renames[j].to, result);
		assert_true(has(dir, renames[j].there));
		assert_true(has(dir, "taken/taken"));
		scratch_fini(&scratch);
	}
}

static const struct {
	const char *work, *name;
	int expected;
	const char *published, *left; /* left: what the work directory's name stands for then */
} publications[] = {
	{ "work", "free", 0, "free/work", NULL },
	{ "work", "taken", 0, "taken/work", "work/taken" },
	{ "none", "taken", -ENOENT, "taken/taken", NULL },
	{ "none", "free", -ENOENT, "work/work", NULL },
};

static void published_with_and_without_exchange(void **state)
{
	for (size_t i = 0; i < 2 * ARRAY_LENGTH(publications); i++) {
		size_t j = i / 2;
		struct scratch scratch;
		PH_AUTO_CLOSE int dir = open_scratch(&scratch);

		knows_flags = i % 2;
		assert_int_equal(rename_publish(dir, publications[j].work, publications[j].name),
				 publications[j].expected);
		assert_true(has(dir, publications[j].published));
		if (publications[j].left)
			assert_true(has(dir, publications[j].left));
		assert_false(has(dir, "work.old"));
		assert_false(has(dir, "none.old"));
		scratch_fini(&scratch);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_replaced),
		cmocka_unit_test(published_with_and_without_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
