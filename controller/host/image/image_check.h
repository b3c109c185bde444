/*
 * Whether an unpacked root filesystem is a system that Phoenix can put Docker into.
 */
#pragma once

#include "common/error.h"

/*
 * Look for what must be there: os-release, programs, dpkg's status. system receives the
 * PRETTY_NAME of os-release as plain ASCII. -EINVAL says what is missing, and what the archive
 * looks like instead.
 */
int image_check(int rootfs, char system[96], struct ph_error *error);
