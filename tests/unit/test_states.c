/* State tables: what is not allowed in the table does not happen, and says so before it aborts. */
#include "common/states.h"

#include "common/cleanup.h"
#include "tests/support/aborts.h"
#include "tests/support/cmocka.h"

enum { DOOR_OPEN, DOOR_CLOSED, DOOR_LOCKED, DOOR_COUNT };

static const char *const door_names[] = { "open", "closed", "locked" };
static const uint32_t door_moves[] = {
	[DOOR_OPEN] = STATE_BIT(DOOR_CLOSED),
	[DOOR_CLOSED] = STATE_BIT(DOOR_OPEN) | STATE_BIT(DOOR_LOCKED),
	[DOOR_LOCKED] = STATE_BIT(DOOR_CLOSED),
};
static const struct states_table door = { "door", door_names, DOOR_COUNT, door_moves };

static const struct {
	unsigned int from, to;
	bool is_allowed;
} move_cases[] = {
	{ DOOR_OPEN, DOOR_OPEN, true },     { DOOR_OPEN, DOOR_CLOSED, true },
	{ DOOR_OPEN, DOOR_LOCKED, false },  { DOOR_CLOSED, DOOR_OPEN, true },
	{ DOOR_CLOSED, DOOR_CLOSED, true }, { DOOR_CLOSED, DOOR_LOCKED, true },
	{ DOOR_LOCKED, DOOR_OPEN, false },  { DOOR_LOCKED, DOOR_CLOSED, true },
	{ DOOR_LOCKED, DOOR_LOCKED, true }, { DOOR_OPEN, DOOR_COUNT, false },
	{ DOOR_COUNT, DOOR_OPEN, false },   { DOOR_COUNT, DOOR_COUNT, false },
	{ DOOR_OPEN, 33, false },           { 4000000000u, DOOR_OPEN, false },
};

static void the_table_decides(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(move_cases); i++)
		if (states_may_move(&door, move_cases[i].from, move_cases[i].to) !=
		    move_cases[i].is_allowed)
			fail_msg("from %u to %u", move_cases[i].from, move_cases[i].to);
}

static void allowed_moves_are_made(void **state)
{
	unsigned int now = DOOR_OPEN;

	states_move(&door, &now, DOOR_CLOSED);
	assert_int_equal(now, DOOR_CLOSED);
	states_move(&door, &now, DOOR_CLOSED);
	states_move(&door, &now, DOOR_LOCKED);
	assert_int_equal(now, DOOR_LOCKED);
}

static void open_a_locked_door(void)
{
	unsigned int now = DOOR_LOCKED;

	states_move(&door, &now, DOOR_OPEN);
}

static void leave_the_table(void)
{
	unsigned int now = DOOR_OPEN;

	states_move(&door, &now, DOOR_COUNT);
}

static void forbidden_moves_abort(void **state)
{
	assert_true(aborts_saying(open_a_locked_door, "door may not move from locked to open"));
	assert_true(aborts_saying(leave_the_table, "door may not move from open to ?"));
}

static void states_have_names(void **state)
{
	assert_string_equal(states_name(&door, DOOR_OPEN), "open");
	assert_string_equal(states_name(&door, DOOR_LOCKED), "locked");
	assert_string_equal(states_name(&door, DOOR_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_decides),
		cmocka_unit_test(allowed_moves_are_made),
		cmocka_unit_test(forbidden_moves_abort),
		cmocka_unit_test(states_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
