/*
 * liblxc speaks to a container's monitor over a socket in the abstract name space; anybody on the
 * host could listen there while a container is down. So a pid from liblxc is only believed when the
 * process carries the container's id map (the callers check it with process.h).
 */
#include "controller/host/lxc/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lxc/lxccontainer.h>
#include <lxc/version.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/lxc/adopted.h"
#include "controller/host/lxc/cgroups.h"
#include "controller/host/lxc/process.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/tree.h"

#define END_TIMEOUT_MS 20000
#define LOG_TAIL_LINES 3

static void put_container(struct lxc_container **container)
{
	if (*container)
		lxc_container_put(*container);
}

#define AUTO_CONTAINER PH_CLEANUP(put_container)

const char *instance_lxc_version(void)
{
	return lxc_get_version();
}

static int open_container(const struct config *config, const char *name,
			  struct lxc_container **ret_container, struct ph_error *error)
{
	char lxcpath[PATHS_SIZE];
	int code = adopted_lxcpath(config, name, lxcpath, sizeof(lxcpath), error);

	if (code < 0)
		return code;
	*ret_container = lxc_container_new(name, lxcpath);
	if (!*ret_container)
		return error_set(error, -EIO, lxcpath, NULL, "liblxc cannot open the container");
	return 0;
}

/* liblxc ends values with a newline here and there. */
static void trim_end(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
		text[--length] = '\0';
}

static char *read_item(struct lxc_container *container, const char *key)
{
	int length = container->get_config_item(container, key, NULL, 0);
	char *value;

	if (length < 0)
		return NULL;
	value = ph_alloc((size_t)length + 2);
	container->get_config_item(container, key, value, length + 1);
	trim_end(value);
	return value;
}

static int compare_back(struct lxc_container *container, const struct settings_text *text,
			struct ph_error *error)
{
	for (size_t i = 0; i < text->count; i++) {
		const char *key = text->lines[i].key;
		PH_AUTO_FREE char *meant = settings_text_values(text, key);
		PH_AUTO_FREE char *read = read_item(container, key);
		const char *expected = meant;

		/* liblxc keeps the storage type apart from the path. */
		if (strcmp(key, "lxc.rootfs.path") == 0 && text_has_prefix(meant, "dir:"))
			expected = meant + 4;
		if (!read || strcmp(expected, read) != 0)
			return error_set(error, -EBADMSG, key, NULL,
					 "liblxc reads \"%s\" where \"%s\" was written",
					 read ? read : "nothing", expected);
	}
	return 0;
}

static int check_contents(const struct config *config, const struct settings *settings,
			  const struct settings_text *text, const struct str *contents,
			  struct ph_error *error)
{
	AUTO_CONTAINER struct lxc_container *container = NULL;
	PH_AUTO_CLOSE int memory = memfd_create("lxc-config", MFD_CLOEXEC);
	char path[48];
	int code = open_container(config, settings->name, &container, error);

	if (code < 0)
		return code;
	if (memory < 0 || write(memory, contents->data, contents->length) !=
				  (ssize_t)contents->length)
		return error_errno(error, -errno, NULL, NULL, "memfd");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	container->clear_config(container);
	if (!container->load_config(container, path))
		return error_set(error, -EBADMSG, NULL, NULL,
				 "liblxc %s does not accept the configuration", lxc_get_version());
	return compare_back(container, text, error);
}

static int write_contents(const struct config *config, const char *name,
			  const struct str *contents, struct ph_error *error)
{
	const struct tree_owner owner = { 0, 0, 0640 };
	PH_AUTO_CLOSE int containers = -1;
	char path[80];
	int code = paths_open(config, PATHS_CONTAINERS, &containers, error);

	if (code < 0)
		return code;
	snprintf(path, sizeof(path), "%s/config", name);
	code = tree_write_file(containers, path, contents->data, contents->length, &owner, error);
	return code == TREE_UNCHANGED ? INSTANCE_UNCHANGED : code;
}

int instance_configure(const struct config *config, const struct settings *settings,
		       struct ph_error *error)
{
	PH_AUTO_STR struct str contents = STR_INIT;
	struct settings_text text;
	int code = settings_write(settings, &text, error);

	if (code < 0)
		return code;
	settings_text_format(&text, &contents);
	code = check_contents(config, settings, &text, &contents, error);
	if (code == 0)
		code = write_contents(config, settings->name, &contents, error);
	settings_text_fini(&text);
	return code;
}

int instance_accepts(const char *lxc_path, const char *name, const char *text, size_t length,
		     const char *const (*expected)[2], size_t count, struct ph_error *error)
{
	AUTO_CONTAINER struct lxc_container *container = lxc_container_new(name, lxc_path);
	PH_AUTO_CLOSE int memory = memfd_create("lxc-config", MFD_CLOEXEC);
	char path[48];

	if (!container)
		return error_set(error, -EIO, lxc_path, NULL, "liblxc cannot open the container");
	if (memory < 0 || write(memory, text, length) != (ssize_t)length)
		return error_errno(error, -errno, NULL, NULL, "memfd");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	container->clear_config(container);
	if (!container->load_config(container, path))
		return error_set(error, -EBADMSG, lxc_path, "look at it with: lxc-checkconfig",
				 "liblxc %s does not accept the configuration", lxc_get_version());
	for (size_t i = 0; i < count; i++) {
		PH_AUTO_FREE char *read = read_item(container, expected[i][0]);

		if (!read || !strstr(read, expected[i][1]))
			return error_set(error, -EBADMSG, expected[i][0],
					 "look for an lxc.include below it that says otherwise",
					 "liblxc reads \"%.80s\" where \"%s\" was written",
					 read ? read : "nothing", expected[i][1]);
	}
	return 0;
}

pid_t instance_init(const struct config *config, const char *name)
{
	AUTO_CONTAINER struct lxc_container *container = NULL;

	if (open_container(config, name, &container, NULL) < 0)
		return 0;
	if (!container->is_running(container))
		return 0;
	return container->init_pid(container);
}

int instance_log_path(const struct config *config, const char *name, char *path, size_t size,
		      struct ph_error *error)
{
	char place[PATHS_SIZE];
	int code = paths_format(config, PATHS_RUN, "log", NULL, place, error);

	if (code < 0)
		return code;
	if ((size_t)snprintf(path, size, "%s/%s.log", place, name) >= size)
		return error_set(error, -ENAMETOOLONG, place, NULL, "the path is too long");
	return 0;
}

/* Open RUN/log, which is root's alone; the descriptor is the caller's. */
static int open_logs(const struct config *config)
{
	PH_AUTO_CLOSE int run = -1;
	int logs = -1;

	if (paths_make(config, PATHS_RUN, "log", 0, 0, 0700, NULL) < 0 ||
	    paths_open(config, PATHS_RUN, &run, NULL) < 0 ||
	    tree_open_dir(run, "log", &logs, NULL) < 0)
		return -1;
	return logs;
}

/* "lxc-start web1 20261123210000.123 ERROR    start - ../src/lxc/start.c:main:12 - why" -> why */
static const char *log_message(const char *line)
{
	for (int i = 0; i < 2; i++) {
		const char *next = strstr(line, " - ");

		line = next ? next + 3 : line;
	}
	return line;
}

/* The first complaints: what liblxc says last is usually only that it gave up. */
static void collect_messages(char *log, char *text, size_t size)
{
	char *rest = log, *line;
	size_t used = 0, lines = 0;

	while ((line = strsep(&rest, "\n")) && lines < LOG_TAIL_LINES && used + 1 < size) {
		int length;

		if (!strstr(line, " ERROR "))
			continue;
		length = snprintf(text + used, size - used, "%s%s", used ? "; " : "",
				  log_message(line));
		used += length > 0 ? (size_t)length : 0;
		lines++;
	}
}

void instance_log_tail(const struct config *config, const char *name, char *text, size_t size)
{
	PH_AUTO_CLOSE int logs = open_logs(config);
	PH_AUTO_FREE char *log = NULL;
	char file[80];

	text[0] = '\0';
	snprintf(file, sizeof(file), "%s.log", name);
	if (logs >= 0 && tree_read_small(logs, file, 256 * 1024, &log, NULL, NULL) >= 0)
		collect_messages(log, text, size);
}

static void remove_log(const struct config *config, const char *name)
{
	PH_AUTO_CLOSE int logs = open_logs(config);
	char file[80];

	snprintf(file, sizeof(file), "%s.log", name);
	if (logs >= 0)
		unlinkat(logs, file, 0);
}

static void wait_for_end(int pidfd, uint64_t deadline_ms)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	uint64_t now = clock_monotonic_ms();

	while (pidfd >= 0 && now < deadline_ms) {
		if (poll(&end, 1, (int)(deadline_ms - now)) >= 0 || errno != EINTR)
			return;
		now = clock_monotonic_ms();
	}
}

/* liblxc tells of a failed start before its monitor has put everything away. */
static void wait_for_monitor(const char *name)
{
	uint64_t deadline_ms = clock_monotonic_ms() + END_TIMEOUT_MS;
	pid_t monitor;

	while ((monitor = cgroups_monitor(name)) > 0 && clock_monotonic_ms() < deadline_ms) {
		PH_AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, monitor, 0);

		if (pidfd < 0)
			break;
		wait_for_end(pidfd, deadline_ms);
	}
}

/* An adopted container's configuration says its own; for this start the reasons have to come to us. */
static void log_to_our_place(const struct config *config, struct lxc_container *container,
			     const char *name)
{
	char path[PATHS_SIZE + 80];

	if (instance_log_path(config, name, path, sizeof(path), NULL) < 0)
		return;
	container->set_config_item(container, "lxc.log.file", path);
	container->set_config_item(container, "lxc.log.level", "WARN");
}

/* liblxc moves its caller into the monitor's group: it gets a process of its own for that. */
static bool start_in_child(const struct config *config, const char *name,
			   const char *const *init)
{
	struct lxc_container *container = NULL;
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		if (open_container(config, name, &container, NULL) < 0)
			_exit(2);
		if (!init)
			log_to_our_place(config, container, name);
		container->want_daemonize(container, true);
		container->want_close_all_fds(container, true);
		_exit(container->start(container, 0, (char *const *)init) ? 0 : 1);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int instance_start(const struct config *config, const char *name, const char *const *init,
		   struct ph_error *error)
{
	pid_t init_pid = instance_init(config, name);
	PH_AUTO_CLOSE int process = init_pid > 0 ? process_open(init_pid) : -ESRCH;
	char log[240];

	if (process >= 0 && process_is_alive(process))
		return INSTANCE_UNCHANGED;
	/* It has just ended: while its monitor puts everything away its groups' names are taken, and the new one's
	 * would get others. */
	wait_for_monitor(name);
	cgroups_prune(name);
	remove_log(config, name);
	if (start_in_child(config, name, init))
		return INSTANCE_CHANGED;
	wait_for_monitor(name);
	cgroups_prune(name);
	instance_log_tail(config, name, log, sizeof(log));
	return error_set(error, -EIO, "liblxc", NULL, "the container does not start: %s",
			 log[0] ? log : "liblxc gives no reason");
}

static int kill_one(void *user, pid_t pid)
{
	PH_AUTO_CLOSE int process = process_open(pid);
	int *killed = user;

	if (process >= 0 && process_kill(pid, process, 0) != 0)
		++*killed;
	return 0;
}

/* What is in the groups but not below init any more: nothing, unless a monitor was killed. */
static int kill_left(const char *name, uint64_t deadline_ms)
{
	int alive;

	do {
		const struct timespec moment = { .tv_nsec = 2000000 };

		alive = 0;
		cgroups_visit(name, kill_one, &alive);
		if (!alive)
			return 0;
		nanosleep(&moment, NULL);
	} while (clock_monotonic_ms() < deadline_ms);
	return -ETIME;
}

int instance_stop(const struct config *config, const char *name, unsigned int grace_ms,
		  struct ph_error *error)
{
	AUTO_CONTAINER struct lxc_container *container = NULL;
	pid_t monitor = cgroups_monitor(name);
	PH_AUTO_CLOSE int pidfd = monitor ? (int)syscall(SYS_pidfd_open, monitor, 0) : -1;
	int code = open_container(config, name, &container, error);
	uint64_t deadline_ms;
	bool was_running;

	if (code < 0)
		return code;
	was_running = container->is_running(container);
	if (was_running && grace_ms)
		container->shutdown(container, (int)((grace_ms + 999) / 1000));
	if (container->is_running(container) && !container->stop(container))
		return error_set(error, -EIO, "liblxc", NULL, "the container does not stop: %s",
				 container->error_string ? container->error_string
							 : "liblxc gives no reason");
	deadline_ms = clock_monotonic_ms() + END_TIMEOUT_MS;
	wait_for_end(pidfd, deadline_ms);
	if (kill_left(name, deadline_ms) < 0)
		return error_set(error, -ETIME, NULL, NULL,
				 "processes of the container go on after being killed");
	cgroups_prune(name);
	return was_running ? INSTANCE_CHANGED : INSTANCE_UNCHANGED;
}

void instance_forget(const struct config *config, const char *name)
{
	char lxcpath[PATHS_SIZE], lock[PATHS_SIZE + 96];

	cgroups_prune(name);
	remove_log(config, name);
	if (paths_format(config, PATHS_CONTAINERS, NULL, NULL, lxcpath, NULL) < 0)
		return;
	snprintf(lock, sizeof(lock), "/run/lxc/lock/%s/.%s", lxcpath, name);
	unlink(lock);
}
