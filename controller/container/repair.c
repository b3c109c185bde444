#include "controller/container/repair.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define KIND "fuse-daemon"
#define REPAIR_TIMEOUT_MS 150000 /* longer than the agent gives itself */

/* ---- deciding ---- */

static bool is_consented(const Phoenix__ContainerSpec *spec)
{
	for (size_t i = 0; spec->docker && i < spec->docker->n_repair; i++)
		if (text_equal(spec->docker->repair[i], KIND))
			return true;
	return false;
}

/* How many of the records (of this nested container, or of all: NULL) are younger than that. */
static size_t count_younger(const Phoenix__ContainerRecord *record, const char *nested,
			    uint64_t wall_ms, uint64_t age_ms)
{
	size_t count = 0;

	for (size_t i = 0; i < record->n_repairs; i++) {
		const Phoenix__RepairRecord *repair = record->repairs[i];

		if (nested && !text_equal(repair->container, nested))
			continue;
		count += repair->wall_ms >= wall_ms || wall_ms - repair->wall_ms < age_ms;
	}
	return count;
}

void repair_settle_clock(Phoenix__ContainerRecord *record, uint64_t wall_ms)
{
	for (size_t i = 0; i < record->n_repairs; i++)
		if (record->repairs[i]->wall_ms > wall_ms)
			record->repairs[i]->wall_ms = wall_ms;
}

enum repair_choice repair_choose(const Phoenix__ContainerRecord *record,
				 const Phoenix__HealthReply *claimed, uint64_t wall_ms,
				 const Phoenix__NestedContainer **ret_nested)
{
	if (!claimed || !claimed->n_dead || !is_consented(record->spec))
		return REPAIR_NOTHING;
	if (count_younger(record, NULL, wall_ms, REPAIR_HOUR_MS) >= REPAIR_PER_HOUR)
		return REPAIR_LIMITED;
	for (size_t i = 0; i < claimed->n_dead; i++) {
		if (count_younger(record, claimed->dead[i]->id, wall_ms, REPAIR_AGAIN_MS))
			continue;
		*ret_nested = claimed->dead[i];
		return REPAIR_CONTAINER;
	}
	return REPAIR_LIMITED;
}

static void forget_oldest(Phoenix__ContainerRecord *record)
{
	message_free(record->repairs[0]);
	record->n_repairs--;
	memmove(record->repairs, record->repairs + 1,
		record->n_repairs * sizeof(*record->repairs));
}

void repair_remember(Phoenix__ContainerRecord *record, const char *nested, uint64_t wall_ms)
{
	Phoenix__RepairRecord *repair = ph_alloc(sizeof(*repair));

	phoenix__repair_record__init(repair);
	message_set_text(&repair->container, nested);
	repair->wall_ms = wall_ms;
	while (record->n_repairs >= REPAIR_RECORDS_MAXIMUM)
		forget_oldest(record);
	record->repairs = ph_realloc(record->repairs,
				     (record->n_repairs + 1) * sizeof(*record->repairs));
	record->repairs[record->n_repairs++] = repair;
}

/* ---- doing ---- */

/* The container may be gone when the answer comes. */
struct repair {
	struct registry *registry; /* borrowed */
	char container[64];
};

static void repaired(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	const Phoenix__RepairReply *reply = (const Phoenix__RepairReply *)message;
	PH_AUTO_FREE struct repair *repair = user;
	struct container *container = registry_find(repair->registry, repair->container);

	if (!container)
		return;
	container->is_repairing = false;
	if (error)
		journal_error(repair->registry->journal, repair->container, NULL, "repair.failed",
			      "RepairFailed", error);
	else
		journal_write(repair->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
			      repair->container, NULL, "repair.done",
			      reply->repaired ? "Repaired" : "NothingToRepair", "%.200s",
			      reply->message);
}

static void begin(struct container *container, const char *id, const char *name)
{
	static const struct rpc_handlers handlers = { .finished = repaired };
	Phoenix__RepairRequest request = PHOENIX__REPAIR_REQUEST__INIT;
	struct repair *repair = ph_alloc(sizeof(*repair));

	repair->registry = container->registry;
	text_copy(repair->container, sizeof(repair->container), container_name(container));
	request.kind = (char *)KIND;
	request.container = (char *)id;
	journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__WARNING,
		      container_name(container), NULL, "repair.started", "FuseDaemonDied",
		      "the storage of the nested container %.64s (%.12s) is dead: it is restarted, "
		      "as the fleet file allows",
		      name, id);
	container->is_repairing = agent_link_call(container->link, "Repair", &request.base,
						  REPAIR_TIMEOUT_MS, &handlers, repair, NULL) >= 0;
	if (!container->is_repairing)
		free(repair);
}

static bool can_repair(const struct container *container)
{
	for (size_t i = 0; container->hello && i < container->hello->n_capabilities; i++)
		if (text_equal(container->hello->capabilities[i], "repair"))
			return true;
	return false;
}

static void tell_limit(struct container *container)
{
	if (!container->is_repair_limited)
		journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__ERROR,
			      container_name(container), NULL, "repair.limited", "TooOften",
			      "storage of a nested container is dead again after it was repaired: "
			      "it is left to you; phoenixctl health tells which");
	container->is_repair_limited = true;
}

void repair_consider(struct container *container)
{
	const Phoenix__NestedContainer *nested = NULL;
	uint64_t now = clock_wall_ms();
	struct ph_error error;

	/* An operation restarts what it needs by itself. */
	if (container->is_repairing || container->operation || !can_repair(container) ||
	    !container_is(container, CONTAINER_PHASE_RUNNING))
		return;
	repair_settle_clock(container->record, now);
	switch (repair_choose(container->record, container->claimed, now, &nested)) {
	case REPAIR_NOTHING:
		container->is_repair_limited = false;
		return;
	case REPAIR_LIMITED:
		tell_limit(container);
		return;
	case REPAIR_CONTAINER:
		break;
	}
	/* What cannot be remembered would be done again and again. */
	repair_remember(container->record, nested->id, now);
	if (container_save(container, &error) < 0)
		journal_error(container->registry->journal, container_name(container), NULL,
			      "repair.failed", "NotSaved", &error);
	else
		begin(container, nested->id, nested->name);
}
