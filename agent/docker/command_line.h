/*
 * `phoenix-agent install`: the install by hand, without a controller, with its steps on stderr and
 * the summary on stdout.
 */
#pragma once

/* Run it; argv[0] is the subcommand. Returns the exit code: 0 done, 1 failed, 2 bad usage. */
int docker_main(int argc, char **argv);
