#include "agent/health/bridge.h"

#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/docker/daemon_json.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/str.h"

#define DAEMON_JSON "/etc/docker/daemon.json"
#define COMMAND_LINE_MAXIMUM 16384

/* ---- which ---- */

/* The value of "--bridge=NAME", "--bridge NAME", "-b NAME" or "-bNAME"; NULL without one. */
static const char *flag_value(const char *word, const char *next)
{
	if (text_has_prefix(word, "--bridge="))
		return word + strlen("--bridge=");
	if (text_equal(word, "--bridge") || text_equal(word, "-b"))
		return next;
	return text_has_prefix(word, "-b") ? word + 2 : NULL;
}

void bridge_name(const char *command_line, size_t length, const char *daemon_json, char *name,
		 size_t size)
{
	char configured[32] = "";

	if (daemon_json)
		daemon_json_value(daemon_json, strlen(daemon_json), "bridge", configured,
				  sizeof(configured));
	text_copy(name, size, configured[0] ? configured : "docker0");
	for (size_t at = 0; at < length; at += strnlen(command_line + at, length - at) + 1) {
		size_t end = at + strnlen(command_line + at, length - at) + 1;
		const char *value = flag_value(command_line + at,
					       end < length ? command_line + end : NULL);

		if (value && value[0])
			text_copy(name, size, value);
	}
}

static size_t read_command_line(pid_t pid, char *text, size_t size)
{
	PH_AUTO_CLOSE int fd = -1;
	char path[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? 0 : read(fd, text, size - 1);
	length = length < 0 ? 0 : length;
	text[length] = '\0';
	return (size_t)length;
}

/* ---- how it is ---- */

static void look(struct bridge *bridge)
{
	PH_AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	if (!text_copy(request.ifr_name, sizeof(request.ifr_name), bridge->name) || fd < 0)
		return;
	bridge->exists = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
	bridge->is_up = bridge->exists && (request.ifr_flags & IFF_UP);
	bridge->has_address = bridge->exists && ioctl(fd, SIOCGIFADDR, &request) == 0;
}

void bridge_read(pid_t dockerd, struct bridge *ret_bridge)
{
	PH_AUTO_FREE char *json = NULL;
	char command_line[COMMAND_LINE_MAXIMUM];
	size_t length;

	*ret_bridge = (struct bridge){ .is_running = dockerd > 0 };
	if (dockerd <= 0)
		return;
	file_read(DAEMON_JSON, DAEMON_JSON_MAXIMUM, &json, NULL, NULL);
	length = read_command_line(dockerd, command_line, sizeof(command_line));
	bridge_name(command_line, length, json, ret_bridge->name, sizeof(ret_bridge->name));
	look(ret_bridge);
}

#define TYPE "BridgeUp"

struct judgement bridge_judge(const struct bridge *bridge)
{
	static const char remedy[] = "restart dockerd in the container: it makes its bridge anew";

	if (!bridge->is_running)
		return judgement(TYPE, JUDGEMENT_UNKNOWN, "NoDaemon", "see DockerResponding",
				 "dockerd does not run");
	if (text_equal(bridge->name, "none"))
		return judgement(TYPE, JUDGEMENT_TRUE, "NotWanted", "", "dockerd has none");
	if (!bridge->exists)
		return judgement(TYPE, JUDGEMENT_FALSE, "Gone", remedy,
				 "there is no %s: containers on the default network cannot start",
				 bridge->name);
	if (!bridge->is_up)
		return judgement(TYPE, JUDGEMENT_FALSE, "Down",
				 "ip link set it up in the container",
				 "%s is down: containers reach nothing", bridge->name);
	if (!bridge->has_address)
		return judgement(TYPE, JUDGEMENT_FALSE, "NoAddress", remedy,
				 "%s has no address: containers have no gateway", bridge->name);
	return judgement(TYPE, JUDGEMENT_TRUE, "Up", "", "%s", bridge->name);
}
