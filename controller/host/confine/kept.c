/*
 * Three small files per profile in a directory of root's own: NAME.current and NAME.previous are texts,
 * NAME.hashes is a line. The hashes are written last: a crash before that makes our own policy look
 * foreign until it is loaded once more, never a foreign one look like ours.
 */
#include "controller/host/confine/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/render.h"

#define TEXT_MAXIMUM (1024 * 1024)

static const struct {
	const char *name, *reason, *remedy;
} CURRENCIES[] = {
	[CONFINE_CURRENT] = { "current", "", "" },
	[CONFINE_OUTDATED] = { "outdated", "this Phoenix would load a newer text",
			       "phoenixctl apply replaces it in place; containers go on running" },
	[CONFINE_FOREIGN] = { "foreign", "it is not the policy that Phoenix has loaded",
			      "find out who replaced it; phoenixctl apply puts ours back in place" },
	[CONFINE_LAX] = { "lax", "it is not in enforce mode: nothing is refused",
			  "phoenixctl apply loads it in enforce mode again, in place" },
	[CONFINE_ABSENT] = { "absent",
			     "it has been removed: the kernel has unconfined what ran under it, and "
			     "loading it again does not bring the label back",
			     "phoenixctl apply loads it and restarts the containers that lost it" },
	[CONFINE_UNKNOWN] = { "unknown", "nothing is known of what has been loaded",
			      "phoenixctl apply loads it" },
};

enum confine_currency confine_currency_judge(enum confine_policy_state state,
					     const char *kernel_hash,
					     const struct confine_kept *kept,
					     const char *wanted_hash)
{
	if (state == CONFINE_POLICY_ABSENT)
		return CONFINE_ABSENT;
	if (state == CONFINE_POLICY_LAX)
		return CONFINE_LAX;
	if (text_empty(kept->text_hash))
		return CONFINE_UNKNOWN;
	/* A kernel without hashes cannot tell a foreign policy from ours. */
	if (!text_empty(kernel_hash) && !text_equal(kernel_hash, kept->kernel_hash))
		return CONFINE_FOREIGN;
	if (!text_empty(wanted_hash) && !text_equal(wanted_hash, kept->text_hash))
		return CONFINE_OUTDATED;
	return CONFINE_CURRENT;
}

const char *confine_currency_name(enum confine_currency currency)
{
	return CURRENCIES[currency].name;
}

const char *confine_currency_reason(enum confine_currency currency)
{
	return CURRENCIES[currency].reason;
}

const char *confine_currency_remedy(enum confine_currency currency)
{
	return CURRENCIES[currency].remedy;
}

static int read_text(const char *directory, const char *name, const char *kind, char **ret_text)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s.%s", directory, name, kind);
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	PH_AUTO_STR struct str text = STR_INIT;
	char block[16384];
	ssize_t length;

	if (fd < 0)
		return -errno;
	while ((length = read(fd, block, sizeof(block))) > 0) {
		if (text.length + (size_t)length > TEXT_MAXIMUM)
			return -EFBIG;
		str_append_bytes(&text, block, (size_t)length);
	}
	if (length < 0)
		return -errno;
	*ret_text = str_take(&text);
	return 0;
}

static int write_text(const char *directory, const char *name, const char *kind, const char *text)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s.%s", directory, name, kind);
	PH_AUTO_FREE char *beside = ph_format("%s.new", path);
	PH_AUTO_CLOSE int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
				    0600);
	size_t length = strlen(text);

	if (fd < 0)
		return -errno;
	if (write(fd, text, length) != (ssize_t)length || fsync(fd) < 0 || rename(beside, path) < 0) {
		int code = errno ? -errno : -EIO;

		unlink(beside);
		return code;
	}
	return 0;
}

void confine_kept_read(const char *directory, const char *name, struct confine_kept *ret_kept)
{
	PH_AUTO_FREE char *line = NULL;

	*ret_kept = (struct confine_kept){ 0 };
	if (read_text(directory, name, "hashes", &line) < 0 ||
	    sscanf(line, "%64[0-9a-f] %64[0-9a-f-]", ret_kept->text_hash, ret_kept->kernel_hash) !=
		    2) {
		*ret_kept = (struct confine_kept){ 0 };
		return;
	}
	if (text_equal(ret_kept->kernel_hash, "-"))
		ret_kept->kernel_hash[0] = '\0';
}

int confine_kept_text(const char *directory, const char *name, bool previous, char **ret_text)
{
	return read_text(directory, name, previous ? "previous" : "current", ret_text);
}

int confine_kept_write(const char *directory, const char *name, const char *text,
		       const char *kernel_hash)
{
	PH_AUTO_FREE char *before = NULL;
	PH_AUTO_FREE char *line = NULL;
	char hash[65];
	int code = 0;

	if (read_text(directory, name, "current", &before) == 0 && !text_equal(before, text))
		code = write_text(directory, name, "previous", before);
	if (code == 0)
		code = write_text(directory, name, "current", text);
	confine_text_hash(text, hash);
	line = ph_format("%s %s\n", hash, text_empty(kernel_hash) ? "-" : kernel_hash);
	return code < 0 ? code : write_text(directory, name, "hashes", line);
}

void confine_kept_forget(const char *directory, const char *name)
{
	static const char *const kinds[] = { "current", "previous", "hashes" };

	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		PH_AUTO_FREE char *path = ph_format("%s/%s.%s", directory, name, kinds[i]);

		unlink(path);
	}
}
