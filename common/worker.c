/*
 * The parent's half. The child's messages travel as the Envelope that rpc uses (items, then one
 * end), so its pipe is read like a peer: framed, bounded, decoded within a budget. The end is
 * written after everything the child did: whoever has read it knows the outcome, whatever happens
 * to the child afterwards.
 *
 * The parent waits on a pidfd, not on SIGCHLD: no signal handler, no table of pids, exactly one
 * waitpid() for exactly this child. It does not wait for the end of the pipe, which a grandchild
 * may hold open for ever.
 */
#include "common/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/budget.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/limits.h"
#include "common/memory.h"
#include "common/rpc.h"
#include "common/states.h"
#include "common/worker_child.h"

#define READ_SIZE (32 * 1024)
#define DEATH_MS 5000 /* a killed child that the kernel does not let die is given up after this */
#define HANDLES 3

/*
 *   RUNNING --deadline, cancel, garbage--> KILLED --5 s--> LOST
 *      \                                     \              \
 *       `------------- exit ------------------`--------------`--> ENDED
 *   and worker_abandon() from any of them but LOST, whose owner has let go already.
 */
enum worker_state {
	WORKER_RUNNING,
	WORKER_KILLED, /* by us; verdict says why */
	WORKER_LOST,   /* finished() was called; only its reaping is left */
	WORKER_ENDED,  /* reaped; finished() comes when the loop has let go */
	WORKER_ABANDONED,
};

static const char *const state_names[] = { "running", "killed", "lost", "ended", "abandoned" };
static const uint32_t state_moves[] = {
	[WORKER_RUNNING] = STATE_BIT(WORKER_KILLED) | STATE_BIT(WORKER_ENDED) |
			   STATE_BIT(WORKER_ABANDONED),
	[WORKER_KILLED] = STATE_BIT(WORKER_LOST) | STATE_BIT(WORKER_ENDED) |
			  STATE_BIT(WORKER_ABANDONED),
	[WORKER_LOST] = STATE_BIT(WORKER_ABANDONED),
	[WORKER_ENDED] = STATE_BIT(WORKER_ABANDONED),
	[WORKER_ABANDONED] = 0,
};
static const struct states_table worker_states = {
	.name = "worker",
	.states = state_names,
	.count = ARRAY_LENGTH(state_names),
	.allowed = state_moves,
};

struct worker {
	uv_poll_t pipe;
	uv_poll_t exit;
	uv_timer_t timer; /* the deadline; after a kill, the patience with the dying */
	unsigned int handles;
	unsigned int state;
	pid_t pid;
	int pipe_fd; /* owned */
	int pid_fd;  /* owned */
	struct frame_reader reader;
	struct worker_config config;
	bool has_end;            /* the child told its result, which is in verdict */
	struct ph_error verdict; /* of the end, or why the child was killed */
};

static void worker_written(uv_poll_t *pipe, int status, int events);
static void worker_exited(uv_poll_t *exit, int status, int events);
static void worker_timed(uv_timer_t *timer);
static void worker_handle_closed(uv_handle_t *handle);

/* Whether the owner still wants messages; asked again after each of its callbacks. */
static bool is_heard(const struct worker *worker)
{
	return worker->state == WORKER_RUNNING || worker->state == WORKER_KILLED;
}

static void close_handle(void *handle)
{
	uv_handle_t *any = handle;

	if (uv_handle_get_type(any) != UV_UNKNOWN_HANDLE && !uv_is_closing(any))
		uv_close(any, worker_handle_closed);
}

/* Let go of everything; worker_free() follows when the loop has. */
static void worker_release(struct worker *worker)
{
	close_handle(&worker->pipe);
	close_handle(&worker->exit);
	close_handle(&worker->timer);
	cleanup_close(&worker->pipe_fd);
	cleanup_close(&worker->pid_fd);
	worker->pipe_fd = -1;
	worker->pid_fd = -1;
}

static void tell_owner(struct worker *worker)
{
	const struct ph_error *verdict = &worker->verdict;

	worker->config.finished(worker->config.user, error_is_set(verdict) ? verdict : NULL);
}

static void worker_free(struct worker *worker)
{
	if (worker->state == WORKER_ENDED)
		tell_owner(worker);
	frame_reader_fini(&worker->reader);
	free(worker);
}

/* Kill the group, and the child itself: it may not have made its group yet. */
static void kill_group(pid_t pid)
{
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
}

/* Kill a running child. A result that it has told stands; code and why are for one that has not. */
__attribute__((format(printf, 3, 4))) static void worker_kill(struct worker *worker, int code,
							      const char *why, ...)
{
	char text[160];
	va_list arguments;

	if (worker->state != WORKER_RUNNING)
		return;
	va_start(arguments, why);
	vsnprintf(text, sizeof(text), why, arguments);
	va_end(arguments);
	if (!worker->has_end)
		error_set(&worker->verdict, code, NULL, NULL, "%s", text);
	states_move(&worker_states, &worker->state, WORKER_KILLED);
	kill_group(worker->pid);
	uv_update_time(worker->timer.loop);
	uv_timer_start(&worker->timer, worker_timed, DEATH_MS, 0);
}

static void kill_garbler(struct worker *worker)
{
	worker_kill(worker, -EPROTO, "the worker's messages cannot be understood");
}

/* What could not be decoded. */
static void kill_undecoded(struct worker *worker, const struct budget *budget)
{
	if (budget_lacks_memory(budget))
		worker_kill(worker, -ENOMEM, "no memory for the worker's messages");
	else
		kill_garbler(worker);
}

static void take_item(struct worker *worker, const ProtobufCBinaryData *item)
{
	struct budget budget;
	ProtobufCMessage *message = NULL;

	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	if (worker->config.message_type &&
	    limits_allow(worker->config.message_type, item->data, item->len))
		message = budget_unpack(&budget, worker->config.message_type, item->data,
					item->len);
	if (!message)
		kill_undecoded(worker, &budget);
	else if (worker->config.message)
		worker->config.message(worker->config.user, message);
	budget_fini(&budget);
}

static void take_end(struct worker *worker, const Phoenix__End *end)
{
	worker->has_end = true;
	error_clear(&worker->verdict);
	if (end->failure)
		rpc_failure_to_error(end->failure, &worker->verdict);
}

static void take_frame(struct worker *worker, const uint8_t *payload, size_t length)
{
	struct budget budget;
	Phoenix__Envelope *envelope;

	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	envelope = (Phoenix__Envelope *)budget_unpack(&budget, &phoenix__envelope__descriptor,
						      payload, length);
	if (envelope && envelope->body_case == PHOENIX__ENVELOPE__BODY_ITEM)
		take_item(worker, &envelope->item);
	else if (envelope && envelope->body_case == PHOENIX__ENVELOPE__BODY_END)
		take_end(worker, envelope->end);
	else
		kill_undecoded(worker, &budget);
	budget_fini(&budget);
}

/* Read once, at most most bytes. Returns how many; 0 when there is nothing (any more). */
static size_t read_pipe(struct worker *worker, size_t most)
{
	/* Empty again when the frames are taken; not on the stack, as in channel_read(). */
	static _Thread_local uint8_t bytes[READ_SIZE];
	const uint8_t *payload;
	ssize_t got;
	size_t length;
	int r = FRAME_READY;

	got = read(worker->pipe_fd, bytes, most < sizeof(bytes) ? most : sizeof(bytes));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0) {
		uv_poll_stop(&worker->pipe);
		return 0;
	}
	frame_reader_feed(&worker->reader, bytes, (size_t)got);
	while (is_heard(worker) && !worker->has_end && r == FRAME_READY) {
		r = frame_reader_next(&worker->reader, &payload, &length);
		if (r == FRAME_READY)
			take_frame(worker, payload, length);
		else if (r < 0)
			kill_garbler(worker);
	}
	return (size_t)got;
}

/* Read what the child left in the pipe; what a grandchild adds meanwhile is not waited for. */
static void drain_pipe(struct worker *worker)
{
	int left = 0;
	size_t got;

	if (ioctl(worker->pipe_fd, FIONREAD, &left) < 0)
		return;
	while (left > 0 && is_heard(worker) && !worker->has_end) {
		got = read_pipe(worker, (size_t)left);
		if (got == 0)
			break;
		left -= (int)got;
	}
}

static void judge_status(struct worker *worker, int status)
{
	if (!WIFSIGNALED(status))
		error_set(&worker->verdict, -ECHILD, NULL, NULL,
			  "the worker exited with status %d without a result", WEXITSTATUS(status));
	else
		error_set(&worker->verdict, -ECHILD, NULL,
			  WTERMSIG(status) == SIGKILL ?
				  "look for the out-of-memory killer in the kernel's log" :
				  NULL,
			  "the worker was ended by signal %d (%s)", WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
}

/* The child is a zombie: take its last words, then its status. */
static void worker_reap(struct worker *worker)
{
	int status = 0;

	drain_pipe(worker);
	if (worker->state == WORKER_ABANDONED)
		return;
	/* Helpers of a child that broke off do not go on alone. Its pid is ours until waitpid(). */
	if (!worker->has_end)
		kill_group(worker->pid);
	while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (worker->state == WORKER_RUNNING && !worker->has_end)
		judge_status(worker, status);
	states_move(&worker_states, &worker->state,
		    worker->state == WORKER_LOST ? WORKER_ABANDONED : WORKER_ENDED);
	worker_release(worker);
}

/* Killed, but stuck in the kernel: the owner goes on, the loop may end, the reaping waits. */
static void worker_lose(struct worker *worker)
{
	states_move(&worker_states, &worker->state, WORKER_LOST);
	uv_poll_stop(&worker->pipe);
	uv_unref((uv_handle_t *)&worker->exit);
	if (!worker->has_end)
		error_prefix(&worker->verdict, "a killed worker is stuck in the kernel");
	tell_owner(worker);
}

static void worker_take_time(struct worker *worker)
{
	if (worker->state == WORKER_KILLED)
		worker_lose(worker);
	else
		worker_kill(worker, -ETIMEDOUT, "not done after %u ms", worker->config.deadline_ms);
}

/* Fork with signals blocked: a handler of the parent must not run in the child. */
static pid_t fork_child(const struct worker_config *config, int fd)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		worker_child_run(config, fd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -errno : pid;
}

static int watch_child(struct worker *worker, uv_loop_t *loop)
{
	int r;

	worker->pid_fd = pidfd_open(worker->pid, 0);
	if (worker->pid_fd < 0)
		return -errno;
	r = uv_poll_init(loop, &worker->exit, worker->pid_fd);
	if (r < 0)
		return r;
	worker->handles++;
	worker->exit.data = worker;
	uv_poll_start(&worker->pipe, UV_READABLE, worker_written);
	uv_poll_start(&worker->exit, UV_READABLE, worker_exited);
	uv_update_time(loop);
	if (worker->config.deadline_ms)
		uv_timer_start(&worker->timer, worker_timed, worker->config.deadline_ms, 0);
	return 0;
}

/* Undo a start whose child cannot be watched. */
static void kill_unwatched(struct worker *worker)
{
	kill_group(worker->pid);
	while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The two ends of the pipe, and the handles that need no child yet. */
static int prepare(struct worker *worker, uv_loop_t *loop, int *ret_write_end)
{
	int ends[2];
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	worker->pipe_fd = ends[0];
	*ret_write_end = ends[1];
	r = uv_poll_init(loop, &worker->pipe, worker->pipe_fd);
	if (r < 0)
		return r;
	uv_timer_init(loop, &worker->timer);
	worker->pipe.data = worker;
	worker->timer.data = worker;
	worker->handles = 2;
	return 0;
}

int worker_start(uv_loop_t *loop, const struct worker_config *config, struct worker **ret_worker)
{
	struct worker *worker = ph_alloc(sizeof(*worker));
	PH_AUTO_CLOSE int write_end = -1;
	int r;

	worker->config = *config;
	worker->config.keep_fds = NULL; /* of the child only */
	worker->pipe_fd = -1;
	worker->pid_fd = -1;
	frame_reader_init(&worker->reader, FRAME_LIMIT);
	r = prepare(worker, loop, &write_end);
	if (r == 0) {
		worker->pid = fork_child(config, write_end);
		r = worker->pid < 0 ? (int)worker->pid : 0;
	}
	if (r == 0) {
		/* Frees the descriptor that watching the child takes. */
		close(take_fd(&write_end));
		r = watch_child(worker, loop);
		if (r < 0)
			kill_unwatched(worker);
	}
	if (r < 0) {
		states_move(&worker_states, &worker->state, WORKER_ABANDONED);
		worker_release(worker);
		if (worker->handles == 0)
			worker_free(worker);
		return r;
	}
	*ret_worker = worker;
	return 0;
}

void worker_cancel(struct worker *worker)
{
	worker_kill(worker, -ECANCELED, "cancelled");
}

void worker_abandon(struct worker *worker)
{
	states_move(&worker_states, &worker->state, WORKER_ABANDONED);
	worker_release(worker);
}

static void worker_written(uv_poll_t *pipe, int status, int events)
{
	read_pipe(pipe->data, READ_SIZE);
}

static void worker_exited(uv_poll_t *exit, int status, int events)
{
	worker_reap(exit->data);
}

static void worker_timed(uv_timer_t *timer)
{
	worker_take_time(timer->data);
}

static void worker_handle_closed(uv_handle_t *handle)
{
	struct worker *worker = handle->data;

	if (--worker->handles == 0)
		worker_free(worker);
}
