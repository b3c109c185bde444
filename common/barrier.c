/*
 * Marks are counted. One sync is in hand at a time and covers all marks up to the one it began with;
 * it begins when the loop is about to wait, so that everything that one turn of the loop has written
 * goes together, or where the one before it has ended. A mark that is made later than that, by another
 * prepare handle, must not be slept over: hence the idle handle, which keeps the loop from waiting.
 *
 * The thread knows descriptors and nothing else: which of them, and what came of it, is handed over
 * under the mutex.
 */
#include "common/barrier.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"

#define HANDLES 3
#define STACK_SIZE (256 * 1024)

struct barrier_file {
	int fd;        /* owned */
	char *path;    /* owned; for the error */
	bool is_marked; /* since the last sync began */
};

/* What thread and loop hand to each other. */
struct handover {
	uv_mutex_t mutex;
	uv_cond_t asked;
	int fds[BARRIER_FILES]; /* to sync; -1: not this one */
	bool is_asked;
	bool is_done;
	bool is_over;
	unsigned int failed; /* which one, when result < 0 */
	int result;
};

struct barrier {
	uv_prepare_t turn;
	uv_idle_t awake; /* active from a mark until the loop has come round */
	uv_async_t synced;
	uv_thread_t thread;
	unsigned int references; /* its owner's, and others' */
	unsigned int handles;    /* of the loop, not closed yet */
	struct handover handover;
	struct barrier_file files[BARRIER_FILES];
	unsigned int file_count;
	uint64_t marked;  /* the newest mark */
	uint64_t syncing; /* the newest mark that the sync in hand covers; 0: none is in hand */
	uint64_t passed;  /* marks that are on the disk */
	bool is_closed;
	TAILQ_HEAD(, barrier_wait) waits; /* borrowed; by mark */
	void (*failed)(void *user, const struct ph_error *error);
	void *user;
};

/* ---- the thread ---- */

static int sync_files(const int fds[BARRIER_FILES], unsigned int *ret_failed)
{
	for (unsigned int i = 0; i < BARRIER_FILES; i++) {
		if (fds[i] < 0 || fdatasync(fds[i]) == 0)
			continue;
		*ret_failed = i;
		return -errno;
	}
	return 0;
}

static void sync_thread(void *argument)
{
	struct barrier *barrier = argument;
	struct handover *handover = &barrier->handover;
	int fds[BARRIER_FILES], result;
	unsigned int failed = 0;

	uv_mutex_lock(&handover->mutex);
	for (;;) {
		while (!handover->is_asked && !handover->is_over)
			uv_cond_wait(&handover->asked, &handover->mutex);
		if (!handover->is_asked)
			break;
		memcpy(fds, handover->fds, sizeof(fds));
		handover->is_asked = false;
		uv_mutex_unlock(&handover->mutex);
		result = sync_files(fds, &failed);
		uv_mutex_lock(&handover->mutex);
		handover->result = result;
		handover->failed = failed;
		handover->is_done = true;
		uv_async_send(&barrier->synced);
	}
	uv_mutex_unlock(&handover->mutex);
}

/* ---- the loop's side ---- */

static void say_failed(struct barrier *barrier, unsigned int file, int result)
{
	struct ph_error error;

	error_errno(&error, result, barrier->files[file].path,
		    "check the disk and the file system (dmesg), then start it again", "sync");
	barrier->failed(barrier->user, &error);
}

static void let_through(struct barrier *barrier)
{
	struct barrier_wait *wait;

	while ((wait = TAILQ_FIRST(&barrier->waits)) && wait->mark <= barrier->passed) {
		TAILQ_REMOVE(&barrier->waits, wait, link);
		wait->is_waiting = false;
		wait->passed(wait);
	}
}

static void take_marked(struct barrier *barrier, int fds[BARRIER_FILES])
{
	for (unsigned int i = 0; i < BARRIER_FILES; i++) {
		fds[i] = barrier->files[i].is_marked ? barrier->files[i].fd : -1;
		barrier->files[i].is_marked = false;
	}
}

static void begin_sync(struct barrier *barrier)
{
	struct handover *handover = &barrier->handover;

	if (barrier->syncing || barrier->marked == barrier->passed || barrier->is_closed)
		return;
	barrier->syncing = barrier->marked;
	uv_ref((uv_handle_t *)&barrier->synced);
	uv_mutex_lock(&handover->mutex);
	take_marked(barrier, handover->fds);
	handover->is_asked = true;
	uv_cond_signal(&handover->asked);
	uv_mutex_unlock(&handover->mutex);
}

static void came_round(uv_idle_t *awake)
{
	uv_idle_stop(awake);
}

static void turn_ends(uv_prepare_t *turn)
{
	begin_sync(container_of(turn, struct barrier, turn));
}

/* Whether the sync in hand has ended; what came of it. */
static bool take_result(struct barrier *barrier, unsigned int *ret_file, int *ret_result)
{
	struct handover *handover = &barrier->handover;
	bool is_done;

	uv_mutex_lock(&handover->mutex);
	is_done = handover->is_done;
	handover->is_done = false;
	*ret_file = handover->failed;
	*ret_result = handover->result;
	uv_mutex_unlock(&handover->mutex);
	return is_done;
}

static void end_sync(struct barrier *barrier)
{
	unsigned int file;
	int result;

	if (!take_result(barrier, &file, &result))
		return;
	if (result < 0) {
		say_failed(barrier, file, result);
		return; /* the sync stays in hand for ever: nothing passes */
	}
	barrier->passed = barrier->syncing;
	barrier->syncing = 0;
	uv_unref((uv_handle_t *)&barrier->synced);
	let_through(barrier);
}

static void sync_ended(uv_async_t *synced)
{
	struct barrier *barrier = container_of(synced, struct barrier, synced);

	end_sync(barrier);
	begin_sync(barrier);
}

static void free_when_unused(struct barrier *barrier)
{
	if (barrier->references > 0 || barrier->handles > 0)
		return;
	free(barrier);
}

static void handle_closed(uv_handle_t *handle)
{
	struct barrier *barrier = handle->data;

	barrier->handles--;
	free_when_unused(barrier);
}

static int start_thread(struct barrier *barrier)
{
	const uv_thread_options_t options = { UV_THREAD_HAS_STACK_SIZE, STACK_SIZE };
	sigset_t all, before;
	int r;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = uv_thread_create_ex(&barrier->thread, &options, sync_thread, barrier);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static void open_handles(struct barrier *barrier, uv_loop_t *loop)
{
	uv_prepare_init(loop, &barrier->turn);
	uv_prepare_start(&barrier->turn, turn_ends);
	uv_idle_init(loop, &barrier->awake);
	barrier->turn.data = barrier;
	barrier->awake.data = barrier;
	barrier->synced.data = barrier;
	barrier->handles = HANDLES;
	/* What is being synced keeps the loop alive, an idle barrier does not. */
	uv_unref((uv_handle_t *)&barrier->turn);
	uv_unref((uv_handle_t *)&barrier->synced);
}

static void close_handles(struct barrier *barrier)
{
	barrier->is_closed = true;
	uv_close((uv_handle_t *)&barrier->turn, handle_closed);
	uv_close((uv_handle_t *)&barrier->awake, handle_closed);
	uv_close((uv_handle_t *)&barrier->synced, handle_closed);
}

static void end_handover(struct barrier *barrier)
{
	uv_cond_destroy(&barrier->handover.asked);
	uv_mutex_destroy(&barrier->handover.mutex);
}

int barrier_open(uv_loop_t *loop, void (*failed)(void *user, const struct ph_error *error),
		 void *user, struct barrier **ret_barrier, struct ph_error *error)
{
	struct barrier *barrier = ph_alloc(sizeof(*barrier));
	int r = uv_async_init(loop, &barrier->synced, sync_ended);

	TAILQ_INIT(&barrier->waits);
	barrier->failed = failed;
	barrier->user = user;
	if (r < 0) {
		free(barrier);
		return error_errno(error, r, NULL, NULL, "prepare to sync");
	}
	open_handles(barrier, loop);
	uv_mutex_init(&barrier->handover.mutex);
	uv_cond_init(&barrier->handover.asked);
	r = start_thread(barrier);
	if (r < 0) {
		close_handles(barrier);
		end_handover(barrier);
		return error_errno(error, r, NULL, NULL, "start the thread that syncs");
	}
	barrier->references = 1;
	*ret_barrier = barrier;
	return 0;
}

static void end_thread(struct barrier *barrier)
{
	uv_mutex_lock(&barrier->handover.mutex);
	barrier->handover.is_over = true;
	uv_cond_signal(&barrier->handover.asked);
	uv_mutex_unlock(&barrier->handover.mutex);
	uv_thread_join(&barrier->thread);
}

/* What was marked last, here and now. */
static int sync_rest(struct barrier *barrier, unsigned int *ret_file)
{
	int fds[BARRIER_FILES];

	take_marked(barrier, fds);
	return sync_files(fds, ret_file);
}

void barrier_close(struct barrier *barrier)
{
	unsigned int file = 0;
	int result = 0;

	if (!barrier)
		return;
	end_thread(barrier);
	close_handles(barrier);
	if (barrier->syncing)
		result = barrier->handover.result;
	file = barrier->handover.failed;
	end_handover(barrier);
	if (result == 0)
		result = sync_rest(barrier, &file);
	if (result < 0) {
		say_failed(barrier, file, result);
	} else {
		barrier->passed = barrier->marked;
		let_through(barrier);
	}
	for (unsigned int i = 0; i < barrier->file_count; i++) {
		close(barrier->files[i].fd);
		free(barrier->files[i].path);
	}
	barrier->file_count = 0;
	barrier_unref(barrier);
}

struct barrier *barrier_ref(struct barrier *barrier)
{
	if (barrier)
		barrier->references++;
	return barrier;
}

void barrier_unref(struct barrier *barrier)
{
	if (!barrier)
		return;
	barrier->references--;
	free_when_unused(barrier);
}

int barrier_add_file(struct barrier *barrier, const char *path, unsigned int *ret_file,
		     struct ph_error *error)
{
	struct barrier_file *file = &barrier->files[barrier->file_count];
	int fd;

	if (barrier->file_count == BARRIER_FILES)
		return error_set(error, -ENFILE, path, NULL, "at most %d files can be synced",
				 BARRIER_FILES);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(error, -errno, path, NULL, "open it for syncing");
	file->fd = fd;
	file->path = ph_strdup(path);
	*ret_file = barrier->file_count++;
	return 0;
}

void barrier_mark(struct barrier *barrier, unsigned int file)
{
	if (barrier->is_closed)
		return;
	barrier->files[file].is_marked = true;
	barrier->marked++;
	uv_idle_start(&barrier->awake, came_round);
}

bool barrier_wait(struct barrier *barrier, struct barrier_wait *wait)
{
	if (wait->is_waiting)
		return true;
	if (barrier->is_closed || barrier->marked == barrier->passed)
		return false;
	wait->mark = barrier->marked;
	wait->is_waiting = true;
	TAILQ_INSERT_TAIL(&barrier->waits, wait, link);
	return true;
}

void barrier_forget(struct barrier *barrier, struct barrier_wait *wait)
{
	if (!wait->is_waiting)
		return;
	TAILQ_REMOVE(&barrier->waits, wait, link);
	wait->is_waiting = false;
}
