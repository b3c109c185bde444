/*
 * preflight: phoenix-host's facts, then those of one container's agent, judged and sorted. An agent that
 * cannot be asked is a finding, not a failure: the host's part is worth having without it.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/memory.h"
#include "common/str.h"
#include "controller/api/api_private.h"
#include "controller/container/preflight.h"
#include "controller/preflight/judge.h"

#define HOST_MS 60000
#define AGENT_MS 40000
#define IDS_USUAL 65536

struct preflight {
	struct registry *registry; /* borrowed */
	struct rpc_request *request;
	Phoenix__PreflightReply_Closure reply;
	struct findings findings;
	struct judge_wanted wanted;
	char name[64];    /* of the container; "": of the host alone */
	char *error_text; /* owned; Docker's, to be judged; "" */
	char *kernel;     /* owned */
	bool is_gone;     /* the client has left */
};

static void preflight_free(struct preflight *preflight)
{
	findings_fini(&preflight->findings);
	free(preflight->error_text);
	free(preflight->kernel);
	free(preflight);
}

static void client_left(void *user)
{
	((struct preflight *)user)->is_gone = true;
}

static void answer(struct preflight *preflight)
{
	Phoenix__PreflightReply reply = PHOENIX__PREFLIGHT_REPLY__INIT;

	findings_sort(&preflight->findings);
	reply.container = preflight->name;
	reply.kernel = preflight->kernel;
	reply.n_findings = preflight->findings.count;
	reply.findings = preflight->findings.items;
	if (preflight->is_gone)
		rpc_end(preflight->request);
	else
		preflight->reply(&reply, preflight->request);
	preflight_free(preflight);
}

static void fail(struct preflight *preflight, const struct ph_error *error)
{
	if (preflight->is_gone)
		rpc_end(preflight->request);
	else
		rpc_fail(preflight->request, error);
	preflight_free(preflight);
}

/* ---- the container ---- */

static void judge_text(struct preflight *preflight, uint64_t uid_count, uint64_t gid_count)
{
	if (preflight->error_text[0])
		judge_error_text(preflight->error_text, uid_count, gid_count, &preflight->findings);
}

static void add_unknown(struct preflight *preflight, const char *why)
{
	findings_add(&preflight->findings, "preflight.inside-unknown", FINDINGS_WARN,
		     "phoenixctl health tells how its agent is; phoenixctl apply starts it",
		     "the inside of the container was not looked at: %.200s", why);
}

static void agent_answered(void *user, const ProtobufCMessage *message,
			   const struct ph_error *error)
{
	struct preflight *preflight = user;

	if (error)
		add_unknown(preflight, error->why);
	else
		judge_container((const Phoenix__AgentPreflightReply *)message, &preflight->wanted,
				&preflight->findings);
	answer(preflight);
}

static void ask_agent(struct preflight *preflight, const struct container *container)
{
	static const struct rpc_handlers handlers = { .finished = agent_answered };
	Phoenix__AgentPreflightRequest request = PHOENIX__AGENT_PREFLIGHT_REQUEST__INIT;
	const Phoenix__IdRange *ids = container->record->ids;
	uint64_t count = ids ? ids->count : IDS_USUAL;

	preflight->findings.container = preflight->name;
	judge_text(preflight, count, count);
	if (agent_link_call(container->link, "Preflight", &request.base, AGENT_MS, &handlers,
			    preflight, NULL) == 0)
		return;
	add_unknown(preflight, "no agent of it is connected");
	answer(preflight);
}

/* ---- the host ---- */

static void host_answered(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	const Phoenix__HostPreflightReply *facts = (const Phoenix__HostPreflightReply *)message;
	struct preflight *preflight = user;
	struct container *container;
	struct ph_error gone;

	if (error) {
		fail(preflight, error);
		return;
	}
	preflight->kernel = ph_strdup(facts->kernel);
	judge_host(facts, &preflight->wanted, &preflight->findings);
	if (!preflight->name[0]) {
		judge_text(preflight, IDS_USUAL, IDS_USUAL);
		answer(preflight);
		return;
	}
	container = registry_find(preflight->registry, preflight->name);
	if (container) {
		ask_agent(preflight, container);
		return;
	}
	error_set(&gone, -ENOENT, preflight->name, "phoenixctl list shows what there is",
		  "the container was removed meanwhile");
	fail(preflight, &gone);
}

API_HANDLER(preflight, PreflightRequest, PreflightReply)
{
	struct registry *registry = api_registry(service);
	Phoenix__HostPreflightRequest question = PHOENIX__HOST_PREFLIGHT_REQUEST__INIT;
	struct container *container = input->name[0] ? registry_find(registry, input->name) : NULL;
	struct preflight *preflight;

	if (input->name[0] && !container) {
		api_fail_not_found(request, input->name);
		return;
	}
	preflight = ph_alloc(sizeof(*preflight));
	preflight->registry = registry;
	preflight->request = request;
	preflight->reply = reply;
	preflight->error_text = ph_strdup(input->error_text);
	preflight->wanted = container ? preflight_wanted(container) :
				       preflight_wanted_by_all(registry);
	text_copy(preflight->name, sizeof(preflight->name), input->name);
	question.ids = container ? container->record->ids : NULL;
	rpc_request_on_cancel(request, client_left, preflight);
	host_link_call(registry->host, "Preflight", &question.base, HOST_MS, host_answered,
		       preflight, NULL);
}
