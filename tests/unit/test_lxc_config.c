/*
 * The strict writer of LXC configurations: what a good model becomes, and that no hostile value of
 * any field becomes a line, a field or a path of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/lxc/settings.h"
#include "tests/support/cmocka.h"

static struct settings good_settings(void)
{
	return (struct settings){
		.name = "web1",
		.rootfs = "/var/lib/phoenix/containers/web1/rootfs",
		.agent_dir = "/run/phoenix/agents/web1",
		.data_dir = "/var/lib/phoenix/data/web1",
		.log_file = "/run/phoenix/log/web1.log",
		.seccomp = "/usr/share/phoenix/profiles/seccomp",
		.profile = "lxc-phoenix-v2",
		.bridge = "phxbr0",
		.slot = 7,
		.id_base = 165536,
		.id_count = 65536,
		.address = 0x0AD10014,
		.prefix_length = 16,
		.gateway = 0x0AD10001,
		.memory_bytes = UINT64_C(1) << 30,
		.cpu_percent = 250,
		.pids = 2000,
		.cgroup = { .is_unified = true, .memory = true, .cpu = true, .pids = true,
			    .devices = true },
	};
}

/* One row per key that has to be there, exactly so. */
static void test_lines(void **state)
{
	static const struct {
		const char *key;
		const char *values;
	} cases[] = {
		{ "lxc.uts.name", "web1" },
		{ "lxc.rootfs.path", "dir:/var/lib/phoenix/containers/web1/rootfs" },
		{ "lxc.idmap", "u 0 165536 65536\ng 0 165536 65536" },
		{ "lxc.apparmor.profile", "lxc-phoenix-v2" },
		{ "lxc.apparmor.allow_incomplete", "0" },
		{ "lxc.seccomp.profile", "/usr/share/phoenix/profiles/seccomp" },
		{ "lxc.mount.auto", "proc:mixed sys:mixed" },
		{ "lxc.mount.entry",
		  "/dev/fuse dev/fuse none bind,create=file,optional 0 0\n"
		  "/run/phoenix/agents/web1 dev/phoenix none "
		  "bind,ro,nosuid,nodev,noexec,create=dir 0 0\n"
		  "/var/lib/phoenix/data/web1 var/lib/docker none bind,create=dir 0 0" },
		{ "lxc.net.0.type", "veth" },
		{ "lxc.net.0.link", "phxbr0" },
		{ "lxc.net.0.veth.pair", "phxv7" },
		{ "lxc.net.0.name", "eth0" },
		{ "lxc.net.0.hwaddr", "02:50:0a:d1:00:14" },
		{ "lxc.net.0.ipv4.address", "10.209.0.20/16" },
		{ "lxc.net.0.ipv4.gateway", "10.209.0.1" },
		{ "lxc.cgroup2.memory.max", "1073741824" },
		{ "lxc.cgroup2.cpu.max", "250000 100000" },
		{ "lxc.cgroup2.pids.max", "2000" },
		{ "lxc.cgroup2.devices.deny", "a" },
		{ "lxc.cgroup.dir.container", "phoenix.payload.web1" },
		{ "lxc.cgroup.dir.monitor", "phoenix.monitor.web1" },
		{ "lxc.console.path", "none" },
		/* Never: an include brings what its distribution thinks, securityfs shows policy. */
		{ "lxc.include", NULL },
		{ "lxc.hook.start", NULL },
		{ "lxc.cgroup.memory.limit_in_bytes", NULL },
	};
	const struct settings settings = good_settings();
	struct settings_text text;

	assert_int_equal(settings_write(&settings, &text, NULL), 0);
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		PH_AUTO_FREE char *values = settings_text_values(&text, cases[i].key);

		if ((values == NULL) != (cases[i].values == NULL) ||
		    (values && strcmp(values, cases[i].values) != 0))
			fail_msg("%s is \"%s\"", cases[i].key, values ? values : "(none)");
	}
	settings_text_fini(&text);
}

static void be_version_1(struct settings *settings)
{
	settings->cgroup.is_unified = false;
}

static void be_unconfined(struct settings *settings)
{
	settings->profile = "";
}

static void be_stacked(struct settings *settings)
{
	settings->profile = "lxc-phoenix-v2-stacked";
	settings->policy_namespace = "phoenix-web1";
}

/* A namespace without a profile around it is never written: it would be no confinement. */
static void be_namespaced_only(struct settings *settings)
{
	be_stacked(settings);
	settings->profile = "";
}

static void be_without_files(struct settings *settings)
{
	settings->seccomp = "";
	settings->cgroup.devices = false;
}

static void be_with_mtu(struct settings *settings)
{
	settings->mtu = 1420;
}

/* A change to the model, and what one key becomes by it. */
static void test_variants(void **state)
{
	static const struct {
		void (*change)(struct settings *settings);
		const char *key;
		const char *value; /* NULL: not there */
	} cases[] = {
		{ be_version_1, "lxc.cgroup.memory.limit_in_bytes", "1073741824" },
		{ be_version_1, "lxc.cgroup.cpu.cfs_period_us", "100000" },
		{ be_version_1, "lxc.cgroup.cpu.cfs_quota_us", "250000" },
		{ be_version_1, "lxc.cgroup.pids.max", "2000" },
		{ be_version_1, "lxc.cgroup.devices.deny", "a" },
		{ be_version_1, "lxc.cgroup2.memory.max", NULL },
		{ be_version_1, "lxc.cgroup2.devices.deny", NULL },
		{ be_unconfined, "lxc.apparmor.profile", "unconfined" },
		{ be_stacked, "lxc.apparmor.profile",
		  "lxc-phoenix-v2-stacked//&:phoenix-web1:unconfined" },
		{ be_stacked, "lxc.mount.entry",
		  "/dev/fuse dev/fuse none bind,create=file,optional 0 0\n"
		  "/run/phoenix/agents/web1 dev/phoenix none bind,ro,nosuid,nodev,noexec,create=dir 0 "
		  "0\n"
		  "/sys/kernel/security sys/kernel/security none bind,create=dir 0 0\n"
		  "/var/lib/phoenix/data/web1 var/lib/docker none bind,create=dir 0 0" },
		{ be_namespaced_only, "lxc.apparmor.profile", "unconfined" },
		{ be_without_files, "lxc.seccomp.profile", NULL },
		{ be_without_files, "lxc.cgroup2.devices.allow", NULL },
		{ be_with_mtu, "lxc.net.0.mtu", "1420" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct settings settings = good_settings();
		PH_AUTO_FREE char *value = NULL;
		struct settings_text text;

		cases[i].change(&settings);
		assert_int_equal(settings_write(&settings, &text, NULL), 0);
		value = settings_text_values(&text, cases[i].key);
		settings_text_fini(&text);
		if ((value == NULL) != (cases[i].value == NULL) ||
		    (value && strcmp(value, cases[i].value) != 0))
			fail_msg("%zu: %s is \"%s\"", i, cases[i].key, value ? value : "(none)");
	}
}

/* Without a controller, and with 0, there is no limit line. */
static void test_no_limits(void **state)
{
	static const char *const keys[] = { "lxc.cgroup2.memory.max", "lxc.cgroup2.cpu.max",
					    "lxc.cgroup2.pids.max" };
	struct settings settings[2] = { good_settings(), good_settings() };

	settings[0].cgroup.memory = settings[0].cgroup.cpu = settings[0].cgroup.pids = false;
	settings[1].memory_bytes = settings[1].cpu_percent = settings[1].pids = 0;
	for (size_t i = 0; i < ARRAY_LENGTH(settings); i++) {
		struct settings_text text;

		assert_int_equal(settings_write(&settings[i], &text, NULL), 0);
		for (size_t k = 0; k < ARRAY_LENGTH(keys); k++)
			assert_null(settings_text_values(&text, keys[k]));
		settings_text_fini(&text);
	}
}

/* The texts that follow are tried in every text field; each is refused in each. */
static const char *const hostile_texts[] = {
	"x\nlxc.hook.start = /bin/sh",
	"x\rlxc.hook.start",
	"x y",
	"x\ty",
	"x#y",
	"x=y",
	"x;y",
	"x'y",
	"x\"y",
	"x\\040y",
	"x$y",
	"x`y`",
	"x,y",
	"x:y",
	"x*y",
	"x\x7fy",
	"x\xc3\xa4y",
	"\n",
	" ",
};

static const char *const hostile_paths[] = {
	"",
	"/",
	"relative/path",
	"./here",
	"/a/../etc",
	"/a/./b",
	"/a//b",
	"/a/",
	"/..",
	"/a/..",
	"/a b",
	"/a\nlxc.hook.start = /x",
	"/a,ro",
	"/a:b",
	"overlay:/a:/b",
};

struct field {
	const char *name;
	size_t offset;
	bool is_path;
	bool may_be_empty;
};

#define FIELD(member, is_path, may_be_empty)                                                       \
	{ #member, offsetof(struct settings, member), is_path, may_be_empty }

static const struct field fields[] = {
	FIELD(name, false, false),     FIELD(rootfs, true, false),  FIELD(agent_dir, true, false),
	FIELD(data_dir, true, false),  FIELD(log_file, true, false), FIELD(seccomp, true, true),
	FIELD(profile, false, true),   FIELD(bridge, false, false),
	FIELD(policy_namespace, false, true),
};

static void assert_refused(const struct settings *settings, const char *name, const char *value)
{
	struct ph_error error = { 0 };
	struct settings_text text;
	int code = settings_write(settings, &text, &error);

	if (code != -EINVAL || text.count != 0 || !error.where[0] || !error.why[0])
		fail_msg("%s \"%s\" gives %d with %zu lines", name, value, code, text.count);
	for (const char *byte = error.why; *byte; byte++)
		assert_true((unsigned char)*byte >= 0x20);
}

static void try_text(const struct field *field, const char *value)
{
	struct settings settings = good_settings();

	*(const char **)((char *)&settings + field->offset) = value;
	assert_refused(&settings, field->name, value ? value : "(null)");
}

static void test_hostile_texts(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
		for (size_t k = 0; k < ARRAY_LENGTH(hostile_texts); k++) {
			PH_AUTO_FREE char *path = ph_format("/a/%s", hostile_texts[k]);

			try_text(&fields[i], fields[i].is_path ? path : hostile_texts[k]);
		}
		if (!fields[i].may_be_empty) {
			try_text(&fields[i], "");
			try_text(&fields[i], NULL);
		}
	}
}

static void test_hostile_paths(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
		for (size_t k = 0; fields[i].is_path && k < ARRAY_LENGTH(hostile_paths); k++)
			if (hostile_paths[k][0] || !fields[i].may_be_empty)
				try_text(&fields[i], hostile_paths[k]);
}

static void test_long_texts(void **state)
{
	char longer[2048];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
		longer[0] = fields[i].is_path ? '/' : 'a';
		try_text(&fields[i], longer);
	}
}

static void test_names(void **state)
{
	static const char *const names[] = { "..", "../x", "a/b", "A", "-a", "a.b", "a_b" };

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		try_text(&fields[0], names[i]);
	try_text(&fields[6], "unconfined");
}

static void test_numbers(void **state)
{
	struct settings settings;
	static const struct {
		const char *name;
		uint32_t id_base, id_count, slot, prefix_length, mtu;
	} cases[] = {
		{ "host root", 0, 65536, 0, 16, 0 },
		{ "below the first range", 65535, 65536, 0, 16, 0 },
		{ "too few ids", 100000, 65535, 0, 16, 0 },
		{ "no ids", 100000, 0, 0, 16, 0 },
		{ "beyond the last id", 4294901760U, 65536, 0, 16, 0 },
		{ "wraps around", 4294967295U, 4294967295U, 0, 16, 0 },
		{ "slot", 100000, 65536, 4096, 16, 0 },
		{ "prefix too short", 100000, 65536, 0, 7, 0 },
		{ "prefix too long", 100000, 65536, 0, 30, 0 },
		{ "mtu too small", 100000, 65536, 0, 16, 100 },
		{ "mtu too large", 100000, 65536, 0, 16, 65536 },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		settings = good_settings();
		settings.id_base = cases[i].id_base;
		settings.id_count = cases[i].id_count;
		settings.slot = cases[i].slot;
		settings.prefix_length = cases[i].prefix_length;
		settings.mtu = cases[i].mtu;
		assert_refused(&settings, cases[i].name, "");
	}
}

/* The file has one line per value and a comment: nothing can have become another line. */
static void test_format(void **state)
{
	const struct settings settings = good_settings();
	PH_AUTO_STR struct str contents = STR_INIT;
	struct settings_text text;
	size_t newlines = 0;

	assert_int_equal(settings_write(&settings, &text, NULL), 0);
	settings_text_format(&text, &contents);
	for (const char *byte = str_text(&contents); *byte; byte++)
		newlines += *byte == '\n';
	assert_int_equal(newlines, text.count + 1);
	assert_non_null(strstr(str_text(&contents), "\nlxc.uts.name = web1\n"));
	settings_text_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	      cmocka_unit_test(test_variants),
		cmocka_unit_test(test_no_limits),     cmocka_unit_test(test_hostile_texts),
		cmocka_unit_test(test_hostile_paths), cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_names),	      cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
