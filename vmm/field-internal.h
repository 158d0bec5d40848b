/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the field language (field*.c) share.
 */
#pragma once

#include "vmm/field.h"

/* A slot is the C value itself, wherever it lies: in a struct, a list, an alternate. */
size_t field_slot_size(const Field *field);
void field_slot_init(const Field *field, void *slot);
void field_slot_clear(const Field *field, void *slot);
void field_slot_write(const Field *field, const void *slot, JsonWriter *w, const char *name);

int64_t field_load_int(const Field *field, const void *slot);
uint64_t field_load_uint(const Field *field, const void *slot);
void field_store_int(const Field *field, void *slot, int64_t value);
void field_store_uint(const Field *field, void *slot, uint64_t value);
/* Inclusive bounds of an integer field. */
void field_int_range(const Field *field, int64_t *min, int64_t *max);
void field_uint_range(const Field *field, uint64_t *min, uint64_t *max);

static inline void *field_slot(const Field *field, void *base)
{
    return (char *)base + field->offset;
}

static inline const void *field_const_slot(const Field *field, const void *base)
{
    return (const char *)base + field->offset;
}

static inline bool *field_has(const Field *field, void *base)
{
    return field->has_offset ? (bool *)((char *)base + field->has_offset - 1) : NULL;
}

/* Is the member there, as opposed to absent? */
bool field_present(const Field *field, const void *base);

/* The chosen case of a tagged union, or NULL; *ret_slot is where its pointer hangs. */
const FieldCase *field_struct_case(const FieldStruct *desc, const void *value, void ***ret_slot);
const char *field_enum_value(const FieldEnum *e, int64_t index); /* NULL: out of range */

/* Adds the nearest of names (which end with NULL), or all of them if they are few; false, for `return`. */
bool field_hint_names(GError **error, const char *name, const GPtrArray *names);

/* Shows a number of bytes with the largest suffix that is exact: "512M". Caller frees. */
char *size_format(uint64_t bytes);
