/*
 * dpkg and apt lock with fcntl(), which tells the owner's pid without taking the lock. Our own hold
 * on the frontend lock is an open-file-description lock: closing another descriptor of the same file
 * in this process, as the owner's look-up does, would release an ordinary one.
 */
#include "agent/docker/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/docker/site.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

#define POLL_MS 100
#define TELL_MS 1000
#define FRONTEND_LOCK "/var/lib/dpkg/lock-frontend"

static const char *const package_locks[] = {
	FRONTEND_LOCK,
	"/var/lib/dpkg/lock",
	"/var/lib/apt/lists/lock",
	"/var/cache/apt/archives/lock",
};

/* --- waiting --------------------------------------------------------------------------------------- */

struct wait {
	const struct docker_wanted *wanted;
	lock_waiting_fn waiting;
	void *user;
	uint64_t started_ms;
	uint64_t told_ms;
};

static void wait_begin(struct wait *wait, const struct docker_wanted *wanted,
		       lock_waiting_fn waiting, void *user)
{
	*wait = (struct wait){ .wanted = wanted,
			       .waiting = waiting,
			       .user = user,
			       .started_ms = clock_monotonic_ms() };
}

/* Tell whom we wait for and sleep a little; false when the time is over. */
static bool wait_on(struct wait *wait, const char *owner)
{
	uint64_t now = clock_monotonic_ms();

	if (now - wait->started_ms >= wait->wanted->lock_timeout_ms)
		return false;
	if (wait->waiting && (!wait->told_ms || now - wait->told_ms >= TELL_MS)) {
		PH_AUTO_FREE char *message =
			ph_format("waiting, %llu s so far: %s",
				  (unsigned long long)(now - wait->started_ms) / 1000, owner);

		wait->waiting(wait->user, message);
		wait->told_ms = now;
	}
	usleep(POLL_MS * 1000);
	return true;
}

/* --- ours ------------------------------------------------------------------------------------------ */

static void owner_write(int fd)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, text, (size_t)length, 0);
}

static char *owner_read(int fd)
{
	char text[32] = "";
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return ph_format("process %s is installing already", text[0] ? text : "?");
}

int install_lock_take(const struct docker_wanted *wanted, lock_waiting_fn waiting, void *user,
		      struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(wanted, SITE_INSTALL_LOCK);
	PH_AUTO_FREE char *directory = site_path(wanted, DOCKER_RUN_DIR);
	PH_AUTO_CLOSE int fd = -1;
	struct wait wait;

	if (directory_make(directory, 0755, error) < 0)
		return error ? error->code : -EIO;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(error, -errno, path, NULL, "open");
	wait_begin(&wait, wanted, waiting, user);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		PH_AUTO_FREE char *owner = owner_read(fd);

		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_errno(error, -errno, path, NULL, "lock");
		if (!wait_on(&wait, owner))
			return error_set(error, -EBUSY, path,
					 "wait for that install to end, or end it",
					 "%s and has not ended in %u s", owner,
					 wanted->lock_timeout_ms / 1000);
	}
	owner_write(fd);
	return take_fd(&fd);
}

bool install_lock_is_held(const struct docker_wanted *wanted)
{
	PH_AUTO_FREE char *path = site_path(wanted, SITE_INSTALL_LOCK);
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* --- the package managers' --------------------------------------------------------------------------- */

static void program_name(pid_t pid, char *name, size_t size)
{
	PH_AUTO_FREE char *text = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (pid <= 0 || file_read_virtual(path, 256, &text, NULL) < 0)
		text_copy(name, size, "unknown");
	else
		snprintf(name, size, "%.*s", (int)strcspn(text, "\n"), text);
}

/* Whether somebody else holds a write lock on this file. */
static bool is_locked(const char *path, pid_t *ret_pid)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return false;
	*ret_pid = lock.l_pid;
	return true;
}

int package_lock_owner(const struct docker_wanted *wanted, char *text, size_t size)
{
	for (size_t i = 0; i < ARRAY_LENGTH(package_locks); i++) {
		PH_AUTO_FREE char *path = site_path(wanted, package_locks[i]);
		char name[32];
		pid_t pid = 0;

		if (!is_locked(path, &pid))
			continue;
		program_name(pid, name, sizeof(name));
		snprintf(text, size, "process %d (%s) holds %s", (int)pid, name, package_locks[i]);
		return 1;
	}
	return 0;
}

static int lock_busy(const struct docker_wanted *wanted, const char *owner, struct ph_error *error)
{
	return error_set(error, -EBUSY, FRONTEND_LOCK,
			 "wait until it has ended, or end it; then try again",
			 "the package manager is busy: %s, and still did after %u s", owner,
			 wanted->lock_timeout_ms / 1000);
}

int package_lock_wait(const struct docker_wanted *wanted, lock_waiting_fn waiting, void *user,
		      struct ph_error *error)
{
	struct wait wait;
	char owner[160];

	wait_begin(&wait, wanted, waiting, user);
	while (package_lock_owner(wanted, owner, sizeof(owner)))
		if (!wait_on(&wait, owner))
			return lock_busy(wanted, owner, error);
	return 0;
}

int package_lock_hold(const struct docker_wanted *wanted, lock_waiting_fn waiting, void *user,
		      struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(wanted, FRONTEND_LOCK);
	PH_AUTO_CLOSE int fd = -1;
	struct wait wait;
	char owner[160] = "an unknown process holds it";

	wait_begin(&wait, wanted, waiting, user);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return error_errno(error, -errno, path, NULL, "open");
	for (;;) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		bool is_free = !package_lock_owner(wanted, owner, sizeof(owner));

		if (is_free && fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return take_fd(&fd);
		if (!wait_on(&wait, owner))
			return lock_busy(wanted, owner, error);
	}
}
