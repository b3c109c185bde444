/*
 * All that phoenixd knows and runs: the containers, the operations on them, and the links that they
 * use. Reads the store at start, re-adopts what is running, resumes what was interrupted. Owns the
 * objects; the flows in the other files of this room do the work.
 *
 * Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "common/config.h"
#include "controller/container/allocate.h"
#include "controller/container/journal.h"
#include "controller/container/refresh.h"
#include "controller/link/host_link.h"
#include "controller/link/peer.h"
#include "controller/store/store.h"
#include "proto/control.pb-c.h"
#include "proto/state.pb-c.h"

struct container;
struct loop_watch;
struct operation;
struct ended_record;
struct denials;
struct rollouts;

/* Pushes of agents: so many at a time, that phoenix-host has room for other verbs. */
struct push_queue {
	struct container *first; /* borrowed; waits the longest */
	struct container *last;
	unsigned int out;
	uint64_t connected_ms;   /* monotonic: when an agent last connected, of whatever container */
};

struct registry {
	uv_loop_t *loop;               /* borrowed */
	const struct config *config;   /* borrowed */
	struct barrier *barrier;       /* owned: what anybody is told waits for what was written before */
	struct store *store;           /* owned */
	struct journal *journal;       /* owned */
	struct host_link *host;        /* owned */
	struct denials *denials;       /* owned */
	struct rollouts *rollouts;     /* borrowed; NULL: none are driven here */
	struct container *containers;  /* owned; sorted by name */
	struct container *last;        /* borrowed; of them */
	void *names;                   /* owned: tsearch(3)'s tree of them, by name */
	struct refresh_queue questions; /* for agents' health */
	uint64_t listed_ms;            /* CLOCK_MONOTONIC: phoenix-host's last whole list; 0: none yet */
	struct push_queue pushes;      /* keeper.h's */
	struct operation *operations;  /* owned; those that have not ended */
	struct ended_record *ended;    /* owned; operations that have, and whose records are still stored */
	Phoenix__ProbeReply *probe;    /* owned; the newest, NULL before the first */
	struct timer *poll;            /* owned: health of the whole fleet */
	uint64_t started_ms;           /* wall clock */
	struct loop_watch *loop_watch; /* borrowed; NULL: nobody looks */
	struct agent_hall *hall;       /* owned: agents over vsock; NULL: none come that way */
	char no_vsock[160];            /* why not */
	/* Whether a Unix peer is a process of the container it claims: peer_check(); NULL: tests, whose
	 * agents are not in containers. */
	int (*check_peer)(pid_t pid, const struct peer_expected *expected, struct ph_error *error);
	bool is_polling;
	bool is_adopted;               /* what the store and the host know has been joined */
};

/*
 * Open the store and the event log under STATE/db, connect to phoenix-host, and begin to adopt:
 * containers become known at once, their sessions and operations come back as they connect.
 */
int registry_open(uv_loop_t *loop, const struct config *config, struct registry **ret_registry,
		  struct ph_error *error);

/*
 * Let agents in over vsock through a socket that listens on config->vsock, which is taken over; or
 * remember with a negative errno in its place why that cannot be.
 */
void registry_listen_vsock(struct registry *registry, int fd);

/* Whether agents can come over vsock; fills the error when not. */
bool registry_has_vsock(const struct registry *registry, const char *name, struct ph_error *error);

/* Close everything; containers, agents and operations inside agents go on without us. */
void registry_close(struct registry *registry);

/* Find a container by name; NULL when it is not known. */
struct container *registry_find(const struct registry *registry, const char *name);

/* The container behind a name that need not be one's any more; "": the first. NULL at the end. */
struct container *registry_next(const struct registry *registry, const char *after);

/* Add a container to the list; the registry owns it. */
void registry_add(struct registry *registry, struct container *container);

/* Take a container out of the list without freeing it. */
void registry_take(struct registry *registry, struct container *container);

/*
 * Whether no other container is there: then what all share, the bridge and the profile, goes with this
 * one. Those whose removal or undoing is behind destroying them do not count any more; while others are
 * still being stopped they have interfaces on the bridge, and the last of them takes it along.
 */
bool registry_is_last(const struct registry *registry, const struct container *container);

/* Allocate ids, address (spec's or from the pool) and slot for a new container's record. */
int registry_allocate(const struct registry *registry, Phoenix__ContainerRecord *record,
		      struct ph_error *error);

/* Remember what the host is and can do. */
void registry_set_probe(struct registry *registry, const Phoenix__ProbeReply *probe);
