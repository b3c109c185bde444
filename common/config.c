/*
 * phoenix-host runs as root and believes this file, so the file must be beyond the reach of others:
 * owned by root or by whoever reads it, and writable for nobody else.
 */
#include "common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/schema.h"
#include "common/str.h"
#include "common/yaml.h"

#define NAME_MAXIMUM 63
#define SOCKET_TAIL (sizeof("/agents/") - 1 + NAME_MAXIMUM + sizeof("/agent.sock"))
#define RUN_DIR_MAXIMUM (sizeof(((struct sockaddr_un *)NULL)->sun_path) - SOCKET_TAIL)
#define ID_MAXIMUM (UINT32_MAX - 1) /* the last one means "none" to the kernel */

static const char *const top_keys[] = {
	"user",         "group",   "run_dir",   "state_dir", "agent",
	"profiles_dir", "network", "vsock", "lxc_paths", "log_level", NULL,
};
static const char *const network_keys[] = { "bridge", "subnet", "dns", NULL };
static const char *const log_levels[] = { "debug", "info", "warning", "error", NULL };

PH_DEFINE_CLEANUP(struct yaml_node *, yaml_node_free);

void config_init(struct config *config)
{
	*config = (struct config){
		.user = "phoenix",
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.control_gid = (gid_t)-1,
		.run_dir = "/run/phoenix",
		.state_dir = "/var/lib/phoenix",
		.agent = PH_PREFIX "/lib/phoenix/phoenix-agent",
		.profiles_dir = PH_PREFIX "/share/phoenix/profiles",
		.bridge = "phxbr0",
		.subnet = 0x0ad10000, /* 10.209.0.0 */
		.prefix_length = 16,
		.dns = true,
		.lxc_paths = { "/var/lib/lxc" },
		.lxc_path_count = 1,
		.log_level = LOG_LEVEL_INFO,
	};
}

/* Copy an optional path over its default. */
static int read_path(const struct yaml_node *root, const char *key, size_t maximum, char *buffer,
		     struct ph_error *error)
{
	const char *path;
	int ret = schema_get_path(root, key, maximum, &path, error);

	if (ret == 0)
		strcpy(buffer, path); /* the maximum is below the buffer's size */
	return ret < 0 ? ret : 0;
}

static int read_run_dir(const struct yaml_node *root, struct config *config, struct ph_error *error)
{
	const struct yaml_node *node = schema_find(root, "run_dir");
	int ret = read_path(root, "run_dir", sizeof(config->run_dir) - 1, config->run_dir, error);

	if (ret == 0 && strlen(config->run_dir) > RUN_DIR_MAXIMUM)
		return schema_error(node, error, "choose a shorter directory, such as /run/phoenix",
				    "key 'run_dir' is longer than %zu bytes: the agents' sockets "
				    "below it would not fit into a socket address",
				    RUN_DIR_MAXIMUM);
	return ret;
}

static bool is_interface_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

	return name[0] != '.' && name[0] != '-' && strspn(name, allowed) == strlen(name);
}

static int read_network(const struct yaml_node *root, struct config *config, struct ph_error *error)
{
	const struct yaml_node *network;
	const char *bridge;
	int ret = schema_get_map(root, "network", &network, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = schema_check_keys(network, "network", network_keys, error);
	if (ret < 0)
		return ret;
	ret = schema_get_text(network, "bridge", sizeof(config->bridge) - 1, &bridge, error);
	if (ret < 0)
		return ret;
	if (ret == 0 && !is_interface_name(bridge))
		return schema_error(schema_find(network, "bridge"), error,
				    "use a-z, 0-9, '.', '_' and '-': phxbr0",
				    "key 'bridge': '%s' is not a name for an interface", bridge);
	if (ret == 0)
		strcpy(config->bridge, bridge);
	ret = schema_get_subnet(network, "subnet", 8, 29, &config->subnet, &config->prefix_length,
				error);
	if (ret >= 0)
		ret = schema_get_bool(network, "dns", &config->dns, error);
	return ret < 0 ? ret : 0;
}

/* Port 0 is "any" to the kernel, as the last one is; agents have to know where to dial. */
static int read_vsock(const struct yaml_node *root, struct config *config, struct ph_error *error)
{
	static const char remedy[] = "write vsock:1:1022: the context of this host's own containers, "
				     "and a port below 1024, which no container can take";
	struct ph_error why;
	const char *text;
	int ret = schema_get_text(root, "vsock", 64, &text, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (address_parse(text, &config->vsock, &why) < 0)
		return schema_error(schema_find(root, "vsock"), error, remedy, "key 'vsock': %s",
				    why.why);
	if (config->vsock.family != ADDRESS_VSOCK || config->vsock.port == 0 ||
	    config->vsock.port == UINT32_MAX || config->vsock.cid == UINT32_MAX)
		return schema_error(schema_find(root, "vsock"), error, remedy,
				    "key 'vsock': '%s' is no vsock address that agents can dial",
				    text);
	config->has_vsock = true;
	return 0;
}

/* Registered places: root changes configurations there, so nothing else may name them. */
static int read_lxc_paths(const struct yaml_node *root, struct config *config,
			  struct ph_error *error)
{
	const struct yaml_node *list;
	int ret = schema_get_list(root, "lxc_paths", &list, error);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (list->count > CONFIG_LXC_PATHS_MAXIMUM)
		return schema_error(list, error, NULL, "key 'lxc_paths' has more than %d paths",
				    CONFIG_LXC_PATHS_MAXIMUM);
	for (size_t i = 0; i < list->count && ret == 0; i++) {
		const char *path;

		ret = schema_read_path(list->items[i], "lxc_paths", CONFIG_LXC_PATH_SIZE - 1, &path,
				       error);
		if (ret == 0)
			strcpy(config->lxc_paths[i], path);
	}
	if (ret == 0)
		config->lxc_path_count = list->count;
	return ret;
}

/* Where to complain about a key: its value, or the file when the default is at fault. */
static int fail_account(const char *path, const struct yaml_node *node, struct ph_error *error,
			const char *remedy, const char *kind, const char *name)
{
	if (node)
		return schema_error(node, error, remedy, "there is no %s '%s'", kind, name);
	return error_set(error, -EINVAL, path, remedy, "there is no %s '%s' (the default)", kind,
			 name);
}

static int resolve_user(const char *path, const struct yaml_node *root, struct config *config,
			struct ph_error *error)
{
	const struct passwd *account;
	uint64_t number;

	/* A number needs no account: it is its own group then (test beds, containers). */
	if (text_to_u64(config->user, ID_MAXIMUM, &number) == 0) {
		account = getpwuid((uid_t)number);
		config->uid = (uid_t)number;
		config->gid = account ? account->pw_gid : (gid_t)number;
		return 0;
	}
	account = getpwnam(config->user);
	if (!account)
		return fail_account(path, schema_find(root, "user"), error,
				    "make it (adduser --system --group --no-create-home phoenix) "
				    "or name another one under 'user'",
				    "user", config->user);
	config->uid = account->pw_uid;
	config->gid = account->pw_gid;
	return 0;
}

static int resolve_group(const char *path, const struct yaml_node *root, const char *name,
			 struct config *config, struct ph_error *error)
{
	const struct group *group;
	uint64_t number;

	if (text_to_u64(name, ID_MAXIMUM, &number) == 0) {
		config->control_gid = (gid_t)number;
		return 0;
	}
	group = getgrnam(name);
	if (!group)
		return fail_account(path, schema_find(root, "group"), error,
				    "make it (addgroup --system phoenix) or name another one "
				    "under 'group'",
				    "group", name);
	config->control_gid = group->gr_gid;
	return 0;
}

/* Users and groups are looked up last: a typing error elsewhere is told first. */
static int read_accounts(const char *path, const struct yaml_node *root, struct config *config,
			 struct ph_error *error)
{
	const char *user = NULL, *group = "phoenix";
	int ret = schema_get_text(root, "user", sizeof(config->user) - 1, &user, error);

	if (ret == 0)
		strcpy(config->user, user);
	if (ret >= 0)
		ret = schema_get_text(root, "group", NAME_MAXIMUM, &group, error);
	if (ret >= 0)
		ret = resolve_user(path, root, config, error);
	if (ret >= 0)
		ret = resolve_group(path, root, group, config, error);
	return ret;
}

/* root NULL: the file is absent or empty. */
static int read_config(const char *path, const struct yaml_node *root, struct config *config,
		       struct ph_error *error)
{
	size_t level;
	int ret = root ? schema_check_keys(root, "the configuration", top_keys, error) : 0;

	if (ret == 0)
		ret = read_run_dir(root, config, error);
	if (ret == 0)
		ret = read_path(root, "state_dir", sizeof(config->state_dir) - 1, config->state_dir,
				error);
	if (ret == 0)
		ret = read_path(root, "agent", sizeof(config->agent) - 1, config->agent, error);
	if (ret == 0)
		ret = read_path(root, "profiles_dir", sizeof(config->profiles_dir) - 1,
				config->profiles_dir, error);
	if (ret == 0)
		ret = read_network(root, config, error);
	if (ret == 0)
		ret = read_vsock(root, config, error);
	if (ret == 0)
		ret = read_lxc_paths(root, config, error);
	if (ret < 0)
		return ret;
	ret = schema_get_word(root, "log_level", log_levels, &level, error);
	if (ret == 0)
		ret = log_level_parse(log_levels[level], &config->log_level);
	return ret < 0 ? ret : read_accounts(path, root, config, error);
}

static int check_trust(int fd, const char *path, struct ph_error *error)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_errno(error, -errno, path, NULL, "stat");
	if (!S_ISREG(status.st_mode))
		return error_set(error, -EINVAL, path, NULL, "this is not a regular file");
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return error_set(error, -EPERM, path, "chown root it, or run as its owner",
				 "the file belongs to another user (%u), who could change what "
				 "Phoenix does",
				 status.st_uid);
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(error, -EPERM, path, "chmod go-w it",
				 "the file is writable for others, who could change what Phoenix "
				 "does");
	return 0;
}

/* Read and parse the file; root stays NULL when it is empty. */
static int parse_file(const char *path, int fd, struct yaml_node **ret_root, struct ph_error *error)
{
	PH_AUTO_FREE char *text = NULL;
	size_t length;
	int ret = check_trust(fd, path, error);

	if (ret == 0)
		ret = yaml_read(fd, path, &text, &length, error);
	if (ret == 0)
		ret = yaml_parse(path, text, length, ret_root, error);
	return ret < 0 ? ret : 0;
}

int config_load(const char *path, bool required, struct config *ret_config, struct ph_error *error)
{
	PH_CLEANUP(yaml_node_free_cleanup) struct yaml_node *root = NULL;
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct config config;
	int ret = 0;

	if (fd < 0 && (required || errno != ENOENT))
		ret = error_errno(error, -errno, path, "name the right file with --config", "open");
	if (ret == 0 && fd >= 0)
		ret = parse_file(path, fd, &root, error);
	config_init(&config);
	if (ret == 0)
		ret = read_config(path, root, &config, error);
	if (ret < 0) {
		error_prefix(error, "read the configuration");
		return ret;
	}
	*ret_config = config;
	return 0;
}
