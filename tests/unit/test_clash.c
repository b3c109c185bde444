/* Which rules would break runc's sysctl reopen, and which only look like it. */
#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "controller/host/confine/clash.h"
#include "tests/support/cmocka.h"

#define BODY(rules) "profile x flags=(attach_disconnected) {\n  file,\n" rules "\n}\n"

static const struct {
	const char *name;
	const char *text;
	unsigned int line;  /* 0: no clash */
	const char *sysctl; /* NULL: any */
} CASES[] = {
	/* LXC's container-base, and what was made of it */
	{ "class of first letters", BODY("deny /sys/[^fdck]*{,/**} wklx,"), 3, "/sys/net/" },
	{ "class and two stars", BODY("deny /sys/[^fdck]** wklx,"), 3, "/sys/net/" },
	{ "class that leaves all out", BODY("deny /sys/[^fdcknuva]*{,/**} wklx,"), 0 },
	{ "range in a class", BODY("deny /sys/[m-o]** w,"), 3, "/sys/net/" },
	{ "the same for /proc/sys", BODY("deny @{PROC}/sys/[^kn]*{,/**} wklx,"), 0 },
	{ "variable that Debian sets", BODY("deny @{sys}/[^f]** w,"), 3, "/sys/net/" },
	{ "variable that ends in a slash", BODY("deny @{sys}net/** w,"), 3, "/sys/net/" },
	{ "the cgroup rules", BODY("deny /sys/f[^s]*{,/**} wklx,"), 0 },
	{ "fs but for cgroup", BODY("deny /sys/fs/[^c]*{,/**} wklx,"), 3, "/sys/fs/mqueue/" },
	{ "fs but for c, one name", BODY("deny /sys/fs/[^cm]* w,"), 3, "/sys/fs/any" },
	/* spellings */
	{ "everything below", BODY("deny /sys/** w,"), 3 },
	{ "only the directory", BODY("deny /sys/ w,"), 0 },
	{ "one name deep", BODY("deny /sys/* w,"), 0 },
	{ "three names deep", BODY("deny /sys/*/*/* w,"), 3 },
	{ "question marks", BODY("deny /sys/ne?/** w,"), 3, "/sys/net/" },
	{ "an alternation", BODY("deny /sys/{block,net,bus}/** w,"), 3, "/sys/net/" },
	{ "an alternation of others", BODY("deny /sys/{block,bus,firmware}/** w,"), 0 },
	{ "alternations in one another", BODY("deny /{proc,sys/{bus,n{et,ot}}}/** w,"), 3, "/sys/net/" },
	{ "an empty branch", BODY("deny /{**/,}sys/vm/** w,"), 3, "/sys/vm/" },
	{ "quoted", BODY("deny \"/sys/net/**\" w,"), 3, "/sys/net/" },
	{ "audit", BODY("audit deny /sys/net/** w,"), 3, "/sys/net/" },
	{ "owner", BODY("deny owner /sys/net/** w,"), 3, "/sys/net/" },
	{ "the word file", BODY("deny file /sys/net/** w,"), 3, "/sys/net/" },
	{ "no file at all", BODY("deny file,"), 3 },
	{ "permissions first", BODY("deny wk /sys/net/** ,"), 3, "/sys/net/" },
	{ "over two lines", BODY("deny\n  /sys/net/**\n  w,"), 3, "/sys/net/" },
	{ "second in a line", BODY("deny /a w, deny /sys/net/** w,"), 3, "/sys/net/" },
	{ "second line", BODY("deny /a w,\ndeny /sys/net/** w,"), 4, "/sys/net/" },
	{ "behind a pattern in braces", BODY("mount -> {/,/**},\ndeny /sys/net/** w,"), 4 },
	{ "in a child profile", BODY("profile y {\n deny /sys/user/** w,\n}"), 4, "/sys/user/" },
	{ "a variable of its own", "@{X}=/sys/net /a\n" BODY("deny @{X}/** w,"), 4, "/sys/net/" },
	{ "a variable in a variable", "@{X}=/sys\n@{Y}=@{X}/net\n" BODY("deny @{Y}/** w,"), 5 },
	{ "a variable that names itself", "@{X}=@{X}/a\n" BODY("deny @{X}/** w,"), 0 },
	{ "single sysctl of Docker's", BODY("deny /sys/kernel/shmmax w,"), 3, "/sys/kernel/shmmax" },
	/* each directory of /proc/sys */
	{ "abi", BODY("deny /sys/abi/** w,"), 3, "/sys/abi/" },
	{ "debug", BODY("deny /sys/debug/** w,"), 3, "/sys/debug/" },
	{ "dev", BODY("deny /sys/dev/** w,"), 3, "/sys/dev/" },
	{ "kernel", BODY("deny /sys/kernel/** w,"), 3, "/sys/kernel/" },
	/* what is no clash */
	{ "reading only", BODY("deny /sys/net/** rklx,"), 0 },
	{ "allowed", BODY("/sys/net/** w,"), 0 },
	{ "a comment", BODY("# deny /sys/net/** w,"), 0 },
	{ "a comment behind", BODY("deny /a w, # deny /sys/net/** w,"), 0 },
	{ "single global sysctls", BODY("deny /{proc/,}sys/kernel/core_{pattern,pipe_limit} w,"), 0 },
	{ "devices", BODY("deny /sys/devices/** w,"), 0 },
	{ "securityfs", BODY("deny /{**/,}sys/kernel/security/{,**} rwklx,"), 0 },
	{ "another kind of rule", BODY("deny mount -> /sys/net/**,\ndeny network alg,"), 0 },
	{ "nothing", "", 0 },
	{ "junk", "{{{ } \"[ deny \\", 0 },
};

static void test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct confine_clash clash;
		int code = confine_clash_find(CASES[i].text, &clash);

		if (code != (CASES[i].line != 0) || clash.line != CASES[i].line)
			fail_msg("%s: %d, line %u, %s", CASES[i].name, code, clash.line, clash.rule);
		if (CASES[i].sysctl && strncmp(clash.sysctl, CASES[i].sysctl, strlen(CASES[i].sysctl)))
			fail_msg("%s: %s", CASES[i].name, clash.sysctl);
	}
}

static int refuse(const char *text, struct ph_error *error)
{
	struct confine_clash clash;

	return confine_clash_find(text, &clash) ? confine_clash_refuse("p:3", &clash, error) : 0;
}

static void test_refusal(void **state)
{
	struct ph_error error = { 0 };

	assert_int_equal(refuse(BODY("deny /sys/block/** w,"), &error), 0);
	assert_int_equal(refuse(BODY("deny /sys/net/** w,"), &error), -EINVAL);
	assert_string_equal(error.where, "p:3");
	assert_non_null(strstr(error.why, "deny /sys/net/** w"));
	assert_true(error.remedy[0]);
}

/* A pattern that would take for ever is refused, not believed. */
static void test_involved(void **state)
{
	struct ph_error error = { 0 };

	assert_int_equal(refuse(BODY("deny /sys/**a**e**i**n**e**t**o**n**a**m**e**x** w,"),
				&error), 0);
	assert_int_equal(refuse(BODY("deny /{**,**}{**,**}{**,**}{**,**}{**,**}{**,**}{**,**}Q w,"),
				&error), -EINVAL);
	assert_non_null(strstr(error.why, "too involved"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_involved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
