/*
 * escape: tries the rows of the escape suite from wherever it is started.
 *
 *   escape [--group denied|allowed|policy]... [--wall NAME]... [--theme NAME] [--only TEXT]
 *          [--tap | --json | --list] [--condition NAME]
 *   escape --init     be the first process of a container without anything else: wait, reap
 *   escape --listen PORT   (in a nested container) answer "hello"
 *   escape --serve    (on the host) be what a container must not reach: sockets, an open directory
 *   escape --beyond   do what only the profile refuses; exits with the errno (for labels.c)
 *   escape --state    (on the host) print what no attempt may change
 */
#include "tests/escape/host.h"
#include "tests/escape/report.h"
#include "tests/escape/select.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum format { FORMAT_TAP, FORMAT_JSON, FORMAT_LIST };

struct session {
	struct selection selection;
	enum format format;
	const char *condition; /* borrowed */
	int count, failed;
};

static void try_one(void *user, const struct theme *theme, const struct attempt *attempt,
		    enum access access)
{
	struct session *session = user;
	struct verdict verdict;

	session->count++;
	if (session->format == FORMAT_LIST) {
		printf("%s %s/%s%s%s\n", select_group_name(attempt->group), theme->name,
		       attempt->name, access ? " " : "", access_name(access));
		return;
	}
	run_attempt(attempt, access, &verdict);
	session->failed += !report_is_expected(attempt, &verdict);
	if (session->format == FORMAT_JSON)
		report_json(session->condition, theme, attempt, access, &verdict);
	else
		report_tap(session->count, theme, attempt, access, &verdict);
	fflush(stdout);
}

static int usage(void)
{
	fprintf(stderr, "usage: escape [--group denied|allowed|policy] [--wall NAME] [--theme NAME] [--only TEXT]"
			" [--tap|--json|--list] [--condition NAME]\n"
			"       escape --init | --serve | --state\n");
	return 2;
}

static const struct option OPTIONS[] = {
	{ "group", required_argument, NULL, 'g' },  { "theme", required_argument, NULL, 't' },
	{ "only", required_argument, NULL, 'o' },   { "condition", required_argument, NULL, 'c' },
	{ "tap", no_argument, NULL, 'T' },	    { "json", no_argument, NULL, 'J' },
	{ "list", no_argument, NULL, 'L' },	    { "init", no_argument, NULL, 'I' },
	{ "serve", no_argument, NULL, 'S' },	    { "state", no_argument, NULL, 'H' },
	{ "beyond", no_argument, NULL, 'B' },	    { "listen", required_argument, NULL, 'P' },
	{ "wall", required_argument, NULL, 'w' },
	{ NULL, 0, NULL, 0 },
};

int main(int argc, char **argv)
{
	struct session session = { .condition = "here" };
	int option, group, wall;

	while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) >= 0) {
		switch (option) {
		case 'g':
			group = select_group(optarg);
			if (group < 0)
				return usage();
			session.selection.groups |= 1U << group;
			break;
		case 'w':
			wall = select_wall(optarg);
			if (wall < 0)
				return usage();
			session.selection.walls |= (unsigned)wall;
			break;
		case 't': session.selection.theme = optarg; break;
		case 'o': session.selection.name = optarg; break;
		case 'c': session.condition = optarg; break;
		case 'T': session.format = FORMAT_TAP; break;
		case 'J': session.format = FORMAT_JSON; break;
		case 'L': session.format = FORMAT_LIST; break;
		case 'I': return host_init();
		case 'P': return host_listen(optarg);
		case 'B': return -act_beyond_profile();
		case 'S': return host_serve();
		case 'H': return host_state();
		default: return usage();
		}
	}
	if (optind != argc)
		return usage();
	select_each(&session.selection, try_one, &session);
	if (session.format == FORMAT_TAP)
		printf("1..%d\n", session.count);
	return session.failed ? 1 : 0;
}
