/* Allocation is a pure function of what is taken: ids, addresses, slots. */
#include "controller/container/allocate.h"

#include <errno.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define MAXIMUM 4

static const struct {
	const char *name;
	struct id_range ranges[MAXIMUM];
	size_t range_count;
	struct id_range taken[MAXIMUM];
	size_t taken_count;
	int result;
	uint32_t first;
} id_cases[] = {
	{ "empty host", { { 100000, 1000000 } }, 1, { { 0 } }, 0, 0, 100000 },
	{ "behind the first", { { 100000, 1000000 } }, 1, { { 100000, 65536 } }, 1, 0, 165536 },
	{ "into a hole",
	  { { 100000, 1000000 } },
	  1,
	  { { 100000, 65536 }, { 231072, 65536 } },
	  2,
	  0,
	  165536 },
	{ "hole too small",
	  { { 100000, 1000000 } },
	  1,
	  { { 100000, 65536 }, { 200000, 65536 } },
	  2,
	  0,
	  265536 },
	{ "foreign small range", { { 100000, 1000000 } }, 1, { { 100010, 1 } }, 1, 0, 100011 },
	{ "second range",
	  { { 100000, 65536 }, { 500000, 65536 } },
	  2,
	  { { 100000, 65536 } },
	  1,
	  0,
	  500000 },
	{ "no ranges", { { 0 } }, 0, { { 0 } }, 0, -ENOSPC, 0 },
	{ "range too small", { { 100000, 65535 } }, 1, { { 0 } }, 0, -ENOSPC, 0 },
	{ "all taken", { { 100000, 65536 } }, 1, { { 100000, 65536 } }, 1, -ENOSPC, 0 },
	{ "end of all ids", { { UINT32_MAX - 65536, 65536 } }, 1, { { 0 } }, 0, 0,
	  UINT32_MAX - 65536 },
	{ "over the end", { { UINT32_MAX - 65535, 65536 } }, 1, { { 0 } }, 0, -ENOSPC, 0 },
};

static void test_ids(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(id_cases); i++) {
		struct id_range range = { 7, 7 };
		struct ph_error error = { 0 };
		int r = allocate_ids(id_cases[i].ranges, id_cases[i].range_count,
				     id_cases[i].taken, id_cases[i].taken_count, &range, &error);

		if (r != id_cases[i].result)
			fail_msg("%s: %d", id_cases[i].name, r);
		if (r == 0 && (range.first != id_cases[i].first || range.count != 65536))
			fail_msg("%s: %u", id_cases[i].name, range.first);
		if (r < 0 && (range.first != 7 || !error.remedy[0]))
			fail_msg("%s: output touched, or no remedy", id_cases[i].name);
	}
}

static const struct {
	const char *name;
	const char *subnet;
	uint32_t prefix_length;
	const char *taken[MAXIMUM];
	int result;
	const char *address;
} address_cases[] = {
	{ "first host is the gateway", "10.9.0.0", 24, { 0 }, 0, "10.9.0.2" },
	{ "lowest free", "10.9.0.0", 24, { "10.9.0.2", "10.9.0.4" }, 0, "10.9.0.3" },
	{ "smallest pool", "10.9.0.0", 29, { "10.9.0.2", "10.9.0.3", "10.9.0.4" }, 0, "10.9.0.5" },
	{ "used up", "10.9.0.0", 30, { "10.9.0.2" }, -ENOSPC, NULL },
};

static void test_addresses(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(address_cases); i++) {
		uint32_t subnet, taken[MAXIMUM], address = 0;
		struct ph_error error = { 0 };
		size_t count = 0;
		char text[16];
		int r;

		assert_int_equal(text_to_ipv4(address_cases[i].subnet, &subnet), 0);
		for (; count < MAXIMUM && address_cases[i].taken[count]; count++)
			text_to_ipv4(address_cases[i].taken[count], &taken[count]);
		r = allocate_address(subnet, address_cases[i].prefix_length, taken, count, &address,
				     &error);
		if (r != address_cases[i].result)
			fail_msg("%s: %d", address_cases[i].name, r);
		if (r == 0)
			assert_string_equal(ipv4_to_text(address, text), address_cases[i].address);
	}
}

static const struct {
	const char *address;
	int result;
} check_cases[] = {
	{ "10.9.0.0", -ERANGE },     { "10.9.0.1", -ERANGE }, { "10.9.0.255", -ERANGE },
	{ "10.9.1.1", -ERANGE },     { "10.8.255.255", -ERANGE }, { "10.9.0.7", -EADDRINUSE },
	{ "10.9.0.2", 0 },           { "10.9.0.254", 0 },
};

static void test_chosen_addresses(void **state)
{
	uint32_t subnet, taken;

	text_to_ipv4("10.9.0.0", &subnet);
	text_to_ipv4("10.9.0.7", &taken);
	for (size_t i = 0; i < ARRAY_LENGTH(check_cases); i++) {
		struct ph_error error = { 0 };
		uint32_t address;
		int r;

		text_to_ipv4(check_cases[i].address, &address);
		r = allocate_check_address(subnet, 24, address, &taken, 1, &error);
		if (r != check_cases[i].result)
			fail_msg("%s: %d", check_cases[i].address, r);
	}
}

static void test_slots(void **state)
{
	uint32_t taken[ALLOCATE_SLOTS], slot = 0;
	struct ph_error error;

	for (uint32_t i = 0; i < ALLOCATE_SLOTS; i++)
		taken[i] = i;
	assert_int_equal(allocate_slot(taken, 0, &slot, &error), 0);
	assert_int_equal(slot, 0);
	assert_int_equal(allocate_slot(taken, 3, &slot, &error), 0);
	assert_int_equal(slot, 3);
	assert_int_equal(allocate_slot(taken + 1, 3, &slot, &error), 0);
	assert_int_equal(slot, 0);
	assert_int_equal(allocate_slot(taken, ALLOCATE_SLOTS, &slot, &error), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_chosen_addresses),
		cmocka_unit_test(test_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
