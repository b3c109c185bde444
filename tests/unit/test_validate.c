/*
 * What phoenix-host refuses of a hostile phoenixd: a table of forged requests, one change each to a
 * good one; what a container may be given; and root's subordinate ids.
 */
#include "controller/host/verbs/validate.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "proto/agent.pb-c.h"
#include "tests/support/cmocka.h"

#define TEXT(constant) ((char *)(constant))
#define LONG_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* One of each request, good as it is; a forgery changes a member. */
struct requests {
	Phoenix__ContainerCreateRequest create;
	Phoenix__ContainerSpec spec;
	Phoenix__Resources resources;
	Phoenix__IdRange ids;
	Phoenix__Pair label;
	Phoenix__Pair *labels[1];
	Phoenix__ContainerRebuildRequest rebuild;
	Phoenix__ContainerRequest container;
	Phoenix__ContainerStopRequest stop;
	Phoenix__AgentPushRequest push;
	Phoenix__ImageImportRequest import;
	Phoenix__ImageNameRequest image;
	Phoenix__ConfineEnsureRequest confine;
	Phoenix__ContainerListRequest list;
};

static void requests_init(struct requests *r)
{
	phoenix__container_create_request__init(&r->create);
	phoenix__container_spec__init(&r->spec);
	phoenix__resources__init(&r->resources);
	phoenix__id_range__init(&r->ids);
	phoenix__pair__init(&r->label);
	phoenix__container_rebuild_request__init(&r->rebuild);
	phoenix__container_request__init(&r->container);
	phoenix__container_stop_request__init(&r->stop);
	phoenix__agent_push_request__init(&r->push);
	phoenix__image_import_request__init(&r->import);
	phoenix__image_name_request__init(&r->image);
	phoenix__confine_ensure_request__init(&r->confine);
	phoenix__container_list_request__init(&r->list);
	r->label.key = TEXT("tier");
	r->label.value = TEXT("web");
	r->labels[0] = &r->label;
	r->resources.memory_bytes = UINT64_C(1) << 30;
	r->resources.cpu_percent = 200;
	r->resources.pids = 2000;
	r->ids.first = 165536;
	r->ids.count = 65536;
	r->spec.name = TEXT("web1");
	r->spec.image = TEXT("bookworm");
	r->spec.labels = r->labels;
	r->spec.n_labels = 1;
	r->spec.resources = &r->resources;
	r->spec.storage_driver = TEXT("fuse-overlayfs");
	r->spec.docker_source = TEXT("distribution");
	r->create.spec = &r->spec;
	r->create.ids = &r->ids;
	r->create.address = TEXT("10.209.0.20");
	r->create.slot = 3;
	r->create.profile = TEXT("lxc-phoenix-v2");
	r->rebuild.spec = &r->spec;
	r->rebuild.ids = &r->ids;
	r->rebuild.address = TEXT("10.209.0.20");
	r->container.name = TEXT("web1");
	r->stop.name = TEXT("web1");
	r->stop.grace_ms = 10000;
	r->push.name = TEXT("web1");
	r->push.boot_id = TEXT("0123456789abcdef");
	r->push.key.data = (uint8_t *)LONG_64;
	r->push.key.len = 32;
	r->import.name = TEXT("bookworm");
	r->import.spool_file = TEXT("upload-17.tar.zst");
	r->import.source = TEXT("/home/me/bookworm.tar.zst");
	r->image.name = TEXT("bookworm");
}

/* Each forgery changes one thing and says which request it is about. */
#define FORGERY(id, request, change)                                                               \
	static const ProtobufCMessage *forge_##id(struct requests *r)                              \
	{                                                                                          \
		change;                                                                            \
		return &r->request.base;                                                           \
	}

FORGERY(name_missing, container, r->container.name = NULL)
FORGERY(name_empty, container, r->container.name = TEXT(""))
FORGERY(name_path, container, r->container.name = TEXT("../etc"))
FORGERY(name_slash, container, r->container.name = TEXT("a/b"))
FORGERY(name_dots, container, r->container.name = TEXT(".."))
FORGERY(name_upper, container, r->container.name = TEXT("Web1"))
FORGERY(name_dash, container, r->container.name = TEXT("-rf"))
FORGERY(name_newline, container, r->container.name = TEXT("web1\nlxc.hook"))
FORGERY(name_space, container, r->container.name = TEXT("web 1"))
FORGERY(name_long, container, r->container.name = TEXT(LONG_64))
FORGERY(name_dotted, container, r->container.name = TEXT("web1.service"))
FORGERY(stop_name, stop, r->stop.name = TEXT("/"))
FORGERY(stop_grace, stop, r->stop.grace_ms = 600001)
FORGERY(list_after, list, r->list.after = TEXT("web1/.."))
FORGERY(push_name, push, r->push.name = TEXT("web1/../web2"))
FORGERY(push_id_missing, push, r->push.boot_id = NULL)
FORGERY(push_id_short, push, r->push.boot_id = TEXT("1234567"))
FORGERY(push_id_long, push, r->push.boot_id = TEXT(LONG_64 "a"))
FORGERY(push_id_option, push, r->push.boot_id = TEXT("--socket=/tmp/x"))
FORGERY(push_id_dash, push, r->push.boot_id = TEXT("-0123456789"))
FORGERY(push_key_missing, push, r->push.key.len = 0)
FORGERY(push_key_short, push, r->push.key.len = 31)
FORGERY(push_key_long, push, r->push.key.len = 33)
FORGERY(push_id_space, push, r->push.boot_id = TEXT("01234567 89"))
FORGERY(import_name, import, r->import.name = TEXT("../images"))
FORGERY(import_path, import, r->import.spool_file = TEXT("../db/state.db"))
FORGERY(import_absolute, import, r->import.spool_file = TEXT("/etc/shadow"))
FORGERY(import_hidden, import, r->import.spool_file = TEXT(".ssh"))
FORGERY(import_dots, import, r->import.spool_file = TEXT(".."))
FORGERY(import_empty, import, r->import.spool_file = TEXT(""))
FORGERY(import_missing, import, r->import.spool_file = NULL)
FORGERY(import_control, import, r->import.spool_file = TEXT("a\nb.tar"))
FORGERY(import_source, import, r->import.source = TEXT("a\x1b[2Jb"))
FORGERY(image_name, image, r->image.name = TEXT("*"))
FORGERY(confine_value, confine, r->confine.confinement = 7)
FORGERY(spec_missing, create, r->create.spec = NULL)
FORGERY(spec_name, create, r->spec.name = TEXT("web1\n"))
FORGERY(spec_image, create, r->spec.image = TEXT("a/b"))
FORGERY(spec_image_missing, create, r->spec.image = NULL)
FORGERY(spec_confinement, create, r->spec.confinement = 2)
FORGERY(spec_driver, create, r->spec.storage_driver = TEXT("devicemapper"))
FORGERY(spec_source, create, r->spec.docker_source = TEXT("curl | sh"))
FORGERY(label_key, create, r->label.key = TEXT("a\nb"))
FORGERY(label_value, create, r->label.value = TEXT("\x7f"))
FORGERY(label_missing, create, r->labels[0] = NULL)
FORGERY(label_count, create, r->spec.n_labels = 65)
FORGERY(label_long, create, r->label.key = TEXT(LONG_64))
FORGERY(memory_small, create, r->resources.memory_bytes = 4096)
FORGERY(memory_huge, create, r->resources.memory_bytes = UINT64_MAX)
FORGERY(cpu_huge, create, r->resources.cpu_percent = UINT32_MAX)
FORGERY(pids_small, create, r->resources.pids = 1)
FORGERY(pids_huge, create, r->resources.pids = UINT32_MAX)
FORGERY(ids_missing, create, r->create.ids = NULL)
FORGERY(ids_root, create, r->ids.first = 0)
FORGERY(ids_low, create, r->ids.first = 1000)
FORGERY(ids_few, create, r->ids.count = 65535)
FORGERY(ids_none, create, r->ids.count = 0)
FORGERY(ids_wrap, create, r->ids.first = UINT32_MAX - 10)
FORGERY(ids_all, create, r->ids.count = UINT32_MAX)
FORGERY(address_missing, create, r->create.address = NULL)
FORGERY(address_text, create, r->create.address = TEXT("localhost"))
FORGERY(address_mask, create, r->create.address = TEXT("10.209.0.20/8"))
FORGERY(address_zeros, create, r->create.address = TEXT("10.209.000.020"))
FORGERY(address_newline, create, r->create.address = TEXT("10.209.0.20\n"))
FORGERY(address_v6, create, r->create.address = TEXT("fe80::1"))
FORGERY(address_other, create, r->spec.address = TEXT("10.209.0.21"))
FORGERY(address_bad, create, r->spec.address = TEXT("x"))
FORGERY(slot_huge, create, r->create.slot = 4096)
FORGERY(profile_other, create, r->create.profile = TEXT("lxc-container-default"))
FORGERY(profile_unconfined, create, r->create.profile = TEXT("unconfined"))
FORGERY(profile_of_other_mode, create, r->create.profile = TEXT("lxc-phoenix-v2-stacked"))
FORGERY(profile_of_other_transport, create, r->create.profile = TEXT("lxc-phoenix-v2-vsock"))
FORGERY(transport, confine, r->confine.transport = (Phoenix__Transport)2)
FORGERY(spec_transport, create, r->spec.transport = (Phoenix__Transport)7)
FORGERY(clone, create, r->spec.clone = (Phoenix__CloneMethod)5)
FORGERY(clone_below, create, r->spec.clone = (Phoenix__CloneMethod)-1)
FORGERY(transport_without_its_profile, create,
	r->spec.transport = PHOENIX__TRANSPORT__TRANSPORT_VSOCK)
FORGERY(mode, confine, r->confine.mode = (Phoenix__ConfinementMode)2)
FORGERY(spec_mode, create, r->spec.confinement_mode = (Phoenix__ConfinementMode)9)
FORGERY(profile_newline, create, r->create.profile = TEXT("lxc-phoenix-v2\nlxc.x = y"))
FORGERY(profile_none, create, r->create.profile = TEXT(""))
FORGERY(profile_missing, create, r->create.profile = NULL)
FORGERY(rebuild_spec_missing, rebuild, r->rebuild.spec = NULL)
FORGERY(rebuild_name, rebuild, r->spec.name = TEXT("../web1"))
FORGERY(rebuild_image, rebuild, r->spec.image = TEXT("../images/bookworm"))
FORGERY(rebuild_image_missing, rebuild, r->spec.image = NULL)
FORGERY(rebuild_clone, rebuild, r->spec.clone = (Phoenix__CloneMethod)5)
FORGERY(rebuild_ids_missing, rebuild, r->rebuild.ids = NULL)
FORGERY(rebuild_ids_root, rebuild, r->ids.first = 0)
FORGERY(rebuild_address_missing, rebuild, r->rebuild.address = NULL)
FORGERY(rebuild_address_other, rebuild, r->spec.address = TEXT("10.209.0.21"))

static void test_forged(void **state)
{
#define CASE(id, where) { #id, forge_##id, where }
	static const struct {
		const char *name;
		const ProtobufCMessage *(*forge)(struct requests *r);
		const char *where;
	} cases[] = {
		CASE(name_missing, "name"),
		CASE(name_empty, "name"),
		CASE(name_path, "name"),
		CASE(name_slash, "name"),
		CASE(name_dots, "name"),
		CASE(name_upper, "name"),
		CASE(name_dash, "name"),
		CASE(name_newline, "name"),
		CASE(name_space, "name"),
		CASE(name_long, "name"),
		CASE(name_dotted, "name"),
		CASE(stop_name, "name"),
		CASE(stop_grace, "grace_ms"),
		CASE(list_after, "after"),
		CASE(push_name, "name"),
		CASE(push_id_missing, "boot_id"),
		CASE(push_id_short, "boot_id"),
		CASE(push_id_long, "boot_id"),
		CASE(push_id_option, "boot_id"),
		CASE(push_id_dash, "boot_id"),
		CASE(push_id_space, "boot_id"),
		CASE(push_key_missing, "key"),
		CASE(push_key_short, "key"),
		CASE(push_key_long, "key"),
		CASE(import_name, "name"),
		CASE(import_path, "spool_file"),
		CASE(import_absolute, "spool_file"),
		CASE(import_hidden, "spool_file"),
		CASE(import_dots, "spool_file"),
		CASE(import_empty, "spool_file"),
		CASE(import_missing, "spool_file"),
		CASE(import_control, "spool_file"),
		CASE(import_source, "source"),
		CASE(image_name, "name"),
		CASE(confine_value, "confinement"),
		CASE(spec_missing, "spec"),
		CASE(spec_name, "name"),
		CASE(spec_image, "image"),
		CASE(spec_image_missing, "image"),
		CASE(spec_confinement, "confinement"),
		CASE(spec_driver, "storage driver"),
		CASE(spec_source, "docker source"),
		CASE(label_key, "label key"),
		CASE(label_value, "label value"),
		CASE(label_missing, "labels"),
		CASE(label_count, "labels"),
		CASE(label_long, "label key"),
		CASE(memory_small, "memory"),
		CASE(memory_huge, "memory"),
		CASE(cpu_huge, "cpus"),
		CASE(pids_small, "pids"),
		CASE(pids_huge, "pids"),
		CASE(ids_missing, "ids"),
		CASE(ids_root, "ids.first"),
		CASE(ids_low, "ids.first"),
		CASE(ids_few, "ids.count"),
		CASE(ids_none, "ids.count"),
		CASE(ids_wrap, "ids"),
		CASE(ids_all, "ids.count"),
		CASE(address_missing, "address"),
		CASE(address_text, "address"),
		CASE(address_mask, "address"),
		CASE(address_zeros, "address"),
		CASE(address_newline, "address"),
		CASE(address_v6, "address"),
		CASE(address_other, "address"),
		CASE(address_bad, "spec.address"),
		CASE(slot_huge, "slot"),
		CASE(profile_other, "profile"),
		CASE(profile_unconfined, "profile"),
		CASE(profile_of_other_mode, "profile"),
		CASE(profile_of_other_transport, "profile"),
		CASE(transport, "transport"),
		CASE(spec_transport, "transport"),
		CASE(clone, "clone"),
		CASE(clone_below, "clone"),
		CASE(transport_without_its_profile, "profile"),
		CASE(mode, "confinement mode"),
		CASE(spec_mode, "confinement mode"),
		CASE(profile_newline, "profile"),
		CASE(profile_none, "profile"),
		CASE(profile_missing, "profile"),
		CASE(rebuild_spec_missing, "spec"),
		CASE(rebuild_name, "name"),
		CASE(rebuild_image, "image"),
		CASE(rebuild_image_missing, "image"),
		CASE(rebuild_clone, "clone"),
		CASE(rebuild_ids_missing, "ids"),
		CASE(rebuild_ids_root, "ids.first"),
		CASE(rebuild_address_missing, "address"),
		CASE(rebuild_address_other, "address"),
	};
#undef CASE

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct requests r = { 0 };
		struct ph_error error = { 0 };
		int code;

		requests_init(&r);
		code = validate_request(cases[i].forge(&r), &error);
		if (code != -EINVAL || strcmp(error.where, cases[i].where) != 0)
			fail_msg("%s: %d at \"%s\"", cases[i].name, code, error.where);
	}
}

/* What the forgeries start from is good: they are refused for what they changed. */
static void test_good(void **state)
{
	struct requests r = { 0 };
	Phoenix__ProbeRequest probe = PHOENIX__PROBE_REQUEST__INIT;
	const ProtobufCMessage *const good[] = {
		&r.create.base, &r.container.base, &r.stop.base,  &r.push.base, &r.import.base,
		&r.image.base,	&r.confine.base,   &probe.base,	  &r.list.base, &r.rebuild.base,
	};

	requests_init(&r);
	for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
		assert_int_equal(validate_request(good[i], NULL), 0);
	r.list.after = TEXT("web1");
	assert_int_equal(validate_request(&r.list.base, NULL), 0);
	r.spec.confinement_mode = PHOENIX__CONFINEMENT_MODE__CONFINEMENT_STACKED;
	r.create.profile = TEXT("lxc-phoenix-v2-stacked");
	assert_int_equal(validate_request(&r.create.base, NULL), 0);
	r.spec.transport = PHOENIX__TRANSPORT__TRANSPORT_VSOCK;
	r.create.profile = TEXT("lxc-phoenix-v2-stacked-vsock");
	assert_int_equal(validate_request(&r.create.base, NULL), 0);
	r.spec.confinement = PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;
	r.create.profile = TEXT("");
	r.spec.resources = NULL;
	r.spec.address = r.create.address;
	assert_int_equal(validate_request(&r.create.base, NULL), 0);
}

/* Every method of the service has its check, and nothing else has. */
static void test_all_methods(void **state)
{
	Phoenix__HelloRequest other = PHOENIX__HELLO_REQUEST__INIT;

	assert_int_equal(validate_request(&other.base, NULL), -EBADMSG);
	for (unsigned int i = 0; i < phoenix__host__descriptor.n_methods; i++) {
		const ProtobufCMessageDescriptor *type = phoenix__host__descriptor.methods[i].input;
		union {
			ProtobufCMessage base;
			char room[1024];
		} message = { 0 };

		assert_true(type->sizeof_message <= sizeof(message));
		protobuf_c_message_init(type, &message);
		assert_int_not_equal(validate_request(&message.base, NULL), -EBADMSG);
	}
}

static void test_allocation(void **state)
{
	static const struct {
		const char *name;
		const char *container;
		uint32_t first, count, slot;
		const char *address;
		int code;
	} cases[] = {
		{ "free", "new", 231072, 65536, 2, "10.209.0.30", 0 },
		{ "its own again", "old", 165536, 65536, 1, "10.209.0.20", 0 },
		{ "last of the range", "new", 1000034464, 65536, 2, "10.209.0.30", 0 },
		{ "before the range", "new", 99999, 65536, 2, "10.209.0.30", -ERANGE },
		{ "one beyond the range", "new", 1000034465, 65536, 2, "10.209.0.30", -ERANGE },
		{ "same ids", "new", 165536, 65536, 2, "10.209.0.30", -EEXIST },
		{ "overlap below", "new", 100001, 65536, 2, "10.209.0.30", -EEXIST },
		{ "overlap above", "new", 231071, 65536, 2, "10.209.0.30", -EEXIST },
		{ "overlap around", "new", 100000, 300000, 2, "10.209.0.30", -EEXIST },
		{ "touching below", "new", 100000, 65536, 2, "10.209.0.30", 0 },
		{ "same address", "new", 231072, 65536, 2, "10.209.0.20", -EADDRINUSE },
		{ "same slot", "new", 231072, 65536, 1, "10.209.0.30", -EEXIST },
		{ "network", "new", 231072, 65536, 2, "10.209.0.0", -ERANGE },
		{ "gateway", "new", 231072, 65536, 2, "10.209.0.1", -ERANGE },
		{ "broadcast", "new", 231072, 65536, 2, "10.209.255.255", -ERANGE },
		{ "last host", "new", 231072, 65536, 2, "10.209.255.254", 0 },
		{ "below the subnet", "new", 231072, 65536, 2, "10.208.255.255", -ERANGE },
		{ "above the subnet", "new", 231072, 65536, 2, "10.210.0.0", -ERANGE },
		{ "far away", "new", 231072, 65536, 2, "127.0.0.1", -ERANGE },
	};
	const struct subids subids = { .ranges = { { 100000, 1000000000 } }, .count = 1 };
	const struct validate_holder holder = { "old", 165536, 65536, 0x0AD10014, 1 };
	const struct validate_host host = { 0x0AD10000, 16, &subids, &holder, 1 };

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct ph_error error = { 0 };
		struct requests r = { 0 };
		int code;

		requests_init(&r);
		r.spec.name = TEXT(cases[i].container);
		r.ids.first = cases[i].first;
		r.ids.count = cases[i].count;
		r.create.slot = cases[i].slot;
		r.create.address = TEXT(cases[i].address);
		code = validate_allocation(&r.create, &host, &error);
		if (code != cases[i].code)
			fail_msg("%s: %d, %s", cases[i].name, code, error.why);
	}
}

static void test_subids(void **state)
{
	static const struct {
		const char *name;
		const char *subuid;
		const char *subgid;
		const char *ranges; /* "first+count ..." */
	} cases[] = {
		{ "none", "", "", "" },
		{ "missing files", NULL, NULL, "" },
		{ "same", "root:100000:65536\n", "root:100000:65536\n", "100000+65536" },
		{ "by number", "0:100000:65536\n", "root:100000:65536\n", "100000+65536" },
		{ "no newline", "root:100000:65536", "root:100000:65536", "100000+65536" },
		{ "others", "me:100000:65536\nroot:200000:65536\n", "root:200000:65536\n",
		  "200000+65536" },
		{ "uids only", "root:100000:65536\n", "", "" },
		{ "overlap of both", "root:100000:200000\n", "root:150000:200000\n",
		  "150000+150000" },
		{ "overlap too short", "root:100000:65536\n", "root:150000:65536\n", "" },
		{ "joined", "root:100000:65536\nroot:165536:65536\n", "root:100000:131072\n",
		  "100000+131072" },
		{ "nested", "root:100000:300000\nroot:150000:65536\n", "root:100000:300000\n",
		  "100000+300000" },
		{ "unsorted", "root:500000:65536\nroot:100000:65536\n",
		  "root:100000:65536\nroot:500000:65536\n", "100000+65536 500000+65536" },
		{ "host ids are left out", "root:0:200000\n", "root:0:200000\n", "65536+134464" },
		{ "beyond the last id", "root:4294000000:4000000\n", "root:4294000000:4000000\n",
		  "4294000000+967295" },
		{ "nonsense", "root\nroot:\nroot:x:65536\nroot:100000\nroot:1:2:3\n\n::\n",
		  "root:100000:65536\n", "" },
		{ "negative", "root:-1:65536\n", "root:100000:65536\n", "" },
		{ "prefix of a name", "rooter:100000:65536\n", "root:100000:65536\n", "" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		PH_AUTO_STR struct str text = STR_INIT;
		struct subids subids;

		subids_parse(cases[i].subuid, cases[i].subgid, &subids);
		for (size_t k = 0; k < subids.count; k++)
			str_appendf(&text, "%s%u+%u", k ? " " : "", subids.ranges[k].base,
				    subids.ranges[k].count);
		if (strcmp(str_text(&text), cases[i].ranges) != 0)
			fail_msg("%s: \"%s\"", cases[i].name, str_text(&text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	   cmocka_unit_test(test_forged),
		cmocka_unit_test(test_all_methods), cmocka_unit_test(test_allocation),
		cmocka_unit_test(test_subids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
