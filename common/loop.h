/*
 * What a process with a libuv loop needs beside its handles: libuv's memory ends as ours does. Nothing here is
 * needed by who only uses handles.
 */
#pragma once

/* Let libuv allocate as ph_alloc() does, so that it says why it ends. Before its first call. */
void loop_adopt_memory(void);
