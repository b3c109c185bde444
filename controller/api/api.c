#include "controller/api/api.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/memory.h"
#include "controller/api/api_private.h"

#define GROUPS_MAXIMUM 256
#define CLIENTS_MAXIMUM 64

struct client {
	struct api *api;
	struct client *next;
	struct channel *channel;
};

struct api {
	struct api_service service;
	struct registry *registry; /* borrowed */
	struct listener *listener; /* owned */
	struct client *clients;    /* owned */
	size_t client_count;
	bool is_closing;
	api_closed_fn closed;
	void *closed_user; /* borrowed */
};

static const Phoenix__Control_Service control_service = PHOENIX__CONTROL__INIT(control__);
static const char *const streaming[] = { "Apply",       "Verify",      "Remove", "Events",
					 "ImageImport", "ImageRemove", "Denials", "RolloutShow",
					 "Unadopt",     "Discard",     "List",   "Health", NULL };

void api_fail_not_found(struct rpc_request *request, const char *name)
{
	struct ph_error error;

	error_set(&error, -ENOENT, name, "phoenixctl list shows what there is",
		  "there is no container of this name");
	rpc_fail(request, &error);
}

bool api_is_selected(const struct selector *selector, const struct container *container)
{
	const Phoenix__ContainerSpec *spec = container->record->spec;

	return selector_matches(selector, container_name(container), spec->labels, spec->n_labels);
}

bool api_select(const struct registry *registry, const char *text, struct selector *ret_selector,
		struct rpc_request *request)
{
	struct selector selector;
	struct ph_error error;

	if (selector_parse(text, &selector, &error) < 0) {
		rpc_fail(request, &error);
		return false;
	}
	*ret_selector = selector;
	if (selector.count == 0)
		return true;
	for (const struct container *container = registry->containers; container;
	     container = container->next)
		if (api_is_selected(&selector, container))
			return true;
	if (selector_is_name(&selector)) {
		api_fail_not_found(request, text);
		return false;
	}
	error_set(&error, -ENOENT, NULL, "phoenixctl list shows what there is, phoenixctl show "
		  "NAME its labels", "the selector '%.80s' selects no container", text);
	rpc_fail(request, &error);
	return false;
}

static bool is_group_member(uid_t uid, gid_t wanted)
{
	const struct passwd *entry = getpwuid(uid);
	gid_t groups[GROUPS_MAXIMUM];
	int count = GROUPS_MAXIMUM;

	if (!entry || getgrouplist(entry->pw_name, entry->pw_gid, groups, &count) < 0)
		return false;
	for (int i = 0; i < count; i++)
		if (groups[i] == wanted)
			return true;
	return false;
}

static bool is_allowed(const struct api *api, const struct ucred *peer)
{
	gid_t group = api->registry->config->control_gid;

	return peer->uid == 0 || peer->uid == geteuid() || peer->gid == group ||
	       is_group_member(peer->uid, group);
}

static void free_when_empty(struct api *api)
{
	api_closed_fn closed = api->closed;
	void *user = api->closed_user;

	if (!api->is_closing || api->clients)
		return;
	free(api);
	closed(user);
}

static void client_closed(void *user, const struct ph_error *error)
{
	struct client *client = user;
	struct api *api = client->api;
	struct client **place = &api->clients;

	while (*place != client)
		place = &(*place)->next;
	*place = client->next;
	api->client_count--;
	free(client);
	free_when_empty(api);
}

static void accepted(void *user, int fd, const struct ucred *peer)
{
	struct api *api = user;
	struct client *client;

	if (!is_allowed(api, peer) || api->client_count >= CLIENTS_MAXIMUM) {
		log_write(LOG_LEVEL_WARNING, "api", NULL, "refused uid %u, process %d", peer->uid,
			  peer->pid);
		close(fd);
		return;
	}
	client = ph_alloc(sizeof(*client));
	client->api = api;
	const struct channel_config config = { .service = &api->service.service.base,
					       .streaming = streaming,
					       .closed = client_closed,
					       .user = client,
					       .barrier = api->registry->barrier };

	if (channel_open(api->registry->loop, fd, &config, &client->channel) < 0) {
		free(client);
		return;
	}
	client->next = api->clients;
	api->clients = client;
	api->client_count++;
}

int api_open(struct registry *registry, struct api **ret_api, struct ph_error *error)
{
	struct address address = { .family = ADDRESS_UNIX };
	struct api *api = ph_alloc(sizeof(*api));
	int r;

	api->registry = registry;
	api->service.service = control_service;
	api->service.registry = registry;
	snprintf(address.path, sizeof(address.path), "%.90s/control.sock", registry->config->run_dir);
	r = listener_open(registry->loop, &address, 0660, accepted, api, &api->listener, error);
	if (r < 0) {
		free(api);
		return r;
	}
	/* Only a group of our own can be given; others are admitted by is_allowed() alone. */
	if (chown(address.path, (uid_t)-1, registry->config->control_gid) < 0)
		log_write(LOG_LEVEL_WARNING, "api", NULL,
			  "%s keeps our own group: add phoenixd's user to the configured group",
			  address.path);
	*ret_api = api;
	return 0;
}

void api_close(struct api *api, api_closed_fn closed, void *user)
{
	api->is_closing = true;
	api->closed = closed;
	api->closed_user = user;
	listener_close(api->listener);
	for (struct client *client = api->clients, *next; client; client = next) {
		next = client->next;
		channel_close(client->channel);
	}
	free_when_empty(api);
}
