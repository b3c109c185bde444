#include "controller/fleet/rollout_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/schema.h"
#include "common/str.h"
#include "controller/fleet/check.h"
#include "controller/rollout/engine.h"

#define MINUTE_MS (UINT64_C(60) * 1000)
#define COUNT_MAXIMUM 100000
#define DURATION_MAXIMUM_MS (UINT64_C(365) * 24 * 60 * MINUTE_MS)

static const char *const keys[] = {
	"canary", "canary_soak",       "soak",	     "max_unavailable", "failure_budget",
	"drain",  "step_deadline",     "progress_deadline", "on_failure",
	"gates",  "spread",	       NULL,
};
static const char *const outcomes[] = { "halt", "revert", NULL }; /* as the enum */
static const char *const gates[] = { "canary", "waves", NULL };

void rollout_keys_defaults(Phoenix__RolloutStrategy *ret_strategy)
{
	phoenix__rollout_strategy__init(ret_strategy);
	ret_strategy->canary_soak_ms = 30 * 1000;
	ret_strategy->soak_ms = 10 * 1000;
	ret_strategy->step_deadline_ms = 15 * MINUTE_MS;
	ret_strategy->progress_deadline_ms = 30 * MINUTE_MS;
}

/* "3" or "25%". */
static int read_amount(const struct yaml_node *map, const char *key,
		       Phoenix__RolloutAmount **amount, struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);
	Phoenix__RolloutAmount value = PHOENIX__ROLLOUT_AMOUNT__INIT;
	uint64_t number;
	const char *text;
	bool is_share;
	int r = schema_get_text(map, key, 16, &text, error);

	if (r != 0)
		return r < 0 ? r : 0;
	is_share = text_has_suffix(text, "%");
	PH_AUTO_FREE char *digits = ph_strndup(text, strlen(text) - is_share);

	if (text_to_u64(digits, is_share ? 100 : COUNT_MAXIMUM, &number) < 0)
		return schema_error(node, error, "write a number such as 2, or a share such as 25%",
				    "'%s' is no number of containers", text);
	if (is_share && number)
		value.percent = (uint32_t)number;
	else
		value.count = (uint32_t)number;
	MESSAGE_REPLACE(*amount, &value);
	return 0;
}

static int read_duration(const struct yaml_node *map, const char *key, uint64_t *milliseconds,
			 struct ph_error *error)
{
	static const struct {
		const char *name;
		uint64_t milliseconds;
	} units[] = { { "ms", 1 },	    { "s", 1000 },	      { "m", MINUTE_MS },
		      { "h", 60 * MINUTE_MS }, { "d", 24 * 60 * MINUTE_MS } };
	const struct yaml_node *node = schema_find(map, key);
	const char *text;
	size_t length;
	uint64_t number;
	int r = schema_get_text(map, key, 16, &text, error);

	if (r != 0)
		return r < 0 ? r : 0;
	length = strspn(text, "0123456789");
	PH_AUTO_FREE char *digits = ph_strndup(text, length);

	for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
		uint64_t most = DURATION_MAXIMUM_MS / units[i].milliseconds;

		if (!text_equal(text + length, units[i].name) || text_to_u64(digits, most, &number) < 0)
			continue;
		*milliseconds = number * units[i].milliseconds;
		return 0;
	}
	if (text_equal(text, "0")) {
		*milliseconds = 0;
		return 0;
	}
	return schema_error(node, error, "write 30s, 5m, 2h or 1d", "'%s' is no duration", text);
}

static int read_gates(const struct yaml_node *map, Phoenix__RolloutStrategy *strategy,
		      struct ph_error *error)
{
	const struct yaml_node *list;
	int r = schema_get_list(map, "gates", &list, error);

	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < list->count; i++) {
		const char *text;

		r = schema_read_text(list->items[i], "gates", 16, &text, error);
		if (r < 0)
			return r;
		if (!text_equal(text, gates[0]) && !text_equal(text, gates[1]))
			return schema_error(list->items[i], error, "write canary, waves or both",
					    "there is no gate '%s'", text);
		strategy->gate_canary |= text_equal(text, gates[0]);
		strategy->gate_waves |= text_equal(text, gates[1]);
	}
	return 0;
}

static int read_words(const struct yaml_node *map, Phoenix__RolloutStrategy *strategy,
		      struct ph_error *error)
{
	const char *text;
	size_t index;
	int r = schema_get_word(map, "on_failure", outcomes, &index, error);

	if (r == 0)
		strategy->on_failure = (Phoenix__RolloutStrategy__OnFailure)index;
	if (r >= 0)
		r = schema_get_text(map, "spread", 63, &text, error);
	if (r == 0 && !check_label_key(text))
		r = schema_error(schema_find(map, "spread"), error, "name a label, such as zone",
				 "'%s' is not a key for a label", text);
	if (r == 0)
		message_set_text(&strategy->spread, text);
	return r < 0 ? r : 0;
}

static int read_strategy(const struct yaml_node *map, Phoenix__RolloutStrategy *strategy,
			 struct ph_error *error)
{
	int r = read_amount(map, "canary", &strategy->canary, error);

	if (r == 0)
		r = read_amount(map, "max_unavailable", &strategy->max_unavailable, error);
	if (r == 0)
		r = read_amount(map, "failure_budget", &strategy->failure_budget, error);
	if (r == 0)
		r = read_duration(map, "soak", &strategy->soak_ms, error);
	if (r == 0 && schema_find(map, "soak")) /* the canaries' too, unless they have their own */
		strategy->canary_soak_ms = strategy->soak_ms;
	if (r == 0)
		r = read_duration(map, "canary_soak", &strategy->canary_soak_ms, error);
	if (r == 0)
		r = read_duration(map, "drain", &strategy->drain_ms, error);
	if (r == 0)
		r = read_duration(map, "step_deadline", &strategy->step_deadline_ms, error);
	if (r == 0)
		r = read_duration(map, "progress_deadline", &strategy->progress_deadline_ms, error);
	if (r == 0)
		r = read_gates(map, strategy, error);
	return r == 0 ? read_words(map, strategy, error) : r;
}

int rollout_keys_check(const Phoenix__RolloutStrategy *strategy, const char **ret_field,
		       struct ph_error *error)
{
	*ret_field = "rollout.spread";
	if (!text_empty(strategy->spread) && !check_label_key(strategy->spread))
		return error_set(error, -EINVAL, *ret_field, "name a label, such as zone",
				 "'%.60s' is not a key for a label", strategy->spread);
	return rollout_check_strategy(strategy, ret_field, error);
}

int rollout_keys_read(const struct yaml_node *root, Phoenix__Fleet *fleet, struct ph_error *error)
{
	const struct yaml_node *map, *node;
	Phoenix__RolloutStrategy defaults;
	const char *field = NULL;
	struct ph_error problem;
	int r = schema_get_map(root, "rollout", &map, error);

	if (r == 0)
		r = schema_check_keys(map, "rollout", keys, error);
	if (r != 0)
		return r < 0 ? r : 0;
	rollout_keys_defaults(&defaults);
	fleet->rollout = MESSAGE_COPY(&defaults);
	r = read_strategy(map, fleet->rollout, error);
	if (r < 0 || rollout_keys_check(fleet->rollout, &field, &problem) == 0)
		return r;
	/* The field is named as "rollout.soak": its line, else the key's own. */
	node = schema_find(map, field + strlen("rollout."));
	return schema_error(node ? node : map, error, problem.remedy, "%s", problem.why);
}

int rollout_keys_parse(const char *name, const char *text, Phoenix__RolloutStrategy **ret_strategy,
		       struct ph_error *error)
{
	PH_AUTO_FREE char *file = ph_format("rollout: {%s}", text);
	Phoenix__Fleet fleet = PHOENIX__FLEET__INIT;
	struct yaml_node *root = NULL;
	int r = yaml_parse(name, file, strlen(file), &root, error);

	if (r == 0)
		r = rollout_keys_read(root, &fleet, error);
	yaml_node_free(root);
	if (r < 0) {
		message_free(fleet.rollout);
		return r;
	}
	*ret_strategy = fleet.rollout;
	return 0;
}
