/*
 * What a denial means to somebody who runs Docker: the known patterns as a table, each with its
 * reason and what to do. Pure; an unknown pattern has no hint rather than a guess.
 */
#pragma once

#include <stddef.h>

#include "proto/host.pb-c.h"

struct hint {
	const char *id; /* stable, documented in docs/denials.md */
	/* What has to match; NULL: anything. Patterns as in a shell, '*' crosses '/'. */
	const char *operation; /* several separated by ',' */
	const char *name;
	const char *denied; /* one of these letters or words is in the denied mask */
	const char *detail; /* "capname=mac_admin": key and pattern of the value */
	const char *profile;
	const char *process;
	const char *info;
	const char *reason;
	const char *remedy;
};

extern const struct hint hints[];
extern const size_t hint_count;

/* Find what is known of a denial; NULL when nothing is. The first entry that matches counts. */
const struct hint *hint_find(const Phoenix__Denial *denial);
