#include "controller/events/gap.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "controller/events/events.h"

struct gap gap_place(uint64_t since, uint64_t oldest, uint64_t last)
{
	if (since == 0)
		return (struct gap){ GAP_NONE, oldest, oldest };
	if (since < oldest)
		return (struct gap){ GAP_RETENTION, since, oldest };
	if (since > last + 1)
		return (struct gap){ GAP_BEYOND_END, since, last + 1 };
	return (struct gap){ GAP_NONE, since, since };
}

static Phoenix__Event *new_event(const char *type, const char *reason, char *message)
{
	Phoenix__Event *event = ph_alloc(sizeof(*event));

	phoenix__event__init(event);
	event->wall_ms = clock_wall_ms();
	event->monotonic_ms = clock_monotonic_ms();
	event->severity = PHOENIX__EVENT__SEVERITY__WARNING;
	event->type = ph_strdup(type);
	event->reason = ph_strdup(reason);
	event->message = message;
	return event;
}

static void add_field(Phoenix__Event *event, const char *key, uint64_t value)
{
	Phoenix__Pair *pair = ph_alloc(sizeof(*pair));

	phoenix__pair__init(pair);
	pair->key = ph_strdup(key);
	pair->value = ph_format("%" PRIu64, value);
	event->fields = ph_realloc(event->fields, (event->n_fields + 1) * sizeof(*event->fields));
	event->fields[event->n_fields++] = pair;
}

Phoenix__Event *gap_event(const struct gap *gap, const char *stream)
{
	uint64_t to = gap->start - 1;
	Phoenix__Event *event;

	if (gap->kind == GAP_RETENTION)
		event = new_event(EVENTS_GAP, "Retention",
				  ph_format("events %" PRIu64 " to %" PRIu64 " are no longer kept",
					    gap->from, to));
	else
		event = new_event(EVENTS_GAP, "BeyondEnd",
				  ph_format("this log ends at %" PRIu64 ": a cursor at %" PRIu64
					    " is from another log",
					    to, gap->from));
	event->stream = ph_strdup(stream);
	event->seq = to;
	add_field(event, "from", gap->from);
	add_field(event, "to", to);
	return event;
}

Phoenix__Event *gap_dropped_event(uint64_t count)
{
	Phoenix__Event *event = new_event("events.dropped", "DiskRefused",
					  ph_format("%" PRIu64 " events could not be kept while "
						    "the disk refused them",
						    count));

	add_field(event, "count", count);
	return event;
}
