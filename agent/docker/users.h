/* Reads the texts of /etc/passwd and /etc/group. Pure. */
#pragma once

#include <stdbool.h>

/* Whether there is such a user in the text of /etc/passwd. */
bool users_known(const char *passwd, const char *user);

/* Whether the user is named as a member of a group in the text of /etc/group. */
bool users_in_group(const char *groups, const char *group, const char *user);
