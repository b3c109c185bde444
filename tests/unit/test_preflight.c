/*
 * Facts in, findings out: every finding with the facts that bring it, the facts beside them that do not,
 * and Docker's texts about ids.
 */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/preflight/id_map.h"
#include "controller/preflight/judge.h"

#define FAIL FINDINGS_FAIL
#define WARN FINDINGS_WARN
#define INFO FINDINGS_INFO
#define TEXT(constant) ((char *)(constant))
#define MODULES 11
#define SYSCTLS 3

/* ---- the host ---- */

/* A host on which nothing is wrong, to be spoilt by a case. */
struct host {
	Phoenix__HostPreflightReply facts;
	Phoenix__HostModule modules[MODULES];
	Phoenix__HostModule *module_pointers[MODULES];
	Phoenix__Pair sysctls[SYSCTLS];
	Phoenix__Pair *sysctl_pointers[SYSCTLS];
	Phoenix__HostKeyUser user;
	Phoenix__HostKeyUser *user_pointer;
	Phoenix__HostClash clash;
	Phoenix__HostClash *clash_pointer;
	char *controllers[3];
	struct judge_wanted wanted;
};

static void host_init(struct host *host)
{
	static const char *const names[MODULES] = {
		"overlay", "fuse", "veth", "bridge", "br_netfilter", "nf_tables", "ip_tables",
		"nf_nat", "xt_addrtype", "xt_conntrack", "xt_MASQUERADE",
	};

	*host = (struct host){ .facts = PHOENIX__HOST_PREFLIGHT_REPLY__INIT,
			       .controllers = { TEXT("cpu"), TEXT("memory"), TEXT("pids") },
			       .wanted = { .needs_fuse = true } };
	host->facts.kernel = (char *)"6.1.0-45-amd64";
	for (size_t i = 0; i < MODULES; i++) {
		phoenix__host_module__init(&host->modules[i]);
		host->modules[i].name = (char *)names[i];
		host->modules[i].state = PHOENIX__HOST_MODULE__STATE__READY;
		host->module_pointers[i] = &host->modules[i];
	}
	host->facts.n_modules = MODULES;
	host->facts.modules = host->module_pointers;
	for (size_t i = 0; i < SYSCTLS; i++) {
		phoenix__pair__init(&host->sysctls[i]);
		host->sysctl_pointers[i] = &host->sysctls[i];
	}
	host->facts.sysctls = host->sysctl_pointers;
	phoenix__host_key_user__init(&host->user);
	host->user_pointer = &host->user;
	host->facts.key_users = &host->user_pointer;
	phoenix__host_clash__init(&host->clash);
	host->clash_pointer = &host->clash;
	host->facts.clashes = &host->clash_pointer;
	host->facts.cgroup = (char *)"v2";
	host->facts.controllers = host->controllers;
	host->facts.n_controllers = 3;
	host->facts.fuse = (char *)"open";
	host->facts.apparmor = true;
	host->facts.largest_range = 1000000000;
}

static void set_module(struct host *host, const char *name, Phoenix__HostModule__State state)
{
	for (size_t i = 0; i < MODULES; i++)
		if (strcmp(host->modules[i].name, name) == 0)
			host->modules[i].state = state;
}

static void set_sysctl(struct host *host, const char *name, const char *value)
{
	Phoenix__Pair *pair = &host->sysctls[host->facts.n_sysctls++];

	pair->key = (char *)name;
	pair->value = (char *)value;
}

static void set_keys(struct host *host, uint64_t keys, uint64_t bytes)
{
	host->facts.n_key_users = 1;
	host->user.uid = 100000;
	host->user.keys = keys;
	host->user.keys_maximum = 200;
	host->user.bytes = bytes;
	host->user.bytes_maximum = 20000;
}

#define SPOIL(name) static void name(struct host *host)
#define ABSENT PHOENIX__HOST_MODULE__STATE__ABSENT
#define LOADABLE PHOENIX__HOST_MODULE__STATE__LOADABLE
#define UNKNOWN PHOENIX__HOST_MODULE__STATE__UNKNOWN

SPOIL(nothing) { }
SPOIL(loadable) { set_module(host, "overlay", LOADABLE); }
SPOIL(locked) { set_module(host, "veth", LOADABLE); host->facts.modules_locked = true; }
SPOIL(locked_but_loaded) { host->facts.modules_locked = true; }
SPOIL(untold) { for (size_t i = 0; i < MODULES; i++) host->modules[i].state = UNKNOWN; }
SPOIL(untold_and_locked) { untold(host); host->facts.modules_locked = true; }
SPOIL(no_overlay) { set_module(host, "overlay", ABSENT); }
SPOIL(no_fuse_module) { set_module(host, "fuse", ABSENT); }
SPOIL(no_fuse_for_overlay2) { no_fuse_module(host); host->wanted.needs_fuse = false; }
SPOIL(no_driver) { no_overlay(host); no_fuse_for_overlay2(host); }
SPOIL(no_veth) { set_module(host, "veth", ABSENT); }
SPOIL(no_ip_tables) { set_module(host, "ip_tables", ABSENT); }
SPOIL(no_tables) { no_ip_tables(host); set_module(host, "nf_tables", ABSENT); }
SPOIL(no_addrtype) { set_module(host, "xt_addrtype", ABSENT); }
SPOIL(no_bridge_filter) { set_module(host, "br_netfilter", ABSENT); }
SPOIL(bridge_filter_by_sysctl)
{
	no_bridge_filter(host);
	set_sysctl(host, "net/bridge/bridge-nf-call-iptables", "1");
}
SPOIL(bridge_filter_off) { set_sysctl(host, "net/bridge/bridge-nf-call-iptables", "0"); }
SPOIL(keys_fine) { set_keys(host, 149, 14999); }
SPOIL(keys_near) { set_keys(host, 150, 100); }
SPOIL(keys_full) { set_keys(host, 200, 100); }
SPOIL(key_bytes_full) { set_keys(host, 10, 20000); }
SPOIL(no_quota) { set_keys(host, 0, 0); host->user.keys_maximum = 0; }
SPOIL(keys_low) { set_sysctl(host, "kernel/keys/maxkeys", "200"); }
SPOIL(keys_raised) { set_sysctl(host, "kernel/keys/maxkeys", "2000"); }
SPOIL(no_namespaces) { set_sysctl(host, "user/max_user_namespaces", "0"); }
SPOIL(few_namespaces) { set_sysctl(host, "user/max_user_namespaces", "10"); }
SPOIL(many_namespaces) { set_sysctl(host, "user/max_user_namespaces", "95000"); }
SPOIL(senseless_sysctl) { set_sysctl(host, "user/max_user_namespaces", "many"); }
SPOIL(few_inotify) { set_sysctl(host, "fs/inotify/max_user_instances", "128"); }
SPOIL(inotify_for_one_more) { few_inotify(host); host->wanted.containers = 15; }
SPOIL(inotify_used_up) { few_inotify(host); host->wanted.containers = 16; }
SPOIL(inotify_raised) { set_sysctl(host, "fs/inotify/max_user_instances", "8192"); }
SPOIL(raised_and_used_up) { inotify_raised(host); host->wanted.containers = 1024; }
SPOIL(no_clone) { set_sysctl(host, "kernel/unprivileged_userns_clone", "0"); }
SPOIL(clone_allowed) { set_sysctl(host, "kernel/unprivileged_userns_clone", "1"); }
SPOIL(restricted) { set_sysctl(host, "kernel/apparmor_restrict_unprivileged_userns", "1"); }
SPOIL(few_ids) { host->facts.largest_range = 65535; }
SPOIL(no_cgroups) { host->facts.cgroup = (char *)"none"; host->facts.n_controllers = 0; }
SPOIL(old_cgroups) { host->facts.cgroup = (char *)"hybrid"; }
SPOIL(no_pids) { host->facts.n_controllers = 2; }
SPOIL(fuse_missing) { host->facts.fuse = (char *)"missing"; }
SPOIL(fuse_closed) { host->facts.fuse = (char *)"closed"; host->wanted.needs_fuse = false; }
SPOIL(fuse_opened) { host->facts.fuse = (char *)"opened"; }
SPOIL(no_apparmor) { host->facts.apparmor = false; }
SPOIL(best_effort) { no_apparmor(host); host->wanted.is_best_effort = true; }
SPOIL(clash)
{
	host->facts.n_clashes = 1;
	host->clash.profile = (char *)"lxc-phoenix-v2";
	host->clash.line = 12;
	host->clash.rule = (char *)"deny /sys/[^fdck]*{,/**} wklx";
	host->clash.sysctl = (char *)"/sys/net/ipv4/ip_unprivileged_port_start";
}

static const struct {
	void (*spoil)(struct host *host);
	const char *id; /* of the worst finding, NULL: there is none */
	Phoenix__PreflightFinding__Severity severity;
	const char *word; /* in its evidence */
	size_t count;
} hosts[] = {
	{ nothing, NULL, 0, NULL, 0 },
	{ loadable, NULL, 0, NULL, 0 },
	{ locked, "preflight.module-locked", FAIL, "veth is not loaded", 1 },
	{ locked_but_loaded, NULL, 0, NULL, 0 },
	{ untold, NULL, 0, NULL, 0 },
	{ untold_and_locked, NULL, 0, NULL, 0 },
	{ no_overlay, "preflight.module-missing", WARN, "6.1.0-45-amd64 has no overlay", 1 },
	{ no_fuse_module, "preflight.module-missing", FAIL, "fuse-overlayfs cannot", 1 },
	{ no_fuse_for_overlay2, "preflight.module-missing", WARN, "fuse-overlayfs cannot", 1 },
	{ no_driver, "preflight.module-missing", FAIL, "no storage driver but vfs", 2 },
	{ no_veth, "preflight.module-missing", FAIL, "no veth: containers get no network", 1 },
	{ no_ip_tables, NULL, 0, NULL, 0 },
	{ no_tables, "preflight.module-missing", FAIL, "neither nf_tables nor ip_tables", 1 },
	{ no_addrtype, "preflight.module-missing", FAIL, "xt_addrtype", 1 },
	{ no_bridge_filter, "preflight.module-missing", WARN, "br_netfilter", 1 },
	{ bridge_filter_by_sysctl, NULL, 0, NULL, 0 },
	{ bridge_filter_off, "preflight.bridge-filter-off", INFO, "is 0 in the host's", 1 },
	{ keys_fine, NULL, 0, NULL, 0 },
	{ keys_near, "preflight.keyring-quota", WARN, "host id 100000 has 150 of 200 keys", 1 },
	{ keys_full, "preflight.keyring-quota", FAIL, "join session keyring", 1 },
	{ key_bytes_full, "preflight.keyring-quota", FAIL, "20000 of 20000 bytes", 1 },
	{ no_quota, "preflight.keyring-quota", FAIL, "0 of 0 keys", 1 },
	{ keys_low, "preflight.keyring-low", INFO, "maxkeys is 200", 1 },
	{ keys_raised, NULL, 0, NULL, 0 },
	{ no_namespaces, "preflight.user-namespaces", FAIL, "no container can start", 1 },
	{ few_namespaces, "preflight.user-namespaces", WARN, "is 10", 1 },
	{ many_namespaces, NULL, 0, NULL, 0 },
	{ senseless_sysctl, NULL, 0, NULL, 0 },
	{ few_inotify, "preflight.inotify-instances", INFO, "for about 16 containers", 1 },
	{ inotify_for_one_more, "preflight.inotify-instances", INFO, "for about 16 containers", 1 },
	{ inotify_used_up, "preflight.inotify-instances", WARN, "ends as soon as it starts", 1 },
	{ inotify_raised, NULL, 0, NULL, 0 },
	{ raised_and_used_up, "preflight.inotify-instances", WARN, "about 1024 containers", 1 },
	{ no_clone, "preflight.nested-user-namespaces", WARN, "unprivileged_userns_clone is 0", 1 },
	{ clone_allowed, NULL, 0, NULL, 0 },
	{ restricted, "preflight.restricted-user-namespaces", INFO, "is 1", 1 },
	{ few_ids, "preflight.subordinate-ids", FAIL, "65536", 1 },
	{ no_cgroups, "preflight.cgroup-missing", FAIL, "cannot start", 1 },
	{ old_cgroups, "preflight.cgroup-version", WARN, "hybrid", 1 },
	{ no_pids, "preflight.cgroup-controller", WARN, "no pids controller", 1 },
	{ fuse_missing, "preflight.fuse-device", FAIL, "no /dev/fuse", 1 },
	{ fuse_closed, "preflight.fuse-device", WARN, "not open to everybody", 1 },
	{ fuse_opened, "preflight.fuse-device", INFO, "set it to 0666", 1 },
	{ no_apparmor, "preflight.apparmor", FAIL, "cannot confine", 1 },
	{ best_effort, "preflight.apparmor", WARN, "cannot confine", 1 },
	{ clash, "preflight.runc-clash-rule", FAIL, "lxc-phoenix-v2:12: \"deny /sys/[^fdck]", 1 },
};

/* The worst finding is as expected, all have a remedy, and there are no others. */
static void check(const char *title, size_t row, struct findings *findings, const char *id,
		  Phoenix__PreflightFinding__Severity severity, const char *word, size_t count)
{
	findings_sort(findings);
	if (findings->count != count)
		fail_msg("%s %zu: %zu findings instead of %zu, the first is %s", title, row,
			 findings->count, count, findings->count ? findings->items[0]->id : "-");
	for (size_t i = 0; i < findings->count; i++)
		if (!findings->items[i]->remedy[0] && !text_equal(id, "preflight.apparmor"))
			fail_msg("%s %zu: no remedy", title, row);
	if (id && (!text_equal(findings->items[0]->id, id) ||
		   findings->items[0]->severity != severity ||
		   !strstr(findings->items[0]->evidence, word)))
		fail_msg("%s %zu: %s of severity %d: %s", title, row, findings->items[0]->id,
			 findings->items[0]->severity, findings->items[0]->evidence);
}

static void host_facts(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
		FINDINGS_AUTO struct findings findings = { 0 };
		struct host host;

		host_init(&host);
		hosts[i].spoil(&host);
		judge_host(&host.facts, &host.wanted, &findings);
		check("host", i, &findings, hosts[i].id, hosts[i].severity, hosts[i].word,
		      hosts[i].count);
		for (size_t j = 0; j < findings.count; j++) {
			assert_true(findings.items[j]->observed);
			assert_string_equal(findings.items[j]->container, "");
		}
	}
}

/* ---- a container ---- */

struct attempt {
	const char *step;
	int number;
};

static const struct {
	struct attempt reopen, keyring, user_namespace, fuse; /* failed with these; else they worked */
	const char *cgroup;
	size_t controllers; /* of io, cpu, memory, pids */
	uint64_t uids;
	const char *filter, *runc, *complaint;
	bool needs_no_fuse;
	const char *id;
	Phoenix__PreflightFinding__Severity severity;
	const char *word;
} containers[] = {
	{ .id = NULL },
	{ .reopen = { "reopen", EACCES }, .runc = "1.3.6", .id = "preflight.runc-clash",
	  .severity = FAIL, .word = "runc 1.3.6 fails" },
	{ .reopen = { "reopen", EACCES }, .runc = "1.3.3", .id = "preflight.runc-clash",
	  .severity = FAIL, .word = "runc 1.3.3 fails" },
	{ .reopen = { "reopen", EACCES }, .runc = "1.3.2", .id = "preflight.runc-clash",
	  .severity = WARN, .word = "runc 1.3.2 does not" },
	{ .reopen = { "reopen", EACCES }, .runc = "1.2.8", .id = "preflight.runc-clash",
	  .severity = FAIL, .word = "runc 1.2.8 fails" },
	{ .reopen = { "reopen", EACCES }, .runc = "1.2.7", .id = "preflight.runc-clash",
	  .severity = WARN, .word = "does not write them so yet" },
	{ .reopen = { "reopen", EACCES }, .runc = "1.1.5+ds1", .id = "preflight.runc-clash",
	  .severity = WARN, .word = "1.1.5" },
	{ .reopen = { "reopen", EACCES }, .runc = "2.0", .id = "preflight.runc-clash",
	  .severity = FAIL, .word = "2.0" },
	{ .reopen = { "reopen", EACCES }, .runc = "", .id = "preflight.runc-clash",
	  .severity = FAIL, .word = "not installed yet" },
	{ .reopen = { "fsopen", EACCES } },  /* runc takes another way then */
	{ .reopen = { "fsmount", EPERM } },
	{ .reopen = { "reopen", EROFS } },   /* something else than a rule */
	{ .keyring = { "keyctl", EDQUOT }, .id = "preflight.keyring-quota", .severity = FAIL,
	  .word = "disk quota" },
	{ .keyring = { "keyctl", ENOSYS }, .id = "preflight.keyring-refused", .severity = WARN,
	  .word = "not implemented" },
	{ .user_namespace = { "unshare", ENOSPC }, .id = "preflight.nested-user-namespaces",
	  .severity = WARN, .word = "No space left" },
	{ .fuse = { "open", ENOENT }, .id = "preflight.fuse-device", .severity = FAIL,
	  .word = "No such file" },
	{ .fuse = { "open", EPERM }, .needs_no_fuse = true, .id = "preflight.fuse-device",
	  .severity = WARN, .word = "not permitted" },
	{ .cgroup = "none", .id = "preflight.cgroup-missing", .severity = WARN, .word = "mountinfo" },
	{ .cgroup = "v1" },
	{ .cgroup = "v2", .controllers = 3, .id = "preflight.cgroup-controller", .severity = WARN,
	  .word = "no pids" },
	{ .uids = 1000, .id = "preflight.id-map-short", .severity = WARN, .word = "1000 ids" },
	{ .filter = "0", .id = "preflight.bridge-filter-off", .severity = WARN, .word = "is 0" },
	{ .filter = "1" },
	{ .complaint = "failed to register layer: failed to Lchown \"/a\" for UID 70000, GID 3 (try",
	  .id = "preflight.id-map-too-small", .severity = FAIL, .word = "uid 70000 for /a" },
	{ .complaint = "failed to register layer: failed to Lchown \"/a\" for UID 7, GID 3 (try" },
	{ .complaint = "level=info msg=\"API listen on /run/docker.sock\"" },
};

static void fill_attempt(Phoenix__PreflightAttempt *attempt, const struct attempt *from)
{
	phoenix__preflight_attempt__init(attempt);
	attempt->outcome = from->step ? PHOENIX__PREFLIGHT_ATTEMPT__OUTCOME__FAILED :
					PHOENIX__PREFLIGHT_ATTEMPT__OUTCOME__WORKED;
	attempt->step = (char *)(from->step ? from->step : "");
	attempt->error_number = from->number;
}

static void container_facts(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(containers); i++) {
		FINDINGS_AUTO struct findings findings = { .container = "web1" };
		Phoenix__AgentPreflightReply facts = PHOENIX__AGENT_PREFLIGHT_REPLY__INIT;
		const struct judge_wanted wanted = { .needs_fuse = !containers[i].needs_no_fuse };
		Phoenix__PreflightAttempt attempts[4];
		char *controllers[] = { TEXT("io"), TEXT("cpu"), TEXT("memory"), TEXT("pids") };
		char *complaint = (char *)containers[i].complaint;

		fill_attempt(&attempts[0], &containers[i].reopen);
		fill_attempt(&attempts[1], &containers[i].keyring);
		fill_attempt(&attempts[2], &containers[i].user_namespace);
		fill_attempt(&attempts[3], &containers[i].fuse);
		facts.reopen_sysctl = &attempts[0];
		facts.session_keyring = &attempts[1];
		facts.user_namespace = &attempts[2];
		facts.fuse = &attempts[3];
		facts.cgroup = (char *)(containers[i].cgroup ? containers[i].cgroup : "v2");
		facts.controllers = controllers;
		facts.n_controllers = containers[i].controllers ? containers[i].controllers : 4;
		facts.uid_count = containers[i].uids ? containers[i].uids : 65536;
		facts.gid_count = 65536;
		facts.bridge_filter = (char *)(containers[i].filter ? containers[i].filter : "");
		facts.runc_version = (char *)(containers[i].runc ? containers[i].runc : "");
		facts.complaints = &complaint;
		facts.n_complaints = complaint != NULL;
		judge_container(&facts, &wanted, &findings);
		check("container", i, &findings, containers[i].id, containers[i].severity,
		      containers[i].word, containers[i].id ? 1 : 0);
		if (findings.count) {
			assert_false(findings.items[0]->observed);
			assert_string_equal(findings.items[0]->container, "web1");
		}
	}
}

/* An agent that says nothing, or as much as it can: findings, bounded, and no crash. */
static void hostile_facts(void **state)
{
	FINDINGS_AUTO struct findings findings = { .container = "web1" };
	Phoenix__AgentPreflightReply facts = PHOENIX__AGENT_PREFLIGHT_REPLY__INIT;
	const struct judge_wanted wanted = { 0 };
	char long_path[6000] = "lchown /";
	char *complaints[200];

	judge_container(&facts, &wanted, &findings);
	assert_int_equal(findings.count, 1); /* no ids at all */
	memset(long_path + 8, 'x', sizeof(long_path) - 9);
	memcpy(long_path + sizeof(long_path) - 20, ": invalid argument", 19);
	for (size_t i = 0; i < ARRAY_LENGTH(complaints); i++)
		complaints[i] = long_path;
	facts.complaints = complaints;
	facts.n_complaints = ARRAY_LENGTH(complaints);
	facts.uid_count = facts.gid_count = UINT64_MAX;
	judge_container(&facts, &wanted, &findings);
	assert_int_equal(findings.count, 1 + 8);
	for (size_t i = 0; i < 200; i++)
		judge_error_text("anything", 0, 0, &findings);
	assert_int_equal(findings.count, FINDINGS_MAXIMUM);
	for (size_t i = 0; i < findings.count; i++)
		assert_true(strlen(findings.items[i]->evidence) < 1024);
}

/* ---- Docker's texts ---- */

static const struct {
	const char *text;
	enum id_map_verdict verdict;
	uint64_t id;
	bool is_group;
	const char *path;
} texts[] = {
	{ "failed to register layer: failed to Lchown \"/opt/x\" for UID 718322462, GID 454177323 (try "
	  "increasing the number of subordinate IDs in /etc/subuid and /etc/subgid): lchown /opt/x: "
	  "invalid argument", ID_MAP_OUTSIDE, 718322462, false, "/opt/x" },
	{ "failed to register layer: ApplyLayer exit status 1 stdout:  stderr: failed to Lchown \"/w\" "
	  "for UID 1000, GID 197121 (try increasing the number of subordinate IDs in /etc/subuid and "
	  "/etc/subgid): lchown /w: invalid argument", ID_MAP_OUTSIDE, 197121, true, "/w" },
	{ "level=error msg=\"failed to Lchown \\\"/opt/big\\\" for UID 70000, GID 3 (try\"", ID_MAP_OUTSIDE,
	  70000, false, "/opt/big" },
	{ "failed to Lchown \"/last\" for UID 65535, GID 65535 (try increasing", ID_MAP_OTHER, 0, 0, "" },
	{ "failed to Lchown \"/first\" for UID 65536, GID 0 (try increasing", ID_MAP_OUTSIDE, 65536,
	  false, "/first" },
	{ "failed to Lchown \"/w\" for UID 99999999999999999999999, GID 0 (", ID_MAP_OUTSIDE, UINT64_MAX,
	  false, "/w" },
	{ "failed to Lchown \"/w\" for UID x, GID y (", ID_MAP_OTHER, 0, 0, "" },
	{ "ApplyLayer exit status 1 stdout:  stderr: lchown /etc/gshadow: invalid argument",
	  ID_MAP_LIKELY, 0, false, "/etc/gshadow" },
	{ "failed to extract layer sha256:12ab: mount callback failed on /var/lib/x: lchown "
	  "/var/lib/y/home/me: invalid argument: unknown", ID_MAP_LIKELY, 0, false,
	  "/var/lib/y/home/me" },
	{ "lchown /x: operation not permitted", ID_MAP_OTHER, 0, 0, "" },
	{ "Container ID 197609 cannot be mapped to a host ID", ID_MAP_OUTSIDE, 197609, false, "" },
	{ "failed to convert whiteout: invalid argument", ID_MAP_OTHER, 0, 0, "" },
	{ "lchown ", ID_MAP_OTHER, 0, 0, "" },
	{ "lchown \"", ID_MAP_OTHER, 0, 0, "" },
	{ "", ID_MAP_OTHER, 0, 0, "" },
};

static void docker_texts(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
		struct id_map_error found = { 0 };
		enum id_map_verdict verdict = id_map_classify(texts[i].text, 65536, 65536, &found);

		if (verdict != texts[i].verdict || found.id != texts[i].id ||
		    found.is_group != texts[i].is_group || strcmp(found.path, texts[i].path) != 0)
			fail_msg("\"%s\": verdict %d, id %llu, path \"%s\"", texts[i].text, verdict,
				 (unsigned long long)found.id, found.path);
	}
}

/* The same text against a larger map is about something else. */
static void larger_map(void **state)
{
	FINDINGS_AUTO struct findings findings = { .container = "web1" };

	judge_error_text("for UID 70000, GID 0 (", 65536, 65536, &findings);
	judge_error_text("for UID 70000, GID 0 (", 131072, 131072, &findings);
	judge_error_text("for UID 4294967295, GID 0 (", 131072, 131072, &findings);
	assert_string_equal(findings.items[0]->id, "preflight.id-map-too-small");
	assert_non_null(strstr(findings.items[0]->evidence, "ends at 65535"));
	assert_string_equal(findings.items[1]->id, "preflight.error-unknown");
	assert_non_null(strstr(findings.items[2]->remedy, "no id map can have"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_facts),	   cmocka_unit_test(container_facts),
		cmocka_unit_test(hostile_facts), cmocka_unit_test(docker_texts),
		cmocka_unit_test(larger_map),
	};

	return cmocka_run_group_tests_name("preflight", tests, NULL, NULL);
}
