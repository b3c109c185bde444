#include "agent/docker/dpkg_status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

bool dpkg_package_is_installed(const struct dpkg_package *package)
{
	return package->state[0] && package->state[1] == 'i' &&
	       (package->state[2] == ' ' || package->state[2] == '\0');
}

bool dpkg_package_is_unpacked(const struct dpkg_package *package)
{
	/* Unpacked, half-configured, triggers awaited or pending, installed. */
	return package->state[0] && strchr("UFWti", package->state[1]) && package->state[2] == ' ';
}

/* The second letter is the state: not-installed, config-files and installed are states of rest. */
static bool is_broken(const char *state)
{
	return !strchr("nci", state[1]) || state[2] == 'R';
}

static void broken_add(struct dpkg_broken *broken, const char *state, const char *name,
		       size_t length)
{
	size_t index = broken->count++;

	if (index >= DPKG_BROKEN_MAXIMUM || length >= sizeof(broken->names[0]))
		return;
	memcpy(broken->names[index], name, length);
	broken->names[index][length] = '\0';
	broken->reinstall[index] = state[2] == 'R';
}

/* In KiB; more than fits is as good as the most that does. */
static uint32_t size_parse(const char *text)
{
	unsigned long long value = strtoull(text, NULL, 10);

	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static void package_take(struct dpkg_package *packages, size_t count, const char *state,
			 const char *name, size_t name_length, const char *version)
{
	size_t version_length = strcspn(version, "\t\n");
	const char *size = version + version_length;

	for (size_t i = 0; i < count; i++) {
		struct dpkg_package *package = &packages[i];

		if (strlen(package->name) != name_length ||
		    memcmp(package->name, name, name_length) != 0)
			continue;
		memcpy(package->state, state, 3);
		package->state[3] = '\0';
		if (version_length < sizeof(package->version) && state[1] != 'n' &&
		    state[1] != 'c') {
			memcpy(package->version, version, version_length);
			package->version[version_length] = '\0';
		}
		/* A package without a size has an empty field. */
		if (dpkg_package_is_unpacked(package) && *size == '\t' && size[1] >= '0' &&
		    size[1] <= '9')
			package->size_kib = size_parse(size + 1);
	}
}

int dpkg_status_parse(const char *text, struct dpkg_package *packages, size_t count,
		      struct dpkg_broken *ret_broken)
{
	struct dpkg_broken broken = { 0 };

	for (size_t i = 0; i < count; i++) {
		packages[i].state[0] = '\0';
		packages[i].version[0] = '\0';
		packages[i].size_kib = 0;
	}
	while (*text) {
		size_t length = strcspn(text, "\n"), state_length = strcspn(text, "\t\n");
		const char *name = text + state_length + 1, *version;

		if (state_length != 3 || text[state_length] != '\t')
			return -EBADMSG;
		version = memchr(name, '\t', length - 4);
		if (!version || version == name)
			return -EBADMSG;
		package_take(packages, count, text, name, (size_t)(version - name), version + 1);
		if (is_broken(text))
			broken_add(&broken, text, name, (size_t)(version - name));
		text += length + (text[length] == '\n');
	}
	if (ret_broken)
		*ret_broken = broken;
	return 0;
}

const struct dpkg_package *dpkg_package_find(const struct dpkg_package *packages, size_t count,
					     const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(packages[i].name, name) == 0)
			return &packages[i];
	return NULL;
}
