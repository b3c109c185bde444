/* Flags of dockerd in units and defaults: found where they count, and not elsewhere. */
#include "agent/docker/unit_flags.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define DEBIAN                                                                                     \
	"[Unit]\nDescription=Docker --storage-driver\n[Service]\nType=notify\n"                    \
	"ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock "       \
	"$DOCKER_OPTS\nExecReload=/bin/kill -s HUP $MAINPID\n"

static const struct {
	const char *name;
	enum unit_kind kind;
	const char *text;
	const char *key;
	const char *flag; /* NULL: none */
	unsigned int line;
} cases[] = {
	{ "Debian's unit, another key", UNIT_SYSTEMD, DEBIAN, "log-driver", NULL, 0 },
	{ "a description is no flag, a reload's -s is not dockerd's", UNIT_SYSTEMD, DEBIAN,
	  "storage-driver", NULL, 0 },
	{ "hosts are -H", UNIT_SYSTEMD, DEBIAN, "hosts", "-H", 5 },
	{ "a value behind =", UNIT_SYSTEMD, DEBIAN, "containerd", "--containerd", 5 },
	{ "a longer flag is another one", UNIT_SYSTEMD, "ExecStart=dockerd --log-driver-x=1\n",
	  "log-driver", NULL, 0 },
	{ "a short flag", UNIT_SYSTEMD, "ExecStart=dockerd -s overlay2\n", "storage-driver", "-s", 1 },
	{ "a short flag with its value", UNIT_SYSTEMD, "ExecStart=dockerd -Htcp://x\n", "hosts",
	  "-Htcp://x", 1 },
	{ "on a continued line", UNIT_SYSTEMD,
	  "ExecStart=dockerd \\\n  --label=a=b \\\n  --debug\n", "debug", "--debug", 3 },
	{ "after the continued lines", UNIT_SYSTEMD, "ExecStart=dockerd \\\n  -H x\n  --debug\n",
	  "debug", NULL, 0 },
	{ "labels are --label", UNIT_SYSTEMD, "ExecStart=dockerd --label=a=b\n", "labels",
	  "--label", 1 },
	{ "quoted", UNIT_SYSTEMD, "ExecStart=dockerd \"--log-driver=local\"\n", "log-driver",
	  "--log-driver", 1 },
	{ "a comment", UNIT_SYSTEMD, "#ExecStart=dockerd --debug\n", "debug", NULL, 0 },
	{ "a drop-in that resets", UNIT_SYSTEMD, "[Service]\nExecStart=\nExecStart=dockerd -D\n",
	  "debug", "-D", 3 },
	{ "defaults", UNIT_DEFAULT, "# DOCKER_OPTS=\"-D\"\nDOCKER_OPTS=\"--dns 8.8.8.8\"\n", "dns",
	  "--dns", 2 },
	{ "defaults in a comment", UNIT_DEFAULT, "#DOCKER_OPTS=\"--dns 8.8.8.8\"\n", "dns", NULL, 0 },
	{ "no end of line", UNIT_DEFAULT, "DOCKER_OPTS=-D", "debug", "-D", 1 },
	{ "empty", UNIT_SYSTEMD, "", "debug", NULL, 0 },
};

static void flags_are_found(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		char flag[64] = "";
		unsigned int line = 0;
		bool found = unit_flag_find(cases[i].text, cases[i].kind, cases[i].key, flag, &line);

		if (found != (cases[i].flag != NULL) || line != cases[i].line ||
		    !text_equal(flag, cases[i].flag))
			fail_msg("%s: %d \"%s\" in line %u", cases[i].name, found, flag, line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(flags_are_found) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
