/* Two formats of one result. */
#include "tests/escape/report.h"
#include "tests/escape/select.h"

#include <stdio.h>
#include <string.h>

static const char *const OUTCOMES[] = { "broken", "done", "refused", "absent", "hung" };

static const char *error_name(int error)
{
	const char *name = strerrorname_np(error);

	return error && name ? name : "";
}

bool report_is_expected(const struct attempt *attempt, const struct verdict *verdict)
{
	switch (attempt->group) {
	case GROUP_ALLOWED: return verdict->outcome == OUTCOME_DONE;
	case GROUP_POLICY:
		return verdict->outcome == attempt->decided || verdict->outcome == OUTCOME_ABSENT;
	default: return verdict->outcome == OUTCOME_REFUSED || verdict->outcome == OUTCOME_ABSENT;
	}
}

void report_tap(int number, const struct theme *theme, const struct attempt *attempt,
		enum access access, const struct verdict *verdict)
{
	printf("%sok %d - %s: %s/%s%s%s # %s%s%s%s%s%s%s\n",
	       report_is_expected(attempt, verdict) ? "" : "not ", number,
	       select_group_name(attempt->group), theme->name, attempt->name, access ? " " : "",
	       access_name(access), OUTCOMES[verdict->outcome], verdict->step[0] ? " at " : "",
	       verdict->step, verdict->error ? " " : "", error_name(verdict->error),
	       verdict->detail[0] ? ": " : "", verdict->detail);
}

static void print_string(const char *key, const char *text)
{
	printf("\"%s\":\"", key);
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte < 0x20 || byte > 0x7e)
			printf("\\u%04x", byte);
		else
			putchar(byte);
	}
	putchar('"');
}

static void print_walls(unsigned walls)
{
	const char *separator = "";

	printf(",\"walls\":[");
	for (unsigned i = 0; select_wall_name(i); i++) {
		if (!(walls & (1U << i)))
			continue;
		printf("%s\"%s\"", separator, select_wall_name(i));
		separator = ",";
	}
	putchar(']');
}

void report_json(const char *condition, const struct theme *theme, const struct attempt *attempt,
		 enum access access, const struct verdict *verdict)
{
	putchar('{');
	print_string("condition", condition);
	putchar(',');
	print_string("theme", theme->name);
	putchar(',');
	print_string("name", attempt->name);
	putchar(',');
	print_string("access", access_name(access));
	putchar(',');
	print_string("group", select_group_name(attempt->group));
	print_walls(attempt->group == GROUP_DENIED ? select_walls(attempt, access) : 0);
	printf(",\"optional\":%s,\"hidden\":%s,\"controlled\":%s,",
	       attempt->traits & TRAIT_OPTIONAL ? "true" : "false",
	       attempt->traits & TRAIT_HIDDEN ? "true" : "false",
	       attempt->traits & TRAIT_CONTROLLED ? "true" : "false");
	print_string("decided", attempt->group == GROUP_POLICY ? OUTCOMES[attempt->decided] : "");
	printf(",\"expected\":%s,", report_is_expected(attempt, verdict) ? "true" : "false");
	print_string("outcome", OUTCOMES[verdict->outcome]);
	putchar(',');
	print_string("errno", error_name(verdict->error));
	putchar(',');
	print_string("step", verdict->step);
	putchar(',');
	print_string("detail", verdict->detail);
	putchar(',');
	print_string("why", attempt->why ? attempt->why : "");
	puts("}");
}
