/* One function per topic; judge_host() at the end is the order of the report. */
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/preflight/judge.h"

#define IDS_USUAL 65536
#define KEYS_PERCENT_FAIL 100
#define KEYS_PERCENT_WARN 75
#define KEYS_LOW 1000       /* of maxkeys: Debian's 200 are 200 containers for all of one id */
#define NAMESPACES_LOW 64
#define INOTIFY_EACH 8      /* instances of a container with systemd, D-Bus and Docker: 7 or 8 were counted */
#define INOTIFY_LOW 1024

#define KEYS_REMEDY                                                                                \
	"sysctl -w kernel.keys.maxkeys=5000 kernel.keys.maxbytes=500000, and the same in a file of " \
	"/etc/sysctl.d"

static const char *sysctl_of(const Phoenix__HostPreflightReply *facts, const char *name)
{
	for (size_t i = 0; i < facts->n_sysctls; i++)
		if (text_equal(facts->sysctls[i]->key, name))
			return facts->sysctls[i]->value;
	return "";
}

/* ---- kernel modules ---- */

static Phoenix__HostModule__State state_of(const Phoenix__HostPreflightReply *facts,
					   const char *name)
{
	for (size_t i = 0; i < facts->n_modules; i++)
		if (text_equal(facts->modules[i]->name, name))
			return facts->modules[i]->state;
	return PHOENIX__HOST_MODULE__STATE__UNKNOWN;
}

/* Neither there nor to be had. */
static bool is_missing(const Phoenix__HostPreflightReply *facts, const char *name)
{
	Phoenix__HostModule__State state = state_of(facts, name);

	return state == PHOENIX__HOST_MODULE__STATE__ABSENT ||
	       (state == PHOENIX__HOST_MODULE__STATE__LOADABLE && facts->modules_locked);
}

static void add_module(const Phoenix__HostPreflightReply *facts, const char *name,
		       Phoenix__PreflightFinding__Severity severity, const char *why,
		       struct findings *findings)
{
	if (state_of(facts, name) == PHOENIX__HOST_MODULE__STATE__ABSENT)
		findings_add(findings, "preflight.module-missing", severity,
			     "boot a kernel that has it: Debian's linux-image-amd64 does",
			     "kernel %s has no %s: %s", facts->kernel, name, why);
	else
		findings_add(findings, "preflight.module-locked", severity,
			     "load it at boot, by a file in /etc/modules-load.d, before "
			     "kernel.modules_disabled is set",
			     "%s is not loaded and no module can be loaded until the next boot: %s",
			     name, why);
}

static void judge_modules(const Phoenix__HostPreflightReply *facts,
			  const struct judge_wanted *wanted, struct findings *findings)
{
	bool no_overlay = is_missing(facts, "overlay");
	bool no_fuse = is_missing(facts, "fuse");
	static const struct {
		const char *name, *why;
	} others[] = {
		{ "veth", "containers get no network" },
		{ "bridge", "containers get no network, and Docker makes no bridge" },
		{ "nf_nat", "containers reach no other network" },
		{ "xt_addrtype", "Docker's rules for published ports cannot be made" },
		{ "xt_conntrack", "Docker's rules for its bridge cannot be made" },
		{ "xt_MASQUERADE", "nested containers reach no other network" },
	};

	if (no_overlay)
		add_module(facts, "overlay", no_fuse ? FINDINGS_FAIL : FINDINGS_WARN,
			   no_fuse ? "no storage driver but vfs is left" :
				     "overlay2 cannot be used", findings);
	if (no_fuse)
		add_module(facts, "fuse",
			   no_overlay || wanted->needs_fuse ? FINDINGS_FAIL : FINDINGS_WARN,
			   "fuse-overlayfs cannot be used", findings);
	for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
		if (is_missing(facts, others[i].name))
			add_module(facts, others[i].name, FINDINGS_FAIL, others[i].why, findings);
	/* Either will do: iptables-nft needs the one, iptables-legacy the other. */
	if (is_missing(facts, "nf_tables") && is_missing(facts, "ip_tables"))
		add_module(facts, "nf_tables", FINDINGS_FAIL,
			   "with neither nf_tables nor ip_tables Docker has no firewall to write to",
			   findings);
}

static void judge_bridge_filter(const Phoenix__HostPreflightReply *facts, struct findings *findings)
{
	const char *value = sysctl_of(facts, "net/bridge/bridge-nf-call-iptables");

	if (is_missing(facts, "br_netfilter") && !value[0])
		add_module(facts, "br_netfilter", FINDINGS_WARN,
			   "Docker's rules do not see what containers of one bridge send to each "
			   "other", findings);
	else if (text_equal(value, "0"))
		findings_add(findings, "preflight.bridge-filter-off", FINDINGS_INFO,
			     "nothing, unless rules of this host are to see the containers' bridge: "
			     "then sysctl -w net.bridge.bridge-nf-call-iptables=1",
			     "net.bridge.bridge-nf-call-iptables is 0 in the host's own network; "
			     "containers have theirs");
}

/* ---- keys ---- */

static unsigned int percent(uint64_t used, uint64_t maximum)
{
	return maximum ? (unsigned int)(used * 100 / maximum) : 100;
}

static void judge_key_user(const Phoenix__HostKeyUser *user, struct findings *findings)
{
	unsigned int keys = percent(user->keys, user->keys_maximum);
	unsigned int bytes = percent(user->bytes, user->bytes_maximum);
	bool is_full = keys >= KEYS_PERCENT_FAIL || bytes >= KEYS_PERCENT_FAIL;

	if (keys < KEYS_PERCENT_WARN && bytes < KEYS_PERCENT_WARN)
		return;
	findings_add(findings, "preflight.keyring-quota", is_full ? FINDINGS_FAIL : FINDINGS_WARN,
		     KEYS_REMEDY,
		     "host id %" PRIu32 " has %" PRIu64 " of %" PRIu64 " keys and %" PRIu64 " of %" PRIu64
		     " bytes: %s", user->uid, user->keys, user->keys_maximum, user->bytes,
		     user->bytes_maximum,
		     is_full ? "the next container fails with \"join session keyring: disk quota "
			       "exceeded\"" :
			       "soon containers fail with \"disk quota exceeded\"");
}

static void judge_keys(const Phoenix__HostPreflightReply *facts, struct findings *findings)
{
	const char *text = sysctl_of(facts, "kernel/keys/maxkeys");
	uint64_t limit;

	for (size_t i = 0; i < facts->n_key_users; i++)
		judge_key_user(facts->key_users[i], findings);
	if (text[0] && text_to_u64(text, UINT64_MAX, &limit) == 0 && limit < KEYS_LOW)
		findings_add(findings, "preflight.keyring-low", FINDINGS_INFO, KEYS_REMEDY,
			     "kernel.keys.maxkeys is %" PRIu64 ": about so many containers can run "
			     "at once inside one container", limit);
}

/* ---- namespaces and ids ---- */

static void judge_namespaces(const Phoenix__HostPreflightReply *facts, struct findings *findings)
{
	const char *maximum = sysctl_of(facts, "user/max_user_namespaces");
	uint64_t count;

	if (maximum[0] && text_to_u64(maximum, UINT64_MAX, &count) == 0 && count < NAMESPACES_LOW)
		findings_add(findings, "preflight.user-namespaces",
			     count ? FINDINGS_WARN : FINDINGS_FAIL,
			     "sysctl -w user.max_user_namespaces=10000, and the same in a file of "
			     "/etc/sysctl.d",
			     "user.max_user_namespaces is %" PRIu64 ": %s", count,
			     count ? "only so many containers can run" : "no container can start");
	if (text_equal(sysctl_of(facts, "kernel/unprivileged_userns_clone"), "0"))
		findings_add(findings, "preflight.nested-user-namespaces", FINDINGS_WARN,
			     "sysctl -w kernel.unprivileged_userns_clone=1 where rootless Docker or "
			     "userns-remap is wanted",
			     "kernel.unprivileged_userns_clone is 0: no user namespace can be made "
			     "inside a container");
	if (text_equal(sysctl_of(facts, "kernel/apparmor_restrict_unprivileged_userns"), "1"))
		findings_add(findings, "preflight.restricted-user-namespaces", FINDINGS_INFO,
			     "nothing: Phoenix's profile has the rule where the parser knows it; "
			     "other profiles need \"userns,\"",
			     "kernel.apparmor_restrict_unprivileged_userns is 1: only profiles that "
			     "say so may make user namespaces");
}

static void judge_ids(const Phoenix__HostPreflightReply *facts, struct findings *findings)
{
	if (facts->largest_range < IDS_USUAL)
		findings_add(findings, "preflight.subordinate-ids", FINDINGS_FAIL,
			     "add \"root:100000:1000000000\" to /etc/subuid and /etc/subgid",
			     "root has no range of %u subordinate ids: no container can be made",
			     IDS_USUAL);
}

/*
 * The kernel counts what is inside a user namespace for the namespace's owner too, and all containers have
 * the same one, root: Debian's 128 are 16 containers (fs/notify/inotify, kernel/ucount.c: inc_ucount()).
 */
static void judge_inotify(const Phoenix__HostPreflightReply *facts,
			  const struct judge_wanted *wanted, struct findings *findings)
{
	const char *text = sysctl_of(facts, "fs/inotify/max_user_instances");
	bool is_used_up;
	uint64_t limit;

	if (!text[0] || text_to_u64(text, UINT64_MAX, &limit) < 0 || limit >= UINT32_MAX)
		return;
	is_used_up = ((uint64_t)wanted->containers + 1) * INOTIFY_EACH > limit;
	if (limit >= INOTIFY_LOW && !is_used_up)
		return;
	findings_add(findings, "preflight.inotify-instances",
		     is_used_up ? FINDINGS_WARN : FINDINGS_INFO,
		     "sysctl -w fs.inotify.max_user_instances=8192, and the same in a file of "
		     "/etc/sysctl.d",
		     "fs.inotify.max_user_instances is %" PRIu64 ": enough for about %" PRIu64
		     " containers together%s", limit, limit / INOTIFY_EACH,
		     is_used_up ? "; the systemd of the next one ends as soon as it starts" : "");
}

/* ---- cgroups, FUSE, AppArmor ---- */

static bool has_controller(const Phoenix__HostPreflightReply *facts, const char *name)
{
	for (size_t i = 0; i < facts->n_controllers; i++)
		if (text_equal(facts->controllers[i], name))
			return true;
	return false;
}

static void judge_cgroups(const Phoenix__HostPreflightReply *facts, struct findings *findings)
{
	static const char *const wanted[] = { "cpu", "memory", "pids" };

	if (text_equal(facts->cgroup, "none")) {
		findings_add(findings, "preflight.cgroup-missing", FINDINGS_FAIL,
			     "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
			     "there are no control groups at /sys/fs/cgroup: containers cannot start");
		return;
	}
	if (!text_equal(facts->cgroup, "v2"))
		findings_add(findings, "preflight.cgroup-version", FINDINGS_WARN,
			     "boot with systemd.unified_cgroup_hierarchy=1",
			     "control groups are %s: systemd of Debian 13 and later does not start "
			     "in containers, and Docker 29 gives up version 1", facts->cgroup);
	for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++)
		if (!has_controller(facts, wanted[i]))
			findings_add(findings, "preflight.cgroup-controller", FINDINGS_WARN,
				     "boot a kernel with this controller, without cgroup_disable=",
				     "there is no %s controller: such limits are not enforced",
				     wanted[i]);
}

static void judge_fuse(const Phoenix__HostPreflightReply *facts, const struct judge_wanted *wanted,
		       struct findings *findings)
{
	static const char rule[] =
		"KERNEL==\"fuse\", MODE=\"0666\" in /etc/udev/rules.d/99-fuse.rules";
	Phoenix__PreflightFinding__Severity severity = wanted->needs_fuse ? FINDINGS_FAIL :
									    FINDINGS_WARN;

	if (text_equal(facts->fuse, "missing"))
		findings_add(findings, "preflight.fuse-device", severity, "modprobe fuse",
			     "there is no /dev/fuse: fuse-overlayfs cannot work");
	else if (text_equal(facts->fuse, "closed"))
		findings_add(findings, "preflight.fuse-device", severity, rule,
			     "/dev/fuse is not open to everybody: containers cannot use it");
	else if (text_equal(facts->fuse, "opened"))
		findings_add(findings, "preflight.fuse-device", FINDINGS_INFO, rule,
			     "/dev/fuse was not open to everybody; Phoenix set it to 0666 until the "
			     "next boot");
}

static void judge_confinement(const Phoenix__HostPreflightReply *facts,
			      const struct judge_wanted *wanted, struct findings *findings)
{
	if (!facts->apparmor)
		findings_add(findings, "preflight.apparmor",
			     wanted->is_best_effort ? FINDINGS_WARN : FINDINGS_FAIL,
			     facts->apparmor_remedy, "AppArmor cannot confine here: %s",
			     facts->apparmor_reason);
	for (size_t i = 0; i < facts->n_clashes; i++)
		findings_add(findings, "preflight.runc-clash-rule", FINDINGS_FAIL,
			     "phoenixctl apply loads this version's profile; until then hold runc "
			     "below 1.2.8 and 1.3.3",
			     "%s:%u: \"%s\" keeps runc from writing %s", facts->clashes[i]->profile,
			     facts->clashes[i]->line, facts->clashes[i]->rule,
			     facts->clashes[i]->sysctl);
}

void judge_host(const Phoenix__HostPreflightReply *facts, const struct judge_wanted *wanted,
		struct findings *findings)
{
	judge_confinement(facts, wanted, findings);
	judge_ids(facts, findings);
	judge_namespaces(facts, findings);
	judge_cgroups(facts, findings);
	judge_modules(facts, wanted, findings);
	judge_fuse(facts, wanted, findings);
	judge_keys(facts, findings);
	judge_inotify(facts, wanted, findings);
	judge_bridge_filter(facts, findings);
}
