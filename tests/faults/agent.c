/*
 * phoenixd's link to an agent that comes, is asked, is lost and comes again: sessions and calls end once each, and after
 * all that failed the link takes the next agent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/link/agent_link.h"
#include "tests/faults/scene.h"
#include "tests/support/fake_agent.h"

#define NAME "web1"
#define BOOT_ID "0123456789abcdef"
#define SESSIONS 3
#define CALL_MS 1500

struct story {
	uv_loop_t loop;
	struct agent_link *link;
	struct fake_agent agent;
	uint8_t key[HANDSHAKE_KEY_SIZE];
	unsigned int accepted, ended;
	bool has_session, is_over;
};

static int find_key(void *user, uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	memcpy(ret_key, ((struct story *)user)->key, HANDSHAKE_KEY_SIZE);
	return 0;
}

static void answered(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct story *story = user;

	story->ended++;
	story->is_over = true;
}

static void connected(void *user, const Phoenix__HelloRequest *hello)
{
	static const struct rpc_handlers handlers = { .finished = answered };
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;
	struct story *story = user;

	story->has_session = true;
	if (agent_link_call(story->link, "Health", &request.base, CALL_MS, &handlers, story, NULL) >= 0)
		story->accepted++;
}

static void lost(void *user, bool was_session, const struct ph_error *error)
{
	struct story *story = user;

	if (was_session && !story->has_session) {
		scene_wrong("a session was lost that never was");
		abort();
	}
	if (was_session)
		story->has_session = false;
	story->is_over = true;
}

static void published(void *user, const Phoenix__PublishRequest *request, size_t count,
		      void (*stored)(void *publication), void *publication)
{
	stored(publication);
}

static void limited(void *user, const struct agent_excess *excess)
{
}

static bool allowed(void *user, const char *method)
{
	return true;
}

/* An agent may be hung up on before anybody has looked at it: there is one descriptor too few for it. */
static void look(uv_timer_t *timer)
{
	struct story *story = timer->data;

	if (!story->agent.sessions[0])
		story->is_over = true;
}

/* Whether an agent gets a session and an answer. */
static bool meet(const struct scene *scene, struct story *story)
{
	unsigned int before = story->ended;
	uv_timer_t timer;
	bool is_met;

	story->is_over = false;
	fake_agent_start(&story->agent, &story->loop, scene->directory, NAME, BOOT_ID, story->key, geteuid());
	if (!story->agent.sessions[0])
		return false; /* it could not even connect */
	uv_timer_init(&story->loop, &timer);
	timer.data = story;
	uv_timer_start(&timer, look, 10, 10);
	scene_run_loop(scene, &story->loop, &story->is_over, 20);
	uv_close((uv_handle_t *)&timer, NULL);
	is_met = story->ended > before;
	fake_agent_kill_all(&story->agent);
	for (int i = 0; i < 20; i++)
		uv_run(&story->loop, UV_RUN_NOWAIT);
	return is_met;
}

static void make_directories(const struct scene *scene)
{
	mkdir(scene_file(scene, "agents"), 0755);
	mkdir(scene_file(scene, "agents/" NAME), 0755);
}

static void run(struct scene *scene)
{
	struct story story = { 0 };
	const struct agent_link_config config = { .loop = &story.loop, .run_dir = scene->directory, .name = NAME,
						  .id_base = geteuid(), .id_count = 1, .find_key = find_key,
						  .connected = connected, .lost = lost, .published = published,
						  .limited = limited, .allowed = allowed, .user = &story };
	struct ph_error error;
	bool is_listening = false;

	make_directories(scene);
	uv_loop_init(&story.loop);
	scene_begin(scene);
	story.link = agent_link_new(&config);
	agent_link_expect(story.link, BOOT_ID);
	for (int i = 0; i < SESSIONS; i++) {
		is_listening = agent_link_listen(story.link, &error) == 0;
		if (is_listening)
			meet(scene, &story);
	}
	scene_end(scene);
	if (agent_link_listen(story.link, &error) < 0 || !meet(scene, &story)) {
		scene_wrong("nothing fails any more, and an agent gets no answer");
		abort();
	}
	agent_link_close(story.link);
	uv_run(&story.loop, UV_RUN_DEFAULT);
	if (story.accepted != story.ended || uv_loop_close(&story.loop) < 0) {
		scene_wrong("%u calls accepted, %u ended", story.accepted, story.ended);
		abort();
	}
}

const struct scene_type scene_agent = { "agent", run, NULL };
