/* rotate-key: the old key is worth nothing from the moment this answers. */
#include "controller/api/api_private.h"

API_HANDLER(rotate_key, NameRequest, RotateKeyReply)
{
	struct container *container = registry_find(api_registry(service), input->name);
	Phoenix__RotateKeyReply answer = PHOENIX__ROTATE_KEY_REPLY__INIT;
	struct ph_error error;

	if (!container) {
		api_fail_not_found(request, input->name);
		return;
	}
	if (container_rotate_key(container, &error) < 0) {
		rpc_fail(request, &error);
		return;
	}
	answer.name = input->name;
	answer.pushed = container->is_agent_wanted;
	reply(&answer, request);
}
