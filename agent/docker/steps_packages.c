/* The chapters about packages: preflight, heal, fetch, install, check. */
#include "agent/docker/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/docker/guard.h"
#include "agent/docker/lock.h"
#include "agent/docker/recipe.h"
#include "agent/docker/site.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define HEAL_ROUNDS 3
#define INODES_MINIMUM 8000 /* Docker's packages bring about 2000 files */
#define CLOCK_TOLERANCE_S (24 * 3600)

/* --- preflight ----------------------------------------------------------------------------------- */

static int space_check(const struct install *install, struct ph_error *error)
{
	static const char *const places[] = { "/usr", "/var/lib/dpkg", "/var/cache/apt" };
	uint64_t wanted_mib = docker_plan_space(&install->facts, &install->wanted);

	for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
		PH_AUTO_FREE char *path = site_path(&install->wanted, places[i]);
		struct statvfs space;
		uint64_t free_mib;

		if (statvfs(path, &space) < 0)
			return error_errno(error, -errno, places[i], NULL, "look for free space");
		free_mib = (uint64_t)space.f_bavail * space.f_frsize / (1024 * 1024);
		if (free_mib < wanted_mib)
			return error_set(
				error, -ENOSPC, places[i],
				"free space in the container or enlarge its disk, then try again",
				"the disk is too full: %llu MiB are free and %llu MiB needed",
				(unsigned long long)free_mib, (unsigned long long)wanted_mib);
		if (space.f_files > 0 && space.f_favail < INODES_MINIMUM)
			return error_set(error, -ENOSPC, places[i],
					 "delete files in the container, then try again",
					 "the file system is short of inodes: %llu are free",
					 (unsigned long long)space.f_favail);
	}
	return 0;
}

/* A clock behind the image's own package database makes every signature "not valid yet". */
static int clock_check(const struct install *install, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_DPKG_STATUS);
	struct stat status;
	char date[32];
	time_t now = time(NULL);
	struct tm parts;

	if (stat(path, &status) < 0)
		return error_errno(error, -errno, SITE_DPKG_STATUS, NULL, "look at its date");
	if (now + CLOCK_TOLERANCE_S >= status.st_mtime)
		return 0;
	gmtime_r(&now, &parts);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &parts);
	return error_set(error, -ETIME, SITE_DPKG_STATUS,
			 "set the host's clock (containers share it), then try again",
			 "the clock is wrong: it says %s, and this file is newer", date);
}

/* docker info is happy without /dev/fuse; only docker run is not. Better said now. */
static int fuse_check(const struct install *install, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_FUSE);
	PH_AUTO_CLOSE int fd = -1;

	if (strcmp(install->wanted.storage_driver, "fuse-overlayfs") != 0)
		return 0;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return 0;
	if (errno == ENOENT)
		return error_errno(
			error, -ENOENT, SITE_FUSE,
			"give the container the device: lxc.mount.entry = /dev/fuse dev/fuse none "
			"bind,create=file 0 0 (and modprobe fuse on the host)",
			"open the device that fuse-overlayfs needs");
	if (errno == EACCES || errno == EPERM)
		return error_errno(
			error, -errno, SITE_FUSE,
			"on the host: chmod 666 /dev/fuse, and allow rw of it in the profile",
			"open the device that fuse-overlayfs needs");
	return error_errno(error, -errno, SITE_FUSE, "on the host: modprobe fuse",
			   "open the device that fuse-overlayfs needs");
}

static void lock_waited(void *user, const char *message)
{
	install_say(user, "%s", message);
}

int step_preflight(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	bool packages = install_needs(install, PLAN_HEAL) || install_needs(install, PLAN_INSTALL);
	int result;

	if (install->plan.count == 0)
		return FLOW_UNCHANGED;
	result = fuse_check(install, error);
	if (result == 0 && packages)
		result = space_check(install, error);
	if (result == 0 && packages)
		result = clock_check(install, error);
	if (result == 0 && packages)
		result = package_lock_wait(&install->wanted, lock_waited, install, error);
	return result < 0 ? result : FLOW_NEXT;
}

/* --- heal ---------------------------------------------------------------------------------------- */

/* Unpack again what --configure cannot do. */
static int reinstall_broken(struct install *install, struct ph_error *error)
{
	const struct dpkg_broken *broken = &install->facts.broken;
	const char *list[DPKG_BROKEN_MAXIMUM + 1] = { NULL };
	size_t count = 0;
	int result;

	for (size_t i = 0; i < broken->count && i < DPKG_BROKEN_MAXIMUM; i++)
		if (broken->reinstall[i])
			list[count++] = broken->names[i];
	if (count == 0)
		return 0;
	install_say(install, "unpacking %s and %zu more again", list[0], count - 1);
	result = apt_install(&install->apt, APT_REPAIR, list, error);
	/* Its archive or its index may be gone since. */
	if (result < 0 && result != -EBUSY && apt_update(&install->apt, NULL) == 0)
		result = apt_install(&install->apt, APT_REPAIR, list, error);
	return result;
}

static bool needs_healing(const struct install *install)
{
	return install->facts.broken.count > 0 || install->facts.dpkg_interrupted;
}

/*
 * Each remedy alone may fail because of what another one repairs (a half-installed package stops
 * --configure, an unconfigured one stops apt): so all are tried, and only what is left at the end
 * counts.
 */
static int heal_round(struct install *install, struct ph_error *error)
{
	struct ph_error last = { 0 };
	int result = dpkg_configure(&install->apt, &last);

	if (result == -EBUSY || result == -ENOSPC) {
		*error = last;
		return result;
	}
	result = install_refresh(install, error);
	if (result < 0 || !needs_healing(install))
		return result;
	reinstall_broken(install, &last);
	apt_fix_broken(&install->apt, &last);
	result = install_refresh(install, error);
	if (result == 0 && needs_healing(install)) {
		*error = last;
		return last.code;
	}
	return result;
}

static int heal_failed(const struct install *install, struct ph_error *error)
{
	if (!error_is_set(error))
		error_set(error, -EIO, install->facts.broken.names[0],
			  "run dpkg --audit and dpkg --configure -a in the container and follow what "
			  "they say",
			  "%zu packages are still half-way installed", install->facts.broken.count);
	return error->code;
}

int step_heal(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	int result;

	if (!install_needs(install, PLAN_HEAL))
		return FLOW_UNCHANGED;
	result = guard_place(&install->wanted, error);
	if (result < 0)
		return result;
	for (int round = 0; round < HEAL_ROUNDS && needs_healing(install); round++) {
		install_say(install, "%s", docker_plan_find(&install->plan, PLAN_HEAL)->reason);
		error_clear(error);
		result = heal_round(install, error);
		if (result == -EBUSY || result == -ENOSPC || result == -ENETUNREACH)
			return result;
	}
	return needs_healing(install) ? heal_failed(install, error) : FLOW_NEXT;
}

/* --- fetch --------------------------------------------------------------------------------------- */

/* Lists may be absent (an image without them), or too old to name what the mirror still has. */
static int fetch_with_update(struct install *install, const char *const *list,
			     struct ph_error *error)
{
	struct ph_error update = { 0 };
	int result;

	install_say(install, "refreshing the package lists");
	/* Not fatal by itself: an unrelated source may be the one that fails. */
	apt_update(&install->apt, &update);
	result = apt_missing(&install->apt, list, error);
	if (result > 0)
		result = error_set(error, -ENOENT, list[0],
				   "enable the distribution's main (Ubuntu: universe) component in "
				   "/etc/apt",
				   "%d of the needed packages are in no package list", result);
	if (result == 0)
		result = apt_install(&install->apt, APT_DOWNLOAD, list, error);
	if (result < 0 && error_is_set(&update) && result != -EBUSY && result != -ENOSPC)
		*error = update;
	return result < 0 && error ? error->code : result;
}

int step_fetch(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	const char *list[DOCKER_PACKAGES_MAXIMUM + 1];
	int result;

	if (install_missing(install, list) == 0)
		return FLOW_UNCHANGED;
	result = apt_missing(&install->apt, list, error);
	/* The lists may be older than what is wanted, or know nothing yet of a new source. */
	if (result < 0 && result != -ENODATA)
		return result;
	if (result == 0 && !docker_plan_find(&install->first, PLAN_SOURCE))
		result = apt_install(&install->apt, APT_DOWNLOAD, list, error);
	else
		result = -ENOENT;
	if (result < 0 && result != -EBUSY && result != -ENOSPC && result != -ETIMEDOUT)
		result = fetch_with_update(install, list, error);
	return result < 0 ? result : FLOW_NEXT;
}

/* --- install, check ------------------------------------------------------------------------------ */

int step_install(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	const char *list[DOCKER_PACKAGES_MAXIMUM + 1];
	int result;

	if (install_missing(install, list) == 0)
		return FLOW_UNCHANGED;
	result = guard_place(&install->wanted, error);
	if (result == 0)
		result = apt_install(&install->apt, APT_INSTALL, list, error);
	return result < 0 ? result : FLOW_NEXT;
}

int step_check(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	const char *list[DOCKER_PACKAGES_MAXIMUM + 1];
	const struct dpkg_package *package;
	int result;

	if (!docker_plan_find(&install->first, PLAN_INSTALL) &&
	    !docker_plan_find(&install->first, PLAN_HEAL))
		return FLOW_UNCHANGED;
	result = install_refresh(install, error);
	if (result < 0)
		return result;
	if (install_missing(install, list) == 0 && !needs_healing(install))
		return FLOW_NEXT;
	package = docker_facts_package(&install->facts,
				       list[0] ? list[0] : install->facts.packages[0].name);
	return error_set(error, -EIO, package ? package->name : SITE_DPKG_STATUS,
			 "try again; if it comes back, run dpkg --audit in the container",
			 "apt reported success, but dpkg's state of it is \"%s\" and %zu packages are "
			 "half-way",
			 package ? package->state : "?", install->facts.broken.count);
}
