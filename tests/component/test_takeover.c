/*
 * A new phoenixd takes over what an older one has left: a state database of schema 1, as that wrote it, with
 * a running container and an apply in progress, and an agent of that time. The text below is its tables
 * and values, byte for byte; nothing of today's code has made them.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "controller/link/agent_key.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define INCARNATION "00112233445566778899aabbccddeeff"

/* container/web1: running, from the image bookworm; operation/bbb...: its apply, at the step "verify". */
static const char schema_1[] =
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);"
	"CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL,"
	" create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL, version INTEGER NOT NULL);"
	"CREATE TABLE change (position INTEGER PRIMARY KEY, key TEXT NOT NULL,"
	" value BLOB, create_revision INTEGER NOT NULL, version INTEGER NOT NULL);"
	"INSERT INTO meta VALUES ('revision', 2);"
	"INSERT INTO entry VALUES ('container/web1', X'"
	"0a330a04776562311a08626f6f6b776f726d2a031880203a0e667573652d6f7665726c61796673420c6469737472696275"
	"74696f6e1204108080041a0a31302e3230392e302e322a20303031313232333334343535363637373838393961616262636364"
	"6465656666320e6c78632d70686f656e69782d76323a0772756e6e696e674a120a09646f636b65722e696f120532302e313058"
	"80d095ffbc31621061616161616161616161616161616161', 1, 1, 1);"
	"INSERT INTO entry VALUES ('operation/bbbbbbbbbbbbbbbb', X'"
	"0a106262626262626262626262626262626212056170706c791a047765623122330a04776562311a08626f6f6b776f726d2a03"
	"1880203a0e667573652d6f7665726c61796673420c646973747269627574696f6e2a0676657269667938e8d795ffbc31',"
	" 2, 2, 1);"
	"PRAGMA application_id = 0x50487374; PRAGMA user_version = 1";

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *handle = NULL;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

static int version_of(const char *path)
{
	sqlite3_stmt *statement = NULL;
	sqlite3 *handle = NULL;
	int version;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "PRAGMA user_version", -1, &statement, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	return version;
}

/* What the older phoenixd has left on this host: its database, its containers, the agents' keys. */
static void leave_behind(struct world *world, char path[320])
{
	struct fake_container *left = fake_host_add_foreign(&world->host, "web1", 0);
	uint8_t key[HANDSHAKE_KEY_SIZE];
	struct ph_error error;

	left->is_foreign = false;
	snprintf(path, 320, "%s/db/state.db", world->scratch.path);
	assert_int_equal(remove(path), 0);
	run_sql(path, schema_1);
	assert_int_equal(agent_key_make(world->config.state_dir, "web1", NULL, key, &error), 0);
	explicit_bzero(key, sizeof(key));
}

static bool is_connected(struct world *world)
{
	return container_is_connected(registry_find(world->registry, "web1"));
}

static void state_sessions_and_operations_go_on(void **state)
{
	struct world *world = world_new();
	struct container *container;
	char path[320];

	world_close(world);
	leave_behind(world, path);
	world_open(world);
	container = registry_find(world->registry, "web1");
	assert_non_null(container);
	assert_string_equal(container->record->address, "10.209.0.2");
	assert_string_equal(container->record->incarnation, INCARNATION);
	assert_int_equal(container->record->spec->resources->pids, 4096);
	assert_non_null(container->operation);
	assert_string_equal(container->operation->record->id, "bbbbbbbbbbbbbbbb");
	world_bring_agents_back(world); /* with the nonce of the start that the older one made */
	world_run_until(world, is_connected);
	world_run_until(world, world_is_idle);
	assert_int_equal(world->agent.installs, 0); /* it went on at its step, and did not begin anew */
	assert_int_equal(world->agent.verifies, 1);
	assert_null(container->record->last_failure);
	assert_string_equal(container->record->last_operation, "bbbbbbbbbbbbbbbb");
	assert_true(container_is_ready(container));
	world_close(world);
	assert_int_equal(version_of(path), 3);
	world_open(world); /* and what it has become is taken over as anything else */
	assert_non_null(registry_find(world->registry, "web1"));
	world_free(world);
}

/* A newer one's state is refused with the reason, and is what it was. */
static void a_newer_state_is_refused(void **state)
{
	struct world *world = world_new();
	struct registry *registry = NULL;
	struct ph_error error;
	char path[320];

	world_close(world);
	leave_behind(world, path);
	run_sql(path, "PRAGMA user_version = 4");
	assert_int_equal(registry_open(&world->loop, &world->config, &registry, &error), -EPROTO);
	assert_non_null(strstr(error.why, "a newer Phoenix wrote this file (schema 4, this one knows 3)"));
	assert_non_null(strstr(error.remedy, "start the newer Phoenix again"));
	assert_int_equal(version_of(path), 4);
	world_free(world);
}

static void refreshed(void *user)
{
	((struct world *)user)->has_ended = true;
}

/* Ask every agent for its health; what is dead may be repaired by that. */
static void look(struct world *world)
{
	world->has_ended = false;
	refresh_fleet(world->registry, refreshed, world);
	world_run_until(world, world_has_ended);
}

static bool is_repaired(struct world *world)
{
	return world->agent.repairs > 0;
}

/* An agent from before repairs does not say that it can: it is not asked to, and all else works. */
static void an_older_agent_is_asked_what_it_can(void **state)
{
	for (int is_older = 0; is_older < 2; is_older++) {
		struct world *world = world_new();
		Phoenix__DockerSpec docker = PHOENIX__DOCKER_SPEC__INIT;
		char *repair[] = { (char *)"fuse-daemon" };
		char path[320];

		world_close(world);
		world->agent.is_older = is_older;
		leave_behind(world, path);
		world_open(world);
		world_bring_agents_back(world);
		world_run_until(world, is_connected);
		world_run_until(world, world_is_idle);
		docker.repair = repair;
		docker.n_repair = 1;
		MESSAGE_REPLACE(registry_find(world->registry, "web1")->record->spec->docker, &docker);
		world->agent.dead = "0123456789ab0123456789ab0123456789ab0123456789ab0123456789ab0123";
		look(world);
		look(world);
		if (is_older)
			assert_int_equal(world->agent.repairs, 0);
		else
			world_run_until(world, is_repaired);
		assert_true(is_connected(world));
		world_free(world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_sessions_and_operations_go_on),
		cmocka_unit_test(a_newer_state_is_refused),
		cmocka_unit_test(an_older_agent_is_asked_what_it_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
