/* phoenixctl events: one line per event; gaps are never passed over in silence. */
#include <errno.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/cleanup.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/table.h"

static const char *severity_word(const Phoenix__Event *event)
{
	static const char *const words[] = { "debug", "info", "WARNING", "ERROR" };

	return event->severity < ARRAY_LENGTH(words) ? words[event->severity] : "?";
}

static void print_fields(const Phoenix__Event *event)
{
	for (size_t i = 0; i < event->n_fields; i++) {
		if (!event->fields[i]->value[0])
			continue;
		fputs("          ", stdout);
		print_clean(event->fields[i]->key);
		fputs(": ", stdout);
		print_clean(event->fields[i]->value);
		putchar('\n');
	}
}

static void print_event(const Phoenix__Event *event)
{
	char time[25];

	printf("%8llu  %s  %-7s  ", (unsigned long long)event->seq,
	       clock_format(event->wall_ms, time), severity_word(event));
	print_clean(event->container[0] ? event->container : "-");
	fputs("  ", stdout);
	print_clean(event->type);
	fputs("  ", stdout);
	print_clean(event->reason);
	if (event->message[0])
		fputs(": ", stdout);
	print_clean(event->message);
	putchar('\n');
	if (event->severity == PHOENIX__EVENT__SEVERITY__ERROR || text_equal(event->type, "gap"))
		print_fields(event);
}

static void events_item(void *user, const ProtobufCMessage *message)
{
	const Phoenix__EventsItem *item = (const Phoenix__EventsItem *)message;
	const struct invocation *invocation = user;

	for (size_t i = 0; i < item->n_events; i++) {
		if (invocation->json)
			json_print(&item->events[i]->base, true);
		else
			print_event(item->events[i]);
	}
	fflush(stdout);
}

int command_events(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__EventsRequest request = PHOENIX__EVENTS_REQUEST__INIT;
	const char *container = invocation_value(invocation, "container");
	uint64_t since = 0, tail = 0;

	if (invocation_number(invocation, "since", &since, error) < 0 ||
	    invocation_number(invocation, "tail", &tail, error) < 0)
		return -EINVAL;
	request.since = since;
	request.tail = tail > UINT32_MAX ? UINT32_MAX : (uint32_t)tail;
	request.container = (char *)(container ? container : "");
	request.follow = invocation_value(invocation, "follow") != NULL;
	return client_stream(invocation->client, "Events", &request.base, events_item, invocation,
			     error);
}
