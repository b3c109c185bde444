#include "controller/container/claim_events.h"

#include <stdio.h>

#include "common/log.h"
#include "common/str.h"

/* Once: from then on we know. When it cannot be read, something may come twice. */
static void remember(struct container *container)
{
	struct ph_error error;

	container->is_spool_known = true;
	if (events_origin(journal_events(container->registry->journal), container_name(container),
			  container->spool, sizeof(container->spool), &container->spool_seq,
			  &error) < 0)
		log_error(LOG_LEVEL_WARNING, "claims", container_name(container), &error);
}

/* Whether an event is one that came before: its answer was lost, and the agent has sent it again. */
static bool came_before(struct container *container, const Phoenix__Event *event)
{
	if (text_empty(event->stream) || event->seq == 0)
		return false;
	if (!text_equal(container->spool, event->stream)) {
		text_copy(container->spool, sizeof(container->spool), event->stream);
		container->spool_seq = 0;
	}
	if (event->seq <= container->spool_seq)
		return true;
	container->spool_seq = event->seq;
	return false;
}

static void append(struct container *container, const Phoenix__Event *claimed)
{
	Phoenix__Event event = *claimed;
	char type[64];

	snprintf(type, sizeof(type), "claim.%.50s", claimed->type);
	event.container = (char *)container_name(container);
	event.type = type;
	event.origin_stream = container->spool;
	event.origin_seq = claimed->seq;
	event.seq = 0;
	event.stream = (char *)"";
	journal_append(container->registry->journal, &event);
}

void claim_events_take(struct container *container, const Phoenix__PublishRequest *request,
		       size_t count)
{
	if (!container->is_spool_known)
		remember(container);
	for (size_t i = 0; i < request->n_events; i++)
		if (!came_before(container, request->events[i]) && i < count)
			append(container, request->events[i]);
}
