/*
 * Nothing is synced: what differs between the drivers is the way to the page cache and back, and a
 * sync would measure the disk.
 */
#include "agent/storage/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/storage/scratch.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define CHUNK (256 * 1024)
#define PIECES_MINIMUM 8 /* of each phase, however late it is: something to compare */
#define ROOM_BYTES (4 * BENCH_BYTES) /* without so much room the big file is left out */
#define SMALL_TEXT "a small file of an image, as there are many: configuration, scripts, symbols\n"

struct bench {
	Phoenix__StorageCost *cost; /* owned until handed over */
	int merged;                 /* borrowed */
	uint64_t files;             /* that were made, to be removed again */
	char *chunk;                /* borrowed: CHUNK bytes */
	uint64_t end_us;            /* of all phases together */
};

/* Do one piece of work number i; returns what was done (files, bytes), or a negative errno. */
typedef int64_t (*piece_fn)(struct bench *bench, uint64_t i);

static void name_file(char name[32], const char *kind, uint64_t i)
{
	snprintf(name, 32, "%s-%u", kind, (unsigned int)i);
}

static int64_t create_one(struct bench *bench, uint64_t i)
{
	char name[32];
	int r;

	name_file(name, "made", i);
	r = scratch_write(bench->merged, name, SMALL_TEXT, 0644);
	if (r < 0)
		return r;
	bench->files = i + 1;
	return 1;
}

static int64_t read_one(struct bench *bench, uint64_t i)
{
	char name[32], text[256];
	ssize_t length;

	name_file(name, "small", i);
	length = scratch_read(bench->merged, name, text, sizeof(text));
	return length < 0 ? length : 1;
}

static int64_t stat_one(struct bench *bench, uint64_t i)
{
	struct stat status;
	char name[32];

	name_file(name, "small", i);
	return fstatat(bench->merged, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 1;
}

static int64_t remove_one(struct bench *bench, uint64_t i)
{
	char name[32];

	if (i >= bench->files)
		return 0;
	name_file(name, "made", i);
	return unlinkat(bench->merged, name, 0) < 0 ? -errno : 1;
}

static int64_t write_chunk(struct bench *bench, uint64_t i)
{
	PH_AUTO_CLOSE int fd = openat(bench->merged, "big",
				      O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ssize_t length = fd < 0 ? -1 : pwrite(fd, bench->chunk, CHUNK, (off_t)(i * CHUNK));

	return length < 0 ? -errno : length;
}

static int64_t read_chunk(struct bench *bench, uint64_t i)
{
	PH_AUTO_CLOSE int fd = openat(bench->merged, "big", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : pread(fd, bench->chunk, CHUNK, (off_t)(i * CHUNK));

	return length < 0 ? -errno : length;
}

/* In the order in which they are done: what is read was made before. */
static const struct {
	const char *name;
	piece_fn piece;
	uint64_t maximum; /* pieces */
	bool is_big;
} phases[] = {
	{ "stat", stat_one, BENCH_FILES, false },
	{ "read", read_one, BENCH_FILES, false },
	{ "create", create_one, BENCH_FILES, false },
	{ "remove", remove_one, BENCH_FILES, false },
	{ "write-big", write_chunk, BENCH_BYTES / CHUNK, true },
	{ "read-big", read_chunk, BENCH_BYTES / CHUNK, true },
};

static void add_figure(Phoenix__StorageCost *cost, const char *name, uint64_t count,
		       uint64_t duration_us)
{
	Phoenix__StorageFigure *figure = ph_alloc(sizeof(*figure));

	phoenix__storage_figure__init(figure);
	message_set_text(&figure->name, name);
	figure->count = count;
	figure->duration_us = duration_us ? duration_us : 1;
	cost->figures = ph_realloc(cost->figures, (cost->n_figures + 1) * sizeof(*cost->figures));
	cost->figures[cost->n_figures++] = figure;
}

/* Until all is done, the time is up, there is nothing more to do, or it fails. */
static int run_phase(struct bench *bench, size_t phase)
{
	uint64_t begin = clock_monotonic_us(), count = 0;
	int64_t done = 1;

	for (uint64_t i = 0; i < phases[phase].maximum && done > 0; i++) {
		uint64_t now = clock_monotonic_us();

		if (i >= PIECES_MINIMUM && (now - begin > BENCH_PHASE_US || now > bench->end_us))
			break;
		done = phases[phase].piece(bench, i);
		count += done > 0 ? (uint64_t)done : 0;
	}
	if (count)
		add_figure(bench->cost, phases[phase].name, count, clock_monotonic_us() - begin);
	return done < 0 ? (int)done : 0;
}

/* The files of a lower layer, made before the mount. */
static int fill_lower(const struct scratch *scratch)
{
	uint64_t begin = clock_monotonic_us();
	char name[32];
	int r = 0;

	for (uint64_t i = 0; i < BENCH_FILES && r == 0; i++) {
		name_file(name, "small", i);
		r = scratch_write(scratch->lower, name, SMALL_TEXT, 0644);
		if (clock_monotonic_us() - begin > BENCH_PHASE_US)
			break;
	}
	return r;
}

static bool has_room(const struct scratch *scratch)
{
	struct statvfs status;

	return fstatvfs(scratch->base, &status) == 0 &&
	       (uint64_t)status.f_bavail * status.f_frsize > ROOM_BYTES;
}

/* A phase that ran out of the lower files is no failure: they were bounded in time. */
static int measure(struct bench *bench, const struct scratch *scratch, struct ph_error *error)
{
	bool has_big = has_room(scratch);

	bench->merged = scratch->merged;
	for (size_t i = 0; i < ARRAY_LENGTH(phases); i++) {
		int r = phases[i].is_big && !has_big ? 0 : run_phase(bench, i);

		if (r < 0 && r != -ENOENT)
			return error_errno(error, r, scratch->path, NULL, phases[i].name);
	}
	return 0;
}

Phoenix__StorageCost *bench_driver(const char *data_root, const char *driver, uint64_t end_us)
{
	PH_AUTO_FREE char *chunk = ph_alloc(CHUNK);
	Phoenix__StorageCost *cost = ph_alloc(sizeof(*cost));
	struct bench bench = { .cost = cost, .chunk = chunk, .end_us = end_us };
	struct scratch scratch = SCRATCH_INIT;
	struct ph_error error = { 0 };
	int r;

	phoenix__storage_cost__init(cost);
	message_set_text(&cost->driver, driver);
	r = scratch_make(&scratch, data_root, &error);
	if (r == 0)
		r = fill_lower(&scratch);
	if (r == 0)
		r = scratch_mount(&scratch, driver, &error);
	if (r == 0)
		r = measure(&bench, &scratch, &error);
	if (r == 0)
		r = scratch_unmount(&scratch, &error);
	scratch_fini(&scratch);
	cost->usable = r == 0;
	if (r < 0)
		message_set_text(&cost->problem, error.why[0] ? error.why : strerror(-r));
	return cost;
}

double bench_rate(const Phoenix__StorageCost *cost, const char *figure)
{
	for (size_t i = 0; i < cost->n_figures; i++)
		if (text_equal(cost->figures[i]->name, figure) && cost->figures[i]->duration_us)
			return (double)cost->figures[i]->count * 1e6 /
			       (double)cost->figures[i]->duration_us;
	return 0;
}
