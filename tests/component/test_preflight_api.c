/*
 * preflight through phoenixd's socket, with a fake phoenix-host and fake agents behind their own: what
 * host and agent say becomes findings, and what does not answer becomes one too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/api/api.h"
#include "controller/container/container.h"
#include "controller/link/agent_key.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_agent.h"
#include "tests/support/fake_host.h"
#include "tests/support/scratch.h"

#define PATIENCE_MS 20000
#define BOOT_ID "0123456789abcdef"

struct world {
	struct scratch scratch;
	uv_loop_t loop;
	struct config config;
	struct fake_host host;
	struct fake_agent agent;
	struct registry *registry;
	struct api *api;
	struct channel *client;
	Phoenix__PreflightReply *reply; /* owned; the last one */
	struct ph_error error;
	bool has_answer, is_closed;
};

static void patience_lost(uv_timer_t *timer)
{
	fail_msg("nothing happened for %d ms", PATIENCE_MS);
}

static void run_until(struct world *world, bool (*holds)(struct world *world))
{
	uv_timer_t patience;

	uv_timer_init(&world->loop, &patience);
	uv_timer_start(&patience, patience_lost, PATIENCE_MS, 0);
	while (!holds(world))
		uv_run(&world->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&patience, NULL);
	uv_run(&world->loop, UV_RUN_NOWAIT);
}

static bool is_adopted(struct world *world)
{
	return world->registry->is_adopted;
}

static bool has_answer(struct world *world)
{
	return world->has_answer;
}

static bool is_connected(struct world *world)
{
	return container_is_connected(registry_find(world->registry, "web1"));
}

static void client_closed(void *user, const struct ph_error *error)
{
}

static void connect_client(struct world *world)
{
	struct address address = { .family = ADDRESS_UNIX };
	const struct channel_config config = { .closed = client_closed };
	int fd;

	snprintf(address.path, sizeof(address.path), "%.90s/control.sock", world->scratch.path);
	fd = address_connect(&address);
	assert_true(fd >= 0);
	assert_int_equal(channel_open(&world->loop, fd, &config, &world->client), 0);
}

static struct world *world_new(void)
{
	struct world *world = ph_alloc(sizeof(*world));
	struct ph_error error;
	char path[320];

	log_set_level(LOG_LEVEL_ERROR + 1);
	scratch_init(&world->scratch);
	chmod(world->scratch.path, 0711);
	uv_loop_init(&world->loop);
	config_init(&world->config);
	text_copy(world->config.run_dir, sizeof(world->config.run_dir), world->scratch.path);
	text_copy(world->config.state_dir, sizeof(world->config.state_dir), world->scratch.path);
	snprintf(path, sizeof(path), "%s/db", world->scratch.path);
	mkdir(path, 0700);
	world->host.apparmor = true;
	fake_host_open(&world->host, &world->loop, world->scratch.path);
	if (registry_open(&world->loop, &world->config, &world->registry, &error) < 0 ||
	    api_open(world->registry, &world->api, &error) < 0)
		fail_msg("%s", error.why);
	world->registry->check_peer = NULL; /* our agents are in no container */
	run_until(world, is_adopted);
	return world;
}

static void api_closed(void *user)
{
	((struct world *)user)->is_closed = true;
}

static bool is_closed(struct world *world)
{
	return world->is_closed;
}

static void world_free(struct world *world)
{
	if (world->client)
		channel_close(world->client);
	api_close(world->api, api_closed, world);
	run_until(world, is_closed);
	registry_close(world->registry);
	fake_agent_kill_all(&world->agent);
	fake_host_close(&world->host);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	message_free(world->reply);
	scratch_fini(&world->scratch);
	free(world);
}

static void add_container(struct world *world, bool with_agent)
{
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__IdRange ids = PHOENIX__ID_RANGE__INIT;
	struct container *container;
	uint8_t key[HANDSHAKE_KEY_SIZE];
	struct ph_error error;
	char path[320];

	spec.name = (char *)"web1";
	ids.first = geteuid();
	ids.count = 65536;
	record.spec = &spec;
	record.ids = &ids;
	record.phase = (char *)CONTAINER_PHASE_RUNNING;
	record.incarnation = (char *)BOOT_ID;
	container = container_new(world->registry, MESSAGE_COPY(&record));
	registry_add(world->registry, container);
	if (!with_agent)
		return;
	snprintf(path, sizeof(path), "%s/agents", world->scratch.path);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/agents/web1", world->scratch.path);
	mkdir(path, 0755);
	agent_link_expect(container->link, BOOT_ID);
	if (agent_link_listen(container->link, &error) < 0)
		fail_msg("%s: %s", error.where, error.why);
	if (agent_key_make(world->config.state_dir, "web1", key, &error) < 0)
		fail_msg("%s: %s", error.where, error.why);
	fake_agent_start(&world->agent, &world->loop, world->scratch.path, "web1", BOOT_ID, key,
			 geteuid());
	run_until(world, is_connected);
}

static void answered(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct world *world = user;

	world->has_answer = true;
	world->error = error ? *error : (struct ph_error){ 0 };
	message_free(world->reply);
	world->reply = MESSAGE_COPY(message);
}

static void ask(struct world *world, const char *name, const char *text)
{
	static const struct rpc_handlers handlers = { .finished = answered };
	Phoenix__PreflightRequest request = PHOENIX__PREFLIGHT_REQUEST__INIT;

	if (!world->client)
		connect_client(world);
	request.name = (char *)name;
	request.error_text = (char *)text;
	world->has_answer = false;
	assert_int_equal(channel_call(world->client, &phoenix__control__descriptor, "Preflight",
				      &request.base, PATIENCE_MS, &handlers, world, NULL), 0);
}

static void preflight(struct world *world, const char *name, const char *text)
{
	ask(world, name, text);
	run_until(world, has_answer);
}

static const Phoenix__PreflightFinding *find(const struct world *world, const char *id)
{
	for (size_t i = 0; world->reply && i < world->reply->n_findings; i++)
		if (text_equal(world->reply->findings[i]->id, id))
			return world->reply->findings[i];
	fail_msg("%s was not found", id);
	return NULL;
}

static void test_host_alone(void **state)
{
	struct world *world = world_new();

	preflight(world, "", "");
	assert_int_equal(world->error.code, 0);
	assert_string_equal(world->reply->kernel, "6.1.0-fake");
	assert_int_equal(world->reply->n_findings, 0);
	world->host.no_namespaces = true;
	preflight(world, "", "");
	assert_int_equal(world->reply->n_findings, 1);
	assert_true(find(world, "preflight.user-namespaces")->observed);
	world_free(world);
}

static void test_container(void **state)
{
	struct world *world = world_new();

	add_container(world, true);
	preflight(world, "web1", "");
	assert_int_equal(world->reply->n_findings, 0);
	assert_string_equal(world->reply->container, "web1");
	world->agent.has_clash = true;
	world->host.no_namespaces = true;
	preflight(world, "web1", "failed to Lchown \"/x\" for UID 70000, GID 0 (try");
	assert_int_equal(world->reply->n_findings, 3);
	assert_string_equal(find(world, "preflight.runc-clash")->container, "web1");
	assert_false(find(world, "preflight.runc-clash")->observed);
	assert_string_equal(find(world, "preflight.user-namespaces")->container, "");
	assert_non_null(strstr(find(world, "preflight.id-map-too-small")->evidence, "ends at 65535"));
	world_free(world);
}

/* No agent, an agent that leaves, no such container, a host that fails: each has its answer. */
static void test_without_answers(void **state)
{
	struct world *world = world_new();

	preflight(world, "web1", "");
	assert_int_equal(world->error.code, -ENOENT);
	add_container(world, false);
	preflight(world, "web1", "");
	assert_int_equal(world->error.code, 0);
	assert_int_equal(find(world, "preflight.inside-unknown")->severity,
			 PHOENIX__PREFLIGHT_FINDING__SEVERITY__WARN);
	world->host.fail_verb = "Preflight";
	world->host.fail_count = 1;
	preflight(world, "web1", "");
	assert_int_equal(world->error.code, -EIO);
	world_free(world);
}

static bool host_was_asked(struct world *world)
{
	return world->host.calls > 0;
}

/* A client that leaves while it waits costs nothing; the next one is answered. */
static void test_client_leaves(void **state)
{
	struct world *world = world_new();

	add_container(world, true);
	world->host.calls = 0;
	ask(world, "web1", "");
	channel_close(world->client);
	world->client = NULL;
	run_until(world, has_answer);
	assert_true(world->error.code < 0);
	preflight(world, "web1", "");
	assert_true(host_was_asked(world));
	assert_int_equal(world->error.code, 0);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_alone),
		cmocka_unit_test(test_container),
		cmocka_unit_test(test_without_answers),
		cmocka_unit_test(test_client_leaves),
	};

	return cmocka_run_group_tests_name("preflight_api", tests, NULL, NULL);
}
