/*
 * The kernel's own files say more than aa_is_enabled(): which of the ways of not being able it is
 * decides what the operator has to do.
 */
#include "controller/host/confine/facts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/apparmor.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/abilities.h"
#include "controller/host/confine/remembered.h"
#include "controller/host/confine/render.h"
#include "controller/host/exec/exec.h"

#define MODULE "/sys/module/apparmor/parameters"
#define PARSER_MAJOR_MINIMUM 3
#define BEST_EFFORT                                                                                \
	"; or write \"confinement: best-effort\" in the fleet file, which leaves containers unconfined"

static const struct {
	const char *reason;
	const char *remedy;
} OBSTACLES[] = {
	[CONFINE_ABLE] = { "", "" },
	[CONFINE_NO_KERNEL] = { "the running kernel has no AppArmor",
				"boot a kernel with AppArmor (Debian's has it)" BEST_EFFORT },
	[CONFINE_DISABLED] = { "AppArmor is switched off",
			       "boot with \"apparmor=1 security=apparmor\"" BEST_EFFORT },
	[CONFINE_NO_SECURITYFS] = { "the kernel's policy directory is not mounted",
				    "mount -t securityfs securityfs /sys/kernel/security" },
	[CONFINE_NO_PERMISSION] = { "policy cannot be loaded from here",
				    "run phoenix-host as root of the host, outside of any container" },
	[CONFINE_NOT_ENFORCING] = { "AppArmor as a whole does not enforce",
				    "printf enforce > /sys/module/apparmor/parameters/mode" },
	[CONFINE_NO_MOUNT_RULES] = { "the running kernel does not mediate mounts",
				     "boot a kernel whose AppArmor does (4.8 or later)" BEST_EFFORT },
	[CONFINE_NO_PARSER] = { "apparmor_parser is not installed", "apt-get install apparmor" },
	[CONFINE_OLD_PARSER] = { "apparmor_parser is older than 3.0",
				 "upgrade the package apparmor to 3.0 or later" },
};

const char *confine_obstacle_reason(enum confine_obstacle obstacle)
{
	return OBSTACLES[obstacle].reason;
}

const char *confine_obstacle_remedy(enum confine_obstacle obstacle)
{
	return OBSTACLES[obstacle].remedy;
}

/* The first line of DIRECTORY/FILE; -errno when it cannot be read. */
static int read_line(const char *directory, const char *file, char *line, size_t size)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", directory, file);
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, line, size - 1);

	if (length < 0)
		return -errno;
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

static bool exists(const char *directory, const char *file)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", directory, file);

	return faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0;
}

static bool can_write(const char *directory, const char *file)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", directory, file);

	return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

bool confine_kernel_enforces(const struct confine_places *places, char ret_mode[CONFINE_LAX_SIZE])
{
	const char *module = places && places->module ? places->module : MODULE;
	char mode[CONFINE_LAX_SIZE];

	if (read_line(module, "mode", mode, sizeof(mode)) < 0 || text_equal(mode, "enforce") ||
	    text_equal(mode, "kill"))
		return true;
	text_copy(ret_mode, CONFINE_LAX_SIZE, mode);
	return false;
}

static enum confine_obstacle judge_kernel(const struct confine_places *places, char *detail,
					  size_t size)
{
	char line[64], mode[CONFINE_LAX_SIZE];

	if (read_line(places->module, "enabled", line, sizeof(line)) < 0)
		return CONFINE_NO_KERNEL;
	if (line[0] != 'Y')
		return CONFINE_DISABLED;
	if (!exists(places->securityfs, "features"))
		return CONFINE_NO_SECURITYFS;
	if (!can_write(places->securityfs, ".replace"))
		return CONFINE_NO_PERMISSION;
	if (!confine_kernel_enforces(places, mode)) {
		snprintf(detail, size, "mode %s", mode);
		return CONFINE_NOT_ENFORCING;
	}
	if (!exists(places->securityfs, "features/mount/mask"))
		return CONFINE_NO_MOUNT_RULES;
	return CONFINE_ABLE;
}

int confine_parser_version(const char *output, char version[32], unsigned int *ret_major,
			   unsigned int *ret_minor)
{
	static const char mark[] = "parser version ";
	const char *start = strstr(output, mark);
	unsigned int major;
	unsigned int minor;
	size_t length;

	if (!start)
		return -EINVAL;
	start += strlen(mark);
	length = strcspn(start, " \n");
	if (!length || length >= 32 || sscanf(start, "%3u.%3u", &major, &minor) != 2)
		return -EINVAL;
	memcpy(version, start, length);
	version[length] = '\0';
	*ret_major = major;
	*ret_minor = minor;
	return 0;
}

/* What the parser has told of itself. */
struct parser {
	char version[32];
	unsigned int major;
	uint32_t words; /* enum confine_feature */
};

/* "3.0.8 5": version and words, as they are remembered. */
static int parse_remembered(const char *value, struct parser *ret_parser)
{
	struct parser parser = { 0 };

	if (sscanf(value, "%31s %" SCNx32, parser.version, &parser.words) != 2 ||
	    sscanf(parser.version, "%3u", &parser.major) != 1)
		return -EINVAL;
	*ret_parser = parser;
	return 0;
}

/* Ask the program itself, and remember: the file is named before, so that one replaced meanwhile is asked. */
static int ask_parser(const struct confine_places *places, const char *path,
		      struct parser *ret_parser)
{
	const char *const argv[] = { path, "--version", NULL };
	PH_AUTO_FREE char *key = confine_remembered_key(path);
	PH_AUTO_FREE char *output = NULL;
	struct parser parser = { 0 };
	unsigned int minor;

	if (exec_check(argv, NULL, &output, NULL) < 0 ||
	    confine_parser_version(output, parser.version, &parser.major, &minor) < 0)
		return -EINVAL;
	if (parser.major >= PARSER_MAJOR_MINIMUM)
		parser.words = confine_abilities_words(path);
	if (key && places->memory) {
		PH_AUTO_FREE char *value = ph_format("%s %" PRIx32, parser.version, parser.words);

		confine_remembered_write(places->memory, key, value);
	}
	*ret_parser = parser;
	return 0;
}

static enum confine_obstacle judge_parser(const struct confine_places *places,
					  struct parser *ret_parser)
{
	char path[EXEC_PATH_SIZE], value[CONFINE_REMEMBERED_SIZE];

	if (exec_find(places->parser, path) < 0)
		return CONFINE_NO_PARSER;
	if (!places->memory || confine_remembered_read(places->memory, path, value) < 0 ||
	    parse_remembered(value, ret_parser) < 0) {
		if (ask_parser(places, path, ret_parser) < 0)
			return CONFINE_NO_PARSER;
	}
	return ret_parser->major < PARSER_MAJOR_MINIMUM ? CONFINE_OLD_PARSER : CONFINE_ABLE;
}

static uint32_t find_features(const struct confine_places *places, uint32_t words)
{
	PH_AUTO_FREE char *features = ph_format("%s/features", places->securityfs);
	const struct confine_abilities abilities = { .policy = places->policy, .features = features,
						     .cgroup = places->cgroup };

	return confine_abilities_choose(&abilities, words);
}

/* libapparmor's name for the running kernel's feature set; part of the cache's key. */
static void read_features_id(char *id, size_t size)
{
	PH_AUTO_FREE char *text = NULL;
	aa_features *features = NULL;

	if (aa_features_new_from_kernel(&features))
		return;
	text = aa_features_id(features);
	if (text)
		text_copy(id, size, text);
	aa_features_unref(features);
}

void confine_facts_detect(const struct confine_places *places, struct confine_facts *ret_facts)
{
	struct confine_places at = places ? *places : (struct confine_places){ 0 };
	enum confine_obstacle obstacle;
	struct parser parser = { 0 };

	at.module = at.module ?: MODULE;
	at.securityfs = at.securityfs ?: "/sys/kernel/security/apparmor";
	at.policy = at.policy ?: "/etc/apparmor.d";
	at.cgroup = at.cgroup ?: "/sys/fs/cgroup";
	at.parser = at.parser ?: "apparmor_parser";
	*ret_facts = (struct confine_facts){ 0 };
	ret_facts->obstacle = judge_kernel(&at, ret_facts->detail, sizeof(ret_facts->detail));
	obstacle = judge_parser(&at, &parser);
	text_copy(ret_facts->parser_version, sizeof(ret_facts->parser_version), parser.version);
	if (ret_facts->obstacle == CONFINE_ABLE && obstacle != CONFINE_ABLE) {
		ret_facts->obstacle = obstacle;
		text_copy(ret_facts->detail, sizeof(ret_facts->detail), ret_facts->parser_version);
	}
	ret_facts->features = find_features(&at, parser.words);
	if (ret_facts->obstacle == CONFINE_ABLE)
		read_features_id(ret_facts->features_id, sizeof(ret_facts->features_id));
}

int confine_facts_require(const struct confine_facts *facts, struct ph_error *error)
{
	bool has_detail = facts->detail[0] != '\0';

	if (facts->obstacle == CONFINE_ABLE)
		return 0;
	return error_set(error, -ENOTSUP, "AppArmor", confine_obstacle_remedy(facts->obstacle),
			 "%s%s%s%s", confine_obstacle_reason(facts->obstacle),
			 has_detail ? " (" : "", facts->detail, has_detail ? ")" : "");
}
