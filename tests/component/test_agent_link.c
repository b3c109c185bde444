/*
 * Who gets a session with phoenixd and who does not: a real link on a real socket, agents that hold the
 * key, and visitors in processes of their own that hold everything but what they would need.
 */
#include "controller/link/agent_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/address.h"
#include "common/cleanup.h"
#include "common/handshake_dial.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/link/agent_key.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_agent.h"
#include "tests/support/scratch.h"

#define NAME "web1"
#define BOOT_ID "0123456789abcdef"
#define PATIENCE_MS 20000

struct world {
	struct scratch scratch;
	uv_loop_t loop;
	struct agent_link *link;
	struct fake_agent agents[2];
	uint8_t key[HANDSHAKE_KEY_SIZE];
	bool has_no_key;
	int check_result; /* of the kernel's view of a peer */
	unsigned int checks;
	unsigned int connects, losses, refusals;
	uint32_t protocol; /* of the last hello */
	struct ph_error error; /* of the last loss or refusal */
};

static int find_key(void *user, uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	const struct world *world = user;

	if (world->has_no_key)
		return -ENOENT;
	memcpy(ret_key, world->key, HANDSHAKE_KEY_SIZE);
	return 0;
}

static int check_peer(void *user, const struct ucred *peer, struct ph_error *error)
{
	struct world *world = user;

	world->checks++;
	assert_true(peer->pid > 0);
	if (world->check_result == 0)
		return 0;
	return error_set(error, world->check_result, NULL, NULL, "not of this container");
}

static void connected(void *user, const Phoenix__HelloRequest *hello)
{
	struct world *world = user;

	world->connects++;
	world->protocol = hello->protocol;
}

static void lost(void *user, bool was_session, const struct ph_error *error)
{
	struct world *world = user;

	if (was_session)
		world->losses++;
	else
		world->refusals++;
	world->error = *error;
}

static void published(void *user, const Phoenix__PublishRequest *request, size_t count,
		      void (*stored)(void *publication), void *publication)
{
	stored(publication);
}

static bool allowed(void *user, const char *method)
{
	return strcmp(method, "Describe") != 0;
}

static void limited(void *user, const struct agent_excess *excess)
{
}

static struct world *world_new(void)
{
	struct world *world = ph_alloc(sizeof(*world));
	struct agent_link_config config = { .loop = &world->loop,
					    .name = NAME,
					    .id_base = geteuid(),
					    .id_count = 1,
					    .find_key = find_key,
					    .check_peer = check_peer,
					    .connected = connected,
					    .lost = lost,
					    .published = published,
					    .limited = limited,
					    .allowed = allowed,
					    .user = world };
	struct ph_error error;
	char path[320];

	scratch_init(&world->scratch);
	config.run_dir = world->scratch.path;
	snprintf(path, sizeof(path), "%s/agents", world->scratch.path);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/agents/" NAME, world->scratch.path);
	mkdir(path, 0755);
	handshake_random(world->key, sizeof(world->key));
	uv_loop_init(&world->loop);
	world->link = agent_link_new(&config);
	agent_link_expect(world->link, BOOT_ID);
	if (agent_link_listen(world->link, &error) < 0)
		fail_msg("%s: %s", error.where, error.why);
	return world;
}

static void world_free(struct world *world)
{
	fake_agent_kill_all(&world->agents[0]);
	fake_agent_kill_all(&world->agents[1]);
	agent_link_close(world->link);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	scratch_fini(&world->scratch);
	free(world);
}

static void patience_lost(uv_timer_t *timer)
{
	fail_msg("nothing happened for %d ms", PATIENCE_MS);
}

static void tick(uv_timer_t *timer)
{
}

/* Run the loop until a condition holds; what the loop does not see is looked at every 5 ms. */
static void run_until(struct world *world, bool (*holds)(struct world *world, const void *argument),
		      const void *argument)
{
	uv_timer_t patience, look;

	uv_timer_init(&world->loop, &patience);
	uv_timer_init(&world->loop, &look);
	uv_timer_start(&patience, patience_lost, PATIENCE_MS, 0);
	uv_timer_start(&look, tick, 5, 5);
	while (!holds(world, argument))
		uv_run(&world->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&patience, NULL);
	uv_close((uv_handle_t *)&look, NULL);
	uv_run(&world->loop, UV_RUN_NOWAIT);
}

static bool is_connected(struct world *world, const void *connects)
{
	return world->connects == *(const unsigned int *)connects &&
	       agent_link_get_state(world->link) == AGENT_LINK_CONNECTED;
}

static bool was_refused(struct world *world, const void *refusals)
{
	return world->refusals >= *(const unsigned int *)refusals;
}

static bool was_lost(struct world *world, const void *losses)
{
	return world->losses >= *(const unsigned int *)losses;
}

static void start_agent(struct world *world, unsigned int which)
{
	fake_agent_start(&world->agents[which], &world->loop, world->scratch.path, NAME, BOOT_ID,
			 world->key, geteuid());
}

static void expect_sessions(struct world *world, unsigned int connects)
{
	run_until(world, is_connected, &connects);
}

static void expect_refusals(struct world *world, unsigned int refusals)
{
	run_until(world, was_refused, &refusals);
}

/* ---- visitors ---- */

static int dial(const struct world *world)
{
	struct address address = { .family = ADDRESS_UNIX };

	snprintf(address.path, sizeof(address.path), "%.60s/agents/" NAME "/agent.sock",
		 world->scratch.path);
	return address_connect(&address);
}

static struct handshake_claim true_claim(void)
{
	struct handshake_claim claim = { .name = NAME,
					 .boot_id = BOOT_ID,
					 .protocol_oldest = 1,
					 .protocol = AGENT_PROTOCOL };

	handshake_claim_unix(&claim);
	return claim;
}

struct visit {
	pid_t pid;
	int status;
};

static bool has_left(struct world *world, const void *argument)
{
	struct visit *visit = (struct visit *)argument;

	return waitpid(visit->pid, &visit->status, WNOHANG) == visit->pid;
}

/* A handshake in a process of its own; its result, with the link serving meanwhile. */
static int visit(struct world *world, const struct handshake_claim *claim, const uint8_t *key)
{
	struct visit visit = { 0 };
	struct ph_error error;
	uint16_t protocol;

	visit.pid = fork();
	if (visit.pid == 0)
		_exit(-handshake_dial(dial(world), claim, key, 10000, &protocol, &error));
	run_until(world, has_left, &visit);
	assert_true(WIFEXITED(visit.status));
	return -WEXITSTATUS(visit.status);
}

struct visitor_case {
	const char *name;
	void (*arrange)(struct world *world, struct handshake_claim *claim, uint8_t *key);
	int result;          /* at the visitor */
	const char *refusal; /* at the controller */
};

static void with_another_key(struct world *world, struct handshake_claim *claim, uint8_t *key)
{
	key[0] ^= 1;
}

static void of_another_container(struct world *world, struct handshake_claim *claim, uint8_t *key)
{
	text_copy(claim->name, sizeof(claim->name), "web2");
}

static void of_another_start(struct world *world, struct handshake_claim *claim, uint8_t *key)
{
	text_copy(claim->boot_id, sizeof(claim->boot_id), "fedcba9876543210");
}

static void over_another_transport(struct world *world, struct handshake_claim *claim, uint8_t *key)
{
	handshake_claim_vsock(claim, 1, 1022);
}

static void that_is_too_new(struct world *world, struct handshake_claim *claim, uint8_t *key)
{
	claim->protocol_oldest = AGENT_PROTOCOL + 1;
	claim->protocol = AGENT_PROTOCOL + 5;
}

static void that_is_too_old(struct world *world, struct handshake_claim *claim, uint8_t *key)
{
	claim->protocol_oldest = claim->protocol = AGENT_PROTOCOL_OLDEST - 1;
}

static void before_there_is_a_key(struct world *world, struct handshake_claim *claim, uint8_t *key)
{
	world->has_no_key = true;
}

static void before_any_start(struct world *world, struct handshake_claim *claim, uint8_t *key)
{
	agent_link_expect(world->link, "");
}

static const struct visitor_case visitor_cases[] = {
	{ "with another key", with_another_key, -EACCES, "the peer has hung up" },
	{ "of another container", of_another_container, -EACCES, "the peer has hung up" },
	{ "of another start", of_another_start, -ESTALE, "another start" },
	{ "over another transport", over_another_transport, -EACCES, "the peer has hung up" },
	{ "that is too new", that_is_too_new, -EPROTONOSUPPORT, "no common protocol" },
	{ "that is too old", that_is_too_old, -EPROTONOSUPPORT, "no common protocol" },
	{ "before there is a key", before_there_is_a_key, -EACCES, "the peer has hung up" },
	{ "before any start", before_any_start, -EACCES, "the peer has hung up" },
};

static void test_visitors(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(visitor_cases); i++) {
		const struct visitor_case *visitor = &visitor_cases[i];
		struct world *world = world_new();
		struct handshake_claim claim = true_claim();
		uint8_t key[HANDSHAKE_KEY_SIZE];
		int result;

		memcpy(key, world->key, sizeof(key));
		visitor->arrange(world, &claim, key);
		result = visit(world, &claim, key);
		if (result != visitor->result)
			fail_msg("a visitor %s: %d", visitor->name, result);
		expect_refusals(world, 1);
		if (!strstr(world->error.why, visitor->refusal))
			fail_msg("a visitor %s: %s", visitor->name, world->error.why);
		assert_int_equal(world->connects, 0);
		world_free(world);
	}
}

struct bytes_case {
	const char *name;
	const char *bytes;
	size_t length;
	const char *refusal;
};

#define BYTES(literal) literal, sizeof(literal) - 1

/* Everything but a handshake; rpc does not see a byte of it. */
static const struct bytes_case bytes_cases[] = {
	{ "nothing", BYTES(""), "hung up" },
	{ "part of a header", BYTES("\0\0"), "hung up" },
	{ "an empty frame", BYTES("\0\0\0\0"), "does not speak the handshake" },
	{ "4 GiB", BYTES("\xff\xff\xff\xff"), "larger than" },
	{ "one byte more than a handshake has", BYTES("\0\0\0\xc1"), "larger than" },
	{ "a request of rpc", BYTES("\0\0\0\x0b\x08\1\x12\7\x0a\5Hello"),
	  "does not speak the handshake" },
	{ "another version", BYTES("\0\0\0\6PHXL\2\1"), "another version" },
	{ "a proof without a claim", BYTES("\0\0\0\10PHXL\1\3\0\0"), "not in its turn" },
};

static void test_bytes(void **state)
{
	struct world *world = world_new();

	for (size_t i = 0; i < ARRAY_LENGTH(bytes_cases); i++) {
		const struct bytes_case *stream = &bytes_cases[i];
		PH_AUTO_CLOSE int fd = dial(world);

		assert_int_equal(send(fd, stream->bytes, stream->length, 0), stream->length);
		shutdown(fd, SHUT_WR);
		expect_refusals(world, (unsigned int)i + 1);
		if (!strstr(world->error.why, stream->refusal))
			fail_msg("%s: %s", stream->name, world->error.why);
	}
	assert_int_equal(world->connects, 0);
	assert_int_equal(world->checks, 0);
	/* And whoever comes rightly is let in as if nothing had been. */
	start_agent(world, 0);
	expect_sessions(world, 1);
	world_free(world);
}

static bool is_closed(struct world *world, const void *fd)
{
	char byte;

	return recv(*(const int *)fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* Peers that only hold places are pushed out by those who come later, the oldest first. */
static void test_places(void **state)
{
	struct world *world = world_new();
	int silent[4], more;

	for (size_t i = 0; i < ARRAY_LENGTH(silent); i++)
		silent[i] = dial(world);
	more = dial(world);
	run_until(world, is_closed, &silent[0]);
	for (size_t i = 1; i < ARRAY_LENGTH(silent); i++)
		assert_false(is_closed(world, &silent[i]));
	start_agent(world, 0);
	expect_sessions(world, 1);
	assert_int_equal(world->losses, 0);
	for (size_t i = 0; i < ARRAY_LENGTH(silent); i++)
		close(silent[i]);
	close(more);
	world_free(world);
}

/* The kernel's view counts beside the key: its process is not of this container. */
static void test_peer_that_is_not_ours(void **state)
{
	struct world *world = world_new();

	world->check_result = -EPERM;
	start_agent(world, 0);
	expect_refusals(world, 1);
	assert_string_equal(world->error.why, "not of this container");
	assert_int_equal(world->connects, 0);
	world_free(world);
}

/* One session: the newcomer that proves itself has it, without a moment in which it counts as lost. */
static void test_second_replaces_first(void **state)
{
	struct world *world = world_new();

	start_agent(world, 0);
	expect_sessions(world, 1);
	start_agent(world, 1);
	expect_sessions(world, 2);
	assert_int_equal(world->losses, 0);
	for (int i = 0; i < 20; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
	assert_null(world->agents[0].sessions[0]); /* was hung up on */
	assert_non_null(world->agents[1].sessions[0]);
	fake_agent_kill(&world->agents[1], NAME);
	run_until(world, was_lost, &(unsigned int){ 1 });
	world_free(world);
}

/* One that proves itself and says no hello takes the session along: that is a loss. */
static void test_second_without_hello(void **state)
{
	struct world *world = world_new();
	struct handshake_claim claim = true_claim();

	start_agent(world, 0);
	expect_sessions(world, 1);
	assert_int_equal(visit(world, &claim, world->key), 0);
	run_until(world, was_lost, &(unsigned int){ 1 });
	assert_int_equal(agent_link_get_state(world->link), AGENT_LINK_LISTENING);
	world_free(world);
}

static void answered(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	*(int *)user = error ? error->code : 1;
}

/* Calls of a session that is replaced end as those of a lost one, before the next one is told of. */
static void test_calls_of_the_replaced(void **state)
{
	static const struct rpc_handlers handlers = { .finished = answered };
	Phoenix__InstallRequest request = PHOENIX__INSTALL_REQUEST__INIT;
	struct world *world = world_new();
	int result = 0;

	world->agents[0].hang_install = true;
	start_agent(world, 0);
	expect_sessions(world, 1);
	assert_int_equal(agent_link_call(world->link, "Describe", &request.base, 0, &handlers,
					 &result, NULL),
			 -EACCES);
	assert_int_equal(agent_link_call(world->link, "Install", &request.base, 0, &handlers,
					 &result, NULL),
			 0);
	start_agent(world, 1);
	expect_sessions(world, 2);
	assert_int_equal(result, -ECONNRESET);
	world_free(world);
}

struct protocol_case {
	uint16_t oldest, newest, agreed;
};

/* Agents of before and after this one, as far as they have a version in common. */
static void test_older_and_newer_agents(void **state)
{
	static const struct protocol_case cases[] = {
		{ AGENT_PROTOCOL_OLDEST, AGENT_PROTOCOL_OLDEST, AGENT_PROTOCOL_OLDEST },
		{ AGENT_PROTOCOL_OLDEST, AGENT_PROTOCOL + 1, AGENT_PROTOCOL },
		{ AGENT_PROTOCOL, AGENT_PROTOCOL + 7, AGENT_PROTOCOL },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct world *world = world_new();

		world->agents[0].protocol_oldest = cases[i].oldest;
		world->agents[0].protocol = cases[i].newest;
		start_agent(world, 0);
		expect_sessions(world, 1);
		assert_int_equal(agent_link_protocol(world->link), cases[i].agreed);
		world_free(world);
	}
}

/* ---- the keys' files ---- */

/* The container's directory has gone, and comes back: so does the socket, once there is a place for it. */
static void test_socket_that_is_gone(void **state)
{
	struct world *world = world_new();
	struct address address = { .family = ADDRESS_UNIX };
	char directory[320];
	int fd;

	snprintf(directory, sizeof(directory), "%s/agents/" NAME, world->scratch.path);
	snprintf(address.path, sizeof(address.path), "%.80s/agent.sock", directory);
	assert_int_equal(agent_link_listen(world->link, NULL), 0); /* it is there: nothing happens */
	assert_int_equal(unlink(address.path), 0);
	assert_int_equal(rmdir(directory), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(agent_link_listen(world->link, NULL), -ENOENT);
	assert_int_equal(mkdir(directory, 0755), 0);
	assert_int_equal(agent_link_listen(world->link, NULL), 0);
	fd = address_connect(&address);
	assert_true(fd >= 0);
	close(fd);
	world_free(world);
}

static void test_keys(void **state)
{
	uint8_t first[HANDSHAKE_KEY_SIZE], second[HANDSHAKE_KEY_SIZE], read_back[HANDSHAKE_KEY_SIZE];
	struct scratch scratch;
	struct ph_error error;
	struct stat status;
	char path[320];
	int fd;

	scratch_init(&scratch);
	snprintf(path, sizeof(path), "%s/db", scratch.path);
	mkdir(path, 0700);
	assert_int_equal(agent_key_read(scratch.path, NAME, read_back), -ENOENT);
	assert_int_equal(agent_key_remove(scratch.path, NAME, &error), 0);
	assert_int_equal(agent_key_ensure(scratch.path, NAME, NULL, first, &error), 0);
	assert_int_equal(agent_key_ensure(scratch.path, NAME, NULL, read_back, &error), 0);
	assert_memory_equal(first, read_back, sizeof(first));
	snprintf(path, sizeof(path), "%s/db/keys", scratch.path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/db/keys/" NAME, scratch.path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);

	assert_int_equal(agent_key_make(scratch.path, NAME, NULL, second, &error), 0);
	assert_memory_not_equal(first, second, sizeof(first));
	assert_int_equal(agent_key_read(scratch.path, NAME, read_back), 0);
	assert_memory_equal(second, read_back, sizeof(second));
	assert_int_equal(agent_key_make(scratch.path, "../" NAME, NULL, second, &error), -EINVAL);

	/* What a damaged disk may leave is no key, and is replaced. */
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "short", 5), 5);
	close(fd);
	assert_int_equal(agent_key_read(scratch.path, NAME, read_back), -EBADMSG);
	assert_int_equal(agent_key_ensure(scratch.path, NAME, NULL, first, &error), 0);
	assert_int_equal(agent_key_read(scratch.path, NAME, read_back), 0);
	assert_int_equal(agent_key_remove(scratch.path, NAME, &error), 0);
	assert_int_equal(agent_key_read(scratch.path, NAME, read_back), -ENOENT);
	scratch_fini(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_visitors),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_peer_that_is_not_ours),
		cmocka_unit_test(test_second_replaces_first),
		cmocka_unit_test(test_second_without_hello),
		cmocka_unit_test(test_calls_of_the_replaced),
		cmocka_unit_test(test_older_and_newer_agents),
		cmocka_unit_test(test_socket_that_is_gone),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
