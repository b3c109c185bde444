#include "controller/container/drift.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

static const struct {
	const char *prefix; /* of the input's key; "": every other one is a package */
	const char *reason;
	int weight; /* the heaviest is told: an upgrade changes a package and its program */
} kinds[] = {
	{ "data-root", "DataRootChanged", 6 }, { "driver", "DriverChanged", 5 },
	{ "daemon.json", "DaemonJsonEdited", 4 }, { "program:", "ProgramReplaced", 2 },
	{ "kernel", "KernelChanged", 1 },      { "", "PackageChanged", 3 },
};

static size_t kind_of(const char *key)
{
	size_t i = 0;

	while (!text_has_prefix(key, kinds[i].prefix))
		i++;
	return i;
}

static const char *value_of(Phoenix__Pair **pairs, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(pairs[i]->key, key))
			return pairs[i]->value;
	return NULL;
}

static void add_change(struct drift *drift, const char *key, const char *before, const char *now)
{
	size_t kind = kind_of(key), length = strlen(drift->message);
	char change[200];

	if (text_equal(key, "daemon.json"))
		snprintf(change, sizeof(change), "daemon.json was edited");
	else if (!before)
		snprintf(change, sizeof(change), "%.60s: new, %.80s", key, now);
	else if (!now)
		snprintf(change, sizeof(change), "%.60s: gone, was %.80s", key, before);
	else
		snprintf(change, sizeof(change), "%.40s: %.70s is now %.70s", key, before, now);
	snprintf(drift->message + length, sizeof(drift->message) - length, "%s%s",
		 length ? "; " : "", change);
	if (!drift->count || kinds[kind].weight > drift->weight) {
		drift->reason = kinds[kind].reason;
		drift->weight = kinds[kind].weight;
	}
	drift->count++;
}

void drift_find(const Phoenix__VerifyReport *verify, const Phoenix__HealthReply *claimed,
		struct drift *ret_drift)
{
	*ret_drift = (struct drift){ 0 };
	for (size_t i = 0; i < verify->n_facts; i++) {
		const Phoenix__Pair *fact = verify->facts[i];
		const char *now = value_of(claimed->inputs, claimed->n_inputs, fact->key);

		if (!now || !text_equal(now, fact->value))
			add_change(ret_drift, fact->key, fact->value, now);
	}
	for (size_t i = 0; i < claimed->n_inputs; i++) {
		const Phoenix__Pair *input = claimed->inputs[i];

		if (!value_of(verify->facts, verify->n_facts, input->key))
			add_change(ret_drift, input->key, NULL, input->value);
	}
}
