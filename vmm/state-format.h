/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The form of a section on the wire, shared by the writer, the loader and the
 * describer.  Everything is little endian.
 *
 *   section     = u32 magic, u32 length of body, u32 CRC-32C of body, body
 *   body        = string path, table
 *   table       = description, values
 *   description = string name, u16 version, u16 rows, row...
 *   row         = string name, u8 type, u8 flags, u32 count, description (STATE_TYPE_STRUCT only)
 *   string      = u8 length, bytes (UTF-8)
 *   values      = what each row holds, then u8 n, and n tables: the subsections present
 *
 * A row holds `count` elements; a counted one (STATE_ROW_COUNTED) a u32 and that
 * many; a blob a u32 and that many bytes.  An element of a struct row is `values`.
 * So every row takes at least one byte per struct, and reading a stream takes time
 * linear in its length, whatever it says.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/state.h"

#define STATE_MAGIC       0x5343444cu /* "LDCS" */
#define STATE_ROW_COUNTED 1
#define STATE_HEADER      12          /* bytes before the body */
#define STATE_DEPTH_MAX   8           /* tables within tables */

/* Reads a buffer it does not own; past the end everything is zero and `short_` is set. */
typedef struct StateReader {
    const uint8_t *data;
    size_t left;
    bool short_;
} StateReader;

static inline const uint8_t *state_take(StateReader *r, size_t length)
{
    const uint8_t *p = r->data;

    if (r->short_ || length > r->left) {
        r->short_ = true;
        return NULL;
    }
    r->data += length;
    r->left -= length;
    return p;
}

static inline uint64_t state_take_uint(StateReader *r, unsigned bytes)
{
    const uint8_t *p = state_take(r, bytes);
    uint64_t value = 0;

    for (unsigned i = 0; p && i < bytes; i++) {
        value |= (uint64_t)p[i] << (8 * i);
    }
    return value;
}

/* A string of the stream into a buffer of 256 bytes. */
static inline void state_take_string(StateReader *r, char ret[256])
{
    size_t length = state_take_uint(r, 1);
    const uint8_t *p = state_take(r, length);

    if (!p || !g_utf8_validate((const char *)p, (gssize)length, NULL)) {
        r->short_ = true;
        length = 0;
    }
    for (size_t i = 0; i < length; i++) {
        ret[i] = (char)p[i];
    }
    ret[length] = '\0';
}

/* Bytes of one element on the wire; 0: not fixed (blob, struct). */
static inline unsigned state_type_width(StateType type)
{
    switch (type) {
    case STATE_TYPE_BOOL:
    case STATE_TYPE_U8:
    case STATE_TYPE_BYTES:
        return 1;
    case STATE_TYPE_U16:
        return 2;
    case STATE_TYPE_U32:
    case STATE_TYPE_I32:
        return 4;
    case STATE_TYPE_U64:
    case STATE_TYPE_I64:
        return 8;
    default:
        return 0;
    }
}

static inline bool state_row_counted(const StateField *f)
{
    return f->count_offset != 0;
}

static inline unsigned state_row_since(const StateField *f)
{
    return f->since ? f->since : 1;
}

static inline void *state_element(const StateField *f, void *base, uint32_t n)
{
    return (uint8_t *)base + f->offset + (size_t)n * f->stride;
}

static inline uint32_t *state_count_field(const StateField *f, void *base)
{
    return (uint32_t *)(void *)((uint8_t *)base + f->count_offset);
}

uint32_t state_crc32c(const uint8_t *data, size_t length);
/* Of what came before, and this. */
uint32_t state_crc32c_more(uint32_t crc, const void *data, size_t length);
/* The item's section header and path are at *r: checks magic, length and checksum, and sets
 * *body to what follows the path. */
bool state_take_section(StateReader *r, StateReader *body, char path[256], GError **error);

struct StateList {
    GPtrArray *items; /* StateItem */
};
