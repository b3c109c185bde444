#include "tests/escape/escape.h"
const struct theme CALLS = { "calls", 0, 0 };
