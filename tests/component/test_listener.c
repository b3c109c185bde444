/* The listener: who may connect, what happens to its file, and life without descriptors. */
#include "common/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"
#include "tests/support/cmocka.h"
#include "tests/support/loop.h"
#include "tests/support/scratch.h"

#define CLIENTS 50

struct door {
	struct scratch scratch;
	struct address address;
	struct listener *listener;
	struct test_loop test;
	int accepted;
	int strangers; /* accepted peers that are not this process */
	bool close_inside;
	int fds[CLIENTS * 2];
};

static void door_accepted(void *user, int fd, const struct ucred *peer)
{
	struct door *door = user;

	if (peer->pid != getpid() || peer->uid != getuid() || peer->gid != getgid())
		door->strangers++;
	assert_in_range(door->accepted, 0, CLIENTS * 2 - 1);
	door->fds[door->accepted++] = fd;
	if (door->close_inside)
		listener_close(take_pointer(door->listener));
}

static int door_listen(struct door *door, struct ph_error *error)
{
	return listener_open(&door->test.loop, &door->address, 0660, door_accepted, door,
			     &door->listener, error);
}

static void door_init(struct door *door)
{
	memset(door, 0, sizeof(*door));
	test_loop_init(&door->test);
	scratch_init(&door->scratch);
	assert_int_equal(address_parse(scratch_file(&door->scratch, "socket"), &door->address,
				       NULL),
			 0);
}

static void door_open(struct door *door)
{
	door_init(door);
	assert_int_equal(door_listen(door, NULL), 0);
}

static void door_fini(struct door *door)
{
	listener_close(door->listener);
	for (int i = 0; i < door->accepted; i++)
		close(door->fds[i]);
	assert_int_equal(test_loop_fini(&door->test), 0);
	assert_int_equal(door->strangers, 0);
	scratch_fini(&door->scratch);
}

static void test_many_clients(void **state)
{
	int clients[CLIENTS];
	struct door door;
	struct stat status;

	door_open(&door);
	assert_int_equal(stat(door.address.path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0660);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = address_connect(&door.address);
		assert_true(clients[i] >= 0);
	}
	test_loop_until(&door.test, &door.accepted, CLIENTS);
	for (int i = 0; i < CLIENTS; i++) {
		assert_true(fcntl(door.fds[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(door.fds[i], F_GETFL) & O_NONBLOCK);
		close(clients[i]);
	}
	door_fini(&door);
	assert_int_equal(door.accepted, CLIENTS);
}

static void test_close_removes_the_file(void **state)
{
	struct door door;

	door_open(&door);
	assert_int_equal(access(door.address.path, F_OK), 0);
	listener_close(take_pointer(door.listener));
	assert_int_equal(access(door.address.path, F_OK), -1);
	listener_close(NULL);
	door_fini(&door);
}

/* A successor has put its own socket there: it is not ours to remove. */
static void test_close_leaves_a_successors_file(void **state)
{
	struct door door;
	int successor;

	door_open(&door);
	assert_true(listener_is_reachable(door.listener));
	assert_int_equal(unlink(door.address.path), 0);
	assert_false(listener_is_reachable(door.listener));
	successor = address_listen(&door.address, 0600, 4);
	assert_true(successor >= 0);
	assert_false(listener_is_reachable(door.listener));
	listener_close(take_pointer(door.listener));
	assert_int_equal(access(door.address.path, F_OK), 0);
	close(successor);
	door_fini(&door);
}

static void test_close_inside_accepted(void **state)
{
	int clients[3];
	struct door door;

	door_open(&door);
	door.close_inside = true;
	for (size_t i = 0; i < ARRAY_LENGTH(clients); i++)
		clients[i] = address_connect(&door.address);
	test_loop_until(&door.test, &door.accepted, 1);
	for (size_t i = 0; i < ARRAY_LENGTH(clients); i++)
		close(clients[i]);
	door_fini(&door);
	assert_int_equal(door.accepted, 1);
}

static void test_stale_file_is_replaced(void **state)
{
	struct door door;
	int dead, client;

	door_init(&door);
	dead = address_listen(&door.address, 0600, 4);
	assert_true(dead >= 0);
	close(dead);
	assert_int_equal(access(door.address.path, F_OK), 0);
	assert_int_equal(door_listen(&door, NULL), 0);
	client = address_connect(&door.address);
	assert_true(client >= 0);
	test_loop_until(&door.test, &door.accepted, 1);
	close(client);
	door_fini(&door);
}

struct refusal_case {
	const char *name;
	bool is_live; /* a listener is there; else a regular file */
	int code;
	const char *why;
};

static const struct refusal_case refusal_cases[] = {
	{ "a regular file", false, -EEXIST, "not a socket" },
	{ "a live listener", true, -EADDRINUSE, "another process" },
};

static void test_refusals_are_explained(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(refusal_cases); i++) {
		const struct refusal_case *refusal = &refusal_cases[i];
		struct ph_error error = { 0 };
		struct door door;
		int obstacle;

		print_message("# %s\n", refusal->name);
		door_init(&door);
		if (refusal->is_live)
			obstacle = address_listen(&door.address, 0600, 4);
		else
			obstacle = open(door.address.path, O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(door_listen(&door, &error), refusal->code);
		assert_int_equal(error.code, refusal->code);
		assert_non_null(strstr(error.why, refusal->why));
		assert_non_null(strstr(error.where, door.address.path));
		assert_true(!text_empty(error.remedy));
		assert_int_equal(access(door.address.path, F_OK), 0);
		close(obstacle);
		door_fini(&door);
	}
}

/* --- no descriptors --- */

/* Thousands of containers are as many listeners: each may cost its socket and nothing else. */
static void test_what_a_listener_costs(void **state)
{
	struct listener *more[10];
	struct door door;
	size_t before, one;

	door_init(&door);
	before = count_descriptors();
	assert_int_equal(door_listen(&door, NULL), 0);
	one = count_descriptors();
	assert_int_equal(one, before + 2); /* and the one that is held back */
	for (size_t i = 0; i < ARRAY_LENGTH(more); i++) {
		struct address address = door.address;

		address.path[strlen(address.path) - 1] = (char)('0' + i);
		assert_int_equal(listener_open(&door.test.loop, &address, 0600, door_accepted,
					       &door, &more[i], NULL),
				 0);
	}
	assert_int_equal(count_descriptors(), one + ARRAY_LENGTH(more));
	for (size_t i = 0; i < ARRAY_LENGTH(more); i++)
		listener_close(more[i]);
	listener_close(take_pointer(door.listener));
	assert_int_equal(count_descriptors(), before);
	door_fini(&door);
}

static void allow_descriptors(rlim_t count)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = count;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Take all descriptors but free_count; returns how many were taken. */
static size_t exhaust(int taken[64], size_t free_count)
{
	size_t count = 0;

	allow_descriptors(64);
	while (count < 64 && (taken[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		count++;
	while (free_count-- > 0)
		close(taken[--count]);
	return count;
}

/*
 * Clients beyond the limit are refused at once instead of waiting in the backlog; the loop does not
 * spin on them; with descriptors back the door opens again.
 */
static void test_no_descriptors(void **state)
{
	int clients[10], taken[64];
	struct rlimit before;
	struct door door;
	size_t count;
	uint64_t cpu;
	char letter;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	door_open(&door);
	for (size_t i = 0; i < ARRAY_LENGTH(clients); i++)
		clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	count = exhaust(taken, 3);
	for (size_t i = 0; i < ARRAY_LENGTH(clients); i++) {
		struct sockaddr_un peer = { .sun_family = AF_UNIX };

		text_copy(peer.sun_path, sizeof(peer.sun_path), door.address.path);
		assert_int_equal(connect(clients[i], (struct sockaddr *)&peer, sizeof(peer)), 0);
	}
	cpu = (uint64_t)clock();
	for (int turn = 0; turn < 20; turn++)
		uv_run(&door.test.loop, UV_RUN_NOWAIT);
	assert_int_equal(door.accepted, 3);
	for (size_t i = 3; i < ARRAY_LENGTH(clients); i++)
		assert_int_equal(recv(clients[i], &letter, 1, MSG_DONTWAIT), 0);
	cpu = (uint64_t)clock() - cpu;
	assert_in_range(cpu, 0, CLOCKS_PER_SEC);

	while (count > 0)
		close(taken[--count]);
	allow_descriptors(before.rlim_cur);
	close(clients[9]);
	clients[9] = address_connect(&door.address);
	test_loop_until(&door.test, &door.accepted, 4);
	for (size_t i = 0; i < ARRAY_LENGTH(clients); i++)
		close(clients[i]);
	door_fini(&door);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_close_removes_the_file),
		cmocka_unit_test(test_close_leaves_a_successors_file),
		cmocka_unit_test(test_close_inside_accepted),
		cmocka_unit_test(test_stale_file_is_replaced),
		cmocka_unit_test(test_refusals_are_explained),
		cmocka_unit_test(test_what_a_listener_costs),
		cmocka_unit_test(test_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
