#include "tests/escape/escape.h"
const struct theme CGROUPS = { "cgroups", 0, 0 };
