/*
 * States, so that a kill between any two system calls can be told and repaired:
 *   policy ours              guarded (policy saved: there was another one)
 *   policy absent, saved     placing was cut short: the saved one goes back
 *   policy other, saved      somebody made a new one meanwhile: theirs stays, and so does the saved
 *   policy other or absent, none saved    not guarded
 */
#include "agent/docker/guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/docker/site.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/str.h"

#define MARK "# phoenix-agent: docker is being installed"
#define POLICY_MAXIMUM (64 * 1024)

static const char script[] =
	"#!/bin/sh\n" MARK "\n"
	"# Keeps the packages from starting dockerd before its configuration is complete. Removed by\n"
	"# the agent at the end of the install, also of a failed one; a killed one is finished, and\n"
	"# this removed, by the next.\n"
	"for word; do\n"
	"\tcase $word in\n"
	"\tdocker|docker.service|docker.socket|containerd|containerd.service) exit 101 ;;\n"
	"\tesac\n"
	"done\n"
	"if [ -x " SITE_POLICY_SAVED " ]; then exec " SITE_POLICY_SAVED " \"$@\"; fi\n"
	"exit 0\n";

static bool is_there(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static bool is_ours(const char *path)
{
	PH_AUTO_FREE char *text = NULL;
	struct stat status;

	/* Ours is a plain file; somebody's symbolic link may lead anywhere. */
	if (lstat(path, &status) < 0 || !S_ISREG(status.st_mode))
		return false;
	return file_read(path, POLICY_MAXIMUM, &text, NULL, NULL) == 0 && strstr(text, MARK);
}

bool guard_is_present(const struct docker_wanted *wanted)
{
	PH_AUTO_FREE char *policy = site_path(wanted, SITE_POLICY);
	PH_AUTO_FREE char *saved = site_path(wanted, SITE_POLICY_SAVED);

	return is_ours(policy) || (!is_there(policy) && is_there(saved));
}

int guard_place(const struct docker_wanted *wanted, struct ph_error *error)
{
	PH_AUTO_FREE char *policy = site_path(wanted, SITE_POLICY);
	PH_AUTO_FREE char *saved = site_path(wanted, SITE_POLICY_SAVED);
	const struct file_write options = { .mode = 0755 };

	if (is_ours(policy))
		return 0;
	if (is_there(policy) && is_there(saved))
		return error_set(error, -EEXIST, saved, "look at both files and remove one",
				 "an older policy was set aside here, and there is a new one");
	if (is_there(policy) && rename(policy, saved) < 0)
		return error_errno(error, -errno, policy, NULL, "set the present policy aside");
	return file_write(policy, script, sizeof(script) - 1, &options, error);
}

int guard_remove(const struct docker_wanted *wanted, struct ph_error *error)
{
	PH_AUTO_FREE char *policy = site_path(wanted, SITE_POLICY);
	PH_AUTO_FREE char *saved = site_path(wanted, SITE_POLICY_SAVED);

	if (!guard_is_present(wanted))
		return 0;
	if (is_there(saved)) {
		if (rename(saved, policy) < 0)
			return error_errno(error, -errno, saved, NULL, "put the policy back");
		return 1;
	}
	return file_remove(policy, error);
}
