/*
 * The doctor on damaged copies of this machine's own policy, with the real parser: the guilty file and line are
 * named, and the tree loads afterwards or is refused untouched. SKIPs where the packages' policy is missing.
 */
#include "controller/doctor/repair.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "tests/component/doctor_world.h"

#define REFUSED true
#define ANY_LINE 0

/* Every kind of damage to a line that declares a variable: NAME and VALUE are put in. */
static const struct damage {
	const char *name, *before, *between, *after;
	bool has_value;
	enum doctor_kind kind;
	bool refused;
	size_t below; /* the guilty line is so far below the declaration's */
} damages[] = {
	{ "at lost", "{", "}=", "", true, DOCTOR_MISSING_AT, false },
	{ "at and braces lost", "", "=", "", true, DOCTOR_MISSING_AT, false },
	{ "braces lost", "@", "=", "", true, DOCTOR_BRACES, false },
	{ "closing brace lost", "@{", "=", "", true, DOCTOR_BRACES, false },
	{ "opening brace lost", "@", "}=", "", true, DOCTOR_BRACES, false },
	{ "no equals", "@{", "} ", "", true, DOCTOR_MISSING_EQUALS, false },
	{ "double equals", "@{", "}==", "", true, DOCTOR_DOUBLE_EQUALS, false },
	{ "a dollar", "$", "=", "", true, DOCTOR_BOOLEAN, false },
	{ "no value", "@{", "}=", "", false, DOCTOR_NO_VALUE, REFUSED },
	{ "a stray line before", "/stray/ = x\n@{", "}=", "", true, DOCTOR_STRAY, false },
	{ "words behind", "@{", "}=", "\nhello world", true, DOCTOR_STRAY, false, 1 },
	{ "added to nothing", "@{PHOENIX_NEW}+=/x\n@{", "}=", "", true, DOCTOR_UNDECLARED_ADD, false },
};

static const struct {
	const char *file, *variable;
} targets[] = {
	{ "tunables/home", "HOMEDIRS" },     { "tunables/home", "HOME" },
	{ "tunables/proc", "PROC" },	     { "tunables/kernelvars", "sys" },
	{ "tunables/multiarch", "multiarch" },
};

/* A whole file's text with another one in its place. */
static const struct edit {
	const char *name, *file, *find, *replace; /* find NULL: replace becomes the whole file */
	enum doctor_kind kind;
	bool refused;
} edits[] = {
	{ "unclosed: default", "lxc/lxc-default", "\n}\n", "\n", DOCTOR_UNCLOSED, false },
	{ "unclosed: cgns", "lxc/lxc-default-cgns", "\n}\n", "\n", DOCTOR_UNCLOSED, false },
	{ "unclosed: mounting", "lxc/lxc-default-with-mounting", "\n}\n", "\n", DOCTOR_UNCLOSED, false },
	{ "unclosed: nesting", "lxc/lxc-default-with-nesting", "\n}\n", "\n", DOCTOR_UNCLOSED, false },
	{ "unclosed, no line break", "lxc/lxc-default", "\n}\n", "", DOCTOR_UNCLOSED, false },
	{ "unclosed at the top", "lsb_release", "\n}\n", "\n", DOCTOR_UNCLOSED, false },
	{ "closed twice", "lxc/lxc-default", "\n}\n", "\n}\n}\n", DOCTOR_EXTRA_CLOSE, false },
	{ "closed twice: nesting", "lxc/lxc-default-with-nesting", "\n}\n", "\n}\n}\n",
	  DOCTOR_EXTRA_CLOSE, false },
	{ "never opened", "lxc/lxc-default-cgns", ") {", ")", DOCTOR_MISSING_OPEN, false },
	{ "binary", "tunables/proc", NULL, "\x7f""ELF\x01\x02", DOCTOR_BINARY, REFUSED },
	{ "binary profile", "lxc/lxc-default", NULL, "\x01\x02\x03", DOCTOR_BINARY, REFUSED },
	{ "CRLF and no at", "tunables/run", NULL, "{run}=/run/\r\n", DOCTOR_MISSING_AT, false },
	{ "no line break at the end", "tunables/run", NULL, "run=/run/", DOCTOR_MISSING_AT, false },
	{ "damage in the last line", "tunables/run", NULL, "@{run}=/run/\n@{x\n", DOCTOR_NO_VALUE, REFUSED },
	{ "a word that no policy knows", "lxc/lxc-default", "\n}\n", "\n  frobnicate /x,\n}\n", 0, REFUSED },
	{ "the same in an abstraction", "abstractions/base", NULL, "frobnicate /x,\n", 0, REFUSED },
};

/* Healthy, but not as one writes it: nothing may be touched. */
static const struct {
	const char *name, *file, *text;
} odd[] = {
	{ "no line break at the end", "tunables/run", "@{run}=/run/" },
	{ "spaces around equals", "tunables/run", "@{run}   =   /run/\n" },
	{ "comment with braces", "tunables/run", "# { @{x =\n@{run}=/run/\n" },
	{ "an empty file", "tunables/xdg-user-dirs.d/empty", "" },
	{ "only comments", "tunables/xdg-user-dirs.d/comment", "# } {\n#\n" },
	{ "quoted", "tunables/run", "@{run}=\"/run/\" \"/var run/\"\n" },
	{ "declared, then added to", "tunables/run", "@{run}=/run/\n@{run}+=/var/run/\n" },
	{ "braces on lines of their own", "odd", "profile odd\n{\n  /{a,b}/** r,\n}\n" },
	{ "a profile on one line", "odd", "profile odd { /x r, }\n" },
	{ "a hat and a child", "odd", "profile odd {\n  ^hat {\n    /x r,\n  }\n  profile kid {\n  }\n}\n" },
	{ "left by dpkg", "odd.dpkg-new", "profile odd {\n" },
	{ "hidden", ".odd", "profile odd {\n" },
};

/* Put one text in another's place, where it stands last; returns its line. */
static size_t replace_last(struct world *world, const char *file, const char *find, const char *replace)
{
	PH_AUTO_FREE char *text = read_file(world, file);
	PH_AUTO_STR struct str new = STR_INIT;
	const char *at = NULL;
	size_t line = 1;

	for (const char *next = strstr(text, find); next; next = strstr(next + 1, find))
		at = next;
	if (!at)
		fail_msg("%s has no '%s'", file, find);
	for (const char *c = text; c < at; c++)
		line += *c == '\n';
	str_append_bytes(&new, text, (size_t)(at - text));
	str_append(&new, replace);
	str_append(&new, at + strlen(find));
	write_file(world, file, str_text(&new));
	return line;
}

static bool accuses(const struct doctor_diagnosis *diagnosis, const char *file, enum doctor_kind kind,
		    size_t line, bool refused)
{
	for (size_t i = 0; i < diagnosis->guilty_count; i++) {
		const struct doctor_guilty *guilty = &diagnosis->guilty[i];

		if (strcmp(guilty->text->path, file) != 0 || (guilty->refusal != NULL) != refused)
			continue;
		for (size_t j = 0; j < guilty->scan.count; j++)
			if (guilty->scan.findings[j].kind == kind && guilty->scan.findings[j].line > 0 &&
			    (line == ANY_LINE || guilty->scan.findings[j].line == line))
				return true;
		if (!kind)
			return true;
	}
	return false;
}

static bool is_innocent_but(const struct doctor_diagnosis *diagnosis, const char *file, const char *other)
{
	for (size_t i = 0; i < diagnosis->guilty_count; i++)
		if (strcmp(diagnosis->guilty[i].text->path, file) != 0 &&
		    strcmp(diagnosis->guilty[i].text->path, other) != 0)
			return false;
	return true;
}

static void repair_and_check(struct world *world, const struct doctor_diagnosis *diagnosis, const char *name)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis after = DOCTOR_DIAGNOSIS_INIT;
	PH_AUTO_FREE char *backup = NULL;
	struct ph_error error = { 0 };

	if (doctor_repair(diagnosis, world->backups, &backup, &error) < 0)
		fail_msg("%s: %s: %s", name, error.where, error.why);
	assert_int_equal(doctor_diagnose(world->tree, &after, NULL), 0);
	if (after.failure_count || after.verdict != DOCTOR_HEALTHY)
		fail_msg("%s: the repaired tree does not load", name);
}

static void keep(struct world *world)
{
	run((const char *const[]){ "cp", "-a", world->tree, world->kept, NULL });
}

/* Whether every file of the tree has the bytes that keep() saw. */
static bool is_as_kept(struct world *world)
{
	const char *const argv[] = { "diff", "-r", "--no-dereference", world->kept, world->tree, NULL };

	return exec_check(argv, NULL, NULL, NULL) == 0;
}

struct expected {
	const char *name, *file;
	enum doctor_kind kind;
	size_t line;
	bool refused;
};

static void examine(struct world *world, const struct expected *expected)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	const char *name = expected->name, *file = expected->file;

	keep(world);
	assert_int_equal(doctor_diagnose(world->tree, &diagnosis, NULL), 0);
	if (!accuses(&diagnosis, file, expected->kind, expected->line, expected->refused))
		fail_msg("%s in %s:%zu: not accused", name, file, expected->line);
	if (!is_innocent_but(&diagnosis, file, file))
		fail_msg("%s in %s: an innocent file is accused", name, file);
	if (!is_as_kept(world))
		fail_msg("%s in %s: looking has changed the tree", name, file);
	assert_int_equal(diagnosis.verdict, expected->refused ? DOCTOR_REFUSED : DOCTOR_REPAIRABLE);
	if (!expected->refused)
		repair_and_check(world, &diagnosis, name);
}

/* Returns the guilty line. */
static size_t write_damage(struct world *world, size_t target, const struct damage *damage)
{
	PH_AUTO_STR struct str line = STR_INIT;
	PH_AUTO_FREE char *text = read_file(world, targets[target].file);
	PH_AUTO_STR struct str start = STR_INIT;
	char *at, *end;

	str_appendf(&start, "\n@{%s}=", targets[target].variable);
	at = strstr(text, str_text(&start));
	assert_non_null(at);
	at++;
	end = strchr(at, '\n');
	*end = '\0';
	str_appendf(&line, "%s%s%s%s%s", damage->before, targets[target].variable, damage->between,
		    damage->has_value ? at + start.length - 1 : "", damage->after);
	return replace_last(world, targets[target].file, at, str_text(&line)) + damage->below;
}

static void test_declarations(void **state)
{
	for (size_t target = 0; target < ARRAY_LENGTH(targets); target++) {
		for (size_t i = 0; i < ARRAY_LENGTH(damages); i++) {
			struct expected expected = { damages[i].name, targets[target].file, damages[i].kind,
						     ANY_LINE, damages[i].refused };
			struct world world;

			world_init(&world);
			expected.line = write_damage(&world, target, &damages[i]);
			examine(&world, &expected);
			world_fini(&world);
		}
	}
}

static void apply_edit(struct world *world, const struct edit *edit)
{
	if (edit->find)
		replace_last(world, edit->file, edit->find, edit->replace);
	else
		write_file(world, edit->file, edit->replace);
}

static void test_edits(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(edits); i++) {
		const struct expected expected = { edits[i].name, edits[i].file, edits[i].kind, ANY_LINE,
						   edits[i].refused };
		struct world world;

		world_init(&world);
		apply_edit(&world, &edits[i]);
		examine(&world, &expected);
		world_fini(&world);
	}
}

/* A damaged line that was not there before, as the first one of a file and as the last one. */
static void test_positions(void **state)
{
	static const struct {
		const char *line;
		enum doctor_kind kind;
	} lines[] = {
		{ "{PHOENIX_A}=/x", DOCTOR_MISSING_AT },
		{ "@{PHOENIX_A}==/x", DOCTOR_DOUBLE_EQUALS },
		{ "@PHOENIX_A=/x", DOCTOR_BRACES },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(targets) * 2; i++) {
		size_t line = i % ARRAY_LENGTH(lines);
		bool is_first = i < ARRAY_LENGTH(targets);
		struct expected expected = { lines[line].line, targets[i % ARRAY_LENGTH(targets)].file,
					     lines[line].kind, 1, false };
		PH_AUTO_FREE char *text = NULL, *new = NULL;
		struct world world;

		world_init(&world);
		text = read_file(&world, expected.file);
		new = is_first ? ph_format("%s\n%s", expected.name, text) :
				 ph_format("%s%s\n", text, expected.name);
		for (const char *c = text; !is_first && *c; c++)
			expected.line += *c == '\n';
		write_file(&world, expected.file, new);
		examine(&world, &expected);
		world_fini(&world);
	}
}

/* Every declaration's damage together with an unclosed profile: both are found, both are repaired. */
static void test_two_files_at_once(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(damages); i++) {
		DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
		struct world world;

		if (damages[i].refused)
			continue;
		world_init(&world);
		write_damage(&world, i % ARRAY_LENGTH(targets), &damages[i]);
		apply_edit(&world, &edits[i % 4]);
		assert_int_equal(doctor_diagnose(world.tree, &diagnosis, NULL), 0);
		assert_true(accuses(&diagnosis, targets[i % ARRAY_LENGTH(targets)].file, damages[i].kind, ANY_LINE,
				    false));
		assert_true(accuses(&diagnosis, edits[i % 4].file, DOCTOR_UNCLOSED, ANY_LINE, false));
		assert_true(is_innocent_but(&diagnosis, targets[i % ARRAY_LENGTH(targets)].file, edits[i % 4].file));
		repair_and_check(&world, &diagnosis, damages[i].name);
		world_fini(&world);
	}
}

static void test_odd_but_healthy(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(odd); i++) {
		DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
		struct world world;

		world_init(&world);
		write_file(&world, odd[i].file, odd[i].text);
		keep(&world);
		assert_int_equal(doctor_diagnose(world.tree, &diagnosis, NULL), 0);
		if (diagnosis.verdict != DOCTOR_HEALTHY)
			fail_msg("%s: %s", odd[i].name,
				 diagnosis.failure_count ? diagnosis.failures[0].message : "noted");
		assert_int_equal(diagnosis.guilty_count, 0);
		assert_true(is_as_kept(&world));
		world_fini(&world);
	}
}

/* Directories that policy includes: an empty one, and ones that are elsewhere. */
static void test_folders_are_healthy(void **state)
{
	static const char *const links[] = { NULL, "tunables/empty", "outside" };

	for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
		DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
		char path[600], target[600];
		struct world world;

		world_init(&world);
		assert_int_equal(mkdir(path_of(&world, "tunables/empty", path), 0755), 0);
		snprintf(target, sizeof(target), "%s/outside", world.scratch.path);
		assert_int_equal(mkdir(target, 0755), 0);
		if (links[i] && text_equal(links[i], "tunables/empty"))
			snprintf(target, sizeof(target), "tunables/empty");
		if (links[i])
			assert_int_equal(symlink(target, path_of(&world, "linked", path)), 0);
		write_file(&world, "odd", links[i] ? "include <linked>\n" : "include <tunables/empty>\n");
		assert_int_equal(doctor_diagnose(world.tree, &diagnosis, NULL), 0);
		if (diagnosis.verdict != DOCTOR_HEALTHY)
			fail_msg("%s: %s", links[i] ?: "empty",
				 diagnosis.failure_count ? diagnosis.failures[0].message : "noted");
		world_fini(&world);
	}
}

/* The parser takes a variable that nobody declares without a word; we do not. */
static void test_undeclared_is_noted(void **state)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	struct world world;

	world_init(&world);
	write_file(&world, "tunables/run", "@{run}=/run/ @{NOBODY}/run/\n");
	assert_int_equal(doctor_diagnose(world.tree, &diagnosis, NULL), 0);
	assert_int_equal(diagnosis.verdict, DOCTOR_NOTED);
	assert_true(accuses(&diagnosis, "tunables/run", DOCTOR_UNDECLARED_USE, 1, true));
	world_fini(&world);
}

static void test_symlinks(void **state)
{
	static const struct {
		const char *to;
		bool outside;
	} cases[] = { { "real/run", false }, { "../outside", true } };

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
		char path[600], target[600];
		struct world world;

		world_init(&world);
		assert_int_equal(mkdir(path_of(&world, "tunables/real", path), 0755), 0);
		snprintf(target, sizeof(target), "tunables/%s", cases[i].to);
		if (cases[i].outside)
			snprintf(target, sizeof(target), "../outside");
		write_file(&world, target, "{run}=/run/\n");
		assert_int_equal(unlink(path_of(&world, "tunables/run", path)), 0);
		assert_int_equal(symlink(cases[i].outside ? "../../outside" : cases[i].to, path), 0);
		assert_int_equal(doctor_diagnose(world.tree, &diagnosis, NULL), 0);
		assert_true(accuses(&diagnosis, cases[i].outside ? "tunables/run" : target, DOCTOR_MISSING_AT, 1,
				    cases[i].outside));
		if (!cases[i].outside)
			repair_and_check(&world, &diagnosis, "symlink");
		world_fini(&world);
	}
}

static void test_huge_file(void **state)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	struct world world;
	char path[600];

	world_init(&world);
	assert_int_equal(truncate(path_of(&world, "tunables/run", path), 64 << 20), 0);
	assert_int_equal(doctor_diagnose(world.tree, &diagnosis, NULL), 0);
	assert_int_equal(diagnosis.verdict, DOCTOR_REFUSED);
	assert_int_equal(diagnosis.guilty_count, 1);
	assert_string_equal(diagnosis.guilty[0].text->path, "tunables/run");
	assert_non_null(strstr(diagnosis.guilty[0].refusal, "too big"));
	world_fini(&world);
}

static void test_changed_meanwhile(void **state)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	PH_AUTO_FREE char *backup = NULL, *text = NULL;
	struct world world;

	diagnose_damaged(&world, &diagnosis);
	write_file(&world, "tunables/run", "@{run}=/mended/by/hand/\n");
	assert_int_equal(doctor_repair(&diagnosis, world.backups, &backup, NULL), -EAGAIN);
	text = read_file(&world, "tunables/run");
	assert_string_equal(text, "@{run}=/mended/by/hand/\n");
	world_fini(&world);
}

static void test_owner_and_mode_are_kept(void **state)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	struct world world;
	struct stat stat_after;
	char path[600];

	diagnose_damaged(&world, &diagnosis);
	path_of(&world, "tunables/run", path);
	assert_int_equal(chmod(path, 0640), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 1234, 4321), 0);
	repair_and_check(&world, &diagnosis, "owner");
	assert_int_equal(stat(path, &stat_after), 0);
	assert_int_equal(stat_after.st_mode & 07777, 0640);
	if (geteuid() == 0)
		assert_int_equal(stat_after.st_uid, 1234);
	world_fini(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_declarations),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_two_files_at_once),
		cmocka_unit_test(test_odd_but_healthy),
		cmocka_unit_test(test_folders_are_healthy),
		cmocka_unit_test(test_undeclared_is_noted),
		cmocka_unit_test(test_symlinks),
		cmocka_unit_test(test_huge_file),
		cmocka_unit_test(test_changed_meanwhile),
		cmocka_unit_test(test_owner_and_mode_are_kept),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (access(POLICY "/lxc/lxc-default", R_OK) || !exec_is_installed("apparmor_parser")) {
		puts("1..0 # SKIP the packages apparmor and lxc are not installed");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
