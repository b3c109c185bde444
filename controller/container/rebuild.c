/*
 * Rebuild: the same container on another root file system. The new one is made beside the old one
 * while the container runs; stopped, the two change places, which is one write of phoenix-host; and
 * what fails from there on goes back in the order: stop what was started, the old root file system
 * and configuration, start. The new one stays beside it then, to be looked at, until it is discarded.
 *
 * Going back later is a rebuild too, to what the container's record says was kept (only_back). It is
 * not undone: there is nothing better to go back to.
 */
#include "controller/container/rebuild.h"

#include <errno.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/operation.h"
#include "controller/container/steps.h"
#include "controller/fleet/fleet.h"

#define LOOK_MS (15 * 1000)
#define MAKE_MS (15 * 60 * 1000) /* an image of gigabytes, by copying */

static int look(void *subject, struct ph_error *error);
static int prepare(void *subject, struct ph_error *error);
static int stop(void *subject, struct ph_error *error);
static int start_again(void *subject, struct ph_error *error);
static int change_root(void *subject, struct ph_error *error);
static int change_back(void *subject, struct ph_error *error);
static int discard(void *subject, struct ph_error *error);

static const struct flow_step rebuild_steps[] = {
	{ "look", look, NULL, 2 * LOOK_MS },
	{ "confinement", step_confine, NULL, 90 * 1000 },
	{ "prepare root", prepare, NULL, MAKE_MS },
	{ "stop", stop, start_again, 100 * 1000 },
	{ "change root", change_root, change_back, MAKE_MS },
	{ "start", step_start, step_stop, 100 * 1000 },
	{ "check confinement", step_check_confinement, NULL, 30 * 1000 },
	{ "start agent", step_start_agent, step_leave_agent, 60 * 1000 },
	{ "install docker", step_install_docker, NULL, 45 * 60 * 1000 },
	{ "verify", step_verify, NULL, 10 * 60 * 1000 },
};

static const struct flow_step discard_steps[] = {
	{ "discard", discard, NULL, 10 * 60 * 1000 },
};

static int rebuild_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved);
static int discard_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved);

const struct operation_type operation_rebuild = {
	.name = "rebuild",
	.steps = rebuild_steps,
	.count = ARRAY_LENGTH(rebuild_steps),
	.ended = rebuild_ended,
};

const struct operation_type operation_discard = {
	.name = "discard",
	.steps = discard_steps,
	.count = ARRAY_LENGTH(discard_steps),
	.ended = discard_ended,
};

static int ask(struct operation *operation, const char *verb, uint32_t timeout_ms,
	       operation_replied_fn replied)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = (char *)container_name(operation->container);
	return operation_host(operation, verb, &request.base, timeout_ms, replied);
}

/* ---- what there is, and what is wanted ---- */

bool rebuild_is_root(const char *image, const char *method, const char *wanted_image,
		     Phoenix__CloneMethod wanted)
{
	return text_equal(image, wanted_image) &&
	       (wanted == PHOENIX__CLONE_METHOD__CLONE_AUTO ||
		text_equal(method, fleet_clone_name(wanted)));
}

static Phoenix__CloneMethod wanted_clone(const Phoenix__OperationRecord *record)
{
	return record->clone != PHOENIX__CLONE_METHOD__CLONE_AUTO ? record->clone :
								    record->spec->clone;
}

/* Whether it is on the wanted root file system. */
static bool is_there(const struct operation *operation,
		     const Phoenix__ContainerObservation *seen)
{
	return rebuild_is_root(seen->image, seen->clone_method, operation->record->spec->image,
			       wanted_clone(operation->record));
}

static bool is_kept(const struct operation *operation, const Phoenix__ContainerObservation *seen)
{
	return rebuild_is_root(seen->kept_image, seen->kept_clone_method,
			       operation->record->spec->image, wanted_clone(operation->record));
}

/* Whether it was on the wanted one before, as look() has found it. */
static bool was_there(const Phoenix__OperationRecord *record)
{
	return rebuild_is_root(record->former->image, fleet_clone_name(record->former_clone),
			       record->spec->image, wanted_clone(record));
}

int rebuild_check_observed(const Phoenix__ContainerObservation *seen, const char *name,
			   struct ph_error *error)
{
	if (seen->exists && text_empty(seen->image))
		return error_set(error, -EOPNOTSUPP, name,
				 "restart it: systemctl restart phoenix-host",
				 "the phoenix-host that runs is older than phoenixd and cannot give a "
				 "container another root file system");
	return 0;
}

static int looked(struct operation *operation, const ProtobufCMessage *message,
		  struct ph_error *error)
{
	const Phoenix__ContainerObservation *seen = (const Phoenix__ContainerObservation *)message;
	int r = rebuild_check_observed(seen, container_name(operation->container), error);

	container_set_observed(operation->container, seen);
	if (r < 0)
		return r;
	if (operation->record->only_back && !is_there(operation, seen) && !is_kept(operation, seen))
		return error_set(error, -ESTALE, container_name(operation->container),
				 "start a rollout of the fleet file that you want: it makes a new one",
				 "its old root file system, of image '%s', is not kept any more",
				 operation->record->spec->image);
	operation->record->former_clone = fleet_clone_method(seen->clone_method);
	return FLOW_UNCHANGED;
}

static int look(void *subject, struct ph_error *error)
{
	return ask(subject, "ContainerObserve", LOOK_MS, looked);
}

/* ---- the other root file system ---- */

static int ask_for_root(struct operation *operation, const Phoenix__ContainerSpec *wish,
			Phoenix__CloneMethod clone, bool prepare_only, operation_replied_fn replied)
{
	Phoenix__ContainerRebuildRequest request = PHOENIX__CONTAINER_REBUILD_REQUEST__INIT;
	const Phoenix__ContainerRecord *record = operation->container->record;
	Phoenix__ContainerSpec spec = *wish;

	spec.clone = clone;
	request.spec = &spec;
	request.ids = record->ids;
	request.address = record->address;
	request.prepare = prepare_only;
	return operation_host(operation, "ContainerRebuild", &request.base, MAKE_MS, replied);
}

static int prepare(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;

	if (operation->record->only_back)
		return FLOW_UNCHANGED;
	return ask_for_root(operation, operation->record->spec, wanted_clone(operation->record), true,
			    step_observed);
}

static int seen_to_stop(struct operation *operation, const ProtobufCMessage *message,
			struct ph_error *error)
{
	const Phoenix__OperationRecord *record = operation->record;
	const Phoenix__ContainerObservation *seen = (const Phoenix__ContainerObservation *)message;

	/* What has failed and was undone is back already. */
	if (record->only_back && is_there(operation, seen) && text_empty(record->replaces))
		return FLOW_UNCHANGED;
	return step_stop(operation, error);
}

static int stop(void *subject, struct ph_error *error)
{
	return ask(subject, "ContainerObserve", LOOK_MS, seen_to_stop);
}

static int started_again(struct operation *operation, const ProtobufCMessage *message,
			 struct ph_error *error)
{
	step_observed(operation, message, error);
	container_keep_agent(operation->container, 0);
	return FLOW_NEXT;
}

static int start_again(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;
	int r = container_renew_incarnation(operation->container, error);

	if (r == 0)
		r = agent_link_listen(operation->container->link, error);
	return r < 0 ? r : ask(operation, "ContainerStart", 90 * 1000, started_again);
}

static int configured(struct operation *operation, const ProtobufCMessage *message,
		      struct ph_error *error)
{
	step_observed(operation, message, error);
	return FLOW_NEXT;
}

/*
 * For going back the record says whose the kept one is; one that was left behind is nobody's. What a
 * verify has proved was proved on the other one.
 */
static void note_other_root(Phoenix__ContainerRecord *record,
			    const Phoenix__OperationRecord *operation)
{
	Phoenix__KeptRoot kept = PHOENIX__KEPT_ROOT__INIT;

	if (was_there(operation))
		return;
	MESSAGE_REPLACE(record->verify, NULL);
	kept.operation = operation->id;
	kept.clone = operation->former_clone;
	MESSAGE_REPLACE(record->kept, operation->only_back ? NULL : &kept);
}

static int root_changed(struct operation *operation, const ProtobufCMessage *message,
			struct ph_error *error)
{
	Phoenix__ContainerRecord *record = operation->container->record;
	const Phoenix__ContainerObservation *seen = (const Phoenix__ContainerObservation *)message;

	container_set_observed(operation->container, seen);
	if (seen->changed)
		journal_write(operation->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
			      container_name(operation->container), operation->record->id,
			      "container.rebuilt", "OtherRoot",
			      "its root file system is of image %s (%s); that of %s (%s) is kept",
			      seen->image, seen->clone_method, seen->kept_image,
			      seen->kept_clone_method);
	MESSAGE_REPLACE(record->spec, operation->record->spec);
	note_other_root(record, operation->record);
	if (container_save(operation->container, error) < 0)
		return error->code;
	return step_configure_then(operation, configured);
}

static int change_root(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;

	return ask_for_root(operation, operation->record->spec, wanted_clone(operation->record), false,
			    root_changed);
}

static int root_changed_back(struct operation *operation, const ProtobufCMessage *message,
			     struct ph_error *error)
{
	Phoenix__ContainerRecord *record = operation->container->record;

	container_set_observed(operation->container, (const Phoenix__ContainerObservation *)message);
	MESSAGE_REPLACE(record->spec, operation->record->former);
	message_set_text(&record->profile, operation->record->former_profile);
	if (record->kept && text_equal(record->kept->operation, operation->record->id))
		MESSAGE_REPLACE(record->kept, NULL);
	MESSAGE_REPLACE(record->verify, NULL);
	if (container_save(operation->container, error) < 0)
		return error->code;
	return step_configure_then(operation, configured);
}

static int change_back(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;
	const Phoenix__OperationRecord *record = operation->record;

	return ask_for_root(operation, record->former, record->former_clone, false,
			    root_changed_back);
}

static int rebuild_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved)
{
	struct container *container = operation->container;
	int r;

	if (error && error->code == -EBADE && operation->is_policy_replaced)
		step_roll_back_policy(operation);
	r = container_set_phase(container, error ? CONTAINER_PHASE_FAILED : CONTAINER_PHASE_RUNNING,
				error, unsaved);
	container_update_conditions(container);
	return r;
}

/* ---- discard: the kept root file system goes ---- */

static int discarded(struct operation *operation, const ProtobufCMessage *message,
		     struct ph_error *error)
{
	MESSAGE_REPLACE(operation->container->record->kept, NULL);
	if (container_save(operation->container, error) < 0)
		return error->code;
	return step_observed(operation, message, error);
}

static int discard(void *subject, struct ph_error *error)
{
	return ask(subject, "ContainerDiscard", 10 * 60 * 1000, discarded);
}

/* How the container is doesn't depend on it; that it has failed stands with the operation. */
static int discard_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved)
{
	return container_save(operation->container, unsaved);
}
