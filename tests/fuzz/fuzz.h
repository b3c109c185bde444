/*
 * What every fuzz target shares. A target is one function from bytes to 0; what must not happen ends the
 * program, so that libFuzzer keeps the input and a replay fails.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Try one input. libFuzzer's interface: always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* End the program, saying what does not hold, unless it does. Not assert(): it is there in every build. */
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)
