/* One list of facts serves the JSON by hand, the wire and the operator's table. */
#include "agent/storage/facts.h"

#include <stdio.h>

#include "common/cleanup.h"
#include "common/str.h"

const char *storage_answer_word(enum storage_answer answer)
{
	static const char *const words[] = { "unknown", "yes", "no" };

	return (size_t)answer < ARRAY_LENGTH(words) ? words[answer] : words[0];
}

static void tell_trial(const struct storage_trial *trial, const char *key, storage_fact_fn tell,
		       void *user)
{
	char text[256];

	if (trial->passed == STORAGE_NO && trial->check[0])
		snprintf(text, sizeof(text), "no: %s: %s", trial->check, trial->got);
	else
		snprintf(text, sizeof(text), "%s", storage_answer_word(trial->passed));
	tell(user, key, text);
}

static void tell_fuse_device(const struct storage_facts *facts, storage_fact_fn tell, void *user)
{
	char text[128];

	if (facts->fuse_device == STORAGE_NO && facts->fuse_problem[0])
		snprintf(text, sizeof(text), "no: %s", facts->fuse_problem);
	else
		snprintf(text, sizeof(text), "%s", storage_answer_word(facts->fuse_device));
	tell(user, "dev-fuse", text);
}

static void tell_number(storage_fact_fn tell, void *user, const char *key, size_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", number);
	tell(user, key, text);
}

void storage_facts_tell(const struct storage_facts *facts, storage_fact_fn tell, void *user)
{
	tell(user, "data-root", facts->data_root);
	tell(user, "filesystem", facts->filesystem);
	tell(user, "filesystem-version", facts->filesystem_version);
	tell(user, "kernel", facts->kernel);
	tell(user, "user-namespace", facts->in_user_namespace ? "yes" : "no");
	tell(user, "entry-types", storage_answer_word(facts->entry_types));
	tell(user, "acl", storage_answer_word(facts->acl));
	tell(user, "rename-whiteout", storage_answer_word(facts->rename_whiteout));
	tell(user, "overlay-mount", storage_answer_word(facts->userxattr));
	tell(user, "overlay-rename-lower", storage_answer_word(facts->rename_lower));
	tell_trial(&facts->overlay, "overlay2-passes", tell, user);
	tell_fuse_device(facts, tell, user);
	tell(user, "fuse-overlayfs", facts->fuse_overlayfs);
	tell_trial(&facts->fuse, "fuse-overlayfs-passes", tell, user);
	tell(user, "docker", facts->docker);
	tell(user, "driver-now", facts->driver_now);
	tell_number(tell, user, "images", facts->image_count);
	tell_number(tell, user, "containers", facts->container_count);
}
