/*
 * A fork inherits everything: signal handlers that write into the parent's loop, its sockets, its
 * terminal. All of that goes before the job runs, in an order that leaves no gap: signals stay
 * blocked until their handlers are gone, descriptors are closed before new ones are opened.
 */
#include "common/io.h"
#include "common/worker_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/rpc.h"

static void send_envelope(struct worker_output *output, const Phoenix__Envelope *envelope)
{
	size_t length = phoenix__envelope__get_packed_size(envelope);
	PH_AUTO_FREE uint8_t *frame = NULL;

	if (length > FRAME_LIMIT) {
		output->oversized = true;
		return;
	}
	frame = ph_alloc(FRAME_HEADER_SIZE + length);
	frame_write_header(frame, (uint32_t)length);
	phoenix__envelope__pack(envelope, frame + FRAME_HEADER_SIZE);
	/* When the parent has gone, the work goes on without a listener. */
	io_write(output->fd, frame, FRAME_HEADER_SIZE + length);
}

void worker_send(struct worker_output *output, const ProtobufCMessage *message)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	PH_AUTO_FREE uint8_t *bytes = NULL;
	size_t length;

	bytes = message_pack(message, &length);
	envelope.body_case = PHOENIX__ENVELOPE__BODY_ITEM;
	envelope.item.data = bytes;
	envelope.item.len = length;
	send_envelope(output, &envelope);
}

static void send_end(struct worker_output *output, int result, struct ph_error *error)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;
	Phoenix__End end = PHOENIX__END__INIT;

	if (result >= 0 && output->oversized)
		result = error_set(error, -EMSGSIZE, NULL, NULL,
				   "a message is larger than %d bytes and was not sent",
				   FRAME_LIMIT);
	if (result < 0 && !error_is_set(error))
		error_set(error, result, NULL, NULL, "%s", strerror(-result));
	if (result < 0) {
		rpc_failure_from_error(&failure, error);
		end.failure = &failure;
	}
	envelope.body_case = PHOENIX__ENVELOPE__BODY_END;
	envelope.end = &end;
	send_envelope(output, &envelope);
}

/* SIGPIPE stays ignored: a parent that has gone is not an error. */
static void reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int compare_fds(const void *left, const void *right)
{
	return *(const int *)left - *(const int *)right;
}

/* Close everything but stdio, the pipe and what the job was promised: the gaps between them. */
static void close_others(const struct worker_config *config, int fd)
{
	PH_AUTO_FREE int *kept = ph_alloc_array(config->keep_count + 1, sizeof(*kept));
	unsigned int next = STDERR_FILENO + 1;

	kept[0] = fd;
	for (size_t i = 0; i < config->keep_count; i++)
		kept[i + 1] = config->keep_fds[i];
	qsort(kept, config->keep_count + 1, sizeof(*kept), compare_fds);
	for (size_t i = 0; i <= config->keep_count; i++) {
		if (kept[i] < (int)next)
			continue;
		if (kept[i] > (int)next)
			close_range(next, (unsigned int)kept[i] - 1, 0);
		next = (unsigned int)kept[i] + 1;
	}
	close_range(next, ~0U, 0);
}

/*
 * libuv keeps the numbers of a pipe for signals and closes them in every fork of a fork (its
 * pthread_atfork handler): by then they would be descriptors of the job, in the child that it makes
 * to run a program. The shutdown makes it forget them. It would wait for threads of libuv's pool,
 * which a fork does not have: a process that starts workers must not use that pool.
 */
static void forget_libuv(void)
{
	uv_library_shutdown();
}

static void replace_stdin(void)
{
	PH_AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null >= 0)
		dup2(null, STDIN_FILENO);
}

_Noreturn void worker_child_run(const struct worker_config *config, int fd)
{
	struct worker_output output = { .fd = fd };
	struct ph_error error = { 0 };
	int result;

	forget_libuv();
	setsid();
	prctl(PR_SET_NAME, "phoenix-worker");
	reset_signals();
	close_others(config, fd);
	replace_stdin();
	result = config->run(&output, config->data, &error);
	send_end(&output, result, &error);
	_exit(result < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
