/* phoenixctl drift: what has left what was asked for, and, when asked to, apply of what was recorded. */
#include <stdio.h>
#include <stdlib.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/cli/apply.h"
#include "controller/cli/commands.h"
#include "controller/cli/consent.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/table.h"

static void print_finding(const Phoenix__DriftFinding *finding)
{
	print_clean(finding->container);
	fputs("  ", stdout);
	print_colored("33", finding->id);
	puts(finding->observed ? "" : "  [claimed by the agent]");
	fputs("  wanted: ", stdout);
	print_clean(finding->wanted);
	fputs("\n  found:  ", stdout);
	print_clean(finding->found);
	fputs("\n  -> ", stdout);
	print_clean(text_empty(finding->repair) ? "this needs you" : finding->repair);
	putchar('\n');
}

static void print_drift(const Phoenix__DriftReply *drift)
{
	for (size_t i = 0; i < drift->n_findings; i++)
		print_finding(drift->findings[i]);
	printf("%u containers, %zu findings\n", drift->containers, drift->n_findings);
}

/* Apply of the recorded wishes changes only what is not as they say. */
static int repair(struct invocation *invocation, const Phoenix__DriftReply *drift,
		  struct ph_error *error)
{
	Phoenix__Fleet fleet = PHOENIX__FLEET__INIT;
	char question[96];
	int r;

	if (!drift->n_repairs) {
		puts("nothing of this can be repaired by apply");
		return EXIT_UNHEALTHY;
	}
	snprintf(question, sizeof(question), "Repair %zu containers by apply?", drift->n_repairs);
	r = consent_ask(invocation, question, error);
	if (r < 0)
		return r;
	fleet.version = 1;
	fleet.n_containers = drift->n_repairs;
	fleet.containers = drift->repairs;
	return apply_fleet(invocation, &fleet, error);
}

int command_drift(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__DriftRequest request = PHOENIX__DRIFT_REQUEST__INIT;
	Phoenix__DriftReply *drift;
	int r = invocation_connect(invocation, error);

	if (invocation->argument_count)
		request.selector = (char *)invocation->arguments[0];
	if (r == 0)
		r = client_call(invocation->client, "Drift", &request.base, &drift, error);
	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&drift->base, invocation_value(invocation, "repair") != NULL);
	else
		print_drift(drift);
	r = output_check(error);
	if (r == 0 && drift->n_findings)
		r = invocation_value(invocation, "repair") ? repair(invocation, drift, error) :
							     EXIT_UNHEALTHY;
	message_free(drift);
	return r;
}
