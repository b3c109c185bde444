/*
 * Preflight of one container: what the host's record of it says, then what its agent finds when it
 * tries what Docker will try. Nothing is touched.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/container/preflight.h"
#include "controller/preflight/findings.h"
#include "controller/rollout/rebuilding.h"
#include "controller/rollout/rollouts_private.h"

#define AGENT_MS 40000
#define CONTACT_MS 20000

void asking_forget(struct asking *asking)
{
	if (asking)
		asking->hand = NULL;
}

static int check_host(const struct registry *registry, const Phoenix__ContainerSpec *spec,
		      struct ph_error *error)
{
	const Phoenix__ProbeReply *probe = registry->probe;

	if (!probe || probe->apparmor ||
	    spec->confinement != PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED)
		return 0;
	return error_set(error, -EOPNOTSUPP, spec->name, probe->apparmor_remedy,
			 "confinement is required, but this host cannot enforce it: %s",
			 probe->apparmor_reason);
}

static int check_known(const struct hand *hand, const struct container *container,
		       struct ph_error *error)
{
	const Phoenix__RolloutItem *item = hand->rollout->record->items[hand->item];
	const Phoenix__Condition *ready;

	if (!container)
		return error_set(error, -ENOENT, item->name, "leave it out with --only",
				 "there is no container of this name");
	if (!container_is(container, CONTAINER_PHASE_RUNNING))
		return error_set(error, -EBADE, item->name,
				 "apply it first, or leave it out with --only",
				 "it is %s: there is no good state to go back to",
				 container->record->phase);
	ready = conditions_find(&container->conditions, "Ready");
	if (hand_health(hand) != ROLLOUT_HEALTH_READY)
		return error_set(error, -EBADE, item->name,
				 "phoenixctl health tells more; leave it out with --only",
				 "it is not ready now (%s): a rollout could not tell whether it did harm",
				 ready ? ready->reason : "never looked at");
	return check_host(container->registry, item->new_, error);
}

static void answered(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct asking *asking = user;
	struct hand *hand = asking->hand;
	struct findings findings = { 0 };
	struct container *container;
	struct ph_error failure = { 0 };

	free(asking);
	if (!hand)
		return;
	hand->asking = NULL;
	container = registry_find(hand->rollout->rollouts->registry,
				  hand->rollout->record->items[hand->item]->name);
	if (error || !container) {
		hand->is_waiting = true; /* its agent may come back before the deadline */
		return;
	}
	const struct judge_wanted wanted = preflight_wanted(container);

	judge_container((const Phoenix__AgentPreflightReply *)message, &wanted, &findings);
	for (size_t i = 0; i < findings.count && !error_is_set(&failure); i++)
		if (findings.items[i]->severity == FINDINGS_FAIL)
			error_set(&failure, -EBADE, findings.items[i]->id, findings.items[i]->remedy,
				  "%s", findings.items[i]->evidence);
	findings_fini(&findings);
	if (!error_is_set(&failure) && hand->rollout->record->items[hand->item]->rebuild)
		rebuilding_check(hand);
	else
		hand_ended(hand, error_is_set(&failure) ? &failure : NULL);
}

/* Something else works on it, or its agent may yet come back after a restart of ours. */
static bool is_worth_waiting(const struct hand *hand, const struct container *container)
{
	if (!container)
		return false;
	return container->operation || (hand_health(hand) == ROLLOUT_HEALTH_UNKNOWN &&
					clock_monotonic_ms() - hand->begun_ms < CONTACT_MS);
}

void hand_check(struct hand *hand)
{
	static const struct rpc_handlers handlers = { .finished = answered };
	Phoenix__AgentPreflightRequest request = PHOENIX__AGENT_PREFLIGHT_REQUEST__INIT;
	struct container *container = registry_find(hand->rollout->rollouts->registry,
						    hand->rollout->record->items[hand->item]->name);
	struct asking *asking;
	struct ph_error error;

	hand->is_waiting = is_worth_waiting(hand, container);
	if (hand->is_waiting)
		return;
	if (check_known(hand, container, &error) < 0) {
		hand_ended(hand, &error);
		return;
	}
	asking = ph_alloc(sizeof(*asking));
	asking->hand = hand;
	hand->asking = asking;
	if (agent_link_call(container->link, "Preflight", &request.base, AGENT_MS, &handlers, asking,
			    NULL) == 0)
		return;
	hand->asking = NULL;
	free(asking);
	hand->is_waiting = true;
}
