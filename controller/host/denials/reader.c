/*
 * One loop: wait, read what is there, flush what is due. Reading is bounded per second, so that a
 * container that provokes denials without end takes no more than a share of one processor; what the
 * kernel cannot keep meanwhile is counted as lost.
 */
#include "controller/host/denials/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/denials/line.h"
#include "controller/host/denials/origin.h"
#include "controller/host/denials/source.h"
#include "controller/host/denials/tally.h"
#include "proto/host.pb-c.h"

#define LINES_PER_SECOND 20000
#define GATHER_MS 200       /* a burst becomes one message */
#define SOURCE_EVERY_MS 2000 /* counts of the source are told at most so often */
#define ITEM_MAXIMUM 32     /* records in one message: bounded by the frame */

struct reader {
	struct worker_output *output; /* borrowed */
	struct source source;
	struct tally *tally; /* owned */
	int proc;            /* owned */
	uint64_t lines, foreign, malformed;
	uint64_t told[4]; /* lines, foreign, malformed, lost as they were last told */
	uint64_t told_ms;
	bool is_settled; /* the source was told once more after the last news */
	uint64_t second_ms; /* when the budget of lines began */
	uint32_t second_lines;
	Phoenix__DenialsItem item; /* being filled */
	Phoenix__Denial *denials[ITEM_MAXIMUM];
	Phoenix__DenialsDropped *dropped[ITEM_MAXIMUM];
};

static void reader_fini(struct reader *reader)
{
	source_close(&reader->source);
	tally_free(reader->tally);
	cleanup_close(&reader->proc);
}

/* ---- what is sent ---- */

static void send_item(struct reader *reader)
{
	Phoenix__DenialsItem *item = &reader->item;

	if (item->source || item->n_denials || item->n_dropped)
		worker_send(reader->output, &item->base);
	for (size_t i = 0; i < item->n_denials; i++)
		free(reader->denials[i]);
	for (size_t i = 0; i < item->n_dropped; i++)
		free(reader->dropped[i]);
	phoenix__denials_item__init(item);
	item->denials = reader->denials;
	item->dropped = reader->dropped;
}

static void send_source(struct reader *reader, uint64_t now_ms)
{
	const uint64_t now[4] = { reader->lines, reader->foreign, reader->malformed,
				  reader->source.lost };
	Phoenix__DenialsSource source = PHOENIX__DENIALS_SOURCE__INIT;

	source.kind = (char *)source_name(reader->source.kind);
	source.reason = reader->source.reason;
	source.remedy = reader->source.remedy;
	source.lines = reader->lines;
	source.foreign = reader->foreign;
	source.malformed = reader->malformed;
	source.lost = reader->source.lost;
	memcpy(reader->told, now, sizeof(now));
	reader->told_ms = now_ms;
	reader->item.source = &source;
	send_item(reader);
}

static bool source_has_news(const struct reader *reader)
{
	return reader->told[0] != reader->lines || reader->told[1] != reader->foreign ||
	       reader->told[2] != reader->malformed || reader->told[3] != reader->source.lost;
}

/* Once more after the last news: phoenix-host adds the kernel's own losses, which come late. */
static void tell_source(struct reader *reader, uint64_t now_ms)
{
	bool has_news = source_has_news(reader);

	if (has_news || !reader->is_settled)
		send_source(reader, now_ms);
	reader->is_settled = !has_news;
}

/* A message with its pairs in one block; the texts are the line's, and live until it is sent. */
struct denial_block {
	Phoenix__Denial denial; /* first */
	struct line line;
	struct origin origin;
	Phoenix__Pair pairs[LINE_DETAILS];
	Phoenix__Pair *pair_list[LINE_DETAILS];
};

static void fill_texts(Phoenix__Denial *denial, struct line *line)
{
	denial->profile = line->profile;
	denial->namespace_ = line->space;
	denial->operation = line->operation;
	denial->name = line->name;
	denial->requested = line->requested;
	denial->denied = line->denied;
	denial->process = line->process;
	denial->info = line->info;
	denial->error = line->error;
	denial->pid = (uint32_t)line->pid;
}

static void record(void *user, const struct tally_record *told)
{
	struct denial_block *block = ph_alloc(sizeof(*block));
	struct reader *reader = user;

	block->line = *told->line;
	block->origin = *told->origin;
	phoenix__denial__init(&block->denial);
	fill_texts(&block->denial, &block->line);
	block->denial.container = block->origin.container;
	block->denial.has_uid = block->origin.has_uid;
	block->denial.uid = block->origin.uid;
	block->denial.count = told->count;
	block->denial.first_ms = told->first_ms;
	block->denial.last_ms = told->last_ms;
	for (size_t i = 0; i < block->line.detail_count; i++) {
		phoenix__pair__init(&block->pairs[i]);
		block->pairs[i].key = (char *)block->line.details[i].key;
		block->pairs[i].value = block->line.details[i].value;
		block->pair_list[i] = &block->pairs[i];
	}
	block->denial.n_details = block->line.detail_count;
	block->denial.details = block->pair_list;
	reader->denials[reader->item.n_denials++] = &block->denial;
	if (reader->item.n_denials == ITEM_MAXIMUM)
		send_item(reader);
}

struct dropped_block {
	Phoenix__DenialsDropped dropped; /* first */
	struct origin origin;
};

static void dropped(void *user, const struct origin *origin, uint64_t count)
{
	struct dropped_block *block = ph_alloc(sizeof(*block));
	struct reader *reader = user;

	block->origin = *origin;
	phoenix__denials_dropped__init(&block->dropped);
	block->dropped.container = block->origin.container;
	block->dropped.has_uid = block->origin.has_uid;
	block->dropped.uid = block->origin.uid;
	block->dropped.count = count;
	reader->dropped[reader->item.n_dropped++] = &block->dropped;
	if (reader->item.n_dropped == ITEM_MAXIMUM)
		send_item(reader);
}

/* ---- what is read ---- */

static void take_line(struct reader *reader, const char *text, size_t length)
{
	struct origin origin;
	struct line line;
	int r = line_parse(text, length, &line);

	if (r == -EBADMSG)
		reader->malformed++;
	if (r < 0 || line.kind == LINE_OTHER)
		return;
	reader->lines++;
	if (!origin_is_ours(&line)) {
		reader->foreign++;
		return;
	}
	origin_find(reader->proc, &line, &origin);
	tally_add(reader->tally, &origin, &line, clock_monotonic_ms());
}

/* Read what is there, as far as this second's budget goes. */
static int read_lines(struct reader *reader)
{
	char text[SOURCE_LINE_MAXIMUM];
	int length;

	while (reader->second_lines < LINES_PER_SECOND) {
		length = source_next(&reader->source, text);
		if (length == -EAGAIN)
			return 0;
		if (length < 0)
			return length;
		reader->second_lines++;
		take_line(reader, text, (size_t)length);
	}
	return 0;
}

static int wait_for_lines(struct reader *reader, uint64_t now_ms)
{
	struct pollfd fds[] = { { .fd = reader->source.audit, .events = POLLIN },
				{ .fd = reader->source.kmsg, .events = POLLIN } };
	uint64_t due = tally_due(reader->tally, now_ms);
	bool is_spent = reader->second_lines >= LINES_PER_SECOND;

	if (due < GATHER_MS)
		due = GATHER_MS;
	if ((source_has_news(reader) || !reader->is_settled) && due > SOURCE_EVERY_MS)
		due = SOURCE_EVERY_MS;
	if (is_spent)
		due = reader->second_ms + 1000 > now_ms ? reader->second_ms + 1000 - now_ms : 0;
	if (poll(fds, is_spent ? 0 : ARRAY_LENGTH(fds), due > 60000 ? 60000 : (int)due) < 0 &&
	    errno != EINTR)
		return -errno;
	return 0;
}

static int read_for_ever(struct reader *reader)
{
	const struct tally_sink sink = { .record = record, .dropped = dropped, .user = reader };
	uint64_t now_ms = clock_monotonic_ms(), flushed_ms = 0;
	int r = 0;

	send_source(reader, now_ms);
	while (r == 0) {
		now_ms = clock_monotonic_ms();
		if (now_ms - reader->second_ms >= 1000) {
			reader->second_ms = now_ms;
			reader->second_lines = 0;
		}
		if (now_ms - flushed_ms >= GATHER_MS) {
			tally_flush(reader->tally, now_ms, &sink);
			send_item(reader);
			flushed_ms = now_ms;
		}
		if (now_ms - reader->told_ms >= SOURCE_EVERY_MS)
			tell_source(reader, now_ms);
		r = wait_for_lines(reader, now_ms);
		if (r == 0)
			r = read_lines(reader);
	}
	return r;
}

/* ---- the process ---- */

static bool has_apparmor(void)
{
	PH_AUTO_CLOSE int fd = open("/sys/module/apparmor/parameters/enabled",
				    O_RDONLY | O_CLOEXEC);
	char answer = 'N';

	return fd >= 0 && read(fd, &answer, 1) == 1 && answer == 'Y';
}

/*
 * No way back, nothing to write to, nobody to become. It ends with its parent: nobody would stop it
 * otherwise. The wish for that goes with the user, so it comes last.
 */
static int become_ordinary(const struct config *config, pid_t parent, struct ph_error *error)
{
	const struct rlimit none = { 0 };
	const struct rlimit few = { 32, 32 };

	setrlimit(RLIMIT_NOFILE, &few);
	setrlimit(RLIMIT_FSIZE, &none);
	if (geteuid() == 0 && config->uid != 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(config->gid, config->gid, config->gid) < 0 ||
	     setresuid(config->uid, config->uid, config->uid) < 0))
		return error_errno(error, -errno, config->user, NULL, "become the user");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		return error_set(error, -ECANCELED, NULL, NULL, "phoenix-host has gone");
	return 0;
}

int reader_run(struct worker_output *output, const struct reader_config *config,
	       struct ph_error *error)
{
	__attribute__((cleanup(reader_fini))) struct reader reader = {
		.output = output,
		.source = { .audit = -1, .kmsg = -1 },
		.proc = -1,
	};
	int r;

	reader.tally = tally_new(config->first_id);
	send_item(&reader); /* nothing yet: sets up the message */
	if (!has_apparmor())
		text_copy(reader.source.reason, sizeof(reader.source.reason),
			  "this kernel has no AppArmor, or it is switched off");
	else
		source_open(&reader.source);
	if (reader.source.kind == SOURCE_NONE) {
		send_source(&reader, clock_monotonic_ms());
		return 0;
	}
	reader.proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = become_ordinary(config->config, config->parent, error);
	if (r < 0)
		return r;
	r = read_for_ever(&reader);
	if (r < 0)
		error_errno(error, r, source_name(reader.source.kind), NULL, "read denials");
	return r;
}
