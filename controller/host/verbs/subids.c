/*
 * Both files are read into sorted lists of ranges with touching ones joined; the answer is their
 * intersection, so that one number serves as the uid and the gid of a container's root.
 */
#include "controller/host/verbs/subids.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define ID_LOWEST 65536
#define ID_LIMIT UINT32_C(4294967295) /* (uid_t)-1 names nobody */
#define COUNT_LOWEST 65536

/* "root:100000:65536" -> range; false when the line says something else. */
static bool parse_line(const char *line, size_t length, struct subids_range *ret_range)
{
	char text[128];
	char *base, *count;
	uint64_t base_value, count_value;

	if (length >= sizeof(text))
		return false;
	memcpy(text, line, length);
	text[length] = '\0';
	base = strchr(text, ':');
	if (!base)
		return false;
	*base++ = '\0';
	count = strchr(base, ':');
	if (!count)
		return false;
	*count++ = '\0';
	if (!text_equal(text, "root") && !text_equal(text, "0"))
		return false;
	if (text_to_u64(base, ID_LIMIT, &base_value) < 0 ||
	    text_to_u64(count, ID_LIMIT, &count_value) < 0)
		return false;
	if (base_value + count_value > ID_LIMIT)
		count_value = ID_LIMIT - base_value;
	*ret_range = (struct subids_range){ (uint32_t)base_value, (uint32_t)count_value };
	return count_value > 0;
}

static int by_base(const void *left, const void *right)
{
	const struct subids_range *a = left, *b = right;

	return a->base < b->base ? -1 : a->base > b->base;
}

static void join_touching(struct subids *subids)
{
	size_t kept = 0;

	qsort(subids->ranges, subids->count, sizeof(subids->ranges[0]), by_base);
	for (size_t i = 0; i < subids->count; i++) {
		const struct subids_range *next = &subids->ranges[i];
		struct subids_range *last = kept ? &subids->ranges[kept - 1] : NULL;
		uint64_t last_end = last ? (uint64_t)last->base + last->count : 0;
		uint64_t next_end = (uint64_t)next->base + next->count;

		if (last && next->base <= last_end)
			last->count = (uint32_t)((next_end > last_end ? next_end : last_end) -
						 last->base);
		else
			subids->ranges[kept++] = *next;
	}
	subids->count = kept;
}

static void parse_text(const char *text, struct subids *ret_subids)
{
	ret_subids->count = 0;
	while (text && *text && ret_subids->count < SUBIDS_MAXIMUM) {
		size_t length = strcspn(text, "\n");

		if (parse_line(text, length, &ret_subids->ranges[ret_subids->count]))
			ret_subids->count++;
		text += length + (text[length] == '\n');
	}
	join_touching(ret_subids);
}

static void add_overlap(const struct subids_range *left, const struct subids_range *right,
			struct subids *subids)
{
	uint64_t left_end = (uint64_t)left->base + left->count;
	uint64_t right_end = (uint64_t)right->base + right->count;
	uint64_t base = left->base > right->base ? left->base : right->base;
	uint64_t end = left_end < right_end ? left_end : right_end;

	if (base < ID_LOWEST)
		base = ID_LOWEST;
	if (end < base + COUNT_LOWEST || subids->count == SUBIDS_MAXIMUM)
		return;
	subids->ranges[subids->count++] =
		(struct subids_range){ (uint32_t)base, (uint32_t)(end - base) };
}

void subids_parse(const char *subuid, const char *subgid, struct subids *ret_subids)
{
	struct subids uids, gids;

	parse_text(subuid, &uids);
	parse_text(subgid, &gids);
	ret_subids->count = 0;
	for (size_t i = 0; i < uids.count; i++)
		for (size_t k = 0; k < gids.count; k++)
			add_overlap(&uids.ranges[i], &gids.ranges[k], ret_subids);
}

bool subids_contain(const struct subids *subids, uint32_t base, uint32_t count)
{
	uint64_t end = (uint64_t)base + count;

	for (size_t i = 0; i < subids->count; i++) {
		const struct subids_range *range = &subids->ranges[i];

		if (base >= range->base && end <= (uint64_t)range->base + range->count)
			return true;
	}
	return false;
}
