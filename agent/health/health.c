#include "agent/health/health.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/docker/docker.h"
#include "agent/health/bridge.h"
#include "agent/health/daemons.h"
#include "agent/health/data_root.h"
#include "agent/health/docker_state.h"
#include "agent/health/programs.h"
#include "agent/health/storage_mounts.h"
#include "agent/system/cgroup.h"
#include "agent/system/command.h"
#include "agent/system/init.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define INFO_MS 15000 /* an emulated machine needs more than five seconds */
#define DEAD_MAXIMUM 8 /* containers that a reply names */
#define FUSE_MAJOR 10  /* of the kernel's list of devices */
#define FUSE_MINOR 229

/* ---- what is looked at ---- */

struct view {
	const char *driver; /* borrowed */
	struct docker_facts facts;
	struct daemons daemons;
	struct programs programs;
	struct data_root data_root;
};

/* dockerd is asked only when it can be expected to answer. */
static int see(const Phoenix__HealthRequest *request, struct view *view, struct ph_error *error)
{
	PH_AUTO_FREE char *fragment = docker_fragment("");
	const struct docker_wanted wanted = {
		.source = request->docker_source,
		.storage_driver = request->storage_driver,
		.daemon = fragment,
		.sets_daemon = true,
		.users = (const char *const *)request->docker_users,
		.user_count = request->n_docker_users,
		.leave_dockerd = true,
	};
	struct ph_error problem = { 0 };
	int r = docker_observe(&wanted, &view->facts, error);

	if (r < 0)
		return r;
	view->driver = request->storage_driver;
	daemons_read(&view->daemons);
	if (daemons_can_answer(&view->daemons) &&
	    docker_ask(COMMAND_PATH, INFO_MS, &view->facts, &problem) < 0)
		error_format(&problem, view->daemons.problem, sizeof(view->daemons.problem));
	view->daemons.answered = view->facts.responding;
	text_copy(view->daemons.version, sizeof(view->daemons.version),
		  view->facts.server_version);
	programs_read(COMMAND_PATH, view->driver, &view->programs);
	data_root_read(HEALTH_DATA_ROOT, view->facts.data_root, &view->data_root);
	return 0;
}

/* ---- inputs ---- */

static void add_pair(Phoenix__Pair ***pairs, size_t *count, const char *key, const char *value)
{
	Phoenix__Pair *pair = ph_alloc(sizeof(*pair));

	phoenix__pair__init(pair);
	message_set_text(&pair->key, key);
	message_set_text(&pair->value, value);
	*pairs = ph_realloc(*pairs, (*count + 1) * sizeof(**pairs));
	(*pairs)[(*count)++] = pair;
}

static void add_programs(const struct programs *programs, Phoenix__Pair ***pairs, size_t *count)
{
	char key[64], stamp[256];

	for (size_t i = 0; i < programs->count; i++) {
		snprintf(key, sizeof(key), "program:%s", programs->items[i].name);
		program_stamp(&programs->items[i], stamp, sizeof(stamp));
		add_pair(pairs, count, key, stamp);
	}
}

static void add_inputs(const struct view *view, Phoenix__Pair ***pairs, size_t *count)
{
	const struct docker_facts *facts = &view->facts;
	struct utsname name;
	char fingerprint[32];

	/* What dockerd uses is not known while it does not answer: no inputs, rather than changed
	 * ones. */
	if (!facts->responding)
		return;
	for (size_t i = 0; i < facts->package_count; i++)
		if (facts->packages[i].version[0])
			add_pair(pairs, count, facts->packages[i].name, facts->packages[i].version);
	snprintf(fingerprint, sizeof(fingerprint), "%016llx",
		 (unsigned long long)facts->config_fingerprint);
	uname(&name);
	add_pair(pairs, count, "daemon.json", fingerprint);
	add_pair(pairs, count, "driver", facts->driver);
	add_pair(pairs, count, "data-root", facts->data_root);
	add_pair(pairs, count, "data-root-filesystem", view->data_root.filesystem);
	add_pair(pairs, count, "kernel", name.release);
	add_programs(&view->programs, pairs, count);
}

int health_inputs(const char *driver, Phoenix__Pair ***ret_pairs, size_t *ret_count,
		  struct ph_error *error)
{
	PH_AUTO_FREE struct view *view = ph_alloc(sizeof(*view));
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;
	int r;

	request.storage_driver = (char *)(driver ? driver : "");
	r = see(&request, view, error);

	if (r < 0)
		return r;
	*ret_pairs = NULL;
	*ret_count = 0;
	add_inputs(view, ret_pairs, ret_count);
	return 0;
}

/* ---- conditions ---- */

static void add(Phoenix__HealthReply *reply, struct judgement judgement)
{
	judgement_add(&reply->conditions, &reply->n_conditions, &judgement);
}

static struct judgement judge_fuse_device(const char *driver)
{
	static const char type[] = "FuseDevice";
	static const char remedy[] = "modprobe fuse on the host, whose /dev/fuse needs mode 0666; "
				     "then restart the container";
	PH_AUTO_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int problem = errno;
	struct stat status;

	/* Something else in its place opens as well. */
	if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISCHR(status.st_mode) ||
			status.st_rdev != makedev(FUSE_MAJOR, FUSE_MINOR))) {
		close(take_fd(&fd));
		problem = ENODEV;
	}
	if (fd >= 0)
		return judgement(type, JUDGEMENT_TRUE, "Opens", "", "%s", "");
	if (!text_empty(driver) && !text_equal(driver, "fuse-overlayfs"))
		return judgement(type, JUDGEMENT_TRUE, "NotNeeded", "", "storage driver: %s",
				 driver);
	if (problem == ENOENT)
		return judgement(type, JUDGEMENT_FALSE, "Missing", remedy,
				 "there is no /dev/fuse: no container can be started");
	if (problem == ENODEV)
		return judgement(type, JUDGEMENT_FALSE, "NotFuse", remedy,
				 "/dev/fuse is not the FUSE device: no container can be started");
	return judgement(type, JUDGEMENT_FALSE, "Refused", remedy,
			 "/dev/fuse does not open: %s: no container can be started",
			 strerror(problem));
}

/* Something that is mounted over them leaves them in the list of mounts. */
static bool are_cgroups_seen(void)
{
	static const char *const places[] = { CGROUP_DIRECTORY, CGROUP_DIRECTORY "/memory",
					      CGROUP_DIRECTORY "/pids" };
	struct statfs status;

	for (size_t i = 0; i < ARRAY_LENGTH(places); i++)
		if (statfs(places[i], &status) == 0 &&
		    (status.f_type == CGROUP2_SUPER_MAGIC || status.f_type == CGROUP_SUPER_MAGIC))
			return true;
	return false;
}

static struct judgement judge_cgroups(void)
{
	static const char type[] = "CgroupsMounted";
	static const char remedy[] = "restart the container: its init, or the agent, mounts them "
				     "again";
	struct ph_error error = { 0 };
	/* systemd mounts what it finds of version 1, which need not be all, and Docker gets along. */
	int r = init_detect("") == INIT_SYSTEMD ? 1 : cgroup_check(&error);

	if (r > 0 && are_cgroups_seen())
		return judgement(type, JUDGEMENT_TRUE, "Mounted", "", "%s", "");
	if (r > 0)
		return judgement(type, JUDGEMENT_FALSE, "Hidden",
				 "umount what lies over " CGROUP_DIRECTORY,
				 "something is mounted over the control groups: no container can be "
				 "started");
	return judgement(type, JUDGEMENT_FALSE, "NotMounted", remedy,
			 "no usable control groups at " CGROUP_DIRECTORY "%s%.160s: no container "
			 "can be started",
			 error.why[0] ? ": " : "", error.why);
}

static void add_dead(Phoenix__HealthReply *reply, const struct storage_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count && reply->n_dead < DEAD_MAXIMUM; i++) {
		const struct storage_mount *mount = &mounts->items[i];
		Phoenix__NestedContainer *nested;

		if (mount->answer != MOUNT_DEAD || !mount->container[0])
			continue;
		nested = ph_alloc(sizeof(*nested));
		phoenix__nested_container__init(nested);
		message_set_text(&nested->id, mount->container);
		message_set_text(&nested->name, mount->container_name);
		reply->dead = ph_realloc(reply->dead, (reply->n_dead + 1) * sizeof(*reply->dead));
		reply->dead[reply->n_dead++] = nested;
	}
}

static void add_mounts(Phoenix__HealthReply *reply)
{
	PH_AUTO_STORAGE_MOUNTS struct storage_mounts mounts = { 0 };

	storage_mounts_read(HEALTH_DATA_ROOT, &mounts);
	add(reply, storage_mounts_judge(&mounts));
	add_dead(reply, &mounts);
}

static void add_fuse_daemons(Phoenix__HealthReply *reply)
{
	struct fuse_daemons daemons;

	fuse_daemons_read(&daemons);
	add(reply, fuse_daemons_judge(&daemons));
}

static void add_bridge(Phoenix__HealthReply *reply, const struct view *view)
{
	struct bridge bridge;

	bridge_read(view->daemons.dockerd.pid, &bridge);
	add(reply, bridge_judge(&bridge));
}

static void add_docker(Phoenix__HealthReply *reply, const struct view *view)
{
	add(reply, docker_state_judge_packages(&view->facts));
	add(reply, docker_state_judge_hold(&view->facts));
	add(reply, docker_state_judge_users(&view->facts));
	add(reply, programs_judge(&view->programs));
	add(reply, daemons_judge(&view->daemons));
	add(reply, docker_state_judge_driver(&view->facts, view->driver));
	add(reply, data_root_judge(&view->data_root, view->driver));
	add(reply, data_root_judge_headroom(&view->data_root));
	add_mounts(reply);
	add_fuse_daemons(reply);
	add_bridge(reply, view);
}

int health_collect(const Phoenix__HealthRequest *request, const struct clock_watch *clock,
		   Phoenix__HealthReply **ret_reply, struct ph_error *error)
{
	PH_AUTO_FREE struct view *view = ph_alloc(sizeof(*view));
	bool wants_docker = !text_equal(request->docker_source, "none");
	Phoenix__HealthReply *reply;
	int r = 0;

	if (wants_docker)
		r = see(request, view, error);
	if (r < 0)
		return r;
	reply = ph_alloc(sizeof(*reply));
	phoenix__health_reply__init(reply);
	if (wants_docker) {
		add_docker(reply, view);
		add_inputs(view, &reply->inputs, &reply->n_inputs);
	}
	add(reply, judge_fuse_device(wants_docker ? request->storage_driver : "none"));
	add(reply, judge_cgroups());
	add(reply, clock_watch_judge(clock, clock_monotonic_ms()));
	*ret_reply = reply;
	return 0;
}
