#include "agent/health/daemons.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/str.h"

/* fuse-overlayfs keeps a descriptor per open file, and leaks memory in some versions
 * (fuse-overlayfs#238, #360: gigabytes; #210, #378: EMFILE). */
#define FILES_PERCENT 80
#define RESIDENT_KIB (UINT64_C(1) << 20)

static struct daemon find(const char *name)
{
	PH_AUTO_PROCESSES struct processes found = { 0 };
	struct daemon daemon = { 0 };

	processes_find(name, &found);
	for (size_t i = 0; i < found.count; i++)
		if (!daemon.pid || found.items[i].pid < daemon.pid)
			daemon = (struct daemon){ found.items[i].pid, found.items[i].state };
	return daemon;
}

void daemons_read(struct daemons *ret_daemons)
{
	*ret_daemons = (struct daemons){ .dockerd = find("dockerd"),
					 .containerd = find("containerd") };
}

static bool is_stopped(const struct daemon *daemon)
{
	return daemon->state == 'T' || daemon->state == 't';
}

bool daemons_can_answer(const struct daemons *daemons)
{
	return daemons->dockerd.pid && !is_stopped(&daemons->dockerd) &&
	       !is_stopped(&daemons->containerd); /* which dockerd asks in its turn */
}

#define RESPONDING "DockerResponding"

static struct judgement judge_containerd(const struct daemons *daemons)
{
	if (!daemons->containerd.pid)
		return judgement(RESPONDING, JUDGEMENT_FALSE, "ContainerdGone",
				 "systemctl restart containerd docker in the container",
				 "dockerd runs, but containerd does not: no container can be "
				 "started, stopped or entered");
	return judgement(RESPONDING, JUDGEMENT_FALSE, "ContainerdStopped",
			 "find out who stopped it, then kill -CONT it",
			 "containerd (pid %d) is stopped by a signal: no container can be "
			 "started, stopped or entered",
			 daemons->containerd.pid);
}

struct judgement daemons_judge(const struct daemons *daemons)
{
	if (!daemons->dockerd.pid)
		return judgement(RESPONDING, JUDGEMENT_FALSE, "NotRunning",
				 "journalctl -u docker in the container, then phoenixctl apply",
				 "dockerd does not run%s%.200s", daemons->problem[0] ? ": " : "",
				 daemons->problem);
	if (is_stopped(&daemons->dockerd))
		return judgement(RESPONDING, JUDGEMENT_FALSE, "Stopped",
				 "find out who stopped it, then kill -CONT it",
				 "dockerd (pid %d) is stopped by a signal", daemons->dockerd.pid);
	if (!daemons->containerd.pid || is_stopped(&daemons->containerd))
		return judge_containerd(daemons);
	if (!daemons->answered)
		return judgement(RESPONDING, JUDGEMENT_FALSE, "NoAnswer",
				 "journalctl -u docker in the container, then phoenixctl apply",
				 "dockerd (pid %d, state %c) did not answer: %.200s",
				 daemons->dockerd.pid, daemons->dockerd.state, daemons->problem);
	return judgement(RESPONDING, JUDGEMENT_TRUE, "InfoAnswered", "", "%.63s",
			 daemons->version);
}

/* ---- fuse-overlayfs ---- */

static uint64_t percent(const struct process *process)
{
	return process->files_maximum ? process->files * UINT64_C(100) / process->files_maximum : 0;
}

const struct process *fuse_daemons_worse(const struct process *left, const struct process *right)
{
	bool left_full = percent(left) >= FILES_PERCENT;
	bool right_full = percent(right) >= FILES_PERCENT;

	if (left_full || right_full)
		return percent(right) > percent(left) ? right : left;
	return right->resident_kib > left->resident_kib ? right : left;
}

void fuse_daemons_read(struct fuse_daemons *ret_daemons)
{
	PH_AUTO_PROCESSES struct processes found = { 0 };

	*ret_daemons = (struct fuse_daemons){ 0 };
	processes_find("fuse-overlayfs", &found);
	ret_daemons->count = found.count;
	for (size_t i = 0; i < found.count; i++) {
		process_measure(&found.items[i]);
		ret_daemons->worst =
			i == 0 ? found.items[i] :
				 *fuse_daemons_worse(&ret_daemons->worst, &found.items[i]);
	}
}

#define HEADROOM "FuseDaemonHeadroom"

struct judgement fuse_daemons_judge(const struct fuse_daemons *daemons)
{
	const struct process *worst = &daemons->worst;

	if (!daemons->count)
		return judgement(HEADROOM, JUDGEMENT_TRUE, "NoDaemons", "", "no fuse-overlayfs");
	if (percent(worst) >= FILES_PERCENT)
		return judgement(HEADROOM, JUDGEMENT_FALSE, "ManyFiles",
				 "raise LimitNOFILE of docker.service, and restart the container "
				 "that has them open",
				 "fuse-overlayfs (pid %d) has %u of %" PRIu64 " descriptors open: "
				 "at the limit its files cannot be opened any more",
				 worst->pid, worst->files, worst->files_maximum);
	if (worst->resident_kib >= RESIDENT_KIB)
		return judgement(HEADROOM, JUDGEMENT_FALSE, "MuchMemory",
				 "restart the container that it serves; storage: {driver: "
				 "overlay2} has no daemons",
				 "fuse-overlayfs (pid %d) uses %" PRIu64 " MiB", worst->pid,
				 worst->resident_kib >> 10);
	return judgement(HEADROOM, JUDGEMENT_TRUE, "WithinBounds", "",
			 "%zu daemons; the biggest uses %" PRIu64 " MiB and %u of %" PRIu64
			 " descriptors",
			 daemons->count, worst->resident_kib >> 10, worst->files,
			 worst->files_maximum);
}
