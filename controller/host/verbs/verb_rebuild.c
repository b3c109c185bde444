/*
 * Another root file system for a container that exists, and the end of the one it had before. What
 * the container was given stays: only the image of its placement changes, behind the clone's record.
 */
#include <errno.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/image/clone.h"
#include "controller/host/lxc/adopted.h"
#include "controller/host/lxc/instance.h"
#include "controller/host/verbs/clone_order.h"
#include "controller/host/verbs/observe.h"
#include "controller/host/verbs/placement.h"
#include "controller/host/verbs/verbs.h"

/* A container of ours. */
static int load_ours(const struct config *config, const char *name,
		     struct placement *ret_placement, struct ph_error *error)
{
	if (adopted_is(config, name))
		return error_set(error, -EPERM, name, NULL,
				 "an adopted container's root file system is its owner's");
	return placement_load(config, name, ret_placement, error);
}

/* The request repeats what the container has: it is about no other one of this name. */
static int check_same(const Phoenix__ContainerRebuildRequest *request,
		      const struct placement *placement, struct ph_error *error)
{
	char address[16];

	ipv4_to_text(placement->address, address);
	if (request->ids->first == placement->id_base &&
	    request->ids->count == placement->id_count && text_equal(request->address, address))
		return 0;
	return error_set(error, -EEXIST, placement->name, "apply the fleet file again",
			 "it has %s and %u ids from %u", address, placement->id_count,
			 placement->id_base);
}

/*
 * A root may be prepared beside one that is in use; nothing else is done to a running container. One
 * whose monitor was killed counts as stopped, and nothing of it may go on writing to its root.
 */
static int check_stopped(const struct config *config, const struct clone_request *order,
			 struct ph_error *error)
{
	struct clone clone;
	int code;

	if (clone_find(config, order->name, &clone, NULL) == 0 &&
	    clone_root_is(&clone.current, order->image, order->method))
		return 0;
	if (instance_init(config, order->name) > 0)
		return error_set(error, -EBUSY, order->name, "stop the container first",
				 "it runs on its root file system");
	code = instance_stop(config, order->name, 0, error);
	return code < 0 ? code : 0;
}

int verb_container_rebuild(const struct verb_host *host, const ProtobufCMessage *message,
			   struct ph_error *error)
{
	const Phoenix__ContainerRebuildRequest *request = (const void *)message;
	const struct config *config = host->config;
	PH_AUTO_FREE char *resolv_conf = NULL;
	struct placement placement;
	struct clone_request order;
	int code = load_ours(config, request->spec->name, &placement, error), outcome;

	if (code == 0)
		code = check_same(request, &placement, error);
	if (code < 0)
		return code;
	clone_order(config, request->spec, request->ids, &order, &resolv_conf);
	if (!request->prepare)
		code = check_stopped(config, &order, error);
	outcome = code < 0 ? code : clone_rebuild(config, &order, request->prepare, NULL, error);
	if (outcome < 0)
		return outcome;
	if (!request->prepare && !text_equal(placement.image, order.image)) {
		text_copy(placement.image, sizeof(placement.image), order.image);
		code = placement_save(config, &placement, error);
	}
	return code < 0 ? code : observe_reply(config, placement.name, outcome == CLONE_CHANGED,
					       host->output, error);
}

int verb_container_discard(const struct verb_host *host, const ProtobufCMessage *message,
			   struct ph_error *error)
{
	const Phoenix__ContainerRequest *request = (const void *)message;
	struct placement placement;
	int code = load_ours(host->config, request->name, &placement, error);

	if (code == 0)
		code = clone_discard(host->config, request->name, NULL, error);
	return code < 0 ? code : observe_reply(host->config, request->name, code == CLONE_CHANGED,
					       host->output, error);
}
