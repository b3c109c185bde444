/*
 * One walk over the container's groups serves all: it counts, checks labels and finds nested
 * containers. A process below init's pid namespace is one of a nested container.
 */
#include "controller/host/verbs/observe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/check.h"
#include "controller/host/lxc/cgroups.h"
#include "controller/host/lxc/instance.h"
#include "controller/host/lxc/process.h"

struct walk {
	struct observation *observation;
	struct confine_check check;
	unsigned int init_levels;
	bool is_checked; /* against a profile */
};

static void note_nested(struct observation *observation, pid_t pid, int process,
			const struct process_status *status)
{
	struct confine_label label;
	char text[CONFINE_LABEL_SIZE] = "";
	struct observe_nested *nested;

	if (observation->nested_count == OBSERVE_NESTED_MAXIMUM)
		return;
	nested = &observation->nested[observation->nested_count++];
	snprintf(nested->process, sizeof(nested->process), "%d %s", pid, status->name);
	if (confine_label_read(process, &label) == 0)
		confine_label_format(&label, text, sizeof(text));
	text_copy(nested->label, sizeof(nested->label), text);
}

static int visit(void *user, pid_t pid)
{
	struct walk *walk = user;
	PH_AUTO_CLOSE int process = process_open(pid);
	struct process_status status;

	if (process < 0 || process_read_status(process, &status) < 0)
		return 0; /* gone meanwhile */
	walk->observation->processes++;
	if (walk->is_checked)
		confine_check_visit(&walk->check, pid);
	if (status.levels > walk->init_levels)
		note_nested(walk->observation, pid, process, &status);
	return 0;
}

static int look_at_processes(struct observation *observation, unsigned int init_levels,
			     struct ph_error *error)
{
	struct walk walk = { observation, CONFINE_CHECK_INIT, init_levels, false };
	int code = 0;

	if (observation->placement.profile[0]) {
		code = confine_check_begin(&walk.check, observation->placement.profile, error);
		walk.is_checked = true;
	}
	if (code == 0)
		cgroups_visit(observation->placement.name, visit, &walk);
	observation->off_label = walk.check.offenders;
	text_copy(observation->first_offender, sizeof(observation->first_offender),
		  walk.check.first_text);
	confine_check_fini(&walk.check);
	return code;
}

static int look_at_init(struct observation *observation, int init, struct ph_error *error)
{
	struct process_status status;
	struct confine_label label;

	if (process_read_status(init, &status) < 0 ||
	    process_read_start(init, &observation->init_start_ticks) < 0)
		return 0; /* ended meanwhile: it does not run */
	observation->running = true;
	if (confine_label_read(init, &label) == 0)
		confine_label_format(&label, observation->label, sizeof(observation->label));
	observation->memory_bytes = cgroups_memory(observation->placement.name);
	return look_at_processes(observation, status.levels, error);
}

struct search {
	unsigned int levels; /* of a container's pid namespace */
	pid_t init;
};

static int look_for_init(void *user, pid_t pid)
{
	struct search *search = user;
	PH_AUTO_CLOSE int process = process_open(pid);
	struct process_status status;

	if (process < 0 || process_read_status(process, &status) < 0 ||
	    status.levels != search->levels || status.inner != 1)
		return 0;
	search->init = pid;
	return 1;
}

/*
 * The first process of the pid namespace right below ours, among those in the container's groups: a nested
 * container's is one namespace deeper. Where its monitor has gone nothing can be asked of liblxc any more, and it counts
 * as stopped. liblxc knows all that as well, but reads the container's whole configuration first, which takes longer
 * than all else that is looked at in a container.
 */
static pid_t find_init(const struct config *config, const char *name)
{
	PH_AUTO_CLOSE int self = process_open(getpid());
	struct process_status status;
	struct search search = { 0 };

	if (self < 0 || process_read_status(self, &status) < 0)
		return instance_init(config, name);
	search.levels = status.levels + 1;
	cgroups_visit(name, look_for_init, &search);
	/* What does not run where it should is rare, and liblxc's to judge. */
	return search.init && cgroups_monitor(name) ? search.init : instance_init(config, name);
}

pid_t observe_init(const struct config *config, const struct placement *placement)
{
	pid_t init = find_init(config, placement->name);
	PH_AUTO_CLOSE int process = init > 0 ? process_open(init) : -ESRCH;

	if (process < 0 || !process_has_map(process, placement->id_base, placement->id_count))
		return 0;
	return init;
}

int observe(const struct config *config, const char *name, struct profile_states *states,
	    struct observation *ret_observation, struct ph_error *error)
{
	struct profile_states own = { .config = config };
	PH_AUTO_CLOSE int process = -1;
	int code;

	*ret_observation = (struct observation){ 0 };
	text_copy(ret_observation->placement.name, sizeof(ret_observation->placement.name), name);
	code = placement_load(config, name, &ret_observation->placement, error);
	if (code == -ENOENT)
		return 0;
	if (code < 0)
		return code;
	ret_observation->exists = true;
	clone_find(config, name, &ret_observation->clone, NULL); /* an adopted one has none */
	ret_observation->init = observe_init(config, &ret_observation->placement);
	if (ret_observation->init && ret_observation->placement.profile[0])
		ret_observation->currency = profile_states_get(
			states ? states : &own, ret_observation->placement.profile);
	process = ret_observation->init ? process_open(ret_observation->init) : -ESRCH;
	return process < 0 ? 0 : look_at_init(ret_observation, process, error);
}

const char *observe_profile_state(const struct observation *observation)
{
	if (!observation->init || !observation->placement.profile[0])
		return "";
	return confine_currency_name(observation->currency);
}

const char *observe_clone_method(const struct clone_root *root)
{
	return root->image[0] ? clone_method_name(root->method) : "";
}

void observe_send(const struct observation *observation, bool changed,
		  struct worker_output *output)
{
	const struct placement *placement = &observation->placement;
	const struct clone *clone = &observation->clone;
	Phoenix__ContainerObservation reply = PHOENIX__CONTAINER_OBSERVATION__INIT;
	Phoenix__IdRange ids = PHOENIX__ID_RANGE__INIT;
	Phoenix__Pair pairs[OBSERVE_NESTED_MAXIMUM], *nested[OBSERVE_NESTED_MAXIMUM];
	char address[16] = "";

	for (size_t i = 0; i < observation->nested_count; i++) {
		nested[i] = &pairs[i];
		phoenix__pair__init(nested[i]);
		nested[i]->key = (char *)observation->nested[i].process;
		nested[i]->value = (char *)observation->nested[i].label;
	}
	ids.first = placement->id_base;
	ids.count = placement->id_count;
	reply.name = (char *)placement->name;
	reply.exists = observation->exists;
	reply.running = observation->running;
	reply.init_pid = (uint32_t)observation->init;
	reply.init_start_ticks = observation->init_start_ticks;
	reply.label = (char *)observation->label;
	reply.processes = observation->processes;
	reply.processes_off_label = observation->off_label;
	reply.first_offender = (char *)observation->first_offender;
	reply.expected_profile = (char *)placement->profile;
	reply.changed = changed;
	reply.ids = observation->exists ? &ids : NULL;
	reply.nested = nested;
	reply.n_nested = observation->nested_count;
	reply.clone_method = (char *)observe_clone_method(&clone->current);
	reply.clone_reason = (char *)clone->current.reason;
	reply.image = (char *)clone->current.image;
	reply.image_digest = (char *)clone->current.digest;
	reply.kept_image = (char *)clone->kept.image;
	reply.kept_digest = (char *)clone->kept.digest;
	reply.kept_clone_method = (char *)observe_clone_method(&clone->kept);
	reply.prepared_image = (char *)(clone->prepared.complete ? clone->prepared.image : "");
	reply.address = observation->exists ? ipv4_to_text(placement->address, address) : address;
	reply.slot = placement->slot;
	reply.memory_bytes = observation->memory_bytes;
	reply.profile_state = (char *)observe_profile_state(observation);
	worker_send(output, &reply.base);
}

int observe_reply(const struct config *config, const char *name, bool changed,
		  struct worker_output *output, struct ph_error *error)
{
	struct observation observation;
	int code = observe(config, name, NULL, &observation, error);

	if (code == 0)
		observe_send(&observation, changed, output);
	return code;
}
