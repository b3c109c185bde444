/*
 * The pages of the agent's own file. They are mapped sixteen around each that is touched, so that the
 * start, which goes through most of the program once, leaves nearly all of it in the resident set.
 */
#pragma once

#include <stddef.h>

/*
 * Let go of the mapped pages of the program's code and constants. They are the file's, so nothing is
 * lost: what is needed again is mapped again, from memory. What was written to stays, relocated
 * constants too. Returns how many bytes it let go of at most; 0 when the kernel refused.
 */
size_t pages_let_go(void);
