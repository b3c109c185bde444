/*
 * preflight through phoenixd's socket, with a fake phoenix-host and fake agents behind their own: what
 * host and agent say becomes findings, and what does not answer becomes one too.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "controller/link/agent_key.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define BOOT_ID "0123456789abcdef"

static bool is_connected(struct world *world)
{
	return container_is_connected(registry_find(world->registry, "web1"));
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
	if (agent_key_make(world->config.state_dir, "web1", NULL, key, &error) < 0)
		fail_msg("%s: %s", error.where, error.why);
	fake_agent_start(&world->agent, &world->loop, world->scratch.path, "web1", BOOT_ID, key,
			 geteuid());
	world_run_until(world, is_connected);
}

static void fill(Phoenix__PreflightRequest *request, const char *name, const char *text)
{
	phoenix__preflight_request__init(request);
	request->name = (char *)name;
	request->error_text = (char *)text;
}

static void preflight(struct world *world, const char *name, const char *text)
{
	Phoenix__PreflightRequest request;

	fill(&request, name, text);
	world_call(world, "Preflight", &request.base);
}

static const Phoenix__PreflightReply *reply_of(const struct world *world)
{
	return (const Phoenix__PreflightReply *)world->reply;
}

static const Phoenix__PreflightFinding *find(const struct world *world, const char *id)
{
	const Phoenix__PreflightReply *reply = reply_of(world);

	for (size_t i = 0; reply && i < reply->n_findings; i++)
		if (text_equal(reply->findings[i]->id, id))
			return reply->findings[i];
	fail_msg("%s was not found", id);
	return NULL;
}

static void test_host_alone(void **state)
{
	struct world *world = world_new();

	preflight(world, "", "");
	assert_int_equal(world->error.code, 0);
	assert_string_equal(reply_of(world)->kernel, "6.1.0-fake");
	assert_int_equal(reply_of(world)->n_findings, 0);
	world->host.no_namespaces = true;
	preflight(world, "", "");
	assert_int_equal(reply_of(world)->n_findings, 1);
	assert_true(find(world, "preflight.user-namespaces")->observed);
	world_free(world);
}

static void test_container(void **state)
{
	struct world *world = world_new();

	add_container(world, true);
	preflight(world, "web1", "");
	assert_int_equal(reply_of(world)->n_findings, 0);
	assert_string_equal(reply_of(world)->container, "web1");
	world->agent.has_clash = true;
	world->host.no_namespaces = true;
	preflight(world, "web1", "failed to Lchown \"/x\" for UID 70000, GID 0 (try");
	assert_int_equal(reply_of(world)->n_findings, 3);
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
	Phoenix__PreflightRequest request;

	add_container(world, true);
	world->host.calls = 0;
	fill(&request, "web1", "");
	world_ask(world, "Preflight", &request.base);
	world_hang_up(world);
	world_run_until(world, world_has_answer);
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
