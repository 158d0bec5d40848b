/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON values out of a byte stream, whatever its packets: a monitor client may send a value in
 * pieces, or many at once, with or without line ends between them.
 *
 * Bounded: a value of more than JSON_STREAM_MAX bytes or JSON_DEPTH_MAX levels is an error.
 * After an error the stream goes on behind the end of the line, or at once after a byte 0xff,
 * which is no part of any text and means "forget what came before".  Main thread.
 */
#pragma once

#include "vmm/json.h"

#define JSON_STREAM_MAX (4u << 20)

typedef struct JsonStream JsonStream;

JsonStream *json_stream_new(void);
void json_stream_free(JsonStream *s); /* NULL is fine */
void json_stream_reset(JsonStream *s); /* another client's bytes follow */

/* Reads up to the end of one value, or of what is wrong.  Returns the bytes read.  *ret is the value, the caller's;
 * NULL: not complete yet, or *error says what is wrong. */
size_t json_stream_read(JsonStream *s, const uint8_t *data, size_t length, Json **ret, GError **error);
