/* The judges of health: facts in, status, reason and evidence out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/health/bridge.h"
#include "agent/health/clock_watch.h"
#include "agent/health/daemons.h"
#include "agent/health/data_root.h"
#include "agent/health/docker_state.h"
#include "agent/health/programs.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define T JUDGEMENT_TRUE
#define F JUDGEMENT_FALSE
#define U JUDGEMENT_UNKNOWN

/* What is False or Unknown tells what to do; what is True does not. */
static void expect(const char *name, struct judgement got, Phoenix__Condition__Status status,
		   const char *reason, const char *says)
{
	if (got.status != status || !text_equal(got.reason, reason) || !strstr(got.message, says))
		fail_msg("%s: %d %s: %s", name, got.status, got.reason, got.message);
	if ((got.status == T) != (got.remedy[0] == '\0'))
		fail_msg("%s: remedy '%s'", name, got.remedy);
}

/* ---- data-root ---- */

#define MIB (1024 * 1024 / 4096)

static const struct {
	const char *name;
	struct data_root root;
	const char *driver;
	Phoenix__Condition__Status usable;
	const char *reason;
	Phoenix__Condition__Status headroom;
	const char *headroom_reason;
} roots[] = {
	{ "well",
	  { "/d", "/d", "ext4", false, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 30000 },
	  "overlay2", T, "Writable", T, "Enough" },
	{ "dockerd says nothing",
	  { "/d", "", "ext4", false, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 30000 },
	  "overlay2", T, "Writable", T, "Enough" },
	{ "moved",
	  { "/d", "/elsewhere", "ext4", false, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 30000 },
	  "", F, "Moved", T, "Enough" },
	{ "read-only",
	  { "/d", "/d", "ext4", true, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 30000 },
	  "", F, "ReadOnly", T, "Enough" },
	{ "full",
	  { "/d", "/d", "ext4", false, 0, 4096, 1000 * MIB, 0, 60000, 30000 },
	  "", T, "Writable", F, "BlocksLow" },
	{ "five percent are not little",
	  { "/d", "/d", "ext4", false, 0, 4096, 1000 * MIB, 50 * MIB, 60000, 30000 },
	  "", T, "Writable", T, "Enough" },
	{ "less are",
	  { "/d", "/d", "ext4", false, 0, 4096, 1000 * MIB, 49 * MIB, 60000, 30000 },
	  "", T, "Writable", F, "BlocksLow" },
	{ "one percent of a big disk is plenty",
	  { "/d", "/d", "ext4", false, 0, 4096, 1000000L * MIB, 10000 * MIB, 60000, 30000 },
	  "", T, "Writable", T, "Enough" },
	{ "no inodes",
	  { "/d", "/d", "ext4", false, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 0 },
	  "", T, "Writable", F, "InodesLow" },
	{ "inodes as needed",
	  { "/d", "/d", "btrfs", false, 0, 4096, 1000 * MIB, 500 * MIB, 0, 0 },
	  "", T, "Writable", T, "Enough" },
	{ "overlay on overlay",
	  { "/d", "/d", "overlay", false, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 30000 },
	  "overlay2", F, "OnOverlay", T, "Enough" },
	{ "fuse-overlayfs on overlay",
	  { "/d", "/d", "overlay", false, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 30000 },
	  "fuse-overlayfs", T, "OnLayers", T, "Enough" },
	{ "overlay on a FUSE file system",
	  { "/d", "/d", "fuse.sshfs", false, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 30000 },
	  "overlay2", F, "OnOverlay", T, "Enough" },
	{ "on a network",
	  { "/d", "/d", "nfs4", false, 0, 4096, 1000 * MIB, 500 * MIB, 60000, 30000 },
	  "fuse-overlayfs", F, "OnNetwork", T, "Enough" },
	{ "hangs", { .path = "/d", .filesystem = "nfs4", .problem = -ETIMEDOUT },
	  "", F, "Hangs", U, "NotSeen" },
	{ "gone", { .path = "/d", .problem = -ENOENT }, "", F, "Missing", U, "NotSeen" },
};

static void test_data_root(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(roots); i++) {
		expect(roots[i].name, data_root_judge(&roots[i].root, roots[i].driver),
		       roots[i].usable, roots[i].reason, "/d");
		expect(roots[i].name, data_root_judge_headroom(&roots[i].root), roots[i].headroom,
		       roots[i].headroom_reason, "");
	}
}

static void test_data_root_read(void **state)
{
	struct data_root root;

	data_root_read("/", "", &root);
	assert_int_equal(root.problem, 0);
	assert_true(root.blocks > 0 && root.block_bytes > 0);
	assert_true(root.filesystem[0]);
	data_root_read("/nowhere/at/all", "", &root);
	assert_int_equal(root.problem, -ENOENT);
}

/* ---- daemons ---- */

static const struct {
	const char *name;
	struct daemons daemons;
	bool can_answer;
	Phoenix__Condition__Status status;
	const char *reason, *says;
} daemon_cases[] = {
	{ "well", { { 5, 'S' }, { 6, 'S' }, true, "20.10", "" }, true, T, "InfoAnswered", "20.10" },
	{ "gone", { { 0, 0 }, { 6, 'S' }, false, "", "" }, false, F, "NotRunning", "dockerd" },
	{ "stopped", { { 5, 'T' }, { 6, 'S' }, false, "", "" }, false, F, "Stopped", "pid 5" },
	{ "traced", { { 5, 't' }, { 6, 'S' }, false, "", "" }, false, F, "Stopped", "pid 5" },
	{ "says nothing", { { 5, 'S' }, { 6, 'S' }, false, "", "no answer" }, true, F, "NoAnswer",
	  "no answer" },
	{ "waits for a disk", { { 5, 'D' }, { 6, 'S' }, false, "", "" }, true, F, "NoAnswer",
	  "state D" },
	{ "containerd gone, and docker info knows nothing of it",
	  { { 5, 'S' }, { 0, 0 }, true, "20.10", "" }, true, F, "ContainerdGone", "containerd" },
	{ "containerd stopped", { { 5, 'S' }, { 6, 'T' }, false, "", "" }, false, F,
	  "ContainerdStopped", "pid 6" },
};

static void test_daemons(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(daemon_cases); i++) {
		assert_int_equal(daemons_can_answer(&daemon_cases[i].daemons),
				 daemon_cases[i].can_answer);
		expect(daemon_cases[i].name, daemons_judge(&daemon_cases[i].daemons),
		       daemon_cases[i].status, daemon_cases[i].reason, daemon_cases[i].says);
	}
}

static void test_fuse_daemons(void **state)
{
	const struct process small = { 7, 'S', 2048, 100, 1024 };
	const struct process fat = { 8, 'S', UINT64_C(1) << 20, 100, 1024 };
	const struct process full = { 9, 'S', 1024, 820, 1024 };
	const struct process no_limit = { 10, 'S', 1024, 820, 0 };
	struct fuse_daemons daemons = { 0 };

	expect("none", fuse_daemons_judge(&daemons), T, "NoDaemons", "");
	daemons = (struct fuse_daemons){ 3, small };
	expect("small", fuse_daemons_judge(&daemons), T, "WithinBounds", "3 daemons");
	daemons.worst = fat;
	expect("fat", fuse_daemons_judge(&daemons), F, "MuchMemory", "pid 8) uses 1024 MiB");
	daemons.worst = full;
	expect("full", fuse_daemons_judge(&daemons), F, "ManyFiles", "820 of 1024");
	daemons.worst = no_limit;
	expect("limit not known", fuse_daemons_judge(&daemons), T, "WithinBounds", "");
	assert_ptr_equal(fuse_daemons_worse(&small, &fat), &fat);
	assert_ptr_equal(fuse_daemons_worse(&fat, &small), &fat);
	assert_ptr_equal(fuse_daemons_worse(&fat, &full), &full);
	assert_ptr_equal(fuse_daemons_worse(&full, &fat), &full);
}

/* ---- programs ---- */

static void make_program(const char *root, const char *directory, const char *name, mode_t mode)
{
	PH_AUTO_FREE char *folder = ph_format("%s/%s", root, directory);
	PH_AUTO_FREE char *path = ph_format("%s/%s", folder, name);
	FILE *file;

	mkdir(folder, 0755);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs("#!/bin/sh\n", file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static void test_programs_read(void **state)
{
	static const char *const all[] = { "docker", "dockerd", "containerd", "runc" };
	char root[] = "/tmp/test_health.XXXXXX", stamp[256];
	PH_AUTO_FREE char *search = NULL, *remove = NULL;
	struct programs programs;

	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
		make_program(root, "b", all[i], 0755);
	make_program(root, "a", "runc", 0644); /* not executable: not found */
	search = ph_format("%s/a:%s/b", root, root);
	programs_read(search, "overlay2", &programs);
	assert_int_equal(programs.count, 4); /* this driver has no program */
	expect("as installed", programs_judge(&programs), T, "AsInstalled", "4");
	program_stamp(&programs.items[3], stamp, sizeof(stamp));
	assert_non_null(strstr(stamp, "/b/runc, 10 bytes, "));
	programs_read(search, "fuse-overlayfs", &programs);
	expect("missing", programs_judge(&programs), F, "Missing", "fuse-overlayfs");
	program_stamp(&programs.items[4], stamp, sizeof(stamp));
	assert_string_equal(stamp, "missing");
	remove = ph_format("rm -r %s", root);
	assert_int_equal(system(remove), 0);
}

static void test_programs_judge(void **state)
{
	struct programs programs = { .items = { { "docker", "/usr/local/bin/docker", 9, 0, true } },
				     .count = 1 };

	expect("shadowed", programs_judge(&programs), F, "Shadowed", "/usr/local/bin/docker");
	programs.items[0].is_shadow = false; /* there is no other */
	expect("by hand", programs_judge(&programs), T, "AsInstalled", "");
}

/* ---- bridge ---- */

static void test_bridge_name(void **state)
{
	static const struct {
		const char *words;
		size_t length;
		const char *json, *name;
	} lines[] = {
		{ "dockerd", 8, NULL, "docker0" },
		{ "", 0, NULL, "docker0" },
		{ "dockerd", 8, "{\"bridge\": \"none\"}", "none" },
		{ "dockerd", 8, "{\"bridge\": \"br7\"}", "br7" },
		{ "dockerd", 8, "no JSON", "docker0" },
		{ "dockerd\0--bridge=none", 22, NULL, "none" },
		{ "dockerd\0-b\0br1", 15, NULL, "br1" },
		{ "dockerd\0--bridge\0br2\0-H\0fd://", 30, NULL, "br2" },
		{ "dockerd\0--bridge", 17, NULL, "docker0" },
		{ "dockerd\0--bip=10.0.0.1/24", 26, NULL, "docker0" },
	};
	char name[32];

	for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
		bridge_name(lines[i].words, lines[i].length, lines[i].json, name, sizeof(name));
		if (!text_equal(name, lines[i].name))
			fail_msg("case %zu: %s", i, name);
	}
}

static void test_bridge(void **state)
{
	static const struct {
		struct bridge bridge;
		Phoenix__Condition__Status status;
		const char *reason;
	} bridges[] = {
		{ { true, "docker0", true, true, true }, T, "Up" },
		{ { true, "none", false, false, false }, T, "NotWanted" },
		{ { true, "docker0", false, false, false }, F, "Gone" },
		{ { true, "docker0", true, false, true }, F, "Down" },
		{ { true, "docker0", true, true, false }, F, "NoAddress" },
		{ { false, "", false, false, false }, U, "NoDaemon" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(bridges); i++)
		expect(bridges[i].reason, bridge_judge(&bridges[i].bridge), bridges[i].status,
		       bridges[i].reason, "");
}

/* ---- clock ---- */

static void test_clock(void **state)
{
	static const struct {
		const char *name;
		uint64_t wall_s, monotonic_s;
		Phoenix__Condition__Status status;
		const char *says;
	} looks[] = {
		{ "first look", 1000000, 10, T, "" },
		{ "time goes by", 1000100, 110, T, "" },
		{ "a correction", 1000205, 210, T, "" },
		{ "a day forward", 1086605, 210, F, "forward by 86400 s, 0 s ago" },
		{ "is told for a while", 1087195, 800, F, "590 s ago" },
		{ "not for ever", 1087206, 811, T, "not lately" },
		{ "and back", 1000806, 811, F, "back by 86400 s" },
	};
	struct clock_watch watch = { 0 };

	for (size_t i = 0; i < ARRAY_LENGTH(looks); i++) {
		clock_watch_see(&watch, looks[i].wall_s * 1000, looks[i].monotonic_s * 1000);
		expect(looks[i].name, clock_watch_judge(&watch, looks[i].monotonic_s * 1000),
		       looks[i].status, looks[i].status == T ? "NoJump" : "Jumped", looks[i].says);
	}
}

/* ---- what was applied ---- */

static struct docker_facts well(void)
{
	struct docker_facts facts = { .package_count = 2,
				      .wanted_count = 1,
				      .held_by_us = true,
				      .responding = true,
				      .config_matches = true,
				      .driver = "fuse-overlayfs" };

	facts.packages[0] = (struct dpkg_package){ "docker.io", "hi ", "20.10", 1 };
	facts.packages[1] = (struct dpkg_package){ "runc", "hi ", "1.1", 1 };
	return facts;
}

static void test_packages(void **state)
{
	struct docker_facts facts = well();

	expect("well", docker_state_judge_packages(&facts), T, "PackagesInstalled", "");
	expect("held", docker_state_judge_hold(&facts), T, "Held", "");
	text_copy(facts.packages[1].state, sizeof(facts.packages[1].state), "ii ");
	expect("hold lost", docker_state_judge_hold(&facts), F, "HoldLost", "runc");
	facts.held_by_us = false;
	expect("not to be held", docker_state_judge_hold(&facts), T, "NotAsked", "");
	text_copy(facts.packages[0].state, sizeof(facts.packages[0].state), "hF ");
	expect("half-installed", docker_state_judge_packages(&facts), F, "PackagesMissing",
	       "docker.io");
	facts.wanted_count = 0;
	expect("nobody knows", docker_state_judge_packages(&facts), U, "NoRecipe", "");
}

static void test_users(void **state)
{
	struct docker_facts facts = well();

	expect("well", docker_state_judge_users(&facts), T, "InGroup", "");
	text_copy(facts.users_unknown, sizeof(facts.users_unknown), "bob");
	expect("unknown", docker_state_judge_users(&facts), F, "UsersMissing", "bob");
	text_copy(facts.users_missing, sizeof(facts.users_missing), "alice");
	expect("missing", docker_state_judge_users(&facts), F, "UsersMissing",
	       "alice; unknown here: bob");
}

static void test_driver(void **state)
{
	struct docker_facts facts = well();

	expect("well", docker_state_judge_driver(&facts, "fuse-overlayfs"), T, "AsConfigured",
	       "fuse-overlayfs");
	expect("another", docker_state_judge_driver(&facts, "overlay2"), F, "OtherDriver",
	       "overlay2");
	text_copy(facts.driver, sizeof(facts.driver), "vfs");
	expect("fell back", docker_state_judge_driver(&facts, "fuse-overlayfs"), F, "FellBack",
	       "vfs");
	expect("vfs was wanted", docker_state_judge_driver(&facts, "vfs"), T, "AsConfigured", "vfs");
	text_copy(facts.driver, sizeof(facts.driver), "native");
	expect("native never is", docker_state_judge_driver(&facts, ""), F, "FellBack", "native");
	facts = well();
	facts.config_matches = false;
	expect("edited", docker_state_judge_driver(&facts, "fuse-overlayfs"), F, "ConfigChanged",
	       "daemon.json");
	error_set(&facts.config_refusal, -EEXIST, "/etc/docker/daemon.json:2", "take it out",
		  "it sets vfs");
	expect("another driver for the next start",
	       docker_state_judge_driver(&facts, "fuse-overlayfs"), F, "ConfigChanged",
	       "it sets vfs");
	error_set(&facts.config_refusal, -EINVAL, "/etc/docker/daemon.json:1:7", "mend it",
		  "no JSON");
	expect("broken", docker_state_judge_driver(&facts, "fuse-overlayfs"), F, "ConfigUnusable",
	       "daemon.json:1:7: no JSON");
	facts = well();
	facts.responding = false;
	expect("says nothing", docker_state_judge_driver(&facts, "fuse-overlayfs"), U, "NoAnswer",
	       "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_root),     cmocka_unit_test(test_data_root_read),
		cmocka_unit_test(test_daemons),       cmocka_unit_test(test_fuse_daemons),
		cmocka_unit_test(test_programs_read), cmocka_unit_test(test_programs_judge),
		cmocka_unit_test(test_bridge_name),   cmocka_unit_test(test_bridge),
		cmocka_unit_test(test_clock),         cmocka_unit_test(test_packages),
		cmocka_unit_test(test_users),         cmocka_unit_test(test_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
