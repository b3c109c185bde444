/*
 * Containers for people: the tables of list and health, the sections of show.
 */
#pragma once

#include "proto/control.pb-c.h"

/* Print the table of `list`. */
void status_print_list(const Phoenix__ListReply *reply);

/* Print the table of `health`, and below it why something is not as it should be. */
void status_print_health(const Phoenix__ListReply *reply);

/* Print everything known of one container. */
void status_print_whole(const Phoenix__ContainerStatus *status);
