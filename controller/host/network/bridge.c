#include "controller/host/network/bridge.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/exec/exec.h"
#include "controller/host/tree/record.h"

/* Run ip with JSON output and read it; the caller owns the array. */
static int ask(const char *const *argv, json_t **ret_array, struct ph_error *error)
{
	PH_AUTO_FREE char *output = NULL;
	int result = exec_check(argv, NULL, &output, error);
	json_t *array;

	if (result < 0)
		return result;
	array = *output ? json_loads(output, 0, NULL) : json_array();
	if (!json_is_array(array)) {
		json_decref(array);
		return error_set(error, -EBADMSG, "ip", "install iproute2",
				 "the program ip does not answer in JSON");
	}
	*ret_array = array;
	return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static uint32_t number_of(const json_t *object, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(object, key));
}

static bool has_flag(const json_t *link, const char *flag)
{
	const json_t *flags = json_object_get(link, "flags");

	for (size_t i = 0; i < json_array_size(flags); i++)
		if (text_equal(json_string_value(json_array_get(flags, i)), flag))
			return true;
	return false;
}

static void view_addresses(const struct bridge_plan *plan, const json_t *link,
			   struct bridge_view *view)
{
	const json_t *addresses = json_object_get(link, "addr_info");

	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const json_t *item = json_array_get(addresses, i);
		uint32_t address;

		if (strcmp(text_of(item, "family"), "inet") != 0 ||
		    text_to_ipv4(text_of(item, "local"), &address) < 0)
			continue;
		if (address == plan->gateway && number_of(item, "prefixlen") == plan->prefix_length)
			view->has_gateway = true;
		else
			snprintf(view->other_address, sizeof(view->other_address), "%.15s/%u",
				 text_of(item, "local"), number_of(item, "prefixlen") & 63);
	}
}

static void view_link(const struct bridge_plan *plan, const json_t *link, struct bridge_view *view)
{
	const json_t *info = json_object_get(link, "linkinfo");

	view->exists = true;
	view->is_bridge = strcmp(text_of(info, "info_kind"), "bridge") == 0;
	view->is_up = has_flag(link, "UP");
	view->mtu = number_of(link, "mtu");
	view_addresses(plan, link, view);
}

static uint32_t mask_of(uint32_t prefix_length)
{
	return prefix_length ? UINT32_MAX << (32 - prefix_length) : 0;
}

/* Compare one route of another interface with the subnet. */
static void view_route(const struct bridge_plan *plan, const json_t *route,
		       struct bridge_view *view)
{
	char network[20];
	char *slash;
	uint64_t length = 32;
	uint32_t address;

	if (!text_copy(network, sizeof(network), text_of(route, "dst")))
		return;
	slash = strchr(network, '/');
	if (slash) {
		*slash = '\0';
		if (text_to_u64(slash + 1, 32, &length) < 0)
			return;
	}
	if (text_to_ipv4(network, &address) < 0)
		return; /* "default" */
	if (length >= plan->prefix_length &&
	    ((address ^ plan->gateway) & mask_of(plan->prefix_length)) == 0)
		snprintf(view->conflict, sizeof(view->conflict), "%.19s on %.15s",
			 text_of(route, "dst"), text_of(route, "dev"));
	else if (length < plan->prefix_length &&
		 ((address ^ plan->gateway) & mask_of((uint32_t)length)) == 0)
		snprintf(view->wider, sizeof(view->wider), "%.19s on %.15s", text_of(route, "dst"),
			 text_of(route, "dev"));
}

static int view_routes(const struct bridge_plan *plan, char uplink[16], struct bridge_view *view,
		       struct ph_error *error)
{
	static const char *const argv[] = { "ip", "-json", "-4", "route", "show", NULL };
	RECORD_AUTO json_t *routes = NULL;
	int result = ask(argv, &routes, error);

	for (size_t i = 0; result == 0 && i < json_array_size(routes); i++) {
		const json_t *route = json_array_get(routes, i);

		if (strcmp(text_of(route, "dst"), "default") == 0 && !uplink[0])
			text_copy(uplink, 16, text_of(route, "dev"));
		else if (strcmp(text_of(route, "dev"), plan->name) != 0)
			view_route(plan, route, view);
	}
	return result;
}

int bridge_look(const struct bridge_plan *plan, struct bridge_view *ret_view,
		struct ph_error *error)
{
	static const char *const argv[] = { "ip", "-json", "-details", "address", "show", NULL };
	struct bridge_view view = { 0 };
	RECORD_AUTO json_t *links = NULL;
	char uplink[16] = "";
	int result = view_routes(plan, uplink, &view, error);

	if (result == 0)
		result = ask(argv, &links, error);
	for (size_t i = 0; result == 0 && i < json_array_size(links); i++) {
		const json_t *link = json_array_get(links, i);

		if (strcmp(text_of(link, "ifname"), plan->name) == 0)
			view_link(plan, link, &view);
		if (uplink[0] && strcmp(text_of(link, "ifname"), uplink) == 0)
			view.uplink_mtu = number_of(link, "mtu");
	}
	if (result == 0)
		*ret_view = view;
	return result;
}

int bridge_create(const struct bridge_plan *plan, struct ph_error *error)
{
	char hardware[24], mtu[16];
	const char *const argv[] = { "ip",	  "link",   "add",  "name", plan->name,
				     "address",	  hardware, "mtu",  mtu,    "type",
				     "bridge",	  "stp_state", "0", "forward_delay", "0", NULL };

	/* Locally administered, and the gateway's address: the same after every reboot. */
	snprintf(hardware, sizeof(hardware), "02:70:%02x:%02x:%02x:%02x", plan->gateway >> 24,
		 plan->gateway >> 16 & 255, plan->gateway >> 8 & 255, plan->gateway & 255);
	snprintf(mtu, sizeof(mtu), "%u", plan->mtu);
	return exec_check(argv, NULL, NULL, error);
}

int bridge_add_address(const struct bridge_plan *plan, struct ph_error *error)
{
	char gateway[16], address[24];
	const char *const argv[] = { "ip",  "address", "add", address, "broadcast",
				     "+",   "dev",     plan->name, NULL };

	snprintf(address, sizeof(address), "%s/%u", ipv4_to_text(plan->gateway, gateway),
		 plan->prefix_length);
	return exec_check(argv, NULL, NULL, error);
}

int bridge_remove_address(const char *name, const char *address, struct ph_error *error)
{
	const char *const argv[] = { "ip", "address", "delete", address, "dev", name, NULL };

	return exec_check(argv, NULL, NULL, error);
}

int bridge_set_up(const struct bridge_plan *plan, struct ph_error *error)
{
	char mtu[16];
	const char *const argv[] = { "ip", "link", "set", "dev", plan->name, "mtu", mtu, "up", NULL };

	snprintf(mtu, sizeof(mtu), "%u", plan->mtu);
	return exec_check(argv, NULL, NULL, error);
}

int bridge_delete(const char *name, struct ph_error *error)
{
	const char *const argv[] = { "ip", "link", "delete", "dev", name, NULL };

	return exec_check(argv, NULL, NULL, error);
}

int bridge_ports(const char *name, char *text, size_t size, struct ph_error *error)
{
	const char *const argv[] = { "ip", "-json", "link", "show", "master", name, NULL };
	RECORD_AUTO json_t *links = NULL;
	PH_AUTO_STR struct str list = STR_INIT;
	int result = ask(argv, &links, error);

	if (result < 0)
		return result;
	for (size_t i = 0; i < json_array_size(links); i++) {
		const char *port = text_of(json_array_get(links, i), "ifname");

		if (*port)
			str_appendf(&list, "%s%s", list.length ? ", " : "", port);
	}
	text_copy(text, size, str_text(&list));
	return (int)json_array_size(links);
}
