/*
 * What the host's own lists say: modules by their four texts, quotas of keys by theirs, and the facts
 * gathered from a procfs made for the purpose.
 */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/host/preflight/gather.h"
#include "controller/host/preflight/modules.h"

#define TYPES "nodev\tsysfs\nnodev\toverlay\n\text4\n"
#define LOADED "overlay 147456 1 - Live 0x0\nnf_tables 1 0 - Live 0x0\n"
#define BUILTIN "kernel/fs/fuse/fuse.ko\nkernel/net/bridge/bridge.ko\n"
#define DEPENDENCIES                                                                               \
	"kernel/drivers/net/veth.ko:\nkernel/net/netfilter/xt_nat.ko.xz: kernel/net/x/nf_nat.ko.xz\n" \
	"kernel/net/bridge/br-netfilter.ko.zst: kernel/net/bridge/bridge.ko.zst\n"

static const struct {
	const char *title;
	struct modules_texts texts;
	const char *name, *filesystem;
	enum modules_state state;
} modules[] = {
	{ "a type of file system", { TYPES, NULL, NULL, NULL }, "overlay", "overlay", MODULES_READY },
	{ "its beginning", { TYPES, NULL, NULL, NULL }, "over", "over", MODULES_ABSENT },
	{ "the last type, without newline", { "\text4", "", NULL, NULL }, "x", "ext4", MODULES_READY },
	{ "a missing type, no modules at all", { TYPES, NULL, NULL, NULL }, "fuse", "fuse", MODULES_ABSENT },
	{ "a missing type that may come", { TYPES, LOADED, NULL, NULL }, "fuse", "fuse", MODULES_UNKNOWN },
	{ "loaded", { TYPES, LOADED, NULL, NULL }, "nf_tables", NULL, MODULES_READY },
	{ "named otherwise", { TYPES, LOADED, NULL, NULL }, "nf-tables", NULL, MODULES_READY },
	{ "a part of a name", { TYPES, LOADED, BUILTIN, DEPENDENCIES }, "nf", NULL, MODULES_ABSENT },
	{ "built in", { TYPES, LOADED, BUILTIN, DEPENDENCIES }, "bridge", NULL, MODULES_READY },
	{ "to be loaded", { TYPES, LOADED, BUILTIN, DEPENDENCIES }, "veth", NULL, MODULES_LOADABLE },
	{ "compressed, with a dash", { TYPES, LOADED, BUILTIN, DEPENDENCIES }, "br_netfilter", NULL,
	  MODULES_LOADABLE },
	{ "only a dependency", { TYPES, LOADED, BUILTIN, DEPENDENCIES }, "nf_nat", NULL, MODULES_ABSENT },
	{ "a kernel that loads nothing", { TYPES, NULL, BUILTIN, DEPENDENCIES }, "veth", NULL,
	  MODULES_UNKNOWN },
	{ "no lists", { NULL, NULL, NULL, NULL }, "veth", "veth", MODULES_UNKNOWN },
	{ "empty lists", { "", "", "", "" }, "veth", NULL, MODULES_ABSENT },
	{ "lines without end", { "x", ":", "/.ko", "a" }, "veth", "veth", MODULES_ABSENT },
};

static void module_lists(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(modules); i++) {
		enum modules_state found = modules_judge(&modules[i].texts, modules[i].name,
							 modules[i].filesystem);

		if (found != modules[i].state)
			fail_msg("%s: %d instead of %d", modules[i].title, found, modules[i].state);
	}
}

static void key_users(void **state)
{
	static const struct keys_range ranges[] = { { 100000, 65536 }, { 300000, 65536 } };
	struct keys_user users[KEYS_USERS_MAXIMUM];
	size_t count;

	count = keys_parse("    0:     9 8/8 3/1000000 40/25000000\n"
			   "99999:     4 4/4 199/200 19/20000\n"
			   "100000:    4 4/4 3/200 19000/20000\n"
			   "senseless: 4 4/4\n"
			   "165535:    4 4/4 100/200 20/20000\n"
			   "165536:    4 4/4 199/200 20/20000\n"
			   "300001:    4 4/4 200/200 20/20000\n",
			   ranges, ARRAY_LENGTH(ranges), users);
	assert_int_equal(count, 3);
	assert_int_equal(users[0].uid, 300001); /* by its keys */
	assert_int_equal(users[1].uid, 100000); /* by its bytes */
	assert_int_equal(users[2].uid, 165535);
	assert_int_equal(users[1].keys, 3);
	assert_int_equal(users[1].keys_maximum, 200);
	assert_int_equal(users[1].bytes, 19000);
	assert_int_equal(users[1].bytes_maximum, 20000);
	assert_int_equal(keys_parse(NULL, ranges, 1, users), 0);
	assert_int_equal(keys_parse("100000: 4 4/4 3/200 40/20000\n", NULL, 0, users), 0);
}

/* Of many users those nearest to their quota are kept. */
static void many_key_users(void **state)
{
	static const struct keys_range range = { 100000, 65536 };
	struct keys_user users[KEYS_USERS_MAXIMUM];
	PH_AUTO_STR struct str text = STR_INIT;

	for (unsigned int i = 0; i < 1000; i++)
		str_appendf(&text, "%u: 1 1/1 %u/2000 1/20000\n", 100000 + i, (i * 7) % 1000);
	assert_int_equal(keys_parse(str_text(&text), &range, 1, users), KEYS_USERS_MAXIMUM);
	for (unsigned int i = 0; i < KEYS_USERS_MAXIMUM; i++)
		assert_int_equal(users[i].keys, 999 - i);
}

static void write_below(const char *directory, const char *name, const char *text)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", directory, name);
	PH_AUTO_FREE char *command = ph_format("mkdir -p $(dirname %s)", path);
	PH_AUTO_FILE FILE *file = NULL;

	assert_int_equal(system(command), 0);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static const Phoenix__HostModule *find_module(const Phoenix__HostPreflightReply *reply,
					      const char *name)
{
	for (size_t i = 0; i < reply->n_modules; i++)
		if (text_equal(reply->modules[i]->name, name))
			return reply->modules[i];
	fail_msg("%s was not looked for", name);
	return NULL;
}

static void gathered(void **state)
{
	static const struct keys_range range = { 100000, 65536 };
	char directory[] = "/tmp/phoenix-preflight.XXXXXX";
	const struct preflight_places places = { directory, directory, "6.1.0-test" };
	PH_AUTO_FREE char *cleanup = NULL;
	Phoenix__HostPreflightReply *reply = ph_alloc(sizeof(*reply));

	assert_non_null(mkdtemp(directory));
	write_below(directory, "filesystems", TYPES);
	write_below(directory, "modules", LOADED);
	write_below(directory, "6.1.0-test/modules.builtin", BUILTIN);
	write_below(directory, "6.1.0-test/modules.dep", DEPENDENCIES);
	write_below(directory, "sys/kernel/modules_disabled", "1\n");
	write_below(directory, "sys/user/max_user_namespaces", "0\n");
	write_below(directory, "sys/fs/inotify/max_user_instances", "128\n");
	write_below(directory, "key-users", "100007: 4 4/4 200/200 40/20000\n");
	phoenix__host_preflight_reply__init(reply);
	preflight_gather(&places, &range, 1, reply);
	cleanup = ph_format("rm -rf %s", directory);
	assert_int_equal(system(cleanup), 0);

	assert_string_equal(reply->kernel, "6.1.0-test");
	assert_true(reply->modules_locked);
	assert_int_equal(find_module(reply, "overlay")->state, PHOENIX__HOST_MODULE__STATE__READY);
	assert_int_equal(find_module(reply, "fuse")->state, PHOENIX__HOST_MODULE__STATE__READY);
	assert_int_equal(find_module(reply, "veth")->state, PHOENIX__HOST_MODULE__STATE__LOADABLE);
	assert_int_equal(find_module(reply, "ip_tables")->state, PHOENIX__HOST_MODULE__STATE__ABSENT);
	assert_int_equal(reply->n_sysctls, 2);
	assert_string_equal(reply->sysctls[0]->key, "user/max_user_namespaces");
	assert_string_equal(reply->sysctls[0]->value, "0");
	assert_string_equal(reply->sysctls[1]->key, "fs/inotify/max_user_instances");
	assert_string_equal(reply->sysctls[1]->value, "128");
	assert_int_equal(reply->n_key_users, 1);
	assert_int_equal(reply->key_users[0]->uid, 100007);
	message_free(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(module_lists),
		cmocka_unit_test(key_users),
		cmocka_unit_test(many_key_users),
		cmocka_unit_test(gathered),
	};

	return cmocka_run_group_tests_name("host_preflight", tests, NULL, NULL);
}
