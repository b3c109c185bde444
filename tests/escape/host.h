/*
 * What the suite needs around the attempts: a first process for containers that hold nothing but
 * this program, the host's things that a container must not reach, and the host's state.
 */
#ifndef ESCAPE_HOST_H
#define ESCAPE_HOST_H

/* Names of what --serve offers on the host. */
#define HOST_ABSTRACT "escape-host"
#define HOST_PORT 47011
#define HOST_SOCKET "/run/escape/other/agent.sock"
/* Bound into the container by the suite: a socket that hands out the host's root directory. */
#define HOST_LEAK "leak.sock"

/* Reap children until SIGTERM, SIGPWR or SIGINT. Returns the exit status. */
int host_init(void);

/* Listen on the host's sockets until killed; prints "ready". Returns the exit status. */
int host_serve(void);

/* Answer "hello" to whoever connects to a TCP port, until killed. Returns the exit status. */
int host_listen(const char *port);

/* Print "path=value" lines of everything global that attempts aim at. Returns the exit status. */
int host_state(void);

#endif
