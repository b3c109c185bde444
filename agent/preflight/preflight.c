/* What cannot be found out stays empty: a preflight that fails for one fact would tell none. */
#include "agent/preflight/preflight.h"

#include <stdlib.h>
#include <string.h>

#include "agent/docker/site.h"
#include "agent/preflight/attempts.h"
#include "agent/preflight/texts.h"
#include "agent/system/command.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define VIRTUAL_MAXIMUM (256 * 1024)
#define LOG_MAXIMUM (4 * 1024 * 1024)
#define COMMAND_MS 5000
#define CONTROLLERS_MAXIMUM 32
#define BRIDGE_FILTER "/proc/sys/net/bridge/bridge-nf-call-iptables"

/* The whole text of a file of the kernel; "" when it cannot be read. */
static char *read_virtual(const char *path)
{
	char *text;

	return file_read_virtual(path, VIRTUAL_MAXIMUM, &text, NULL) < 0 ? ph_strdup("") : text;
}

static int try(int (*attempt)(struct attempt *, struct ph_error *),
	       Phoenix__PreflightAttempt **ret_message, struct ph_error *error)
{
	Phoenix__PreflightAttempt *message;
	struct attempt result;
	int r = attempt(&result, error);

	if (r < 0)
		return r;
	message = ph_alloc(sizeof(*message));
	phoenix__preflight_attempt__init(message);
	message->outcome = result.step[0] ? PHOENIX__PREFLIGHT_ATTEMPT__OUTCOME__FAILED :
					    PHOENIX__PREFLIGHT_ATTEMPT__OUTCOME__WORKED;
	message->error_number = result.number;
	message_set_text(&message->step, result.step);
	*ret_message = message;
	return 0;
}

static void look_at_cgroups(Phoenix__AgentPreflightReply *reply)
{
	PH_AUTO_FREE char *mounts = read_virtual("/proc/self/mountinfo");
	PH_AUTO_FREE char *controllers = read_virtual("/sys/fs/cgroup/cgroup.controllers");
	char *rest = controllers, *word;

	message_set_text(&reply->cgroup, texts_cgroup(mounts));
	reply->controllers = ph_alloc(CONTROLLERS_MAXIMUM * sizeof(*reply->controllers));
	while (reply->n_controllers < CONTROLLERS_MAXIMUM && (word = strsep(&rest, " \n")))
		if (word[0])
			reply->controllers[reply->n_controllers++] = ph_strdup(word);
}

static void look_at_ids(Phoenix__AgentPreflightReply *reply)
{
	PH_AUTO_FREE char *uids = read_virtual("/proc/self/uid_map");
	PH_AUTO_FREE char *gids = read_virtual("/proc/self/gid_map");

	reply->uid_count = texts_map_count(uids);
	reply->gid_count = texts_map_count(gids);
}

static void look_at_bridge_filter(Phoenix__AgentPreflightReply *reply)
{
	PH_AUTO_FREE char *value = read_virtual(BRIDGE_FILTER);

	value[strcspn(value, "\n")] = '\0';
	message_set_text(&reply->bridge_filter, strlen(value) < 16 ? value : "");
}

static void look_at_runc(Phoenix__AgentPreflightReply *reply)
{
	static const char *const argv[] = { "runc", "--version", NULL };
	const struct command command = { .argv = argv, .deadline_ms = COMMAND_MS };
	PH_AUTO_COMMAND_RESULT struct command_result result = { 0 };
	char version[32] = "";

	if (command_run(&command, &result, NULL) == 0)
		texts_runc_version(result.output, version);
	message_set_text(&reply->runc_version, version);
}

/* dockerd's log: systemd's journal, or the file that the agent gave it where there is no init. */
static char *read_log(void)
{
	static const char *const argv[] = { "journalctl", "--unit=docker.service", "--lines=400",
					    "--output=cat", "--no-pager", "--quiet", NULL };
	const struct command command = { .argv = argv, .deadline_ms = COMMAND_MS };
	PH_AUTO_COMMAND_RESULT struct command_result result = { 0 };
	char *text;

	if (file_read(SITE_DOCKERD_LOG, LOG_MAXIMUM, &text, NULL, NULL) == 0)
		return text;
	if (command_run(&command, &result, NULL) < 0 || !result.output)
		return ph_strdup("");
	return ph_strdup(result.output);
}

static void look_at_log(Phoenix__AgentPreflightReply *reply)
{
	char lines[PREFLIGHT_COMPLAINTS_MAXIMUM][TEXTS_LINE_SIZE];
	PH_AUTO_FREE char *log = read_log();
	size_t count = texts_complaints(log, lines, PREFLIGHT_COMPLAINTS_MAXIMUM);

	reply->complaints = ph_alloc((count + 1) * sizeof(*reply->complaints));
	for (size_t i = 0; i < count; i++)
		reply->complaints[reply->n_complaints++] = ph_strdup(lines[i]);
}

int preflight_collect(Phoenix__AgentPreflightReply **ret_reply, struct ph_error *error)
{
	Phoenix__AgentPreflightReply *reply = ph_alloc(sizeof(*reply));
	int r;

	phoenix__agent_preflight_reply__init(reply);
	r = try(attempt_reopen_sysctl, &reply->reopen_sysctl, error);
	if (r == 0)
		r = try(attempt_session_keyring, &reply->session_keyring, error);
	if (r == 0)
		r = try(attempt_user_namespace, &reply->user_namespace, error);
	if (r == 0)
		r = try(attempt_fuse, &reply->fuse, error);
	if (r < 0) {
		message_free(reply);
		return r;
	}
	look_at_cgroups(reply);
	look_at_ids(reply);
	look_at_bridge_filter(reply);
	look_at_runc(reply);
	look_at_log(reply);
	*ret_reply = reply;
	return 0;
}
