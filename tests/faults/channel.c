/*
 * Connections and calls between a listener and its clients: whatever fails, each call that was accepted ends once, and
 * so does each channel; nobody waits for ever.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "proto/agent.pb-c.h"
#include "tests/faults/scene.h"

#define CLIENTS 4
#define CALLS 3
#define CALL_MS 1500

struct story;

struct end {
	struct story *story;
	struct channel *channel;
	bool is_open;
};

struct story {
	Phoenix__Agent_Service service; /* first */
	uv_loop_t loop;
	struct listener *listener;
	struct end servers[2 * CLIENTS], clients[CLIENTS];
	unsigned int opened, closed, accepted, ended;
	bool is_over;
};

static void look(struct story *story)
{
	bool is_open = false;

	for (size_t i = 0; i < CLIENTS; i++)
		is_open = is_open || story->clients[i].is_open;
	story->is_over = !is_open;
}

static void closed(void *user, const struct ph_error *error)
{
	struct end *end = user;

	end->is_open = false;
	end->channel = NULL;
	end->story->closed++;
	look(end->story);
}

static void serve(Phoenix__Agent_Service *service, const Phoenix__HealthRequest *input,
		  Phoenix__HealthReply_Closure reply, void *request)
{
	Phoenix__HealthReply answer = PHOENIX__HEALTH_REPLY__INIT;

	reply(&answer, request);
}

static bool open_end(struct story *story, struct end *end, int fd)
{
	const struct channel_config config = { .service = &story->service.base, .closed = closed, .user = end };

	end->story = story;
	if (channel_open(&story->loop, fd, &config, &end->channel) < 0)
		return false;
	end->is_open = true;
	story->opened++;
	return true;
}

static void accepted(void *user, int fd, const struct ucred *peer)
{
	struct story *story = user;

	for (size_t i = 0; i < ARRAY_LENGTH(story->servers); i++) {
		if (story->servers[i].is_open)
			continue;
		open_end(story, &story->servers[i], fd);
		return;
	}
	close(fd);
}

static void answered(void *user, const ProtobufCMessage *reply, const struct ph_error *error);

/* The next call, or the end. */
static void go_on(struct end *end)
{
	static const struct rpc_handlers handlers = { .finished = answered };
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;

	if (end->story->accepted < CALLS * CLIENTS &&
	    channel_call(end->channel, &phoenix__agent__descriptor, "Health", &request.base, CALL_MS,
			 &handlers, end, NULL) == 0)
		end->story->accepted++;
	else
		channel_close(end->channel);
}

static void answered(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct end *end = user;

	end->story->ended++;
	if (end->is_open && error)
		channel_close(end->channel);
	else if (end->is_open)
		go_on(end);
}

static void begin(struct story *story, const struct address *address)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		int fd = address_connect(address);

		if (fd >= 0 && open_end(story, &story->clients[i], fd))
			go_on(&story->clients[i]);
	}
	look(story);
}

static void end_all(struct story *story)
{
	listener_close(story->listener);
	for (size_t i = 0; i < ARRAY_LENGTH(story->servers); i++)
		if (story->servers[i].is_open)
			channel_close(story->servers[i].channel);
	for (size_t i = 0; i < CLIENTS; i++)
		if (story->clients[i].is_open)
			channel_close(story->clients[i].channel);
	uv_run(&story->loop, UV_RUN_DEFAULT);
}

static void run(struct scene *scene)
{
	struct address address = { .family = ADDRESS_UNIX };
	struct story story = { 0 };
	struct ph_error error;

	phoenix__agent__init(&story.service, NULL);
	story.service.health = serve;
	uv_loop_init(&story.loop);
	snprintf(address.path, sizeof(address.path), "%.90s/socket", scene->directory);
	scene_begin(scene);
	listener_open(&story.loop, &address, 0600, accepted, &story, &story.listener, &error);
	begin(&story, &address);
	scene_run_loop(scene, &story.loop, &story.is_over, 20);
	end_all(&story);
	scene_end(scene);
	if (story.accepted != story.ended || story.opened != story.closed) {
		scene_wrong("%u calls accepted, %u ended; %u channels opened, %u closed", story.accepted,
			    story.ended, story.opened, story.closed);
		abort();
	}
	if (uv_loop_close(&story.loop) < 0)
		abort();
}

const struct scene_type scene_channel = { "channel", run, NULL };
