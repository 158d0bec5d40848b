/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dump in the compressed format of kdump, "flattened", which needs no seeking (IMPLEMENTATION of makedumpfile 1.7;
 * diskdump_mod.h):
 *
 *     flattened header | { offset, length, bytes } ... | end
 *
 * and what the pieces make up, in blocks of a page:
 *
 *     header | sub-header, notes | bitmap of page frames, twice | descriptors | pages, each compressed by itself (zlib)
 *
 * All zero pages share one.  Nothing is left out by what is in a page: which pages are free only the guest's kernel
 * knows.
 */
#include <string.h>
#include <time.h>

#include <zlib.h>

#include "vmm/dump.h"

#define BLOCK          4096u
#define HEADER_VERSION 6
#define FLAT_HEADER    4096
#define COMPRESSED     1u /* status: by zlib; and of a page */
#define DUMP_LEVEL     1
#define CACHE_BYTES    (1u << 20)

typedef struct DiskHeader {
    char signature[8];
    uint32_t version;
    char utsname[6][65];
    uint8_t timestamp[22];
    uint32_t status, block_size, sub_header_blocks, bitmap_blocks, max_mapnr, total_ram_blocks, device_blocks,
        written_blocks, current_cpu, cpus;
} __attribute__((packed)) DiskHeader;
G_STATIC_ASSERT(sizeof(DiskHeader) == 464);

typedef struct SubHeader {
    uint64_t phys_base;
    uint32_t dump_level, split;
    uint64_t start_pfn, end_pfn, offset_vmcoreinfo, size_vmcoreinfo, offset_note, size_note, offset_eraseinfo,
        size_eraseinfo, start_pfn_64, end_pfn_64, max_mapnr_64;
} __attribute__((packed)) SubHeader;

typedef struct PageDesc { uint64_t offset; uint32_t size, flags; uint64_t page_flags; } PageDesc;

/* What is written at one place, gathered. */
typedef struct Cache {
    Dump *dump;
    uint64_t offset;
    GByteArray *bytes;
} Cache;

static bool write_at(Dump *dump, uint64_t offset, const void *data, uint64_t length, GError **error)
{
    uint64_t piece[2] = { GUINT64_TO_BE(offset), GUINT64_TO_BE(length) };

    return dump_write(dump, piece, sizeof(piece), error) && dump_write(dump, data, length, error);
}

static bool cache_flush(Cache *c, GError **error)
{
    bool ok = !c->bytes->len || write_at(c->dump, c->offset, c->bytes->data, c->bytes->len, error);

    c->offset += c->bytes->len;
    g_byte_array_set_size(c->bytes, 0);
    return ok;
}

static bool cache_add(Cache *c, const void *data, uint32_t length, GError **error)
{
    g_byte_array_append(c->bytes, data, length);
    return c->bytes->len < CACHE_BYTES || cache_flush(c, error);
}

static bool write_flat_header(Dump *dump, GError **error)
{
    uint8_t header[FLAT_HEADER] = "makedumpfile";
    uint64_t one = GUINT64_TO_BE(1);

    memcpy(header + 16, &one, sizeof(one)); /* type */
    memcpy(header + 24, &one, sizeof(one)); /* version */
    return dump_write(dump, header, sizeof(header), error);
}

static bool write_flat_end(Dump *dump, GError **error)
{
    const uint64_t end[2] = { UINT64_MAX, UINT64_MAX };

    return dump_write(dump, end, sizeof(end), error);
}

/* ---- headers ---- */

typedef struct Layout {
    uint64_t frames;           /* page frame numbers are below */
    uint64_t pages;            /* of RAM */
    uint32_t sub_header_blocks;
    uint64_t bitmap_bytes;     /* of one */
} Layout;

static Layout layout_of(const Dump *dump)
{
    const GArray *ranges = dump_ranges(dump);
    Layout l = { 0 };

    for (guint i = 0; i < ranges->len; i++) {
        const DumpRange *r = &g_array_index(ranges, DumpRange, i);

        l.frames = (r->address + r->length) / BLOCK;
        l.pages += r->length / BLOCK;
    }
    l.sub_header_blocks = (uint32_t)((sizeof(SubHeader) + dump_notes(dump)->len + BLOCK - 1) / BLOCK);
    l.bitmap_bytes = (l.frames / 8 + BLOCK) / BLOCK * BLOCK;
    return l;
}

static bool write_headers(Dump *dump, const Layout *l, GError **error)
{
    const GByteArray *notes = dump_notes(dump);
    DiskHeader header = {
        .signature = { 'K', 'D', 'U', 'M', 'P', ' ', ' ', ' ' }, .version = HEADER_VERSION,
        .utsname = { "Linux", [4] = "x86_64" }, .status = COMPRESSED, .block_size = BLOCK,
        .sub_header_blocks = l->sub_header_blocks, .bitmap_blocks = (uint32_t)(2 * l->bitmap_bytes / BLOCK),
        .max_mapnr = (uint32_t)MIN(l->frames, UINT32_MAX), .cpus = dump_vcpus(dump),
    };
    SubHeader sub = {
        .dump_level = DUMP_LEVEL, .offset_note = BLOCK + sizeof(sub), .size_note = notes->len,
        .end_pfn_64 = l->frames, .max_mapnr_64 = l->frames,
    };

    return write_at(dump, 0, &header, sizeof(header), error) && write_at(dump, BLOCK, &sub, sizeof(sub), error) &&
           write_at(dump, sub.offset_note, notes->data, notes->len, error);
}

static bool write_bitmaps(Dump *dump, const Layout *l, GError **error)
{
    const GArray *ranges = dump_ranges(dump);
    uint64_t at = (1 + (uint64_t)l->sub_header_blocks) * BLOCK;
    g_autofree uint8_t *bits = g_malloc0(l->bitmap_bytes);

    for (guint i = 0; i < ranges->len; i++) {
        const DumpRange *r = &g_array_index(ranges, DumpRange, i);

        for (uint64_t pfn = r->address / BLOCK; pfn < (r->address + r->length) / BLOCK; pfn++) {
            bits[pfn / 8] |= (uint8_t)(1u << pfn % 8);
        }
    }
    return write_at(dump, at, bits, l->bitmap_bytes, error) &&
           write_at(dump, at + l->bitmap_bytes, bits, l->bitmap_bytes, error);
}

/* ---- pages ---- */

typedef struct Pages {
    Cache descs, data;
    PageDesc zero;
    uint64_t offset; /* of the next page's bytes */
} Pages;

static bool write_page(Pages *p, const uint8_t *page, GError **error)
{
    static const uint8_t zeroes[BLOCK];
    uint8_t packed[BLOCK + 64];
    uLongf size = sizeof(packed);
    bool smaller;
    PageDesc desc;

    if (memcmp(page, zeroes, BLOCK) == 0) {
        return cache_add(&p->descs, &p->zero, sizeof(p->zero), error);
    }
    smaller = compress2(packed, &size, page, BLOCK, Z_BEST_SPEED) == Z_OK && size < BLOCK;
    desc = (PageDesc) { p->offset, smaller ? (uint32_t)size : BLOCK, smaller ? COMPRESSED : 0, 0 };
    p->offset += desc.size;
    return cache_add(&p->descs, &desc, sizeof(desc), error) &&
           cache_add(&p->data, smaller ? packed : page, desc.size, error);
}

static bool write_pages(Dump *dump, Pages *p, GError **error)
{
    static const uint8_t zeroes[BLOCK];
    const GArray *ranges = dump_ranges(dump);

    p->zero = (PageDesc) { p->offset, BLOCK, 0, 0 };
    p->offset += BLOCK;
    if (!cache_add(&p->data, zeroes, BLOCK, error)) {
        return false;
    }
    for (guint i = 0; i < ranges->len; i++) {
        const DumpRange *r = &g_array_index(ranges, DumpRange, i);

        for (uint64_t at = 0; at < r->length; at += BLOCK) {
            if (!write_page(p, r->host + at, error)) {
                return false;
            }
            dump_progress(dump, BLOCK);
        }
    }
    return cache_flush(&p->descs, error) && cache_flush(&p->data, error);
}

bool dump_write_kdump(Dump *dump, GError **error)
{
    Layout l = layout_of(dump);
    uint64_t descs = (1 + (uint64_t)l.sub_header_blocks) * BLOCK + 2 * l.bitmap_bytes;
    uint64_t data = descs + l.pages * sizeof(PageDesc);
    Pages pages = { .descs = { dump, descs, g_byte_array_new() }, .data = { dump, data, g_byte_array_new() },
                    .offset = data };
    bool ok = write_flat_header(dump, error) && write_headers(dump, &l, error) && write_bitmaps(dump, &l, error) &&
              write_pages(dump, &pages, error) && write_flat_end(dump, error);

    g_byte_array_unref(pages.descs.bytes);
    g_byte_array_unref(pages.data.bytes);
    return ok;
}
