#include "agent/docker/site.h"

#include "agent/system/command.h"
#include "common/memory.h"

#define SOURCE_DEFAULT "distribution"
#define DRIVER_DEFAULT "fuse-overlayfs"
#define LOCK_TIMEOUT_MS (5 * 60 * 1000)
#define APT_TIMEOUT_MS (20 * 60 * 1000)
#define START_TIMEOUT_MS (90 * 1000)

struct docker_wanted site_wanted(const struct docker_wanted *wanted)
{
	struct docker_wanted complete = wanted ? *wanted : (struct docker_wanted){ 0 };

	if (!complete.source || !complete.source[0])
		complete.source = SOURCE_DEFAULT;
	if (!complete.storage_driver || !complete.storage_driver[0])
		complete.storage_driver = DRIVER_DEFAULT;
	if (!complete.lock_timeout_ms)
		complete.lock_timeout_ms = LOCK_TIMEOUT_MS;
	if (!complete.apt_timeout_ms)
		complete.apt_timeout_ms = APT_TIMEOUT_MS;
	if (!complete.start_timeout_ms)
		complete.start_timeout_ms = START_TIMEOUT_MS;
	if (!complete.root)
		complete.root = "";
	if (!complete.path)
		complete.path = COMMAND_PATH;
	return complete;
}

char *site_path(const struct docker_wanted *wanted, const char *path)
{
	return ph_format("%s%s", wanted->root ? wanted->root : "", path);
}
