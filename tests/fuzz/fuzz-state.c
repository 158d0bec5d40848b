/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved state from a hostile stream: whatever comes in is loaded or refused, and
 * refused means that nothing has changed.  Checksums are made right first, so that
 * what lies behind them is reached; and an input that begins with an odd byte is not
 * the stream itself but edits to a good one (offset, offset, byte).  Describing a stream must get by without a table.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmm/error.h"
#include "vmm/state-format.h"
#include "vmm/state.h"

typedef struct Inner {
    uint16_t x;
    bool set;
} Inner;

typedef struct Outer {
    uint8_t byte;
    int32_t number;
    uint64_t words[3];
    uint32_t used;
    Inner slots[4];
    uint32_t length;
    uint8_t raw[16];
    GByteArray *blob;
    uint32_t extra;
    uint64_t late;
} Outer;

static bool outer_check(const void *struct_, GError **error)
{
    return ((const Outer *)struct_)->number >= 0 || error_set(error, "negative");
}

static const StateDesc inner_state = {
    .name = "inner", .version = 1,
    .fields = (const StateField[]) { STATE_U16(Inner, x), STATE_BOOL(Inner, set), STATE_END },
};

static const StateDesc extra_state = {
    .name = "extra", .version = 1,
    .fields = (const StateField[]) { STATE_U32(Outer, extra), STATE_END },
};

static const StateDesc *const subsections[] = { &extra_state, NULL };

static const StateDesc outer_state = {
    .name = "outer", .version = 2, .check = outer_check, .subsections = subsections,
    .fields = (const StateField[]) {
        STATE_U8(Outer, byte), STATE_I32(Outer, number), STATE_ARRAY(Outer, words, STATE_TYPE_U64),
        { .name = "slots", .type = STATE_TYPE_STRUCT, .offset = offsetof(Outer, slots), .count = 4,
          .count_offset = offsetof(Outer, used), .stride = sizeof(Inner), .nested = &inner_state },
        STATE_U32(Outer, length),
        { .name = "raw", .type = STATE_TYPE_BYTES, .offset = offsetof(Outer, raw), .count = 16,
          .count_offset = offsetof(Outer, length), .stride = 1 },
        STATE_BLOB(Outer, blob, 64), STATE_ROW(Outer, late, STATE_TYPE_U64, .since = 2, .max = 1000), STATE_END
    },
};

static void seal(uint8_t *data, size_t size)
{
    for (size_t at = 0; size - at >= STATE_HEADER;) {
        uint32_t length, crc;

        memcpy(&length, data + at + 4, sizeof(length));
        if (length > size - at - STATE_HEADER) {
            return;
        }
        crc = state_crc32c(data + at + STATE_HEADER, length);
        memcpy(data + at + 8, &crc, sizeof(crc));
        at += STATE_HEADER + length;
    }
}

/* What was loaded can be saved, and is within its bounds. */
static void check_loaded(StateList *list, const Outer *o)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    g_assert(o->used <= 4 && o->length <= 16 && o->late <= 1000 && o->number >= 0);
    g_assert(!o->blob || o->blob->len <= 64);
    g_assert(state_save(list, out, NULL));
}

static GByteArray *edited_stream(StateList *list, const uint8_t *edits, size_t size)
{
    GByteArray *stream = g_byte_array_new();

    g_assert(state_save(list, stream, NULL));
    for (size_t i = 0; i + 3 <= size; i += 3) {
        stream->data[(edits[i] | edits[i + 1] << 8) % stream->len] = edits[i + 2];
    }
    return stream;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GByteArray) stream = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    StateList *list = state_list_new();
    Outer o = { .byte = 1, .used = 2, .length = 3, .extra = 4 }, before = o;

    state_list_add(list, "/o", &outer_state, &o, sizeof(o), NULL);
    if (size && (data[0] & 1)) {
        stream = edited_stream(list, data + 1, size - 1);
    } else {
        stream = g_byte_array_new();
        g_byte_array_append(stream, data, (unsigned)size);
    }
    seal(stream->data, stream->len);
    if (state_load(list, stream->data, stream->len, &error)) {
        check_loaded(list, &o);
    } else {
        g_assert(error && !memcmp(&o, &before, sizeof(o)));
    }
    state_describe(stream->data, stream->len, text, NULL);
    g_clear_pointer(&o.blob, g_byte_array_unref);
    state_list_free(list);
    return 0;
}
