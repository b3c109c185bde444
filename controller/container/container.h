/*
 * One container as phoenixd knows it: its record in the store, its link to the agent, what the host
 * last observed of it and what its agent last claimed. Knows how to save itself and how to keep an
 * agent running in it; what is done to it is the business of operations.
 *
 *   phase: preparing -> running <-> failed, any -> removing
 */
#pragma once

#include "common/timer.h"
#include "controller/container/conditions.h"
#include "controller/container/registry.h"
#include "controller/link/agent_link.h"

#define CONTAINER_PHASE_PREPARING "preparing"
#define CONTAINER_PHASE_RUNNING "running"
#define CONTAINER_PHASE_FAILED "failed"
#define CONTAINER_PHASE_REMOVING "removing"

enum keeper_state {
	KEEPER_IDLE,    /* not wanted, or an agent is connected */
	KEEPER_GRACE,   /* an agent may still come back by itself */
	KEEPER_PUSHING, /* phoenix-host is pushing one */
	KEEPER_HELLO,   /* pushed: its hello is awaited */
	KEEPER_BACKOFF, /* the last push failed */
};

struct container {
	char name[64];                     /* first: the registry finds it by this */
	struct container *next;
	struct registry *registry;         /* borrowed */
	Phoenix__ContainerRecord *record;  /* owned; as it is in the store */
	uint64_t revision;                 /* of the record in the store; 0: not stored yet */
	struct agent_link *link;           /* owned */
	Phoenix__HelloRequest *hello;      /* owned; of the connected agent */
	Phoenix__ContainerObservation *observed; /* owned; NULL: never looked */
	Phoenix__HealthReply *claimed;     /* owned; NULL: never asked, or agent lost */
	uint64_t claimed_ms;               /* monotonic: when it was told */
	struct question *question;         /* borrowed; for its claims, waiting or out */
	bool is_unlisted;                  /* not seen since the host's list was begun */
	bool is_repairing;                 /* a repair is being done in it */
	bool is_repair_limited;            /* that no more are made was told */
	char health_problem[320];          /* why the last such question failed; "": it did not */
	struct conditions conditions;
	struct operation *operation;       /* borrowed; the one in progress */

	bool is_agent_wanted;              /* a lost agent is pushed again */
	unsigned int keeper;               /* enum keeper_state */
	struct timer *keeper_timer;        /* owned */
	struct host_call *push;            /* borrowed; while pushing */
	struct container *next_push;       /* borrowed; while it waits for its turn */
	bool is_push_waiting;
	uint32_t backoff_ms;
	uint64_t grace_ms;                 /* monotonic: when the wait for its agent began */
	bool is_grace_over;                /* and its time was up once */
	bool is_push_due;                  /* the next push replaces one that lives, too */
	bool is_short_lived;               /* the session that was lost: pushes are to back off */
	char *drift;                       /* owned; what the last poll found, "" nothing, NULL none yet */
	char spool[32];                    /* the stream of the agent's events */
	uint64_t spool_seq;                /* the last of them that was taken */
	bool is_spool_known;               /* what an earlier phoenixd has taken was looked up */
	char *told;                        /* owned: the conditions as they were told last; NULL: not looked up */
	uint64_t connected_ms;             /* monotonic: when the last session began */
	struct ph_error push_error;        /* why the last push failed */
};

/* Make a container around a record, which it takes over. */
struct container *container_new(struct registry *registry, Phoenix__ContainerRecord *record);

/* Close its link and timers and free it. NULL is allowed. */
void container_free(struct container *container);

/* Its name; borrowed. */
const char *container_name(const struct container *container);

/* Write the record to the store: one compare-and-set. */
int container_save(struct container *container, struct ph_error *error);

/*
 * Give the start that is to come a nonce that its agents must show; saved before the container runs.
 */
int container_renew_incarnation(struct container *container, struct ph_error *error);

/* Delete the record from the store. */
int container_delete(struct container *container, struct ph_error *error);

/* Set the phase and save: 0, or what container_save() says, which is written as an event as well. */
int container_set_phase(struct container *container, const char *phase,
			const struct ph_error *failure, struct ph_error *error);

/* Whether its record is in that phase. */
bool container_is(const struct container *container, const char *phase);

/* Whether an agent of its current start is connected. */
bool container_is_connected(const struct container *container);

/*
 * Keep an agent running in it from now on: wait grace_ms for one to connect by itself, then push.
 * A lost agent is pushed again at once, with backoff when pushes fail. Idempotent.
 */
void container_keep_agent(struct container *container, uint32_t grace_ms);

/* Drop the session of the connected agent and push the controller's own in its place. */
void container_renew_agent(struct container *container);

/* Stop keeping an agent: before it is stopped or removed. */
void container_leave_agent(struct container *container);

/*
 * Give it a new key: the session of the old one ends at once, and the agent is pushed again with the new
 * one. Work in progress goes on in the container and is attached to again.
 */
int container_rotate_key(struct container *container, struct ph_error *error);

/* Remember what the host observed, and recompute the conditions. */
void container_set_observed(struct container *container,
			    const Phoenix__ContainerObservation *observed);

/* The agent could not tell how it is: forget what it claimed, and recompute the conditions. */
void container_set_unhealthy(struct container *container, const struct ph_error *error);

/* Remember what the agent claimed (NULL: nothing any more), and recompute the conditions. */
void container_set_claimed(struct container *container, const Phoenix__HealthReply *claimed);

/* Recompute the conditions; transitions become events. */
void container_update_conditions(struct container *container);

/* The storage driver that was chosen for it; the fleet file's own where that names one; "": not known
 * yet. */
const char *container_driver(const struct container *container);

/* What its agent is to be asked about its health; everything is borrowed from the container. */
void container_health_request(const struct container *container,
			      Phoenix__HealthRequest *ret_request);

/* Whether it is ready: last verify passed, its inputs unchanged, confined as asked, connected. */
bool container_is_ready(const struct container *container);

/* Everything known of it, borrowed: only as long as nothing of it changes. */
void container_borrow_status(const struct container *container,
			     Phoenix__ContainerStatus *ret_status);

/* Everything known of it, as a message of its own; free with message_free(). */
Phoenix__ContainerStatus *container_status(const struct container *container);
