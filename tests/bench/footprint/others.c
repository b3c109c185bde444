/*
 * Each runs as this user in this root: none of them is made to run without. Ready means that it takes a
 * connection, which is less than the agent's hello.
 */
#include "tests/bench/footprint/others.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/bench/footprint/process.h"

#define STARTS 5 /* the figures are their medians */
#define SETTLE_S 1
#define IDLE_S 10
#define READY_NS 10000000000
#define POLL_US 200
#define PORT 39100 /* of node_exporter */
#define PORT_TEXT "39100"

struct other {
	const char *name;
	const char *package;
	const char *path;
	bool is_tcp;               /* else it listens on FOLDER/other.sock */
	const char *arguments[12]; /* "@" in front stands for the folder */
};

static const struct other others[] = {
	{ "qemu_ga",
	  "qemu-guest-agent",
	  "/usr/sbin/qemu-ga",
	  false,
	  { "qemu-ga", "--method=unix-listen", "@--path=", "@--statedir=", "@--pidfile=" } },
	{ "node_exporter",
	  "prometheus-node-exporter",
	  "/usr/bin/prometheus-node-exporter",
	  true,
	  { "prometheus-node-exporter", "--web.listen-address=127.0.0.1:" PORT_TEXT } },
};

static char *argument(const struct other *other, size_t index, const char *folder)
{
	const char *text = other->arguments[index];

	if (!text)
		return NULL;
	if (text[0] != '@')
		return ph_format("%s", text);
	if (strcmp(text, "@--path=") == 0)
		return ph_format("--path=%s/other.sock", folder);
	if (strcmp(text, "@--pidfile=") == 0)
		return ph_format("--pidfile=%s/other.pid", folder);
	return ph_format("--statedir=%s", folder);
}

static pid_t start(const struct other *other, const char *folder)
{
	char *arguments[ARRAY_LENGTH(other->arguments)];
	pid_t pid;
	int null;

	for (size_t i = 0; i < ARRAY_LENGTH(arguments); i++)
		arguments[i] = argument(other, i, folder);
	pid = fork();
	if (pid < 0)
		process_die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		null = open("/dev/null", O_RDWR);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execv(other->path, arguments);
		_exit(127);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(arguments); i++)
		free(arguments[i]);
	return pid;
}

static bool takes_connection(const struct other *other, const char *folder)
{
	struct sockaddr_in tcp = { .sin_family = AF_INET,
				   .sin_port = htons(PORT),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	PH_AUTO_CLOSE int fd = socket(other->is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
				      0);

	snprintf(local.sun_path, sizeof(local.sun_path), "%s/other.sock", folder);
	if (other->is_tcp)
		return connect(fd, (struct sockaddr *)&tcp, sizeof(tcp)) == 0;
	return connect(fd, (struct sockaddr *)&local, sizeof(local)) == 0;
}

/* From the fork to the first connection; in milliseconds. */
static double wait_ready(const struct other *other, const char *folder, uint64_t begin)
{
	while (!takes_connection(other, folder)) {
		if (process_now_ns(CLOCK_MONOTONIC) - begin > READY_NS)
			process_die(other->name);
		usleep(POLL_US);
	}
	return (double)(process_now_ns(CLOCK_MONOTONIC) - begin) / 1e6;
}

static void end(pid_t pid, const char *folder)
{
	static const char *const files[] = { "other.sock", "other.pid", "qga.state" };

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
		PH_AUTO_FREE char *path = ph_format("%s/%s", folder, files[i]);

		unlink(path);
	}
}

static void measure(const struct other *other, const char *folder, double agent_rss)
{
	double ready[STARTS], idle = 0;
	struct memory memory = { 0 };
	struct stat binary;

	for (size_t i = 0; i < STARTS; i++) {
		uint64_t begin = process_now_ns(CLOCK_MONOTONIC);
		pid_t pid = start(other, folder);

		ready[i] = wait_ready(other, folder, begin);
		if (i == STARTS - 1) {
			sleep(SETTLE_S);
			idle = -(double)process_processor_ns(pid);
			sleep(IDLE_S);
			idle += (double)process_processor_ns(pid);
			memory = process_memory(pid);
		}
		end(pid, folder);
	}
	if (stat(other->path, &binary) < 0)
		process_die(other->path);
	printf("  \"%s\": {\"binary_bytes\": %lld, \"exec_to_connect_ms\": %.3f,\n", other->name,
	       (long long)binary.st_size, process_median(ready, STARTS));
	printf("    \"rss_kib\": %.0f, \"pss_kib\": %.0f, \"private_kib\": %.0f,\n", memory.rss,
	       memory.pss, memory.private);
	printf("    \"idle_processor_percent\": %.4f, \"rss_to_phoenix\": %.2f},\n",
	       100 * idle / (IDLE_S * 1e9), memory.rss / agent_rss);
}

void others_report(const char *folder, double agent_rss)
{
	for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
		if (access(others[i].path, X_OK) == 0)
			measure(&others[i], folder, agent_rss);
		else
			printf("  \"%s\": {\"skipped\": \"the package %s is not installed (dev/setup "
			       "--bench)\"},\n",
			       others[i].name, others[i].package);
	}
}
