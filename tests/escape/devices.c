#include "tests/escape/escape.h"
const struct theme DEVICES = { "devices", 0, 0 };
