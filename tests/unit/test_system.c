/* Files that a crash leaves whole, cgroup texts, and which init this is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/system/cgroup.h"
#include "agent/system/file.h"
#include "agent/system/init.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/support/cmocka.h"
#include "tests/support/scratch.h"

static int setup(void **state)
{
	struct scratch *scratch = ph_alloc(sizeof(*scratch));

	scratch_init(scratch);
	*state = scratch;
	return 0;
}

static int teardown(void **state)
{
	scratch_fini(*state);
	free(*state);
	return 0;
}

static void expect_text(const char *path, const char *text)
{
	PH_AUTO_FREE char *found = NULL;

	assert_int_equal(file_read(path, 4096, &found, NULL, NULL), 0);
	assert_string_equal(found, text);
}

static void files_are_replaced(void **state)
{
	struct scratch *scratch = *state;
	PH_AUTO_FREE char *path = ph_strdup(scratch_file(scratch, "f"));
	const struct file_write options = { .mode = 0750, .backup = ".old" };
	struct stat status;

	assert_int_equal(file_write(path, "one", 3, &options, NULL), 0);
	expect_text(path, "one");
	assert_int_equal(access(scratch_file(scratch, "f.old"), F_OK), -1);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0750);

	assert_int_equal(chmod(path, 0604), 0);
	assert_int_equal(file_write(path, "two", 3, &options, NULL), 0);
	expect_text(path, "two");
	expect_text(scratch_file(scratch, "f.old"), "one");
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0604);
	assert_int_equal(access(scratch_file(scratch, "f.phoenix-new"), F_OK), -1);
}

static void links_are_followed(void **state)
{
	struct scratch *scratch = *state;
	PH_AUTO_FREE char *target = ph_strdup(scratch_write(scratch, "target", "a", 1));
	PH_AUTO_FREE char *link = ph_strdup(scratch_file(scratch, "link"));
	struct stat status;

	assert_int_equal(symlink("target", link), 0);
	assert_int_equal(file_write(link, "b", 1, NULL, NULL), 0);
	assert_int_equal(lstat(link, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	expect_text(target, "b");
}

static void failed_writes_leave_nothing(void **state)
{
	struct scratch *scratch = *state;
	PH_AUTO_FREE char *directory = ph_strdup(scratch_file(scratch, "d"));
	struct ph_error error = { 0 };

	assert_int_equal(mkdir(directory, 0755), 0);
	assert_int_equal(file_write(directory, "x", 1, NULL, &error), -EINVAL);
	assert_string_equal(error.where, directory);
	assert_int_equal(file_write(scratch_file(scratch, "none/f"), "x", 1, NULL, &error),
			 -ENOENT);
	assert_int_equal(access(scratch_file(scratch, "d.phoenix-new"), F_OK), -1);
}

static void reads_are_bounded(void **state)
{
	struct scratch *scratch = *state;
	PH_AUTO_FREE char *text = NULL;
	const char *path = scratch_write(scratch, "f", "12345", 5);
	size_t length;

	assert_int_equal(file_read(path, 4, &text, NULL, NULL), -EFBIG);
	assert_null(text);
	assert_int_equal(file_read(path, 5, &text, &length, NULL), 0);
	assert_int_equal(length, 5);
	assert_int_equal(file_read(scratch->path, 5, &text, NULL, NULL), -EINVAL);
	path = scratch_file(scratch, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_read(path, 5, &text, NULL, NULL), -EINVAL);
	assert_int_equal(file_read(scratch_file(scratch, "none"), 5, &text, NULL, NULL), -ENOENT);
}

static void directories_are_made_with_parents(void **state)
{
	struct scratch *scratch = *state;
	struct ph_error error = { 0 };

	assert_int_equal(directory_make(scratch_file(scratch, "a/b/c"), 0700, &error), 0);
	assert_int_equal(directory_make(scratch_file(scratch, "a/b/c"), 0700, &error), 0);
	assert_int_equal(access(scratch->file, F_OK), 0);
	scratch_write(scratch, "f", "", 0);
	assert_int_equal(directory_make(scratch_file(scratch, "f/b"), 0700, &error), -ENOTDIR);
	assert_int_equal(file_remove(scratch_file(scratch, "f"), &error), 1);
	assert_int_equal(file_remove(scratch_file(scratch, "f"), &error), 0);
}

static const struct {
	const char *name;
	const char *text;
	int result;
	bool unified, legacy;
	size_t count;
	const char *last;
} layouts[] = {
	{ "v2", "0::/\n", 0, true, false, 0 },
	{ "hybrid", "2:cpu,cpuacct:/\n1:name=systemd:/x\n0::/\n", 0, true, true, 2,
	  "name=systemd" },
	{ "v1", "4:memory:/a:b\n", 0, false, true, 1, "memory" },
	{ "v2 with systemd's own v1 tree", "1:name=systemd:/\n0::/\n", 0, true, false, 1,
	  "name=systemd" },
	{ "nothing", "", 0, false, false, 0 },
	{ "words", "hello\n", -EBADMSG },
	{ "one colon", "1:memory\n", -EBADMSG },
};

static void layouts_are_parsed(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(layouts); i++) {
		struct cgroup_layout layout = { 0 };
		int result = cgroup_layout_parse(layouts[i].text, &layout);

		if (result != layouts[i].result)
			fail_msg("%s: %d", layouts[i].name, result);
		if (result < 0)
			continue;
		if (layout.unified != layouts[i].unified || layout.legacy != layouts[i].legacy ||
		    layout.count != layouts[i].count)
			fail_msg("%s: %d %d %zu", layouts[i].name, layout.unified, layout.legacy,
				 layout.count);
		if (layout.count)
			assert_string_equal(layout.hierarchies[layout.count - 1].controllers,
					    layouts[i].last);
	}
}

#define V2 "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
#define V1(name) "31 20 0:27 / /sys/fs/cgroup/" name " rw - cgroup cgroup rw," name "\n"

static const struct {
	const char *name;
	const char *layout;
	const char *mountinfo;
	bool is_mounted;
} mounts[] = {
	{ "v2 mounted", "0::/\n", V2, true },
	{ "nothing mounted", "0::/\n", "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n", false },
	{ "v2 elsewhere", "0::/\n", "30 20 0:26 / /mnt rw - cgroup2 cgroup2 rw\n", false },
	{ "v2 on a hybrid host is not what holds the controllers", "1:memory:/\n0::/\n", V2,
	  false },
	{ "v1", "1:memory:/\n2:cpu,cpuacct:/\n", V1("memory") V1("cpu,cpuacct"), true },
	{ "v1, one missing", "1:memory:/\n2:cpu,cpuacct:/\n", V1("memory"), false },
	{ "v1, one that is not needed missing", "1:memory:/\n2:net_prio:/\n", V1("memory"), true },
	{ "a word within a word is none", "1:pids:/\n", V1("xpids"), false },
	{ "a cut line", "0::/\n", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2", false },
};

static void mounts_are_judged(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(mounts); i++) {
		struct cgroup_layout layout;

		assert_int_equal(cgroup_layout_parse(mounts[i].layout, &layout), 0);
		if (cgroup_is_mounted(mounts[i].mountinfo, &layout) != mounts[i].is_mounted)
			fail_msg("%s", mounts[i].name);
	}
}

static const struct {
	const char *made[4]; /* with a '/' at the end: a directory; proc/1/comm gets the name */
	const char *first;
	enum init_system init;
} inits[] = {
	{ { "run/systemd/system/" }, "systemd", INIT_SYSTEMD },
	{ { "run/systemd/" }, "sleep", INIT_NONE },
	{ { "etc/init.d/", "etc/inittab" }, "init", INIT_SYSVINIT },
	{ { "etc/init.d/", "etc/inittab" }, "sleep", INIT_NONE },
	{ { "etc/init.d/" }, "init", INIT_NONE },
	{ { "run/openrc/", "run/openrc/softlevel", "etc/init.d/", "etc/inittab" },
	  "init",
	  INIT_OPENRC },
	{ { "etc/runlevels/" }, "openrc-init", INIT_OPENRC },
	{ { NULL }, "tini", INIT_NONE },
};

static void inits_are_told_apart(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(inits); i++) {
		struct scratch scratch;

		scratch_init(&scratch);
		assert_int_equal(directory_make(scratch_file(&scratch, "proc/1"), 0755, NULL), 0);
		assert_int_equal(directory_make(scratch_file(&scratch, "etc"), 0755, NULL), 0);
		PH_AUTO_FREE char *comm = ph_format("%s\n", inits[i].first);

		scratch_write(&scratch, "proc/1/comm", comm, strlen(comm));
		for (size_t k = 0; k < 4 && inits[i].made[k]; k++) {
			const char *path = scratch_file(&scratch, inits[i].made[k]);

			if (text_has_suffix(path, "/"))
				assert_int_equal(directory_make(path, 0755, NULL), 0);
			else
				scratch_write(&scratch, inits[i].made[k], "", 0);
		}
		if (init_detect(scratch.path) != inits[i].init)
			fail_msg("case %zu: %s", i, init_name(init_detect(scratch.path)));
		scratch_fini(&scratch);
	}
}

/* systemd of a container that was just started cannot be asked yet; nobody waits for what is no systemd. */
static void systemd_is_waited_for(void **state)
{
	struct ph_error error = { 0 };
	struct scratch scratch;
	pid_t child;

	scratch_init(&scratch);
	assert_int_equal(directory_make(scratch_file(&scratch, "proc/1"), 0755, NULL), 0);
	assert_int_equal(directory_make(scratch_file(&scratch, "run/systemd"), 0755, NULL), 0);
	assert_int_equal(init_await(scratch.path, 60000, &error), 0); /* nothing is known of process 1 */
	assert_int_equal(symlink("/usr/bin/sleep", scratch_file(&scratch, "proc/1/exe")), 0);
	assert_int_equal(init_await(scratch.path, 60000, &error), 0);
	assert_int_equal(unlink(scratch_file(&scratch, "proc/1/exe")), 0);
	assert_int_equal(symlink("/usr/lib/systemd/systemd", scratch_file(&scratch, "proc/1/exe")), 0);
	assert_int_equal(init_await(scratch.path, 50, &error), -ETIMEDOUT);
	assert_non_null(strstr(error.why, "systemd has not come up"));
	child = fork();
	if (child == 0) {
		usleep(100000);
		scratch_write(&scratch, "run/systemd/private", "", 0);
		_exit(0);
	}
	assert_int_equal(init_await(scratch.path, 60000, &error), 0);
	assert_int_equal(access(scratch_file(&scratch, "run/systemd/private"), F_OK), 0);
	waitpid(child, NULL, 0);
	scratch_fini(&scratch);
}

static void processes_are_found_by_name(void **state)
{
	char path[64], own[32] = "";
	PH_AUTO_FREE char *text = NULL;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)getpid());
	assert_int_equal(file_read_virtual(path, 64, &text, NULL), 0);
	snprintf(own, sizeof(own), "%.*s", (int)strcspn(text, "\n"), text);
	assert_true(process_find(own) > 0);
	assert_int_equal(process_find("no-such-process"), -ESRCH);
	own[strlen(own) - 1] = '\0';
	assert_int_equal(process_find(own), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_are_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(links_are_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(failed_writes_leave_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(directories_are_made_with_parents, setup, teardown),
		cmocka_unit_test(layouts_are_parsed),
		cmocka_unit_test(mounts_are_judged),
		cmocka_unit_test(inits_are_told_apart),
		cmocka_unit_test(systemd_is_waited_for),
		cmocka_unit_test(processes_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
