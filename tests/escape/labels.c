#include "tests/escape/escape.h"
const struct theme LABELS = { "labels", 0, 0 };
