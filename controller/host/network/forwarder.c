#include "controller/host/network/forwarder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/exec/exec.h"
#include "controller/host/tree/paths.h"

#define PID_FILE "dnsmasq.pid"
#define ARGUMENT_PID_FILE 2 /* its place in the list */
#define START_ATTEMPTS 30
#define START_PAUSE_MS 100
#define EXIT_ADDRESS 2 /* dnsmasq(8): a problem with an address or interface */
#define ARGUMENTS_MAXIMUM 16
#define COMMAND_LINE_MAXIMUM 8192
#define GRACE_MS 3000

/* The command line as it has to be. */
struct arguments {
	char *list[ARGUMENTS_MAXIMUM]; /* owned; NULL-terminated */
	size_t count;
};

static void arguments_fini(struct arguments *arguments)
{
	for (size_t i = 0; i < arguments->count; i++)
		free(arguments->list[i]);
}

static void add(struct arguments *arguments, char *text)
{
	arguments->list[arguments->count++] = text;
}

/* Forwarding only: no DHCP, no hosts file, no configuration of the distribution. */
static int fill_arguments(const struct config *config, uint32_t gateway,
			  struct arguments *arguments, struct ph_error *error)
{
	char pid_file[PATHS_SIZE], address[16];
	int result = paths_format(config, PATHS_NETWORK, NULL, PID_FILE, pid_file, error);

	if (result < 0)
		return result;
	add(arguments, ph_strdup("dnsmasq"));
	add(arguments, ph_strdup("--conf-file=/dev/null"));
	add(arguments, ph_format("--pid-file=%s", pid_file));
	add(arguments, ph_format("--user=%s", getpwnam("dnsmasq") ? "dnsmasq" : "nobody"));
	add(arguments, ph_strdup("--bind-interfaces"));
	add(arguments, ph_strdup("--except-interface=lo"));
	add(arguments, ph_format("--listen-address=%s", ipv4_to_text(gateway, address)));
	add(arguments, ph_format("--no-dhcp-interface=%s", config->bridge));
	add(arguments, ph_strdup("--no-hosts"));
	add(arguments, ph_strdup("--domain-needed"));
	add(arguments, ph_strdup("--bogus-priv"));
	add(arguments, ph_strdup("--cache-size=1000"));
	return 0;
}

/* Read a file of /proc/PID through its directory's descriptor. */
static bool read_proc(int proc, const char *file, char *buffer, size_t size, size_t *ret_length)
{
	PH_AUTO_CLOSE int fd = openat(proc, file, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, buffer, size);

	if (got < 0)
		return false;
	*ret_length = (size_t)got;
	return true;
}

/* Whether the process is a dnsmasq of this network namespace. */
static bool is_dnsmasq_here(int proc)
{
	char program[4096];
	struct stat theirs, ours;
	ssize_t length = readlinkat(proc, "exe", program, sizeof(program) - 1);
	char *deleted;

	if (length <= 0 || fstatat(proc, "ns/net", &theirs, 0) < 0 ||
	    stat("/proc/self/ns/net", &ours) < 0)
		return false;
	program[length] = '\0';
	deleted = strstr(program, " (deleted)"); /* upgraded since */
	if (deleted)
		*deleted = '\0';
	return text_has_suffix(program, "/dnsmasq") && theirs.st_ino == ours.st_ino;
}

/* Whether an argument stands on the command line. */
static bool has_argument(const char *line, size_t length, const char *argument)
{
	for (size_t at = 0; at < length; at += strlen(line + at) + 1)
		if (strcmp(line + at, argument) == 0)
			return true;
	return false;
}

enum likeness { STRANGER, OUTDATED, CURRENT };

/* What the process is to us: the pid file among its arguments makes it ours. */
static enum likeness compare(int proc, const struct arguments *arguments)
{
	char line[COMMAND_LINE_MAXIMUM + 1];
	size_t length = 0;

	if (!is_dnsmasq_here(proc) ||
	    !read_proc(proc, "cmdline", line, COMMAND_LINE_MAXIMUM, &length))
		return STRANGER;
	line[length] = '\0';
	if (!has_argument(line, length, arguments->list[ARGUMENT_PID_FILE]))
		return STRANGER;
	for (size_t i = 1; i < arguments->count; i++)
		if (!has_argument(line, length, arguments->list[i]))
			return OUTDATED;
	return CURRENT;
}

/*
 * Look at one process. The pidfd is taken before looking, so that what was looked at is what is
 * signalled.
 */
static enum likeness inspect(int processes, const char *pid_text,
			     const struct arguments *arguments, int *ret_pidfd)
{
	PH_AUTO_CLOSE int pidfd = -1;
	PH_AUTO_CLOSE int proc = -1;
	enum likeness likeness;
	uint64_t pid;

	if (text_to_u64(pid_text, INT32_MAX, &pid) < 0 || pid == 0)
		return STRANGER;
	pidfd = pidfd_open((pid_t)pid, 0);
	proc = openat(processes, pid_text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pidfd < 0 || proc < 0)
		return STRANGER;
	likeness = compare(proc, arguments);
	if (likeness != STRANGER)
		*ret_pidfd = take_fd(&pidfd);
	return likeness;
}

/*
 * Find a forwarder of ours among all processes, not by its pid file: one whose starter was killed
 * has none yet.
 */
static enum likeness find(const struct arguments *arguments, int *ret_pidfd)
{
	PH_AUTO_DIR DIR *processes = opendir("/proc");
	enum likeness likeness = STRANGER;
	struct dirent *entry;

	while (likeness == STRANGER && processes && (entry = readdir(processes)))
		likeness = inspect(dirfd(processes), entry->d_name, arguments, ret_pidfd);
	return likeness;
}

static int end(int pidfd, struct ph_error *error)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	if (pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
		return error_errno(error, -errno, "dnsmasq", NULL, "signal");
	if (poll(&ended, 1, GRACE_MS) == 1)
		return 0;
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	return poll(&ended, 1, GRACE_MS) == 1 ?
		       0 :
		       error_set(error, -EBUSY, "dnsmasq", NULL, "it does not end");
}

static int explain(const struct exec_result *result, struct ph_error *error)
{
	const char *line = str_text(&result->errors);

	line += strspn(line, "\n");
	return error_set(error, -EIO, "dnsmasq",
			 result->exit_code == EXIT_ADDRESS ?
				 "another name server may listen there: bind it to other "
				 "interfaces, or set network.dns: false" :
				 NULL,
			 "exit code %d: %.*s", result->exit_code, (int)strcspn(line, "\n"), line);
}

/* Start it once; EXEC_FAILED with the error filled when it did not like what it met. */
static int start(const struct arguments *arguments, int *ret_code, struct ph_error *error)
{
	const struct exec_request request = { .argv = (const char *const *)arguments->list };
	EXEC_AUTO_RESULT struct exec_result result = EXEC_RESULT_INIT;
	int outcome = exec_run(&request, &result, error);

	if (outcome == -ENOENT)
		return error_set(error, outcome, "dnsmasq",
				 "apt install dnsmasq-base, or set network.dns: false",
				 "the program is not installed");
	*ret_code = result.exit_code;
	return outcome == EXEC_FAILED ? explain(&result, error) : outcome;
}

/*
 * A predecessor that is just dying still has the address, one that is just starting is found a
 * moment later: then it is looked at again, for a bounded time.
 */
static int start_or_find(const struct arguments *arguments, struct ph_error *error)
{
	int code = 0, result = 0;

	for (int i = 0; i < START_ATTEMPTS; i++) {
		PH_AUTO_CLOSE int pidfd = -1;

		result = start(arguments, &code, error);
		if (result != -EIO || code != EXIT_ADDRESS)
			return result;
		if (find(arguments, &pidfd) == CURRENT)
			return error_clear(error), 0;
		poll(NULL, 0, START_PAUSE_MS);
	}
	return result;
}

/* End all of ours, or all but those that are as they should be; positive when one ended. */
static int end_ours(const struct arguments *arguments, bool keep_current, struct ph_error *error)
{
	int count = 0;

	for (;;) {
		PH_AUTO_CLOSE int pidfd = -1;
		enum likeness likeness = find(arguments, &pidfd);
		int result;

		if (likeness == STRANGER || (likeness == CURRENT && keep_current))
			return count;
		result = end(pidfd, error);
		if (result < 0)
			return result;
		count++;
	}
}

int forwarder_ensure(const struct config *config, uint32_t gateway, struct ph_error *error)
{
	__attribute__((cleanup(arguments_fini))) struct arguments arguments = { 0 };
	PH_AUTO_CLOSE int pidfd = -1;
	int result = fill_arguments(config, gateway, &arguments, error);

	if (result == 0)
		result = end_ours(&arguments, true, error);
	if (result == 0 && find(&arguments, &pidfd) == CURRENT)
		return FORWARDER_UNCHANGED;
	if (result >= 0)
		result = start_or_find(&arguments, error);
	return result < 0 ? (error_prefix(error, "start the DNS forwarder"), result) :
			    FORWARDER_STARTED;
}

int forwarder_stop(const struct config *config, struct ph_error *error)
{
	__attribute__((cleanup(arguments_fini))) struct arguments arguments = { 0 };
	int result = fill_arguments(config, 0, &arguments, error);

	return result < 0 ? result : end_ours(&arguments, false, error);
}
