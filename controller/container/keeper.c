/*
 * A lost session most likely means a dead agent (its socket hangs up when it is killed), so the push comes
 * soon; but one that got no answer for long, from a phoenixd that a busy machine keeps waiting, hangs up too
 * and dials again. So phoenix-host is asked to spare one that lives: only when that one has not come back
 * for SPARED_MS more it is replaced, for a push takes away what it has not yet told. Pushes that fail, and
 * agents that die young, back off.
 */
#include "controller/container/keeper.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/states.h"
#include "common/str.h"
#include "controller/container/operation.h"
#include "controller/link/agent_key.h"

#define PUSH_TIMEOUT_MS 30000
#define PUSHES_MAXIMUM 16 /* at a time, of all containers */
#define HELLO_TIMEOUT_MS 5000
#define BACKOFF_FIRST_MS 250
#define BACKOFF_LAST_MS 30000
#define QUIET_MS 1500     /* no agent at all has come back for so long: this one does not either */
#define LOST_GRACE_MS 100 /* an agent that has only lost its session dials again within */
#define KNOCK_MS 500      /* who has knocked is heard within */
#define GRACE_LAST_MS 60000
#define SPARED_MS                                                                                  \
	15000 /* one that lives dials each second, and has 15 s for its handshake (agent/link.c) */
#define STABLE_MS 10000 /* a session that lasted this long resets the backoff */

static const char *const state_names[] = { "idle", "waiting", "pushing", "greeting", "backoff" };
#define ANY_STATE                                                                                  \
	(STATE_BIT(KEEPER_IDLE) | STATE_BIT(KEEPER_GRACE) | STATE_BIT(KEEPER_PUSHING) |            \
	 STATE_BIT(KEEPER_HELLO) | STATE_BIT(KEEPER_BACKOFF))
static const uint32_t allowed_moves[] = {
	[KEEPER_IDLE] = STATE_BIT(KEEPER_GRACE) | STATE_BIT(KEEPER_PUSHING) |
			STATE_BIT(KEEPER_BACKOFF),
	[KEEPER_GRACE] = STATE_BIT(KEEPER_IDLE) | STATE_BIT(KEEPER_PUSHING) |
			 STATE_BIT(KEEPER_BACKOFF),
	[KEEPER_PUSHING] = ANY_STATE,
	[KEEPER_HELLO] = ANY_STATE,
	[KEEPER_BACKOFF] = STATE_BIT(KEEPER_IDLE) | STATE_BIT(KEEPER_PUSHING),
};
static const struct states_table states = {
	.name = "keeper", .states = state_names, .count = 5, .allowed = allowed_moves
};

static void push(struct container *container);
static void push_next(struct registry *registry);

static void wait_longer(struct container *container)
{
	states_move(&states, &container->keeper, KEEPER_BACKOFF);
	timer_start(container->keeper_timer, container->backoff_ms, 0);
	container->backoff_ms *= 2;
	if (container->backoff_ms > BACKOFF_LAST_MS)
		container->backoff_ms = BACKOFF_LAST_MS;
}

static void back_off(struct container *container, const struct ph_error *error)
{
	container->push_error = *error;
	wait_longer(container);
	if (container->operation)
		operation_agent_failed(container->operation, error);
}

/* ---- taking turns ---- */

static void queue_add(struct container *container)
{
	struct push_queue *queue = &container->registry->pushes;

	if (queue->last)
		queue->last->next_push = container;
	else
		queue->first = container;
	queue->last = container;
	container->next_push = NULL;
	container->is_push_waiting = true;
}

static void queue_remove(struct container *container)
{
	struct push_queue *queue = &container->registry->pushes;
	struct container *before = NULL;

	for (struct container *at = queue->first; at != container; at = at->next_push)
		before = at;
	if (before)
		before->next_push = container->next_push;
	else
		queue->first = container->next_push;
	if (queue->last == container)
		queue->last = before;
	container->is_push_waiting = false;
}

/* A push has its answer, or is nobody's any more. */
static void push_ended(struct container *container)
{
	container->push = NULL;
	container->registry->pushes.out--;
	push_next(container->registry);
}

static void cancel_push(struct container *container)
{
	struct host_call *call = container->push;

	if (container->is_push_waiting)
		queue_remove(container);
	if (!call)
		return;
	container->push = NULL;
	host_call_cancel(call);
	push_ended(container);
}

static void pushed(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct container *container = user;

	push_ended(container);
	if (container->keeper != KEEPER_PUSHING)
		return;
	if (error) {
		journal_error(container->registry->journal, container_name(container), NULL,
			      "agent.push", "PushFailed", error);
		back_off(container, error);
		return;
	}
	container->is_push_due = ((const Phoenix__AgentPushReply *)reply)->spared;
	if (container_is_connected(container)) { /* its hello overtook the reply */
		keeper_connected(container);
		return;
	}
	states_move(&states, &container->keeper,
		    container->is_push_due ? KEEPER_GRACE : KEEPER_HELLO);
	timer_start(container->keeper_timer, container->is_push_due ? SPARED_MS : HELLO_TIMEOUT_MS,
		    0);
}

static void push_now(struct container *container)
{
	Phoenix__AgentPushRequest request = PHOENIX__AGENT_PUSH_REQUEST__INIT;
	uint8_t key[HANDSHAKE_KEY_SIZE];
	struct ph_error error;

	if (agent_key_ensure(container->registry->config->state_dir, container_name(container),
			     container->registry->barrier, key, &error) < 0) {
		journal_error(container->registry->journal, container_name(container), NULL,
			      "agent.push", "NoKey", &error);
		back_off(container, &error);
		return;
	}
	request.key.data = key;
	request.key.len = sizeof(key);
	request.name = (char *)container_name(container);
	request.boot_id = container->record->incarnation;
	request.spare_living = !container->is_push_due;
	container->registry->pushes.out++;
	host_link_call(container->registry->host, "AgentPush", &request.base, PUSH_TIMEOUT_MS,
		       pushed, container, &container->push);
	explicit_bzero(key, sizeof(key));
}

/* One that fails at once lets the next one have its turn. */
static void push_next(struct registry *registry)
{
	struct push_queue *queue = &registry->pushes;

	while (queue->first && queue->out < PUSHES_MAXIMUM) {
		struct container *container = queue->first;

		queue_remove(container);
		push_now(container);
	}
}

static void push(struct container *container)
{
	states_move(&states, &container->keeper, KEEPER_PUSHING);
	timer_stop(container->keeper_timer);
	queue_add(container);
	push_next(container->registry);
}

/* Whether agents of other containers are still coming back. */
static bool others_come(const struct container *container)
{
	uint64_t now = clock_monotonic_ms();

	return container->grace_ms && now - container->registry->pushes.connected_ms < QUIET_MS &&
	       now - container->grace_ms < GRACE_LAST_MS;
}

/*
 * The wait is over when it has been quiet, twice: a loop that stood still (a slow disk, a machine with too much to
 * do) sees its timers first, and then who has knocked meanwhile.
 */
static bool waits_on(struct container *container)
{
	bool is_over = !others_come(container);
	bool was_over = container->is_grace_over;

	container->is_grace_over = is_over;
	if (is_over && was_over)
		return false;
	timer_start(container->keeper_timer, is_over ? KNOCK_MS : QUIET_MS, 0);
	return true;
}

static void timer_fired(void *user)
{
	struct container *container = user;
	struct ph_error error;
	bool is_waiting = container->keeper == KEEPER_GRACE && !container->is_push_due;

	if (is_waiting && waits_on(container))
		return;
	if (is_waiting && container->is_short_lived) {
		container->is_short_lived = false;
		wait_longer(container);
		return;
	}
	if (container->keeper == KEEPER_HELLO) {
		error_set(&error, -ETIMEDOUT, container_name(container),
			  "look at phoenixctl events for refused peers",
			  "the pushed agent did not say hello within %d s",
			  HELLO_TIMEOUT_MS / 1000);
		back_off(container, &error);
		return;
	}
	push(container);
}

void keeper_init(struct container *container)
{
	container->keeper = KEEPER_IDLE;
	container->backoff_ms = BACKOFF_FIRST_MS;
	container->keeper_timer = timer_new(container->registry->loop, timer_fired, container);
}

void keeper_fini(struct container *container)
{
	cancel_push(container);
	timer_close(container->keeper_timer);
}

void keeper_connected(struct container *container)
{
	container->registry->pushes.connected_ms = clock_monotonic_ms();
	/* While the push call is still out, its reply moves on: pushed() looks at the session. */
	if (container->keeper == KEEPER_PUSHING && container->push)
		return;
	cancel_push(container);
	timer_stop(container->keeper_timer);
	container->connected_ms = clock_monotonic_ms();
	container->is_push_due = false;
	error_clear(&container->push_error);
	states_move(&states, &container->keeper, KEEPER_IDLE);
}

void keeper_push_anew(struct container *container)
{
	if (!container->is_agent_wanted)
		return;
	cancel_push(container);
	container->backoff_ms = BACKOFF_FIRST_MS;
	container->is_push_due = true;
	push(container);
}

void keeper_lost(struct container *container)
{
	if (!container->is_agent_wanted || container->keeper != KEEPER_IDLE)
		return;
	container->is_short_lived = clock_monotonic_ms() - container->connected_ms < STABLE_MS;
	container->grace_ms = 0;
	container->is_grace_over = false;
	states_move(&states, &container->keeper, KEEPER_GRACE);
	timer_start(container->keeper_timer, LOST_GRACE_MS, 0);
}

void container_keep_agent(struct container *container, uint32_t grace_ms)
{
	container->is_agent_wanted = true;
	if (container_is_connected(container) || container->keeper != KEEPER_IDLE)
		return;
	if (grace_ms == 0) {
		push(container);
		return;
	}
	container->grace_ms = clock_monotonic_ms();
	container->is_grace_over = false;
	states_move(&states, &container->keeper, KEEPER_GRACE);
	timer_start(container->keeper_timer, grace_ms, 0);
}

void container_renew_agent(struct container *container)
{
	container->is_agent_wanted = false; /* the loss is ours: no backoff */
	agent_link_drop(container->link);
	container->is_agent_wanted = true;
	container->is_push_due = true;
	if (container->keeper == KEEPER_IDLE)
		push(container);
}

void container_leave_agent(struct container *container)
{
	container->is_agent_wanted = false;
	cancel_push(container);
	timer_stop(container->keeper_timer);
	if (container->keeper != KEEPER_IDLE)
		states_move(&states, &container->keeper, KEEPER_IDLE);
}

const char *keeper_state_name(const struct container *container)
{
	return states_name(&states, container->keeper);
}
