/*
 * CrackArmor (March 2026): AppArmor's control files are writable for everybody by mode, and the checks
 * behind them could be led astray (CVE-2026-23268 a confused deputy, 23404 recursion, 23405 namespace
 * levels, 23406/23407/23269/23409 bounds of the automaton, 23408 a double free, 23410/23411 races).
 * A container that sees securityfs reaches all of them.
 */
#include "controller/host/confine/stacking.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

#define SECURITYFS "/sys/kernel/security/apparmor"
#define NAMED_REMEDY "write \"mode: named\", which needs none of this"

const struct stacking_series stacking_fixed[] = {
	/* 6.1.164-1 has Debian's backport of the eleven, 6.1.170-1 the last fix to it; upstream's
	 * 6.1.169 has the backport (CVE-2026-23404's record). */
	{ 6, 1, 170, "Debian's changelog of linux 6.1.170-1; CVE-2026-23404" },
	{ 6, 6, 130, "CVE-2026-23268, -23404, -23408, -23410, -23411: \"unaffected\" from 6.6.130" },
	{ 6, 12, 77, "the same records: \"unaffected\" from 6.12.77" },
	{ 6, 18, 18, "the same records: \"unaffected\" from 6.18.18" },
	{ 6, 19, 8, "the same records: \"unaffected\" from 6.19.8" },
	{ 7, 0, 0, "the same records: \"unaffected\" from 7.0-rc4" },
	{ 0 },
};

bool stacking_release(const struct stacking_kernel *kernel, unsigned int ret_numbers[3])
{
	const char *debian = strstr(kernel->version, "Debian ");
	unsigned int release[3] = { 0 }, numbers[3] = { 0 };

	if (sscanf(kernel->release, "%3u.%3u.%5u", &release[0], &release[1], &release[2]) < 2)
		return false;
	if (!debian) {
		/* "7.0.0-rc2" is not 7.0: a candidate of the first release is not in the table. */
		if (strstr(kernel->release, "-rc"))
			return false;
		memcpy(ret_numbers, release, sizeof(release));
		return true;
	}
	if (sscanf(debian, "Debian %3u.%3u.%5u", &numbers[0], &numbers[1], &numbers[2]) < 2 ||
	    numbers[0] != release[0] || numbers[1] != release[1] || strstr(debian, "~rc"))
		return false;
	memcpy(ret_numbers, numbers, sizeof(numbers));
	return true;
}

static bool is_fixed(const unsigned int numbers[3])
{
	const struct stacking_series *last = stacking_fixed;

	for (const struct stacking_series *series = stacking_fixed; series->major; series++) {
		if (series->major == numbers[0] && series->minor == numbers[1])
			return numbers[2] >= series->patch;
		last = series;
	}
	/* What comes after the last series was begun with the fixes in it. */
	return numbers[0] > last->major ||
	       (numbers[0] == last->major && numbers[1] > last->minor);
}

static int refuse(struct ph_error *error, const char *remedy, const char *why)
{
	return error_set(error, -EOPNOTSUPP, "confinement.mode: stacked", remedy, "%s", why);
}

int stacking_judge(const struct stacking_kernel *kernel, struct ph_error *error)
{
	unsigned int numbers[3];

	if (!kernel->can_stack || !kernel->has_namespaces)
		return refuse(error, NAMED_REMEDY ", or boot a kernel of 4.13 or later",
			      "this kernel's AppArmor cannot stack policy namespaces");
	if (!kernel->userns_policy)
		return refuse(error,
			      "sysctl kernel.unprivileged_userns_apparmor_policy=1, or " NAMED_REMEDY,
			      "kernel.unprivileged_userns_apparmor_policy is 0: nobody in a container "
			      "may load policy, so Docker could not load its own");
	if (!stacking_release(kernel, numbers))
		return error_set(error, -EOPNOTSUPP, "confinement.mode: stacked", NAMED_REMEDY,
				 "a stacked container sees AppArmor's control files, and it is not "
				 "known whether kernel %.60s has the fixes of CrackArmor",
				 kernel->release);
	if (!is_fixed(numbers))
		return error_set(error, -EOPNOTSUPP, "confinement.mode: stacked",
				 "install a kernel with the fixes (6.1.170, 6.6.130, 6.12.77, 6.18.18, "
				 "6.19.8, 7.0 or later of these), or " NAMED_REMEDY,
				 "a stacked container sees AppArmor's control files, and kernel "
				 "%u.%u.%u is not known to have the fixes of CrackArmor "
				 "(CVE-2026-23268 and its siblings)",
				 numbers[0], numbers[1], numbers[2]);
	return 0;
}

static bool file_begins(const char *path, char byte, bool without)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char first;

	if (fd < 0)
		return errno == ENOENT && without;
	return read(fd, &first, 1) == 1 && first == byte;
}

void stacking_detect(char *release, char *version, size_t size, struct stacking_kernel *ret_kernel)
{
	struct utsname names;

	uname(&names);
	text_copy(release, size, names.release);
	text_copy(version, size, names.version);
	*ret_kernel = (struct stacking_kernel){
		.release = release,
		.version = version,
		.can_stack = file_begins(SECURITYFS "/features/domain/stack", 'y', false),
		.has_namespaces = !access(SECURITYFS "/policy/namespaces", F_OK),
		.userns_policy = file_begins(
			"/proc/sys/kernel/unprivileged_userns_apparmor_policy", '1', true),
	};
}
