/*
 * One side of a connection against a hostile peer: any payloads in any order, while calls of ours are in
 * flight, requests are kept open and the clock goes on. The first byte chooses what handlers do; then come
 * payloads, each behind two bytes of length.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/support/rpc_pair.h"

#define PAYLOADS_MAXIMUM 64

static const enum behaviour behaviours[] = { REPLY, KEEP, FAIL, NO_ANSWER, STREAM, END };

struct told {
	size_t items, ends;
};

static void on_item(void *user, const ProtobufCMessage *item)
{
	((struct told *)user)->items++;
	FUZZ_CHECK(item);
}

static void on_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	((struct told *)user)->ends++;
	FUZZ_CHECK(!reply || !error);
	FUZZ_CHECK(!error || error->code < 0);
}

static void begin_calls(struct rpc *rpc, struct told *told)
{
	static const struct rpc_handlers handlers = { .item = on_item, .finished = on_finished };
	static const struct rpc_handlers single = { .finished = on_finished };
	Phoenix__DescribeRequest describe = PHOENIX__DESCRIBE_REQUEST__INIT;
	Phoenix__VerifyRequest verify = PHOENIX__VERIFY_REQUEST__INIT;

	FUZZ_CHECK(rpc_call(rpc, &phoenix__agent__descriptor, "Describe", &describe.base, 5, NOW_MS,
			    &single, told, NULL) == 0);
	FUZZ_CHECK(rpc_call(rpc, &phoenix__agent__descriptor, "Verify", &verify.base, 0, NOW_MS,
			    &handlers, told, NULL) == 0);
}

/* Hand over payloads until the input ends or the connection is refused. */
static void receive_all(struct side *side, const uint8_t *bytes, size_t size)
{
	for (unsigned int i = 0; i < PAYLOADS_MAXIMUM && size >= 2; i++) {
		size_t length = bytes[0] | (size_t)bytes[1] << 8;
		struct ph_error error = { 0 };
		int result;

		bytes += 2;
		size -= 2;
		length = length < size ? length : size;
		result = rpc_receive(side->rpc, bytes, length, &error);
		FUZZ_CHECK(result == 0 || (result == -EPROTO && error.why[0]));
		if (result < 0)
			return;
		FUZZ_CHECK(side->kept_count <= RPC_REQUESTS_MAXIMUM);
		rpc_tick(side->rpc, NOW_MS + i);
		bytes += length;
		size -= length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct told told = { 0 };
	struct side side;

	if (!size)
		return 0;
	side_init(&side, !(bytes[0] & 0x80));
	side.behaviour = behaviours[bytes[0] % (sizeof(behaviours) / sizeof(behaviours[0]))];
	begin_calls(side.rpc, &told);
	receive_all(&side, bytes + 1, size - 1);
	side_fini(&side);
	/* However it went: each call has ended once. */
	FUZZ_CHECK(told.ends == 2);
	return 0;
}
