/*
 * phoenixctl plan: what apply would do, and why. Exits with 2 when that is something; a bad file is 1
 * here, so that 2 has one meaning.
 */
#include "controller/cli/plan.h"

#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/table.h"
#include "controller/fleet/fleet.h"

PH_DEFINE_CLEANUP(Phoenix__Fleet *, fleet_free);

static const struct {
	const char *sign, *word, *color;
} actions[] = {
	[PHOENIX__PLAN_ITEM__ACTION__UNSET] = { "?", "unknown", "33" },
	[PHOENIX__PLAN_ITEM__ACTION__UNCHANGED] = { " ", "unchanged", NULL },
	[PHOENIX__PLAN_ITEM__ACTION__CREATE] = { "+", "create", "32" },
	[PHOENIX__PLAN_ITEM__ACTION__CHANGE] = { "~", "change", "33" },
	[PHOENIX__PLAN_ITEM__ACTION__REPAIR] = { "~", "repair", "33" },
	[PHOENIX__PLAN_ITEM__ACTION__REFUSE] = { "!", "refuse", "31" },
	[PHOENIX__PLAN_ITEM__ACTION__REMOVE] = { "-", "remove", "31" },
	[PHOENIX__PLAN_ITEM__ACTION__IGNORE] = { " ", "leave", NULL },
};

static void print_text(const char *before, const char *text)
{
	if (text_empty(text))
		return;
	fputs(before, stdout);
	print_clean(text);
}

static void print_change(const Phoenix__PlanChange *change)
{
	fputs(change->refused ? "    ! " : "      ", stdout);
	print_clean(change->field);
	fputs(": ", stdout);
	if (!text_empty(change->old)) {
		print_clean(change->old);
		fputs(" -> ", stdout);
	}
	print_clean(text_empty(change->new_) ? "none" : change->new_);
	print_text("\n          ", change->reason);
	putchar('\n');
}

static void print_item(const Phoenix__PlanItem *item)
{
	unsigned int action = item->action < ARRAY_LENGTH(actions) ? item->action : 0;
	char head[32];

	if (item->action == PHOENIX__PLAN_ITEM__ACTION__UNCHANGED)
		return;
	snprintf(head, sizeof(head), "%s %-7s ", actions[action].sign, actions[action].word);
	if (actions[action].color)
		print_colored(actions[action].color, head);
	else
		fputs(head, stdout);
	print_clean(item->container);
	print_text(": ", item->reason);
	print_text("\n          ", item->remedy);
	putchar('\n');
	for (size_t i = 0; i < item->n_changes; i++)
		print_change(item->changes[i]);
}

void plan_print(const Phoenix__PlanReply *plan)
{
	for (size_t i = 0; i < plan->n_items; i++)
		print_item(plan->items[i]);
	printf("%u to create, %u to change, %u to repair, %u to remove, %u unchanged, %u refused\n",
	       plan->create, plan->change, plan->repair, plan->remove, plan->unchanged,
	       plan->refuse);
}

bool plan_changes(const Phoenix__PlanReply *plan)
{
	return plan->create || plan->change || plan->repair || plan->remove || plan->refuse;
}

int plan_ask(struct invocation *invocation, const Phoenix__Fleet *fleet, bool prune,
	     Phoenix__PlanReply **ret_plan, struct ph_error *error)
{
	Phoenix__PlanRequest request = PHOENIX__PLAN_REQUEST__INIT;

	request.fleet = (Phoenix__Fleet *)fleet;
	request.prune = prune;
	return client_call(invocation->client, "Plan", &request.base, ret_plan, error);
}

int command_plan(struct invocation *invocation, struct ph_error *error)
{
	PH_CLEANUP(fleet_free_cleanup) Phoenix__Fleet *fleet = NULL;
	const char *file = invocation_value(invocation, "file");
	Phoenix__PlanReply *plan;
	bool is_different;
	int r;

	if (!file)
		return error_set(error, -EINVAL, NULL, "phoenixctl plan -f fleet.yaml",
				 "no fleet file was named");
	if (fleet_load(file, &fleet, error) < 0)
		return -EBADMSG;
	r = invocation_connect(invocation, error);
	if (r == 0)
		r = plan_ask(invocation, fleet, invocation_value(invocation, "prune") != NULL,
			     &plan, error);
	if (r < 0)
		return r == -EINVAL ? -EBADMSG : r;
	if (invocation->json)
		json_print(&plan->base, false);
	else
		plan_print(plan);
	is_different = plan_changes(plan);
	message_free(plan);
	r = output_check(error);
	return r == 0 && is_different ? EXIT_CHANGES : r;
}
