/* phoenixctl version: our own comes first, and also when nobody answers. */
#include <stdio.h>

#include "common/message.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/table.h"

static void print_line(const char *name, const char *value)
{
	printf("%-12s ", name);
	print_clean(value[0] ? value : "-");
	putchar('\n');
}

static void print_host(const Phoenix__ProbeReply *host)
{
	print_line("kernel", host->kernel);
	print_line("AppArmor", host->apparmor ? "enforces" : host->apparmor_reason);
	print_line("parser", host->parser_version);
	print_line("cgroups", host->cgroup);
	print_line("clones by", host->clone_method);
	print_line("liblxc", host->lxc_version);
	for (size_t i = 0; i < host->n_findings; i++) {
		printf("finding      ");
		print_clean(host->findings[i]->key);
		fputs("; to do: ", stdout);
		print_clean(host->findings[i]->value);
		putchar('\n');
	}
}

static void print_loop(const Phoenix__VersionReply *reply)
{
	printf("%-12s at most %llu ms, %llu times 100 ms or more\n", "loop",
	       (unsigned long long)reply->loop_longest_us / 1000,
	       (unsigned long long)reply->loop_stalls);
}

int command_version(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__VersionRequest request = PHOENIX__VERSION_REQUEST__INIT;
	Phoenix__VersionReply *reply = NULL;
	int r;

	if (!invocation->json)
		print_line("phoenixctl", PH_VERSION);
	r = invocation_connect(invocation, error);
	if (r == 0)
		r = client_call(invocation->client, "Version", &request.base, &reply, error);
	if (r < 0)
		return r;
	if (invocation->json) {
		json_print(&reply->base, false);
	} else {
		print_line("phoenixd", reply->version);
		print_loop(reply);
		if (reply->host)
			print_host(reply->host);
	}
	message_free(reply);
	return EXIT_OK;
}
