/*
 * AppArmor's audit lines taken apart: lines as kernels 6.1 and 6.12 wrote them, and what a container
 * may try to make of them by the names of its files and processes.
 */
#include "controller/host/denials/line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define STAMP "audit(1795487403.945:12): "
#define DENIED STAMP "apparmor=\"DENIED\" operation=\"open\" profile=\"p\" "

/* expected: "key=value" pairs joined by '|', of the fields that matter in the case. */
static const struct {
	const char *name;
	const char *text;
	int code;
	const char *expected;
} cases[] = {
	/* ---- as the kernel writes them ---- */
	{ "vsock socket",
	  STAMP "apparmor=\"DENIED\" operation=\"create\" profile=\"tden\" pid=767 comm=\"perl\" "
		"family=\"vsock\" sock_type=\"stream\" protocol=0 requested_mask=\"create\" "
		"denied_mask=\"create\"",
	  0,
	  "kind=denied|time=1795487403945|serial=12|operation=create|profile=tden|pid=767|"
	  "process=perl|family=vsock|sock_type=stream|requested=create|denied=create|uid=none" },
	{ "reading another process",
	  STAMP "apparmor=\"DENIED\" operation=\"ptrace\" profile=\"tden\" pid=771 comm=\"cat\" "
		"requested_mask=\"read\" denied_mask=\"read\" peer=\"unconfined\"",
	  0, "operation=ptrace|peer=unconfined|requested=read" },
	{ "a file",
	  STAMP "apparmor=\"DENIED\" operation=\"open\" profile=\"tden\" name=\"/etc/hostname\" "
		"pid=776 comm=6576696C2220783D31206170706172 requested_mask=\"r\" denied_mask=\"r\" "
		"fsuid=100000 ouid=0",
	  0, "name=/etc/hostname|process=evil\" x=1 appar|uid=100000" },
	{ "mount, no match",
	  STAMP "apparmor=\"DENIED\" operation=\"mount\" info=\"failed mntpnt match\" error=-13 "
		"profile=\"tden\" name=\"/mnt/\" pid=751 comm=\"mount\" fstype=\"tmpfs\" "
		"srcname=\"none\" flags=\"ro\"",
	  0,
	  "operation=mount|info=failed mntpnt match|error=-13|name=/mnt/|fstype=tmpfs|srcname=none|"
	  "flags=ro" },
	{ "mount flags with a blank",
	  STAMP "apparmor=\"DENIED\" operation=\"mount\" info=\"failed flags match\" error=-13 "
		"profile=\"lxc-phoenix-v2\" name=\"/mnt/\" pid=751 comm=\"mount\" "
		"flags=\"rw, nosuid, remount, bind\"",
	  0, "flags=rw, nosuid, remount, bind|process=mount" },
	{ "a capability",
	  STAMP "apparmor=\"DENIED\" operation=\"capable\" profile=\"tden\" pid=782 comm=\"sh\" "
		"capability=33  capname=\"mac_admin\"",
	  0, "operation=capable|capname=mac_admin|name=" },
	{ "refused load of policy is a status with an error",
	  STAMP "apparmor=\"STATUS\" operation=\"profile_load\" info=\"not policy admin\" error=-13 "
		"profile=\"tden\" pid=782 comm=\"sh\"",
	  0, "kind=denied|operation=profile_load|info=not policy admin" },
	{ "a load that went well is none",
	  STAMP "apparmor=\"STATUS\" operation=\"profile_load\" profile=\"unconfined\" "
		"name=\"tden\" pid=757 comm=\"apparmor_parser\"",
	  0, "kind=other|name=tden" },
	{ "change to a profile that is not there",
	  STAMP "apparmor=\"DENIED\" operation=\"change_onexec\" info=\"label not found\" error=-2 "
		"profile=\"tden\" name=\"docker-default\" pid=784 comm=\"aa-exec\"",
	  0, "kind=denied|error=-2|name=docker-default" },
	{ "signal",
	  STAMP "apparmor=\"DENIED\" operation=\"signal\" profile=\"docker-default\" pid=9 "
		"comm=\"dockerd\" requested_mask=\"receive\" denied_mask=\"receive\" signal=term "
		"peer=\"unconfined\"",
	  0, "signal=term|peer=unconfined" },
	{ "inside a policy namespace",
	  STAMP "apparmor=\"DENIED\" operation=\"pivotroot\" class=\"mount\" "
		"info=\"failed perms check\" error=-13 namespace=\"root//phoenix-web1\" "
		"profile=\"runc\" name=\"/\" pid=3 comm=\"runc:[2:INIT]\" srcname=\"/\"",
	  0, "namespace=root//phoenix-web1|profile=runc|process=runc:[2:INIT]|operation=pivotroot" },
	{ "user namespace",
	  STAMP "apparmor=\"DENIED\" operation=\"userns_create\" class=\"namespace\" info=\"User "
		"namespace creation restricted\" error=-13 profile=\"lxc-phoenix-v2\" pid=4 "
		"comm=\"unshare\" requested=\"userns_create\" denied=\"userns_create\"",
	  0, "operation=userns_create|info=User namespace creation restricted" },
	{ "complain mode",
	  STAMP "apparmor=\"ALLOWED\" operation=\"open\" profile=\"p\" name=\"/x\" pid=1 comm=\"c\"",
	  0, "kind=allowed" },
	{ "an audited access that was allowed",
	  STAMP "apparmor=\"AUDIT\" operation=\"open\" profile=\"p\" name=\"/x\" pid=1 comm=\"c\"", 0,
	  "kind=other" },
	{ "from the kernel's log",
	  "audit: type=1400 " DENIED "name=\"/etc/x\" pid=5 comm=\"cat\" requested_mask=\"r\"", 0,
	  "name=/etc/x|pid=5" },
	{ "hard link",
	  STAMP "apparmor=\"DENIED\" operation=\"link\" profile=\"p\" name=\"/tmp/a\" pid=5 "
		"comm=\"ln\" requested_mask=\"l\" denied_mask=\"l\" fsuid=100000 ouid=100000 "
		"target=\"/etc/x\"",
	  0, "target=/etc/x|requested=l" },
	{ "unix socket with an address",
	  STAMP "apparmor=\"DENIED\" operation=\"connect\" profile=\"p\" pid=5 comm=\"c\" "
		"family=\"unix\" sock_type=\"stream\" protocol=0 requested_mask=\"send receive "
		"connect\" denied_mask=\"connect\" addr=none peer_addr=\"@/tmp/dbus\"",
	  0, "addr=none|requested=send receive connect" },
	{ "bind mount",
	  STAMP "apparmor=\"DENIED\" operation=\"mount\" info=\"failed mntpnt match\" error=-13 "
		"profile=\"tden\" name=\"/mnt/\" pid=186 comm=\"mount\" srcname=\"/etc/\" "
		"flags=\"rw, bind\"",
	  0, "srcname=/etc/|flags=rw, bind|fstype=?" },
	{ "remount, without a type or a source",
	  STAMP "apparmor=\"DENIED\" operation=\"mount\" info=\"failed mntpnt match\" error=-13 "
		"profile=\"tden\" name=\"/mnt/\" pid=188 comm=\"mount\" flags=\"ro, remount\"",
	  0, "flags=ro, remount|srcname=?" },
	{ "unix socket being made",
	  STAMP "apparmor=\"DENIED\" operation=\"create\" profile=\"tden\" pid=196 comm=\"perl\" "
		"family=\"unix\" sock_type=\"stream\" protocol=0 requested_mask=\"create\" "
		"denied_mask=\"create\"",
	  0, "family=unix|pid=196" },
	{ "hard link to what may not be read",
	  STAMP "apparmor=\"DENIED\" operation=\"link\" profile=\"tden\" name=\"/tmp/hx\" pid=206 "
		"comm=\"perl\" requested_mask=\"r\" denied_mask=\"r\" fsuid=0 ouid=0 "
		"target=\"/etc/hostname\"",
	  0, "name=/tmp/hx|target=/etc/hostname|uid=0" },
	{ "being traced",
	  STAMP "apparmor=\"DENIED\" operation=\"ptrace\" profile=\"tden\" pid=792 comm=\"strace\" "
		"requested_mask=\"tracedby\" denied_mask=\"tracedby\" peer=\"tden\"",
	  0, "requested=tracedby|peer=tden" },
	{ "refused replacement of policy",
	  STAMP "apparmor=\"STATUS\" operation=\"profile_replace\" info=\"not policy admin\" "
		"error=-13 profile=\"tden\" pid=800 comm=\"apparmor_parser\"",
	  0, "kind=denied|operation=profile_replace" },
	{ "no name", DENIED "name=(null) pid=5 comm=\"c\"", 0, "name=|pid=5" },
	{ "line ends with a newline and a zero", DENIED "pid=5 comm=\"c\" requested_mask=\"r\"\n", 0,
	  "requested=r" },

	/* ---- names that containers choose ---- */
	{ "name in hex", DENIED "name=2F746D702F61206222 pid=5 comm=\"c\"", 0, "name=/tmp/a b\"|pid=5" },
	{ "small hex digits", DENIED "name=2f61 pid=5 comm=\"c\"", 0, "name=/a" },
	{ "newline in a name", DENIED "name=2F610A62 pid=5 comm=\"c\"", 0, "name=/a\\x0ab" },
	{ "escape sequence in a name", DENIED "name=2F1B5B324A pid=5 comm=\"c\"", 0,
	  "name=/\\x1b[2J" },
	{ "zero in a name", DENIED "name=2F610062 pid=5 comm=\"c\"", 0, "name=/a\\x00b" },
	{ "backslash cannot pretend to be an escape", DENIED "name=2F5C783161 pid=5 comm=\"c\"", 0,
	  "name=/\\x5cx1a" },
	{ "UTF-8 stays", DENIED "name=2FC3A4E282AC pid=5 comm=\"c\"", 0,
	  "name=/\xc3\xa4\xe2\x82\xac" },
	{ "broken UTF-8", DENIED "name=2FC328FF pid=5 comm=\"c\"", 0, "name=/\\xc3(\\xff" },
	{ "overlong UTF-8", DENIED "name=2FC0AF pid=5 comm=\"c\"", 0, "name=/\\xc0\\xaf" },
	{ "C1 control in UTF-8", DENIED "name=2FC29B pid=5 comm=\"c\"", 0, "name=/\\xc2\\x9b" },
	{ "delete", DENIED "name=2F7F pid=5 comm=\"c\"", 0, "name=/\\x7f" },
	{ "a process that calls itself fields",
	  DENIED "pid=5 comm=61206222207069643D31 requested_mask=\"r\"", 0,
	  "process=a b\" pid=1|pid=5" },
	{ "fields within a quoted name stay there", DENIED "name=\"/pid=1\" pid=5 comm=\"c\"", 0,
	  "name=/pid=1|pid=5" },
	{ "fields within hex stay there",
	  DENIED "name=2F22207069643D31207820226170706172 pid=5 comm=\"c\"", 0,
	  "name=/\" pid=1 x \"appar|pid=5" },

	/* ---- what the kernel does not write ---- */
	{ "empty", "", -ENOMSG, NULL },
	{ "no stamp", "apparmor=\"DENIED\" operation=\"open\"", -ENOMSG, NULL },
	{ "stamp without an end", "audit(1795487403.945:12", -ENOMSG, NULL },
	{ "stamp with a sign", "audit(-1.945:12): apparmor=\"DENIED\" operation=\"o\"", -ENOMSG, NULL },
	{ "thousand milliseconds", "audit(1.1000:12): apparmor=\"DENIED\" operation=\"o\"", -ENOMSG,
	  NULL },
	{ "huge time", "audit(99999999999999999999.1:1): apparmor=\"DENIED\"", -ENOMSG, NULL },
	{ "another module's line", STAMP "avc:  denied  { read } for  pid=5 comm=\"c\"", -ENOMSG,
	  NULL },
	{ "a system call's line", STAMP "arch=c000003e syscall=257 success=no", -ENOMSG, NULL },
	{ "apparmor is not the first", STAMP "pid=1 apparmor=\"DENIED\" operation=\"open\"", -ENOMSG,
	  NULL },
	{ "apparmor without quotes", STAMP "apparmor=DENIED operation=\"open\"", -EBADMSG, NULL },
	{ "no operation", STAMP "apparmor=\"DENIED\" pid=5 comm=\"c\"", -EBADMSG, NULL },
	{ "two profiles", DENIED "profile=\"q\" pid=5", -EBADMSG, NULL },
	{ "two pids", DENIED "pid=5 pid=6 comm=\"c\"", -EBADMSG, NULL },
	{ "two names, the second behind", DENIED "name=\"/a\" pid=5 comm=\"c\" name=\"/b\"", -EBADMSG,
	  NULL },
	{ "two uids", DENIED "fsuid=5 fsuid=6 ouid=0", -EBADMSG, NULL },
	{ "bare name that is no hex", DENIED "name=/etc/x pid=5", -EBADMSG, NULL },
	{ "odd hex", DENIED "name=2F6 pid=5", -EBADMSG, NULL },
	{ "pid that is none", DENIED "pid=5x comm=\"c\"", -EBADMSG, NULL },
	{ "pid below zero", DENIED "pid=-5 comm=\"c\"", -EBADMSG, NULL },
	{ "pid too large", DENIED "pid=4294967295 comm=\"c\"", -EBADMSG, NULL },
	{ "pid in quotes", DENIED "pid=\"5\" comm=\"c\"", -EBADMSG, NULL },
	{ "uid too large", DENIED "fsuid=4294967296 ouid=0", -EBADMSG, NULL },
	{ "error above zero", STAMP "apparmor=\"DENIED\" operation=\"o\" error=13 profile=\"p\"",
	  -EBADMSG, NULL },

	/* ---- cut by the kernel's log ---- */
	{ "cut in a quoted name", DENIED "name=\"/a/very/long", 0, "name=/a/very/long|pid=0" },
	{ "cut in hex, odd", DENIED "name=2F6162F", 0, "name=/ab" },
	{ "a cut pid is not believed", DENIED "name=\"/a\" pid=12", 0, "pid=0" },
	{ "a cut uid is not believed", DENIED "pid=12 comm=\"c\" fsuid=1000", 0, "pid=12|uid=none" },
	{ "cut after a key", DENIED "name=\"/a\" pid=", 0, "pid=0" },
};

static void expected_value(const struct line *line, const char *key, char *value, size_t size)
{
	static const char *const kinds[] = { "denied", "allowed", "other" };

	snprintf(value, size, "?");
	if (text_equal(key, "kind"))
		snprintf(value, size, "%s", kinds[line->kind]);
	else if (text_equal(key, "time"))
		snprintf(value, size, "%llu", (unsigned long long)line->time_ms);
	else if (text_equal(key, "serial"))
		snprintf(value, size, "%llu", (unsigned long long)line->serial);
	else if (text_equal(key, "pid"))
		snprintf(value, size, "%d", line->pid);
	else if (text_equal(key, "error"))
		snprintf(value, size, "%d", line->error);
	else if (text_equal(key, "uid") && line->has_uid)
		snprintf(value, size, "%u", line->uid);
	else if (text_equal(key, "uid"))
		snprintf(value, size, "none");
	else if (text_equal(key, "operation"))
		text_copy(value, size, line->operation);
	else if (text_equal(key, "profile"))
		text_copy(value, size, line->profile);
	else if (text_equal(key, "namespace"))
		text_copy(value, size, line->space);
	else if (text_equal(key, "name"))
		text_copy(value, size, line->name);
	else if (text_equal(key, "info"))
		text_copy(value, size, line->info);
	else if (text_equal(key, "requested"))
		text_copy(value, size, line->requested);
	else if (text_equal(key, "denied"))
		text_copy(value, size, line->denied);
	else if (text_equal(key, "process"))
		text_copy(value, size, line->process);
	for (size_t i = 0; i < line->detail_count; i++)
		if (text_equal(key, line->details[i].key))
			text_copy(value, size, line->details[i].value);
}

static void compare_fields(const char *name, const struct line *line, const char *expected)
{
	PH_AUTO_FREE char *copy = ph_strdup(expected);
	char value[LINE_NAME_SIZE];

	for (char *pair = strtok(copy, "|"); pair; pair = strtok(NULL, "|")) {
		char *equals = strchr(pair, '=');

		*equals = '\0';
		expected_value(line, pair, value, sizeof(value));
		if (strcmp(value, equals + 1) != 0)
			fail_msg("%s: %s is '%s', expected '%s'", name, pair, value, equals + 1);
	}
}

static void test_lines(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct line line;
		int code = line_parse(cases[i].text, strlen(cases[i].text), &line);

		if (code != cases[i].code)
			fail_msg("%s: %d, expected %d", cases[i].name, code, cases[i].code);
		if (code == 0)
			compare_fields(cases[i].name, &line, cases[i].expected);
	}
}

/* Every prefix of a line gives fewer fields or none, never others, and never reads beyond. */
static void test_prefixes(void **state)
{
	struct line whole;

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		size_t length = strlen(cases[i].text);

		if (line_parse(cases[i].text, length, &whole) < 0)
			continue;
		for (size_t cut = 0; cut < length; cut++) {
			PH_AUTO_FREE char *exact = ph_memdup(cases[i].text, cut + !cut);
			struct line line;

			if (line_parse(exact, cut, &line) < 0)
				continue;
			assert_true(line.pid == 0 || line.pid == whole.pid);
			assert_true(!line.has_uid || line.uid == whole.uid);
		}
	}
}

static void test_long_names(void **state)
{
	PH_AUTO_FREE char *text = ph_alloc(16384);
	struct line line;
	size_t length = (size_t)sprintf(text, DENIED "name=");

	for (size_t i = 0; i < 4000; i++)
		length += (size_t)sprintf(text + length, "%s", i % 2 ? "C3A4" : "2F");
	length += (size_t)sprintf(text + length, " pid=77 comm=\"c\"");
	assert_int_equal(line_parse(text, length, &line), 0);
	assert_int_equal(line.pid, 77);
	assert_true(strlen(line.name) < sizeof(line.name));
	assert_true(text_has_suffix(line.name, "\xe2\x80\xa6"));
	for (const char *at = line.name; *at; at += text_character(at))
		assert_true(text_character(at) > 0);
}

/* Any bytes at all: nothing but printable text comes out. */
static void test_noise(void **state)
{
	static const char *const words[] = { "apparmor=\"DENIED\" ", "operation=\"", "name=", "2F",
					     "\"", " ", "=", "pid=", "7", "comm=", "\x1b", "\n",
					     "fsuid=", "\xff", "profile=\"x\"" };
	unsigned int seed = 1;

	for (size_t round = 0; round < 20000; round++) {
		char text[400] = STAMP "apparmor=\"DENIED\" operation=\"o\" ";
		size_t length = strlen(text);
		struct line line;

		while (length < 300) {
			const char *word = words[(size_t)rand_r(&seed) % ARRAY_LENGTH(words)];

			length += (size_t)snprintf(text + length, sizeof(text) - length, "%s", word);
		}
		if (line_parse(text, length, &line) < 0)
			continue;
		for (const char *at = line.name; *at; at++)
			assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
		for (const char *at = line.process; *at; at++)
			assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
