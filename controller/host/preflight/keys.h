/*
 * Who has taken how much of his quota of kernel keys: runc makes a session keyring for every container,
 * and all containers of one host id share its quota. Text in, numbers out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KEYS_USERS_MAXIMUM 16

struct keys_range {
	uint32_t first;
	uint32_t count;
};

struct keys_user {
	uint32_t uid;
	uint64_t keys, keys_maximum;
	uint64_t bytes, bytes_maximum;
};

/*
 * Find the users of these ranges in the text of /proc/key-users; those nearest to a quota first, at
 * most KEYS_USERS_MAXIMUM. Lines of another form are passed over. Returns how many.
 */
size_t keys_parse(const char *text, const struct keys_range *ranges, size_t range_count,
		  struct keys_user users[KEYS_USERS_MAXIMUM]);
