/*
 * Whose a record is: the name that phoenix-host found, if there is such a container; else the owner
 * of the id; without an id, when there is only one container at all, that one: the profile is ours.
 * Otherwise it stays nobody's rather than to be given to the wrong one.
 */
#include "controller/denials/denials.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/denials/patterns.h"
#include "controller/denials/watch.h"

#define LOST_EVERY_MS 60000

struct denials_follower {
	struct denials *denials; /* borrowed */
	struct denials_follower *next;
	char container[64];
	void (*counted)(void *user, const Phoenix__DenialPattern *pattern);
	void *user;
};

struct denials {
	struct denials_config config;
	struct watch *watch;               /* owned */
	struct patterns *patterns;         /* owned */
	Phoenix__DenialsSource *source;    /* owned */
	uint64_t lost_told;                /* of this source, as it was last told */
	uint64_t lost_told_ms;
	struct denials_follower *followers; /* owned by those who follow */
};

static void set_source(struct denials *denials, const Phoenix__DenialsSource *source)
{
	bool has_changed = !text_equal(source->kind, denials->source->kind) ||
			   !text_equal(source->reason, denials->source->reason);
	uint64_t now_ms = clock_monotonic_ms(), lost;

	MESSAGE_REPLACE(denials->source, source);
	if (has_changed || source->lost < denials->lost_told)
		denials->lost_told = 0;
	lost = source->lost - denials->lost_told;
	if (!has_changed && (!lost || now_ms - denials->lost_told_ms < LOST_EVERY_MS))
		return;
	denials->lost_told = source->lost;
	denials->lost_told_ms = lost ? now_ms : 0;
	denials->config.source(denials->config.user, source, lost);
}

static void set_none(struct denials *denials, const char *reason, const char *remedy)
{
	Phoenix__DenialsSource source = PHOENIX__DENIALS_SOURCE__INIT;

	source.kind = (char *)"none";
	source.reason = (char *)reason;
	source.remedy = (char *)remedy;
	set_source(denials, &source);
}

static const char *container_of_record(struct denials *denials, const char *container,
				       bool has_uid, uint32_t uid)
{
	const struct denials_config *config = &denials->config;
	const char *name = NULL;

	if (container[0] && config->is_known(config->user, container))
		return container;
	if (has_uid)
		name = config->owner(config->user, uid);
	else if (!container[0])
		name = config->only(config->user);
	return name ? name : "";
}

static void take_denial(struct denials *denials, const Phoenix__Denial *denial, uint64_t now_ms)
{
	const char *container = container_of_record(denials, denial->container, denial->has_uid,
						    denial->uid);
	const Phoenix__DenialPattern *pattern;
	bool announce;

	pattern = patterns_take(denials->patterns, container, denial, now_ms, &announce);
	if (announce)
		denials->config.announce(denials->config.user, pattern);
	for (struct denials_follower *follower = denials->followers, *next; follower;
	     follower = next) {
		next = follower->next;
		if (!follower->container[0] || text_equal(follower->container, container))
			follower->counted(follower->user, pattern);
	}
}

static void item(void *user, const Phoenix__DenialsItem *item)
{
	uint64_t now_ms = clock_monotonic_ms(), count, events;
	struct denials *denials = user;
	const char *container;

	if (item->source)
		set_source(denials, item->source);
	for (size_t i = 0; i < item->n_denials; i++)
		take_denial(denials, item->denials[i], now_ms);
	for (size_t i = 0; i < item->n_dropped; i++)
		patterns_drop(denials->patterns,
			      container_of_record(denials, item->dropped[i]->container,
						  item->dropped[i]->has_uid, item->dropped[i]->uid),
			      item->dropped[i]->count, now_ms);
	while ((container = patterns_next_dropped(denials->patterns, now_ms, &count, &events)))
		denials->config.dropped(denials->config.user, container, count, events);
}

static void ended(void *user, const struct ph_error *error)
{
	struct denials *denials = user;
	char text[512];

	/* Without an error there is no source, and the last item has said why. */
	if (error)
		set_none(denials, error_format(error, text, sizeof(text)), error->remedy);
}

struct denials *denials_open(const struct denials_config *config)
{
	struct denials *denials = ph_alloc(sizeof(*denials));
	const struct watch_config watch = {
		.host = config->host, .item = item, .ended = ended, .user = denials
	};
	Phoenix__DenialsSource source = PHOENIX__DENIALS_SOURCE__INIT;

	denials->config = *config;
	denials->patterns = patterns_new();
	source.kind = (char *)"none";
	source.reason = (char *)"phoenix-host is not connected";
	source.remedy = (char *)"start it: systemctl start phoenix-host";
	denials->source = MESSAGE_COPY(&source);
	denials->watch = watch_open(config->loop, &watch);
	return denials;
}

void denials_close(struct denials *denials)
{
	if (!denials)
		return;
	watch_close(denials->watch);
	patterns_free(denials->patterns);
	message_free(denials->source);
	free(denials);
}

void denials_host_changed(struct denials *denials, bool is_up)
{
	watch_host_changed(denials->watch, is_up);
}

void denials_forget(struct denials *denials, const char *container)
{
	if (denials)
		patterns_forget(denials->patterns, container);
}

const Phoenix__DenialsSource *denials_source(const struct denials *denials)
{
	return denials->source;
}

const struct patterns *denials_patterns(const struct denials *denials)
{
	return denials->patterns;
}

struct denials_follower *denials_follow(struct denials *denials, const char *container,
					void (*counted)(void *user,
							const Phoenix__DenialPattern *pattern),
					void *user)
{
	struct denials_follower *follower = ph_alloc(sizeof(*follower));

	follower->denials = denials;
	text_copy(follower->container, sizeof(follower->container), container);
	follower->counted = counted;
	follower->user = user;
	follower->next = denials->followers;
	denials->followers = follower;
	return follower;
}

void denials_unfollow(struct denials_follower *follower)
{
	struct denials_follower **place;

	if (!follower)
		return;
	place = &follower->denials->followers;
	while (*place != follower)
		place = &(*place)->next;
	*place = follower->next;
	free(follower);
}
