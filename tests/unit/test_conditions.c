/* Conditions as a function of what was observed, claimed and asked for. */
#include "controller/container/conditions.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define T PHOENIX__CONDITION__STATUS__TRUE
#define F PHOENIX__CONDITION__STATUS__FALSE
#define U PHOENIX__CONDITION__STATUS__UNKNOWN

enum world {
	NOT_OBSERVED,
	MISSING,
	STOPPED,
	RUNNING_CONFINED,
	RUNNING_OFF_LABEL,
	RUNNING_EMPTY, /* the host counted no process at all: proves nothing */
};

enum report {
	NEVER,
	FAILED,
	PASSED,
};

static const struct {
	const char *name;
	enum world world;
	bool best_effort;
	bool has_profile;
	bool connected;
	enum report report;
	const char *input_then, *input_now; /* now NULL: no claim */
	int running, confined, agent, ready;
} cases[] = {
	{ "all well", RUNNING_CONFINED, false, true, true, PASSED, "a", "a", T, T, T, T },
	{ "never looked", NOT_OBSERVED, false, true, true, PASSED, "a", "a", U, U, T, F },
	{ "gone", MISSING, false, true, false, PASSED, "a", NULL, F, U, F, U },
	{ "stopped", STOPPED, false, true, false, PASSED, "a", NULL, F, U, F, U },
	{ "off label", RUNNING_OFF_LABEL, false, true, true, PASSED, "a", "a", T, F, T, F },
	{ "no process seen", RUNNING_EMPTY, false, true, true, PASSED, "a", "a", T, F, T, F },
	{ "no profile, required", RUNNING_CONFINED, false, false, true, PASSED, "a", "a", T, F, T,
	  F },
	{ "no profile, best effort", RUNNING_CONFINED, true, false, true, PASSED, "a", "a", T, F, T,
	  T },
	{ "best effort, but off label", RUNNING_OFF_LABEL, true, true, true, PASSED, "a", "a", T, F,
	  T, F },
	{ "never verified", RUNNING_CONFINED, false, true, true, NEVER, "a", "a", T, T, T, F },
	{ "verify failed", RUNNING_CONFINED, false, true, true, FAILED, "a", "a", T, T, T, F },
	{ "input changed", RUNNING_CONFINED, false, true, true, PASSED, "a", "b", T, T, T, F },
	{ "dockerd says nothing", RUNNING_CONFINED, false, true, true, PASSED, "a", "", T, T, T, U },
	{ "agent lost", RUNNING_CONFINED, false, true, false, PASSED, "a", NULL, T, T, F, U },
};

static int status_of(const struct conditions *conditions, const char *type)
{
	const Phoenix__Condition *condition = conditions_find(conditions, type);

	assert_non_null(condition);
	return (int)condition->status;
}

static void set_world(enum world world, Phoenix__ContainerObservation *observed)
{
	observed->exists = world != MISSING;
	observed->running = world >= RUNNING_CONFINED;
	observed->processes = world == RUNNING_EMPTY ? 0 : 5;
	observed->processes_off_label = world == RUNNING_OFF_LABEL;
	observed->first_offender = (char *)"pid 7 (sh): unconfined";
}

static void run_case(size_t i, const struct conditions *previous, uint64_t now,
		     struct conditions *ret)
{
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__ContainerObservation observed = PHOENIX__CONTAINER_OBSERVATION__INIT;
	Phoenix__VerifyReport verify = PHOENIX__VERIFY_REPORT__INIT;
	Phoenix__HealthReply claimed = PHOENIX__HEALTH_REPLY__INIT;
	Phoenix__Pair then = PHOENIX__PAIR__INIT, now_pair = PHOENIX__PAIR__INIT;
	Phoenix__Pair *then_list[] = { &then }, *now_list[] = { &now_pair };
	struct condition_facts facts = { .spec = &spec };

	spec.confinement = cases[i].best_effort ? PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT :
						  PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED;
	set_world(cases[i].world, &observed);
	then.key = now_pair.key = (char *)"docker";
	then.value = (char *)cases[i].input_then;
	verify.passed = cases[i].report == PASSED;
	verify.n_facts = 1;
	verify.facts = then_list;
	if (cases[i].input_now) {
		now_pair.value = (char *)cases[i].input_now;
		claimed.n_inputs = cases[i].input_now[0] ? 1 : 0; /* "": none */
		claimed.inputs = now_list;
		facts.claimed = &claimed;
	}
	facts.profile = cases[i].has_profile ? "lxc-phoenix-v2" : "";
	facts.observed = cases[i].world == NOT_OBSERVED ? NULL : &observed;
	facts.verify = cases[i].report == NEVER ? NULL : &verify;
	facts.connected = cases[i].connected;
	conditions_compute(&facts, previous, now, ret);
}

static void test_statuses(void **state)
{
	const struct conditions none = { 0 };

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct conditions got;

		run_case(i, &none, 1, &got);
		if (status_of(&got, "Running") != cases[i].running ||
		    status_of(&got, "Confined") != cases[i].confined ||
		    status_of(&got, "AgentConnected") != cases[i].agent ||
		    status_of(&got, "Ready") != cases[i].ready)
			fail_msg("%s: running %d confined %d agent %d ready %d", cases[i].name,
				 status_of(&got, "Running"), status_of(&got, "Confined"),
				 status_of(&got, "AgentConnected"), status_of(&got, "Ready"));
		conditions_fini(&got);
	}
}

static void test_transition_times(void **state)
{
	const struct conditions none = { 0 };
	struct conditions first, second, third;

	run_case(0, &none, 100, &first);
	run_case(0, &first, 200, &second);
	run_case(4, &second, 300, &third); /* off label */
	assert_int_equal(conditions_find(&second, "Confined")->last_transition_ms, 100);
	assert_int_equal(conditions_find(&third, "Confined")->last_transition_ms, 300);
	assert_int_equal(conditions_find(&third, "Running")->last_transition_ms, 100);
	conditions_fini(&first);
	conditions_fini(&second);
	conditions_fini(&third);
}

/* A hostile agent names its claims like the host's observations, and sends very many. */
static void test_claims_cannot_replace_observations(void **state)
{
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__HealthReply claimed = PHOENIX__HEALTH_REPLY__INIT;
	Phoenix__Condition claims[200], *list[200];
	const struct conditions none = { 0 };
	struct condition_facts facts = { .spec = &spec, .profile = "p", .claimed = &claimed };
	struct conditions got;

	for (size_t i = 0; i < ARRAY_LENGTH(claims); i++) {
		phoenix__condition__init(&claims[i]);
		claims[i].type = (char *)(i == 0 ? "Confined" : "Ready");
		claims[i].status = T;
		claims[i].observed = true;
		list[i] = &claims[i];
	}
	claims[1].type = (char *)"DockerResponding";
	claimed.n_conditions = ARRAY_LENGTH(claims);
	claimed.conditions = list;
	conditions_compute(&facts, &none, 1, &got);
	assert_int_equal(status_of(&got, "Confined"), U);
	assert_int_equal(status_of(&got, "Ready"), F);
	assert_int_equal(status_of(&got, "DockerResponding"), T);
	assert_false(conditions_find(&got, "DockerResponding")->observed);
	assert_int_equal(got.count, 5);
	conditions_fini(&got);
}

/* A claim that something vital is broken is believed; one that it is well changes nothing. */
static void test_unhealthy(void **state)
{
	static const struct {
		const char *name, *type;
		int status, ready;
		const char *reason;
	} claims[] = {
		{ "dead mounts", "StorageMountsAlive", F, F, "Unhealthy" },
		{ "dockerd is stopped", "DockerResponding", F, F, "Unhealthy" },
		{ "nobody knows", "DockerResponding", U, T, "Verified" },
		{ "well", "StorageMountsAlive", T, T, "Verified" },
		{ "not vital", "DiskHeadroom", F, T, "Verified" },
	};
	const struct conditions none = { 0 };

	for (size_t i = 0; i < ARRAY_LENGTH(claims); i++) {
		Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
		Phoenix__ContainerObservation observed = PHOENIX__CONTAINER_OBSERVATION__INIT;
		Phoenix__VerifyReport verify = PHOENIX__VERIFY_REPORT__INIT;
		Phoenix__HealthReply claimed = PHOENIX__HEALTH_REPLY__INIT;
		Phoenix__Condition claim = PHOENIX__CONDITION__INIT, *list[] = { &claim };
		Phoenix__Pair pair = PHOENIX__PAIR__INIT, *pairs[] = { &pair };
		struct condition_facts facts = { .spec = &spec,
						 .profile = "p",
						 .observed = &observed,
						 .claimed = &claimed,
						 .verify = &verify,
						 .connected = true };
		struct conditions got;
		const Phoenix__Condition *ready;

		set_world(RUNNING_CONFINED, &observed);
		pair.key = pair.value = (char *)"a";
		verify.passed = true;
		verify.n_facts = claimed.n_inputs = 1;
		verify.facts = claimed.inputs = pairs;
		claim.type = (char *)claims[i].type;
		claim.status = (Phoenix__Condition__Status)claims[i].status;
		claim.message = (char *)"because";
		claim.remedy = (char *)"do this";
		claimed.n_conditions = 1;
		claimed.conditions = list;
		conditions_compute(&facts, &none, 1, &got);
		ready = conditions_find(&got, "Ready");
		if ((int)ready->status != claims[i].ready ||
		    !text_equal(ready->reason, claims[i].reason))
			fail_msg("%s: %d %s", claims[i].name, ready->status, ready->reason);
		assert_int_equal(status_of(&got, "AgentAnswers"), T);
		assert_int_equal(status_of(&got, "DockerUnchanged"), T);
		if (claims[i].ready == F) {
			assert_non_null(strstr(ready->message, "because"));
			assert_string_equal(ready->remedy, "do this");
		}
		conditions_fini(&got);
	}
}

/* An agent that is there and cannot tell how it is: nothing that it said before counts. */
static void test_health_fails(void **state)
{
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__VerifyReport verify = PHOENIX__VERIFY_REPORT__INIT;
	const struct conditions none = { 0 };
	struct condition_facts facts = { .spec = &spec,
					 .profile = "p",
					 .verify = &verify,
					 .connected = true,
					 .health_problem = "dpkg-query: no space left" };
	struct conditions got;

	verify.passed = true;
	conditions_compute(&facts, &none, 1, &got);
	assert_int_equal(status_of(&got, "AgentAnswers"), F);
	assert_int_equal(status_of(&got, "Ready"), U);
	assert_null(conditions_find(&got, "DockerUnchanged"));
	conditions_fini(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_transition_times),
		cmocka_unit_test(test_claims_cannot_replace_observations),
		cmocka_unit_test(test_unhealthy),
		cmocka_unit_test(test_health_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
