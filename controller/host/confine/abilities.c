/*
 * A version number says what a parser was released with, not what a distribution has put into it or left
 * out; a rule that does not compile keeps every container from starting. So each word is tried.
 */
#include "controller/host/confine/abilities.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/render.h"
#include "controller/host/exec/exec.h"

/* Each word in the smallest profile that has it. Not "abi": every parser that we accept takes it, and the file
 * that it names comes in the parser's own package. */
static const struct {
	uint32_t feature;
	const char *text;
} PROBES[] = {
	{ CONFINE_FEATURE_IO_URING, "profile x { io_uring, }\n" },
	{ CONFINE_FEATURE_MQUEUE, "profile x { mqueue, }\n" },
	{ CONFINE_FEATURE_NOSYMFOLLOW, "profile x { mount options=(nosymfollow), }\n" },
	{ CONFINE_FEATURE_USERNS, "profile x { userns, }\n" },
};

/* The kernel's file that says it mediates what the word is about. */
static const struct {
	uint32_t feature;
	const char *file;
} MEDIATED[] = {
	{ CONFINE_FEATURE_IO_URING, "io_uring" },
	{ CONFINE_FEATURE_MQUEUE, "ipc/posix_mqueue" },
	{ CONFINE_FEATURE_USERNS, "namespaces/userns_create" },
};

uint32_t confine_abilities_words(const char *parser)
{
	const char *const argv[] = { parser ?: "apparmor_parser", "--skip-kernel-load",
				     "--skip-cache", "--quiet", NULL };
	uint32_t words = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(PROBES); i++) {
		if (exec_check(argv, PROBES[i].text, NULL, NULL) == 0)
			words |= PROBES[i].feature;
	}
	return words;
}

static bool exists(const char *directory, const char *file)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", directory, file);

	return faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0;
}

uint32_t confine_abilities_choose(const struct confine_abilities *places, uint32_t words)
{
	const char *features = places->features ?: "/sys/kernel/security/apparmor/features";
	const char *cgroup = places->cgroup ?: "/sys/fs/cgroup";

	if (exists(places->policy ?: "/etc/apparmor.d", "abi/3.0"))
		words |= CONFINE_FEATURE_ABI;
	for (size_t i = 0; i < ARRAY_LENGTH(MEDIATED); i++) {
		if (!exists(features, MEDIATED[i].file))
			words &= ~MEDIATED[i].feature;
	}
	if (exists(cgroup, "memory") || exists(cgroup, "devices"))
		words |= CONFINE_FEATURE_CGROUP1;
	return words;
}
