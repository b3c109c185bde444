#include "tests/support/rpc_pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "tests/support/cmocka.h"

static int side_send(void *user, const uint8_t *frame, size_t length)
{
	struct side *side = user;

	if (side->send_result < 0)
		return side->send_result;
	str_append_bytes(&side->sent, frame, length);
	side->frames++;
	return 0;
}

static size_t side_unsent(void *user)
{
	return ((struct side *)user)->unsent;
}

/* --- the service --- */

static void request_cancelled(void *user)
{
	str_append(&((struct side *)user)->log, "cancelled ");
}

static void keep(struct side *side, void *closure_data)
{
	rpc_request_on_cancel(closure_data, request_cancelled, side);
	side->kept[side->kept_count++] = closure_data;
}

void end_with_failure(struct rpc_request *request)
{
	struct ph_error error = { 0 };

	error_set(&error, -ENOSPC, "/var/lib/docker", "Make room.", "disk full");
	error_prefix(&error, "install docker.io");
	error_step(&error, "unpack");
	rpc_fail(request, &error);
}

char *huge_text(void)
{
	char *text = ph_alloc(FRAME_LIMIT + 1);

	memset(text, 'x', FRAME_LIMIT);
	return text;
}

static void serve_unary(struct side *side, Phoenix__DescribeReply_Closure closure,
			void *closure_data)
{
	Phoenix__DescribeReply reply = PHOENIX__DESCRIBE_REPLY__INIT;
	PH_AUTO_FREE char *huge = NULL;

	side->served++;
	reply.distribution = (char *)"debian";
	switch (side->behaviour) {
	case KEEP:
		keep(side, closure_data);
		return;
	case FAIL:
		end_with_failure(closure_data);
		return;
	case NO_ANSWER:
		closure(NULL, closure_data);
		return;
	case END:
		rpc_end(closure_data);
		return;
	case HUGE:
		reply.distribution = huge = huge_text();
		break;
	case FREE:
		rpc_free(take_pointer(side->rpc));
		break;
	default:
		break;
	}
	closure(&reply, closure_data);
}

void send_item(Phoenix__VerifyItem_Closure closure, void *closure_data, const char *id)
{
	Phoenix__VerifyItem item = PHOENIX__VERIFY_ITEM__INIT;
	Phoenix__Check check = PHOENIX__CHECK__INIT;

	check.id = (char *)id;
	item.check = &check;
	closure(&item, closure_data);
}

static void serve_stream(struct side *side, Phoenix__VerifyItem_Closure closure, void *closure_data)
{
	PH_AUTO_FREE char *huge = NULL;

	side->served++;
	side->closure = closure;
	switch (side->behaviour) {
	case KEEP:
		keep(side, closure_data);
		return;
	case FAIL:
		send_item(closure, closure_data, "first");
		end_with_failure(closure_data);
		return;
	case NO_ANSWER:
		closure(NULL, closure_data);
		return;
	case END:
		rpc_end(closure_data);
		return;
	case HUGE:
		huge = huge_text();
		send_item(closure, closure_data, "first");
		send_item(closure, closure_data, huge);
		assert_true(rpc_request_is_cancelled(closure_data));
		send_item(closure, closure_data, "third");
		break;
	case FREE:
		send_item(closure, closure_data, "first");
		rpc_free(take_pointer(side->rpc));
		assert_true(rpc_request_is_cancelled(closure_data));
		assert_int_equal(rpc_request_unsent(closure_data), 0);
		send_item(closure, closure_data, "second");
		break;
	default:
		send_item(closure, closure_data, "first");
		send_item(closure, closure_data, "second");
		send_item(closure, closure_data, "third");
		break;
	}
	rpc_end(closure_data);
}

static void agent_describe(Phoenix__Agent_Service *service, const Phoenix__DescribeRequest *input,
			   Phoenix__DescribeReply_Closure closure, void *closure_data)
{
	serve_unary((struct side *)service, closure, closure_data);
}

static void agent_verify(Phoenix__Agent_Service *service, const Phoenix__VerifyRequest *input,
			 Phoenix__VerifyItem_Closure closure, void *closure_data)
{
	struct side *side = (struct side *)service;

	str_append(&side->log, input->operation);
	serve_stream(side, closure, closure_data);
}

/* The remaining methods exist for the generated table, but for health: it answers what it was told. */
static void agent_install(Phoenix__Agent_Service *service, const Phoenix__InstallRequest *input,
			  Phoenix__InstallItem_Closure closure, void *closure_data)
{
	rpc_end(closure_data);
}

static void agent_health(Phoenix__Agent_Service *service, const Phoenix__HealthRequest *input,
			 Phoenix__HealthReply_Closure closure, void *closure_data)
{
	Phoenix__HealthReply reply = PHOENIX__HEALTH_REPLY__INIT;

	reply.uptime_ms = rpc_request_timeout(closure_data);
	reply.resident_bytes = rpc_request_unsent(closure_data);
	closure(&reply, closure_data);
}

static void agent_resume(Phoenix__Agent_Service *service, const Phoenix__ResumeRequest *input,
			 Phoenix__ResumeReply_Closure closure, void *closure_data)
{
	Phoenix__ResumeReply reply = PHOENIX__RESUME_REPLY__INIT;

	closure(&reply, closure_data);
}

static void agent_storage(Phoenix__Agent_Service *service, const Phoenix__StorageRequest *input,
			  Phoenix__StorageReply_Closure closure, void *closure_data)
{
	Phoenix__StorageReply reply = PHOENIX__STORAGE_REPLY__INIT;

	closure(&reply, closure_data);
}

static void agent_repair(Phoenix__Agent_Service *service, const Phoenix__RepairRequest *input,
			 Phoenix__RepairReply_Closure closure, void *closure_data)
{
	Phoenix__RepairReply reply = PHOENIX__REPAIR_REPLY__INIT;

	closure(&reply, closure_data);
}

static void agent_preflight(Phoenix__Agent_Service *service,
			    const Phoenix__AgentPreflightRequest *input,
			    Phoenix__AgentPreflightReply_Closure closure, void *closure_data)
{
	Phoenix__AgentPreflightReply reply = PHOENIX__AGENT_PREFLIGHT_REPLY__INIT;

	closure(&reply, closure_data);
}

static const Phoenix__Agent_Service agent_service = PHOENIX__AGENT__INIT(agent_);
static const char *const agent_streaming[] = { "Install", "Verify", NULL };

void side_init(struct side *side, bool serves)
{
	struct rpc_config config = {
		.service = serves ? (ProtobufCService *)&side->service : NULL,
		.streaming = agent_streaming,
		.send = side_send,
		.unsent = side_unsent,
		.user = side,
	};

	*side = (struct side){ .service = agent_service };
	frame_reader_init(&side->reader, 0);
	side->rpc = rpc_new(&config);
}

void side_fini(struct side *side)
{
	rpc_free(take_pointer(side->rpc));
	for (size_t i = 0; i < side->kept_count; i++)
		if (side->kept[i])
			rpc_end(side->kept[i]);
	frame_reader_fini(&side->reader);
	str_fini(&side->sent);
	str_fini(&side->log);
}

void pair_init(struct pair *pair)
{
	side_init(&pair->caller, false);
	side_init(&pair->server, true);
}

void pair_fini(struct pair *pair)
{
	side_fini(&pair->caller);
	side_fini(&pair->server);
}

/* Hand over what one side has sent; bytes for a side that has gone are lost. */
int deliver(struct side *from, struct side *to, struct ph_error *error)
{
	const uint8_t *payload;
	size_t length;
	int result = 0;

	frame_reader_feed(&to->reader, (const uint8_t *)from->sent.data, from->sent.length);
	from->sent.length = 0;
	while (frame_reader_next(&to->reader, &payload, &length) == FRAME_READY)
		if (to->rpc && result == 0)
			result = rpc_receive(to->rpc, payload, length, error);
	return result;
}

void pump(struct pair *pair)
{
	struct ph_error error = { 0 };

	while (pair->caller.sent.length || pair->server.sent.length) {
		assert_int_equal(deliver(&pair->caller, &pair->server, &error), 0);
		assert_int_equal(deliver(&pair->server, &pair->caller, &error), 0);
	}
}

static void item_received(void *user, const ProtobufCMessage *message)
{
	struct outcome *outcome = user;
	const Phoenix__VerifyItem *item = (const Phoenix__VerifyItem *)message;

	str_appendf(&outcome->log, "%s ", item->check ? item->check->id : "?");
	if (outcome->item_hook)
		outcome->item_hook(outcome);
}

static void call_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct outcome *outcome = user;

	assert_true(!reply || !error);
	outcome->ends++;
	if (error) {
		outcome->error = *error;
		str_append(&outcome->log, strerrorname_np(-error->code));
	} else if (!reply) {
		str_append(&outcome->log, "end");
	} else if (reply->descriptor == &phoenix__describe_reply__descriptor) {
		str_append(&outcome->log, ((const Phoenix__DescribeReply *)reply)->distribution);
	} else {
		str_append(&outcome->log, reply->descriptor->short_name);
	}
	if (outcome->finished_hook)
		outcome->finished_hook(outcome);
}

const struct rpc_handlers unary = { .finished = call_finished };
const struct rpc_handlers streamed = { .item = item_received, .finished = call_finished };

int call_describe(struct pair *pair, struct outcome *outcome, uint32_t timeout_ms)
{
	Phoenix__DescribeRequest request = PHOENIX__DESCRIBE_REQUEST__INIT;

	outcome->pair = pair;
	return rpc_call(pair->caller.rpc, &phoenix__agent__descriptor, "Describe", &request.base,
			timeout_ms, NOW_MS, &unary, outcome, &outcome->call);
}

int call_verify(struct pair *pair, struct outcome *outcome, uint32_t timeout_ms)
{
	Phoenix__VerifyRequest request = PHOENIX__VERIFY_REQUEST__INIT;

	outcome->pair = pair;
	return rpc_call(pair->caller.rpc, &phoenix__agent__descriptor, "Verify", &request.base,
			timeout_ms, NOW_MS, &streamed, outcome, &outcome->call);
}

void outcome_expect(struct outcome *outcome, const char *log)
{
	assert_string_equal(str_text(&outcome->log), log);
	str_fini(&outcome->log);
}
