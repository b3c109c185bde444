/*
 * plan and drift: what apply would do, and what has left what was asked for. Both look afresh and
 * change nothing; a client that has left meanwhile gets no answer.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "controller/api/api_private.h"
#include "controller/fleet/fleet_drift.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/plan.h"

#define HOST_MS 10000

struct question {
	struct registry *registry;
	struct rpc_request *request;
	ProtobufCClosure reply;
	Phoenix__Fleet *fleet; /* owned; plan only */
	bool prune;
	struct selector selector; /* drift only */
};

static struct question *question_new(struct registry *registry, ProtobufCClosure reply,
				     void *request)
{
	struct question *question = ph_alloc(sizeof(*question));

	question->registry = registry;
	question->reply = reply;
	question->request = request;
	return question;
}

static void question_free(struct question *question)
{
	message_free(question->fleet);
	free(question);
}

/* ---- plan ---- */

static void answer_plan(struct question *question, const Phoenix__ImageListReply *images)
{
	const struct registry *registry = question->registry;
	struct plan_world world = { .probe = registry->probe, .images = images };
	PH_AUTO_FREE Phoenix__ContainerStatus **statuses = NULL;
	Phoenix__PlanReply *plan;

	for (struct container *container = registry->containers; container;
	     container = container->next) {
		statuses = ph_realloc(statuses, (world.container_count + 1) * sizeof(*statuses));
		statuses[world.container_count++] = container_status(container);
	}
	world.containers = statuses;
	plan = plan_make(&world, question->fleet, question->prune);
	question->reply(&plan->base, question->request);
	message_free(plan);
	for (size_t i = 0; i < world.container_count; i++)
		message_free(statuses[i]);
}

static void images_listed(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct question *question = user;

	if (error)
		rpc_fail(question->request, error);
	else
		answer_plan(question, (const Phoenix__ImageListReply *)reply);
	question_free(question);
}

static void plan_refreshed(void *user)
{
	Phoenix__ImageListRequest images = PHOENIX__IMAGE_LIST_REQUEST__INIT;
	struct question *question = user;

	host_link_call(question->registry->host, "ImageList", &images.base, HOST_MS, images_listed,
		       question, NULL);
}

static void probed(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct question *question = user;

	if (error) {
		rpc_fail(question->request, error);
		question_free(question);
		return;
	}
	registry_set_probe(question->registry, (const Phoenix__ProbeReply *)reply);
	refresh_fleet(question->registry, plan_refreshed, question);
}

API_HANDLER(plan, PlanRequest, PlanReply)
{
	Phoenix__ProbeRequest probe = PHOENIX__PROBE_REQUEST__INIT;
	struct registry *registry = api_registry(service);
	struct question *question;
	struct ph_error error;
	int r;

	if (!input->fleet)
		r = error_set(&error, -EINVAL, "fleet", NULL, "the request carries no fleet");
	else
		r = fleet_validate(input->fleet, &error);
	if (r == 0)
		r = fleet_validate_addresses(input->fleet, registry->config->subnet,
					     registry->config->prefix_length, &error);
	if (r < 0) {
		rpc_fail(request, &error);
		return;
	}
	question = question_new(registry, (ProtobufCClosure)reply, request);
	question->fleet = MESSAGE_COPY(input->fleet);
	question->prune = input->prune;
	host_link_call(registry->host, "Probe", &probe.base, HOST_MS, probed, question, NULL);
}

/* ---- drift ---- */

static void add_repair(Phoenix__DriftReply *drift, const Phoenix__ContainerStatus *status)
{
	drift->repairs = ph_realloc(drift->repairs,
				    (drift->n_repairs + 1) * sizeof(*drift->repairs));
	drift->repairs[drift->n_repairs++] = MESSAGE_COPY(status->spec);
}

static void drift_refreshed(void *user)
{
	struct question *question = user;
	Phoenix__DriftReply *drift = ph_alloc(sizeof(*drift));

	phoenix__drift_reply__init(drift);
	for (struct container *container = question->registry->containers; container;
	     container = container->next) {
		Phoenix__ContainerStatus *status;

		if (!api_is_selected(&question->selector, container))
			continue;
		status = container_status(container);
		drift->containers++;
		if (fleet_drift_find(status, drift) > 0 && fleet_drift_is_repairable(status))
			add_repair(drift, status);
		message_free(status);
	}
	question->reply(&drift->base, question->request);
	message_free(drift);
	question_free(question);
}

API_HANDLER(drift, DriftRequest, DriftReply)
{
	struct registry *registry = api_registry(service);
	struct selector selector;
	struct question *question;

	if (!api_select(registry, input->selector, &selector, request))
		return;
	question = question_new(registry, (ProtobufCClosure)reply, request);
	question->selector = selector;
	refresh_fleet(registry, drift_refreshed, question);
}
