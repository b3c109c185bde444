/*
 * Before a container is touched: the event rollout.drain, for whoever follows events and sends it work;
 * the hook, a program of the administrator's own that runs as phoenixd's user with the container's
 * name and address; and the time that the strategy gives both to take effect.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/str.h"
#include "common/worker.h"
#include "controller/rollout/rollouts_private.h"

struct drain {
	struct hand *hand;     /* borrowed */
	struct timer *timer;   /* owned */
	struct worker *worker; /* while the hook runs */
};

/* What the hook's process gets; a copy by fork. */
struct hook {
	char program[400], name[64], address[16], rollout[64];
};

/* Runs in a child: the hook becomes it. */
static int run_hook(struct worker_output *output, void *data, struct ph_error *error)
{
	const struct hook *hook = data;
	char *arguments[] = { (char *)hook->program, (char *)"drain", (char *)hook->name,
			      (char *)hook->address, (char *)hook->rollout, NULL };
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *environment[] = { path, NULL };
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		execve(hook->program, arguments, environment);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_set(error, -ENOEXEC, hook->program,
				 "put an executable program there, or leave drain_hook out",
				 "the drain hook could not be run");
	return error_set(error, -EBADE, hook->program, "run it by hand: it gets drain, the "
			 "container's name, its address and the rollout",
			 "the drain hook has failed: %s %d",
			 WIFSIGNALED(status) ? "signal" : "exit status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void waited(void *user)
{
	hand_ended(((struct drain *)user)->hand, NULL);
}

static void wait_now(struct drain *drain)
{
	timer_start(drain->timer, drain->hand->rollout->record->strategy->drain_ms, 0);
}

static void hook_finished(void *user, const struct ph_error *error)
{
	struct drain *drain = user;

	drain->worker = NULL;
	if (error)
		hand_ended(drain->hand, error);
	else
		wait_now(drain);
}

static int start_hook(struct drain *drain, const struct container *container)
{
	const struct rollout *rollout = drain->hand->rollout;
	struct hook hook;

	snprintf(hook.program, sizeof(hook.program), "%.255s/%.63s",
		 container->registry->config->hooks_dir, rollout->record->strategy->drain_hook);
	text_copy(hook.name, sizeof(hook.name), container_name(container));
	text_copy(hook.address, sizeof(hook.address), container->record->address);
	text_copy(hook.rollout, sizeof(hook.rollout), rollout->record->id);
	const struct worker_config config = {
		.run = run_hook,
		.data = &hook,
		.deadline_ms = (uint32_t)rollout->record->strategy->step_deadline_ms,
		.finished = hook_finished,
		.user = drain,
	};

	return worker_start(container->registry->loop, &config, &drain->worker);
}

void hand_drain(struct hand *hand)
{
	struct registry *registry = hand->rollout->rollouts->registry;
	const Phoenix__RolloutRecord *record = hand->rollout->record;
	struct container *container = registry_find(registry, record->items[hand->item]->name);
	struct ph_error error;
	struct drain *drain;

	if (!container) {
		error_set(&error, -ENOENT, record->items[hand->item]->name, NULL,
			  "the container is gone");
		hand_ended(hand, &error);
		return;
	}
	journal_write(registry->journal, PHOENIX__EVENT__SEVERITY__INFO, container_name(container),
		      record->id, "rollout.drain", "Drain", "%s is going to be changed in %llu ms",
		      container->record->address, (unsigned long long)record->strategy->drain_ms);
	journal_flush(registry->journal);
	drain = hand->drain = ph_alloc(sizeof(*drain));
	drain->hand = hand;
	drain->timer = timer_new(registry->loop, waited, drain);
	if (text_empty(record->strategy->drain_hook)) {
		wait_now(drain);
	} else if (start_hook(drain, container) < 0) {
		error_set(&error, -EAGAIN, record->strategy->drain_hook, NULL,
			  "the drain hook could not be started");
		hand_ended(hand, &error);
	}
}

void drain_free(struct drain *drain)
{
	if (!drain)
		return;
	if (drain->worker)
		worker_abandon(drain->worker);
	timer_close(drain->timer);
	free(drain);
}
