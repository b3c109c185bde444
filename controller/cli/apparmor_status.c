/* phoenixctl apparmor status: what the host can do, our profiles, and every container with its label. */
#include <inttypes.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/table.h"

#define HASH_SHOWN 12

static void print_why(const char *reason, const char *remedy)
{
	if (!reason[0])
		return;
	fputs("  ", stdout);
	print_clean(reason);
	putchar('\n');
	if (!remedy[0])
		return;
	fputs("  -> ", stdout);
	print_clean(remedy);
	putchar('\n');
}

static void print_host(const Phoenix__ConfineStatusReply *status)
{
	fputs("Kernel ", stdout);
	print_clean(status->kernel);
	fputs(", apparmor_parser ", stdout);
	print_clean(status->parser_version[0] ? status->parser_version : "none");
	fputs(", rules of ", stdout);
	for (size_t i = 0; i < status->n_features; i++) {
		fputs(i ? ", " : "", stdout);
		print_clean(status->features[i]);
	}
	puts(status->n_features ? "" : "the first version");
	if (!status->apparmor) {
		print_colored("31", "AppArmor cannot confine here");
		putchar('\n');
		print_why(status->reason, status->remedy);
		return;
	}
	puts("AppArmor enforces.");
	if (status->stacked) {
		puts("mode: stacked can be had.");
		return;
	}
	puts("mode: stacked cannot be had:");
	print_why(status->stacked_reason, status->stacked_remedy);
}

static void print_profiles(const Phoenix__ConfineStatusReply *status)
{
	static const char *const head[] = { "PROFILE", "MODE", "STATE", "HASH", "CONTAINERS" };
	struct table table;

	if (!status->n_profiles)
		return;
	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < status->n_profiles; i++) {
		const Phoenix__ConfineProfile *profile = status->profiles[i];
		char hash[HASH_SHOWN + 1], users[24];
		const char *const cells[] = { profile->name, profile->mode, profile->state, hash,
					      users };

		text_copy(hash, sizeof(hash), profile->hash[0] ? profile->hash : "-");
		if (profile->n_containers == 1)
			text_copy(users, sizeof(users), profile->containers[0]);
		else
			snprintf(users, sizeof(users), "%zu", profile->n_containers);
		table_add(&table, cells);
	}
	putchar('\n');
	table_print(&table);
	table_fini(&table);
	for (size_t i = 0; i < status->n_profiles; i++) {
		if (!status->profiles[i]->reason[0])
			continue;
		print_clean(status->profiles[i]->name);
		puts(":");
		print_why(status->profiles[i]->reason, status->profiles[i]->remedy);
	}
}

static const char *verdict(const Phoenix__ConfineContainer *container)
{
	if (container->confined)
		return "yes";
	return container->accepted ? "BEST-EFFORT" : "NO";
}

static void print_containers(const Phoenix__ConfineStatusReply *status)
{
	static const char *const head[] = { "CONTAINER", "KIND",  "CONFINED",
					    "LABEL",	 "IDS",   "STARTED" };
	struct table table;

	if (!status->n_containers) {
		puts("\nNo container runs on this host.");
		return;
	}
	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < status->n_containers; i++) {
		const Phoenix__ConfineContainer *container = status->containers[i];
		char since[25];
		const char *const cells[] = { container->name[0] ? container->name : "?",
					      container->kind,
					      verdict(container),
					      container->label[0] ? container->label : "-",
					      container->own_ids ? "own" : "THE HOST'S",
					      clock_format(container->since_ms, since) };

		table_add(&table, cells);
	}
	putchar('\n');
	table_print(&table);
	table_fini(&table);
	if (status->is_cut)
		puts("There are more than these.");
}

static void print_unconfined(const Phoenix__ConfineStatusReply *status)
{
	for (size_t i = 0; i < status->n_containers; i++) {
		const Phoenix__ConfineContainer *container = status->containers[i];
		char since[25];

		if (container->confined)
			continue;
		putchar('\n');
		print_clean(container->name[0] ? container->name : "?");
		printf(": unconfined since %s or later (%" PRIu32 " of %" PRIu32 " processes)\n",
		       clock_format(container->since_ms, since),
		       container->expected[0] || container->processes_off_label ?
			       container->processes_off_label :
			       container->processes,
		       container->processes);
		print_why(container->reason, container->remedy);
	}
}

/* Whether something is not held that should be. */
static bool is_unhealthy(const Phoenix__ConfineStatusReply *status)
{
	for (size_t i = 0; i < status->n_containers; i++)
		if (!status->containers[i]->confined && !status->containers[i]->accepted)
			return true;
	for (size_t i = 0; i < status->n_profiles; i++)
		if (status->profiles[i]->n_containers &&
		    !text_equal(status->profiles[i]->mode, "enforce"))
			return true;
	return false;
}

int command_apparmor_status(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ConfinementStatusRequest request = PHOENIX__CONFINEMENT_STATUS_REQUEST__INIT;
	Phoenix__ConfineStatusReply *status = NULL;
	bool is_bad;
	int r = invocation_connect(invocation, error);

	if (r == 0)
		r = client_call(invocation->client, "ConfinementStatus", &request.base, &status,
				error);
	if (r < 0)
		return r;
	if (invocation->json) {
		json_print(&status->base, false);
	} else {
		print_host(status);
		print_profiles(status);
		print_containers(status);
		print_unconfined(status);
	}
	is_bad = is_unhealthy(status);
	message_free(status);
	return is_bad ? EXIT_UNHEALTHY : EXIT_OK;
}
