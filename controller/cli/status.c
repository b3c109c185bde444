#include "controller/cli/status.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"
#include "controller/cli/progress.h"
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

	if (!condition || condition->status > PHOENIX__CONDITION__STATUS__FALSE)
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

static void warn_best_effort(const Phoenix__ListReply *reply)
{
	size_t count = 0;

	for (size_t i = 0; i < reply->n_containers; i++) {
		const Phoenix__Condition *confined = find(reply->containers[i], "Confined");

		if (is_best_effort(reply->containers[i]) &&
		    !(confined && confined->status == PHOENIX__CONDITION__STATUS__TRUE))
			count++;
	}
	if (!count)
		return;
	putchar('\n');
	print_colored("31", "WARNING");
	printf(": %zu of %zu containers run without AppArmor confinement (best-effort): the user\n"
	       "namespace is the only wall around them. Use a host whose kernel enforces AppArmor\n"
	       "and write confinement: required.\n",
	       count, reply->n_containers);
}

void status_print_list(const Phoenix__ListReply *reply)
{
	static const char *const head[] = { "NAME",    "PHASE", "READY",   "CONFINED",
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

/* ---- verify ---- */

const char *status_check_word(const Phoenix__Check *check)
{
	static const char *const words[] = { "?", "PASS", "FAIL", "SKIP", "KNOWN-LIMIT" };

	return check->status < ARRAY_LENGTH(words) ? words[check->status] : words[0];
}

static const char *check_color(const Phoenix__Check *check)
{
	switch (check->status) {
	case PHOENIX__CHECK__STATUS__PASS:
		return "32";
	case PHOENIX__CHECK__STATUS__FAIL:
		return "31";
	default:
		return "33";
	}
}

void status_print_check(const char *container, const Phoenix__Check *check)
{
	char padded[16];

	snprintf(padded, sizeof(padded), "%-11s", status_check_word(check));
	if (container && container[0]) {
		print_clean(container);
		fputs("  ", stdout);
	}
	print_colored(check_color(check), padded);
	printf(" %-26.40s %7.1f ms  ", check->id, (double)check->duration_us / 1000);
	print_clean(check->got);
	puts(check->observed ? "  [seen from the host]" : "");
	if (check->status != PHOENIX__CHECK__STATUS__FAIL)
		return;
	fputs("            expected: ", stdout);
	print_clean(check->expected);
	if (check->error_number)
		printf(" (errno %d)", check->error_number);
	if (check->remedy[0]) {
		fputs("\n            to do: ", stdout);
		print_clean(check->remedy);
	}
	putchar('\n');
}

static void print_group(const Phoenix__VerifyReport *report, const char *group, const char *title)
{
	bool has_title = false;

	for (size_t i = 0; i < report->n_checks; i++) {
		const Phoenix__Check *check = report->checks[i];

		if (!text_has_prefix(check->id, group))
			continue;
		if (!has_title)
			printf("%s\n", title);
		has_title = true;
		fputs("  ", stdout);
		status_print_check(NULL, check);
	}
}

void status_print_report(const Phoenix__VerifyReport *report)
{
	size_t counts[5] = { 0 };
	char time[25];

	fputs("Verify report of ", stdout);
	print_clean(report->container);
	fputs(", driver ", stdout);
	print_clean(report->driver);
	printf(", %s\n\n", clock_format(report->wall_ms, time));
	print_group(report, "storage.", "Storage, on the real data-root:");
	print_group(report, "docker.", "Docker, with a nested container made on the spot:");
	print_group(report, "confinement.", "Confinement, as the host sees it:");
	for (size_t i = 0; i < report->n_checks; i++)
		if (report->checks[i]->status < ARRAY_LENGTH(counts))
			counts[report->checks[i]->status]++;
	putchar('\n');
	if (report->passed)
		print_colored("32", "PASSED");
	else
		print_colored("31", "FAILED");
	printf(": %zu passed, %zu failed, %zu known limits, %zu skipped in %.1f s.\n", counts[1],
	       counts[2], counts[4], counts[3], (double)report->duration_ms / 1000);
	puts(report->passed ?
		     "Docker works in this container: images, layers and a nested container were tried." :
		     "Something that Docker needs does not work; each FAIL above says what to do.");
}

/* ---- show ---- */

static void print_field(const char *name, const char *value)
{
	printf("  %-14s ", name);
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

static void print_spec(const Phoenix__ContainerSpec *spec)
{
	puts("Wanted:");
	print_field("image", spec->image);
	print_field("confinement",
		    spec->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT ?
			    BEST_EFFORT " (written so in the fleet file)" : "required");
	print_field("storage", spec->storage_driver);
	print_field("docker", spec->docker_source);
	if (spec->resources) {
		print_number("memory", spec->resources->memory_bytes, " bytes");
		print_number("processors", spec->resources->cpu_percent, " %");
		print_number("processes", spec->resources->pids, "");
	}
	for (size_t i = 0; i < spec->n_labels; i++)
		print_field(spec->labels[i]->key, spec->labels[i]->value);
}

static void print_observed(const Phoenix__ContainerObservation *observed)
{
	char text[64];

	puts("\nObserved by the host:");
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
	for (size_t i = 0; i < observed->n_nested; i++)
		print_field(i ? "" : "nested", observed->nested[i]->key);
	print_field("cloned by", observed->clone_method);
}

static void print_conditions(const Phoenix__ContainerStatus *status, bool observed)
{
	static const char *const words[] = { "Unknown", "True", "False" };

	for (size_t i = 0; i < status->n_conditions; i++) {
		const Phoenix__Condition *condition = status->conditions[i];

		if ((condition->observed != 0) != observed)
			continue;
		printf("  %-24.40s %-8s ", condition->type,
		       condition->status < ARRAY_LENGTH(words) ? words[condition->status] : "?");
		print_clean(condition->reason);
		if (condition->message[0])
			fputs(": ", stdout);
		print_clean(condition->message);
		putchar('\n');
	}
}

void status_print_whole(const Phoenix__ContainerStatus *status)
{
	char text[64];

	print_clean(name_of(status));
	printf(": ");
	print_clean(status->phase);
	printf("%s\n\n", status->ready ? ", ready" : ", not ready");
	if (status->spec)
		print_spec(status->spec);
	puts("\nGiven:");
	print_field("address", status->address);
	if (status->ids) {
		snprintf(text, sizeof(text), "%u to %u", status->ids->first,
			 status->ids->first + status->ids->count - 1);
		print_field("host ids", text);
	}
	print_field("profile", status->profile);
	print_field("operation", status->operation);
	print_field("step", status->step);
	if (status->observed)
		print_observed(status->observed);
	print_conditions(status, true);
	puts("\nClaimed by the agent:");
	print_field("agent", status->agent_state);
	print_field("version", status->agent_version);
	for (size_t i = 0; i < status->n_versions; i++)
		print_field(status->versions[i]->key, status->versions[i]->value);
	print_conditions(status, false);
	if (status->failure) {
		puts("\nThe last operation failed:");
		failure_print(status->failure);
	}
	if (status->verify) {
		putchar('\n');
		status_print_report(status->verify);
	}
}
