/* Health by hand, anywhere and without a controller. */
#pragma once

/*
 * `phoenix-agent health [--driver NAME] [--user NAME]... [--json]`. Exit codes: 0 all is True, 1 it
 * could not be told, 2 bad usage, 3 something is not.
 */
int health_main(int argc, char **argv);
