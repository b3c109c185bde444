/*
 * apply, verify, remove, unadopt, discard: orders for many containers at once. An order watches one operation per
 * container and streams what they tell; when all have ended it sends its summary. A client that
 * leaves takes its watchers along; the operations go on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/api/api_private.h"
#include "controller/container/adopt.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/plan.h"
#include "controller/rollout/rollouts.h"

#define PROBE_MS 10000
#define PARALLEL_MAXIMUM 8 /* operations in progress for one order */

enum order_kind {
	ORDER_APPLY,
	ORDER_VERIFY,
	ORDER_REMOVE,
	ORDER_UNADOPT,
	ORDER_DISCARD,
};

struct order;

struct order_item {
	struct order *order;
	struct operation_watcher watcher;
	char name[64];
	const Phoenix__ContainerSpec *spec; /* borrowed from the fleet; NULL unless apply */
	bool is_new;
	bool has_started;
	bool has_ended;
};

struct order {
	struct registry *registry;
	struct rpc_request *request;
	ProtobufCClosure reply;
	enum order_kind kind;
	Phoenix__Fleet *fleet;    /* owned; apply only */
	struct order_item *items; /* owned */
	size_t count, next, running, ended;
	uint64_t started_ms;
	Phoenix__ApplySummary summary;
	struct ph_error failure;  /* the first */
	bool is_gone;             /* the client has left */
	bool is_starting;
};

/* ---- to the client ---- */

static void send_progress(struct order *order, const Phoenix__Progress *progress)
{
	Phoenix__ApplyItem apply = PHOENIX__APPLY_ITEM__INIT;
	Phoenix__OperationItem item = PHOENIX__OPERATION_ITEM__INIT;

	if (order->is_gone)
		return;
	apply.progress = item.progress = (Phoenix__Progress *)progress;
	order->reply(order->kind == ORDER_APPLY ? &apply.base : &item.base, order->request);
}

static void send_check(struct order *order, const Phoenix__Check *check)
{
	Phoenix__OperationItem item = PHOENIX__OPERATION_ITEM__INIT;

	if (order->is_gone || order->kind == ORDER_APPLY)
		return;
	item.check = (Phoenix__Check *)check;
	order->reply(&item.base, order->request);
}

/* A verify that could not be run has no report: the last one speaks of another time. */
static void send_outcome(struct order *order, const struct order_item *item,
			 const struct ph_error *error)
{
	Phoenix__OperationItem message = PHOENIX__OPERATION_ITEM__INIT;
	struct container *container = registry_find(order->registry, item->name);
	Phoenix__ContainerStatus *status = NULL;

	if (order->is_gone || order->kind == ORDER_APPLY || !container)
		return;
	status = container_status(container);
	message.status = status;
	if (order->kind == ORDER_VERIFY && (!error || error->code == -EBADE))
		message.report = container->record->verify;
	order->reply(&message.base, order->request);
	message_free(status);
}

static void order_free(struct order *order)
{
	message_free(order->fleet);
	free(order->items);
	free(order);
}

static void order_finish(struct order *order)
{
	if (!order->is_gone && order->kind == ORDER_APPLY) {
		Phoenix__ApplyItem item = PHOENIX__APPLY_ITEM__INIT;

		order->summary.duration_ms = clock_monotonic_ms() - order->started_ms;
		item.summary = &order->summary;
		order->reply(&item.base, order->request);
	}
	/* Failures of single containers were streamed; the call fails with the first of them. */
	if (error_is_set(&order->failure))
		rpc_fail(order->request, &order->failure);
	else
		rpc_end(order->request);
	order_free(order);
}

/* ---- running ---- */

static void start_more(struct order *order);

static void item_progress(void *user, const Phoenix__Progress *progress)
{
	send_progress(((struct order_item *)user)->order, progress);
}

static void item_check(void *user, const Phoenix__Check *check)
{
	send_check(((struct order_item *)user)->order, check);
}

static void count_outcome(struct order *order, const struct order_item *item, bool changed,
			  const struct ph_error *error)
{
	if (error)
		order->summary.failed++;
	else if (item->is_new)
		order->summary.created++;
	else if (changed)
		order->summary.changed++;
	else
		order->summary.unchanged++;
	if (error && !error_is_set(&order->failure))
		order->failure = *error;
}

static void item_ended(void *user, const char *name, bool changed, const struct ph_error *error)
{
	struct order_item *item = user;
	struct order *order = item->order;

	item->has_ended = true;
	order->running -= item->has_started;
	order->ended++;
	count_outcome(order, item, changed, error);
	send_outcome(order, item, error);
	start_more(order);
}

static const struct operation_type *type_of(const struct order *order)
{
	switch (order->kind) {
	case ORDER_APPLY:
		return &operation_apply;
	case ORDER_VERIFY:
		return &operation_verify;
	case ORDER_UNADOPT:
		return &operation_unadopt;
	case ORDER_DISCARD:
		return &operation_discard;
	default:
		return &operation_remove;
	}
}

/* A container that is not known yet begins with a record that is not stored. */
static struct container *find_or_make(struct order *order, struct order_item *item)
{
	struct container *container = registry_find(order->registry, item->name);
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;

	if (container || order->kind != ORDER_APPLY)
		return container;
	record.spec = (Phoenix__ContainerSpec *)item->spec;
	record.phase = (char *)CONTAINER_PHASE_PREPARING;
	record.created_ms = clock_wall_ms();
	container = container_new(order->registry, MESSAGE_COPY(&record));
	registry_add(order->registry, container);
	item->is_new = true;
	return container;
}

static void start_item(struct order *order, struct order_item *item)
{
	struct container *container = find_or_make(order, item);
	struct ph_error error;

	item->order = order;
	item->watcher.progress = item_progress;
	item->watcher.check = item_check;
	item->watcher.ended = item_ended;
	item->watcher.user = item;
	item->has_started = true;
	order->running++;
	if (!container) {
		error_set(&error, -ENOENT, item->name, "phoenixctl list shows what there is",
			  "there is no container of this name");
		item_ended(item, item->name, false, &error);
		return;
	}
	if (operation_start(container, type_of(order), item->spec, item->is_new, &item->watcher,
			    &error) < 0)
		item_ended(item, item->name, false, &error);
}

/* Others' containers are restarted one after the other; the first that fails is the last one touched. */
static bool is_one_by_one(const struct order *order)
{
	return order->kind == ORDER_UNADOPT;
}

static size_t parallel_of(const struct order *order)
{
	return is_one_by_one(order) ? 1 : PARALLEL_MAXIMUM;
}

static bool is_halted(const struct order *order)
{
	return is_one_by_one(order) && error_is_set(&order->failure);
}

/* Items may end while they start; the loop takes care of what follows, not the recursion. */
static void start_more(struct order *order)
{
	if (order->is_starting)
		return;
	order->is_starting = true;
	while (order->next < order->count && order->running < parallel_of(order) &&
	       !order->is_gone && !is_halted(order))
		start_item(order, &order->items[order->next++]);
	order->is_starting = false;
	if (order->ended == order->next &&
	    (order->next == order->count || order->is_gone || is_halted(order)))
		order_finish(order);
}

/*
 * The client has left: what runs goes on without being watched. For apply and remove, containers
 * that had not been started yet are not started.
 */
static void client_left(void *user)
{
	struct order *order = user;

	order->is_gone = true;
	for (size_t i = 0; i < order->next; i++) {
		if (!order->items[i].has_ended) {
			operation_unwatch(&order->items[i].watcher);
			order->ended++;
		}
	}
	if (!order->is_starting)
		order_finish(order);
}

static struct order *order_new(struct registry *registry, enum order_kind kind,
			       ProtobufCClosure reply, void *request, size_t count)
{
	struct order *order = ph_alloc(sizeof(*order));

	order->registry = registry;
	order->request = request;
	order->reply = reply;
	order->kind = kind;
	order->items = ph_alloc_array(count, sizeof(*order->items));
	order->count = count;
	order->started_ms = clock_monotonic_ms();
	phoenix__apply_summary__init(&order->summary);
	return order;
}

/* Two hands on one container would undo each other's work. */
static int check_not_held(const struct registry *registry, const char *name, struct ph_error *error)
{
	const char *holder = registry->rollouts ? rollouts_holder(registry->rollouts, name) : NULL;

	if (!holder)
		return 0;
	return error_set(error, -EBUSY, name,
			 "wait for it: phoenixctl rollout status --watch; or end it: phoenixctl "
			 "rollout abort", "rollout %s has its hands on this container", holder);
}

static int check_unheld_or_same(const struct registry *registry, const struct container *container,
				const Phoenix__ContainerSpec *spec, struct ph_error *error)
{
	return fleet_spec_equal(container->record->spec, spec) ?
		       0 :
		       check_not_held(registry, spec->name, error);
}

/* ---- verify, unadopt, discard, remove ---- */

static void start_selected(Phoenix__Control_Service *service, enum order_kind kind,
			   const char *text, ProtobufCClosure reply, void *request)
{
	struct registry *registry = api_registry(service);
	struct selector selector;
	struct order *order;
	size_t count = 0;

	if (!api_select(registry, text, &selector, request))
		return;
	for (struct container *container = registry->containers; container;
	     container = container->next)
		count++;
	order = order_new(registry, kind, reply, request, count);
	order->count = 0;
	for (struct container *container = registry->containers; container;
	     container = container->next)
		if (api_is_selected(&selector, container))
			text_copy(order->items[order->count++].name, sizeof(order->items->name),
				  container_name(container));
	rpc_request_on_cancel(request, client_left, order);
	start_more(order);
}

API_HANDLER(verify, NameRequest, OperationItem)
{
	start_selected(service, ORDER_VERIFY, input->name, (ProtobufCClosure)reply, request);
}

static int check_adopted(const struct registry *registry, const struct container *container,
			 struct ph_error *error)
{
	if (adopt_is(container))
		return check_not_held(registry, container_name(container), error);
	return error_set(error, -EINVAL, container_name(container),
			 "name adopted ones only: phoenixctl list",
			 "Phoenix has made this container: it was not adopted");
}

static int check_discard(const struct registry *registry, const struct container *container,
			 struct ph_error *error)
{
	if (!adopt_is(container))
		return check_not_held(registry, container_name(container), error);
	return error_set(error, -EINVAL, container_name(container), "leave it out",
			 "it was adopted: it has its owner's root file system and no other");
}

typedef int (*check_fn)(const struct registry *registry, const struct container *container,
			struct ph_error *error);

/* Start what all that is selected may be asked for; else nothing, and the request is failed. */
static void start_checked(Phoenix__Control_Service *service, enum order_kind kind, check_fn check,
			  const char *text, ProtobufCClosure reply, void *request)
{
	const struct registry *registry = api_registry(service);
	struct selector selector;
	struct ph_error error;

	if (!api_select(registry, text, &selector, request))
		return;
	for (const struct container *container = registry->containers; container;
	     container = container->next) {
		if (!api_is_selected(&selector, container) ||
		    check(registry, container, &error) == 0)
			continue;
		rpc_fail(request, &error);
		return;
	}
	start_selected(service, kind, text, reply, request);
}

API_HANDLER(unadopt, NameRequest, OperationItem)
{
	start_checked(service, ORDER_UNADOPT, check_adopted, input->name, (ProtobufCClosure)reply,
		      request);
}

API_HANDLER(discard, NameRequest, OperationItem)
{
	struct ph_error error;

	if (!text_empty(input->name)) {
		start_checked(service, ORDER_DISCARD, check_discard, input->name,
			      (ProtobufCClosure)reply, request);
		return;
	}
	error_set(&error, -EINVAL, "name", "name them, or a selector such as 'role=web'",
		  "no container was named");
	rpc_fail(request, &error);
}

API_HANDLER(remove, NameRequest, OperationItem)
{
	const struct container *container = registry_find(api_registry(service), input->name);
	struct ph_error error;

	if (container && adopt_is(container)) {
		error_set(&error, -EPERM, input->name, "give it back: phoenixctl unadopt",
			  "it was adopted: it is its owner's and is not removed");
		rpc_fail(request, &error);
		return;
	}

	if (!name_is_valid(input->name)) {
		error_set(&error, -EINVAL, "name", "name the container to remove",
			  "one container is removed at a time, by its name");
		rpc_fail(request, &error);
		return;
	}
	if (check_not_held(api_registry(service), input->name, &error) < 0) {
		rpc_fail(request, &error);
		return;
	}
	start_selected(service, ORDER_REMOVE, input->name, (ProtobufCClosure)reply, request);
}

/* ---- apply: the whole fleet is looked at before the first container is touched ---- */

static void apply_refuse(struct order *order, const struct ph_error *error)
{
	if (!order->is_gone)
		rpc_fail(order->request, error);
	else
		rpc_end(order->request);
	order_free(order);
}

static int check_spec(const struct registry *registry, const Phoenix__ImageListReply *images,
		      const Phoenix__ContainerSpec *spec, struct ph_error *error)
{
	const struct container *container = registry_find(registry, spec->name);
	int r = plan_check_host(registry->probe, spec, error);

	if (r == 0 && spec->transport == PHOENIX__TRANSPORT__TRANSPORT_VSOCK &&
	    !registry_has_vsock(registry, spec->name, error))
		return error->code;
	if (r == 0 && container && adopt_is(container))
		r = plan_refuse_adopted(spec->name, error);
	if (r == 0 && !container)
		r = plan_check_clone(registry->probe, spec, error);
	if (r == 0 && !container)
		r = plan_check_image(images, spec, error);
	if (r == 0 && container && !container_is(container, CONTAINER_PHASE_PREPARING))
		r = check_unheld_or_same(registry, container, spec, error);
	if (r == 0 && container && !container_is(container, CONTAINER_PHASE_PREPARING))
		r = plan_check_changes(container->record->spec, spec, error);
	return r;
}

static void apply_images(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct order *order = user;
	struct ph_error failure;
	size_t checked = 0;
	int r = 0;

	if (error) {
		apply_refuse(order, error);
		return;
	}
	for (; checked < order->fleet->n_containers && r == 0; checked++)
		r = check_spec(order->registry, (const Phoenix__ImageListReply *)reply,
			       order->fleet->containers[checked], &failure);
	if (r < 0) {
		error_prefix(&failure, "apply: nothing was changed");
		/* Whoever watches is told as well that this host has refused a container, and why. */
		journal_error(order->registry->journal, order->fleet->containers[checked - 1]->name, NULL,
			      "operation.refused", "Refused", &failure);
		apply_refuse(order, &failure);
		return;
	}
	if (order->is_gone) {
		apply_refuse(order, NULL);
		return;
	}
	for (size_t i = 0; i < order->count; i++) {
		order->items[i].spec = order->fleet->containers[i];
		text_copy(order->items[i].name, sizeof(order->items[i].name),
			  order->fleet->containers[i]->name);
	}
	rpc_request_on_cancel(order->request, client_left, order);
	start_more(order);
}

static void apply_probed(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	Phoenix__ImageListRequest images = PHOENIX__IMAGE_LIST_REQUEST__INIT;
	struct order *order = user;

	if (error) {
		apply_refuse(order, error);
		return;
	}
	registry_set_probe(order->registry, (const Phoenix__ProbeReply *)reply);
	host_link_call(order->registry->host, "ImageList", &images.base, PROBE_MS, apply_images,
		       order, NULL);
}

static void client_left_early(void *user)
{
	((struct order *)user)->is_gone = true;
}

API_HANDLER(apply, ApplyRequest, ApplyItem)
{
	struct registry *registry = api_registry(service);
	Phoenix__ProbeRequest probe = PHOENIX__PROBE_REQUEST__INIT;
	struct ph_error error;
	struct order *order;

	if (!input->fleet) {
		error_set(&error, -EINVAL, "fleet", NULL, "the request carries no fleet");
		rpc_fail(request, &error);
		return;
	}
	if (fleet_validate(input->fleet, &error) < 0 ||
	    fleet_validate_addresses(input->fleet, registry->config->subnet,
				     registry->config->prefix_length, &error) < 0) {
		error_prefix(&error, "apply: nothing was changed");
		rpc_fail(request, &error);
		return;
	}
	order = order_new(registry, ORDER_APPLY, (ProtobufCClosure)reply, request,
			  input->fleet->n_containers);
	order->fleet = MESSAGE_COPY(input->fleet);
	rpc_request_on_cancel(request, client_left_early, order);
	host_link_call(registry->host, "Probe", &probe.base, PROBE_MS, apply_probed, order, NULL);
}
