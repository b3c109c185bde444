/*
 * Confine: from unconfined to the profile, and back by itself when Docker does not live through it.
 * The container is stopped before its configuration changes, so that what is undone is undone in the
 * order: stop what was started, put the configuration back, start it as it was.
 */
#include "controller/container/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/operation.h"
#include "controller/container/verify.h"
#include "controller/fleet/fleet.h"

#define GRACE_MS 30000
#define STOP_MS 90000
#define HOST_MS 60000
#define PROFILE_PREFIX "lxc-phoenix-" /* of all our profiles; controller/host/confine/render.h */

static int look(void *subject, struct ph_error *error);
static int load_profile(void *subject, struct ph_error *error);
static int stop(void *subject, struct ph_error *error);
static int start_as_before(void *subject, struct ph_error *error);
static int configure(void *subject, struct ph_error *error);
static int revert(void *subject, struct ph_error *error);
static int start(void *subject, struct ph_error *error);
static int stop_started(void *subject, struct ph_error *error);
static int check_confinement(void *subject, struct ph_error *error);
static int start_agent(void *subject, struct ph_error *error);
static int leave_agent(void *subject, struct ph_error *error);
static int await_docker(void *subject, struct ph_error *error);
static int verify(void *subject, struct ph_error *error);
static int check_images(void *subject, struct ph_error *error);
static int stop_under_profile(void *subject, struct ph_error *error);
static int check_as_before(void *subject, struct ph_error *error);
static int stop_confined(void *subject, struct ph_error *error);
static int forget(void *subject, struct ph_error *error);
static int release(void *subject, struct ph_error *error);

static const struct flow_step confine_steps[] = {
	{ "look", look, NULL, 70 * 1000 },
	{ "confinement", load_profile, NULL, 90 * 1000 },
	{ "stop", stop, start_as_before, 100 * 1000 },
	{ "configure", configure, revert, 70 * 1000 },
	{ "start", start, stop_started, 100 * 1000 },
	{ "check confinement", check_confinement, NULL, 30 * 1000 },
	{ "start agent", start_agent, leave_agent, 60 * 1000 },
	{ "await docker", await_docker, NULL, 3 * 60 * 1000 },
	{ "verify", verify, NULL, 10 * 60 * 1000 },
	{ "check images", check_images, NULL, 70 * 1000 },
};

static const struct flow_step unconfine_steps[] = {
	{ "stop", stop_under_profile, NULL, 100 * 1000 },
	{ "configure", revert, NULL, 70 * 1000 },
	{ "start", start_as_before, NULL, 100 * 1000 },
	{ "check", check_as_before, NULL, 30 * 1000 },
};

static const struct flow_step unadopt_steps[] = {
	{ "stop", stop_confined, NULL, 100 * 1000 },
	{ "configure", revert, NULL, 70 * 1000 },
	{ "start", start_as_before, NULL, 100 * 1000 },
	{ "forget", forget, NULL, 70 * 1000 },
	{ "release", release, NULL, 0 },
};

static int confine_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved);
static int unconfine_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved);
static int unadopt_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved);

const struct operation_type operation_confine = {
	.name = "confine",
	.steps = confine_steps,
	.count = ARRAY_LENGTH(confine_steps),
	.ended = confine_ended,
};

const struct operation_type operation_unconfine = {
	.name = "unconfine",
	.steps = unconfine_steps,
	.count = ARRAY_LENGTH(unconfine_steps),
	.ended = unconfine_ended,
};

const struct operation_type operation_unadopt = {
	.name = "unadopt",
	.steps = unadopt_steps,
	.count = ARRAY_LENGTH(unadopt_steps),
	.ended = unadopt_ended,
};

bool adopt_is(const struct container *container)
{
	return container->record->adoption != NULL;
}

bool adopt_may_have_agent(const struct container *container)
{
	return !adopt_is(container) || !text_empty(container->record->profile);
}

const char *adopt_missing_image(char *const *before, size_t before_count, char *const *after,
				size_t after_count)
{
	size_t j = 0;

	for (size_t i = 0; i < before_count; i++) {
		while (j < after_count && strcmp(after[j], before[i]) < 0)
			j++;
		if (j == after_count || strcmp(after[j], before[i]) != 0)
			return before[i];
	}
	return NULL;
}

static char *name_of(const struct operation *operation)
{
	return (char *)container_name(operation->container);
}

static int done(struct operation *operation, const ProtobufCMessage *reply, struct ph_error *error)
{
	return FLOW_NEXT;
}

static int observed(struct operation *operation, const ProtobufCMessage *message,
		    struct ph_error *error)
{
	const Phoenix__ContainerObservation *seen = (const Phoenix__ContainerObservation *)message;

	container_set_observed(operation->container, seen);
	return seen->changed ? FLOW_NEXT : FLOW_UNCHANGED;
}

/* ---- look: what must still be there afterwards ---- */

static const char *driver_of(const Phoenix__ForeignContainer *found)
{
	return found->n_storage_drivers ? found->storage_drivers[0] : "";
}

static void remember(Phoenix__ContainerRecord *record, const Phoenix__ForeignContainer *found)
{
	Phoenix__Adoption adoption = PHOENIX__ADOPTION__INIT;

	adoption.lxc_path = found->lxc_path;
	adoption.profile_before = record->adoption ? record->adoption->profile_before :
						     found->profile;
	adoption.n_images = found->n_images;
	adoption.images = found->images;
	adoption.storage_driver = (char *)driver_of(found);
	MESSAGE_REPLACE(record->adoption, &adoption);
	message_set_text(&record->storage_driver, driver_of(found));
	message_set_text(&record->spec->docker_source,
			 text_empty(found->docker) && !found->n_images ? "none" : "distribution");
	if (!text_empty(driver_of(found)))
		message_set_text(&record->spec->storage_driver, driver_of(found));
}

static const Phoenix__ForeignContainer *first_of(const ProtobufCMessage *message)
{
	const Phoenix__ForeignListReply *reply = (const Phoenix__ForeignListReply *)message;

	return reply->n_containers ? reply->containers[0] : NULL;
}

static int gone(const struct operation *operation, struct ph_error *error)
{
	return error_set(error, -ENOENT, operation->container->record->adoption->lxc_path,
			 "phoenixctl unadopt it", "its owner has removed the container");
}

static int looked(struct operation *operation, const ProtobufCMessage *message,
		  struct ph_error *error)
{
	const Phoenix__ForeignContainer *found = first_of(message);
	int r;

	if (!found)
		return gone(operation, error);
	if (!text_empty(found->obstacle))
		return error_set(error, -EPERM, found->name, found->remedy, "%s", found->obstacle);
	remember(operation->container->record, found);
	r = container_save(operation->container, error);
	return r < 0 ? r : FLOW_UNCHANGED;
}

static int ask_host(struct operation *operation, operation_replied_fn replied)
{
	Phoenix__ForeignListRequest request = PHOENIX__FOREIGN_LIST_REQUEST__INIT;

	request.lxc_path = operation->container->record->adoption->lxc_path;
	request.name = name_of(operation);
	return operation_host(operation, "ForeignList", &request.base, HOST_MS, replied);
}

static int look(void *subject, struct ph_error *error)
{
	return ask_host(subject, looked);
}

/* ---- the profile ---- */

static int profile_loaded(struct operation *operation, const ProtobufCMessage *message,
			  struct ph_error *error)
{
	const Phoenix__ConfineReply *reply = (const Phoenix__ConfineReply *)message;

	if (text_empty(reply->profile))
		return error_set(error, -EOPNOTSUPP, NULL, "use a host that enforces AppArmor",
				 "this host cannot confine: %s", reply->reason);
	message_set_text(&operation->container->record->profile, reply->profile);
	return container_save(operation->container, error) < 0 ? error->code : FLOW_UNCHANGED;
}

static int load_profile(void *subject, struct ph_error *error)
{
	Phoenix__ConfineEnsureRequest request = PHOENIX__CONFINE_ENSURE_REQUEST__INIT;

	request.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED;
	return operation_host(subject, "ConfineEnsure", &request.base, 90000, profile_loaded);
}

/* ---- stop, configure, start, and back ---- */

static int stop(void *subject, struct ph_error *error)
{
	Phoenix__ContainerStopRequest request = PHOENIX__CONTAINER_STOP_REQUEST__INIT;
	struct operation *operation = subject;

	container_leave_agent(operation->container);
	request.name = name_of(operation);
	request.grace_ms = GRACE_MS;
	return operation_host(operation, "ContainerStop", &request.base, STOP_MS, observed);
}

static int start_as_before(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = name_of(subject);
	return operation_host(subject, "ContainerStart", &request.base, STOP_MS, observed);
}

static int configured(struct operation *operation, const ProtobufCMessage *message,
		      struct ph_error *error)
{
	const Phoenix__AdoptReply *reply = (const Phoenix__AdoptReply *)message;

	if (!reply->changed)
		return FLOW_UNCHANGED;
	journal_write(operation->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
		      name_of(operation), operation->record->id, "adopt.configured", "Changed",
		      "its configuration in %s was changed; the old one is in %s",
		      operation->container->record->adoption->lxc_path, reply->backup);
	return FLOW_NEXT;
}

static int configure(void *subject, struct ph_error *error)
{
	Phoenix__AdoptConfineRequest request = PHOENIX__ADOPT_CONFINE_REQUEST__INIT;
	struct operation *operation = subject;

	request.name = name_of(operation);
	request.profile = operation->container->record->profile;
	return operation_host(operation, "AdoptConfine", &request.base, HOST_MS, configured);
}

static int reverted(struct operation *operation, const ProtobufCMessage *message,
		    struct ph_error *error)
{
	const Phoenix__AdoptReply *reply = (const Phoenix__AdoptReply *)message;

	message_set_text(&operation->container->record->profile, "");
	if (container_save(operation->container, error) < 0)
		return error->code;
	return reply->changed ? FLOW_NEXT : FLOW_UNCHANGED;
}

static int revert(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = name_of(subject);
	return operation_host(subject, "AdoptRevert", &request.base, HOST_MS, reverted);
}

static int start(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;
	int r = container_renew_incarnation(operation->container, error);

	return r < 0 ? r : start_as_before(operation, error);
}

static int stop_started(void *subject, struct ph_error *error)
{
	Phoenix__ContainerStopRequest request = PHOENIX__CONTAINER_STOP_REQUEST__INIT;

	request.name = name_of(subject);
	request.grace_ms = GRACE_MS;
	return operation_host(subject, "ContainerStop", &request.base, STOP_MS, observed);
}

/* ---- is it well? ---- */

static int labels_read(struct operation *operation, const ProtobufCMessage *message,
		       struct ph_error *error)
{
	const Phoenix__ContainerObservation *seen = (const Phoenix__ContainerObservation *)message;

	container_set_observed(operation->container, seen);
	if (seen->running && seen->processes && !seen->processes_off_label)
		return FLOW_UNCHANGED;
	return error_set(error, -EPERM, name_of(operation),
			 "look at the kernel log for AppArmor messages",
			 "%u of %u processes are not under %s: %s", seen->processes_off_label,
			 seen->processes, operation->container->record->profile,
			 seen->running ? seen->first_offender : "it does not run");
}

static int check_confinement(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = name_of(subject);
	return operation_host(subject, "ContainerObserve", &request.base, 15000, labels_read);
}

static int start_agent(void *subject, struct ph_error *error)
{
	Phoenix__DescribeRequest request = PHOENIX__DESCRIBE_REQUEST__INIT;
	struct operation *operation = subject;
	int r = agent_link_listen(operation->container->link, error);

	return r < 0 ? r : operation_agent(operation, "Describe", &request.base, NULL, done);
}

static int leave_agent(void *subject, struct ph_error *error)
{
	container_leave_agent(((struct operation *)subject)->container);
	return FLOW_NEXT;
}

static bool has_docker(const struct operation *operation)
{
	return !text_equal(operation->container->record->spec->docker_source, "none");
}

static int health_claimed(struct operation *operation, const ProtobufCMessage *reply,
			  struct ph_error *error)
{
	const Phoenix__Condition *docker;

	container_set_claimed(operation->container, (const Phoenix__HealthReply *)reply);
	docker = conditions_find(&operation->container->conditions, "DockerResponding");
	if (docker && docker->status == PHOENIX__CONDITION__STATUS__TRUE)
		return FLOW_UNCHANGED;
	operation_again_later(operation, await_docker);
	return FLOW_WAIT;
}

/* Its own init starts it; the step's deadline is the limit. */
static int await_docker(void *subject, struct ph_error *error)
{
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;
	struct operation *operation = subject;

	if (!has_docker(operation))
		return FLOW_UNCHANGED;
	request.storage_driver = (char *)container_driver(operation->container);
	return operation_agent(operation, "Health", &request.base, NULL, health_claimed);
}

static int verify(void *subject, struct ph_error *error)
{
	return has_docker(subject) ? verify_run(subject, error) : FLOW_UNCHANGED;
}

static int images_listed(struct operation *operation, const ProtobufCMessage *message,
			 struct ph_error *error)
{
	const Phoenix__Adoption *before = operation->container->record->adoption;
	const Phoenix__ForeignContainer *found = first_of(message);
	const char *missing;

	if (!found)
		return gone(operation, error);
	missing = adopt_missing_image(before->images, before->n_images, found->images,
				      found->n_images);
	if (missing)
		return error_set(error, -EBADE, name_of(operation), NULL,
				 "image %s of %zu is gone", missing, before->n_images);
	return FLOW_UNCHANGED;
}

static int check_images(void *subject, struct ph_error *error)
{
	return ask_host(subject, images_listed);
}

static int end_in(struct container *container, const char *phase, const struct ph_error *error,
		  struct ph_error *unsaved)
{
	int r = container_set_phase(container, phase, error, unsaved);

	container_update_conditions(container);
	return r;
}

/*
 * Undone, it runs as its owner had it, and what failed stands in its status. One that was under the
 * profile before, and whose configuration has not changed, is still ours.
 */
static int confine_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved)
{
	struct container *container = operation->container;
	bool is_ours = !container_is(container, CONTAINER_PHASE_ADOPTED) &&
		       !text_empty(container->record->profile);

	if (error && !is_ours)
		message_set_text(&container->record->profile, "");
	return end_in(container,
		      !error  ? CONTAINER_PHASE_RUNNING :
		      is_ours ? CONTAINER_PHASE_FAILED :
				CONTAINER_PHASE_ADOPTED,
		      error, unsaved);
}

/* ---- unconfine: back to its owner's configuration, and still adopted ---- */

static bool is_under_profile(const Phoenix__ContainerObservation *seen)
{
	return seen->running && text_has_prefix(seen->label, PROFILE_PREFIX);
}

static int seen_to_stop(struct operation *operation, const ProtobufCMessage *message,
			struct ph_error *error)
{
	if (!is_under_profile((const Phoenix__ContainerObservation *)message))
		return FLOW_UNCHANGED;
	return stop(operation, error);
}

/* Looks at the kernel's word and not at the record's: what was half undone has to come back too. */
static int stop_under_profile(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	container_leave_agent(((struct operation *)subject)->container);
	request.name = name_of(subject);
	return operation_host(subject, "ContainerObserve", &request.base, 15000, seen_to_stop);
}

static int seen_as_before(struct operation *operation, const ProtobufCMessage *message,
			  struct ph_error *error)
{
	const Phoenix__ContainerObservation *seen = (const Phoenix__ContainerObservation *)message;

	container_set_observed(operation->container, seen);
	if (seen->running && !is_under_profile(seen))
		return FLOW_UNCHANGED;
	return error_set(error, -EBADE, name_of(operation), "start it as its owner does",
			 seen->running ? "it still runs under %s" : "it does not run", seen->label);
}

static int check_as_before(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = name_of(subject);
	return operation_host(subject, "ContainerObserve", &request.base, 15000, seen_as_before);
}

static int unconfine_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved)
{
	struct container *container = operation->container;

	return end_in(container,
		      text_empty(container->record->profile) ? CONTAINER_PHASE_ADOPTED :
							       CONTAINER_PHASE_FAILED,
		      error, unsaved);
}

/* ---- unadopt ---- */

static int stop_confined(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;

	if (text_empty(operation->container->record->profile))
		return FLOW_UNCHANGED;
	return stop(operation, error);
}

static int forget(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = name_of(subject);
	return operation_host(subject, "AdoptForget", &request.base, HOST_MS, done);
}

static int release(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;

	return container_delete(operation->container, error) < 0 ? error->code : FLOW_NEXT;
}

static int unadopt_ended(struct operation *operation, const struct ph_error *error,
			 struct ph_error *unsaved)
{
	struct container *container = operation->container;

	if (error)
		return container_set_phase(container, CONTAINER_PHASE_ADOPTED, error, unsaved);
	registry_take(operation->registry, container);
	operation->container = NULL;
	container_free(container);
	return 0;
}

/* ---- adopt ---- */

int adopt_record(struct registry *registry, const Phoenix__ForeignContainer *found,
		 struct container **ret_container, struct ph_error *error)
{
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	struct container *container;
	Phoenix__ContainerRecord *copy;
	int r;

	spec.name = found->name;
	record.spec = &spec;
	record.ids = found->ids;
	record.slot = UINT32_MAX; /* it has its own network */
	record.phase = (char *)CONTAINER_PHASE_ADOPTED;
	record.created_ms = clock_wall_ms();
	copy = MESSAGE_COPY(&record);
	remember(copy, found);
	container = container_new(registry, copy);
	r = container_save(container, error);
	if (r < 0) {
		container_free(container);
		return r;
	}
	registry_add(registry, container);
	*ret_container = container;
	return 0;
}
