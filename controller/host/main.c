/*
 * phoenix-host: root's half of Phoenix. Serves a dozen typed verbs to phoenixd and does nothing
 * else; every verb runs in a forked child with a deadline. Crash-only: killing it at any moment
 * costs a retry.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/config.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "controller/host/tree/paths.h"
#include "controller/host/verbs/host_facts.h"
#include "controller/host/verbs/server.h"

#define NAME "phoenix-host"

static const char usage[] =
	"Usage: phoenix-host [--config FILE]\n"
	"\n"
	"The root executor of Phoenix: makes containers, networks and confinement for\n"
	"phoenixd. Runs in the foreground and logs to standard error.\n"
	"\n"
	"  --config FILE   configuration (default " DAEMON_CONFIG ", may be absent)\n"
	"  --help          show this text\n"
	"  --version       show the version\n"
	"\n"
	"Exit status: 0 stopped by a signal, 1 could not start, 2 bad usage or configuration.\n";

struct daemon {
	uv_loop_t loop;
	struct loop_watch *watch; /* owned */
	uv_signal_t terminate;
	uv_signal_t interrupt;
	struct config config;
	struct server *server;
};

static void signalled(uv_signal_t *handle, int number)
{
	struct daemon *daemon = handle->data;

	log_write(LOG_LEVEL_INFO, "host", NULL, "stopping on signal %d", number);
	notify_send("STOPPING=1");
	uv_close((uv_handle_t *)&daemon->terminate, NULL);
	uv_close((uv_handle_t *)&daemon->interrupt, NULL);
	loop_watch_close(daemon->watch);
	server_close(daemon->server);
}

static void watch_signal(struct daemon *daemon, uv_signal_t *handle, int number)
{
	uv_signal_init(&daemon->loop, handle);
	handle->data = daemon;
	uv_signal_start(handle, signalled, number);
}

static void harden(void)
{
	struct rlimit core;

	signal(SIGPIPE, SIG_IGN);
	umask(0022);
	/* Only the soft limit: containers inherit it and may want to raise it. */
	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = 0;
		setrlimit(RLIMIT_CORE, &core);
	}
	if (chdir("/") < 0)
		abort();
}

static int prepare(struct daemon *daemon, struct server_config *server, struct ph_error *error)
{
	int code;

	if (geteuid() != 0)
		return error_set(error, -EPERM, "phoenix-host", "start it as root, or by systemd",
				 "it makes containers for phoenixd and has to be root");
	harden();
	code = paths_ensure_all(&daemon->config, error);
	if (code < 0)
		return code;
	host_facts_load_modules();
	server->config = &daemon->config;
	server->fuse_was_closed = host_facts_open_fuse();
	if (server->fuse_was_closed)
		log_write(LOG_LEVEL_WARNING, "host", NULL,
			  "/dev/fuse was not open to everybody: set to 0666 until the next boot");
	return 0;
}

static void loop_stalled(void *user, const struct loop_stall *stall)
{
	char text[160];

	loop_stall_format(stall, text, sizeof(text));
	log_write(LOG_LEVEL_WARNING, "host", NULL, "%s", text);
}

static int run(struct daemon *daemon)
{
	struct server_config server = { 0 };
	struct ph_error error = { 0 };
	int code = prepare(daemon, &server, &error);

	loop_adopt_memory();
	uv_loop_init(&daemon->loop);
	daemon->watch = loop_watch_new(&daemon->loop, LOOP_STALL_MS, loop_stalled, NULL);
	if (code == 0)
		code = server_open(&daemon->loop, &server, &daemon->server, &error);
	if (code < 0) {
		daemon_print_failure(NAME, &error);
		return EXIT_FAILURE;
	}
	watch_signal(daemon, &daemon->terminate, SIGTERM);
	watch_signal(daemon, &daemon->interrupt, SIGINT);
	log_write(LOG_LEVEL_INFO, "host", NULL, "serving phoenixd (uid %u)", daemon->config.uid);
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
	log_set_level(daemon.config.log_level);
	return run(&daemon);
}
