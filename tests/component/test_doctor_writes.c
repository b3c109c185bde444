/*
 * The doctor while it writes: killed before each of its calls, with calls that fail, on a file system that takes
 * nothing. A file is the old one or the new one, and what is said of it is true.
 */
#include "controller/doctor/repair.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/component/doctor_world.h"

static void test_read_only(void **state)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	struct world world;
	int status;
	pid_t child;

	diagnose_damaged(&world, &diagnosis);
	child = fork();
	if (child == 0) {
		struct ph_error error = { 0 };
		PH_AUTO_FREE char *backup = NULL;

		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount(world.tree, world.tree, NULL, MS_BIND, NULL) ||
		    mount(NULL, world.tree, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL))
			_exit(77);
		/* There is nothing to take back, and nothing to copy by hand. */
		_exit(doctor_repair(&diagnosis, world.backups, &backup, &error) == -EROFS && error.where[0] &&
				      !strstr(error.why, "taking it back") ?
			      0 :
			      1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WEXITSTATUS(status) == 77)
		print_message("SKIP: a mount namespace needs root\n");
	else
		assert_int_equal(status, 0);
	world_fini(&world);
}

/* ---- kill -9 before each write, fsync and rename ---- */

static int fatal_call = -1, calls;
/* The calls that fail instead: from the first of them on, as many as "failing". */
static int failing_from, failing;

/* Whether this call fails. */
static bool count_call(void)
{
	int call = calls++;

	if (fatal_call >= 0 && call == fatal_call)
		raise(SIGKILL);
	errno = EIO;
	return call >= failing_from && call - failing_from < failing;
}

ssize_t __real_write(int fd, const void *bytes, size_t size);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	return count_call() ? -1 : __real_write(fd, bytes, size);
}

int __wrap_fsync(int fd)
{
	return count_call() ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
	return count_call() ? -1 : __real_rename(from, to);
}

static void test_power_cut(void **state)
{
	int point = 0, old = 0, new = 0;

	for (bool killed = true; killed; point++) {
		DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
		PH_AUTO_FREE char *text = NULL;
		struct world world;
		int status;
		pid_t child;

		diagnose_damaged(&world, &diagnosis);
		child = fork();
		if (child == 0) {
			char *backup = NULL;

			fatal_call = point, calls = 0;
			_exit(doctor_repair(&diagnosis, world.backups, &backup, NULL) < 0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		killed = WIFSIGNALED(status);
		text = read_file(&world, "tunables/run");
		if (strcmp(text, "{run}=/run/ /var/run/\n") == 0)
			old++;
		else if (strcmp(text, "@{run}=/run/ /var/run/\n") == 0)
			new++;
		else
			fail_msg("killed at call %d the file is neither old nor new", point);
		world_fini(&world);
	}
	assert_true(old >= 4 && new >= 2);
}

static bool holds(struct world *world, const char *file, const char *text)
{
	PH_AUTO_FREE char *found = read_file(world, file);

	return strcmp(found, text) == 0;
}

/*
 * One call fails, or it and all behind it: the files are new, or the old ones are back, or it is said that one is not.
 */
static void test_failing_calls(void **state)
{
	static const int kinds[] = { 1, INT_MAX };
	static const char run[] = "{run}=/run/\n", proc[] = "{PROC}=/proc/\n";

	for (size_t kind = 0; kind < ARRAY_LENGTH(kinds); kind++) {
		int code = -1;

		for (int point = 0; code < 0; point++) {
			DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
			PH_AUTO_FREE char *backup = NULL;
			struct ph_error error = { 0 };
			struct world world;
			bool told;

			world_init(&world);
			write_file(&world, "tunables/run", run);
			write_file(&world, "tunables/proc", proc);
			assert_int_equal(doctor_diagnose(world.tree, &diagnosis, NULL), 0);
			assert_int_equal(diagnosis.verdict, DOCTOR_REPAIRABLE);
			calls = 0, failing_from = point, failing = kinds[kind];
			code = doctor_repair(&diagnosis, world.backups, &backup, &error);
			failing = 0;
			told = strstr(error.why, "taking it back") != NULL;
			if (code < 0 &&
			    (holds(&world, "tunables/run", run) && holds(&world, "tunables/proc", proc)) == told)
				fail_msg("call %d: %s", point, error.why);
			if (code < 0 && told)
				assert_int_equal(kinds[kind], INT_MAX);
			if (code == 0)
				assert_true(holds(&world, "tunables/run", "@{run}=/run/\n") &&
					    holds(&world, "tunables/proc", "@{PROC}=/proc/\n"));
			world_fini(&world);
			assert_true(point < 200);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_power_cut),
		cmocka_unit_test(test_failing_calls),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (access(POLICY "/lxc/lxc-default", R_OK) || !exec_is_installed("apparmor_parser")) {
		puts("1..0 # SKIP the packages apparmor and lxc are not installed");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
