/*
 * Each attempt runs in a child: a keyring and a namespace cannot be given back otherwise. The child
 * tells how it went through a pipe, as two small numbers.
 */
#include "agent/preflight/attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define SYSCTL "sys/net/ipv4/ip_unprivileged_port_start"

enum step { STEP_NONE, STEP_FSOPEN, STEP_FSMOUNT, STEP_OPEN_TREE, STEP_OPEN, STEP_REOPEN, STEP_KEYCTL,
	    STEP_UNSHARE };

static const char *const step_names[] = {
	[STEP_NONE] = "",		[STEP_FSOPEN] = "fsopen", [STEP_FSMOUNT] = "fsmount",
	[STEP_OPEN_TREE] = "open_tree", [STEP_OPEN] = "open",	  [STEP_REOPEN] = "reopen",
	[STEP_KEYCTL] = "keyctl",	[STEP_UNSHARE] = "unshare",
};

struct outcome {
	int step;
	int number;
};

typedef struct outcome (*attempt_fn)(void);

static struct outcome failed(enum step step)
{
	return (struct outcome){ step, errno };
}

/* ---- in the child ---- */

/* A procfs of our own, mounted nowhere; runc's first choice. */
static int new_procfs(enum step *ret_step)
{
	int fs = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);

	*ret_step = STEP_FSOPEN;
	if (fs < 0)
		return -1;
	*ret_step = STEP_FSMOUNT;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
}

/* A copy of the one at /proc, mounted nowhere either: its second choice. */
static int copied_procfs(void)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, "/proc",
			    OPEN_TREE_CLOEXEC | OPEN_TREE_CLONE);
}

static struct outcome reopen_sysctl(void)
{
	enum step step;
	int procfs = new_procfs(&step);
	struct outcome first = failed(step);
	char path[64];
	int handle;

	if (procfs < 0)
		procfs = copied_procfs();
	if (procfs < 0)
		return first;
	handle = openat(procfs, SYSCTL, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (handle < 0)
		return failed(STEP_OPEN);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
	/* Opened, never written. */
	return open(path, O_WRONLY | O_CLOEXEC) < 0 ? failed(STEP_REOPEN) : (struct outcome){ 0 };
}

/* By a name that nobody has, as runc does: one without a name may go beyond the quota. */
static struct outcome session_keyring(void)
{
	char name[64];

	snprintf(name, sizeof(name), "_ses.phoenix-%d-%llu", getpid(),
		 (unsigned long long)clock_monotonic_ms());
	return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) < 0 ? failed(STEP_KEYCTL) :
									    (struct outcome){ 0 };
}

static struct outcome user_namespace(void)
{
	return unshare(CLONE_NEWUSER) < 0 ? failed(STEP_UNSHARE) : (struct outcome){ 0 };
}

static struct outcome open_fuse(void)
{
	return open("/dev/fuse", O_RDWR | O_CLOEXEC) < 0 ? failed(STEP_OPEN) : (struct outcome){ 0 };
}

/* ---- in the parent ---- */

static int attempt_in_child(attempt_fn run, const char *what, struct attempt *ret_attempt,
			    struct ph_error *error)
{
	struct outcome outcome;
	int ends[2], status;
	ssize_t got;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(error, -errno, what, "try again", "make a pipe");
	child = fork();
	if (child == 0) {
		outcome = run();
		_exit(write(ends[1], &outcome, sizeof(outcome)) != sizeof(outcome));
	}
	status = errno;
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		return error_errno(error, -status, what, "try again", "start a process");
	}
	do {
		got = read(ends[0], &outcome, sizeof(outcome));
	} while (got < 0 && errno == EINTR);
	close(ends[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (got != sizeof(outcome))
		return error_set(error, -EIO, what, "try again", "the attempt ended early");
	*ret_attempt = (struct attempt){ step_names[outcome.step], outcome.number };
	if (outcome.step == STEP_NONE)
		ret_attempt->number = 0;
	return 0;
}

int attempt_reopen_sysctl(struct attempt *ret_attempt, struct ph_error *error)
{
	return attempt_in_child(reopen_sysctl, "/proc/" SYSCTL, ret_attempt, error);
}

int attempt_session_keyring(struct attempt *ret_attempt, struct ph_error *error)
{
	return attempt_in_child(session_keyring, "session keyring", ret_attempt, error);
}

int attempt_user_namespace(struct attempt *ret_attempt, struct ph_error *error)
{
	return attempt_in_child(user_namespace, "user namespace", ret_attempt, error);
}

int attempt_fuse(struct attempt *ret_attempt, struct ph_error *error)
{
	return attempt_in_child(open_fuse, "/dev/fuse", ret_attempt, error);
}
