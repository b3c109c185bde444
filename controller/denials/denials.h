/*
 * phoenixd's knowledge of AppArmor denials: takes what phoenix-host reads, gives each record to its
 * container, keeps the recent patterns, says which deserve an event and tells those who follow.
 * Knows containers by name and id range only, through functions it is given.
 *
 * Loop thread only.
 */
#pragma once

#include "controller/link/host_link.h"
#include "proto/control.pb-c.h"

struct denials;
struct denials_follower;

struct denials_config {
	uv_loop_t *loop;
	struct host_link *host; /* borrowed; outlives the denials */
	/* Whether there is a container of that name. */
	bool (*is_known)(void *user, const char *container);
	/* The container whose id range has that host id; NULL: none. */
	const char *(*owner)(void *user, uint32_t uid);
	/* The container that is the only one there is; NULL: there are none, or several. */
	const char *(*only)(void *user);
	/* A pattern deserves an event. */
	void (*announce)(void *user, const Phoenix__DenialPattern *pattern);
	/* Denials that no pattern tells of, patterns that got no event; container may be "". */
	void (*dropped)(void *user, const char *container, uint64_t denials, uint64_t events);
	/* Denials are read from elsewhere now, or lines were lost since the last call. */
	void (*source)(void *user, const Phoenix__DenialsSource *source, uint64_t lost);
	void *user;
};

/* Begin. */
struct denials *denials_open(const struct denials_config *config);

/* End and free it, before the link to phoenix-host. NULL is allowed. */
void denials_close(struct denials *denials);

/* The link to phoenix-host came up or went down. */
void denials_host_changed(struct denials *denials, bool is_up);

/* A container has gone: forget what was its. denials may be NULL. */
void denials_forget(struct denials *denials, const char *container);

/* Where denials come from now; borrowed. kind "none" with a reason when from nowhere. */
const Phoenix__DenialsSource *denials_source(const struct denials *denials);

/* The patterns of a container, and what was dropped; NULL: all. */
const struct patterns *denials_patterns(const struct denials *denials);

/* Be told of every pattern of a container ("": all) that is counted from now on. */
struct denials_follower *denials_follow(struct denials *denials, const char *container,
					void (*counted)(void *user,
							const Phoenix__DenialPattern *pattern),
					void *user);

/* End that; the function is not called any more. NULL is allowed. */
void denials_unfollow(struct denials_follower *follower);
