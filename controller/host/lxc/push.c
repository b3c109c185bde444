/*
 * lxc_attach forks into the container's namespaces and groups and calls enter() there, still with
 * our memory but behind the container's walls: from there on nothing is opened and only what was
 * prepared before is used. A pipe that closes on exec tells when the program has started.
 */
#include "controller/host/lxc/push.h"
#include "controller/host/lxc/adopted.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lxc/attach_options.h>
#include <lxc/lxccontainer.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"
#include "controller/host/lxc/cgroups.h"
#include "controller/host/lxc/instance.h"
#include "controller/host/lxc/process.h"
#include "controller/host/lxc/sealed.h"
#include "controller/host/tree/paths.h"

#define EXEC_TIMEOUT_MS 10000
#define KILL_TIMEOUT_MS 2000
#define AGENT_EXE "/memfd:" SEALED_NAME " (deleted)"

struct entry {
	int program; /* the sealed memfd */
	int report;  /* closes on exec; carries errno when that fails */
	int key;     /* read end of a pipe with the key in it; the agent keeps it */
	char *arguments[10];
};

static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Runs inside the container. */
static int enter(void *payload)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char home[] = "HOME=/root";
	static char container[] = "container=lxc";
	char *environment[] = { path, home, container, NULL };
	const struct entry *entry = payload;
	int number;

	setsid();
	prctl(PR_SET_PDEATHSIG, 0); /* liblxc's: it would die with the verb that pushed it */
	reset_signals();
	umask(022);
	if (chdir("/") == 0 && close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0 &&
	    fcntl(entry->key, F_SETFD, 0) == 0)
		fexecve(entry->program, entry->arguments, environment);
	number = errno;
	if (write(entry->report, &number, sizeof(number)) < 0)
		return 126;
	return 127;
}

/* Waits for the exec; 0, or why it failed. */
static int wait_for_exec(int report)
{
	struct pollfd end = { .fd = report, .events = POLLIN };
	int number = 0;
	int ready;
	ssize_t got;

	do
		ready = poll(&end, 1, EXEC_TIMEOUT_MS);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return -ETIMEDOUT;
	got = read(report, &number, sizeof(number));
	return got == sizeof(number) ? -number : 0;
}

static int open_container(const struct config *config, const char *name,
			  struct lxc_container **ret_container, struct ph_error *error)
{
	char lxcpath[PATHS_SIZE];
	int code = adopted_lxcpath(config, name, lxcpath, sizeof(lxcpath), error);

	if (code < 0)
		return code;
	*ret_container = lxc_container_new(name, lxcpath);
	return *ret_container ?
		       0 :
		       error_set(error, -EIO, lxcpath, NULL, "liblxc cannot open the container");
}

static int attach(struct lxc_container *container, struct entry *entry, pid_t *ret_pid,
		  struct ph_error *error)
{
	PH_AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	lxc_attach_options_t options = LXC_ATTACH_OPTIONS_DEFAULT;
	struct stat status;

	if (null < 0 || fstat(null, &status) < 0 || !S_ISCHR(status.st_mode))
		return error_errno(error, -errno, "/dev/null", NULL, "open");
	options.env_policy = LXC_ATTACH_CLEAR_ENV;
	options.stdin_fd = options.stdout_fd = options.stderr_fd = null;
	options.uid = 0;
	options.gid = 0;
	/* From here on a process of the container must not be able to look into ours. */
	prctl(PR_SET_DUMPABLE, 0);
	if (container->attach(container, enter, entry, &options, ret_pid) < 0)
		return error_set(error, -EIO, "liblxc", "see the container's log",
				 "attaching to the container failed");
	return 0;
}

/*
 * The key is in no argument and no file: in a pipe, where it is until the agent has read it. Whoever
 * could open the agent's descriptors before that is root in the same container.
 */
static int fill_key_pipe(const uint8_t key[PUSH_KEY_SIZE])
{
	int ends[2];
	ssize_t written;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	written = write(ends[1], key, PUSH_KEY_SIZE);
	close(ends[1]);
	if (written == PUSH_KEY_SIZE)
		return ends[0];
	close(ends[0]);
	return -EIO;
}

static int exec_agent(struct lxc_container *container, const struct push_request *request,
		      const struct sealed *sealed, pid_t *ret_pid, struct ph_error *error)
{
	PH_AUTO_CLOSE int key = fill_key_pipe(request->key);
	int ends[2], code;
	char key_text[16];
	struct entry entry = {
		.program = sealed->fd,
		.key = key,
		.arguments = { (char[]){ "phoenix-agent" }, (char[]){ "--socket" },
			       (char *)request->address, (char[]){ "--boot-id" },
			       (char *)request->boot_id, (char[]){ "--name" },
			       (char *)request->name, (char[]){ "--key-fd" }, key_text, NULL },
	};

	if (key < 0)
		return error_errno(error, key, NULL, NULL, "hand over the key");
	snprintf(key_text, sizeof(key_text), "%d", key);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(error, -errno, NULL, NULL, "pipe");
	entry.report = ends[1];
	code = attach(container, &entry, ret_pid, error);
	close(ends[1]);
	if (code == 0) {
		code = wait_for_exec(ends[0]);
		if (code < 0) {
			kill(*ret_pid, SIGKILL); /* our own child: the number is still its */
			error_errno(error, code, NULL, NULL, "start the agent in the container");
		}
	}
	close(ends[0]);
	return code;
}

static int mismatch(struct ph_error *error, const char *what)
{
	return error_set(error, -EPERM, NULL,
			 "the container may be hostile: look at it before starting it again",
			 "the started agent has %s: it was killed", what);
}

static int check_agent(const struct push_request *request, int process, int init,
		       struct ph_error *error)
{
	char text[512];

	if (process_read_exe(process, text, sizeof(text)) < 0)
		return error_set(error, -ESRCH, NULL, NULL, "the agent ended at once");
	if (strcmp(text, AGENT_EXE) != 0)
		return mismatch(error, "another program");
	if (!process_has_map(process, request->id_base, request->id_count))
		return mismatch(error, "another id map");
	if (!process_same_namespace(process, init, "pid") ||
	    !process_same_namespace(process, init, "mnt") ||
	    !process_same_namespace(process, init, "net"))
		return mismatch(error, "other namespaces than the container");
	if (process_read_file(process, "cgroup", text, sizeof(text)) < 0 ||
	    !cgroups_contain(request->name, text))
		return mismatch(error, "another control group");
	return request->check_label ? request->check_label(request->user, process, error) : 0;
}

struct replace {
	pid_t init;
	int init_process; /* borrowed */
	const char *boot_id;
	unsigned int killed;
	pid_t living; /* 0: none was found */
};

/*
 * A descriptor of the process when it is an agent, which the caller closes, or -ESRCH. An agent's parent is
 * outside the container (attach made it); the jobs it forked have it, or the container's init, as their
 * parent: they are none.
 */
static int open_agent(const struct replace *replace, pid_t pid)
{
	PH_AUTO_CLOSE int process = process_open(pid);
	PH_AUTO_CLOSE int parent = -1;
	struct process_status status;
	char exe[64];

	if (process < 0 || pid == replace->init ||
	    process_read_exe(process, exe, sizeof(exe)) < 0 || strcmp(exe, AGENT_EXE) != 0 ||
	    process_read_status(process, &status) < 0)
		return -ESRCH;
	parent = status.parent > 0 ? process_open(status.parent) : -1;
	if (parent >= 0 && process_same_namespace(parent, replace->init_process, "pid"))
		return -ESRCH;
	return take_fd(&process);
}

static int kill_agent(void *user, pid_t pid)
{
	struct replace *replace = user;
	PH_AUTO_CLOSE int process = open_agent(replace, pid);

	if (process >= 0 && process_kill(pid, process, KILL_TIMEOUT_MS) == 0)
		replace->killed++;
	return 0;
}

/* Whether it runs, and was started for this boot. */
static bool is_living(int process, const char *boot_id)
{
	char text[1024], option[128], *state;
	size_t length = (size_t)snprintf(option, sizeof(option), "--boot-id%c%s", '\0', boot_id) +
			1;

	if (process_read_file(process, "status", text, sizeof(text)) < 0)
		return false;
	state = strstr(text, "\nState:\t");
	if (!state || strchr("TtZX", state[strlen("\nState:\t")]))
		return false;
	memset(text, 0, sizeof(text));
	return length <= sizeof(option) &&
	       process_read_file(process, "cmdline", text, sizeof(text)) == 0 &&
	       memmem(text, sizeof(text), option, length) != NULL;
}

static int find_living(void *user, pid_t pid)
{
	struct replace *replace = user;
	PH_AUTO_CLOSE int process = open_agent(replace, pid);

	if (process >= 0 && is_living(process, replace->boot_id))
		replace->living = pid;
	return 0;
}

static int push_into(struct lxc_container *container, const struct push_request *request,
		     struct push_result *result, struct ph_error *error)
{
	struct sealed sealed = { .fd = -1 };
	pid_t init = container->is_running(container) ? container->init_pid(container) : 0;
	PH_AUTO_CLOSE int init_process = init > 0 ? process_open(init) : -ESRCH;
	PH_AUTO_CLOSE int process = -1;
	struct replace replace = { .init = init,
				   .init_process = init_process,
				   .boot_id = request->boot_id };
	uint64_t attached_us;
	int code;

	if (init_process < 0 || !process_has_map(init_process, request->id_base, request->id_count))
		return error_set(error, -ENODEV, NULL,
				 "start it: phoenixctl apply; when it ends again at once, phoenixctl "
				 "preflight tells which limits of this host are used up",
				 "the container is not running");
	if (request->spare_living)
		cgroups_visit(request->name, find_living, &replace);
	if (replace.living) {
		*result = (struct push_result){ .pid = replace.living, .is_spared = true };
		return 0;
	}
	code = sealed_load(request->program, &sealed, error);
	if (code < 0)
		return code;
	memcpy(result->digest, sealed.digest, sizeof(result->digest));
	cgroups_visit(request->name, kill_agent, &replace);
	result->replaced = replace.killed;
	attached_us = clock_monotonic_us();
	code = exec_agent(container, request, &sealed, &result->pid, error);
	sealed_fini(&sealed);
	if (code < 0)
		return code;
	result->exec_us = clock_monotonic_us() - attached_us;
	process = process_open(result->pid);
	code = process < 0 ? error_set(error, -ESRCH, NULL, NULL, "the agent ended at once") :
			     check_agent(request, process, init_process, error);
	if (code < 0)
		kill(result->pid, SIGKILL); /* our own child: the number is still its */
	return code;
}

int push_agent(const struct config *config, const struct push_request *request,
	       struct push_result *ret_result, struct ph_error *error)
{
	uint64_t started_us = clock_monotonic_us();
	struct lxc_container *container = NULL;
	struct push_result result = { 0 };
	int code = open_container(config, request->name, &container, error);

	if (code < 0)
		return code;
	code = push_into(container, request, &result, error);
	lxc_container_put(container);
	if (code < 0)
		return code;
	result.duration_us = clock_monotonic_us() - started_us;
	*ret_result = result;
	return 0;
}
