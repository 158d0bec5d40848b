/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The field language: from C to JSON and to text.  What is absent is not written;
 * secrets never are.  Locking: none.
 */
#include "vmm/field-internal.h"

static void write_members(const FieldStruct *desc, const void *value, JsonWriter *w)
{
    const FieldCase *c;
    void **variant;

    if (desc->base) {
        write_members(desc->base, value, w);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        field_write(f, value, w);
    }
    c = field_struct_case(desc, value, &variant);
    if (c && *variant) {
        write_members(c->structure, *variant, w);
    }
}

void field_struct_write(const FieldStruct *desc, const void *value, JsonWriter *w, const char *name)
{
    json_write_begin_object(w, name);
    write_members(desc, value, w);
    json_write_end_object(w);
}

static void write_list(const Field *field, const FieldList *list, JsonWriter *w, const char *name)
{
    const Field *element = field->of.element;

    json_write_begin_array(w, name);
    for (size_t i = 0; i < list->n; i++) {
        field_slot_write(element, (const char *)list->items + i * field_slot_size(element), w, NULL);
    }
    json_write_end_array(w);
}

void field_slot_write(const Field *field, const void *slot, JsonWriter *w, const char *name)
{
    const FieldAlternate *alternate = slot;
    g_autofree char *coded = NULL;
    const char *text;

    switch (field->type) {
    case FIELD_BOOL:
        json_write_bool(w, name, *(const bool *)slot);
        break;
    case FIELD_INT:
        json_write_int(w, name, field_load_int(field, slot));
        break;
    case FIELD_UINT:
    case FIELD_SIZE:
        json_write_uint(w, name, field_load_uint(field, slot));
        break;
    case FIELD_NUMBER:
        json_write_number(w, name, *(const double *)slot);
        break;
    case FIELD_STR:
        text = *(char *const *)slot;
        json_write_string(w, name, text ? text : "");
        break;
    case FIELD_ENUM:
        text = field_enum_value(field->of.enumeration, *(const int *)slot);
        json_write_string(w, name, text ? text : "");
        break;
    case FIELD_STRUCT:
        field_struct_write(field->of.structure, field->flags & FIELD_POINTER ? *(void *const *)slot : slot, w, name);
        break;
    case FIELD_LIST:
        write_list(field, slot, w, name);
        break;
    case FIELD_ALTERNATE:
        if (alternate->branch) {
            field_slot_write(alternate->branch, alternate->value, w, name);
        }
        break;
    case FIELD_ANY:
        json_write_value(w, name, *(Json *const *)slot);
        break;
    case FIELD_NULL:
        json_write_null(w, name);
        break;
    case FIELD_CODED:
        coded = field->of.codec->format(slot);
        json_write_string(w, name, coded);
        break;
    case FIELD_END_OF_TABLE:
        break;
    }
}

void field_write(const Field *field, const void *base, JsonWriter *w)
{
    if (!(field->flags & FIELD_SECRET) && field_present(field, base)) {
        field_slot_write(field, field_const_slot(field, base), w, field->name);
    }
}

char *size_format(uint64_t bytes)
{
    static const char suffixes[] = "KMGTPE";
    int n = -1;

    for (; bytes >= 1024 && bytes % 1024 == 0; bytes /= 1024) {
        n++;
    }
    return n < 0 ? g_strdup_printf("%" G_GUINT64_FORMAT, bytes)
                 : g_strdup_printf("%" G_GUINT64_FORMAT "%c", bytes, suffixes[n]);
}

char *field_format(const Field *field, const void *base)
{
    const void *slot = field_const_slot(field, base);
    const char *text;
    JsonWriter *w;

    if ((field->flags & FIELD_SECRET) || !field_present(field, base)) {
        return g_strdup("");
    }
    switch (field->type) {
    case FIELD_BOOL:
        return g_strdup(*(const bool *)slot ? "on" : "off");
    case FIELD_SIZE:
        return size_format(field_load_uint(field, slot));
    case FIELD_STR:
        text = *(char *const *)slot;
        return g_strdup(text ? text : "");
    case FIELD_ENUM:
        text = field_enum_value(field->of.enumeration, *(const int *)slot);
        return g_strdup(text ? text : "");
    case FIELD_CODED:
        return field->of.codec->format(slot);
    default:
        w = json_writer_new(false);
        field_slot_write(field, slot, w, NULL);
        return json_writer_finish(w);
    }
}
