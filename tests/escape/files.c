#include "tests/escape/escape.h"
const struct theme FILES = { "files", 0, 0 };
