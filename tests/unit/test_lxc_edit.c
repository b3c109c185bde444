/* Others' LXC configurations: what is read out of them, and that an edit touches nothing else. */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/lxc/lxc_config.h"

#define PROFILE "lxc.apparmor.profile"

static void parse(const char *text, struct lxc_config *config)
{
	struct ph_error error;

	if (lxc_config_parse(text, strlen(text), config, &error) < 0)
		fail_msg("%s: %s", text, error.why);
}

static const struct edit_case {
	const char *name;
	const char *before, *after; /* with PROFILE set to "p" */
} edit_cases[] = {
	{ "in its place", "# mine\nlxc.arch = amd64\n" PROFILE " = unconfined\n\nlxc.tty.max = 2\n",
	  "# mine\nlxc.arch = amd64\n" PROFILE " = p\n\nlxc.tty.max = 2\n" },
	{ "its author's blanks", "  " PROFILE "=\t unconfined  \n", "  " PROFILE "=\t p\n" },
	{ "as Proxmox writes it", "arch: amd64\nlxc.apparmor.profile: unconfined\n",
	  "arch: amd64\nlxc.apparmor.profile: p\n" },
	{ "where there is none", "lxc.arch = amd64\n", "lxc.arch = amd64\n" PROFILE " = p\n" },
	{ "a last line without an end", "lxc.arch = amd64", "lxc.arch = amd64\n" PROFILE " = p\n" },
	{ "an empty file", "", PROFILE " = p\n" },
	{ "a comment is no setting", "#" PROFILE " = unconfined\n",
	  "#" PROFILE " = unconfined\n" PROFILE " = p\n" },
	{ "the last one counts", PROFILE " = a\n" PROFILE " = b\n", PROFILE " = a\n" PROFILE " = p\n" },
	{ "quotes", PROFILE " = \"unconfined\"\n", PROFILE " = p\n" },
	{ "as it is already", PROFILE "   =   p   # odd\n" PROFILE "=p \n",
	  PROFILE "   =   p   # odd\n" PROFILE "=p \n" },
	{ "keys that nobody knows", "lxc.future.thing = 1\nnonsense\n" PROFILE " = u\n",
	  "lxc.future.thing = 1\nnonsense\n" PROFILE " = p\n" },
	{ "another key that begins so", PROFILE ".more = u\n", PROFILE ".more = u\n" PROFILE " = p\n" },
	{ "carriage returns stay", "lxc.arch = amd64\r\n" PROFILE " = u\r\n",
	  "lxc.arch = amd64\r\n" PROFILE " = p\n" },
};

static void edits_touch_one_line(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(edit_cases); i++) {
		struct lxc_config config;
		PH_AUTO_STR struct str text = STR_INIT;

		parse(edit_cases[i].before, &config);
		lxc_config_set(&config, PROFILE, "p");
		assert_string_equal(lxc_config_get(&config, PROFILE), "p");
		lxc_config_format(&config, &text);
		if (strcmp(str_text(&text), edit_cases[i].after) != 0)
			fail_msg("%s: %s", edit_cases[i].name, str_text(&text));
		lxc_config_fini(&config);
	}
}

static const struct map_case {
	const char *name;
	const char *text;
	int code;
	uint32_t base, count;
	const char *why;
} map_cases[] = {
	{ "the usual one", "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n", 0, 100000,
	  65536, NULL },
	{ "privileged", "lxc.arch = amd64\n", -ENOENT, 0, 0, "its root is the host's" },
	{ "taken back", "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\nlxc.idmap =\n",
	  -ENOENT, 0, 0, NULL },
	{ "taken back and given anew",
	  "lxc.idmap = u 0 1 1\nlxc.idmap =\nlxc.idmap = u 0 200000 65536\n"
	  "lxc.idmap = g 0 200000 65536\n",
	  0, 200000, 65536, NULL },
	{ "users only", "lxc.idmap = u 0 100000 65536\n", -ENOTSUP, 0, 0, "not one range" },
	{ "a hole for an id of the host",
	  "lxc.idmap = u 0 100000 1005\nlxc.idmap = u 1005 1005 1\nlxc.idmap = u 1006 101006 64530\n"
	  "lxc.idmap = g 0 100000 65536\n",
	  -ENOTSUP, 0, 0, "not one range" },
	{ "users and groups differ", "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 200000 65536\n",
	  -ENOTSUP, 0, 0, "not one range" },
	{ "the host's own ids", "lxc.idmap = u 0 0 65536\nlxc.idmap = g 0 0 65536\n", -ENOTSUP, 0, 0,
	  "65536 from 0 on" },
	{ "beyond the last id", "lxc.idmap = u 0 4294900000 65536000\nlxc.idmap = g 0 4294900000 65536000\n",
	  -ENOTSUP, 0, 0, "from 4294900000 on" },
	{ "no map at all", "lxc.idmap = everything\n", -ENOTSUP, 0, 0, "is no id map" },
	{ "something behind it", "lxc.idmap = u 0 100000 65536 x\n", -ENOTSUP, 0, 0, "is no id map" },
};

static void id_maps_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(map_cases); i++) {
		const struct map_case *one = &map_cases[i];
		struct ph_error error = { 0 };
		struct lxc_config config;
		uint32_t base = 0, count = 0;
		int code;

		parse(one->text, &config);
		code = lxc_config_id_map(&config, &base, &count, &error);
		if (code != one->code || base != one->base || count != one->count)
			fail_msg("%s: %d, %u+%u", one->name, code, base, count);
		if (one->why && !strstr(error.why, one->why))
			fail_msg("%s: %s", one->name, error.why);
		lxc_config_fini(&config);
	}
}

static void mounts_are_found(void **state)
{
	static const struct {
		const char *text, *source;
	} cases[] = {
		{ "lxc.mount.entry = /srv/docker var/lib/docker none bind,create=dir 0 0\n",
		  "/srv/docker" },
		{ "lxc.mount.entry = /srv/docker /var/lib/docker none bind 0 0\n", "/srv/docker" },
		{ "lxc.mount.entry = /srv/docker var/lib/docker2 none bind 0 0\n", NULL },
		{ "lxc.mount.entry = /a var/lib/docker none bind 0 0\n"
		  "lxc.mount.entry = /b\tvar/lib/docker none bind 0 0\n",
		  "/b" },
		{ "lxc.mount.entry = /a var/lib/docker none bind 0 0\nlxc.mount.entry =\n", NULL },
		{ "lxc.mount.entry = /a\n", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct lxc_config config;
		const char *source;
		size_t length = 0;

		parse(cases[i].text, &config);
		source = lxc_config_mounted_at(&config, "var/lib/docker", &length);
		assert_int_equal(source != NULL, cases[i].source != NULL);
		if (source) {
			assert_int_equal(length, strlen(cases[i].source));
			assert_memory_equal(source, cases[i].source, length);
		}
		lxc_config_fini(&config);
	}
}

static void what_is_no_configuration(void **state)
{
	PH_AUTO_FREE char *long_text = ph_alloc(LXC_CONFIG_TEXT_MAXIMUM + 2);
	struct lxc_config config;
	struct ph_error error;

	memset(long_text, '\n', LXC_CONFIG_TEXT_MAXIMUM + 1);
	assert_int_equal(lxc_config_parse("a\0b", 3, &config, &error), -EINVAL);
	assert_int_equal(lxc_config_parse("a = \x1b[2J\n", 9, &config, &error), -EINVAL);
	assert_non_null(strstr(error.why, "line 1"));
	assert_int_equal(lxc_config_parse(long_text, LXC_CONFIG_TEXT_MAXIMUM + 1, &config, &error),
			 -EFBIG);
	assert_int_equal(lxc_config_parse(long_text, LXC_CONFIG_LINES_MAXIMUM, &config, &error),
			 -EFBIG);
	assert_int_equal(lxc_config_parse(long_text, LXC_CONFIG_LINES_MAXIMUM - 1, &config, &error),
			 0);
	lxc_config_fini(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_touch_one_line),
		cmocka_unit_test(id_maps_follow_the_table),
		cmocka_unit_test(mounts_are_found),
		cmocka_unit_test(what_is_no_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
