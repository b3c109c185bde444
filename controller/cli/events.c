/* phoenixctl events: one line per event; gaps are never passed over in silence. */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/table.h"

static const char *severity_word(const Phoenix__Event *event)
{
	static const char *const words[] = { "debug", "info", "WARNING", "ERROR" };

	return (size_t)event->severity < ARRAY_LENGTH(words) ? words[event->severity] : "?";
}

/* Whether events are missing here: out of retention, another log, or a disk that refused them. */
static bool is_gap(const Phoenix__Event *event)
{
	return text_equal(event->type, "gap") || text_equal(event->type, "events.dropped");
}

static void print_gap(const Phoenix__Event *event)
{
	print_colored("31", "*** EVENTS ARE MISSING HERE");
	fputs(": ", stdout);
	print_clean(event->message);
	fputs(" (", stdout);
	print_clean(event->reason);
	fputs(") ***\n", stdout);
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
	if (event->severity == PHOENIX__EVENT__SEVERITY__ERROR)
		print_fields(event);
}

static int events_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__EventsItem *item = (const Phoenix__EventsItem *)message;
	const struct invocation *invocation = user;

	for (size_t i = 0; i < item->n_events; i++) {
		if (invocation->json)
			json_print(&item->events[i]->base, true);
		else if (is_gap(item->events[i]))
			print_gap(item->events[i]);
		else
			print_event(item->events[i]);
	}
	return output_check(error);
}

static int read_options(const struct invocation *invocation, Phoenix__EventsRequest *request,
			struct ph_error *error)
{
	const char *container = invocation_value(invocation, "container");
	uint64_t tail = 1;

	if (invocation_number(invocation, "since", &request->since, error) < 0 ||
	    invocation_number(invocation, "tail", &tail, error) < 0)
		return -EINVAL;
	if (tail == 0 || tail > UINT32_MAX)
		return error_set(error, -EINVAL, NULL, "give 1 to 4294967295",
				 "option --tail: there cannot be so many");
	if (invocation_value(invocation, "tail"))
		request->tail = (uint32_t)tail;
	if (request->tail && request->since)
		return error_set(error, -EINVAL, NULL, "give one of them",
				 "--since and --tail exclude each other");
	if (container && !name_is_valid(container))
		return error_set(error, -EINVAL, NULL, "see: phoenixctl list",
				 "option --container: '%s' is no container's name", container);
	request->container = (char *)(container ? container : "");
	request->follow = invocation_value(invocation, "follow") != NULL;
	return 0;
}

int command_events(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__EventsRequest request = PHOENIX__EVENTS_REQUEST__INIT;
	int r = read_options(invocation, &request, error);

	if (r == 0)
		r = invocation_connect(invocation, error);
	if (r == 0)
		r = client_stream(invocation->client, "Events", &request.base, events_item,
				  invocation, error);
	return r;
}
