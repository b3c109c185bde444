/*
 * Calls that fail, and a wall clock that jumps: linked into a program, these definitions stand before the C library's
 * for everything in it, the libraries that it uses included. Under a sanitizer as well: what is not to fail goes on
 * to the sanitizer's own interceptors.
 *
 * Preloaded into a program (libfaults.so) the same is asked for by the environment:
 *
 *	PH_FAULT_CALL   the name of a kind
 *	PH_FAULT_AT     the call that fails, from 1
 *	PH_FAULT_EVERY  after that every so many-th; 0 or unset: no other
 *	PH_FAULT_ENDS   the commit, from 1, right behind which the process ends, as by SIGKILL; only those count that
 *	                record a step of a rollout or of an operation
 *
 * Standard error is let through, so that what a program says of a failure is seen; so are descriptors without a file
 * (eventfd, epoll), which no kernel lets fail.
 */
#pragma once

#include <stdint.h>

enum faults_kind {
	FAULTS_READ,    /* read, readv, pread, recv, recvmsg: EIO, of a socket ECONNRESET */
	FAULTS_WRITE,   /* write, writev, pwrite, send, sendmsg: ENOSPC, of a socket EPIPE */
	FAULTS_CONNECT, /* ECONNREFUSED */
	FAULTS_ACCEPT,  /* EMFILE: the peer stays in the queue */
	FAULTS_OPEN,    /* EMFILE; socket() too */
	FAULTS_FSYNC,   /* fsync, fdatasync: EIO */
	FAULTS_RENAME,  /* rename, unlink: EIO */
	FAULTS_MALLOC,  /* malloc, calloc, realloc: ENOMEM */
	FAULTS_KINDS,
};

/* The name of a kind, as in PH_FAULT_CALL. */
const char *faults_name(enum faults_kind kind);

/* Fail the at-th call of a kind from now on, counted from 1, and then every so many-th (0: no other). at 0: count only. */
void faults_arm(enum faults_kind kind, unsigned long at, unsigned long every);

/* Let all calls through from now on. */
void faults_disarm(void);

/* How many calls of a kind there were while it was armed, or while any was. */
unsigned long faults_count(enum faults_kind kind);

/* How many calls have failed since the last faults_arm(). */
unsigned long faults_failed(void);

/* Let the wall clock (CLOCK_REALTIME, time(), gettimeofday()) be so many milliseconds off from now on. */
void faults_jump_wall(int64_t offset_ms);

/* Let the machine have slept so many milliseconds more: CLOCK_BOOTTIME and the wall clock go on, CLOCK_MONOTONIC does not. */
void faults_suspend(int64_t slept_ms);
