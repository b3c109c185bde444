/*
 * The tables come first. They are of the peer's choice only in the rows of agents: phoenix-host,
 * phoenixd and phoenixctl are bounded too, since each of them may have been taken over.
 */
#include "common/limits.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/str.h"

#define KIB 1024
#define FIELDS_MAXIMUM 96 /* fields of the largest message, with room */

static const struct limits_method methods[] = {
	/* an agent asks phoenixd */
	{ "phoenix.Controller", "Hello", 4 * KIB, 1 * KIB, 1, 0 },
	{ "phoenix.Controller", "Heartbeat", 256, 256, 1, 0 },
	{ "phoenix.Controller", "Publish", 64 * KIB, 256, 1, 0 },
	/* phoenixd asks an agent */
	{ "phoenix.Agent", "Describe", 256, 16 * KIB, 1, 0 },
	{ "phoenix.Agent", "Install", 128 * KIB, 32 * KIB, 4096, 256 },
	{ "phoenix.Agent", "Verify", 4 * KIB, 64 * KIB, 1024, 256 },
	{ "phoenix.Agent", "Resume", 1 * KIB, 256, 1, 0 },
	{ "phoenix.Agent", "Health", 4 * KIB, 32 * KIB, 1, 0 },
	{ "phoenix.Agent", "Repair", 256, 4 * KIB, 1, 0 },
	{ "phoenix.Agent", "Storage", 4 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Agent", "Preflight", 256, 32 * KIB, 1, 0 },
	/* phoenixd asks phoenix-host */
	{ "phoenix.Host", "Probe", 256, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "ImageImport", 2 * KIB, 4 * KIB, 1, 0 },
	{ "phoenix.Host", "ImageRemove", 1 * KIB, 4 * KIB, 1, 0 },
	{ "phoenix.Host", "ImageList", 256, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Host", "NetworkEnsure", 256, 16 * KIB, 1, 0 },
	{ "phoenix.Host", "NetworkRemove", 256, 16 * KIB, 1, 0 },
	{ "phoenix.Host", "ConfineEnsure", 256, 4 * KIB, 1, 0 },
	{ "phoenix.Host", "ConfineRemove", 256, 4 * KIB, 1, 0 },
	{ "phoenix.Host", "ConfineStatus", 256, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Host", "ContainerCreate", 192 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "ContainerStart", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "ContainerStop", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "ContainerDestroy", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "ContainerRebuild", 192 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "ContainerDiscard", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "ContainerObserve", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "ContainerList", 256, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Host", "ForeignList", 256, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Host", "Adopt", 8 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "AdoptConfine", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "AdoptRevert", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "AdoptForget", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Host", "AgentPush", 4 * KIB, 4 * KIB, 1, 0 },
	{ "phoenix.Host", "Preflight", 256, 128 * KIB, 1, 0 },
	{ "phoenix.Host", "DenialsWatch", 256, FRAME_LIMIT, 0, 0 },
	/* phoenixctl asks phoenixd */
	{ "phoenix.Control", "Version", 256, 4 * KIB, 1, 0 },
	{ "phoenix.Control", "Apply", FRAME_LIMIT, 128 * KIB, 0, 0 },
	{ "phoenix.Control", "List", 1 * KIB, FRAME_LIMIT, 0, 4 },
	{ "phoenix.Control", "Show", 1 * KIB, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "Health", 1 * KIB, FRAME_LIMIT, 0, 4 },
	{ "phoenix.Control", "Verify", 1 * KIB, 128 * KIB, 0, 0 },
	{ "phoenix.Control", "Remove", 1 * KIB, 128 * KIB, 0, 0 },
	{ "phoenix.Control", "Events", 1 * KIB, FRAME_LIMIT, 0, 256 },
	{ "phoenix.Control", "ImageImport", 4 * KIB, 16 * KIB, 0, 0 },
	{ "phoenix.Control", "ImageRemove", 1 * KIB, 16 * KIB, 0, 0 },
	{ "phoenix.Control", "ImageList", 1 * KIB, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "Storage", 1 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Control", "Denials", 1 * KIB, FRAME_LIMIT, 0, 0 },
	{ "phoenix.Control", "Preflight", 1 * KIB, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "Plan", FRAME_LIMIT, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "Drift", FRAME_LIMIT, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "RotateKey", 1 * KIB, 1 * KIB, 1, 0 },
	{ "phoenix.Control", "Foreign", 256, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "Adopt", 8 * KIB, 64 * KIB, 1, 0 },
	{ "phoenix.Control", "Confine", 4 * KIB, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "Unadopt", 1 * KIB, 128 * KIB, 0, 0 },
	{ "phoenix.Control", "Discard", 1 * KIB, 128 * KIB, 0, 0 },
	{ "phoenix.Control", "RolloutStart", FRAME_LIMIT, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "RolloutShow", 1 * KIB, FRAME_LIMIT, 0, 0 },
	{ "phoenix.Control", "RolloutCommand", 1 * KIB, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "RolloutList", 1 * KIB, FRAME_LIMIT, 1, 0 },
	{ "phoenix.Control", "ConfinementStatus", 256, FRAME_LIMIT, 1, 0 },
};

static const struct limits_method any_method = { .input = FRAME_LIMIT, .output = FRAME_LIMIT };

/* How often a field may occur. A list of containers is bounded by what a frame and the decode budget hold;
 * what an agent sends is small. */
static const struct {
	const char *message, *field;
	uint32_t maximum;
} repeated[] = {
	{ "phoenix.Adoption", "images", 1024 },
	{ "phoenix.AgentPreflightReply", "complaints", 64 },
	{ "phoenix.AgentPreflightReply", "controllers", 64 },
	{ "phoenix.ConfineProfile", "containers", 4096 },
	{ "phoenix.ConfineStatusReply", "containers", 4096 },
	{ "phoenix.ConfineStatusReply", "features", 1024 },
	{ "phoenix.ConfineStatusReply", "profiles", 1024 },
	{ "phoenix.ContainerListReply", "containers", 4096 },
	{ "phoenix.ContainerObservation", "nested", 1024 },
	{ "phoenix.ContainerRecord", "repairs", 64 },
	{ "phoenix.ContainerRecord", "versions", 64 },
	{ "phoenix.ContainerSpec", "labels", 64 },
	{ "phoenix.ContainerStatus", "agent_capabilities", 64 },
	{ "phoenix.ContainerStatus", "agent_requests", 64 },
	{ "phoenix.ContainerStatus", "conditions", 64 },
	{ "phoenix.ContainerStatus", "versions", 64 },
	{ "phoenix.Denial", "details", 64 },
	{ "phoenix.DenialsItem", "denials", 1024 },
	{ "phoenix.DenialsItem", "dropped", 1024 },
	{ "phoenix.DenialsReply", "dropped", 4096 },
	{ "phoenix.DenialsReply", "patterns", 4096 },
	{ "phoenix.DescribeReply", "facts", 64 },
	{ "phoenix.DockerSpec", "repair", 8 },
	{ "phoenix.DockerSpec", "users", 256 },
	{ "phoenix.DriftReply", "findings", 4096 },
	{ "phoenix.DriftReply", "repairs", 4096 },
	{ "phoenix.Event", "fields", 64 },
	{ "phoenix.EventsItem", "events", 64 },
	{ "phoenix.Fleet", "containers", 4096 },
	{ "phoenix.ForeignContainer", "images", 1024 },
	{ "phoenix.ForeignContainer", "storage_drivers", 64 },
	{ "phoenix.ForeignListReply", "containers", 4096 },
	{ "phoenix.ForeignListReply", "unreadable", 64 },
	{ "phoenix.HealthReply", "conditions", 64 },
	{ "phoenix.HealthReply", "dead", 256 },
	{ "phoenix.HealthReply", "inputs", 256 },
	{ "phoenix.HealthRequest", "docker_users", 256 },
	{ "phoenix.HelloRequest", "capabilities", 64 },
	{ "phoenix.HostPreflightReply", "clashes", 1024 },
	{ "phoenix.HostPreflightReply", "controllers", 64 },
	{ "phoenix.HostPreflightReply", "key_users", 256 },
	{ "phoenix.HostPreflightReply", "modules", 256 },
	{ "phoenix.HostPreflightReply", "sysctls", 256 },
	{ "phoenix.ImageListReply", "images", 4096 },
	{ "phoenix.InstallItem", "versions", 64 },
	{ "phoenix.ListReply", "containers", 4096 },
	{ "phoenix.NetworkReply", "findings", 64 },
	{ "phoenix.PlanItem", "changes", 256 },
	{ "phoenix.PlanReply", "items", 4096 },
	{ "phoenix.PreflightReply", "findings", 4096 },
	{ "phoenix.ProbeReply", "facts", 256 },
	{ "phoenix.ProbeReply", "findings", 64 },
	{ "phoenix.ProbeReply", "id_ranges", 1024 },
	{ "phoenix.PublishRequest", "events", 64 },
	{ "phoenix.RolloutItem", "changes", 256 },
	{ "phoenix.RolloutItemStatus", "changes", 256 },
	{ "phoenix.RolloutListReply", "rollouts", 1024 },
	{ "phoenix.RolloutRecord", "items", 4096 },
	{ "phoenix.RolloutStatus", "items", 4096 },
	{ "phoenix.StorageCost", "figures", 64 },
	{ "phoenix.StorageReport", "costs", 64 },
	{ "phoenix.StorageReport", "facts", 256 },
	{ "phoenix.StorageReport", "findings", 64 },
	{ "phoenix.StorageReport", "images", 256 },
	{ "phoenix.StorageReport", "reasons", 64 },
	{ "phoenix.VerifyReport", "checks", 256 },
	{ "phoenix.VerifyReport", "facts", 256 },
};

const struct limits_method *limits_of(const ProtobufCServiceDescriptor *service, const char *method)
{
	for (size_t i = 0; i < ARRAY_LENGTH(methods); i++)
		if (text_equal(methods[i].method, method) &&
		    text_equal(methods[i].service, service->name))
			return &methods[i];
	return &any_method;
}

bool limits_are_own(const struct limits_method *limits)
{
	return limits != &any_method;
}

uint32_t limits_repeated(const ProtobufCMessageDescriptor *message, const char *field)
{
	for (size_t i = 0; i < ARRAY_LENGTH(repeated); i++)
		if (text_equal(repeated[i].message, message->name) &&
		    text_equal(repeated[i].field, field))
			return repeated[i].maximum;
	return LIMITS_REPEATED;
}

bool limits_has_repeated(const ProtobufCMessageDescriptor *message, const char *field)
{
	for (size_t i = 0; i < ARRAY_LENGTH(repeated); i++)
		if (text_equal(repeated[i].message, message->name) &&
		    text_equal(repeated[i].field, field))
			return true;
	return false;
}

/* ---- the walk over a message's bytes ---- */

struct wire {
	const uint8_t *at;
	const uint8_t *end;
};

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* One message while it is walked: how often each of its fields has come. */
struct seen {
	const ProtobufCMessageDescriptor *message;
	uint16_t counts[FIELDS_MAXIMUM];
	uint32_t unknown;
};

static bool take_long_varint(struct wire *wire, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 70 && wire->at < wire->end; shift += 7) {
		uint8_t byte = *wire->at++;

		value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

/* Most have one byte. */
static inline bool take_varint(struct wire *wire, uint64_t *ret_value)
{
	if (wire->at == wire->end || *wire->at >= 0x80)
		return take_long_varint(wire, ret_value);
	*ret_value = *wire->at++;
	return true;
}

/* Take the value of a field; for WIRE_BYTES ret_value is what is inside. */
static bool take_value(struct wire *wire, unsigned int type, struct wire *ret_value)
{
	uint64_t length = 0;

	switch (type) {
	case WIRE_VARINT:
		return take_varint(wire, &length);
	case WIRE_64:
		length = 8;
		break;
	case WIRE_32:
		length = 4;
		break;
	case WIRE_BYTES:
		if (!take_varint(wire, &length))
			return false;
		break;
	default: /* groups: nobody of ours writes them */
		return false;
	}
	if (length > (uint64_t)(wire->end - wire->at))
		return false;
	*ret_value = (struct wire){ wire->at, wire->at + length };
	wire->at += length;
	return true;
}

/* A field by its number. Ours are mostly numbered without gaps, and need no search then. */
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *message,
						  unsigned int number)
{
	if (number <= message->n_fields && message->fields[number - 1].id == number)
		return &message->fields[number - 1];
	return protobuf_c_message_descriptor_get_field(message, number);
}

/* Whether a field may come once more. */
static bool count_field(struct seen *seen, const ProtobufCFieldDescriptor *field)
{
	size_t index = (size_t)(field - seen->message->fields);
	uint16_t count;

	count = ++seen->counts[index];
	if (field->label != PROTOBUF_C_LABEL_REPEATED)
		return count == 1;
	return count <= LIMITS_REPEATED || count <= limits_repeated(seen->message, field->name);
}

static bool walk(const ProtobufCMessageDescriptor *message, struct wire wire, unsigned int depth);

/* One field: its tag, its value, and what is in it. */
static bool walk_field(struct seen *seen, struct wire *wire, unsigned int depth)
{
	const ProtobufCFieldDescriptor *field;
	struct wire value = { 0 };
	uint64_t tag;

	if (!take_varint(wire, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
		return false;
	if (!take_value(wire, tag & 7, &value))
		return false;
	field = find_field(seen->message, (unsigned int)(tag >> 3));
	if (!field)
		return ++seen->unknown <= LIMITS_REPEATED;
	if (!count_field(seen, field))
		return false;
	if (field->type != PROTOBUF_C_TYPE_MESSAGE || (tag & 7) != WIRE_BYTES)
		return true;
	return walk(field->descriptor, value, depth + 1);
}

static bool walk(const ProtobufCMessageDescriptor *message, struct wire wire, unsigned int depth)
{
	/* Only the counts that the message has are cleared. */
	__attribute__((uninitialized)) struct seen seen;

	if (depth > LIMITS_DEPTH || message->n_fields > FIELDS_MAXIMUM)
		return false;
	seen.message = message;
	seen.unknown = 0;
	memset(seen.counts, 0, message->n_fields * sizeof(seen.counts[0]));
	while (wire.at < wire.end)
		if (!walk_field(&seen, &wire, depth))
			return false;
	return true;
}

bool limits_allow(const ProtobufCMessageDescriptor *message, const uint8_t *bytes, size_t length)
{
	if (length == 0)
		return true;
	return walk(message, (struct wire){ bytes, bytes + length }, 1);
}
