/*
 * What the controller may ask of this agent: the handlers of the Agent service. Long work runs in
 * jobs, short blocking work in workers; the loop itself never blocks.
 */
#pragma once

#include <uv.h>

#include "agent/health/clock_watch.h"
#include "agent/job.h"
#include "proto/agent.pb-c.h"

struct service_agent {
	Phoenix__Agent_Service service; /* first: handlers recover this struct from it */
	uv_loop_t *loop;                /* borrowed */
	struct job install;
	struct job verify;
	uint64_t started_ms;
	struct clock_watch clock;       /* seen by every look at health and at dockerd */
	bool supervises;                /* no init here: dockerd is kept running by us */
	struct worker *supervision;     /* a look at dockerd that is in progress */
	bool is_docker_down;            /* the last look found it so, and it was told */
	/* Tell the controller of something; NULL: nobody is told. */
	void (*tell)(void *user, Phoenix__Event__Severity severity, const char *type,
		     const char *reason, const char *message);
	void *tell_user;
};

/* Names of the methods that stream, for the channel. */
extern const char *const service_streaming[];

/* What this agent can do, for its hello; NULL-terminated. */
extern const char *const service_capabilities[];

/* Prepare the handlers. */
void service_agent_init(struct service_agent *agent, uv_loop_t *loop);

/* Keep dockerd running where no init does it, and look at the clocks; to be called every few seconds.
 * Never blocks. */
void service_agent_supervise(struct service_agent *agent);
