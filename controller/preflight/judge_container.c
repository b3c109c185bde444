/* What an agent claims of its container: bounded where it is repeated, never believed to be a path. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/preflight/id_map.h"
#include "controller/preflight/judge.h"

#define IDS_USUAL 65536
#define COMPLAINTS_MAXIMUM 8

static bool has_failed(const Phoenix__PreflightAttempt *attempt)
{
	return attempt && attempt->outcome == PHOENIX__PREFLIGHT_ATTEMPT__OUTCOME__FAILED;
}

static bool failed_at(const Phoenix__PreflightAttempt *attempt, const char *step, int number)
{
	return has_failed(attempt) && text_equal(attempt->step, step) &&
	       attempt->error_number == number;
}

/* "runc 1.1.5 is installed: it does not write them so": upgrading is what would break it. */
static bool writes_by_descriptor(const char *version)
{
	unsigned int major = 0, minor = 0, patch = 0;

	if (sscanf(version, "%u.%u.%u", &major, &minor, &patch) < 2)
		return true; /* not installed yet, or not to be told: what is installed next may */
	if (major != 1)
		return major > 1;
	if (minor == 2)
		return patch >= 8;
	return minor > 3 || (minor == 3 && patch >= 3);
}

/* Only a refused reopen is the clash: a runc that gets no detached procfs takes another way. */
static void judge_runc(const Phoenix__AgentPreflightReply *facts, struct findings *findings)
{
	bool is_new = writes_by_descriptor(facts->runc_version);

	if (!failed_at(facts->reopen_sysctl, "reopen", EACCES))
		return;
	findings_add(findings, "preflight.runc-clash", is_new ? FINDINGS_FAIL : FINDINGS_WARN,
		     is_new ? "run the container under Phoenix's profile, or a liblxc of 6.0.6 or "
			      "later; never unconfined" :
			      "do not upgrade runc to 1.2.8, 1.3.3 or later before the profile has "
			      "changed: phoenixctl apply holds it",
		     "a sysctl in a procfs that is mounted nowhere cannot be written: a rule meant "
		     "for /sys hits /proc/sys; runc %.32s %s",
		     facts->runc_version[0] ? facts->runc_version : "(not installed yet)",
		     is_new ? "fails with \"open sysctl net.ipv4.ip_unprivileged_port_start: reopen "
			      "fd: permission denied\"" :
			      "does not write them so yet");
}

static void judge_keyring(const Phoenix__AgentPreflightReply *facts, struct findings *findings)
{
	if (!has_failed(facts->session_keyring))
		return;
	if (facts->session_keyring->error_number == EDQUOT)
		findings_add(findings, "preflight.keyring-quota", FINDINGS_FAIL,
			     "sysctl -w kernel.keys.maxkeys=5000 kernel.keys.maxbytes=500000 on the "
			     "host",
			     "no session keyring can be made: disk quota exceeded");
	else
		findings_add(findings, "preflight.keyring-refused", FINDINGS_WARN,
			     "allow keyctl in the container's seccomp policy",
			     "no session keyring can be made: %s",
			     strerror(facts->session_keyring->error_number));
}

static void judge_fuse(const Phoenix__AgentPreflightReply *facts, const struct judge_wanted *wanted,
		       struct findings *findings)
{
	if (has_failed(facts->fuse))
		findings_add(findings, "preflight.fuse-device",
			     wanted->needs_fuse ? FINDINGS_FAIL : FINDINGS_WARN,
			     "let the host's /dev/fuse be open to everybody (0666), then restart the "
			     "container",
			     "/dev/fuse cannot be opened: %s", strerror(facts->fuse->error_number));
}

static void judge_namespaces(const Phoenix__AgentPreflightReply *facts, struct findings *findings)
{
	if (has_failed(facts->user_namespace))
		findings_add(findings, "preflight.nested-user-namespaces", FINDINGS_WARN,
			     "nothing, unless rootless Docker or userns-remap is wanted: then look at "
			     "the host's findings about user namespaces",
			     "no user namespace can be made inside: %s",
			     strerror(facts->user_namespace->error_number));
}

static bool has_controller(const Phoenix__AgentPreflightReply *facts, const char *name)
{
	for (size_t i = 0; i < facts->n_controllers; i++)
		if (text_equal(facts->controllers[i], name))
			return true;
	return false;
}

static void judge_cgroups(const Phoenix__AgentPreflightReply *facts, struct findings *findings)
{
	static const char *const wanted[] = { "cpu", "io", "memory", "pids" };

	if (text_equal(facts->cgroup, "none"))
		findings_add(findings, "preflight.cgroup-missing", FINDINGS_WARN,
			     "phoenixctl apply: its install mounts them where no init does",
			     "no control groups are mounted: docker run would fail with \"no cgroup "
			     "mount found in mountinfo\"");
	if (!text_equal(facts->cgroup, "v2"))
		return;
	for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++)
		if (!has_controller(facts, wanted[i]))
			findings_add(findings, "preflight.cgroup-controller", FINDINGS_WARN,
				     "delegate it: Delegate=yes for the service that starts "
				     "containers",
				     "the container was given no %s controller: such limits of nested "
				     "containers fail", wanted[i]);
}

static void judge_bridge_filter(const Phoenix__AgentPreflightReply *facts,
				struct findings *findings)
{
	if (text_equal(facts->bridge_filter, "0"))
		findings_add(findings, "preflight.bridge-filter-off", FINDINGS_WARN,
			     "sysctl -w net.bridge.bridge-nf-call-iptables=1 in the container",
			     "net.bridge.bridge-nf-call-iptables is 0: Docker's rules do not see what "
			     "nested containers of one bridge send to each other");
}

/* ---- ids ---- */

static void add_outside(const struct id_map_error *found, uint64_t count, struct findings *findings)
{
	findings_add(findings, "preflight.id-map-too-small", FINDINGS_FAIL,
		     found->id > UINT32_MAX - 1 ?
			     "rebuild the image with ordinary owners: no id map can have this id" :
			     "rebuild the image with ordinary owners (COPY --chown, or chown in the "
			     "layer that adds the file), or give the container a larger range of ids",
		     "the image needs the %s %" PRIu64 "%s%s, and the container's id map ends at %" PRIu64,
		     found->is_group ? "gid" : "uid", found->id, found->path[0] ? " for " : "",
		     found->path, count - 1);
}

/* False when the text is about something else. */
static bool judge_complaint(const char *text, uint64_t uid_count, uint64_t gid_count,
			    struct findings *findings)
{
	struct id_map_error found;

	switch (id_map_classify(text, uid_count, gid_count, &found)) {
	case ID_MAP_OUTSIDE:
		add_outside(&found, found.is_group ? gid_count : uid_count, findings);
		return true;
	case ID_MAP_LIKELY:
		findings_add(findings, "preflight.id-map-too-small", FINDINGS_WARN,
			     "look at the owners in the image (tar -tvn of its layers): ids must be "
			     "below the end of the map",
			     "the owner of %s in the image was refused; the container's id map ends "
			     "at uid %" PRIu64, found.path, uid_count - 1);
		return true;
	case ID_MAP_OTHER:
	default:
		return false;
	}
}

static void judge_ids(const Phoenix__AgentPreflightReply *facts, struct findings *findings)
{
	uint64_t count = facts->uid_count < facts->gid_count ? facts->uid_count : facts->gid_count;

	if (count < IDS_USUAL)
		findings_add(findings, "preflight.id-map-short", FINDINGS_WARN,
			     "give the container 65536 ids: images use nobody (65534)",
			     "the container's id map has %" PRIu64 " ids", count);
	if (!count)
		return;
	for (size_t i = 0; i < facts->n_complaints && i < COMPLAINTS_MAXIMUM; i++)
		judge_complaint(facts->complaints[i], facts->uid_count, facts->gid_count, findings);
}

void judge_error_text(const char *text, uint64_t uid_count, uint64_t gid_count,
		      struct findings *findings)
{
	if (!uid_count || !gid_count || !judge_complaint(text, uid_count, gid_count, findings))
		findings_add(findings, "preflight.error-unknown", FINDINGS_INFO,
			     "phoenixctl verify tells what works and what does not",
			     "this error is not about ids: nothing more is known of it");
}

void judge_container(const Phoenix__AgentPreflightReply *facts, const struct judge_wanted *wanted,
		     struct findings *findings)
{
	judge_runc(facts, findings);
	judge_ids(facts, findings);
	judge_keyring(facts, findings);
	judge_fuse(facts, wanted, findings);
	judge_cgroups(facts, findings);
	judge_namespaces(facts, findings);
	judge_bridge_filter(facts, findings);
}
