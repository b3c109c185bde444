/* Facts in, plan out; recipes and version rules. */
#include "agent/docker/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/docker/docker.h"
#include "agent/docker/recipe.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define DRIVER "fuse-overlayfs"

static const char *const everything[] = { "docker.io",       "fuse-overlayfs", "iptables",
					  "ca-certificates", "containerd",     "runc",
					  "docker-ce" };

/* A healthy container: nothing to do. */
static void facts_fill(struct docker_facts *facts)
{
	*facts = (struct docker_facts){
		.os = { .id = "debian", .codename = "bookworm", .pretty_name = "Debian 12" },
		.config_matches = true,
		.config_present = true,
		.cgroups_mounted = true,
		.service_active = true,
		.responding = true,
		.driver = DRIVER,
	};
	facts->recipe = recipe_find(&facts->os);
	facts->package_count = ARRAY_LENGTH(everything);
	facts->wanted_count = 4;
	for (size_t i = 0; i < facts->package_count; i++) {
		facts->packages[i].name = everything[i];
		if (i == facts->package_count - 1)
			break;
		strcpy(facts->packages[i].state, "ii ");
		strcpy(facts->packages[i].version, "20.10.24");
	}
}

static void missing(struct docker_facts *facts)
{
	facts->packages[1].state[0] = '\0';
}
static void bare(struct docker_facts *facts)
{
	for (size_t i = 0; i < facts->package_count; i++)
		facts->packages[i].state[0] = facts->packages[i].version[0] = '\0';
	facts->config_matches = facts->config_present = facts->cgroups_mounted = false;
	facts->service_active = facts->responding = false;
}
static void broken(struct docker_facts *facts)
{
	facts->broken.count = 1;
}
static void unpacked(struct docker_facts *facts)
{
	strcpy(facts->packages[0].state, "iU ");
	facts->broken.count = 1;
}
static void interrupted(struct docker_facts *facts)
{
	facts->dpkg_interrupted = true;
}
static void reconfigured(struct docker_facts *facts)
{
	facts->config_matches = false;
}
static void stopped(struct docker_facts *facts)
{
	facts->service_active = facts->responding = false;
	facts->restart_pending = true;
}
static void pending(struct docker_facts *facts)
{
	facts->restart_pending = true;
}
static void silent(struct docker_facts *facts)
{
	facts->responding = false;
}
static void other_driver(struct docker_facts *facts)
{
	strcpy(facts->driver, "vfs");
}
static void guarded(struct docker_facts *facts)
{
	facts->guard_present = true;
}
static void unmounted(struct docker_facts *facts)
{
	facts->cgroups_mounted = false;
}
static void healthy(struct docker_facts *facts)
{
}
static void foreign(struct docker_facts *facts)
{
	strcpy(facts->packages[6].state, "ii ");
}
static void unknown(struct docker_facts *facts)
{
	facts->recipe = NULL;
}
static void refused(struct docker_facts *facts)
{
	error_set(&facts->config_refusal, -EEXIST, "/etc/docker/daemon.json:3:4", "change it",
		  "no");
}
static void bad_version(struct docker_facts *facts)
{
	strcpy(facts->packages[0].version, "29.0.0");
}

static void held(struct docker_facts *facts)
{
	for (size_t i = 0; i < facts->package_count; i++)
		if (recipe_is_of_the_set(facts->packages[i].name) && facts->packages[i].version[0])
			strcpy(facts->packages[i].state, "hi ");
}
static void held_by_us(struct docker_facts *facts)
{
	held(facts);
	facts->held_by_us = true;
}
static void upgraded(struct docker_facts *facts)
{
	held(facts);
	strcpy(facts->packages[4].state, "ii ");
}
static void sourceless(struct docker_facts *facts)
{
	strcpy(facts->source_reason, "a reason");
}
static void lonely(struct docker_facts *facts)
{
	strcpy(facts->users_missing, "ann");
}
static void strangers(struct docker_facts *facts)
{
	strcpy(facts->users_unknown, "eve");
}

struct plan_case {
	const char *name;
	void (*change)(struct docker_facts *facts);
	int result;
	enum plan_kind kinds[8];
	size_t count;
	const char *where;           /* of an error */
	struct docker_wanted wanted; /* besides source and driver */
};

static const struct plan_case cases[] = {
	{ "healthy", healthy },
	{ "bare", bare, 0, { PLAN_INSTALL, PLAN_CONFIGURE, PLAN_MOUNT_CGROUPS, PLAN_START }, 4 },
	{ "one package missing", missing, 0, { PLAN_INSTALL }, 1 },
	{ "another package is half-way", broken, 0, { PLAN_HEAL }, 1 },
	{ "docker.io is half-way", unpacked, 0, { PLAN_HEAL, PLAN_INSTALL }, 2 },
	{ "dpkg interrupted", interrupted, 0, { PLAN_HEAL }, 1 },
	{ "configuration differs", reconfigured, 0, { PLAN_CONFIGURE, PLAN_RESTART }, 2 },
	{ "stopped: starting reads everything", stopped, 0, { PLAN_START }, 1 },
	{ "killed before the restart", pending, 0, { PLAN_RESTART }, 1 },
	{ "does not answer", silent, 0, { PLAN_AWAIT }, 1 },
	{ "fell back to vfs", other_driver, 0, { PLAN_RESTART }, 1 },
	{ "guard left behind", guarded, 0, { PLAN_REMOVE_GUARD }, 1 },
	{ "no cgroups", unmounted, 0, { PLAN_MOUNT_CGROUPS }, 1 },
	{ "docker-ce", foreign, -EEXIST, { 0 }, 0, "docker-ce" },
	{ "no recipe", unknown, -ENOTSUP, { 0 }, 0, "/etc/os-release" },
	{ "daemon.json refused", refused, -EEXIST, { 0 }, 0, "/etc/docker/daemon.json:3:4" },
	{ "Docker 29.0.0", bad_version, -ENOTSUP, { 0 }, 0, "docker" },
	{ "Docker 29.0.0, to be replaced",
	  bad_version,
	  0,
	  { PLAN_INSTALL },
	  1,
	  NULL,
	  { .version = "29.1.*" } },
	{ "of the wanted version", healthy, 0, { 0 }, 0, NULL, { .version = "20.10.*" } },
	{ "of another version", healthy, 0, { PLAN_INSTALL }, 1, NULL, { .version = "26.1.*" } },
	{ "not held", healthy, 0, { PLAN_HOLD }, 1, NULL, { .hold = true } },
	{ "held", held, 0, { 0 }, 0, NULL, { .hold = true } },
	{ "one of the set not held", upgraded, 0, { PLAN_HOLD }, 1, NULL, { .hold = true } },
	{ "held by us, not wanted any more", held_by_us, 0, { PLAN_HOLD }, 1 },
	{ "held by somebody else", held, 0, { 0 }, 0 },
	{ "bare, to be held",
	  bare,
	  0,
	  { PLAN_INSTALL, PLAN_HOLD, PLAN_CONFIGURE, PLAN_MOUNT_CGROUPS, PLAN_START },
	  5,
	  NULL,
	  { .hold = true } },
	{ "sources", sourceless, 0, { PLAN_SOURCE }, 1 },
	{ "users", lonely, 0, { PLAN_USERS }, 1 },
	{ "unknown users", strangers, -ENOENT, { 0 }, 0, "/etc/passwd" },
	{ "docker.io beside docker-ce",
	  healthy,
	  -EEXIST,
	  { 0 },
	  0,
	  "docker.io",
	  { .source = "docker-ce" } },
};

static void case_check(const struct plan_case *c)
{
	PH_AUTO_FREE struct docker_facts *facts = ph_alloc(sizeof(*facts));
	struct docker_wanted wanted = c->wanted;
	struct docker_plan plan = { 0 };
	struct ph_error error = { 0 };
	int result;

	facts_fill(facts);
	wanted.source = wanted.source ? wanted.source : "distribution";
	wanted.storage_driver = DRIVER;
	c->change(facts);
	result = docker_plan(facts, &wanted, &plan, &error);
	if (result != c->result || error.code != c->result)
		fail_msg("%s: %d, %s", c->name, result, error.why);
	if (result < 0 && (strcmp(error.where, c->where) != 0 || !error.remedy[0]))
		fail_msg("%s: at %s, remedy \"%s\"", c->name, error.where, error.remedy);
	if (plan.count != c->count)
		fail_msg("%s: %zu actions, the first \"%s\"", c->name, plan.count,
			 plan.actions[0].reason);
	for (size_t i = 0; i < plan.count; i++)
		if (plan.actions[i].kind != c->kinds[i] || !plan.actions[i].reason[0])
			fail_msg("%s: action %zu is %s", c->name, i,
				 plan_kind_name(plan.actions[i].kind));
}

static void facts_lead_to_plans(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		case_check(&cases[i]);
}

static const struct {
	const char *id, *codename, *title;
	bool client; /* docker-cli is a package of its own */
} recipe_cases[] = {
	{ "debian", "bookworm", "Debian 12", false },
	{ "debian", "trixie", "Debian 13", true },
	{ "debian", "forky", "Debian 14", true },
	{ "ubuntu", "jammy", "Ubuntu 22.04", false },
	{ "ubuntu", "noble", "Ubuntu 24.04", false },
	{ "debian", "bullseye", NULL, false },
	{ "ubuntu", "bookworm", NULL, false },
	{ "fedora", "", NULL, false },
	{ "debian", "", NULL, false },
};

static void distributions_have_recipes(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(recipe_cases); i++) {
		struct os_release release = { 0 };
		const struct recipe *recipe;
		bool client = false;

		text_copy(release.id, sizeof(release.id), recipe_cases[i].id);
		text_copy(release.codename, sizeof(release.codename), recipe_cases[i].codename);
		recipe = recipe_find(&release);
		if (!text_equal(recipe ? recipe->title : NULL, recipe_cases[i].title))
			fail_msg("%s %s", release.id, release.codename);
		for (size_t k = 0; recipe && recipe->packages[k]; k++)
			client |= strcmp(recipe->packages[k], "docker-cli") == 0;
		assert_int_equal(client, recipe_cases[i].client);
	}
}

static void unsupported_says_what_is(void **state)
{
	const struct os_release release = { .id = "void", .pretty_name = "Void" };
	struct ph_error error = { 0 };

	assert_int_equal(recipe_unsupported(&release, &error), -ENOTSUP);
	assert_non_null(strstr(error.why, "Void"));
	assert_non_null(strstr(error.why, "Ubuntu 24.04"));
	assert_non_null(strstr(error.remedy, "add a row"));
}

static void versions_are_judged(void **state)
{
	static const struct {
		const char *version;
		int result;
	} versions[] = {
		{ "20.10.24+dfsg1-1+deb12u1+b6", 0 },
		{ "26.1.5+dfsg1-9", 0 },
		{ "28.5.2+dfsg1-1", 0 },
		{ "29.0.0", -ENOTSUP },
		{ "5:29.0.0-1~debian.12", -ENOTSUP },
		{ "29.0.1", 0 },
		{ "29.0", -ENOTSUP },
		{ "29.1.0", 0 },
		{ "19.03.15", -ENOTSUP },
		{ "20.9.9", -ENOTSUP },
		{ "", 0 },
		{ "master", 0 },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(versions); i++)
		if (recipe_version_check(versions[i].version, DRIVER, NULL) != versions[i].result)
			fail_msg("version \"%s\"", versions[i].version);
}

struct space_case {
	const char *name;
	const char *states[7]; /* in the order of everything[]; NULL: not there */
	uint32_t size_kib;     /* of each that is unpacked */
	const char *version;   /* wanted; NULL: any */
	uint32_t space_mib;
};

static const struct space_case space_cases[] = {
	{ "nothing is there", { NULL }, 51200, NULL, 800 },
	{ "two of the set are unpacked",
	  { NULL, NULL, NULL, NULL, "iU ", "iU " },
	  51200,
	  NULL,
	  700 },
	{ "half-installed ones have to be unpacked again",
	  { NULL, NULL, NULL, NULL, "iHR", "iH " },
	  51200,
	  NULL,
	  800 },
	{ "all are unpacked, none is configured",
	  { "iU ", "iU ", "iU ", "iF ", "iU ", "iU " },
	  1024,
	  NULL,
	  100 },
	{ "one awaits triggers", { "iU ", "iU ", "iW ", "it ", "ii " }, 1024, NULL, 100 },
	{ "never less than dpkg needs itself",
	  { NULL, "ii ", "ii ", "ii ", "ii ", "ii " },
	  204800,
	  NULL,
	  100 },
	{ "another version is unpacked anew", { "ii ", "ii ", "ii ", "ii " }, 51200, "26.1.*", 650 },
	{ "nobody knows the sizes", { NULL, "iU ", "iU " }, 0, NULL, 800 },
};

static void space_is_what_is_still_missing(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(space_cases); i++) {
		const struct space_case *c = &space_cases[i];
		const struct docker_wanted wanted = { .source = "distribution",
						      .version = c->version };
		struct docker_facts facts;
		uint32_t space_mib;

		facts_fill(&facts);
		bare(&facts);
		for (size_t j = 0; j < ARRAY_LENGTH(c->states); j++)
			if (c->states[j]) {
				strcpy(facts.packages[j].state, c->states[j]);
				strcpy(facts.packages[j].version, "20.10.24");
				facts.packages[j].size_kib = c->size_kib;
			}
		space_mib = docker_plan_space(&facts, &wanted);
		if (space_mib != c->space_mib)
			fail_msg("%s: %u MiB", c->name, space_mib);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_lead_to_plans),
		cmocka_unit_test(distributions_have_recipes),
		cmocka_unit_test(unsupported_says_what_is),
		cmocka_unit_test(versions_are_judged),
		cmocka_unit_test(space_is_what_is_still_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
