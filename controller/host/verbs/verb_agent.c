/* Push the agent: the label it must carry is the container's. */
#include <errno.h>
#include <string.h>

#include "common/address.h"
#include "common/str.h"
#include "controller/host/confine/label.h"
#include "controller/host/lxc/push.h"
#include "controller/host/verbs/placement.h"
#include "controller/host/verbs/verbs.h"

static int check_label(void *user, int process, struct ph_error *error)
{
	const struct placement *placement = user;
	struct confine_label label;
	char text[CONFINE_LABEL_SIZE];
	int code;

	if (!placement->profile[0])
		return 0;
	code = confine_label_read(process, &label);
	if (code < 0)
		return error_errno(error, code, placement->profile, NULL, "read the agent's label");
	if (confine_label_enforces(&label, placement->profile))
		return 0;
	return error_set(error, -EPERM, placement->profile,
			 "look at the container before starting it again",
			 "the agent runs as %s: it was killed",
			 confine_label_format(&label, text, sizeof(text)));
}

int verb_agent_push(const struct verb_host *host, const ProtobufCMessage *message,
		    struct ph_error *error)
{
	const Phoenix__AgentPushRequest *request = (const void *)message;
	Phoenix__AgentPushReply reply = PHOENIX__AGENT_PUSH_REPLY__INIT;
	struct placement placement;
	char address[128];
	struct push_result result;
	struct push_request push = {
		.name = request->name,
		.address = "/dev/phoenix/agent.sock",
		.program = host->config->agent,
		.boot_id = request->boot_id,
		.key = request->key.data,
		.spare_living = request->spare_living,
		.check_label = check_label,
		.user = &placement,
	};
	int code = placement_load(host->config, request->name, &placement, error);

	if (code < 0)
		return code;
	if (placement.vsock && !host->config->has_vsock)
		return error_set(error, -EOPNOTSUPP, request->name,
				 "set it to vsock:1:1022, say, and restart both daemons",
				 "the container's transport is vsock, but the configuration has no "
				 "key 'vsock'");
	if (placement.vsock)
		push.address = address_format(&host->config->vsock, address);
	push.id_base = placement.id_base;
	push.id_count = placement.id_count;
	code = push_agent(host->config, &push, &result, error);
	if (code < 0)
		return code;
	reply.pid = (uint32_t)result.pid;
	reply.digest = result.digest;
	reply.spared = result.is_spared;
	reply.duration_us = result.duration_us;
	worker_send(host->output, &reply.base);
	return 0;
}
