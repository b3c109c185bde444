/* Findings are heap messages, so that a reply can carry them as they are. */
#include "controller/preflight/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define EVIDENCE_SIZE 768

void findings_add(struct findings *findings, const char *id,
		  Phoenix__PreflightFinding__Severity severity, const char *remedy,
		  const char *evidence, ...)
{
	Phoenix__PreflightFinding *finding;
	char text[EVIDENCE_SIZE];
	va_list arguments;

	if (findings->count == FINDINGS_MAXIMUM)
		return;
	va_start(arguments, evidence);
	vsnprintf(text, sizeof(text), evidence, arguments);
	va_end(arguments);
	finding = ph_alloc(sizeof(*finding));
	phoenix__preflight_finding__init(finding);
	message_set_text(&finding->id, id);
	message_set_text(&finding->container, findings->container);
	message_set_text(&finding->evidence, text);
	message_set_text(&finding->remedy, remedy);
	finding->severity = severity;
	finding->observed = !findings->container;
	findings->items = ph_realloc(findings->items,
				     (findings->count + 1) * sizeof(*findings->items));
	findings->items[findings->count++] = finding;
}

void findings_sort(struct findings *findings)
{
	for (size_t i = 1; i < findings->count; i++) {
		Phoenix__PreflightFinding *finding = findings->items[i];
		size_t at = i;

		for (; at > 0 && findings->items[at - 1]->severity < finding->severity; at--)
			findings->items[at] = findings->items[at - 1];
		findings->items[at] = finding;
	}
}

const Phoenix__PreflightFinding *findings_find(const struct findings *findings, const char *id)
{
	for (size_t i = 0; i < findings->count; i++)
		if (text_equal(findings->items[i]->id, id))
			return findings->items[i];
	return NULL;
}

void findings_fini(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		message_free(findings->items[i]);
	free(findings->items);
	findings->items = NULL;
	findings->count = 0;
}
