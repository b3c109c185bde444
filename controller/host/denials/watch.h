/*
 * phoenix-host's half of DenialsWatch: one reader process per request, for as long as phoenixd
 * listens. Loop thread only.
 */
#pragma once

#include "common/config.h"
#include "common/rpc.h"
#include "common/worker.h"

#define WATCHES_MAXIMUM 4

struct watches {
	uv_loop_t *loop;             /* borrowed */
	const struct config *config; /* borrowed */
	uint32_t first_id;           /* where the id ranges of containers begin */
	struct watch *first;         /* owned */
};

/*
 * Serve a request until its peer goes or the reader ends: reply streams DenialsItem messages. Always
 * finishes the request.
 */
void watches_serve(struct watches *watches, ProtobufCClosure reply, struct rpc_request *request);

/* End all: their requests fail with -ECANCELED, their readers are killed. */
void watches_close(struct watches *watches);
