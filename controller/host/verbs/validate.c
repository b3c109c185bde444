/*
 * One function per message, composed of checks of single fields; the table at the end of the first
 * half says which message is checked by what. A message type without a row is refused, so that a
 * new verb cannot be forgotten here.
 */
#include "controller/host/verbs/validate.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/str.h"

#define LABELS_MAXIMUM 64
#define SOURCE_MAXIMUM 255
#define BOOT_ID_MINIMUM 8
#define BOOT_ID_MAXIMUM 64
#define PUSH_KEY_SIZE 32 /* also in lxc/push.h, which needs liblxc */
#define IDS_MINIMUM 65536
#define IDS_MAXIMUM (UINT32_C(1) << 30)

static int refuse(struct ph_error *error, const char *field, const char *why)
{
	return error_set(error, -EINVAL, field, NULL, "%s", why);
}

static int check_name(const char *field, const char *name, struct ph_error *error)
{
	if (name && name_is_valid(name))
		return 0;
	return refuse(error, field, "a name is [a-z0-9][a-z0-9-]{0,62}");
}

static int check_number(const char *field, uint64_t value, uint64_t minimum, uint64_t maximum,
			struct ph_error *error)
{
	if (value >= minimum && value <= maximum)
		return 0;
	return error_set(error, -EINVAL, field, NULL, "%llu is outside %llu to %llu",
			 (unsigned long long)value, (unsigned long long)minimum,
			 (unsigned long long)maximum);
}

/* A limit: 0 is none. */
static int check_limit(const char *field, uint64_t value, uint64_t minimum, uint64_t maximum,
		       struct ph_error *error)
{
	return value == 0 ? 0 : check_number(field, value, minimum, maximum, error);
}

static int check_printable(const char *field, const char *text, size_t maximum,
			   struct ph_error *error)
{
	size_t length = text ? strnlen(text, maximum + 1) : 0;

	if (length > maximum)
		return refuse(error, field, "the text is too long");
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return refuse(error, field, "the text has control bytes");
	return 0;
}

static int check_one_of(const char *field, const char *text, const char *const *words,
			struct ph_error *error)
{
	if (text_empty(text))
		return 0;
	for (; *words; words++)
		if (text_equal(text, *words))
			return 0;
	return refuse(error, field, "the word is not known");
}

static int check_confinement(Phoenix__Confinement confinement, struct ph_error *error)
{
	if (confinement == PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED ||
	    confinement == PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT)
		return 0;
	return refuse(error, "confinement", "the value is not known");
}

static int check_mode(Phoenix__ConfinementMode mode, struct ph_error *error)
{
	if (mode != PHOENIX__CONFINEMENT_MODE__CONFINEMENT_NAMED &&
	    mode != PHOENIX__CONFINEMENT_MODE__CONFINEMENT_STACKED)
		return refuse(error, "confinement mode", "there is no such mode");
	return 0;
}

static int check_transport(Phoenix__Transport transport, struct ph_error *error)
{
	if (transport != PHOENIX__TRANSPORT__TRANSPORT_UNIX &&
	    transport != PHOENIX__TRANSPORT__TRANSPORT_VSOCK)
		return refuse(error, "transport", "there is no such transport");
	return 0;
}

static int check_clone(Phoenix__CloneMethod method, struct ph_error *error)
{
	switch (method) {
	case PHOENIX__CLONE_METHOD__CLONE_AUTO:
	case PHOENIX__CLONE_METHOD__CLONE_OVERLAY:
	case PHOENIX__CLONE_METHOD__CLONE_SNAPSHOT:
	case PHOENIX__CLONE_METHOD__CLONE_REFLINK:
	case PHOENIX__CLONE_METHOD__CLONE_COPY:
		return 0;
	default:
		return refuse(error, "clone", "there is no such clone method");
	}
}

/* Exactly the way it is written everywhere: no leading zeros, no other base. */
static int check_address(const char *field, const char *text, struct ph_error *error)
{
	char canonical[16];
	uint32_t address;

	if (text && text_to_ipv4(text, &address) == 0 &&
	    text_equal(ipv4_to_text(address, canonical), text))
		return 0;
	return refuse(error, field, "this is no IPv4 address");
}

static int check_labels(const Phoenix__ContainerSpec *spec, struct ph_error *error)
{
	int code = check_number("labels", spec->n_labels, 0, LABELS_MAXIMUM, error);

	for (size_t i = 0; code == 0 && i < spec->n_labels; i++) {
		if (!spec->labels[i])
			return refuse(error, "labels", "a label is missing");
		code = check_printable("label key", spec->labels[i]->key, 63, error);
		if (code == 0)
			code = check_printable("label value", spec->labels[i]->value, 255, error);
	}
	return code;
}

static int check_resources(const Phoenix__Resources *resources, struct ph_error *error)
{
	int code;

	if (!resources)
		return 0;
	code = check_limit("memory", resources->memory_bytes, VALIDATE_MEMORY_MINIMUM,
			   VALIDATE_MEMORY_MAXIMUM, error);
	if (code == 0)
		code = check_limit("cpus", resources->cpu_percent, 1, VALIDATE_CPU_MAXIMUM, error);
	if (code == 0)
		code = check_limit("pids", resources->pids, VALIDATE_PIDS_MINIMUM,
				   VALIDATE_PIDS_MAXIMUM, error);
	return code;
}

static int check_spec(const Phoenix__ContainerSpec *spec, struct ph_error *error)
{
	static const char *const drivers[] = { "fuse-overlayfs", "overlay2", "auto", "vfs", NULL };
	static const char *const sources[] = { "distribution", "docker-ce", "bundle", "none", NULL };
	int code;

	if (!spec)
		return refuse(error, "spec", "the specification is missing");
	code = check_name("name", spec->name, error);
	if (code == 0)
		code = check_name("image", spec->image, error);
	if (code == 0)
		code = check_confinement(spec->confinement, error);
	if (code == 0)
		code = check_mode(spec->confinement_mode, error);
	if (code == 0)
		code = check_transport(spec->transport, error);
	if (code == 0)
		code = check_clone(spec->clone, error);
	if (code == 0)
		code = check_labels(spec, error);
	if (code == 0)
		code = check_resources(spec->resources, error);
	if (code == 0 && !text_empty(spec->address))
		code = check_address("spec.address", spec->address, error);
	if (code == 0)
		code = check_one_of("storage driver", spec->storage_driver, drivers, error);
	if (code == 0)
		code = check_one_of("docker source", spec->docker_source, sources, error);
	return code;
}

static const char *profile_of(const Phoenix__ContainerSpec *spec)
{
	bool is_stacked = spec->confinement_mode == PHOENIX__CONFINEMENT_MODE__CONFINEMENT_STACKED;

	if (spec->transport == PHOENIX__TRANSPORT__TRANSPORT_VSOCK)
		return is_stacked ? VALIDATE_PROFILE_STACKED_VSOCK : VALIDATE_PROFILE_VSOCK;
	return is_stacked ? VALIDATE_PROFILE_STACKED : VALIDATE_PROFILE;
}

/* Only our own profile, and none only where the operator wrote best effort. */
static int check_profile(const Phoenix__ContainerCreateRequest *request, struct ph_error *error)
{
	if (text_equal(request->profile, profile_of(request->spec)))
		return 0;
	if (!text_empty(request->profile))
		return refuse(error, "profile", "this is not the profile of Phoenix");
	if (request->spec->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT)
		return 0;
	return refuse(error, "profile", "confinement is required, but no profile is given");
}

static int check_ids(const Phoenix__IdRange *ids, struct ph_error *error)
{
	int code;

	if (!ids)
		return refuse(error, "ids", "the id range is missing");
	code = check_number("ids.first", ids->first, IDS_MINIMUM, UINT32_MAX, error);
	if (code == 0)
		code = check_number("ids.count", ids->count, IDS_MINIMUM, IDS_MAXIMUM, error);
	if (code == 0 && (uint64_t)ids->first + ids->count > UINT32_MAX)
		return refuse(error, "ids", "the range goes beyond the last id");
	return code;
}

/* A specification and what the container of it is given, or has. */
static int check_given(const Phoenix__ContainerSpec *spec, const Phoenix__IdRange *ids,
		       const char *address, struct ph_error *error)
{
	int code = check_spec(spec, error);

	if (code == 0)
		code = check_ids(ids, error);
	if (code == 0)
		code = check_address("address", address, error);
	if (code == 0 && !text_empty(spec->address) && !text_equal(spec->address, address))
		return refuse(error, "address", "it differs from the one in the specification");
	return code;
}

static int check_create(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ContainerCreateRequest *request = (const void *)message;
	int code = check_given(request->spec, request->ids, request->address, error);

	if (code == 0)
		code = check_number("slot", request->slot, 0, VALIDATE_SLOTS - 1, error);
	if (code == 0)
		code = check_profile(request, error);
	return code;
}

static int check_rebuild(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ContainerRebuildRequest *request = (const void *)message;

	return check_given(request->spec, request->ids, request->address, error);
}

static int check_container(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ContainerRequest *request = (const void *)message;

	return check_name("name", request->name, error);
}

static int check_stop(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ContainerStopRequest *request = (const void *)message;
	int code = check_name("name", request->name, error);

	if (code == 0)
		code = check_number("grace_ms", request->grace_ms, 0, VALIDATE_GRACE_MAXIMUM_MS,
				    error);
	return code;
}

static int check_push(const ProtobufCMessage *message, struct ph_error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-";
	const Phoenix__AgentPushRequest *request = (const void *)message;
	const char *id = request->boot_id ? request->boot_id : "";
	size_t length = strnlen(id, BOOT_ID_MAXIMUM + 1);
	int code = check_name("name", request->name, error);

	if (code < 0)
		return code;
	/* It becomes an argument: a leading dash would be an option. */
	if (length < BOOT_ID_MINIMUM || length > BOOT_ID_MAXIMUM || id[0] == '-' ||
	    strspn(id, allowed) != length)
		return refuse(error, "boot_id", "a boot id is 8 to 64 letters, digits and dashes");
	if (request->key.len != PUSH_KEY_SIZE)
		return refuse(error, "key", "an agent's key has 32 bytes");
	return 0;
}

static int check_import(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ImageImportRequest *request = (const void *)message;
	int code = check_name("name", request->name, error);

	if (code < 0)
		return code;
	if (!request->spool_file || !file_name_is_valid(request->spool_file) ||
	    request->spool_file[0] == '.')
		return refuse(error, "spool_file", "this is no plain file name");
	code = check_printable("spool_file", request->spool_file, SOURCE_MAXIMUM, error);
	if (code == 0)
		code = check_printable("source", request->source, SOURCE_MAXIMUM, error);
	return code;
}

static int check_image(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ImageNameRequest *request = (const void *)message;

	return check_name("name", request->name, error);
}

static int check_confine(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ConfineEnsureRequest *request = (const void *)message;

	int code = check_confinement(request->confinement, error);

	if (code == 0)
		code = check_mode(request->mode, error);
	return code < 0 ? code : check_transport(request->transport, error);
}

/* Whose keys: nobody's below the ids that containers may have. */
static int check_preflight(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__HostPreflightRequest *request = (const void *)message;

	return request->ids ? check_ids(request->ids, error) : 0;
}

/* Whether it is a registered one is the verb's to say. */
static int check_lxc_path(const char *path, struct ph_error *error)
{
	int code = check_printable("lxc_path", path, CONFIG_LXC_PATH_SIZE - 1, error);

	if (code == 0 && (text_empty(path) || path[0] != '/' || strstr(path, "..")))
		return refuse(error, "lxc_path", "this is no absolute path");
	return code;
}

static int check_foreign(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ForeignListRequest *request = (const void *)message;
	int code = 0;

	if (!text_empty(request->lxc_path))
		code = check_lxc_path(request->lxc_path, error);
	else if (!text_empty(request->name))
		return refuse(error, "lxc_path", "a name needs its path");
	if (code == 0 && !text_empty(request->name))
		code = check_name("name", request->name, error);
	return code;
}

static int check_adopt(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__AdoptRequest *request = (const void *)message;
	int code = check_lxc_path(request->lxc_path, error);

	return code == 0 ? check_name("name", request->name, error) : code;
}

static int check_adopt_confine(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__AdoptConfineRequest *request = (const void *)message;

	if (!text_equal(request->profile, VALIDATE_PROFILE))
		return refuse(error, "profile", "this is not the profile of Phoenix");
	return check_name("name", request->name, error);
}

static int check_list(const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ContainerListRequest *request = (const void *)message;

	return text_empty(request->after) ? 0 : check_name("after", request->after, error);
}

static int check_nothing(const ProtobufCMessage *message, struct ph_error *error)
{
	return 0;
}

static const struct {
	const ProtobufCMessageDescriptor *type;
	int (*check)(const ProtobufCMessage *message, struct ph_error *error);
} checks[] = {
	{ &phoenix__probe_request__descriptor, check_nothing },
	{ &phoenix__image_import_request__descriptor, check_import },
	{ &phoenix__image_name_request__descriptor, check_image },
	{ &phoenix__image_list_request__descriptor, check_nothing },
	{ &phoenix__network_ensure_request__descriptor, check_nothing },
	{ &phoenix__network_remove_request__descriptor, check_nothing },
	{ &phoenix__confine_ensure_request__descriptor, check_confine },
	{ &phoenix__confine_remove_request__descriptor, check_nothing },
	{ &phoenix__denials_watch_request__descriptor, check_nothing },
	{ &phoenix__confine_status_request__descriptor, check_nothing },
	{ &phoenix__host_preflight_request__descriptor, check_preflight },
	{ &phoenix__container_create_request__descriptor, check_create },
	{ &phoenix__container_rebuild_request__descriptor, check_rebuild },
	{ &phoenix__container_request__descriptor, check_container },
	{ &phoenix__container_stop_request__descriptor, check_stop },
	{ &phoenix__container_list_request__descriptor, check_list },
	{ &phoenix__agent_push_request__descriptor, check_push },
	{ &phoenix__foreign_list_request__descriptor, check_foreign },
	{ &phoenix__adopt_request__descriptor, check_adopt },
	{ &phoenix__adopt_confine_request__descriptor, check_adopt_confine },
};

int validate_request(const ProtobufCMessage *request, struct ph_error *error)
{
	for (size_t i = 0; i < ARRAY_LENGTH(checks); i++)
		if (checks[i].type == request->descriptor)
			return checks[i].check(request, error);
	return error_set(error, -EBADMSG, NULL, NULL, "this is no request of phoenix-host");
}

static bool ranges_overlap(uint64_t left, uint64_t left_count, uint64_t right,
			   uint64_t right_count)
{
	return left < right + right_count && right < left + left_count;
}

static int check_reserved(uint32_t address, const struct validate_host *host,
			  struct ph_error *error)
{
	uint32_t mask = host->prefix_length ? UINT32_MAX << (32 - host->prefix_length) : 0;
	uint32_t network = host->subnet & mask;
	char text[16];

	ipv4_to_text(address, text);
	if ((address & mask) != network)
		return error_set(error, -ERANGE, "address", NULL,
				 "%s is outside the containers' subnet", text);
	if (address == network || address == network + 1 || address == (network | ~mask))
		return error_set(error, -ERANGE, "address", NULL,
				 "%s is the subnet's network, gateway or broadcast address", text);
	return 0;
}

static int check_holder(const Phoenix__ContainerCreateRequest *request, uint32_t address,
			const struct validate_holder *holder, struct ph_error *error)
{
	if (ranges_overlap(request->ids->first, request->ids->count, holder->id_base,
			   holder->id_count))
		return error_set(error, -EEXIST, "ids", NULL,
				 "container %s has ids %u to %u: the ranges overlap", holder->name,
				 holder->id_base, holder->id_base + holder->id_count - 1);
	if (address == holder->address)
		return error_set(error, -EADDRINUSE, "address", NULL, "container %s has %s",
				 holder->name, request->address);
	if (request->slot == holder->slot)
		return error_set(error, -EEXIST, "slot", NULL, "container %s has slot %u",
				 holder->name, request->slot);
	return 0;
}

int validate_allocation(const Phoenix__ContainerCreateRequest *request,
			const struct validate_host *host, struct ph_error *error)
{
	uint32_t address = 0;
	int code;

	if (text_to_ipv4(request->address, &address) < 0)
		return refuse(error, "address", "this is no IPv4 address");
	if (!subids_contain(host->subids, request->ids->first, request->ids->count))
		return error_set(error, -ERANGE, "ids",
				 "give root a range in /etc/subuid and /etc/subgid, such as "
				 "root:100000:1000000000",
				 "ids %u to %u are not root's in /etc/subuid and /etc/subgid",
				 request->ids->first, request->ids->first + request->ids->count - 1);
	code = check_reserved(address, host, error);
	for (size_t i = 0; code == 0 && i < host->holder_count; i++)
		if (!text_equal(host->holders[i].name, request->spec->name))
			code = check_holder(request, address, &host->holders[i], error);
	return code;
}
