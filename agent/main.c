/*
 * phoenix-agent: pushed into a container by phoenix-host, dials out to phoenixd. Trusts nothing and
 * is trusted with nothing. The subcommands run the same batteries by hand, without a controller.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "agent/docker/command_line.h"
#include "agent/link.h"
#include "agent/service.h"
#include "agent/storage/by_hand.h"
#include "agent/storage/verify.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/timer.h"

#define DEFAULT_SOCKET "/dev/phoenix/agent.sock"
#define SUPERVISE_MS 5000

static const char usage[] =
	"Usage: phoenix-agent [--socket ADDRESS] --boot-id ID\n"
	"       phoenix-agent install [OPTIONS]   install Docker here (--help tells more)\n"
	"       phoenix-agent verify [OPTIONS]    prove storage and Docker here\n"
	"       phoenix-agent choose [OPTIONS]    tell which storage driver suits a data-root\n"
	"       phoenix-agent storage [OPTIONS]   tell what the drivers cost there\n"
	"\n"
	"  --socket ADDRESS  where the controller listens (default unix:" DEFAULT_SOCKET ")\n"
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
	{ "nested", nested_main },
};

static void supervise(void *user)
{
	service_agent_supervise(user);
}

static int serve(const char *socket_address, const char *boot_id)
{
	static struct service_agent agent;
	struct link_config config = { .boot_id = boot_id, .agent = &agent };
	struct ph_error error;
	struct timer *timer;
	uv_loop_t loop;
	char text[1024];

	if (address_parse(socket_address, &config.address, &error) < 0) {
		fprintf(stderr, "phoenix-agent: %s\n", error_format(&error, text, sizeof(text)));
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&loop);
	service_agent_init(&agent, &loop);
	timer = timer_new(&loop, supervise, &agent);
	timer_start(timer, SUPERVISE_MS, SUPERVISE_MS);
	link_open(&loop, &config);
	uv_run(&loop, UV_RUN_DEFAULT);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "socket", required_argument, NULL, 's' },
						 { "boot-id", required_argument, NULL, 'b' },
						 { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, 'v' },
						 { 0 } };
	const char *socket_address = "unix:" DEFAULT_SOCKET, *boot_id = NULL;
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
			boot_id = optarg;
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
	if (!boot_id || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	return serve(socket_address, boot_id);
}
