/*
 * Keeps what a process says behind what it has written: writers mark their files, and whoever has
 * something to say waits until what was marked before is on the disk. One thread of its own syncs,
 * so that a slow disk delays answers and never the loop; what is marked while a sync is under way
 * goes into the next one, however much it is (group commit). What else has to wait for the disk the
 * same thread does, in between.
 *
 * A sync that fails is not tried again: the kernel has let go of what it could not write, and a
 * second fsync(2) would say that all is well. So failed() has to end the process; what it was about
 * to say is never said.
 *
 * Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "common/error.h"

#define BARRIER_FILES 4

struct barrier;

/* Somebody who waits; embedded in what he is, and zeroed before its first use. */
struct barrier_wait {
	TAILQ_ENTRY(barrier_wait) link;
	void (*passed)(struct barrier_wait *wait);
	uint64_t mark;
	bool is_waiting;
};

/* Something that the thread does; embedded in what it is about, and zeroed before its first use. */
struct barrier_work {
	TAILQ_ENTRY(barrier_work) link;
	/* In the thread: 0, or a negative errno with the error filled, which is a failed sync. */
	int (*work)(struct barrier_work *work, struct ph_error *error);
	/* From the loop, when that has returned 0. */
	void (*done)(struct barrier_work *work);
	bool is_asked; /* from barrier_ask() until done() is called */
};

/*
 * Start a barrier with its thread. failed() is called when a file could not be synced, with the
 * path and what the disk said; nothing is let through afterwards. Owned by the caller until
 * barrier_close(). A negative errno when there is no thread to be had.
 */
int barrier_open(uv_loop_t *loop, void (*failed)(void *user, const struct ph_error *error),
		 void *user, struct barrier **ret_barrier, struct ph_error *error);

/*
 * Sync what is marked in here, let everybody through, end the thread. Nothing waits from now on. The
 * memory goes with the last barrier_unref(). NULL is allowed.
 */
void barrier_close(struct barrier *barrier);

/* Hold on to a barrier beyond its owner's time; NULL gives NULL. */
struct barrier *barrier_ref(struct barrier *barrier);

/* Let go of it. NULL is allowed. */
void barrier_unref(struct barrier *barrier);

/*
 * Open a file that will be written by others, at most BARRIER_FILES of them; ret_file names it. The
 * descriptor stays open until barrier_close(), also when the file is removed meanwhile.
 */
int barrier_add_file(struct barrier *barrier, const char *path, unsigned int *ret_file,
		     struct ph_error *error);

/* Note that a file has been written: who waits from now on waits for that too. */
void barrier_mark(struct barrier *barrier, unsigned int file);

/*
 * Have a file or a directory synced once that has just been written, as barrier_mark() does with a file that is
 * written again and again. The descriptor is the barrier's from here on, path is for the error.
 */
void barrier_sync_once(struct barrier *barrier, int fd, const char *path);

/*
 * Have something done by the thread, once, when it has synced what it is syncing. What is asked for already is
 * not asked for twice. Whatever it touches is the thread's until done() is called.
 */
void barrier_ask(struct barrier *barrier, struct barrier_work *work);

/* Call done() of what has been done already, now and not at the loop's next turn. */
void barrier_collect(struct barrier *barrier);

/* Take it back; when it has begun, wait for its end; done() is not called. Nothing when it is not asked for. */
void barrier_withdraw(struct barrier *barrier, struct barrier_work *work);

/*
 * Wait until everything that is marked now is on the disk: passed() is called then, once, from the
 * loop. False when there is nothing to wait for: passed() is not called. Who waits already does not
 * wait a second time.
 */
bool barrier_wait(struct barrier *barrier, struct barrier_wait *wait);

/* Wait no more. Nothing when it does not wait. */
void barrier_forget(struct barrier *barrier, struct barrier_wait *wait);
