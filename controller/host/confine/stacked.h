/*
 * The text of the stacked profile, made from that of the named one: its name, and what a policy
 * namespace below it needs. Text in, text out.
 */
#pragma once

#include "common/error.h"

/*
 * Turn a rendered text of lxc-phoenix-v2 into one of lxc-phoenix-v2-stacked. -EINVAL when the text
 * lacks what is to be changed. The caller frees it.
 */
int confine_stacked_text(const char *named, char **ret_text, struct ph_error *error);
