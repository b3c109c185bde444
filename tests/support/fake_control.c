#include "tests/support/fake_control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "common/timer.h"
#include "proto/control.pb-c.h"

#define SLOW_MS 300
#define LIVE_MS 5
#define CLIENTS 4

/* In the child. */
struct server {
	Phoenix__Control_Service service; /* first */
	const struct fake_control *control;
	uv_loop_t loop;
	struct channel *channels[CLIENTS];
	int told;
};

static struct server *server_of(Phoenix__Control_Service *service)
{
	return (struct server *)service;
}

/* A text of a reply: the told one instead of what belongs there. */
static char *text_of(const struct server *server, const char *usual)
{
	return (char *)(server->control->text ? server->control->text : usual);
}

static void fail_request(void *request, int code, const char *step, const char *where)
{
	struct ph_error error;

	error_set(&error, code, where, "look at the fake", "told to fail");
	if (step)
		error_step(&error, step);
	rpc_fail(request, &error);
}

static void hang_up(struct server *server)
{
	for (size_t i = 0; i < CLIENTS; i++)
		if (server->channels[i])
			channel_close(server->channels[i]);
}

/* ---- before every answer ---- */

struct late {
	struct timer *timer;
	void (*answer)(void *user);
	void *user;
};

static void late_fired(void *user)
{
	struct late *late = user;

	timer_close(late->timer);
	late->answer(late->user);
	free(late);
}

/* Call answer now or later; false when the request was dealt with already. */
static void answer_in_time(struct server *server, void (*answer)(void *user), void *user)
{
	struct late *late;

	if (server->control->mode != FAKE_CONTROL_IS_SLOW) {
		answer(user);
		return;
	}
	late = ph_alloc(sizeof(*late));
	late->answer = answer;
	late->user = user;
	late->timer = timer_new(&server->loop, late_fired, late);
	timer_start(late->timer, SLOW_MS, 0);
}

/* Whether the mode has dealt with a request. */
static bool is_dealt_with(struct server *server, void *request)
{
	if (write(server->told, "r", 1) != 1)
		abort();
	switch (server->control->mode) {
	case FAKE_CONTROL_IS_SILENT:
		return true;
	case FAKE_CONTROL_FAILS:
		fail_request(request, server->control->fail_code, server->control->fail_step,
			     text_of(server, "/fake"));
		return true;
	default:
		return false;
	}
}

/* A stream's items are out: end it, or hang up in its middle. */
static void end_stream(struct server *server, void *request)
{
	if (server->control->mode == FAKE_CONTROL_HANGS_UP)
		hang_up(server);
	else
		rpc_end(request);
}

#define METHOD(name, request_type, reply_type)                                                     \
	static void control__##name(Phoenix__Control_Service *service,                             \
				    const Phoenix__##request_type *input,                          \
				    Phoenix__##reply_type##_Closure reply, void *request)

/* ---- containers ---- */

struct container_answer {
	Phoenix__ContainerStatus status;
	Phoenix__ContainerSpec spec;
	Phoenix__Condition conditions[4];
	Phoenix__Condition *list[4];
	Phoenix__ContainerObservation observed;
	Phoenix__Pair nested, *nested_list[1];
	Phoenix__Failure failure;
};

static void set_condition(const struct server *server, struct container_answer *answer,
			  const char *type, Phoenix__Condition__Status status, bool observed)
{
	Phoenix__Condition *condition = &answer->conditions[answer->status.n_conditions];

	phoenix__condition__init(condition);
	condition->type = (char *)type;
	condition->status = status;
	condition->observed = observed;
	condition->reason = text_of(server, "Reason");
	condition->message = text_of(server, "because");
	answer->list[answer->status.n_conditions++] = condition;
}

static void make_status(const struct server *server, const char *name,
			struct container_answer *answer)
{
	bool is_well = text_equal(name, "web1");

	phoenix__container_status__init(&answer->status);
	phoenix__container_spec__init(&answer->spec);
	phoenix__container_observation__init(&answer->observed);
	phoenix__pair__init(&answer->nested);
	phoenix__failure__init(&answer->failure);
	answer->status.spec = &answer->spec;
	answer->status.conditions = answer->list;
	answer->status.observed = &answer->observed;
	answer->spec.name = text_of(server, name);
	answer->spec.image = text_of(server, "bookworm");
	answer->spec.confinement = is_well ? PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED :
					     PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;
	answer->status.phase = text_of(server, is_well ? "running" : "failed");
	answer->status.address = text_of(server, "10.209.0.2");
	answer->status.step = text_of(server, "");
	answer->status.ready = is_well;
	answer->observed.running = true;
	answer->observed.label = text_of(server, "lxc-phoenix-v2 (enforce)");
	answer->observed.first_offender = text_of(server, "");
	answer->observed.clone_method = text_of(server, "snapshot");
	answer->observed.clone_reason = text_of(server, "asked for");
	answer->observed.kept_image = text_of(server, is_well ? "bullseye" : "");
	answer->observed.kept_clone_method = text_of(server, "copy");
	answer->observed.kept_digest = text_of(server, "0123456789abcdef");
	answer->observed.prepared_image = text_of(server, is_well ? "" : "trixie");
	answer->nested.key = text_of(server, "77 phoenix-agent");
	answer->nested.value = text_of(server, "lxc-phoenix-v2 (enforce)");
	answer->nested_list[0] = &answer->nested;
	answer->observed.n_nested = 1;
	answer->observed.nested = answer->nested_list;
	set_condition(server, answer, "Ready", is_well ? 1 : 2, false);
	set_condition(server, answer, "Confined", is_well ? 1 : 2, true);
	set_condition(server, answer, "Running", 1, true);
	set_condition(server, answer, text_of(server, "DockerResponding"), is_well ? 1 : 0, false);
	if (is_well)
		return;
	answer->status.failure = &answer->failure;
	answer->failure.what = text_of(server, "apply web2");
	answer->failure.why = text_of(server, "disk full");
	answer->failure.remedy = text_of(server, "make room");
}

static bool is_known(const char *name)
{
	return text_equal(name, "web1") || text_equal(name, "web2");
}

struct list_request {
	struct server *server;
	char name[64];
	Phoenix__ListReply_Closure reply;
	void *request;
};

/* One item for each. */
static void send_list(struct list_request *list, const Phoenix__ListReply *answer)
{
	Phoenix__ListReply item = PHOENIX__LIST_REPLY__INIT;

	item.n_containers = 1;
	for (size_t i = 0; i < answer->n_containers; i++) {
		item.containers = &answer->containers[i];
		list->reply(&item, list->request);
	}
	rpc_end(list->request);
}

static void answer_list(void *user)
{
	struct list_request *list = user;
	Phoenix__ListReply answer = PHOENIX__LIST_REPLY__INIT;
	struct container_answer containers[2] = { 0 };
	Phoenix__ContainerStatus *statuses[2];
	static const char *const names[] = { "web1", "web2" };

	for (size_t i = 0; i < 2; i++) {
		if (list->name[0] && !text_equal(list->name, names[i]))
			continue;
		make_status(list->server, names[i], &containers[i]);
		statuses[answer.n_containers++] = &containers[i].status;
	}
	answer.containers = statuses;
	if (list->server->control->mode == FAKE_CONTROL_HANGS_UP)
		hang_up(list->server);
	else if (answer.n_containers)
		send_list(list, &answer);
	else
		fail_request(list->request, -ENOENT, NULL, list->name);
	free(list);
}

static void take_list(struct server *server, const char *name, Phoenix__ListReply_Closure reply,
		      void *request)
{
	struct list_request *list;

	if (is_dealt_with(server, request))
		return;
	list = ph_alloc(sizeof(*list));
	list->server = server;
	list->reply = reply;
	list->request = request;
	text_copy(list->name, sizeof(list->name), name);
	answer_in_time(server, answer_list, list);
}

METHOD(list, NameRequest, ListReply)
{
	take_list(server_of(service), input->name, reply, request);
}

METHOD(health, NameRequest, ListReply)
{
	take_list(server_of(service), input->name, reply, request);
}

METHOD(show, NameRequest, ContainerStatus)
{
	struct container_answer answer = { 0 };

	if (is_dealt_with(server_of(service), request))
		return;
	make_status(server_of(service), input->name, &answer);
	if (is_known(input->name))
		reply(&answer.status, request);
	else
		fail_request(request, -ENOENT, NULL, input->name);
}

/* web1 has two drivers to choose from, web2 none. */
METHOD(rotate_key, NameRequest, RotateKeyReply)
{
	Phoenix__RotateKeyReply answer = PHOENIX__ROTATE_KEY_REPLY__INIT;

	answer.name = input->name;
	answer.pushed = true;
	reply(&answer, request);
}

METHOD(storage, NameRequest, StorageReport)
{
	struct server *server = server_of(service);
	Phoenix__StorageReport report = PHOENIX__STORAGE_REPORT__INIT;
	Phoenix__StorageCost cost = PHOENIX__STORAGE_COST__INIT, *costs[] = { &cost };
	Phoenix__StorageFigure figure = PHOENIX__STORAGE_FIGURE__INIT, *figures[] = { &figure };
	Phoenix__StorageFinding finding = PHOENIX__STORAGE_FINDING__INIT, *findings[] = { &finding };
	Phoenix__Pair fact = PHOENIX__PAIR__INIT, *facts[] = { &fact };
	Phoenix__Failure refusal = PHOENIX__FAILURE__INIT;
	char *reason = text_of(server, "every storage check passed");

	if (is_dealt_with(server, request))
		return;
	if (!is_known(input->name)) {
		fail_request(request, -ENOENT, NULL, input->name);
		return;
	}
	report.container = input->name;
	report.wanted = (char *)"auto";
	report.n_facts = report.n_findings = report.n_reasons = 1;
	fact.key = (char *)"filesystem";
	fact.value = text_of(server, "ext4");
	report.facts = facts;
	finding.id = (char *)"storage.on-tmpfs";
	finding.message = text_of(server, "images use memory");
	report.findings = findings;
	report.reasons = &reason;
	report.summary = text_of(server, "overlay2 passes here and creates files 13x faster");
	refusal.why = text_of(server, "no driver can hold layers here");
	if (text_equal(input->name, "web2"))
		report.refusal = &refusal;
	else
		report.driver = (char *)"overlay2";
	cost.driver = (char *)"overlay2";
	cost.usable = true;
	cost.n_figures = 1;
	cost.figures = figures;
	figure.name = (char *)"create";
	figure.count = 1000;
	figure.duration_us = 100000;
	report.n_costs = 1;
	report.costs = costs;
	reply(&report, request);
}

/* Nothing of weight stands in web1's way; web2 cannot have Docker. */
METHOD(preflight, PreflightRequest, PreflightReply)
{
	struct server *server = server_of(service);
	Phoenix__PreflightReply answer = PHOENIX__PREFLIGHT_REPLY__INIT;
	Phoenix__PreflightFinding quota = PHOENIX__PREFLIGHT_FINDING__INIT, clash = quota;
	Phoenix__PreflightFinding *findings[] = { &clash, &quota };
	bool is_bad = text_equal(input->name, "web2") || input->error_text[0];

	if (is_dealt_with(server, request))
		return;
	if (input->name[0] && !is_known(input->name)) {
		fail_request(request, -ENOENT, NULL, input->name);
		return;
	}
	clash.id = (char *)"preflight.runc-clash";
	clash.severity = PHOENIX__PREFLIGHT_FINDING__SEVERITY__FAIL;
	clash.container = input->name;
	clash.evidence = text_of(server, input->error_text[0] ? input->error_text :
								"reopen fd: permission denied");
	clash.remedy = text_of(server, "run it under our profile");
	quota.id = (char *)"preflight.keyring-quota";
	quota.severity = PHOENIX__PREFLIGHT_FINDING__SEVERITY__WARN;
	quota.evidence = text_of(server, "150 of 200 keys");
	quota.remedy = text_of(server, "raise kernel.keys.maxkeys");
	quota.observed = true;
	answer.kernel = text_of(server, "6.1.0");
	answer.findings = is_bad ? findings : findings + 1;
	answer.n_findings = is_bad ? 2 : input->name[0] ? 1 : 0;
	reply(&answer, request);
}

METHOD(version, VersionRequest, VersionReply)
{
	struct server *server = server_of(service);
	Phoenix__VersionReply answer = PHOENIX__VERSION_REPLY__INIT;
	Phoenix__ProbeReply probe = PHOENIX__PROBE_REPLY__INIT;

	if (is_dealt_with(server, request))
		return;
	answer.version = text_of(server, "9.9.9");
	answer.host = &probe;
	probe.kernel = text_of(server, "6.1.0");
	probe.apparmor_reason = text_of(server, "a fake kernel without AppArmor");
	reply(&answer, request);
}

/* ---- orders ---- */

static void send_progress(const struct server *server, const char *container, const char *step,
			  int state, const Phoenix__Failure *failure,
			  Phoenix__OperationItem_Closure operation,
			  Phoenix__ApplyItem_Closure apply, void *request)
{
	Phoenix__OperationItem item = PHOENIX__OPERATION_ITEM__INIT;
	Phoenix__ApplyItem apply_item = PHOENIX__APPLY_ITEM__INIT;
	Phoenix__Progress progress = PHOENIX__PROGRESS__INIT;

	progress.container = text_of(server, container);
	progress.step = text_of(server, step);
	progress.message = text_of(server, "working");
	progress.state = (Phoenix__Progress__State)state;
	progress.index = 1;
	progress.total = 2;
	progress.duration_ms = 1234;
	progress.failure = (Phoenix__Failure *)failure;
	item.progress = apply_item.progress = &progress;
	if (operation)
		operation(&item, request);
	else
		apply(&apply_item, request);
}

static void fill_failure(const struct server *server, int code, Phoenix__Failure *failure)
{
	phoenix__failure__init(failure);
	failure->code = code;
	failure->what = text_of(server, "the attempt");
	failure->why = text_of(server, "told to fail");
	failure->remedy = text_of(server, "look at the fake");
}

static void send_report(const struct server *server, const char *name, bool passed,
			Phoenix__OperationItem_Closure reply, void *request)
{
	Phoenix__OperationItem item = PHOENIX__OPERATION_ITEM__INIT;
	Phoenix__VerifyReport report = PHOENIX__VERIFY_REPORT__INIT;
	Phoenix__Check checks[2] = { PHOENIX__CHECK__INIT, PHOENIX__CHECK__INIT };
	Phoenix__Check *list[] = { &checks[0], &checks[1] };

	checks[0].id = text_of(server, "storage.whiteout");
	checks[0].status = PHOENIX__CHECK__STATUS__PASS;
	checks[0].got = text_of(server, "a whiteout");
	checks[1].id = text_of(server, "future.check");
	checks[1].status = passed ? PHOENIX__CHECK__STATUS__SKIP : PHOENIX__CHECK__STATUS__FAIL;
	checks[1].expected = text_of(server, "something else");
	checks[1].got = text_of(server, "nothing");
	checks[1].remedy = text_of(server, "look at the fake");
	checks[1].error_number = 5;
	item.check = &checks[0];
	reply(&item, request);
	item.check = NULL;
	item.report = &report;
	report.container = text_of(server, name);
	report.driver = text_of(server, "fuse-overlayfs");
	report.passed = passed;
	report.n_checks = 2;
	report.checks = list;
	reply(&item, request);
}

METHOD(verify, NameRequest, OperationItem)
{
	struct server *server = server_of(service);
	bool is_lost = text_equal(input->name, "lost");
	Phoenix__Failure failure;

	if (is_dealt_with(server, request))
		return;
	if (!is_lost && input->name[0] && !is_known(input->name)) {
		fail_request(request, -ENOENT, NULL, input->name);
		return;
	}
	send_progress(server, input->name, "verify", 1, NULL, reply, NULL, request);
	if (is_lost) {
		fill_failure(server, -ENOENT, &failure);
		send_progress(server, "lost", "verify", 5, &failure, reply, NULL, request);
		fail_request(request, -ENOENT, "verify", "lost");
		return;
	}
	if (!text_equal(input->name, "web2"))
		send_report(server, "web1", true, reply, request);
	if (server->control->mode == FAKE_CONTROL_HANGS_UP || text_equal(input->name, "web1")) {
		end_stream(server, request);
		return;
	}
	send_report(server, "web2", false, reply, request);
	fail_request(request, -EBADE, "verify", "web2");
}

METHOD(remove, NameRequest, OperationItem)
{
	struct server *server = server_of(service);
	Phoenix__Failure failure;

	if (is_dealt_with(server, request))
		return;
	if (text_equal(input->name, "stuck")) {
		fill_failure(server, -ENOENT, &failure);
		send_progress(server, "stuck", "destroy", 5, &failure, reply, NULL, request);
		fail_request(request, -ENOENT, "destroy", "stuck");
	} else if (is_known(input->name)) {
		send_progress(server, input->name, "stop", 1, NULL, reply, NULL, request);
		send_progress(server, input->name, "stop", 3, NULL, reply, NULL, request);
		end_stream(server, request);
	} else {
		fail_request(request, -ENOENT, NULL, input->name);
	}
}

METHOD(plan, PlanRequest, PlanReply)
{
	Phoenix__PlanReply answer = PHOENIX__PLAN_REPLY__INIT;
	Phoenix__PlanItem change = PHOENIX__PLAN_ITEM__INIT, other = change;
	Phoenix__PlanItem *items[] = { &change, &other };
	Phoenix__PlanChange labels = PHOENIX__PLAN_CHANGE__INIT, *changes[] = { &labels };

	if (is_dealt_with(server_of(service), request))
		return;
	labels.field = (char *)"labels";
	labels.old = (char *)"x: y";
	labels.new_ = (char *)"x: z";
	labels.reason = (char *)"taken over";
	change.container = input->fleet->containers[input->fleet->n_containers - 1]->name;
	change.action = PHOENIX__PLAN_ITEM__ACTION__UNCHANGED;
	if (text_has_prefix(change.container, "bad")) {
		change.action = PHOENIX__PLAN_ITEM__ACTION__CHANGE;
		change.n_changes = answer.change = 1;
		change.changes = changes;
	}
	other.container = (char *)"web2";
	other.reason = (char *)"the file does not name it";
	other.action = input->prune ? PHOENIX__PLAN_ITEM__ACTION__REMOVE :
				      PHOENIX__PLAN_ITEM__ACTION__IGNORE;
	answer.remove = input->prune;
	answer.ignore = !input->prune;
	answer.n_items = 2;
	answer.items = items;
	reply(&answer, request);
}

static void fill_found(Phoenix__ForeignContainer *found, Phoenix__IdRange *ids)
{
	static char driver[] = "overlay2", *drivers[] = { driver };

	phoenix__foreign_container__init(found);
	phoenix__id_range__init(ids);
	ids->first = 100000;
	ids->count = 65536;
	found->lxc_path = (char *)"/var/lib/lxc";
	found->name = (char *)"old";
	found->profile = (char *)"unconfined";
	found->docker = (char *)"docker.io 20.10.24";
	found->running = true;
	found->label = (char *)"unconfined";
	found->since_ms = 1700000000000;
	found->ids = ids;
	found->storage_drivers = drivers;
	found->n_storage_drivers = 1;
}

METHOD(foreign, ForeignListRequest, ForeignListReply)
{
	Phoenix__ForeignListReply answer = PHOENIX__FOREIGN_LIST_REPLY__INIT;
	Phoenix__ForeignContainer found, privileged, *list[] = { &found, &privileged };
	Phoenix__IdRange ids;

	if (is_dealt_with(server_of(service), request))
		return;
	fill_found(&found, &ids);
	fill_found(&privileged, &ids);
	privileged.name = (char *)"rooted";
	privileged.ids = NULL;
	privileged.obstacle = (char *)"there is no lxc.idmap in its configuration";
	privileged.remedy = (char *)"give it ids of its own";
	answer.containers = list;
	answer.n_containers = 2;
	reply(&answer, request);
}

METHOD(adopt, AdoptOrder, AdoptItem)
{
	Phoenix__AdoptItem answer = PHOENIX__ADOPT_ITEM__INIT;
	Phoenix__ForeignContainer found;
	Phoenix__IdRange ids;

	if (is_dealt_with(server_of(service), request))
		return;
	if (!text_equal(input->name, "old")) {
		fail_request(request, -EPERM, NULL, input->name);
		return;
	}
	fill_found(&found, &ids);
	found.adopted = true;
	answer.found = &found;
	reply(&answer, request);
}

METHOD(unadopt, NameRequest, OperationItem)
{
	struct server *server = server_of(service);
	const char *name = input->name;
	Phoenix__Failure failure;

	if (is_dealt_with(server, request))
		return;
	if (text_equal(name, "stuck")) {
		fill_failure(server, -EBADE, &failure);
		send_progress(server, "stuck", "verify", 5, &failure, reply, NULL, request);
		fail_request(request, -EBADE, "verify", "stuck");
	} else if (is_known(name)) {
		send_progress(server, name, "configure", 3, NULL, reply, NULL, request);
		end_stream(server, request);
	} else {
		fail_request(request, -ENOENT, NULL, name);
	}
}

METHOD(discard, NameRequest, OperationItem)
{
	struct server *server = server_of(service);

	if (is_dealt_with(server, request))
		return;
	if (text_equal(input->name, "role=web") || is_known(input->name)) {
		send_progress(server, "web1", "discard", 3, NULL, reply, NULL, request);
		end_stream(server, request);
	} else {
		fail_request(request, -ENOENT, NULL, input->name);
	}
}

METHOD(drift, DriftRequest, DriftReply)
{
	Phoenix__DriftReply answer = PHOENIX__DRIFT_REPLY__INIT;
	Phoenix__DriftFinding finding = PHOENIX__DRIFT_FINDING__INIT, *findings[] = { &finding };
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT, *repairs[] = { &spec };

	if (is_dealt_with(server_of(service), request))
		return;
	if (input->selector[0] && !is_known(input->selector)) {
		fail_request(request, -ENOENT, NULL, input->selector);
		return;
	}
	answer.containers = 2;
	spec.name = finding.container = (char *)"web2";
	finding.id = (char *)"drift.stopped";
	finding.wanted = (char *)"the container runs";
	finding.found = (char *)"Stopped";
	finding.repair = (char *)"apply starts it";
	finding.observed = true;
	if (!text_equal(input->selector, "web1")) {
		answer.n_findings = answer.n_repairs = 1;
		answer.findings = findings;
		answer.repairs = repairs;
	}
	reply(&answer, request);
}

METHOD(apply, ApplyRequest, ApplyItem)
{
	struct server *server = server_of(service);
	Phoenix__ApplyItem item = PHOENIX__APPLY_ITEM__INIT;
	Phoenix__ApplySummary summary = PHOENIX__APPLY_SUMMARY__INIT;
	Phoenix__Failure failure;

	if (is_dealt_with(server, request))
		return;
	for (size_t i = 0; i < input->fleet->n_containers; i++) {
		const Phoenix__ContainerSpec *spec = input->fleet->containers[i];
		bool is_bad = text_has_prefix(spec->name, "bad");

		if (text_equal(spec->image, "absent")) {
			fail_request(request, -ENOENT, NULL, spec->image);
			return;
		}
		fill_failure(server, -EINVAL, &failure);
		send_progress(server, spec->name, "create", is_bad ? 5 : 3,
			      is_bad ? &failure : NULL, NULL, reply, request);
		summary.created += !is_bad;
		summary.failed += is_bad;
	}
	if (server->control->mode == FAKE_CONTROL_HANGS_UP) {
		hang_up(server);
		return;
	}
	item.summary = &summary;
	reply(&item, request);
	if (summary.failed)
		fail_request(request, -EINVAL, "create", "bad1");
	else
		rpc_end(request);
}

/* ---- events ---- */

struct live {
	struct server *server;
	struct timer *timer;
	Phoenix__EventsItem_Closure reply;
	void *request;
	uint64_t seq;
};

static void send_event(const struct server *server, uint64_t seq, const char *type, int severity,
		       Phoenix__EventsItem_Closure reply, void *request)
{
	Phoenix__EventsItem item = PHOENIX__EVENTS_ITEM__INIT;
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	Phoenix__Event *events[] = { &event };
	Phoenix__Pair field = PHOENIX__PAIR__INIT;
	Phoenix__Pair *fields[] = { &field };

	event.seq = seq;
	event.type = (char *)(text_equal(type, "gap") ? type : text_of(server, type));
	event.severity = (Phoenix__Event__Severity)severity;
	event.container = text_of(server, "web1");
	event.reason = text_of(server, "Reason");
	event.message = text_of(server, text_equal(type, "gap") ?
						"events 1 to 41 are no longer kept" :
						"it is so");
	field.key = text_of(server, "where");
	field.value = text_of(server, "/var/lib/docker");
	event.n_fields = 1;
	event.fields = fields;
	item.n_events = 1;
	item.events = events;
	reply(&item, request);
}

static void live_fired(void *user)
{
	struct live *live = user;

	send_event(live->server, live->seq++, "live", 1, live->reply, live->request);
}

static void live_cancelled(void *user)
{
	struct live *live = user;

	timer_close(live->timer);
	rpc_end(live->request);
	free(live);
}

METHOD(events, EventsRequest, EventsItem)
{
	struct server *server = server_of(service);
	struct live *live;

	if (is_dealt_with(server, request))
		return;
	if (input->since)
		send_event(server, 41, "gap", 2, reply, request);
	send_event(server, 42, "operation.step", 1, reply, request);
	send_event(server, 43, "operation.ended", 3, reply, request);
	if (!input->follow || server->control->mode == FAKE_CONTROL_HANGS_UP) {
		end_stream(server, request);
		return;
	}
	live = ph_alloc(sizeof(*live));
	live->server = server;
	live->reply = reply;
	live->request = request;
	live->seq = 44;
	live->timer = timer_new(&server->loop, live_fired, live);
	rpc_request_on_cancel(request, live_cancelled, live);
	timer_start(live->timer, LIVE_MS, LIVE_MS);
}

/* ---- denials ---- */

METHOD(denials, DenialsRequest, DenialsReply)
{
	struct server *server = server_of(service);
	Phoenix__DenialsReply item = PHOENIX__DENIALS_REPLY__INIT;
	Phoenix__DenialsSource source = PHOENIX__DENIALS_SOURCE__INIT;
	Phoenix__DenialPattern pattern = PHOENIX__DENIAL_PATTERN__INIT;
	Phoenix__DenialPattern *patterns[] = { &pattern };
	Phoenix__Denial denial = PHOENIX__DENIAL__INIT;

	if (is_dealt_with(server, request))
		return;
	if (input->container[0] && !is_known(input->container)) {
		fail_request(request, -ENOENT, NULL, input->container);
		return;
	}
	/* web2 runs where nothing can be read. */
	source.kind = text_of(server, text_equal(input->container, "web2") ? "none" : "audit");
	source.reason = text_of(server, source.kind[0] == 'n' ? "there is no AppArmor" : "");
	denial.container = text_of(server, "web1");
	denial.operation = text_of(server, "mount");
	denial.name = text_of(server, "/mnt/");
	denial.process = text_of(server, "evil");
	pattern.denial = &denial;
	pattern.count = 17;
	pattern.hint = text_of(server, "it is refused");
	pattern.remedy = text_of(server, "leave it");
	item.source = &source;
	item.patterns = patterns;
	item.n_patterns = source.kind[0] != 'n';
	item.caught_up = true;
	reply(&item, request);
	end_stream(server, request);
}

/* ---- confinement ---- */

METHOD(confinement_status, ConfinementStatusRequest, ConfineStatusReply)
{
	struct server *server = server_of(service);
	Phoenix__ConfineStatusReply answer = PHOENIX__CONFINE_STATUS_REPLY__INIT;
	Phoenix__ConfineProfile profile = PHOENIX__CONFINE_PROFILE__INIT;
	Phoenix__ConfineProfile *profiles[] = { &profile };
	Phoenix__ConfineContainer ours = PHOENIX__CONFINE_CONTAINER__INIT;
	Phoenix__ConfineContainer foreign = PHOENIX__CONFINE_CONTAINER__INIT;
	Phoenix__ConfineContainer *containers[] = { &ours, &foreign };
	char *users[] = { text_of(server, "web1") };

	if (is_dealt_with(server, request))
		return;
	answer.kernel = text_of(server, "6.1.0-45-amd64");
	answer.apparmor = true;
	answer.stacked = true;
	answer.parser_version = text_of(server, "3.0.8");
	profile.name = text_of(server, "lxc-phoenix-v2");
	profile.mode = text_of(server, "enforce");
	profile.state = text_of(server, "current");
	profile.containers = users;
	profile.n_containers = 1;
	ours.name = text_of(server, "web1");
	ours.kind = text_of(server, "phoenix");
	ours.label = text_of(server, "lxc-phoenix-v2 (enforce)");
	ours.confined = true;
	foreign.name = text_of(server, "old");
	foreign.kind = text_of(server, "lxc");
	foreign.label = text_of(server, "unconfined");
	foreign.since_ms = 1700000000000;
	foreign.reason = text_of(server, "it runs unconfined");
	foreign.remedy = text_of(server, "confine it");
	answer.profiles = profiles;
	answer.n_profiles = 1;
	answer.containers = containers;
	answer.n_containers = 2;
	reply(&answer, request);
}

/* ---- images ---- */

static void keep_spooled(const struct server *server, const char *name)
{
	char from[600], to[600];

	snprintf(from, sizeof(from), "%s/%s", server->control->spool, name);
	snprintf(to, sizeof(to), "%s/../imported", server->control->spool);
	unlink(to);
	if (link(from, to) < 0)
		perror(from);
}

METHOD(image_import, ImageImportOrder, ImageItem)
{
	struct server *server = server_of(service);
	Phoenix__ImageItem item = PHOENIX__IMAGE_ITEM__INIT;
	Phoenix__Image image = PHOENIX__IMAGE__INIT;

	if (!strchr(input->spool_file, '/'))
		keep_spooled(server, input->spool_file);
	if (is_dealt_with(server, request))
		return;
	if (server->control->mode == FAKE_CONTROL_HANGS_UP) {
		hang_up(server);
		return;
	}
	image.name = text_of(server, input->name);
	image.source = text_of(server, input->source);
	item.image = &image;
	item.changed = true;
	reply(&item, request);
	rpc_end(request);
}

METHOD(image_remove, NameRequest, ImageItem)
{
	struct server *server = server_of(service);

	if (is_dealt_with(server, request))
		return;
	if (text_equal(input->name, "bookworm"))
		end_stream(server, request);
	else
		fail_request(request, -ENOENT, NULL, input->name);
}

METHOD(image_list, NameRequest, ImageListReply)
{
	struct server *server = server_of(service);
	Phoenix__ImageListReply answer = PHOENIX__IMAGE_LIST_REPLY__INIT;
	Phoenix__Image image = PHOENIX__IMAGE__INIT;
	Phoenix__Image *images[] = { &image };

	if (is_dealt_with(server, request))
		return;
	image.name = text_of(server, "bookworm");
	image.source = text_of(server, "rootfs.tar");
	image.size_bytes = 300 << 20;
	answer.n_images = 1;
	answer.images = images;
	reply(&answer, request);
}

/* ---- rollouts ---- */

struct rollout_answer {
	Phoenix__RolloutStatus status;
	Phoenix__RolloutRecord record;
	Phoenix__RolloutItemStatus items[2], *pointers[2];
	Phoenix__Failure failure;
};

/* One container was converted, the other one has failed and was brought back. */
static void fill_rollout(const struct server *server, struct rollout_answer *answer)
{
	phoenix__rollout_status__init(&answer->status);
	phoenix__rollout_record__init(&answer->record);
	phoenix__failure__init(&answer->failure);
	for (size_t i = 0; i < 2; i++) {
		phoenix__rollout_item_status__init(&answer->items[i]);
		answer->pointers[i] = &answer->items[i];
	}
	answer->items[0].name = text_of(server, "web1");
	answer->items[0].state = PHOENIX__ROLLOUT_ITEM__STATE__DONE;
	answer->items[1].name = text_of(server, "web2");
	answer->items[1].wave = 1;
	answer->items[1].state = PHOENIX__ROLLOUT_ITEM__STATE__REVERTED;
	answer->items[1].failure = &answer->failure;
	answer->failure.why = text_of(server, "dockerd does not start");
	answer->record.id = text_of(server, "r1");
	answer->record.state = PHOENIX__ROLLOUT_RECORD__STATE__HALTED;
	answer->record.cause = PHOENIX__ROLLOUT_RECORD__CAUSE__BUDGET;
	answer->record.ended_ms = 2;
	answer->record.total = 2;
	answer->status.rollout = &answer->record;
	answer->status.n_items = 2;
	answer->status.items = answer->pointers;
}

METHOD(rollout_start, RolloutStartRequest, RolloutStatus)
{
	struct server *server = server_of(service);
	struct rollout_answer answer;

	if (is_dealt_with(server, request))
		return;
	fill_rollout(server, &answer);
	if (text_equal(input->selector, "none"))
		fail_request(request, -ENOENT, NULL, "--only");
	else
		reply(&answer.status, request);
}

METHOD(confine, ConfineRequest, RolloutStatus)
{
	struct server *server = server_of(service);
	Phoenix__RolloutStatus nothing = PHOENIX__ROLLOUT_STATUS__INIT;
	struct rollout_answer answer;

	if (is_dealt_with(server, request))
		return;
	fill_rollout(server, &answer);
	if (text_equal(input->selector, "web9"))
		fail_request(request, -ENOENT, NULL, "web9");
	else if (text_equal(input->selector, "web*") &&
		 (!input->strategy || input->strategy->soak_ms != 60000))
		fail_request(request, -EINVAL, NULL, "strategy");
	else
		reply(text_equal(input->selector, "web3") ? &nothing : &answer.status, request);
}

METHOD(rollout_show, RolloutRequest, RolloutStatus)
{
	struct server *server = server_of(service);
	struct rollout_answer answer;

	if (is_dealt_with(server, request))
		return;
	fill_rollout(server, &answer);
	if (text_equal(input->id, "lost")) {
		answer.record.state = PHOENIX__ROLLOUT_RECORD__STATE__REVERT_FAILED;
		answer.record.cause = PHOENIX__ROLLOUT_RECORD__CAUSE__OPERATOR;
		answer.record.note = text_of(server, "not at the last good state: web2");
		answer.items[1].state = PHOENIX__ROLLOUT_ITEM__STATE__REVERT_FAILED;
	}
	reply(&answer.status, request);
	end_stream(server, request);
}

METHOD(rollout_command, RolloutCommandRequest, RolloutStatus)
{
	struct server *server = server_of(service);
	struct rollout_answer answer;

	if (is_dealt_with(server, request))
		return;
	fill_rollout(server, &answer);
	if (input->command == PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__REVERT)
		reply(&answer.status, request);
	else
		fail_request(request, -EINVAL, NULL, "r1");
}

METHOD(rollout_list, RolloutRequest, RolloutListReply)
{
	struct server *server = server_of(service);
	Phoenix__RolloutListReply list = PHOENIX__ROLLOUT_LIST_REPLY__INIT;
	Phoenix__RolloutStatus *rollouts[1];
	struct rollout_answer answer;

	if (is_dealt_with(server, request))
		return;
	fill_rollout(server, &answer);
	rollouts[0] = &answer.status;
	list.n_rollouts = 1;
	list.rollouts = rollouts;
	reply(&list, request);
}

/* ---- the process ---- */

static void client_closed(void *user, const struct ph_error *error)
{
	*(struct channel **)user = NULL;
}

static void accepted(void *user, int fd, const struct ucred *peer)
{
	static const char *const streaming[] = { "Apply",       "Verify",      "Remove", "Events",
						 "ImageImport", "ImageRemove", "Denials", "RolloutShow",
						 "Unadopt", "Discard", "List", "Health", NULL };
	struct server *server = user;
	struct channel_config config = { .service = &server->service.base,
					 .streaming = streaming,
					 .closed = client_closed };
	size_t i = 0;

	if (server->control->mode == FAKE_CONTROL_BABBLES) {
		if (write(fd, "SSH-2.0-babble\r\n", 16) != 16 || write(server->told, "r", 1) != 1)
			abort();
		return; /* stays open: it is the client who has to end this */
	}
	while (i < CLIENTS - 1 && server->channels[i])
		i++;
	config.user = &server->channels[i];
	if (server->channels[i] ||
	    channel_open(&server->loop, fd, &config, &server->channels[i]) < 0)
		abort();
}

static _Noreturn void serve(const struct fake_control *control, const char *socket, int told)
{
	struct server server = { .service = PHOENIX__CONTROL__INIT(control__),
				 .control = control,
				 .told = told };
	struct address address = { .family = ADDRESS_UNIX };
	struct listener *listener;
	struct ph_error error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&server.loop);
	text_copy(address.path, sizeof(address.path), socket);
	if (listener_open(&server.loop, &address, 0600, accepted, &server, &listener, &error) < 0) {
		fprintf(stderr, "fake control: %s\n", error.why);
		abort();
	}
	if (write(told, "l", 1) != 1) /* listening */
		abort();
	uv_run(&server.loop, UV_RUN_DEFAULT);
	_exit(1);
}

void fake_control_await(struct fake_control *control)
{
	char byte;

	if (read(control->told, &byte, 1) != 1)
		abort();
}

void fake_control_start(struct fake_control *control, const char *socket)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		abort();
	fflush(NULL);
	control->process = fork();
	if (control->process < 0)
		abort();
	if (control->process == 0) {
		close(ends[0]);
		serve(control, socket, ends[1]);
	}
	close(ends[1]);
	control->told = ends[0];
	fake_control_await(control);
}

void fake_control_stop(struct fake_control *control)
{
	if (!control->process)
		return;
	kill(control->process, SIGKILL);
	waitpid(control->process, NULL, 0);
	close(control->told);
	control->process = 0;
}
