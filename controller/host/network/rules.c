/*
 * The table is replaced as a whole: "add, delete, define" is one transaction for the kernel, so
 * there is no moment without rules. Kernels without the ip family may have inet, so both are tried.
 */
#include "controller/host/network/rules.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/exec/exec.h"
#include "controller/host/tree/record.h"

#define TABLE_SIZE 32

static const char *const families[] = { "ip", "inet" };

static const char *const load_argv[] = { "nft", "-f", "-", NULL };

static void table_name(const struct rules_plan *plan, char table[TABLE_SIZE])
{
	snprintf(table, TABLE_SIZE, "phoenix_%.15s", plan->bridge);
	for (char *at = table; *at; at++)
		if (!isalnum((unsigned char)*at))
			*at = '_';
}

static char *ruleset(const struct rules_plan *plan, const char *family)
{
	char table[TABLE_SIZE];

	table_name(plan, table);
	return ph_format("table %1$s %2$s\n"
			 "delete table %1$s %2$s\n"
			 "table %1$s %2$s {\n"
			 "	chain postrouting {\n"
			 "		type nat hook postrouting priority 100; policy accept;\n"
			 "		ip saddr %4$s ip daddr != %4$s oifname != \"%3$s\" masquerade\n"
			 "	}\n"
			 "	chain forward {\n"
			 "		type filter hook forward priority 0; policy accept;\n"
			 "		iifname \"%3$s\" ip saddr != %4$s drop\n"
			 "	}\n"
			 "}\n",
			 family, table, plan->bridge, plan->subnet);
}

int rules_load(const struct rules_plan *plan, char **ret_listing, struct ph_error *error)
{
	struct ph_error reason = { 0 };
	int result = -EOPNOTSUPP;

	for (size_t i = 0; i < ARRAY_LENGTH(families); i++) {
		PH_AUTO_FREE char *text = ruleset(plan, families[i]);

		result = exec_check(load_argv, text, NULL, &reason);
		if (result == 0)
			return rules_list(plan, ret_listing, error);
		if (result != -EIO)
			break; /* not nft's own refusal */
	}
	return error_set(error, result == -EIO ? -EOPNOTSUPP : result, reason.where, reason.remedy,
			 "%s", reason.why);
}

int rules_list(const struct rules_plan *plan, char **ret_listing, struct ph_error *error)
{
	char table[TABLE_SIZE];

	table_name(plan, table);
	for (size_t i = 0; i < ARRAY_LENGTH(families); i++) {
		const char *const argv[] = { "nft", "list", "table", families[i], table, NULL };
		int result = exec_check(argv, NULL, ret_listing, error);

		if (result != -EIO)
			return result;
	}
	error_clear(error);
	*ret_listing = ph_strdup("");
	return 0;
}

int rules_remove(const struct rules_plan *plan, struct ph_error *error)
{
	char table[TABLE_SIZE];
	int count = 0;

	table_name(plan, table);
	for (size_t i = 0; i < ARRAY_LENGTH(families); i++) {
		const char *const argv[] = { "nft", "delete", "table", families[i], table, NULL };
		int result = exec_check(argv, NULL, NULL, error);

		if (result == -ENOENT)
			break; /* without the program we have loaded nothing */
		if (result < 0 && result != -EIO)
			return result;
		count += result == 0;
	}
	error_clear(error);
	return count;
}

int rules_find_drop(const struct rules_plan *plan, char chain[96], struct ph_error *error)
{
	static const char *const argv[] = { "nft", "-j", "list", "chains", NULL };
	PH_AUTO_FREE char *output = NULL;
	RECORD_AUTO json_t *answer = NULL;
	const json_t *items;
	int result = exec_check(argv, NULL, &output, error);

	chain[0] = '\0';
	if (result < 0)
		return result;
	answer = json_loads(output, 0, NULL);
	items = json_object_get(answer, "nftables");
	for (size_t i = 0; i < json_array_size(items); i++) {
		const char *family, *table, *name, *hook = NULL, *policy = NULL;

		if (json_unpack(json_array_get(items, i), "{s:{s:s, s:s, s:s, s?s, s?s}}", "chain",
				"family", &family, "table", &table, "name", &name, "hook", &hook,
				"policy", &policy) < 0)
			continue;
		if (text_equal(hook, "forward") && text_equal(policy, "drop") &&
		    (strcmp(family, "ip") == 0 || strcmp(family, "inet") == 0))
			snprintf(chain, 96, "%.8s %.40s %.40s", family, table, name);
	}
	return 0;
}
