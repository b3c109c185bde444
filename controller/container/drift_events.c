#include "controller/container/drift_events.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "controller/fleet/fleet_drift.h"

/* The findings' ids joined: a text that changes in a message is not another drift. */
static char *find(struct container *container)
{
	Phoenix__ContainerStatus status;
	Phoenix__DriftReply *drift = ph_alloc(sizeof(*drift));
	struct str ids = STR_INIT;

	phoenix__drift_reply__init(drift);
	container_borrow_status(container, &status);
	fleet_drift_find(&status, drift);
	for (size_t i = 0; i < drift->n_findings; i++)
		str_appendf(&ids, "%s%s", i ? ", " : "", drift->findings[i]->id);
	message_free(drift);
	return str_take(&ids);
}

static void tell(struct container *container)
{
	PH_AUTO_FREE char *before = container->drift;
	char *now = container->drift = find(container);

	if (text_equal(before, now))
		return;
	if (now[0])
		journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__WARNING,
			      container_name(container), NULL, "drift.found", "NotAsAskedFor",
			      "%s; look with: phoenixctl drift %s", now,
			      container_name(container));
	else
		journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
			      container_name(container), NULL, "drift.gone", "AsAskedFor",
			      "it is as it was asked for again; it was %s", before);
}

void drift_events_tell(struct registry *registry)
{
	for (struct container *container = registry->containers; container;
	     container = container->next)
		if (!container->operation)
			tell(container);
}
