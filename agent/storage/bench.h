/*
 * What a driver costs on the real data-root: small files and one big one, each for a fraction of a
 * second and within some megabytes. The figures compare drivers on one machine at one moment; they
 * are no promise.
 */
#pragma once

#include "common/error.h"
#include "proto/model.pb-c.h"

#define BENCH_FILES 1000                    /* at most, of each kind */
#define BENCH_BYTES (24ULL * 1024 * 1024)   /* at most, of the big file */
#define BENCH_PHASE_US 80000                /* then a phase ends, whatever it has done */

/*
 * Measure a driver: always returns a heap message; one that cannot be measured says why in problem.
 * From end_us on (as clock_monotonic_us()) it hurries. Leaves nothing behind.
 */
Phoenix__StorageCost *bench_driver(const char *data_root, const char *driver, uint64_t end_us);

/* What was done in a second; 0 when a figure of this name was not measured. */
double bench_rate(const Phoenix__StorageCost *cost, const char *figure);
