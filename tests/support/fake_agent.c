#include "tests/support/fake_agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/handshake.h"
#include "common/memory.h"
#include "common/str.h"
#include "proto/agent.pb-c.h"

struct fake_agent_session {
	Phoenix__Agent_Service service; /* first */
	struct fake_agent *agent;
	struct fake_agent_session **place; /* in agent->sessions */
	struct channel *channel;
	struct handshake handshake;
	char name[64];
	char boot_id[64];
	struct rpc_request *hanging; /* an Install that never ends, or a Verify that is held */
	Phoenix__VerifyItem_Closure verify_reply;
};

static struct fake_agent_session *session_of(Phoenix__Agent_Service *service)
{
	return (struct fake_agent_session *)service;
}

static void agent__describe(Phoenix__Agent_Service *service,
			    const Phoenix__DescribeRequest *input,
			    Phoenix__DescribeReply_Closure reply, void *request)
{
	Phoenix__DescribeReply answer = PHOENIX__DESCRIBE_REPLY__INIT;

	answer.distribution = (char *)"debian";
	reply(&answer, request);
}

static void hang_ended(void *user)
{
	struct fake_agent_session *session = user;

	rpc_end(session->hanging);
	session->hanging = NULL;
}

static void agent__install(Phoenix__Agent_Service *service, const Phoenix__InstallRequest *input,
			   Phoenix__InstallItem_Closure reply, void *request)
{
	struct fake_agent_session *session = session_of(service);
	struct fake_agent *agent = session->agent;
	Phoenix__InstallItem item = PHOENIX__INSTALL_ITEM__INIT;
	Phoenix__Progress progress = PHOENIX__PROGRESS__INIT;
	Phoenix__Pair version = PHOENIX__PAIR__INIT;
	Phoenix__Pair *versions[] = { &version };
	struct ph_error error;

	progress.step = (char *)"fetch";
	item.progress = &progress;
	reply(&item, request);
	if (agent->hang_install) {
		session->hanging = request;
		rpc_request_on_cancel(request, hang_ended, session);
		return;
	}
	agent->fragments += input->docker && input->docker->daemon[0];
	if (agent->fail_install || (input->docker && input->docker->daemon[0] &&
				    text_equal(agent->poisoned, session->name))) {
		error_set(&error, -ENETUNREACH, "deb.example.org", "check the network",
			  "no route to the mirror");
		error_step(&error, "fetch");
		rpc_fail(request, &error);
		return;
	}
	version.key = (char *)"docker.io";
	version.value = (char *)"20.10";
	item = (Phoenix__InstallItem)PHOENIX__INSTALL_ITEM__INIT;
	item.summary = true;
	item.changed = !agent->installed;
	item.n_versions = 1;
	item.versions = versions;
	agent->installs += !agent->installed;
	agent->installed = true;
	reply(&item, request);
	rpc_end(request);
}

static void send_check(Phoenix__VerifyItem_Closure reply, void *request, Phoenix__Check *check)
{
	Phoenix__VerifyItem item = PHOENIX__VERIFY_ITEM__INIT;

	item.check = check;
	reply(&item, request);
}

static void finish_verify(struct fake_agent *agent, Phoenix__VerifyItem_Closure reply,
			  void *request)
{
	Phoenix__VerifyItem item = PHOENIX__VERIFY_ITEM__INIT;
	Phoenix__VerifyReport report = PHOENIX__VERIFY_REPORT__INIT;
	static const char *const others[] = { "storage.mount", "storage.unmount", "docker.run",
					      "docker.nonce",  "docker.root",     "docker.clean",
					      "docker.exec",   "docker.build",    "docker.bridge",
					      "docker.restart" };
	Phoenix__Check check = PHOENIX__CHECK__INIT;
	Phoenix__Check passed[ARRAY_LENGTH(others)];
	Phoenix__Check *checks[1 + ARRAY_LENGTH(others)] = { &check };
	Phoenix__Pair fact = PHOENIX__PAIR__INIT;
	Phoenix__Pair *facts[] = { &fact };

	check.id = (char *)"storage.whiteout";
	check.expected = (char *)"hidden";
	check.got = (char *)(agent->fail_verify ? "visible" : "hidden");
	check.remedy = (char *)"use another driver";
	check.status = agent->fail_verify ? PHOENIX__CHECK__STATUS__FAIL :
					    PHOENIX__CHECK__STATUS__PASS;
	check.observed = true; /* a lie */
	fact.key = (char *)"docker";
	fact.value = (char *)(agent->input ? agent->input : "1");
	report.passed = true; /* the agent's verdict does not count */
	for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
		phoenix__check__init(&passed[i]);
		passed[i].id = (char *)others[i];
		passed[i].status = PHOENIX__CHECK__STATUS__PASS;
		checks[1 + i] = &passed[i];
	}
	report.n_checks = ARRAY_LENGTH(checks);
	report.checks = checks;
	report.n_facts = 1;
	report.facts = facts;
	item.report = &report;
	reply(&item, request);
	rpc_end(request);
}

static void agent__verify(Phoenix__Agent_Service *service, const Phoenix__VerifyRequest *input,
			  Phoenix__VerifyItem_Closure reply, void *request)
{
	struct fake_agent *agent = session_of(service)->agent;
	Phoenix__Check check = PHOENIX__CHECK__INIT;

	agent->verifies++;
	check.id = (char *)"docker.nested-running";
	check.status = PHOENIX__CHECK__STATUS__PASS;
	send_check(reply, request, &check);
	/* Held: the report follows with Resume, as from a real agent. */
	session_of(service)->verify_reply = reply;
	session_of(service)->hanging = request;
	rpc_request_on_cancel(request, hang_ended, session_of(service));
}

static void agent__resume(Phoenix__Agent_Service *service, const Phoenix__ResumeRequest *input,
			  Phoenix__ResumeReply_Closure reply, void *request)
{
	struct fake_agent_session *session = session_of(service);
	Phoenix__ResumeReply answer = PHOENIX__RESUME_REPLY__INIT;
	struct rpc_request *held = session->hanging;

	session->agent->resumes++;
	reply(&answer, request);
	session->hanging = NULL;
	if (held) {
		rpc_request_on_cancel(held, NULL, NULL);
		finish_verify(session->agent, session->verify_reply, held);
	}
}

static void agent__storage(Phoenix__Agent_Service *service, const Phoenix__StorageRequest *input,
			   Phoenix__StorageReply_Closure reply, void *request)
{
	Phoenix__StorageReport report = PHOENIX__STORAGE_REPORT__INIT;
	Phoenix__StorageReply answer = PHOENIX__STORAGE_REPLY__INIT;

	report.wanted = input->storage_driver;
	report.driver = (char *)"overlay2";
	report.container = (char *)"another"; /* a lie */
	report.summary = (char *)"only overlay2 passes here";
	answer.report = &report;
	reply(&answer, request);
}

static void agent__preflight(Phoenix__Agent_Service *service,
			     const Phoenix__AgentPreflightRequest *input,
			     Phoenix__AgentPreflightReply_Closure reply, void *request)
{
	struct fake_agent *agent = session_of(service)->agent;
	Phoenix__AgentPreflightReply answer = PHOENIX__AGENT_PREFLIGHT_REPLY__INIT;
	Phoenix__PreflightAttempt reopen = PHOENIX__PREFLIGHT_ATTEMPT__INIT;
	static const char *const names[] = { "cpu", "io", "memory", "pids" };
	char *controllers[ARRAY_LENGTH(names)];

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		controllers[i] = (char *)names[i];
	reopen.outcome = agent->has_clash ? PHOENIX__PREFLIGHT_ATTEMPT__OUTCOME__FAILED :
					    PHOENIX__PREFLIGHT_ATTEMPT__OUTCOME__WORKED;
	reopen.step = (char *)"reopen";
	reopen.error_number = EACCES;
	answer.reopen_sysctl = &reopen;
	answer.cgroup = (char *)"v2";
	answer.controllers = controllers;
	answer.n_controllers = ARRAY_LENGTH(controllers);
	answer.uid_count = answer.gid_count = 65536;
	reply(&answer, request);
}

static void agent__health(Phoenix__Agent_Service *service, const Phoenix__HealthRequest *input,
			  Phoenix__HealthReply_Closure reply, void *request)
{
	struct fake_agent *agent = session_of(service)->agent;
	Phoenix__HealthReply answer = PHOENIX__HEALTH_REPLY__INIT;
	Phoenix__Pair pair = PHOENIX__PAIR__INIT;
	Phoenix__Pair *pairs[] = { &pair };
	Phoenix__NestedContainer nested = PHOENIX__NESTED_CONTAINER__INIT;
	Phoenix__NestedContainer *dead[] = { &nested };

	Phoenix__Condition responds = PHOENIX__CONDITION__INIT;
	Phoenix__Condition *conditions[] = { &responds };

	responds.type = (char *)"DockerResponding";
	responds.reason = (char *)"InfoAnswered";
	responds.status = PHOENIX__CONDITION__STATUS__TRUE;
	answer.conditions = conditions;
	answer.n_conditions = 1;
	if (!input->docker_source[0])
		agent->sourceless++;
	pair.key = (char *)"docker";
	pair.value = (char *)(agent->input ? agent->input : "1");
	answer.n_inputs = 1;
	answer.inputs = pairs;
	if (agent->dead) {
		nested.id = (char *)agent->dead;
		nested.name = (char *)"web";
		answer.n_dead = 1;
		answer.dead = dead;
	}
	reply(&answer, request);
}

static void agent__repair(Phoenix__Agent_Service *service, const Phoenix__RepairRequest *input,
			  Phoenix__RepairReply_Closure reply, void *request)
{
	struct fake_agent *agent = session_of(service)->agent;
	Phoenix__RepairReply answer = PHOENIX__REPAIR_REPLY__INIT;

	agent->repairs++;
	answer.repaired = agent->dead && strcmp(agent->dead, input->container) == 0;
	answer.message = (char *)"restarted";
	agent->dead = NULL;
	reply(&answer, request);
}

static void channel_closed(void *user, const struct ph_error *error)
{
	struct fake_agent_session *session = user;

	if (*session->place == session)
		*session->place = NULL;
	free(session);
}

static void greeted(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
}

static void say_hello(struct fake_agent_session *session)
{
	static const struct rpc_handlers handlers = { .finished = greeted };
	static char *capabilities[] = { (char *)"repair" };
	Phoenix__HelloRequest hello = PHOENIX__HELLO_REQUEST__INIT;

	hello.protocol = session->handshake.claim.protocol;
	hello.protocol_oldest = session->handshake.claim.protocol_oldest;
	hello.version = (char *)"fake";
	hello.boot_id = session->boot_id;
	hello.capabilities = capabilities;
	hello.n_capabilities = session->agent->is_older ? 0 : 1;
	channel_call(session->channel, &phoenix__controller__descriptor, "Hello", &hello.base,
		     5000, &handlers, session, NULL);
}

static int gate(void *user, const uint8_t *payload, size_t length, struct ph_error *error)
{
	struct fake_agent_session *session = user;
	struct handshake_frame answer;
	int r = handshake_receive(&session->handshake, payload, length, &answer, error);

	if (answer.length)
		channel_send(session->channel, answer.bytes, answer.length);
	if (r == HANDSHAKE_DONE)
		say_hello(session);
	return r;
}

static void shake_hands(struct fake_agent_session *session, const uint8_t *key)
{
	const struct fake_agent *agent = session->agent;
	struct handshake_claim claim = {
		.protocol_oldest = agent->protocol_oldest ? agent->protocol_oldest : 1,
		.protocol = agent->protocol ? agent->protocol : 1,
	};
	uint8_t nonce[HANDSHAKE_NONCE_SIZE];
	struct handshake_frame frame;

	text_copy(claim.name, sizeof(claim.name), session->name);
	text_copy(claim.boot_id, sizeof(claim.boot_id), session->boot_id);
	handshake_claim_unix(&claim);
	handshake_random(nonce, sizeof(nonce));
	handshake_init_agent(&session->handshake, &claim, key, nonce, &frame);
	channel_send(session->channel, frame.bytes, frame.length);
}

/* The kernel notes the credentials of the moment of connect(). */
static int connect_as(const struct address *address, uid_t uid)
{
	uid_t own = geteuid();
	int fd;

	if (seteuid(uid) < 0) {
		perror("fake agent: seteuid (run the tests as root)");
		abort();
	}
	fd = address_connect(address);
	if (seteuid(own) < 0)
		abort();
	return fd;
}

void fake_agent_start(struct fake_agent *agent, uv_loop_t *loop, const char *run_dir,
		      const char *name, const char *boot_id, const uint8_t *key, uid_t uid)
{
	static const char *const streaming[] = { "Install", "Verify", NULL };
	static const Phoenix__Agent_Service service = PHOENIX__AGENT__INIT(agent__);
	struct fake_agent_session *session = ph_alloc(sizeof(*session));
	struct address address = { .family = ADDRESS_UNIX };
	struct channel_config config = { .streaming = streaming,
					 .closed = channel_closed,
					 .gate = gate,
					 .gate_limit = HANDSHAKE_FRAME_MAXIMUM,
					 .user = session };
	size_t i = 0;
	int fd;

	agent->starts++;
	fake_agent_kill(agent, name);
	while (agent->sessions[i])
		if (++i == FAKE_AGENTS)
			abort();
	session->service = service;
	session->agent = agent;
	session->place = &agent->sessions[i];
	text_copy(session->name, sizeof(session->name), name);
	text_copy(session->boot_id, sizeof(session->boot_id), boot_id);
	snprintf(address.path, sizeof(address.path), "%.38s/agents/%.49s/agent.sock", run_dir,
		 name);
	config.service = &session->service.base;
	fd = connect_as(&address, uid);
	if (fd < 0 || channel_open(loop, fd, &config, &session->channel) < 0) {
		free(session);
		return;
	}
	agent->sessions[i] = session;
	if (!agent->silent)
		shake_hands(session, key);
}

void fake_agent_kill(struct fake_agent *agent, const char *name)
{
	for (size_t i = 0; i < FAKE_AGENTS; i++) {
		struct fake_agent_session *session = agent->sessions[i];

		if (!session || !text_equal(session->name, name))
			continue;
		agent->sessions[i] = NULL;
		channel_close(session->channel);
	}
}

void fake_agent_kill_all(struct fake_agent *agent)
{
	for (size_t i = 0; i < FAKE_AGENTS; i++)
		if (agent->sessions[i])
			fake_agent_kill(agent, agent->sessions[i]->name);
}
