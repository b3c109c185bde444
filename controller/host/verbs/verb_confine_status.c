/*
 * How everything on this host is held: our profiles as the kernel has them, and every container that
 * runs here, ours or not, with its label and since when. Looks only; a name that a container may have
 * chosen is shown filtered and decides nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/host/confine/label.h"
#include "controller/host/confine/render.h"
#include "controller/host/confine/stacking.h"
#include "controller/host/lxc/census.h"
#include "controller/host/lxc/process.h"
#include "controller/host/tree/paths.h"
#include "controller/host/verbs/observe.h"
#include "controller/host/verbs/profile_state.h"
#include "controller/host/verbs/verbs.h"

#define FOREIGN_REMEDY                                                                            \
	"set lxc.apparmor.profile for it and restart it, or let Phoenix make it: a label comes with " \
	"the start only"
#define OURS_REMEDY "phoenixctl apply restarts it under its profile"

struct report {
	struct profile_states states;
	Phoenix__ConfineStatusReply reply;
	int proc; /* owned: the host's procfs */
};

static void report_fini(struct report *report)
{
	for (size_t i = 0; i < report->reply.n_profiles; i++)
		message_free(report->reply.profiles[i]);
	for (size_t i = 0; i < report->reply.n_containers; i++)
		message_free(report->reply.containers[i]);
	free(report->reply.profiles);
	free(report->reply.containers);
}

/* ---- profiles ---- */

static Phoenix__ConfineProfile *find_profile(struct report *report, const char *name)
{
	Phoenix__ConfineStatusReply *reply = &report->reply;
	Phoenix__ConfineProfile *profile;

	for (size_t i = 0; i < reply->n_profiles; i++)
		if (text_equal(reply->profiles[i]->name, name))
			return reply->profiles[i];
	profile = ph_alloc(sizeof(*profile));
	phoenix__confine_profile__init(profile);
	message_set_text(&profile->name, name);
	reply->profiles = ph_realloc(reply->profiles,
				     (reply->n_profiles + 1) * sizeof(*reply->profiles));
	reply->profiles[reply->n_profiles++] = profile;
	return profile;
}

static void fill_profile(struct report *report, Phoenix__ConfineProfile *profile)
{
	static const char *const modes[] = { [CONFINE_POLICY_ABSENT] = "absent",
					     [CONFINE_POLICY_ENFORCED] = "enforce",
					     [CONFINE_POLICY_LAX] = "not enforced" };
	enum confine_currency currency = profile_states_get(&report->states, profile->name);
	int state = confine_policy_state(profile->name, NULL);
	char directory[PATHS_SIZE], hash[65];
	struct confine_kept kept = { 0 };

	if (profile_states_directory(report->states.config, directory, sizeof(directory), NULL) ==
	    0)
		confine_kept_read(directory, profile->name, &kept);
	confine_policy_hash(profile->name, hash);
	message_set_text(&profile->mode, state < 0 ? "unknown" : modes[state]);
	message_set_text(&profile->hash, kept.text_hash);
	message_set_text(&profile->kernel_hash, hash);
	message_set_text(&profile->state, confine_currency_name(currency));
	message_set_text(&profile->reason, confine_currency_reason(currency));
	message_set_text(&profile->remedy, confine_currency_remedy(currency));
}

static void add_user(Phoenix__ConfineProfile *profile, const char *container)
{
	profile->containers = ph_realloc(profile->containers, (profile->n_containers + 1) *
								      sizeof(*profile->containers));
	profile->containers[profile->n_containers++] = ph_strdup(container);
}

/* ---- containers ---- */

static Phoenix__ConfineContainer *add_container(struct report *report, const char *name,
						const char *kind)
{
	Phoenix__ConfineStatusReply *reply = &report->reply;
	Phoenix__ConfineContainer *container = ph_alloc(sizeof(*container));

	phoenix__confine_container__init(container);
	message_set_text(&container->name, name);
	message_set_text(&container->kind, kind);
	reply->containers = ph_realloc(reply->containers,
				       (reply->n_containers + 1) * sizeof(*reply->containers));
	reply->containers[reply->n_containers++] = container;
	return container;
}

static void judge_ours(Phoenix__ConfineContainer *container, const struct observation *seen)
{
	message_set_text(&container->expected, seen->placement.profile);
	container->processes = seen->processes;
	container->processes_off_label = seen->off_label;
	if (text_empty(seen->placement.profile)) {
		container->accepted = true;
		message_set_text(&container->reason, "best effort: the fleet file allows it");
		message_set_text(&container->remedy,
				 "use a host that enforces AppArmor, and confinement: required");
		return;
	}
	container->confined = seen->processes && !seen->off_label;
	if (container->confined)
		return;
	message_set_text(&container->reason, seen->first_offender);
	message_set_text(&container->remedy, OURS_REMEDY);
}

static void judge_foreign(Phoenix__ConfineContainer *container, const struct confine_label *label)
{
	container->processes = 1;
	container->confined = label->mode == CONFINE_MODE_ENFORCE || label->mode == CONFINE_MODE_KILL;
	if (container->confined)
		return;
	container->processes_off_label = 1;
	message_set_text(&container->reason, label->mode == CONFINE_MODE_UNCONFINED ?
						     "it runs unconfined" :
						     "its profile is not in enforce mode");
	message_set_text(&container->remedy, FOREIGN_REMEDY);
}

static void look_at(struct report *report, const struct census_entry *entry)
{
	Phoenix__ConfineContainer *container = add_container(report, entry->name, entry->kind);
	struct confine_label label = { .mode = CONFINE_MODE_UNCONFINED };
	char text[CONFINE_LABEL_SIZE + 16] = "";
	struct observation *seen;

	container->init_pid = (uint32_t)entry->init;
	container->since_ms = entry->since_ms;
	container->own_ids = entry->own_ids;
	if (confine_label_read_pid(report->proc, entry->init, &label) == 0)
		confine_label_format(&label, text, sizeof(text));
	message_set_text(&container->label, text);

	seen = ph_alloc(sizeof(*seen));
	/* Of the same name as one of ours is not ours: the init has to be the one we started. */
	if (text_equal(entry->kind, "phoenix") && name_is_valid(entry->name) &&
	    observe(report->states.config, entry->name, &report->states, seen, NULL) == 0 &&
	    seen->running && seen->init == entry->init) {
		judge_ours(container, seen);
		if (seen->placement.profile[0])
			add_user(find_profile(report, seen->placement.profile), entry->name);
	} else {
		judge_foreign(container, &label);
	}
	free(seen);
}

static int look_at_all(struct report *report, struct ph_error *error)
{
	struct census census;
	int code = census_take(&census, error);

	if (code < 0)
		return code;
	for (size_t i = 0; i < census.count; i++)
		look_at(report, &census.entries[i]);
	report->reply.is_cut = census.is_cut;
	census_fini(&census);
	return 0;
}

/* Profiles that containers of ours are to run under, whether these run or not. */
static void look_at_placements(struct report *report)
{
	PH_AUTO_FREE char(*names)[64] = NULL;
	struct placement placement;
	size_t count = 0;

	placement_names(report->states.config, &names, &count, NULL);
	for (size_t i = 0; i < count; i++)
		if (placement_load(report->states.config, names[i], &placement, NULL) == 0 &&
		    placement.profile[0])
			find_profile(report, placement.profile);
	if (confine_policy_state(CONFINE_PROFILE, NULL) > CONFINE_POLICY_ABSENT)
		find_profile(report, CONFINE_PROFILE);
}

/* ---- the host ---- */

int verb_confine_status(const struct verb_host *host, const ProtobufCMessage *message,
			struct ph_error *error)
{
	__attribute__((cleanup(report_fini))) struct report report = {
		.states = { .config = host->config }
	};
	Phoenix__ConfineStatusReply *reply = &report.reply;
	PH_AUTO_CLOSE int proc = confine_proc_open(error);
	const struct confine_facts *facts;
	struct stacking_kernel kernel;
	struct ph_error refusal = { 0 };
	const char *features[CONFINE_FEATURES_MAXIMUM];
	char release[160], version[160];
	int code;

	if (proc < 0)
		return proc;
	phoenix__confine_status_reply__init(reply);
	report.proc = proc;
	code = look_at_all(&report, error);
	if (code < 0)
		return code;
	look_at_placements(&report);
	for (size_t i = 0; i < reply->n_profiles; i++)
		fill_profile(&report, reply->profiles[i]);
	facts = profile_states_facts(&report.states);
	stacking_detect(release, version, sizeof(release), &kernel);
	reply->kernel = release;
	reply->apparmor = facts->obstacle == CONFINE_ABLE;
	reply->reason = (char *)confine_obstacle_reason(facts->obstacle);
	reply->remedy = (char *)confine_obstacle_remedy(facts->obstacle);
	reply->parser_version = (char *)facts->parser_version;
	reply->features = (char **)features;
	reply->n_features = confine_feature_names(facts->features, features);
	reply->stacked = facts->obstacle == CONFINE_ABLE && stacking_judge(&kernel, &refusal) == 0;
	reply->stacked_reason = facts->obstacle == CONFINE_ABLE ? refusal.why : reply->reason;
	reply->stacked_remedy = facts->obstacle == CONFINE_ABLE ? refusal.remedy : reply->remedy;
	worker_send(host->output, &reply->base);
	return 0;
}
