/*
 * The pages that the agent keeps for nothing. Those of its own file are mapped sixteen around each that is
 * touched, so that the start, which goes through most of the program once, leaves nearly all of it in the
 * resident set; deep calls leave their stack there, and what was freed its heap.
 */
#pragma once

#include <stddef.h>

/*
 * Let go of the mapped pages of the program's code and constants, of the stack below the caller, and of
 * freed heap. The first are the file's, so nothing is lost: what is needed again is mapped again, from
 * memory. What was written to stays, relocated constants too. Returns how many bytes of the file it let go
 * of at most; 0 when the kernel refused.
 */
size_t pages_let_go(void);
