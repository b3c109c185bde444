/*
 * Whether a request may be carried out. phoenix-host runs as root and takes phoenixd for hostile: no
 * argument reaches a verb before these checks have passed. Pure: what there is on the host is an
 * argument.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "controller/host/verbs/subids.h"
#include "proto/host.pb-c.h"

#define VALIDATE_PROFILE "lxc-phoenix-v2"
#define VALIDATE_PROFILE_STACKED "lxc-phoenix-v2-stacked"
#define VALIDATE_PROFILE_VSOCK "lxc-phoenix-v2-vsock"
#define VALIDATE_PROFILE_STACKED_VSOCK "lxc-phoenix-v2-stacked-vsock"
#define VALIDATE_SLOTS 4096
#define VALIDATE_GRACE_MAXIMUM_MS 600000
#define VALIDATE_MEMORY_MINIMUM (UINT64_C(16) << 20)
#define VALIDATE_MEMORY_MAXIMUM (UINT64_C(16) << 40)
#define VALIDATE_CPU_MAXIMUM 102400 /* percent of one processor */
#define VALIDATE_PIDS_MINIMUM 16
#define VALIDATE_PIDS_MAXIMUM 4194304

/*
 * Check every field of a request of host.proto on its own: syntax, bounds, known enum values.
 * -EINVAL with the field's name as the error's where; -EBADMSG for a message that is no request.
 */
int validate_request(const ProtobufCMessage *request, struct ph_error *error);

/* What a container on this host holds already. */
struct validate_holder {
	char name[64];
	uint32_t id_base;
	uint32_t id_count;
	uint32_t address; /* host byte order */
	uint32_t slot;
};

struct validate_host {
	uint32_t subnet; /* host byte order */
	uint32_t prefix_length;
	const struct subids *subids;             /* borrowed */
	const struct validate_holder *holders;   /* borrowed; the named container may be among them */
	size_t holder_count;
};

/*
 * Check what a container shall be given against the host: ids within root's subordinate ranges and
 * nobody else's, an address of the subnet that is neither reserved nor taken, a free slot. The
 * request has passed validate_request(). -ERANGE, -EADDRINUSE or -EEXIST with who holds it.
 */
int validate_allocation(const Phoenix__ContainerCreateRequest *request,
			const struct validate_host *host, struct ph_error *error);
