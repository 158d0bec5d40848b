/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading saved state: every section is checked into a scratch copy of its struct;
 * only when the whole stream has proved good are the copies applied, and then the
 * loaded() hooks run, both in the order of the list.
 *
 * The stream is hostile: all lengths and counts are checked against the table (for
 * the room) and against the stream (for what is there); what is allocated is the
 * scratch copies, whose sizes we chose, and blobs, which lie in the stream.
 */
#include "vmm/state.h"

#include <string.h>

#include "vmm/error.h"
#include "vmm/state-format.h"

/* The versions that a stream's description gives to a table and to those nested in it. */
typedef struct Shape {
    unsigned version;
    GPtrArray *nested; /* Shape, one for each struct row of that version, in order */
} Shape;

/* A loaded() hook to call: of the struct at `offset` of the item's. */
typedef struct LoadedHook {
    const StateDesc *desc;
    size_t offset;
} LoadedHook;

/* What was loaded of one item, until it is applied. */
typedef struct Scratch {
    const StateItem *item;
    uint8_t *copy;
    GArray *hooks; /* LoadedHook, inner structs first */
} Scratch;

/* ---- the shape ---- */

static void shape_free(void *opaque)
{
    Shape *shape = opaque;

    if (shape) {
        g_ptr_array_unref(shape->nested);
        g_free(shape);
    }
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Shape, shape_free)

static Shape *take_shape(StateReader *r, const StateDesc *desc, GError **error);

static bool take_row(StateReader *r, const StateField *f, const StateDesc *desc, Shape *shape, GError **error)
{
    char name[256];
    unsigned type, flags;
    uint32_t count;
    Shape *nested;

    state_take_string(r, name);
    type = (unsigned)state_take_uint(r, 1);
    flags = (unsigned)state_take_uint(r, 1);
    count = (uint32_t)state_take_uint(r, 4);
    if (r->short_) {
        return error_set(error, "the description of '%s' is cut off", desc->name);
    }
    if (strcmp(name, f->name) != 0) {
        return error_set(error, "'%s' has field '%s' where '%s' is expected", desc->name, name, f->name);
    }
    if (type != f->type || flags != (state_row_counted(f) ? STATE_ROW_COUNTED : 0u) || count != f->count) {
        return error_set(error, "field '%s' of '%s' is of type %u with %u elements where type %d with %u is expected",
                         name, desc->name, type, count, (int)f->type, f->count);
    }
    if (f->type == STATE_TYPE_STRUCT) {
        nested = take_shape(r, f->nested, error);
        if (!nested) {
            return false;
        }
        g_ptr_array_add(shape->nested, nested);
    }
    return true;
}

/* Compares the description at *r with ours as it was at the stream's version; NULL: another shape. */
static Shape *take_shape(StateReader *r, const StateDesc *desc, GError **error)
{
    g_autoptr(Shape) shape = g_new0(Shape, 1);
    char name[256];
    unsigned rows, expected = 0;

    shape->nested = g_ptr_array_new_with_free_func(shape_free);
    state_take_string(r, name);
    shape->version = (unsigned)state_take_uint(r, 2);
    rows = (unsigned)state_take_uint(r, 2);
    if (r->short_) {
        error_set(error, "the description of '%s' is cut off", desc->name);
        return NULL;
    }
    if (strcmp(name, desc->name) != 0) {
        error_set(error, "holds the state of '%s' where '%s' is expected", name, desc->name);
        return NULL;
    }
    if (shape->version == 0 || shape->version > desc->version) {
        error_set(error, "'%s' has version %u, and this program knows versions up to %u", name, shape->version,
                  desc->version);
        error_hint(error, "Load it with the version of Lodge that saved it, or with a later one.");
        return NULL;
    }
    for (const StateField *f = desc->fields; f && f->type != STATE_TYPE_END; f++) {
        expected += state_row_since(f) <= shape->version;
    }
    if (rows != expected) {
        error_set(error, "'%s' version %u has %u fields where %u are expected", name, shape->version, rows, expected);
        return NULL;
    }
    for (const StateField *f = desc->fields; f && f->type != STATE_TYPE_END; f++) {
        if (state_row_since(f) <= shape->version && !take_row(r, f, desc, shape, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&shape);
}

/* ---- blobs: the scratch copy owns those that were loaded, and holds NULL for the others ---- */

typedef void (*BlobFn)(GByteArray **blob);

static void blob_forget(GByteArray **blob)
{
    *blob = NULL;
}

static void blob_unref(GByteArray **blob)
{
    g_clear_pointer(blob, g_byte_array_unref);
}

static void each_blob(const StateDesc *desc, void *base, BlobFn fn)
{
    for (const StateField *f = desc->fields; f && f->type != STATE_TYPE_END; f++) {
        if (f->type == STATE_TYPE_BLOB) {
            fn((GByteArray **)state_element(f, base, 0));
        }
        for (uint32_t i = 0; f->type == STATE_TYPE_STRUCT && i < f->count; i++) {
            each_blob(f->nested, state_element(f, base, i), fn);
        }
    }
    for (const StateDesc *const *sub = desc->subsections; sub && *sub; sub++) {
        each_blob(*sub, base, fn);
    }
}

/* ---- values ---- */

static bool load_values(Scratch *s, StateReader *r, const StateDesc *desc, const Shape *shape, void *base,
                        GError **error);

static bool load_number(StateReader *r, const StateField *f, void *element, GError **error)
{
    unsigned width = state_type_width(f->type);
    uint64_t value = state_take_uint(r, width);
    bool is_signed = f->type == STATE_TYPE_I32 || f->type == STATE_TYPE_I64;
    int64_t as_signed = f->type == STATE_TYPE_I32 ? (int32_t)value : (int64_t)value;

    if (f->type == STATE_TYPE_BOOL && value > 1) {
        return error_set(error, "field '%s' is %" G_GUINT64_FORMAT ", which is no boolean", f->name, value);
    }
    if (f->max && (is_signed ? as_signed > (int64_t)f->max : value > f->max)) {
        return error_set(error, "field '%s' is 0x%" G_GINT64_MODIFIER "x, more than 0x%" G_GINT64_MODIFIER "x", f->name,
                         value, f->max);
    }
    memcpy(element, &value, width);
    return true;
}

static bool load_blob(StateReader *r, const StateField *f, void *base, GError **error)
{
    GByteArray **blob = (GByteArray **)state_element(f, base, 0);
    size_t length = state_take_uint(r, 4);
    const uint8_t *bytes;

    if (length > f->count) {
        return error_set(error, "field '%s' has %zu bytes, more than %u", f->name, length, f->count);
    }
    bytes = state_take(r, length);
    if (bytes) {
        *blob = g_byte_array_sized_new((unsigned)length);
        g_byte_array_append(*blob, bytes, (unsigned)length);
    }
    return true;
}

static bool load_row(Scratch *s, StateReader *r, const StateField *f, const Shape *nested, void *base, GError **error)
{
    uint32_t count = f->count;

    if (f->type == STATE_TYPE_BLOB) {
        return load_blob(r, f, base, error);
    }
    if (state_row_counted(f)) {
        count = (uint32_t)state_take_uint(r, 4);
        if (count > f->count) {
            return error_set(error, "field '%s' has %u elements, more than %u", f->name, count, f->count);
        }
        *state_count_field(f, base) = count;
    }
    if (f->type == STATE_TYPE_BYTES) {
        const uint8_t *bytes = state_take(r, count);

        if (bytes) {
            memcpy(state_element(f, base, 0), bytes, count);
        }
        return true;
    }
    for (uint32_t i = 0; i < count && !r->short_; i++) {
        void *element = state_element(f, base, i);

        if (!(f->type == STATE_TYPE_STRUCT ? load_values(s, r, f->nested, nested, element, error)
                                           : load_number(r, f, element, error))) {
            return false;
        }
    }
    return true;
}

static bool load_subsections(Scratch *s, StateReader *r, const StateDesc *desc, void *base, GError **error)
{
    unsigned present = (unsigned)state_take_uint(r, 1);
    const StateDesc *const *next = desc->subsections;

    /* They come in the order of our list, each at most once. */
    for (unsigned i = 0; i < present && !r->short_; i++) {
        g_autoptr(Shape) shape = NULL;
        StateReader peek = *r;
        char name[256];

        state_take_string(&peek, name);
        while (next && *next && strcmp((*next)->name, name) != 0) {
            next++;
        }
        if (!next || !*next) {
            return error_set(error, "'%s' has a group '%s' that is not known here", desc->name, name);
        }
        shape = take_shape(r, *next, error);
        if (!shape || !load_values(s, r, *next, shape, base, error)) {
            return false;
        }
        next++;
    }
    return true;
}

/* A counter may also be saved as a row of its own: no row may make it say more than what was loaded. */
static bool check_counters(const StateDesc *desc, void *base, GError **error)
{
    for (const StateField *f = desc->fields; f && f->type != STATE_TYPE_END; f++) {
        if (state_row_counted(f) && *state_count_field(f, base) > f->count) {
            return error_set(error, "the counter of field '%s' says %u of %u elements", f->name,
                             *state_count_field(f, base), f->count);
        }
    }
    return true;
}

static bool load_values(Scratch *s, StateReader *r, const StateDesc *desc, const Shape *shape, void *base,
                        GError **error)
{
    LoadedHook hook = { desc, (size_t)((uint8_t *)base - s->copy) };
    unsigned structs = 0;

    for (const StateField *f = desc->fields; f && f->type != STATE_TYPE_END; f++) {
        if (state_row_since(f) > shape->version) {
            continue;
        }
        if (!load_row(s, r, f, f->type == STATE_TYPE_STRUCT ? g_ptr_array_index(shape->nested, structs++) : NULL, base,
                      error)) {
            return false;
        }
    }
    if (!check_counters(desc, base, error) || !load_subsections(s, r, desc, base, error)) {
        return false;
    }
    if (r->short_) {
        return error_set(error, "'%s' is cut off", desc->name);
    }
    if (desc->check && !desc->check(base, error)) {
        return false;
    }
    if (desc->loaded) {
        g_array_append_val(s->hooks, hook);
    }
    return true;
}

/* ---- applying ---- */

/* What was not loaded is the same in both, but for blobs. */
static void apply(const StateDesc *desc, void *from, void *to)
{
    for (const StateField *f = desc->fields; f && f->type != STATE_TYPE_END; f++) {
        if (state_row_counted(f)) {
            *state_count_field(f, to) = *state_count_field(f, from);
        }
        for (uint32_t i = 0; f->type == STATE_TYPE_STRUCT && i < f->count; i++) {
            apply(f->nested, state_element(f, from, i), state_element(f, to, i));
        }
        for (uint32_t i = 0; state_type_width(f->type) && i < f->count; i++) {
            memcpy(state_element(f, to, i), state_element(f, from, i), state_type_width(f->type));
        }
        if (f->type == STATE_TYPE_BLOB && *(GByteArray **)state_element(f, from, 0)) {
            GByteArray **blob = (GByteArray **)state_element(f, to, 0);

            g_clear_pointer(blob, g_byte_array_unref);
            *blob = g_steal_pointer((GByteArray **)state_element(f, from, 0));
        }
    }
    for (const StateDesc *const *sub = desc->subsections; sub && *sub; sub++) {
        apply(*sub, from, to);
    }
}

static bool run_loaded(Scratch *s, GError **error)
{
    bool ok = true;

    if (s->item->lock) {
        lock_acquire(s->item->lock);
    }
    for (unsigned i = 0; ok && i < s->hooks->len; i++) {
        const LoadedHook *hook = &g_array_index(s->hooks, LoadedHook, i);

        ok = hook->desc->loaded((uint8_t *)s->item->struct_ + hook->offset, error);
    }
    if (s->item->lock) {
        lock_release(s->item->lock);
    }
    return ok;
}

/* ---- the stream ---- */

static void scratch_free(void *opaque)
{
    Scratch *s = opaque;

    if (s) {
        each_blob(s->item->desc, s->copy, blob_unref);
        g_free(s->copy);
        g_array_unref(s->hooks);
        g_free(s);
    }
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scratch, scratch_free)

static Scratch *scratch_new(const StateItem *item)
{
    Scratch *s = g_new0(Scratch, 1);

    s->item = item;
    s->copy = g_memdup2(item->struct_, item->size);
    s->hooks = g_array_new(FALSE, FALSE, sizeof(LoadedHook));
    each_blob(item->desc, s->copy, blob_forget);
    return s;
}

bool state_take_section(StateReader *r, StateReader *body, char path[256], GError **error)
{
    uint32_t magic = (uint32_t)state_take_uint(r, 4);
    uint32_t length = (uint32_t)state_take_uint(r, 4);
    uint32_t checksum = (uint32_t)state_take_uint(r, 4);

    body->data = state_take(r, length);
    body->left = length;
    body->short_ = r->short_;
    if (r->short_) {
        return error_set(error, "the saved state is cut off");
    }
    if (magic != STATE_MAGIC) {
        return error_set(error, "the saved state has no section where one is expected");
    }
    if (state_crc32c(body->data, length) != checksum) {
        return error_set(error, "a section of the saved state has a wrong checksum");
    }
    state_take_string(body, path);
    if (body->short_) {
        return error_set(error, "a section of the saved state has no path");
    }
    return true;
}

bool state_is_optional(const char *path)
{
    return g_str_has_prefix(path, STATE_OPTIONAL);
}

static const StateItem *find_item(const StateList *list, const char *path)
{
    for (unsigned i = 0; i < list->items->len; i++) {
        const StateItem *item = g_ptr_array_index(list->items, i);

        if (strcmp(item->path, path) == 0) {
            return item;
        }
    }
    return NULL;
}

static bool load_section(const StateItem *item, StateReader *body, GHashTable *loaded, GError **error)
{
    g_autoptr(Scratch) s = NULL;
    g_autoptr(Shape) shape = NULL;

    if (item->desc->unmigratable) {
        return error_set(error, "state cannot be loaded: %s", item->desc->unmigratable);
    }
    if (g_hash_table_contains(loaded, item)) {
        return error_set(error, "the saved state has two sections of it");
    }
    shape = take_shape(body, item->desc, error);
    if (!shape) {
        return false;
    }
    s = scratch_new(item);
    if (!load_values(s, body, item->desc, shape, s->copy, error)) {
        return false;
    }
    if (body->left) {
        return error_set(error, "its section is %zu bytes too long", body->left);
    }
    g_hash_table_insert(loaded, (void *)item, g_steal_pointer(&s));
    return true;
}

bool state_load(StateList *list, const uint8_t *data, size_t length, GError **error)
{
    g_autoptr(GHashTable) loaded = g_hash_table_new_full(NULL, NULL, NULL, scratch_free);
    StateReader r = { data, length, false };

    while (r.left) {
        StateReader body;
        char path[256];
        const StateItem *item;

        if (!state_take_section(&r, &body, path, error)) {
            return false;
        }
        item = find_item(list, path);
        if (!item && state_is_optional(path)) {
            continue;
        }
        if (!item) {
            error_set(error, "the saved state holds '%s', which this domain does not have", path);
            return error_hint(error, "Start the domain with the options it was saved with.");
        }
        if (!load_section(item, &body, loaded, error)) {
            return error_subject(error, path);
        }
    }
    for (unsigned i = 0; i < list->items->len; i++) {
        const StateItem *item = g_ptr_array_index(list->items, i);

        if (!g_hash_table_contains(loaded, item) && !state_is_optional(item->path)) {
            error_set(error, "the saved state has no section of it");
            error_hint(error, "Start the domain with the options it was saved with.");
            return error_subject(error, item->path);
        }
    }
    for (unsigned i = 0; i < list->items->len; i++) {
        Scratch *s = g_hash_table_lookup(loaded, g_ptr_array_index(list->items, i));

        if (s) {
            apply(s->item->desc, s->copy, s->item->struct_);
        }
    }
    for (unsigned i = 0; i < list->items->len; i++) {
        Scratch *s = g_hash_table_lookup(loaded, g_ptr_array_index(list->items, i));

        if (s && !run_loaded(s, error)) {
            return error_subject(error, s->item->path);
        }
    }
    return true;
}
