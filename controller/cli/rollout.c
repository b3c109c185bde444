/*
 * phoenixctl rollout: begun, followed, commanded and looked up. Following shows one line for each move
 * of a container, and on a terminal below them how far it is.
 */
#include "controller/cli/rollout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/progress.h"
#include "controller/cli/table.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/selector.h"

#define ITEM(name) PHOENIX__ROLLOUT_ITEM__STATE__##name
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name

PH_DEFINE_CLEANUP(Phoenix__Fleet *, fleet_free);

/* ---- words ---- */

static const char *item_word(unsigned int state)
{
	static const char *const words[] = {
		"waiting",   "in preflight", "passed preflight", "refused",	 "draining",
		"drained",   "converting",   "converted",	  "verifying", "soaking",
		"done",	     "FAILED",	     "reverting",	  "reverted",  "NOT REVERTED",
	};

	return state < ARRAY_LENGTH(words) ? words[state] : "?";
}

static const char *state_word(unsigned int state)
{
	static const char *const words[] = { "preflight", "canary",    "waves", "at a gate", "paused",
					     "halting",	  "reverting", "done",	"halted",    "reverted",
					     "REVERT FAILED" };

	return state < ARRAY_LENGTH(words) ? words[state] : "?";
}

static const char *cause_word(unsigned int cause)
{
	static const char *const words[] = { "", "preflight refused", "failure budget",
					     "no progress", "operator", "a revert failed" };

	return cause < ARRAY_LENGTH(words) ? words[cause] : "?";
}

static const char *color_of(unsigned int state)
{
	switch (state) {
	case ITEM(DONE):
		return "32";
	case ITEM(FAILED):
	case ITEM(REFUSED):
	case ITEM(REVERT_FAILED):
		return "31";
	case ITEM(REVERTING):
	case ITEM(REVERTED):
		return "33";
	default:
		return NULL;
	}
}

/* What the exit code says of a rollout: 3 when it did not get where it was to go. */
static int exit_of(const Phoenix__RolloutRecord *record)
{
	bool is_wanted = record->cause == PHOENIX__ROLLOUT_RECORD__CAUSE__OPERATOR;

	if (record->state == ROLLOUT(REVERT_FAILED))
		return EXIT_UNHEALTHY; /* nobody wants that */
	if (record->state == ROLLOUT(HALTED) || record->state == ROLLOUT(REVERTED))
		return is_wanted ? EXIT_OK : EXIT_UNHEALTHY;
	return EXIT_OK;
}

/* ---- printing ---- */

static void print_head(const Phoenix__RolloutRecord *record)
{
	char begun[25];

	fputs("Rollout ", stdout);
	print_clean(record->id);
	printf(": %s", state_word(record->state));
	if (record->cause)
		printf(" (%s)", cause_word(record->cause));
	if (record->note[0]) {
		fputs(", ", stdout);
		print_clean(record->note);
	}
	printf("\n%u containers in %u waves, at most %u unavailable, %u of %u failures; begun %s\n",
	       record->total, record->waves + 1, record->max_unavailable, record->failures,
	       record->failure_budget, clock_format(record->created_ms, begun));
	if (record->state == ROLLOUT(GATE))
		puts("It waits for you: phoenixctl rollout resume, or abort, or revert");
	if (record->state == ROLLOUT(REVERT_FAILED))
		puts("Once the reason is mended, phoenixctl rollout revert tries it again");
}

static void print_items(const Phoenix__RolloutStatus *status, bool with_changes)
{
	static const char *const head[] = { "NAME", "WAVE", "STATE", "SINCE", "WHY" };
	struct table table;

	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < status->n_items; i++) {
		const Phoenix__RolloutItemStatus *item = status->items[i];
		char wave[16], since[25] = "-";

		snprintf(wave, sizeof(wave), item->wave ? "%u" : "canary", item->wave);
		if (item->since_ms)
			clock_format(item->since_ms, since);
		const char *cells[] = { item->name, wave, item_word(item->state), since,
					item->failure ? item->failure->why : "" };

		table_add(&table, cells);
	}
	table_print(&table);
	table_fini(&table);
	for (size_t i = 0; i < status->n_items && with_changes; i++) {
		const Phoenix__RolloutItemStatus *item = status->items[i];

		for (size_t j = 0; j < item->n_changes; j++) {
			print_clean(item->name);
			fputs(": ", stdout);
			print_clean(item->changes[j]);
			putchar('\n');
		}
		if (item->failure)
			output_failure(item->failure);
	}
}

int rollout_print(const struct invocation *invocation, const Phoenix__RolloutStatus *status,
		  bool with_changes, struct ph_error *error)
{
	if (invocation->json) {
		json_print(&status->base, false);
	} else if (status->rollout) {
		print_head(status->rollout);
		print_items(status, with_changes);
	}
	return output_check(error);
}

/* ---- following ---- */

struct rollout_view {
	struct progress_view progress;
	uint32_t done, back, total;
	Phoenix__RolloutRecord *last; /* owned */
	bool has_begun;
};

static void count(struct rollout_view *view, const Phoenix__RolloutItemStatus *item)
{
	view->done += item->state == ITEM(DONE);
	view->back += item->state == ITEM(REVERTED);
}

static void show_item(struct rollout_view *view, const Phoenix__RolloutItemStatus *item)
{
	const char *color = color_of(item->state);

	if (item->state < ITEM(DRAINING) && item->state != ITEM(REFUSED))
		return; /* preflight is quick and of all of them */
	progress_clear(&view->progress);
	print_clean(item->name);
	fputs(": ", stdout);
	if (color)
		print_colored(color, item_word(item->state));
	else
		fputs(item_word(item->state), stdout);
	putchar('\n');
	if (item->failure && (item->state == ITEM(FAILED) || item->state == ITEM(REFUSED) ||
			      item->state == ITEM(REVERT_FAILED)))
		output_failure(item->failure);
}

static void show_state(struct rollout_view *view, const Phoenix__RolloutRecord *record)
{
	char text[96];

	if (view->last && view->last->state == record->state && view->last->wave == record->wave)
		return;
	progress_clear(&view->progress);
	if (record->state == ROLLOUT(WAVES))
		snprintf(text, sizeof(text), "wave %u of %u", record->wave, record->waves);
	else
		snprintf(text, sizeof(text), "%s%s%s", state_word(record->state),
			 record->cause ? ": " : "", cause_word(record->cause));
	printf("-- %s\n", text);
}

static int follow_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__RolloutStatus *status = (const Phoenix__RolloutStatus *)message;
	struct rollout_view *view = user;
	char text[96];

	if (view->progress.json)
		json_print(message, true);
	for (size_t i = 0; i < status->n_items; i++) {
		count(view, status->items[i]);
		if (view->has_begun && !view->progress.json)
			show_item(view, status->items[i]);
	}
	if (status->rollout && !view->progress.json) {
		show_state(view, status->rollout);
		snprintf(text, sizeof(text), "%u of %u done, %u reverted, %u failed", view->done,
			 status->rollout->total, view->back, status->rollout->failures);
		progress_status(&view->progress, state_word(status->rollout->state), text);
	}
	view->has_begun = true;
	if (status->rollout)
		MESSAGE_REPLACE(view->last, status->rollout);
	return output_check(error);
}

int rollout_follow(struct invocation *invocation, const char *id, struct ph_error *error)
{
	Phoenix__RolloutRequest request = PHOENIX__ROLLOUT_REQUEST__INIT;
	struct rollout_view view = { .progress = { .json = invocation->json } };
	int r;

	request.id = (char *)id;
	request.follow = true;
	r = client_stream(invocation->client, "RolloutShow", &request.base, follow_item, &view, error);
	progress_clear(&view.progress);
	if (r == 0 && !view.last)
		r = error_set(error, -EPROTO, NULL, "phoenixctl rollout status",
			      "phoenixd has told nothing of the rollout");
	if (r == 0 && !view.last->ended_ms)
		r = error_set(error, CLIENT_UNREACHABLE, NULL,
			      "phoenixctl rollout status --watch goes on with it",
			      "phoenixd stopped telling before the rollout was over");
	if (r == 0) {
		if (!invocation->json)
			print_head(view.last);
		r = exit_of(view.last);
	}
	message_free(view.last);
	return r;
}

/* ---- commands ---- */

static int read_order(const struct invocation *invocation, Phoenix__Fleet **ret_fleet,
		      struct ph_error *error)
{
	const char *file = invocation_value(invocation, "file");
	const char *only = invocation_value(invocation, "only");
	struct selector selector;

	if (!file)
		return error_set(error, -EINVAL, NULL, "phoenixctl rollout start -f fleet.yaml",
				 "no fleet file was named");
	if (only && selector_parse(only, &selector, error) < 0)
		return -EINVAL;
	return fleet_load(file, ret_fleet, error) < 0 ? -EINVAL : 0;
}

int command_rollout_start(struct invocation *invocation, struct ph_error *error)
{
	PH_CLEANUP(fleet_free_cleanup) Phoenix__Fleet *fleet = NULL;
	Phoenix__RolloutStartRequest request = PHOENIX__ROLLOUT_START_REQUEST__INIT;
	const char *only = invocation_value(invocation, "only");
	Phoenix__RolloutStatus *status = NULL;
	int r = read_order(invocation, &fleet, error);

	if (r == 0)
		r = invocation_connect(invocation, error);
	if (r < 0)
		return r;
	request.fleet = fleet;
	request.selector = (char *)(only ? only : "");
	request.push_agents = invocation_value(invocation, "push-agents") != NULL;
	request.plan_only = invocation_value(invocation, "dry-run") != NULL;
	r = client_call(invocation->client, "RolloutStart", &request.base, &status, error);
	if (r < 0)
		return r;
	if (!status->rollout && !invocation->json)
		puts("nothing to do: every selected container is as the file says");
	if (status->rollout && invocation_value(invocation, "watch") && !request.plan_only)
		r = rollout_follow(invocation, status->rollout->id, error);
	else
		r = rollout_print(invocation, status, request.plan_only, error);
	message_free(status);
	return r;
}

static int show_item_of(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	MESSAGE_REPLACE(*(Phoenix__RolloutStatus **)user, (const Phoenix__RolloutStatus *)message);
	return 0;
}

static int show(struct invocation *invocation, bool with_changes, struct ph_error *error)
{
	Phoenix__RolloutRequest request = PHOENIX__ROLLOUT_REQUEST__INIT;
	Phoenix__RolloutStatus *status = NULL;
	int r = invocation_connect(invocation, error);

	if (r < 0)
		return r;
	request.id = (char *)(invocation->argument_count ? invocation->arguments[0] : "");
	if (invocation_value(invocation, "watch"))
		return rollout_follow(invocation, request.id, error);
	r = client_stream(invocation->client, "RolloutShow", &request.base, show_item_of, &status,
			  error);
	if (r == 0 && (!status || !status->rollout))
		r = error_set(error, -EPROTO, NULL, NULL, "phoenixd has told nothing of the rollout");
	if (r == 0)
		r = rollout_print(invocation, status, with_changes, error);
	if (r == 0)
		r = exit_of(status->rollout);
	message_free(status);
	return r;
}

int command_rollout_status(struct invocation *invocation, struct ph_error *error)
{
	return show(invocation, false, error);
}

int command_rollout_show(struct invocation *invocation, struct ph_error *error)
{
	return show(invocation, true, error);
}

static int order(struct invocation *invocation, Phoenix__RolloutCommandRequest__Command command,
		 struct ph_error *error)
{
	Phoenix__RolloutCommandRequest request = PHOENIX__ROLLOUT_COMMAND_REQUEST__INIT;
	Phoenix__RolloutStatus *status = NULL;
	int r = invocation_connect(invocation, error);

	if (r < 0)
		return r;
	request.id = (char *)(invocation->argument_count ? invocation->arguments[0] : "");
	request.command = command;
	r = client_call(invocation->client, "RolloutCommand", &request.base, &status, error);
	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&status->base, false);
	else if (status->rollout)
		print_head(status->rollout);
	message_free(status);
	return output_check(error);
}

int command_rollout_pause(struct invocation *invocation, struct ph_error *error)
{
	return order(invocation, PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__PAUSE, error);
}

int command_rollout_resume(struct invocation *invocation, struct ph_error *error)
{
	return order(invocation, PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__RESUME, error);
}

int command_rollout_abort(struct invocation *invocation, struct ph_error *error)
{
	return order(invocation, PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__ABORT, error);
}

int command_rollout_revert(struct invocation *invocation, struct ph_error *error)
{
	return order(invocation, PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__REVERT, error);
}

static void print_history(const Phoenix__RolloutListReply *list)
{
	static const char *const head[] = { "ID", "BEGUN", "STATE", "CAUSE", "CONTAINERS", "FAILED" };
	struct table table;

	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < list->n_rollouts; i++) {
		const Phoenix__RolloutRecord *record = list->rollouts[i]->rollout;
		char begun[25], total[16], failures[16];

		if (!record)
			continue;
		snprintf(total, sizeof(total), "%u", record->total);
		snprintf(failures, sizeof(failures), "%u", record->failures);
		const char *cells[] = { record->id, clock_format(record->created_ms, begun),
					state_word(record->state), cause_word(record->cause), total,
					failures };

		table_add(&table, cells);
	}
	table_print(&table);
	table_fini(&table);
}

int command_rollout_history(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__RolloutRequest request = PHOENIX__ROLLOUT_REQUEST__INIT;
	Phoenix__RolloutListReply *list = NULL;
	int r = invocation_connect(invocation, error);

	if (r == 0)
		r = client_call(invocation->client, "RolloutList", &request.base, &list, error);
	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&list->base, false);
	else
		print_history(list);
	message_free(list);
	return output_check(error);
}
