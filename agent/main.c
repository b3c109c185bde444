/*
 * phoenix-agent: pushed into a container by phoenix-host, dials out to phoenixd. Trusts nothing and
 * is trusted with nothing. The subcommands run the same batteries by hand, without a controller.
 */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

#include "agent/docker/command_line.h"
#include "agent/health/by_hand.h"
#include "agent/link.h"
#include "agent/service.h"
#include "agent/storage/by_hand.h"
#include "agent/storage/verify.h"
#include "common/cleanup.h"
#include "common/handshake.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/secret.h"
#include "common/str.h"
#include "common/timer.h"

#define DEFAULT_SOCKET "/dev/phoenix/agent.sock"
#define SUPERVISE_MS 5000

static const char usage[] =
	"Usage: phoenix-agent [--socket ADDRESS] --name NAME --boot-id ID --key-fd N\n"
	"       phoenix-agent install [OPTIONS]   install Docker here (--help tells more)\n"
	"       phoenix-agent verify [OPTIONS]    prove storage and Docker here\n"
	"       phoenix-agent choose [OPTIONS]    tell which storage driver suits a data-root\n"
	"       phoenix-agent storage [OPTIONS]   tell what the drivers cost there\n"
	"       phoenix-agent health [OPTIONS]    tell how Docker is here\n"
	"\n"
	"  --socket ADDRESS  where the controller listens (default unix:" DEFAULT_SOCKET ")\n"
	"  --name NAME       of the container, as the controller knows it\n"
	"  --key-fd N        descriptor of a pipe with the container's key of 32 bytes\n"
	"  --boot-id ID      nonce of this container start, given at push\n"
	"  --help            show this text\n"
	"  --version         show the version\n"
	"\n"
	"Exit status: 0 ended well, 1 failed, 2 bad usage.\n";

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "install", docker_main },
	{ "verify", verify_main },
	{ "choose", choose_main },
	{ "storage", storage_main },
	{ "health", health_main },
	{ "nested", nested_main },
};

static void supervise(void *user)
{
	service_agent_supervise(user);
}

/*
 * The key leaves the pipe for a page of its own; from here on only root of this container could look into
 * this process at all.
 */
static const uint8_t *take_key(const char *descriptor)
{
	uint8_t *key = secret_new();
	uint64_t fd;
	int r;

	if (text_to_u64(descriptor, INT_MAX, &fd) < 0)
		fd = (uint64_t)INT_MAX;
	prctl(PR_SET_DUMPABLE, 0);
	r = secret_read((int)fd, key, HANDSHAKE_KEY_SIZE);
	close((int)fd);
	if (r == 0)
		return key;
	fprintf(stderr, "phoenix-agent: --key-fd %s: it does not hold a key of %d bytes (%s)\n",
		descriptor, HANDSHAKE_KEY_SIZE, strerror(-r));
	secret_free(key);
	return NULL;
}

static void tell(void *user, Phoenix__Event__Severity severity, const char *type,
		 const char *reason, const char *message)
{
	link_tell(user, severity, type, reason, message);
}

static int serve(const char *socket_address, struct link_config config, const char *descriptor)
{
	static struct service_agent agent;
	struct ph_error error;
	struct timer *timer;
	uv_loop_t loop;
	char text[1024];

	if (address_parse(socket_address, &config.address, &error) < 0) {
		fprintf(stderr, "phoenix-agent: %s\n", error_format(&error, text, sizeof(text)));
		return 2;
	}
	config.agent = &agent;
	config.key = take_key(descriptor);
	if (!config.key)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	loop_adopt_memory();
	uv_loop_init(&loop);
	service_agent_init(&agent, &loop);
	timer = timer_new(&loop, supervise, &agent);
	timer_start(timer, SUPERVISE_MS, SUPERVISE_MS);
	agent.tell_user = link_open(&loop, &config);
	agent.tell = tell;
	uv_run(&loop, UV_RUN_DEFAULT);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "socket", required_argument, NULL, 's' },
						 { "boot-id", required_argument, NULL, 'b' },
						 { "name", required_argument, NULL, 'n' },
						 { "key-fd", required_argument, NULL, 'k' },
						 { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, 'v' },
						 { 0 } };
	const char *socket_address = "unix:" DEFAULT_SOCKET, *descriptor = NULL;
	struct link_config config = { 0 };
	int option;

	for (size_t i = 0; argc > 1 && i < ARRAY_LENGTH(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].main(argc - 1, argv + 1);

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 's':
			socket_address = optarg;
			break;
		case 'b':
			config.boot_id = optarg;
			break;
		case 'n':
			config.name = optarg;
			break;
		case 'k':
			descriptor = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'v':
			puts("phoenix-agent " PH_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!config.boot_id || !config.name || !descriptor || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	return serve(socket_address, config, descriptor);
}
