#include "tests/escape/escape.h"
const struct theme SOCKETS = { "sockets", 0, 0 };
