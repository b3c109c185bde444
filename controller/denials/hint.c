/* The entries come from reports of users and from what the profile refuses on purpose; narrow ones first. */
#include "controller/denials/hint.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

#define NOTHING "nothing: the container is not meant to do this, and Docker does not need it"

const struct hint hints[] = {
	{
		.id = "runc-sysctl",
		.operation = "open",
		.name = "/net/ipv[46]/*",
		.process = "runc*",
		.reason = "runc 1.2.8, 1.3.3 and later open sysctls through a detached mount of proc, "
			  "whose path AppArmor sees without its /proc: a rule about /sys or /net of "
			  "the host hits it (\"reopen fd 8: permission denied\")",
		.remedy = "take the deny rule that matches this path out of the profile: phoenixctl "
			  "apparmor render shows a profile without it; do not run unconfined",
	},
	{
		.id = "runc-sysctl",
		.operation = "open",
		.name = "/sys/net/ipv[46]/*",
		.reason = "runc 1.2.8, 1.3.3 and later open sysctls through a detached mount of proc, "
			  "whose path AppArmor sees as /sys/net/… of the host: a rule about /sys hits "
			  "it (\"open sysctl net.ipv4.ip_unprivileged_port_start: reopen fd 8\")",
		.remedy = "take the deny rule that matches this path out of the profile: phoenixctl "
			  "apparmor render shows a profile without it; do not run unconfined",
	},
	{
		.id = "runc-sysctl",
		.operation = "open",
		.name = "/sys/kernel/{shm,msg,sem}*",
		.process = "runc*",
		.reason = "runc opens IPC sysctls through a detached mount of proc, whose path AppArmor "
			  "sees as /sys/kernel/… of the host",
		.remedy = "take the deny rule that matches this path out of the profile",
	},
	{
		.id = "pivot-root-inner",
		.operation = "pivotroot",
		.profile = "runc",
		.reason = "the profile \"runc\" that the distribution loaded inside the container refuses "
			  "pivot_root: nested policy of Ubuntu 24.04 and later",
		.remedy = "inside the container: ln -s /etc/apparmor.d/runc /etc/apparmor.d/disable/ && "
			  "apparmor_parser -R /etc/apparmor.d/runc",
	},
	{
		.id = "pivot-root",
		.operation = "pivotroot",
		.reason = "runc changes the root of a nested container with pivot_root, and the profile "
			  "has no rule for this place",
		.remedy = "is the data-root where the fleet file says? The profile allows pivot_root "
			  "below it only",
	},
	{
		.id = "userns-create",
		.operation = "userns_create",
		.reason = "from AppArmor 4 on a profile has to allow user namespaces with \"userns,\"; "
			  "systemd services, userns-remap and unprivileged sandboxes make them",
		.remedy = "let phoenix-host render the profile on this host: it writes \"userns,\" where "
			  "the parser and the kernel know it",
	},
	{
		.id = "docker-default",
		.operation = "profile_load,profile_replace,profile_remove",
		.reason = "something in the container tried to load AppArmor policy (Docker's "
			  "docker-default, or a package's profile), which only the host may do in the "
			  "named mode",
		.remedy = "nothing: Docker goes on without its inner profile, a known limit; the stacked "
			  "mode gives the container a policy namespace of its own",
	},
	{
		.id = "docker-default",
		.operation = "capable",
		.detail = "capname=mac_admin",
		.reason = "loading AppArmor policy needs mac_admin; Docker tries it for docker-default",
		.remedy = "nothing: Docker goes on without its inner profile, a known limit; the stacked "
			  "mode gives the container a policy namespace of its own",
	},
	{
		.id = "docker-default",
		.operation = "open,mknod,truncate",
		.name = "*/sys/kernel/security/apparmor/*",
		.reason = "AppArmor's own files are the host's; Docker looks there for docker-default",
		.remedy = "nothing: Docker goes on without its inner profile, a known limit",
	},
	{
		.id = "change-profile",
		.operation = "change_onexec,change_profile,change_hat,exec",
		.info = "label not found*",
		.reason = "a process wants to run under a profile that is not loaded, as runc does with "
			  "docker-default when Docker believes that it is",
		.remedy = "docker run --security-opt apparmor=unconfined stays inside this container's "
			  "profile; or use the stacked mode",
	},
	{
		.id = "change-profile",
		.operation = "change_onexec,change_profile,change_hat",
		.reason = "a process tried to leave the container's profile",
		.remedy = NOTHING,
	},
	{
		.id = "securityfs",
		.operation = "mount",
		.detail = "fstype=securityfs",
		.reason = "securityfs would show the host's security policy, and let it be changed",
		.remedy = "nothing: it is refused on purpose; systemd goes on without it",
	},
	{
		.id = "kernel-filesystem",
		.operation = "mount",
		.detail = "fstype={debugfs,tracefs,bpf,pstore,efivarfs,configfs,fusectl,hugetlbfs,"
			  "binfmt_misc,rpc_pipefs}",
		.reason = "this file system is an interface to the host's kernel",
		.remedy = "nothing: it is refused on purpose; systemd units that try it go on (mask the "
			  "mount unit in the container to silence it)",
	},
	{
		.id = "device-mount",
		.operation = "mount",
		.detail = "srcname=/dev/*",
		.reason = "a container may not mount block devices: a prepared file system can attack the "
			  "kernel",
		.remedy = "mount it on the host and give the container a bind mount",
	},
	{
		.id = "fuse-outside",
		.operation = "mount",
		.detail = "fstype=fuse*",
		.reason = "FUSE file systems are allowed below Docker's data-root only",
		.remedy = "set the container's data-root to where Docker keeps its layers, or mount it "
			  "there",
	},
	{
		.id = "overlay-outside",
		.operation = "mount",
		.detail = "fstype=overlay",
		.reason = "overlay mounts are allowed below Docker's data-root only, and only when the "
			  "storage driver needs them",
		.remedy = "is the storage driver what the fleet file says? phoenixctl verify tells",
	},
	{
		.id = "mount-flags",
		.operation = "mount,remount",
		.info = "failed flags match*",
		.reason = "the place is allowed for mounts, but not with these flags (a remount, a move or "
			  "a change of propagation)",
		.remedy = "which program is it? systemd's sandboxing options do this; they can be turned "
			  "off for that unit",
	},
	{
		.id = "mount-place",
		.operation = "mount",
		.info = "failed mntpnt match*",
		.reason = "this kind of mount is allowed elsewhere, not at this place",
		.remedy = "mount it below the data-root, or on the host",
	},
	{
		.id = "mount-type",
		.operation = "mount",
		.reason = "a mount that no rule of the profile allows",
		.remedy = "phoenixctl apparmor render shows the mount rules and why they are so narrow",
	},
	{
		.id = "umount",
		.operation = "umount",
		.reason = "what the host has mounted over dangerous places must stay there",
		.remedy = NOTHING,
	},
	{
		.id = "af-alg",
		.operation = "create,bind,connect,sendmsg,recvmsg",
		.detail = "family=alg",
		.reason = "the kernel's crypto sockets (AF_ALG) had many holes and are kept from containers",
		.remedy = "nothing: programs fall back to their own cryptography",
	},
	{
		.id = "af-vsock",
		.operation = "create,bind,connect,sendmsg,recvmsg",
		.detail = "family=vsock",
		.reason = "AF_VSOCK is not divided by network namespaces: it would reach the host and "
			  "every other container",
		.remedy = "use the container's network",
	},
	{
		.id = "network-family",
		.operation = "create,bind,connect,listen,accept,sendmsg,recvmsg",
		.detail = "family=*",
		.reason = "a socket of a family that containers are not given",
		.remedy = "phoenixctl apparmor render shows the families that are allowed",
	},
	{
		.id = "proc-sys-write",
		.operation = "open,truncate,mknod",
		.name = "/proc/sys/*",
		.denied = "w",
		.reason = "this sysctl is one of the whole host",
		.remedy = "set it on the host (sysctl -w, /etc/sysctl.d)",
	},
	{
		.id = "proc-danger",
		.operation = "open,truncate,mknod",
		.name = "/proc/{sysrq-trigger,kcore,kmem,mem,kallsyms,acpi/*,keys,latency_stats,timer_*}",
		.reason = "this file of /proc is about the whole host",
		.remedy = NOTHING,
	},
	{
		.id = "sys-write",
		.operation = "open,truncate,mknod,unlink,rmdir,mkdir",
		.name = "/sys/*",
		.denied = "w",
		.reason = "/sys is the host's kernel and hardware",
		.remedy = "set it on the host",
	},
	{
		.id = "module-load",
		.operation = "capable",
		.detail = "capname=sys_module",
		.reason = "a container must not load kernel modules; iptables and modprobe try it",
		.remedy = "load the module on the host: modprobe, /etc/modules-load.d",
	},
	{
		.id = "clock",
		.operation = "capable",
		.detail = "capname=sys_time",
		.reason = "there is one clock, the host's",
		.remedy = "run the time service on the host only; disable it in the container",
	},
	{
		.id = "capability",
		.operation = "capable",
		.reason = "a capability that reaches beyond the container",
		.remedy = NOTHING,
	},
	{
		.id = "ptrace-peer",
		.operation = "ptrace",
		.reason = "a process may look at and trace only processes of its own container's profile; "
			  "the peer is another one",
		.remedy = "nothing, unless a tool inside needs it: run that tool on the host",
	},
	{
		.id = "signal-peer",
		.operation = "signal",
		.reason = "a signal to or from a process outside of this profile; an inner profile such as "
			  "docker-default refuses signals of what is not confined by it",
		.remedy = "is docker stop slow? A newer Docker has a docker-default that allows its "
			  "container runtime to send signals",
	},
	{
		.id = "agent-socket",
		.operation = "unlink,rename_src,rename_dest,mknod,link",
		.name = "/dev/phoenix*",
		.reason = "/dev/phoenix is the way from the agent to its controller",
		.remedy = NOTHING,
	},
};

const size_t hint_count = ARRAY_LENGTH(hints);

static bool match(const char *pattern, const char *text)
{
	char one[160];
	const char *open, *close;

	if (!pattern)
		return true;
	open = strchr(pattern, '{');
	close = open ? strchr(open, '}') : NULL;
	if (!close)
		return fnmatch(pattern, text, 0) == 0;
	/* One choice in braces, which fnmatch() does not know. */
	for (const char *word = open + 1; word <= close; word += strcspn(word, ",}") + 1) {
		snprintf(one, sizeof(one), "%.*s%.*s%s", (int)(open - pattern), pattern,
			 (int)strcspn(word, ",}"), word, close + 1);
		if (fnmatch(one, text, 0) == 0)
			return true;
	}
	return false;
}

static bool is_listed(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, word, length) == 0 && (at[length] == ',' || !at[length]))
			return true;
	}
	return false;
}

static bool match_detail(const char *wanted, const Phoenix__Denial *denial)
{
	const char *equals = wanted ? strchr(wanted, '=') : NULL;

	if (!wanted)
		return true;
	for (size_t i = 0; i < denial->n_details; i++) {
		const Phoenix__Pair *pair = denial->details[i];

		if (strlen(pair->key) == (size_t)(equals - wanted) &&
		    strncmp(pair->key, wanted, strlen(pair->key)) == 0)
			return match(equals + 1, pair->value);
	}
	return false;
}

const struct hint *hint_find(const Phoenix__Denial *denial)
{
	for (size_t i = 0; i < hint_count; i++) {
		const struct hint *hint = &hints[i];

		if (is_listed(hint->operation, denial->operation) &&
		    match(hint->name, denial->name) && match(hint->profile, denial->profile) &&
		    match(hint->process, denial->process) && match(hint->info, denial->info) &&
		    match_detail(hint->detail, denial) &&
		    (!hint->denied || strpbrk(denial->denied, hint->denied)))
			return hint;
	}
	return NULL;
}
