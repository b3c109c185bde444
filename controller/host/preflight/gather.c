/* The host's own files, each read whole and bounded: nothing here comes from a request or a container. */
#include "controller/host/preflight/gather.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/host/preflight/modules.h"

#define TEXT_MAXIMUM (4 * 1024 * 1024)
#define VALUE_MAXIMUM 64

/* What is looked for: the last ones by what Docker's rules are made of. */
static const struct {
	const char *name;
	const char *filesystem;
} parts[] = {
	{ "overlay", "overlay" }, { "fuse", "fuse" },	   { "veth", NULL },
	{ "bridge", NULL },	  { "br_netfilter", NULL }, { "nf_tables", NULL },
	{ "ip_tables", NULL },	  { "nf_nat", NULL },	   { "xt_addrtype", NULL },
	{ "xt_conntrack", NULL }, { "xt_MASQUERADE", NULL },
};

static const char *const sysctls[] = {
	"net/bridge/bridge-nf-call-iptables",
	"user/max_user_namespaces",
	"kernel/unprivileged_userns_clone",
	"kernel/apparmor_restrict_unprivileged_userns",
	"kernel/keys/maxkeys",
	"kernel/keys/maxbytes",
	"fs/inotify/max_user_instances",
};

/* The whole of a file; NULL when it is not there or longer than TEXT_MAXIMUM. */
static char *read_text(const char *path)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	PH_AUTO_STR struct str text = STR_INIT;
	char buffer[16384];
	ssize_t got = 1;

	while (fd >= 0 && got > 0 && text.length < TEXT_MAXIMUM) {
		got = read(fd, buffer, sizeof(buffer));
		if (got > 0)
			str_append_bytes(&text, buffer, (size_t)got);
		else if (got < 0 && errno == EINTR)
			got = 1;
	}
	return fd < 0 || got != 0 ? NULL : str_take(&text);
}

static char *read_below(const char *directory, const char *name)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", directory, name);

	return read_text(path);
}

static void add_sysctls(const char *proc, Phoenix__HostPreflightReply *reply)
{
	reply->sysctls = ph_alloc(ARRAY_LENGTH(sysctls) * sizeof(*reply->sysctls));
	for (size_t i = 0; i < ARRAY_LENGTH(sysctls); i++) {
		PH_AUTO_FREE char *name = ph_format("sys/%s", sysctls[i]);
		PH_AUTO_FREE char *value = read_below(proc, name);
		Phoenix__Pair *pair;

		if (!value)
			continue;
		value[strcspn(value, "\n")] = '\0';
		if (strlen(value) > VALUE_MAXIMUM)
			continue;
		pair = ph_alloc(sizeof(*pair));
		phoenix__pair__init(pair);
		message_set_text(&pair->key, sysctls[i]);
		message_set_text(&pair->value, value);
		reply->sysctls[reply->n_sysctls++] = pair;
	}
}

static Phoenix__HostModule__State state_of(enum modules_state state)
{
	static const Phoenix__HostModule__State states[] = {
		[MODULES_UNKNOWN] = PHOENIX__HOST_MODULE__STATE__UNKNOWN,
		[MODULES_READY] = PHOENIX__HOST_MODULE__STATE__READY,
		[MODULES_LOADABLE] = PHOENIX__HOST_MODULE__STATE__LOADABLE,
		[MODULES_ABSENT] = PHOENIX__HOST_MODULE__STATE__ABSENT,
	};

	return states[state];
}

static void add_modules(const struct modules_texts *texts, Phoenix__HostPreflightReply *reply)
{
	reply->modules = ph_alloc(ARRAY_LENGTH(parts) * sizeof(*reply->modules));
	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
		Phoenix__HostModule *module = ph_alloc(sizeof(*module));

		phoenix__host_module__init(module);
		message_set_text(&module->name, parts[i].name);
		module->state = state_of(modules_judge(texts, parts[i].name, parts[i].filesystem));
		reply->modules[reply->n_modules++] = module;
	}
}

static void find_modules(const char *proc, const char *directory,
			 Phoenix__HostPreflightReply *reply)
{
	PH_AUTO_FREE char *filesystems = read_below(proc, "filesystems");
	PH_AUTO_FREE char *loaded = read_below(proc, "modules");
	PH_AUTO_FREE char *builtin = read_below(directory, "modules.builtin");
	PH_AUTO_FREE char *dependencies = read_below(directory, "modules.dep");
	PH_AUTO_FREE char *locked = read_below(proc, "sys/kernel/modules_disabled");
	const struct modules_texts texts = { filesystems, loaded, builtin, dependencies };

	add_modules(&texts, reply);
	reply->modules_locked = locked && locked[0] == '1';
}

static void add_keys(const char *proc, const struct keys_range *ranges, size_t range_count,
		     Phoenix__HostPreflightReply *reply)
{
	PH_AUTO_FREE char *text = read_below(proc, "key-users");
	struct keys_user users[KEYS_USERS_MAXIMUM];
	size_t count = keys_parse(text, ranges, range_count, users);

	reply->key_users = ph_alloc((count + 1) * sizeof(*reply->key_users));
	for (size_t i = 0; i < count; i++) {
		Phoenix__HostKeyUser *user = ph_alloc(sizeof(*user));

		phoenix__host_key_user__init(user);
		user->uid = users[i].uid;
		user->keys = users[i].keys;
		user->keys_maximum = users[i].keys_maximum;
		user->bytes = users[i].bytes;
		user->bytes_maximum = users[i].bytes_maximum;
		reply->key_users[reply->n_key_users++] = user;
	}
}

void preflight_gather(const struct preflight_places *places, const struct keys_range *ranges,
		      size_t range_count, Phoenix__HostPreflightReply *reply)
{
	const char *proc = places && places->proc ? places->proc : "/proc";
	const char *modules = places && places->modules ? places->modules : "/lib/modules";
	PH_AUTO_FREE char *directory = NULL;
	struct utsname names;

	uname(&names);
	message_set_text(&reply->kernel,
			 places && places->release ? places->release : names.release);
	directory = ph_format("%s/%s", modules, reply->kernel);
	find_modules(proc, directory, reply);
	add_sysctls(proc, reply);
	add_keys(proc, ranges, range_count, reply);
}
