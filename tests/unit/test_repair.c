/* What is repaired by itself, and what keeps that from going round in circles. */
#include "controller/container/repair.h"

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define NOW (UINT64_C(1000) * 60 * 60 * 1000)
#define MINUTE (UINT64_C(60) * 1000)

static const struct {
	const char *name;
	bool consent;
	const char *dead[2];
	struct {
		const char *id;
		uint64_t wall_ms;
	} repairs[REPAIR_PER_HOUR];
	enum repair_choice choice;
	const char *chosen;
} cases[] = {
	{ "nothing is dead", true, { NULL }, { { NULL, 0 } }, REPAIR_NOTHING, NULL },
	{ "no consent", false, { "a" }, { { NULL, 0 } }, REPAIR_NOTHING, NULL },
	{ "the first time", true, { "a" }, { { NULL, 0 } }, REPAIR_CONTAINER, "a" },
	{ "again too soon", true, { "a" }, { { "a", NOW - 9 * MINUTE } }, REPAIR_LIMITED, NULL },
	{ "again later", true, { "a" }, { { "a", NOW - 10 * MINUTE } }, REPAIR_CONTAINER, "a" },
	{ "the other one", true, { "a", "b" }, { { "a", NOW - MINUTE } }, REPAIR_CONTAINER, "b" },
	{ "both lately", true, { "a", "b" }, { { "a", NOW - MINUTE }, { "b", NOW } },
	  REPAIR_LIMITED, NULL },
	{ "ever new ones, as somebody makes them anew", true, { "g" },
	  { { "a", NOW - 50 * MINUTE }, { "b", NOW - 40 * MINUTE }, { "c", NOW - 30 * MINUTE },
	    { "d", NOW - 20 * MINUTE }, { "e", NOW - 15 * MINUTE }, { "f", NOW - MINUTE } },
	  REPAIR_LIMITED, NULL },
	{ "one of them an hour ago", true, { "g" },
	  { { "a", NOW - 60 * MINUTE }, { "b", NOW - 40 * MINUTE }, { "c", NOW - 30 * MINUTE },
	    { "d", NOW - 20 * MINUTE }, { "e", NOW - 15 * MINUTE }, { "f", NOW - MINUTE } },
	  REPAIR_CONTAINER, "g" },
	{ "a clock that was set back", true, { "a" }, { { "a", NOW + 600 * MINUTE } },
	  REPAIR_LIMITED, NULL },
};

static void test_choose(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
		Phoenix__DockerSpec docker = PHOENIX__DOCKER_SPEC__INIT;
		Phoenix__ContainerRecord *record = ph_alloc(sizeof(*record));
		Phoenix__HealthReply claimed = PHOENIX__HEALTH_REPLY__INIT;
		Phoenix__NestedContainer nested[2], *list[] = { &nested[0], &nested[1] };
		const Phoenix__NestedContainer *chosen = NULL;
		char *words[] = { (char *)"fuse-daemon" };
		enum repair_choice choice;

		phoenix__container_record__init(record);
		docker.repair = words;
		docker.n_repair = 1;
		spec.docker = cases[i].consent ? &docker : NULL;
		record->spec = MESSAGE_COPY(&spec);
		for (size_t j = 0; j < 2 && cases[i].dead[j]; j++) {
			phoenix__nested_container__init(&nested[j]);
			nested[j].id = (char *)cases[i].dead[j];
			claimed.n_dead++;
		}
		claimed.dead = list;
		for (size_t j = 0; j < REPAIR_PER_HOUR && cases[i].repairs[j].id; j++)
			repair_remember(record, cases[i].repairs[j].id,
					cases[i].repairs[j].wall_ms);
		choice = repair_choose(record, &claimed, NOW, &chosen);
		if (choice != cases[i].choice ||
		    !text_equal(chosen ? chosen->id : NULL, cases[i].chosen))
			fail_msg("%s: %d %s", cases[i].name, choice, chosen ? chosen->id : "-");
		message_free(record);
	}
}

/* The clock was a year ahead: after an hour of the right one the limits are as ever. */
static void test_clock_set_back(void **state)
{
	Phoenix__ContainerRecord *record = ph_alloc(sizeof(*record));

	phoenix__container_record__init(record);
	repair_remember(record, "a", NOW - MINUTE);
	repair_remember(record, "b", NOW + 365 * 24 * 60 * MINUTE);
	repair_settle_clock(record, NOW);
	assert_int_equal(record->repairs[0]->wall_ms, NOW - MINUTE);
	assert_int_equal(record->repairs[1]->wall_ms, NOW);
	message_free(record);
}

static void test_remember(void **state)
{
	Phoenix__ContainerRecord *record = ph_alloc(sizeof(*record));

	phoenix__container_record__init(record);
	for (uint64_t i = 0; i < 100; i++)
		repair_remember(record, "a", i);
	assert_int_equal(record->n_repairs, REPAIR_RECORDS_MAXIMUM);
	assert_int_equal(record->repairs[0]->wall_ms, 100 - REPAIR_RECORDS_MAXIMUM);
	assert_int_equal(record->repairs[REPAIR_RECORDS_MAXIMUM - 1]->wall_ms, 99);
	message_free(record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_remember),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
