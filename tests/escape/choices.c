#include "tests/escape/escape.h"
const struct theme CHOICES = { "choices", 0, 0 };
