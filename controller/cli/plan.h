/* The plan of a fleet, as apply and plan show it. */
#pragma once

#include <stdbool.h>

#include "controller/cli/commands.h"
#include "proto/control.pb-c.h"

/* Ask the connected controller what apply would do; the reply is the caller's. */
int plan_ask(struct invocation *invocation, const Phoenix__Fleet *fleet, bool prune,
	     Phoenix__PlanReply **ret_plan, struct ph_error *error);

/* Print it, the unchanged as a number only. */
void plan_print(const Phoenix__PlanReply *plan);

/* Whether apply would do anything. */
bool plan_changes(const Phoenix__PlanReply *plan);
