/*
 * Marks are counted. One sync is in hand at a time and covers all marks up to the one it began with;
 * it begins when the loop is about to wait, so that everything that one turn of the loop has written
 * goes together, or where the one before it has ended. A mark that is made later than that, by another
 * prepare handle, must not be slept over: hence the idle handle, which keeps the loop from waiting.
 *
 * The thread knows descriptors, and works that know themselves: which of them, and what came of it, is handed
 * over under the mutex. A sync goes first, for somebody waits for it.
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
	int fd;         /* owned */
	char *path;     /* owned; for the error */
	bool is_marked; /* since the last sync began */
};

/* A file that is synced once. */
struct barrier_once {
	int fd;     /* owned */
	char *path; /* owned; for the error */
};

/* What one sync is about; the thread reads it, the loop makes and frees it. */
struct batch {
	int fds[BARRIER_FILES]; /* -1: not this one */
	struct barrier_once *once; /* owned; NULL: none */
	size_t once_count;
};

/* What thread and loop hand to each other. */
struct handover {
	uv_mutex_t mutex;
	uv_cond_t asked;
	const struct batch *batch; /* to sync; NULL: nothing is asked for */
	bool is_done;
	bool is_over;
	size_t failed; /* which one, the files first, when result < 0 */
	int result;
	TAILQ_HEAD(barrier_works, barrier_work) works; /* borrowed; oldest first */
	struct barrier_work *working;                  /* is being done; in neither list */
	struct barrier_works finished;                 /* borrowed; done() is to be called */
	uv_cond_t worked;
	struct ph_error work_error; /* of the first that failed */
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
	struct barrier_once *once; /* owned; for the next sync */
	size_t once_count;
	struct batch batch; /* of the sync in hand */
	uint64_t marked;  /* the newest mark */
	uint64_t syncing; /* the newest mark that the sync in hand covers; 0: none is in hand */
	uint64_t passed;  /* marks that are on the disk */
	bool is_closed;
	TAILQ_HEAD(, barrier_wait) waits; /* borrowed; by mark */
	void (*failed)(void *user, const struct ph_error *error);
	void *user;
};

/* ---- the thread ---- */

static int sync_batch(const struct batch *batch, size_t *ret_failed)
{
	size_t i;

	for (i = 0; i < BARRIER_FILES; i++)
		if (batch->fds[i] >= 0 && fdatasync(batch->fds[i]) < 0)
			goto failed;
	/* New names in a directory are no data of it: all of it is synced. */
	for (; i < BARRIER_FILES + batch->once_count; i++)
		if (fsync(batch->once[i - BARRIER_FILES].fd) < 0)
			goto failed;
	return 0;

failed:
	*ret_failed = i;
	return -errno;
}

/* Both are called with the mutex, and let go of it while they wait for the disk. */
static void sync_asked(struct barrier *barrier)
{
	struct handover *handover = &barrier->handover;
	const struct batch *batch = handover->batch;
	size_t failed = 0;
	int result;

	handover->batch = NULL;
	uv_mutex_unlock(&handover->mutex);
	result = sync_batch(batch, &failed);
	uv_mutex_lock(&handover->mutex);
	handover->result = result;
	handover->failed = failed;
	handover->is_done = true;
	uv_async_send(&barrier->synced);
}

static void do_work(struct barrier *barrier)
{
	struct handover *handover = &barrier->handover;
	struct barrier_work *work = TAILQ_FIRST(&handover->works);
	struct ph_error error;
	int r;

	TAILQ_REMOVE(&handover->works, work, link);
	handover->working = work;
	uv_mutex_unlock(&handover->mutex);
	r = work->work(work, &error);
	uv_mutex_lock(&handover->mutex);
	handover->working = NULL;
	uv_cond_signal(&handover->worked);
	if (r == 0)
		TAILQ_INSERT_TAIL(&handover->finished, work, link);
	else if (!error_is_set(&handover->work_error))
		handover->work_error = error;
	uv_async_send(&barrier->synced);
}

static void sync_thread(void *argument)
{
	struct barrier *barrier = argument;
	struct handover *handover = &barrier->handover;

	uv_mutex_lock(&handover->mutex);
	for (;;) {
		if (handover->batch)
			sync_asked(barrier);
		else if (!TAILQ_EMPTY(&handover->works) && !handover->is_over)
			do_work(barrier);
		else if (handover->is_over)
			break;
		else
			uv_cond_wait(&handover->asked, &handover->mutex);
	}
	uv_mutex_unlock(&handover->mutex);
}

/* ---- the loop's side ---- */

static void say_failed(struct barrier *barrier, size_t failed, int result)
{
	const char *path = failed < BARRIER_FILES ? barrier->files[failed].path :
						    barrier->batch.once[failed - BARRIER_FILES].path;
	struct ph_error error;

	error_errno(&error, result, path,
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

static void make_batch(struct barrier *barrier)
{
	struct batch *batch = &barrier->batch;

	for (unsigned int i = 0; i < BARRIER_FILES; i++) {
		batch->fds[i] = barrier->files[i].is_marked ? barrier->files[i].fd : -1;
		barrier->files[i].is_marked = false;
	}
	batch->once = take_pointer(barrier->once);
	batch->once_count = barrier->once_count;
	barrier->once_count = 0;
}

static void end_batch(struct batch *batch)
{
	for (size_t i = 0; i < batch->once_count; i++) {
		close(batch->once[i].fd);
		free(batch->once[i].path);
	}
	free(take_pointer(batch->once));
	batch->once_count = 0;
}

static void begin_sync(struct barrier *barrier)
{
	struct handover *handover = &barrier->handover;

	if (barrier->syncing || barrier->marked == barrier->passed || barrier->is_closed)
		return;
	barrier->syncing = barrier->marked;
	uv_ref((uv_handle_t *)&barrier->synced);
	make_batch(barrier);
	uv_mutex_lock(&handover->mutex);
	handover->batch = &barrier->batch;
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
static bool take_result(struct barrier *barrier, size_t *ret_failed, int *ret_result)
{
	struct handover *handover = &barrier->handover;
	bool is_done;

	uv_mutex_lock(&handover->mutex);
	is_done = handover->is_done;
	handover->is_done = false;
	*ret_failed = handover->failed;
	*ret_result = handover->result;
	uv_mutex_unlock(&handover->mutex);
	return is_done;
}

static void end_sync(struct barrier *barrier)
{
	size_t failed;
	int result;

	if (!take_result(barrier, &failed, &result))
		return;
	if (result < 0) {
		say_failed(barrier, failed, result);
		return; /* the sync stays in hand for ever: nothing passes */
	}
	end_batch(&barrier->batch);
	barrier->passed = barrier->syncing;
	barrier->syncing = 0;
	uv_unref((uv_handle_t *)&barrier->synced);
	let_through(barrier);
}

static bool has_failed_work(struct barrier *barrier)
{
	bool has_failed;

	uv_mutex_lock(&barrier->handover.mutex);
	has_failed = error_is_set(&barrier->handover.work_error);
	uv_mutex_unlock(&barrier->handover.mutex);
	return has_failed;
}

static struct barrier_work *take_finished(struct barrier *barrier)
{
	struct handover *handover = &barrier->handover;
	struct barrier_work *work;

	uv_mutex_lock(&handover->mutex);
	work = TAILQ_FIRST(&handover->finished);
	if (work) {
		TAILQ_REMOVE(&handover->finished, work, link);
		work->is_asked = false;
	}
	uv_mutex_unlock(&handover->mutex);
	return work;
}

void barrier_collect(struct barrier *barrier)
{
	struct barrier_work *work;

	while (!barrier->is_closed && (work = take_finished(barrier)))
		work->done(work);
}

static void sync_ended(uv_async_t *synced)
{
	struct barrier *barrier = container_of(synced, struct barrier, synced);

	/* The error stays as it is from then on. */
	if (has_failed_work(barrier)) {
		barrier->failed(barrier->user, &barrier->handover.work_error);
		return;
	}
	barrier_collect(barrier);
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
	uv_cond_destroy(&barrier->handover.worked);
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
	uv_cond_init(&barrier->handover.worked);
	TAILQ_INIT(&barrier->handover.works);
	TAILQ_INIT(&barrier->handover.finished);
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

/* The result of the sync in hand, and then what was marked since, here and now. */
static int sync_rest(struct barrier *barrier, size_t *ret_failed)
{
	if (barrier->syncing && barrier->handover.result < 0) {
		*ret_failed = barrier->handover.failed;
		return barrier->handover.result;
	}
	end_batch(&barrier->batch);
	make_batch(barrier);
	return sync_batch(&barrier->batch, ret_failed);
}

static void close_files(struct barrier *barrier)
{
	end_batch(&barrier->batch);
	make_batch(barrier); /* after a failure: what nobody syncs any more */
	end_batch(&barrier->batch);
	for (unsigned int i = 0; i < barrier->file_count; i++) {
		close(barrier->files[i].fd);
		free(barrier->files[i].path);
	}
	barrier->file_count = 0;
}

void barrier_close(struct barrier *barrier)
{
	size_t failed = 0;
	int result;

	if (!barrier)
		return;
	end_thread(barrier);
	close_handles(barrier);
	result = sync_rest(barrier, &failed);
	end_handover(barrier);
	if (result < 0) {
		say_failed(barrier, failed, result);
	} else {
		barrier->passed = barrier->marked;
		let_through(barrier);
	}
	close_files(barrier);
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

static void note_mark(struct barrier *barrier)
{
	barrier->marked++;
	uv_idle_start(&barrier->awake, came_round);
}

void barrier_mark(struct barrier *barrier, unsigned int file)
{
	if (barrier->is_closed)
		return;
	barrier->files[file].is_marked = true;
	note_mark(barrier);
}

void barrier_sync_once(struct barrier *barrier, int fd, const char *path)
{
	if (barrier->is_closed) {
		close(fd);
		return;
	}
	barrier->once = ph_realloc(barrier->once, (barrier->once_count + 1) * sizeof(*barrier->once));
	barrier->once[barrier->once_count++] = (struct barrier_once){ fd, ph_strdup(path) };
	note_mark(barrier);
}

void barrier_ask(struct barrier *barrier, struct barrier_work *work)
{
	struct handover *handover = &barrier->handover;

	if (barrier->is_closed)
		return;
	uv_mutex_lock(&handover->mutex);
	if (!work->is_asked) {
		work->is_asked = true;
		TAILQ_INSERT_TAIL(&handover->works, work, link);
		uv_cond_signal(&handover->asked);
	}
	uv_mutex_unlock(&handover->mutex);
}

static void remove_work(struct barrier_works *works, struct barrier_work *work)
{
	struct barrier_work *other;

	TAILQ_FOREACH(other, works, link)
		if (other == work) {
			TAILQ_REMOVE(works, work, link);
			return;
		}
}

void barrier_withdraw(struct barrier *barrier, struct barrier_work *work)
{
	struct handover *handover = &barrier->handover;

	if (barrier->is_closed)
		return;
	uv_mutex_lock(&handover->mutex);
	while (handover->working == work)
		uv_cond_wait(&handover->worked, &handover->mutex);
	remove_work(&handover->works, work);
	remove_work(&handover->finished, work);
	work->is_asked = false;
	uv_mutex_unlock(&handover->mutex);
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
