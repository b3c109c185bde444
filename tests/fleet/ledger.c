#include "tests/fleet/ledger.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

struct operation_entry {
	char id[40]; /* first: the tree is sorted by it */
	unsigned int begun;
	bool has_ended;
};

void ledger_init(struct ledger *ledger, size_t count)
{
	*ledger = (struct ledger){ .count = count };
	ledger->agents = ph_alloc_array(count, sizeof(*ledger->agents));
}

void ledger_fini(struct ledger *ledger)
{
	tdestroy(ledger->operations, free);
	free(ledger->agents);
	*ledger = (struct ledger){ 0 };
}

static int compare_ids(const void *left, const void *right)
{
	return strcmp(left, right);
}

static struct operation_entry *entry_of(struct ledger *ledger, const char *id)
{
	struct operation_entry *entry = ph_alloc(sizeof(*entry)), **found;

	text_copy(entry->id, sizeof(entry->id), id);
	found = tsearch(entry, &ledger->operations, compare_ids);
	if (!found)
		abort();
	if (*found != entry)
		free(entry);
	return *found;
}

bool ledger_has_ended(const struct ledger *ledger, const char *operation)
{
	struct operation_entry *const *found =
		tfind(operation, &ledger->operations, compare_ids);

	return found && (*found)->has_ended;
}

/* ---- phoenixd's book ---- */

static void take_claim(struct ledger *ledger, const Phoenix__Event *event)
{
	struct ledger_agent *agent;
	size_t index, seq = (size_t)event->origin_seq;

	if (!fleet_index(event->container, &index) || index >= ledger->count ||
	    seq >= LEDGER_EVENTS)
		return;
	agent = &ledger->agents[index];
	if (!agent->stream[0])
		text_copy(agent->stream, sizeof(agent->stream), event->origin_stream);
	if (!text_equal(agent->stream, event->origin_stream)) {
		ledger->strangers++;
		return;
	}
	if (!text_equal(event->type, "claim.gap")) {
		agent->stored[seq]++;
		return;
	}
	for (; seq > 0 && !agent->stored[seq] && !agent->is_gap[seq]; seq--)
		agent->is_gap[seq] = true;
}

static int take_events(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__EventsItem *item = (const Phoenix__EventsItem *)message;
	struct ledger *ledger = user;

	for (size_t i = 0; i < item->n_events; i++) {
		const Phoenix__Event *event = item->events[i];
		bool is_end = text_equal(event->type, "operation.done") ||
			      text_equal(event->type, "operation.failed");

		ledger->since = event->seq + 1;
		ledger->is_cut |= text_equal(event->type, "gap");
		if (text_has_prefix(event->type, "claim."))
			take_claim(ledger, event);
		if (is_end && !entry_of(ledger, event->operation)->has_ended) {
			entry_of(ledger, event->operation)->has_ended = true;
			ledger->ended++;
		}
	}
	return 0;
}

void ledger_read_events(struct ledger *ledger, struct fleet *fleet)
{
	Phoenix__EventsRequest request = PHOENIX__EVENTS_REQUEST__INIT;
	struct client *client = fleet_connect(fleet, 60000);
	struct ph_error error = { 0 };

	request.since = ledger->since;
	if (client_collect(client, "Events", &request.base, take_events, ledger, &error) < 0)
		printf("# events: %s\n", error.why);
	client_close(client);
}

/* ---- the agents' ---- */

static void forget_begun(const void *node, VISIT visit, int depth)
{
	if (visit == postorder || visit == leaf)
		(*(struct operation_entry *const *)node)->begun = 0;
}

/* The word behind a mark in a line; false when the mark is not in it. */
static bool word_behind(const char *line, const char *mark, char *word, size_t size)
{
	const char *at = strstr(line, mark);
	size_t length;

	if (!at)
		return false;
	at += strlen(mark);
	length = strcspn(at, " \"\n");
	snprintf(word, size, "%.*s", (int)length, at);
	return true;
}

static void read_line(struct ledger *ledger, struct ledger_agent *agent, const char *line)
{
	char word[64];

	if (word_behind(line, "msg=\"begun: operation ", word, sizeof(word))) {
		unsigned int times = ++entry_of(ledger, word)->begun;

		ledger->begun += times == 1;
		ledger->begun_twice += times == 2;
	}
	if (word_behind(line, "msg=\"told: event ", word, sizeof(word)))
		agent->told = strtoul(word, NULL, 10);
}

void ledger_read_agents(struct ledger *ledger, const struct fleet *fleet)
{
	char path[200], name[64], line[2048];

	ledger->begun = ledger->begun_twice = 0;
	twalk(ledger->operations, forget_begun);
	for (size_t i = 0; i < ledger->count; i++) {
		PH_AUTO_FILE FILE *file = NULL;

		fleet_name(i, name);
		snprintf(path, sizeof(path), "%s/%s", fleet->log_dir, name);
		file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file))
			read_line(ledger, &ledger->agents[i], line);
	}
}

struct ledger_sum ledger_sum(const struct ledger *ledger)
{
	struct ledger_sum sum = { 0 };

	for (size_t i = 0; i < ledger->count; i++) {
		const struct ledger_agent *agent = &ledger->agents[i];

		sum.told += agent->told;
		for (size_t seq = 1; seq < LEDGER_EVENTS; seq++) {
			sum.stored += agent->stored[seq] > 0;
			sum.stored_twice += agent->stored[seq] > 1;
			sum.gaps += agent->is_gap[seq] && !agent->stored[seq];
			sum.missing += seq <= agent->told && !agent->stored[seq] &&
				       !agent->is_gap[seq];
		}
	}
	return sum;
}
