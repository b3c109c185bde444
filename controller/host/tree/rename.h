/*
 * Renames that replace nothing by accident, and such that exchange. Not every file system knows the flags of renameat2:
 * ZFS before 2.2 says EINVAL to all of them. There the same is done by looking first and in plain renames, so the
 * caller holds a lock against its own kind. Names are one component, looked up in open directories.
 */
#pragma once

/* Rename to a name that is not taken. -EEXIST when it is, and nothing has changed; other negative errno. */
int rename_new(int from, const char *name, int to, const char *new_name);

/*
 * Let a finished work directory take its name in dir; what stood there has the work directory's name then. Where the two
 * cannot be exchanged, a crash in between leaves the name free, and what stood there beside it, as WORK.old.
 */
int rename_publish(int dir, const char *work, const char *name);
