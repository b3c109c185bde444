/* What is known of denials, and phoenixd's table of them: limits, events, what is dropped. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/denials/hint.h"
#include "controller/denials/patterns.h"
#include "tests/support/cmocka.h"

/* ---- hints ---- */

static const struct {
	const char *name;
	const char *operation, *path, *denied, *profile, *process, *info;
	const char *key, *value;
	const char *id; /* NULL: no hint */
} cases[] = {
	{ "runc's sysctl", "open", "/sys/net/ipv4/ip_unprivileged_port_start", "w", "p",
	  "runc:[2:INIT]", "", NULL, NULL, "runc-sysctl" },
	{ "runc's sysctl, no mount point", "open", "/net/ipv4/ping_group_range", "w", "p",
	  "runc:[2:INIT]", "", NULL, NULL, "runc-sysctl" },
	{ "another program there", "open", "/net/ipv4/x", "w", "p", "cat", "", NULL, NULL, NULL },
	{ "runc's IPC sysctl", "open", "/sys/kernel/shmmax", "w", "p", "runc", "", NULL, NULL,
	  "runc-sysctl" },
	{ "pivot_root by the inner profile", "pivotroot", "/", "", "runc", "runc:[2:INIT]", "", NULL,
	  NULL, "pivot-root-inner" },
	{ "pivot_root", "pivotroot", "/srv/x/", "", "lxc-phoenix-v2", "runc:[2:INIT]", "", NULL, NULL,
	  "pivot-root" },
	{ "user namespace", "userns_create", "", "", "p", "unshare", "", NULL, NULL,
	  "userns-create" },
	{ "policy load", "profile_load", "", "", "p", "apparmor_parser", "not policy admin", NULL,
	  NULL, "docker-default" },
	{ "policy replace", "profile_replace", "", "", "p", "apparmor_parser", "", NULL, NULL,
	  "docker-default" },
	{ "mac_admin", "capable", "", "", "p", "sh", "", "capname", "mac_admin", "docker-default" },
	{ "AppArmor's files", "open", "/sys/kernel/security/apparmor/.load", "w", "p", "dockerd", "",
	  NULL, NULL, "docker-default" },
	{ "docker-default is not loaded", "change_onexec", "docker-default", "", "p", "runc:[2:INIT]",
	  "label not found", NULL, NULL, "change-profile" },
	{ "leaving the profile", "change_profile", "unconfined", "", "p", "sh", "", NULL, NULL,
	  "change-profile" },
	{ "securityfs", "mount", "/mnt/", "", "p", "mount", "failed mntpnt match", "fstype",
	  "securityfs", "securityfs" },
	{ "debugfs", "mount", "/sys/kernel/debug/", "", "p", "systemd", "", "fstype", "debugfs",
	  "kernel-filesystem" },
	{ "last of a choice", "mount", "/x/", "", "p", "mount", "", "fstype", "rpc_pipefs",
	  "kernel-filesystem" },
	{ "block device", "mount", "/mnt/", "", "p", "mount", "", "srcname", "/dev/sda1",
	  "device-mount" },
	{ "FUSE elsewhere", "mount", "/mnt/", "", "p", "fusermount3", "", "fstype", "fuse.sshfs",
	  "fuse-outside" },
	{ "overlay elsewhere", "mount", "/mnt/", "", "p", "mount", "", "fstype", "overlay",
	  "overlay-outside" },
	{ "flags", "mount", "/", "", "p", "(sd)", "failed flags match", "flags", "rw, remount",
	  "mount-flags" },
	{ "place", "mount", "/etc/", "", "p", "mount", "failed mntpnt match", "flags", "rw",
	  "mount-place" },
	{ "any other mount", "mount", "/etc/", "", "p", "mount", "failed type match", "flags", "rw",
	  "mount-type" },
	{ "umount", "umount", "/proc/", "", "p", "umount", "", NULL, NULL, "umount" },
	{ "AF_ALG", "create", "", "create", "p", "perl", "", "family", "alg", "af-alg" },
	{ "AF_VSOCK", "create", "", "create", "p", "perl", "", "family", "vsock", "af-vsock" },
	{ "another family", "create", "", "create", "p", "perl", "", "family", "tipc",
	  "network-family" },
	{ "sysctl", "open", "/proc/sys/kernel/core_pattern", "w", "p", "sh", "", NULL, NULL,
	  "proc-sys-write" },
	{ "sysctl, read", "open", "/proc/sys/kernel/core_pattern", "r", "p", "sh", "", NULL, NULL,
	  NULL },
	{ "kcore", "open", "/proc/kcore", "r", "p", "dd", "", NULL, NULL, "proc-danger" },
	{ "acpi", "open", "/proc/acpi/wakeup", "w", "p", "sh", "", NULL, NULL, "proc-danger" },
	{ "sysfs", "open", "/sys/power/state", "wc", "p", "sh", "", NULL, NULL, "sys-write" },
	{ "modules", "capable", "", "", "p", "modprobe", "", "capname", "sys_module", "module-load" },
	{ "clock", "capable", "", "", "p", "chronyd", "", "capname", "sys_time", "clock" },
	{ "another capability", "capable", "", "", "p", "x", "", "capname", "syslog", "capability" },
	{ "ptrace", "ptrace", "", "read", "p", "ps", "", "peer", "unconfined", "ptrace-peer" },
	{ "signal", "signal", "", "receive", "docker-default", "dockerd", "", "peer", "x",
	  "signal-peer" },
	{ "the agent's socket", "unlink", "/dev/phoenix/agent.sock", "d", "p", "rm", "", NULL, NULL,
	  "agent-socket" },
	{ "something unknown", "open", "/srv/secret", "r", "p", "cat", "", NULL, NULL, NULL },
	{ "an operation that only begins so", "mountx", "/", "", "p", "cat", "", NULL, NULL, NULL },
	{ "no operation", "", "/sys/power/state", "w", "p", "cat", "", NULL, NULL, NULL },
};

static void test_hints(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		Phoenix__Denial denial = PHOENIX__DENIAL__INIT;
		Phoenix__Pair pair = PHOENIX__PAIR__INIT;
		Phoenix__Pair *pairs[] = { &pair };
		const struct hint *hint;

		denial.operation = (char *)cases[i].operation;
		denial.name = (char *)cases[i].path;
		denial.denied = (char *)cases[i].denied;
		denial.profile = (char *)cases[i].profile;
		denial.process = (char *)cases[i].process;
		denial.info = (char *)cases[i].info;
		pair.key = (char *)cases[i].key;
		pair.value = (char *)cases[i].value;
		denial.n_details = cases[i].key ? 1 : 0;
		denial.details = pairs;
		hint = hint_find(&denial);
		if (!text_equal(hint ? hint->id : NULL, cases[i].id))
			fail_msg("%s: %s, expected %s", cases[i].name, hint ? hint->id : "none",
				 cases[i].id ? cases[i].id : "none");
	}
}

/* Every entry says why and what to do, and is the answer to one of the cases above. */
static void test_hints_are_whole(void **state)
{
	for (size_t i = 0; i < hint_count; i++) {
		bool is_tried = false;

		assert_false(text_empty(hints[i].reason));
		assert_false(text_empty(hints[i].remedy));
		for (size_t j = 0; j < ARRAY_LENGTH(cases); j++)
			is_tried |= text_equal(hints[i].id, cases[j].id);
		if (!is_tried)
			fail_msg("%s is never found", hints[i].id);
	}
}

/* ---- the table ---- */

static const Phoenix__DenialPattern *take(struct patterns *patterns, const char *container,
					  const char *path, uint64_t count, uint64_t now_ms,
					  bool *ret_announce)
{
	Phoenix__Denial denial = PHOENIX__DENIAL__INIT;

	denial.operation = (char *)"open";
	denial.name = (char *)path;
	denial.count = count;
	denial.first_ms = now_ms;
	denial.last_ms = now_ms + 1;
	return patterns_take(patterns, container, &denial, now_ms, ret_announce);
}

static void count_pattern(void *user, const Phoenix__DenialPattern *pattern)
{
	*(uint64_t *)user += pattern->count;
}

static void count_one(void *user, const Phoenix__DenialPattern *pattern)
{
	++*(uint64_t *)user;
}

static void count_dropped(void *user, const char *container, uint64_t count)
{
	*(uint64_t *)user += count;
}

static void test_announced_once(void **state)
{
	struct patterns *patterns = patterns_new();
	const Phoenix__DenialPattern *pattern;
	bool announce;

	take(patterns, "web1", "/a", 2, 1000, &announce);
	assert_true(announce);
	pattern = take(patterns, "web1", "/a", 3, 2000, &announce);
	assert_false(announce);
	assert_int_equal(pattern->count, 5);
	assert_int_equal(pattern->first_ms, 1000);
	assert_int_equal(pattern->last_ms, 2001);
	assert_string_equal(pattern->denial->container, "web1");
	/* Another container's is another's. */
	take(patterns, "web2", "/a", 1, 2000, &announce);
	assert_true(announce);
	/* Ten times as many, or an hour later: again. */
	take(patterns, "web1", "/a", 15, 3000, &announce);
	assert_true(announce);
	take(patterns, "web1", "/a", 100, 4000, &announce);
	assert_false(announce);
	take(patterns, "web1", "/a", 1, 3000 + PATTERNS_AGAIN_MS, &announce);
	assert_true(announce);
	patterns_free(patterns);
}

static void test_flood(void **state)
{
	struct patterns *patterns = patterns_new();
	uint64_t announced = 0, kept = 0, counted = 0, dropped = 0, denials, events, now_ms = 1000;
	char path[32];
	bool announce;

	take(patterns, "web2", "/calm", 1, now_ms, &announce);
	for (size_t i = 0; i < 100000; i++) {
		snprintf(path, sizeof(path), "/%zu", i);
		take(patterns, "web1", path, 1, now_ms, &announce);
		announced += announce;
	}
	assert_int_equal(announced, PATTERNS_BURST);
	patterns_visit(patterns, "web1", count_one, &kept);
	assert_int_equal(kept, PATTERNS_PER_CONTAINER);
	/* All are counted somewhere. */
	patterns_visit(patterns, "web1", count_pattern, &counted);
	patterns_visit_dropped(patterns, "web1", count_dropped, &dropped);
	assert_int_equal(counted + dropped, 100000);
	/* Patterns without an event are told, once in a while. */
	assert_string_equal(patterns_next_dropped(patterns, now_ms, &denials, &events), "web1");
	assert_int_equal(events, 100000 - PATTERNS_BURST);
	assert_int_equal(denials, 0);
	patterns_drop(patterns, "web1", 7, now_ms);
	assert_null(patterns_next_dropped(patterns, now_ms + 1000, &denials, &events));
	assert_string_equal(patterns_next_dropped(patterns, now_ms + 60000, &denials, &events),
			    "web1");
	assert_int_equal(denials, 7);
	/* The neighbour has lost nothing. */
	kept = 0;
	patterns_visit(patterns, "web2", count_one, &kept);
	assert_int_equal(kept, 1);
	take(patterns, "web2", "/new", 1, now_ms, &announce);
	assert_true(announce);
	patterns_free(patterns);
}

static void test_forget(void **state)
{
	struct patterns *patterns = patterns_new();
	uint64_t count = 0;
	bool announce;

	take(patterns, "web1", "/a", 1, 1000, &announce);
	take(patterns, "", "/a", 1, 1000, &announce);
	patterns_forget(patterns, "web1");
	patterns_forget(patterns, "web9");
	patterns_visit(patterns, NULL, count_one, &count);
	assert_int_equal(count, 1);
	take(patterns, "web1", "/a", 1, 2000, &announce);
	assert_true(announce);
	patterns_free(patterns);
}

/* Names of containers come from phoenix-host: many of them cost the oldest, not memory. */
static void test_many_containers(void **state)
{
	struct patterns *patterns = patterns_new();
	uint64_t count = 0;
	char name[32];
	bool announce;

	for (size_t i = 0; i < 3 * PATTERNS_CONTAINERS; i++) {
		snprintf(name, sizeof(name), "c%zu", i);
		take(patterns, name, "/a", 1, 1000, &announce);
	}
	patterns_visit(patterns, NULL, count_one, &count);
	assert_int_equal(count, PATTERNS_CONTAINERS);
	patterns_free(patterns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hints),	    cmocka_unit_test(test_hints_are_whole),
		cmocka_unit_test(test_announced_once), cmocka_unit_test(test_flood),
		cmocka_unit_test(test_forget),	    cmocka_unit_test(test_many_containers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
