/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The field language: from JSON into C, with every check: structs, lists, unions and
 * alternates.  field-scalar.c reads what they hold in the end.
 *
 * Recursion follows the nesting of the input, which json.c and keyval.c bound; the
 * memory taken is a constant times the number of values in it, bounded there too.
 * An error names the parameter by its whole path ("file.filename", "cpus[2]").
 *
 * Locking: none.
 */
#include <string.h>

#include "vmm/error.h"
#include "vmm/field-path.h"

#define RANGE_VALUES_MAX 65536 /* of "0-65535" as a list */

/* ---- what holds other values ---- */

static bool parse_slot(const Field *field, const Json *json, unsigned flags, void *slot, const FieldPath *path,
                       GError **error);
static bool parse_struct(const FieldStruct *desc, const Json *json, unsigned flags, void *value, const FieldPath *path,
                         GError **error);

static bool parse_struct_slot(const Field *field, const Json *json, unsigned flags, void *slot, const FieldPath *path,
                              GError **error)
{
    void *value;

    if (!(field->flags & FIELD_POINTER)) {
        return parse_struct(field->of.structure, json, flags, slot, path, error);
    }
    value = g_malloc0(field->of.structure->size);
    if (!parse_struct(field->of.structure, json, flags, value, path, error)) {
        g_free(value);
        return false;
    }
    *(void **)slot = value;
    return true;
}

static bool list_alloc(FieldList *list, size_t n, size_t size, const FieldPath *path, GError **error)
{
    /* Never NULL: an empty list is not an absent one. */
    list->items = g_try_malloc0_n(n + 1, size ? size : 1);
    list->n = 0;
    return list->items ? true : field_fail(error, path, "has too many elements (%zu)", n);
}

/* "2", "0-3": what one text stands for in a list of integers. */
static bool parse_range(const char *text, int64_t *first, int64_t *last)
{
    const char *dash = *text ? strchr(text + 1, '-') : NULL;
    g_autofree char *head = dash ? g_strndup(text, (size_t)(dash - text)) : g_strdup(text);

    return field_text_to_int(head, first) && field_text_to_int(dash ? dash + 1 : text, last) && *first <= *last &&
           *last - *first < RANGE_VALUES_MAX;
}

/* A list written as text: one scalar, the values of a repeated key, or ranges of integers. */
static Json *spread_list(const Field *element, const Json *json)
{
    Json *out = json_new_array();
    bool repeated = json_is_repeated(json);
    size_t n = repeated ? json_array_length(json) : 1, total = 0;

    for (size_t i = 0; i < n; i++) {
        Json *item = repeated ? json_array_get(json, i) : (Json *)(uintptr_t)json;
        int64_t first, last;

        if ((element->type == FIELD_INT || element->type == FIELD_UINT) && field_is_type(item, JSON_STRING) &&
            parse_range(json_get_string(item), &first, &last) && total < RANGE_VALUES_MAX) {
            total += (size_t)(last - first) + 1;
            for (int64_t v = first; v <= last; v++) {
                json_array_put(out, json_new_int(v));
            }
        } else {
            json_array_put(out, json_ref(item));
        }
    }
    return out;
}

static bool parse_list(const Field *field, const Json *json, unsigned flags, FieldList *list, const FieldPath *path,
                       GError **error)
{
    const Field *element = field->of.element;
    size_t size = field_slot_size(element), n;
    g_autoptr(Json) spread = NULL;

    if ((flags & FIELD_LENIENT) && (json_is_repeated(json) || field_is_type(json, JSON_STRING))) {
        json = spread = spread_list(element, json);
    }
    if (!field_is_type(json, JSON_ARRAY)) {
        return field_fail_type(error, path, "a list", json);
    }
    n = json_array_length(json);
    if (!list_alloc(list, n, size, path, error)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        FieldPath at = { .up = path, .index = i };

        if (!parse_slot(element, json_array_get(json, i), flags, (char *)list->items + i * size, &at, error)) {
            field_slot_clear(field, list);
            return false;
        }
        list->n++;
    }
    return true;
}

static const Field *alternate_branch(const FieldAlternateDesc *desc, const Json *json, unsigned flags)
{
    switch (json_type_of(json)) {
    case JSON_NULL:
        return desc->null_branch;
    case JSON_BOOL:
        return desc->bool_branch;
    case JSON_INT:
    case JSON_UINT:
    case JSON_NUMBER:
        return desc->int_branch || !(flags & FIELD_LENIENT) ? desc->int_branch : desc->string_branch;
    case JSON_ARRAY:
        return desc->array_branch;
    case JSON_OBJECT:
        return desc->object_branch;
    case JSON_STRING:
        break;
    }
    if (desc->string_branch || !(flags & FIELD_LENIENT)) {
        return desc->string_branch;
    }
    return desc->int_branch && g_ascii_isdigit(*json_get_string(json)) ? desc->int_branch : desc->bool_branch;
}

static char *alternate_expects(const FieldAlternateDesc *d)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const struct {
        const Field *branch;
        const char *name;
    } all[] = {
        { d->null_branch, "null" },         { d->bool_branch, "a boolean" }, { d->int_branch, "an integer" },
        { d->string_branch, "a string" },   { d->array_branch, "a list" },   { d->object_branch, "an object" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        if (all[i].branch) {
            g_string_append_printf(text, "%s%s", text->len ? " or " : "", all[i].name);
        }
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static bool parse_alternate(const Field *field, const Json *json, unsigned flags, FieldAlternate *alternate,
                            const FieldPath *path, GError **error)
{
    const Field *branch = alternate_branch(field->of.alternate, json, flags);
    void *value;

    if (!branch) {
        g_autofree char *expects = alternate_expects(field->of.alternate);

        return field_fail_type(error, path, expects, json);
    }
    value = g_malloc0(field_slot_size(branch) + 1);
    if (!parse_slot(branch, json, flags, value, path, error)) {
        g_free(value);
        return false;
    }
    *alternate = (FieldAlternate){ .branch = branch, .value = value };
    return true;
}

/* Reads json into *slot, which owns nothing before and, on failure, after. */
static bool parse_slot(const Field *field, const Json *json, unsigned flags, void *slot, const FieldPath *path,
                       GError **error)
{
    if ((flags & FIELD_LENIENT) && json_is_repeated(json) && field->type != FIELD_LIST && field->type != FIELD_ANY) {
        json = json_array_get(json, json_array_length(json) - 1); /* the last one counts */
    }
    memset(slot, 0, field_slot_size(field));
    switch (field->type) {
    case FIELD_STRUCT:
        return parse_struct_slot(field, json, flags, slot, path, error);
    case FIELD_LIST:
        return parse_list(field, json, flags, slot, path, error);
    case FIELD_ALTERNATE:
        return parse_alternate(field, json, flags, slot, path, error);
    case FIELD_ANY:
        *(Json **)slot = json_ref((Json *)(uintptr_t)json);
        return true;
    default:
        return field_parse_scalar(field, json, flags, slot, path, error);
    }
}

/* Reads one member into a struct; the old value stays if the new one is refused. */
static bool parse_member(const Field *field, const Json *json, unsigned flags, void *base, const FieldPath *path,
                         GError **error)
{
    void *slot = field_slot(field, base);
    size_t size = field_slot_size(field);
    g_autofree void *fresh = g_malloc0(size + 1);
    bool *has = field_has(field, base);

    if (field->flags & FIELD_READONLY) {
        return field_fail(error, path, "can be read, not set");
    }
    if (!parse_slot(field, json, flags, fresh, path, error)) {
        return false;
    }
    field_slot_clear(field, slot);
    memcpy(slot, fresh, size);
    if (has) {
        *has = true;
    }
    return true;
}

/* ---- structs ---- */

/* `nowait` for `wait=off`: the short form that users of this field have always typed. */
static const Field *negated(const Field *field, const char *name, const Json *value, unsigned flags)
{
    const char *text = field_lenient_text(value, flags);

    return text && g_str_equal(text, "on") && field->type == FIELD_BOOL && g_str_has_prefix(name, "no") &&
                   g_str_equal(name + 2, field->name)
               ? field
               : NULL;
}

static bool parse_negated(const Field *field, const Json *object, unsigned flags, void *base)
{
    g_autofree char *name = NULL;
    const Json *value;

    if (field->type != FIELD_BOOL || !(flags & FIELD_LENIENT)) {
        return false;
    }
    name = g_strconcat("no", field->name, NULL);
    value = json_object_get_member(object, name);
    if (!value || !negated(field, name, value, flags)) {
        return false;
    }
    *(bool *)field_slot(field, base) = false;
    if (field->has_offset) {
        *field_has(field, base) = true;
    }
    return true;
}

typedef struct MisspeltSearch {
    const FieldStruct *desc;
    const char *const *wanted;
    const char *found;
} MisspeltSearch;

static bool check_misspelt(const char *name, Json *value, void *opaque)
{
    MisspeltSearch *s = opaque;

    if (!field_struct_find(s->desc, name) && error_nearest(name, s->wanted)) {
        s->found = name;
    }
    return !s->found;
}

/* What is missing may be there under a misspelt name, which is then the better thing to say. */
static bool fail_missing(const FieldStruct *desc, const Field *field, const Json *object, const FieldPath *path,
                         GError **error)
{
    const char *const wanted[] = { field->name, NULL };
    MisspeltSearch s = { .desc = desc, .wanted = wanted };
    FieldPath at = { .up = path, .name = field->name };

    if (json_object_each(object, check_misspelt, &s)) {
        return field_fail(error, &at, "is missing");
    }
    at.name = s.found;
    field_fail(error, &at, "is unknown");
    return error_hint(error, "Did you mean '%s'?", field->name);
}

static bool parse_members(const FieldStruct *desc, const Json *object, unsigned flags, void *value,
                          const FieldPath *path, GError **error)
{
    const FieldCase *c;
    void **variant;

    if (desc->base && !parse_members(desc->base, object, flags, value, path, error)) {
        return false;
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        const Json *member = json_object_get_member(object, f->name);
        FieldPath at = { .up = path, .name = f->name };

        if (member) {
            if (!parse_member(f, member, flags, value, &at, error)) {
                return false;
            }
        } else if (!parse_negated(f, object, flags, value) && (f->flags & FIELD_REQUIRED)) {
            return fail_missing(desc, f, object, path, error);
        }
    }
    c = field_struct_case(desc, value, &variant);
    if (!c) {
        return true;
    }
    *variant = g_malloc0(c->structure->size);
    field_struct_init(c->structure, *variant);
    return parse_members(c->structure, object, flags, *variant, path, error);
}

/* Names that would have been accepted here: desc's, its bases', and those of the chosen cases. */
static void collect_names(const FieldStruct *desc, const void *value, GPtrArray *names)
{
    const FieldCase *c;
    void **variant;

    if (desc->base) {
        collect_names(desc->base, value, names);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        g_ptr_array_add(names, (gpointer)f);
    }
    c = field_struct_case(desc, value, &variant);
    if (c && *variant) {
        collect_names(c->structure, *variant, names);
    }
}

typedef struct UnknownSearch {
    GPtrArray *known; /* const Field * */
    unsigned flags;
    const char *found;
} UnknownSearch;

static bool check_known(const char *name, Json *value, void *opaque)
{
    UnknownSearch *s = opaque;

    for (guint i = 0; i < s->known->len; i++) {
        const Field *f = s->known->pdata[i];

        if (g_str_equal(f->name, name) || negated(f, name, value, s->flags)) {
            return true;
        }
    }
    s->found = name;
    return false;
}

static bool refuse_unknown(const FieldStruct *desc, const Json *object, unsigned flags, const void *value,
                           const FieldPath *path, GError **error)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    UnknownSearch s = { .known = known, .flags = flags };
    FieldPath at = { .up = path };
    guint n = 0;

    collect_names(desc, value, known);
    if (json_object_each(object, check_known, &s)) {
        return true;
    }
    for (guint i = 0; i < known->len; i++) {
        const Field *f = known->pdata[i];

        if (!(f->flags & FIELD_HIDDEN)) {
            known->pdata[n++] = (gpointer)f->name;
        }
    }
    g_ptr_array_set_size(known, (gint)n);
    g_ptr_array_add(known, NULL);
    at.name = s.found;
    field_fail(error, &at, "is unknown");
    return field_hint_names(error, s.found, known);
}

static bool parse_struct(const FieldStruct *desc, const Json *json, unsigned flags, void *value, const FieldPath *path,
                         GError **error)
{
    field_struct_init(desc, value);
    if (!field_is_type(json, JSON_OBJECT)) {
        field_struct_clear(desc, value);
        return field_fail_type(error, path, "an object", json);
    }
    if (!parse_members(desc, json, flags, value, path, error) ||
        !refuse_unknown(desc, json, flags, value, path, error)) {
        field_struct_clear(desc, value);
        return false;
    }
    return true;
}

/* ---- the outside ---- */

bool field_struct_parse(const FieldStruct *desc, const Json *object, FieldParseFlags flags, void *value, GError **error)
{
    return parse_struct(desc, object, flags, value, NULL, error);
}

bool field_struct_parse_text(const FieldStruct *desc, const char *text, const char *implied, void *value,
                             GError **error)
{
    g_autoptr(Json) json = keyval_parse(text, implied, error);

    if (!json) {
        field_struct_init(desc, value);
        field_struct_clear(desc, value);
        return false;
    }
    return parse_struct(desc, json, FIELD_LENIENT, value, NULL, error);
}

bool field_parse(const Field *field, const Json *value, FieldParseFlags flags, void *base, GError **error)
{
    FieldPath path = { .name = field->name };

    return parse_member(field, value, flags, base, &path, error);
}

bool field_parse_text(const Field *field, const char *text, void *base, GError **error)
{
    g_autoptr(Json) json = json_new_string(text);

    return field_parse(field, json, FIELD_LENIENT, base, error);
}
