/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A writer of AML: ACPI 6.4 chapter 20 (encoding) and section 6.4 (resources). */
#include "hw/acpi/aml.h"

#include <string.h>

typedef enum OpenKind { OPEN_PACKAGE_LENGTH, OPEN_BUFFER } OpenKind;
typedef struct Open {
    OpenKind kind;
    guint start; /* where the length goes */
} Open;

struct Aml {
    GByteArray *bytes;
    GArray *open;
};

static void byte(Aml *aml, unsigned value)
{
    guint8 b = (guint8)value;

    g_byte_array_append(aml->bytes, &b, 1);
}

static void little_endian(Aml *aml, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        byte(aml, (unsigned)(value >> (8 * i)) & 0xff);
    }
}

static void open_length(Aml *aml, OpenKind kind)
{
    Open open = { kind, aml->bytes->len };

    g_array_append_val(aml->open, open);
}

/* 20.2.4: a package length counts itself.  Returns its size. */
static unsigned package_length(uint8_t out[4], size_t content)
{
    unsigned size = content + 1 < 0x40 ? 1 : content + 2 < 0x1000 ? 2 : content + 3 < 0x100000 ? 3 : 4;
    size_t total = content + size;

    g_assert(total < 0x10000000);
    if (size == 1) {
        out[0] = (uint8_t)total;
        return 1;
    }
    out[0] = (uint8_t)((size - 1) << 6 | (total & 0xf));
    for (unsigned i = 1; i < size; i++) {
        out[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
    }
    return size;
}

static void insert(GByteArray *bytes, guint at, const uint8_t *data, guint length)
{
    guint tail = bytes->len - at;

    g_byte_array_set_size(bytes, bytes->len + length);
    memmove(bytes->data + at + length, bytes->data + at, tail);
    memcpy(bytes->data + at, data, length);
}

void aml_end(Aml *aml)
{
    g_assert(aml->open->len > 0);
    Open open = g_array_index(aml->open, Open, aml->open->len - 1);
    uint8_t length[4];

    g_array_set_size(aml->open, aml->open->len - 1);
    if (open.kind == OPEN_BUFFER) {
        uint8_t size[3];

        little_endian(aml, 0x0079, 2); /* end tag, no checksum */
        size[0] = 0x0b;                /* word constant: how many bytes */
        size[1] = (uint8_t)(aml->bytes->len - open.start);
        size[2] = (uint8_t)((aml->bytes->len - open.start) >> 8);
        insert(aml->bytes, open.start, size, sizeof(size));
    }
    insert(aml->bytes, open.start, length, package_length(length, aml->bytes->len - open.start));
}

Aml *aml_new(void)
{
    Aml *aml = g_new0(Aml, 1);

    aml->bytes = g_byte_array_new();
    aml->open = g_array_new(FALSE, FALSE, sizeof(Open));
    return aml;
}

GByteArray *aml_finish(Aml *aml)
{
    GByteArray *bytes = aml->bytes;

    g_assert(aml->open->len == 0);
    g_array_free(aml->open, TRUE);
    g_free(aml);
    return bytes;
}

/* ---- names, 20.2.2 ---- */

static void name_segment(Aml *aml, const char *name, size_t length)
{
    g_assert(length >= 1 && length <= 4);
    for (size_t i = 0; i < 4; i++) {
        byte(aml, i < length ? (unsigned char)name[i] : '_');
    }
}

void aml_path(Aml *aml, const char *path)
{
    g_auto(GStrv) segments = NULL;
    guint n;

    for (; *path == '\\' || *path == '^'; path++) {
        byte(aml, (unsigned char)*path);
    }
    segments = g_strsplit(path, ".", -1);
    n = g_strv_length(segments);
    if (n == 0) {
        byte(aml, 0); /* the root itself */
    } else if (n == 2) {
        byte(aml, 0x2e);
    } else if (n > 2) {
        byte(aml, 0x2f);
        byte(aml, n);
    }
    for (guint i = 0; i < n; i++) {
        name_segment(aml, segments[i], strlen(segments[i]));
    }
}

void aml_new_name(Aml *aml, const char *name)
{
    aml_path(aml, name);
}

void aml_begin_scope(Aml *aml, const char *path)
{
    byte(aml, 0x10);
    open_length(aml, OPEN_PACKAGE_LENGTH);
    aml_path(aml, path);
}

void aml_begin_device(Aml *aml, const char *name)
{
    byte(aml, 0x5b);
    byte(aml, 0x82);
    open_length(aml, OPEN_PACKAGE_LENGTH);
    aml_path(aml, name);
}

void aml_begin_method(Aml *aml, const char *name, unsigned args, bool serialized)
{
    byte(aml, 0x14);
    open_length(aml, OPEN_PACKAGE_LENGTH);
    aml_path(aml, name);
    byte(aml, args | (serialized ? 8u : 0u));
}

void aml_name(Aml *aml, const char *name)
{
    byte(aml, 0x08);
    aml_path(aml, name);
}

void aml_name_int(Aml *aml, const char *name, uint64_t value)
{
    aml_name(aml, name);
    aml_int(aml, value);
}

void aml_name_string(Aml *aml, const char *name, const char *value)
{
    aml_name(aml, name);
    aml_string(aml, value);
}

void aml_name_eisa(Aml *aml, const char *name, const char *id)
{
    unsigned letters, number;

    g_assert(strlen(id) == 7);
    letters = (unsigned)(id[0] - '@') << 10 | (unsigned)(id[1] - '@') << 5 | (unsigned)(id[2] - '@');
    number = (unsigned)g_ascii_strtoull(id + 3, NULL, 16);
    aml_name(aml, name);
    byte(aml, 0x0c);
    byte(aml, letters >> 8);
    byte(aml, letters & 0xff);
    byte(aml, number >> 8);
    byte(aml, number & 0xff);
}

void aml_mutex(Aml *aml, const char *name)
{
    byte(aml, 0x5b);
    byte(aml, 0x01);
    aml_path(aml, name);
    byte(aml, 0); /* the lowest synchronization level */
}

void aml_operation_region(Aml *aml, const char *name, AmlSpace space, uint64_t offset, uint64_t length)
{
    byte(aml, 0x5b);
    byte(aml, 0x80);
    aml_path(aml, name);
    byte(aml, space);
    aml_int(aml, offset);
    aml_int(aml, length);
}

void aml_begin_field(Aml *aml, const char *region, AmlAccess access, bool preserve)
{
    byte(aml, 0x5b);
    byte(aml, 0x81);
    open_length(aml, OPEN_PACKAGE_LENGTH);
    aml_path(aml, region);
    byte(aml, access | (preserve ? 0u : 2u << 5));
}

/* A field's length is encoded like a package length, but does not count itself. */
static void field_length(Aml *aml, unsigned bits)
{
    if (bits < 0x40) {
        byte(aml, bits);
    } else {
        g_assert(bits < 0x1000);
        byte(aml, 0x40 | (bits & 0xf));
        byte(aml, bits >> 4);
    }
}

void aml_field(Aml *aml, const char *name, unsigned bits)
{
    name_segment(aml, name, strlen(name));
    field_length(aml, bits);
}

void aml_field_skip(Aml *aml, unsigned bits)
{
    byte(aml, 0);
    field_length(aml, bits);
}

/* ---- data ---- */

void aml_int(Aml *aml, uint64_t value)
{
    if (value <= 1) {
        byte(aml, (unsigned)value);
    } else if (value <= 0xff) {
        byte(aml, 0x0a);
        little_endian(aml, value, 1);
    } else if (value <= 0xffff) {
        byte(aml, 0x0b);
        little_endian(aml, value, 2);
    } else if (value <= 0xffffffff) {
        byte(aml, 0x0c);
        little_endian(aml, value, 4);
    } else {
        byte(aml, 0x0e);
        little_endian(aml, value, 8);
    }
}

void aml_string(Aml *aml, const char *value)
{
    byte(aml, 0x0d);
    g_byte_array_append(aml->bytes, (const guint8 *)value, (guint)strlen(value) + 1);
}

void aml_begin_package(Aml *aml, unsigned elements)
{
    g_assert(elements < 256);
    byte(aml, 0x12);
    open_length(aml, OPEN_PACKAGE_LENGTH);
    byte(aml, elements);
}

void aml_buffer(Aml *aml, const uint8_t *data, size_t length)
{
    byte(aml, 0x11);
    open_length(aml, OPEN_PACKAGE_LENGTH);
    aml_int(aml, length);
    g_byte_array_append(aml->bytes, data, (guint)length);
    aml_end(aml);
}

void aml_local(Aml *aml, unsigned n)
{
    g_assert(n < 8);
    byte(aml, 0x60 + n);
}

void aml_arg(Aml *aml, unsigned n)
{
    g_assert(n < 7);
    byte(aml, 0x68 + n);
}

void aml_to_uuid(Aml *aml, const char *uuid)
{
    /* Which digit pair of aabbccdd-eeff-gghh-iijj-kkllmmnnoopp each byte comes from. */
    static const uint8_t pair_at[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34 };
    uint8_t bytes[16];

    for (unsigned i = 0; i < 16; i++) {
        bytes[i] = (uint8_t)(g_ascii_xdigit_value(uuid[pair_at[i]]) << 4 | g_ascii_xdigit_value(uuid[pair_at[i] + 1]));
    }
    aml_buffer(aml, bytes, sizeof(bytes));
}

/* ---- operators ---- */

void aml_op(Aml *aml, AmlOp op)
{
    byte(aml, op);
}

void aml_nothing(Aml *aml)
{
    byte(aml, 0);
}

void aml_begin_if(Aml *aml)
{
    byte(aml, 0xa0);
    open_length(aml, OPEN_PACKAGE_LENGTH);
}

void aml_begin_else(Aml *aml)
{
    byte(aml, 0xa1);
    open_length(aml, OPEN_PACKAGE_LENGTH);
}

void aml_begin_while(Aml *aml)
{
    byte(aml, 0xa2);
    open_length(aml, OPEN_PACKAGE_LENGTH);
}

void aml_acquire(Aml *aml, const char *mutex)
{
    byte(aml, 0x5b);
    byte(aml, 0x23);
    aml_path(aml, mutex);
    little_endian(aml, 0xffff, 2);
}

void aml_release(Aml *aml, const char *mutex)
{
    byte(aml, 0x5b);
    byte(aml, 0x27);
    aml_path(aml, mutex);
}

/* ---- resources, 6.4 ---- */

void aml_begin_resources(Aml *aml)
{
    byte(aml, 0x11);
    open_length(aml, OPEN_BUFFER);
}

void aml_res_io(Aml *aml, uint16_t first, uint16_t last, uint8_t align, uint8_t length)
{
    byte(aml, 0x47); /* 6.4.2.5, decodes 16 bits */
    byte(aml, 1);
    little_endian(aml, first, 2);
    little_endian(aml, last, 2);
    byte(aml, align);
    byte(aml, length);
}

void aml_res_irq(Aml *aml, uint8_t irq)
{
    g_assert(irq < 16);
    byte(aml, 0x22); /* 6.4.2.1, two mask bytes */
    little_endian(aml, UINT64_C(1) << irq, 2);
}

void aml_res_memory32(Aml *aml, bool writable, uint32_t base, uint32_t length)
{
    byte(aml, 0x86); /* 6.4.3.4 */
    little_endian(aml, 9, 2);
    byte(aml, writable);
    little_endian(aml, base, 4);
    little_endian(aml, length, 4);
}

void aml_res_register(Aml *aml, AmlSpace space, uint8_t width, uint8_t bit_offset, uint8_t access, uint64_t address)
{
    byte(aml, 0x82); /* 6.4.3.7 */
    little_endian(aml, 12, 2);
    byte(aml, space);
    byte(aml, width);
    byte(aml, bit_offset);
    byte(aml, access);
    little_endian(aml, address, 8);
}

void aml_res_interrupt(Aml *aml, bool consumer, bool level, bool low, bool shared, const uint32_t *gsi, unsigned n)
{
    byte(aml, 0x89); /* 6.4.3.6 */
    little_endian(aml, 2 + 4 * n, 2);
    byte(aml, (consumer ? 1u : 0u) | (level ? 0u : 2u) | (low ? 4u : 0u) | (shared ? 8u : 0u));
    byte(aml, n);
    for (unsigned i = 0; i < n; i++) {
        little_endian(aml, gsi[i], 4);
    }
}

void aml_res_window(Aml *aml, unsigned bits, AmlRange range, bool cacheable, uint64_t first, uint64_t last)
{
    unsigned bytes = bits / 8;

    g_assert(bits == 16 || bits == 32 || bits == 64);
    byte(aml, bits == 16 ? 0x88 : bits == 32 ? 0x87 : 0x8a); /* 6.4.3.5 */
    little_endian(aml, 3 + 5 * bytes, 2);
    byte(aml, range);
    byte(aml, 0x0c); /* fixed minimum and maximum, positive decode, producer */
    byte(aml, range == AML_RANGE_MEMORY ? (cacheable ? 3u : 1u) : range == AML_RANGE_IO ? 3u : 0u);
    little_endian(aml, 0, bytes); /* granularity */
    little_endian(aml, first, bytes);
    little_endian(aml, last, bytes);
    little_endian(aml, 0, bytes); /* translation */
    little_endian(aml, last - first + 1, bytes);
}
