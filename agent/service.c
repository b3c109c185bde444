#include "agent/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/docker/docker.h"
#include "agent/health/health.h"
#include "agent/preflight/preflight.h"
#include "agent/storage/repair.h"
#include "agent/storage/settle.h"
#include "agent/storage/storage_report.h"
#include "agent/storage/verify.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define BUNDLES "/dev/phoenix-bundles" /* where phoenix-host shows them, read-only */
#define INSTALL_DEADLINE_MS (45 * 60 * 1000)
#define VERIFY_DEADLINE_MS (10 * 60 * 1000)
#define REPAIR_DEADLINE_MS 120000
#define QUICK_DEADLINE_MS 30000 /* a question whose answer may need a slow dockerd */

const char *const service_streaming[] = { "Install", "Verify", NULL };
const char *const service_capabilities[] = { "docker.install", "storage.verify", "storage.report",
					     "health", "preflight", "repair", NULL };

static struct service_agent *agent_of(Phoenix__Agent_Service *service)
{
	return (struct service_agent *)service;
}

/* ---- install ---- */

static Phoenix__Progress__State state_of(enum docker_progress_state state)
{
	static const Phoenix__Progress__State states[] = {
		[DOCKER_STEP_STARTED] = PHOENIX__PROGRESS__STATE__STARTED,
		[DOCKER_STEP_RUNNING] = PHOENIX__PROGRESS__STATE__RUNNING,
		[DOCKER_STEP_DONE] = PHOENIX__PROGRESS__STATE__DONE,
		[DOCKER_STEP_UNCHANGED] = PHOENIX__PROGRESS__STATE__UNCHANGED,
		[DOCKER_STEP_FAILED] = PHOENIX__PROGRESS__STATE__FAILED,
	};

	return states[state];
}

static void send_progress(void *user, const struct docker_progress *progress)
{
	Phoenix__InstallItem item = PHOENIX__INSTALL_ITEM__INIT;
	Phoenix__Progress message = PHOENIX__PROGRESS__INIT;
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;

	message.step = (char *)progress->step;
	message.state = state_of(progress->state);
	message.message = (char *)progress->message;
	message.index = progress->index;
	message.total = progress->total;
	message.duration_ms = progress->duration_ms;
	if (progress->error) {
		rpc_failure_from_error(&failure, progress->error);
		message.failure = &failure;
	}
	item.progress = &message;
	worker_send(user, &item.base);
}

static void send_summary(struct worker_output *output, const struct docker_result *result,
			 const char *driver)
{
	Phoenix__InstallItem item = PHOENIX__INSTALL_ITEM__INIT;
	Phoenix__Pair pairs[DOCKER_PACKAGES_MAXIMUM];
	Phoenix__Pair *versions[DOCKER_PACKAGES_MAXIMUM];

	for (size_t i = 0; i < result->facts.package_count; i++) {
		const struct dpkg_package *package = &result->facts.packages[i];

		if (!package->version[0])
			continue;
		phoenix__pair__init(&pairs[item.n_versions]);
		pairs[item.n_versions].key = (char *)package->name;
		pairs[item.n_versions].value = (char *)package->version;
		versions[item.n_versions] = &pairs[item.n_versions];
		item.n_versions++;
	}
	item.versions = versions;
	item.summary = true;
	item.changed = result->changed;
	item.storage_driver = (char *)driver;
	worker_send(output, &item.base);
}

/* Which driver, before anything is installed: a refusal leaves the container as it was. */
static int settle_driver(struct worker_output *output, const Phoenix__InstallRequest *request,
			 struct storage_settled *settled, struct ph_error *error)
{
	const struct storage_wanted wanted = {
		.driver = request->storage_driver[0] ? request->storage_driver : "fuse-overlayfs",
		.accept_vfs = request->allow_vfs,
		.accept_loss = request->allow_image_loss,
	};
	struct docker_progress progress = { .step = "choose storage", .index = 1, .total = 1 };
	int r;

	if (text_equal(request->source, "none"))
		return 0;
	r = storage_settle(request->data_root[0] ? request->data_root : "/var/lib/docker",
			   request->chosen_driver, &wanted, settled, error);
	if (r < 0) {
		error_step(error, progress.step);
		return r;
	}
	progress.state = r == STORAGE_KEPT ? DOCKER_STEP_UNCHANGED : DOCKER_STEP_DONE;
	progress.message = settled->reason;
	send_progress(output, &progress);
	return 0;
}

/* What a request wants of Docker; everything is borrowed from it. path needs 128 bytes. */
static struct docker_wanted wanted_of(const Phoenix__InstallRequest *request, char path[128])
{
	static const Phoenix__DockerSpec as_by_default = PHOENIX__DOCKER_SPEC__INIT;
	const Phoenix__DockerSpec *docker = request->docker ? request->docker : &as_by_default;

	snprintf(path, 128, BUNDLES "/%s", docker->bundle);
	return (struct docker_wanted){
		.source = request->source,
		.plan_only = request->plan_only,
		.version = docker->version,
		.hold = !docker->unheld,
		.daemon = docker->daemon,
		.sets_daemon = true,
		.daemon_override = docker->daemon_override,
		.users = (const char *const *)docker->users,
		.user_count = docker->n_users,
		.repository = { .uri = docker->repository_uri,
				.suite = docker->repository_suite,
				.components = docker->repository_components,
				.key = docker->repository_key },
		.bundle = name_is_valid(docker->bundle) ? path : NULL,
	};
}

static int run_install(struct worker_output *output, void *data, struct ph_error *error)
{
	const Phoenix__InstallRequest *request = data;
	struct storage_settled settled = { 0 };
	char bundle[128];
	struct docker_wanted wanted = wanted_of(request, bundle);
	PH_AUTO_FREE struct docker_result *result = ph_alloc(sizeof(*result));
	int r = settle_driver(output, request, &settled, error);

	wanted.storage_driver = settled.driver;
	wanted.replaces_driver = settled.replaces;
	if (r == 0)
		r = docker_install(&wanted, send_progress, output, result, error);
	if (r < 0)
		return r;
	send_summary(output, result, settled.driver);
	return 0;
}

static void agent__install(Phoenix__Agent_Service *service, const Phoenix__InstallRequest *input,
			   Phoenix__InstallItem_Closure reply, void *request)
{
	job_serve(&agent_of(service)->install, input->operation, (void *)input, NULL, 0, -1,
		  (ProtobufCClosure)reply, request);
}

/* ---- verify ---- */

struct verify_data {
	const Phoenix__VerifyRequest *request;
	struct worker_output *output;
	int hold_fd;
};

static void send_check(void *user, const Phoenix__Check *check)
{
	Phoenix__VerifyItem item = PHOENIX__VERIFY_ITEM__INIT;

	item.check = (Phoenix__Check *)check;
	worker_send(user, &item.base);
}

static int run_verify(struct worker_output *output, void *user, struct ph_error *error)
{
	const struct verify_data *data = user;
	const struct verify_wanted wanted = {
		.driver = data->request->storage_driver,
		.data_root = data->request->data_root,
		.skip_docker = data->request->skip_docker,
		.hold_fd = data->hold_fd,
	};
	Phoenix__VerifyItem item = PHOENIX__VERIFY_ITEM__INIT;
	int r = verify_battery(&wanted, send_check, output, &item.report, error);

	if (r < 0)
		return r;
	worker_send(output, &item.base);
	message_free(item.report);
	return 0;
}

static void agent__verify(Phoenix__Agent_Service *service, const Phoenix__VerifyRequest *input,
			  Phoenix__VerifyItem_Closure reply, void *request)
{
	struct verify_data data = { .request = input, .hold_fd = -1 };
	PH_AUTO_CLOSE int read_end = -1;
	int ends[2] = { -1, -1 };

	if (input->hold && pipe2(ends, O_CLOEXEC) == 0)
		data.hold_fd = read_end = ends[0];
	job_serve(&agent_of(service)->verify, input->operation, &data, &read_end,
		  read_end >= 0 ? 1 : 0, ends[1], (ProtobufCClosure)reply, request);
}

static void agent__resume(Phoenix__Agent_Service *service, const Phoenix__ResumeRequest *input,
			  Phoenix__ResumeReply_Closure reply, void *request)
{
	Phoenix__ResumeReply answer = PHOENIX__RESUME_REPLY__INIT;

	job_release(&agent_of(service)->verify, input->operation);
	reply(&answer, request);
}

/* ---- short questions whose answer may block: one worker each ---- */

struct question {
	struct rpc_request *request;
	ProtobufCClosure reply;
	bool is_answered;
};

static void question_answered(void *user, const ProtobufCMessage *message)
{
	struct question *question = user;

	if (question->is_answered)
		return;
	question->is_answered = true;
	question->reply(message, question->request);
}

static void question_ended(void *user, const struct ph_error *error)
{
	struct question *question = user;
	struct ph_error failure;

	if (!question->is_answered) {
		error_set(&failure, -EIO, NULL, NULL, "the answer did not come");
		rpc_fail(question->request, error ? error : &failure);
	}
	free(question);
}

/* The data is copied with the process: it may be on the caller's stack. */
static void ask_within(uint32_t deadline_ms, struct service_agent *agent, worker_fn run, void *data,
		       const ProtobufCMessageDescriptor *type, ProtobufCClosure reply,
		       void *request)
{
	struct question *question = ph_alloc(sizeof(*question));
	const struct worker_config config = {
		.run = run,
		.data = data,
		.deadline_ms = deadline_ms,
		.message_type = type,
		.message = question_answered,
		.finished = question_ended,
		.user = question,
	};
	struct worker *worker;
	struct ph_error error;
	int r;

	question->request = request;
	question->reply = reply;
	r = worker_start(agent->loop, &config, &worker);
	if (r < 0) {
		error_errno(&error, r, NULL, "try again", "start a process");
		rpc_fail(request, &error);
		free(question);
	}
}

static void ask(struct service_agent *agent, worker_fn run, void *data,
		const ProtobufCMessageDescriptor *type, ProtobufCClosure reply, void *request)
{
	ask_within(QUICK_DEADLINE_MS, agent, run, data, type, reply, request);
}

/* Resident set of this process's parent, the agent itself; 0 when it cannot be read. */
static uint64_t parent_resident_bytes(void)
{
	PH_AUTO_FILE FILE *file = NULL;
	unsigned long total, resident;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/statm", getppid());
	file = fopen(path, "re");
	if (!file || fscanf(file, "%lu %lu", &total, &resident) != 2)
		return 0;
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct health_data {
	const struct service_agent *agent;
	const Phoenix__HealthRequest *request;
};

static int run_health(struct worker_output *output, void *user, struct ph_error *error)
{
	const struct health_data *data = user;
	Phoenix__HealthReply *reply = NULL;
	int r = health_collect(data->request, &data->agent->clock, &reply, error);

	if (r < 0)
		return r;
	reply->uptime_ms = clock_monotonic_ms() - data->agent->started_ms;
	reply->resident_bytes = parent_resident_bytes();
	worker_send(output, &reply->base);
	message_free(reply);
	return 0;
}

static void agent__health(Phoenix__Agent_Service *service, const Phoenix__HealthRequest *input,
			  Phoenix__HealthReply_Closure reply, void *request)
{
	struct health_data data = { agent_of(service), input };

	clock_watch_see(&agent_of(service)->clock, clock_wall_ms(), clock_monotonic_ms());
	ask(agent_of(service), run_health, &data, &phoenix__health_reply__descriptor,
	    (ProtobufCClosure)reply, request);
}

static int run_repair(struct worker_output *output, void *data, struct ph_error *error)
{
	const Phoenix__RepairRequest *request = data;
	Phoenix__RepairReply reply = PHOENIX__REPAIR_REPLY__INIT;
	char message[256] = "";
	int r;

	if (!text_equal(request->kind, "fuse-daemon"))
		return error_set(error, -EOPNOTSUPP, "kind", "use agent and phoenixd of one version",
				 "this agent cannot repair '%.32s'", request->kind);
	r = repair_fuse_daemon(HEALTH_DATA_ROOT, request->container, message, sizeof(message),
			       error);
	if (r < 0)
		return r;
	reply.repaired = r == REPAIR_DONE;
	reply.message = message;
	worker_send(output, &reply.base);
	return 0;
}

static void agent__repair(Phoenix__Agent_Service *service, const Phoenix__RepairRequest *input,
			  Phoenix__RepairReply_Closure reply, void *request)
{
	ask_within(REPAIR_DEADLINE_MS, agent_of(service), run_repair, (void *)input,
		   &phoenix__repair_reply__descriptor, (ProtobufCClosure)reply, request);
}

static int run_describe(struct worker_output *output, void *data, struct ph_error *error)
{
	Phoenix__DescribeReply reply = PHOENIX__DESCRIBE_REPLY__INIT;
	PH_AUTO_FREE struct docker_facts *facts = ph_alloc(sizeof(*facts));
	const struct docker_wanted wanted = { 0 };
	struct utsname name;
	int r = docker_observe(&wanted, facts, error);

	if (r < 0)
		return r;
	uname(&name);
	reply.distribution = facts->os.id;
	reply.distribution_version = facts->os.version_id;
	reply.init = (char *)init_name(facts->init);
	reply.kernel = name.release;
	reply.docker_version = facts->server_version;
	reply.storage_driver = facts->driver;
	worker_send(output, &reply.base);
	return 0;
}

static void agent__describe(Phoenix__Agent_Service *service,
			    const Phoenix__DescribeRequest *input,
			    Phoenix__DescribeReply_Closure reply, void *request)
{
	ask(agent_of(service), run_describe, NULL, &phoenix__describe_reply__descriptor,
	    (ProtobufCClosure)reply, request);
}

static int run_storage(struct worker_output *output, void *data, struct ph_error *error)
{
	const Phoenix__StorageRequest *request = data;
	const struct storage_wanted wanted = {
		.driver = request->storage_driver[0] ? request->storage_driver : "auto",
		.accept_vfs = request->allow_vfs,
		.accept_loss = request->allow_image_loss,
	};
	Phoenix__StorageReply reply = PHOENIX__STORAGE_REPLY__INIT;
	int r = storage_report_make(request->data_root[0] ? request->data_root : "/var/lib/docker",
				    &wanted, &reply.report, error);

	if (r < 0)
		return r;
	worker_send(output, &reply.base);
	message_free(reply.report);
	return 0;
}

static void agent__storage(Phoenix__Agent_Service *service, const Phoenix__StorageRequest *input,
			   Phoenix__StorageReply_Closure reply, void *request)
{
	ask(agent_of(service), run_storage, (void *)input, &phoenix__storage_reply__descriptor,
	    (ProtobufCClosure)reply, request);
}

static int run_preflight(struct worker_output *output, void *data, struct ph_error *error)
{
	Phoenix__AgentPreflightReply *reply = NULL;
	int r = preflight_collect(&reply, error);

	if (r < 0)
		return r;
	worker_send(output, &reply->base);
	message_free(reply);
	return 0;
}

static void agent__preflight(Phoenix__Agent_Service *service,
			     const Phoenix__AgentPreflightRequest *input,
			     Phoenix__AgentPreflightReply_Closure reply, void *request)
{
	ask(agent_of(service), run_preflight, NULL, &phoenix__agent_preflight_reply__descriptor,
	    (ProtobufCClosure)reply, request);
}

/* ---- supervision where there is no init ---- */

static int run_supervision(struct worker_output *output, void *data, struct ph_error *error)
{
	int r = docker_ensure_running(error);

	return r < 0 ? r : 0;
}

static void supervised(void *user, const struct ph_error *error)
{
	struct service_agent *agent = user;

	agent->supervision = NULL;
	if (error)
		log_error(LOG_LEVEL_WARNING, "supervise", NULL, error);
	/* Told when it changes, not at every look. */
	if (agent->is_docker_down == (error != NULL) || !agent->tell)
		return;
	agent->is_docker_down = error != NULL;
	if (error)
		agent->tell(agent->tell_user, PHOENIX__EVENT__SEVERITY__ERROR, "docker.down",
			    "NotRunning", error->why);
	else
		agent->tell(agent->tell_user, PHOENIX__EVENT__SEVERITY__INFO, "docker.up", "Running",
			    "dockerd runs again");
}

void service_agent_supervise(struct service_agent *agent)
{
	const struct worker_config config = {
		.run = run_supervision,
		.data = agent,
		.deadline_ms = QUICK_DEADLINE_MS,
		.message_type = &phoenix__health_reply__descriptor,
		.finished = supervised,
		.user = agent,
	};

	clock_watch_see(&agent->clock, clock_wall_ms(), clock_monotonic_ms());
	if (!agent->supervises || agent->supervision || agent->install.worker)
		return;
	if (worker_start(agent->loop, &config, &agent->supervision) < 0)
		agent->supervision = NULL;
}

void service_agent_init(struct service_agent *agent, uv_loop_t *loop)
{
	static const struct job_kind install = { "install", run_install,
						 &phoenix__install_item__descriptor,
						 INSTALL_DEADLINE_MS };
	static const struct job_kind verify = { "verify", run_verify,
						&phoenix__verify_item__descriptor,
						VERIFY_DEADLINE_MS };
	static const Phoenix__Agent_Service handlers = PHOENIX__AGENT__INIT(agent__);

	*agent = (struct service_agent){ .service = handlers, .loop = loop };
	agent->started_ms = clock_monotonic_ms();
	agent->supervises = init_detect("") == INIT_NONE;
	job_init(&agent->install, loop, &install);
	job_init(&agent->verify, loop, &verify);
}
