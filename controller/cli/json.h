/*
 * Any protobuf-c message as JSON, by its descriptor: enums as their names, 64-bit numbers as JSON
 * numbers, bytes as hex, bytes that are no UTF-8 as \xNN, absent sub-messages as null, repeated fields always as arrays.
 */
#pragma once

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* Make a JSON object of a message; the caller owns the reference. */
json_t *json_from_message(const ProtobufCMessage *message);

/* Print a message on stdout: indented as one document, or as one line of a stream. */
void json_print(const ProtobufCMessage *message, bool as_line);
