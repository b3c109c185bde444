/*
 * phoenixctl adopt, confine, unadopt: containers that others made. Adopting shows what was found and
 * changes nothing of the container; what restarts one is an order of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/consent.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/progress.h"
#include "controller/cli/report.h"
#include "controller/cli/rollout.h"
#include "controller/cli/table.h"
#include "controller/fleet/rollout_keys.h"
#include "controller/fleet/selector.h"

static void strategy_free(Phoenix__RolloutStrategy *strategy)
{
	message_free(strategy);
}

PH_DEFINE_CLEANUP(Phoenix__RolloutStrategy *, strategy_free);

static void print_line(const char *title, const char *text, const char *source)
{
	printf("  %-16s ", title);
	print_clean(text_empty(text) ? "-" : text);
	printf("%s%s%s\n", source ? "  [" : "", source ? source : "", source ? "]" : "");
}

static void print_list(const char *title, char *const *texts, size_t count, const char *source)
{
	printf("  %-16s %s", title, count ? "" : "-");
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ", " : "", stdout);
		print_clean(texts[i]);
	}
	printf("  [%s]\n", source);
}

static void print_confinement(const Phoenix__ForeignContainer *found)
{
	char text[128], since[25];

	if (!found->running) {
		print_line("process", "it does not run", "observed");
		return;
	}
	snprintf(text, sizeof(text), "%s%s",
		 found->confined ? "confined, running since " : "UNCONFINED since ",
		 clock_format(found->since_ms, since));
	print_line("process", text, "observed");
	print_line("label", text_empty(found->label) ? "none: no AppArmor here" : found->label,
		   "observed");
}

static void print_found(const Phoenix__ForeignContainer *found)
{
	static const char *const inside = "its file system, which its root can write";
	char ids[64] = "";

	print_clean(found->lxc_path);
	putchar('/');
	print_clean(found->name);
	puts(found->adopted ? ": adopted" : "");
	if (found->ids)
		snprintf(ids, sizeof(ids), "0 to %u are the host's %u to %u", found->ids->count - 1,
			 found->ids->first, found->ids->first + found->ids->count - 1);
	print_confinement(found);
	print_line("profile", text_empty(found->profile) ? "not said" : found->profile,
		   "its configuration");
	print_line("id map", ids, "its configuration");
	print_line("root", found->rootfs, "its configuration");
	print_line("Docker", found->docker, inside);
	print_list("storage driver", found->storage_drivers, found->n_storage_drivers, inside);
	print_list("images", found->images, found->n_images, inside);
	if (!text_empty(found->obstacle)) {
		print_line("CANNOT BE ADOPTED", found->obstacle, NULL);
		print_line("  to do", found->remedy, NULL);
	}
	putchar('\n');
}

static int ask_for_all(struct invocation *invocation, Phoenix__ForeignListReply **ret_list,
		       struct ph_error *error)
{
	Phoenix__ForeignListRequest request = PHOENIX__FOREIGN_LIST_REQUEST__INIT;

	return client_call(invocation->client, "Foreign", &request.base, ret_list, error);
}

static int show_all(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ForeignListReply *list;
	int r = ask_for_all(invocation, &list, error);

	if (r < 0)
		return r;
	if (invocation->json) {
		json_print(&list->base, false);
	} else {
		for (size_t i = 0; i < list->n_containers; i++)
			print_found(list->containers[i]);
		for (size_t i = 0; i < list->n_unreadable; i++)
			print_line(list->unreadable[i]->key, list->unreadable[i]->value, NULL);
		printf("%zu containers of others; adopt one with: phoenixctl adopt PATH/NAME\n",
		       list->n_containers);
	}
	message_free(list);
	return output_check(error);
}

static int adopt_one(struct invocation *invocation, const char *lxc_path, const char *name,
		     struct ph_error *error)
{
	Phoenix__AdoptOrder order = PHOENIX__ADOPT_ORDER__INIT;
	Phoenix__AdoptItem *item;
	int r;

	order.lxc_path = (char *)lxc_path;
	order.name = (char *)name;
	r = client_call(invocation->client, "Adopt", &order.base, &item, error);
	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&item->base, true);
	else if (item->found)
		print_found(item->found);
	message_free(item);
	return output_check(error);
}

/* One that cannot be adopted does not keep the others from it. */
static int adopt_all(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ForeignListReply *list;
	int r = ask_for_all(invocation, &list, error), first = 0;

	if (r < 0)
		return r;
	for (size_t i = 0; i < list->n_containers; i++) {
		struct ph_error one = { 0 };

		if (list->containers[i]->adopted)
			continue;
		r = adopt_one(invocation, list->containers[i]->lxc_path, list->containers[i]->name,
			      &one);
		if (r == 0)
			continue;
		if (first == 0)
			*error = one;
		else
			output_error(&one);
		first = first ? first : r;
		if (r == CLIENT_UNREACHABLE || r == -EPIPE)
			break;
	}
	message_free(list);
	return first;
}

static int adopt_named(struct invocation *invocation, struct ph_error *error)
{
	const char *argument = invocation->arguments[0], *slash = strrchr(argument, '/');
	char path[256];

	if (!slash || slash == argument || !name_is_valid(slash + 1) || argument[0] != '/' ||
	    (size_t)(slash - argument) >= sizeof(path))
		return error_set(error, -EINVAL, NULL,
				 "name its LXC path too: phoenixctl adopt /var/lib/lxc/web1",
				 "'%.80s' is no path of a container", argument);
	snprintf(path, sizeof(path), "%.*s", (int)(slash - argument), argument);
	return adopt_one(invocation, path, slash + 1, error);
}

int command_adopt(struct invocation *invocation, struct ph_error *error)
{
	bool is_all = invocation_value(invocation, "all") != NULL;
	int r;

	if (is_all && invocation->argument_count)
		return error_set(error, -EINVAL, NULL, "give one of them",
				 "a container and --all exclude each other");
	r = invocation_connect(invocation, error);
	if (r < 0)
		return r;
	if (is_all)
		return adopt_all(invocation, error);
	return invocation->argument_count ? adopt_named(invocation, error) :
					    show_all(invocation, error);
}

/* ---- confine: a rollout ---- */

static int read_confine(const struct invocation *invocation, const char **ret_selector,
			Phoenix__RolloutStrategy **ret_strategy, struct ph_error *error)
{
	const char *selector = invocation_value(invocation, "selector");
	const char *strategy = invocation_value(invocation, "strategy");
	struct selector parsed;

	if (!selector == !invocation->argument_count)
		return error_set(error, -EINVAL, NULL, "phoenixctl confine old, or: confine --selector 'old*'",
				 selector ? "a name and --selector exclude each other" :
					    "no container was named");
	*ret_selector = selector ? selector : invocation->arguments[0];
	if (selector_parse(*ret_selector, &parsed, error) < 0)
		return -EINVAL;
	return strategy ? rollout_keys_parse("--strategy", strategy, ret_strategy, error) : 0;
}

static int begun(struct invocation *invocation, const Phoenix__RolloutStatus *status,
		 bool is_plan, struct ph_error *error)
{
	if (status->rollout && !is_plan && !invocation_value(invocation, "detach"))
		return rollout_follow(invocation, status->rollout->id, error);
	if (!status->rollout && !invocation->json)
		puts("nothing to do: every selected container is confined and ready");
	return rollout_print(invocation, status, is_plan, error);
}

int command_confine(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ConfineRequest request = PHOENIX__CONFINE_REQUEST__INIT;
	PH_CLEANUP(strategy_free_cleanup) Phoenix__RolloutStrategy *strategy = NULL;
	Phoenix__RolloutStatus *status = NULL;
	const char *selector;
	int r = read_confine(invocation, &selector, &strategy, error);

	if (r == 0)
		r = invocation_connect(invocation, error);
	if (r < 0)
		return r;
	request.selector = (char *)selector;
	request.strategy = strategy;
	request.plan_only = invocation_value(invocation, "dry-run") != NULL;
	r = client_call(invocation->client, "Confine", &request.base, &status, error);
	if (r < 0)
		return r;
	r = begun(invocation, status, request.plan_only, error);
	message_free(status);
	return r;
}

/* ---- unadopt: one after the other ---- */

static int order_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__OperationItem *item = (const Phoenix__OperationItem *)message;
	struct progress_view *view = user;

	if (item->progress)
		progress_show(view, item->progress);
	if (item->check)
		progress_status(view, report_check_word(item->check), item->check->id);
	return output_check(error);
}

static int give_back(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct progress_view view = { .json = invocation->json };
	int r;

	request.name = (char *)invocation->arguments[0];
	r = client_stream(invocation->client, "Unadopt", &request.base, order_item, &view, error);
	progress_clear(&view);
	return r;
}

int command_unadopt(struct invocation *invocation, struct ph_error *error)
{
	int r = consent_ask(invocation,
			    "A confined container is restarted without its confinement. Go on?",
			    error);

	if (r == 0)
		r = invocation_connect(invocation, error);
	return r < 0 ? r : give_back(invocation, error);
}
