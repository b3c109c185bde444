/*
 * Every change is recorded in RUN/network/network.json before it is made: a killed run can be
 * undone as well as a finished one, and what the administrator had made is not taken for ours. RUN
 * is gone after a reboot, and so are bridge, rules and forwarder.
 */
#include "controller/host/network/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/network/bridge.h"
#include "controller/host/network/forwarder.h"
#include "controller/host/network/rules.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/record.h"
#include "controller/host/tree/tree.h"

#define RECORD "network.json"
#define IP_FORWARD "/proc/sys/net/ipv4/ip_forward"
#define MTU_DEFAULT 1500
#define MTU_MINIMUM 1280
#define RESOLV_MAXIMUM 65536
#define LISTING_MAXIMUM 8192

/* What this host had before us, or what we have added. */
struct network_record {
	bool bridge_created;
	bool address_added;
	bool forwarding_set;
	char bridge[16];
	char address[24];
	char rules[LISTING_MAXIMUM]; /* as nft listed them when we had loaded them */
};

/* One run. */
struct network_run {
	const struct config *config; /* borrowed */
	int dir;                     /* owned; RUN/network, locked */
	struct network_record record;
	struct bridge_plan plan;
	struct network_status status;
	bool changed;
};

/* ---- the record ----------------------------------------------------------------------------- */

static int record_read(struct network_run *run, struct ph_error *error)
{
	struct network_record *record = &run->record;
	RECORD_AUTO json_t *json = NULL;
	int result = record_load(run->dir, RECORD, &json, error);

	if (result == -ENOENT)
		return error_clear(error), 0;
	if (result < 0)
		return result;
	record_flag(json, "bridge_created", &record->bridge_created);
	record_flag(json, "address_added", &record->address_added);
	record_flag(json, "forwarding_set", &record->forwarding_set);
	record_text(json, "bridge", record->bridge, sizeof(record->bridge));
	record_text(json, "address", record->address, sizeof(record->address));
	record_text(json, "rules", record->rules, sizeof(record->rules));
	return 0;
}

static int record_write(struct network_run *run, struct ph_error *error)
{
	const struct network_record *record = &run->record;
	RECORD_AUTO json_t *json = json_object();

	json_object_set_new(json, "bridge_created", json_boolean(record->bridge_created));
	json_object_set_new(json, "address_added", json_boolean(record->address_added));
	json_object_set_new(json, "forwarding_set", json_boolean(record->forwarding_set));
	record_set_text(json, "bridge", record->bridge);
	record_set_text(json, "address", record->address);
	record_set_text(json, "rules", record->rules);
	run->changed = true;
	return record_save(run->dir, RECORD, json, error);
}

/* ---- beginning ------------------------------------------------------------------------------ */

static void run_fini(struct network_run *run)
{
	cleanup_close(&run->dir);
}

uint32_t network_gateway(const struct config *config)
{
	uint32_t mask = UINT32_MAX << (32 - config->prefix_length);

	return (config->subnet & mask) + 1;
}

/* Interface names as we let them into argument vectors and rules. */
static bool bridge_name_is_valid(const char *name)
{
	return *name && strlen(name) < 16 && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		       strlen(name);
}

static int run_begin(const struct config *config, struct network_run *run, struct ph_error *error)
{
	char gateway[16], subnet[16];
	int result;

	*run = (struct network_run){ .config = config, .dir = -1 };
	if (!bridge_name_is_valid(config->bridge) || config->prefix_length < 8 ||
	    config->prefix_length > 29)
		return error_set(error, -EINVAL, config->bridge,
				 "set network.bridge and network.subnet in the configuration",
				 "not a bridge name or subnet");
	run->plan = (struct bridge_plan){
		.name = config->bridge,
		.gateway = network_gateway(config),
		.prefix_length = config->prefix_length,
		.mtu = MTU_DEFAULT,
	};
	ipv4_to_text(run->plan.gateway, gateway);
	ipv4_to_text(run->plan.gateway - 1, subnet);
	text_copy(run->status.bridge, sizeof(run->status.bridge), config->bridge);
	text_copy(run->status.gateway, sizeof(run->status.gateway), gateway);
	snprintf(run->status.subnet, sizeof(run->status.subnet), "%s/%u", subnet,
		 config->prefix_length & 31);
	result = paths_open(config, PATHS_NETWORK, &run->dir, error);
	if (result == 0 && flock(run->dir, LOCK_EX) < 0)
		result = error_errno(error, -errno, "network", NULL, "lock");
	return result < 0 ? result : record_read(run, error);
}

static void __attribute__((format(printf, 3, 4)))
add_finding(struct network_run *run, const char *remedy, const char *what, ...)
{
	struct network_finding *finding;
	va_list arguments;

	if (run->status.finding_count == NETWORK_FINDINGS_MAXIMUM)
		return;
	finding = &run->status.findings[run->status.finding_count++];
	va_start(arguments, what);
	vsnprintf(finding->what, sizeof(finding->what), what, arguments);
	va_end(arguments);
	text_copy(finding->remedy, sizeof(finding->remedy), remedy);
}

/* ---- the parts, in the order in which they are made ------------------------------------------ */

/* What of this host speaks against the plan. */
static int check_view(struct network_run *run, const struct bridge_view *view,
		      struct ph_error *error)
{
	const char *bridge = run->plan.name;

	if (view->exists && !view->is_bridge)
		return error_set(error, -EEXIST, bridge, "choose another name as network.bridge",
				 "an interface of this name exists and is no bridge");
	if (view->conflict[0])
		return error_set(error, -EADDRINUSE, run->status.subnet,
				 "choose another range as network.subnet",
				 "the host already has a route for it: %s", view->conflict);
	if (view->exists && !run->record.bridge_created && !view->has_gateway &&
	    view->other_address[0])
		return error_set(error, -EEXIST, bridge,
				 "choose another name as network.bridge, or its subnet",
				 "a bridge of this name exists with the address %s",
				 view->other_address);
	if (view->wider[0])
		add_finding(run, "choose a range outside it as network.subnet",
			    "the subnet %s lies in a network of the host: %s", run->status.subnet,
			    view->wider);
	return 0;
}

/* Remember first, then do. */
static int make_bridge(struct network_run *run, struct ph_error *error)
{
	int result;

	run->record.bridge_created = true;
	text_copy(run->record.bridge, sizeof(run->record.bridge), run->plan.name);
	result = record_write(run, error);
	return result < 0 ? result : bridge_create(&run->plan, error);
}

static int make_address(struct network_run *run, const struct bridge_view *view,
			struct ph_error *error)
{
	char gateway[16];
	int result;

	if (view->other_address[0] && run->record.bridge_created) { /* the subnet was changed */
		result = bridge_remove_address(run->plan.name, view->other_address, error);
		if (result < 0)
			return result;
	}
	run->record.address_added = true;
	text_copy(run->record.bridge, sizeof(run->record.bridge), run->plan.name);
	snprintf(run->record.address, sizeof(run->record.address), "%s/%u",
		 ipv4_to_text(run->plan.gateway, gateway), run->plan.prefix_length & 31);
	result = record_write(run, error);
	return result < 0 ? result : bridge_add_address(&run->plan, error);
}

/* Containers must not send longer packets than the way out carries. */
static void choose_mtu(struct network_run *run, const struct bridge_view *view)
{
	bool ours = !view->exists || run->record.bridge_created;

	if (view->uplink_mtu >= MTU_MINIMUM && view->uplink_mtu < MTU_DEFAULT)
		run->plan.mtu = view->uplink_mtu;
	if (!ours)
		run->plan.mtu = view->mtu;
	run->status.mtu = run->plan.mtu;
}

static int ensure_bridge(struct network_run *run, struct ph_error *error)
{
	struct bridge_view view;
	int result = bridge_look(&run->plan, &view, error);

	if (result == 0)
		result = check_view(run, &view, error);
	if (result < 0)
		return result;
	choose_mtu(run, &view);
	if (!view.exists)
		result = make_bridge(run, error);
	if (result == 0 && !view.has_gateway)
		result = make_address(run, &view, error);
	if (result == 0 && (!view.is_up || view.mtu != run->plan.mtu)) {
		run->changed = true;
		result = bridge_set_up(&run->plan, error);
	}
	return result;
}

/* "0" or "1" of this network namespace. */
static int read_forwarding(char *ret_value)
{
	PH_AUTO_CLOSE int fd = open(IP_FORWARD, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, ret_value, 1) == 1 ? 0 : -EIO;
}

static int write_forwarding(const char *value, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = open(IP_FORWARD, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, 1) != 1)
		return error_errno(error, -errno, IP_FORWARD, NULL, "switch forwarding");
	return 0;
}

static int ensure_forwarding(struct network_run *run, struct ph_error *error)
{
	char value;
	int result = read_forwarding(&value);

	if (result < 0)
		return error_errno(error, result, IP_FORWARD, NULL, "read");
	if (value != '0')
		return 0;
	run->record.forwarding_set = true;
	result = record_write(run, error);
	return result < 0 ? result : write_forwarding("1", error);
}

static struct rules_plan rules_of(const struct network_run *run)
{
	return (struct rules_plan){ run->plan.name, run->status.subnet };
}

static int ensure_rules(struct network_run *run, struct ph_error *error)
{
	const struct rules_plan plan = rules_of(run);
	PH_AUTO_FREE char *listing = NULL;
	int result = 0;

	/* What is there is of no interest where nothing of ours can be. */
	if (run->record.rules[0])
		result = rules_list(&plan, &listing, error);
	/* The subnet and the bridge stand in the listing: equal text is equal rules. */
	if (result == 0 && listing && *listing && strcmp(listing, run->record.rules) == 0 &&
	    strstr(listing, plan.subnet) && strstr(listing, plan.bridge)) {
		run->status.masquerade = true;
		return 0;
	}
	free(take_pointer(listing));
	result = rules_load(&plan, &listing, error);
	if (result == -EOPNOTSUPP || result == -ENOENT) {
		add_finding(run,
			    result == -ENOENT ?
				    "apt install nftables" :
				    "use a kernel with nf_tables and NAT; without it containers "
				    "reach only this host and each other",
			    "no masquerading for the containers: %s", error ? error->why : "nft");
		error_clear(error);
		return 0;
	}
	if (result < 0)
		return result;
	run->status.masquerade = true;
	text_copy(run->record.rules, sizeof(run->record.rules), listing);
	return record_write(run, error);
}

/* A drop in another table stays a drop, whatever ours says: only the administrator can decide. */
static void find_obstacles(struct network_run *run)
{
	const struct rules_plan plan = rules_of(run);
	char chain[96], remedy[320];

	if (rules_find_drop(&plan, chain, NULL) < 0 || !chain[0])
		return;
	snprintf(remedy, sizeof(remedy),
		 "with Docker on this host: iptables -I DOCKER-USER -i %1$s -j ACCEPT; "
		 "iptables -I DOCKER-USER -o %1$s -j ACCEPT; with another firewall: allow "
		 "forwarding from and to %1$s in it",
		 plan.bridge);
	add_finding(run, remedy, "a firewall drops what is forwarded to containers: chain %s", chain);
}

static int ensure_forwarder(struct network_run *run, struct ph_error *error)
{
	int result = run->config->dns ?
			     forwarder_ensure(run->config, run->plan.gateway, error) :
			     forwarder_stop(run->config, error);

	if (result < 0)
		return result;
	run->status.dns = run->config->dns;
	if (run->config->dns ? result == FORWARDER_STARTED : result > 0)
		run->changed = true;
	return 0;
}

/* The bridge, or what we have added to somebody else's. */
static int remove_bridge(struct network_run *run, struct ph_error *error)
{
	struct bridge_view view;
	int result = bridge_look(&run->plan, &view, error);

	if (result < 0 || !view.exists)
		return result;
	if (run->record.bridge_created)
		return bridge_delete(run->plan.name, error);
	if (run->record.address_added && view.has_gateway)
		return bridge_remove_address(run->plan.name, run->record.address, error);
	return 0;
}

static int refuse_ports(struct network_run *run, struct ph_error *error)
{
	struct bridge_view view;
	char names[200];
	int result = bridge_look(&run->plan, &view, error);

	if (result < 0 || !view.exists || !run->record.bridge_created)
		return result;
	result = bridge_ports(run->plan.name, names, sizeof(names), error);
	if (result > 0)
		return error_set(error, -EBUSY, run->plan.name, "remove these containers first",
				 "interfaces are on the bridge: %s", names);
	return result;
}

/* The configuration names another bridge than last time: the old one goes, once it is empty. */
static int retire_former(struct network_run *run, struct ph_error *error)
{
	struct network_run former = *run;
	struct rules_plan plan;
	int result;

	if (!run->record.bridge[0] || strcmp(run->record.bridge, run->plan.name) == 0)
		return 0;
	former.plan.name = run->record.bridge;
	plan = rules_of(&former);
	result = refuse_ports(&former, error);
	if (result == 0)
		result = rules_remove(&plan, error);
	if (result >= 0)
		result = remove_bridge(&former, error);
	if (result < 0)
		return result;
	run->record.bridge_created = false;
	run->record.address_added = false;
	run->record.rules[0] = '\0';
	text_copy(run->record.bridge, sizeof(run->record.bridge), run->plan.name);
	return record_write(run, error);
}

int network_ensure(const struct config *config, struct network_status *ret_status,
		   struct ph_error *error)
{
	__attribute__((cleanup(run_fini))) struct network_run run;
	int result = run_begin(config, &run, error);

	if (result == 0)
		result = retire_former(&run, error);
	if (result == 0)
		result = ensure_bridge(&run, error);
	if (result == 0)
		result = ensure_forwarding(&run, error);
	if (result == 0)
		result = ensure_rules(&run, error);
	if (result == 0)
		result = ensure_forwarder(&run, error);
	if (result < 0)
		return error_prefix(error, "set up the network %s", config->bridge), result;
	find_obstacles(&run);
	*ret_status = run.status;
	return run.changed ? NETWORK_CHANGED : NETWORK_UNCHANGED;
}

/* ---- undoing, last first -------------------------------------------------------------------- */

static int undo(struct network_run *run, struct ph_error *error)
{
	const struct rules_plan plan = rules_of(run);
	int result = forwarder_stop(run->config, error);

	if (result >= 0)
		result = rules_remove(&plan, error);
	if (result >= 0)
		result = remove_bridge(run, error);
	if (result == 0 && run->record.forwarding_set)
		result = write_forwarding("0", error);
	if (result == 0)
		result = tree_remove(run->dir, RECORD, error);
	return result < 0 ? result : 0;
}

int network_remove(const struct config *config, struct network_status *ret_status,
		   struct ph_error *error)
{
	__attribute__((cleanup(run_fini))) struct network_run run;
	struct stat status;
	int result = run_begin(config, &run, error);

	if (result == 0 && tree_stat(run.dir, RECORD, &status) == -ENOENT) {
		result = forwarder_stop(config, error); /* the record was lost, perhaps not it */
		if (ret_status && result >= 0)
			*ret_status = run.status;
		return result < 0 ? result : result == 0 ? NETWORK_UNCHANGED : NETWORK_CHANGED;
	}
	if (result == 0 && run.record.bridge[0])
		run.plan.name = run.record.bridge; /* what was made, whatever is configured now */
	if (result == 0)
		result = refuse_ports(&run, error);
	if (result == 0)
		result = undo(&run, error);
	if (result < 0)
		return error_prefix(error, "remove the network %s", config->bridge), result;
	if (ret_status)
		*ret_status = run.status;
	return NETWORK_CHANGED;
}

/* ---- the containers' resolv.conf ------------------------------------------------------------ */

/* Keep the host's name servers that are not the host itself. */
static void copy_servers(char *host, struct str *text)
{
	char *rest = NULL;

	for (char *line = strtok_r(host, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char server[64];

		if (sscanf(line, " nameserver %63s", server) == 1 &&
		    !text_has_prefix(server, "127.") && strcmp(server, "::1") != 0 &&
		    strspn(server, "0123456789abcdefABCDEF:.") == strlen(server))
			str_appendf(text, "nameserver %s\n", server);
	}
}

int network_resolv_conf(const struct config *config, char **ret_text, struct ph_error *error)
{
	PH_AUTO_STR struct str text = STR_INIT;
	PH_AUTO_FREE char *host = NULL;
	PH_AUTO_CLOSE int root = -1;
	char gateway[16];
	int result;

	if (config->dns) {
		*ret_text = ph_format("nameserver %s\n",
				      ipv4_to_text(network_gateway(config), gateway));
		return 0;
	}
	result = tree_open_root("/", &root, error);
	if (result == 0)
		result = tree_read_small(root, "etc/resolv.conf", RESOLV_MAXIMUM, &host, NULL, error);
	if (result < 0)
		return error_prefix(error, "read the host's name servers"), result;
	copy_servers(host, &text);
	if (!text.length)
		return error_set(error, -ENOENT, "/etc/resolv.conf", "set network.dns: true",
				 "the host has no name server that a container can reach");
	*ret_text = str_take(&text);
	return 0;
}
