/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * key=value text, as the command line of this field writes it:
 *
 *     text  = item *( "," item )
 *     item  = key "=" value | key (short for key=on) | value (the first, for the implied key)
 *     key   = name *( "." name )      nested objects; all-digit names are list indices
 *
 * ",," is a comma inside a value.  A key given again makes a list of its values, of
 * which the last counts where one is wanted.  Text that begins with '{' is JSON.
 *
 * Bounds: KEYVAL_TEXT_MAX bytes, KEYVAL_DEPTH_MAX names in a key.  Locking: none.
 */
#include <errno.h>
#include <string.h>

#include "vmm/error.h"
#include "vmm/field-internal.h"

#define KEYVAL_TEXT_MAX  (1u << 20)
#define KEYVAL_DEPTH_MAX 32
#define KEYVAL_NAME_MAX  127

char *keyval_quote(const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);

    return g_strjoinv(",,", parts);
}

/* The value that begins at *text, ",," undone; *text moves past the comma that ends it. */
static char *take_value(const char **text)
{
    GString *value = g_string_new(NULL);
    const char *p = *text;

    for (; *p; p++) {
        if (*p == ',' && *++p != ',') {
            break;
        }
        g_string_append_c(value, *p);
    }
    *text = p;
    return g_string_free(value, FALSE);
}

/* One item.  *ret_key is NULL when the item is the bare first value. */
static void take_item(const char **text, bool implied, char **ret_key, char **ret_value)
{
    size_t n = strcspn(*text, "=,");

    if ((*text)[n] == '=') {
        *ret_key = g_strndup(*text, n);
        *text += n + 1;
        *ret_value = take_value(text);
    } else if (implied) {
        *ret_key = NULL;
        *ret_value = take_value(text);
    } else {
        *ret_key = g_strndup(*text, n);
        *text += n + ((*text)[n] == ',');
        *ret_value = g_strdup("on");
    }
}

static bool check_name(const char *key, const char *name, GError **error)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    if (name[n] || n == 0 || n > KEYVAL_NAME_MAX) {
        error_set(error, "'%s' is no well-formed key of a key=value list", key);
        return error_hint(error, "A comma inside a value is written ',,'.");
    }
    return true;
}

/* Puts value under name; a second one makes a list. */
static bool put_value(Json *object, const char *key, const char *name, Json *value, GError **error)
{
    Json *old = json_object_get_member(object, name);

    if (!old) {
        json_object_put_member(object, name, value);
        return true;
    }
    if (json_type_of(old) == JSON_OBJECT) {
        json_unref(value);
        return error_set(error, "Parameter '%s' is given as a value and by its members", key);
    }
    if (!json_is_repeated(old)) {
        Json *list = json_new_repeated();

        json_array_put(list, json_ref(old));
        json_object_put_member(object, name, list);
        old = list;
    }
    json_array_put(old, value);
    return true;
}

static bool put_item(Json *object, const char *key, const char *value, GError **error)
{
    g_auto(GStrv) names = g_strsplit(key, ".", -1);
    guint n = g_strv_length(names);

    if (n > KEYVAL_DEPTH_MAX) {
        return error_set(error, "The key '%s' nests too deeply", key);
    }
    for (guint i = 0; i < n; i++) {
        Json *next;

        if (!check_name(key, names[i], error)) {
            return false;
        }
        if (i == n - 1) {
            return put_value(object, key, names[i], json_new_string(value), error);
        }
        next = json_object_get_member(object, names[i]);
        if (!next) {
            next = json_new_object();
            json_object_put_member(object, names[i], next);
        } else if (json_type_of(next) != JSON_OBJECT) {
            return error_set(error, "Parameter '%s' is given as a value and by its members", names[i]);
        }
        object = next;
    }
    return check_name(key, "", error); /* an empty key */
}

/* ---- objects whose members are list indices become arrays ---- */

typedef struct Indices {
    size_t numbers, names;
    const char *name; /* one of the latter */
} Indices;

static bool all_digits(const char *s)
{
    return s[strspn(s, "0123456789")] == '\0';
}

static bool count_index(const char *name, Json *value, void *opaque)
{
    Indices *in = opaque;

    if (all_digits(name)) {
        in->numbers++;
    } else {
        in->names++;
        in->name = name;
    }
    return true;
}

static Json *listify(Json *json, GError **error);

typedef struct Rebuild {
    Json *out;
    GError **error;
} Rebuild;

static bool rebuild_member(const char *name, Json *value, void *opaque)
{
    Rebuild *r = opaque;
    Json *made = listify(value, r->error);

    if (made) {
        json_object_put_member(r->out, name, made);
    }
    return made != NULL;
}

static Json *listify_array(const Json *object, size_t n, GError **error)
{
    g_autoptr(Json) out = json_new_array();

    for (size_t i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("%zu", i);
        Json *value = json_object_get_member(object, name);
        Json *made;

        if (!value) {
            error_set(error, "A list has %zu elements, but none with the index %zu", n, i);
            return NULL;
        }
        made = listify(value, error);
        if (!made) {
            return NULL;
        }
        json_array_put(out, made);
    }
    return g_steal_pointer(&out);
}

/* A new reference, with arrays made.  NULL: error. */
static Json *listify(Json *json, GError **error)
{
    Rebuild r = { .error = error };
    Indices in = { 0 };

    if (json_type_of(json) != JSON_OBJECT) {
        return json_ref(json);
    }
    json_object_each(json, count_index, &in);
    if (in.numbers && in.names) {
        error_set(error, "List indices and the member '%s' do not go together", in.name);
        return NULL;
    }
    if (in.numbers) {
        return listify_array(json, in.numbers, error);
    }
    r.out = json_new_object();
    if (!json_object_each(json, rebuild_member, &r)) {
        json_unref(r.out);
        return NULL;
    }
    return r.out;
}

Json *keyval_parse(const char *text, const char *implied, GError **error)
{
    g_autoptr(Json) object = NULL;

    if (*text == '{') {
        object = json_parse(text, strlen(text), error);
        return g_steal_pointer(&object);
    }
    if (strnlen(text, KEYVAL_TEXT_MAX + 1) > KEYVAL_TEXT_MAX) {
        error_set(error, "The option is longer than %u bytes", KEYVAL_TEXT_MAX);
        return NULL;
    }
    if (!g_utf8_validate(text, -1, NULL)) {
        error_set(error, "The option is not UTF-8 text");
        return NULL;
    }
    object = json_new_object();
    for (const char *p = text; *p;) {
        g_autofree char *key = NULL;
        g_autofree char *value = NULL;

        take_item(&p, implied && p == text, &key, &value);
        if (!put_item(object, key ? key : implied, value, error)) {
            return NULL;
        }
    }
    return listify(object, error);
}

bool keyval_wants_help(const char *text, const char *implied, const char *asks, char **ret_subject, char **ret_key)
{
    g_autofree char *subject = NULL;
    g_autofree char *asked = NULL;
    bool help = false;

    *ret_subject = NULL;
    *ret_key = NULL;
    for (const char *p = text; *p && *text != '{';) {
        g_autofree char *key = NULL;
        g_autofree char *value = NULL;
        bool is_implied, question;

        take_item(&p, implied && p == text, &key, &value);
        is_implied = implied && (!key || g_str_equal(key, implied));
        question = g_str_equal(value, "?") ||
                   ((is_implied || (asks && g_strcmp0(key, asks) == 0)) && g_str_equal(value, "help"));
        if (key && (g_str_equal(key, "help") || g_str_equal(key, "?")) && g_str_equal(value, "on")) {
            help = true;
        } else if (question) {
            help = true;
            if (!is_implied && !asked) {
                asked = g_steal_pointer(&key);
            }
        } else if (is_implied && !subject) {
            subject = g_steal_pointer(&value);
        }
    }
    if (help) {
        *ret_subject = g_steal_pointer(&subject);
        *ret_key = g_steal_pointer(&asked);
    }
    return help;
}

/* ---- sizes ---- */

static bool suffix_unit(char c, uint64_t *unit)
{
    static const char suffixes[] = "BKMGTPE";
    const char *at = c ? strchr(suffixes, g_ascii_toupper(c)) : NULL;

    if (at) {
        *unit = UINT64_C(1) << (10 * (at - suffixes));
    }
    return at != NULL;
}

bool size_parse(const char *text, uint64_t unit, uint64_t *ret, GError **error)
{
    bool hex = g_str_has_prefix(text, "0x") || g_str_has_prefix(text, "0X");
    uint64_t whole, fraction = 0, scale = 1;
    unsigned __int128 bytes;
    char *end;

    errno = 0;
    whole = g_ascii_strtoull(text, &end, hex ? 16 : 10);
    if (end == text || errno || !g_ascii_isdigit(*text)) {
        return error_set(error, "'%s' is no size", text);
    }
    if (*end == '.' && !hex && g_ascii_isdigit(end[1])) {
        for (end++; g_ascii_isdigit(*end); end++) {
            if (scale < UINT64_C(1000000000000000)) { /* finer digits are less than a byte of an exabyte */
                fraction = fraction * 10 + (uint64_t)(*end - '0');
                scale *= 10;
            }
        }
    }
    if (!hex && suffix_unit(*end, &unit)) {
        end++;
    }
    if (*end || (scale > 1 && unit == 1)) {
        error_set(error, "'%s' is no size", text);
        return error_hint(error, "A size is a number with an optional K, M, G, T, P or E, as in 1.5G.");
    }
    bytes = (unsigned __int128)whole * unit + (unsigned __int128)fraction * unit / scale;
    if (bytes > UINT64_MAX) {
        return error_set(error, "'%s' is too large", text);
    }
    *ret = (uint64_t)bytes;
    return true;
}
