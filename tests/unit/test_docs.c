/*
 * The operator's pages against the code: every check, condition and key that the code
 * knows is explained, and no page explains a check or names a test that does not exist.
 */
#include "tests/support/cmocka.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define NAMES_MAXIMUM 128

struct names {
	char *items[NAMES_MAXIMUM]; /* owned */
	size_t count;
};

static void names_fini(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	names->count = 0;
}

static bool has(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

static char *slurp(const char *name)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", PH_SOURCE_DIR, name);
	PH_AUTO_FILE FILE *file = fopen(path, "r");
	struct str text = STR_INIT;
	char buffer[4096];
	size_t length;

	if (!file)
		fail_msg("%s cannot be opened", path);
	while ((length = fread(buffer, 1, sizeof(buffer), file)) > 0)
		str_append_bytes(&text, buffer, length);
	return str_take(&text);
}

/* Collect the first group of every match in a text, each once. */
static void collect(const char *text, const char *pattern, struct names *names)
{
	regmatch_t match[2];
	regex_t regex;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED), 0);
	for (; regexec(&regex, text, 2, match, 0) == 0; text += match[0].rm_eo) {
		char *name = ph_strndup(text + match[1].rm_so,
					(size_t)(match[1].rm_eo - match[1].rm_so));

		if (has(names, name) || names->count == NAMES_MAXIMUM)
			free(name);
		else
			names->items[names->count++] = name;
	}
	regfree(&regex);
}

static void collect_file(const char *file, const char *pattern, struct names *names)
{
	PH_AUTO_FREE char *text = slurp(file);

	collect(text, pattern, names);
}

/* Every name stands in the first column of a table of the page. */
static void assert_explained(const char *page, const struct names *names)
{
	PH_AUTO_FREE char *text = slurp(page);

	for (size_t i = 0; i < names->count; i++) {
		PH_AUTO_FREE char *row = ph_format("\n| `%s` |", names->items[i]);

		if (!strstr(text, row))
			fail_msg("%s does not explain %s", page, names->items[i]);
	}
}

#define CHECK_ID "\"((storage|docker|confinement)\\.[a-z-]+)\""

static void check_ids(struct names *ids)
{
	collect_file("agent/storage/storage_checks.c", CHECK_ID, ids);
	collect_file("agent/storage/docker_checks.c", CHECK_ID, ids);
	collect_file("agent/storage/docker_image.c", CHECK_ID, ids);
	collect_file("agent/storage/docker_nested.c", CHECK_ID, ids);
	collect_file("agent/storage/verify.c", CHECK_ID, ids);
	collect_file("controller/container/verify.c", CHECK_ID, ids);
}

static void every_check_is_explained(void **state)
{
	PH_CLEANUP(names_fini) struct names ids = { 0 };

	check_ids(&ids);
	assert_true(ids.count >= 29);
	assert_explained("docs/verify.md", &ids);
}

static void every_explained_check_exists(void **state)
{
	PH_CLEANUP(names_fini) struct names ids = { 0 };
	PH_CLEANUP(names_fini) struct names explained = { 0 };

	check_ids(&ids);
	collect_file("docs/verify.md", "\n\\| `((storage|docker|confinement)\\.[a-z-]+)` \\|",
		     &explained);
	assert_int_equal(explained.count, ids.count);
	for (size_t i = 0; i < explained.count; i++)
		if (!has(&ids, explained.items[i]))
			fail_msg("no code makes the check %s", explained.items[i]);
}

/* Both ways: what the choice of a driver can find, and what the page on it explains. */
static void every_storage_finding_is_explained(void **state)
{
	PH_CLEANUP(names_fini) struct names ids = { 0 };
	PH_CLEANUP(names_fini) struct names explained = { 0 };

	collect_file("agent/storage/choose.c", "add_finding\\(choice, \"([a-z.-]+)\"", &ids);
	collect_file("docs/storage.md", "\n\\| `(storage\\.[a-z-]+)` \\|", &explained);
	assert_true(ids.count >= 5);
	assert_explained("docs/storage.md", &ids);
	assert_int_equal(explained.count, ids.count);
}

/* Both ways: what preflight can find, and what the page on it explains. */
static void every_preflight_finding_is_explained(void **state)
{
	PH_CLEANUP(names_fini) struct names ids = { 0 };
	PH_CLEANUP(names_fini) struct names explained = { 0 };

	collect_file("controller/preflight/judge_host.c", "\"(preflight\\.[a-z-]+)\"", &ids);
	collect_file("controller/preflight/judge_container.c", "\"(preflight\\.[a-z-]+)\"", &ids);
	collect_file("controller/api/api_preflight.c", "\"(preflight\\.[a-z-]+)\"", &ids);
	collect_file("docs/preflight.md", "\n\\| `(preflight\\.[a-z-]+)` \\|", &explained);
	assert_true(ids.count >= 20);
	assert_explained("docs/preflight.md", &ids);
	assert_int_equal(explained.count, ids.count);
}

static const char *const judges[] = {
	"agent/health/bridge.c",       "agent/health/clock_watch.c",  "agent/health/daemons.c",
	"agent/health/data_root.c",    "agent/health/docker_state.c", "agent/health/health.c",
	"agent/health/programs.c",     "agent/health/storage_mounts.c",
};

static void every_condition_is_explained(void **state)
{
	PH_CLEANUP(names_fini) struct names types = { 0 };
	PH_CLEANUP(names_fini) struct names explained = { 0 };

	collect_file("controller/container/conditions.c", "add\\(result, \"([A-Za-z]+)\"", &types);
	for (size_t i = 0; i < ARRAY_LENGTH(judges); i++) {
		collect_file(judges[i], "judgement\\(\"([A-Za-z]+)\"", &types);
		collect_file(judges[i], "#define [A-Z]+ \"([A-Z][A-Za-z]+)\"", &types);
		collect_file(judges[i], "char type\\[\\] = \"([A-Za-z]+)\"", &types);
	}
	collect_file("docs/health.md", "\n\\| `([A-Za-z]+)` \\|", &explained);
	assert_int_equal(types.count, explained.count);
	assert_explained("docs/health.md", &types);
}

/* The reasons of what is False or Unknown: FALSE ends in SE, UNKNOWN in WN. */
static void every_reason_is_explained(void **state)
{
	static const char pattern[] = "[SW][EN],[[:space:]]+\"([A-Z][A-Za-z]+)\"";
	PH_CLEANUP(names_fini) struct names reasons = { 0 };
	PH_AUTO_FREE char *page = slurp("docs/health.md");

	collect_file("controller/container/conditions.c", pattern, &reasons);
	collect_file("controller/container/drift.c", "\"([A-Z][a-z]+[A-Z][A-Za-z]+)\"", &reasons);
	for (size_t i = 0; i < ARRAY_LENGTH(judges); i++)
		collect_file(judges[i], pattern, &reasons);
	assert_true(reasons.count >= 50);
	for (size_t i = 0; i < reasons.count; i++) {
		PH_AUTO_FREE char *word = ph_format("`%s`", reasons.items[i]);

		if (!strstr(page, word))
			fail_msg("docs/health.md does not explain the reason %s", reasons.items[i]);
	}
}

static void every_hint_and_event_of_denials_is_explained(void **state)
{
	PH_CLEANUP(names_fini) struct names ids = { 0 };
	PH_CLEANUP(names_fini) struct names events = { 0 };

	collect_file("controller/denials/hint.c", "\\.id = \"([a-z-]+)\"", &ids);
	assert_true(ids.count >= 25);
	assert_explained("docs/denials.md", &ids);
	collect_file("controller/container/denial_events.c", "\"(apparmor\\.[a-z-]+)\"", &events);
	assert_int_equal(events.count, 4);
	assert_explained("docs/denials.md", &events);
}

/* The texts of a "static const char *const NAME[] = { ... };" as keys, behind a prefix. */
static void collect_keys(const char *file, const char *array, const char *prefix,
			 struct names *names)
{
	PH_AUTO_FREE char *text = slurp(file);
	PH_AUTO_FREE char *head = ph_format("%s[] = {", array);
	PH_CLEANUP(names_fini) struct names found = { 0 };
	char *start = strstr(text, head), *end;

	if (!start)
		fail_msg("%s has no %s", file, array);
	end = strstr(start, "};");
	assert_non_null(end);
	*end = '\0';
	collect(start, "\"([a-z_]+)\"", &found);
	assert_true(found.count > 0);
	for (size_t i = 0; i < found.count && names->count < NAMES_MAXIMUM; i++)
		names->items[names->count++] = ph_format("%s%s", prefix, found.items[i]);
}

static void every_key_of_the_configuration_is_explained(void **state)
{
	PH_CLEANUP(names_fini) struct names keys = { 0 };

	collect_keys("common/config.c", "top_keys", "", &keys);
	collect_keys("common/config.c", "network_keys", "network.", &keys);
	assert_explained("docs/configuration.md", &keys);
}

static void every_key_of_the_fleet_file_is_explained(void **state)
{
	PH_CLEANUP(names_fini) struct names keys = { 0 };

	collect_keys("controller/fleet/parse.c", "container_keys", "", &keys);
	collect_keys("controller/fleet/parse.c", "default_keys", "", &keys);
	collect_keys("controller/fleet/parse.c", "resource_keys", "resources.", &keys);
	collect_keys("controller/fleet/parse.c", "storage_keys", "storage.", &keys);
	collect_keys("controller/fleet/docker_keys.c", "keys", "docker.", &keys);
	collect_keys("controller/fleet/parse.c", "network_keys", "network.", &keys);
	assert_explained("docs/fleet.md", &keys);
}

static void every_key_of_a_rollout_is_explained(void **state)
{
	PH_CLEANUP(names_fini) struct names keys = { 0 };

	collect_keys("controller/fleet/rollout_keys.c", "keys", "", &keys);
	assert_explained("docs/rollouts.md", &keys);
}

static void what_apply_refuses_is_explained(void **state)
{
	PH_AUTO_FREE char *text = slurp("controller/fleet/plan.c");
	PH_AUTO_FREE char *page = slurp("docs/fleet.md");
	PH_CLEANUP(names_fini) struct names fields = { 0 };

	collect(text, "\\{ \"([a-z_.]+)\", \"[^\"]*\", true", &fields);
	assert_true(fields.count > 0);
	for (size_t i = 0; i < fields.count; i++) {
		bool is_resource = text_has_prefix(fields.items[i], "resources.");
		PH_AUTO_FREE char *name = ph_format("`%s`",
						    is_resource ? "resources.*" : fields.items[i]);
		const char *row = strstr(page, "| `image`, ");

		if (!row || !strstr(row, name) || strstr(row, name) > strchr(row, '\n'))
			fail_msg("docs/fleet.md does not say that %s cannot change",
				 fields.items[i]);
	}
}

/* Who attacks and which test proves that he is stopped: the proof has to be there. */
static void every_test_that_the_threat_model_names_exists(void **state)
{
	PH_CLEANUP(names_fini) struct names paths = { 0 };

	collect_file("docs/security.md", "`(tests/[a-z_/.-]+)`", &paths);
	assert_true(paths.count >= 20);
	for (size_t i = 0; i < paths.count; i++) {
		PH_AUTO_FREE char *path = ph_format("%s/%s", PH_SOURCE_DIR, paths.items[i]);

		if (access(path, F_OK) < 0)
			fail_msg("docs/security.md names %s, which is not there", paths.items[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_check_is_explained),
		cmocka_unit_test(every_explained_check_exists),
		cmocka_unit_test(every_storage_finding_is_explained),
		cmocka_unit_test(every_preflight_finding_is_explained),
		cmocka_unit_test(every_condition_is_explained),
		cmocka_unit_test(every_hint_and_event_of_denials_is_explained),
		cmocka_unit_test(every_reason_is_explained),
		cmocka_unit_test(every_key_of_the_configuration_is_explained),
		cmocka_unit_test(every_key_of_the_fleet_file_is_explained),
		cmocka_unit_test(every_key_of_a_rollout_is_explained),
		cmocka_unit_test(what_apply_refuses_is_explained),
		cmocka_unit_test(every_test_that_the_threat_model_names_exists),
	};

	return cmocka_run_group_tests_name("docs", tests, NULL, NULL);
}
