/* Ours: Agent.Health on a channel, as phoenixd calls it and agents answer. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/frame.h"
#include "common/memory.h"
#include "proto/agent.pb-c.h"
#include "tests/bench/rpc/way.h"

#define DEADLINE_MS 5000 /* as callers give in earnest */

struct caller {
	struct channel *channel;
	uv_loop_t loop;
	uint64_t *samples; /* borrowed during a round */
	size_t wanted;
	size_t done;
	uint64_t begun_ns;
};

/* --- what is served --- */

static void serve_health(Phoenix__Agent_Service *service, const Phoenix__HealthRequest *input,
			 Phoenix__HealthReply_Closure closure, void *closure_data)
{
	Phoenix__HealthReply reply = PHOENIX__HEALTH_REPLY__INIT;
	Phoenix__Condition conditions[WAY_CONDITIONS];
	Phoenix__Condition *pointers[WAY_CONDITIONS];

	for (size_t i = 0; i < WAY_CONDITIONS; i++) {
		phoenix__condition__init(&conditions[i]);
		conditions[i].type = (char *)way_conditions[i].type;
		conditions[i].status = PHOENIX__CONDITION__STATUS__TRUE;
		conditions[i].reason = (char *)way_conditions[i].reason;
		conditions[i].message = (char *)way_conditions[i].message;
		conditions[i].last_transition_ms = way_conditions[i].last_transition_ms;
		pointers[i] = &conditions[i];
	}
	reply.conditions = pointers;
	reply.n_conditions = WAY_CONDITIONS;
	reply.resident_bytes = 700000;
	reply.uptime_ms = 86400000;
	closure(&reply, closure_data);
}

static void end_process(void *user, const struct ph_error *error)
{
	_exit(0);
}

static void serve(int fd)
{
	Phoenix__Agent_Service service;
	struct channel_config config = {
		.service = (ProtobufCService *)&service,
		.closed = end_process,
	};
	struct channel *channel;
	uv_loop_t loop;

	phoenix__agent__init(&service, NULL);
	service.health = serve_health;
	if (uv_loop_init(&loop) < 0 || channel_open(&loop, fd, &config, &channel) < 0)
		_exit(1);
	uv_run(&loop, UV_RUN_DEFAULT);
}

/* Play a client by hand and count. */
void way_phoenix_measure(size_t *ret_request_bytes, size_t *ret_reply_bytes)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;
	uint8_t frame[1024];
	size_t length;
	ssize_t got;
	int fd = way_fork(serve);

	request.method = (char *)"Health";
	request.timeout_ms = DEADLINE_MS;
	envelope.id = 10000; /* of as many bytes as most ids of the run */
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	length = phoenix__envelope__pack(&envelope, frame + FRAME_HEADER_SIZE);
	frame_write_header(frame, (uint32_t)length);
	*ret_request_bytes = FRAME_HEADER_SIZE + length;
	if (write(fd, frame, *ret_request_bytes) < 0)
		way_die("write");
	got = read(fd, frame, sizeof(frame));
	if (got < FRAME_HEADER_SIZE)
		way_die("read");
	*ret_reply_bytes = (size_t)got;
	close(fd);
}

/* --- who calls --- */

static void call_again(struct caller *caller);

static void call_finished(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	const Phoenix__HealthReply *reply = (const Phoenix__HealthReply *)message;
	struct caller *caller = user;
	uint64_t now = way_now_ns();

	if (error || reply->n_conditions != WAY_CONDITIONS) {
		fprintf(stderr, "bench-rpc: the call failed: %s\n", error ? error->why : "reply");
		exit(1);
	}
	caller->samples[caller->done++] = now - caller->begun_ns;
	if (caller->done < caller->wanted)
		call_again(caller);
	else
		uv_stop(&caller->loop);
}

static void call_again(struct caller *caller)
{
	static const struct rpc_handlers handlers = { .finished = call_finished };
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;

	caller->begun_ns = way_now_ns();
	if (channel_call(caller->channel, &phoenix__agent__descriptor, "Health", &request.base,
			 DEADLINE_MS, &handlers, caller, NULL) < 0)
		way_die("call");
}

static void *phoenix_open(const char **ret_absent)
{
	struct channel_config config = { .closed = end_process };
	struct caller *caller = ph_alloc(sizeof(*caller));

	if (uv_loop_init(&caller->loop) < 0 ||
	    channel_open(&caller->loop, way_fork(serve), &config, &caller->channel) < 0)
		way_die("channel");
	return caller;
}

static void phoenix_round(void *state, uint64_t *samples, size_t calls)
{
	struct caller *caller = state;

	caller->samples = samples;
	caller->wanted = calls;
	caller->done = 0;
	call_again(caller);
	uv_run(&caller->loop, UV_RUN_DEFAULT);
}

const struct way way_phoenix = { "phoenix", phoenix_open, phoenix_round };
