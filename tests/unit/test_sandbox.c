/*
 * phoenixd's sandbox: what is taken away is tried in a child that has entered it, each attempt with its
 * control before. What phoenixd needs goes on working: the system tests run it in there.
 */
#include "controller/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

/* ---- attempts: 0 when it went through, else errno ---- */

static int outcome(long result)
{
	return result < 0 ? errno : 0;
}

static int try_inet(void)
{
	return outcome(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_netlink(void)
{
	return outcome(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int try_unix(void)
{
	return outcome(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_exec(void)
{
	/* Through the kernel's check of its arguments only: nothing is started. */
	return outcome(syscall(SYS_execveat, -1, "", NULL, NULL, 0)) == EPERM ? EPERM : 0;
}

static int try_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return outcome(pid);
}

static int try_namespace(void)
{
	return outcome(unshare(CLONE_NEWUSER));
}

static int try_mount(void)
{
	return outcome(mount("none", "/nowhere", "tmpfs", 0, NULL)) == EPERM ? EPERM : 0;
}

static int try_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? errno : 0;
}

static int try_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? errno : 0;
}

static int try_kill(void)
{
	return outcome(kill(getpid(), 0));
}

static int try_set_id(void)
{
	char path[] = "/tmp/phoenix-sandbox-XXXXXX";
	int fd = mkstemp(path), r;

	r = outcome(fchmod(fd, 04700));
	unlink(path);
	return r;
}

static int try_mode(void)
{
	char path[] = "/tmp/phoenix-sandbox-XXXXXX";
	int fd = mkstemp(path), r;

	r = outcome(fchmod(fd, 0640));
	unlink(path);
	return r;
}

static int try_io_uring(void)
{
	struct io_uring_params parameters = { 0 };

	return outcome(syscall(SYS_io_uring_setup, 1, &parameters)) == EPERM ? EPERM : 0;
}

static int try_keyring(void)
{
	return outcome(syscall(SYS_keyctl, 0, 0, 0, 0, 0)) == EPERM ? EPERM : 0;
}

static void *nothing(void *user)
{
	return user;
}

static int try_thread(void)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, nothing, NULL);

	if (r == 0)
		pthread_join(thread, NULL);
	return r;
}

struct attempt {
	const char *name;
	int (*try)(void);
	bool is_allowed;
	bool sanitizer_needs; /* so it stays allowed under one */
};

static const struct attempt attempts[] = {
	{ "a socket of the link", try_unix, true, false },
	{ "memory", try_memory, true, false },
	{ "a mode", try_mode, true, false },
	{ "a thread", try_thread, true, false },
	{ "the network", try_inet, false, false },
	{ "netlink", try_netlink, false, false },
	{ "another program", try_exec, false, false },
	{ "another process", try_fork, false, true },
	{ "a namespace", try_namespace, false, false },
	{ "a mount", try_mount, false, false },
	{ "memory that can be executed", try_code, false, true },
	{ "a signal", try_kill, false, true },
	{ "a set-id bit", try_set_id, false, false },
	{ "io_uring", try_io_uring, false, false },
	{ "keys", try_keyring, false, false },
};

/* What an attempt comes to in a child, in the sandbox or not. */
static int in_child(const struct attempt *attempt, bool enters)
{
	struct ph_error error;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (enters && sandbox_enter(&error) < 0)
			_exit(254);
		_exit(attempt->try());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void what_is_not_needed_is_gone(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(attempts); i++) {
		const struct attempt *attempt = &attempts[i];

		print_message("# %s\n", attempt->name);
#ifdef __SANITIZE_ADDRESS__
		if (attempt->sanitizer_needs)
			continue;
#endif
		assert_int_equal(in_child(attempt, true), attempt->is_allowed ? 0 : EPERM);
	}
}

/* The controls: without the sandbox, as root, all of it works or fails for another reason. */
static void without_the_sandbox_it_is_there(void **state)
{
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < ARRAY_LENGTH(attempts); i++) {
		print_message("# %s\n", attempts[i].name);
		assert_int_not_equal(in_child(&attempts[i], false), EPERM);
	}
}

static void there_is_no_way_back(void **state)
{
	struct ph_error error;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (sandbox_enter(&error) < 0)
			_exit(1);
		_exit(syscall(SYS_seccomp, 1, 0, NULL) < 0 && errno == EPERM ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* libuv has to learn before its loop that there is no ring; the sandbox can still be entered afterwards. */
static void there_is_no_ring_before_the_loop(void **state)
{
	struct ph_error error;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (sandbox_prepare(&error) < 0)
			_exit(1);
		if (syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno != ENOSYS)
			_exit(2);
		_exit(socket(AF_INET, SOCK_STREAM, 0) < 0 ? 3 : sandbox_enter(&error) < 0 ? 4 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_is_no_ring_before_the_loop),
		cmocka_unit_test(without_the_sandbox_it_is_there),
		cmocka_unit_test(what_is_not_needed_is_gone),
		cmocka_unit_test(there_is_no_way_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
