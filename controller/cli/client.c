#include "controller/cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/address.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/loop.h"
#include "common/memory.h"
#include "common/message.h"

struct client {
	uv_loop_t loop;
	struct channel *channel; /* NULL once it has closed */
	struct ph_error closed;  /* why it has */
	uint32_t timeout_ms;

	/* The call in progress. */
	struct rpc_call *call;
	bool is_done;
	struct ph_error error; /* what the peer said, or rpc */
	struct ph_error stop;  /* what item said */
	ProtobufCMessage *reply;
	client_item_fn item;
	void *user;
};

static void channel_closed(void *user, const struct ph_error *error)
{
	struct client *client = user;

	client->channel = NULL;
	client->closed = *error;
}

int client_open(const char *text, uint32_t timeout_ms, struct client **ret_client,
		struct ph_error *error)
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
	if (fd < 0)
		return error_set(error, CLIENT_UNREACHABLE, text,
				 "start it: systemctl start phoenix-host phoenixd",
				 "phoenixd does not answer: %s", strerror(-fd));
	client = ph_alloc(sizeof(*client));
	client->timeout_ms = timeout_ms;
	loop_adopt_memory();
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

	if (client->stop.code == 0)
		client->stop.code = client->item(client->user, item, &client->stop);
}

static void call_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct client *client = user;

	client->is_done = true;
	client->call = NULL;
	client->reply = message_copy(reply);
	if (error)
		client->error = *error;
}

static int lost(const struct client *client, struct ph_error *error)
{
	if (client->closed.code == -ECONNRESET || client->closed.code == 0)
		return error_set(error, CLIENT_UNREACHABLE, NULL,
				 "what was started goes on; look with: phoenixctl list. If it is "
				 "so every time: be root, or a member of the configured group",
				 "phoenixd has closed the connection");
	return error_set(error, CLIENT_UNREACHABLE, NULL,
			 "use a phoenixctl and a phoenixd of the same version",
			 "phoenixd does not speak our language: %s", client->closed.why);
}

/* What a finished call came to. Contact is judged by us; no peer's error can pose as its loss. */
static int outcome(const struct client *client, uint64_t waited_ms, uint32_t timeout_ms,
		   struct ph_error *error)
{
	int code = client->error.code;

	if (code == 0)
		return 0;
	if (code == -ECONNRESET && !client->channel)
		return lost(client, error);
	if (code == -ETIMEDOUT && timeout_ms && waited_ms >= timeout_ms)
		return error_set(error, CLIENT_UNREACHABLE, NULL,
				 "look at it: systemctl status phoenixd; or allow it more with "
				 "--timeout",
				 "phoenixd did not answer within %.0f s",
				 (double)timeout_ms / 1000);
	*error = client->error;
	error->code = code == CLIENT_UNREACHABLE ? -EIO : code;
	return error->code;
}

static int call(struct client *client, const char *method, const ProtobufCMessage *request,
		uint32_t timeout_ms, struct ph_error *error)
{
	const struct rpc_handlers handlers = { .item = client->item ? call_item : NULL,
					       .finished = call_finished };
	uint64_t started_ms = clock_monotonic_ms();
	int r;

	client->is_done = false;
	error_clear(&client->error);
	error_clear(&client->stop);
	if (!client->channel)
		return lost(client, error);
	r = channel_call(client->channel, &phoenix__control__descriptor, method, request,
			 timeout_ms, &handlers, client, &client->call);
	if (r < 0)
		return error_errno(error, r, method, NULL, "send the request");
	while (!client->is_done && client->stop.code == 0)
		uv_run(&client->loop, UV_RUN_ONCE);
	if (!client->is_done)
		rpc_cancel(client->call);
	if (client->stop.code < 0) {
		*error = client->stop;
		return error->code;
	}
	return outcome(client, clock_monotonic_ms() - started_ms, timeout_ms, error);
}

int client_call(struct client *client, const char *method, const ProtobufCMessage *request,
		void *ret_reply, struct ph_error *error)
{
	int r;

	client->item = NULL;
	r = call(client, method, request, client->timeout_ms, error);
	if (r == 0)
		*(ProtobufCMessage **)ret_reply = client->reply;
	else
		message_free(client->reply);
	client->reply = NULL;
	return r;
}

int client_collect(struct client *client, const char *method, const ProtobufCMessage *request,
		   client_item_fn item, void *user, struct ph_error *error)
{
	client->item = item;
	client->user = user;
	return call(client, method, request, client->timeout_ms, error);
}

int client_stream(struct client *client, const char *method, const ProtobufCMessage *request,
		  client_item_fn item, void *user, struct ph_error *error)
{
	client->item = item;
	client->user = user;
	return call(client, method, request, 0, error);
}
