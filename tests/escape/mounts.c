#include "tests/escape/escape.h"
const struct theme MOUNTS = { "mounts", 0, 0 };
