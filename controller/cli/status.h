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

/* Print a verify report: checks by group, then the verdict in words. */
void status_print_report(const Phoenix__VerifyReport *report);

/* The word for a check's outcome: "PASS", "FAIL" ... */
const char *status_check_word(const Phoenix__Check *check);

/* Print one check as it is done. */
void status_print_check(const char *container, const Phoenix__Check *check);
