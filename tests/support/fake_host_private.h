/* What the files of the fake phoenix-host share. */
#pragma once

#include "tests/support/fake_host.h"

/* The model behind a generated handler's service pointer. */
static inline struct fake_host *host_of(Phoenix__Host_Service *service)
{
	return (struct fake_host *)service;
}

/* Whether this verb is to fail now; the request is then finished. */
bool fake_host_fails(struct fake_host *host, const char *verb, void *request);

/* Whether this verb is to wait; the request is then kept. */
bool fake_host_holds(struct fake_host *host, const char *verb, void *request);

#define FAIL_BEFORE(verb)                                                                          \
	do {                                                                                       \
		host->calls++;                                                                     \
		if (fake_host_holds(host, verb, request))                                          \
			return;                                                                    \
		if (!host->fail_after && fake_host_fails(host, verb, request))                     \
			return;                                                                    \
	} while (0)

#define FAIL_AFTER(verb)                                                                           \
	do {                                                                                       \
		if (host->fail_after && fake_host_fails(host, verb, request))                      \
			return;                                                                    \
	} while (0)

#define VERB(name, request_type, reply_type)                                                       \
	void host__##name(Phoenix__Host_Service *service,                                          \
				 const Phoenix__##request_type *input,                             \
				 Phoenix__##reply_type##_Closure reply, void *request)

/* Those that are implemented elsewhere than the service. */
VERB(container_rebuild, ContainerRebuildRequest, ContainerObservation);
VERB(container_discard, ContainerRequest, ContainerObservation);
VERB(foreign_list, ForeignListRequest, ForeignListReply);
VERB(adopt, AdoptRequest, AdoptReply);
VERB(adopt_confine, AdoptConfineRequest, AdoptReply);
VERB(adopt_revert, ContainerRequest, AdoptReply);
VERB(adopt_forget, ContainerRequest, AdoptReply);

/* Set a thing of the model, and count it as a write when it was not so before. */
void fake_host_set(struct fake_host *host, bool *thing, bool value, int *ret_changed);

/* A place for another container. */
struct fake_container *fake_host_free_place(struct fake_host *host);

/* Make the directory that its agent's socket lies in. */
void fake_host_make_agent_dir(const struct fake_host *host, const char *name);

/* Fill an observation of a container, which need not exist; its texts are borrowed from the model. */
void fake_host_observe(struct fake_host *host, const char *name,
		       Phoenix__ContainerObservation *ret_observed);

/* The name of a clone method, or of the one that this host takes by itself. */
const char *fake_host_method(const struct fake_host *host, Phoenix__CloneMethod method);

/* Make the root that a spec wants. */
void fake_host_make_root(struct fake_host *host, const Phoenix__ContainerSpec *spec,
			 struct fake_root *ret_root);
