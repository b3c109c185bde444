#include "controller/link/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/str.h"

#define CONTAINER_LEVELS 2 /* the host's pid namespace and the container's */

static int wrong(struct ph_error *error, const char *name, const char *what)
{
	return error_set(error, -EPERM, name,
			 "the container's key has left it: phoenixctl rotate-key, and look at the "
			 "container",
			 "a peer with the right key has %s", what);
}

static bool map_is(const char *text, uint32_t base, uint32_t count)
{
	unsigned int inside, outside, length;
	char end;

	return sscanf(text, "%u %u %u %c", &inside, &outside, &length, &end) == 3 && inside == 0 &&
	       outside == base && length == count;
}

/* One hierarchy is enough: on hosts with cgroup v1 some are not handed down to containers. */
static bool is_in_groups(const char *cgroup, const char *name)
{
	char group[96];
	size_t length = (size_t)snprintf(group, sizeof(group), ":/phoenix.payload.%s", name);

	for (const char *found = strstr(cgroup, group); found;
	     found = strstr(found + length, group))
		if (found[length] == '/' || found[length] == '\n' || found[length] == '\0')
			return true;
	return false;
}

/* "PROFILE (enforce)", or the profile with a policy namespace below it: "PROFILE//&:..." */
static bool label_is(const char *label, const char *profile)
{
	size_t length = strlen(profile);

	if (!text_has_prefix(label, profile))
		return false;
	label += length;
	return text_has_prefix(label, "//&") || text_equal(label, " (enforce)");
}

int peer_judge(const struct peer_facts *facts, const struct peer_expected *expected,
	       struct ph_error *error)
{
	if (!map_is(facts->uid_map, expected->id_base, expected->id_count) ||
	    !map_is(facts->gid_map, expected->id_base, expected->id_count))
		return wrong(error, expected->name, "another id map than the container");
	if (!is_in_groups(facts->cgroup, expected->name))
		return wrong(error, expected->name, "another control group than the container");
	if (facts->levels != CONTAINER_LEVELS)
		return wrong(error, expected->name, "another pid namespace than the container");
	if (!text_empty(expected->profile) && !label_is(facts->label, expected->profile))
		return wrong(error, expected->name, "another AppArmor label than the container");
	return 0;
}

static int open_process(pid_t pid)
{
	struct statfs file_system;
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (fstatfs(fd, &file_system) == 0 && file_system.f_type == PROC_SUPER_MAGIC)
		return fd;
	close(fd);
	return -EXDEV;
}

static int read_text(int process, const char *file, char *text, size_t size)
{
	PH_AUTO_CLOSE int fd = openat(process, file, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	length = io_read(fd, text, size - 1);
	if (length < 0)
		return (int)length;
	text[length] = '\0';
	return 0;
}

static unsigned int count_levels(const char *status)
{
	const char *at = strstr(status, "\nNSpid:");
	unsigned int count = 0;

	for (at = at ? at + strlen("\nNSpid:") : ""; *at == '\t'; count++)
		at += 1 + strcspn(at + 1, "\t\n");
	return count;
}

static int read_facts(int process, struct peer_facts *facts)
{
	char status[4096];
	int r = read_text(process, "uid_map", facts->uid_map, sizeof(facts->uid_map));

	if (r == 0)
		r = read_text(process, "gid_map", facts->gid_map, sizeof(facts->gid_map));
	if (r == 0)
		r = read_text(process, "cgroup", facts->cgroup, sizeof(facts->cgroup));
	if (r == 0)
		r = read_text(process, "status", status, sizeof(status));
	if (r < 0)
		return r;
	facts->levels = count_levels(status);
	/* Absent without AppArmor; then there is no profile to compare with either. */
	if (read_text(process, "attr/current", facts->label, sizeof(facts->label)) < 0)
		facts->label[0] = '\0';
	facts->label[strcspn(facts->label, "\n")] = '\0';
	return 0;
}

int peer_check(pid_t pid, const struct peer_expected *expected, struct ph_error *error)
{
	PH_AUTO_CLOSE int process = pid > 0 ? open_process(pid) : -ESRCH;
	struct peer_facts facts;
	int r = process < 0 ? process : read_facts(process, &facts);

	if (r < 0)
		return error_errno(error, r, expected->name, NULL,
				   "look at the process of a peer with the right key");
	return peer_judge(&facts, expected, error);
}
