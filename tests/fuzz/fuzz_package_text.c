/*
 * What package managers print and what units say, in a container that may lie: apt's words, dpkg's list,
 * dockerd's command line. The first byte chooses the reader.
 */
#include <errno.h>
#include <string.h>

#include "agent/docker/apt_error.h"
#include "agent/docker/dpkg_status.h"
#include "agent/docker/unit_flags.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "tests/fuzz/fuzz.h"

static void read_apt(const char *text)
{
	char cause[160];
	enum apt_failure failure = apt_failure_classify(text, "", cause, sizeof(cause));

	FUZZ_CHECK(memchr(cause, 0, sizeof(cause)));
	FUZZ_CHECK(apt_failure_remedy(failure) && apt_failure_name(failure));
	FUZZ_CHECK(apt_failure_code(failure) < 0);
}

static void read_dpkg(const char *text)
{
	struct dpkg_package packages[] = { { .name = "docker.io" }, { .name = "runc" } };
	struct dpkg_broken broken = { 0 };

	if (dpkg_status_parse(text, packages, 2, &broken) < 0)
		return;
	for (size_t i = 0; i < 2; i++) {
		FUZZ_CHECK(memchr(packages[i].state, 0, sizeof(packages[i].state)));
		FUZZ_CHECK(memchr(packages[i].version, 0, sizeof(packages[i].version)));
		dpkg_package_is_installed(&packages[i]);
	}
	for (size_t i = 0; i < broken.count && i < DPKG_BROKEN_MAXIMUM; i++)
		FUZZ_CHECK(memchr(broken.names[i], 0, sizeof(broken.names[i])));
}

static void read_unit(const char *text, enum unit_kind kind)
{
	unsigned int line = 0;
	char flag[64];

	if (!unit_flag_find(text, kind, "storage-driver", flag, &line))
		return;
	FUZZ_CHECK(memchr(flag, 0, sizeof(flag)) && line >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	PH_AUTO_FREE char *text = NULL;

	if (size < 1)
		return 0;
	text = ph_alloc(size);
	memcpy(text, bytes + 1, size - 1);
	text[size - 1] = '\0';
	switch (bytes[0] % 4) {
	case 0:
		read_apt(text);
		break;
	case 1:
		read_dpkg(text);
		break;
	case 2:
		read_unit(text, UNIT_SYSTEMD);
		break;
	default:
		read_unit(text, UNIT_DEFAULT);
		break;
	}
	return 0;
}
