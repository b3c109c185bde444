/* phoenixctl preflight: what stands in Docker's way, the worst first, each with what was seen and what to do. */
#include <stdio.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/table.h"

static const struct {
	const char *word, *color;
} severities[] = {
	[PHOENIX__PREFLIGHT_FINDING__SEVERITY__UNSET] = { "?", "33" },
	[PHOENIX__PREFLIGHT_FINDING__SEVERITY__INFO] = { "INFO", "32" },
	[PHOENIX__PREFLIGHT_FINDING__SEVERITY__WARN] = { "WARN", "33" },
	[PHOENIX__PREFLIGHT_FINDING__SEVERITY__FAIL] = { "FAIL", "31" },
};

static void print_finding(const Phoenix__PreflightFinding *finding)
{
	unsigned int severity = finding->severity < ARRAY_LENGTH(severities) ? finding->severity : 0;

	print_colored(severities[severity].color, severities[severity].word);
	fputs("  ", stdout);
	print_clean(finding->id);
	fputs("  ", stdout);
	print_clean(finding->container[0] ? finding->container : "host");
	puts(finding->observed ? "" : "  [claimed by the agent]");
	fputs("  ", stdout);
	print_clean(finding->evidence);
	fputs("\n  -> ", stdout);
	print_clean(finding->remedy);
	putchar('\n');
}

static size_t count_of(const Phoenix__PreflightReply *reply, int severity)
{
	size_t count = 0;

	for (size_t i = 0; i < reply->n_findings; i++)
		count += (int)reply->findings[i]->severity == severity;
	return count;
}

static void print_reply(const Phoenix__PreflightReply *reply)
{
	for (size_t i = 0; i < reply->n_findings; i++)
		print_finding(reply->findings[i]);
	fputs("Kernel ", stdout);
	print_clean(reply->kernel);
	if (!reply->n_findings) {
		puts(": nothing stands in Docker's way.");
		return;
	}
	printf(": %zu FAIL, %zu WARN, %zu INFO\n",
	       count_of(reply, PHOENIX__PREFLIGHT_FINDING__SEVERITY__FAIL),
	       count_of(reply, PHOENIX__PREFLIGHT_FINDING__SEVERITY__WARN),
	       count_of(reply, PHOENIX__PREFLIGHT_FINDING__SEVERITY__INFO));
}

int command_preflight(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__PreflightRequest request = PHOENIX__PREFLIGHT_REQUEST__INIT;
	const char *text = invocation_value(invocation, "error");
	Phoenix__PreflightReply *reply = NULL;
	bool is_bad;
	int r = invocation_connect(invocation, error);

	if (invocation->argument_count)
		request.name = (char *)invocation->arguments[0];
	if (text)
		request.error_text = (char *)text;
	if (r == 0)
		r = client_call(invocation->client, "Preflight", &request.base, &reply, error);
	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&reply->base, false);
	else
		print_reply(reply);
	is_bad = count_of(reply, PHOENIX__PREFLIGHT_FINDING__SEVERITY__FAIL) > 0;
	message_free(reply);
	r = output_check(error);
	return r == 0 && is_bad ? EXIT_FINDINGS : r;
}
