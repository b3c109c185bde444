/*
 * phoenixd: the loop, the state, the API. Runs as a user of its own without capabilities; what needs
 * root is asked of phoenix-host. Crash-only: stopping it, in any way, stops nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "common/address.h"
#include "common/config.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/str.h"
#include "controller/api/api.h"
#include "controller/container/registry.h"
#include "controller/rollout/rollouts.h"
#include "controller/sandbox/sandbox.h"

#define NAME "phoenixd"
#define LISTEN_FIRST 3 /* of the sockets that a service manager hands over */
#define LISTEN_MAXIMUM 16
#define VSOCK_BACKLOG 256
#define DESCRIPTORS 131072 /* two for each agent, and room; LimitNOFILE= of the unit */

static const char usage[] =
	"Usage: phoenixd [--config FILE]\n"
	"\n"
	"The Phoenix controller: keeps state, talks to agents and to phoenix-host, serves\n"
	"phoenixctl. Runs in the foreground and logs to standard error.\n"
	"\n"
	"  --config FILE   configuration (default " DAEMON_CONFIG ", may be absent)\n"
	"  --help          show this text\n"
	"  --version       show the version\n"
	"\n"
	"Exit status: 0 stopped by a signal, 1 could not start, 2 bad usage or configuration,\n"
	"74 the disk failed under its state.\n";

struct daemon {
	uv_loop_t loop;
	struct loop_watch *watch; /* owned */
	uv_signal_t terminate;
	uv_signal_t interrupt;
	struct config config;
	int vsock; /* listens; owned until the registry has it; or why it does not */
	struct registry *registry;
	struct rollouts *rollouts;
	struct api *api;
};

/* A socket that the service manager has opened for us (sd_listen_fds(3)), or -1. */
static int find_inherited(const struct address *wanted)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t process, sockets;

	if (!pid || !count || text_to_u64(pid, INT_MAX, &process) < 0 ||
	    (pid_t)process != getpid() || text_to_u64(count, LISTEN_MAXIMUM, &sockets) < 0)
		return -1;
	for (int fd = LISTEN_FIRST; fd < LISTEN_FIRST + (int)sockets; fd++)
		if (address_is_listening(fd, wanted) && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
			return fd;
	return -1;
}

/*
 * While we may still open a port below 1024: over vsock that is what keeps containers from listening in
 * our place. A negative errno is remembered for those who want vsock.
 */
static int open_vsock(const struct config *config)
{
	int fd;

	if (!config->has_vsock)
		return -ENOENT;
	fd = find_inherited(&config->vsock);
	return fd >= 0 ? fd : address_listen(&config->vsock, 0, VSOCK_BACKLOG);
}

/* No program that it could start would get any capability. Numbers that the kernel does not have end it. */
static void empty_bounding_set(void)
{
	for (unsigned long capability = 0; capability < 64; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			return;
}

/* As many descriptors as the kernel grants: what it was started with is made for other programs. */
static void raise_descriptors(void)
{
	struct rlimit limit = { DESCRIPTORS, DESCRIPTORS };

	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Started as root, it becomes its user before anything is opened; there is no way back. */
static int drop_privileges(const struct config *config, struct ph_error *error)
{
	if (geteuid() != 0)
		return 0;
	if (config->uid == 0)
		return error_set(error, -EPERM, "user", "name an unprivileged user in the "
				 "configuration (key: user)", "phoenixd does not run as root");
	empty_bounding_set();
	if (setgroups(1, &config->control_gid) < 0 ||
	    setresgid(config->gid, config->gid, config->gid) < 0 ||
	    setresuid(config->uid, config->uid, config->uid) < 0)
		return error_errno(error, -errno, config->user, NULL, "become the user");
	return 0;
}

/* The registry goes last: clients' event streams and progress hang on it. */
static void api_closed(void *user)
{
	struct daemon *daemon = user;

	rollouts_close(daemon->rollouts);
	registry_close(daemon->registry);
}

static void signalled(uv_signal_t *handle, int number)
{
	struct daemon *daemon = handle->data;

	log_write(LOG_LEVEL_INFO, "main", NULL, "stopping on signal %d", number);
	notify_send("STOPPING=1");
	uv_close((uv_handle_t *)&daemon->terminate, NULL);
	uv_close((uv_handle_t *)&daemon->interrupt, NULL);
	daemon->registry->loop_watch = NULL;
	loop_watch_close(daemon->watch);
	api_close(daemon->api, api_closed, daemon);
}

static void watch_signal(struct daemon *daemon, uv_signal_t *handle, int number)
{
	uv_signal_init(&daemon->loop, handle);
	handle->data = daemon;
	uv_signal_start(handle, signalled, number);
}

static void loop_stalled(void *user, const struct loop_stall *stall)
{
	char text[160];

	loop_stall_format(stall, text, sizeof(text));
	log_write(LOG_LEVEL_WARNING, "main", NULL, "%s", text);
}

static int run(struct daemon *daemon)
{
	struct ph_error error;
	int r;

	loop_adopt_memory();
	uv_loop_init(&daemon->loop);
	daemon->watch = loop_watch_new(&daemon->loop, LOOP_STALL_MS, loop_stalled, NULL);
	r = registry_open(&daemon->loop, &daemon->config, &daemon->registry, &error);
	if (r == 0 && daemon->config.has_vsock)
		registry_listen_vsock(daemon->registry, daemon->vsock);
	if (r == 0)
		daemon->registry->loop_watch = daemon->watch;
	if (r == 0)
		r = rollouts_open(daemon->registry, &daemon->rollouts, &error);
	if (r == 0)
		r = api_open(daemon->registry, &daemon->api, &error);
	/* Nothing of anybody's has been read so far: that begins with the loop. */
	if (r == 0)
		r = sandbox_enter(&error);
	if (r < 0) {
		daemon_print_failure(NAME, &error);
		return EXIT_FAILURE;
	}
	watch_signal(daemon, &daemon->terminate, SIGTERM);
	watch_signal(daemon, &daemon->interrupt, SIGINT);
	notify_send("READY=1");
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	uv_loop_close(&daemon->loop);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct daemon daemon;
	struct daemon_options options;
	struct ph_error error;

	if (daemon_parse_options(argc, argv, NAME, usage, &options) < 0)
		return 2;
	if (config_load(options.config, options.is_required, &daemon.config, &error) < 0) {
		daemon_print_failure(NAME, &error);
		return 2;
	}
	raise_descriptors();
	daemon.vsock = open_vsock(&daemon.config);
	if (drop_privileges(&daemon.config, &error) < 0) {
		daemon_print_failure(NAME, &error);
		return 2;
	}
	log_set_level(daemon.config.log_level);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	umask(0027);
	if (sandbox_prepare(&error) < 0) {
		daemon_print_failure(NAME, &error);
		return 1;
	}
	return run(&daemon);
}
