#include "agent/health/health.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/docker/docker.h"
#include "agent/system/cgroup.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define STATFS_MS 1000 /* a FUSE mount that answers later than this is as good as dead */
#define MOUNTS_MAXIMUM 256

#define TRUE PHOENIX__CONDITION__STATUS__TRUE
#define FALSE PHOENIX__CONDITION__STATUS__FALSE
#define UNKNOWN PHOENIX__CONDITION__STATUS__UNKNOWN

/* ---- facts ---- */

static int observe(const char *driver, struct docker_facts *facts, struct ph_error *error)
{
	const struct docker_wanted wanted = { .storage_driver = driver };

	return docker_observe(&wanted, facts, error);
}

static void add_pair(Phoenix__Pair ***pairs, size_t *count, const char *key, const char *value)
{
	Phoenix__Pair *pair = ph_alloc(sizeof(*pair));

	phoenix__pair__init(pair);
	message_set_text(&pair->key, key);
	message_set_text(&pair->value, value);
	*pairs = ph_realloc(*pairs, (*count + 1) * sizeof(**pairs));
	(*pairs)[(*count)++] = pair;
}

static void add_inputs(const struct docker_facts *facts, Phoenix__Pair ***pairs, size_t *count)
{
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
	add_pair(pairs, count, "kernel", name.release);
}

int health_inputs(Phoenix__Pair ***ret_pairs, size_t *ret_count, struct ph_error *error)
{
	PH_AUTO_FREE struct docker_facts *facts = ph_alloc(sizeof(*facts));
	int r = observe(NULL, facts, error);

	if (r < 0)
		return r;
	*ret_pairs = NULL;
	*ret_count = 0;
	add_inputs(facts, ret_pairs, ret_count);
	return 0;
}

/* ---- conditions ---- */

static void add_condition(Phoenix__HealthReply *reply, const char *type,
			  Phoenix__Condition__Status status, const char *reason,
			  const char *message)
{
	Phoenix__Condition *condition = ph_alloc(sizeof(*condition));

	phoenix__condition__init(condition);
	message_set_text(&condition->type, type);
	message_set_text(&condition->reason, reason);
	message_set_text(&condition->message, message);
	condition->status = status;
	reply->conditions = ph_realloc(reply->conditions,
				       (reply->n_conditions + 1) * sizeof(*reply->conditions));
	reply->conditions[reply->n_conditions++] = condition;
}

static bool is_installed(const struct docker_facts *facts)
{
	for (size_t i = 0; i < facts->wanted_count; i++)
		if (!dpkg_package_is_installed(&facts->packages[i]))
			return false;
	return facts->wanted_count > 0;
}

static void add_docker(Phoenix__HealthReply *reply, const struct docker_facts *facts)
{
	if (is_installed(facts))
		add_condition(reply, "DockerInstalled", TRUE, "PackagesInstalled", "");
	else
		add_condition(reply, "DockerInstalled", FALSE, "PackagesMissing",
			      "phoenixctl apply installs what is missing");
	if (facts->responding)
		add_condition(reply, "DockerResponding", TRUE, "InfoAnswered",
			      facts->server_version);
	else
		add_condition(reply, "DockerResponding", FALSE, "NoAnswer",
			      facts->responding_problem);
}

/* vfs and native are what dockerd falls back to when nothing else works; vfs may also be wanted. */
static bool fell_back(const char *driver, const char *wanted)
{
	return text_equal(driver, "native") ||
	       (text_equal(driver, "vfs") && !text_equal(wanted, "vfs"));
}

static void add_driver(Phoenix__HealthReply *reply, const char *wanted,
		       const struct docker_facts *facts)
{
	char message[128];

	if (!facts->responding) {
		add_condition(reply, "StorageDriverAsPlanned", UNKNOWN, "NoAnswer", "");
		return;
	}
	snprintf(message, sizeof(message), "%.60s", facts->driver);
	if (!facts->config_matches)
		add_condition(reply, "StorageDriverAsPlanned", FALSE, "ConfigChanged",
			      "daemon.json is not what was applied: phoenixctl apply again");
	else if (fell_back(facts->driver, wanted))
		add_condition(reply, "StorageDriverAsPlanned", FALSE, "FellBack", message);
	else
		add_condition(reply, "StorageDriverAsPlanned", TRUE, "AsConfigured", message);
}

static void add_fuse_device(Phoenix__HealthReply *reply)
{
	PH_AUTO_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		add_condition(reply, "FuseDevice", TRUE, "Opens", "");
	else
		add_condition(reply, "FuseDevice", FALSE, errno == ENOENT ? "Missing" : "Refused",
			      strerror(errno));
}

static void add_cgroups(Phoenix__HealthReply *reply)
{
	struct ph_error error = { 0 };
	int r = cgroup_check(&error);

	if (r > 0)
		add_condition(reply, "CgroupsMounted", TRUE, "Mounted", "");
	else
		add_condition(reply, "CgroupsMounted", FALSE, "NotMounted", error.why);
}

/* ---- FUSE mounts: a dead one answers at once, a hung one never ---- */

struct mounts {
	char points[MOUNTS_MAXIMUM][256];
	size_t count;
};

static void find_fuse_mounts(struct mounts *mounts)
{
	PH_AUTO_FILE FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], type[64];

	mounts->count = 0;
	while (file && mounts->count < MOUNTS_MAXIMUM && fgets(line, sizeof(line), file)) {
		const char *separator = strstr(line, " - ");

		if (!separator || sscanf(separator, " - %63s", type) != 1 ||
		    (!text_equal(type, "fuse.fuse-overlayfs") && !text_equal(type, "fuse")))
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %255s", mounts->points[mounts->count]) == 1)
			mounts->count++;
	}
}

/* In a child: the exit code is 0, or 1 + errno of the first mount that is dead. */
static void statfs_all(const struct mounts *mounts)
{
	struct statfs status;

	for (size_t i = 0; i < mounts->count; i++)
		if (statfs(mounts->points[i], &status) < 0 && errno != ENOENT && errno != EACCES)
			_exit(1 + (errno & 0x7f));
	_exit(0);
}

/* The child's exit status, or -ETIMEDOUT when it hangs (it is left to the kernel then). */
static int statfs_in_child(const struct mounts *mounts)
{
	uint64_t deadline = clock_monotonic_ms() + STATFS_MS;
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0)
		statfs_all(mounts);
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (clock_monotonic_ms() > deadline) {
			kill(child, SIGKILL);
			return -ETIMEDOUT;
		}
		poll(NULL, 0, 1);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

static void add_mounts(Phoenix__HealthReply *reply)
{
	PH_AUTO_FREE struct mounts *mounts = ph_alloc(sizeof(*mounts));
	char message[128];
	int r;

	find_fuse_mounts(mounts);
	snprintf(message, sizeof(message), "%zu FUSE mounts", mounts->count);
	r = mounts->count ? statfs_in_child(mounts) : 0;
	if (r == 0)
		add_condition(reply, "StorageMountsAlive", TRUE, "AllAnswer", message);
	else if (r == -ETIMEDOUT)
		add_condition(reply, "StorageMountsAlive", FALSE, "MountHangs",
			      "a FUSE mount does not answer: restart the nested container");
	else if (r > 0)
		add_condition(reply, "StorageMountsAlive", FALSE, "MountDead",
			      "a FUSE daemon has died: restart the nested container");
	else
		add_condition(reply, "StorageMountsAlive", UNKNOWN, "NotChecked", strerror(-r));
}

int health_collect(const char *driver, Phoenix__HealthReply **ret_reply, struct ph_error *error)
{
	PH_AUTO_FREE struct docker_facts *facts = ph_alloc(sizeof(*facts));
	Phoenix__HealthReply *reply;
	int r = observe(driver, facts, error);

	if (r < 0)
		return r;
	reply = ph_alloc(sizeof(*reply));
	phoenix__health_reply__init(reply);
	add_docker(reply, facts);
	add_driver(reply, driver, facts);
	add_fuse_device(reply);
	add_cgroups(reply);
	add_mounts(reply);
	add_inputs(facts, &reply->inputs, &reply->n_inputs);
	*ret_reply = reply;
	return 0;
}
