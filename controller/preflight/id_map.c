/*
 * The texts, as seen from Docker 20.10 to 29:
 *	failed to Lchown "/opt/x" for UID 718322462, GID 454177323 (try increasing the number of
 *	subordinate IDs in /etc/subuid and /etc/subgid): lchown /opt/x: invalid argument
 *	failed to extract layer sha256:..: lchown /opt/x: invalid argument
 *	Container ID 197609 cannot be mapped to a host ID
 * In dockerd's log quotes stand behind backslashes.
 */
#include "controller/preflight/id_map.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

/* The number behind a word; false when there is none. */
static bool number_after(const char *text, const char *word, uint64_t *ret_number)
{
	const char *at = strstr(text, word);
	char *end;
	uint64_t number;

	if (!at || !isdigit((unsigned char)at[strlen(word)]))
		return false;
	errno = 0;
	number = strtoull(at + strlen(word), &end, 10);
	*ret_number = errno ? UINT64_MAX : number;
	return true;
}

/* The path behind "lchown ", with quotes of either kind or without; "" when there is none. */
static void copy_path(const char *text, char *path, size_t size)
{
	const char *at = strcasestr(text, "lchown ");
	size_t length;

	path[0] = '\0';
	if (!at)
		return;
	at += strlen("lchown ");
	at += *at == '\\';
	length = *at == '"' ? strcspn(++at, "\\\"") : strcspn(at, ":");
	for (size_t i = 0; i < length && i + 1 < size; i++) {
		path[i] = at[i];
		path[i + 1] = '\0';
	}
}

static bool is_beyond(struct id_map_error *error, uint64_t id, uint64_t count, bool is_group)
{
	if (id < count)
		return false;
	if (id >= error->id) {
		error->id = id;
		error->is_group = is_group;
	}
	return true;
}

enum id_map_verdict id_map_classify(const char *text, uint64_t uid_count, uint64_t gid_count,
				    struct id_map_error *ret_error)
{
	struct id_map_error error = { 0 };
	uint64_t uid, gid, other;
	bool has_uid = number_after(text, "for UID ", &uid);
	bool has_gid = has_uid && number_after(text, ", GID ", &gid);
	bool is_outside = false;

	copy_path(text, error.path, sizeof(error.path));
	if (has_uid)
		is_outside |= is_beyond(&error, uid, uid_count, false);
	if (has_gid)
		is_outside |= is_beyond(&error, gid, gid_count, true);
	if (!has_uid && strstr(text, "cannot be mapped to a host ID") &&
	    number_after(text, "ontainer ID ", &other)) {
		has_uid = true;
		is_outside = is_beyond(&error, other, uid_count, false);
	}
	if (is_outside) {
		*ret_error = error;
		return ID_MAP_OUTSIDE;
	}
	if (has_uid || !error.path[0] || !strstr(text, "invalid argument"))
		return ID_MAP_OTHER;
	*ret_error = error;
	return ID_MAP_LIKELY;
}
