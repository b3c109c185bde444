/*
 * The batteries by hand, anywhere and without a controller: what phoenixd asks an agent for, as
 * subcommands. Exit codes: 0 passed (or chosen), 1 could not be run, 2 bad usage, 3 a check failed
 * (or every driver is refused).
 */
#pragma once

/* `phoenix-agent verify [--data-root DIR] [--driver NAME] [--skip-docker] [--json]`. */
int verify_main(int argc, char **argv);

/* `phoenix-agent choose [--data-root DIR] [--driver NAME] [--accept WHAT]... [--json]`. */
int choose_main(int argc, char **argv);

/* `phoenix-agent storage [--data-root DIR] [--driver NAME] [--accept WHAT]... [--json]`. */
int storage_main(int argc, char **argv);
