/*
 * The two locks of an install: ours, so that an install which outlived its agent is waited for
 * instead of run twice, and the package managers', which are told by name who holds them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/docker/docker.h"

/* Called about once a second while waiting; message names who is waited for. */
typedef void (*lock_waiting_fn)(void *user, const char *message);

/*
 * Take the install lock, waiting at most wanted->lock_timeout_ms. Returns the descriptor that holds
 * it (close it to release), or -EBUSY.
 */
int install_lock_take(const struct docker_wanted *wanted, lock_waiting_fn waiting, void *user,
		      struct ph_error *error);

/* Whether an install is at work. */
bool install_lock_is_held(const struct docker_wanted *wanted);

/*
 * Who holds one of dpkg's or apt's locks: 1 with "process 12 (apt-get) holds /var/lib/dpkg/lock", 0
 * when they are free. Takes nothing and writes nothing.
 */
int package_lock_owner(const struct docker_wanted *wanted, char *text, size_t size);

/* Wait until those locks are free, at most wanted->lock_timeout_ms; -EBUSY names the owner. */
int package_lock_wait(const struct docker_wanted *wanted, lock_waiting_fn waiting, void *user,
		      struct ph_error *error);

/*
 * Wait likewise and then hold dpkg's frontend lock ourselves, for running dpkg directly (with
 * DPKG_FRONTEND_LOCKED=1: it would not wait for anyone). Returns the descriptor that holds it.
 */
int package_lock_hold(const struct docker_wanted *wanted, lock_waiting_fn waiting, void *user,
		      struct ph_error *error);
