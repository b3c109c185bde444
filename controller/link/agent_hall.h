/*
 * Where agents of all containers come in over vsock. The kernel says nothing of such peers, least of all
 * which container they are in: each proves it with that container's key, and is handed to its link.
 *
 * Loop thread only.
 */
#pragma once

#include <uv.h>

#include "controller/link/agent_link.h"

struct agent_hall;

struct agent_hall_config {
	uv_loop_t *loop;        /* borrowed */
	struct address address; /* that is listened on */
	/* The link of that container, when its agent comes over vsock; else NULL. */
	struct agent_link *(*find)(void *user, const char *name);
	/* Somebody was refused who had claimed to be nobody that find() knows. Rated. */
	void (*refused)(void *user, const struct ph_error *error);
	void *user;
	struct barrier *barrier; /* what agents are told waits for that; borrowed; NULL: none */
};

/* Let agents in through a listening socket, which is taken over, also on failure. */
int agent_hall_open(const struct agent_hall_config *config, int fd, struct agent_hall **ret_hall,
		    struct ph_error *error);

/* Stop listening and close who has not proved himself; sessions stay. NULL is allowed. */
void agent_hall_close(struct agent_hall *hall);
