/*
 * "The very same" is decided by the bytes: the kernel keeps what was loaded and shows it to root. A
 * kernel that does not keep it is loaded again, which changes nothing but costs a few milliseconds.
 */
#include "controller/host/confine/policy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/apparmor.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/compile.h"
#include "controller/host/confine/label.h"

#define SECURITYFS "/sys/kernel/security/apparmor"
#define PROFILES SECURITYFS "/policy/profiles"
#define LIST_MAXIMUM (4 * 1024 * 1024)

PH_DEFINE_CLEANUP(aa_kernel_interface *, aa_kernel_interface_unref);

/* The whole file below a directory; NULL when it cannot be read. Its size is not known before. */
static bool read_whole(int directory, const char *path, size_t maximum, struct str *ret_bytes)
{
	PH_AUTO_CLOSE int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
	char block[16384];
	ssize_t length;

	if (fd < 0)
		return false;
	while ((length = read(fd, block, sizeof(block))) > 0) {
		if (ret_bytes->length + (size_t)length > maximum)
			return false;
		str_append_bytes(ret_bytes, block, (size_t)length);
	}
	return length == 0;
}

enum confine_policy_state confine_policy_find(const char *list, const char *name)
{
	while (*list) {
		size_t length = strcspn(list, "\n");
		struct confine_label label;

		if (confine_label_parse(list, length, &label) == 0 && text_equal(label.name, name))
			return confine_label_enforces(&label, name) ? CONFINE_POLICY_ENFORCED :
								       CONFINE_POLICY_LAX;
		list += length + (list[length] == '\n');
	}
	return CONFINE_POLICY_ABSENT;
}

int confine_policy_state(const char *name, struct ph_error *error)
{
	PH_AUTO_STR struct str list = STR_INIT;
	enum confine_policy_state state;
	char mode[CONFINE_LAX_SIZE];

	if (!read_whole(AT_FDCWD, SECURITYFS "/profiles", LIST_MAXIMUM, &list))
		return error_set(error, -EIO, SECURITYFS "/profiles",
				 "mount securityfs and run as root of the host",
				 "the kernel's list of profiles cannot be read");
	state = confine_policy_find(str_text(&list), name);
	return state == CONFINE_POLICY_ENFORCED && !confine_kernel_enforces(NULL, mode) ?
		       CONFINE_POLICY_LAX :
		       state;
}

/* Whether one entry of the kernel's policy tree ("lxc-phoenix-v2.7") is this profile. */
static bool entry_is_named(int profiles, const char *entry, const char *name)
{
	PH_AUTO_FREE char *path = ph_format("%s/name", entry);
	PH_AUTO_STR struct str found = STR_INIT;

	if (!read_whole(profiles, path, 4096, &found))
		return false;
	if (found.length && found.data[found.length - 1] == '\n')
		found.data[--found.length] = '\0';
	return text_equal(str_text(&found), name);
}

/* Whether it is this profile, loaded from these bytes. */
static bool entry_is_same(int profiles, const char *entry, const char *name,
			  const struct str *binary)
{
	PH_AUTO_FREE char *data_path = ph_format("%s/raw_data", entry);
	PH_AUTO_STR struct str data = STR_INIT;

	if (!entry_is_named(profiles, entry, name))
		return false;
	return read_whole(profiles, data_path, CONFINE_BINARY_MAXIMUM, &data) &&
	       data.length == binary->length && !memcmp(data.data, binary->data, data.length);
}

static bool is_same_loaded(const char *name, const struct str *binary)
{
	PH_AUTO_DIR DIR *profiles = opendir(PROFILES);
	struct dirent *entry;

	while (profiles && (entry = readdir(profiles))) {
		if (text_has_prefix(entry->d_name, name) &&
		    entry_is_same(dirfd(profiles), entry->d_name, name, binary))
			return true;
	}
	return false;
}

void confine_policy_hash(const char *name, char ret_hash[65])
{
	static const char *const files[] = { "sha256", "sha1" };
	PH_AUTO_DIR DIR *profiles = opendir(PROFILES);
	struct dirent *entry;

	ret_hash[0] = '\0';
	while (profiles && (entry = readdir(profiles))) {
		if (!text_has_prefix(entry->d_name, name) ||
		    !entry_is_named(dirfd(profiles), entry->d_name, name))
			continue;
		for (size_t i = 0; i < ARRAY_LENGTH(files) && !ret_hash[0]; i++) {
			PH_AUTO_FREE char *path = ph_format("%s/%s", entry->d_name, files[i]);
			PH_AUTO_STR struct str hash = STR_INIT;

			if (read_whole(dirfd(profiles), path, 256, &hash))
				text_copy(ret_hash, 65, str_text(&hash));
			ret_hash[strspn(ret_hash, "0123456789abcdef")] = '\0';
		}
		return;
	}
}

static int replace(const char *name, const struct str *binary, struct ph_error *error)
{
	PH_CLEANUP(aa_kernel_interface_unref_cleanup) aa_kernel_interface *kernel = NULL;

	if (aa_kernel_interface_new(&kernel, NULL, NULL) ||
	    aa_kernel_interface_replace_policy(kernel, binary->data, binary->length))
		return error_errno(error, errno ? -errno : -EIO, name,
				   "see the kernel log (dmesg) for the reason AppArmor gives",
				   "the kernel refused the policy");
	return 0;
}

int confine_policy_load(const struct confine_policy *policy, const struct confine_facts *facts,
			struct ph_error *error)
{
	struct confine_compile compile = { .text = policy->text, .cache_dir = policy->cache_dir,
					   .features_id = facts->features_id,
					   .parser_version = facts->parser_version };
	PH_AUTO_STR struct str binary = STR_INIT;
	int code = confine_facts_require(facts, error);

	if (code == 0)
		code = confine_compile(&compile, &binary, NULL, error);
	if (code == 0)
		code = confine_policy_state(policy->name, error);
	if (code < 0) {
		error_prefix(error, "load profile %s", policy->name);
		return code;
	}
	if (code == CONFINE_POLICY_ENFORCED && is_same_loaded(policy->name, &binary))
		return CONFINE_POLICY_UNCHANGED;
	code = replace(policy->name, &binary, error);
	if (code == 0)
		code = confine_policy_state(policy->name, error);
	if (code < 0) {
		error_prefix(error, "load profile %s", policy->name);
		return code;
	}
	if (code != CONFINE_POLICY_ENFORCED)
		return error_set(error, -EIO, policy->name, "check that the profile's text defines it",
				 "load profile %s: the kernel does not enforce it afterwards",
				 policy->name);
	return CONFINE_POLICY_LOADED;
}

int confine_policy_unload(const char *name, struct ph_error *error)
{
	PH_CLEANUP(aa_kernel_interface_unref_cleanup) aa_kernel_interface *kernel = NULL;
	int state = confine_policy_state(name, error);

	if (state < 0) {
		error_prefix(error, "unload profile %s", name);
		return state;
	}
	if (state == CONFINE_POLICY_ABSENT)
		return CONFINE_POLICY_UNCHANGED;
	if (aa_kernel_interface_new(&kernel, NULL, NULL) ||
	    aa_kernel_interface_remove_policy(kernel, name)) {
		int code = error_errno(error, errno ? -errno : -EIO, name,
				       "is phoenix-host root of the host?", "the kernel refused");

		error_prefix(error, "unload profile %s", name);
		return code;
	}
	return 0;
}
