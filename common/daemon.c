#include "common/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

int daemon_parse_options(int argc, char **argv, const char *name, const char *usage,
			 struct daemon_options *ret_options)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, 'v' },
						 { 0 } };
	struct daemon_options result = { .config = DAEMON_CONFIG };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			result.config = optarg;
			result.is_required = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		case 'v':
			printf("%s " PH_VERSION "\n", name);
			exit(EXIT_SUCCESS);
		default:
			fputs(usage, stderr);
			return -EINVAL;
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return -EINVAL;
	}
	*ret_options = result;
	return 0;
}

void daemon_print_failure(const char *name, const struct ph_error *error)
{
	char text[1024];

	fprintf(stderr, "%s: %s\n", name, error_format(error, text, sizeof(text)));
	if (error->remedy[0])
		fprintf(stderr, "%s: to do: %s\n", name, error->remedy);
}
