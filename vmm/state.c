/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved state: the list of items, and writing their sections (vmm/state-format.h
 * has the form).  Main thread, the domain paused and quiet; an item's lock is held
 * around its save() hook only.
 */
#include "vmm/state.h"

#include <string.h>

#include "vmm/error.h"
#include "vmm/state-format.h"

const StateDesc state_none = { .name = "none", .version = 1, .fields = (const StateField[]){ STATE_END } };

static void state_item_free(void *opaque)
{
    StateItem *item = opaque;

    g_free(item->path);
    g_free(item);
}

StateList *state_list_new(void)
{
    StateList *list = g_new0(StateList, 1);

    list->items = g_ptr_array_new_with_free_func(state_item_free);
    return list;
}

void state_list_free(StateList *list)
{
    if (list) {
        g_ptr_array_unref(list->items);
        g_free(list);
    }
}

void state_list_add(StateList *list, const char *path, const StateDesc *desc, void *struct_, size_t size, Lock *lock)
{
    StateItem *item = g_new0(StateItem, 1);

    item->path = g_strdup(path);
    item->desc = desc;
    item->struct_ = struct_;
    item->size = size;
    item->lock = lock;
    g_ptr_array_add(list->items, item);
}

void state_list_remove(StateList *list, void *struct_)
{
    for (unsigned i = list->items->len; i > 0; i--) {
        StateItem *item = g_ptr_array_index(list->items, i - 1);

        if (item->struct_ == struct_) {
            g_ptr_array_remove_index(list->items, i - 1);
        }
    }
}

/* ---- writing ---- */

static void put_uint(GByteArray *out, uint64_t value, unsigned bytes)
{
    uint8_t le[8];

    for (unsigned i = 0; i < bytes; i++) {
        le[i] = (uint8_t)(value >> (8 * i));
    }
    g_byte_array_append(out, le, bytes);
}

static void put_string(GByteArray *out, const char *s)
{
    size_t length = strlen(s);

    g_assert(length <= UINT8_MAX); /* names in tables; paths are checked by state_save() */
    put_uint(out, length, 1);
    g_byte_array_append(out, (const uint8_t *)s, (unsigned)length);
}

static void put_description(GByteArray *out, const StateDesc *desc)
{
    unsigned rows = 0;

    while (desc->fields && desc->fields[rows].type != STATE_TYPE_END) {
        rows++;
    }
    put_string(out, desc->name);
    put_uint(out, desc->version, 2);
    put_uint(out, rows, 2);
    for (unsigned i = 0; i < rows; i++) {
        const StateField *f = &desc->fields[i];

        put_string(out, f->name);
        put_uint(out, f->type, 1);
        put_uint(out, state_row_counted(f) ? STATE_ROW_COUNTED : 0, 1);
        put_uint(out, f->count, 4);
        if (f->type == STATE_TYPE_STRUCT) {
            put_description(out, f->nested);
        }
    }
}

static bool put_values(GByteArray *out, const StateDesc *desc, void *base, GError **error);

static bool put_row(GByteArray *out, const StateField *f, void *base, GError **error)
{
    uint32_t count = f->count;

    if (state_row_counted(f)) {
        count = *state_count_field(f, base);
        if (count > f->count) {
            return error_set(error, "field '%s' has %u elements in use and room for %u", f->name, count, f->count);
        }
        put_uint(out, count, 4);
    }
    if (f->type == STATE_TYPE_BLOB) {
        GByteArray *blob = *(GByteArray **)state_element(f, base, 0);
        unsigned length = blob ? blob->len : 0;

        if (length > f->count) {
            return error_set(error, "field '%s' has %u bytes, more than the %u that can be saved", f->name, length,
                             f->count);
        }
        put_uint(out, length, 4);
        if (length) {
            g_byte_array_append(out, blob->data, length);
        }
        return true;
    }
    if (f->type == STATE_TYPE_BYTES) {
        g_byte_array_append(out, state_element(f, base, 0), count);
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = 0;

        if (f->type == STATE_TYPE_STRUCT) {
            if (!put_values(out, f->nested, state_element(f, base, i), error)) {
                return false;
            }
            continue;
        }
        memcpy(&value, state_element(f, base, i), state_type_width(f->type));
        put_uint(out, value, state_type_width(f->type));
    }
    return true;
}

static bool put_values(GByteArray *out, const StateDesc *desc, void *base, GError **error)
{
    guint count_at;
    unsigned present = 0;

    if (desc->save && !desc->save(base, error)) {
        return false;
    }
    for (const StateField *f = desc->fields; f && f->type != STATE_TYPE_END; f++) {
        if (!put_row(out, f, base, error)) {
            return false;
        }
    }
    count_at = out->len;
    put_uint(out, 0, 1);
    for (const StateDesc *const *sub = desc->subsections; sub && *sub; sub++) {
        if ((*sub)->needed && !(*sub)->needed(base)) {
            continue;
        }
        put_description(out, *sub);
        if (!put_values(out, *sub, base, error)) {
            return false;
        }
        present++;
    }
    out->data[count_at] = (uint8_t)present;
    return true;
}

static bool put_section(GByteArray *out, StateItem *item, GError **error)
{
    guint start = out->len;
    GByteArray *header;
    bool ok;

    if (item->desc->unmigratable) {
        return error_set(error, "state cannot be saved: %s", item->desc->unmigratable);
    }
    if (strlen(item->path) > UINT8_MAX) {
        return error_set(error, "state cannot be saved: the path is longer than %d bytes", UINT8_MAX);
    }
    put_uint(out, 0, 8);
    put_uint(out, 0, 4);
    put_string(out, item->path);
    put_description(out, item->desc);
    if (item->lock) {
        lock_acquire(item->lock);
    }
    ok = put_values(out, item->desc, item->struct_, error);
    if (item->lock) {
        lock_release(item->lock);
    }
    if (!ok) {
        return false;
    }
    header = g_byte_array_sized_new(STATE_HEADER);
    put_uint(header, STATE_MAGIC, 4);
    put_uint(header, out->len - start - STATE_HEADER, 4);
    put_uint(header, state_crc32c(out->data + start + STATE_HEADER, out->len - start - STATE_HEADER), 4);
    memcpy(out->data + start, header->data, STATE_HEADER);
    g_byte_array_unref(header);
    return true;
}

bool state_save(StateList *list, GByteArray *out, GError **error)
{
    guint start = out->len;

    for (unsigned i = 0; i < list->items->len; i++) {
        StateItem *item = g_ptr_array_index(list->items, i);

        if (!put_section(out, item, error)) {
            g_byte_array_set_size(out, start);
            return error_subject(error, item->path);
        }
    }
    return true;
}
