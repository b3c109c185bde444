#include "tests/escape/escape.h"
const struct theme PROCESSES = { "processes", 0, 0 };
