/* What the figures of two drivers are put into words as. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "agent/storage/bench.h"
#include "agent/storage/storage_report.h"
#include "common/cleanup.h"

/* Of 1000 files in so many microseconds; 0: not measured. */
static const struct {
	const char *name;
	uint64_t used_create, used_read, other_create, other_read;
	const char *text;
} cases[] = {
	{ "the other is much faster", 1300000, 450000, 100000, 50000,
	  "overlay2 passes here and creates files 13x faster than fuse-overlayfs, reads small ones "
	  "9.0x faster" },
	{ "alike", 100000, 100000, 95000, 110000,
	  "overlay2 passes here and creates files about as fast as fuse-overlayfs, reads small ones "
	  "about as fast" },
	{ "the other is slower", 100000, 100000, 250000, 100000,
	  "overlay2 passes here and creates files 2.5x slower than fuse-overlayfs, reads small ones "
	  "about as fast" },
	{ "one was not measured", 100000, 100000, 0, 100000, "" },
	{ "nothing was read", 100000, 0, 100000, 100000, "" },
};

static void set_figure(Phoenix__StorageFigure *figure, const char *name, uint64_t duration_us)
{
	phoenix__storage_figure__init(figure);
	figure->name = (char *)name;
	figure->count = 1000;
	figure->duration_us = duration_us;
}

static void figures_become_words(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		Phoenix__StorageFigure figures[4];
		Phoenix__StorageFigure *mine[] = { &figures[0], &figures[1] };
		Phoenix__StorageFigure *its[] = { &figures[2], &figures[3] };
		Phoenix__StorageCost used = PHOENIX__STORAGE_COST__INIT, other = used;
		char text[256];

		set_figure(&figures[0], "create", cases[i].used_create);
		set_figure(&figures[1], "read", cases[i].used_read);
		set_figure(&figures[2], "create", cases[i].other_create);
		set_figure(&figures[3], "read", cases[i].other_read);
		used.driver = (char *)"fuse-overlayfs";
		other.driver = (char *)"overlay2";
		used.n_figures = other.n_figures = 2;
		used.figures = mine;
		other.figures = its;
		storage_compare(&used, &other, text, sizeof(text));
		if (strcmp(text, cases[i].text) != 0)
			fail_msg("%s: '%s'", cases[i].name, text);
	}
}

static void a_rate_is_per_second(void **state)
{
	Phoenix__StorageCost cost = PHOENIX__STORAGE_COST__INIT;
	Phoenix__StorageFigure figure, *figures[] = { &figure };

	set_figure(&figure, "create", 500000);
	cost.n_figures = 1;
	cost.figures = figures;
	assert_int_equal((int)bench_rate(&cost, "create"), 2000);
	assert_int_equal((int)bench_rate(&cost, "remove"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_become_words),
		cmocka_unit_test(a_rate_is_per_second),
	};

	return cmocka_run_group_tests_name("storage_report", tests, NULL, NULL);
}
