/* Messages are measured before memory is taken for them: what fits no frame costs nothing. */
#include <errno.h>
#include <stdlib.h>

#include "common/frame.h"
#include "common/memory.h"
#include "common/rpc_private.h"

/* Frame and send an envelope; -EMSGSIZE when it is over the frame limit. */
static int send_envelope(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	size_t length = phoenix__envelope__get_packed_size(envelope);
	uint8_t *frame;
	int result;

	if (rpc->is_closed)
		return -ECONNRESET;
	if (length > FRAME_LIMIT)
		return -EMSGSIZE;
	frame = ph_alloc(FRAME_HEADER_SIZE + length);
	frame_write_header(frame, (uint32_t)length);
	phoenix__envelope__pack(envelope, frame + FRAME_HEADER_SIZE);
	result = rpc->config.send(rpc->config.user, frame, FRAME_HEADER_SIZE + length);
	free(frame);
	return result;
}

/* Pack a message; -EMSGSIZE before allocating when it is larger than it may be. Free
 * ret_payload->data. */
static int pack_payload(const ProtobufCMessage *message, size_t limit,
			ProtobufCBinaryData *ret_payload)
{
	size_t length = protobuf_c_message_get_packed_size(message);

	if (length > limit)
		return -EMSGSIZE;
	ret_payload->data = ph_alloc(length);
	ret_payload->len = protobuf_c_message_pack(message, ret_payload->data);
	return 0;
}

int rpc_send_request(struct rpc *rpc, uint64_t id, const char *method, uint32_t timeout_ms,
		     size_t limit, const ProtobufCMessage *message)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;
	int result;

	request.method = (char *)method;
	request.timeout_ms = timeout_ms;
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	result = pack_payload(message, limit, &request.payload);
	if (result == 0)
		result = send_envelope(rpc, &envelope);
	free(request.payload.data);
	return result;
}

/* Send a response or an item. */
int rpc_send_output(struct rpc *rpc, uint64_t id, bool is_item, size_t limit,
		    const ProtobufCMessage *message)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	ProtobufCBinaryData payload = { 0 };
	int result;

	result = pack_payload(message, limit, &payload);
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
	result = send_envelope(rpc, &envelope);
	free(payload.data);
	return result;
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
