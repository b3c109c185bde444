/*
 * ttrpc in Go, as containerd and the Kata agent use it: rpc-ttrpc (ttrpc/main.go) is client and server.
 * The client times its calls itself; it gets a number of calls and answers with as many samples.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/rpc/way.h"

#define PEER_FD 3 /* of rpc-ttrpc: its end of the connection */
#define ORDER_FD 4

static char program[PATH_MAX]; /* set once, before anything is forked */
static int peer;

static void find_program(void)
{
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 16);
	char *name;

	if (length < 0)
		way_die("find myself");
	program[length] = '\0';
	name = strrchr(program, '/') + 1;
	strcpy(name, "rpc-ttrpc");
}

static void run(const char *role, int connection, int orders)
{
	/* Out of each other's way first; dup2() also clears close-on-exec. */
	int high = dup(connection);

	while (high >= 0 && high <= ORDER_FD)
		high = dup(high);
	if (orders >= 0 && dup2(orders, ORDER_FD) < 0)
		way_die("dup2");
	if (dup2(high, PEER_FD) < 0)
		way_die("dup2");
	execl(program, program, role, NULL);
	way_die(program);
}

static void serve(int fd)
{
	run("serve", fd, -1);
}

static void call(int orders)
{
	run("call", peer, orders);
}

static void *ttrpc_open(const char **ret_absent)
{
	static int orders;

	find_program();
	if (access(program, X_OK) < 0) {
		*ret_absent = "not built: Go, ttrpc or gogoprotobuf is missing (dev/setup --bench)";
		return NULL;
	}
	peer = way_fork(serve);
	orders = way_fork(call);
	close(peer);
	return &orders;
}

static void ttrpc_round(void *state, uint64_t *samples, size_t calls)
{
	int orders = *(int *)state;
	uint64_t wanted = calls;
	size_t bytes = calls * sizeof(*samples), done = 0;

	if (write(orders, &wanted, sizeof(wanted)) != sizeof(wanted))
		way_die("ask rpc-ttrpc");
	while (done < bytes) {
		ssize_t got = read(orders, (char *)samples + done, bytes - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			way_die("rpc-ttrpc has ended");
		done += (size_t)got;
	}
}

const struct way way_ttrpc = { "ttrpc", ttrpc_open, ttrpc_round };
