/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON values (RFC 8259) over json-c.  Input is bounded: a caller-given number
 * of bytes and JSON_DEPTH_MAX levels; int64 and uint64 are kept apart, duplicate
 * names and invalid UTF-8 are errors.  Output goes through JsonWriter, so the
 * wire never follows the layout of a C struct.
 *
 * A Json is reference counted and immutable once parsed.  Any thread, one at a
 * time.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 64

typedef struct json_object Json;
typedef enum JsonType {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,
    JSON_UINT,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
} JsonType;

/* Parses one whole value; anything but white space after it is an error. */
Json *json_parse(const char *text, size_t length, GError **error);
Json *json_ref(Json *json);
void json_unref(Json *json); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Json, json_unref)

JsonType json_type_of(const Json *json); /* JSON_UINT only above INT64_MAX */
const char *json_type_name(const Json *json); /* "a string" */
bool json_get_bool(const Json *json);
int64_t json_get_int(const Json *json);
uint64_t json_get_uint(const Json *json);
double json_get_number(const Json *json);
const char *json_get_string(const Json *json); /* owned by json */

size_t json_array_length(const Json *json);
Json *json_array_get(const Json *json, size_t index);         /* borrowed */
Json *json_object_get_member(const Json *json, const char *name); /* borrowed, NULL: absent */
typedef bool (*JsonMemberFn)(const char *name, Json *value, void *opaque); /* false: stop */
bool json_object_each(const Json *json, JsonMemberFn fn, void *opaque);

/* Builders, for what was not parsed (key=value text, tests). */
Json *json_new_null(void);
Json *json_new_object(void);
Json *json_new_array(void);
/* The array of a key given more than once in key=value text: a list, or, where one value is
 * wanted, the last of them. */
Json *json_new_repeated(void);
bool json_is_repeated(const Json *json);
Json *json_new_string(const char *s);
Json *json_new_bool(bool b);
Json *json_new_int(int64_t i);
void json_object_put_member(Json *object, const char *name, Json *value); /* takes value; replaces */
void json_array_put(Json *array, Json *value);                     /* takes value */

/* The writer: compact (the monitor) or pretty. name is NULL inside arrays and at the top. */
typedef struct JsonWriter JsonWriter;
JsonWriter *json_writer_new(bool pretty);
char *json_writer_finish(JsonWriter *w); /* frees w; caller frees the text */
void json_write_begin_object(JsonWriter *w, const char *name);
void json_write_end_object(JsonWriter *w);
void json_write_begin_array(JsonWriter *w, const char *name);
void json_write_end_array(JsonWriter *w);
void json_write_null(JsonWriter *w, const char *name);
void json_write_bool(JsonWriter *w, const char *name, bool b);
void json_write_int(JsonWriter *w, const char *name, int64_t i);
void json_write_uint(JsonWriter *w, const char *name, uint64_t u);
void json_write_number(JsonWriter *w, const char *name, double d);
void json_write_string(JsonWriter *w, const char *name, const char *s);
void json_write_value(JsonWriter *w, const char *name, const Json *value);
