/*
 * What this host is and can do. A finding is something that is wrong with it, and its remedy; a
 * fact is only told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/facts.h"
#include "controller/host/exec/exec.h"
#include "controller/host/image/clone.h"
#include "controller/host/lxc/cgroups.h"
#include "controller/host/lxc/instance.h"
#include "controller/host/verbs/host_facts.h"
#include "controller/host/verbs/profile_state.h"
#include "controller/host/verbs/verbs.h"

#define PAIRS_MAXIMUM 32

struct pairs {
	Phoenix__Pair pairs[PAIRS_MAXIMUM];
	Phoenix__Pair *pointers[PAIRS_MAXIMUM];
	size_t count;
};

static void add(struct pairs *pairs, const char *key, const char *value)
{
	Phoenix__Pair *pair;

	if (pairs->count == PAIRS_MAXIMUM)
		return;
	pair = &pairs->pairs[pairs->count];
	phoenix__pair__init(pair);
	pair->key = (char *)key;
	pair->value = (char *)value;
	pairs->pointers[pairs->count++] = pair;
}

static void find_devices(const struct verb_host *host, struct pairs *findings)
{
	static const char rule[] =
		"KERNEL==\"fuse\", MODE=\"0666\" in /etc/udev/rules.d/99-fuse.rules";

	switch (host_facts_fuse()) {
	case HOST_FACTS_FUSE_MISSING:
		add(findings, "there is no /dev/fuse: fuse-overlayfs cannot work",
		    "modprobe fuse, or boot a kernel that has it");
		break;
	case HOST_FACTS_FUSE_CLOSED:
		add(findings, "/dev/fuse is not open to everybody: containers cannot use it", rule);
		break;
	case HOST_FACTS_FUSE_OPEN:
	default:
		if (host->fuse_was_closed)
			add(findings,
			    "/dev/fuse was not open to everybody; Phoenix set it to 0666 until the "
			    "next boot",
			    rule);
	}
}

static void find_cgroups(const struct cgroups_facts *facts, struct pairs *findings)
{
	static const char remedy[] = "boot with the cgroup controllers memory, cpu and pids";

	if (facts->mode == CGROUPS_NONE)
		add(findings, "no control groups at /sys/fs/cgroup: containers cannot start",
		    "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	if (!facts->cgroup.memory)
		add(findings, "no memory controller: memory limits are not enforced", remedy);
	if (!facts->cgroup.cpu)
		add(findings, "no cpu controller: cpus limits are not enforced", remedy);
	if (!facts->cgroup.pids)
		add(findings, "no pids controller: pids limits are not enforced", remedy);
}

static void find_programs(const struct config *config, struct pairs *findings)
{
	if (!exec_is_installed("nft"))
		add(findings, "nft is not installed: containers reach no other network",
		    "apt-get install nftables");
	if (config->dns && !exec_is_installed("dnsmasq"))
		add(findings, "dnsmasq is not installed: containers have no name server here",
		    "apt-get install dnsmasq-base, or \"dns: false\" in the configuration");
}

static void find_others(const struct subids *subids, const char *seccomp, struct pairs *findings)
{
	if (subids->count == 0)
		add(findings, "root has no subordinate ids: no container can be made",
		    "add \"root:100000:1000000000\" to /etc/subuid and /etc/subgid");
	if (!seccomp[0])
		add(findings, "no seccomp policy in profiles_dir: containers run without one",
		    "install Phoenix's profiles again");
}

static void find_clone(const struct config *config, struct clone_probe *probe,
		       struct pairs *findings, struct pairs *facts)
{
	struct ph_error error;
	char *reason = probe->reasons[CLONE_OVERLAY];

	if (clone_probe(config, probe, &error) < 0) {
		*probe = (struct clone_probe){ .method = CLONE_COPY };
		for (enum clone_method method = CLONE_OVERLAY; method < CLONE_COPY; method++)
			text_copy(probe->reasons[method], sizeof(probe->reasons[0]), error.why);
	}
	if (reason[0])
		add(findings, "containers are not made by overlay: they take more time and space",
		    reason);
	for (enum clone_method method = CLONE_OVERLAY; method < CLONE_METHODS; method++)
		add(facts, clone_method_name(method),
		    probe->reasons[method][0] ? probe->reasons[method] : "works");
}

static void fill_ids(const struct subids *subids, Phoenix__IdRange *ranges,
		     Phoenix__IdRange **pointers)
{
	for (size_t i = 0; i < subids->count; i++) {
		phoenix__id_range__init(&ranges[i]);
		ranges[i].first = subids->ranges[i].base;
		ranges[i].count = subids->ranges[i].count;
		pointers[i] = &ranges[i];
	}
}

int verb_probe(const struct verb_host *host, const ProtobufCMessage *message,
	       struct ph_error *error)
{
	Phoenix__ProbeReply reply = PHOENIX__PROBE_REPLY__INIT;
	Phoenix__IdRange ranges[SUBIDS_MAXIMUM], *range_pointers[SUBIDS_MAXIMUM];
	struct pairs findings = { 0 }, facts = { 0 };
	struct profile_states states = { .config = host->config };
	const struct confine_facts *confine = profile_states_facts(&states);
	struct cgroups_facts cgroups;
	struct clone_probe clone;
	struct subids subids;
	struct utsname names;
	char seccomp[512];

	uname(&names);
	cgroups_detect(&cgroups);
	host_facts_subids(&subids);
	host_facts_seccomp(host->config, false, false, seccomp, sizeof(seccomp));
	find_devices(host, &findings);
	find_cgroups(&cgroups, &findings);
	find_programs(host->config, &findings);
	find_others(&subids, seccomp, &findings);
	find_clone(host->config, &clone, &findings, &facts);
	add(&facts, "seccomp", seccomp[0] ? seccomp : "none");
	add(&facts, "machine", names.machine);
	fill_ids(&subids, ranges, range_pointers);
	reply.kernel = names.release;
	reply.apparmor = confine->obstacle == CONFINE_ABLE;
	reply.apparmor_reason = (char *)confine_obstacle_reason(confine->obstacle);
	reply.apparmor_remedy = (char *)confine_obstacle_remedy(confine->obstacle);
	reply.parser_version = (char *)confine->parser_version;
	reply.cgroup = (char *)cgroups_mode_name(cgroups.mode);
	reply.clone_method = (char *)clone_method_name(clone.method);
	reply.id_ranges = range_pointers;
	reply.n_id_ranges = subids.count;
	reply.findings = findings.pointers;
	reply.n_findings = findings.count;
	reply.lxc_version = (char *)instance_lxc_version();
	reply.facts = facts.pointers;
	reply.n_facts = facts.count;
	worker_send(host->output, &reply.base);
	return 0;
}
