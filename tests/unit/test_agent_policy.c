/* What may be asked of an agent: every request of the protocol has a row, and no other may be made. */
#include "controller/link/agent_policy.h"

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

static void every_request_has_a_row(void **state)
{
	const ProtobufCServiceDescriptor *agent = &phoenix__agent__descriptor;
	const struct agent_policy *rows = agent_policy_rows();

	assert_int_equal(AGENT_POLICY_ROWS, agent->n_methods);
	for (size_t i = 0; i < AGENT_POLICY_ROWS; i++) {
		assert_string_equal(rows[i].method, agent->methods[i].name);
		assert_true(rows[i].purpose[0]);
		assert_int_equal(!rows[i].applies, !rows[i].otherwise);
	}
}

struct policy_case {
	const char *source, *method;
	bool is_allowed;
};

static const struct policy_case policy_cases[] = {
	{ "distribution", "Install", true }, { "docker-ce", "Install", true },
	{ "none", "Install", false },        { "none", "Health", true },
	{ "none", "Describe", true },        { "distribution", "Verify", true },
	{ "distribution", "Exec", false },   { "distribution", "install", false },
	{ "distribution", "", false },       { "distribution", "ContainerDestroy", false },
};

static void only_what_is_declared_may_be_asked(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(policy_cases); i++) {
		Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;

		spec.docker_source = (char *)policy_cases[i].source;
		assert_int_equal(agent_policy_allows(&spec, policy_cases[i].method),
				 policy_cases[i].is_allowed);
	}
	assert_false(agent_policy_allows(NULL, "Health"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_has_a_row),
		cmocka_unit_test(only_what_is_declared_may_be_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
