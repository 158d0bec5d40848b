/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a JSON value ends (RFC 8259): brackets are counted outside of strings.  What lies between is json_parse()'s to
 * judge, but for what would keep the end from being found.
 *
 * As QEMU's does, it takes strings in single quotes, which people type: they become double ones on the way.
 *
 *          '{' '['                    last bracket
 *     TOP ---------> VALUE ------------------------> TOP, a value
 *      |               | too deep, a control character
 *      | anything else v
 *      +-----------> JUNK --- line end, 0xff ---> TOP
 *                      too long: LONG, which counts on without keeping --- last bracket, 0xff ---> TOP
 */
#include "monitor/json-stream.h"

#include "vmm/error.h"

enum { TOP, VALUE, JUNK, LONG };

struct JsonStream {
    GString *text; /* of the value so far */
    int state;
    unsigned depth;
    char quote; /* of the string that this is in; 0: in none */
    bool escaped;
};

JsonStream *json_stream_new(void)
{
    JsonStream *s = g_new0(JsonStream, 1);

    s->text = g_string_new(NULL);
    return s;
}

void json_stream_free(JsonStream *s)
{
    if (s) {
        g_string_free(s->text, TRUE);
        g_free(s);
    }
}

/* Long texts are rare: their room is given back. */
static void enter(JsonStream *s, int state)
{
    if (s->text->allocated_len > 64u << 10) {
        g_string_free(s->text, TRUE);
        s->text = g_string_new(NULL);
    }
    g_string_truncate(s->text, 0);
    s->state = state;
    if (state != LONG) {
        s->depth = 0;
        s->quote = 0;
        s->escaped = false;
    }
}

void json_stream_reset(JsonStream *s)
{
    enter(s, TOP);
}

static bool fail(JsonStream *s, uint8_t c, GError **error, const char *why)
{
    enter(s, c == '\n' ? TOP : JUNK);
    return error_set(error, "JSON: %s", why);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void count_in_string(JsonStream *s, uint8_t c)
{
    if (s->escaped) {
        s->escaped = false;
    } else if (c == '\\') {
        s->escaped = true;
    } else if (c == s->quote) {
        s->quote = 0;
    }
}

static void count(JsonStream *s, uint8_t c)
{
    if (s->quote) {
        count_in_string(s, c);
    } else if (c == '"' || c == '\'') {
        s->quote = (char)c;
    } else if (c == '{' || c == '[') {
        s->depth++;
    } else if (c == '}' || c == ']') {
        s->depth--;
    }
}

/* Before count(): c as it is in a text with double quotes only. */
static void keep(JsonStream *s, uint8_t c)
{
    bool single = s->quote == '\'' || (!s->quote && c == '\'');

    if (single && c == '"' && !s->escaped) {
        g_string_append(s->text, "\\\"");
    } else if (single && c == '\'' && s->escaped) {
        s->text->str[s->text->len - 1] = '\'';
    } else {
        g_string_append_c(s->text, single && c == '\'' ? '"' : (char)c);
    }
}

/* One byte of a value.  false: it cannot be part of one. */
static bool take(JsonStream *s, uint8_t c, GError **error)
{
    if (c < ' ' && (s->quote || !is_space(c))) {
        return fail(s, c, error, s->quote ? "a string does not end on its line" : "a control character");
    }
    if (s->state == VALUE && s->text->len < JSON_STREAM_MAX) {
        keep(s, c);
        count(s, c);
    } else {
        count(s, c);
        if (s->state == VALUE) {
            enter(s, s->depth ? LONG : TOP);
            return error_set(error, "JSON: a value of more than %u bytes", JSON_STREAM_MAX);
        }
    }
    if (s->depth > JSON_DEPTH_MAX) {
        return fail(s, c, error, "values are nested too deeply");
    }
    return true;
}

static bool step(JsonStream *s, uint8_t c, Json **ret, GError **error)
{
    if (c == 0xff) {
        enter(s, TOP);
        return true;
    }
    if (s->state == JUNK) {
        s->state = c == '\n' ? TOP : JUNK;
        return true;
    }
    if (s->state == TOP) {
        if (is_space(c)) {
            return true;
        }
        if (c != '{' && c != '[') {
            return fail(s, c, error, "an object is expected");
        }
        s->state = VALUE;
    }
    if (!take(s, c, error)) {
        return false;
    }
    if (s->depth == 0) {
        *ret = s->state == VALUE ? json_parse(s->text->str, s->text->len, error) : NULL;
        enter(s, TOP);
    }
    return !error || !*error;
}

size_t json_stream_read(JsonStream *s, const uint8_t *data, size_t length, Json **ret, GError **error)
{
    GError *wrong = NULL;
    size_t n = 0;

    *ret = NULL;
    while (n < length && !*ret && !wrong) {
        step(s, data[n++], ret, &wrong);
    }
    if (wrong) {
        g_propagate_error(error, wrong);
    }
    return n;
}
