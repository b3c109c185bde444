/*
 * The two clocks. Deadlines and durations use the monotonic one (CLOCK_BOOTTIME: counts suspend,
 * unmoved by clock jumps; libuv's timers do not count suspend, so that a deadline that passed
 * in a sleep is noticed later); the wall clock is only for people, and may jump by years.
 */
#pragma once

#include <stdint.h>

/* Milliseconds since boot, suspend included. */
uint64_t clock_monotonic_ms(void);

/* Microseconds since boot, suspend included. */
uint64_t clock_monotonic_us(void);

/* Unix time in milliseconds. */
uint64_t clock_wall_ms(void);

/* Write wall_ms as "2026-11-23T21:00:00.123Z"; text needs 25 bytes. Returns text. */
char *clock_format(uint64_t wall_ms, char text[25]);
