/* A namespace is a directory of securityfs: mkdir makes it, rmdir removes it and all below it. */
#include "controller/host/confine/namespace.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

#define NAMESPACES "/sys/kernel/security/apparmor/policy/namespaces"
#define PREFIX "phoenix-"
#define PATH_SIZE (sizeof(NAMESPACES) + NAMESPACE_NAME_SIZE)

char *namespace_name(const char *container, char name[NAMESPACE_NAME_SIZE])
{
	snprintf(name, NAMESPACE_NAME_SIZE, PREFIX "%.63s", container);
	return name;
}

char *namespace_label(const char *profile, const char *container, char label[NAMESPACE_LABEL_SIZE])
{
	char name[NAMESPACE_NAME_SIZE];

	snprintf(label, NAMESPACE_LABEL_SIZE, "%.80s//&:%s:unconfined", profile,
		 namespace_name(container, name));
	return label;
}

static void format_path(const char *container, char path[PATH_SIZE])
{
	char name[NAMESPACE_NAME_SIZE];

	snprintf(path, PATH_SIZE, NAMESPACES "/%s", namespace_name(container, name));
}

int namespace_make(const char *container, struct ph_error *error)
{
	char path[PATH_SIZE];
	int code = namespace_remove(container, error);

	if (code < 0)
		return code;
	format_path(container, path);
	if (mkdir(path, 0755) < 0)
		return error_errno(error, -errno, path,
				   "look at the kernel log (dmesg), or write \"mode: named\"",
				   "make the AppArmor namespace");
	return NAMESPACE_CHANGED;
}

int namespace_remove(const char *container, struct ph_error *error)
{
	char path[PATH_SIZE];

	format_path(container, path);
	if (rmdir(path) == 0)
		return NAMESPACE_CHANGED;
	if (errno == ENOENT)
		return NAMESPACE_UNCHANGED;
	return error_errno(error, -errno, path, "look at the kernel log (dmesg)",
			   "remove the AppArmor namespace");
}

void namespace_sweep(bool (*runs)(void *user, const char *container), void *user)
{
	PH_AUTO_DIR DIR *namespaces = opendir(NAMESPACES);
	struct dirent *entry;

	while (namespaces && (entry = readdir(namespaces))) {
		const char *container = entry->d_name + strlen(PREFIX);

		if (text_has_prefix(entry->d_name, PREFIX) && name_is_valid(container) &&
		    !runs(user, container))
			namespace_remove(container, NULL);
	}
}
