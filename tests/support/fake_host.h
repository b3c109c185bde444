/*
 * A phoenix-host without root: serves the Host verbs on a socket from a small model of a host
 * (network, profile, containers), on the test's own loop. Any verb can be told to fail. What a real
 * host would have left behind is what the model still holds.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/channel.h"
#include "proto/host.pb-c.h"

#define FAKE_CONTAINERS 8
#define FAKE_PAGE 2 /* of the list of containers */
#define FAKE_HELD_MAXIMUM 64
#define FAKE_PROFILE "lxc-phoenix-v2" /* -stacked for that mode */

/* One root file system; whoever has the same serial number is on the same one. */
struct fake_root {
	char image[64];   /* "" for none */
	char method[16];
	unsigned int serial;
};

struct fake_container {
	char name[64];
	bool exists, running;
	bool is_foreign;             /* made by somebody else; adopted or not */
	bool is_adopted, has_our_config;
	bool is_under_profile;       /* since its last start */
	bool is_delicate;            /* does not start under our configuration */
	bool loses_images;           /* one, when it gets our configuration */
	unsigned int images;         /* of its Docker */
	uint32_t first_id;
	char address[16];
	unsigned int pids;           /* its limit */
	char profile[64];            /* that it is configured to run under */
	const char *fails_on_image;  /* it does not start on a root of that; NULL: on all */
	struct fake_root root, kept, prepared;
};

struct fake_agent;

struct fake_host {
	Phoenix__Host_Service service; /* first */
	uv_loop_t *loop;
	struct listener *listener;
	struct channel *channels[8];
	struct fake_container containers[FAKE_CONTAINERS];
	bool network, profile;
	bool apparmor;               /* whether this host can enforce */
	bool no_namespaces;          /* user namespaces are switched off */
	const char *image;           /* the one image there is ... */
	const char *other_image;     /* ... or one of two; NULL */
	uint64_t image_bytes;        /* of each */
	const char *method;          /* that clones are made by; NULL: overlay */
	const char *no_copy;         /* why clones cannot be made by copying; NULL: they can */
	const char *bad_image;       /* containers do not start on it; NULL: on all */
	bool knows_no_roots;         /* as a phoenix-host from before there were several */
	unsigned int roots;          /* that were ever made */
	unsigned int prepared_running; /* made beside the one that a running container has */
	char run_dir[128];
	const char *fail_verb;       /* this verb fails ... */
	unsigned int fail_count;     /* ... so many more times */
	unsigned int fail_call;      /* the call that makes calls this fails, whatever its verb; 0: none */
	bool fail_after;             /* after having done its work, not before */
	const char *hold_verb;       /* requests of this verb wait for fake_host_let_go() */
	const char *hold_when_failed; /* the next hold_verb, once a verb was told to fail; NULL: none */
	void *held[FAKE_HELD_MAXIMUM];
	size_t held_count;
	bool off_label;              /* containers run outside their profile */
	bool starts_off_label;       /* and do so again after a start */
	const char *profile_state;   /* what is found of the profile; NULL: current */
	const char *label;           /* of a running init; NULL: under the profile; a start mends it */
	bool new_text;               /* the next ConfineEnsure replaces the profile in place */
	unsigned int roll_backs;     /* of the profile */
	unsigned int writes;         /* verbs that changed something */
	unsigned int calls;
	struct rpc_request *denials; /* who watches denials; NULL: nobody */
	Phoenix__DenialsItem_Closure denials_reply;
	unsigned int watches;        /* how often somebody began to */
	bool agent_lives;            /* whoever asks to spare a living agent is told that there is one */
	unsigned int spared;         /* how often that was */
	struct fake_agent *agent;    /* how pushed agents behave; borrowed */
};

/* Serve on RUN/host.sock. */
void fake_host_open(struct fake_host *host, uv_loop_t *loop, const char *run_dir);

/* Hang up on everybody and stop listening, as a killed phoenix-host does. */
void fake_host_close(struct fake_host *host);

/* Whether nothing is left: no container, no network, no profile. */
bool fake_host_is_empty(const struct fake_host *host);

/* Let the request that has waited longest fail. */
void fake_host_let_go(struct fake_host *host);

/* Send an item to who watches denials; false when nobody does. */
bool fake_host_deny(struct fake_host *host, const Phoenix__DenialsItem *item);

/* Put a running container of somebody else there, with so many images. */
struct fake_container *fake_host_add_foreign(struct fake_host *host, const char *name,
					     unsigned int images);

/* Find a container of the model; NULL when there is none. */
struct fake_container *fake_host_find(struct fake_host *host, const char *name);
