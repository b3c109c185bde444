/*
 * What a call takes of the allocator once a connection is warm: nothing, on either side, for the calls that
 * agents and phoenixd make all the time. Linked with --wrap for malloc and its kin.
 */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/rpc.h"
#include "proto/agent.pb-c.h"
#include "tests/support/cmocka.h"

#define NOW_MS 1000
#define WARM_UP 3
#define CALLS 1000

static size_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
	allocations++;
	return __real_realloc(pointer, size);
}

/* One side; the other takes what it sends when the call has returned. */
struct side {
	struct rpc *rpc;
	struct side *other;
	uint8_t sent[4096];
	size_t length;
	unsigned int answers;
};

static int take(void *user, const uint8_t *frame, size_t length)
{
	struct side *side = user;

	assert_true(side->length + length <= sizeof(side->sent));
	memcpy(side->sent + side->length, frame, length);
	side->length += length;
	return 0;
}

static void deliver(struct side *from)
{
	struct ph_error error;

	assert_true(from->length > FRAME_HEADER_SIZE);
	assert_int_equal(rpc_receive(from->other->rpc, from->sent + FRAME_HEADER_SIZE,
				     from->length - FRAME_HEADER_SIZE, &error),
			 0);
	from->length = 0;
}

static void heartbeat(Phoenix__Controller_Service *service,
		      const Phoenix__HeartbeatRequest *input,
		      Phoenix__HeartbeatReply_Closure reply, void *request)
{
	Phoenix__HeartbeatReply answer = PHOENIX__HEARTBEAT_REPLY__INIT;

	reply(&answer, request);
}

/* Four conditions, as an agent with Docker tells them. */
static void health(Phoenix__Agent_Service *service, const Phoenix__HealthRequest *input,
		   Phoenix__HealthReply_Closure reply, void *request)
{
	Phoenix__HealthReply answer = PHOENIX__HEALTH_REPLY__INIT;
	Phoenix__Condition conditions[4], *list[4];

	for (size_t i = 0; i < ARRAY_LENGTH(list); i++) {
		phoenix__condition__init(&conditions[i]);
		conditions[i].type = (char *)"DockerResponding";
		conditions[i].reason = (char *)"Responds";
		conditions[i].message = (char *)"20.10.24, 3 containers";
		list[i] = &conditions[i];
	}
	answer.conditions = list;
	answer.n_conditions = ARRAY_LENGTH(list);
	reply(&answer, request);
}

static void answered(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct side *side = user;

	assert_non_null(reply);
	side->answers++;
}

static void connect_sides(struct side *caller, ProtobufCService *service, struct side *server)
{
	struct rpc_config config = { .send = take, .user = caller };

	caller->rpc = rpc_new(&config);
	caller->other = server;
	config.service = service;
	config.user = server;
	server->rpc = rpc_new(&config);
	server->other = caller;
}

/* The allocations of CALLS calls, after a few. */
static size_t count_calls(ProtobufCService *service, const char *method,
			  const ProtobufCMessage *request)
{
	static const struct rpc_handlers handlers = { .finished = answered };
	struct side caller = { 0 }, server = { 0 };
	size_t before = 0;

	connect_sides(&caller, service, &server);
	for (unsigned int i = 0; i < WARM_UP + CALLS; i++) {
		if (i == WARM_UP)
			before = allocations;
		assert_int_equal(rpc_call(caller.rpc, service->descriptor, method, request, 10000,
					  NOW_MS, &handlers, &caller, NULL),
				 0);
		deliver(&caller);
		deliver(&server);
	}
	before = allocations - before;
	assert_int_equal(caller.answers, WARM_UP + CALLS);
	rpc_free(caller.rpc);
	rpc_free(server.rpc);
	return before;
}

/* The counter counts what the linked libraries allocate. */
static void test_counting(void **state)
{
	size_t before = allocations;
	struct rpc_config config = { .send = take };

	rpc_free(rpc_new(&config));
	assert_true(allocations > before);
}

static void test_heartbeat(void **state)
{
	Phoenix__Controller_Service service = { .base = { &phoenix__controller__descriptor,
							  protobuf_c_service_invoke_internal, NULL },
						.heartbeat = heartbeat };
	Phoenix__HeartbeatRequest request = PHOENIX__HEARTBEAT_REQUEST__INIT;

	request.monotonic_ms = 123456789;
	assert_int_equal(count_calls(&service.base, "Heartbeat", &request.base), 0);
}

static void test_health(void **state)
{
	Phoenix__Agent_Service service = { .base = { &phoenix__agent__descriptor,
						     protobuf_c_service_invoke_internal, NULL },
					   .health = health };
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;

	request.storage_driver = (char *)"fuse-overlayfs";
	request.docker_source = (char *)"distribution";
	assert_int_equal(count_calls(&service.base, "Health", &request.base), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counting),
		cmocka_unit_test(test_heartbeat),
		cmocka_unit_test(test_health),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
