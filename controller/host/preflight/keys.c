/* " 1000:     4 4/4 3/200 40/20000": usage, keys/instantiated, quota of keys, quota of bytes. */
#include "controller/host/preflight/keys.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_in(const struct keys_range *ranges, size_t count, uint32_t uid)
{
	for (size_t i = 0; i < count; i++)
		if (uid >= ranges[i].first && uid - ranges[i].first < ranges[i].count)
			return true;
	return false;
}

static double share(uint64_t used, uint64_t maximum)
{
	return maximum ? (double)used / (double)maximum : 1;
}

/* How near to the nearer of its two quotas: 1 is at it. */
static double nearness(const struct keys_user *user)
{
	double keys = share(user->keys, user->keys_maximum);
	double bytes = share(user->bytes, user->bytes_maximum);

	return keys > bytes ? keys : bytes;
}

/* Insert in order; the last one falls out of a full list. */
static size_t insert(struct keys_user *users, size_t count, const struct keys_user *user)
{
	size_t at = count;

	while (at > 0 && nearness(&users[at - 1]) < nearness(user))
		at--;
	if (at == KEYS_USERS_MAXIMUM)
		return count;
	if (count < KEYS_USERS_MAXIMUM)
		count++;
	memmove(&users[at + 1], &users[at], (count - at - 1) * sizeof(*users));
	users[at] = *user;
	return count;
}

size_t keys_parse(const char *text, const struct keys_range *ranges, size_t range_count,
		  struct keys_user users[KEYS_USERS_MAXIMUM])
{
	size_t count = 0;

	for (const char *line = text; line && *line;) {
		struct keys_user user;

		if (sscanf(line, "%" SCNu32 ": %*u %*u/%*u %" SCNu64 "/%" SCNu64 " %" SCNu64 "/%" SCNu64,
			   &user.uid, &user.keys, &user.keys_maximum, &user.bytes,
			   &user.bytes_maximum) == 5 &&
		    is_in(ranges, range_count, user.uid))
			count = insert(users, count, &user);
		line = strchr(line, '\n');
		line += line != NULL;
	}
	return count;
}
