/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compression of the pages of one record (vmm/migrate-format.h), each by itself.  A compressor and a decompressor
 * belong to one thread; their memory is allocated at the first use.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of QEMU's MultiFDCompression. */
typedef enum MigrateCompression {
    MIGRATE_COMPRESS_NONE, MIGRATE_COMPRESS_ZLIB, MIGRATE_COMPRESS_ZSTD
} MigrateCompression;

typedef struct MigrateCompressor MigrateCompressor;
MigrateCompressor *migrate_compressor_new(MigrateCompression method, int level);
void migrate_compressor_free(MigrateCompressor *c); /* NULL is fine */
/* Returns the length in `out`, which is less than `room`; 0: it does not get so small. */
size_t migrate_compress(MigrateCompressor *c, const uint8_t *data, size_t length, uint8_t *out, size_t room);

/* Whether no method makes a page (GUEST_PAGE_SIZE) smaller, as far as how often each value of a byte is there tells. */
bool migrate_page_is_noise(const uint8_t *page);

typedef struct MigrateDecompressor MigrateDecompressor;
MigrateDecompressor *migrate_decompressor_new(void);
void migrate_decompressor_free(MigrateDecompressor *d); /* NULL is fine */
/* False: it is not the compressed form of exactly so many bytes.  What is in `out` then is anything. */
bool migrate_decompress(MigrateDecompressor *d, MigrateCompression method, const uint8_t *data, size_t length,
                        uint8_t *out, size_t out_length);
