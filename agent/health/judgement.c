#include "agent/health/judgement.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

struct judgement judgement(const char *type, Phoenix__Condition__Status status, const char *reason,
			   const char *remedy, const char *message, ...)
{
	struct judgement result = { .type = type, .status = status, .reason = reason };
	va_list arguments;

	text_copy(result.remedy, sizeof(result.remedy), remedy);
	va_start(arguments, message);
	vsnprintf(result.message, sizeof(result.message), message, arguments);
	va_end(arguments);
	return result;
}

void judgement_add(Phoenix__Condition ***conditions, size_t *count,
		   const struct judgement *judgement)
{
	Phoenix__Condition *condition = ph_alloc(sizeof(*condition));

	phoenix__condition__init(condition);
	message_set_text(&condition->type, judgement->type);
	message_set_text(&condition->reason, judgement->reason);
	message_set_text(&condition->message, judgement->message);
	message_set_text(&condition->remedy, judgement->remedy);
	condition->status = judgement->status;
	*conditions = ph_realloc(*conditions, (*count + 1) * sizeof(**conditions));
	(*conditions)[(*count)++] = condition;
}
