/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The field language: values as they lie in C.  Making defaults, freeing, finding
 * members.  field-parse.c reads values, field-write.c writes them, keyval.c turns
 * key=value text into JSON, field-help.c and field-schema.c describe the tables.
 *
 * Locking: none; tables are const and a value belongs to its caller.
 */
#include "vmm/field.h"

#include <string.h>

#include "vmm/error.h"
#include "vmm/field-internal.h"

const FieldEnum field_on_off_auto = {
    .name = "OnOffAuto",
    .values = (const char *const[]){ "auto", "on", "off", NULL },
};

size_t field_slot_size(const Field *field)
{
    switch (field->type) {
    case FIELD_BOOL:
        return sizeof(bool);
    case FIELD_SIZE:
        return sizeof(uint64_t);
    case FIELD_NUMBER:
        return sizeof(double);
    case FIELD_STR:
    case FIELD_ANY:
        return sizeof(void *);
    case FIELD_ENUM:
        return sizeof(int);
    case FIELD_STRUCT:
        return field->flags & FIELD_POINTER ? sizeof(void *) : field->of.structure->size;
    case FIELD_LIST:
        return sizeof(FieldList);
    case FIELD_ALTERNATE:
        return sizeof(FieldAlternate);
    case FIELD_CODED:
        return field->of.codec->size;
    case FIELD_INT:
    case FIELD_UINT:
        return field->width;
    case FIELD_NULL:
    case FIELD_END_OF_TABLE:
        break;
    }
    return 0;
}

int64_t field_load_int(const Field *field, const void *slot)
{
    switch (field->width) {
    case 1:
        return *(const int8_t *)slot;
    case 2:
        return *(const int16_t *)slot;
    case 4:
        return *(const int32_t *)slot;
    default:
        return *(const int64_t *)slot;
    }
}

uint64_t field_load_uint(const Field *field, const void *slot)
{
    switch (field->width) {
    case 1:
        return *(const uint8_t *)slot;
    case 2:
        return *(const uint16_t *)slot;
    case 4:
        return *(const uint32_t *)slot;
    default:
        return *(const uint64_t *)slot;
    }
}

void field_store_uint(const Field *field, void *slot, uint64_t value)
{
    switch (field->width) {
    case 1:
        *(uint8_t *)slot = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)slot = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)slot = (uint32_t)value;
        break;
    default:
        *(uint64_t *)slot = value;
        break;
    }
}

void field_store_int(const Field *field, void *slot, int64_t value)
{
    field_store_uint(field, slot, (uint64_t)value); /* the same bits, cut to the width */
}

void field_int_range(const Field *field, int64_t *min, int64_t *max)
{
    if (field->min != 0 || field->max != 0) {
        *min = field->min;
        *max = field->max;
    } else {
        *max = INT64_MAX >> (64 - 8 * field->width);
        *min = -*max - 1;
    }
}

void field_uint_range(const Field *field, uint64_t *min, uint64_t *max)
{
    if (field->min != 0 || field->max != 0) {
        *min = (uint64_t)field->min;
        *max = (uint64_t)field->max;
    } else {
        *min = 0;
        *max = UINT64_MAX >> (64 - 8 * field->width);
    }
}

const char *field_enum_value(const FieldEnum *e, int64_t index)
{
    for (int64_t i = 0; e->values[i]; i++) {
        if (i == index) {
            return e->values[i];
        }
    }
    return NULL;
}

bool field_present(const Field *field, const void *base)
{
    const void *slot = field_const_slot(field, base);

    if (field->has_offset) {
        return *(const bool *)((const char *)base + field->has_offset - 1);
    }
    switch (field->type) {
    case FIELD_STR:
    case FIELD_ANY:
        return *(void *const *)slot != NULL;
    case FIELD_STRUCT:
        return !(field->flags & FIELD_POINTER) || *(void *const *)slot != NULL;
    case FIELD_LIST:
        return (field->flags & FIELD_REQUIRED) || ((const FieldList *)slot)->items != NULL;
    case FIELD_ALTERNATE:
        return ((const FieldAlternate *)slot)->branch != NULL;
    default:
        return true;
    }
}

const FieldCase *field_struct_case(const FieldStruct *desc, const void *value, void ***ret_slot)
{
    const Field *tag;
    const char *name;

    if (!desc->tag) {
        return NULL;
    }
    tag = field_struct_find(desc, desc->tag);
    name = field_enum_value(tag->of.enumeration, *(const int *)field_const_slot(tag, value));
    if (!name) {
        return NULL;
    }
    for (const FieldCase *c = desc->cases; c->value; c++) {
        if (strcmp(c->value, name) == 0 && c->structure) {
            *ret_slot = (void **)((char *)(uintptr_t)value + desc->variant_offset);
            return c;
        }
    }
    return NULL;
}

/* ---- making and freeing ---- */

void field_slot_init(const Field *field, void *slot)
{
    bool has_default = !(field->flags & FIELD_REQUIRED) && !field->has_offset;

    memset(slot, 0, field_slot_size(field));
    if (field->type == FIELD_STRUCT && !(field->flags & FIELD_POINTER)) {
        field_struct_init(field->of.structure, slot);
        return;
    }
    if (!has_default) {
        return;
    }
    switch (field->type) {
    case FIELD_BOOL:
        *(bool *)slot = field->def.b;
        break;
    case FIELD_INT:
        field_store_int(field, slot, field->def.i);
        break;
    case FIELD_UINT:
    case FIELD_SIZE:
        field_store_uint(field, slot, field->def.u);
        break;
    case FIELD_NUMBER:
        *(double *)slot = field->def.d;
        break;
    case FIELD_STR:
        *(char **)slot = g_strdup(field->def.s);
        break;
    case FIELD_ENUM:
        *(int *)slot = (int)field->def.i;
        break;
    case FIELD_CODED:
        if (field->def.s) {
            field->of.codec->parse(field->def.s, slot, NULL);
        }
        break;
    default:
        break; /* absent */
    }
}

void field_slot_clear(const Field *field, void *slot)
{
    FieldAlternate *alternate;
    FieldList *list;

    switch (field->type) {
    case FIELD_STR:
        g_free(*(char **)slot);
        break;
    case FIELD_ANY:
        json_unref(*(Json **)slot);
        break;
    case FIELD_STRUCT:
        if (!(field->flags & FIELD_POINTER)) {
            field_struct_clear(field->of.structure, slot);
        } else if (*(void **)slot) {
            field_struct_clear(field->of.structure, *(void **)slot);
            g_free(*(void **)slot);
        }
        break;
    case FIELD_LIST:
        list = slot;
        for (size_t i = 0; i < list->n; i++) {
            field_slot_clear(field->of.element, (char *)list->items + i * field_slot_size(field->of.element));
        }
        g_free(list->items);
        break;
    case FIELD_ALTERNATE:
        alternate = slot;
        if (alternate->branch) {
            field_slot_clear(alternate->branch, alternate->value);
            g_free(alternate->value);
        }
        break;
    case FIELD_CODED:
        if (field->of.codec->clear) {
            field->of.codec->clear(slot);
        }
        break;
    default:
        break;
    }
    memset(slot, 0, field_slot_size(field));
}

void field_init(const Field *field, void *base)
{
    bool *has = field_has(field, base);

    if (has) {
        *has = false;
    }
    field_slot_init(field, field_slot(field, base));
}

void field_clear(const Field *field, void *base)
{
    bool *has = field_has(field, base);

    if (has) {
        *has = false;
    }
    field_slot_clear(field, field_slot(field, base));
}

static void init_members(const FieldStruct *desc, void *value)
{
    if (desc->base) {
        init_members(desc->base, value);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        field_init(f, value);
    }
}

void field_struct_init(const FieldStruct *desc, void *value)
{
    memset(value, 0, desc->size);
    init_members(desc, value);
}

void field_struct_clear(const FieldStruct *desc, void *value)
{
    const FieldCase *c;
    void **variant;

    c = field_struct_case(desc, value, &variant); /* while the tag still says which */
    if (c && *variant) {
        field_struct_clear(c->structure, *variant);
        g_free(*variant);
        *variant = NULL;
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        field_clear(f, value);
    }
    if (desc->base) {
        field_struct_clear(desc->base, value);
    }
}

/* ---- finding ---- */

const Field *field_find(const Field *fields, const char *name)
{
    for (const Field *f = fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

const Field *field_struct_find(const FieldStruct *desc, const char *name)
{
    for (; desc; desc = desc->base) {
        const Field *f = field_find(desc->fields, name);

        if (f) {
            return f;
        }
    }
    return NULL;
}

#define NAMES_IN_HINT 16 /* more would bury the sentence */

bool field_hint_names(GError **error, const char *name, const GPtrArray *names)
{
    const char *nearest = error_nearest(name, (const char *const *)names->pdata);
    g_autofree char *all = NULL;

    if (nearest) {
        return error_hint(error, "Did you mean '%s'?", nearest);
    }
    if (names->len <= 1 || names->len > NAMES_IN_HINT + 1) {
        return false;
    }
    all = g_strjoinv(", ", (char **)names->pdata);
    return error_hint(error, "There is: %s.", all);
}

bool field_unknown(GError **error, const char *name, const FieldStruct *desc)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (; desc; desc = desc->base) {
        for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
            if (!(f->flags & FIELD_HIDDEN)) {
                g_ptr_array_add(names, (char *)f->name);
            }
        }
    }
    g_ptr_array_add(names, NULL);
    error_set(error, "Parameter '%s' is unknown", name);
    return field_hint_names(error, name, names);
}
