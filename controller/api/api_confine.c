/* How the host is confined: phoenix-host looks, phoenixd passes it on. */
#include "controller/api/api_private.h"

#include <stdlib.h>

#include "common/memory.h"

#define STATUS_MS 60000

/* The client may have gone when phoenix-host answers. */
struct question {
	struct rpc_request *request;
	ProtobufCClosure reply;
	bool is_gone;
};

static void client_left(void *user)
{
	((struct question *)user)->is_gone = true;
}

static void answered(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct question *question = user;

	if (question->is_gone)
		rpc_end(question->request);
	else if (error)
		rpc_fail(question->request, error);
	else
		question->reply(message, question->request);
	free(question);
}

API_HANDLER(confinement_status, ConfinementStatusRequest, ConfineStatusReply)
{
	Phoenix__ConfineStatusRequest verb = PHOENIX__CONFINE_STATUS_REQUEST__INIT;
	struct question *question = ph_alloc(sizeof(*question));

	question->request = request;
	question->reply = (ProtobufCClosure)reply;
	rpc_request_on_cancel(request, client_left, question);
	host_link_call(api_registry(service)->host, "ConfineStatus", &verb.base, STATUS_MS,
		       answered, question, NULL);
}
