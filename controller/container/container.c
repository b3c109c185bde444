#include "controller/container/container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/claim_events.h"
#include "controller/container/condition_events.h"
#include "controller/container/keeper.h"
#include "controller/container/operation.h"
#include "controller/link/agent_key.h"
#include "controller/link/agent_policy.h"

#define KEY_MAXIMUM 96

static void agent_connected(void *user, const Phoenix__HelloRequest *hello)
{
	struct container *container = user;

	MESSAGE_REPLACE(container->hello, hello);
	journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
		      container_name(container), NULL, "agent.connected", "Hello",
		      "agent %s, protocol %u", hello->version, hello->protocol);
	keeper_connected(container);
	container_update_conditions(container);
	if (container->operation)
		operation_agent_connected(container->operation);
	else
		refresh_container(container); /* readiness does not wait for the next poll */
}

static void agent_lost(void *user, bool was_session, const struct ph_error *error)
{
	struct container *container = user;

	if (!was_session) {
		journal_error(container->registry->journal, container_name(container), NULL,
			      "agent.refused", "PeerRefused", error);
		return;
	}
	message_free(container->hello);
	container->hello = NULL;
	journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__WARNING,
		      container_name(container), NULL, "agent.lost", "SessionEnded", "%s",
		      error->why[0] ? error->why : "the session was closed");
	container_set_claimed(container, NULL);
	keeper_lost(container);
}

static void agent_published(void *user, const Phoenix__PublishRequest *request, size_t count,
			    void (*stored)(void *publication), void *publication)
{
	struct container *container = user;

	claim_events_take(container, request, count);
	journal_when_written(container->registry->journal, stored, publication);
}

static bool may_ask(void *user, const char *method)
{
	const struct container *container = user;

	return agent_policy_allows(container->record->spec, method);
}

/* The record of what is in no other record. */
static void agent_limited(void *user, const struct agent_excess *excess)
{
	struct container *container = user;

	journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__WARNING,
		      container_name(container), NULL, "agent.limited", "Dropped",
		      "dropped %llu events, turned away %llu connections, left out %llu refusals, "
		      "stopped reading %llu times: the container sends more than it may",
		      (unsigned long long)excess->events, (unsigned long long)excess->connections,
		      (unsigned long long)excess->refusals, (unsigned long long)excess->pauses);
}

static int find_key(void *user, uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	const struct container *container = user;

	return agent_key_read(container->registry->config->state_dir, container_name(container),
			      ret_key);
}

static int check_peer(void *user, const struct ucred *peer, struct ph_error *error)
{
	const struct container *container = user;
	const Phoenix__ContainerRecord *record = container->record;
	const struct peer_expected expected = { container_name(container),
						record->ids ? record->ids->first : 0,
						record->ids ? record->ids->count : 0,
						record->profile };

	if (!container->registry->check_peer)
		return 0;
	return container->registry->check_peer(peer->pid, &expected, error);
}

struct container *container_new(struct registry *registry, Phoenix__ContainerRecord *record)
{
	struct container *container = ph_alloc(sizeof(*container));
	const struct agent_link_config config = {
		.loop = registry->loop,
		.run_dir = registry->config->run_dir,
		.barrier = registry->barrier,
		.name = record->spec->name,
		.is_vsock = record->spec->transport == PHOENIX__TRANSPORT__TRANSPORT_VSOCK,
		.id_base = record->ids ? record->ids->first : 0,
		.id_count = record->ids ? record->ids->count : 0,
		.find_key = find_key,
		.check_peer = check_peer,
		.connected = agent_connected,
		.lost = agent_lost,
		.published = agent_published,
		.limited = agent_limited,
		.allowed = may_ask,
		.user = container,
	};

	container->registry = registry;
	container->record = record;
	text_copy(container->name, sizeof(container->name), record->spec->name);
	container->link = agent_link_new(&config);
	agent_link_expect(container->link, record->incarnation);
	keeper_init(container);
	container_update_conditions(container);
	return container;
}

int container_rotate_key(struct container *container, struct ph_error *error)
{
	uint8_t key[HANDSHAKE_KEY_SIZE];
	int r = agent_key_make(container->registry->config->state_dir, container_name(container),
			       container->registry->barrier, key, error);

	explicit_bzero(key, sizeof(key));
	if (r < 0)
		return r;
	journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
		      container_name(container), NULL, "agent.key", "Rotated",
		      "the key was replaced: the agent is pushed again");
	agent_link_drop(container->link);
	keeper_push_anew(container);
	return 0;
}

void container_free(struct container *container)
{
	if (!container)
		return;
	keeper_fini(container);
	refresh_forget(container);
	agent_link_close(container->link);
	message_free(container->record);
	message_free(container->hello);
	message_free(container->observed);
	message_free(container->claimed);
	conditions_fini(&container->conditions);
	free(container->told);
	free(container->drift);
	free(container);
}

const char *container_name(const struct container *container)
{
	return container->record->spec->name;
}

static void store_key(const struct container *container, char key[KEY_MAXIMUM])
{
	snprintf(key, KEY_MAXIMUM, "container/%s", container_name(container));
}

int container_save(struct container *container, struct ph_error *error)
{
	PH_AUTO_FREE uint8_t *value = NULL;
	char key[KEY_MAXIMUM];
	size_t length;
	int r;

	store_key(container, key);
	value = message_pack(container->record, &length);
	const struct store_compare compare = { key, container->revision };
	const struct store_operation put = { STORE_PUT, key, value, length };

	r = store_commit(container->registry->store, &compare, 1, &put, 1, &container->revision,
			 error);
	if (r == STORE_CONFLICT)
		return error_set(error, -EBUSY, key,
				 "make sure that one phoenixd runs on this state directory",
				 "somebody else has changed this record");
	if (r < 0) {
		error_prefix(error, "save %s", key);
		return r;
	}
	return 0;
}

int container_renew_incarnation(struct container *container, struct ph_error *error)
{
	uint8_t random[16];
	char text[2 * sizeof(random) + 1];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return error_set(error, -EIO, NULL, NULL, "no random numbers");
	message_set_text(&container->record->incarnation,
			 bytes_to_hex(random, sizeof(random), text));
	agent_link_expect(container->link, container->record->incarnation);
	return container_save(container, error);
}

int container_delete(struct container *container, struct ph_error *error)
{
	char key[KEY_MAXIMUM];
	int r;

	/* First the key: what is left after a crash in between still has a record. */
	r = agent_key_remove(container->registry->config->state_dir, container_name(container),
			     error);
	if (r < 0)
		return r;
	store_key(container, key);
	r = store_delete(container->registry->store, key, NULL, error);
	if (r < 0)
		return r;
	container->revision = 0;
	return 0;
}

bool container_is(const struct container *container, const char *phase)
{
	return text_equal(container->record->phase, phase);
}

int container_set_phase(struct container *container, const char *phase,
			const struct ph_error *failure, struct ph_error *error)
{
	Phoenix__Failure message = PHOENIX__FAILURE__INIT;
	int r;

	message_set_text(&container->record->phase, phase);
	if (failure)
		rpc_failure_from_error(&message, failure);
	MESSAGE_REPLACE(container->record->failure, failure ? &message : NULL);
	r = container_save(container, error);
	if (r < 0)
		journal_error(container->registry->journal, container_name(container), NULL,
			      "state.failed", "NotSaved", error);
	return r;
}

bool container_is_connected(const struct container *container)
{
	return agent_link_get_state(container->link) == AGENT_LINK_CONNECTED;
}

void container_update_conditions(struct container *container)
{
	const struct condition_facts facts = {
		.spec = container->record->spec,
		.profile = container->record->profile,
		.observed = container->observed,
		.claimed = container->claimed,
		.verify = container->record->verify,
		.connected = container_is_connected(container),
		.health_problem = container->health_problem,
	};
	struct conditions old = container->conditions;

	conditions_compute(&facts, &old, clock_wall_ms(), &container->conditions);
	/* While it is being made or removed everything changes, and the operation tells it. */
	if (container_is(container, CONTAINER_PHASE_RUNNING))
		for (size_t i = 0; i < container->conditions.count; i++)
			condition_events_tell(container, &old, container->conditions.items[i]);
	conditions_fini(&old);
}

void container_set_observed(struct container *container,
			    const Phoenix__ContainerObservation *observed)
{
	container->is_unlisted = false;
	MESSAGE_REPLACE(container->observed, observed);
	container_update_conditions(container);
}

void container_set_claimed(struct container *container, const Phoenix__HealthReply *claimed)
{
	MESSAGE_REPLACE(container->claimed, claimed);
	container->claimed_ms = clock_monotonic_ms();
	container->health_problem[0] = '\0';
	container_update_conditions(container);
}

void container_set_unhealthy(struct container *container, const struct ph_error *error)
{
	if (!container_is_connected(container))
		return; /* the session ended under the question, and took the claims with it */
	MESSAGE_REPLACE(container->claimed, NULL);
	error_format(error, container->health_problem, sizeof(container->health_problem));
	container_update_conditions(container);
}

bool container_is_ready(const struct container *container)
{
	const Phoenix__Condition *ready = conditions_find(&container->conditions, "Ready");

	return ready && ready->status == PHOENIX__CONDITION__STATUS__TRUE;
}

static const char *agent_state(const struct container *container)
{
	if (container_is_connected(container))
		return "connected";
	return container->keeper == KEEPER_IDLE ? "none" : keeper_state_name(container);
}

const char *container_driver(const struct container *container)
{
	const Phoenix__ContainerRecord *record = container->record;

	if (!text_empty(record->storage_driver))
		return record->storage_driver;
	return text_equal(record->spec->storage_driver, "auto") ? "" : record->spec->storage_driver;
}

void container_health_request(const struct container *container,
			      Phoenix__HealthRequest *ret_request)
{
	const Phoenix__ContainerSpec *spec = container->record->spec;

	phoenix__health_request__init(ret_request);
	ret_request->storage_driver = (char *)container_driver(container);
	ret_request->docker_source = spec->docker_source;
	if (!spec->docker)
		return;
	ret_request->n_docker_users = spec->docker->n_users;
	ret_request->docker_users = spec->docker->users;
}

static void fill_operation(const struct container *container, Phoenix__ContainerStatus *status)
{
	const Phoenix__ContainerRecord *record = container->record;

	status->operation = record->last_operation;
	if (container->operation) {
		status->operation = container->operation->record->id;
		status->step = container->operation->record->step;
	}
	status->failure = record->failure;
}

void container_borrow_status(const struct container *container, Phoenix__ContainerStatus *ret_status)
{
	const Phoenix__ContainerRecord *record = container->record;

	phoenix__container_status__init(ret_status);
	ret_status->spec = record->spec;
	ret_status->phase = record->phase;
	ret_status->ids = record->ids;
	ret_status->address = record->address;
	ret_status->incarnation = record->incarnation;
	ret_status->agent_state = (char *)agent_state(container);
	ret_status->agent_version = (char *)agent_link_version(container->link);
	ret_status->n_conditions = container->conditions.count;
	ret_status->conditions = container->conditions.items;
	ret_status->observed = container->observed;
	ret_status->verify = record->verify;
	ret_status->n_versions = record->n_versions;
	ret_status->versions = record->versions;
	ret_status->ready = container_is_ready(container);
	ret_status->profile = record->profile;
	ret_status->slot = record->slot;
	ret_status->storage_driver = (char *)container_driver(container);
	ret_status->adoption = record->adoption;
	if (container->hello) {
		ret_status->n_agent_capabilities = container->hello->n_capabilities;
		ret_status->agent_capabilities = container->hello->capabilities;
	}
	if (container->claimed)
		ret_status->claimed_ms = clock_wall_ms() - (clock_monotonic_ms() - container->claimed_ms);
	fill_operation(container, ret_status);
}

Phoenix__ContainerStatus *container_status(const struct container *container)
{
	Phoenix__ContainerStatus status;

	container_borrow_status(container, &status);
	return MESSAGE_COPY(&status);
}
