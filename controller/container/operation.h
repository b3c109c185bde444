/*
 * An operation on one container: a flow whose current step is recorded in the store before it runs,
 * so that a restarted phoenixd resumes there. Gives steps two ways to wait, a verb of phoenix-host
 * and a method of the agent, and tells watchers (API streams) and the event log how it goes.
 *
 * An operation outlives the client that asked for it. One operation per container at a time.
 */
#pragma once

#include "common/flow.h"
#include "controller/container/container.h"

struct operation;

/* What an operation does: its name in the store and its story. */
struct operation_type {
	const char *name;               /* "apply" */
	const struct flow_step *steps;  /* their subject is the struct operation */
	size_t count;
	/* The flow has ended; error NULL on success. The container's phase is set and saved in here: 0, or a
	 * negative errno with unsaved filled. */
	int (*ended)(struct operation *operation, const struct ph_error *error,
		     struct ph_error *unsaved);
};

extern const struct operation_type operation_apply;
extern const struct operation_type operation_remove;
extern const struct operation_type operation_verify;
extern const struct operation_type operation_confine;
extern const struct operation_type operation_unconfine;
extern const struct operation_type operation_unadopt;
extern const struct operation_type operation_rebuild;
extern const struct operation_type operation_discard;

/* A client that follows an operation. Owned by the client, which unwatches before it goes. */
struct operation_watcher {
	struct operation_watcher *next;
	struct operation *operation; /* NULL once it has ended */
	void (*progress)(void *user, const Phoenix__Progress *progress);
	void (*check)(void *user, const Phoenix__Check *check); /* may be NULL */
	/* Exactly once; name is the container's, changed whether anything was written. */
	void (*ended)(void *user, const char *name, bool changed, const struct ph_error *error);
	void *user;
};

/* What a step does with a reply: a flow_outcome or a negative errno with the error filled. */
typedef int (*operation_replied_fn)(struct operation *operation, const ProtobufCMessage *reply,
				    struct ph_error *error);

struct operation {
	struct operation *next;
	struct registry *registry;            /* borrowed */
	struct container *container;          /* borrowed; NULL once the container is gone */
	const struct operation_type *type;
	Phoenix__OperationRecord *record;     /* owned; as it is in the store */
	struct flow flow;
	struct timer *timer;                  /* owned: step deadlines */
	struct timer *again;                  /* owned: operation_again_later(); NULL until used */
	flow_step_fn again_step;
	struct operation_watcher *watchers;   /* borrowed list */
	bool has_changed;                     /* a step reported FLOW_NEXT */
	bool is_made_here;                    /* this run of the flow made the container */
	bool is_policy_replaced;              /* this run replaced the profile under running containers */

	struct host_call *host_call;          /* borrowed; in flight */
	struct rpc_call *agent_call;          /* borrowed; in flight */
	operation_replied_fn replied;
	const char *agent_method;             /* the call to make (again) when an agent connects */
	ProtobufCMessage *agent_request;      /* owned */
	void (*agent_item)(struct operation *operation, const ProtobufCMessage *item);
	unsigned int agent_tries;
	bool agent_was_connected;             /* before this operation asked for one */

	Phoenix__ContainerObservation *nested; /* owned: seen while the nested container ran */
	Phoenix__VerifyReport *report;         /* owned: of a verify in progress */
	Phoenix__InstallItem *installed;       /* owned: summary of the install */
};

/* An operation that is asked for, with all that it may be told. */
struct operation_order {
	const struct operation_type *type;
	const Phoenix__ContainerSpec *spec; /* desired, for apply and rebuild; else NULL */
	const char *id;  /* its name in the store; NULL: a random one */
	bool is_new;     /* the container is made by it */
	bool keeps;      /* a failure undoes nothing */
	bool push_agent; /* push the agent again, also where one is connected */
	/* Of a rebuild: how the root file system is to be made, or was; CLONE_AUTO: as spec says. */
	Phoenix__CloneMethod clone;
	bool only_back; /* of a rebuild: to a root file system that is there, no other is made */
};

/*
 * Start an operation on a container that has none in progress. watcher may be NULL. -EBUSY with the operation in the
 * way, or what the disk said: nothing that is not recorded begins. A container that the order was to make is gone then.
 */
int operation_start_order(struct container *container, const struct operation_order *order,
			  struct operation_watcher *watcher, struct ph_error *error);

/*
 * End an operation that waits, with -ECANCELED: what it has begun elsewhere may still go on. It may be
 * gone when this returns.
 */
void operation_cancel(struct operation *operation);

/* operation_start_order() with what most orders say; spec is the desired one for apply, else NULL. */
int operation_start(struct container *container, const struct operation_type *type,
		    const Phoenix__ContainerSpec *spec, bool is_new,
		    struct operation_watcher *watcher, struct ph_error *error);

/* Resume one that a former phoenixd recorded; takes the record over. */
void operation_resume(struct container *container, Phoenix__OperationRecord *record);

/* Follow an operation in progress. */
void operation_watch(struct operation *operation, struct operation_watcher *watcher);

/* Stop following; nothing when it has ended. */
void operation_unwatch(struct operation_watcher *watcher);

/* Drop an operation without touching its record: phoenixd is going away. */
void operation_abandon(struct operation *operation);

/* Step helper: run a verb of phoenix-host; returns FLOW_WAIT. */
int operation_host(struct operation *operation, const char *verb, const ProtobufCMessage *request,
		   uint32_t timeout_ms, operation_replied_fn replied);

/*
 * Step helper: call the agent, again when it is lost and comes back (the request carries the
 * operation's id, so that the agent attaches to work in progress); returns FLOW_WAIT.
 */
int operation_agent(struct operation *operation, const char *method,
		    const ProtobufCMessage *request,
		    void (*item)(struct operation *operation, const ProtobufCMessage *item),
		    operation_replied_fn replied);

/* Step helper: run a step again after a second; its own deadline ends that. Returns FLOW_WAIT. */
int operation_again_later(struct operation *operation, flow_step_fn step);

/* End the wait of the current step. */
void operation_step_done(struct operation *operation, int outcome, const struct ph_error *error);

/* An agent of its container has connected. */
void operation_agent_connected(struct operation *operation);

/* An agent could not be brought up; the step that needs it fails when it keeps happening. */
void operation_agent_failed(struct operation *operation, const struct ph_error *error);

/* Pass something on to the watchers and the event log. */
void operation_tell(struct operation *operation, Phoenix__Progress *progress);

/* Pass a check of a verify run on to the watchers. */
void operation_tell_check(struct operation *operation, const Phoenix__Check *check);
