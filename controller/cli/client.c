#include "controller/cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "common/address.h"
#include "common/channel.h"
#include "common/memory.h"
#include "common/message.h"

struct client {
	uv_loop_t loop;
	struct channel *channel; /* NULL once it has closed */

	bool is_done;
	struct ph_error error; /* of the call */
	ProtobufCMessage *reply;
	void (*item)(void *user, const ProtobufCMessage *item);
	void *user;
};

static void channel_closed(void *user, const struct ph_error *error)
{
	((struct client *)user)->channel = NULL;
}

int client_open(const char *text, struct client **ret_client, struct ph_error *error)
{
	struct client *client;
	struct channel_config config = { .closed = channel_closed };
	struct address address;
	int fd, r;

	r = address_parse(text, &address, error);
	if (r < 0)
		return r;
	fd = address_connect(&address);
	if (fd == -EACCES || fd == -EPERM)
		return error_set(error, fd, text, "be root, or a member of the configured group",
				 "the control socket does not admit you");
	if (fd < 0) {
		error_errno(error, CLIENT_UNREACHABLE, text,
			    "start it: systemctl start phoenix-host phoenixd",
			    "phoenixd does not answer");
		return CLIENT_UNREACHABLE;
	}
	client = ph_alloc(sizeof(*client));
	uv_loop_init(&client->loop);
	config.user = client;
	r = channel_open(&client->loop, fd, &config, &client->channel);
	if (r < 0) {
		uv_loop_close(&client->loop);
		free(client);
		return error_errno(error, r, text, NULL, "open the connection");
	}
	*ret_client = client;
	return 0;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	if (client->channel)
		channel_close(client->channel);
	uv_run(&client->loop, UV_RUN_DEFAULT);
	uv_loop_close(&client->loop);
	free(client);
}

static void call_item(void *user, const ProtobufCMessage *item)
{
	struct client *client = user;

	client->item(client->user, item);
}

static void call_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct client *client = user;

	client->is_done = true;
	client->reply = message_copy(reply);
	if (!error)
		return;
	client->error = *error;
	if (error->code == -ECONNRESET)
		error_set(&client->error, CLIENT_UNREACHABLE, NULL,
			  "what was started goes on; look with: phoenixctl list",
			  "phoenixd has closed the connection");
}

static int call(struct client *client, const char *method, const ProtobufCMessage *request,
		struct ph_error *error)
{
	const struct rpc_handlers handlers = { .item = client->item ? call_item : NULL,
					       .finished = call_finished };
	int r;

	client->is_done = false;
	error_clear(&client->error);
	if (!client->channel)
		return error_set(error, CLIENT_UNREACHABLE, NULL, "try again",
				 "phoenixd has closed the connection");
	r = channel_call(client->channel, &phoenix__control__descriptor, method, request, 0,
			 &handlers, client, NULL);
	if (r < 0)
		return error_errno(error, r, method, NULL, "send the request");
	while (!client->is_done)
		uv_run(&client->loop, UV_RUN_ONCE);
	if (error_is_set(&client->error))
		*error = client->error;
	return client->error.code;
}

int client_call(struct client *client, const char *method, const ProtobufCMessage *request,
		void *ret_reply, struct ph_error *error)
{
	int r;

	client->item = NULL;
	r = call(client, method, request, error);
	if (r == 0)
		*(ProtobufCMessage **)ret_reply = client->reply;
	else
		message_free(client->reply);
	client->reply = NULL;
	return r;
}

int client_stream(struct client *client, const char *method, const ProtobufCMessage *request,
		  void (*item)(void *user, const ProtobufCMessage *item), void *user,
		  struct ph_error *error)
{
	client->item = item;
	client->user = user;
	return call(client, method, request, error);
}
