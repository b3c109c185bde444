/*
 * Nothing is said before it is on the disk: channels, the store and the event log behind a barrier. The syncs are this
 * file's, which stands before the C library: they wait, are counted and fail as a test says.
 */
#include "common/barrier.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "controller/container/journal.h"
#include "controller/link/agent_key.h"
#include "controller/store/store.h"
#include "tests/support/cmocka.h"
#include "tests/support/loop.h"
#include "tests/support/scratch.h"

#define COMMITS 10
#define TURNS 20 /* of the loop: more than anything here takes when it does not wait for a disk */

/* The disk of these tests. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t loop;
	bool is_slow; /* a sync waits to be let go */
	int let_go;
	int begun;
	int in_loop; /* syncs that the loop's own thread made */
	int error;
} disk = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void disk_init(bool is_slow)
{
	disk.loop = pthread_self();
	disk.is_slow = is_slow;
	disk.let_go = 0;
	disk.begun = 0;
	disk.in_loop = 0;
	disk.error = 0;
}

static int disk_sync(void)
{
	int error;

	pthread_mutex_lock(&disk.mutex);
	disk.begun++;
	if (pthread_equal(pthread_self(), disk.loop)) {
		disk.in_loop++;
	} else {
		pthread_cond_broadcast(&disk.changed);
		while (disk.is_slow && disk.let_go == 0)
			pthread_cond_wait(&disk.changed, &disk.mutex);
		disk.let_go -= disk.is_slow;
	}
	error = disk.error;
	pthread_mutex_unlock(&disk.mutex);
	errno = error;
	return error ? -1 : 0;
}

int fsync(int fd)
{
	return disk_sync();
}

int fdatasync(int fd)
{
	return disk_sync();
}

static int disk_begun(void)
{
	int begun;

	pthread_mutex_lock(&disk.mutex);
	begun = disk.begun;
	pthread_mutex_unlock(&disk.mutex);
	return begun;
}

static void disk_await(int begun)
{
	pthread_mutex_lock(&disk.mutex);
	while (disk.begun < begun)
		pthread_cond_wait(&disk.changed, &disk.mutex);
	pthread_mutex_unlock(&disk.mutex);
}

static void disk_let_go(int syncs)
{
	pthread_mutex_lock(&disk.mutex);
	disk.let_go += syncs;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.mutex);
}

struct scene {
	struct test_loop test;
	struct scratch scratch;
	struct barrier *barrier;
	unsigned int file;
	struct channel *channel; /* its other end is peer */
	int peer;
	int failed, closed, passed, written;
	struct ph_error error;
};

static void disk_failed(void *user, const struct ph_error *error)
{
	struct scene *scene = user;

	scene->failed++;
	scene->error = *error;
}

static void channel_closed(void *user, const struct ph_error *error)
{
	((struct scene *)user)->closed++;
}

static void scene_init(struct scene *scene, bool is_slow)
{
	struct ph_error error;

	memset(scene, 0, sizeof(*scene));
	disk_init(is_slow);
	scratch_init(&scene->scratch);
	test_loop_init(&scene->test);
	assert_int_equal(barrier_open(&scene->test.loop, disk_failed, scene, &scene->barrier, &error), 0);
	assert_int_equal(barrier_add_file(scene->barrier,
					  scratch_write(&scene->scratch, "log", "", 0), &scene->file,
					  &error), 0);
}

static void scene_connect(struct scene *scene)
{
	struct channel_config config = { .closed = channel_closed,
					 .user = scene,
					 .barrier = scene->barrier };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	scene->peer = fds[1];
	assert_int_equal(channel_open(&scene->test.loop, fds[0], &config, &scene->channel), 0);
}

static void scene_fini(struct scene *scene)
{
	barrier_close(scene->barrier);
	if (scene->channel && !scene->closed) {
		channel_close(scene->channel);
		test_loop_until(&scene->test, &scene->closed, 1);
	}
	if (scene->channel)
		close(scene->peer);
	assert_int_equal(test_loop_fini(&scene->test), 0);
	scratch_fini(&scene->scratch);
}

static void turn(struct scene *scene, int times)
{
	while (times-- > 0)
		uv_run(&scene->test.loop, UV_RUN_NOWAIT);
}

static void nothing(uv_timer_t *timer)
{
}

/* Run the loop, which waits as it would in a daemon, until the peer has so many bytes. */
static size_t await_bytes(struct scene *scene, void *bytes, size_t wanted)
{
	uv_timer_t look;
	ssize_t length = 0;

	uv_timer_init(&scene->test.loop, &look);
	uv_timer_start(&look, nothing, 5, 5);
	while (length < (ssize_t)wanted) {
		uv_run(&scene->test.loop, UV_RUN_ONCE);
		length = recv(scene->peer, bytes, 4096, MSG_PEEK | MSG_DONTWAIT);
	}
	uv_close((uv_handle_t *)&look, NULL);
	turn(scene, 1); /* the loop lets go of the timer */
	length = recv(scene->peer, bytes, 4096, MSG_DONTWAIT);
	return (size_t)length;
}

static bool has_nothing(const struct scene *scene)
{
	char byte;

	return recv(scene->peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void say(struct scene *scene, char letter)
{
	assert_int_equal(channel_send(scene->channel, &letter, 1), 0);
}

#define FRAME_BYTES (FRAME_HEADER_SIZE + 1)

static void test_answer_waits_for_the_disk(void **state)
{
	struct scene scene;
	char bytes[4096];

	scene_init(&scene, true);
	scene_connect(&scene);
	barrier_mark(scene.barrier, scene.file);
	say(&scene, 'a');
	turn(&scene, 1);
	disk_await(1);
	/* The loop goes on meanwhile, and nothing is said however often it comes round. */
	turn(&scene, TURNS);
	assert_true(has_nothing(&scene));
	disk_let_go(1);
	assert_int_equal(await_bytes(&scene, bytes, FRAME_BYTES), FRAME_BYTES);
	assert_int_equal(bytes[FRAME_HEADER_SIZE], 'a');
	assert_int_equal(disk.in_loop, 0);
	scene_fini(&scene);
}

static void test_nothing_waits_where_nothing_is_written(void **state)
{
	struct scene scene;

	scene_init(&scene, true);
	scene_connect(&scene);
	say(&scene, 'a');
	turn(&scene, 2);
	assert_false(has_nothing(&scene));
	assert_int_equal(disk_begun(), 0);
	scene_fini(&scene);
}

/* However much is written in one turn of the loop, and while a sync is under way, goes into one sync. */
static void test_one_sync_for_all_of_a_turn(void **state)
{
	struct scene scene;
	char bytes[4096];

	scene_init(&scene, true);
	scene_connect(&scene);
	for (int i = 0; i < COMMITS; i++)
		barrier_mark(scene.barrier, scene.file);
	say(&scene, 'a');
	turn(&scene, 1);
	disk_await(1);
	for (int i = 0; i < COMMITS; i++) {
		barrier_mark(scene.barrier, scene.file);
		turn(&scene, 1);
	}
	say(&scene, 'b');
	turn(&scene, 1);
	disk_let_go(2);
	await_bytes(&scene, bytes, 2 * FRAME_BYTES);
	assert_int_equal(disk_begun(), 2);
	scene_fini(&scene);
}

static void test_what_came_later_waits_for_the_next(void **state)
{
	struct scene scene;
	char bytes[4096];

	scene_init(&scene, true);
	scene_connect(&scene);
	barrier_mark(scene.barrier, scene.file);
	say(&scene, 'a');
	turn(&scene, 1);
	disk_await(1);
	barrier_mark(scene.barrier, scene.file);
	say(&scene, 'b');
	turn(&scene, TURNS);
	assert_true(has_nothing(&scene));
	disk_let_go(1);
	assert_int_equal(await_bytes(&scene, bytes, FRAME_BYTES), FRAME_BYTES);
	assert_int_equal(bytes[FRAME_HEADER_SIZE], 'a');
	disk_await(2);
	turn(&scene, TURNS);
	assert_true(has_nothing(&scene));
	disk_let_go(1);
	assert_int_equal(await_bytes(&scene, bytes, FRAME_BYTES), FRAME_BYTES);
	assert_int_equal(bytes[FRAME_HEADER_SIZE], 'b');
	scene_fini(&scene);
}

struct marker {
	uv_prepare_t prepare;
	struct scene *scene;
};

static void mark_late(uv_prepare_t *prepare)
{
	struct marker *marker = container_of(prepare, struct marker, prepare);

	uv_prepare_stop(prepare);
	barrier_mark(marker->scene->barrier, marker->scene->file);
	say(marker->scene, 'a');
}

/* A prepare handle that runs behind the barrier's writes right before the loop would sleep. */
static void test_a_late_mark_is_not_slept_over(void **state)
{
	struct marker marker;
	struct scene scene;
	char bytes[4096];

	disk_init(false);
	memset(&marker, 0, sizeof(marker));
	marker.scene = &scene;
	scene_init(&scene, false);
	scene_connect(&scene);
	uv_prepare_init(&scene.test.loop, &marker.prepare);
	uv_prepare_start(&marker.prepare, mark_late);
	while (has_nothing(&scene))
		uv_run(&scene.test.loop, UV_RUN_ONCE);
	assert_int_equal(recv(scene.peer, bytes, sizeof(bytes), 0), FRAME_BYTES);
	uv_close((uv_handle_t *)&marker.prepare, NULL);
	scene_fini(&scene);
}

static void test_a_failed_sync_lets_nothing_through(void **state)
{
	struct scene scene;

	scene_init(&scene, false);
	scene_connect(&scene);
	disk.error = EIO;
	barrier_mark(scene.barrier, scene.file);
	say(&scene, 'a');
	while (!scene.failed)
		uv_run(&scene.test.loop, UV_RUN_ONCE);
	assert_int_equal(scene.error.code, -EIO);
	assert_non_null(strstr(scene.error.where, "/log"));
	/* The disk is said to be well again, which nobody believes. */
	disk.error = 0;
	barrier_mark(scene.barrier, scene.file);
	turn(&scene, TURNS);
	assert_true(has_nothing(&scene));
	assert_int_equal(scene.failed, 1);
	scene_fini(&scene);
}

static void test_close_syncs_what_is_left(void **state)
{
	struct scene scene;

	scene_init(&scene, false);
	scene_connect(&scene);
	barrier_mark(scene.barrier, scene.file);
	say(&scene, 'a');
	barrier_close(take_pointer(scene.barrier));
	assert_int_equal(disk_begun(), 1);
	turn(&scene, 3);
	assert_false(has_nothing(&scene));
	scene_fini(&scene);
}

static void test_who_has_gone_is_forgotten(void **state)
{
	struct scene scene;

	scene_init(&scene, true);
	scene_connect(&scene);
	barrier_mark(scene.barrier, scene.file);
	say(&scene, 'a');
	turn(&scene, 1);
	disk_await(1);
	/* The peer hangs up while its answer waits. */
	close(scene.peer);
	test_loop_until(&scene.test, &scene.closed, 1);
	scene.channel = NULL;
	disk_let_go(1);
	scene_fini(&scene);
}

struct chore {
	struct barrier_work work;
	int result;
	int done;
};

static int do_chore(struct barrier_work *work, struct ph_error *error)
{
	struct chore *chore = container_of(work, struct chore, work);

	return chore->result < 0 ? error_errno(error, chore->result, "chore", NULL, "do it") : 0;
}

static void chore_done(struct barrier_work *work)
{
	container_of(work, struct chore, work)->done++;
}

/* Work that has failed is told as a failure, and never as done. */
static void test_work_that_fails_is_not_done(void **state)
{
	struct chore good = { .work = { .work = do_chore, .done = chore_done } };
	struct chore bad = { .work = { .work = do_chore, .done = chore_done }, .result = -EIO };
	struct scene scene;

	scene_init(&scene, false);
	barrier_ask(scene.barrier, &good.work);
	while (!good.done)
		barrier_collect(scene.barrier);
	barrier_ask(scene.barrier, &bad.work);
	while (!scene.failed) {
		barrier_mark(scene.barrier, scene.file); /* an idle barrier does not keep the loop alive */
		uv_run(&scene.test.loop, UV_RUN_ONCE);
	}
	barrier_collect(scene.barrier);
	assert_int_equal(scene.error.code, -EIO);
	assert_int_equal(bad.done, 0);
	barrier_withdraw(scene.barrier, &bad.work);
	scene_fini(&scene);
}

static struct store *open_store(struct scene *scene)
{
	struct store *store;
	struct ph_error error;

	assert_int_equal(store_open(scratch_file(&scene->scratch, "state.db"), &store, &error), 0);
	return store;
}

static void commit_all(struct store *store)
{
	struct ph_error error;
	char key[16];

	for (int i = 0; i < COMMITS; i++) {
		snprintf(key, sizeof(key), "key/%d", i);
		assert_int_equal(store_put(store, key, "x", 1, NULL, &error), 0);
	}
}

static void test_commits_sync_without_a_barrier(void **state)
{
	struct scene scene;
	struct store *store;

	scene_init(&scene, false);
	store = open_store(&scene);
	disk_init(false);
	commit_all(store);
	assert_true(disk.in_loop >= COMMITS);
	store_close(store);
	scene_fini(&scene);
}

static void test_commits_behind_a_barrier_do_not(void **state)
{
	struct ph_error error;
	struct scene scene;
	struct store *store;
	char bytes[4096];

	scene_init(&scene, false);
	scene_connect(&scene);
	store = open_store(&scene);
	assert_int_equal(store_put(store, "first", "x", 1, NULL, &error), 0);
	assert_int_equal(store_use_barrier(store, scene.barrier, &error), 0);
	say(&scene, 'x');
	await_bytes(&scene, bytes, FRAME_BYTES);
	disk_init(true);
	commit_all(store);
	say(&scene, 'a');
	turn(&scene, 1);
	disk_await(1);
	assert_int_equal(disk.in_loop, 0);
	turn(&scene, TURNS);
	assert_true(has_nothing(&scene));
	disk_let_go(1);
	await_bytes(&scene, bytes, FRAME_BYTES);
	assert_int_equal(disk_begun(), 1);
	store_close(store);
	scene_fini(&scene);
}

#define VALUE_BYTES 4000
#define MANY 1500 /* pages and more: what a log holds before it is carried over */

static off_t size_of(struct scene *scene, const char *name)
{
	struct stat status = { 0 };

	stat(scratch_file(&scene->scratch, name), &status);
	return status.st_size;
}

/* A long log is carried over into the file, and not by the loop: neither is it synced there. */
static void test_checkpoints_are_not_made_in_the_loop(void **state)
{
	static char value[VALUE_BYTES];
	struct store_list list = { 0 };
	struct ph_error error;
	struct scene scene;
	struct store *store;
	char key[16];

	scene_init(&scene, false);
	store = open_store(&scene);
	assert_int_equal(store_use_barrier(store, scene.barrier, &error), 0);
	disk_init(false);
	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "key/%d", i);
		assert_int_equal(store_put(store, key, value, sizeof(value), NULL, &error), 0);
		turn(&scene, 1);
	}
	while (size_of(&scene, "state.db") < 2 * MANY * VALUE_BYTES) {
		/* The log begins anew with the first commit behind a whole checkpoint. */
		assert_int_equal(store_put(store, "last", value, 1, NULL, &error), 0);
		turn(&scene, 1);
	}
	/* One may find its checkpoint ended in the midst of a commit, which then syncs a header. */
	assert_true(disk.in_loop <= 1);
	store_close(store);
	store = open_store(&scene);
	assert_int_equal(store_list(store, "key/", &list, &error), 0);
	assert_int_equal(list.count, MANY);
	store_list_fini(&list);
	store_close(store);
	scene_fini(&scene);
}

/* One that is being made when the store is closed is waited for. */
static void test_close_waits_for_a_checkpoint(void **state)
{
	static char value[VALUE_BYTES];
	struct ph_error error;
	struct scene scene;
	struct store *store;
	char key[16];

	scene_init(&scene, false);
	store = open_store(&scene);
	assert_int_equal(store_use_barrier(store, scene.barrier, &error), 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "key/%d", i);
		assert_int_equal(store_put(store, key, value, sizeof(value), NULL, &error), 0);
	}
	store_close(store);
	scene_fini(&scene);
}

/* What a phoenixd that was killed had written, and had not lived to sync, is synced before its successor says anything. */
static void test_what_was_there_is_synced_first(void **state)
{
	struct ph_error error;
	struct scene scene;
	struct store *store;

	scene_init(&scene, true);
	scene_connect(&scene);
	store = open_store(&scene);
	assert_int_equal(store_use_barrier(store, scene.barrier, &error), 0);
	say(&scene, 'a');
	turn(&scene, TURNS);
	assert_true(has_nothing(&scene));
	disk_let_go(1);
	store_close(store);
	scene_fini(&scene);
}

/* A key is written by a rename: neither the file nor its name is synced in the loop, and both are before anybody is told. */
static void test_a_key_is_synced_first(void **state)
{
	uint8_t key[HANDSHAKE_KEY_SIZE];
	struct ph_error error;
	struct scene scene;
	char bytes[4096];

	scene_init(&scene, true);
	scene_connect(&scene);
	assert_int_equal(mkdir(scratch_file(&scene.scratch, "db"), 0700), 0);
	assert_int_equal(agent_key_make(scene.scratch.path, "web1", scene.barrier, key, &error), 0);
	say(&scene, 'a');
	turn(&scene, 1);
	disk_await(1);
	assert_int_equal(disk.in_loop, 0);
	turn(&scene, TURNS);
	assert_true(has_nothing(&scene));
	disk_let_go(1);
	disk_await(2);
	turn(&scene, TURNS);
	assert_true(has_nothing(&scene));
	disk_let_go(1);
	await_bytes(&scene, bytes, FRAME_BYTES);
	scene_fini(&scene);
}

/* Nobody syncs it any more, and nothing leaks. */
static void test_a_failed_sync_of_a_key(void **state)
{
	uint8_t key[HANDSHAKE_KEY_SIZE];
	struct ph_error error;
	struct scene scene;

	scene_init(&scene, false);
	disk.error = ENOSPC;
	assert_int_equal(mkdir(scratch_file(&scene.scratch, "db"), 0700), 0);
	assert_int_equal(agent_key_make(scene.scratch.path, "web1", scene.barrier, key, &error), 0);
	while (!scene.failed)
		uv_run(&scene.test.loop, UV_RUN_ONCE);
	assert_int_equal(scene.error.code, -ENOSPC);
	assert_string_equal(scene.error.where, "web1+");
	assert_int_equal(agent_key_make(scene.scratch.path, "web2", scene.barrier, key, &error), 0);
	turn(&scene, 2);
	scene_fini(&scene);
}

static void written(void *user)
{
	((struct scene *)user)->written++;
}

/* What is deleted elsewhere because an event tells of it must not be gone before the event is there. */
static void test_written_means_on_the_disk(void **state)
{
	struct journal *journal;
	struct ph_error error;
	struct scene scene;

	scene_init(&scene, false);
	assert_int_equal(journal_open(&scene.test.loop, scratch_file(&scene.scratch, "events.db"),
				      scene.barrier, &journal, &error), 0);
	journal_when_written(journal, written, &scene);
	test_loop_until(&scene.test, &scene.written, 1);
	pthread_mutex_lock(&disk.mutex);
	disk.is_slow = true;
	disk.begun = 0;
	pthread_mutex_unlock(&disk.mutex);
	journal_write(journal, PHOENIX__EVENT__SEVERITY__INFO, NULL, NULL, "test.one", "One", "one");
	journal_when_written(journal, written, &scene);
	turn(&scene, 1);
	disk_await(1);
	journal_write(journal, PHOENIX__EVENT__SEVERITY__INFO, NULL, NULL, "test.two", "Two", "two");
	journal_when_written(journal, written, &scene);
	turn(&scene, TURNS);
	assert_int_equal(scene.written, 1);
	disk_let_go(1);
	test_loop_until(&scene.test, &scene.written, 2);
	disk_await(2);
	turn(&scene, TURNS);
	assert_int_equal(scene.written, 2);
	disk_let_go(1);
	test_loop_until(&scene.test, &scene.written, 3);
	journal_close(journal);
	scene_fini(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_waits_for_the_disk),
		cmocka_unit_test(test_nothing_waits_where_nothing_is_written),
		cmocka_unit_test(test_one_sync_for_all_of_a_turn),
		cmocka_unit_test(test_what_came_later_waits_for_the_next),
		cmocka_unit_test(test_a_late_mark_is_not_slept_over),
		cmocka_unit_test(test_a_failed_sync_lets_nothing_through),
		cmocka_unit_test(test_close_syncs_what_is_left),
		cmocka_unit_test(test_who_has_gone_is_forgotten),
		cmocka_unit_test(test_work_that_fails_is_not_done),
		cmocka_unit_test(test_commits_sync_without_a_barrier),
		cmocka_unit_test(test_commits_behind_a_barrier_do_not),
		cmocka_unit_test(test_checkpoints_are_not_made_in_the_loop),
		cmocka_unit_test(test_close_waits_for_a_checkpoint),
		cmocka_unit_test(test_what_was_there_is_synced_first),
		cmocka_unit_test(test_a_key_is_synced_first),
		cmocka_unit_test(test_a_failed_sync_of_a_key),
		cmocka_unit_test(test_written_means_on_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
