/*
 * Who may act on rollouts: one process at a time, by a key in the store. The lease runs out unless it
 * is renewed; its token grows with every holder. Whoever writes rollouts compares the lease's
 * revision in the same transaction, so that a holder which was overtaken writes nothing any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controller/store/store.h"
#include "proto/rollout.pb-c.h"

#define LEASE_KEY "lease/rollout"
#define LEASE_MS 15000
#define LEASE_RENEW_MS 5000
#define LEASE_HOLDER_SIZE 96

/* Named outcome of lease_take(): somebody else holds it. */
enum { LEASE_HELD = 1 };

struct lease {
	char holder[LEASE_HOLDER_SIZE]; /* who we are */
	uint64_t revision;              /* of the key, as we wrote it; 0: not ours */
	uint64_t token;
	uint64_t expires_ms; /* monotonic: no jump of the wall clock takes it from us */
};

/* The three clocks that a lease is about. */
struct lease_now {
	uint64_t wall_ms;      /* what other machines share with us */
	uint64_t monotonic_ms; /* clock_monotonic_ms() */
	uint64_t rollouts_ms;  /* rollouts_now() */
};

/* Write who this process is: BOOT:PID:STARTED, which no other process will ever be. */
void lease_identify(struct lease *ret_lease);

/*
 * Take the lease, or renew it when it is ours. It is free when it has run out, when its holder was a
 * process of this boot that is no more, and when it would run for more than twice LEASE_MS: then one of
 * the two clocks was wrong. 0, LEASE_HELD, or a negative errno.
 */
int lease_take(struct lease *lease, struct store *store, const struct lease_now *now,
	       struct ph_error *error);

/* Whether it is ours and has not run out. */
bool lease_is_held(const struct lease *lease, uint64_t monotonic_ms);

/*
 * What rollouts_now() is now, as far as the lease's last holder tells (now->rollouts_ms is not looked at): exactly,
 * when that was of this boot; else the wall clock, but never a time that was already over.
 */
uint64_t lease_read_clock(const struct lease *lease, struct store *store,
			  const struct lease_now *now);

/* What a transaction compares, to happen only while the lease is ours. */
struct store_compare lease_fence(const struct lease *lease);

/* Whether a holder's process has certainly ended. Reads /proc. */
bool lease_holder_is_dead(const char *holder);
