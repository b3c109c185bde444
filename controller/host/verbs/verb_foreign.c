/* ForeignList: what there is to adopt. Looks only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/host/confine/label.h"
#include "controller/host/lxc/adopted.h"
#include "controller/host/lxc/census.h"
#include "controller/host/lxc/process.h"
#include "controller/host/verbs/foreign_message.h"
#include "controller/host/verbs/verbs.h"

#define LIST_MAXIMUM 128       /* keeps the reply within one frame */
#define IMAGES_LISTED_MAXIMUM 8 /* of one of many; all of them when it is asked for by name */

static void add_text(char ***list, size_t *count, const char *text)
{
	*list = ph_realloc(*list, (*count + 1) * sizeof(**list));
	(*list)[(*count)++] = ph_strdup(text);
}

static void fill_process(Phoenix__ForeignContainer *message, const struct census_entry *entry)
{
	PH_AUTO_CLOSE int process = process_open(entry->init);
	struct confine_label label = { .mode = CONFINE_MODE_UNCONFINED };
	char text[CONFINE_LABEL_SIZE] = "";

	message->running = true;
	message->init_pid = (uint32_t)entry->init;
	message->since_ms = entry->since_ms;
	if (process >= 0 && confine_label_read(process, &label) == 0)
		confine_label_format(&label, text, sizeof(text));
	message_set_text(&message->label, text);
	message->confined = label.mode == CONFINE_MODE_ENFORCE || label.mode == CONFINE_MODE_KILL;
}

/* Two containers of one name in two paths cannot be told apart by their groups: the id map decides. */
static void find_process(const struct census *census, const struct foreign *foreign,
			 Phoenix__ForeignContainer *message)
{
	for (size_t i = 0; i < census->count; i++) {
		const struct census_entry *entry = &census->entries[i];
		PH_AUTO_CLOSE int process = process_open(entry->init);

		if (!text_equal(entry->name, foreign->name) ||
		    !(text_equal(entry->kind, "lxc") || text_equal(entry->kind, "phoenix")))
			continue;
		if (foreign->id_count && (process < 0 || !process_has_map(process, foreign->id_base,
									  foreign->id_count)))
			continue;
		fill_process(message, entry);
		return;
	}
}

static void fill_obstacle(const struct config *config, const struct foreign *foreign,
			  Phoenix__ForeignContainer *message)
{
	struct adopted adopted;
	struct ph_error error;

	message->adopted = adopted_load(config, foreign->name, &adopted, &error) == 0 &&
			   text_equal(adopted.lxc_path, foreign->lxc_path);
	message_set_text(&message->obstacle, foreign->obstacle.why);
	message_set_text(&message->remedy, foreign->obstacle.remedy);
}

Phoenix__ForeignContainer *foreign_message(const struct config *config, const struct census *census,
					   const struct foreign *foreign, size_t images_maximum)
{
	Phoenix__ForeignContainer *message = ph_alloc(sizeof(*message));

	phoenix__foreign_container__init(message);
	message_set_text(&message->lxc_path, foreign->lxc_path);
	message_set_text(&message->name, foreign->name);
	message_set_text(&message->profile, foreign->profile);
	message_set_text(&message->rootfs, foreign->rootfs);
	message_set_text(&message->data_root, foreign->data_root);
	message_set_text(&message->docker, foreign->docker);
	if (foreign->id_count) {
		message->ids = ph_alloc(sizeof(*message->ids));
		phoenix__id_range__init(message->ids);
		message->ids->first = foreign->id_base;
		message->ids->count = foreign->id_count;
	}
	for (size_t i = 0; i < foreign->driver_count; i++)
		add_text(&message->storage_drivers, &message->n_storage_drivers,
			 foreign->drivers[i]);
	for (size_t i = 0; i < foreign->image_count && i < images_maximum; i++)
		add_text(&message->images, &message->n_images, foreign->images[i]);
	find_process(census, foreign, message);
	fill_obstacle(config, foreign, message);
	return message;
}

static void add_container(const struct verb_host *host, const struct census *census,
			  const char *lxc_path, const char *name, size_t images_maximum,
			  Phoenix__ForeignListReply *reply)
{
	struct foreign foreign;
	struct ph_error error;

	if (reply->n_containers == LIST_MAXIMUM ||
	    foreign_look(lxc_path, name, &foreign, &error) < 0)
		return;
	reply->containers = ph_realloc(reply->containers,
				       (reply->n_containers + 1) * sizeof(*reply->containers));
	reply->containers[reply->n_containers++] =
		foreign_message(host->config, census, &foreign, images_maximum);
	foreign_fini(&foreign);
}

static void add_unreadable(Phoenix__ForeignListReply *reply, const char *path,
			   const struct ph_error *error)
{
	Phoenix__Pair *pair = ph_alloc(sizeof(*pair));

	phoenix__pair__init(pair);
	message_set_text(&pair->key, path);
	message_set_text(&pair->value, error->why);
	reply->unreadable = ph_realloc(reply->unreadable,
				       (reply->n_unreadable + 1) * sizeof(*reply->unreadable));
	reply->unreadable[reply->n_unreadable++] = pair;
}

static void add_path(const struct verb_host *host, const struct census *census, const char *path,
		     Phoenix__ForeignListReply *reply)
{
	PH_AUTO_FREE char(*names)[64] = NULL;
	struct ph_error error;
	size_t count = 0;

	if (foreign_names(path, &names, &count, &error) < 0)
		add_unreadable(reply, path, &error);
	for (size_t i = 0; i < count; i++)
		add_container(host, census, path, names[i], IMAGES_LISTED_MAXIMUM, reply);
}

int foreign_check_path(const struct config *config, const char *lxc_path, struct ph_error *error)
{
	if (adopted_path_is_registered(config, lxc_path))
		return 0;
	return error_set(error, -EPERM, lxc_path,
			 "name it under 'lxc_paths' in /etc/phoenix/phoenix.yaml and restart "
			 "phoenix-host",
			 "this LXC path is not registered");
}

int verb_foreign_list(const struct verb_host *host, const ProtobufCMessage *message,
		      struct ph_error *error)
{
	const Phoenix__ForeignListRequest *request = (const void *)message;
	Phoenix__ForeignListReply *reply;
	struct census census;
	int code = 0;

	if (!text_empty(request->lxc_path))
		code = foreign_check_path(host->config, request->lxc_path, error);
	if (code == 0)
		code = census_take(&census, error);
	if (code < 0)
		return code;
	reply = ph_alloc(sizeof(*reply));
	phoenix__foreign_list_reply__init(reply);
	if (!text_empty(request->name))
		add_container(host, &census, request->lxc_path, request->name,
			      FOREIGN_IMAGES_MAXIMUM, reply);
	else if (!text_empty(request->lxc_path))
		add_path(host, &census, request->lxc_path, reply);
	else
		for (size_t i = 0; i < host->config->lxc_path_count; i++)
			add_path(host, &census, host->config->lxc_paths[i], reply);
	worker_send(host->output, &reply->base);
	message_free(reply);
	census_fini(&census);
	return 0;
}
