/*
 * Looking at the whole fleet: phoenix-host's list page by page, and every agent's health. However large
 * the fleet is, only so many questions are out at a time: each one makes its agent start a process, and
 * the answers of thousands at once would leave nothing for anybody else. Agents that are slow to answer
 * do not count, so that they keep nobody waiting.
 *
 * Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "common/error.h"
#include "common/timer.h"
#include "proto/host.pb-c.h"

struct container;
struct question;
struct registry;

TAILQ_HEAD(questions, question);

/* Of the registry: questions for agents' health. */
struct refresh_queue {
	struct questions waiting; /* owned */
	struct questions out;     /* owned by their calls; oldest first */
	unsigned int busy;        /* of those that are out: not slow yet */
	unsigned int maximum;     /* of those */
	struct timer *slow;       /* owned; runs while some wait */
};

/* Prepare an empty queue. */
void refresh_init(struct registry *registry);

/* Answer all questions that wait as if their agents had gone. */
void refresh_fini(struct registry *registry);

/*
 * Ask phoenix-host for all containers and every agent for its health; done() is called once, when
 * all have answered, or after 2.5 s: answers that come later are still taken. In a fleet that is too
 * large to be asked at once it is called after 250 ms when what is known already is fresh.
 */
void refresh_fleet(struct registry *registry, void (*done)(void *user), void *user);

/*
 * Have what is known be young enough to be shown: as refresh_fleet(), but when the fleet is too large to
 * be asked at once and all that is known of it is fresh, nobody is asked and done() is called before this
 * returns. That is the poll's work then, and asking again for everyone who looks would only slow it down.
 */
void refresh_view(struct registry *registry, void (*done)(void *user), void *user);

/* Whether what every connected agent has last told is so young that a poll's period and its answers cover it. */
bool refresh_is_fresh(const struct registry *registry, uint64_t now_ms);

/* As refresh_fleet(), but of the agents only this container's is asked. */
void refresh_one(struct container *container, void (*done)(void *user), void *user);

/* Ask one agent for its health soon, unless it is asked already. */
void refresh_container(struct container *container);

/* The container goes away: what was asked of it is nobody's any more. */
void refresh_forget(struct container *container);

/*
 * Ask phoenix-host for all containers, and remember what it has seen of each; those that it does not
 * know are not there. timeout_ms is for each page. listed() is called once, with the failure of the
 * first page that failed, or NULL.
 */
void refresh_observed(struct registry *registry, uint32_t timeout_ms,
		      void (*listed)(void *user, const struct ph_error *error), void *user);
