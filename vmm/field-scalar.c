/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The field language: from JSON into C, values that hold no others; and where an
 * error says it happened.  field-parse.c does the rest.
 *
 * Locking: none.
 */
#include <errno.h>
#include <string.h>

#include "vmm/error.h"
#include "vmm/field-path.h"

static void path_append(const FieldPath *path, GString *out)
{
    if (path->up) {
        path_append(path->up, out);
    }
    if (!path->name) {
        g_string_append_printf(out, "[%zu]", path->index);
    } else {
        g_string_append_printf(out, "%s%s", out->len ? "." : "", path->name);
    }
}

/* "Parameter 'a.b'", or "The value" at the top of an unnamed one. */
static char *path_subject(const FieldPath *path)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (path) {
        path_append(path, text);
    }
    return text->len ? g_strdup_printf("Parameter '%s'", text->str) : g_strdup("The value");
}

bool field_fail(GError **error, const FieldPath *path, const char *fmt, ...)
{
    g_autofree char *subject = path_subject(path);
    g_autofree char *why = NULL;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return error_set(error, "%s %s", subject, why);
}

bool field_fail_type(GError **error, const FieldPath *path, const char *wanted, const Json *json)
{
    return field_fail(error, path, "expects %s, not %s", wanted, json_type_name(json));
}

/* ---- scalars ---- */

static bool parse_bool(const Json *json, unsigned flags, bool *ret, const FieldPath *path, GError **error)
{
    const char *text = field_lenient_text(json, flags);

    if (field_is_type(json, JSON_BOOL)) {
        *ret = json_get_bool(json);
        return true;
    }
    if (!text) {
        return field_fail_type(error, path, "a boolean", json);
    }
    if (g_str_equal(text, "on") || g_str_equal(text, "yes") || g_str_equal(text, "true") || g_str_equal(text, "y")) {
        *ret = true;
        return true;
    }
    if (g_str_equal(text, "off") || g_str_equal(text, "no") || g_str_equal(text, "false") || g_str_equal(text, "n")) {
        *ret = false;
        return true;
    }
    return field_fail(error, path, "expects 'on' or 'off', not '%s'", text);
}

/* A whole number as C writes it: decimal, 0x..., 0...; with a sign. */
bool field_text_to_int(const char *text, int64_t *ret)
{
    char *end;

    errno = 0;
    *ret = g_ascii_strtoll(text, &end, 0);
    return errno == 0 && end != text && *end == '\0' && !g_ascii_isspace(*text);
}

static bool text_to_uint(const char *text, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = g_ascii_strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0' && !g_ascii_isspace(*text) && *text != '-';
}

static bool fail_int(GError **error, const FieldPath *path, int64_t min, int64_t max, const Json *json)
{
    const char *quote = field_is_type(json, JSON_STRING) ? "'" : "";

    return field_fail(error, path, "expects a number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ", not %s%s%s",
                      min, max, quote, json_get_string(json), quote);
}

static bool fail_uint(GError **error, const FieldPath *path, uint64_t min, uint64_t max, const Json *json)
{
    const char *quote = field_is_type(json, JSON_STRING) ? "'" : "";

    return field_fail(error, path, "expects a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ", not %s%s%s",
                      min, max, quote, json_get_string(json), quote);
}

static bool parse_int(const Field *field, const Json *json, unsigned flags, void *slot, const FieldPath *path,
                      GError **error)
{
    const char *text = field_lenient_text(json, flags);
    int64_t value = 0, min, max;
    bool fits = true;

    field_int_range(field, &min, &max);
    if (text) {
        fits = field_text_to_int(text, &value);
    } else if (field_is_type(json, JSON_INT)) {
        value = json_get_int(json);
    } else if (field_is_type(json, JSON_UINT)) {
        fits = false;
    } else {
        return field_fail_type(error, path, "an integer", json);
    }
    if (!fits || value < min || value > max) {
        return fail_int(error, path, min, max, json);
    }
    field_store_int(field, slot, value);
    return true;
}

static bool parse_uint(const Field *field, const Json *json, unsigned flags, void *slot, const FieldPath *path,
                       GError **error)
{
    const char *text = field_lenient_text(json, flags);
    uint64_t value = 0, min, max;
    bool fits = true;

    field_uint_range(field, &min, &max);
    if (text && field->type == FIELD_SIZE) {
        g_autoptr(GError) why = NULL;

        if (!size_parse(text, 1, &value, &why)) {
            return field_fail(error, path, "expects a size, but %s", why->message);
        }
    } else if (text) {
        fits = text_to_uint(text, &value);
    } else if (field_is_type(json, JSON_INT) || field_is_type(json, JSON_UINT)) {
        bool negative = field_is_type(json, JSON_INT) && json_get_int(json) < 0;

        fits = !negative || field->flags & FIELD_WRAPS;
        value = negative ? (uint64_t)json_get_int(json) : json_get_uint(json);
    } else {
        return field_fail_type(error, path, "an integer", json);
    }
    if (!fits || value < min || value > max) {
        return fail_uint(error, path, min, max, json);
    }
    field_store_uint(field, slot, value);
    return true;
}

static bool parse_number(const Json *json, unsigned flags, double *ret, const FieldPath *path, GError **error)
{
    const char *text = field_lenient_text(json, flags);
    char *end;

    if (text) {
        double value = g_ascii_strtod(text, &end);

        /* Not inf, not nan: their difference is not 0. */
        if (end == text || *end || g_ascii_isspace(*text) || !(value - value == 0)) {
            return field_fail(error, path, "expects a number, not '%s'", text);
        }
        *ret = value;
        return true;
    }
    if (!field_is_type(json, JSON_NUMBER) && !field_is_type(json, JSON_INT) && !field_is_type(json, JSON_UINT)) {
        return field_fail_type(error, path, "a number", json);
    }
    *ret = field_is_type(json, JSON_UINT) ? (double)json_get_uint(json) : json_get_number(json);
    return true;
}

/* The text of a string; where `numbers`, of an integer too. */
static const char *scalar_text(const Json *json, bool numbers)
{
    bool number = field_is_type(json, JSON_INT) || field_is_type(json, JSON_UINT) || field_is_type(json, JSON_NUMBER);

    return field_is_type(json, JSON_STRING) || (numbers && number) ? json_get_string(json) : NULL;
}

static bool parse_str(const Json *json, unsigned flags, char **ret, const FieldPath *path, GError **error)
{
    const char *text = scalar_text(json, flags & FIELD_LENIENT);

    if (!text) {
        return field_fail_type(error, path, "a string", json);
    }
    *ret = g_strdup(text);
    return true;
}

static bool parse_enum(const FieldEnum *e, const Json *json, int *ret, const FieldPath *path, GError **error)
{
    g_autofree char *all = NULL;
    const char *text, *nearest;

    if (!field_is_type(json, JSON_STRING)) {
        return field_fail_type(error, path, "a string", json);
    }
    text = json_get_string(json);
    for (int i = 0; e->values[i]; i++) {
        if (strcmp(e->values[i], text) == 0) {
            *ret = i;
            return true;
        }
    }
    field_fail(error, path, "does not accept '%s'", text);
    nearest = error_nearest(text, e->values);
    if (nearest) {
        return error_hint(error, "Did you mean '%s'?", nearest);
    }
    all = g_strjoinv(", ", (char **)(uintptr_t)e->values);
    return error_hint(error, "It is one of: %s.", all);
}

static bool parse_coded(const FieldCodec *codec, const Json *json, unsigned flags, void *slot, const FieldPath *path,
                        GError **error)
{
    const char *text = scalar_text(json, codec->accepts_int || (flags & FIELD_LENIENT));
    g_autoptr(GError) why = NULL;

    if (!text) {
        return field_fail_type(error, path, codec->name, json);
    }
    if (codec->parse(text, slot, &why)) {
        return true;
    }
    memset(slot, 0, codec->size);
    field_fail(error, path, "does not accept '%s': %s", text, why ? why->message : "it is malformed");
    return error_hint(error, "Expected is: %s, for example %s.", codec->name, codec->example);
}

bool field_parse_scalar(const Field *field, const Json *json, unsigned flags, void *slot, const FieldPath *path,
                        GError **error)
{
    switch (field->type) {
    case FIELD_BOOL:
        return parse_bool(json, flags, slot, path, error);
    case FIELD_INT:
        return parse_int(field, json, flags, slot, path, error);
    case FIELD_UINT:
    case FIELD_SIZE:
        return parse_uint(field, json, flags, slot, path, error);
    case FIELD_NUMBER:
        return parse_number(json, flags, slot, path, error);
    case FIELD_STR:
        return parse_str(json, flags, slot, path, error);
    case FIELD_ENUM:
        return parse_enum(field->of.enumeration, json, slot, path, error);
    case FIELD_NULL:
        return field_is_type(json, JSON_NULL) ? true : field_fail_type(error, path, "null", json);
    default:
        return parse_coded(field->of.codec, json, flags, slot, path, error);
    }
}
