/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON text, written as it is told (RFC 8259).  Strings that are not UTF-8 are
 * made so: a byte that does not belong becomes U+FFFD.  Locking: none.
 */
#include <math.h>
#include <string.h>

#include "vmm/json.h"

struct JsonWriter {
    GString *out;
    bool pretty;
    bool first;     /* nothing yet in the innermost array or object */
    unsigned depth;
};

JsonWriter *json_writer_new(bool pretty)
{
    JsonWriter *w = g_new0(JsonWriter, 1);

    w->out = g_string_new(NULL);
    w->pretty = pretty;
    w->first = true;
    return w;
}

char *json_writer_finish(JsonWriter *w)
{
    char *text = g_string_free(w->out, FALSE);

    g_free(w);
    return text;
}

static void new_line(JsonWriter *w)
{
    if (w->pretty) {
        g_string_append_printf(w->out, "\n%*s", (int)w->depth * 4, "");
    }
}

static void append_string(GString *out, const char *s)
{
    g_autofree char *valid = g_utf8_make_valid(s, -1);

    g_string_append_c(out, '"');
    for (const char *p = valid; *p; p++) {
        switch (*p) {
        case '"':
        case '\\':
            g_string_append_c(out, '\\');
            g_string_append_c(out, *p);
            break;
        case '\b':
            g_string_append(out, "\\b");
            break;
        case '\f':
            g_string_append(out, "\\f");
            break;
        case '\n':
            g_string_append(out, "\\n");
            break;
        case '\r':
            g_string_append(out, "\\r");
            break;
        case '\t':
            g_string_append(out, "\\t");
            break;
        default:
            if ((unsigned char)*p < 0x20 || *p == 0x7f) {
                g_string_append_printf(out, "\\u%04x", (unsigned char)*p);
            } else {
                g_string_append_c(out, *p);
            }
            break;
        }
    }
    g_string_append_c(out, '"');
}

/* What stands before every value: the comma, and the name inside an object. */
static void begin_value(JsonWriter *w, const char *name)
{
    if (!w->first) {
        g_string_append(w->out, w->pretty ? "," : ", ");
    }
    if (w->depth > 0) {
        new_line(w);
    }
    w->first = false;
    if (name) {
        append_string(w->out, name);
        g_string_append(w->out, ": ");
    }
}

static void begin(JsonWriter *w, const char *name, char bracket)
{
    begin_value(w, name);
    g_string_append_c(w->out, bracket);
    w->depth++;
    w->first = true;
}

static void end(JsonWriter *w, char bracket)
{
    bool empty = w->first;

    w->depth--;
    if (!empty) {
        new_line(w);
    }
    g_string_append_c(w->out, bracket);
    w->first = false;
}

void json_write_begin_object(JsonWriter *w, const char *name)
{
    begin(w, name, '{');
}

void json_write_end_object(JsonWriter *w)
{
    end(w, '}');
}

void json_write_begin_array(JsonWriter *w, const char *name)
{
    begin(w, name, '[');
}

void json_write_end_array(JsonWriter *w)
{
    end(w, ']');
}

void json_write_null(JsonWriter *w, const char *name)
{
    begin_value(w, name);
    g_string_append(w->out, "null");
}

void json_write_bool(JsonWriter *w, const char *name, bool b)
{
    begin_value(w, name);
    g_string_append(w->out, b ? "true" : "false");
}

void json_write_int(JsonWriter *w, const char *name, int64_t i)
{
    begin_value(w, name);
    g_string_append_printf(w->out, "%" G_GINT64_FORMAT, i);
}

void json_write_uint(JsonWriter *w, const char *name, uint64_t u)
{
    begin_value(w, name);
    g_string_append_printf(w->out, "%" G_GUINT64_FORMAT, u);
}

void json_write_number(JsonWriter *w, const char *name, double d)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    if (!isfinite(d)) {
        json_write_null(w, name); /* JSON has no infinity */
        return;
    }
    begin_value(w, name);
    g_string_append(w->out, g_ascii_dtostr(text, sizeof(text), d == 0 ? 0 : d)); /* no "-0" */
}

void json_write_string(JsonWriter *w, const char *name, const char *s)
{
    begin_value(w, name);
    append_string(w->out, s);
}

static bool write_member(const char *name, Json *value, void *opaque)
{
    json_write_value(opaque, name, value);
    return true;
}

void json_write_value(JsonWriter *w, const char *name, const Json *value)
{
    switch (json_type_of(value)) {
    case JSON_NULL:
        json_write_null(w, name);
        break;
    case JSON_BOOL:
        json_write_bool(w, name, json_get_bool(value));
        break;
    case JSON_INT:
        json_write_int(w, name, json_get_int(value));
        break;
    case JSON_UINT:
        json_write_uint(w, name, json_get_uint(value));
        break;
    case JSON_NUMBER:
        json_write_number(w, name, json_get_number(value));
        break;
    case JSON_STRING:
        json_write_string(w, name, json_get_string(value));
        break;
    case JSON_ARRAY:
        json_write_begin_array(w, name);
        for (size_t i = 0; i < json_array_length(value); i++) {
            json_write_value(w, NULL, json_array_get(value, i));
        }
        json_write_end_array(w);
        break;
    case JSON_OBJECT:
        json_write_begin_object(w, name);
        json_object_each(value, write_member, w);
        json_write_end_object(w);
        break;
    }
}
