/*
 * Adopt, AdoptConfine, AdoptRevert, AdoptForget: a container of others gets a record here, and its
 * configuration the profile and the agent's socket. phoenixd names containers only; what is changed in
 * which file is decided here. Order of writing: the backup, the hash of what will be written, the file:
 * whatever a crash leaves can be told apart and put back.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/host/lxc/adopted.h"
#include "controller/host/lxc/instance.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/tree.h"
#include "controller/host/verbs/foreign_message.h"
#include "controller/host/verbs/placement.h"
#include "controller/host/verbs/validate.h"
#include "controller/host/verbs/verbs.h"

#define BACKUP "lxc-config.backup"

/* A configuration as it is now, and where. */
struct subject {
	struct adopted adopted;
	struct placement placement;
	struct lxc_config config; /* owned */
	char *text;               /* owned */
	size_t length;
};

static void subject_fini(struct subject *subject)
{
	lxc_config_fini(&subject->config);
	free(subject->text);
}

static void hash_text(const char *text, size_t length, char hex[65])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *)text, length);
	bytes_to_hex(hash, sizeof(hash), hex);
}

static int send_reply(const struct verb_host *host, const char *lxc_path, const char *name,
		      bool changed, bool has_backup, struct ph_error *error)
{
	Phoenix__AdoptReply reply = PHOENIX__ADOPT_REPLY__INIT;
	char backup[PATHS_SIZE] = "";
	struct foreign foreign;
	struct census census;
	int code = foreign_look(lxc_path, name, &foreign, error);

	if (code == 0)
		code = census_take(&census, error);
	if (code < 0)
		return code;
	if (has_backup)
		paths_format(host->config, PATHS_CONTAINERS, name, BACKUP, backup, NULL);
	reply.changed = changed;
	reply.backup = backup;
	reply.container = foreign_message(host->config, &census, &foreign, FOREIGN_IMAGES_MAXIMUM);
	worker_send(host->output, &reply.base);
	message_free(reply.container);
	foreign_fini(&foreign);
	census_fini(&census);
	return 0;
}

/* ---- Adopt ---- */

static int check_name_is_free(const struct config *config, const Phoenix__AdoptRequest *request,
			      struct ph_error *error)
{
	struct placement placement;
	struct adopted adopted;
	int code = adopted_load(config, request->name, &adopted, error);

	if (code == 0 && text_equal(adopted.lxc_path, request->lxc_path))
		return 0;
	if (code == 0)
		return error_set(error, -EEXIST, request->name, "phoenixctl unadopt it first",
				 "a container of this name was adopted from %s", adopted.lxc_path);
	if (code == -ENOENT && placement_load(config, request->name, &placement, NULL) == -ENOENT)
		return 0;
	return error_set(error, -EEXIST, request->name, "rename one of them",
			 "Phoenix has a container of this name already");
}

static int record(const struct config *config, const struct foreign *foreign,
		  struct ph_error *error)
{
	struct placement placement = { .id_base = foreign->id_base,
				       .id_count = foreign->id_count,
				       .slot = VALIDATE_SLOTS }; /* none: it has its own network */
	struct adopted adopted = { 0 };
	int code;

	text_copy(placement.name, sizeof(placement.name), foreign->name);
	text_copy(adopted.lxc_path, sizeof(adopted.lxc_path), foreign->lxc_path);
	/* The second one makes it a container: what only has the first is none of ours. */
	code = paths_make(config, PATHS_CONTAINERS, placement.name, 0, placement.id_base, 0710,
			  error);
	if (code >= 0)
		code = adopted_save(config, placement.name, &adopted, error);
	return code < 0 ? code : placement_save(config, &placement, error);
}

int verb_adopt(const struct verb_host *host, const ProtobufCMessage *message,
	       struct ph_error *error)
{
	const Phoenix__AdoptRequest *request = (const void *)message;
	struct foreign foreign;
	bool is_new;
	int code = foreign_check_path(host->config, request->lxc_path, error);

	if (code == 0)
		code = check_name_is_free(host->config, request, error);
	if (code == 0)
		code = foreign_look(request->lxc_path, request->name, &foreign, error);
	if (code < 0)
		return code;
	is_new = !adopted_is(host->config, request->name);
	if (error_is_set(&foreign.obstacle)) {
		*error = foreign.obstacle;
		code = error->code;
	} else if (is_new) {
		code = record(host->config, &foreign, error);
	}
	foreign_fini(&foreign);
	return code < 0 ? code : send_reply(host, request->lxc_path, request->name, is_new, false,
					    error);
}

/* ---- AdoptConfine ---- */

static int subject_load(const struct config *config, const char *name, struct subject *subject,
			struct ph_error *error)
{
	int code = adopted_load(config, name, &subject->adopted, error);

	*subject = (struct subject){ .adopted = subject->adopted };
	if (code == -ENOENT)
		return error_set(error, code, name, "phoenixctl adopt PATH/NAME",
				 "no container of this name was adopted");
	if (code == 0)
		code = placement_load(config, name, &subject->placement, error);
	if (code == 0)
		code = foreign_read_config(subject->adopted.lxc_path, name, &subject->text,
					   &subject->length, &subject->config, error);
	return code;
}

/* It may have been changed since it was adopted. */
static int check_id_map(const struct subject *subject, struct ph_error *error)
{
	uint32_t base, count;
	int code = lxc_config_id_map(&subject->config, &base, &count, error);

	if (code < 0)
		return code;
	if (base == subject->placement.id_base && count == subject->placement.id_count)
		return 0;
	return error_set(error, -ESTALE, subject->placement.name,
			 "phoenixctl unadopt it and adopt it again",
			 "its id map has changed since it was adopted");
}

static int edit(const struct config *config, struct subject *subject, const char *profile,
		struct ph_error *error)
{
	const char *name = subject->placement.name;
	struct lxc_config *lines = &subject->config;
	PH_AUTO_FREE char *payload = ph_format("phoenix.payload.%s", name);
	PH_AUTO_FREE char *monitor = ph_format("phoenix.monitor.%s", name);
	PH_AUTO_FREE char *entry = NULL;
	char agent_dir[PATHS_SIZE];
	int code = paths_format(config, PATHS_AGENTS, name, NULL, agent_dir, error);

	if (code < 0)
		return code;
	lxc_config_set(lines, "lxc.apparmor.profile", profile);
	if (lxc_config_get(lines, "lxc.apparmor.allow_incomplete"))
		lxc_config_set(lines, "lxc.apparmor.allow_incomplete", "0");
	lxc_config_comment(lines, "Added by phoenixctl confine; phoenixctl unadopt takes it out again.");
	/* Optional: the container has to start for its owner also where Phoenix does not run. */
	entry = ph_format("%s dev/phoenix none bind,ro,nosuid,nodev,noexec,create=dir,optional 0 0",
			  agent_dir);
	lxc_config_append(lines, "lxc.mount.entry", entry);
	lxc_config_set(lines, "lxc.cgroup.dir.monitor", monitor);
	lxc_config_set(lines, "lxc.cgroup.dir.container", payload);
	lxc_config_set(lines, "lxc.cgroup.dir.monitor.pivot", "phoenix.pivot");
	return 0;
}

static int check_with_liblxc(const struct subject *subject, const struct str *text,
			     const char *profile, struct ph_error *error)
{
	PH_AUTO_FREE char *users = ph_format("u 0 %u %u", subject->placement.id_base,
					     subject->placement.id_count);
	PH_AUTO_FREE char *payload = ph_format("phoenix.payload.%s", subject->placement.name);
	const char *const expected[][2] = { { "lxc.apparmor.profile", profile },
					    { "lxc.idmap", users },
					    { "lxc.mount.entry", " dev/phoenix " },
					    { "lxc.cgroup.dir.container", payload } };

	return instance_accepts(subject->adopted.lxc_path, subject->placement.name, text->data,
				text->length, expected, ARRAY_LENGTH(expected), error);
}

static int save_backup(const struct config *config, const struct subject *subject,
		       struct ph_error *error)
{
	const struct tree_owner owner = { 0, 0, 0600 };
	PH_AUTO_FREE char *path = ph_format("%s/" BACKUP, subject->placement.name);
	PH_AUTO_CLOSE int containers = -1;
	int code = paths_open(config, PATHS_CONTAINERS, &containers, error);

	if (code == 0)
		code = tree_write_file(containers, path, subject->text, subject->length, &owner,
				       error);
	return code < 0 ? code : 0;
}

/* With the mode that it has; root's it is, or it would not have been read. */
static int write_config(const struct subject *subject, const char *text, size_t length,
			struct ph_error *error)
{
	PH_AUTO_FREE char *path = ph_format("%s/config", subject->placement.name);
	struct tree_owner owner = { 0, 0, 0644 };
	PH_AUTO_CLOSE int lxc_path = -1;
	struct stat status;
	int code = tree_open_root(subject->adopted.lxc_path, &lxc_path, error);

	if (code < 0)
		return code;
	if (tree_stat(lxc_path, path, &status) == 0) {
		owner.gid = status.st_gid;
		owner.mode = status.st_mode & 0777;
	}
	code = tree_write_file(lxc_path, path, text, length, &owner, error);
	return code < 0 ? code : 0;
}

static int save_profile(const struct config *config, struct subject *subject, const char *profile,
			struct ph_error *error)
{
	text_copy(subject->placement.profile, sizeof(subject->placement.profile), profile);
	return placement_save(config, &subject->placement, error);
}

static int change(const struct config *config, struct subject *subject, const char *profile,
		  struct ph_error *error)
{
	PH_AUTO_STR struct str text = STR_INIT;
	int code = check_id_map(subject, error);

	if (code == 0)
		code = edit(config, subject, profile, error);
	if (code < 0)
		return code;
	lxc_config_format(&subject->config, &text);
	code = check_with_liblxc(subject, &text, profile, error);
	if (code == 0)
		code = save_backup(config, subject, error);
	if (code < 0)
		return code;
	hash_text(text.data, text.length, subject->adopted.written);
	code = adopted_save(config, subject->placement.name, &subject->adopted, error);
	if (code == 0)
		code = write_config(subject, text.data, text.length, error);
	return code == 0 ? save_profile(config, subject, profile, error) : code;
}

int verb_adopt_confine(const struct verb_host *host, const ProtobufCMessage *message,
		       struct ph_error *error)
{
	const Phoenix__AdoptConfineRequest *request = (const void *)message;
	PH_CLEANUP(subject_fini) struct subject subject = { 0 };
	char hash[65];
	bool is_done;
	int code = subject_load(host->config, request->name, &subject, error);

	if (code < 0)
		return code;
	hash_text(subject.text, subject.length, hash);
	is_done = text_equal(hash, subject.adopted.written);
	if (!is_done)
		code = change(host->config, &subject, request->profile, error);
	else if (!text_equal(subject.placement.profile, request->profile))
		code = save_profile(host->config, &subject, request->profile, error);
	return code < 0 ? code : send_reply(host, subject.adopted.lxc_path, request->name, !is_done,
					    true, error);
}

/* ---- AdoptRevert, AdoptForget ---- */

static int read_backup(const struct config *config, const char *name, char **ret_text,
		       size_t *ret_length, struct ph_error *error)
{
	PH_AUTO_FREE char *path = ph_format("%s/" BACKUP, name);
	PH_AUTO_CLOSE int containers = -1;
	int code = paths_open(config, PATHS_CONTAINERS, &containers, error);

	return code < 0 ? code : tree_read_small(containers, path, LXC_CONFIG_TEXT_MAXIMUM, ret_text,
						 ret_length, error);
}

/* What its owner has changed since is not thrown away. */
static int refuse_changed(const struct config *config, const char *name, struct ph_error *error)
{
	char backup[PATHS_SIZE] = "the backup";
	char remedy[PATHS_SIZE + 96];

	paths_format(config, PATHS_CONTAINERS, name, BACKUP, backup, NULL);
	snprintf(remedy, sizeof(remedy), "put back %s, or take our lines out of it, and try again",
		 backup);
	return error_set(error, -ESTALE, name, remedy,
			 "its configuration was changed after Phoenix had changed it");
}

static int put_back(const struct config *config, struct subject *subject, bool *ret_changed,
		    struct ph_error *error)
{
	const char *profile = lxc_config_get(&subject->config, "lxc.apparmor.profile");
	const char *name = subject->placement.name;
	PH_AUTO_FREE char *backup = NULL;
	char hash[65];
	size_t length;
	int code = 0;

	hash_text(subject->text, subject->length, hash);
	if (text_equal(hash, subject->adopted.written)) {
		code = read_backup(config, name, &backup, &length, error);
		if (code == 0)
			code = write_config(subject, backup, length, error);
		*ret_changed = true;
	} else if (text_equal(profile, VALIDATE_PROFILE)) {
		return refuse_changed(config, name, error);
	}
	if (code == 0)
		code = save_profile(config, subject, "", error);
	subject->adopted.written[0] = '\0';
	return code < 0 ? code : adopted_save(config, name, &subject->adopted, error);
}

/* Its owner has removed it: nothing is left to be put back. */
static int forget_written(const struct verb_host *host, struct subject *subject,
			  struct ph_error *error)
{
	Phoenix__AdoptReply reply = PHOENIX__ADOPT_REPLY__INIT;
	int code;

	error_clear(error);
	subject->adopted.written[0] = '\0';
	code = adopted_save(host->config, subject->placement.name, &subject->adopted, error);
	if (code < 0)
		return code;
	worker_send(host->output, &reply.base);
	return 0;
}

int verb_adopt_revert(const struct verb_host *host, const ProtobufCMessage *message,
		      struct ph_error *error)
{
	const Phoenix__ContainerRequest *request = (const void *)message;
	PH_CLEANUP(subject_fini) struct subject subject = { 0 };
	bool is_changed = false;
	int code = subject_load(host->config, request->name, &subject, error);

	if (code == -ENOENT && subject.placement.name[0])
		return forget_written(host, &subject, error);
	/* Before the first change there is nothing to put back. */
	if (code == 0 && subject.adopted.written[0])
		code = put_back(host->config, &subject, &is_changed, error);
	return code < 0 ? code : send_reply(host, subject.adopted.lxc_path, request->name,
					    is_changed, true, error);
}

/* A container whose owner has removed it can be given back too. */
int verb_adopt_forget(const struct verb_host *host, const ProtobufCMessage *message,
		      struct ph_error *error)
{
	const Phoenix__ContainerRequest *request = (const void *)message;
	Phoenix__AdoptReply reply = PHOENIX__ADOPT_REPLY__INIT;
	struct adopted adopted;
	struct placement placement;
	int code = adopted_load(host->config, request->name, &adopted, error);

	if (code == -ENOENT && placement_load(host->config, request->name, &placement, NULL) == 0)
		return error_set(error, -EPERM, request->name, "phoenixctl remove NAME",
				 "Phoenix has made this container");
	if (code == 0 && adopted.written[0])
		return error_set(error, -EBUSY, request->name, "put its configuration back first",
				 "its configuration is still the one that Phoenix has written");
	reply.changed = code != -ENOENT;
	if (reply.changed) {
		code = paths_remove(host->config, PATHS_AGENTS, request->name, error);
		if (code >= 0)
			code = paths_remove(host->config, PATHS_CONTAINERS, request->name, error);
		if (code < 0)
			return code;
	}
	worker_send(host->output, &reply.base);
	return 0;
}
