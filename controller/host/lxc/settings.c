/*
 * The checks come first and cover every field, then the lines are written in the order of a
 * container's start: identity, ids, confinement, file system, network, limits. Nothing is included
 * from the system's own LXC configuration: what a container gets is what stands here, on every
 * distribution and version.
 */
#include "controller/host/lxc/settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define PATH_MAXIMUM 400
#define CPU_PERIOD_US 100000
#define SLOT_MAXIMUM 4095
#define ID_MAXIMUM UINT32_C(4294967294)

struct text_field {
	const char *name;
	const char *text;
	const char *allowed;
	size_t maximum;
	bool is_path;
	bool may_be_empty;
};

static const char *const devices[] = {
	/* mknod is refused by the user namespace anyway; these are what /dev is bound from. */
	"c *:* m",
	"b *:* m",
	"c 1:3 rwm",   /* null */
	"c 1:5 rwm",   /* zero */
	"c 1:7 rwm",   /* full */
	"c 1:8 rwm",   /* random */
	"c 1:9 rwm",   /* urandom */
	"c 5:0 rwm",   /* tty */
	"c 5:1 rwm",   /* console */
	"c 5:2 rwm",   /* ptmx */
	"c 136:* rwm", /* pts */
	"c 10:229 rwm", /* fuse */
};

static bool path_is_plain(const char *path)
{
	if (path[0] != '/' || path[1] == '\0' || text_has_suffix(path, "/"))
		return false;
	if (strstr(path, "//") || strstr(path, "/../") || strstr(path, "/./"))
		return false;
	return !text_has_suffix(path, "/..") && !text_has_suffix(path, "/.");
}

static int check_text(const struct text_field *field, struct ph_error *error)
{
	const char *text = field->text ? field->text : "";
	size_t length = strnlen(text, field->maximum + 1);

	if (length == 0 && field->may_be_empty)
		return 0;
	if (length == 0 || length > field->maximum)
		return error_set(error, -EINVAL, field->name, NULL,
				 "the %s has to be 1 to %zu bytes long", field->name,
				 field->maximum);
	if (strspn(text, field->allowed) != length)
		return error_set(error, -EINVAL, field->name, NULL,
				 "the %s \"%s\" has a byte that is not allowed in it", field->name,
				 text);
	if (field->is_path && !path_is_plain(text))
		return error_set(error, -EINVAL, field->name, NULL,
				 "the %s \"%s\" is not a plain absolute path", field->name, text);
	return 0;
}

static int check_texts(const struct settings *settings, struct ph_error *error)
{
	static const char path_bytes[] = LETTERS DIGITS "/._-+@";
	static const char word_bytes[] = LETTERS DIGITS "._-";
	const struct text_field fields[] = {
		{ "rootfs", settings->rootfs, path_bytes, PATH_MAXIMUM, true, false },
		{ "agent directory", settings->agent_dir, path_bytes, PATH_MAXIMUM, true, false },
		{ "data directory", settings->data_dir, path_bytes, PATH_MAXIMUM, true, false },
		{ "bundles directory", settings->bundles_dir ?: "", path_bytes, PATH_MAXIMUM, true,
		  true },
		{ "log file", settings->log_file, path_bytes, PATH_MAXIMUM, true, false },
		{ "seccomp policy", settings->seccomp, path_bytes, PATH_MAXIMUM, true, true },
		{ "AppArmor profile", settings->profile, word_bytes, 63, false, true },
		{ "AppArmor namespace", settings->policy_namespace ?: "", word_bytes, 79, false, true },
		{ "bridge", settings->bridge, word_bytes, 15, false, false },
	};

	if (!settings->name || !name_is_valid(settings->name))
		return error_set(error, -EINVAL, "name", NULL, "this is no container name");
	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
		int code = check_text(&fields[i], error);

		if (code < 0)
			return code;
	}
	return 0;
}

static int check_numbers(const struct settings *settings, struct ph_error *error)
{
	uint64_t last_id = (uint64_t)settings->id_base + settings->id_count;

	if (text_equal(settings->profile, "unconfined"))
		return error_set(error, -EINVAL, "AppArmor profile", NULL,
				 "\"unconfined\" is not a profile");
	if (settings->id_base < 65536 || settings->id_count < 65536 || last_id > ID_MAXIMUM)
		return error_set(error, -EINVAL, "id range", NULL,
				 "%u ids from %u are no range for a container", settings->id_count,
				 settings->id_base);
	if (settings->slot > SLOT_MAXIMUM)
		return error_set(error, -EINVAL, "slot", NULL, "slot %u is above %d",
				 settings->slot, SLOT_MAXIMUM);
	if (settings->prefix_length < 8 || settings->prefix_length > 29)
		return error_set(error, -EINVAL, "subnet", NULL, "/%u is outside /8 to /29",
				 settings->prefix_length);
	if (settings->mtu && (settings->mtu < 576 || settings->mtu > 65535))
		return error_set(error, -EINVAL, "mtu", NULL, "%u is no MTU", settings->mtu);
	return 0;
}

static void add(struct settings_text *text, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add(struct settings_text *text, const char *key, const char *format, ...)
{
	struct str value = STR_INIT;
	va_list arguments;

	if (text->count == SETTINGS_LINES_MAXIMUM)
		abort();
	va_start(arguments, format);
	str_vappendf(&value, format, arguments);
	va_end(arguments);
	text->lines[text->count++] = (struct settings_line){ key, str_take(&value) };
}

static void add_identity(struct settings_text *text, const struct settings *settings)
{
	add(text, "lxc.uts.name", "%s", settings->name);
	add(text, "lxc.log.file", "%s", settings->log_file);
	add(text, "lxc.log.level", "WARN");
	add(text, "lxc.console.path", "none");
	add(text, "lxc.tty.max", "0");
	add(text, "lxc.pty.max", "1024");
	add(text, "lxc.autodev", "1");
}

static bool is_stacked(const struct settings *settings)
{
	return !text_empty(settings->profile) && !text_empty(settings->policy_namespace);
}

static void add_confinement(struct settings_text *text, const struct settings *settings)
{
	bool is_confined = !text_empty(settings->profile);

	add(text, "lxc.idmap", "u 0 %u %u", settings->id_base, settings->id_count);
	add(text, "lxc.idmap", "g 0 %u %u", settings->id_base, settings->id_count);
	if (is_stacked(settings))
		add(text, "lxc.apparmor.profile", "%s//&:%s:unconfined", settings->profile,
		    settings->policy_namespace);
	else
		add(text, "lxc.apparmor.profile", "%s",
		    is_confined ? settings->profile : "unconfined");
	/* A kernel that mediates less than liblxc expects fails the start. */
	add(text, "lxc.apparmor.allow_incomplete", "0");
	if (!text_empty(settings->seccomp))
		add(text, "lxc.seccomp.profile", "%s", settings->seccomp);
}

static void add_mounts(struct settings_text *text, const struct settings *settings)
{
	add(text, "lxc.rootfs.path", "dir:%s", settings->rootfs);
	/* Cgroups are mounted by the container's init, or by the agent where there is none: liblxc
	 * does not tell back what it took of "cgroup:rw:force", so it could not be checked. */
	add(text, "lxc.mount.auto", "proc:mixed sys:mixed");
	add(text, "lxc.mount.entry", "/dev/fuse dev/fuse none bind,create=file,optional 0 0");
	add(text, "lxc.mount.entry",
	    "%s dev/phoenix none bind,ro,nosuid,nodev,noexec,create=dir 0 0", settings->agent_dir);
	/* Its own policy namespace is what it sees there, and may load policy into. */
	if (is_stacked(settings))
		add(text, "lxc.mount.entry",
		    "/sys/kernel/security sys/kernel/security none bind,create=dir 0 0");
	/* Its files are the host's root's, whom the container's ids do not contain. */
	if (!text_empty(settings->bundles_dir))
		add(text, "lxc.mount.entry",
		    "%s dev/phoenix-bundles none bind,ro,nosuid,nodev,noexec,create=dir 0 0",
		    settings->bundles_dir);
	add(text, "lxc.mount.entry", "%s var/lib/docker none bind,create=dir 0 0",
	    settings->data_dir);
}

static void add_network(struct settings_text *text, const struct settings *settings)
{
	char address[16], gateway[16];
	uint32_t bits = settings->address;

	ipv4_to_text(settings->address, address);
	ipv4_to_text(settings->gateway, gateway);
	add(text, "lxc.net.0.type", "veth");
	add(text, "lxc.net.0.link", "%s", settings->bridge);
	add(text, "lxc.net.0.veth.pair", "phxv%u", settings->slot);
	add(text, "lxc.net.0.name", "eth0");
	/* From the address: the same container keeps its neighbours' ARP entries valid. */
	add(text, "lxc.net.0.hwaddr", "02:50:%02x:%02x:%02x:%02x", bits >> 24, bits >> 16 & 255,
	    bits >> 8 & 255, bits & 255);
	if (settings->mtu)
		add(text, "lxc.net.0.mtu", "%u", settings->mtu);
	add(text, "lxc.net.0.ipv4.address", "%s/%u", address, settings->prefix_length);
	add(text, "lxc.net.0.ipv4.gateway", "%s", gateway);
	add(text, "lxc.net.0.flags", "up");
}

static void add_devices(struct settings_text *text, const struct settings *settings)
{
	bool is_unified = settings->cgroup.is_unified;
	const char *deny = is_unified ? "lxc.cgroup2.devices.deny" : "lxc.cgroup.devices.deny";
	const char *allow = is_unified ? "lxc.cgroup2.devices.allow" : "lxc.cgroup.devices.allow";

	if (!settings->cgroup.devices)
		return;
	add(text, deny, "a");
	for (size_t i = 0; i < ARRAY_LENGTH(devices); i++)
		add(text, allow, "%s", devices[i]);
}

static void add_limits(struct settings_text *text, const struct settings *settings)
{
	const struct settings_cgroup *cgroup = &settings->cgroup;
	uint64_t quota_us = (uint64_t)settings->cpu_percent * (CPU_PERIOD_US / 100);

	if (settings->memory_bytes && cgroup->memory)
		add(text, cgroup->is_unified ? "lxc.cgroup2.memory.max"
					     : "lxc.cgroup.memory.limit_in_bytes",
		    "%llu", (unsigned long long)settings->memory_bytes);
	if (settings->pids && cgroup->pids)
		add(text, cgroup->is_unified ? "lxc.cgroup2.pids.max" : "lxc.cgroup.pids.max", "%u",
		    settings->pids);
	if (!quota_us || !cgroup->cpu)
		return;
	if (cgroup->is_unified) {
		add(text, "lxc.cgroup2.cpu.max", "%llu %d", (unsigned long long)quota_us,
		    CPU_PERIOD_US);
		return;
	}
	add(text, "lxc.cgroup.cpu.cfs_period_us", "%d", CPU_PERIOD_US);
	add(text, "lxc.cgroup.cpu.cfs_quota_us", "%llu", (unsigned long long)quota_us);
}

static void add_cgroup_places(struct settings_text *text, const struct settings *settings)
{
	/* Names of our own: what is left after a killed monitor can be removed without doubt. */
	add(text, "lxc.cgroup.dir.monitor", "phoenix.monitor.%s", settings->name);
	add(text, "lxc.cgroup.dir.container", "phoenix.payload.%s", settings->name);
	add(text, "lxc.cgroup.dir.monitor.pivot", "phoenix.pivot");
}

int settings_write(const struct settings *settings, struct settings_text *ret_text,
		   struct ph_error *error)
{
	int code;

	*ret_text = (struct settings_text){ 0 };
	code = check_texts(settings, error);
	if (code == 0)
		code = check_numbers(settings, error);
	if (code < 0)
		return code;
	add_identity(ret_text, settings);
	add_confinement(ret_text, settings);
	add_mounts(ret_text, settings);
	add_network(ret_text, settings);
	add_cgroup_places(ret_text, settings);
	add_devices(ret_text, settings);
	add_limits(ret_text, settings);
	return 0;
}

void settings_text_fini(struct settings_text *text)
{
	for (size_t i = 0; i < text->count; i++)
		free(text->lines[i].value);
	text->count = 0;
}

void settings_text_format(const struct settings_text *text, struct str *ret_contents)
{
	*ret_contents = STR_INIT;
	str_append(ret_contents, "# Written by phoenix-host at every start; changes are lost.\n");
	for (size_t i = 0; i < text->count; i++)
		str_appendf(ret_contents, "%s = %s\n", text->lines[i].key, text->lines[i].value);
}

char *settings_text_values(const struct settings_text *text, const char *key)
{
	struct str values = STR_INIT;
	bool is_there = false;

	for (size_t i = 0; i < text->count; i++) {
		if (strcmp(text->lines[i].key, key) != 0)
			continue;
		str_appendf(&values, "%s%s", is_there ? "\n" : "", text->lines[i].value);
		is_there = true;
	}
	if (!is_there) {
		str_fini(&values);
		return NULL;
	}
	return str_take(&values);
}
