/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON values over json-c's tokener.
 *
 * json-c takes more than RFC 8259 allows in a few places (single quotes, repeated
 * names, \u0000, half surrogate pairs, NaN, 1., raw control characters), saturates numbers that are too
 * large, and has no notion of a cap on the number of values.  A scan over the text
 * comes first and settles these: it needs no memory beyond a few counters.  The null
 * value is json-c's NULL pointer; here every value is an object, so nulls are replaced
 * by a marked string.
 *
 * Locking: none; a Json is immutable once parsed and counted without atomics.
 */
#include "vmm/json.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "vmm/error.h"

#define JSON_TEXT_MAX   (64u << 20)
#define JSON_VALUES_MAX (2u << 20)

/* Their addresses mark objects. */
static const char null_mark, repeated_mark;

static Json *new_marked(Json *json, const char *mark)
{
    json_object_set_userdata(json, (void *)(uintptr_t)mark, NULL);
    return json;
}

static bool is_marked(const Json *json, const char *mark)
{
    return json_object_get_userdata((Json *)json) == mark;
}

/* ---- parsing ---- */

typedef struct Scan {
    size_t depth, deepest;
    size_t values;  /* at most so many in the text */
    size_t members; /* colons: as many as members if no name is repeated */
} Scan;

static bool fail_at(GError **error, size_t at, const char *why)
{
    return error_set(error, "JSON: %s, at byte %zu", why, at);
}

/* The number that \uXXXX at text[i] stands for; -1: it is none. */
static int scan_escape(const char *text, size_t length, size_t i)
{
    int value = 0;

    if (length - i < 6 || text[i] != '\\' || text[i + 1] != 'u') {
        return -1;
    }
    for (unsigned n = 2; n < 6; n++) {
        int digit = g_ascii_xdigit_value(text[i + n]);

        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* What begins with a backslash at text[i]; returns how many characters it has, 0 on error. */
static size_t scan_escaped(const char *text, size_t length, size_t i, GError **error)
{
    int value = scan_escape(text, length, i);

    if (value == 0) {
        fail_at(error, i, "a string holds a zero character");
        return 0;
    }
    if (value >= 0xd800 && value <= 0xdfff) { /* RFC 8259 section 7: a pair, or nothing */
        int low = length - i > 6 ? scan_escape(text, length, i + 6) : -1;

        if (value > 0xdbff || low < 0xdc00 || low > 0xdfff) {
            fail_at(error, i, "half of a surrogate pair");
            return 0;
        }
        return 12;
    }
    return 2;
}

/* Skips the string that begins after text[i - 1] == '"'; returns the index after its end, 0 on error. */
static size_t scan_string(const char *text, size_t length, size_t i, GError **error)
{
    for (; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"') {
            return i + 1;
        }
        if (c < 0x20) {
            fail_at(error, i, "a control character stands unescaped in a string");
            return 0;
        }
        if (c == '\\') {
            size_t n = scan_escaped(text, length, i, error);

            if (!n) {
                return 0;
            }
            i += n - 1;
        }
    }
    fail_at(error, length, "a string does not end");
    return 0;
}

/* Moves *i over `skip` characters and the digits that follow; false: there are none. */
static bool skip_digits(const char *text, size_t length, size_t *i, size_t skip)
{
    size_t begin = *i + skip;

    for (*i = begin; *i < length && g_ascii_isdigit(text[*i]);) {
        ++*i;
    }
    return *i > begin;
}

/* Numbers as RFC 8259 section 6 writes them; whole ones must fit 64 bits.  Returns the index after, 0 on error. */
static size_t scan_number(const char *text, size_t length, size_t i, GError **error)
{
    bool negative = text[i] == '-', fits = true, whole = true, good;
    uint64_t value = 0, limit = negative ? UINT64_C(1) << 63 : UINT64_MAX;
    size_t digits, begin = i;

    for (i += negative, digits = i; i < length && g_ascii_isdigit(text[i]); i++) {
        unsigned digit = (unsigned)(text[i] - '0');

        fits = fits && value <= (limit - digit) / 10;
        value = value * 10 + digit;
    }
    good = i > digits && (text[digits] != '0' || i - digits == 1);
    if (i < length && text[i] == '.') {
        whole = false;
        good = good && skip_digits(text, length, &i, 1);
    }
    if (i < length && (text[i] == 'e' || text[i] == 'E')) {
        bool sign = i + 1 < length && (text[i + 1] == '+' || text[i + 1] == '-');

        whole = false;
        good = good && skip_digits(text, length, &i, 1 + sign);
    }
    if (!good || (whole && !fits)) {
        fail_at(error, begin, good ? "a number that does not fit 64 bits" : "a malformed number");
        return 0;
    }
    return i;
}

static bool scan(const char *text, size_t length, Scan *s, GError **error)
{
    size_t i = 0;

    *s = (Scan){ .values = 1 };
    while (i < length) {
        switch (text[i++]) {
        case '-':
        case '0' ... '9':
            i = scan_number(text, length, i - 1, error);
            if (i == 0) {
                return false;
            }
            break;
        case '\'':
            return fail_at(error, i - 1, "a string stands in single quotes");
        case '"':
            i = scan_string(text, length, i, error);
            if (i == 0) {
                return false;
            }
            break;
        case '{':
        case '[':
            s->values++;
            s->depth++;
            s->deepest = MAX(s->deepest, s->depth);
            if (s->depth > JSON_DEPTH_MAX) {
                return fail_at(error, i - 1, "more than " G_STRINGIFY(JSON_DEPTH_MAX) " levels of nesting");
            }
            break;
        case '}':
        case ']':
            s->depth -= s->depth > 0;
            break;
        case ',':
            s->values++;
            break;
        case ':':
            s->members++;
            break;
        case '\0':
            return fail_at(error, i - 1, "a zero byte");
        default:
            break;
        }
        if (s->values > JSON_VALUES_MAX) {
            return fail_at(error, i - 1, "too many values");
        }
    }
    return true;
}

/* Replaces nulls, counts members, refuses numbers that are none.  Recursion is bounded by the scan. */
static bool settle(Json *json, size_t *members, GError **error)
{
    if (json_object_is_type(json, json_type_double) && !isfinite(json_object_get_double(json))) {
        return error_set(error, "JSON: a number is out of range");
    }
    if (json_object_is_type(json, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(json); i++) {
            Json *value = json_object_array_get_idx(json, i);

            if (!value) {
                json_object_array_put_idx(json, i, json_new_null());
            } else if (!settle(value, members, error)) {
                return false;
            }
        }
    }
    if (json_object_is_type(json, json_type_object)) {
        struct json_object_iter it;

        json_object_object_foreachC(json, it) {
            ++*members;
            if (!it.val) {
                lh_entry_set_val(it.entry, json_new_null());
            } else if (!settle(it.val, members, error)) {
                return false;
            }
        }
    }
    return true;
}

static Json *tokenize(const char *text, size_t length, GError **error)
{
    struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
    enum json_tokener_error why;
    Json *json;

    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    json = json_tokener_parse_ex(tok, text, (int)length);
    why = json_tokener_get_error(tok);
    if (why == json_tokener_continue) {
        /* A number may end with the text: the terminating NUL says so. */
        json = json_tokener_parse_ex(tok, "", 1);
        why = json_tokener_get_error(tok);
        if (why != json_tokener_success) {
            fail_at(error, length, "the text ends too early");
        }
    } else if (why != json_tokener_success) {
        fail_at(error, json_tokener_get_parse_end(tok), json_tokener_error_desc(why));
    }
    json_tokener_free(tok);
    if (why != json_tokener_success) {
        json_object_put(json);
        return NULL;
    }
    return json ? json : json_new_null();
}

Json *json_parse(const char *text, size_t length, GError **error)
{
    g_autoptr(Json) json = NULL;
    const char *valid_end;
    size_t members = 0;
    Scan s;

    if (length > JSON_TEXT_MAX) {
        error_set(error, "JSON: the text is longer than %u MiB", JSON_TEXT_MAX >> 20);
        return NULL;
    }
    if (!scan(text, length, &s, error)) {
        return NULL;
    }
    if (!g_utf8_validate_len(text, length, &valid_end)) { /* json-c lets overlong forms and surrogates pass */
        fail_at(error, (size_t)(valid_end - text), "invalid utf-8");
        return NULL;
    }
    json = tokenize(text, length, error);
    if (!json || !settle(json, &members, error)) {
        return NULL;
    }
    if (members != s.members) {
        error_set(error, "JSON: an object has two members of one name");
        return NULL;
    }
    return g_steal_pointer(&json);
}

Json *json_ref(Json *json)
{
    return json_object_get(json);
}

void json_unref(Json *json)
{
    json_object_put(json);
}

/* ---- reading ---- */

JsonType json_type_of(const Json *json)
{
    if (is_marked(json, &null_mark)) {
        return JSON_NULL;
    }
    switch (json_object_get_type(json)) {
    case json_type_boolean:
        return JSON_BOOL;
    case json_type_int:
        return json_object_get_uint64(json) > INT64_MAX ? JSON_UINT : JSON_INT;
    case json_type_double:
        return JSON_NUMBER;
    case json_type_string:
        return JSON_STRING;
    case json_type_array:
        return JSON_ARRAY;
    case json_type_object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const char *json_type_name(const Json *json)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",     [JSON_BOOL] = "a boolean",  [JSON_INT] = "an integer", [JSON_UINT] = "an integer",
        [JSON_NUMBER] = "a number", [JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
    };

    return names[json_type_of(json)];
}

bool json_get_bool(const Json *json)
{
    return json_object_get_boolean(json);
}

int64_t json_get_int(const Json *json)
{
    return json_object_get_int64(json);
}

uint64_t json_get_uint(const Json *json)
{
    return json_object_get_uint64(json);
}

double json_get_number(const Json *json)
{
    return json_object_get_double(json);
}

const char *json_get_string(const Json *json)
{
    return json_object_get_string((Json *)json);
}

size_t json_array_length(const Json *json)
{
    return json_object_array_length(json);
}

Json *json_array_get(const Json *json, size_t index)
{
    return json_object_array_get_idx(json, index);
}

Json *json_object_get_member(const Json *json, const char *name)
{
    return json_object_object_get(json, name);
}

bool json_object_each(const Json *json, JsonMemberFn fn, void *opaque)
{
    struct json_object_iter it;

    json_object_object_foreachC(json, it) {
        if (!fn(it.key, it.val, opaque)) {
            return false;
        }
    }
    return true;
}

/* ---- building ---- */

Json *json_new_null(void)
{
    return new_marked(json_object_new_string_len("", 0), &null_mark);
}

Json *json_new_object(void)
{
    return json_object_new_object();
}

Json *json_new_array(void)
{
    return json_object_new_array();
}

Json *json_new_repeated(void)
{
    return new_marked(json_object_new_array(), &repeated_mark);
}

bool json_is_repeated(const Json *json)
{
    return is_marked(json, &repeated_mark);
}

Json *json_new_string(const char *s)
{
    return json_object_new_string(s);
}

Json *json_new_bool(bool b)
{
    return json_object_new_boolean(b);
}

Json *json_new_int(int64_t i)
{
    return json_object_new_int64(i);
}

void json_object_put_member(Json *object, const char *name, Json *value)
{
    json_object_object_add(object, name, value);
}

void json_array_put(Json *array, Json *value)
{
    json_object_array_add(array, value);
}
