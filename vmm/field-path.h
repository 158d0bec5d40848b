/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What field-parse.c and field-scalar.c share: the place in the input, for errors,
 * and the reading of values that hold no others.
 */
#pragma once

#include "vmm/field-internal.h"

/* Where we are in the input: a chain up the stack, turned into text only for an error. */
typedef struct FieldPath {
    const struct FieldPath *up;
    const char *name; /* NULL: an element */
    size_t index;
} FieldPath;

/* "Parameter 'a.b' WHY"; return false. */
bool field_fail(GError **error, const FieldPath *path, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
bool field_fail_type(GError **error, const FieldPath *path, const char *wanted, const Json *json);

bool field_parse_scalar(const Field *field, const Json *json, unsigned flags, void *slot, const FieldPath *path,
                        GError **error);
/* A whole number as C writes it. */
bool field_text_to_int(const char *text, int64_t *ret);

static inline bool field_is_type(const Json *json, JsonType type)
{
    return json_type_of(json) == type;
}

/* The text of a string that may stand for something else; NULL: it is none, or may not. */
static inline const char *field_lenient_text(const Json *json, unsigned flags)
{
    return (flags & FIELD_LENIENT) && field_is_type(json, JSON_STRING) ? json_get_string(json) : NULL;
}
