/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of a moving domain's RAM, their dirty log, and the writing of both layouts.
 *
 * Order: a bit of the log is cleared before its page is read (vmm/ram.h), so a page that
 * changes while it is copied is dirty once more, and comes again.
 *
 * A run of pages is copied aside, so that its checksum is that of what is written.
 */
#include "vmm/migrate-ram.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/memory.h"
#include "vmm/state-format.h"

/* ---- blocks ---- */

void migrate_ram_add(MigrateRam *ram, const char *id, RamBlock *block)
{
    MigrateBlock *b;

    ram->block = g_renew(MigrateBlock, ram->block, ram->n + 1);
    b = &ram->block[ram->n++];
    *b = (MigrateBlock) {
        .id = g_strdup(id), .block = ram_block_ref(block), .pages = ram_block_size(block) / GUEST_PAGE_SIZE,
        .filled = g_malloc0(ram_block_size(block) / RAM_HUGE_PAGE + 1),
    };
    ram->pages += b->pages;
}

static void add_block(RamBlock *block, void *opaque)
{
    if (ram_block_is_writable(block)) {
        migrate_ram_add(opaque, ram_block_id(block), block);
    }
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const MigrateBlock *)a)->id, ((const MigrateBlock *)b)->id);
}

MigrateRam *migrate_ram_new(void)
{
    MigrateRam *ram = g_new0(MigrateRam, 1);

    ram_block_each(add_block, ram);
    if (ram->n) {
        qsort(ram->block, ram->n, sizeof(ram->block[0]), compare_ids);
    }
    return ram;
}

void migrate_ram_free(MigrateRam *ram)
{
    if (!ram) {
        return;
    }
    migrate_ram_log_stop(ram);
    for (unsigned i = 0; i < ram->n; i++) {
        ram_block_unref(ram->block[i].block);
        g_free(ram->block[i].id);
        g_free(ram->block[i].filled);
    }
    g_free(ram->block);
    g_free(ram);
}

void migrate_ram_describe(MigrateRam *ram, uint64_t first, MigrateHeader *header)
{
    uint64_t at = first;

    header->ram.items = g_new0(MigrateBlockInfo, ram->n);
    for (unsigned i = 0; i < ram->n; i++) {
        uint64_t size = ram->block[i].pages * GUEST_PAGE_SIZE;

        ram->block[i].offset = at;
        FIELD_LIST_AT(header->ram, MigrateBlockInfo, header->ram.n++) =
            (MigrateBlockInfo) { g_strdup(ram->block[i].id), size, header->layout == MIGRATE_MAPPED ? at : 0 };
        at += (size + MIGRATE_ALIGN - 1) / MIGRATE_ALIGN * MIGRATE_ALIGN;
    }
}

bool migrate_ram_arrange(MigrateRam *ram, const MigrateHeader *header, GError **error)
{
    for (size_t i = 0; i < header->ram.n; i++) {
        const MigrateBlockInfo *info = &FIELD_LIST_AT(header->ram, MigrateBlockInfo, i);
        unsigned k = (unsigned)i;
        MigrateBlock swap;

        while (k < ram->n && strcmp(ram->block[k].id, info->id) != 0) {
            k++;
        }
        if (k >= ram->n || ram->block[k].pages * GUEST_PAGE_SIZE != info->size) {
            return error_set(error, "it has memory '%s' of %" G_GUINT64_FORMAT " bytes, which this domain has not",
                             info->id, info->size);
        }
        swap = ram->block[i];
        ram->block[i] = ram->block[k];
        ram->block[k] = swap;
        ram->block[i].offset = info->offset;
    }
    return true;
}

/* ---- the log ---- */

void migrate_ram_log_start(MigrateRam *ram)
{
    for (unsigned i = 0; i < ram->n; i++) {
        memory_log_start(ram->block[i].block, DIRTY_MIGRATION);
    }
    ram->logging = true;
}

void migrate_ram_log_stop(MigrateRam *ram)
{
    for (unsigned i = 0; ram->logging && i < ram->n; i++) {
        memory_log_stop(ram->block[i].block, DIRTY_MIGRATION);
    }
    ram->logging = false;
}

uint64_t migrate_ram_sync(MigrateRam *ram)
{
    uint64_t dirty = 0;

    for (unsigned i = 0; i < ram->n; i++) {
        memory_log_sync(ram->block[i].block);
        dirty += ram_dirty_count(ram->block[i].block, DIRTY_MIGRATION);
    }
    __atomic_store_n(&ram->count.remaining, dirty, __ATOMIC_RELAXED);
    return dirty;
}

/* A page that a device writes meanwhile was not counted when it was known what remains. */
static void count(MigrateRam *ram, bool zero, uint64_t pages)
{
    uint64_t left = __atomic_load_n(&ram->count.remaining, __ATOMIC_RELAXED);

    __atomic_fetch_add(zero ? &ram->count.zero : &ram->count.normal, pages, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&ram->count.remaining, &left, left - MIN(left, pages), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

/* ---- pages ---- */

static bool page_is_zero(const uint8_t *page)
{
    const uint64_t *w = (const uint64_t *)(const void *)page;

    for (unsigned i = 0; i < GUEST_PAGE_SIZE / sizeof(*w); i += 8) {
        if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7]) {
            return false;
        }
    }
    return true;
}

/* NOISE: of pages that are to be compressed, those with which that is no use. */
typedef enum PageKind { PAGE_ZERO, PAGE_NOISE, PAGE_OTHER } PageKind;

static PageKind kind_of(const uint8_t *page, bool packs)
{
    if (page_is_zero(page)) {
        return PAGE_ZERO;
    }
    return packs && migrate_page_is_noise(page) ? PAGE_NOISE : PAGE_OTHER;
}

/* How many of the n pages from `page` on are of the first one's kind. */
static uint64_t like_first(const MigrateBlock *b, uint64_t page, uint64_t n, bool packs, PageKind *ret)
{
    const uint8_t *host = ram_block_host(b->block) + page * GUEST_PAGE_SIZE;
    PageKind kind = kind_of(host, packs);
    uint64_t same = 1;

    while (same < n && kind_of(host + same * GUEST_PAGE_SIZE, packs) == kind) {
        same++;
    }
    *ret = kind;
    return same;
}

/* Writes the n pages from `page` on, which are of one kind. */
typedef bool (*RunFn)(void *opaque, unsigned block, uint64_t page, uint64_t n, PageKind kind, GError **error);

bool migrate_ram_each_dirty(MigrateRam *ram, MigrateDirtyFn fn, void *opaque, GError **error)
{
    for (unsigned i = 0; i < ram->n; i++) {
        uint64_t first, next = 0, n;

        while ((n = ram_dirty_take_run(ram->block[i].block, DIRTY_MIGRATION, next, MIGRATE_RUN_MAX, &first))) {
            if (!fn(opaque, i, first, n, error)) {
                return false;
            }
            next = first + n;
        }
    }
    return true;
}

/* What lies next to each other, and is of one kind. */
static bool each_kind(MigrateRam *ram, unsigned block, uint64_t page, uint64_t n, bool packs, RunFn fn, void *opaque,
                      GError **error)
{
    for (uint64_t next = page; next < page + n;) {
        PageKind kind;
        uint64_t same = like_first(&ram->block[block], next, page + n - next, packs, &kind);

        if (!fn(opaque, block, next, same, kind, error)) {
            return false;
        }
        count(ram, kind == PAGE_ZERO, same);
        next += same;
    }
    return true;
}

/* ---- inline ---- */

bool migrate_send_record(MigrateChannel *channel, MigrateType type, const void *payload, size_t length, GError **error)
{
    uint8_t head[MIGRATE_RECORD];

    migrate_record_write(head, type, (uint32_t)length, state_crc32c(payload, length));
    return migrate_channel_write(channel, head, sizeof(head), payload, length, error);
}

void migrate_sender_init(MigrateSender *s, MigrateRam *ram, MigrateChannel *channel, MigrateCompression method,
                         int level)
{
    const size_t most = MIGRATE_RUN_HEADER + MIGRATE_RUN_MAX * GUEST_PAGE_SIZE;

    *s = (MigrateSender) { ram, channel, method, .buffer = g_malloc(most) };
    if (method != MIGRATE_COMPRESS_NONE) {
        s->compressor = migrate_compressor_new(method, level);
        s->packed = g_malloc(most);
    }
}

void migrate_sender_finish(MigrateSender *s)
{
    migrate_compressor_free(s->compressor);
    g_free(s->buffer);
    g_free(s->packed);
}

static bool send_packed(MigrateSender *s, size_t bytes, bool *ret_done, GError **error)
{
    MigrateType type = s->method == MIGRATE_COMPRESS_ZLIB ? MIGRATE_ZLIB : MIGRATE_ZSTD;
    size_t n = migrate_compress(s->compressor, s->buffer + MIGRATE_RUN_HEADER, bytes, s->packed + MIGRATE_RUN_HEADER,
                                bytes);

    *ret_done = n > 0;
    if (!n) {
        return true;
    }
    memcpy(s->packed, s->buffer, MIGRATE_RUN_HEADER);
    return migrate_send_record(s->channel, type, s->packed, MIGRATE_RUN_HEADER + n, error);
}

/* There are many of them, and they are short. */
static bool send_zeros(MigrateSender *s, GError **error)
{
    uint8_t record[MIGRATE_RECORD + MIGRATE_RUN_HEADER];

    migrate_record_write(record, MIGRATE_ZERO, MIGRATE_RUN_HEADER, state_crc32c(s->buffer, MIGRATE_RUN_HEADER));
    memcpy(record + MIGRATE_RECORD, s->buffer, MIGRATE_RUN_HEADER);
    return migrate_channel_write_later(s->channel, record, sizeof(record), error);
}

static bool send_run(void *opaque, unsigned block, uint64_t page, uint64_t n, PageKind kind, GError **error)
{
    MigrateSender *s = opaque;
    const uint8_t *host = ram_block_host(s->ram->block[block].block) + page * GUEST_PAGE_SIZE;
    size_t bytes = n * GUEST_PAGE_SIZE;
    bool done = false;

    put32(s->buffer, block);
    put32(s->buffer + 4, (uint32_t)n);
    put64(s->buffer + 8, page);
    if (kind == PAGE_ZERO) {
        return send_zeros(s, error);
    }
    memcpy(s->buffer + MIGRATE_RUN_HEADER, host, bytes); /* the guest may go on to write there */
    if (s->compressor && kind == PAGE_OTHER && !send_packed(s, bytes, &done, error)) {
        return false;
    }
    return done || migrate_send_record(s->channel, MIGRATE_RAM, s->buffer, MIGRATE_RUN_HEADER + bytes, error);
}

bool migrate_sender_run(MigrateSender *s, unsigned block, uint64_t page, uint64_t n, GError **error)
{
    return each_kind(s->ram, block, page, n, s->compressor != NULL, send_run, s, error);
}

static bool send_dirty(void *opaque, unsigned block, uint64_t page, uint64_t n, GError **error)
{
    return migrate_sender_run(opaque, block, page, n, error);
}

bool migrate_ram_send(MigrateRam *ram, MigrateChannel *channel, GError **error)
{
    MigrateSender s;
    bool ok;

    migrate_sender_init(&s, ram, channel, MIGRATE_COMPRESS_NONE, 0);
    ok = migrate_ram_each_dirty(ram, send_dirty, &s, error);
    migrate_sender_finish(&s);
    return ok;
}

bool migrate_send_state(MigrateChannel *channel, const GByteArray *state, GError **error)
{
    return migrate_send_record(channel, MIGRATE_STATE, state->data, state->len, error);
}

bool migrate_send_end(MigrateRam *ram, MigrateChannel *channel, const char *run_state, GError **error)
{
    g_autoptr(GByteArray) end = g_byte_array_new();

    g_byte_array_set_size(end, 16);
    put64(end->data, ram->count.normal);
    put64(end->data + 8, ram->count.zero);
    g_byte_array_append(end, (const uint8_t *)run_state, (unsigned)strlen(run_state));
    return migrate_send_record(channel, MIGRATE_END, end->data, end->len, error);
}

/* ---- mapped ---- */

#define SEND_OFF (UINT64_C(8) << 20)

typedef struct Storer {
    MigrateRam *ram;
    int fd;
    bool first;
    MigrateChannel *pace;
    uint64_t waits; /* bytes that are not yet on their way to the disk */
} Storer;

static int write_at(int fd, const uint8_t *data, uint64_t length, uint64_t offset)
{
    while (length) {
        ssize_t n = pwrite(fd, data, length, (off_t)offset);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            data += n;
            offset += (uint64_t)n;
            length -= (uint64_t)n;
        }
    }
    return 0;
}

/* A hole, or, where the file system makes none, zeros. */
static int clear_at(int fd, const uint8_t *zeros, uint64_t length, uint64_t offset)
{
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) == 0) {
        return 0;
    }
    return write_at(fd, zeros, length, offset);
}

/* The disk works while the rest is copied, and has less to do when all of it must be there.  What comes in later rounds
 * may come again. */
static void send_off(Storer *s, uint64_t length)
{
    s->waits += length;
    if (s->first && s->waits >= SEND_OFF) {
        s->waits = 0;
        sync_file_range(s->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* what cannot be is done at the end */
    }
}

static bool store_run(void *opaque, unsigned block, uint64_t page, uint64_t n, PageKind kind, GError **error)
{
    Storer *s = opaque;
    const MigrateBlock *b = &s->ram->block[block];
    const uint8_t *host = ram_block_host(b->block) + page * GUEST_PAGE_SIZE;
    uint64_t at = b->offset + page * GUEST_PAGE_SIZE, length = n * GUEST_PAGE_SIZE;
    bool zero = kind == PAGE_ZERO;
    int rc = 0;

    if (!zero) {
        rc = write_at(s->fd, host, length, at);
    } else if (!s->first) {
        rc = clear_at(s->fd, host, length, at);
    }
    if (rc < 0) {
        return error_set_errno(error, rc, "cannot write the saved domain");
    }
    send_off(s, zero ? 0 : length);
    return migrate_channel_pace(s->pace, zero ? 0 : length, error);
}

static bool store_dirty(void *opaque, unsigned block, uint64_t page, uint64_t n, GError **error)
{
    return each_kind(((Storer *)opaque)->ram, block, page, n, false, store_run, opaque, error);
}

bool migrate_ram_store(MigrateRam *ram, int fd, bool first, MigrateChannel *pace, GError **error)
{
    Storer s = { ram, fd, first, pace, 0 };

    return migrate_ram_each_dirty(ram, store_dirty, &s, error);
}
