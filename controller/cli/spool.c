/*
 * A signal handler can reach nothing but file-scope variables: this is the one place that has one.
 * It is set before the file exists and emptied after it has gone, so that no moment is uncovered.
 */
#include "controller/cli/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define DEFAULT_SPOOL "/var/lib/phoenix/spool"
#define CHUNK (1 << 20)
#define SPOOL_REMEDY                                                                               \
	"name the controller's spool with --spool; be root or a member of the configured group"

static char pending_path[512];
static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP };

/* Async-signal-safe. The signal's own end follows: who waits for us sees what ended us. */
static void interrupted(int number)
{
	if (pending_path[0])
		unlink(pending_path);
	signal(number, SIG_DFL);
	raise(number);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = interrupted };

	for (size_t i = 0; i < ARRAY_LENGTH(ending_signals); i++) {
		struct sigaction old;

		sigaction(ending_signals[i], NULL, &old);
		if (old.sa_handler != SIG_IGN) /* as under nohup */
			sigaction(ending_signals[i], &action, NULL);
	}
}

static void block_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LENGTH(ending_signals); i++)
		sigaddset(&set, ending_signals[i]);
	sigprocmask(how, &set, NULL);
}

static void set_pending(const char *path)
{
	block_signals(SIG_BLOCK);
	text_copy(pending_path, sizeof(pending_path), path);
	block_signals(SIG_UNBLOCK);
}

static const char *default_directory(void)
{
	const char *directory = getenv("PHOENIX_SPOOL");

	return text_empty(directory) ? DEFAULT_SPOOL : directory;
}

int spool_open(const char *directory, struct spool *ret_spool, struct ph_error *error)
{
	struct spool spool = { .fd = -1 };
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];
	int length;

	if (text_empty(directory))
		directory = default_directory();
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return error_set(error, -EIO, NULL, NULL, "no random numbers");
	length = snprintf(spool.path, sizeof(spool.path), "%s/%s.tar", directory,
			  bytes_to_hex(random, sizeof(random), hex));
	if (length < 0 || (size_t)length >= sizeof(spool.path))
		return error_set(error, -EINVAL, NULL, SPOOL_REMEDY,
				 "the spool's path is too long");
	set_pending(spool.path);
	catch_signals();
	spool.fd = open(spool.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (spool.fd < 0) {
		int code = errno;

		set_pending("");
		return error_set(error, -EIO, directory, SPOOL_REMEDY, "open the spool: %s",
				 strerror(code));
	}
	*ret_spool = spool;
	ret_spool->name = strrchr(ret_spool->path, '/') + 1;
	return 0;
}

void spool_remove(struct spool *spool)
{
	if (!spool->path[0])
		return;
	unlink(spool->path);
	set_pending("");
	close(spool->fd);
	*spool = (struct spool){ .fd = -1 };
}

/* ---- filling it ---- */

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, bytes, length);

		if (written < 0 && errno != EINTR)
			return -errno;
		if (written > 0) {
			bytes += written;
			length -= (size_t)written;
		}
	}
	return 0;
}

/* For what knows no other way: pipes, other file systems. */
static int copy_bytes(int from, int to)
{
	PH_AUTO_FREE char *buffer = ph_alloc(CHUNK);

	for (;;) {
		ssize_t length = read(from, buffer, CHUNK);
		int r;

		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			return length < 0 ? -errno : 0;
		r = write_all(to, buffer, (size_t)length);
		if (r < 0)
			return r;
	}
}

/* Files that tell no size (and some file systems) end copy_file_range() at once: read() decides. */
static int copy_content(int from, int to)
{
	ssize_t copied;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	do
		copied = copy_file_range(from, NULL, to, NULL, CHUNK, 0);
	while (copied > 0);
	if (copied < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP &&
	    errno != ENOSYS && errno != EINTR)
		return -errno;
	return copy_bytes(from, to);
}

int spool_copy(struct spool *spool, const char *path, struct ph_error *error)
{
	PH_AUTO_CLOSE int from = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (from < 0)
		return error_set(error, -EINVAL, path, "name a tar archive or a directory",
				 "open: %s", strerror(errno));
	r = copy_content(from, spool->fd);
	if (r < 0)
		return error_errno(error, r, spool->path,
				   "make room, or move the spool to a larger file system",
				   "copy into the spool");
	return 0;
}

/* In the child: end with our parent, have the usual signals, print into the spool. */
static _Noreturn void become(const char *const *argv, int output, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	for (size_t i = 0; i < ARRAY_LENGTH(ending_signals); i++)
		signal(ending_signals[i], SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	if (getppid() != parent || dup2(output, STDOUT_FILENO) < 0)
		_exit(126);
	execvp(argv[0], (char *const *)argv);
	_exit(errno == ENOENT ? 127 : 126);
}

int spool_fill(struct spool *spool, const char *const *argv, const char *install,
	       struct ph_error *error)
{
	pid_t self = getpid(), child;
	int status;

	fflush(NULL);
	child = fork();
	if (child < 0)
		return error_errno(error, -errno, argv[0], NULL, "fork");
	if (child == 0)
		become(argv, spool->fd, self);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return error_errno(error, -errno, argv[0], NULL, "wait");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_set(error, -ENOPKG, argv[0], install, "the program is not installed");
	return error_set(error, -EIO, argv[0], "look at its messages above; is the disk full?",
			 "it ended with %s %d", WIFEXITED(status) ? "code" : "signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}
