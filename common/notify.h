/*
 * Tells a service manager how a daemon is doing, with the sd_notify protocol: one datagram to the
 * socket named in $NOTIFY_SOCKET. Without that variable nothing happens.
 */
#pragma once

/* Send a state such as "READY=1"; failures are ignored: nobody has to listen. */
void notify_send(const char *state);
