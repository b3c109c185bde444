/*
 * A request becomes a job. A job waits in one list in the order of arrival, runs in a child, and
 * ends by answering its request, which lives until then even when its connection has gone.
 *
 *   waiting -> running -> answered
 */
#include "controller/host/verbs/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/host/denials/watch.h"
#include "controller/host/tree/paths.h"
#include "controller/host/verbs/host_facts.h"
#include "controller/host/verbs/validate.h"
#include "controller/host/verbs/verbs.h"

struct job {
	struct server *server; /* borrowed */
	struct job *next;
	const struct verb *verb;
	ProtobufCMessage *request;    /* owned */
	ProtobufCMessage *result;     /* owned; the reply, once the child has sent it */
	struct rpc_request *rpc;      /* to be answered */
	ProtobufCClosure reply;
	struct worker *worker;        /* NULL while waiting */
	char key[VERB_KEY_SIZE];
	uint64_t started_ms;
};

struct connection {
	struct server *server; /* borrowed */
	struct connection *next;
	struct channel *channel;
};

struct server {
	Phoenix__Host_Service service; /* first: handlers recover the server from it */
	uv_loop_t *loop;
	struct server_config config;
	struct listener *listener;
	struct connection *connections; /* owned */
	struct job *jobs;               /* owned; oldest first */
	struct watches denials;
	bool is_closing;
};

static void start_ready(struct server *server);

static void job_free(struct job *job)
{
	struct job **place = &job->server->jobs;

	while (*place != job)
		place = &(*place)->next;
	*place = job->next;
	message_free(job->request);
	message_free(job->result);
	free(job);
}

static void job_log(const struct job *job, const struct ph_error *error)
{
	const char *subject = verb_subject(job->request);

	if (error)
		log_error(LOG_LEVEL_ERROR, "host", subject, error);
	else
		log_write(LOG_LEVEL_DEBUG, "host", subject, "%s done in %llu ms", job->verb->name,
			  (unsigned long long)(clock_monotonic_ms() - job->started_ms));
}

static void job_finish(struct job *job, const struct ph_error *error)
{
	struct server *server = job->server;
	struct ph_error silent;

	if (!error && !job->result) {
		error_set(&silent, -EIO, job->verb->name, NULL, "the verb gave no reply");
		error = &silent;
	}
	job_log(job, error);
	if (error)
		rpc_fail(job->rpc, error);
	else
		job->reply(job->result, job->rpc);
	job_free(job);
	start_ready(server);
}

/* In the child. */
static int job_run(struct worker_output *output, void *data, struct ph_error *error)
{
	const struct job *job = data;
	const struct verb_host host = {
		.config = job->server->config.config,
		.fuse_was_closed = job->server->config.fuse_was_closed,
		.output = output,
	};

	return verb_run(job->verb, &host, job->request, error);
}

static void job_message(void *user, const ProtobufCMessage *message)
{
	struct job *job = user;

	message_free(job->result);
	job->result = message_copy(message);
}

static void job_ended(void *user, const struct ph_error *error)
{
	struct job *job = user;
	struct ph_error late;

	if (error && error->code == -ETIMEDOUT && !error->what[0]) {
		late = *error;
		error_prefix(&late, "%s %s", job->verb->attempt, verb_subject(job->request));
		error = &late;
	}
	job_finish(job, error);
}

static int job_start(struct job *job)
{
	const ProtobufCMethodDescriptor *method = protobuf_c_service_descriptor_get_method_by_name(
		&phoenix__host__descriptor, job->verb->name);
	const struct worker_config config = {
		.run = job_run,
		.data = job,
		.deadline_ms = job->verb->deadline_ms,
		.message_type = method->output,
		.message = job_message,
		.finished = job_ended,
		.user = job,
	};

	job->started_ms = clock_monotonic_ms();
	return worker_start(job->server->loop, &config, &job->worker);
}

static bool may_start(const struct server *server, const struct job *job)
{
	if (!job->key[0])
		return true;
	for (const struct job *other = server->jobs; other != job; other = other->next)
		if (text_equal(other->key, job->key))
			return false;
	return true;
}

static struct job *next_ready(struct server *server)
{
	size_t running = 0;

	for (struct job *job = server->jobs; job; job = job->next)
		running += job->worker != NULL;
	if (running >= SERVER_RUNNING_MAXIMUM || server->is_closing)
		return NULL;
	for (struct job *job = server->jobs; job; job = job->next)
		if (!job->worker && may_start(server, job))
			return job;
	return NULL;
}

static void start_ready(struct server *server)
{
	struct ph_error error;
	struct job *job;
	int code;

	while ((job = next_ready(server))) {
		code = job_start(job);
		if (code == 0)
			continue;
		error_errno(&error, code, job->verb->name, NULL, "start a child");
		job_finish(job, &error); /* comes back here */
		return;
	}
}

static void submit(Phoenix__Host_Service *service, const char *name,
		   const ProtobufCMessage *request, ProtobufCClosure reply, void *closure_data)
{
	struct server *server = (struct server *)service;
	struct job **end = &server->jobs;
	struct ph_error error;
	struct job *job;

	if (validate_request(request, &error) < 0) {
		error_prefix(&error, "%s", name);
		log_error(LOG_LEVEL_WARNING, "host", NULL, &error);
		rpc_fail(closure_data, &error);
		return;
	}
	job = ph_alloc(sizeof(*job));
	job->server = server;
	job->verb = verb_find(name);
	job->request = message_copy(request);
	job->rpc = closure_data;
	job->reply = reply;
	verb_key(job->verb, request, job->key);
	while (*end)
		end = &(*end)->next;
	*end = job;
	start_ready(server);
}

/* The generated service's functions: one per method, so that a missing one does not compile. */
#define HANDLER(method, name, request_type, reply_type)                                            \
	static void handle_##method(Phoenix__Host_Service *service,                                \
				    const Phoenix__##request_type *input,                          \
				    Phoenix__##reply_type##_Closure reply, void *request)          \
	{                                                                                          \
		submit(service, name, &input->base, (ProtobufCClosure)reply, request);             \
	}

HANDLER(probe, "Probe", ProbeRequest, ProbeReply)
HANDLER(image_import, "ImageImport", ImageImportRequest, ImageReply)
HANDLER(image_remove, "ImageRemove", ImageNameRequest, ImageReply)
HANDLER(image_list, "ImageList", ImageListRequest, ImageListReply)
HANDLER(network_ensure, "NetworkEnsure", NetworkEnsureRequest, NetworkReply)
HANDLER(network_remove, "NetworkRemove", NetworkRemoveRequest, NetworkReply)
HANDLER(confine_ensure, "ConfineEnsure", ConfineEnsureRequest, ConfineReply)
HANDLER(confine_remove, "ConfineRemove", ConfineRemoveRequest, ConfineReply)
HANDLER(confine_status, "ConfineStatus", ConfineStatusRequest, ConfineStatusReply)
HANDLER(container_create, "ContainerCreate", ContainerCreateRequest, ContainerObservation)
HANDLER(container_start, "ContainerStart", ContainerRequest, ContainerObservation)
HANDLER(container_stop, "ContainerStop", ContainerStopRequest, ContainerObservation)
HANDLER(container_destroy, "ContainerDestroy", ContainerRequest, ContainerObservation)
HANDLER(container_rebuild, "ContainerRebuild", ContainerRebuildRequest, ContainerObservation)
HANDLER(container_discard, "ContainerDiscard", ContainerRequest, ContainerObservation)
HANDLER(container_observe, "ContainerObserve", ContainerRequest, ContainerObservation)
HANDLER(container_list, "ContainerList", ContainerListRequest, ContainerListReply)
HANDLER(preflight, "Preflight", HostPreflightRequest, HostPreflightReply)
HANDLER(foreign_list, "ForeignList", ForeignListRequest, ForeignListReply)
HANDLER(adopt, "Adopt", AdoptRequest, AdoptReply)
HANDLER(adopt_confine, "AdoptConfine", AdoptConfineRequest, AdoptReply)
HANDLER(adopt_revert, "AdoptRevert", ContainerRequest, AdoptReply)
HANDLER(adopt_forget, "AdoptForget", ContainerRequest, AdoptReply)
HANDLER(agent_push, "AgentPush", AgentPushRequest, AgentPushReply)

/* Not a job: it has no end of its own and locks nothing. */
static void handle_denials_watch(Phoenix__Host_Service *service,
				 const Phoenix__DenialsWatchRequest *input,
				 Phoenix__DenialsItem_Closure reply, void *request)
{
	struct server *server = (struct server *)service;

	watches_serve(&server->denials, (ProtobufCClosure)reply, request);
}

static const char *const streaming[] = { "DenialsWatch", NULL };
static const Phoenix__Host_Service handlers = PHOENIX__HOST__INIT(handle_);

static void server_free_if_done(struct server *server)
{
	if (server->is_closing && !server->connections)
		free(server);
}

static void connection_closed(void *user, const struct ph_error *error)
{
	struct connection *connection = user;
	struct server *server = connection->server;
	struct connection **place = &server->connections;

	while (*place != connection)
		place = &(*place)->next;
	*place = connection->next;
	free(connection);
	server_free_if_done(server);
}

static size_t count_connections(const struct server *server)
{
	size_t count = 0;

	for (const struct connection *each = server->connections; each; each = each->next)
		count++;
	return count;
}

static void accepted(void *user, int fd, const struct ucred *peer)
{
	struct server *server = user;
	struct channel_config config = { .service = &server->service.base,
					 .streaming = streaming,
					 .closed = connection_closed };
	struct connection *connection;

	if ((peer->uid != server->config.config->uid && peer->uid != 0) ||
	    count_connections(server) >= SERVER_CONNECTIONS_MAXIMUM) {
		log_write(LOG_LEVEL_WARNING, "host", NULL, "refused a connection of uid %u, pid %d",
			  peer->uid, peer->pid);
		close(fd);
		return;
	}
	connection = ph_alloc(sizeof(*connection));
	connection->server = server;
	config.user = connection;
	if (channel_open(server->loop, fd, &config, &connection->channel) < 0) {
		free(connection);
		return;
	}
	connection->next = server->connections;
	server->connections = connection;
}

/* root:user 0660 */
static int give_to_group(const struct config *config, struct ph_error *error)
{
	PH_AUTO_CLOSE int run = -1;
	int code = paths_open(config, PATHS_RUN, &run, error);

	if (code < 0)
		return code;
	if (fchownat(run, "host.sock", 0, config->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(error, -errno, "host.sock", NULL, "chown");
	return 0;
}

static void prepare_denials(struct server *server)
{
	struct subids subids;

	host_facts_subids(&subids);
	server->denials.loop = server->loop;
	server->denials.config = server->config.config;
	server->denials.first_id = subids.count ? subids.ranges[0].base : 0;
}

int server_open(uv_loop_t *loop, const struct server_config *config, struct server **ret_server,
		struct ph_error *error)
{
	struct server *server = ph_alloc(sizeof(*server));
	struct address address = { .family = ADDRESS_UNIX };
	char path[PATHS_SIZE];
	int code;

	server->service = handlers;
	server->loop = loop;
	server->config = *config;
	prepare_denials(server);
	code = paths_format(config->config, PATHS_RUN, NULL, "host.sock", path, error);
	if (code == 0)
		code = address_parse(path, &address, error);
	if (code == 0)
		code = listener_open(loop, &address, 0660, accepted, server, &server->listener,
				     error);
	if (code == 0)
		code = give_to_group(config->config, error);
	if (code < 0) {
		listener_close(server->listener);
		free(server);
		return code;
	}
	*ret_server = server;
	return 0;
}

/* A waiting job is refused; one at work is left to its child, and its request is answered here. */
static void drop_jobs(struct server *server)
{
	struct ph_error error;

	error_set(&error, -ECANCELED, NULL, NULL, "phoenix-host is stopping");
	while (server->jobs) {
		struct job *job = server->jobs;

		if (job->worker)
			worker_abandon(job->worker);
		rpc_fail(job->rpc, &error);
		job_free(job);
	}
}

void server_close(struct server *server)
{
	server->is_closing = true;
	listener_close(server->listener);
	drop_jobs(server);
	watches_close(&server->denials);
	for (struct connection *each = server->connections; each; each = each->next)
		channel_close(each->channel);
	server_free_if_done(server);
}
