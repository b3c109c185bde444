#include "tests/support/fake_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/fake_agent.h"
#include "tests/support/fake_host_private.h"

#define PROFILE FAKE_PROFILE

bool fake_host_fails(struct fake_host *host, const char *verb, void *request)
{
	struct ph_error error;

	if (host->fail_call && host->fail_call == host->calls) {
		host->fail_call = 0;
	} else {
		if (!host->fail_count || !text_equal(host->fail_verb, verb))
			return false;
		host->fail_count--;
	}
	if (host->hold_when_failed)
		host->hold_verb = host->hold_when_failed;
	error_set(&error, -EIO, "/fake", "look at the fake", "told to fail");
	error_prefix(&error, "%s", verb);
	rpc_fail(request, &error);
	return true;
}

bool fake_host_holds(struct fake_host *host, const char *verb, void *request)
{
	if (!text_equal(host->hold_verb, verb) || host->held_count == FAKE_HELD_MAXIMUM)
		return false;
	host->held[host->held_count++] = request;
	return true;
}

void fake_host_let_go(struct fake_host *host)
{
	void *request = host->held[0];
	struct ph_error error;

	error_set(&error, -EIO, "/fake", "look at the fake", "told to wait, and to fail");
	host->held_count--;
	memmove(host->held, host->held + 1, host->held_count * sizeof(host->held[0]));
	rpc_fail(request, &error);
}

struct fake_container *fake_host_find(struct fake_host *host, const char *name)
{
	for (size_t i = 0; i < FAKE_CONTAINERS; i++)
		if (host->containers[i].exists && text_equal(host->containers[i].name, name))
			return &host->containers[i];
	return NULL;
}

bool fake_host_is_empty(const struct fake_host *host)
{
	for (size_t i = 0; i < FAKE_CONTAINERS; i++)
		if (host->containers[i].exists)
			return false;
	return !host->network && !host->profile;
}

void fake_host_set(struct fake_host *host, bool *thing, bool value, int *ret_changed)
{
	*ret_changed = *thing != value;
	host->writes += *thing != value;
	*thing = value;
}

static VERB(probe, ProbeRequest, ProbeReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ProbeReply answer = PHOENIX__PROBE_REPLY__INIT;
	Phoenix__IdRange range = PHOENIX__ID_RANGE__INIT;
	Phoenix__IdRange *ranges[] = { &range };
	Phoenix__Pair copy = PHOENIX__PAIR__INIT, *facts[] = { &copy };

	FAIL_BEFORE("Probe");
	range.first = 0; /* the fake agents are processes of the test's own user */
	range.count = 100 * 65536;
	answer.apparmor = host->apparmor;
	answer.apparmor_reason = (char *)(host->apparmor ? "" : "a fake kernel without AppArmor");
	answer.apparmor_remedy = (char *)"write confinement: best-effort";
	answer.n_id_ranges = 1;
	answer.id_ranges = ranges;
	answer.clone_method = (char *)fake_host_method(host, PHOENIX__CLONE_METHOD__CLONE_AUTO);
	copy.key = (char *)"copy";
	copy.value = (char *)(host->no_copy ? host->no_copy : "works");
	answer.n_facts = 1;
	answer.facts = facts;
	reply(&answer, request);
}

static VERB(image_import, ImageImportRequest, ImageReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ImageReply answer = PHOENIX__IMAGE_REPLY__INIT;
	Phoenix__Image image = PHOENIX__IMAGE__INIT;

	FAIL_BEFORE("ImageImport");
	image.name = input->name;
	image.source = input->source;
	answer.image = &image;
	answer.changed = true;
	reply(&answer, request);
}

static VERB(image_remove, ImageNameRequest, ImageReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ImageReply answer = PHOENIX__IMAGE_REPLY__INIT;

	FAIL_BEFORE("ImageRemove");
	answer.changed = true;
	reply(&answer, request);
}

static VERB(image_list, ImageListRequest, ImageListReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ImageListReply answer = PHOENIX__IMAGE_LIST_REPLY__INIT;
	Phoenix__Image image = PHOENIX__IMAGE__INIT, other = image;
	Phoenix__Image *images[] = { &image, &other };

	FAIL_BEFORE("ImageList");
	image.name = (char *)host->image;
	other.name = (char *)host->other_image;
	image.size_bytes = other.size_bytes = host->image_bytes;
	answer.n_images = !host->image ? 0 : host->other_image ? 2 : 1;
	answer.images = images;
	reply(&answer, request);
}

static VERB(network_ensure, NetworkEnsureRequest, NetworkReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__NetworkReply answer = PHOENIX__NETWORK_REPLY__INIT;
	Phoenix__Pair finding = PHOENIX__PAIR__INIT;
	Phoenix__Pair *findings[] = { &finding };

	FAIL_BEFORE("NetworkEnsure");
	fake_host_set(host, &host->network, true, &answer.changed);
	FAIL_AFTER("NetworkEnsure");
	finding.key = (char *)"no NAT on this fake";
	finding.value = (char *)"use a real one";
	answer.n_findings = 1;
	answer.findings = findings;
	reply(&answer, request);
}

/* A bridge stays while a container that runs has its interface on it, as the real one does. */
static bool refuse_ports(struct fake_host *host, void *request)
{
	struct ph_error error;

	for (size_t i = 0; i < ARRAY_LENGTH(host->containers); i++) {
		if (!host->containers[i].exists || !host->containers[i].running)
			continue;
		error_set(&error, -EBUSY, "/fake", "remove these containers first",
			  "interfaces are on the bridge");
		rpc_fail(request, &error);
		return true;
	}
	return false;
}

static VERB(network_remove, NetworkRemoveRequest, NetworkReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__NetworkReply answer = PHOENIX__NETWORK_REPLY__INIT;

	FAIL_BEFORE("NetworkRemove");
	if (refuse_ports(host, request))
		return;
	fake_host_set(host, &host->network, false, &answer.changed);
	reply(&answer, request);
}

static VERB(confine_ensure, ConfineEnsureRequest, ConfineReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ConfineReply answer = PHOENIX__CONFINE_REPLY__INIT;
	bool is_stacked = input->mode == PHOENIX__CONFINEMENT_MODE__CONFINEMENT_STACKED;

	FAIL_BEFORE("ConfineEnsure");
	if (!host->apparmor && input->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED) {
		struct ph_error error;

		error_set(&error, -EOPNOTSUPP, "confinement: required", "best-effort",
			  "a fake kernel without AppArmor");
		rpc_fail(request, &error);
		return;
	}
	host->roll_backs += input->roll_back;
	answer.replaced = host->new_text;
	if (host->new_text)
		answer.processes = 3;
	if (host->apparmor) {
		fake_host_set(host, &host->profile, true, &answer.changed);
		answer.profile = (char *)(is_stacked ? PROFILE "-stacked" : PROFILE);
		answer.changed |= host->new_text;
		host->new_text = false;
		host->profile_state = NULL; /* loading mends what loading can */
	}
	FAIL_AFTER("ConfineEnsure");
	reply(&answer, request);
}

static VERB(confine_remove, ConfineRemoveRequest, ConfineReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ConfineReply answer = PHOENIX__CONFINE_REPLY__INIT;

	FAIL_BEFORE("ConfineRemove");
	fake_host_set(host, &host->profile, false, &answer.changed);
	reply(&answer, request);
}

static VERB(confine_status, ConfineStatusRequest, ConfineStatusReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ConfineStatusReply answer = PHOENIX__CONFINE_STATUS_REPLY__INIT;

	FAIL_BEFORE("ConfineStatus");
	answer.apparmor = host->apparmor;
	answer.reason = (char *)(host->apparmor ? "" : "a fake kernel without AppArmor");
	reply(&answer, request);
}

static VERB(preflight, HostPreflightRequest, HostPreflightReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__HostPreflightReply answer = PHOENIX__HOST_PREFLIGHT_REPLY__INIT;
	static const char *const names[] = { "cpu", "memory", "pids" };
	char *controllers[] = { (char *)names[0], (char *)names[1], (char *)names[2] };
	Phoenix__Pair namespaces = PHOENIX__PAIR__INIT;
	Phoenix__Pair *sysctls[] = { &namespaces };

	FAIL_BEFORE("Preflight");
	answer.kernel = (char *)"6.1.0-fake";
	answer.cgroup = (char *)"v2";
	answer.controllers = controllers;
	answer.n_controllers = ARRAY_LENGTH(controllers);
	answer.fuse = (char *)"open";
	answer.apparmor = host->apparmor;
	answer.apparmor_reason = (char *)(host->apparmor ? "" : "a fake kernel without AppArmor");
	answer.apparmor_remedy = (char *)"write confinement: best-effort";
	answer.largest_range = 100 * 65536;
	namespaces.key = (char *)"user/max_user_namespaces";
	namespaces.value = (char *)(host->no_namespaces ? "0" : "10000");
	answer.sysctls = sysctls;
	answer.n_sysctls = 1;
	reply(&answer, request);
}

void fake_host_observe(struct fake_host *host, const char *name,
		    Phoenix__ContainerObservation *ret_observed)
{
	const struct fake_container *container = fake_host_find(host, name);

	ret_observed->name = (char *)name;
	ret_observed->exists = container != NULL;
	if (container && !host->knows_no_roots) {
		ret_observed->image = (char *)container->root.image;
		ret_observed->clone_method = (char *)container->root.method;
		ret_observed->kept_image = (char *)container->kept.image;
		ret_observed->kept_clone_method = (char *)container->kept.method;
		ret_observed->prepared_image = (char *)container->prepared.image;
	}
	ret_observed->running = container && container->running;
	if (!ret_observed->running)
		return;
	ret_observed->init_pid = 1;
	ret_observed->processes = 3;
	ret_observed->processes_off_label = host->off_label;
	ret_observed->first_offender = (char *)(host->off_label ? "pid 9 (sh): unconfined" : "");
	ret_observed->label = (char *)(!host->apparmor ? "" :
				       container->is_foreign && !container->is_under_profile ?
							 "unconfined" :
				       host->label ? host->label :
						     PROFILE " (enforce)");
	ret_observed->expected_profile = (char *)(host->apparmor ? PROFILE : "");
	ret_observed->profile_state = (char *)(!host->apparmor     ? "" :
					       host->profile_state ? host->profile_state :
								     "current");
}

struct fake_container *fake_host_free_place(struct fake_host *host)
{
	for (size_t i = 0; i < FAKE_CONTAINERS; i++)
		if (!host->containers[i].exists)
			return &host->containers[i];
	abort();
}

void fake_host_make_agent_dir(const struct fake_host *host, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/agents", host->run_dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/agents/%s", host->run_dir, name);
	mkdir(path, 0755);
}

static VERB(container_create, ContainerCreateRequest, ContainerObservation)
{
	struct fake_host *host = host_of(service);
	Phoenix__ContainerObservation answer = PHOENIX__CONTAINER_OBSERVATION__INIT;
	struct fake_container *container = fake_host_find(host, input->spec->name);
	struct ph_error error;

	FAIL_BEFORE("ContainerCreate");
	if (container && !text_equal(container->root.image, input->spec->image)) {
		error_set(&error, -EEXIST, input->spec->name, "remove the container first",
			  "it exists already, from image %s", container->root.image);
		rpc_fail(request, &error);
		return;
	}
	answer.changed = !container;
	if (!container) {
		container = fake_host_free_place(host);
		text_copy(container->name, sizeof(container->name), input->spec->name);
		text_copy(container->address, sizeof(container->address), input->address);
		fake_host_make_root(host, input->spec, &container->root);
		container->first_id = input->ids->first;
		container->exists = true;
		host->writes++;
		fake_host_make_agent_dir(host, input->spec->name);
	}
	text_copy(container->profile, sizeof(container->profile), input->profile);
	container->pids = input->spec->resources ? input->spec->resources->pids : 0;
	FAIL_AFTER("ContainerCreate");
	fake_host_observe(host, input->spec->name, &answer);
	reply(&answer, request);
}

static bool does_not_start(const struct fake_host *host, const struct fake_container *container)
{
	const char *image = container->root.image;

	return (container->is_delicate && container->has_our_config) ||
	       (host->bad_image && text_equal(image, host->bad_image)) ||
	       (container->fails_on_image && text_equal(image, container->fails_on_image));
}

static VERB(container_start, ContainerRequest, ContainerObservation)
{
	struct fake_host *host = host_of(service);
	Phoenix__ContainerObservation answer = PHOENIX__CONTAINER_OBSERVATION__INIT;
	struct fake_container *container = fake_host_find(host, input->name);
	int changed = 0;

	FAIL_BEFORE("ContainerStart");
	if (container && does_not_start(host, container)) {
		struct ph_error error;

		error_set(&error, -EIO, input->name, "look into its log", "its init has ended");
		rpc_fail(request, &error);
		return;
	}
	if (container && !container->running) {
		container->is_under_profile = container->has_our_config;
		host->label = NULL;
		host->off_label = host->starts_off_label;
	}
	if (container)
		fake_host_set(host, &container->running, true, &changed);
	FAIL_AFTER("ContainerStart");
	fake_host_observe(host, input->name, &answer);
	answer.changed = changed;
	reply(&answer, request);
}

static VERB(container_stop, ContainerStopRequest, ContainerObservation)
{
	struct fake_host *host = host_of(service);
	Phoenix__ContainerObservation answer = PHOENIX__CONTAINER_OBSERVATION__INIT;
	struct fake_container *container = fake_host_find(host, input->name);
	int changed = 0;

	FAIL_BEFORE("ContainerStop");
	if (container)
		fake_host_set(host, &container->running, false, &changed);
	fake_agent_kill(host->agent, input->name);
	fake_host_observe(host, input->name, &answer);
	answer.changed = changed;
	reply(&answer, request);
}

static VERB(container_destroy, ContainerRequest, ContainerObservation)
{
	struct fake_host *host = host_of(service);
	Phoenix__ContainerObservation answer = PHOENIX__CONTAINER_OBSERVATION__INIT;
	struct fake_container *container = fake_host_find(host, input->name);

	FAIL_BEFORE("ContainerDestroy");
	if (container) {
		answer.changed = true;
		host->writes++;
		memset(container, 0, sizeof(*container));
	}
	answer.name = input->name;
	reply(&answer, request);
}

static VERB(container_observe, ContainerRequest, ContainerObservation)
{
	struct fake_host *host = host_of(service);
	Phoenix__ContainerObservation answer = PHOENIX__CONTAINER_OBSERVATION__INIT;
	Phoenix__Pair nested = PHOENIX__PAIR__INIT;
	Phoenix__Pair *list[] = { &nested };

	FAIL_BEFORE("ContainerObserve");
	fake_host_observe(host, input->name, &answer);
	nested.key = (char *)"77 phoenix-agent";
	nested.value = (char *)(host->off_label ? "unconfined" : PROFILE " (enforce)");
	answer.n_nested = 1;
	answer.nested = list;
	reply(&answer, request);
}

/* The container whose name comes next; NULL behind the last. */
static const struct fake_container *next_by_name(const struct fake_host *host, const char *after)
{
	const struct fake_container *next = NULL;

	for (size_t i = 0; i < FAKE_CONTAINERS; i++) {
		const struct fake_container *one = &host->containers[i];

		if (one->exists && strcmp(one->name, after) > 0 &&
		    (!next || strcmp(one->name, next->name) < 0))
			next = one;
	}
	return next;
}

/* In pages that are small, so that there are several. */
static VERB(container_list, ContainerListRequest, ContainerListReply)
{
	struct fake_host *host = host_of(service);
	Phoenix__ContainerListReply answer = PHOENIX__CONTAINER_LIST_REPLY__INIT;
	Phoenix__ContainerObservation items[FAKE_PAGE];
	Phoenix__ContainerObservation *list[FAKE_PAGE];
	const struct fake_container *next = next_by_name(host, input->after);

	FAIL_BEFORE("ContainerList");
	for (; next && answer.n_containers < FAKE_PAGE; next = next_by_name(host, next->name)) {
		phoenix__container_observation__init(&items[answer.n_containers]);
		fake_host_observe(host, next->name, &items[answer.n_containers]);
		list[answer.n_containers] = &items[answer.n_containers];
		answer.n_containers++;
	}
	answer.containers = list;
	answer.more = next != NULL;
	reply(&answer, request);
}

static VERB(agent_push, AgentPushRequest, AgentPushReply)
{
	struct fake_host *host = host_of(service);
	const struct fake_container *container = fake_host_find(host, input->name);
	Phoenix__AgentPushReply answer = PHOENIX__AGENT_PUSH_REPLY__INIT;

	FAIL_BEFORE("AgentPush");
	answer.spared = input->spare_living && host->agent_lives;
	if (answer.spared) {
		host->spared++;
		reply(&answer, request);
		return;
	}
	host->writes++;
	fake_agent_start(host->agent, host->loop, host->run_dir, input->name, input->boot_id,
			 input->key.data, container ? container->first_id : 0);
	FAIL_AFTER("AgentPush");
	reply(&answer, request);
}

static void watcher_left(void *user)
{
	struct fake_host *host = user;
	struct rpc_request *request = host->denials;

	host->denials = NULL;
	rpc_end(request);
}

static VERB(denials_watch, DenialsWatchRequest, DenialsItem)
{
	struct fake_host *host = host_of(service);
	Phoenix__DenialsItem item = PHOENIX__DENIALS_ITEM__INIT;
	Phoenix__DenialsSource source = PHOENIX__DENIALS_SOURCE__INIT;

	FAIL_BEFORE("DenialsWatch");
	host->watches++;
	source.kind = (char *)(host->apparmor ? "audit" : "none");
	source.reason = (char *)(host->apparmor ? "" : "a fake kernel without AppArmor");
	item.source = &source;
	reply(&item, request);
	if (!host->apparmor) {
		rpc_end(request);
		return;
	}
	host->denials = request;
	host->denials_reply = reply;
	rpc_request_on_cancel(request, watcher_left, host);
}

bool fake_host_deny(struct fake_host *host, const Phoenix__DenialsItem *item)
{
	if (!host->denials)
		return false;
	host->denials_reply(item, host->denials);
	return true;
}

static void channel_closed(void *user, const struct ph_error *error)
{
	*(struct channel **)user = NULL;
}

static void accepted(void *user, int fd, const struct ucred *peer)
{
	struct fake_host *host = user;

	static const char *const streaming[] = { "DenialsWatch", NULL };

	for (size_t i = 0; i < ARRAY_LENGTH(host->channels); i++) {
		const struct channel_config config = { .service = &host->service.base,
						       .streaming = streaming,
						       .closed = channel_closed,
						       .user = &host->channels[i] };

		if (host->channels[i])
			continue;
		channel_open(host->loop, fd, &config, &host->channels[i]);
		return;
	}
	abort();
}

void fake_host_open(struct fake_host *host, uv_loop_t *loop, const char *run_dir)
{
	static const Phoenix__Host_Service service = PHOENIX__HOST__INIT(host__);
	struct address address = { .family = ADDRESS_UNIX };
	struct ph_error error;

	host->service = service;
	host->loop = loop;
	text_copy(host->run_dir, sizeof(host->run_dir), run_dir);
	snprintf(address.path, sizeof(address.path), "%.90s/host.sock", host->run_dir);
	if (listener_open(loop, &address, 0600, accepted, host, &host->listener, &error) < 0) {
		fprintf(stderr, "fake host: %s\n", error.why);
		abort();
	}
}

void fake_host_close(struct fake_host *host)
{
	listener_close(host->listener);
	host->listener = NULL;
	for (size_t i = 0; i < ARRAY_LENGTH(host->channels); i++)
		if (host->channels[i])
			channel_close(host->channels[i]);
}
