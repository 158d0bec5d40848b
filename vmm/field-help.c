/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The field language: help text, and the check of tables by tests.  Locking: none.
 */
#include <string.h>

#include "vmm/field-internal.h"

char *field_type_text(const Field *field)
{
    g_autofree char *element = NULL;
    const char *name = "";

    switch (field->type) {
    case FIELD_BOOL:
        name = "bool";
        break;
    case FIELD_INT:
        return g_strdup_printf("int%u", 8 * field->width);
    case FIELD_UINT:
        return g_strdup_printf("uint%u", 8 * field->width);
    case FIELD_SIZE:
        name = "size";
        break;
    case FIELD_NUMBER:
        name = "number";
        break;
    case FIELD_STR:
        name = "str";
        break;
    case FIELD_ENUM:
        return g_strjoinv("|", (char **)(uintptr_t)field->of.enumeration->values);
    case FIELD_STRUCT:
        name = field->of.structure->name;
        break;
    case FIELD_LIST:
        element = field_type_text(field->of.element);
        return g_strdup_printf("[%s]", element);
    case FIELD_ALTERNATE:
        name = field->of.alternate->name;
        break;
    case FIELD_ANY:
        name = "any";
        break;
    case FIELD_NULL:
        name = "null";
        break;
    case FIELD_CODED:
        name = field->of.codec->name;
        break;
    case FIELD_END_OF_TABLE:
        break;
    }
    return g_strdup(name);
}

static bool default_in_range(const Field *f)
{
    int64_t min, max;
    uint64_t umin, umax;

    if (f->type == FIELD_INT) {
        field_int_range(f, &min, &max);
        return f->def.i >= min && f->def.i <= max;
    }
    if (f->type == FIELD_UINT || f->type == FIELD_SIZE) {
        field_uint_range(f, &umin, &umax);
        return f->def.u >= umin && f->def.u <= umax;
    }
    return true;
}

/* The default as text; NULL: there is none worth saying. */
static char *default_text(const Field *field)
{
    if ((field->flags & FIELD_REQUIRED) || field->has_offset || !default_in_range(field)) {
        return NULL;
    }
    switch (field->type) {
    case FIELD_BOOL:
        return g_strdup(field->def.b ? "on" : "off");
    case FIELD_INT:
        return g_strdup_printf("%" G_GINT64_FORMAT, field->def.i);
    case FIELD_UINT:
        return g_strdup_printf("%" G_GUINT64_FORMAT, field->def.u);
    case FIELD_SIZE:
        return size_format(field->def.u);
    case FIELD_NUMBER:
        return g_strdup_printf("%g", field->def.d);
    case FIELD_ENUM:
        return g_strdup(field_enum_value(field->of.enumeration, field->def.i));
    case FIELD_STR:
    case FIELD_CODED:
        return g_strdup(field->def.s);
    default:
        return NULL;
    }
}

static void help_line(const Field *field, const char *prefix, GString *out)
{
    g_autofree char *type = field_type_text(field);
    g_autofree char *def = default_text(field);
    g_autofree char *head = g_strdup_printf("%s%s=<%s>", prefix, field->name, type);

    g_string_append_printf(out, "  %-30s - %s", head, field->help ? field->help : "");
    if (field->flags & FIELD_REQUIRED) {
        g_string_append(out, " (required)");
    }
    if (field->flags & FIELD_DEPRECATED) {
        g_string_append(out, " (deprecated)");
    }
    if (def && !(field->help && strstr(field->help, "(default: "))) {
        g_string_append_printf(out, " (default: %s)", def);
    }
    g_string_append_c(out, '\n');
}

void field_help(const Field *field, GString *out)
{
    help_line(field, "", out);
}

/* Embedded structs are shown by their members; what may be recursive only by its type. */
static void help_members(const FieldStruct *desc, const char *prefix, GString *out)
{
    if (desc->base) {
        help_members(desc->base, prefix, out);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        if (f->flags & FIELD_HIDDEN) {
            continue;
        }
        if (f->type == FIELD_STRUCT && !(f->flags & FIELD_POINTER)) {
            g_autofree char *inner = g_strdup_printf("%s%s.", prefix, f->name);

            help_members(f->of.structure, inner, out);
        } else {
            help_line(f, prefix, out);
        }
    }
    for (const FieldCase *c = desc->cases; c && c->value; c++) {
        if (c->structure) {
            g_string_append_printf(out, " %s%s=%s:\n", prefix, desc->tag, c->value);
            help_members(c->structure, prefix, out);
        }
    }
}

void field_struct_help(const FieldStruct *desc, const char *title, GString *out)
{
    gsize before;

    if (title) {
        g_string_append_printf(out, "%s:\n", title);
    }
    before = out->len;
    help_members(desc, "", out);
    if (out->len == before) {
        g_string_append(out, "  (none)\n");
    }
}

/* ---- the table's own mistakes ---- */

static void check_struct(const FieldStruct *desc, GHashTable *seen, GString *out);

static void complain(GString *out, const FieldStruct *desc, const Field *f, const char *what)
{
    g_string_append_printf(out, "%s.%s: %s\n", desc->name, f && f->name ? f->name : "?", what);
}

static bool default_possible(const Field *f)
{
    if ((f->flags & FIELD_REQUIRED) || f->has_offset) {
        return true;
    }
    if (f->type == FIELD_ENUM) {
        return field_enum_value(f->of.enumeration, f->def.i);
    }
    return default_in_range(f) || f->def.u == 0;
}

static void check_of(const FieldStruct *desc, const Field *f, GHashTable *seen, GString *out)
{
    const FieldAlternateDesc *a;

    switch (f->type) {
    case FIELD_INT:
    case FIELD_UINT:
        if (f->width != 1 && f->width != 2 && f->width != 4 && f->width != 8) {
            complain(out, desc, f, "is no integer in C");
        }
        break;
    case FIELD_ENUM:
        if (!f->of.enumeration || !f->of.enumeration->values[0]) {
            complain(out, desc, f, "has no values");
        }
        break;
    case FIELD_STRUCT:
        if (f->of.structure) {
            check_struct(f->of.structure, seen, out);
        } else {
            complain(out, desc, f, "has no struct");
        }
        break;
    case FIELD_LIST:
        if (f->of.element) {
            check_of(desc, f->of.element, seen, out);
        } else {
            complain(out, desc, f, "has no element");
        }
        break;
    case FIELD_ALTERNATE:
        a = f->of.alternate;
        if (!a || !(a->null_branch || a->bool_branch || a->int_branch || a->string_branch || a->array_branch ||
                    a->object_branch)) {
            complain(out, desc, f, "has no branches");
        } else if (a->object_branch) {
            check_of(desc, a->object_branch, seen, out);
        }
        break;
    case FIELD_CODED:
        if (!f->of.codec || !f->of.codec->name || !f->of.codec->parse || !f->of.codec->format ||
            !f->of.codec->example) {
            complain(out, desc, f, "has no whole codec");
        }
        break;
    default:
        break;
    }
}

static void check_field(const FieldStruct *desc, const Field *f, GHashTable *seen, GString *out)
{
    if (!f->name || !*f->name) {
        complain(out, desc, f, "has no name");
        return;
    }
    if (!f->help || !*f->help) {
        complain(out, desc, f, "has no help");
    } else if (g_str_has_suffix(f->help, ".")) {
        complain(out, desc, f, "help ends in a full stop");
    }
    if (field_find(f + 1, f->name) || (desc->base && field_struct_find(desc->base, f->name))) {
        complain(out, desc, f, "is there twice");
    }
    check_of(desc, f, seen, out);
    if (f->type != FIELD_NULL && field_slot_size(f) != f->width) {
        complain(out, desc, f, "lies in a C member of another size");
    } else if (f->offset + field_slot_size(f) > desc->size || f->has_offset > desc->size) {
        complain(out, desc, f, "lies outside its struct");
    }
    if ((f->flags & FIELD_REQUIRED) && f->has_offset) {
        complain(out, desc, f, "is required and optional");
    }
    if (!default_possible(f)) {
        complain(out, desc, f, "has a default out of its range");
    }
}

static void check_cases(const FieldStruct *desc, GHashTable *seen, GString *out)
{
    const Field *tag = field_struct_find(desc, desc->tag);

    if (!tag || tag->type != FIELD_ENUM || tag->has_offset) {
        complain(out, desc, tag, "the tag is no enum that is always there");
        return;
    }
    if (desc->variant_offset + sizeof(void *) > desc->size) {
        complain(out, desc, tag, "the variant lies outside its struct");
    }
    for (const FieldCase *c = desc->cases; c->value; c++) {
        if (!g_strv_contains(tag->of.enumeration->values, c->value)) {
            complain(out, desc, tag, "a case is no value of the tag");
        }
        for (const Field *f = c->structure ? c->structure->fields : NULL; f && f->type != FIELD_END_OF_TABLE; f++) {
            if (field_struct_find(desc, f->name)) {
                complain(out, desc, f, "is there again in a case");
            }
        }
        if (c->structure) {
            check_struct(c->structure, seen, out);
        }
    }
}

static void check_struct(const FieldStruct *desc, GHashTable *seen, GString *out)
{
    if (!g_hash_table_add(seen, (gpointer)desc)) {
        return;
    }
    if (desc->base) {
        check_struct(desc->base, seen, out);
        if (desc->base->size > desc->size) {
            complain(out, desc, NULL, "is smaller than its base");
        }
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        check_field(desc, f, seen, out);
    }
    if (desc->tag) {
        check_cases(desc, seen, out);
    }
}

char *field_struct_check(const FieldStruct *desc)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    GString *out = g_string_new(NULL);

    check_struct(desc, seen, out);
    return g_string_free(out, out->len == 0);
}
