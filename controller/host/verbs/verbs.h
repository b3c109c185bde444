/*
 * The verbs of phoenix-host: one function each, plain blocking code from top to bottom, run in a
 * child of its own. A verb gets a request that has been validated, does its work, and returns with
 * its reply sent. Doing a verb twice is doing it once.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "common/worker.h"
#include "proto/host.pb-c.h"

/* What the verbs know of this phoenix-host. */
struct verb_host {
	const struct config *config; /* borrowed */
	bool fuse_was_closed;        /* /dev/fuse was not for everybody when we started */
	struct worker_output *output; /* borrowed: where the reply goes */
};

typedef int (*verb_fn)(const struct verb_host *host, const ProtobufCMessage *request,
		       struct ph_error *error);

struct verb {
	const char *name;     /* of the method in host.proto */
	const char *attempt;  /* "start the container": what errors say was attempted */
	verb_fn run;
	uint32_t deadline_ms;
	const char *lock;     /* "container", "image" (with the request's name), or as it is; NULL */
	bool is_named;        /* lock and attempt are about the request's name */
};

#define VERB_KEY_SIZE 80

/* Find a verb by its method's name; NULL when there is none. */
const struct verb *verb_find(const char *name);

/* The name a validated request is about; "" when it is about none. Borrowed from the request. */
const char *verb_subject(const ProtobufCMessage *request);

/* Write what the verb locks for this request, "" when nothing. */
void verb_key(const struct verb *verb, const ProtobufCMessage *request, char key[VERB_KEY_SIZE]);

/* Run a verb in this process: lock, work, reply. */
int verb_run(const struct verb *verb, const struct verb_host *host,
	     const ProtobufCMessage *request, struct ph_error *error);

/* The verbs themselves; each file of the room has some. */
#define VERB(name)                                                                                 \
	int verb_##name(const struct verb_host *host, const ProtobufCMessage *message,             \
			struct ph_error *error)

VERB(probe);
VERB(image_import);
VERB(image_remove);
VERB(image_list);
VERB(network_ensure);
VERB(network_remove);
VERB(confine_ensure);
VERB(confine_remove);
VERB(confine_status);
VERB(preflight);
VERB(container_create);
VERB(container_start);
VERB(container_stop);
VERB(container_destroy);
VERB(container_rebuild);
VERB(container_discard);
VERB(container_observe);
VERB(container_list);
VERB(foreign_list);
VERB(adopt);
VERB(adopt_confine);
VERB(adopt_revert);
VERB(adopt_forget);
VERB(agent_push);
