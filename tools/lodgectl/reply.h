/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members of a domain's replies, which may be anything: each asks for a type, and says whether it was there.
 */
#pragma once

#include "vmm/json.h"

static inline const Json *reply_member(const Json *object, const char *name, JsonType type)
{
    const Json *value = object && json_type_of(object) == JSON_OBJECT ? json_object_get_member(object, name) : NULL;

    return value && json_type_of(value) == type ? value : NULL;
}

static inline const char *reply_text(const Json *object, const char *name)
{
    const Json *value = reply_member(object, name, JSON_STRING);

    return value ? json_get_string(value) : NULL;
}

static inline bool reply_int(const Json *object, const char *name, int64_t *ret)
{
    const Json *value = reply_member(object, name, JSON_INT);

    if (value) {
        *ret = json_get_int(value);
    }
    return value != NULL;
}

static inline size_t reply_length(const Json *array)
{
    return array && json_type_of(array) == JSON_ARRAY ? json_array_length(array) : 0;
}
