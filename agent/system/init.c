/*
 * Four ways to run a daemon behind one table. Without an init there is no one to ask, so the process
 * table answers; sysvinit and OpenRC scripts are asked to act, but what runs is looked up there too:
 * their pid files lie after a kill.
 */
#include "agent/system/init.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/system/command.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

#define SYSTEMD_DEADLINE_MS 150000 /* above the 90 s after which systemd itself gives up */
#define SCRIPT_DEADLINE_MS 60000
#define STOP_TERM_MS 30000
#define STOP_KILL_MS 5000
#define STOP_POLL_MS 50
#define START_POLL_MS 20
#define LOG_MAXIMUM (1024 * 1024) /* then it becomes LOG.old before the next start */

enum verb {
	VERB_START,
	VERB_STOP,
	VERB_RESTART,
	VERB_ENABLE,
	VERBS,
};

#define ARGUMENTS_MAXIMUM 5

/* "%" stands for the service's name. */
static const char *const verbs[][VERBS][ARGUMENTS_MAXIMUM] = {
	[INIT_SYSTEMD] = {
		[VERB_START] = { "systemctl", "start", "%" },
		[VERB_STOP] = { "systemctl", "stop", "%" },
		[VERB_RESTART] = { "systemctl", "restart", "%" },
		[VERB_ENABLE] = { "systemctl", "enable", "--quiet", "%" },
	},
	[INIT_SYSVINIT] = {
		[VERB_START] = { "service", "%", "start" },
		[VERB_STOP] = { "service", "%", "stop" },
		[VERB_RESTART] = { "service", "%", "restart" },
		[VERB_ENABLE] = { "update-rc.d", "%", "defaults" },
	},
	[INIT_OPENRC] = {
		[VERB_START] = { "rc-service", "%", "start" },
		[VERB_STOP] = { "rc-service", "%", "stop" },
		[VERB_RESTART] = { "rc-service", "%", "restart" },
		[VERB_ENABLE] = { "rc-update", "add", "%", "default" },
	},
};

static const char *const names[] = {
	[INIT_NONE] = "none",
	[INIT_SYSTEMD] = "systemd",
	[INIT_SYSVINIT] = "sysvinit",
	[INIT_OPENRC] = "openrc",
};

static bool exists(const char *root, const char *path)
{
	PH_AUTO_FREE char *full = ph_format("%s%s", root, path);

	return access(full, F_OK) == 0;
}

/* The name of the program that is process 1. */
static void first_process(const char *root, char *name, size_t size)
{
	PH_AUTO_FREE char *path = ph_format("%s/proc/1/comm", root);
	PH_AUTO_FREE char *text = NULL;

	name[0] = '\0';
	if (file_read_virtual(path, 256, &text, NULL) == 0)
		text_copy(name, size, text);
	name[strcspn(name, "\n")] = '\0';
}

enum init_system init_detect(const char *root)
{
	char first[32];

	/* What sd_booted(3) looks at. */
	if (exists(root, "/run/systemd/system"))
		return INIT_SYSTEMD;
	first_process(root, first, sizeof(first));
	if (exists(root, "/run/openrc/softlevel") ||
	    (strcmp(first, "openrc-init") == 0 && exists(root, "/etc/runlevels")))
		return INIT_OPENRC;
	/* A sleep or an own entry point as process 1 runs no scripts, whatever lies in init.d. */
	if (strcmp(first, "init") == 0 && exists(root, "/etc/inittab") &&
	    exists(root, "/etc/init.d"))
		return INIT_SYSVINIT;
	return INIT_NONE;
}

/* By its file: its name is "init" until it gives itself another one. */
static bool is_systemd_first(const char *root)
{
	PH_AUTO_FREE char *path = ph_format("%s/proc/1/exe", root);
	char file[512];
	ssize_t length = readlink(path, file, sizeof(file) - 1);

	file[length < 0 ? 0 : length] = '\0';
	return text_has_suffix(file, "/systemd");
}

int init_await(const char *root, uint32_t timeout_ms, struct ph_error *error)
{
	uint64_t end = clock_monotonic_ms() + timeout_ms;

	/* The socket that systemctl(1) of root speaks to, made behind /run/systemd/system. */
	while (is_systemd_first(root) && !exists(root, "/run/systemd/private")) {
		if (clock_monotonic_ms() >= end)
			return error_set(error, -ETIMEDOUT, "/run/systemd/private",
					 "look at the container's journal, or start it again",
					 "systemd has not come up within %u s", timeout_ms / 1000);
		usleep(START_POLL_MS * 1000);
	}
	return 0;
}

const char *init_name(enum init_system init)
{
	return (size_t)init < ARRAY_LENGTH(names) ? names[init] : "?";
}

/* --- the process table --------------------------------------------------------------------------- */

static bool same_namespace(const char *pid, const char *own)
{
	char path[300], link[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%s/ns/pid", pid);
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0)
		return false;
	link[length] = '\0';
	return strcmp(link, own) == 0;
}

/* Whether /proc/PID/stat shows this program name, alive: "12 (dockerd) S 1 ...". */
static bool is_program(const char *pid, const char *program)
{
	char path[300], name[16];
	PH_AUTO_FREE char *text = NULL;
	const char *begin, *end;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if (file_read_virtual(path, 4096, &text, NULL) < 0)
		return false;
	begin = strchr(text, '(');
	end = strrchr(text, ')');
	text_copy(name, sizeof(name), program); /* the kernel keeps 15 bytes of it */
	if (!begin || !end || (size_t)(end - begin - 1) != strlen(name))
		return false;
	if (strncmp(begin + 1, name, strlen(name)) != 0 || end[1] != ' ')
		return false;
	return end[2] != 'Z' && end[2] != 'X';
}

pid_t process_find(const char *program)
{
	PH_AUTO_DIR DIR *directory = opendir("/proc");
	pid_t found = -ESRCH;
	struct dirent *entry;
	char own[64];
	ssize_t length = readlink("/proc/self/ns/pid", own, sizeof(own) - 1);

	if (!directory || length < 0)
		return -errno;
	own[length] = '\0';
	while ((entry = readdir(directory))) {
		pid_t pid;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (!is_program(entry->d_name, program) || !same_namespace(entry->d_name, own))
			continue;
		pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (found < 0 || pid < found)
			found = pid;
	}
	return found;
}

/* --- without an init ------------------------------------------------------------------------------ */

static void log_rotate(const char *path)
{
	PH_AUTO_FREE char *old = ph_format("%s.old", path);
	struct stat status;

	if (stat(path, &status) == 0 && status.st_size > LOG_MAXIMUM)
		rename(path, old);
}

static void pid_file_check(const struct service_pid_file *file)
{
	PH_AUTO_FREE char *text = NULL;

	if (file_read(file->path, 64, &text, NULL, NULL) < 0)
		return;
	text[strspn(text, "0123456789")] = '\0';
	if (!text[0] || !is_program(text, file->program))
		unlink(file->path);
}

static int daemon_start(const struct service *service, struct ph_error *error)
{
	struct command command = { .argv = service->argv, .path = service->path };
	PH_AUTO_FREE char *directory = ph_strdup(service->log_path);
	char *slash = strrchr(directory, '/');
	int result = 0;

	if (slash && slash != directory) {
		*slash = '\0';
		result = directory_make(directory, 0755, error);
	}
	if (result < 0)
		return result;
	log_rotate(service->log_path);
	for (const struct service_pid_file *file = service->pid_files; file && file->program;
	     file++)
		pid_file_check(file);
	return command_detach(&command, service->log_path, error);
}

/* Wait until no such process is left; false when it still is after timeout_ms. */
static bool gone_within(const char *program, uint64_t timeout_ms)
{
	uint64_t end = clock_monotonic_ms() + timeout_ms;

	while (process_find(program) > 0) {
		if (clock_monotonic_ms() >= end)
			return false;
		usleep(STOP_POLL_MS * 1000);
	}
	return true;
}

static int daemon_stop(const struct service *service, struct ph_error *error)
{
	pid_t pid = process_find(service->program);

	if (pid < 0)
		return 0;
	kill(pid, SIGTERM);
	if (gone_within(service->program, STOP_TERM_MS))
		return 0;
	pid = process_find(service->program);
	if (pid > 0)
		kill(pid, SIGKILL);
	if (gone_within(service->program, STOP_KILL_MS))
		return 0;
	return error_set(error, -EBUSY, service->program, "restart the container",
			 "process %d does not end, not even by SIGKILL", (int)pid);
}

/* --- by an init ------------------------------------------------------------------------------------ */

static int verb_run(enum init_system init, enum verb verb, const struct service *service,
		    struct ph_error *error)
{
	const char *argv[ARGUMENTS_MAXIMUM + 1] = { NULL };
	const struct command command = {
		.argv = argv,
		.path = service->path,
		.deadline_ms = init == INIT_SYSTEMD ? SYSTEMD_DEADLINE_MS : SCRIPT_DEADLINE_MS,
	};
	int result;

	for (size_t i = 0; i < ARGUMENTS_MAXIMUM && verbs[init][verb][i]; i++) {
		argv[i] = verbs[init][verb][i];
		if (strcmp(argv[i], "%") == 0)
			argv[i] = service->name;
	}
	result = command_succeed(&command, NULL, error);
	if (result < 0)
		error_prefix(error, "%s", service->name);
	return result;
}

/* A unit that failed too often in a row refuses to start until that is forgotten. */
static void failures_forget(enum init_system init, const struct service *service)
{
	const char *argv[] = { "systemctl", "reset-failed", service->name, NULL };
	const struct command command = { .argv = argv,
					 .path = service->path,
					 .deadline_ms = SCRIPT_DEADLINE_MS };

	if (init == INIT_SYSTEMD)
		command_succeed(&command, NULL, NULL);
}

int service_is_active(enum init_system init, const struct service *service, struct ph_error *error)
{
	const char *argv[] = { "systemctl", "is-active", service->name, NULL };
	const struct command command = { .argv = argv,
					 .path = service->path,
					 .deadline_ms = SCRIPT_DEADLINE_MS };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	PH_AUTO_FREE char *state = NULL;
	int result;

	if (init != INIT_SYSTEMD)
		return process_find(service->program) > 0;
	result = command_run(&command, &ended, error);
	if (result < 0)
		return result;
	state = command_last_line(ended.output);
	/* One that is on its way has read its configuration already, or will at any moment. */
	return strcmp(state, "active") == 0 || strcmp(state, "activating") == 0 ||
	       strcmp(state, "reloading") == 0;
}

int service_start(enum init_system init, const struct service *service, struct ph_error *error)
{
	int result = service_is_active(init, service, error);

	if (result != 0)
		return result < 0 ? result : SERVICE_ALREADY;
	failures_forget(init, service);
	result = init == INIT_NONE ? daemon_start(service, error) :
				     verb_run(init, VERB_START, service, error);
	return result < 0 ? result : SERVICE_STARTED;
}

int service_stop(enum init_system init, const struct service *service, struct ph_error *error)
{
	return init == INIT_NONE ? daemon_stop(service, error) :
				   verb_run(init, VERB_STOP, service, error);
}

int service_restart(enum init_system init, const struct service *service, struct ph_error *error)
{
	int result;

	if (init != INIT_NONE) {
		failures_forget(init, service);
		return verb_run(init, VERB_RESTART, service, error);
	}
	result = daemon_stop(service, error);
	return result < 0 ? result : daemon_start(service, error);
}

int service_enable(enum init_system init, const struct service *service, struct ph_error *error)
{
	return init == INIT_NONE ? 0 : verb_run(init, VERB_ENABLE, service, error);
}

int service_ensure_running(enum init_system init, const struct service *service,
			   struct ph_error *error)
{
	return init == INIT_NONE ? service_start(init, service, error) : SERVICE_ALREADY;
}
