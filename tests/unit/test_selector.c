/* Selectors: what they select out of one small fleet, and what they refuse. */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/fleet/selector.h"

struct member {
	const char *name;
	const char *labels[3][2];
};

static const struct member members[] = {
	{ "web1", { { "role", "web" }, { "zone", "a" } } },
	{ "web2", { { "role", "web" }, { "zone", "b" } } },
	{ "web10", { { "role", "web" } } },
	{ "db1", { { "role", "db" }, { "zone", "a" }, { "team/owner", "data-1.2" } } },
	{ "lone", { { NULL } } },
};

static const struct select_case {
	const char *selector;
	const char *selected;
} select_cases[] = {
	{ "", "web1 web2 web10 db1 lone" },
	{ "*", "web1 web2 web10 db1 lone" },
	{ "web1", "web1" },
	{ "web1,db1", "web1 db1" },
	{ "nobody", "" },
	{ "web?", "web1 web2" },
	{ "web*", "web1 web2 web10" },
	{ "*1", "web1 db1" },
	{ "w*1*", "web1 web10" },
	{ "!web*", "db1 lone" },
	{ "web*,!web10", "web1 web2" },
	{ "role=web", "web1 web2 web10" },
	{ "role!=web", "db1 lone" },
	{ "role=web,zone!=b", "web1 web10" },
	{ "zone=a,role=web", "web1" },
	{ "zone=*", "web1 web2 db1" },
	{ "zone!=*", "web10 lone" },
	{ "web1,role=db", "" },
	{ "*1,zone=a,!db*", "web1" },
	{ "team/owner=data-?.2", "db1" },
	{ "name=web1", "" }, /* a label of that key, which nobody has */
};

static const struct refusal {
	const char *selector;
	const char *why;
} refusals[] = {
	{ ",", "empty" },
	{ "web1,", "" },
	{ "web1,,web2", "empty" },
	{ "=web", "no key" },
	{ "!=web", "no key" },
	{ "role=", "no label can be" },
	{ "role=a b", "no label can be" },
	{ "role==web", "no label can be" },
	{ "ro le=web", "no label's key" },
	{ "Web1", "neither a name nor a glob" },
	{ "web/../x", "neither a name nor a glob" },
	{ "!", "neither a name nor a glob" },
	{ "web1\n", "neither a name nor a glob" },
	{ "-", NULL }, /* a glob that matches no name: no harm */
};

static bool selects(const struct selector *selector, const struct member *member)
{
	Phoenix__Pair pairs[3], *labels[3];
	size_t count = 0;

	for (; count < 3 && member->labels[count][0]; count++) {
		phoenix__pair__init(&pairs[count]);
		pairs[count].key = (char *)member->labels[count][0];
		pairs[count].value = (char *)member->labels[count][1];
		labels[count] = &pairs[count];
	}
	return selector_matches(selector, member->name, labels, count);
}

static void selectors_select(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(select_cases); i++) {
		struct str selected = STR_INIT;
		struct selector selector;
		struct ph_error error;

		if (selector_parse(select_cases[i].selector, &selector, &error) < 0)
			fail_msg("'%s': %s", select_cases[i].selector, error.why);
		for (size_t j = 0; j < ARRAY_LENGTH(members); j++)
			if (selects(&selector, &members[j]))
				str_appendf(&selected, "%s%s", selected.length ? " " : "",
					    members[j].name);
		if (!text_equal(str_text(&selected), select_cases[i].selected))
			fail_msg("'%s' selects '%s', not '%s'", select_cases[i].selector,
				 str_text(&selected), select_cases[i].selected);
		str_fini(&selected);
	}
}

static void refusals_say_why(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++) {
		struct selector selector;
		struct ph_error error = { 0 };
		int ret = selector_parse(refusals[i].selector, &selector, &error);

		if (!refusals[i].why) {
			assert_int_equal(ret, 0);
			continue;
		}
		if (ret != -EINVAL || !strstr(error.why, refusals[i].why) || !error.remedy[0])
			fail_msg("'%s': %d, %s", refusals[i].selector, ret, error.why);
	}
}

static void too_much_is_refused(void **state)
{
	char text[SELECTOR_TEXT_MAXIMUM + 2] = { 0 };
	struct selector selector;
	struct ph_error error;

	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(selector_parse(text, &selector, &error), -EINVAL);
	for (size_t i = 0; i < 33; i++)
		memcpy(text + 2 * i, "a,", 3);
	text[2 * 33 - 1] = '\0';
	assert_int_equal(selector_parse(text, &selector, &error), -EINVAL);
	text[2 * 32 - 1] = '\0';
	assert_int_equal(selector_parse(text, &selector, &error), 0);
	assert_int_equal(selector.count, 32);
}

static void one_plain_name(void **state)
{
	static const struct {
		const char *selector;
		bool is_name;
	} cases[] = { { "web1", true }, { "web*", false }, { "web1,web2", false },
		      { "!web1", false }, { "role=web", false }, { "", false } };

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct selector selector;
		struct ph_error error;

		assert_int_equal(selector_parse(cases[i].selector, &selector, &error), 0);
		assert_int_equal(selector_is_name(&selector), cases[i].is_name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selectors_select),
		cmocka_unit_test(refusals_say_why),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(one_plain_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
