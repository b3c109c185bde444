/*
 * Adoption: the records are read before anything else, so that a client which asks right after the
 * start sees every container. Then, once phoenix-host answers, its list of what really runs is
 * joined with them; sessions come back by themselves because the sockets are listened on at once.
 * Interrupted operations resume after that join, because their steps look before they act.
 */
#include "controller/container/registry.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/adopt.h"
#include "controller/container/container.h"
#include "controller/container/denial_events.h"
#include "controller/container/drift_events.h"
#include "controller/container/operation.h"
#include "controller/container/operation_record.h"
#include "controller/container/refresh.h"
#include "controller/denials/denials.h"
#include "controller/link/agent_hall.h"

#define POLL_MS 15000
#define ADOPT_HOST_MS 600000 /* phoenix-host may be started long after us */
#define RECONNECT_GRACE_MS 1500 /* an agent that survived us comes back within a second */

/* Both are a container or its name, which comes first in it. */
static int compare_names(const void *left, const void *right)
{
	return strcmp(left, right);
}

struct container *registry_find(const struct registry *registry, const char *name)
{
	struct container *const *found = tfind(name, &registry->names, compare_names);

	return found ? *found : NULL;
}

struct container *registry_next(const struct registry *registry, const char *after)
{
	struct container *container = registry_find(registry, after);

	if (container)
		return container->next;
	for (container = registry->containers;
	     container && strcmp(container_name(container), after) <= 0;)
		container = container->next;
	return container;
}

void registry_add(struct registry *registry, struct container *container)
{
	struct container **place = &registry->containers;

	/* They come sorted when the store is read. */
	if (registry->last && strcmp(container_name(registry->last), container_name(container)) < 0)
		place = &registry->last->next;
	while (*place && strcmp(container_name(*place), container_name(container)) < 0)
		place = &(*place)->next;
	container->next = *place;
	*place = container;
	if (!container->next)
		registry->last = container;
	if (!tsearch(container, &registry->names, compare_names))
		ph_out_of_memory(); /* out of memory */
}

void registry_take(struct registry *registry, struct container *container)
{
	struct container *before = NULL, *other = registry->containers;

	for (; other && other != container; other = other->next)
		before = other;
	if (!other)
		return;
	if (before)
		before->next = container->next;
	else
		registry->containers = container->next;
	if (registry->last == container)
		registry->last = before;
	tdelete(container, &registry->names, compare_names);
	denials_forget(registry->denials, container_name(container));
}

/* Which step of its operation it is at is recorded, and so the same after a restart. */
static bool is_gone(const struct container *container)
{
	const struct operation *operation = container->operation;
	const struct operation_type *type = operation ? operation->type : NULL;
	size_t step;

	if (!type)
		return false;
	if (flow_find_step(type->steps, type->count, "destroy", &step) == 0)
		return operation->flow.current > step;
	return operation->record->undoing &&
	       flow_find_step(type->steps, type->count, "create", &step) == 0 &&
	       operation->flow.current < step;
}

bool registry_is_last(const struct registry *registry, const struct container *container)
{
	for (struct container *other = registry->containers; other; other = other->next)
		if (other != container && !is_gone(other))
			return false;
	return true;
}

/* ---- allocation: what the other records hold is taken ---- */

struct taken {
	struct id_range *ids; /* owned */
	uint32_t *addresses;  /* owned */
	uint32_t *slots;      /* owned */
	size_t count;
};

static void taken_fini(struct taken *taken)
{
	free(taken->ids);
	free(taken->addresses);
	free(taken->slots);
}

static void taken_collect(const struct registry *registry, struct taken *taken)
{
	size_t total = 0;

	for (struct container *other = registry->containers; other; other = other->next)
		total++;
	taken->ids = ph_alloc_array(total, sizeof(*taken->ids));
	taken->addresses = ph_alloc_array(total, sizeof(*taken->addresses));
	taken->slots = ph_alloc_array(total, sizeof(*taken->slots));
	for (struct container *other = registry->containers; other; other = other->next) {
		const Phoenix__ContainerRecord *record = other->record;

		if (!record->ids)
			continue;
		taken->ids[taken->count].first = record->ids->first;
		taken->ids[taken->count].count = record->ids->count;
		text_to_ipv4(record->address, &taken->addresses[taken->count]);
		taken->slots[taken->count] = record->slot;
		taken->count++;
	}
}

static int choose_address(const struct registry *registry, const Phoenix__ContainerSpec *spec,
			  const struct taken *taken, uint32_t *ret_address, struct ph_error *error)
{
	const struct config *config = registry->config;
	int r;

	if (text_empty(spec->address))
		return allocate_address(config->subnet, config->prefix_length, taken->addresses,
					taken->count, ret_address, error);
	r = text_to_ipv4(spec->address, ret_address);
	if (r < 0)
		return error_set(error, r, "network.address", "write it like 10.209.0.20",
				 "'%s' is not an IPv4 address", spec->address);
	return allocate_check_address(config->subnet, config->prefix_length, *ret_address,
				      taken->addresses, taken->count, error);
}

int registry_allocate(const struct registry *registry, Phoenix__ContainerRecord *record,
		      struct ph_error *error)
{
	const Phoenix__ProbeReply *probe = registry->probe;
	PH_AUTO_FREE struct id_range *ranges = NULL;
	__attribute__((cleanup(taken_fini))) struct taken taken = { 0 };
	Phoenix__IdRange message = PHOENIX__ID_RANGE__INIT;
	struct id_range ids;
	uint32_t address, slot;
	char text[16];
	int r;

	ranges = ph_alloc_array(probe ? probe->n_id_ranges : 0, sizeof(*ranges));
	for (size_t i = 0; probe && i < probe->n_id_ranges; i++)
		ranges[i] = (struct id_range){ probe->id_ranges[i]->first,
					       probe->id_ranges[i]->count };
	taken_collect(registry, &taken);

	r = allocate_ids(ranges, probe ? probe->n_id_ranges : 0, taken.ids, taken.count, &ids,
			 error);
	if (r == 0)
		r = choose_address(registry, record->spec, &taken, &address, error);
	if (r == 0)
		r = allocate_slot(taken.slots, taken.count, &slot, error);
	if (r < 0)
		return r;
	message.first = ids.first;
	message.count = ids.count;
	MESSAGE_REPLACE(record->ids, &message);
	message_set_text(&record->address, ipv4_to_text(address, text));
	record->slot = slot;
	return 0;
}

void registry_set_probe(struct registry *registry, const Phoenix__ProbeReply *probe)
{
	MESSAGE_REPLACE(registry->probe, probe);
}

/* ---- the poll ---- */

static void poll_done(void *user)
{
	struct registry *registry = user;

	registry->is_polling = false;
	drift_events_tell(registry);
}

static void poll(void *user)
{
	struct registry *registry = user;

	if (registry->is_polling || !host_link_is_up(registry->host))
		return;
	registry->is_polling = true;
	refresh_fleet(registry, poll_done, registry);
}

/* ---- start: records, then the join with what really runs ---- */

static int load_containers(struct registry *registry, struct ph_error *error)
{
	STORE_AUTO_LIST struct store_list list = { 0 };
	int r = store_list(registry->store, "container/", &list, error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < list.count; i++) {
		const struct store_entry *entry = &list.entries[i];
		Phoenix__ContainerRecord *record = (void *)message_unpack(
			&phoenix__container_record__descriptor, entry->length, entry->value);
		struct container *container;

		if (!record || !record->spec || !name_is_valid(record->spec->name)) {
			message_free(record);
			return error_set(error, -EUCLEAN, entry->key,
					 "restore STATE/db from a backup",
					 "the record cannot be decoded");
		}
		container = container_new(registry, record);
		container->revision = entry->mod_revision;
		registry_add(registry, container);
	}
	return 0;
}

static void resume_operations(struct registry *registry)
{
	STORE_AUTO_LIST struct store_list list = { 0 };
	struct ph_error error;

	if (store_list(registry->store, "operation/", &list, &error) < 0) {
		log_error(LOG_LEVEL_ERROR, "adopt", NULL, &error);
		return;
	}
	for (size_t i = 0; i < list.count; i++) {
		Phoenix__OperationRecord *record = (void *)message_unpack(
			&phoenix__operation_record__descriptor, list.entries[i].length,
			list.entries[i].value);
		struct container *container =
			record ? registry_find(registry, record->container) : NULL;

		if (container) {
			operation_resume(container, record);
			continue;
		}
		/* Its container was never stored: nothing had been made yet. */
		message_free(record);
		store_delete(registry->store, list.entries[i].key, NULL, NULL);
	}
}

static void adopted(void *user, const struct ph_error *error)
{
	struct registry *registry = user;
	size_t running = 0;

	registry->is_adopted = true;
	if (error) {
		log_error(LOG_LEVEL_ERROR, "adopt", NULL, error);
		return;
	}
	for (struct container *container = registry->containers; container;
	     container = container->next) {
		if (container_is(container, CONTAINER_PHASE_REMOVING) ||
		    !container->observed->running || !adopt_may_have_agent(container))
			continue;
		running++;
		container_keep_agent(container, RECONNECT_GRACE_MS);
	}
	journal_write(registry->journal, PHOENIX__EVENT__SEVERITY__INFO, NULL, NULL,
		      "controller.adopted", "Adopted", "%zu running containers", running);
	resume_operations(registry);
	timer_start(registry->poll, POLL_MS, POLL_MS);
}

static void probed(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	if (!error)
		registry_set_probe(user, (const Phoenix__ProbeReply *)reply);
}

static struct agent_link *find_vsock_link(void *user, const char *name)
{
	struct container *container = registry_find(user, name);

	return container ? container->link : NULL;
}

static void stranger_refused(void *user, const struct ph_error *error)
{
	struct registry *registry = user;

	journal_error(registry->journal, NULL, NULL, "agent.refused", "StrangerRefused", error);
}

void registry_listen_vsock(struct registry *registry, int fd)
{
	const struct agent_hall_config config = { .loop = registry->loop,
						  .address = registry->config->vsock,
						  .find = find_vsock_link,
						  .barrier = registry->barrier,
						  .refused = stranger_refused,
						  .user = registry };
	struct ph_error error;
	char address[128];

	address_format(&config.address, address);
	if (fd < 0)
		error_errno(&error, fd, address, "modprobe vsock_loopback; and see who listens "
			    "there: ss -l --vsock", "listen");
	else if (agent_hall_open(&config, fd, &registry->hall, &error) == 0)
		return;
	text_copy(registry->no_vsock, sizeof(registry->no_vsock), error.why);
	journal_error(registry->journal, NULL, NULL, "agent.no-vsock", "NotListening", &error);
}

bool registry_has_vsock(const struct registry *registry, const char *name, struct ph_error *error)
{
	char address[128];

	if (registry->hall)
		return true;
	if (!registry->config->has_vsock)
		error_set(error, -EOPNOTSUPP, name,
			  "write vsock: vsock:1:1022 into the configuration and restart both daemons; "
			  "or transport: unix",
			  "its transport is vsock, but the configuration has no key 'vsock'");
	else
		error_set(error, -EOPNOTSUPP, name,
			  "modprobe vsock_loopback, and restart phoenixd; or transport: unix",
			  "its transport is vsock, but phoenixd does not listen on %s: %s",
			  address_format(&registry->config->vsock, address), registry->no_vsock);
	return false;
}

static void listen_for_agents(struct registry *registry)
{
	struct ph_error error;

	for (struct container *container = registry->containers; container;
	     container = container->next)
		if (agent_link_listen(container->link, &error) < 0)
			log_error(LOG_LEVEL_WARNING, "adopt", container_name(container), &error);
}

static void begin_adoption(struct registry *registry)
{
	Phoenix__ProbeRequest probe = PHOENIX__PROBE_REQUEST__INIT;

	listen_for_agents(registry);
	host_link_call(registry->host, "Probe", &probe.base, ADOPT_HOST_MS, probed, registry,
		       NULL);
	refresh_observed(registry, ADOPT_HOST_MS, adopted, registry);
}

static void host_changed(void *user, bool is_up)
{
	struct registry *registry = user;

	journal_write(registry->journal,
		      is_up ? PHOENIX__EVENT__SEVERITY__INFO : PHOENIX__EVENT__SEVERITY__WARNING,
		      NULL, NULL, is_up ? "host.connected" : "host.lost",
		      is_up ? "Connected" : "SessionEnded", "phoenix-host");
	denials_host_changed(registry->denials, is_up);
}

static void registry_free(struct registry *registry)
{
	while (registry->operations)
		operation_abandon(registry->operations);
	operation_record_forget_ended(registry);
	while (registry->containers) {
		struct container *container = registry->containers;

		registry->containers = container->next;
		tdelete(container, &registry->names, compare_names);
		container_free(container);
	}
	refresh_fini(registry);
	agent_hall_close(registry->hall);
	timer_close(registry->poll);
	denials_close(registry->denials);
	host_link_close(registry->host);
	journal_close(registry->journal);
	store_close(registry->store);
	barrier_close(registry->barrier);
	message_free(registry->probe);
	free(registry);
}

/* What is in memory is ahead of the disk, and there is no way back: the next phoenixd reads what is there. */
static void disk_failed(void *user, const struct ph_error *error)
{
	log_error(LOG_LEVEL_ERROR, "store", NULL, error);
	log_write(LOG_LEVEL_ERROR, "store", NULL, "ending at once: nobody was told of what may be lost");
	_exit(EX_IOERR);
}

static int open_files(struct registry *registry, struct ph_error *error)
{
	char path[512];
	int r = barrier_open(registry->loop, disk_failed, registry, &registry->barrier, error);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/db/state.db", registry->config->state_dir);
	r = store_open(path, &registry->store, error);
	if (r == 0)
		r = store_use_barrier(registry->store, registry->barrier, error);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/db/events.db", registry->config->state_dir);
	return journal_open(registry->loop, path, registry->barrier, &registry->journal, error);
}

int registry_open(uv_loop_t *loop, const struct config *config, struct registry **ret_registry,
		  struct ph_error *error)
{
	struct registry *registry = ph_alloc(sizeof(*registry));
	struct host_link_config link = { .changed = host_changed, .user = registry };
	int r;

	registry->loop = loop;
	registry->config = config;
	registry->check_peer = peer_check;
	registry->started_ms = clock_wall_ms();
	refresh_init(registry);
	link.address.family = ADDRESS_UNIX;
	snprintf(link.address.path, sizeof(link.address.path), "%s/host.sock", config->run_dir);

	r = open_files(registry, error);
	if (r < 0)
		goto failed;
	registry->poll = timer_new(loop, poll, registry);
	link.barrier = registry->barrier;
	registry->host = host_link_open(loop, &link);
	registry->denials = denial_events_open(registry);
	r = load_containers(registry, error);
	if (r < 0)
		goto failed;
	journal_write(registry->journal, PHOENIX__EVENT__SEVERITY__INFO, NULL, NULL,
		      "controller.started", "Started", "phoenixd " PH_VERSION);
	begin_adoption(registry);
	*ret_registry = registry;
	return 0;

failed:
	registry_free(registry);
	return r;
}

void registry_close(struct registry *registry)
{
	if (registry)
		registry_free(registry);
}
