#include "controller/container/conditions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/drift.h"

#define TRUE PHOENIX__CONDITION__STATUS__TRUE
#define FALSE PHOENIX__CONDITION__STATUS__FALSE
#define UNKNOWN PHOENIX__CONDITION__STATUS__UNKNOWN

static Phoenix__Condition *add(struct conditions *conditions, const char *type,
			       Phoenix__Condition__Status status, const char *reason,
			       const char *message, const char *remedy, bool observed)
{
	Phoenix__Condition *condition = ph_alloc(sizeof(*condition));

	phoenix__condition__init(condition);
	message_set_text(&condition->type, type);
	message_set_text(&condition->reason, reason);
	message_set_text(&condition->message, message);
	message_set_text(&condition->remedy, remedy);
	condition->status = status;
	condition->observed = observed;
	conditions->items = ph_realloc(conditions->items,
				       (conditions->count + 1) * sizeof(*conditions->items));
	conditions->items[conditions->count++] = condition;
	return condition;
}

const Phoenix__Condition *conditions_find(const struct conditions *conditions, const char *type)
{
	for (size_t i = 0; i < conditions->count; i++)
		if (text_equal(conditions->items[i]->type, type))
			return conditions->items[i];
	return NULL;
}

static Phoenix__Condition__Status add_running(const struct condition_facts *facts,
					      struct conditions *result)
{
	const Phoenix__ContainerObservation *observed = facts->observed;

	if (!observed) {
		add(result, "Running", UNKNOWN, "NotObserved", "phoenix-host has not answered yet",
		    "systemctl status phoenix-host", true);
		return UNKNOWN;
	}
	if (!observed->exists)
		add(result, "Running", FALSE, "Missing", "the container is gone",
		    "phoenixctl apply makes it again", true);
	else if (!observed->running)
		add(result, "Running", FALSE, "Stopped", "", "phoenixctl apply starts it again",
		    true);
	else
		add(result, "Running", TRUE, "InitRuns", "", "", true);
	return observed->running ? TRUE : FALSE;
}

/* Confinement is judged from the host only: a label read inside proves nothing. */
static bool add_confined(const struct condition_facts *facts, struct conditions *result)
{
	const Phoenix__ContainerObservation *observed = facts->observed;
	bool is_required =
		facts->spec->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED;
	char message[320];

	if (!observed || !observed->running) {
		add(result, "Confined", UNKNOWN, "NotRunning", "", "see Running", true);
		return false;
	}
	if (text_empty(facts->profile)) {
		add(result, "Confined", FALSE, is_required ? "NoProfile" : "BestEffort",
		    "no AppArmor profile holds this container: its user namespace is all there is",
		    is_required ? "phoenixctl apply" :
				  "use a host whose kernel enforces AppArmor, and confinement: "
				  "required",
		    true);
		return !is_required;
	}
	if (observed->processes_off_label > 0 || observed->processes == 0) {
		snprintf(message, sizeof(message), "%u of %u processes are not under %s: %s",
			 observed->processes_off_label, observed->processes, facts->profile,
			 observed->first_offender);
		add(result, "Confined", FALSE, "OffLabel", message,
		    "look at the kernel log for AppArmor messages, then phoenixctl apply", true);
		return false;
	}
	snprintf(message, sizeof(message), "%u processes under %s", observed->processes,
		 facts->profile);
	add(result, "Confined", TRUE, "AllProcessesLabelled", message, "", true);
	return true;
}

/* What the kernel holds under the profile's name, when that is not what it should be. */
static const struct {
	const char *state;
	const char *reason;
	const char *message;
	const char *remedy;
} PROFILE_STATES[] = {
	{ "outdated", "Outdated", "this Phoenix has a newer text",
	  "phoenixctl apply replaces it in place" },
	{ "foreign", "Foreign", "another policy was loaded under its name",
	  "phoenixctl apply puts ours back in place" },
	{ "lax", "NotEnforced", "it is not in enforce mode and refuses nothing",
	  "phoenixctl apply enforces it again" },
	{ "absent", "Removed",
	  "it was removed and what ran under it is unconfined; loading it does not bring the label "
	  "back",
	  "phoenixctl apply restarts the container" },
};

static void add_profile(const struct condition_facts *facts, struct conditions *result)
{
	const Phoenix__ContainerObservation *observed = facts->observed;

	if (text_empty(facts->profile) || !observed || !observed->running)
		return;
	for (size_t i = 0; i < ARRAY_LENGTH(PROFILE_STATES); i++) {
		if (!text_equal(observed->profile_state, PROFILE_STATES[i].state))
			continue;
		add(result, "ProfileCurrent", FALSE, PROFILE_STATES[i].reason,
		    PROFILE_STATES[i].message, PROFILE_STATES[i].remedy, true);
		return;
	}
	if (text_equal(observed->profile_state, "current"))
		add(result, "ProfileCurrent", TRUE, "AsLoaded", "", "", true);
	else
		add(result, "ProfileCurrent", UNKNOWN, "NotKept",
		    "it is not known what was loaded", "phoenixctl apply loads it", true);
}

static void add_connected(const struct condition_facts *facts, struct conditions *result)
{
	if (facts->connected)
		add(result, "AgentConnected", TRUE, "Session", "", "", true);
	else
		add(result, "AgentConnected", FALSE, "NoSession",
		    "no agent answers; what it claimed before is not counted",
		    "a new one is pushed by itself; phoenixctl events says why it fails", true);
}

/* An agent that is connected and cannot say how it is must not be believed for what it said before. */
static void add_answers(const struct condition_facts *facts, struct conditions *result)
{
	if (!facts->connected || (!facts->claimed && text_empty(facts->health_problem)))
		return;
	if (text_empty(facts->health_problem))
		add(result, "AgentAnswers", TRUE, "HealthTold", "", "", true);
	else
		add(result, "AgentAnswers", FALSE, "HealthFailed", facts->health_problem,
		    "look at what the message names; the agent is asked again by itself", true);
}

/*
 * What Docker cannot do without. The agent claims it, and a claim that something is broken is
 * believed: a liar harms only itself.
 */
static const char *const VITAL[] = { "DockerInstalled", "DockerResponding", "DataRootUsable",
				     "StorageMountsAlive", "CgroupsMounted", "FuseDevice" };

static const Phoenix__Condition *find_broken(const Phoenix__HealthReply *claimed)
{
	for (size_t i = 0; i < claimed->n_conditions && i < CONDITIONS_CLAIMED_MAXIMUM; i++)
		for (size_t j = 0; j < ARRAY_LENGTH(VITAL); j++)
			if (text_equal(claimed->conditions[i]->type, VITAL[j]) &&
			    claimed->conditions[i]->status == FALSE)
				return claimed->conditions[i];
	return NULL;
}

static void add_unhealthy(const Phoenix__Condition *broken, struct conditions *result)
{
	char message[400];

	snprintf(message, sizeof(message), "%.60s: %.300s", broken->type, broken->message);
	add(result, "Ready", FALSE, "Unhealthy", message, broken->remedy, false);
}

/* Docker is verified, the agent has told how it is: does the verdict still hold? */
static void add_still_ready(const struct condition_facts *facts, struct conditions *result)
{
	const Phoenix__Condition *broken = find_broken(facts->claimed);
	struct drift drift;

	drift_find(facts->verify, facts->claimed, &drift);
	if (broken)
		add_unhealthy(broken, result);
	else if (!facts->claimed->n_inputs)
		add(result, "Ready", UNKNOWN, "InputsUnknown", "dockerd does not say what it uses",
		    "see DockerResponding", false);
	else if (drift.count)
		add(result, "Ready", FALSE, "InputsChanged", drift.message, "phoenixctl verify",
		    false);
	else
		add(result, "Ready", TRUE, "Verified", "", "", false);
}

static void add_ready(const struct condition_facts *facts, bool is_confined,
		      struct conditions *result)
{
	if (text_equal(facts->spec->docker_source, "none"))
		add(result, "Ready", facts->connected && is_confined ? TRUE : FALSE,
		    "NoDockerWanted", "", "", false);
	else if (!facts->verify)
		add(result, "Ready", FALSE, "NeverVerified", "", "phoenixctl verify", false);
	else if (!facts->verify->passed)
		add(result, "Ready", FALSE, "VerifyFailed", "the last verify run did not pass",
		    "phoenixctl show tells what failed and what to do", false);
	else if (!facts->connected || !facts->claimed)
		add(result, "Ready", UNKNOWN, "NoContact", "the agent cannot be asked",
		    "see AgentConnected", false);
	else if (!is_confined)
		add(result, "Ready", FALSE, "NotConfined", "", "see Confined", false);
	else
		add_still_ready(facts, result);
}

/* Drift: what somebody changed behind our back since the last verify. */
static void add_unchanged(const struct condition_facts *facts, struct conditions *result)
{
	struct drift drift;

	if (!facts->verify || !facts->claimed || !facts->claimed->n_inputs)
		return;
	drift_find(facts->verify, facts->claimed, &drift);
	if (drift.count)
		add(result, "DockerUnchanged", FALSE, drift.reason, drift.message,
		    "phoenixctl verify proves that it works like this too; phoenixctl apply puts "
		    "back what the fleet file says",
		    false);
	else
		add(result, "DockerUnchanged", TRUE, "AsVerified", "", "", false);
}

static void add_claimed(const struct condition_facts *facts, struct conditions *result)
{
	size_t count = facts->claimed ? facts->claimed->n_conditions : 0;

	if (count > CONDITIONS_CLAIMED_MAXIMUM)
		count = CONDITIONS_CLAIMED_MAXIMUM;
	for (size_t i = 0; i < count; i++) {
		const Phoenix__Condition *claim = facts->claimed->conditions[i];

		/* A claim cannot take the name of something the host observes. */
		if (!conditions_find(result, claim->type))
			add(result, claim->type, claim->status, claim->reason, claim->message,
			    claim->remedy, false);
	}
}

void conditions_compute(const struct condition_facts *facts, const struct conditions *previous,
			uint64_t wall_ms, struct conditions *ret_conditions)
{
	struct conditions result = { 0 };
	bool is_confined;

	add_running(facts, &result);
	is_confined = add_confined(facts, &result);
	add_profile(facts, &result);
	add_connected(facts, &result);
	add_answers(facts, &result);
	add_ready(facts, is_confined, &result);
	add_unchanged(facts, &result);
	add_claimed(facts, &result);

	for (size_t i = 0; i < result.count; i++) {
		const Phoenix__Condition *old = conditions_find(previous, result.items[i]->type);

		result.items[i]->last_transition_ms =
			old && old->status == result.items[i]->status ? old->last_transition_ms
								      : wall_ms;
	}
	*ret_conditions = result;
}

void conditions_fini(struct conditions *conditions)
{
	for (size_t i = 0; i < conditions->count; i++)
		message_free(conditions->items[i]);
	free(conditions->items);
	*conditions = (struct conditions){ 0 };
}
