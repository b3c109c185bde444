#include "controller/link/agent_hall.h"

#include <errno.h>
#include <stdlib.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/memory.h"

#define GREETINGS_MAXIMUM 256 /* of all containers together */

struct agent_hall {
	struct agent_hall_config config;
	struct listener *listener;   /* owned */
	struct greetings *greetings; /* owned */
	struct agent_rates rates;    /* of refusals that no link tells of */
};

static struct agent_link *link_of(const struct agent_hall *hall, const char *name)
{
	return hall->config.find(hall->config.user, name);
}

static int find(void *user, const struct handshake_claim *claim,
		uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	struct agent_link *link = link_of(user, claim->name);

	return link ? agent_link_find_key(link, claim, ret_key) : -EACCES;
}

static int proved(void *user, const struct greeted *greeted, struct ph_error *error)
{
	struct agent_link *link = link_of(user, greeted->claim->name);

	if (link)
		return agent_link_admit(link, greeted, error);
	return error_set(error, -ENOENT, greeted->claim->name, NULL, "the container has gone");
}

static void refused(void *user, const struct handshake_claim *claim, const struct ph_error *error)
{
	struct agent_hall *hall = user;
	struct agent_link *link = claim ? link_of(hall, claim->name) : NULL;

	if (link)
		agent_link_refuse(link, error);
	else if (agent_rates_may_tell(&hall->rates, clock_monotonic_ms()))
		hall->config.refused(hall->config.user, error);
}

static void accepted(void *user, int fd, const struct ucred *peer)
{
	struct agent_hall *hall = user;

	greetings_take(hall->greetings, fd, peer);
}

int agent_hall_open(const struct agent_hall_config *config, int fd, struct agent_hall **ret_hall,
		    struct ph_error *error)
{
	struct agent_hall *hall = ph_alloc(sizeof(*hall));
	const struct greetings_config greetings = { .loop = config->loop,
						    .maximum = GREETINGS_MAXIMUM,
						    .protocol_oldest = AGENT_PROTOCOL_OLDEST,
						    .protocol = AGENT_PROTOCOL,
						    .barrier = config->barrier,
						    .find = find,
						    .proved = proved,
						    .refused = refused,
						    .user = hall };
	int r = listener_adopt(config->loop, fd, &config->address, accepted, hall, &hall->listener,
			       error);

	if (r < 0) {
		free(hall);
		return r;
	}
	hall->config = *config;
	hall->greetings = greetings_new(&greetings);
	agent_rates_init(&hall->rates, clock_monotonic_ms());
	*ret_hall = hall;
	return 0;
}

void agent_hall_close(struct agent_hall *hall)
{
	if (!hall)
		return;
	listener_close(hall->listener);
	greetings_close(hall->greetings);
	free(hall);
}
