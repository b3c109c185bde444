/* Pages of the program's file: they are let go, and nothing is lost with them. */
#include "agent/system/pages.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "tests/support/cmocka.h"

#define TABLE_SIZE (8 * 1024 * 1024) /* much more than one fault maps: a folio, 2 MiB at most */
#define PAGE 4096

static const uint8_t table[TABLE_SIZE] = { [0] = 1, [TABLE_SIZE / 2] = 2, [TABLE_SIZE - 1] = 3 };
static uint8_t written[8] = { 1, 2, 3 };

/* KiB that are mapped now of what /proc/self/smaps says an address lies in. */
static unsigned long resident(const void *address)
{
	PH_AUTO_FILE FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long begin, end, kilobytes;
	bool is_here = false;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			is_here = (uintptr_t)address >= begin && (uintptr_t)address < end;
		else if (is_here && sscanf(line, "Rss: %lu kB", &kilobytes) == 1)
			return kilobytes;
	}
	fail_msg("no mapping has the table");
	return 0;
}

static unsigned int touch(void)
{
	const volatile uint8_t *bytes = table;
	unsigned int sum = 0;

	for (size_t i = 0; i < TABLE_SIZE; i += PAGE)
		sum += bytes[i];
	return sum + bytes[TABLE_SIZE - 1];
}

static void constants_are_let_go_and_come_back(void **state)
{
	unsigned int sum = touch();
	unsigned long before = resident(table);

	assert_true(before >= TABLE_SIZE / 1024);
	assert_true(pages_let_go() >= TABLE_SIZE);
	assert_true(resident(table) <= before - TABLE_SIZE / 2 / 1024);
	assert_int_equal(touch(), sum);
	assert_int_equal(sum, 6);
}

static void what_was_written_stays(void **state)
{
	char *volatile text = ph_format("%d", 42);

	written[3] = 4;
	pages_let_go();
	assert_memory_equal(written, ((uint8_t[]){ 1, 2, 3, 4, 0, 0, 0, 0 }), sizeof(written));
	assert_string_equal(text, "42");
	free(text);
}

/* Touch every page of a large frame. */
static __attribute__((noinline)) unsigned int go_deep(void)
{
	volatile uint8_t bytes[16 * PAGE];
	unsigned int sum = 0;

	for (size_t i = 0; i < sizeof(bytes); i += PAGE)
		bytes[i] = 1;
	for (size_t i = 0; i < sizeof(bytes); i += PAGE)
		sum += bytes[i];
	return sum;
}

/* What deeper calls have left there; the frames that are alive stay as they are. */
static void unused_stack_is_let_go(void **state)
{
	volatile uint8_t alive[4 * PAGE];
	unsigned long before;

	for (size_t i = 0; i < sizeof(alive); i += PAGE)
		alive[i] = (uint8_t)(i / PAGE + 1);
	assert_int_equal(go_deep(), 16);
	before = resident((const void *)alive);
	pages_let_go();
	assert_true(resident((const void *)alive) <= before - 8 * PAGE / 1024);
	for (size_t i = 0; i < sizeof(alive); i += PAGE)
		assert_int_equal(alive[i], i / PAGE + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constants_are_let_go_and_come_back),
		cmocka_unit_test(what_was_written_stays),
		cmocka_unit_test(unused_stack_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
