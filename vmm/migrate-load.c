/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a container: header, records of the inline layout, the mapped layout.  All
 * of it is hostile: a length is checked before anything is taken for it, a place
 * before anything is written there, a checksum before anything is used.  What is
 * overwritten is the RAM of a domain that has not run.
 *
 * One thread, which may wait in read().
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

typedef struct Loader {
    MigrateRam *ram;
    MigrateReadFn read;
    void *opaque;
    uint8_t *buffer; /* a run */
    MigrateEnd end;
} Loader;

static bool read_payload(Loader *l, const MigrateRecord *r, uint32_t most, GError **error)
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
static uint8_t *find_run(Loader *l, const MigrateRecord *r, MigrateBlock **ret_block, uint64_t *ret_page,
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

static bool load_ram(Loader *l, const MigrateRecord *r, GError **error)
{
    MigrateBlock *b;
    uint64_t page, n;
    uint8_t *host;

    if (!read_payload(l, r, MIGRATE_RUN_HEADER + MIGRATE_RUN_MAX * GUEST_PAGE_SIZE, error)) {
        return false;
    }
    host = find_run(l, r, &b, &page, &n);
    if (!host || r->length != MIGRATE_RUN_HEADER + n * GUEST_PAGE_SIZE) {
        return damaged(error, "it has pages where this domain has no memory");
    }
    memcpy(host, l->buffer + MIGRATE_RUN_HEADER, n * GUEST_PAGE_SIZE);
    ram_dirty_set(b->block, page * GUEST_PAGE_SIZE, n * GUEST_PAGE_SIZE);
    __atomic_fetch_add(&l->ram->count.normal, n, __ATOMIC_RELAXED);
    return true;
}

/* What is zero already is not written: it need not be there. */
static void clear_pages(uint8_t *host, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *page = host + i * GUEST_PAGE_SIZE;

        if (page[0] || memcmp(page, page + 1, GUEST_PAGE_SIZE - 1) != 0) {
            memset(page, 0, GUEST_PAGE_SIZE);
        }
    }
}

static bool load_zero(Loader *l, const MigrateRecord *r, GError **error)
{
    MigrateBlock *b;
    uint64_t page, n;
    uint8_t *host;

    if (!read_payload(l, r, MIGRATE_RUN_HEADER, error)) {
        return false;
    }
    host = find_run(l, r, &b, &page, &n);
    if (!host) {
        return damaged(error, "it has pages where this domain has no memory");
    }
    clear_pages(host, n);
    ram_dirty_set(b->block, page * GUEST_PAGE_SIZE, n * GUEST_PAGE_SIZE);
    __atomic_fetch_add(&l->ram->count.zero, n, __ATOMIC_RELAXED);
    return true;
}

static bool load_state(Loader *l, const MigrateRecord *r, GError **error)
{
    uint32_t left = r->length;

    if (l->end.state || left > MIGRATE_STATE_MAX) {
        return damaged(error, l->end.state ? "it has the devices' state twice" : "the devices' state is too long");
    }
    l->end.state = g_byte_array_new();
    while (left) {
        uint32_t n = MIN(left, CHUNK);
        unsigned at = l->end.state->len;

        g_byte_array_set_size(l->end.state, at + n);
        if (!l->read(l->opaque, l->end.state->data + at, n, error)) {
            return false;
        }
        left -= n;
    }
    return state_crc32c(l->end.state->data, r->length) == r->checksum ||
           damaged(error, "the devices' state has a wrong checksum");
}

static bool load_end(Loader *l, const MigrateRecord *r, GError **error)
{
    if (!read_payload(l, r, MIGRATE_TEXT_MAX, error)) {
        return false;
    }
    if (r->length < 16 || !l->end.state) {
        return damaged(error, "it ends before the devices' state");
    }
    if (get64(l->buffer) != l->ram->count.normal || get64(l->buffer + 8) != l->ram->count.zero ||
        l->ram->count.normal + l->ram->count.zero < l->ram->pages) {
        return damaged(error, "pages are missing");
    }
    if (!g_utf8_validate((const char *)l->buffer + 16, r->length - 16, NULL)) {
        return damaged(error, "its run state is no text");
    }
    l->end.run_state = g_strndup((const char *)l->buffer + 16, r->length - 16);
    return true;
}

static bool load_record(Loader *l, const MigrateRecord *r, GError **error)
{
    g_autofree char *text = NULL;

    switch (r->type) {
    case MIGRATE_RAM:
        return load_ram(l, r, error);
    case MIGRATE_ZERO:
        return load_zero(l, r, error);
    case MIGRATE_PASS:
        return read_payload(l, r, 4, error);
    case MIGRATE_STATE:
        return load_state(l, r, error);
    case MIGRATE_END:
        return load_end(l, r, error);
    case MIGRATE_ABORT:
        if (!read_payload(l, r, MIGRATE_TEXT_MAX, error)) {
            return false;
        }
        text = g_utf8_make_valid((const char *)l->buffer, r->length);
        return error_set(error, "the source has given up: %s", text);
    default:
        return damaged(error, "it has a record of an unknown type");
    }
}

bool migrate_take_records(MigrateRam *ram, MigrateReadFn read_fn, void *opaque, MigrateEnd *ret, GError **error)
{
    g_autofree uint8_t *buffer = g_malloc(MIGRATE_RUN_HEADER + MIGRATE_RUN_MAX * GUEST_PAGE_SIZE);
    Loader l = { ram, read_fn, opaque, buffer, { NULL, NULL } };
    uint8_t head[MIGRATE_RECORD];
    MigrateRecord r;

    while (!l.end.run_state) {
        if (!read_fn(opaque, head, sizeof(head), error) || !migrate_record_read(head, &r, error) ||
            !load_record(&l, &r, error)) {
            g_clear_pointer(&l.end.state, g_byte_array_unref);
            return false;
        }
    }
    *ret = l.end;
    return true;
}

bool migrate_take_answer(MigrateReadFn read_fn, void *opaque, MigrateType *ret, char **ret_text, GError **error)
{
    g_autofree uint8_t *buffer = g_malloc(MIGRATE_TEXT_MAX);
    Loader l = { NULL, read_fn, opaque, buffer, { NULL, NULL } };
    uint8_t head[MIGRATE_RECORD];
    MigrateRecord r;

    if (!read_fn(opaque, head, sizeof(head), error) || !migrate_record_read(head, &r, error) ||
        !read_payload(&l, &r, MIGRATE_TEXT_MAX, error)) {
        return false;
    }
    *ret = (MigrateType)r.type;
    *ret_text = g_utf8_make_valid((const char *)buffer, r.length);
    return true;
}

/* ---- mapped ---- */

bool migrate_check_mapped(const MigrateHeader *header, uint64_t file_size, GError **error)
{
    uint64_t lowest = MIGRATE_ALIGN;

    if (header->layout != MIGRATE_MAPPED || !header->run_state) {
        return damaged(error, "its header does not say where things are");
    }
    for (size_t i = 0; i < header->ram.n; i++) {
        const MigrateBlockInfo *b = &FIELD_LIST_AT(header->ram, MigrateBlockInfo, i);

        if (b->offset % MIGRATE_ALIGN || b->offset < lowest) {
            return damaged(error, "two blocks of memory lie at one place");
        }
        if (b->offset > file_size || b->size > file_size - b->offset) {
            return error_set(error, "the saved domain is cut off: memory '%s' ends behind the file", b->id);
        }
        lowest = b->offset + b->size;
    }
    if (header->state_offset < lowest || header->state_offset > file_size || header->state_length > MIGRATE_STATE_MAX ||
        header->state_length > file_size - header->state_offset) {
        return error_set(error, "the saved domain is cut off: the devices' state ends behind the file");
    }
    return true;
}

static bool read_block(const MigrateBlock *b, int fd, GError **error)
{
    uint8_t *host = ram_block_host(b->block);
    uint64_t size = b->pages * GUEST_PAGE_SIZE;

    for (uint64_t at = 0; at < size;) {
        ssize_t n = pread(fd, host + at, MIN(size - at, 64 * (uint64_t)CHUNK), (off_t)(b->offset + at));

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return error_set_errno(error, n ? errno : EIO, "cannot read memory '%s' of the saved domain", b->id);
        }
        at += n > 0 ? (uint64_t)n : 0;
    }
    ram_dirty_set(b->block, 0, size);
    return true;
}

bool migrate_ram_map(MigrateRam *ram, int fd, MigrateLazy lazy, uint64_t *ret_read, GError **error)
{
    *ret_read = 0;
    for (unsigned i = 0; i < ram->n; i++) {
        const MigrateBlock *b = &ram->block[i];
        uint64_t size = b->pages * GUEST_PAGE_SIZE;
        int rc = lazy == MIGRATE_LAZY_OFF ? -ENOTSUP : ram_block_overlay(b->block, 0, size, fd, b->offset);

        if (rc < 0 && rc != -ENOTSUP) {
            return error_set_errno(error, rc, "cannot map memory '%s' of the saved domain", b->id);
        }
        if (rc < 0) {
            if (!read_block(b, fd, error)) {
                return false;
            }
            *ret_read += size;
        } else if (lazy == MIGRATE_LAZY_PREFAULT) {
            madvise(ram_block_host(b->block), size, MADV_WILLNEED);
        }
    }
    return true;
}
