/* Looks, and touches nothing: every fact comes from a file, the process table or a query program. */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/docker/docker.h"
#include "agent/docker/guard.h"
#include "agent/docker/observe_config.h"
#include "agent/docker/recipe.h"
#include "agent/docker/site.h"
#include "agent/docker/source.h"
#include "agent/docker/users.h"
#include "agent/system/cgroup.h"
#include "agent/system/command.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define ACCOUNTS_MAXIMUM (1024 * 1024)
#define OS_RELEASE_MAXIMUM (64 * 1024)
#define QUERY_DEADLINE_MS 30000
#define QUERY_OUTPUT_MAXIMUM (8 * 1024 * 1024) /* a line of 60 bytes per package */
#define INFO_OUTPUT_MAXIMUM (2 * 1024 * 1024)
#define INFO_TIMEOUT_MS 15000 /* an emulated machine needs more than five seconds */
#define INIT_TIMEOUT_MS 30000

static int release_observe(const struct docker_wanted *wanted, struct docker_facts *facts,
			   struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(wanted, SITE_OS_RELEASE);
	PH_AUTO_FREE char *text = NULL;
	int result = file_read(path, OS_RELEASE_MAXIMUM, &text, NULL, error);

	if (result == -ENOENT) {
		free(path);
		path = site_path(wanted, SITE_OS_RELEASE_VENDOR);
		result = file_read(path, OS_RELEASE_MAXIMUM, &text, NULL, error);
	}
	if (result == 0)
		result = os_release_parse(path, text, &facts->os, error);
	if (result < 0)
		return result;
	facts->recipe = recipe_find(&facts->os);
	return 0;
}

static void packages_name(const struct docker_wanted *wanted, struct docker_facts *facts)
{
	const char *const *lists[] = {
		facts->recipe ? recipe_packages(facts->recipe, wanted->source) : NULL,
		recipe_observed_packages(),
		recipe_foreign_packages(wanted->source),
	};

	for (size_t i = 0; i < ARRAY_LENGTH(lists); i++) {
		for (const char *const *name = lists[i]; name && *name; name++)
			if (facts->package_count < DOCKER_PACKAGES_MAXIMUM)
				facts->packages[facts->package_count++].name = *name;
		if (i == 0)
			facts->wanted_count = facts->package_count;
	}
}

static int packages_observe(const struct docker_wanted *wanted, struct docker_facts *facts,
			    struct ph_error *error)
{
	static const char *const argv[] = { "dpkg-query", "-W", "-f=" DPKG_STATUS_FORMAT, NULL };
	const struct command command = { .argv = argv,
					 .path = wanted->path,
					 .deadline_ms = QUERY_DEADLINE_MS,
					 .output_maximum = QUERY_OUTPUT_MAXIMUM };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	int result;

	packages_name(wanted, facts);
	/* Not a distribution of ours: what has no recipe may have no dpkg either. */
	if (!facts->recipe)
		return 0;
	result = command_succeed(&command, &ended, error);
	if (result < 0)
		return result;
	if (dpkg_status_parse(ended.output, facts->packages, facts->package_count, &facts->broken) <
	    0)
		return error_set(error, -EBADMSG, SITE_DPKG_STATUS,
				 "repair dpkg's database (/var/backups/dpkg.status.* are copies)",
				 "dpkg-query gave lines that cannot be read");
	return 0;
}

/* dpkg's journal: numbered files, there only while it is at work or after it was cut off. */
static bool journal_observe(const struct docker_wanted *wanted)
{
	PH_AUTO_FREE char *path = site_path(wanted, SITE_DPKG_UPDATES);
	PH_AUTO_DIR DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			return true;
	return false;
}

static void source_facts(const struct docker_wanted *wanted, struct docker_facts *facts)
{
	PH_AUTO_FREE char *held = site_path(wanted, SITE_HELD);

	facts->held_by_us = access(held, F_OK) == 0;
	if (facts->recipe)
		source_observe(wanted, facts->recipe, &facts->os, facts->source_reason,
			       sizeof(facts->source_reason));
}

static void name_add(char *names, size_t size, const char *name)
{
	size_t length = strlen(names);

	snprintf(names + length, size - length, "%s%s", length ? ", " : "", name);
}

static void users_observe(const struct docker_wanted *wanted, struct docker_facts *facts)
{
	PH_AUTO_FREE char *passwd_path = site_path(wanted, SITE_PASSWD);
	PH_AUTO_FREE char *group_path = site_path(wanted, SITE_GROUP);
	PH_AUTO_FREE char *passwd = NULL, *groups = NULL;

	if (wanted->user_count == 0)
		return;
	file_read(passwd_path, ACCOUNTS_MAXIMUM, &passwd, NULL, NULL);
	file_read(group_path, ACCOUNTS_MAXIMUM, &groups, NULL, NULL);
	for (size_t i = 0; i < wanted->user_count; i++) {
		const char *user = wanted->users[i];

		if (!passwd || !users_known(passwd, user))
			name_add(facts->users_unknown, sizeof(facts->users_unknown), user);
		else if (!groups || !users_in_group(groups, "docker", user))
			name_add(facts->users_missing, sizeof(facts->users_missing), user);
	}
}

static int service_observe(const struct docker_wanted *wanted, struct docker_facts *facts,
			   struct ph_error *error)
{
	PH_AUTO_FREE char *restart = site_path(wanted, SITE_RESTART);
	struct service service;
	int result;

	facts->restart_pending = access(restart, F_OK) == 0;
	facts->guard_present = guard_is_present(wanted);
	docker_service(wanted->path, &service);
	result = service_is_active(facts->init, &service, error);
	if (result < 0)
		return result;
	facts->service_active = result;
	/* systemd mounts them before anything else runs; a container that boots it has them. */
	facts->cgroups_mounted = true;
	if (facts->init != INIT_SYSTEMD)
		result = cgroup_check(error);
	if (result >= 0 && facts->init != INIT_SYSTEMD)
		facts->cgroups_mounted = result;
	return result < 0 ? result : 0;
}

int docker_observe(const struct docker_wanted *wanted, struct docker_facts *ret_facts,
		   struct ph_error *error)
{
	struct docker_wanted complete = site_wanted(wanted);
	struct docker_facts facts = { 0 };
	struct ph_error problem = { 0 };
	int result = release_observe(&complete, &facts, error);

	/* A container that was started a moment ago. What cannot be asked then says so itself when it is. A
	 * root of a test's has no init of its own. */
	if (!complete.root[0])
		init_await(complete.root, INIT_TIMEOUT_MS, &problem);
	facts.init = init_detect(complete.root);
	if (result == 0)
		result = packages_observe(&complete, &facts, error);
	if (result == 0)
		result = service_observe(&complete, &facts, error);
	if (result < 0)
		return result;
	facts.dpkg_interrupted = journal_observe(&complete);
	source_facts(&complete, &facts);
	users_observe(&complete, &facts);
	config_observe(&complete, &facts);
	if (facts.service_active && !complete.leave_dockerd &&
	    docker_ask(complete.path, INFO_TIMEOUT_MS, &facts, &problem) < 0)
		error_format(&problem, facts.responding_problem, sizeof(facts.responding_problem));
	*ret_facts = facts;
	return 0;
}

static void text_take(const json_t *root, const char *key, char *buffer, size_t size)
{
	const char *value = json_string_value(json_object_get(root, key));

	if (value)
		text_copy(buffer, size, value);
}

/* The client exits with 0 or 1 and prints the object either way; a dead server is in ServerErrors. */
static int info_take(const struct command_result *ended, struct docker_facts *facts,
		     struct ph_error *error)
{
	json_t *root = json_loadb(ended->output, ended->output_length, 0, NULL);
	const char *problem = json_string_value(
		json_array_get(json_object_get(root, "ServerErrors"), 0));
	const char *version = json_string_value(json_object_get(root, "ServerVersion"));
	PH_AUTO_FREE char *last = command_last_line(ended->errors);
	int result = 0;

	if (problem || !version || !version[0]) {
		result = error_set(error, -EAGAIN, "/var/run/docker.sock", NULL, "%s",
				   problem ? problem :
				   last[0] ? last :
					     "dockerd gave no answer");
	} else {
		text_take(root, "ServerVersion", facts->server_version,
			  sizeof(facts->server_version));
		text_take(root, "Driver", facts->driver, sizeof(facts->driver));
		text_take(root, "CgroupDriver", facts->cgroup_driver, sizeof(facts->cgroup_driver));
		text_take(root, "CgroupVersion", facts->cgroup_version,
			  sizeof(facts->cgroup_version));
		text_take(root, "DockerRootDir", facts->data_root, sizeof(facts->data_root));
	}
	json_decref(root);
	return result;
}

int docker_ask(const char *path, uint32_t timeout_ms, struct docker_facts *facts,
	       struct ph_error *error)
{
	/* Named, so that no context in the user's ~/.docker sends us to another machine. */
	static const char *const argv[] = { "docker", "--host",   "unix:///var/run/docker.sock",
					    "info",   "--format", "{{json .}}",
					    NULL };
	const struct command command = { .argv = argv,
					 .path = path,
					 .deadline_ms = timeout_ms,
					 .output_maximum = INFO_OUTPUT_MAXIMUM };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	int result;

	facts->responding = false;
	result = command_run(&command, &ended, error);
	if (result == -ETIMEDOUT)
		return error_set(error, -EAGAIN, "/var/run/docker.sock", NULL,
				 "dockerd did not answer within %u ms", timeout_ms);
	if (result == 0)
		result = info_take(&ended, facts, error);
	facts->responding = result == 0;
	return result;
}

void docker_service(const char *path, struct service *ret_service)
{
	static const char *const argv[] = { "dockerd", NULL };
	static const struct service_pid_file pid_files[] = {
		{ "dockerd", "/var/run/docker.pid" },
		{ "containerd", "/var/run/docker/containerd/containerd.pid" },
		{ NULL },
	};

	*ret_service = (struct service){
		.name = "docker",
		.program = "dockerd",
		.argv = argv,
		.log_path = SITE_DOCKERD_LOG,
		.pid_files = pid_files,
		.path = path,
	};
}
