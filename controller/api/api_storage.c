/*
 * storage: one container's report. The agent measures for about two seconds; the answer waits in a
 * small object, because container and client may both be gone by then.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/api/api_private.h"

#define STORAGE_MS 40000 /* an agent on a slow machine needs more than its two seconds */
#define FACTS_MAXIMUM 64
#define NOTES_MAXIMUM 64 /* of each kind in a report */

struct measuring {
	struct rpc_request *request;
	Phoenix__StorageReport_Closure reply;
	char name[64];
};

/* The agent's words are claims: bounded, and under the name that we know it by. */
static bool is_usable(const Phoenix__StorageReport *report)
{
	return report && report->n_facts <= FACTS_MAXIMUM && report->n_reasons <= NOTES_MAXIMUM &&
	       report->n_findings <= NOTES_MAXIMUM && report->n_images <= NOTES_MAXIMUM &&
	       report->n_costs <= NOTES_MAXIMUM;
}

static void measured(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	const Phoenix__StorageReply *answer = (const Phoenix__StorageReply *)message;
	struct measuring *measuring = user;
	Phoenix__StorageReport report;
	struct ph_error failure;

	if (error) {
		rpc_fail(measuring->request, error);
	} else if (!is_usable(answer->report)) {
		error_set(&failure, -EPROTO, measuring->name, "try again",
			  "the agent gave no usable report");
		rpc_fail(measuring->request, &failure);
	} else {
		report = *answer->report;
		report.container = measuring->name;
		report.wall_ms = clock_wall_ms();
		measuring->reply(&report, measuring->request);
	}
	free(measuring);
}

API_HANDLER(storage, NameRequest, StorageReport)
{
	static const struct rpc_handlers handlers = { .finished = measured };
	struct container *container = registry_find(api_registry(service), input->name);
	Phoenix__StorageRequest question = PHOENIX__STORAGE_REQUEST__INIT;
	struct measuring *measuring;
	struct ph_error error;

	if (!container) {
		api_fail_not_found(request, input->name);
		return;
	}
	question.storage_driver = container->record->spec->storage_driver;
	question.data_root = (char *)"/var/lib/docker";
	question.allow_vfs = container->record->spec->storage_allow_vfs;
	question.allow_image_loss = container->record->spec->storage_allow_image_loss;
	measuring = ph_alloc(sizeof(*measuring));
	measuring->request = request;
	measuring->reply = reply;
	text_copy(measuring->name, sizeof(measuring->name), input->name);
	if (agent_link_call(container->link, "Storage", &question.base, STORAGE_MS, &handlers,
			    measuring, NULL) == 0)
		return;
	free(measuring);
	error_set(&error, -ENOTCONN, input->name, "phoenixctl health tells how it is",
		  "no agent of this container is connected");
	rpc_fail(request, &error);
}
