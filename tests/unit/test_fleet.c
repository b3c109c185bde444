/* The fleet file, the same rules for messages, and differences. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/budget.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/fleet/fleet.h"
#include "proto/control.pb-c.h"
#include "tests/support/scratch.h"

#define ONE "version: 1\ncontainers:\n  - {name: web1, image: i}\n"

struct spec_case {
	const char *name;
	const char *text;
	const char *specs; /* as describe() writes them */
};

#define REST " pids=4096 fuse-overlayfs distribution"

static const struct spec_case spec_cases[] = {
	{ "as little as possible", ONE, "web1 i required mem=0 cpu=0" REST },
	{ "defaults",
	  "version: 1\ndefaults: {image: d, confinement: best-effort, resources: {memory: 1GiB, "
	  "cpus: 1.5, pids: 200}, docker: {source: none}}\ncontainers: [{name: a}, {name: b}]\n",
	  "a d best-effort mem=1073741824 cpu=150 pids=200 fuse-overlayfs none; "
	  "b d best-effort mem=1073741824 cpu=150 pids=200 fuse-overlayfs none" },
	{ "a container over the defaults",
	  "version: 1\ndefaults: {image: d, resources: {memory: 1GiB, pids: 200}}\n"
	  "containers:\n- {name: a, image: other, resources: {memory: 2GiB}}\n",
	  "a other required mem=2147483648 cpu=0 pids=200 fuse-overlayfs distribution" },
	{ "back to no limit",
	  "version: 1\ndefaults: {image: d, resources: {memory: 1GiB, cpus: 2, pids: 99}}\n"
	  "containers:\n- {name: a, resources: {memory: 0, cpus: 0, pids: 0}}\n",
	  "a d required mem=0 cpu=0 pids=0 fuse-overlayfs distribution" },
	{ "back to required",
	  "version: 1\ndefaults: {image: d, confinement: best-effort}\n"
	  "containers:\n- {name: a, confinement: required}\n",
	  "a d required mem=0 cpu=0" REST },
	{ "an address",
	  "version: 1\ndefaults: {image: d}\ncontainers:\n"
	  "- {name: a, network: {address: 10.209.0.20}}\n- name: b\n",
	  "a d required mem=0 cpu=0" REST " 10.209.0.20; b d required mem=0 cpu=0" REST },
	{ "labels are merged",
	  "version: 1\ndefaults: {image: d, labels: {tier: web, zone: a}}\ncontainers:\n"
	  "- {name: a, labels: {tier: db, x/y: \"1\"}}\n- name: b\n",
	  "a d required mem=0 cpu=0" REST " {tier=db zone=a x/y=1}; "
	  "b d required mem=0 cpu=0" REST " {tier=web zone=a}" },
	{ "groups in their order, the container above them",
	  "version: 1\ndefaults: {image: d, labels: {zone: a}, resources: {memory: 1GiB}}\n"
	  "groups:\n- {match: role=web, resources: {memory: 2GiB, pids: 100}}\n"
	  "- {match: \"zone=b,web*\", image: e, resources: {pids: 200}, docker: {source: none}}\n"
	  "containers:\n- {name: web1, labels: {role: web}}\n"
	  "- {name: web2, labels: {role: web, zone: b}, resources: {memory: 3GiB}}\n- name: db\n",
	  "web1 d required mem=2147483648 cpu=0 pids=100 fuse-overlayfs distribution "
	  "{zone=a role=web}; "
	  "web2 e required mem=3221225472 cpu=0 pids=200 fuse-overlayfs none {zone=b role=web}; "
	  "db d required mem=1073741824 cpu=0" REST " {zone=a}" },
	{ "sections without a value",
	  "version: 1\ndefaults:\ncontainers:\n- name: a\n  image: i\n  labels:\n  resources:\n"
	  "  storage:\n  docker:\n  network:\n",
	  "a i required mem=0 cpu=0" REST },
};

struct refusal_case {
	const char *name;
	const char *text;
	const char *where; /* LINE:COLUMN */
	const char *why;   /* part of it */
};

#define ONE_MORE "containers: [{name: a, image: b}]\n"
#define HEAD "version: 1\ndefaults: {image: bookworm}\ncontainers:\n"

static const struct refusal_case refusal_cases[] = {
	{ "empty", "", "1:1", "the fleet file is empty" },
	{ "comments only", "# version: 1\n", "1:1", "the fleet file is empty" },
	{ "not YAML", "version: [1\n", "2:1", "this is not YAML" },
	{ "a tab", HEAD "\t- name: a\n", "4:1", "indented with a tab" },
	{ "a word", "hello\n", "1:1", "the fleet file must be a map, not a value" },
	{ "a list", "- name: a\n", "1:1", "the fleet file must be a map, not a list" },
	{ "no version", "containers: [{name: a, image: b}]\n", "1:1", "'version' is missing" },
	{ "version mistyped", "verison: 1\n", "1:1", "did you mean 'version'?" },
	{ "version of the future", "version: 2\nrollout: {}\n", "1:10", "knows version 1" },
	{ "version as text", "version: '1'\n", "1:10", "must be a whole number" },
	{ "no containers", "version: 1\n", "1:1", "the fleet has no containers" },
	{ "containers without a value", "version: 1\ncontainers:\n", "2:12", "no containers" },
	{ "an empty list of containers", "version: 1\ncontainers: []\n", "2:13", "no containers" },
	{ "containers as a map", "version: 1\ncontainers: {web1: {}}\n", "2:13",
	  "must be a list, not a map" },
	{ "a container as a word", HEAD "- web1\n", "4:3", "a container must be a map" },
	{ "a container as a list", HEAD "- [name]\n", "4:3", "a container must be a map" },
	{ "no name", HEAD "- name: a\n- image: b\n", "5:3", "this container has no name" },
	{ "no image", "version: 1\ncontainers:\n- name: web1\n", "3:3",
	  "container 'web1' has no image" },

	{ "a group for nobody in particular",
	  "version: 1\ngroups: [{image: i}]\n" "containers: [{name: a}]\n", "2:10",
	  "does not say whom it is for" },
	{ "a group's selector", "version: 1\ngroups:\n- {match: role=}\n", "3:11",
	  "selector: 'role=' has something behind the '='" },
	{ "labels in a group", "version: 1\ngroups:\n- {match: a=b, labels: {c: d}}\n", "3:16",
	  "key 'labels' is not known here" },
	{ "a bad group that matches nobody",
	  HEAD "- name: a\ngroups:\n- {match: x=y, resources: {memory: 1GB}}\n", "6:36",
	  "must be a size" },
	{ "too little memory in a group",
	  HEAD "- name: a\ngroups:\n- {match: \"*\", resources: {memory: 1MiB}}\n", "6:36",
	  "memory" },
	{ "groups as a map", "version: 1\ngroups: {a: b}\n", "2:9", "must be a list" },
	{ "unknown key of the rollout", "version: 1\nrollout: {cannary: 1}\n" ONE_MORE, "2:11",
	  "did you mean 'canary'?" },
	{ "a rollout of nobody", "version: 1\nrollout:\n  soak: 1s\n  max_unavailable: 0\n" ONE_MORE,
	  "4:20", "could not finish" },
	{ "no number of containers", "version: 1\nrollout: {canary: some}\n" ONE_MORE, "2:19",
	  "'some' is no number of containers" },
	{ "more than all of them", "version: 1\nrollout: {canary: 101%}\n" ONE_MORE, "2:19",
	  "no number of containers" },
	{ "no duration", "version: 1\nrollout: {soak: 5 min}\n" ONE_MORE, "2:17", "is no duration" },
	{ "a soak beyond the deadline", "version: 1\nrollout: {soak: 1h}\n" ONE_MORE, "2:10",
	  "could not finish" },
	{ "an unknown outcome", "version: 1\nrollout: {on_failure: ignore}\n" ONE_MORE, "2:23",
	  "cannot be 'ignore'" },
	{ "an unknown gate", "version: 1\nrollout: {gates: [wave]}\n" ONE_MORE, "2:19", "no gate 'wave'" },
	{ "no label to spread over", "version: 1\nrollout: {spread: '-'}\n" ONE_MORE, "2:19",
	  "not a key for a label" },
	{ "unknown key at the top", "version: 1\ncontainer: []\n", "2:1",
	  "key 'container' is not known here; did you mean 'containers'?" },
	{ "unknown key of a container", HEAD "- name: a\n  imgae: b\n", "5:3",
	  "did you mean 'image'?" },
	{ "unknown key of the defaults", "version: 1\ndefaults: {network: {}}\n", "2:12",
	  "key 'network' is not known here" },
	{ "unknown resource", HEAD "- name: a\n  resources: {memroy: 1GiB}\n", "5:15",
	  "key 'memroy' is not known here; did you mean 'memory'?" },
	{ "unknown key of storage", HEAD "- {name: a, storage: {drvier: x}}\n", "4:23",
	  "did you mean 'driver'?" },
	{ "unknown key of docker", HEAD "- {name: a, docker: {versoin: x}}\n", "4:22",
	  "key 'versoin' is not known here" },
	{ "unknown key of network", HEAD "- {name: a, network: {adress: x}}\n", "4:23",
	  "did you mean 'address'?" },
	{ "privileged is no key", HEAD "- {name: a, privileged: true}\n", "4:13",
	  "key 'privileged' is not known here" },

	{ "a name that leaves the directory", HEAD "- name: ../x\n", "4:9", "not '../x'" },
	{ "a name with a slash", HEAD "- name: a/b\n", "4:9", "must be a name" },
	{ "a name with a newline", HEAD "- name: \"a\\nb\"\n", "4:9", "line break" },
	{ "a name with a NUL", HEAD "- name: \"a\\0b\"\n", "4:9", "control byte" },
	{ "a name as a list", HEAD "- name: [a]\n", "4:9", "must be a name, not a list" },
	{ "a name that begins with a dash", HEAD "- name: -rf\n", "4:9", "must be a name" },
	{ "an image with a path", HEAD "- {name: a, image: /etc}\n", "4:20", "must be a name" },
	{ "a duplicate name", HEAD "- name: web1\n- name: web2\n- name: web1\n", "6:9",
	  "the name 'web1' is used twice, in line 4" },

	{ "transport unknown", HEAD "- {name: a, transport: tcp}\n", "4:24",
	  "key 'transport' cannot be 'tcp'" },
	{ "transport as a map", HEAD "- {name: a, transport: {kind: unix}}\n", "4:24",
	  "key 'transport' must be" },
	{ "transport mistyped", HEAD "- {name: a, transprot: unix}\n", "4:13",
	  "did you mean 'transport'?" },
	{ "clone unknown", HEAD "- {name: a, clone: zfs}\n", "4:20",
	  "key 'clone' cannot be 'zfs'" },
	{ "clone mistyped", HEAD "- {name: a, clone: snapshoot}\n", "4:20",
	  "did you mean 'snapshot'?" },
	{ "clone as a map", "version: 1\ndefaults: {clone: {by: copy}}\n", "2:19",
	  "key 'clone' must be" },
	{ "confinement unknown", HEAD "- {name: a, confinement: unconfined}\n", "4:26",
	  "key 'confinement' cannot be 'unconfined'" },
	{ "confinement mistyped", HEAD "- {name: a, confinement: require}\n", "4:26",
	  "did you mean 'required'?" },
	{ "confinement mode unknown", HEAD "- {name: a, confinement: {mode: stack}}\n", "4:33",
	  "key 'mode' cannot be 'stack'" },
	{ "confinement key unknown", HEAD "- {name: a, confinement: {leve: required}}\n", "4:27",
	  "leve" },
	{ "confinement level unknown", HEAD "- {name: a, confinement: {level: maybe}}\n", "4:34",
	  "key 'level' cannot be 'maybe'" },
	{ "confinement switched off", HEAD "- {name: a, confinement: false}\n", "4:26",
	  "cannot be 'false'" },
	{ "full copies without consent", HEAD "- {name: a, storage: {driver: vfs}}\n", "4:31",
	  "vfs copies the whole image" },
	{ "full copies without consent, by default",
	  "version: 1\ndefaults:\n  image: b\n  storage: {driver: vfs}\ncontainers: [{name: a}]\n",
	  "4:21", "vfs copies the whole image" },
	{ "consent that is no word of consent",
	  HEAD "- {name: a, storage: {driver: vfs, allow_vfs: maybe}}\n", "4:47", "allow_vfs" },
	{ "storage unknown", HEAD "- {name: a, storage: {driver: aufs}}\n", "4:31", "be 'aufs'" },
	{ "storage as a word", HEAD "- {name: a, storage: overlay2}\n", "4:22", "must be a map" },
	{ "docker unknown", HEAD "- {name: a, docker: {source: upstream}}\n", "4:30",
	  "cannot be 'upstream'" },
	{ "a version for a shell", HEAD "- {name: a, docker: {version: 20;reboot}}\n", "4:31",
	  "'20;reboot' is no version" },
	{ "a bundle without its name", HEAD "- {name: a, docker: {source: bundle}}\n", "4:30",
	  "needs the name of one" },
	{ "a bundle for another source", HEAD "- {name: a, docker: {bundle: b}}\n", "4:30",
	  "the source is distribution" },
	{ "a repository without its key", HEAD "- {name: a, docker: {source: docker-ce}}\n", "4:30",
	  "needs the repository's key" },
	{ "a key that is not there",
	  HEAD "- {name: a, docker: {repository: {key: /nowhere/key.asc}}}\n", "4:40",
	  "the key cannot be read" },
	{ "an unknown key of the repository", HEAD "- {name: a, docker: {repository: {url: x}}}\n",
	  "4:35", "key 'url' is not known here; did you mean 'uri'?" },
	{ "a repository with a line break",
	  HEAD "- {name: a, docker: {source: bundle, bundle: b, repository: {uri: \"a\\nb\"}}}\n",
	  "4:67", "line break" },
	{ "a repository for another source",
	  HEAD "- {name: a, docker: {repository: {uri: 'https://x'}}}\n", "4:34",
	  "only the source docker-ce" },
	{ "daemon as a word", HEAD "- {name: a, docker: {daemon: debug}}\n", "4:30",
	  "must be a map" },
	{ "daemon sets the driver", HEAD "- {name: a, docker: {daemon: {storage-driver: vfs}}}\n",
	  "4:30", "'storage-driver' is set by Phoenix" },
	{ "daemon sets the snapshotter",
	  HEAD "- {name: a, docker: {daemon: {features: {containerd-snapshotter: true}}}}\n",
	  "4:30", "set by Phoenix" },
	{ "daemon takes the features away",
	  HEAD "- {name: a, docker: {daemon_override: true, daemon: {features: [a]}}}\n", "4:53",
	  "'features' is no map" },
	{ "users as a word", HEAD "- {name: a, docker: {users: ann}}\n", "4:29", "must be a list" },
	{ "a user that is an option", HEAD "- {name: a, docker: {users: [-G]}}\n", "4:29",
	  "no user's name" },
	{ "repair as a word", HEAD "- {name: a, docker: {repair: fuse-daemon}}\n", "4:30",
	  "must be a list" },
	{ "a repair that does not exist", HEAD "- {name: a, docker: {repair: [fuse-deamon]}}\n",
	  "4:31", "'fuse-deamon' is nothing that can be repaired" },
	{ "two repairs of one kind", HEAD "- {name: a, docker: {repair: [fuse-daemon, fuse-daemon]}}\n",
	  "4:30", "there are only 1 kinds of repair" },
	{ "hold as a word", HEAD "- {name: a, docker: {hold: maybe}}\n", "4:28", "hold" },

	{ "memory in decimal units", HEAD "- {name: a, resources: {memory: 1GB}}\n", "4:33",
	  "must be a size, not '1GB'" },
	{ "memory too small", HEAD "- {name: a, resources: {memory: 1MiB}}\n", "4:33",
	  "not within 64MiB" },
	{ "memory too small by default",
	  "version: 1\ndefaults: {image: b, resources: {memory: 5}}\ncontainers: [{name: a}]\n",
	  "2:42", "a memory limit of 5 bytes" },
	{ "cpus as a word", HEAD "- {name: a, resources: {cpus: all}}\n", "4:31", "'all'" },
	{ "too few processes", HEAD "- {name: a, resources: {pids: 5}}\n", "4:31",
	  "a limit of 5 processes" },
	{ "too many processes", HEAD "- {name: a, resources: {pids: 5000000}}\n", "4:31",
	  "a whole number from 0 to 4194304" },
	{ "resources as a list", HEAD "- {name: a, resources: [1]}\n", "4:24", "must be a map" },

	{ "an address that is none", HEAD "- {name: a, network: {address: web}}\n", "4:32",
	  "must be an IPv4 address" },
	{ "a loopback address", HEAD "- {name: a, network: {address: 127.0.0.1}}\n", "4:32",
	  "not an IPv4 address for a container" },
	{ "a multicast address", HEAD "- {name: a, network: {address: 224.0.0.1}}\n", "4:32",
	  "not an IPv4 address for a container" },
	{ "an address used twice",
	  HEAD "- {name: a, network: {address: 10.209.0.20}}\n"
	       "- {name: b, network: {address: 10.209.0.20}}\n",
	  "5:32", "the address 10.209.0.20 of 'b' is also that of 'a', in line 4" },

	{ "labels as a list", HEAD "- {name: a, labels: [web]}\n", "4:21", "must be a map" },
	{ "a label's key", HEAD "- {name: a, labels: {a b: c}}\n", "4:22", "not a key" },
	{ "a label's value", HEAD "- {name: a, labels: {tier: a=b}}\n", "4:28", "not a value" },
	{ "a label without a value", HEAD "- {name: a, labels: {tier: }}\n", "4:28", "no value" },
	{ "a label as a list", HEAD "- {name: a, labels: {tier: [x]}}\n", "4:28", "not a list" },

	{ "a key twice", HEAD "- {name: a, image: b, name: c}\n", "4:23", "was given before" },
	{ "anchors", "version: 1\ndefaults: &d {image: b}\n", "2:11", "anchors and aliases" },
	{ "nesting", "version: 1\ndefaults: [[[[[[[[[[[[[[[[[[[[[[[[[[", "2:26", "too deeply" },
};

static const char *confinement_name(Phoenix__Confinement confinement)
{
	return confinement == PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED ? "required" :
									   "best-effort";
}

static char *describe(const Phoenix__Fleet *fleet)
{
	struct str text = STR_INIT;

	for (size_t i = 0; i < fleet->n_containers; i++) {
		const Phoenix__ContainerSpec *spec = fleet->containers[i];

		str_appendf(&text, "%s%s %s %s mem=%llu cpu=%u pids=%u %s %s", i ? "; " : "",
			    spec->name, spec->image, confinement_name(spec->confinement),
			    (unsigned long long)spec->resources->memory_bytes,
			    spec->resources->cpu_percent, spec->resources->pids,
			    spec->storage_driver, spec->docker_source);
		str_appendf(&text, "%s%s", spec->address[0] ? " " : "", spec->address);
		for (size_t j = 0; j < spec->n_labels; j++)
			str_appendf(&text, "%s%s=%s%s", j ? " " : " {", spec->labels[j]->key,
				    spec->labels[j]->value, j + 1 == spec->n_labels ? "}" : "");
	}
	return str_take(&text);
}

static Phoenix__Fleet *parse(const char *text)
{
	Phoenix__Fleet *fleet = NULL;
	struct ph_error error = { 0 };

	if (fleet_parse("f.yaml", text, strlen(text), &fleet, &error) < 0)
		fail_msg("%s: %s", error.where, error.why);
	return fleet;
}

static void specs_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(spec_cases); i++) {
		const struct spec_case *row = &spec_cases[i];
		Phoenix__Fleet *fleet = parse(row->text);
		PH_AUTO_FREE char *specs = describe(fleet);

		print_message("# %s\n", row->name);
		assert_string_equal(specs, row->specs);
		assert_int_equal(fleet_validate(fleet, NULL), 0);
		fleet_free(fleet);
	}
}

static void refusals_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(refusal_cases); i++) {
		const struct refusal_case *row = &refusal_cases[i];
		struct ph_error error = { 0 };
		Phoenix__Fleet *fleet = NULL;
		char where[64];

		print_message("# %s\n", row->name);
		snprintf(where, sizeof(where), "fleet.yaml:%s", row->where);
		assert_int_equal(fleet_parse("fleet.yaml", row->text, strlen(row->text), &fleet,
					     &error),
				 -EINVAL);
		assert_null(fleet);
		if (!strstr(error.why, row->why))
			fail_msg("\"%s\" is not in \"%s\"", row->why, error.why);
		assert_string_equal(error.where, where);
		assert_string_equal(error.what, "read the fleet file");
	}
}

/* Append a fleet of so many containers, each with so many labels. */
static char *large_fleet(size_t containers, size_t labels)
{
	struct str text = STR_INIT;

	str_append(&text, "version: 1\ndefaults: {image: bookworm}\ncontainers:\n");
	for (size_t i = 0; i < containers; i++) {
		str_appendf(&text, "- {name: web%zu, network: {address: 10.9.%zu.%zu}", i, i / 250,
			    i % 250 + 1);
		for (size_t j = 0; j < labels; j++)
			str_appendf(&text, "%sl%zu: v", j ? ", " : ", labels: {", j);
		str_append(&text, labels ? "}}\n" : "}\n");
	}
	return str_take(&text);
}

static void limits_hold(void **state)
{
	PH_AUTO_FREE char *most = large_fleet(FLEET_CONTAINERS_MAXIMUM, 0);
	PH_AUTO_FREE char *more = large_fleet(FLEET_CONTAINERS_MAXIMUM + 1, 0);
	PH_AUTO_FREE char *labels = large_fleet(1, FLEET_LABELS_MAXIMUM + 1);
	PH_AUTO_FREE char *blank = ph_alloc(FLEET_TEXT_MAXIMUM + 1);
	Phoenix__Fleet *fleet = parse(most);
	struct ph_error error = { 0 };

	assert_int_equal(fleet->n_containers, FLEET_CONTAINERS_MAXIMUM);
	fleet_free(fleet);
	assert_int_equal(fleet_parse("f", more, strlen(more), &fleet, &error), -EINVAL);
	assert_string_equal(error.where, "f:1004:3");
	assert_non_null(strstr(error.why, "1001 containers; at most 1000"));
	assert_int_equal(fleet_parse("f", labels, strlen(labels), &fleet, &error), -EINVAL);
	assert_non_null(strstr(error.why, "33 labels"));
	memset(blank, ' ', FLEET_TEXT_MAXIMUM + 1);
	assert_int_equal(fleet_parse("f", blank, FLEET_TEXT_MAXIMUM + 1, &fleet, &error), -EFBIG);
}

/* A message as a hostile phoenixctl may send it. */
struct message_case {
	const char *name;
	void (*spoil)(Phoenix__Fleet *fleet);
	const char *where;
	const char *why;
};

static void set(char **text, const char *value)
{
	if (*text != protobuf_c_empty_string)
		free(*text);
	*text = ph_strdup(value);
}

static void spoil_version(Phoenix__Fleet *fleet)
{
	fleet->version = 0;
}

static void spoil_name(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[1]->name, "../../etc");
}

static void spoil_no_name(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->name, "");
}

static void spoil_twice(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[1]->name, "web1");
}

static void spoil_image(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->image, "a\nlxc.apparmor.profile = unconfined");
}

static void spoil_confinement(Phoenix__Fleet *fleet)
{
	fleet->containers[0]->confinement = (Phoenix__Confinement)7;
}

static void spoil_resources(Phoenix__Fleet *fleet)
{
	phoenix__resources__free_unpacked(fleet->containers[0]->resources, NULL);
	fleet->containers[0]->resources = NULL;
}

static void spoil_memory(Phoenix__Fleet *fleet)
{
	fleet->containers[0]->resources->memory_bytes = UINT64_MAX;
}

static void spoil_cpu(Phoenix__Fleet *fleet)
{
	fleet->containers[0]->resources->cpu_percent = UINT32_MAX;
}

static void spoil_pids(Phoenix__Fleet *fleet)
{
	fleet->containers[0]->resources->pids = 1;
}

static void spoil_address(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->address, "10.209.0.020");
}

static void spoil_address_twice(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->address, "10.209.0.20");
	set(&fleet->containers[1]->address, "10.209.0.20");
}

static void spoil_driver(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->storage_driver, "");
}

static void spoil_driver_consent(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->storage_driver, "vfs");
}

static void spoil_source(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->docker_source, "http://evil/");
}

static void spoil_label(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->labels[0]->value, "a\"b");
}

static void spoil_label_key(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->labels[0]->key, "");
}

static void spoil_label_twice(Phoenix__Fleet *fleet)
{
	set(&fleet->containers[0]->labels[1]->key, "tier");
}

static void spoil_empty(Phoenix__Fleet *fleet)
{
	while (fleet->n_containers > 0)
		phoenix__container_spec__free_unpacked(fleet->containers[--fleet->n_containers],
						       NULL);
}

static const struct message_case message_cases[] = {
	{ "version", spoil_version, "fleet, version", "knows version 1" },
	{ "no containers", spoil_empty, "fleet, containers", "no containers" },
	{ "name", spoil_name, "container 2 '../../etc', name", "is not a name" },
	{ "no name", spoil_no_name, "container 1 '', name", "is not a name" },
	{ "name twice", spoil_twice, "container 2 'web1', name", "used twice" },
	{ "image", spoil_image, "container 1 'web1', image", "not a name for an image" },
	{ "confinement", spoil_confinement, "container 1 'web1', confinement", "number 7" },
	{ "no resources", spoil_resources, "container 1 'web1', resources", "missing" },
	{ "memory", spoil_memory, "container 1 'web1', resources.memory", "not within" },
	{ "cpus", spoil_cpu, "container 1 'web1', resources.cpus", "1024 processors" },
	{ "pids", spoil_pids, "container 1 'web1', resources.pids", "not within" },
	{ "address", spoil_address, "container 1 'web1', network.address", "not an IPv4" },
	{ "address twice", spoil_address_twice, "container 2 'web2', network.address", "also" },
	{ "driver", spoil_driver, "container 1 'web1', storage.driver", "not a storage driver" },
	{ "driver without consent", spoil_driver_consent, "container 1 'web1', storage.driver",
	  "copies the whole image" },
	{ "source", spoil_source, "container 1 'web1', docker.source", "not a source" },
	{ "label", spoil_label, "container 1 'web1', labels", "not a value" },
	{ "label's key", spoil_label_key, "container 1 'web1', labels", "not a key" },
	{ "label twice", spoil_label_twice, "container 1 'web1', labels", "given twice" },
};

static void messages_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(message_cases); i++) {
		const struct message_case *row = &message_cases[i];
		struct ph_error error = { 0 };
		Phoenix__Fleet *fleet = parse("version: 1\ndefaults: {image: b, labels: "
					      "{tier: web, zone: a}}\n"
					      "containers: [{name: web1}, {name: web2}]\n");

		print_message("# %s\n", row->name);
		assert_int_equal(fleet_validate(fleet, &error), 0);
		row->spoil(fleet);
		assert_int_equal(fleet_validate(fleet, &error), -EINVAL);
		assert_string_equal(error.where, row->where);
		if (!strstr(error.why, row->why))
			fail_msg("\"%s\" is not in \"%s\"", row->why, error.why);
		if (fleet->n_containers > 0 &&
		    fleet_spec_validate(fleet->containers[0], &error) < 0)
			assert_non_null(strstr(error.where, "container '"));
		fleet_free(fleet);
	}
}

struct address_case {
	const char *name;
	const char *address;
	uint32_t subnet;
	uint32_t prefix_length;
	const char *why; /* NULL: accepted */
};

static const struct address_case address_cases[] = {
	{ "inside", "10.209.0.20", 0x0ad10000, 16, NULL },
	{ "the first for a container", "10.209.0.2", 0x0ad10000, 16, NULL },
	{ "the last for a container", "10.209.255.254", 0x0ad10000, 16, NULL },
	{ "another network", "10.210.0.20", 0x0ad10000, 16, "not in the bridge's network" },
	{ "the gateway", "10.209.0.1", 0x0ad10000, 16, "the gateway" },
	{ "the network", "10.209.0.0", 0x0ad10000, 16, "the number" },
	{ "the broadcast address", "10.209.255.255", 0x0ad10000, 16, "the broadcast" },
	{ "beyond a small network", "10.209.0.8", 0x0ad10000, 29, "10.209.0.0/29" },
	{ "within a small network", "10.209.0.6", 0x0ad10000, 29, NULL },
};

static void addresses_follow_the_table(void **state)
{
	Phoenix__Fleet *fleet = parse(ONE);

	for (size_t i = 0; i < ARRAY_LENGTH(address_cases); i++) {
		const struct address_case *row = &address_cases[i];
		struct ph_error error = { 0 };

		print_message("# %s\n", row->name);
		set(&fleet->containers[0]->address, row->address);
		assert_int_equal(fleet_validate_addresses(fleet, row->subnet, row->prefix_length,
							  &error),
				 row->why ? -EINVAL : 0);
		if (row->why && !strstr(error.why, row->why))
			fail_msg("\"%s\" is not in \"%s\"", row->why, error.why);
	}
	set(&fleet->containers[0]->address, "");
	assert_int_equal(fleet_validate_addresses(fleet, 0x0ad10000, 16, NULL), 0);
	fleet_free(fleet);
}

struct difference_case {
	const char *name;
	const char *old; /* of a container; NULL: it is new */
	const char *new;
	const char *differences; /* "field: old -> new; …" */
};

static const struct difference_case difference_cases[] = {
	{ "none", "{name: a, image: i}", "{name: a, image: i}", "" },
	{ "written differently",
	  "{name: a, image: i, resources: {memory: 1024MiB, cpus: 2.0}, labels: {x: y, a: b}}",
	  "{name: a, image: i, resources: {memory: 1GiB, cpus: 2}, labels: {a: b, x: y}}", "" },
	{ "image", "{name: a, image: i}", "{name: a, image: j}", "image: i -> j" },
	{ "confinement", "{name: a, image: i}", "{name: a, image: i, confinement: best-effort}",
	  "confinement: required -> best-effort" },
	{ "transport", "{name: a, image: i}", "{name: a, image: i, transport: vsock}",
	  "transport: unix -> vsock" },
	{ "transport as by default", "{name: a, image: i}", "{name: a, image: i, transport: unix}",
	  "" },
	{ "clone", "{name: a, image: i}", "{name: a, image: i, clone: snapshot}",
	  "clone: auto -> snapshot" },
	{ "clone as by default", "{name: a, image: i, clone: auto}", "{name: a, image: i}", "" },
	{ "confinement mode", "{name: a, image: i}",
	  "{name: a, image: i, confinement: {mode: stacked}}",
	  "confinement: required -> required, stacked" },
	{ "confinement as a mapping", "{name: a, image: i, confinement: best-effort}",
	  "{name: a, image: i, confinement: {level: best-effort, mode: named}}", "" },
	{ "resources", "{name: a, image: i, resources: {memory: 1GiB, cpus: 1.5, pids: 100}}",
	  "{name: a, image: i, resources: {memory: 1536MiB, cpus: 0.25, pids: 0}}",
	  "resources.memory: 1GiB -> 1536MiB; resources.cpus: 1.5 -> 0.25; "
	  "resources.pids: 100 -> unlimited" },
	{ "odd sizes", "{name: a, image: i}",
	  "{name: a, image: i, resources: {memory: 100000001, cpus: 10.05}}",
	  "resources.memory: unlimited -> 100000001; resources.cpus: unlimited -> 10.05" },
	{ "labels", "{name: a, image: i, labels: {x: y}}",
	  "{name: a, image: i, labels: {x: z, a: b}}", "labels: x: y -> a: b, x: z" },
	{ "storage", "{name: a, image: i}",
	  "{name: a, image: i, storage: {driver: vfs, allow_vfs: true, allow_image_loss: true}}",
	  "storage.driver: fuse-overlayfs -> vfs; storage.allow_vfs: false -> true; "
	  "storage.allow_image_loss: false -> true" },
	{ "docker and address", "{name: a, image: i, network: {address: 10.209.0.20}}",
	  "{name: a, image: i, docker: {source: none}}",
	  "docker.source: distribution -> none; network.address: 10.209.0.20 -> " },
	{ "a new container", NULL, "{name: a, image: i}",
	  "name:  -> a; image:  -> i; confinement:  -> required; "
	  "resources.memory:  -> unlimited; resources.cpus:  -> unlimited; "
	  "resources.pids:  -> 4096; storage.driver:  -> fuse-overlayfs; "
	  "storage.allow_vfs:  -> false; storage.allow_image_loss:  -> false; "
	  "docker.source:  -> distribution; docker.version:  -> any; docker.hold:  -> true; "
	  "docker.daemon_override:  -> false; "
	  "transport:  -> unix; clone:  -> auto" },
	{ "docker's further keys", "{name: a, image: i}",
	  "{name: a, image: i, docker: {source: bundle, bundle: b, version: 20.10.*, hold: false, "
	  "daemon: {log-opts: {max-size: 7m, max-file: \"3\"}, debug: true, mtu: 1400}, "
	  "users: [ann, bob], repair: [fuse-daemon]}}",
	  "docker.source: distribution -> bundle; docker.version: any -> 20.10.*; "
	  "docker.hold: true -> false; docker.daemon:  -> "
	  "{\"log-opts\":{\"max-size\":\"7m\",\"max-file\":\"3\"},\"debug\":true,\"mtu\":1400}; "
	  "docker.users:  -> ann, bob; docker.repair:  -> fuse-daemon; docker.bundle:  -> b" },
};

static Phoenix__ContainerSpec *parse_spec(const char *container)
{
	PH_AUTO_FREE char *text = ph_format("version: 1\ncontainers: [%s]\n", container);
	Phoenix__Fleet *fleet = parse(text);
	Phoenix__ContainerSpec *spec = fleet_spec_copy(fleet->containers[0]);

	assert_true(fleet_spec_equal(fleet->containers[0], spec));
	fleet_free(fleet);
	return spec;
}

static void differences_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(difference_cases); i++) {
		const struct difference_case *row = &difference_cases[i];
		Phoenix__ContainerSpec *old = row->old ? parse_spec(row->old) : NULL;
		Phoenix__ContainerSpec *new = parse_spec(row->new);
		PH_AUTO_STR struct str text = STR_INIT;
		struct fleet_differences differences;

		print_message("# %s\n", row->name);
		fleet_spec_diff(old, new, &differences);
		for (size_t j = 0; j < differences.count; j++)
			str_appendf(&text, "%s%s: %s -> %s", j ? "; " : "",
				    differences.items[j].field, differences.items[j].old,
				    differences.items[j].new);
		assert_string_equal(str_text(&text), row->differences);
		if (old)
			assert_int_equal(fleet_spec_equal(old, new), differences.count == 0);
		fleet_differences_fini(&differences);
		if (old)
			phoenix__container_spec__free_unpacked(old, NULL);
		phoenix__container_spec__free_unpacked(new, NULL);
	}
}

static void a_tab_in_the_middle_is_no_indentation(void **state)
{
	Phoenix__Fleet *fleet = parse("version:\t1\ncontainers:\n- name:\tweb1\n  image: i\n");

	assert_string_equal(fleet->containers[0]->name, "web1");
	fleet_free(fleet);
}

static void examples_are_valid(void **state)
{
	Phoenix__Fleet *demo = NULL, *best_effort = NULL;

	assert_int_equal(fleet_load(PH_SOURCE_DIR "/examples/demo.yaml", &demo, NULL), 0);
	assert_int_equal(demo->n_containers, 3);
	assert_string_equal(demo->containers[2]->name, "web3");
	assert_string_equal(demo->containers[2]->image, "bookworm");
	assert_int_equal(demo->containers[2]->confinement,
			 PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED);
	assert_int_equal(fleet_load(PH_SOURCE_DIR "/examples/demo-best-effort.yaml", &best_effort,
				    NULL),
			 0);
	assert_int_equal(best_effort->n_containers, 3);
	assert_int_equal(best_effort->containers[0]->confinement,
			 PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT);
	fleet_free(demo);
	fleet_free(best_effort);
}

static void files_that_cannot_be_read_are_named(void **state)
{
	Phoenix__Fleet *fleet = NULL;
	struct ph_error error = { 0 };
	struct scratch scratch;

	scratch_init(&scratch);
	assert_int_equal(fleet_load(scratch_file(&scratch, "none.yaml"), &fleet, &error), -ENOENT);
	assert_string_equal(error.where, scratch.file);
	assert_int_equal(fleet_load(scratch.path, &fleet, &error), -EISDIR);
	assert_int_equal(fleet_load("/dev/zero", &fleet, &error), -EFBIG);
	assert_int_equal(fleet_load("/dev/null", &fleet, &error), -EINVAL);
	assert_string_equal(error.where, "/dev/null:1:1");
	scratch_fini(&scratch);
}

static void standard_input_is_a_dash(void **state)
{
	int saved = dup(STDIN_FILENO), fds[2];
	Phoenix__Fleet *fleet = NULL;
	struct ph_error error = { 0 };

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "version: 3\n", 11), 11);
	close(fds[1]);
	assert_int_equal(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
	close(fds[0]);
	assert_int_equal(fleet_load("-", &fleet, &error), -EINVAL);
	assert_string_equal(error.where, "standard input:1:10");
	if (saved >= 0) {
		dup2(saved, STDIN_FILENO);
		close(saved);
	}
}

/* No mangled copy of a good file may do anything but parse or be refused with a place. */
static void mangled_files_are_harmless(void **state)
{
	static const char text[] =
		"version: 1\ndefaults:\n  image: bookworm\n  labels: {zone: a}\n"
		"  resources: {memory: 1GiB, cpus: 2, pids: 2000}\n"
		"  storage: {driver: fuse-overlayfs}\n  docker: {source: none}\ncontainers:\n"
		"  - name: web1\n    labels: {tier: web}\n"
		"  - name: web2\n    network: {address: 10.209.0.20}\n";
	char copy[sizeof(text)];
	unsigned int seed = 11, refused = 0;

	for (int round = 0; round < 20000; round++) {
		struct ph_error error = { 0 };
		Phoenix__Fleet *fleet = NULL;

		memcpy(copy, text, sizeof(text));
		for (int i = 0; i <= round % 3; i++)
			copy[(size_t)rand_r(&seed) % (sizeof(text) - 1)] =
				" :-{}[],'\"#\n\tza0\x80"[rand_r(&seed) % 18];
		if (fleet_parse("f", copy, sizeof(text) - 1, &fleet, &error) < 0) {
			assert_true(text_has_prefix(error.where, "f:"));
			refused++;
		} else {
			assert_int_equal(fleet_validate(fleet, &error), 0);
		}
		fleet_free(fleet);
	}
	assert_in_range(refused, 1000, 19999);
}

/* Whatever is accepted passes the limits of a request; the rest is refused with a reason. */
static void an_accepted_fleet_can_be_sent(void **state)
{
	size_t refused = 0;

	for (size_t labels = 0; labels <= FLEET_LABELS_MAXIMUM; labels += 4) {
		PH_AUTO_FREE char *text = large_fleet(FLEET_CONTAINERS_MAXIMUM, labels);
		PH_AUTO_FREE uint8_t *bytes = NULL;
		Phoenix__ApplyRequest request = PHOENIX__APPLY_REQUEST__INIT;
		struct ph_error error = { 0 };
		struct budget budget;
		size_t length;

		if (fleet_parse("f", text, strlen(text), &request.fleet, &error) < 0) {
			assert_true(labels > 0);
			assert_non_null(strstr(error.why, "more than one request can carry"));
			assert_string_equal(error.where, "f:4:1");
			refused++;
			continue;
		}
		length = phoenix__apply_request__get_packed_size(&request);
		assert_true(length < FRAME_LIMIT - 512);
		bytes = ph_alloc(length);
		phoenix__apply_request__pack(&request, bytes);
		budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
		assert_non_null(
			budget_unpack(&budget, &phoenix__apply_request__descriptor, bytes, length));
		budget_fini(&budget);
		fleet_free(request.fleet);
	}
	assert_true(refused > 0);
}

/* What is written counts, the rest is as documented. */
static void a_rollout_is_read(void **state)
{
	static const char text[] =
		"version: 1\nrollout:\n  canary: 10%\n  canary_soak: 2h\n  soak: 500ms\n  drain: 3s\n"
		"  max_unavailable: 2\n  failure_budget: 5%\n  step_deadline: 1d\n  progress_deadline: 2d\n"
		"  on_failure: revert\n  gates: [waves]\n  spread: zone\n" ONE_MORE;
	static const char bare[] = "version: 1\nrollout: {soak: 20s}\n" ONE_MORE;
	const Phoenix__RolloutStrategy *rollout;
	Phoenix__Fleet *fleet;
	struct ph_error error;

	assert_int_equal(fleet_parse("f", text, strlen(text), &fleet, &error), 0);
	rollout = fleet->rollout;
	assert_int_equal(rollout->canary->percent, 10);
	assert_int_equal(rollout->canary_soak_ms, 7200000);
	assert_int_equal(rollout->soak_ms, 500);
	assert_int_equal(rollout->drain_ms, 3000);
	assert_int_equal(rollout->max_unavailable->count, 2);
	assert_int_equal(rollout->failure_budget->percent, 5);
	assert_int_equal(rollout->step_deadline_ms, 86400000);
	assert_int_equal(rollout->progress_deadline_ms, 172800000);
	assert_int_equal(rollout->on_failure, PHOENIX__ROLLOUT_STRATEGY__ON_FAILURE__REVERT);
	assert_false(rollout->gate_canary);
	assert_true(rollout->gate_waves);
	assert_string_equal(rollout->spread, "zone");
	fleet_free(fleet);

	assert_int_equal(fleet_parse("f", bare, strlen(bare), &fleet, &error), 0);
	assert_null(fleet->rollout->canary); /* one */
	assert_int_equal(fleet->rollout->canary_soak_ms, 20000);
	assert_int_equal(fleet->rollout->step_deadline_ms, 900000);
	fleet_free(fleet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(specs_follow_the_table),
		cmocka_unit_test(a_rollout_is_read),
		cmocka_unit_test(refusals_follow_the_table),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(messages_follow_the_table),
		cmocka_unit_test(addresses_follow_the_table),
		cmocka_unit_test(differences_follow_the_table),
		cmocka_unit_test(a_tab_in_the_middle_is_no_indentation),
		cmocka_unit_test(examples_are_valid),
		cmocka_unit_test(files_that_cannot_be_read_are_named),
		cmocka_unit_test(standard_input_is_a_dash),
		cmocka_unit_test(mangled_files_are_harmless),
		cmocka_unit_test(an_accepted_fleet_can_be_sent),
	};

	return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
