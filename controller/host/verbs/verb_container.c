/*
 * A container's life: create, start, stop, destroy. Create reserves before it makes anything, and
 * start makes the configuration anew from what was reserved and what the host is today.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/namespace.h"
#include "controller/host/confine/policy.h"
#include "controller/host/confine/render.h"
#include "controller/host/image/clone.h"
#include "controller/host/image/image.h"
#include "controller/host/lxc/adopted.h"
#include "controller/host/lxc/cgroups.h"
#include "controller/host/lxc/instance.h"
#include "controller/host/lxc/process.h"
#include "controller/host/lxc/rootfs_init.h"
#include "controller/host/lxc/systemd_version.h"
#include "controller/host/network/network.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/tree.h"
#include "controller/host/verbs/clone_order.h"
#include "controller/host/verbs/host_facts.h"
#include "controller/host/verbs/lock.h"
#include "controller/host/verbs/observe.h"
#include "controller/host/verbs/validate.h"
#include "controller/host/verbs/verbs.h"

#define LABEL_TIMEOUT_MS 2000

/* Create */

static int list_holders(const struct config *config, struct validate_holder **ret_holders,
			size_t *ret_count, struct ph_error *error)
{
	PH_AUTO_FREE char(*names)[64] = NULL;
	struct validate_holder *holders;
	size_t count, used = 0;
	int code = placement_names(config, &names, &count, error);

	if (code < 0)
		return code;
	holders = ph_alloc_array(count + 1, sizeof(*holders));
	for (size_t i = 0; i < count; i++) {
		struct placement other;

		/* An adopted one has the ids that its owner chose, and no address or slot of ours. */
		if (placement_load(config, names[i], &other, NULL) < 0 ||
		    adopted_is(config, names[i]))
			continue;
		text_copy(holders[used].name, sizeof(holders[used].name), other.name);
		holders[used].id_base = other.id_base;
		holders[used].id_count = other.id_count;
		holders[used].address = other.address;
		holders[used++].slot = other.slot;
	}
	*ret_holders = holders;
	*ret_count = used;
	return 0;
}

static int check_allocation(const struct config *config,
			    const Phoenix__ContainerCreateRequest *request, struct ph_error *error)
{
	PH_AUTO_FREE struct validate_holder *holders = NULL;
	struct subids subids;
	struct validate_host host = {
		.subnet = config->subnet,
		.prefix_length = config->prefix_length,
		.subids = &subids,
	};
	int code = list_holders(config, &holders, &host.holder_count, error);

	if (code < 0)
		return code;
	host_facts_subids(&subids);
	host.holders = holders;
	return validate_allocation(request, &host, error);
}

/* Of what image it is, its clone says, once it has one that is whole: a rebuild changes that first. */
static int check_existing(const struct config *config, const struct placement *old,
			  const struct placement *new, struct ph_error *error)
{
	struct clone clone;
	bool has_clone = clone_find(config, new->name, &clone, NULL) == 0 && clone.current.complete;
	const char *image = has_clone ? clone.current.image : old->image;

	if (text_equal(image, new->image) && old->id_base == new->id_base &&
	    old->id_count == new->id_count)
		return 0;
	return error_set(error, -EEXIST, new->name,
			 "remove the container first: phoenixctl remove NAME; another image alone "
			 "can be had by a rollout",
			 "it exists already, from image %s with ids from %u", image, old->id_base);
}

/* Under one lock for all containers, so that two requests cannot be given the same. */
static int reserve(const struct config *config, const Phoenix__ContainerCreateRequest *request,
		   bool *ret_is_new, bool *ret_is_changed, struct ph_error *error)
{
	PH_AUTO_CLOSE int lock = -1;
	struct placement old, new;
	int code = lock_take(config, "allocation", &lock, error);

	if (code == 0)
		code = check_allocation(config, request, error);
	if (code < 0)
		return code;
	placement_from_request(request, &new);
	*ret_is_new = placement_load(config, new.name, &old, NULL) < 0;
	*ret_is_changed = *ret_is_new || !placement_equal(&old, &new);
	if (!*ret_is_new)
		code = check_existing(config, &old, &new, error);
	if (code == 0 && *ret_is_changed)
		code = placement_save(config, &new, error);
	return code < 0 ? code : 0;
}

static int make_clone(const struct config *config, const Phoenix__ContainerCreateRequest *request,
		      struct ph_error *error)
{
	PH_AUTO_FREE char *resolv_conf = NULL;
	struct clone_request clone;

	clone_order(config, request->spec, request->ids, &clone, &resolv_conf);
	return clone_create(config, &clone, NULL, error);
}

int verb_container_create(const struct verb_host *host, const ProtobufCMessage *message,
			  struct ph_error *error)
{
	const Phoenix__ContainerCreateRequest *request = (const void *)message;
	const struct config *config = host->config;
	bool is_new = false, is_changed = false;
	struct image image;
	int code;

	if (adopted_is(config, request->spec->name))
		return error_set(error, -EEXIST, request->spec->name,
				 "choose another name, or give it back: phoenixctl unadopt",
				 "an adopted container has this name");
	code = image_find(config, request->spec->image, &image, error);
	if (code < 0)
		return code;
	if (image.highest_id >= request->ids->count)
		return error_set(error, -ERANGE, request->spec->image,
				 "give the container a longer id range",
				 "the image has files of id %u and the range is %u ids long",
				 image.highest_id, request->ids->count);
	code = reserve(config, request, &is_new, &is_changed, error);
	if (code < 0)
		return code;
	code = make_clone(config, request, error);
	if (code < 0) {
		if (is_new)
			clone_destroy(config, request->spec->name, NULL);
		return code;
	}
	return observe_reply(config, request->spec->name, is_changed || code == CLONE_CHANGED,
			     host->output, error);
}

/* Start */

static int check_profile(const struct placement *placement, struct ph_error *error)
{
	int state;

	if (!placement->profile[0])
		return 0;
	state = confine_policy_state(placement->profile, error);
	if (state < 0)
		return state;
	if (state == CONFINE_POLICY_ENFORCED)
		return 0;
	return error_set(error, -EPERM, placement->profile, "apply again: phoenixctl apply",
			 "the kernel does not enforce the profile: the container would be unconfined");
}

static int make_agent_directory(const struct config *config, const struct placement *placement,
				struct ph_error *error)
{
	int code = paths_ensure(config, PATHS_AGENTS, error);

	/* phoenixd listens in it; of the container only root gets in. */
	if (code >= 0)
		code = paths_make(config, PATHS_AGENTS, placement->name, config->uid,
				  placement->id_base, 0710, error);
	return code < 0 ? code : 0;
}

struct start_paths {
	char rootfs[PATHS_SIZE];
	char agent_dir[PATHS_SIZE];
	char bundles_dir[PATHS_SIZE];
	char data_dir[PATHS_SIZE];
	char log_file[PATHS_SIZE];
	char seccomp[PATHS_SIZE];
};

static int format_paths(const struct config *config, const char *name, struct start_paths *paths,
			struct ph_error *error)
{
	int code = clone_rootfs_path(config, name, paths->rootfs, sizeof(paths->rootfs), error);

	if (code == 0)
		code = paths_format(config, PATHS_AGENTS, name, NULL, paths->agent_dir, error);
	if (code == 0)
		code = paths_format(config, PATHS_BUNDLES, NULL, NULL, paths->bundles_dir, error);
	if (code == 0)
		code = paths_format(config, PATHS_DATA, name, NULL, paths->data_dir, error);
	if (code == 0)
		code = instance_log_path(config, name, paths->log_file, sizeof(paths->log_file),
					 error);
	return code;
}

/* The strict policy, unless the container's systemd is one that cannot do with it. */
static int choose_seccomp(const struct config *config, const struct placement *placement,
			  struct start_paths *paths, struct ph_error *error)
{
	PH_AUTO_CLOSE int root = -1;
	int code = clone_open_rootfs(config, placement->name, &root, error);

	if (code == 0)
		host_facts_seccomp(config, systemd_needs_mount_api(systemd_version(root)),
				   placement->vsock, paths->seccomp, sizeof(paths->seccomp));
	return code;
}

static bool is_stacked(const struct placement *placement)
{
	return text_equal(placement->profile, CONFINE_PROFILE_STACKED) ||
	       text_equal(placement->profile, CONFINE_PROFILE_STACKED_VSOCK);
}

static int configure(const struct config *config, const struct placement *placement,
		     struct ph_error *error)
{
	char policy_namespace[NAMESPACE_NAME_SIZE] = "";
	struct start_paths paths;
	struct cgroups_facts facts;
	struct settings settings = {
		.name = placement->name,
		.rootfs = paths.rootfs,
		.agent_dir = paths.agent_dir,
		.bundles_dir = paths.bundles_dir,
		.data_dir = paths.data_dir,
		.log_file = paths.log_file,
		.seccomp = paths.seccomp,
		.profile = placement->profile,
		.policy_namespace = policy_namespace,
		.bridge = config->bridge,
		.slot = placement->slot,
		.id_base = placement->id_base,
		.id_count = placement->id_count,
		.address = placement->address,
		.prefix_length = config->prefix_length,
		.gateway = network_gateway(config),
		.memory_bytes = placement->memory_bytes,
		.cpu_percent = placement->cpu_percent,
		.pids = placement->pids,
	};
	int code = format_paths(config, placement->name, &paths, error);

	if (code == 0)
		code = choose_seccomp(config, placement, &paths, error);
	if (code < 0)
		return code;
	if (is_stacked(placement))
		namespace_name(placement->name, policy_namespace);
	cgroups_detect(&facts);
	settings.cgroup = facts.cgroup;
	code = instance_configure(config, &settings, error);
	return code < 0 ? code : 0;
}

static int choose_init(const struct config *config, const char *name, enum rootfs_init *ret_init,
		       struct ph_error *error)
{
	PH_AUTO_CLOSE int root = -1;
	int code = clone_open_rootfs(config, name, &root, error);

	return code < 0 ? code : rootfs_init_choose(root, ret_init, error);
}

/* liblxc says "running" a moment before init has executed its program under its label. */
static int await_label(int process, const char *profile, struct confine_label *label)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	uint64_t deadline_ms = clock_monotonic_ms() + LABEL_TIMEOUT_MS;
	int code;

	do {
		code = confine_label_read(process, label);
		if (code < 0 || confine_label_enforces(label, profile))
			return code;
		nanosleep(&moment, NULL);
	} while (clock_monotonic_ms() < deadline_ms);
	return -EPERM;
}

static int check_started(const struct config *config, const struct placement *placement,
			 struct ph_error *error)
{
	pid_t init = observe_init(config, placement);
	PH_AUTO_CLOSE int process = init ? process_open(init) : -ESRCH;
	struct confine_label label = { .name = "unreadable" };

	if (process < 0)
		return error_set(error, -ECHILD, placement->name,
				 "look whether the image is a whole system",
				 "its first process ended at once");
	if (!placement->profile[0] || await_label(process, placement->profile, &label) == 0)
		return 0;
	return error_set(error, -EPERM, placement->profile,
			 "stop the container and start it again; if it stays so, report it",
			 "init runs as %s instead of under the profile", label.name);
}

/* Its owner's configuration says what it runs on; ours are the profile and the agent's socket. */
static int start_adopted(const struct config *config, const struct placement *placement,
			 struct ph_error *error)
{
	int code = make_agent_directory(config, placement, error);

	return code == 0 ? instance_start(config, placement->name, NULL, error) : code;
}

static int start_ours(const struct config *config, const struct placement *placement,
		      struct ph_error *error)
{
	enum rootfs_init init;
	int code = clone_mount(config, placement->name, error);

	if (code >= 0)
		code = make_agent_directory(config, placement, error);
	if (code == 0)
		code = configure(config, placement, error);
	if (code == 0)
		code = choose_init(config, placement->name, &init, error);
	if (code == 0 && is_stacked(placement))
		code = namespace_make(placement->name, error);
	return code == 0 ? instance_start(config, placement->name, rootfs_init_arguments(init),
					  error) : code;
}

static int start_any(const struct config *config, const struct placement *placement,
		     struct ph_error *error)
{
	return adopted_is(config, placement->name) ? start_adopted(config, placement, error) :
						     start_ours(config, placement, error);
}

static int start(const struct config *config, const struct placement *placement,
		 struct ph_error *error)
{
	int code = check_profile(placement, error);

	if (code == 0)
		code = start_any(config, placement, error);
	/* It ran, and was being killed. */
	if (code == INSTANCE_UNCHANGED && observe_init(config, placement) == 0)
		code = start_any(config, placement, error);
	if (code < 0)
		return code;
	code = check_started(config, placement, error);
	if (code < 0) {
		instance_stop(config, placement->name, 0, NULL);
		namespace_remove(placement->name, NULL);
	}
	return code;
}

int verb_container_start(const struct verb_host *host, const ProtobufCMessage *message,
			 struct ph_error *error)
{
	const Phoenix__ContainerRequest *request = (const void *)message;
	struct placement placement;
	bool is_running;
	int code = placement_load(host->config, request->name, &placement, error);

	if (code < 0)
		return code;
	is_running = observe_init(host->config, &placement) > 0;
	if (is_running)
		code = check_started(host->config, &placement, error);
	else
		code = start(host->config, &placement, error);
	if (code < 0)
		return code;
	return observe_reply(host->config, request->name, !is_running, host->output, error);
}

/* Stop and destroy */

int verb_container_stop(const struct verb_host *host, const ProtobufCMessage *message,
			struct ph_error *error)
{
	const Phoenix__ContainerStopRequest *request = (const void *)message;
	struct placement placement;
	int code = placement_load(host->config, request->name, &placement, error);

	if (code < 0)
		return code;
	code = instance_stop(host->config, request->name, request->grace_ms, error);
	if (code < 0)
		return code;
	namespace_remove(request->name, NULL); /* what is left is removed before the next start */
	return observe_reply(host->config, request->name, code == INSTANCE_CHANGED, host->output,
			     error);
}

static bool agent_directory_exists(const struct config *config, const char *name)
{
	PH_AUTO_CLOSE int agents = -1;
	struct stat status;

	return paths_open(config, PATHS_AGENTS, &agents, NULL) == 0 &&
	       tree_stat(agents, name, &status) == 0;
}

int verb_container_destroy(const struct verb_host *host, const ProtobufCMessage *message,
			   struct ph_error *error)
{
	const Phoenix__ContainerRequest *request = (const void *)message;
	const struct config *config = host->config;
	bool is_changed = agent_directory_exists(config, request->name);
	int code;

	if (adopted_is(config, request->name))
		return error_set(error, -EPERM, request->name, "give it back: phoenixctl unadopt",
				 "an adopted container is its owner's and is not destroyed");
	code = instance_stop(config, request->name, 0, error);
	if (code < 0)
		return code;
	is_changed |= code == INSTANCE_CHANGED;
	code = namespace_remove(request->name, error);
	if (code < 0)
		return code;
	code = clone_destroy(config, request->name, error);
	if (code < 0)
		return code;
	is_changed |= code == CLONE_CHANGED;
	code = paths_remove(config, PATHS_AGENTS, request->name, error);
	if (code < 0)
		return code;
	instance_forget(config, request->name);
	return observe_reply(config, request->name, is_changed, host->output, error);
}
