/*
 * The note is a line for each condition, "DockerResponding=1", behind one that says whose they are: another container
 * may have had the name before, and what was told of that one is no news withheld of this one. A condition that
 * is not there for a while, because nobody can claim it without a session, keeps its line: when it is as it was, that
 * is no news.
 */
#include "controller/container/condition_events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/container/container.h"

#define LINES_MAXIMUM 64 /* an agent may claim ever new conditions: the oldest are forgotten */

/* The note's first line. */
static void head_of(const struct container *container, char head[32])
{
	snprintf(head, 32, "%" PRIu64 "\n", container->record->created_ms);
}

/* When it cannot be read, something is told twice. */
static const char *told(struct container *container)
{
	PH_AUTO_FREE char *note = NULL;
	struct ph_error error;
	char head[32];

	if (container->told)
		return container->told;
	if (events_note(journal_events(container->registry->journal), container_name(container),
			&note, &error) < 0)
		log_error(LOG_LEVEL_WARNING, "conditions", container_name(container), &error);
	head_of(container, head);
	container->told = ph_strdup(note && strncmp(note, head, strlen(head)) == 0 ?
					    note + strlen(head) : "");
	return container->told;
}

/* The beginning of the next line, or the end. */
static const char *next_line(const char *at)
{
	at = strchrnul(at, '\n');
	return *at ? at + 1 : at;
}

/* An agent chooses the types of what it claims: none makes a line of its own. */
static void add_line(struct str *lines, const char *type, unsigned int status)
{
	if (!strpbrk(type, "\n="))
		str_appendf(lines, "%s=%u\n", type, status);
}

/* Whether the note has that line. */
static bool has_line(const char *note, const char *type, unsigned int status)
{
	struct str line = STR_INIT;
	bool found = false;

	add_line(&line, type, status);
	for (const char *at = note; line.length && *at && !found; at = next_line(at))
		found = strncmp(at, str_text(&line), line.length) == 0;
	str_fini(&line);
	return found;
}

/* The note as it is once a condition has been told: the newest first. */
static char *note_with(const char *note, const Phoenix__Condition *now)
{
	struct str with = STR_INIT;
	size_t type_length = strlen(now->type), lines = 1;

	add_line(&with, now->type, now->status);
	while (*note && lines++ < LINES_MAXIMUM) {
		const char *next = next_line(note);

		if (strncmp(note, now->type, type_length) != 0 || note[type_length] != '=')
			str_append_bytes(&with, note, (size_t)(next - note));
		note = next;
	}
	return str_take(&with);
}

static void write_event(struct container *container, const Phoenix__Condition *condition)
{
	static const char *const words[] = { "Unknown", "True", "False" };
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	PH_AUTO_FREE char *note = NULL;
	char message[1024], head[32];

	head_of(container, head);
	note = ph_format("%s%s", head, container->told);
	snprintf(message, sizeof(message), "%s is %s%s%s", condition->type,
		 condition->status <= 2 ? words[condition->status] : "?",
		 condition->message[0] ? ": " : "", condition->message);
	event.container = (char *)container_name(container);
	event.type = (char *)"condition.changed";
	event.severity = condition->status == PHOENIX__CONDITION__STATUS__TRUE ?
				 PHOENIX__EVENT__SEVERITY__INFO :
				 PHOENIX__EVENT__SEVERITY__WARNING;
	event.reason = condition->reason;
	event.message = message;
	journal_write_noting(container->registry->journal, &event, note);
}

void condition_events_tell(struct container *container, const struct conditions *old,
			   const Phoenix__Condition *condition)
{
	const Phoenix__Condition *before = conditions_find(old, condition->type);
	char *note;

	if (before ? before->status == condition->status :
		     condition->status == PHOENIX__CONDITION__STATUS__UNKNOWN)
		return;
	if (has_line(told(container), condition->type, condition->status))
		return;
	note = note_with(container->told, condition);
	free(container->told);
	container->told = note;
	write_event(container, condition);
}
