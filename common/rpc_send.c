/* Messages are measured before memory is taken for them: what fits no frame costs nothing. */
#include <errno.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/rpc_private.h"

#define SMALL 1024 /* bytes of a message that needs no memory of its own */

/* Frame and send an envelope; -EMSGSIZE when it is over the frame limit. */
static int send_envelope(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	__attribute__((uninitialized)) uint8_t small[FRAME_HEADER_SIZE + SMALL];
	size_t length = phoenix__envelope__get_packed_size(envelope);
	PH_AUTO_FREE uint8_t *large = NULL;
	uint8_t *frame = small;

	if (rpc->is_closed)
		return -ECONNRESET;
	if (length > FRAME_LIMIT)
		return -EMSGSIZE;
	if (length > SMALL)
		frame = large = ph_alloc(FRAME_HEADER_SIZE + length);
	frame_write_header(frame, (uint32_t)length);
	phoenix__envelope__pack(envelope, frame + FRAME_HEADER_SIZE);
	return rpc->config.send(rpc->config.user, frame, FRAME_HEADER_SIZE + length);
}

/* Pack a message into small, or into *ret_large when it needs more; -EMSGSIZE before that when it is
 * larger than it may be. */
static int pack_payload(const ProtobufCMessage *message, size_t limit, uint8_t small[SMALL],
			uint8_t **ret_large, ProtobufCBinaryData *ret_payload)
{
	size_t length = protobuf_c_message_get_packed_size(message);

	if (length > limit)
		return -EMSGSIZE;
	if (length > SMALL)
		*ret_large = ph_alloc(length);
	ret_payload->data = length > SMALL ? *ret_large : small;
	ret_payload->len = protobuf_c_message_pack(message, ret_payload->data);
	return 0;
}

int rpc_send_request(struct rpc *rpc, uint64_t id, const char *method, uint32_t timeout_ms,
		     size_t limit, const ProtobufCMessage *message)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;
	__attribute__((uninitialized)) uint8_t small[SMALL];
	PH_AUTO_FREE uint8_t *large = NULL;
	int result;

	request.method = (char *)method;
	request.timeout_ms = timeout_ms;
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	result = pack_payload(message, limit, small, &large, &request.payload);
	return result < 0 ? result : send_envelope(rpc, &envelope);
}

/* Send a response or an item. */
int rpc_send_output(struct rpc *rpc, uint64_t id, bool is_item, size_t limit,
		    const ProtobufCMessage *message)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	ProtobufCBinaryData payload = { 0 };
	__attribute__((uninitialized)) uint8_t small[SMALL];
	PH_AUTO_FREE uint8_t *large = NULL;
	int result;

	result = pack_payload(message, limit, small, &large, &payload);
	if (result < 0)
		return result;
	envelope.id = id;
	if (is_item) {
		envelope.body_case = PHOENIX__ENVELOPE__BODY_ITEM;
		envelope.item = payload;
	} else {
		envelope.body_case = PHOENIX__ENVELOPE__BODY_RESPONSE;
		envelope.response = payload;
	}
	return send_envelope(rpc, &envelope);
}

void rpc_send_credit(struct rpc *rpc, uint64_t id, uint32_t items)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Credit credit = PHOENIX__CREDIT__INIT;

	credit.items = items;
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_CREDIT;
	envelope.credit = &credit;
	send_envelope(rpc, &envelope);
}

void rpc_send_cancel(struct rpc *rpc, uint64_t id)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Cancel cancel = PHOENIX__CANCEL__INIT;

	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_CANCEL;
	envelope.cancel = &cancel;
	send_envelope(rpc, &envelope);
}

/* End a request of the peer; error NULL: successfully. */
void rpc_send_end(struct rpc *rpc, uint64_t id, const struct ph_error *error)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__End end = PHOENIX__END__INIT;
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;

	if (error) {
		rpc_failure_from_error(&failure, error);
		end.failure = &failure;
	}
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_END;
	envelope.end = &end;
	send_envelope(rpc, &envelope);
}
