#include "agent/health/by_hand.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "agent/health/health.h"
#include "common/cleanup.h"
#include "common/message.h"

#define EXIT_BROKEN 1
#define EXIT_USAGE 2
#define EXIT_UNWELL 3
#define USERS_MAXIMUM 32

static const char usage[] =
	"Usage: phoenix-agent health [--driver NAME] [--user NAME]... [--json]\n"
	"\n"
	"Tell how Docker is here, without trying anything. What docs/health.md explains as seen by\n"
	"the agent; a clock that was set is noticed only by an agent that stays.\n"
	"\n"
	"  --driver NAME  the storage driver that was planned\n"
	"  --user NAME    one who is to be in the group docker\n"
	"  --json         print conditions and inputs as JSON\n"
	"\n"
	"Exit status: 0 all is True, 1 it could not be told, 2 bad usage, 3 something is not.\n";

static const char *word_of(const Phoenix__Condition *condition)
{
	static const char *const words[] = { "Unknown", "True", "False" };

	return condition->status < ARRAY_LENGTH(words) ? words[condition->status] : words[0];
}

static void print_text(const Phoenix__HealthReply *reply)
{
	for (size_t i = 0; i < reply->n_conditions; i++) {
		const Phoenix__Condition *condition = reply->conditions[i];

		printf("%-22s %-7s %s%s%s\n", condition->type, word_of(condition), condition->reason,
		       condition->message[0] ? ": " : "", condition->message);
		if (condition->remedy[0])
			printf("%31sto do: %s\n", "", condition->remedy);
	}
}

static void print_json(const Phoenix__HealthReply *reply)
{
	json_t *conditions = json_array(), *inputs = json_object(), *root;

	for (size_t i = 0; i < reply->n_conditions; i++) {
		const Phoenix__Condition *condition = reply->conditions[i];

		json_array_append_new(conditions,
				      json_pack("{s:s, s:s, s:s, s:s, s:s}", "type",
						condition->type, "status", word_of(condition),
						"reason", condition->reason, "message",
						condition->message, "remedy", condition->remedy));
	}
	for (size_t i = 0; i < reply->n_inputs; i++)
		json_object_set_new(inputs, reply->inputs[i]->key,
				    json_string(reply->inputs[i]->value));
	root = json_pack("{s:o, s:o}", "conditions", conditions, "inputs", inputs);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

static bool is_well(const Phoenix__HealthReply *reply)
{
	for (size_t i = 0; i < reply->n_conditions; i++)
		if (reply->conditions[i]->status != PHOENIX__CONDITION__STATUS__TRUE)
			return false;
	return true;
}

static int tell(const Phoenix__HealthRequest *request, bool json)
{
	const struct clock_watch clock = { 0 };
	Phoenix__HealthReply *reply;
	struct ph_error error = { 0 };
	char text[1024];
	bool well;

	if (health_collect(request, &clock, &reply, &error) < 0) {
		fprintf(stderr, "phoenix-agent: health: %s\n",
			error_format(&error, text, sizeof(text)));
		return EXIT_BROKEN;
	}
	if (json)
		print_json(reply);
	else
		print_text(reply);
	well = is_well(reply);
	message_free(reply);
	return well ? 0 : EXIT_UNWELL;
}

int health_main(int argc, char **argv)
{
	static const struct option options[] = { { "driver", required_argument, NULL, 'd' },
						 { "user", required_argument, NULL, 'u' },
						 { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;
	char *users[USERS_MAXIMUM];
	bool json = false;
	int option;

	request.docker_users = users;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'd')
			request.storage_driver = optarg;
		else if (option == 'u' && request.n_docker_users < USERS_MAXIMUM)
			users[request.n_docker_users++] = optarg;
		else if (option == 'j')
			json = true;
		else
			break;
	}
	if (option >= 0 || optind != argc) {
		fputs(usage, option == 'h' ? stdout : stderr);
		return option == 'h' ? 0 : EXIT_USAGE;
	}
	return tell(&request, json);
}
