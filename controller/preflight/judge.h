/*
 * Facts of a host and of the inside of a container -> what stands in Docker's way, and what to do about
 * it. Pure: the same facts give the same findings. Knows neither who found the facts nor who reads the
 * findings; docs/preflight.md explains every id.
 */
#pragma once

#include <stdint.h>

#include "controller/preflight/findings.h"
#include "proto/agent.pb-c.h"

/* What is wanted there; it decides how bad some findings are. */
struct judge_wanted {
	bool is_best_effort; /* the operator accepts that nothing is confined */
	bool needs_fuse;     /* the storage driver is fuse-overlayfs */
	uint32_t containers; /* that Phoenix has on this host */
};

/* Judge the host's facts. */
void judge_host(const Phoenix__HostPreflightReply *facts, const struct judge_wanted *wanted,
		struct findings *findings);

/* Judge what the agent of findings->container claims. Its texts and numbers may be lies. */
void judge_container(const Phoenix__AgentPreflightReply *facts, const struct judge_wanted *wanted,
		     struct findings *findings);

/*
 * Judge an error of Docker that somebody has at hand, against the map of a container: adds a finding,
 * also when the text is about something else.
 */
void judge_error_text(const char *text, uint64_t uid_count, uint64_t gid_count,
		      struct findings *findings);
