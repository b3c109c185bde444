/* The configuration file: defaults, every key, and what is refused. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/support/scratch.h"

/* Accounts that every system has. */
#define ACCOUNTS "user: nobody\ngroup: daemon\n"

struct refusal_case {
	const char *name;
	const char *text;  /* behind ACCOUNTS, which is two lines */
	const char *where; /* LINE:COLUMN */
	const char *why;   /* part of it */
};

static const struct refusal_case refusal_cases[] = {
	{ "unknown key", "run_dri: /run\n", "3:1",
	  "key 'run_dri' is not known here; did you mean 'run_dir'?" },
	{ "unknown key below", "network: {brigde: x}\n", "3:11", "did you mean 'bridge'?" },
	{ "not YAML", "network: [\n", "4:1", "this is not YAML" },
	{ "relative directory", "state_dir: phoenix\n", "3:12", "must be an absolute path" },
	{ "relative agent", "agent: bin/phoenix-agent\n", "3:8", "must be an absolute path" },
	{ "relative profiles", "profiles_dir: ../profiles\n", "3:15", "an absolute path" },
	{ "run_dir of 26 bytes", "run_dir: /run/phoenix/abcdefghijklm\n", "3:10",
	  "longer than 25 bytes" },
	{ "run_dir of a kilometre",
	  "run_dir: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	  "3:10", "longer than 95 bytes" },
	{ "bridge of 16 bytes", "network: {bridge: abcdefghijklmnop}\n", "3:19", "longer than 15" },
	{ "bridge with a slash", "network: {bridge: a/b}\n", "3:19", "not a name for an" },
	{ "bridge as an option", "network: {bridge: -a}\n", "3:19", "not a name for an interface" },
	{ "subnet with host bits", "network: {subnet: 10.0.0.1/8}\n", "3:19", "within its" },
	{ "dns as a word", "network: {dns: off}\n", "3:16", "true or false" },
	{ "network as a word", "network: none\n", "3:10", "must be a map" },
	{ "vsock over Unix", "vsock: unix:/run/x\n", "3:8", "no vsock address" },
	{ "vsock without a port", "vsock: vsock:1\n", "3:8", "a context id and a port" },
	{ "vsock on any port", "vsock: vsock:1:0\n", "3:8", "that agents can dial" },
	{ "vsock in any context", "vsock: vsock:4294967295:1022\n", "3:8", "that agents can dial" },
	{ "vsock as a number", "vsock: vsock:one:1022\n", "3:8", "decimal numbers" },
	{ "log level", "log_level: verbose\n", "3:12", "cannot be 'verbose'" },
	{ "key twice", "user: root\n", "3:1", "key 'user' was given before, in line 1" },
	{ "a list", "- a\n", "3:1", "this is not YAML" },
};

struct account_case {
	const char *name;
	const char *text;
	const char *where; /* NULL: accepted */
	const char *why;
};

static const struct account_case account_cases[] = {
	{ "names", "user: nobody\ngroup: daemon\n", NULL, NULL },
	{ "numbers", "user: 65534\ngroup: 4711\n", NULL, NULL },
	{ "no such user", "group: daemon\nuser: phoenix-nobody\n", "2:7",
	  "there is no user 'phoenix-nobody'" },
	{ "a number without an account", "group: daemon\nuser: 3999999999\n", NULL, NULL },
	{ "the id that means none", "group: daemon\nuser: 4294967295\n", "2:7", "there is no" },
	{ "no such group", "user: nobody\ngroup: phoenix-nobody\n", "2:8",
	  "there is no group 'phoenix-nobody'" },
};

static int load(struct scratch *scratch, const char *text, struct config *ret_config,
		struct ph_error *error)
{
	error_clear(error);
	return config_load(scratch_write(scratch, "phoenix.yaml", text, strlen(text)), true,
			   ret_config, error);
}

static int setup(void **state)
{
	struct scratch *scratch = ph_alloc(sizeof(*scratch));

	umask(022);
	scratch_init(scratch);
	*state = scratch;
	return 0;
}

static int teardown(void **state)
{
	scratch_fini(*state);
	free(*state);
	return 0;
}

static void assert_refused(struct scratch *scratch, const char *text, const char *where,
			   const char *why)
{
	struct config config, before;
	struct ph_error error;
	char expected[400];

	memset(&config, 0x5a, sizeof(config));
	memcpy(&before, &config, sizeof(config));
	assert_int_equal(load(scratch, text, &config, &error), -EINVAL);
	assert_memory_equal(&config, &before, sizeof(config));
	snprintf(expected, sizeof(expected), "%s:%s", scratch->file, where);
	assert_string_equal(error.where, expected);
	assert_string_equal(error.what, "read the configuration");
	if (!strstr(error.why, why))
		fail_msg("\"%s\" is not in \"%s\"", why, error.why);
}

static void refusals_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(refusal_cases); i++) {
		const struct refusal_case *row = &refusal_cases[i];
		PH_AUTO_FREE char *text = ph_format(ACCOUNTS "%s", row->text);

		print_message("# %s\n", row->name);
		assert_refused(*state, text, row->where, row->why);
	}
}

static void accounts_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(account_cases); i++) {
		const struct account_case *row = &account_cases[i];
		struct config config;
		struct ph_error error;

		print_message("# %s\n", row->name);
		if (row->where)
			assert_refused(*state, row->text, row->where, row->why);
		else
			assert_int_equal(load(*state, row->text, &config, &error), 0);
	}
}

static void defaults_are_those_of_the_documentation(void **state)
{
	struct config config;
	struct ph_error error;

	assert_int_equal(load(*state, ACCOUNTS, &config, &error), 0);
	assert_string_equal(config.user, "nobody");
	assert_int_equal(config.uid, getpwnam("nobody")->pw_uid);
	assert_int_equal(config.gid, getpwnam("nobody")->pw_gid);
	assert_int_equal(config.control_gid, getgrnam("daemon")->gr_gid);
	assert_string_equal(config.run_dir, "/run/phoenix");
	assert_string_equal(config.state_dir, "/var/lib/phoenix");
	assert_string_equal(config.agent, "/usr/lib/phoenix/phoenix-agent");
	assert_string_equal(config.profiles_dir, "/usr/share/phoenix/profiles");
	assert_string_equal(config.bridge, "phxbr0");
	assert_int_equal(config.subnet, 0x0ad10000);
	assert_int_equal(config.prefix_length, 16);
	assert_true(config.dns);
	assert_int_equal(config.log_level, LOG_LEVEL_INFO);
}

static void every_key_counts(void **state)
{
	struct config config;
	struct ph_error error;
	static const char text[] =
		"user: 65534\ngroup: 4711\nrun_dir: /r\nstate_dir: /s\nagent: /a/b\n"
		"profiles_dir: /p\nnetwork: {bridge: br-1, subnet: 192.168.4.0/22, dns: false}\n"
		"log_level: debug\n";

	assert_int_equal(load(*state, text, &config, &error), 0);
	assert_int_equal(config.uid, 65534);
	assert_int_equal(config.control_gid, 4711);
	assert_string_equal(config.run_dir, "/r");
	assert_string_equal(config.state_dir, "/s");
	assert_string_equal(config.agent, "/a/b");
	assert_string_equal(config.profiles_dir, "/p");
	assert_string_equal(config.bridge, "br-1");
	assert_int_equal(config.subnet, 0xc0a80400);
	assert_int_equal(config.prefix_length, 22);
	assert_false(config.dns);
	assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
}

static void longest_socket_path_fits(void **state)
{
	struct config config;
	struct ph_error error;
	char path[200];

	assert_int_equal(load(*state, ACCOUNTS "run_dir: /run/phoenix/abcdefghijkl\n", &config,
			      &error),
			 0);
	snprintf(path, sizeof(path), "%s/agents/%063d/agent.sock", config.run_dir, 0);
	assert_int_equal(strlen(path), 107); /* and its end: sun_path's 108 */
}

/* The shipped example says what the defaults are: with it nothing changes. */
static void example_is_the_defaults(void **state)
{
	struct scratch *scratch = *state;
	struct config example, defaults;
	struct ph_error error;
	PH_AUTO_STR struct str text = STR_INIT;
	FILE *file = fopen(PH_SOURCE_DIR "/examples/phoenix.yaml", "r");
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (text_has_prefix(line, "user:"))
			strcpy(line, "user: nobody\n");
		if (text_has_prefix(line, "group:"))
			strcpy(line, "group: daemon\n");
		str_append(&text, line);
	}
	fclose(file);
	memset(&example, 0, sizeof(example));
	memset(&defaults, 0, sizeof(defaults));
	if (load(scratch, str_text(&text), &example, &error) < 0)
		fail_msg("%s: %s", error.where, error.why);
	assert_int_equal(load(scratch, ACCOUNTS, &defaults, &error), 0);
	assert_string_equal(example.run_dir, defaults.run_dir);
	assert_string_equal(example.state_dir, defaults.state_dir);
	assert_string_equal(example.agent, defaults.agent);
	assert_string_equal(example.profiles_dir, defaults.profiles_dir);
	assert_string_equal(example.bridge, defaults.bridge);
	assert_int_equal(example.subnet, defaults.subnet);
	assert_int_equal(example.prefix_length, defaults.prefix_length);
	assert_int_equal(example.dns, defaults.dns);
	assert_int_equal(example.log_level, defaults.log_level);
}

static void a_missing_file_may_be_allowed(void **state)
{
	struct scratch *scratch = *state;
	const char *path = scratch_file(scratch, "none.yaml");
	struct config config;
	struct ph_error error;
	int ret = config_load(path, false, &config, &error);

	if (getpwnam("phoenix") && getgrnam("phoenix")) {
		assert_int_equal(ret, 0);
		assert_string_equal(config.run_dir, "/run/phoenix");
	} else {
		assert_int_equal(ret, -EINVAL);
		assert_string_equal(error.where, path);
		assert_non_null(strstr(error.why, "'phoenix' (the default)"));
		assert_true(error.remedy[0]);
	}
	assert_int_equal(config_load(path, true, &config, &error), -ENOENT);
	assert_non_null(strstr(error.why, "No such file"));
}

static void an_empty_file_is_the_defaults(void **state)
{
	struct config config;
	struct ph_error error;
	int ret = load(*state, "# nothing\n", &config, &error);

	if (ret < 0) /* no account phoenix here: nothing else may be wrong */
		assert_non_null(strstr(error.why, "(the default)"));
	else
		assert_string_equal(config.bridge, "phxbr0");
}

static void a_file_that_others_can_write_is_refused(void **state)
{
	struct scratch *scratch = *state;
	struct config config;
	struct ph_error error;

	scratch_write(scratch, "phoenix.yaml", ACCOUNTS, strlen(ACCOUNTS));
	assert_int_equal(chmod(scratch->file, 0664), 0);
	assert_int_equal(config_load(scratch->file, true, &config, &error), -EPERM);
	assert_non_null(strstr(error.remedy, "chmod go-w"));
	assert_int_equal(chmod(scratch->file, 0646), 0);
	assert_int_equal(config_load(scratch->file, true, &config, &error), -EPERM);
	assert_int_equal(chmod(scratch->file, 0640), 0);
	assert_int_equal(config_load(scratch->file, true, &config, &error), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(scratch->file, 65534, 0), 0);
		assert_int_equal(config_load(scratch->file, true, &config, &error), -EPERM);
		assert_non_null(strstr(error.remedy, "chown root"));
	}
}

static void other_files_are_refused(void **state)
{
	struct scratch *scratch = *state;
	struct config config;
	struct ph_error error;

	assert_int_equal(config_load(scratch->path, true, &config, &error), -EINVAL);
	assert_non_null(strstr(error.why, "not a regular file"));
	assert_int_equal(mkfifo(scratch_file(scratch, "fifo"), 0600), 0);
	assert_int_equal(config_load(scratch->file, true, &config, &error), -EINVAL);
}

#define CONFIG_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(refusals_follow_the_table),
		CONFIG_TEST(accounts_follow_the_table),
		CONFIG_TEST(defaults_are_those_of_the_documentation),
		CONFIG_TEST(every_key_counts),
		CONFIG_TEST(longest_socket_path_fits),
		CONFIG_TEST(example_is_the_defaults),
		CONFIG_TEST(a_missing_file_may_be_allowed),
		CONFIG_TEST(an_empty_file_is_the_defaults),
		CONFIG_TEST(a_file_that_others_can_write_is_refused),
		CONFIG_TEST(other_files_are_refused),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
