/*
 * Lines of the kernel's audit stream, with names in them that a container has chosen. What comes out is ended
 * and holds nothing that a terminal would act on.
 */
#include <errno.h>
#include <string.h>

#include "controller/host/denials/line.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text, size_t size)
{
	const char *end = memchr(text, 0, size);

	FUZZ_CHECK(end);
	for (; text < end; text++)
		FUZZ_CHECK((unsigned char)*text >= 0x20 && *text != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char shown[64];
	struct line line;
	int result = line_parse((const char *)bytes, size, &line);

	FUZZ_CHECK(result == 0 || result == -ENOMSG || result == -EBADMSG);
	line_escape((const char *)bytes, size, shown, sizeof(shown));
	check_text(shown, sizeof(shown));
	if (result < 0)
		return 0;
	check_text(line.operation, sizeof(line.operation));
	check_text(line.profile, sizeof(line.profile));
	check_text(line.space, sizeof(line.space));
	check_text(line.name, sizeof(line.name));
	check_text(line.info, sizeof(line.info));
	check_text(line.process, sizeof(line.process));
	FUZZ_CHECK(line.operation[0] && line.detail_count <= LINE_DETAILS && line.error <= 0);
	for (size_t i = 0; i < line.detail_count; i++)
		check_text(line.details[i].value, sizeof(line.details[i].value));
	return 0;
}
