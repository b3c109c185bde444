#include "controller/cli/status.h"

#include <stdio.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/cli/output.h"
#include "controller/cli/report.h"
#include "controller/cli/table.h"

#define BEST_EFFORT "BEST-EFFORT"

static const Phoenix__Condition *find(const Phoenix__ContainerStatus *status, const char *type)
{
	for (size_t i = 0; i < status->n_conditions; i++)
		if (text_equal(status->conditions[i]->type, type))
			return status->conditions[i];
	return NULL;
}

static const char *word(const Phoenix__ContainerStatus *status, const char *type)
{
	static const char *const words[] = { "unknown", "yes", "NO" };
	const Phoenix__Condition *condition = find(status, type);

	if (!condition || (size_t)condition->status >= ARRAY_LENGTH(words))
		return "-";
	return words[condition->status];
}

static bool is_best_effort(const Phoenix__ContainerStatus *status)
{
	return status->spec &&
	       status->spec->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;
}

/* Best effort is never shown as if it were confinement. */
static const char *confinement_word(const Phoenix__ContainerStatus *status)
{
	const Phoenix__Condition *confined = find(status, "Confined");

	if (confined && confined->status == PHOENIX__CONDITION__STATUS__TRUE)
		return is_best_effort(status) ? "yes (best-effort)" : "yes";
	if (is_best_effort(status))
		return BEST_EFFORT " (unconfined)";
	return word(status, "Confined");
}

static const char *name_of(const Phoenix__ContainerStatus *status)
{
	return status->spec ? status->spec->name : "?";
}

/* Whether no profile holds a container that the operator has allowed to run so. */
static bool is_unconfined(const Phoenix__ContainerStatus *status)
{
	const Phoenix__Condition *confined = find(status, "Confined");

	return is_best_effort(status) &&
	       !(confined && confined->status == PHOENIX__CONDITION__STATUS__TRUE);
}

static void print_warning(size_t count, size_t total)
{
	if (!count)
		return;
	putchar('\n');
	print_colored("31", "WARNING");
	printf(": %zu of %zu containers run without AppArmor confinement (best-effort): the user\n"
	       "namespace is the only wall around them. Use a host whose kernel enforces AppArmor\n"
	       "and write confinement: required.\n",
	       count, total);
}

static void warn_best_effort(const Phoenix__ListReply *reply)
{
	size_t count = 0;

	for (size_t i = 0; i < reply->n_containers; i++)
		count += is_unconfined(reply->containers[i]);
	print_warning(count, reply->n_containers);
}

void status_print_list(const Phoenix__ListReply *reply)
{
	static const char *const head[] = { "NAME",    "PHASE", "READY",    "CONFINED",
					    "ADDRESS", "IMAGE", "OPERATION" };
	struct table table;

	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < reply->n_containers; i++) {
		const Phoenix__ContainerStatus *status = reply->containers[i];
		const char *const cells[] = { name_of(status),
					      status->phase,
					      word(status, "Ready"),
					      confinement_word(status),
					      status->address,
					      status->spec ? status->spec->image : "",
					      status->step[0] ? status->step : "-" };

		table_add(&table, cells);
	}
	table_print(&table);
	table_fini(&table);
	warn_best_effort(reply);
}

static void print_problem(const Phoenix__ContainerStatus *status,
			  const Phoenix__Condition *condition)
{
	fputs("  ", stdout);
	print_clean(name_of(status));
	fputs(": ", stdout);
	print_clean(condition->type);
	printf(" is %s (",
	       condition->status == PHOENIX__CONDITION__STATUS__FALSE ? "False" : "Unknown");
	print_clean(condition->reason);
	putchar(')');
	if (condition->message[0]) {
		fputs(": ", stdout);
		print_clean(condition->message);
	}
	puts(condition->observed ? "" : "  [claimed by the agent]");
	if (!condition->remedy[0])
		return;
	fputs("    remedy: ", stdout);
	print_clean(condition->remedy);
	putchar('\n');
}

static void print_problems(const Phoenix__ListReply *reply)
{
	bool has_head = false;

	for (size_t i = 0; i < reply->n_containers; i++) {
		const Phoenix__ContainerStatus *status = reply->containers[i];

		for (size_t j = 0; j < status->n_conditions; j++) {
			if (status->conditions[j]->status == PHOENIX__CONDITION__STATUS__TRUE)
				continue;
			if (!has_head)
				puts("\nNot as it should be:");
			has_head = true;
			print_problem(status, status->conditions[j]);
		}
	}
}

void status_print_health(const Phoenix__ListReply *reply)
{
	static const char *const head[] = { "NAME",   "READY",   "RUNNING", "CONFINED", "AGENT",
					    "DOCKER", "STORAGE", "DRIVER",  "ADDRESS" };
	struct table table;

	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < reply->n_containers; i++) {
		const Phoenix__ContainerStatus *status = reply->containers[i];
		const char *const cells[] = { name_of(status),
					      word(status, "Ready"),
					      word(status, "Running"),
					      confinement_word(status),
					      word(status, "AgentConnected"),
					      word(status, "DockerResponding"),
					      word(status, "StorageMountsAlive"),
					      status->verify ? status->verify->driver : "-",
					      status->address };

		table_add(&table, cells);
	}
	table_print(&table);
	table_fini(&table);
	print_problems(reply);
	warn_best_effort(reply);
}

/* ---- show ---- */

static void print_field(const char *name, const char *value)
{
	fputs("  ", stdout);
	print_padded(name, 14);
	putchar(' ');
	print_clean(value[0] ? value : "-");
	putchar('\n');
}

static void print_number(const char *name, uint64_t value, const char *unit)
{
	if (value)
		printf("  %-14s %llu%s\n", name, (unsigned long long)value, unit);
	else
		printf("  %-14s unlimited\n", name);
}

static void print_storage(const char *wanted, const char *chosen)
{
	char text[128];

	if (text_equal(wanted, "auto"))
		snprintf(text, sizeof(text), "auto (%.80s)",
			 text_empty(chosen) ? "not chosen yet" : chosen);
	else
		text_copy(text, sizeof(text), wanted);
	print_field("storage", text);
}

static void print_spec(const Phoenix__ContainerSpec *spec, const char *chosen)
{
	puts("Wanted:");
	print_field("image", spec->image);
	print_field("confinement",
		    spec->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT ?
			    BEST_EFFORT " (written so in the fleet file)" :
			    "required");
	print_storage(spec->storage_driver, chosen);
	print_field("docker", spec->docker_source);
	if (spec->resources) {
		print_number("memory", spec->resources->memory_bytes, " bytes");
		print_number("processors", spec->resources->cpu_percent, " %");
		print_number("processes", spec->resources->pids, "");
	}
	for (size_t i = 0; i < spec->n_labels; i++)
		print_field(spec->labels[i]->key, spec->labels[i]->value);
}

/* What it can go back to, and what takes room. */
static void print_other_roots(const Phoenix__ContainerObservation *observed)
{
	char text[200];

	if (!text_empty(observed->kept_image)) {
		snprintf(text, sizeof(text), "a root file system of image %.64s (%.16s, %.12s), for "
			 "going back", observed->kept_image, observed->kept_clone_method,
			 text_empty(observed->kept_digest) ? "no digest" : observed->kept_digest);
		print_field("kept", text);
	}
	if (!text_empty(observed->prepared_image)) {
		snprintf(text, sizeof(text), "a root file system of image %.64s, not used yet",
			 observed->prepared_image);
		print_field("prepared", text);
	}
}

static void print_observed(const Phoenix__ContainerObservation *observed)
{
	bool is_reasoned = !text_empty(observed->clone_reason);
	char text[160];

	puts("\nObserved by the host:");
	snprintf(text, sizeof(text), "%s%s%s%s", observed->clone_method, is_reasoned ? " (" : "",
		 observed->clone_reason, is_reasoned ? ")" : "");
	print_field("cloned by", text);
	print_other_roots(observed);
	print_field("running", observed->running ? "yes" : "no");
	if (!observed->running)
		return;
	snprintf(text, sizeof(text), "%u", observed->init_pid);
	print_field("init process", text);
	print_field("label of init", observed->label);
	snprintf(text, sizeof(text), "%u, %u of them off the label", observed->processes,
		 observed->processes_off_label);
	print_field("processes", text);
	if (observed->first_offender[0])
		print_field("off the label", observed->first_offender);
	for (size_t i = 0; i < observed->n_nested; i++) {
		fputs(i ? "                 " : "  nested         ", stdout);
		print_clean(observed->nested[i]->key);
		fputs(": ", stdout);
		print_clean(observed->nested[i]->value);
		putchar('\n');
	}
}

static void print_conditions(const Phoenix__ContainerStatus *status, bool observed)
{
	static const char *const words[] = { "Unknown", "True", "False" };

	for (size_t i = 0; i < status->n_conditions; i++) {
		const Phoenix__Condition *condition = status->conditions[i];

		if ((condition->observed != 0) != observed)
			continue;
		fputs("  ", stdout);
		print_padded(condition->type, 24);
		printf(" %-8s ", (size_t)condition->status < ARRAY_LENGTH(words) ?
					 words[condition->status] :
					 "?");
		print_clean(condition->reason);
		if (condition->message[0])
			fputs(": ", stdout);
		print_clean(condition->message);
		putchar('\n');
	}
}

static void print_given(const Phoenix__ContainerStatus *status)
{
	char text[64];

	puts("\nGiven:");
	print_field("address", status->address);
	if (status->ids) {
		snprintf(text, sizeof(text), "%u to %llu", status->ids->first,
			 (unsigned long long)status->ids->first + status->ids->count - 1);
		print_field("host ids", text);
	}
	print_field("profile", status->profile);
	print_field("operation", status->operation);
	print_field("step", status->step);
}

static void print_claimed(const Phoenix__ContainerStatus *status)
{
	puts("\nClaimed by the agent:");
	print_field("agent", status->agent_state);
	print_field("version", status->agent_version);
	for (size_t i = 0; i < status->n_versions; i++)
		print_field(status->versions[i]->key, status->versions[i]->value);
	print_conditions(status, false);
}

static void print_requests(const Phoenix__ContainerStatus *status)
{
	puts("\nMay be asked of the agent, and nothing else:");
	for (size_t i = 0; i < status->n_agent_requests; i++) {
		const Phoenix__AgentRequest *request = status->agent_requests[i];

		fputs("  ", stdout);
		print_padded(request->method, 14);
		fputs(request->allowed ? " yes  " : " NO   ", stdout);
		print_clean(request->allowed ? request->purpose : request->otherwise);
		putchar('\n');
	}
}

void status_print_whole(const Phoenix__ContainerStatus *status)
{
	print_clean(name_of(status));
	fputs(": ", stdout);
	print_clean(status->phase);
	printf("%s\n\n", status->ready ? ", ready" : ", not ready");
	if (status->spec)
		print_spec(status->spec, status->storage_driver);
	print_given(status);
	if (status->observed)
		print_observed(status->observed);
	print_conditions(status, true);
	print_claimed(status);
	print_requests(status);
	if (status->failure) {
		puts("\nThe last operation failed:");
		output_failure(status->failure);
	}
	if (status->verify) {
		putchar('\n');
		report_print(status->verify);
	}
	print_warning(is_unconfined(status), 1);
}
