#include "tests/escape/escape.h"
const struct theme MOUNT_API = { "mount_api", 0, 0 };
