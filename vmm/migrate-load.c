/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a container: its header, the records of the inline layout.  All
 * of it is hostile: a length is checked before anything is taken for it, a place
 * before anything is written there, a checksum before anything is used.  What is
 * overwritten is the RAM of a domain that has not run.
 *
 * One thread, which may wait in read().
 */
#include <string.h>

#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/migrate-ram.h"
#include "vmm/state-format.h"

#define CHUNK (1u << 20) /* of what may be long: nobody gets more memory for less of a stream */

static bool damaged(GError **error, const char *what)
{
    return error_set(error, "the saved domain is damaged: %s", what);
}

/* ---- header ---- */

bool migrate_take_header(MigrateReadFn read_fn, void *opaque, MigrateHeader *ret, GError **error)
{
    uint8_t prefix[MIGRATE_PREFIX];
    g_autofree uint8_t *text = NULL;
    uint32_t length, checksum;

    if (!read_fn(opaque, prefix, sizeof(prefix), error) || !migrate_prefix_read(prefix, &length, &checksum, error)) {
        return false;
    }
    text = g_malloc(length + 1u);
    return read_fn(opaque, text, length, error) && migrate_header_read(text, length, checksum, ret, error);
}

/* ---- records ---- */

#define HUGE_PAGES (RAM_HUGE_PAGE / GUEST_PAGE_SIZE)
#define BUFFER (MIGRATE_RUN_HEADER + MIGRATE_RUN_MAX * GUEST_PAGE_SIZE)

void migrate_loader_init(MigrateLoader *l, MigrateRam *ram, MigrateReadFn read_fn, void *opaque)
{
    *l = (MigrateLoader) { ram, read_fn, opaque, migrate_decompressor_new(), g_malloc(BUFFER) };
}

void migrate_loader_finish(MigrateLoader *l)
{
    migrate_decompressor_free(l->decompressor);
    g_free(l->buffer);
}

bool migrate_loader_head(MigrateLoader *l, MigrateRecord *ret, GError **error)
{
    uint8_t head[MIGRATE_RECORD];

    return l->read(l->opaque, head, sizeof(head), error) && migrate_record_read(head, ret, error);
}

bool migrate_loader_payload(MigrateLoader *l, const MigrateRecord *r, uint32_t most, GError **error)
{
    if (r->length > most) {
        return damaged(error, "a record is too long");
    }
    if (!l->read(l->opaque, l->buffer, r->length, error)) {
        return false;
    }
    return state_crc32c(l->buffer, r->length) == r->checksum || damaged(error, "a record has a wrong checksum");
}

/* The pages that a run is for; NULL: there are none such. */
static uint8_t *find_run(MigrateLoader *l, const MigrateRecord *r, MigrateBlock **ret_block, uint64_t *ret_page,
                         uint64_t *ret_n)
{
    uint32_t block;

    if (r->length < MIGRATE_RUN_HEADER) {
        return NULL;
    }
    block = get32(l->buffer);
    *ret_n = get32(l->buffer + 4);
    *ret_page = get64(l->buffer + 8);
    if (block >= l->ram->n || *ret_n == 0 || *ret_page >= l->ram->block[block].pages ||
        *ret_n > l->ram->block[block].pages - *ret_page) {
        return NULL;
    }
    *ret_block = &l->ram->block[block];
    return ram_block_host((*ret_block)->block) + *ret_page * GUEST_PAGE_SIZE;
}

/* A run is shorter than a huge page: it is in one or in two. */
static void fill(MigrateBlock *b, uint64_t page, uint64_t n)
{
    __atomic_store_n(&b->filled[page / HUGE_PAGES], 1, __ATOMIC_RELAXED);
    __atomic_store_n(&b->filled[(page + n - 1) / HUGE_PAGES], 1, __ATOMIC_RELAXED);
}

static bool is_filled(const MigrateBlock *b, uint64_t page, uint64_t n)
{
    return __atomic_load_n(&b->filled[page / HUGE_PAGES], __ATOMIC_RELAXED) ||
           __atomic_load_n(&b->filled[(page + n - 1) / HUGE_PAGES], __ATOMIC_RELAXED);
}

/* A record of another type than RAM, whose length must be right for its kind and so many pages. */
static bool unpack(MigrateLoader *l, const MigrateRecord *r, MigrateBlock *b, uint64_t page, uint64_t n, GError **error)
{
    uint8_t *host = ram_block_host(b->block) + page * GUEST_PAGE_SIZE;
    const uint8_t *data = l->buffer + MIGRATE_RUN_HEADER;
    size_t length = r->length - MIGRATE_RUN_HEADER, bytes = n * GUEST_PAGE_SIZE;
    bool ok = length == 0;

    switch (r->type) {
    case MIGRATE_ZLIB:
        ok = migrate_decompress(l->decompressor, MIGRATE_COMPRESS_ZLIB, data, length, host, bytes);
        break;
    case MIGRATE_ZSTD:
        ok = migrate_decompress(l->decompressor, MIGRATE_COMPRESS_ZSTD, data, length, host, bytes);
        break;
    default:
        ram_block_clear(b->block, page * GUEST_PAGE_SIZE, bytes, !is_filled(b, page, n));
    }
    return ok || damaged(error, "a record does not hold the pages that it is for");
}

static bool is_pages(const MigrateRecord *r)
{
    return r->type == MIGRATE_RAM || r->type == MIGRATE_ZERO || r->type == MIGRATE_ZLIB || r->type == MIGRATE_ZSTD;
}

/* What says where the pages of a RAM record belong, so that they can go there at once. */
static bool take_run_header(MigrateLoader *l, const MigrateRecord *r, GError **error)
{
    if (r->length > BUFFER) {
        return damaged(error, "a record is too long");
    }
    return l->read(l->opaque, l->buffer, MIN(r->length, (uint32_t)MIGRATE_RUN_HEADER), error);
}

/* Who finds the checksum wrong gives up the domain, so nobody minds what is there then. */
static bool take_pages(MigrateLoader *l, const MigrateRecord *r, uint8_t *host, uint64_t n, GError **error)
{
    uint32_t crc = state_crc32c(l->buffer, MIGRATE_RUN_HEADER);

    if (r->length != MIGRATE_RUN_HEADER + n * GUEST_PAGE_SIZE) {
        return damaged(error, "a record does not hold the pages that it is for");
    }
    if (!l->read(l->opaque, host, n * GUEST_PAGE_SIZE, error)) {
        return false;
    }
    return state_crc32c_more(crc, host, n * GUEST_PAGE_SIZE) == r->checksum ||
           damaged(error, "a record has a wrong checksum");
}

bool migrate_load_pages(MigrateLoader *l, const MigrateRecord *r, GError **error)
{
    bool plain = r->type == MIGRATE_RAM;
    MigrateBlock *b;
    uint64_t page, n;
    uint8_t *host;

    if (!is_pages(r)) {
        return damaged(error, "it has a record of an unknown type");
    }
    if (plain ? !take_run_header(l, r, error) : !migrate_loader_payload(l, r, BUFFER, error)) {
        return false;
    }
    host = find_run(l, r, &b, &page, &n);
    if (!host || n > MIGRATE_RUN_MAX) {
        return damaged(error, "it has pages where this domain has no memory");
    }
    if (r->type != MIGRATE_ZERO) {
        fill(b, page, n);
    }
    if (plain ? !take_pages(l, r, host, n, error) : !unpack(l, r, b, page, n, error)) {
        return false;
    }
    ram_dirty_set(b->block, page * GUEST_PAGE_SIZE, n * GUEST_PAGE_SIZE);
    __atomic_fetch_add(r->type == MIGRATE_ZERO ? &l->ram->count.zero : &l->ram->count.normal, n, __ATOMIC_RELAXED);
    return true;
}

/* ---- the stream ---- */

typedef struct Stream {
    MigrateLoader loader;
    bool elsewhere; /* memory does not come through it */
    MigrateEnd end;
} Stream;

static bool load_state(Stream *s, const MigrateRecord *r, GError **error)
{
    uint32_t left = r->length;

    if (s->end.state || left > MIGRATE_STATE_MAX) {
        return damaged(error, s->end.state ? "it has the devices' state twice" : "the devices' state is too long");
    }
    s->end.state = g_byte_array_new();
    while (left) {
        uint32_t n = MIN(left, CHUNK);
        unsigned at = s->end.state->len;

        g_byte_array_set_size(s->end.state, at + n);
        if (!s->loader.read(s->loader.opaque, s->end.state->data + at, n, error)) {
            return false;
        }
        left -= n;
    }
    return state_crc32c(s->end.state->data, r->length) == r->checksum ||
           damaged(error, "the devices' state has a wrong checksum");
}

static bool load_end(Stream *s, const MigrateRecord *r, GError **error)
{
    const MigrateCount *count = &s->loader.ram->count;
    const uint8_t *payload = s->loader.buffer;

    if (!migrate_loader_payload(&s->loader, r, MIGRATE_TEXT_MAX, error)) {
        return false;
    }
    if (r->length < 16 || !s->end.state) {
        return damaged(error, "it ends before the devices' state");
    }
    if (get64(payload) != count->normal || get64(payload + 8) != count->zero ||
        count->normal + count->zero < s->loader.ram->pages) {
        return damaged(error, "pages are missing");
    }
    if (!g_utf8_validate((const char *)payload + 16, r->length - 16, NULL)) {
        return damaged(error, "its run state is no text");
    }
    s->end.run_state = g_strndup((const char *)payload + 16, r->length - 16);
    return true;
}

static bool load_record(Stream *s, const MigrateRecord *r, GError **error)
{
    MigrateLoader *l = &s->loader;
    g_autofree char *text = NULL;

    switch (r->type) {
    case MIGRATE_PASS:
        return migrate_loader_payload(l, r, 4, error);
    case MIGRATE_STATE:
        return load_state(s, r, error);
    case MIGRATE_END:
        return load_end(s, r, error);
    case MIGRATE_ABORT:
        if (!migrate_loader_payload(l, r, MIGRATE_TEXT_MAX, error)) {
            return false;
        }
        text = g_utf8_make_valid((const char *)l->buffer, r->length);
        return error_set(error, "the source has given up: %s", text);
    default:
        return s->elsewhere ? damaged(error, "it has memory where there should be none")
                            : migrate_load_pages(l, r, error);
    }
}

bool migrate_take_records(MigrateRam *ram, MigrateReadFn read_fn, MigrateCompleteFn complete, void *opaque,
                          MigrateEnd *ret, GError **error)
{
    Stream s = { .elsewhere = complete != NULL };
    MigrateRecord r;
    bool ok = true;

    migrate_loader_init(&s.loader, ram, read_fn, opaque);
    while (ok && !s.end.run_state) {
        ok = migrate_loader_head(&s.loader, &r, error) &&
             (r.type != MIGRATE_END || !complete || complete(opaque, error)) && load_record(&s, &r, error);
    }
    migrate_loader_finish(&s.loader);
    if (!ok) {
        g_clear_pointer(&s.end.state, g_byte_array_unref);
        return false;
    }
    *ret = s.end;
    return true;
}

bool migrate_take_answer(MigrateReadFn read_fn, void *opaque, MigrateType *ret, char **ret_text, GError **error)
{
    MigrateLoader l;
    MigrateRecord r;
    bool ok;

    migrate_loader_init(&l, NULL, read_fn, opaque);
    ok = migrate_loader_head(&l, &r, error) && migrate_loader_payload(&l, &r, MIGRATE_TEXT_MAX, error);
    if (ok) {
        *ret = (MigrateType)r.type;
        *ret_text = g_utf8_make_valid((const char *)l.buffer, r.length);
    }
    migrate_loader_finish(&l);
    return ok;
}
