/*
 * AppArmor policy text that a person has damaged in any way. What is found lies in the file and in order, and
 * what is put in its place can be read again.
 */
#include <errno.h>
#include <string.h>

#include "controller/doctor/scan.h"
#include "tests/fuzz/fuzz.h"

static void check_findings(const struct doctor_scan *scan, size_t size)
{
	size_t line = 0;

	FUZZ_CHECK(scan->count <= DOCTOR_FINDINGS_MAXIMUM);
	for (size_t i = 0; i < scan->count; i++) {
		const struct doctor_finding *finding = &scan->findings[i];

		FUZZ_CHECK(finding->line >= line && finding->line >= 1 &&
			   finding->line <= size + 1);
		FUZZ_CHECK(finding->column >= 1 && finding->column <= size + 1);
		FUZZ_CHECK(memchr(finding->variable, 0, sizeof(finding->variable)));
		FUZZ_CHECK(doctor_kind_name(finding->kind) && doctor_explain(finding->kind) &&
			   doctor_remedy(finding->kind));
		line = finding->line;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct str names = { 0 }, repaired = { 0 }, diff = { 0 };
	struct doctor_scan scan = { 0 };
	const char *text;
	enum doctor_file kind;

	if (size < 1)
		return 0;
	kind = bytes[0] & 1 ? DOCTOR_PROFILES : DOCTOR_TUNABLES;
	text = (const char *)bytes + 1;
	size--;
	doctor_declared(text, size, &names);
	if (doctor_scan_text(text, size, kind, bytes[0] & 2 ? str_text(&names) : NULL, &scan) ==
	    0) {
		check_findings(&scan, size);
		doctor_apply(text, size, &scan, &repaired);
		doctor_diff("tunables/home", text, size, &scan, &diff);
	}
	doctor_scan_fini(&scan);
	str_fini(&names);
	str_fini(&repaired);
	str_fini(&diff);
	return 0;
}
