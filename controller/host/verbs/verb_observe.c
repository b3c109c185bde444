/* Looking: one container, and all of them. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/host/verbs/observe.h"
#include "controller/host/verbs/verbs.h"

#define PAGE_MAXIMUM 128 /* containers of some 1.8 KiB at most; keeps the reply within one frame */

int verb_container_observe(const struct verb_host *host, const ProtobufCMessage *message,
			   struct ph_error *error)
{
	const Phoenix__ContainerRequest *request = (const void *)message;

	return observe_reply(host->config, request->name, false, host->output, error);
}

static void summarise_clone(const struct clone *clone, Phoenix__ContainerObservation *summary)
{
	message_set_text(&summary->clone_method, observe_clone_method(&clone->current));
	message_set_text(&summary->clone_reason, clone->current.reason);
	message_set_text(&summary->image, clone->current.image);
	message_set_text(&summary->image_digest, clone->current.digest);
	message_set_text(&summary->kept_image, clone->kept.image);
	message_set_text(&summary->kept_digest, clone->kept.digest);
	message_set_text(&summary->kept_clone_method, observe_clone_method(&clone->kept));
	if (clone->prepared.complete)
		message_set_text(&summary->prepared_image, clone->prepared.image);
}

/* In a list a container that cannot be read does not hide the others. */
static Phoenix__ContainerObservation *summarise(struct profile_states *states, const char *name)
{
	Phoenix__ContainerObservation *summary = ph_alloc(sizeof(*summary));
	struct observation observation;
	struct ph_error error = { 0 };
	char text[512], address[16];

	phoenix__container_observation__init(summary);
	summary->exists = true;
	message_set_text(&summary->name, name);
	if (observe(states->config, name, states, &observation, &error) < 0) {
		message_set_text(&summary->failure, error_format(&error, text, sizeof(text)));
		return summary;
	}
	if (!observation.exists) {
		message_set_text(&summary->failure, "a directory without a container's record");
		return summary;
	}
	summary->running = observation.running;
	summary->init_pid = (uint32_t)observation.init;
	summary->init_start_ticks = observation.init_start_ticks;
	summary->processes = observation.processes;
	summary->processes_off_label = observation.off_label;
	summary->slot = observation.placement.slot;
	summary->memory_bytes = observation.memory_bytes;
	summary->ids = ph_alloc(sizeof(*summary->ids));
	phoenix__id_range__init(summary->ids);
	summary->ids->first = observation.placement.id_base;
	summary->ids->count = observation.placement.id_count;
	message_set_text(&summary->label, observation.label);
	message_set_text(&summary->first_offender, observation.first_offender);
	message_set_text(&summary->expected_profile, observation.placement.profile);
	message_set_text(&summary->profile_state, observe_profile_state(&observation));
	summarise_clone(&observation.clone, summary);
	message_set_text(&summary->address, ipv4_to_text(observation.placement.address, address));
	return summary;
}

int verb_container_list(const struct verb_host *host, const ProtobufCMessage *message,
			struct ph_error *error)
{
	const Phoenix__ContainerListRequest *request = (const void *)message;
	Phoenix__ContainerListReply reply = PHOENIX__CONTAINER_LIST_REPLY__INIT;
	struct profile_states states = { .config = host->config };
	PH_AUTO_FREE char(*names)[64] = NULL;
	size_t total, first = 0, count;
	int code = placement_names(host->config, &names, &total, error);

	if (code < 0)
		return code;
	while (first < total && strcmp(names[first], request->after) <= 0)
		first++;
	count = total - first < PAGE_MAXIMUM ? total - first : PAGE_MAXIMUM;
	reply.more = first + count < total;
	reply.containers = ph_alloc_array(count + 1, sizeof(*reply.containers));
	for (reply.n_containers = 0; reply.n_containers < count; reply.n_containers++)
		reply.containers[reply.n_containers] =
			summarise(&states, names[first + reply.n_containers]);
	worker_send(host->output, &reply.base);
	for (size_t i = 0; i < count; i++)
		message_free(reply.containers[i]);
	free(reply.containers);
	return 0;
}
