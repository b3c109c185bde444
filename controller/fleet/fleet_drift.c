/*
 * Conditions are computed from what is observed and claimed already; each that is False says that the
 * container has left what was asked for. Unknown is no drift: nobody knows. An operation in progress
 * changes things on purpose.
 */
#include "controller/fleet/fleet_drift.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

struct kind {
	const char *condition;
	const char *id;
	const char *wanted;
	const char *repair; /* "": apply cannot */
};

/* The first that holds explains those below it: what does not run has no Docker either. */
static const struct kind kinds[] = {
	{ "Running", "drift.stopped", "the container runs", "apply makes it again or starts it" },
	{ "Confined", "drift.unconfined", "every process under its profile",
	  "apply loads the profile and starts the container again under it" },
	{ "ProfileCurrent", "drift.profile", "the profile as Phoenix has loaded it",
	  "apply replaces it in place" },
	{ "AgentConnected", "drift.agent", "an agent runs in it", "apply pushes it" },
	{ "DockerResponding", "drift.docker", "Docker answers", "apply starts it" },
	{ "Ready", "drift.verify", "ready", "apply verifies again, and repairs what it can" },
};

static const Phoenix__Condition *find(const Phoenix__ContainerStatus *status, const char *type)
{
	for (size_t i = 0; i < status->n_conditions; i++)
		if (text_equal(status->conditions[i]->type, type))
			return status->conditions[i];
	return NULL;
}

static bool is_false(const Phoenix__ContainerStatus *status, const char *type)
{
	const Phoenix__Condition *condition = find(status, type);

	return condition && condition->status == PHOENIX__CONDITION__STATUS__FALSE;
}

static void add(Phoenix__DriftReply *reply, const Phoenix__ContainerStatus *status, const char *id,
		const char *wanted, const char *found, const char *repair, bool observed)
{
	Phoenix__DriftFinding *finding = ph_alloc(sizeof(*finding));

	phoenix__drift_finding__init(finding);
	message_set_text(&finding->container, status->spec->name);
	message_set_text(&finding->id, id);
	message_set_text(&finding->wanted, wanted);
	message_set_text(&finding->found, found);
	message_set_text(&finding->repair, repair);
	finding->observed = observed;
	reply->findings = ph_realloc(reply->findings,
				     (reply->n_findings + 1) * sizeof(*reply->findings));
	reply->findings[reply->n_findings++] = finding;
}

/* "auto" is answered by what was chosen; without Docker there is no driver. */
static void find_driver(const Phoenix__ContainerStatus *status, Phoenix__DriftReply *reply)
{
	const char *wanted = status->spec->storage_driver, *found = status->storage_driver;

	if (text_equal(status->spec->docker_source, "none") || text_equal(wanted, "auto") ||
	    text_empty(found) || text_equal(wanted, found))
		return;
	add(reply, status, "drift.storage-driver", wanted, found,
	    "apply changes it where no image is lost", false);
}

static bool is_steady(const Phoenix__ContainerStatus *status)
{
	return !status->step[0] && (text_equal(status->phase, "running") ||
				    text_equal(status->phase, "failed"));
}

static bool find_failure(const Phoenix__ContainerStatus *status, Phoenix__DriftReply *reply)
{
	PH_AUTO_FREE char *found = NULL;

	if (!text_equal(status->phase, "failed") || !status->failure)
		return false;
	found = ph_format("%s: %s", status->failure->what, status->failure->why);
	add(reply, status, "drift.failed", "the last operation succeeded", found,
	    "apply goes on where it failed", true);
	return true;
}

size_t fleet_drift_find(const Phoenix__ContainerStatus *status, Phoenix__DriftReply *reply)
{
	size_t before = reply->n_findings;
	bool is_explained;

	if (!status->spec || !is_steady(status))
		return 0;
	is_explained = find_failure(status, reply);
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		const Phoenix__Condition *condition = find(status, kinds[i].condition);

		if (!is_false(status, kinds[i].condition) ||
		    (text_equal(kinds[i].condition, "Ready") && is_explained))
			continue;
		if (text_equal(condition->reason, "BestEffort"))
			continue; /* the fleet file allows it */
		is_explained = true;
		add(reply, status, kinds[i].id, kinds[i].wanted,
		    condition->message[0] ? condition->message : condition->reason, kinds[i].repair,
		    condition->observed);
		if (i == 0)
			return reply->n_findings - before;
	}
	find_driver(status, reply);
	return reply->n_findings - before;
}

bool fleet_drift_is_repairable(const Phoenix__ContainerStatus *status)
{
	return status->spec && !text_empty(status->spec->image) && is_steady(status);
}
