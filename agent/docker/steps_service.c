/* The chapters about the daemon: configure, activate, confirm. */
#include "agent/docker/steps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/docker/daemon_json.h"
#include "agent/docker/guard.h"
#include "agent/docker/lock.h"
#include "agent/docker/observe_config.h"
#include "agent/docker/site.h"
#include "agent/system/cgroup.h"
#include "agent/system/command.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

#define CONFIG_DIRECTORY "/etc/docker"
#define ASK_TIMEOUT_MS 10000
#define ASK_POLL_MS 200
#define START_AGAIN 2 /* times */
#define START_AGAIN_MS 1000
#define LOG_MAXIMUM (4 * 1024 * 1024)
#define JOURNAL_DEADLINE_MS 10000

/* --- configure ------------------------------------------------------------------------------------ */

/*
 * A running dockerd will have to read what is about to change. Noted before the change, so that a kill
 * between it and the restart is made good by the next run; gone with the boot, like the dockerd. Also
 * where none was seen: while a container boots, its init may start one at any moment.
 */
static int restart_note(const struct install *install, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_RESTART);

	if (install->facts.restart_pending)
		return 0;
	return file_write(path, "", 0, NULL, error);
}

/* dockerd itself judges what is about to be written, where it is installed and can (since 23.0). */
static int config_validate(const struct install *install, const char *text, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_CONFIG_NEW);
	const char *const argv[] = { "dockerd", "--validate", "--config-file", path, NULL };
	const struct command command = { .argv = argv,
					 .path = install->wanted.path,
					 .deadline_ms = ASK_TIMEOUT_MS };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	PH_AUTO_FREE char *last = NULL;
	int result = file_write(path, text, strlen(text), NULL, error);

	if (result < 0)
		return result;
	result = command_run(&command, &ended, NULL);
	file_remove(path, NULL);
	/* 127: a wrapper that somebody put before a dockerd which is not there yet. */
	if (result < 0 || ended.exit_code == 0 || ended.exit_code == 127 ||
	    strstr(ended.errors, "unknown flag"))
		return 0; /* not installed yet, well, or unable to say */
	last = command_last_line(ended.errors);
	return error_set(error, -EINVAL, SITE_DAEMON_JSON,
			 "correct docker.daemon in the fleet file; daemon.json was not touched",
			 "dockerd would not start with it: %s", last);
}

/* After daemon.json itself: a kill between them leaves a record that is written by the next run. */
static int fragment_record(const struct install *install, struct ph_error *error)
{
	PH_AUTO_FREE char *directory = site_path(&install->wanted, SITE_STATE);
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_FRAGMENT);
	const char *text = install->wanted.daemon;
	int result;

	if (text_empty(text))
		return file_remove(path, error) < 0 ? -EIO : 0;
	result = directory_make(directory, 0755, error);
	return result < 0 ? result : file_write(path, text, strlen(text), NULL, error);
}

static int config_write(const struct install *install, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_DAEMON_JSON);
	PH_AUTO_FREE char *directory = site_path(&install->wanted, CONFIG_DIRECTORY);
	PH_AUTO_FREE char *merged = NULL;
	const struct file_write options = { .mode = 0644, .backup = SITE_DAEMON_JSON_BACKUP };
	int result = config_merge(&install->wanted, &merged, error);

	if (result < 0)
		return result;
	if (result == DAEMON_JSON_CHANGED) {
		result = config_validate(install, merged, error);
		if (result == 0)
			result = restart_note(install, error);
		if (result == 0)
			result = directory_make(directory, 0755, error);
		if (result == 0)
			result = file_write(path, merged, strlen(merged), &options, error);
		if (result < 0)
			return result;
	}
	return fragment_record(install, error);
}

int step_configure(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	bool writes = install_needs(install, PLAN_CONFIGURE);
	bool installs = install_needs(install, PLAN_INSTALL);
	int result = 0;

	if (!writes && !installs)
		return FLOW_UNCHANGED;
	if (writes)
		result = config_write(install, error);
	if (result == 0 && installs)
		result = restart_note(install, error);
	if (result == 0 && installs)
		result = guard_place(&install->wanted, error);
	return result < 0 ? result : FLOW_NEXT;
}

int install_unguard(void *subject, struct ph_error *error)
{
	struct install *install = subject;

	return guard_remove(&install->wanted, error);
}

/* --- activate ------------------------------------------------------------------------------------- */

/* Returns 1 when something was mounted or moved. */
static int cgroups_prepare(enum init_system init, struct ph_error *error)
{
	int mounted = CGROUP_ALREADY, delegated;

	if (init == INIT_SYSTEMD)
		return 0;
	mounted = cgroup_ensure_mounted(error);
	if (mounted < 0)
		return mounted;
	delegated = cgroup_delegate(error);
	if (delegated < 0)
		return delegated;
	return mounted == CGROUP_CHANGED || delegated == CGROUP_CHANGED;
}

static int service_bring_up(struct install *install, struct ph_error *error)
{
	struct service service;
	int active, result;

	docker_service(install->wanted.path, &service);
	active = service_is_active(install->facts.init, &service, error);
	if (active < 0)
		return active;
	if (active && install_needs(install, PLAN_RESTART)) {
		install_say(install, "restarting dockerd: %s",
			    docker_plan_find(&install->plan, PLAN_RESTART)->reason);
		return service_restart(install->facts.init, &service, error);
	}
	if (active)
		return SERVICE_ALREADY;
	install_say(install, "starting dockerd under %s", init_name(install->facts.init));
	result = service_enable(install->facts.init, &service, error);
	return result < 0 ? result : service_start(install->facts.init, &service, error);
}

int step_activate(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	PH_AUTO_FREE char *restart = site_path(&install->wanted, SITE_RESTART);
	int unguarded, prepared, result;

	if (install->first.count == 0)
		return FLOW_UNCHANGED;
	result = install_refresh(install, error);
	if (result < 0)
		return result;
	prepared = cgroups_prepare(install->facts.init, error);
	if (prepared < 0)
		return prepared;
	unguarded = guard_remove(&install->wanted, error);
	if (unguarded < 0)
		return unguarded;
	result = service_bring_up(install, error);
	if (result < 0)
		return result;
	if (file_remove(restart, error) < 0)
		return error->code;
	return result == SERVICE_ALREADY && !unguarded && !prepared ? FLOW_UNCHANGED : FLOW_NEXT;
}

/* --- confirm -------------------------------------------------------------------------------------- */

/* The last line of dockerd's own log that names a failure, "" when there is none. */
static char *failure_line(const char *log)
{
	PH_AUTO_FREE char *found = NULL;

	while (*log) {
		size_t length = strcspn(log, "\n");
		PH_AUTO_FREE char *line = ph_strndup(log, length);

		if (strstr(line, "failed to start daemon") || strstr(line, "level=fatal") ||
		    strstr(line, "unable to configure the Docker daemon")) {
			free(found);
			found = take_pointer(line);
		}
		log += length + (log[length] == '\n');
	}
	return found ? take_pointer(found) : ph_strdup("");
}

static char *log_failure(const struct install *install)
{
	static const char *const argv[] = { "journalctl", "-u", "docker", "-b",         "-n",
					    "40",         "-o", "cat",    "--no-pager", NULL };
	const struct command command = { .argv = argv,
					 .path = install->wanted.path,
					 .deadline_ms = JOURNAL_DEADLINE_MS };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_DOCKERD_LOG);
	PH_AUTO_FREE char *text = NULL;

	if (install->facts.init == INIT_SYSTEMD) {
		command_run(&command, &ended, NULL);
		return failure_line(ended.output ? ended.output : "");
	}
	if (file_read(path, LOG_MAXIMUM, &text, NULL, NULL) < 0)
		return ph_strdup("");
	return failure_line(text);
}

static int silent_error(const struct install *install, const struct ph_error *last,
			struct ph_error *error)
{
	PH_AUTO_FREE char *words = log_failure(install);
	PH_AUTO_FREE char *remedy =
		ph_format("read dockerd's log in the container (%s), then try again",
			  install->facts.init == INIT_SYSTEMD ? "journalctl -u docker" :
								SITE_DOCKERD_LOG);

	return error_set(error, -ETIMEDOUT, "dockerd", remedy, "it did not come up: %s",
			 words[0] ? words : last->why);
}

/*
 * Without an init a dockerd that died at its start has nobody else to try again; after some tries its
 * own words say why. Returns false when it is no use to wait any longer.
 */
static bool keep_alive(const struct install *install, int *starts_left)
{
	struct service service;

	docker_service(install->wanted.path, &service);
	if (install->facts.init != INIT_NONE || process_find(service.program) > 0)
		return true;
	if ((*starts_left)-- == 0)
		return false;
	usleep(START_AGAIN_MS * 1000);
	return service_start(install->facts.init, &service, NULL) >= 0;
}

static int driver_check(const struct install *install, struct ph_error *error)
{
	if (strcmp(install->facts.driver, install->wanted.storage_driver) == 0)
		return 0;
	return error_set(
		error, -EPROTO, "docker info",
		"look for a --storage-driver flag in dockerd's unit or init script: it wins over "
		"daemon.json",
		"dockerd uses the storage driver %s, and %s was planned", install->facts.driver,
		install->wanted.storage_driver);
}

static bool answers_as_planned(const struct install *install)
{
	return install->facts.responding &&
	       strcmp(install->facts.driver, install->wanted.storage_driver) == 0;
}

int step_confirm(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	uint64_t end_ms = clock_monotonic_ms() + install->wanted.start_timeout_ms;
	struct ph_error last = { 0 };
	int starts_left = START_AGAIN;

	if (install->first.count == 0 && answers_as_planned(install))
		return FLOW_UNCHANGED;
	while (docker_ask(install->wanted.path, ASK_TIMEOUT_MS, &install->facts, &last) < 0) {
		if (clock_monotonic_ms() >= end_ms || !keep_alive(install, &starts_left))
			return silent_error(install, &last, error);
		usleep(ASK_POLL_MS * 1000);
	}
	install_say(install, "Docker %s on %s answers", install->facts.server_version,
		    install->facts.driver);
	return driver_check(install, error) < 0 ? -EPROTO : FLOW_NEXT;
}

/* --- later ---------------------------------------------------------------------------------------- */

int docker_ensure_running(struct ph_error *error)
{
	struct docker_wanted wanted = site_wanted(NULL);
	enum init_system init = init_detect("");
	struct service service;
	int result;

	if (init != INIT_NONE || guard_is_present(&wanted) || install_lock_is_held(&wanted) ||
	    access("/usr/bin/dockerd", X_OK) < 0)
		return SERVICE_ALREADY;
	docker_service(wanted.path, &service);
	if (process_find(service.program) > 0)
		return SERVICE_ALREADY;
	result = cgroups_prepare(init, error);
	return result < 0 ? result : service_ensure_running(init, &service, error);
}
