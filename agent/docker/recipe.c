#include "agent/docker/recipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

/*
 * docker.io recommends what it needs to be of use (iptables for its bridge, ca-certificates for
 * registries); recommendations are not installed, so these are named. Debian 13 has split the
 * command-line client off.
 */
static const struct recipe recipes[] = {
	{ "debian",
	  "bookworm",
	  "Debian 12",
	  { "docker.io", "fuse-overlayfs", "iptables", "ca-certificates" },
	  800,
	  true },
	{ "debian",
	  "trixie",
	  "Debian 13",
	  { "docker.io", "docker-cli", "fuse-overlayfs", "iptables", "ca-certificates" },
	  900,
	  true },
	{ "debian",
	  "forky",
	  "Debian 14",
	  { "docker.io", "docker-cli", "fuse-overlayfs", "iptables", "ca-certificates" },
	  900,
	  true },
	{ "debian",
	  "sid",
	  "Debian unstable",
	  { "docker.io", "docker-cli", "fuse-overlayfs", "iptables", "ca-certificates" },
	  900,
	  false },
	{ "ubuntu",
	  "jammy",
	  "Ubuntu 22.04",
	  { "docker.io", "fuse-overlayfs", "iptables", "ca-certificates" },
	  900,
	  false },
	{ "ubuntu",
	  "noble",
	  "Ubuntu 24.04",
	  { "docker.io", "fuse-overlayfs", "iptables", "ca-certificates" },
	  900,
	  false },
};

/* The same everywhere: Docker's own repository has no differences between distributions. */
static const char *const docker_ce[] = {
	"docker-ce", "docker-ce-cli", "containerd.io", "fuse-overlayfs", "iptables", "ca-certificates", NULL,
};

static const char *const foreign[] = {
	"docker-ce", "docker-ce-cli", "containerd.io", "moby-engine", NULL,
};

static const char *const foreign_to_docker_ce[] = { "docker.io", "moby-engine", NULL };

/* Of different age they do not work together: only all of them or none may change. */
static const char *const set[] = {
	"docker.io",     "docker-cli",    "containerd", "runc", "fuse-overlayfs", "docker-ce",
	"docker-ce-cli", "containerd.io",
};

static const char *const observed[] = { "containerd", "runc", NULL };

struct version_rule {
	uint32_t first[3]; /* of the range */
	uint32_t below[3]; /* first one after it */
	bool refused;
	const char *why;
};

/* The fuse-overlayfs, overlay2 ... of daemon.json are graph drivers. */
static const struct version_rule version_rules[] = {
	{ { 0, 0, 0 }, { 20, 10, 0 }, true, "Docker before 20.10 knows no fuse-overlayfs driver" },
	{ { 29, 0, 0 },
	  { 29, 0, 1 },
	  true,
	  "Docker 29.0.0 takes the driver's name for a containerd snapshotter and does not start" },
};

const struct recipe *recipe_find(const struct os_release *release)
{
	for (size_t i = 0; i < ARRAY_LENGTH(recipes); i++)
		if (strcmp(recipes[i].id, release->id) == 0 &&
		    strcmp(recipes[i].codename, release->codename) == 0)
			return &recipes[i];
	return NULL;
}

int recipe_unsupported(const struct os_release *release, struct ph_error *error)
{
	PH_AUTO_STR struct str known = STR_INIT;

	for (size_t i = 0; i < ARRAY_LENGTH(recipes); i++)
		str_appendf(&known, "%s%s", i ? ", " : "", recipes[i].title);
	return error_set(error, -ENOTSUP, "/etc/os-release",
			 "use an image of one of those, install Docker yourself (docker.source: none), "
			 "or add a row to agent/docker/recipe.c as docs/distributions.md says",
			 "unsupported distribution %s (ID=%s VERSION_CODENAME=%s); supported are %s",
			 release->pretty_name[0] ? release->pretty_name : "without a name",
			 release->id, release->codename, str_text(&known));
}

const char *const *recipe_packages(const struct recipe *recipe, const char *source)
{
	return strcmp(source, "docker-ce") == 0 ? docker_ce : recipe->packages;
}

const char *const *recipe_foreign_packages(const char *source)
{
	return strcmp(source, "docker-ce") == 0 ? foreign_to_docker_ce : foreign;
}

bool recipe_is_of_the_set(const char *package)
{
	for (size_t i = 0; i < ARRAY_LENGTH(set); i++)
		if (strcmp(set[i], package) == 0)
			return true;
	return false;
}

const char *const *recipe_observed_packages(void)
{
	return observed;
}

/* "5:28.5.2+dfsg1-1" -> 28 5 2; false when it begins with no number. */
static bool version_parse(const char *text, uint32_t version[3])
{
	const char *colon = strchr(text, ':');

	memset(version, 0, 3 * sizeof(version[0]));
	if (colon)
		text = colon + 1;
	for (size_t i = 0; i < 3; i++) {
		char *end;
		unsigned long value = strtoul(text, &end, 10);

		if (*text < '0' || *text > '9' || value > UINT32_MAX)
			return i > 0;
		version[i] = (uint32_t)value;
		if (*end != '.')
			return true;
		text = end + 1;
	}
	return true;
}

static int version_compare(const uint32_t left[3], const uint32_t right[3])
{
	for (size_t i = 0; i < 3; i++)
		if (left[i] != right[i])
			return left[i] < right[i] ? -1 : 1;
	return 0;
}

int recipe_version_check(const char *version, const char *driver, struct ph_error *error)
{
	uint32_t parsed[3];

	if (!version_parse(version, parsed))
		return 0;
	for (size_t i = 0; i < ARRAY_LENGTH(version_rules); i++) {
		const struct version_rule *rule = &version_rules[i];

		if (rule->refused && version_compare(parsed, rule->first) >= 0 &&
		    version_compare(parsed, rule->below) < 0)
			return error_set(error, -ENOTSUP, "docker",
					 "install another version of Docker (29.0.1 or later, or the "
					 "distribution's stable one)",
					 "%s (this is %s, and %s is wanted)", rule->why, version,
					 driver);
	}
	return 0;
}
