#include "tests/hostile/forged.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "proto/host.pb-c.h"

#define BOOT_ID "0123456789abcdef"

/* ---- names, each for every verb that takes one ---- */

static const struct {
	const char *what, *text;
} names[] = {
	{ "the parent directory", ".." },
	{ "the directory itself", "." },
	{ "a path upwards", "../../../etc" },
	{ "an absolute path", "/etc/passwd" },
	{ "an option", "-rf" },
	{ "a line of LXC configuration", "web1\nlxc.hook.pre-start = /bin/sh" },
	{ "a return", "web1\r" },
	{ "a blank", "web 1" },
	{ "a wildcard", "*" },
	{ "a shell", "$(touch PWNED)" },
	{ "nothing", "" },
	{ "64 letters", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
	{ "not UTF-8", "web\xff" },
};

static struct forged *add(struct forged_list *list, const char *verb, const void *message,
			  enum forged_outcome expected, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static struct forged *add(struct forged_list *list, const char *verb, const void *message,
			  enum forged_outcome expected, const char *format, ...)
{
	struct forged *item;
	va_list arguments;
	int length;

	list->items = ph_realloc(list->items, (list->count + 1) * sizeof(*list->items));
	item = &list->items[list->count++];
	*item = (struct forged){ .verb = verb, .expected = expected };
	length = snprintf(item->name, sizeof(item->name), "%s, ", verb);
	va_start(arguments, format);
	vsnprintf(item->name + length, sizeof(item->name) - (size_t)length, format, arguments);
	va_end(arguments);
	if (message)
		item->bytes = message_pack(message, &item->length);
	return item;
}

static void add_container(struct forged_list *list, const char *verb, const char *name,
			  enum forged_outcome expected, const char *what)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = (char *)name;
	add(list, verb, &request, expected, "%s", what);
}

static void add_names(struct forged_list *list)
{
	static const char *const verbs[] = { "ContainerStart", "ContainerDestroy",
					     "ContainerObserve", "ContainerDiscard" };
	Phoenix__ContainerStopRequest stop = PHOENIX__CONTAINER_STOP_REQUEST__INIT;
	Phoenix__ImageNameRequest image = PHOENIX__IMAGE_NAME_REQUEST__INIT;
	Phoenix__AgentPushRequest push = PHOENIX__AGENT_PUSH_REQUEST__INIT;

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		for (size_t j = 0; j < ARRAY_LENGTH(verbs); j++)
			add_container(list, verbs[j], names[i].text, FORGED_REFUSED, names[i].what);
		stop.name = image.name = push.name = (char *)names[i].text;
		push.boot_id = (char *)BOOT_ID;
		add(list, "ContainerStop", &stop, FORGED_REFUSED, "%s", names[i].what);
		add(list, "ImageRemove", &image, FORGED_REFUSED, "%s", names[i].what);
		add(list, "AgentPush", &push, FORGED_REFUSED, "%s", names[i].what);
	}
}

/* Containers that are there and are not ours. */
static void add_foreign(struct forged_list *list, const struct forged_place *place)
{
	Phoenix__ContainerStopRequest stop = PHOENIX__CONTAINER_STOP_REQUEST__INIT;
	Phoenix__AgentPushRequest push = PHOENIX__AGENT_PUSH_REQUEST__INIT;

	stop.name = push.name = (char *)place->foreign;
	push.boot_id = (char *)BOOT_ID;
	add_container(list, "ContainerStart", place->foreign, FORGED_REFUSED,
		      "a foreign container");
	add_container(list, "ContainerDestroy", place->foreign, FORGED_UNCHANGED,
		      "a foreign container");
	add_container(list, "ContainerObserve", place->foreign, FORGED_UNCHANGED,
		      "a foreign container");
	add_container(list, "ContainerDiscard", place->foreign, FORGED_REFUSED,
		      "a foreign container");
	add(list, "ContainerStop", &stop, FORGED_UNCHANGED, "a foreign container");
	add(list, "AgentPush", &push, FORGED_REFUSED, "a foreign container");
	stop.name = (char *)place->container;
	stop.grace_ms = UINT32_MAX;
	add(list, "ContainerStop", &stop, FORGED_REFUSED, "a grace of 49 days");
}

/* ---- create: what is wrong with an otherwise good order ---- */

struct order {
	Phoenix__ContainerCreateRequest request;
	Phoenix__ContainerSpec spec;
	Phoenix__IdRange ids;
	Phoenix__Resources resources;
	Phoenix__Pair label;
	Phoenix__Pair *labels[1];
};

static void order_init(struct order *order, const struct forged_place *place)
{
	phoenix__container_create_request__init(&order->request);
	phoenix__container_spec__init(&order->spec);
	phoenix__id_range__init(&order->ids);
	phoenix__resources__init(&order->resources);
	phoenix__pair__init(&order->label);
	order->labels[0] = &order->label;
	order->label.key = (char *)"role";
	order->label.value = (char *)"forged";
	order->spec.name = (char *)"forged";
	order->spec.image = (char *)place->image;
	order->spec.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;
	order->spec.resources = &order->resources;
	order->spec.labels = order->labels;
	order->spec.n_labels = 1;
	order->ids.first = place->free_ids;
	order->ids.count = 65536;
	order->request.spec = &order->spec;
	order->request.ids = &order->ids;
	order->request.address = (char *)place->free_address;
	order->request.slot = 3999;
}

#define CREATE(what, change)                                                                       \
	do {                                                                                       \
		struct order order;                                                                \
		order_init(&order, place);                                                         \
		change;                                                                            \
		add(list, "ContainerCreate", &order.request, FORGED_REFUSED, "%s", what);          \
	} while (0)

static void add_orders_of_ids(struct forged_list *list, const struct forged_place *place)
{
	CREATE("ids of root", order.ids.first = 0);
	CREATE("ids of the host's users", order.ids.first = 1000);
	CREATE("ids that nobody gave", order.ids.first = 3000000000U);
	CREATE("another container's ids", order.ids.first = place->ids_first);
	CREATE("half of another container's ids", order.ids.first = place->ids_first + 32768);
	CREATE("no id", order.ids.count = 0);
	CREATE("few ids", order.ids.count = 1);
	CREATE("all ids", order.ids.count = UINT32_MAX);
	CREATE("ids that wrap around", order.ids.first = UINT32_MAX - 100);
	CREATE("no range at all", order.request.ids = NULL);
	CREATE("another container's slot", order.request.slot = place->slot);
	CREATE("a slot that names no port", order.request.slot = UINT32_MAX);
	CREATE("another container's address", order.request.address = (char *)place->address);
	CREATE("the gateway's address", order.request.address = (char *)place->gateway);
	CREATE("an address elsewhere", order.request.address = (char *)"8.8.8.8");
	CREATE("an address and a line of configuration",
	       order.request.address = (char *)"10.0.0.9\nlxc.net.0.link = eth0");
	CREATE("an octal address", order.request.address = (char *)"010.0.0.9");
	CREATE("no address", order.request.address = (char *)"");
}

static void add_orders_of_texts(struct forged_list *list, const struct forged_place *place)
{
	CREATE("no specification", order.request.spec = NULL);
	CREATE("a name upwards", order.spec.name = (char *)"../forged");
	CREATE("an image upwards", order.spec.image = (char *)"../../root");
	CREATE("an image that is not there", order.spec.image = (char *)"nothing");
	CREATE("no profile, though required",
	       order.spec.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED);
	CREATE("the profile unconfined", order.request.profile = (char *)"unconfined");
	CREATE("LXC's own profile", order.request.profile = (char *)"lxc-container-default-cgns");
	CREATE("another one's profile", order.request.profile = (char *)"/usr/sbin/sshd");
	CREATE("a profile and a line of configuration",
	       order.request.profile = (char *)"lxc-phoenix-v2\nlxc.mount.entry = / mnt none bind");
	CREATE("a confinement of its own", order.spec.confinement = (Phoenix__Confinement)77);
	CREATE("a mode of its own", order.spec.confinement_mode = (Phoenix__ConfinementMode)77);
	CREATE("a storage driver that is a line",
	       order.spec.storage_driver = (char *)"vfs\n[Service]");
	CREATE("a source that is a command", order.spec.docker_source = (char *)"curl|sh");
	CREATE("a label's key of two lines", order.label.key = (char *)"a\nb");
	CREATE("a label's value of two lines", order.label.value = (char *)"a\nb");
	CREATE("a byte of memory", order.resources.memory_bytes = 1);
	CREATE("all memory", order.resources.memory_bytes = UINT64_MAX);
	CREATE("all processors", order.resources.cpu_percent = UINT32_MAX);
	CREATE("one process", order.resources.pids = 1);
	CREATE("all processes", order.resources.pids = UINT32_MAX);
}

/* ---- rebuild: another container's root, or one that is not the container's ---- */

#define REBUILD(what, change)                                                                      \
	do {                                                                                       \
		Phoenix__ContainerRebuildRequest request =                                         \
			PHOENIX__CONTAINER_REBUILD_REQUEST__INIT;                                  \
		struct order order;                                                                \
		order_init(&order, place);                                                         \
		order.spec.name = (char *)place->container;                                        \
		order.ids.first = place->ids_first;                                                \
		request.spec = &order.spec;                                                        \
		request.ids = &order.ids;                                                          \
		request.address = (char *)place->address;                                          \
		request.prepare = true;                                                            \
		change;                                                                            \
		add(list, "ContainerRebuild", &request, FORGED_REFUSED, "%s", what);               \
	} while (0)

static void add_rebuilds(struct forged_list *list, const struct forged_place *place)
{
	REBUILD("no specification", request.spec = NULL);
	REBUILD("a name upwards", order.spec.name = (char *)"../web1");
	REBUILD("a foreign container", order.spec.name = (char *)place->foreign);
	REBUILD("a container that is not there", order.spec.name = (char *)"forged");
	REBUILD("an image upwards", order.spec.image = (char *)"../../root");
	REBUILD("an image that is not there", order.spec.image = (char *)"nothing");
	REBUILD("a method of its own", order.spec.clone = (Phoenix__CloneMethod)77);
	REBUILD("ids of root", order.ids.first = 0);
	REBUILD("other ids than it has", order.ids.first = place->free_ids);
	REBUILD("more ids than it has", order.ids.count = 2 * 65536);
	REBUILD("no range at all", request.ids = NULL);
	REBUILD("another address than it has", request.address = (char *)place->free_address);
	REBUILD("an address and a line of configuration",
		request.address = (char *)"10.0.0.9\nlxc.net.0.link = eth0");
	REBUILD("no address", request.address = (char *)"");
	REBUILD("a running container's root",
		(order.spec.clone = PHOENIX__CLONE_METHOD__CLONE_COPY, request.prepare = false));
}

/* ---- the spool, which phoenixd fills ---- */

static void add_imports(struct forged_list *list)
{
	static const struct {
		const char *what, *file;
	} files[] = {
		{ "a file upwards", "../../../etc/shadow" },
		{ "an absolute file", "/etc/shadow" },
		{ "a hidden file", ".hidden" },
		{ "no file", "" },
		{ "the spool itself", "." },
		{ "a file of two lines", "a\nb" },
		{ "a symlink out of the spool", "symlink.tar" },
		{ "a symlink to a symlink", "symlink2.tar" },
		{ "a pipe that nobody fills", "pipe.tar" },
		{ "a directory", "directory.tar" },
		{ "a socket", "socket.tar" },
		{ "noise", "noise.tar" },
		{ "an archive with paths upwards", "upwards.tar" },
		{ "an archive that writes through its own symlink", "through.tar" },
		{ "an archive with a device only", "device.tar" },
		{ "a file that is not there", "absent.tar" },
	};
	Phoenix__ImageImportRequest request = PHOENIX__IMAGE_IMPORT_REQUEST__INIT;

	for (size_t kind = 0; kind < 2; kind++)
		for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
			request.kind = (Phoenix__ImageKind)kind;
			request.name = (char *)"forged";
			request.spool_file = (char *)files[i].file;
			add(list, "ImageImport", &request, FORGED_REFUSED, "%s%s", files[i].what,
			    kind ? ", as a bundle" : "");
		}
	request.kind = (Phoenix__ImageKind)77;
	request.spool_file = (char *)"noise.tar";
	add(list, "ImageImport", &request, FORGED_REFUSED, "a kind of its own");
	request.kind = PHOENIX__IMAGE_KIND__IMAGE_KIND_IMAGE;
	request.name = (char *)"../forged";
	add(list, "ImageImport", &request, FORGED_REFUSED, "a name upwards");
	request.name = (char *)"forged";
	request.source = (char *)"a\nb";
	add(list, "ImageImport", &request, FORGED_REFUSED, "a source of two lines");
}

/* ---- the rest ---- */

static void add_push(struct forged_list *list, const struct forged_place *place)
{
	static const struct {
		const char *what, *boot_id;
	} ids[] = {
		{ "a boot id that is an option", "--socket=/tmp/x" },
		{ "a boot id of two lines", "01234567\n89abcdef" },
		{ "a short boot id", "1" },
		{ "no boot id", "" },
		{ "a path as boot id", "../../../etc/x" },
	};
	Phoenix__AgentPushRequest request = PHOENIX__AGENT_PUSH_REQUEST__INIT;

	request.name = (char *)place->container;
	for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
		request.boot_id = (char *)ids[i].boot_id;
		add(list, "AgentPush", &request, FORGED_REFUSED, "%s", ids[i].what);
	}
}

static void add_confine(struct forged_list *list)
{
	Phoenix__ConfineEnsureRequest request = PHOENIX__CONFINE_ENSURE_REQUEST__INIT;
	Phoenix__HostPreflightRequest preflight = PHOENIX__HOST_PREFLIGHT_REQUEST__INIT;
	Phoenix__IdRange ids = PHOENIX__ID_RANGE__INIT;

	request.confinement = (Phoenix__Confinement)2;
	add(list, "ConfineEnsure", &request, FORGED_REFUSED, "a confinement of its own");
	request.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED;
	request.mode = (Phoenix__ConfinementMode)-1;
	add(list, "ConfineEnsure", &request, FORGED_REFUSED, "a mode of its own");
	ids.count = UINT32_MAX;
	preflight.ids = &ids;
	add(list, "Preflight", &preflight, FORGED_REFUSED, "the keys of everybody");
}

static void add_bytes(struct forged_list *list, const char *verb, const void *bytes, size_t length,
		      const char *what)
{
	struct forged *item = add(list, verb, NULL, FORGED_REFUSED, "%s", what);

	item->bytes = ph_memdup(bytes, length);
	item->length = length;
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void add_malformed(struct forged_list *list)
{
	PH_AUTO_FREE char *large = ph_alloc(200 * 1024);

	add_bytes(list, "ContainerDestroy", BYTES("\x0a\xff\xff\xff\xff\x0f"), "a name of 4 GiB");
	add_bytes(list, "ContainerDestroy", BYTES("\x0a\x04web1\x0a\x04web2"), "two names");
	add_bytes(list, "ContainerDestroy", BYTES("\x0a\x05web1"), "half a name");
	add_bytes(list, "ContainerCreate", BYTES("\x0a\x00\x12\x00\x0a\x00"), "two specifications");
	add_bytes(list, "ContainerCreate", BYTES("\x0b\x0c"), "a group");
	add_bytes(list, "ContainerRebuild", BYTES("\x0a\x00\x12\x00\x0a\x00"), "two specifications");
	add_bytes(list, "ContainerRebuild", large, 200 * 1024, "more than a request may have");
	add_bytes(list, "Exec", BYTES("\x0a\x02id"), "a verb that does not exist");
	add_bytes(list, "", BYTES(""), "no verb");
	add_bytes(list, "FileWrite\nProbe", BYTES(""), "a verb of two lines");
	add_bytes(list, "ContainerDestroy", large, 200 * 1024, "more than a request may have");
}

/* The control: what all those orders were made from is taken, so it was the forgery that was refused. */
static void add_control(struct forged_list *list, const struct forged_place *place)
{
	struct order order;

	order_init(&order, place);
	add(list, "ContainerCreate", &order.request, FORGED_DONE, "with nothing forged");
	add_container(list, "ContainerDestroy", "forged", FORGED_DONE, "of that one");
}

void forged_list_init(struct forged_list *list, const struct forged_place *place)
{
	*list = (struct forged_list){ 0 };
	add_names(list);
	add_foreign(list, place);
	add_orders_of_ids(list, place);
	add_orders_of_texts(list, place);
	add_rebuilds(list, place);
	add_imports(list);
	add_push(list, place);
	add_confine(list);
	add_malformed(list);
	add_control(list, place);
}

void forged_list_fini(struct forged_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].bytes);
	free(list->items);
	*list = (struct forged_list){ 0 };
}
