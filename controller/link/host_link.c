/*
 * A call lives in a list of its own, apart from the rpc calls: the connection below it may come and
 * go. It is "sent" while an rpc call carries it and "waiting" otherwise; when the link comes up all
 * waiting calls are sent, when it breaks all sent ones wait again.
 */
#include "controller/link/host_link.h"

#include <errno.h>
#include <string.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/timer.h"
#include "proto/host.pb-c.h"

#define RECONNECT_FIRST_MS 50
#define RECONNECT_LAST_MS 1000
#define SENT_MAXIMUM (RPC_REQUESTS_MAXIMUM - 8) /* streams need a place too */

struct host_call {
	struct host_link *link; /* borrowed */
	struct host_call *next;
	const ProtobufCMethodDescriptor *method;
	ProtobufCMessage *request; /* owned */
	uint64_t deadline_ms;
	struct rpc_call *rpc; /* borrowed; NULL while waiting */
	void (*finished)(void *user, const ProtobufCMessage *reply, const struct ph_error *error);
	void *user;
};

struct host_link {
	uv_loop_t *loop;
	struct host_link_config config;
	struct channel *channel; /* owned by the loop; NULL while down */
	struct timer *reconnect; /* owned */
	struct timer *deadline;  /* owned: for waiting calls */
	struct timer *turn;      /* owned: a place has become free for them */
	struct host_call *calls; /* owned; oldest first */
	unsigned int sent;       /* of them: carried by an rpc call */
	uint32_t backoff_ms;
	bool is_closing;
};

static void try_connect(void *user);
static void expire_waiting(void *user);

static void call_unlink(struct host_call *call)
{
	struct host_call **place = &call->link->calls;

	while (*place != call)
		place = &(*place)->next;
	*place = call->next;
}

static void call_free(struct host_call *call)
{
	protobuf_c_message_free_unpacked(call->request, NULL);
	free(call);
}

static void call_finish(struct host_call *call, const ProtobufCMessage *reply,
			const struct ph_error *error)
{
	call_unlink(call);
	call->finished(call->user, reply, error);
	call_free(call);
}

static void arm_deadline(struct host_link *link)
{
	uint64_t now = clock_monotonic_ms(), first = UINT64_MAX;

	for (struct host_call *call = link->calls; call; call = call->next)
		if (!call->rpc && call->deadline_ms < first)
			first = call->deadline_ms;
	if (first == UINT64_MAX)
		timer_stop(link->deadline);
	else
		timer_start(link->deadline, first > now ? first - now : 0, 0);
}

static void rpc_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct host_call *call = user;
	struct host_link *link = call->link;

	call->rpc = NULL;
	link->sent--;
	if (error && error->code == -ECONNRESET && !link->is_closing) {
		arm_deadline(link);
		return; /* phoenix-host has gone: this call waits for the next one */
	}
	call_finish(call, reply, error);
	if (!link->is_closing)
		timer_start(link->turn, 0, 0);
}

static void call_send(struct host_call *call)
{
	static const struct rpc_handlers handlers = { .finished = rpc_finished };
	uint64_t now = clock_monotonic_ms();
	uint32_t left = call->deadline_ms > now ? (uint32_t)(call->deadline_ms - now) : 1;

	if (call->link->sent >= SENT_MAXIMUM)
		return;
	if (channel_call(call->link->channel, &phoenix__host__descriptor, call->method->name,
			 call->request, left, &handlers, call, &call->rpc) < 0)
		call->rpc = NULL;
	else
		call->link->sent++;
}

static void send_waiting(struct host_link *link)
{
	for (struct host_call *call = link->calls; call && link->channel; call = call->next)
		if (!call->rpc)
			call_send(call);
	arm_deadline(link);
}

/* Not from inside the answer that made room: its call is still being finished. */
static void turn_come(void *user)
{
	send_waiting(user);
}

static void channel_closed(void *user, const struct ph_error *error)
{
	struct host_link *link = user;

	link->channel = NULL;
	if (link->is_closing) {
		free(link);
		return;
	}
	if (link->config.changed)
		link->config.changed(link->config.user, false);
	timer_start(link->reconnect, link->backoff_ms, 0);
}

static void retry_later(struct host_link *link)
{
	timer_start(link->reconnect, link->backoff_ms, 0);
	link->backoff_ms *= 2;
	if (link->backoff_ms > RECONNECT_LAST_MS)
		link->backoff_ms = RECONNECT_LAST_MS;
}

static void try_connect(void *user)
{
	struct host_link *link = user;
	const struct channel_config config = { .closed = channel_closed,
					       .user = link,
					       .barrier = link->config.barrier };
	int fd = address_connect(&link->config.address);

	if (fd < 0 || channel_open(link->loop, fd, &config, &link->channel) < 0) {
		link->channel = NULL;
		retry_later(link);
		return;
	}
	link->backoff_ms = RECONNECT_FIRST_MS;
	if (link->config.changed)
		link->config.changed(link->config.user, true);
	send_waiting(link);
}

static void expire_waiting(void *user)
{
	struct host_link *link = user;
	uint64_t now = clock_monotonic_ms();
	struct ph_error error;
	char address[128];

	for (struct host_call *call = link->calls; call;) {
		if (call->rpc || call->deadline_ms > now) {
			call = call->next;
			continue;
		}
		error_set(&error, -ETIMEDOUT, address_format(&link->config.address, address),
			  "start it: systemctl start phoenix-host",
			  "phoenix-host is not running, or keeps failing");
		error_prefix(&error, "%s", call->method->name);
		call_finish(call, NULL, &error);
		call = link->calls; /* finished() may have changed the list */
	}
	arm_deadline(link);
}

struct host_link *host_link_open(uv_loop_t *loop, const struct host_link_config *config)
{
	struct host_link *link = ph_alloc(sizeof(*link));

	link->loop = loop;
	link->config = *config;
	link->backoff_ms = RECONNECT_FIRST_MS;
	link->reconnect = timer_new(loop, try_connect, link);
	link->deadline = timer_new(loop, expire_waiting, link);
	link->turn = timer_new(loop, turn_come, link);
	timer_start(link->reconnect, 0, 0);
	return link;
}

void host_link_close(struct host_link *link)
{
	struct ph_error error;

	if (!link)
		return;
	link->is_closing = true;
	timer_close(link->reconnect);
	timer_close(link->deadline);
	timer_close(link->turn);
	error_set(&error, -ECANCELED, NULL, NULL, "the controller is stopping");
	while (link->calls) {
		struct host_call *call = link->calls;

		if (call->rpc)
			rpc_cancel(call->rpc); /* finishes it through rpc_finished() */
		else
			call_finish(call, NULL, &error);
	}
	if (link->channel)
		channel_close(link->channel);
	else
		free(link);
}

bool host_link_is_up(const struct host_link *link)
{
	return link->channel != NULL;
}

void host_link_call(struct host_link *link, const char *verb, const ProtobufCMessage *request,
		    uint32_t timeout_ms,
		    void (*finished)(void *user, const ProtobufCMessage *reply,
				     const struct ph_error *error),
		    void *user, struct host_call **ret_call)
{
	struct host_call *call = ph_alloc(sizeof(*call)), **place;

	call->link = link;
	call->method = protobuf_c_service_descriptor_get_method_by_name(&phoenix__host__descriptor,
									verb);
	call->request = message_copy(request);
	call->deadline_ms = clock_monotonic_ms() + timeout_ms;
	call->finished = finished;
	call->user = user;
	for (place = &link->calls; *place;)
		place = &(*place)->next;
	*place = call;
	if (link->channel)
		call_send(call);
	arm_deadline(link);
	if (ret_call)
		*ret_call = call;
}

int host_link_stream(struct host_link *link, const char *verb, const ProtobufCMessage *request,
		     const struct rpc_handlers *handlers, void *user, struct rpc_call **ret_call)
{
	if (!link->channel)
		return -ENOTCONN;
	return channel_call(link->channel, &phoenix__host__descriptor, verb, request, 0, handlers,
			    user, ret_call);
}

static void ignore_finished(void *user, const ProtobufCMessage *reply,
			    const struct ph_error *error)
{
}

void host_call_cancel(struct host_call *call)
{
	if (!call)
		return;
	call->finished = ignore_finished;
	if (call->rpc) {
		rpc_cancel(call->rpc); /* finishes and frees it through rpc_finished() */
	} else {
		call_unlink(call);
		call_free(call);
	}
}
