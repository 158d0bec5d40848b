/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/migrate-compress.h: zlib (RFC 1950) and, where it was built in, zstd (RFC 8878).  What is decompressed is
 * hostile; it never gets more room than the pages that it is for.  Locking: none.
 */
#include "vmm/migrate-compress.h"

#include <zlib.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include "vmm/ram.h"

#define BYTE_VALUES 256
#define NOISE       UINT64_C(390) /* chi-squared, at most: six deviations above the average */

struct MigrateCompressor {
    MigrateCompression method;
    int level;
    z_stream z; /* zeros: not begun, which its Reset functions refuse */
#ifdef HAVE_ZSTD
    ZSTD_CCtx *zstd;
#endif
};

MigrateCompressor *migrate_compressor_new(MigrateCompression method, int level)
{
    MigrateCompressor *c = g_new0(MigrateCompressor, 1);

    c->method = method;
    c->level = level;
    return c;
}

void migrate_compressor_free(MigrateCompressor *c)
{
    if (!c) {
        return;
    }
    deflateEnd(&c->z);
#ifdef HAVE_ZSTD
    ZSTD_freeCCtx(c->zstd);
#endif
    g_free(c);
}

static size_t compress_zlib(MigrateCompressor *c, const uint8_t *data, size_t length, uint8_t *out, size_t room)
{
    if (deflateReset(&c->z) != Z_OK && deflateInit(&c->z, c->level) != Z_OK) {
        return 0;
    }
    c->z.next_in = (Bytef *)data;
    c->z.avail_in = (uInt)length;
    c->z.next_out = out;
    c->z.avail_out = (uInt)(room - 1);
    return deflate(&c->z, Z_FINISH) == Z_STREAM_END ? room - 1 - c->z.avail_out : 0;
}

#ifdef HAVE_ZSTD
static size_t compress_zstd(MigrateCompressor *c, const uint8_t *data, size_t length, uint8_t *out, size_t room)
{
    size_t n;

    c->zstd = c->zstd ? c->zstd : ZSTD_createCCtx();
    if (!c->zstd) {
        return 0;
    }
    n = ZSTD_compressCCtx(c->zstd, out, room - 1, data, length, c->level);
    return ZSTD_isError(n) ? 0 : n;
}
#endif

size_t migrate_compress(MigrateCompressor *c, const uint8_t *data, size_t length, uint8_t *out, size_t room)
{
    switch (c->method) {
    case MIGRATE_COMPRESS_ZLIB:
        return compress_zlib(c, data, length, out, room);
#ifdef HAVE_ZSTD
    case MIGRATE_COMPRESS_ZSTD:
        return compress_zstd(c, data, length, out, room);
#endif
    default:
        return 0;
    }
}

/* In noise each value is there 16 times, and chi-squared is 255 on average, 23 more or less.  What is packed or
 * enciphered stays within that; text, code, numbers and what is there twice do not. */
bool migrate_page_is_noise(const uint8_t *page)
{
    uint16_t count[4][BYTE_VALUES] = { 0 }; /* four, for the sake of what comes twice in a row */
    uint64_t squares = 0;

    for (size_t i = 0; i < GUEST_PAGE_SIZE; i += 4) {
        count[0][page[i]]++;
        count[1][page[i + 1]]++;
        count[2][page[i + 2]]++;
        count[3][page[i + 3]]++;
    }
    for (size_t v = 0; v < BYTE_VALUES; v++) {
        uint64_t n = (uint64_t)count[0][v] + count[1][v] + count[2][v] + count[3][v];

        squares += n * n;
    }
    return squares * BYTE_VALUES < GUEST_PAGE_SIZE * (GUEST_PAGE_SIZE + NOISE);
}

struct MigrateDecompressor {
    z_stream z; /* as above */
#ifdef HAVE_ZSTD
    ZSTD_DCtx *zstd;
#endif
};

MigrateDecompressor *migrate_decompressor_new(void)
{
    return g_new0(MigrateDecompressor, 1);
}

void migrate_decompressor_free(MigrateDecompressor *d)
{
    if (!d) {
        return;
    }
    inflateEnd(&d->z);
#ifdef HAVE_ZSTD
    ZSTD_freeDCtx(d->zstd);
#endif
    g_free(d);
}

static bool decompress_zlib(MigrateDecompressor *d, const uint8_t *data, size_t length, uint8_t *out, size_t out_length)
{
    if (inflateReset(&d->z) != Z_OK && inflateInit(&d->z) != Z_OK) {
        return false;
    }
    d->z.next_in = (Bytef *)data;
    d->z.avail_in = (uInt)length;
    d->z.next_out = out;
    d->z.avail_out = (uInt)out_length;
    return inflate(&d->z, Z_FINISH) == Z_STREAM_END && d->z.avail_out == 0 && d->z.avail_in == 0;
}

#ifdef HAVE_ZSTD
static bool decompress_zstd(MigrateDecompressor *d, const uint8_t *data, size_t length, uint8_t *out, size_t out_length)
{
    d->zstd = d->zstd ? d->zstd : ZSTD_createDCtx();
    return d->zstd && ZSTD_decompressDCtx(d->zstd, out, out_length, data, length) == out_length;
}
#endif

bool migrate_decompress(MigrateDecompressor *d, MigrateCompression method, const uint8_t *data, size_t length,
                        uint8_t *out, size_t out_length)
{
    switch (method) {
    case MIGRATE_COMPRESS_ZLIB:
        return decompress_zlib(d, data, length, out, out_length);
#ifdef HAVE_ZSTD
    case MIGRATE_COMPRESS_ZSTD:
        return decompress_zstd(d, data, length, out, out_length);
#endif
    default:
        return false;
    }
}
