/*
 * The list of rollouts and what is asked of it. One timer keeps the lease and waits until the registry
 * has joined its records with what really runs; only then is anything driven.
 */
#include "controller/rollout/rollouts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/fleet/selector.h"
#include "controller/rollout/changes.h"
#include "controller/rollout/confining.h"
#include "controller/rollout/rebuilding.h"
#include "controller/rollout/rollouts_private.h"

#define ID_SIZE 32
#define WAIT_MS 250 /* for adoption, or for somebody else's lease to run out */

/* No jump of the wall clock moves a deadline, nor does one between two processes of one boot. */
uint64_t rollouts_now(const struct rollouts *rollouts)
{
	return clock_monotonic_ms() + rollouts->offset_ms;
}

bool rollouts_may_act(const struct rollouts *rollouts)
{
	return rollouts->registry->is_adopted && lease_is_held(&rollouts->lease, clock_monotonic_ms());
}

/* ---- one rollout ---- */

static void timer_fired(void *user)
{
	rollout_drive(user);
}

static void make_hands(struct rollout *rollout)
{
	rollout->hands = ph_alloc_array(rollout->record->n_items, sizeof(*rollout->hands));
	for (size_t i = 0; i < rollout->record->n_items; i++) {
		rollout->hands[i].rollout = rollout;
		rollout->hands[i].item = i;
	}
}

/* Takes the record over. */
static struct rollout *rollout_new(struct rollouts *rollouts, Phoenix__RolloutRecord *record,
				   uint64_t revision)
{
	struct rollout *rollout = ph_alloc(sizeof(*rollout));

	rollout->rollouts = rollouts;
	rollout->record = record;
	rollout->revision = revision;
	rollout->timer = timer_new(rollouts->registry->loop, timer_fired, rollout);
	make_hands(rollout);
	rollout->next = rollouts->list;
	rollouts->list = rollout;
	return rollout;
}

static void end_watchers(struct rollout *rollout)
{
	while (rollout->watchers) {
		struct rollout_watcher *watcher = rollout->watchers;

		rollout->watchers = watcher->next;
		watcher->rollout = NULL;
		watcher->ended(watcher->user);
	}
}

static void rollout_free(struct rollout *rollout)
{
	rollout_let_go(rollout);
	end_watchers(rollout);
	timer_close(rollout->timer);
	message_free(rollout->record);
	free(rollout->hands);
	free(rollout);
}

static void found_again(void *user, Phoenix__RolloutRecord *record, uint64_t revision)
{
	struct rollout *rollout = user;

	rollout_let_go(rollout);
	message_free(rollout->record);
	free(rollout->hands);
	rollout->record = record;
	rollout->revision = revision;
	make_hands(rollout);
}

void rollout_reload(struct rollout *rollout)
{
	struct ph_error error;

	rollout_let_go(rollout);
	if (records_load(rollout->rollouts->registry->store, rollout->record->id, found_again, rollout,
			 &error) < 0)
		log_error(LOG_LEVEL_ERROR, "rollout", NULL, &error);
	/* Joined by the next tick, which looks at the lease first. */
	rollout->rollouts->lease.expires_ms = 0;
}

/* ---- telling ---- */

static void fill_item(const struct rollout *rollout, size_t index,
		      Phoenix__RolloutItemStatus *status, char id[64])
{
	const Phoenix__RolloutItem *item = rollout->record->items[index];

	phoenix__rollout_item_status__init(status);
	status->name = item->name;
	status->wave = item->wave;
	status->state = item->state;
	status->since_ms = item->since_ms;
	status->failure = item->failure;
	status->n_changes = item->n_changes;
	status->changes = item->changes;
	id[0] = '\0';
	if (item->sequence)
		rollout_operation_id(rollout->record, item->sequence, id);
	status->operation = id;
}

static Phoenix__RolloutRecord strip(const Phoenix__RolloutRecord *record)
{
	Phoenix__RolloutRecord stripped = *record;

	stripped.n_items = 0;
	stripped.items = NULL;
	return stripped;
}

Phoenix__RolloutStatus *rollout_status(const struct rollout *rollout, bool with_items)
{
	Phoenix__RolloutRecord stripped = strip(rollout->record);
	size_t count = with_items ? rollout->record->n_items : 0;
	Phoenix__RolloutItemStatus *items = ph_alloc_array(count, sizeof(*items));
	Phoenix__RolloutItemStatus **pointers = ph_alloc_array(count, sizeof(*pointers));
	char (*ids)[64] = ph_alloc_array(count, sizeof(*ids));
	Phoenix__RolloutStatus status = PHOENIX__ROLLOUT_STATUS__INIT, *copy;

	for (size_t i = 0; i < count; i++) {
		fill_item(rollout, i, &items[i], ids[i]);
		pointers[i] = &items[i];
	}
	status.rollout = &stripped;
	status.n_items = count;
	status.items = pointers;
	copy = MESSAGE_COPY(&status);
	free(ids);
	free(pointers);
	free(items);
	return copy;
}

static void write_event(const struct rollout *rollout, size_t item)
{
	const Phoenix__RolloutRecord *record = rollout->record;
	const Phoenix__RolloutItem *changed = item == ROLLOUT_NO_ITEM ? NULL : record->items[item];
	bool is_bad = changed ? changed->state == PHOENIX__ROLLOUT_ITEM__STATE__FAILED ||
					changed->state == PHOENIX__ROLLOUT_ITEM__STATE__REFUSED ||
					changed->state == PHOENIX__ROLLOUT_ITEM__STATE__REVERT_FAILED :
				record->state == PHOENIX__ROLLOUT_RECORD__STATE__HALTING ||
					record->state == PHOENIX__ROLLOUT_RECORD__STATE__REVERTING ||
					record->state == PHOENIX__ROLLOUT_RECORD__STATE__REVERT_FAILED;

	journal_write(rollout->rollouts->registry->journal,
		      is_bad ? PHOENIX__EVENT__SEVERITY__WARNING : PHOENIX__EVENT__SEVERITY__INFO,
		      changed ? changed->name : NULL, record->id,
		      changed ? "rollout.container" : "rollout.state", "Moved", "%s%s%s",
		      changed ? states_name(&rollout_item_states, changed->state) :
				states_name(&rollout_states, record->state),
		      is_bad ? ": " : "",
		      !is_bad ? "" : changed && changed->failure ? changed->failure->why : record->note);
}

void rollout_tell(struct rollout *rollout, size_t item)
{
	Phoenix__RolloutRecord stripped = strip(rollout->record);
	Phoenix__RolloutStatus status = PHOENIX__ROLLOUT_STATUS__INIT;
	Phoenix__RolloutItemStatus part, *parts[] = { &part };
	char id[64];

	write_event(rollout, item);
	status.rollout = &stripped;
	if (item != ROLLOUT_NO_ITEM) {
		fill_item(rollout, item, &part, id);
		status.n_items = 1;
		status.items = parts;
	}
	for (struct rollout_watcher *watcher = rollout->watchers, *next; watcher; watcher = next) {
		next = watcher->next;
		watcher->changed(watcher->user, &status);
	}
	if (rollout_is_over(rollout->record))
		end_watchers(rollout);
}

void rollout_watch(struct rollout *rollout, struct rollout_watcher *watcher)
{
	watcher->rollout = rollout;
	watcher->next = rollout->watchers;
	rollout->watchers = watcher;
}

void rollout_unwatch(struct rollout_watcher *watcher)
{
	struct rollout_watcher **place;

	if (!watcher->rollout)
		return;
	place = &watcher->rollout->watchers;
	while (*place && *place != watcher)
		place = &(*place)->next;
	if (*place)
		*place = watcher->next;
	watcher->rollout = NULL;
}

/* ---- the lease ---- */

static void read_all(struct rollouts *rollouts);

static void join_all(struct rollouts *rollouts)
{
	for (struct rollout *rollout = rollouts->list; rollout; rollout = rollout->next)
		rollout_join(rollout);
}

static void let_go_of_all(struct rollouts *rollouts)
{
	for (struct rollout *rollout = rollouts->list; rollout; rollout = rollout->next)
		rollout_let_go(rollout);
}

static bool has_work(const struct rollouts *rollouts)
{
	for (struct rollout *rollout = rollouts->list; rollout; rollout = rollout->next)
		if (!rollout_is_over(rollout->record))
			return true;
	return false;
}

/* Take or renew the lease, and go on with what is stored when it is ours anew. */
static void keep_lease(struct rollouts *rollouts)
{
	bool had = lease_is_held(&rollouts->lease, clock_monotonic_ms());
	const struct lease_now now = { clock_wall_ms(), clock_monotonic_ms(), rollouts_now(rollouts) };
	uint64_t token = rollouts->lease.token;
	struct ph_error error;
	int r;

	r = lease_take(&rollouts->lease, rollouts->registry->store, &now, &error);
	if (r < 0)
		log_error(LOG_LEVEL_ERROR, "rollout", NULL, &error);
	if (r != 0) {
		let_go_of_all(rollouts);
		return;
	}
	if (had)
		return;
	log_write(LOG_LEVEL_INFO, "rollout", NULL, "the lease is ours, token %" PRIu64,
		  rollouts->lease.token);
	if (token && token != rollouts->lease.token)
		read_all(rollouts); /* somebody else has been at it meanwhile */
	join_all(rollouts);
}

/* Without a rollout in progress nobody needs the lease: nothing is written, and nobody wakes up. */
static void tick(void *user)
{
	struct rollouts *rollouts = user;

	if (rollouts->registry->is_adopted && !has_work(rollouts))
		return;
	if (rollouts->registry->is_adopted)
		keep_lease(rollouts);
	timer_start(rollouts->timer, rollouts_may_act(rollouts) ? LEASE_RENEW_MS : WAIT_MS, 0);
}

/* Asked for something, it does not wait for its timer. */
static bool may_act_now(struct rollouts *rollouts)
{
	if (rollouts->registry->is_adopted && !rollouts_may_act(rollouts))
		keep_lease(rollouts);
	timer_start(rollouts->timer, LEASE_RENEW_MS, 0);
	return rollouts_may_act(rollouts);
}

/* ---- the list ---- */

static void found(void *user, Phoenix__RolloutRecord *record, uint64_t revision)
{
	struct rollouts *rollouts = user;
	struct rollout *known = rollouts_find(rollouts, record->id);

	if (known)
		found_again(known, record, revision);
	else
		rollout_new(rollouts, record, revision);
}

static void read_all(struct rollouts *rollouts)
{
	struct ph_error error;

	if (records_load(rollouts->registry->store, "", found, rollouts, &error) < 0)
		log_error(LOG_LEVEL_ERROR, "rollout", NULL, &error);
}

int rollouts_open(struct registry *registry, struct rollouts **ret_rollouts,
		  struct ph_error *error)
{
	const struct lease_now now = { .wall_ms = clock_wall_ms(), .monotonic_ms = clock_monotonic_ms() };
	struct rollouts *rollouts = ph_alloc(sizeof(*rollouts));
	int r;

	rollouts->registry = registry;
	lease_identify(&rollouts->lease);
	rollouts->offset_ms = lease_read_clock(&rollouts->lease, registry->store, &now) - now.monotonic_ms;
	r = records_load(registry->store, "", found, rollouts, error);
	if (r < 0) {
		rollouts_close(rollouts);
		return r;
	}
	rollouts->timer = timer_new(registry->loop, tick, rollouts);
	timer_start(rollouts->timer, 0, 0);
	registry->rollouts = rollouts;
	*ret_rollouts = rollouts;
	return 0;
}

void rollouts_close(struct rollouts *rollouts)
{
	if (!rollouts)
		return;
	while (rollouts->list) {
		struct rollout *rollout = rollouts->list;

		rollouts->list = rollout->next;
		rollout_free(rollout);
	}
	timer_close(rollouts->timer);
	rollouts->registry->rollouts = NULL;
	free(rollouts);
}

struct rollout *rollouts_find(struct rollouts *rollouts, const char *id)
{
	for (struct rollout *rollout = rollouts->list; rollout; rollout = rollout->next)
		if (text_empty(id) || text_equal(rollout->record->id, id))
			return rollout;
	return NULL;
}

struct rollout *rollouts_next(struct rollouts *rollouts, const struct rollout *rollout)
{
	return rollout ? rollout->next : rollouts->list;
}

const char *rollouts_holder(const struct rollouts *rollouts, const char *container)
{
	for (struct rollout *rollout = rollouts->list; rollout; rollout = rollout->next) {
		if (rollout_is_over(rollout->record))
			continue;
		for (size_t i = 0; i < rollout->record->n_items; i++)
			if (text_equal(rollout->record->items[i]->name, container))
				return rollout->record->id;
	}
	return NULL;
}

/* Those that are over and older than the newest ROLLOUTS_KEPT. */
static void forget_old(struct rollouts *rollouts)
{
	struct rollout **place = &rollouts->list;
	size_t kept = 0;

	while (*place) {
		struct rollout *rollout = *place;
		struct ph_error error;

		if (!rollout_is_over(rollout->record) || ++kept <= ROLLOUTS_KEPT) {
			place = &rollout->next;
			continue;
		}
		if (records_delete(rollouts->registry->store, &rollouts->lease, rollout->record->id,
				   &error) < 0)
			log_error(LOG_LEVEL_WARNING, "rollout", NULL, &error);
		*place = rollout->next;
		rollout_free(rollout);
	}
}

/* ---- starting ---- */

struct selection {
	struct registry *registry;
	struct selector selector;
};

static bool selects(void *user, const Phoenix__ContainerSpec *spec)
{
	const struct selection *selection = user;

	return selector_matches(&selection->selector, spec->name, spec->labels, spec->n_labels);
}

static const Phoenix__ContainerSpec *current(void *user, const char *name)
{
	const struct selection *selection = user;
	const struct container *container = registry_find(selection->registry, name);

	return container ? container->record->spec : NULL;
}

static const Phoenix__ContainerObservation *observed(void *user, const char *name)
{
	const struct selection *selection = user;
	const struct container *container = registry_find(selection->registry, name);

	return container ? container->observed : NULL;
}

static int check_free(const struct rollouts *rollouts, const Phoenix__RolloutRecord *record,
		      struct ph_error *error)
{
	for (size_t i = 0; i < record->n_items; i++) {
		const char *holder = rollouts_holder(rollouts, record->items[i]->name);

		if (holder)
			return error_set(error, -EBUSY, record->items[i]->name,
					 "phoenixctl rollout status shows it; end it with: "
					 "phoenixctl rollout abort",
					 "rollout %s has its hands on this container", holder);
	}
	return 0;
}

/* The order of names is the order of rollouts, also after the wall clock was set back. */
static void new_id(const struct rollouts *rollouts, char id[ID_SIZE])
{
	uint64_t number = clock_wall_ms(), newest = 0;

	if (rollouts->list && sscanf(rollouts->list->record->id, "r%" SCNx64, &newest) == 1 &&
	    newest >= number)
		number = newest + 1;
	snprintf(id, ID_SIZE, "r%011" PRIx64, number);
}


static int make_record(struct rollouts *rollouts, const struct rollouts_order *order,
		       Phoenix__RolloutRecord *record, struct ph_error *error)
{
	struct selection selection = { .registry = rollouts->registry };
	const struct changes_input input = { order->fleet, selects,    current,
					     observed,     &selection, order->push_agents };
	char id[ID_SIZE];
	int r = selector_parse(order->selector, &selection.selector, error);

	if (r < 0)
		return r;
	new_id(rollouts, id);
	message_set_text(&record->id, id);
	r = order->fleet ? changes_make(&input, record, error) :
			   confining_make(rollouts->registry, &selection.selector, order->strategy,
					  record, error);
	if (r == 0)
		r = check_free(rollouts, record, error);
	return r == 0 ? rollout_begin(record, rollouts_now(rollouts), error) : r;
}

static int begin(struct rollouts *rollouts, Phoenix__RolloutRecord *record, struct ph_error *error)
{
	struct rollout *rollout;
	uint64_t revision;
	int r;

	if (!may_act_now(rollouts))
		return error_set(error, -EAGAIN, NULL, "try again in a few seconds",
				 "this phoenixd may not act on rollouts yet: it has not adopted its "
				 "containers, or another one holds the lease");
	r = records_create(rollouts->registry->store, &rollouts->lease, record, &revision, error);
	if (r == RECORDS_OVERTAKEN)
		return error_set(error, -EAGAIN, record->id, "try again",
				 "another phoenixd has taken the lease");
	if (r < 0)
		return r;
	rollout = rollout_new(rollouts, record, revision);
	rollout->watched_ms = rollouts_now(rollouts);
	rollout_tell(rollout, ROLLOUT_NO_ITEM);
	forget_old(rollouts);
	timer_start(rollout->timer, 0, 0); /* who asked gets the answer first */
	return 0;
}

int rollouts_start(struct rollouts *rollouts, const struct rollouts_order *order,
		   Phoenix__RolloutStatus **ret_status, struct ph_error *error)
{
	Phoenix__RolloutRecord *record = ph_alloc(sizeof(*record));
	struct rollout shown = { .rollouts = rollouts };
	int r;

	phoenix__rollout_record__init(record);
	r = make_record(rollouts, order, record, error);
	if (r == 0 && !order->plan_only) {
		r = begin(rollouts, record, error);
		if (r == 0) {
			*ret_status = rollout_status(rollouts->list, true);
			return 0;
		}
	}
	if (r == 0) {
		shown.record = record;
		*ret_status = rollout_status(&shown, true);
	}
	message_free(record);
	return r == CHANGES_EMPTY ? ROLLOUTS_NOTHING : r;
}

/* ---- commands ---- */

/* What it changed has to be as it left it, or going back would undo somebody else's work. */
static int check_still_ours(const struct rollout *rollout, struct ph_error *error)
{
	const Phoenix__RolloutRecord *record = rollout->record;

	for (size_t i = 0; i < record->n_items; i++) {
		const Phoenix__RolloutItem *item = record->items[i];
		const struct container *container =
			registry_find(rollout->rollouts->registry, item->name);

		if (item->state != PHOENIX__ROLLOUT_ITEM__STATE__DONE)
			continue;
		if (item->confine ? !confining_is_done(container) :
				    !container || !message_equal(container->record->spec, item->new_))
			return error_set(error, -ESTALE, item->name,
					 "start a rollout of the fleet file that you want",
					 "it was changed or removed since: going back would undo that");
		if (item->rebuild && rebuilding_check_back(container, record, item, error) < 0)
			return error->code;
	}
	return check_free(rollout->rollouts, record, error);
}

int rollouts_command(struct rollout *rollout, Phoenix__RolloutCommandRequest__Command command,
		     struct ph_error *error)
{
	struct rollouts *rollouts = rollout->rollouts;
	int r;

	if (!may_act_now(rollouts))
		return error_set(error, -EAGAIN, NULL, "try again in a few seconds",
				 "this phoenixd may not act on rollouts now");
	if (rollout_is_over(rollout->record) &&
	    command == PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__REVERT) {
		r = check_still_ours(rollout, error);
		if (r < 0)
			return r;
	}
	r = rollout_command(rollout->record, command, rollouts_now(rollouts), error);
	if (r < 0)
		return r;
	r = records_save(rollouts->registry->store, &rollouts->lease, rollout->record, ROLLOUT_NO_ITEM,
			 &rollout->revision, error);
	if (r != 0) {
		rollout_reload(rollout);
		return r < 0 ? r : error_set(error, -EAGAIN, rollout->record->id, "try again",
					     "somebody else has changed the rollout");
	}
	rollout_tell(rollout, ROLLOUT_NO_ITEM);
	rollout->watched_ms = rollout->watched_ms ? rollout->watched_ms : rollouts_now(rollouts);
	timer_start(rollout->timer, 0, 0);
	return 0;
}
