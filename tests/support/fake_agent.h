/*
 * Agents without containers: connect to a container's agent socket on the test's own loop, say
 * hello, and answer the Agent calls as told. Behaves like a pushed agent as far as phoenixd can see.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define FAKE_AGENTS 8

struct fake_agent_session;

struct fake_agent {
	struct fake_agent_session *sessions[FAKE_AGENTS];
	bool silent;             /* connects, but never says hello */
	bool fail_install;       /* Install fails at its own step "fetch" */
	bool fail_verify;        /* a check of Verify fails */
	bool has_clash;          /* runc could not write sysctls in it */
	bool hang_install;       /* Install never ends by itself */
	bool installed;          /* Docker is there: Install reports no change */
	unsigned int starts;     /* fake_agent_start() calls */
	unsigned int installs;   /* Install calls that did something */
	unsigned int verifies;
	unsigned int resumes;    /* nested containers released by the controller */
	bool is_older;           /* says hello as one from before capabilities */
	uint16_t protocol_oldest, protocol; /* that it speaks; 0: as a real one */
	const char *poisoned;    /* in this container no install with docker.daemon works */
	unsigned int fragments;  /* installs with docker.daemon that were asked for */
	const char *input;       /* value of the one health input; NULL: "1" */
	unsigned int sourceless; /* Health calls that do not say where Docker comes from */
	const char *dead;        /* id of a nested container whose storage is dead; NULL: none */
	unsigned int repairs;    /* Repair calls; each brings the dead one back to life */
};

/*
 * Start an agent for a container, after ending the one it had. It connects with the effective uid
 * given, the container's first id, which needs root unless that is who we are, and shakes hands with
 * that key of HANDSHAKE_KEY_SIZE bytes.
 */
void fake_agent_start(struct fake_agent *agent, uv_loop_t *loop, const char *run_dir,
		      const char *name, const char *boot_id, const uint8_t *key, uid_t uid);

/* Kill the agent of a container; nothing when it has none. */
void fake_agent_kill(struct fake_agent *agent, const char *name);

/* Kill all. */
void fake_agent_kill_all(struct fake_agent *agent);
