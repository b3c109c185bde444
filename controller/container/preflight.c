/* The question outlives the operation: it carries the names, not the objects. */
#include "controller/container/preflight.h"

#include <stdlib.h>

#include "common/memory.h"
#include "common/str.h"
#include "controller/container/operation.h"

#define HOST_MS 60000
#define AGENT_MS 40000

struct question {
	struct journal *journal; /* borrowed: closed after all calls have ended */
	struct judge_wanted wanted;
	char operation[64];
	char container[64];
};

static bool needs_fuse(const struct container *container)
{
	const char *driver = container_driver(container);

	return !driver[0] || text_equal(driver, "fuse-overlayfs");
}

static uint32_t count_containers(const struct registry *registry)
{
	uint32_t count = 0;

	for (const struct container *at = registry->containers; at; at = at->next)
		count++;
	return count;
}

struct judge_wanted preflight_wanted(const struct container *container)
{
	return (struct judge_wanted){
		.is_best_effort = container->record->spec->confinement ==
				  PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT,
		.needs_fuse = needs_fuse(container),
		.containers = count_containers(container->registry),
	};
}

struct judge_wanted preflight_wanted_by_all(const struct registry *registry)
{
	struct judge_wanted wanted = { .is_best_effort = true,
				       .containers = count_containers(registry) };

	if (!registry->containers)
		return (struct judge_wanted){ .needs_fuse = true };
	for (const struct container *at = registry->containers; at; at = at->next) {
		struct judge_wanted one = preflight_wanted(at);

		wanted.is_best_effort &= one.is_best_effort;
		wanted.needs_fuse |= one.needs_fuse;
	}
	return wanted;
}

static struct question *question_new(const struct operation *operation)
{
	struct question *question = ph_alloc(sizeof(*question));

	question->journal = operation->registry->journal;
	question->wanted = preflight_wanted(operation->container);
	text_copy(question->operation, sizeof(question->operation), operation->record->id);
	text_copy(question->container, sizeof(question->container),
		  container_name(operation->container));
	return question;
}

/* What needs nothing to be done is told to who asks, not to everybody. */
static void tell(const struct question *question, const struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		const Phoenix__PreflightFinding *finding = findings->items[i];

		if (finding->severity == FINDINGS_INFO)
			continue;
		journal_write(question->journal,
			      finding->severity == FINDINGS_FAIL ?
				      PHOENIX__EVENT__SEVERITY__ERROR :
				      PHOENIX__EVENT__SEVERITY__WARNING,
			      findings->container, question->operation, "preflight.finding",
			      finding->severity == FINDINGS_FAIL ? "DockerWillFail" :
								   "LessThanItShould",
			      "%s: %s; to do: %s", finding->id, finding->evidence, finding->remedy);
	}
}

static void host_looked(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct question *question = user;
	FINDINGS_AUTO struct findings findings = { 0 };

	if (!error) {
		judge_host((const Phoenix__HostPreflightReply *)message, &question->wanted,
			   &findings);
		tell(question, &findings);
	}
	free(question);
}

void preflight_tell_host(const struct operation *operation)
{
	Phoenix__HostPreflightRequest request = PHOENIX__HOST_PREFLIGHT_REQUEST__INIT;

	host_link_call(operation->registry->host, "Preflight", &request.base, HOST_MS, host_looked,
		       question_new(operation), NULL);
}

static void agent_looked(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct question *question = user;
	FINDINGS_AUTO struct findings findings = { .container = question->container };

	if (!error) {
		judge_container((const Phoenix__AgentPreflightReply *)message, &question->wanted,
				&findings);
		tell(question, &findings);
	}
	free(question);
}

void preflight_tell_inside(const struct operation *operation)
{
	static const struct rpc_handlers handlers = { .finished = agent_looked };
	Phoenix__AgentPreflightRequest request = PHOENIX__AGENT_PREFLIGHT_REQUEST__INIT;
	struct question *question = question_new(operation);

	if (agent_link_call(operation->container->link, "Preflight", &request.base, AGENT_MS,
			    &handlers, question, NULL) < 0)
		free(question);
}
