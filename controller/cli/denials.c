/* phoenixctl apparmor denials: what the profile has refused, how often, and what it means. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/table.h"

struct listing {
	const struct invocation *invocation; /* borrowed */
	struct table table;
	Phoenix__DenialPattern **patterns; /* owned; for their hints */
	size_t count;
	uint64_t dropped;
	Phoenix__DenialsSource *source; /* owned */
	bool is_live;
};

static const char *or_dash(const char *text)
{
	return text[0] ? text : "-";
}

/* The mask, or what stands for it: a capability, a family, a file system type. */
static const char *mask_of(const Phoenix__Denial *denial)
{
	static const char *const keys[] = { "capname", "family", "fstype", "signal", "peer" };

	if (denial->denied[0])
		return denial->denied;
	if (denial->requested[0])
		return denial->requested;
	for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
		for (size_t j = 0; j < denial->n_details; j++)
			if (text_equal(denial->details[j]->key, keys[i]))
				return denial->details[j]->value;
	return "-";
}

/* The path, or the other end of what was tried. */
static const char *name_of(const Phoenix__Denial *denial)
{
	static const char *const keys[] = { "family", "peer", "srcname", "target" };

	if (denial->name[0])
		return denial->name;
	for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
		for (size_t j = 0; j < denial->n_details; j++)
			if (text_equal(denial->details[j]->key, keys[i]))
				return denial->details[j]->value;
	return "-";
}

static void add_row(struct table *table, const Phoenix__DenialPattern *pattern)
{
	const Phoenix__Denial *denial = pattern->denial;
	char count[24], first[25], last[25];
	const char *const cells[] = { denial->container[0] ? denial->container : "?",
				      denial->operation,
				      name_of(denial),
				      mask_of(denial),
				      or_dash(denial->process),
				      count,
				      clock_format(pattern->first_ms, first),
				      clock_format(pattern->last_ms, last) };

	snprintf(count, sizeof(count), "%" PRIu64, pattern->count);
	table_add(table, cells);
}

static void print_line(const Phoenix__DenialPattern *pattern)
{
	const Phoenix__Denial *denial = pattern->denial;
	char last[25];

	printf("%s  ", clock_format(pattern->last_ms, last));
	print_clean(denial->container[0] ? denial->container : "?");
	fputs("  ", stdout);
	print_clean(denial->operation);
	putchar(' ');
	print_clean(name_of(denial));
	fputs(" (", stdout);
	print_clean(mask_of(denial));
	fputs(") by ", stdout);
	print_clean(or_dash(denial->process));
	printf(", %" PRIu64 " times", pattern->count);
	if (pattern->hint[0])
		fputs(": ", stdout);
	print_clean(pattern->hint);
	putchar('\n');
}

static void keep(struct listing *listing, const Phoenix__DenialPattern *pattern)
{
	add_row(&listing->table, pattern);
	listing->patterns = ph_realloc(listing->patterns,
				       (listing->count + 1) * sizeof(*listing->patterns));
	listing->patterns[listing->count++] = MESSAGE_COPY(pattern);
}

/* Each hint once, with the first pattern that it is about. */
static void print_hints(const struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		const Phoenix__DenialPattern *pattern = listing->patterns[i];
		bool is_told = !pattern->hint[0];

		for (size_t j = 0; j < i && !is_told; j++)
			is_told = text_equal(listing->patterns[j]->hint, pattern->hint);
		if (is_told)
			continue;
		putchar('\n');
		print_clean(pattern->denial->operation);
		putchar(' ');
		print_clean(name_of(pattern->denial));
		fputs(": ", stdout);
		print_clean(pattern->hint);
		fputs("\n  -> ", stdout);
		print_clean(pattern->remedy);
		putchar('\n');
	}
}

static bool has_source(const struct listing *listing)
{
	return listing->source && !text_equal(listing->source->kind, "none");
}

static void print_source(const struct listing *listing)
{
	const Phoenix__DenialsSource *source = listing->source;

	if (!has_source(listing)) {
		fputs("Denials cannot be read: none, because ", stdout);
		print_clean(source ? source->reason : "phoenixd did not say");
		putchar('\n');
		if (source && source->remedy[0]) {
			fputs("  -> ", stdout);
			print_clean(source->remedy);
			putchar('\n');
		}
		return;
	}
	printf("\nRead from %s", text_equal(source->kind, "audit") ? "the kernel's audit stream" :
								    "the kernel's log");
	if (source->reason[0]) {
		fputs(" (", stdout);
		print_clean(source->reason);
		putchar(')');
	}
	printf(", counted since phoenixd started.\n");
	if (source->lost)
		printf("About %" PRIu64 " lines were lost on their way: denials may be missing.\n",
		       source->lost);
	if (listing->dropped)
		printf("%" PRIu64 " further denials were only counted: too many patterns.\n",
		       listing->dropped);
}

/* The table, once all of it has come. */
static void print_listing(struct listing *listing)
{
	if (listing->count)
		table_print(&listing->table);
	else if (has_source(listing))
		puts("No denials.");
	print_hints(listing);
	print_source(listing);
}

static int take_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__DenialsReply *item = (const Phoenix__DenialsReply *)message;
	struct listing *listing = user;

	if (item->source)
		MESSAGE_REPLACE(listing->source, item->source);
	if (listing->invocation->json) {
		json_print(&item->base, true);
		return output_check(error);
	}
	for (size_t i = 0; i < item->n_patterns; i++) {
		if (listing->is_live)
			print_line(item->patterns[i]);
		else
			keep(listing, item->patterns[i]);
	}
	for (size_t i = 0; i < item->n_dropped; i++)
		listing->dropped += item->dropped[i]->count;
	if (item->caught_up && !listing->is_live) {
		print_listing(listing);
		listing->is_live = true;
	}
	return output_check(error);
}

static void listing_fini(struct listing *listing)
{
	table_fini(&listing->table);
	for (size_t i = 0; i < listing->count; i++)
		message_free(listing->patterns[i]);
	free(listing->patterns);
	message_free(listing->source);
}

int command_apparmor_denials(struct invocation *invocation, struct ph_error *error)
{
	static const char *const head[] = { "CONTAINER", "OPERATION", "NAME",	"MASK",
					    "PROCESS",	 "COUNT",     "FIRST", "LAST" };
	__attribute__((cleanup(listing_fini))) struct listing listing = { .invocation = invocation };
	const char *container = invocation->argument_count ? invocation->arguments[0] : "";
	Phoenix__DenialsRequest request = PHOENIX__DENIALS_REQUEST__INIT;
	int r;

	table_init(&listing.table, ARRAY_LENGTH(head), head);
	if (container[0] && !name_is_valid(container))
		return error_set(error, -EINVAL, NULL, "see: phoenixctl list",
				 "'%s' is no container's name", container);
	request.container = (char *)container;
	request.follow = invocation_value(invocation, "follow") != NULL;
	r = invocation_connect(invocation, error);
	if (r == 0)
		r = client_stream(invocation->client, "Denials", &request.base, take_item, &listing,
				  error);
	if (r < 0)
		return r;
	return has_source(&listing) ? EXIT_OK : EXIT_UNHEALTHY;
}
