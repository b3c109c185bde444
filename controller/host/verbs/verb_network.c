/* The containers' network: a thin layer over the network room. */
#include "controller/host/network/network.h"
#include "controller/host/verbs/verbs.h"

static void send_status(const struct verb_host *host, const struct network_status *status,
			bool changed)
{
	Phoenix__NetworkReply reply = PHOENIX__NETWORK_REPLY__INIT;
	Phoenix__Pair pairs[NETWORK_FINDINGS_MAXIMUM];
	Phoenix__Pair *findings[NETWORK_FINDINGS_MAXIMUM];

	for (size_t i = 0; i < status->finding_count; i++) {
		phoenix__pair__init(&pairs[i]);
		pairs[i].key = (char *)status->findings[i].what;
		pairs[i].value = (char *)status->findings[i].remedy;
		findings[i] = &pairs[i];
	}
	reply.n_findings = status->finding_count;
	reply.findings = findings;
	reply.bridge = (char *)status->bridge;
	reply.gateway = (char *)status->gateway;
	reply.subnet = (char *)status->subnet;
	reply.changed = changed;
	worker_send(host->output, &reply.base);
}

int verb_network_ensure(const struct verb_host *host, const ProtobufCMessage *message,
			struct ph_error *error)
{
	struct network_status status = { 0 };
	int code = network_ensure(host->config, &status, error);

	if (code < 0)
		return code;
	send_status(host, &status, code == NETWORK_CHANGED);
	return 0;
}

int verb_network_remove(const struct verb_host *host, const ProtobufCMessage *message,
			struct ph_error *error)
{
	struct network_status status = { 0 };
	int code = network_remove(host->config, &status, error);

	if (code < 0)
		return code;
	send_status(host, &status, code == NETWORK_CHANGED);
	return 0;
}
