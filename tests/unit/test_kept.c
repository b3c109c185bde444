/* How the kernel's policy stands to what we have loaded; what is kept of it; the stacked text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/confine/kept.h"
#include "controller/host/confine/render.h"
#include "tests/support/cmocka.h"
#include "tests/support/scratch.h"

static const struct {
	const char *name;
	enum confine_policy_state state;
	const char *kernel, *kept_text, *kept_kernel, *wanted;
	enum confine_currency currency;
} CASES[] = {
	{ "as loaded", CONFINE_POLICY_ENFORCED, "aa", "t1", "aa", "t1", CONFINE_CURRENT },
	{ "removed", CONFINE_POLICY_ABSENT, "", "t1", "aa", "t1", CONFINE_ABSENT },
	{ "complain mode", CONFINE_POLICY_LAX, "bb", "t1", "aa", "t1", CONFINE_LAX },
	{ "somebody else's", CONFINE_POLICY_ENFORCED, "bb", "t1", "aa", "t1", CONFINE_FOREIGN },
	{ "somebody else's, and an upgrade", CONFINE_POLICY_ENFORCED, "bb", "t1", "aa", "t2",
	  CONFINE_FOREIGN },
	{ "an upgrade", CONFINE_POLICY_ENFORCED, "aa", "t1", "aa", "t2", CONFINE_OUTDATED },
	{ "no parser to tell what is wanted", CONFINE_POLICY_ENFORCED, "aa", "t1", "aa", "",
	  CONFINE_CURRENT },
	{ "a kernel without hashes", CONFINE_POLICY_ENFORCED, "", "t1", "", "t1", CONFINE_CURRENT },
	{ "hashes since the last boot's kernel", CONFINE_POLICY_ENFORCED, "aa", "t1", "", "t1",
	  CONFINE_FOREIGN },
	{ "never loaded by us", CONFINE_POLICY_ENFORCED, "aa", "", "", "t1", CONFINE_UNKNOWN },
};

static void currencies_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
		struct confine_kept kept = { 0 };
		enum confine_currency got;

		text_copy(kept.text_hash, sizeof(kept.text_hash), CASES[i].kept_text);
		text_copy(kept.kernel_hash, sizeof(kept.kernel_hash), CASES[i].kept_kernel);
		got = confine_currency_judge(CASES[i].state, CASES[i].kernel, &kept, CASES[i].wanted);
		if (got != CASES[i].currency)
			fail_msg("%s: %s", CASES[i].name, confine_currency_name(got));
		if (got != CONFINE_CURRENT &&
		    (!confine_currency_reason(got)[0] || !confine_currency_remedy(got)[0]))
			fail_msg("%s: without reason or remedy", CASES[i].name);
	}
}

static void the_text_before_is_kept(void **state)
{
	struct scratch scratch;
	struct confine_kept kept;
	char *text = NULL, hash[65];

	scratch_init(&scratch);
	confine_kept_read(scratch.path, "p", &kept);
	assert_string_equal(kept.text_hash, "");
	assert_int_equal(confine_kept_text(scratch.path, "p", false, &text), -ENOENT);

	assert_int_equal(confine_kept_write(scratch.path, "p", "one", "abc"), 0);
	assert_int_equal(confine_kept_text(scratch.path, "p", true, &text), -ENOENT);
	assert_int_equal(confine_kept_write(scratch.path, "p", "two", ""), 0);
	assert_int_equal(confine_kept_write(scratch.path, "p", "two", "def"), 0);
	confine_kept_read(scratch.path, "p", &kept);
	confine_text_hash("two", hash);
	assert_string_equal(kept.text_hash, hash);
	assert_string_equal(kept.kernel_hash, "def");
	assert_int_equal(confine_kept_text(scratch.path, "p", true, &text), 0);
	assert_string_equal(text, "one");
	free(text);
	assert_int_equal(confine_kept_text(scratch.path, "p", false, &text), 0);
	assert_string_equal(text, "two");
	free(text);

	confine_kept_forget(scratch.path, "p");
	confine_kept_read(scratch.path, "p", &kept);
	assert_string_equal(kept.text_hash, "");
	scratch_fini(&scratch);
}

static void damaged_hashes_are_none(void **state)
{
	static const char *const texts[] = { "", "zz yy\n", "abc", "abc \n" };
	struct scratch scratch;

	scratch_init(&scratch);
	for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
		struct confine_kept kept;
		char path[320];
		FILE *file;

		snprintf(path, sizeof(path), "%s/p.hashes", scratch.path);
		file = fopen(path, "w");
		assert_non_null(file);
		fputs(texts[i], file);
		fclose(file);
		confine_kept_read(scratch.path, "p", &kept);
		assert_string_equal(kept.text_hash, "");
	}
	scratch_fini(&scratch);
}

static void the_stacked_text_is_the_named_one_and_more(void **state)
{
	const struct confine_render render = { .kind = CONFINE_STACKED };
	struct ph_error error;
	PH_AUTO_FREE char *stacked = NULL;

	assert_int_equal(confine_render(PH_SOURCE_DIR "/profiles", &render, &stacked, &error), 0);
	assert_non_null(strstr(stacked, "\nprofile " CONFINE_PROFILE_STACKED " "));
	assert_non_null(strstr(stacked, "signal peer=" CONFINE_PROFILE_STACKED ","));
	assert_non_null(strstr(stacked, "\n  capability mac_admin,\n"));
	assert_null(strstr(stacked, "\n  audit deny /{**/,}sys/kernel/security/{,**} rwklx,"));
	assert_null(strstr(stacked, "peer=" CONFINE_PROFILE ","));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(currencies_follow_the_table),
		cmocka_unit_test(the_text_before_is_kept),
		cmocka_unit_test(damaged_hashes_are_none),
		cmocka_unit_test(the_stacked_text_is_the_named_one_and_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
