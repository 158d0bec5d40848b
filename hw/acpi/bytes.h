/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every firmware table is written with: little-endian fields, and sums that come out as 0. */
#pragma once

#include <glib.h>
#include <stdint.h>

static inline void bytes_put(GByteArray *a, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        guint8 b = (guint8)(value >> (8 * i));

        g_byte_array_append(a, &b, 1);
    }
}

static inline uint8_t bytes_checksum(const uint8_t *p, size_t length)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    return (uint8_t)-sum;
}
