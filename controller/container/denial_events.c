/* What the denials room asks of the registry, and what it has to say as events. */
#include "controller/container/denial_events.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "controller/container/container.h"

#define FIELDS_MAXIMUM 10

static bool is_known(void *user, const char *container)
{
	return registry_find(user, container) != NULL;
}

static const char *owner(void *user, uint32_t uid)
{
	const struct registry *registry = user;

	for (struct container *container = registry->containers; container;
	     container = container->next) {
		const Phoenix__IdRange *ids = container->record->ids;

		if (ids && uid >= ids->first && uid - ids->first < ids->count)
			return container_name(container);
	}
	return NULL;
}

static const char *only(void *user)
{
	const struct registry *registry = user;

	if (!registry->containers || registry->containers->next)
		return NULL;
	return container_name(registry->containers);
}

struct fields {
	Phoenix__Pair pairs[FIELDS_MAXIMUM];
	Phoenix__Pair *list[FIELDS_MAXIMUM];
	size_t count;
};

static void add(struct fields *fields, const char *key, const char *value)
{
	Phoenix__Pair *pair = &fields->pairs[fields->count];

	if (!value[0] || fields->count == FIELDS_MAXIMUM)
		return;
	phoenix__pair__init(pair);
	pair->key = (char *)key;
	pair->value = (char *)value;
	fields->list[fields->count++] = pair;
}

/* "mount /mnt (fstype tmpfs) by runc:[2:INIT]" */
static void describe(const Phoenix__Denial *denial, char *text, size_t size)
{
	size_t length = (size_t)snprintf(text, size, "%s%s%s", denial->operation,
					 denial->name[0] ? " " : "", denial->name);

	for (size_t i = 0; i < denial->n_details && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%s %s%s",
					   i ? ", " : " (", denial->details[i]->key,
					   denial->details[i]->value,
					   i + 1 == denial->n_details ? ")" : "");
	if (length < size)
		snprintf(text + length, size - length, " by %s", denial->process);
}

static void announce(void *user, const Phoenix__DenialPattern *pattern)
{
	const Phoenix__Denial *denial = pattern->denial;
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	struct registry *registry = user;
	struct fields fields = { 0 };
	char count[24], message[900];

	snprintf(count, sizeof(count), "%llu", (unsigned long long)pattern->count);
	describe(denial, message, sizeof(message));
	add(&fields, "operation", denial->operation);
	add(&fields, "path", denial->name);
	add(&fields, "requested", denial->requested[0] ? denial->requested : denial->denied);
	add(&fields, "process", denial->process);
	add(&fields, "count", count);
	add(&fields, "info", denial->info);
	add(&fields, "profile", denial->profile);
	add(&fields, "namespace", denial->namespace_);
	add(&fields, "hint", pattern->hint);
	add(&fields, "remedy", pattern->remedy);
	event.container = denial->container;
	event.type = (char *)"apparmor.denied";
	event.severity = PHOENIX__EVENT__SEVERITY__WARNING;
	event.reason = (char *)"Denied";
	event.message = message;
	event.n_fields = fields.count;
	event.fields = fields.list;
	log_write(LOG_LEVEL_WARNING, event.type, denial->container, "%s", message);
	journal_append(registry->journal, &event);
}

static void dropped(void *user, const char *container, uint64_t denials, uint64_t events)
{
	struct registry *registry = user;

	journal_write(registry->journal, PHOENIX__EVENT__SEVERITY__WARNING, container, NULL,
		      "apparmor.denials-dropped", "TooMany",
		      "%llu denials were only counted, %llu patterns got no event: there were too many",
		      (unsigned long long)denials, (unsigned long long)events);
}

static void source(void *user, const Phoenix__DenialsSource *source, uint64_t lost)
{
	struct registry *registry = user;
	bool is_none = text_equal(source->kind, "none");

	if (lost)
		journal_write(registry->journal, PHOENIX__EVENT__SEVERITY__WARNING, NULL, NULL,
			      "apparmor.denials-lost", "LinesLost",
			      "about %llu lines of the kernel were lost on their way: denials may be "
			      "missing",
			      (unsigned long long)lost);
	else
		journal_write(registry->journal,
			      is_none ? PHOENIX__EVENT__SEVERITY__WARNING :
					PHOENIX__EVENT__SEVERITY__INFO,
			      NULL, NULL, "apparmor.denials-source", is_none ? "NoSource" : "Reading",
			      "denials are read from: %s%s%s", source->kind,
			      source->reason[0] ? ", because " : "", source->reason);
}

struct denials *denial_events_open(struct registry *registry)
{
	const struct denials_config config = {
		.loop = registry->loop,
		.host = registry->host,
		.is_known = is_known,
		.owner = owner,
		.only = only,
		.announce = announce,
		.dropped = dropped,
		.source = source,
		.user = registry,
	};

	return denials_open(&config);
}
