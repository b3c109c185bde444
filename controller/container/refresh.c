/*
 * A question waits, is out, and is answered; its container may go at any time in between. Whoever asked
 * for a refresh is answered after REFRESH_MS at the latest; what comes later still counts, because a slow
 * answer ("dockerd does not respond") is the one that matters most.
 */
#include "controller/container/refresh.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "controller/container/repair.h"

#define REFRESH_MS 2500
#define REFRESH_HOST_MS 10000
#define REFRESH_AGENT_MS 40000
#define SOON_MS 250
#define FRESH_MS 20000  /* the poll asks all every 15 s */
#define OUT_MAXIMUM 128 /* questions that are out and not slow */
#define SLOW_MS 1000

struct refresh {
	struct registry *registry;
	void (*done)(void *user); /* NULL once it was called */
	void *user;
	struct timer *patience; /* owned */
	size_t waiting;
	bool is_large; /* not all could be asked at once */
};

struct question {
	TAILQ_ENTRY(question) link;
	struct registry *registry;
	struct container *container; /* borrowed; NULL once it has gone */
	struct refresh *refresh;     /* borrowed; NULL: nobody waits */
	uint64_t asked_ms;
	bool is_slow;
};

static void refresh_done(void *user)
{
	struct refresh *refresh = user;
	void (*done)(void *user) = refresh->done;

	refresh->done = NULL;
	if (done)
		done(refresh->user);
}

bool refresh_is_fresh(const struct registry *registry, uint64_t now_ms)
{
	for (const struct container *container = registry->containers; container;
	     container = container->next)
		if (container_is_connected(container) &&
		    (!container->claimed || now_ms - container->claimed_ms > FRESH_MS))
			return false;
	return true;
}

static void patience_ended(void *user)
{
	struct refresh *refresh = user;

	if (refresh->is_large && !refresh_is_fresh(refresh->registry, clock_monotonic_ms())) {
		refresh->is_large = false;
		timer_start(refresh->patience, REFRESH_MS - SOON_MS, 0);
		return;
	}
	refresh_done(refresh);
}

static void refresh_arrived(struct refresh *refresh)
{
	if (!refresh || --refresh->waiting > 0)
		return;
	refresh_done(refresh);
	timer_close(refresh->patience);
	free(refresh);
}

/* ---- the agents ---- */

static void ask_more(struct registry *registry);

static void question_end(struct question *question)
{
	struct refresh *refresh = question->refresh;

	if (question->container)
		question->container->question = NULL;
	free(question);
	refresh_arrived(refresh);
}

static void answered(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct question *question = user;
	struct registry *registry = question->registry;
	struct container *container = question->container;

	TAILQ_REMOVE(&registry->questions.out, question, link);
	registry->questions.busy -= !question->is_slow;
	/* Claims do not go with a late answer, but with the session or with none at all. */
	if (container && error)
		container_set_unhealthy(container, error);
	if (container && !error) {
		container_set_claimed(container, (const Phoenix__HealthReply *)reply);
		repair_consider(container);
	}
	question_end(question);
	ask_more(registry);
}

/* Whether the agent is asked now; else the question is over. */
static bool ask(struct question *question)
{
	static const struct rpc_handlers handlers = { .finished = answered };
	struct refresh_queue *queue = &question->registry->questions;
	Phoenix__HealthRequest health;

	if (!question->container)
		return false;
	container_health_request(question->container, &health);
	if (agent_link_call(question->container->link, "Health", &health.base, REFRESH_AGENT_MS,
			    &handlers, question, NULL) < 0)
		return false;
	question->asked_ms = clock_monotonic_ms();
	TAILQ_INSERT_TAIL(&queue->out, question, link);
	queue->busy++;
	return true;
}

static void ask_more(struct registry *registry)
{
	struct refresh_queue *queue = &registry->questions;
	struct question *question;

	while (queue->busy < queue->maximum && (question = TAILQ_FIRST(&queue->waiting))) {
		TAILQ_REMOVE(&queue->waiting, question, link);
		if (!ask(question))
			question_end(question);
	}
	if (TAILQ_EMPTY(&queue->waiting))
		timer_stop(queue->slow);
}

/* The oldest come first. */
static void look_for_slow(void *user)
{
	struct registry *registry = user;
	struct refresh_queue *queue = &registry->questions;
	uint64_t now = clock_monotonic_ms();
	struct question *question;

	TAILQ_FOREACH(question, &queue->out, link) {
		if (now - question->asked_ms < SLOW_MS)
			break;
		queue->busy -= !question->is_slow;
		question->is_slow = true;
	}
	ask_more(registry);
}

static bool add_question(struct container *container, struct refresh *refresh)
{
	struct refresh_queue *queue = &container->registry->questions;
	struct question *question;

	/* An earlier question is still there: its answer will do. */
	if (container->question || !container_is_connected(container))
		return false;
	question = ph_alloc(sizeof(*question));
	question->registry = container->registry;
	question->container = container;
	question->refresh = refresh;
	container->question = question;
	if (TAILQ_EMPTY(&queue->waiting))
		timer_start(queue->slow, SLOW_MS / 4, SLOW_MS / 4);
	TAILQ_INSERT_TAIL(&queue->waiting, question, link);
	return true;
}

void refresh_container(struct container *container)
{
	if (add_question(container, NULL))
		ask_more(container->registry);
}

void refresh_forget(struct container *container)
{
	if (container->question)
		container->question->container = NULL;
	container->question = NULL;
}

void refresh_init(struct registry *registry)
{
	TAILQ_INIT(&registry->questions.waiting);
	TAILQ_INIT(&registry->questions.out);
	registry->questions.maximum = OUT_MAXIMUM;
	registry->questions.slow = timer_new(registry->loop, look_for_slow, registry);
}

void refresh_fini(struct registry *registry)
{
	struct question *question;

	while ((question = TAILQ_FIRST(&registry->questions.waiting))) {
		TAILQ_REMOVE(&registry->questions.waiting, question, link);
		question_end(question);
	}
	timer_close(registry->questions.slow);
}

/* ---- the host's list ---- */

struct listing {
	struct registry *registry;
	uint32_t timeout_ms;
	void (*listed)(void *user, const struct ph_error *error);
	void *user;
};

static void ask_page(struct listing *listing, const char *after);

/* Who was there when the list was begun and is in none of its pages. Whoever was seen by a verb meanwhile
 * is not missing. */
static void set_missing(struct registry *registry)
{
	for (struct container *container = registry->containers; container;
	     container = container->next) {
		Phoenix__ContainerObservation missing = PHOENIX__CONTAINER_OBSERVATION__INIT;

		missing.name = (char *)container_name(container);
		if (container->is_unlisted)
			container_set_observed(container, &missing);
	}
}

static void take_page(struct registry *registry, const Phoenix__ContainerListReply *page)
{
	for (size_t i = 0; i < page->n_containers; i++) {
		struct container *container = registry_find(registry, page->containers[i]->name);

		if (container)
			container_set_observed(container, page->containers[i]);
	}
}

static void page_listed(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	const Phoenix__ContainerListReply *page = (const Phoenix__ContainerListReply *)reply;
	struct listing *listing = user;

	if (!error)
		take_page(listing->registry, page);
	if (!error && page->more && page->n_containers > 0) {
		ask_page(listing, page->containers[page->n_containers - 1]->name);
		return;
	}
	if (!error) {
		set_missing(listing->registry);
		listing->registry->listed_ms = clock_monotonic_ms();
	}
	listing->listed(listing->user, error);
	free(listing);
}

static void ask_page(struct listing *listing, const char *after)
{
	Phoenix__ContainerListRequest request = PHOENIX__CONTAINER_LIST_REQUEST__INIT;

	request.after = (char *)after;
	host_link_call(listing->registry->host, "ContainerList", &request.base,
		       listing->timeout_ms, page_listed, listing, NULL);
}

void refresh_observed(struct registry *registry, uint32_t timeout_ms,
		      void (*listed)(void *user, const struct ph_error *error), void *user)
{
	struct listing *listing = ph_alloc(sizeof(*listing));

	*listing = (struct listing){ registry, timeout_ms, listed, user };
	for (struct container *container = registry->containers; container;
	     container = container->next)
		container->is_unlisted = true;
	ask_page(listing, "");
}

/* ---- both ---- */

static void host_listed(void *user, const struct ph_error *error)
{
	refresh_arrived(user);
}

/* A refresh that waits for phoenix-host's list so far. */
static struct refresh *refresh_begin(struct registry *registry, void (*done)(void *user),
				     void *user)
{
	struct refresh *refresh = ph_alloc(sizeof(*refresh));

	refresh->registry = registry;
	refresh->done = done;
	refresh->user = user;
	refresh->waiting = 1;
	refresh->patience = timer_new(registry->loop, patience_ended, refresh);
	refresh_observed(registry, REFRESH_HOST_MS, host_listed, refresh);
	return refresh;
}

void refresh_fleet(struct registry *registry, void (*done)(void *user), void *user)
{
	struct refresh *refresh = refresh_begin(registry, done, user);

	for (struct container *container = registry->containers; container;
	     container = container->next)
		refresh->waiting += add_question(container, refresh);
	ask_more(registry);
	refresh->is_large = !TAILQ_EMPTY(&registry->questions.waiting);
	timer_start(refresh->patience, refresh->is_large ? SOON_MS : REFRESH_MS, 0);
}

void refresh_one(struct container *container, void (*done)(void *user), void *user)
{
	struct refresh *refresh = refresh_begin(container->registry, done, user);

	refresh->waiting += add_question(container, refresh);
	ask_more(container->registry);
	timer_start(refresh->patience, REFRESH_MS, 0);
}

/* Whether more agents are there than may be asked at once. */
static bool is_large(const struct registry *registry)
{
	unsigned int connected = 0;

	for (const struct container *container = registry->containers; container;
	     container = container->next)
		connected += container_is_connected(container);
	return connected > registry->questions.maximum;
}

void refresh_view(struct registry *registry, void (*done)(void *user), void *user)
{
	uint64_t now = clock_monotonic_ms();

	if (is_large(registry) && registry->listed_ms && now - registry->listed_ms <= FRESH_MS &&
	    refresh_is_fresh(registry, now))
		done(user);
	else
		refresh_fleet(registry, done, user);
}
