#include "controller/container/conditions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define TRUE PHOENIX__CONDITION__STATUS__TRUE
#define FALSE PHOENIX__CONDITION__STATUS__FALSE
#define UNKNOWN PHOENIX__CONDITION__STATUS__UNKNOWN

static Phoenix__Condition *add(struct conditions *conditions, const char *type,
			       Phoenix__Condition__Status status, const char *reason,
			       const char *message, bool observed)
{
	Phoenix__Condition *condition = ph_alloc(sizeof(*condition));

	phoenix__condition__init(condition);
	message_set_text(&condition->type, type);
	message_set_text(&condition->reason, reason);
	message_set_text(&condition->message, message);
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
		    true);
		return UNKNOWN;
	}
	if (!observed->exists)
		add(result, "Running", FALSE, "Missing",
		    "the container is gone; apply makes it again", true);
	else if (!observed->running)
		add(result, "Running", FALSE, "Stopped", "apply starts it again", true);
	else
		add(result, "Running", TRUE, "InitRuns", "", true);
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
		add(result, "Confined", UNKNOWN, "NotRunning", "", true);
		return false;
	}
	if (text_empty(facts->profile)) {
		add(result, "Confined", FALSE, is_required ? "NoProfile" : "BestEffort",
		    "no AppArmor profile holds this container: its user namespace is all there is",
		    true);
		return !is_required;
	}
	if (observed->processes_off_label > 0 || observed->processes == 0) {
		snprintf(message, sizeof(message), "%u of %u processes are not under %s: %s",
			 observed->processes_off_label, observed->processes, facts->profile,
			 observed->first_offender);
		add(result, "Confined", FALSE, "OffLabel", message, true);
		return false;
	}
	snprintf(message, sizeof(message), "%u processes under %s", observed->processes,
		 facts->profile);
	add(result, "Confined", TRUE, "AllProcessesLabelled", message, true);
	return true;
}

/* What the kernel holds under the profile's name, when that is not what it should be. */
static const struct {
	const char *state;
	const char *reason;
	const char *message;
} PROFILE_STATES[] = {
	{ "outdated", "Outdated",
	  "this Phoenix has a newer text; phoenixctl apply replaces it in place" },
	{ "foreign", "Foreign",
	  "another policy was loaded under its name; phoenixctl apply puts ours back in place" },
	{ "lax", "NotEnforced",
	  "it is not in enforce mode and refuses nothing; phoenixctl apply enforces it again" },
	{ "absent", "Removed",
	  "it was removed and what ran under it is unconfined; loading it does not bring the label "
	  "back: phoenixctl apply restarts the container" },
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
		    PROFILE_STATES[i].message, true);
		return;
	}
	if (text_equal(observed->profile_state, "current"))
		add(result, "ProfileCurrent", TRUE, "AsLoaded", "", true);
	else
		add(result, "ProfileCurrent", UNKNOWN, "NotKept",
		    "it is not known what was loaded; phoenixctl apply loads it", true);
}

static void add_connected(const struct condition_facts *facts, struct conditions *result)
{
	if (facts->connected)
		add(result, "AgentConnected", TRUE, "Session", "", true);
	else
		add(result, "AgentConnected", FALSE, "NoSession",
		    "no agent answers; what it claimed before is not counted", true);
}

static void add_ready(const struct condition_facts *facts, bool is_confined,
		      struct conditions *result)
{
	if (text_equal(facts->spec->docker_source, "none"))
		add(result, "Ready", facts->connected && is_confined ? TRUE : FALSE,
		    "NoDockerWanted", "", false);
	else if (!facts->verify)
		add(result, "Ready", FALSE, "NeverVerified", "run: phoenixctl verify", false);
	else if (!facts->verify->passed)
		add(result, "Ready", FALSE, "VerifyFailed", "the last verify run did not pass",
		    false);
	else if (!facts->connected || !facts->claimed)
		add(result, "Ready", UNKNOWN, "NoContact", "the agent cannot be asked", false);
	else if (!is_confined)
		add(result, "Ready", FALSE, "NotConfined", "", false);
	else if (!facts->claimed->n_inputs)
		add(result, "Ready", UNKNOWN, "InputsUnknown",
		    "dockerd does not say what it uses", false);
	else if (!conditions_inputs_equal(facts->verify, facts->claimed))
		add(result, "Ready", FALSE, "InputsChanged",
		    "something that the last verify depended on has changed; verify again", false);
	else
		add(result, "Ready", TRUE, "Verified", "", false);
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
			    false);
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
	add_ready(facts, is_confined, &result);
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

static bool has_pair(Phoenix__Pair **pairs, size_t count, const Phoenix__Pair *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(pairs[i]->key, wanted->key) &&
		    text_equal(pairs[i]->value, wanted->value))
			return true;
	return false;
}

bool conditions_inputs_equal(const Phoenix__VerifyReport *verify,
			     const Phoenix__HealthReply *claimed)
{
	if (verify->n_facts != claimed->n_inputs)
		return false;
	for (size_t i = 0; i < verify->n_facts; i++)
		if (!has_pair(claimed->inputs, claimed->n_inputs, verify->facts[i]))
			return false;
	return true;
}
