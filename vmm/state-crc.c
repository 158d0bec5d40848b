/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC-32C (Castagnoli), RFC 3720 appendix B.4: reflected polynomial 0x82f63b78.  RAM of domains that move goes through
 * here, so where the processor has them its instructions do it (SDM 2A CRC32, 2B PCLMULQDQ): three lanes of a block at
 * once, as each step waits for the one before.  The CRC of a lane is moved on over those behind it by a multiplication
 * with x^(bits - 33) modulo the polynomial; the 33 are what the product is short of, and what CRC32 multiplies by.
 */
#include <immintrin.h>
#include <string.h>

#include "vmm/state-format.h"

#define LANE    UINT64_C(1024)
#define OVER_1  0x170076fa /* x^(8 * LANE - 33), reflected */
#define OVER_2  0xa51b6135 /* x^(16 * LANE - 33) */

/* A nibble at a time. */
static uint32_t by_table(uint32_t crc, const uint8_t *data, size_t length)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return crc;
}

static inline uint64_t word_at(const uint8_t *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof(word));
    return word;
}

__attribute__((target("sse4.2,pclmul")))
static uint64_t times(uint64_t crc, uint32_t factor)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128(factor), 0);

    return (uint64_t)_mm_cvtsi128_si64(product);
}

__attribute__((target("sse4.2,pclmul")))
static uint32_t by_instructions(uint32_t crc, const uint8_t *data, size_t length)
{
    uint64_t a = crc;

    for (; length >= 3 * LANE; data += 3 * LANE, length -= 3 * LANE) {
        uint64_t b = 0, c = 0;

        for (size_t i = 0; i < LANE; i += 8) {
            a = _mm_crc32_u64(a, word_at(data + i));
            b = _mm_crc32_u64(b, word_at(data + LANE + i));
            c = _mm_crc32_u64(c, word_at(data + 2 * LANE + i));
        }
        a = _mm_crc32_u64(0, times(a, OVER_2) ^ times(b, OVER_1)) ^ c;
    }
    for (; length >= 8; data += 8, length -= 8) {
        a = _mm_crc32_u64(a, word_at(data));
    }
    return by_table((uint32_t)a, data, length);
}

uint32_t state_crc32c_more(uint32_t crc, const void *data, size_t length)
{
    bool able = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");

    return ~(able ? by_instructions : by_table)(~crc, data, length);
}

uint32_t state_crc32c(const uint8_t *data, size_t length)
{
    return state_crc32c_more(0, data, length);
}
