/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks: reference counts, the list of all blocks, dirty bitmaps.
 * vmm/ram-backing.c makes the memory.
 *
 * Locking: LOCK_RAM guards the list and the enabling of dirty clients.  Dirty bits
 * are atomics.  A bitmap stays allocated from its first use to the end of the
 * block, so setters need no protection against its removal.
 *
 * Order of dirty bits: a writer changes memory, then sets the bit; a client clears
 * the bit, then reads memory.  Both are full barriers, so either the client sees
 * the new memory or the bit is set again.
 */
#include "vmm/ram.h"

#include <errno.h>

#include "vmm/error.h"
#include "vmm/locks.h"
#include "vmm/ram-backing.h"
#include "vmm/ram-fill.h"

#define CLIENTS ((1u << DIRTY_CLIENTS) - 1)
#define HOOKED  (1u << DIRTY_CLIENTS)

struct RamBlock {
    unsigned refs; /* atomic */
    char *id;
    RamMapping map;
    unsigned watchers;               /* atomic: bits of the enabled clients, HOOKED */
    uint64_t *dirty[DIRTY_CLIENTS];  /* a bit a page; atomic words; NULL: never enabled */
    RamWriteHook *hook;              /* atomic */
    struct RamFillPart *fill;        /* atomic; NULL: all of its pages are there */
    bool will_share;                 /* atomic */
};

static struct {
    Lock lock;
    GPtrArray *blocks; /* RamBlock by host address */
} ram = { .lock = { PTHREAD_MUTEX_INITIALIZER, LOCK_RAM, "RAM blocks" } };

/* ---- the list ---- */

static bool list_insert(RamBlock *block, GError **error)
{
    unsigned at = 0;
    bool taken = false;

    lock_acquire(&ram.lock);
    if (!ram.blocks) {
        ram.blocks = g_ptr_array_new();
    }
    for (unsigned i = 0; i < ram.blocks->len; i++) {
        const RamBlock *other = ram.blocks->pdata[i];

        taken |= g_str_equal(other->id, block->id);
        at += other->map.host < block->map.host;
    }
    if (!taken) {
        g_ptr_array_insert(ram.blocks, (int)at, block);
    }
    lock_release(&ram.lock);
    return taken ? error_set(error, "RAM '%s' exists already", block->id) : true;
}

static void list_remove(RamBlock *block)
{
    lock_acquire(&ram.lock);
    g_ptr_array_remove(ram.blocks, block);
    if (ram.blocks->len == 0) {
        g_clear_pointer(&ram.blocks, g_ptr_array_unref);
    }
    lock_release(&ram.lock);
}

RamBlock *ram_block_find_host(const void *host, uint64_t *offset)
{
    const uint8_t *p = host;
    RamBlock *found = NULL;
    unsigned low = 0, high;

    lock_acquire(&ram.lock);
    high = ram.blocks ? ram.blocks->len : 0;
    while (low < high) { /* the first block that ends above p */
        unsigned middle = low + (high - low) / 2;
        const RamBlock *b = ram.blocks->pdata[middle];

        if (b->map.host + b->map.size <= p) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (ram.blocks && low < ram.blocks->len) {
        RamBlock *b = ram.blocks->pdata[low];

        if (b->map.host <= p) {
            *offset = (uint64_t)(p - b->map.host);
            found = b;
        }
    }
    lock_release(&ram.lock);
    return found;
}

/* False: its last reference is gone, and it is about to leave the list. */
static bool try_ref(RamBlock *block)
{
    unsigned refs = __atomic_load_n(&block->refs, __ATOMIC_RELAXED);

    while (refs &&
           !__atomic_compare_exchange_n(&block->refs, &refs, refs + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return refs;
}

void ram_block_each(RamBlockFn fn, void *opaque)
{
    g_autoptr(GPtrArray) blocks = g_ptr_array_new_with_free_func((GDestroyNotify)ram_block_unref);

    lock_acquire(&ram.lock);
    for (unsigned i = 0; ram.blocks && i < ram.blocks->len; i++) {
        if (try_ref(ram.blocks->pdata[i])) {
            g_ptr_array_add(blocks, ram.blocks->pdata[i]);
        }
    }
    lock_release(&ram.lock);
    for (unsigned i = 0; i < blocks->len; i++) {
        fn(blocks->pdata[i], opaque);
    }
}

/* ---- blocks ---- */

static void block_free(RamBlock *block)
{
    ram_mapping_free(&block->map);
    for (unsigned i = 0; i < DIRTY_CLIENTS; i++) {
        g_free(block->dirty[i]);
    }
    g_free(block->id);
    g_free(block);
}

RamBlock *ram_block_new(const char *id, uint64_t size, const RamBacking *backing, GError **error)
{
    RamBlock *block = g_new0(RamBlock, 1);

    block->map.fd = -1;
    block->refs = 1;
    block->id = g_strdup(id);
    if (!ram_mapping_new(&block->map, id, size, backing, error) || !list_insert(block, error)) {
        block->map.discard_data = false;
        block_free(block);
        return NULL;
    }
    return block;
}

RamBlock *ram_block_ref(RamBlock *block)
{
    __atomic_fetch_add(&block->refs, 1, __ATOMIC_RELAXED);
    return block;
}

void ram_block_unref(RamBlock *block)
{
    if (block && __atomic_sub_fetch(&block->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        list_remove(block);
        block_free(block);
    }
}

const char *ram_block_id(const RamBlock *block)
{
    return block->id;
}

uint8_t *ram_block_host(const RamBlock *block)
{
    return block->map.host;
}

uint64_t ram_block_size(const RamBlock *block)
{
    return block->map.size;
}

bool ram_block_is_writable(const RamBlock *block)
{
    return !block->map.readonly;
}

unsigned ram_block_abilities(const RamBlock *block)
{
    unsigned abilities = 0;

    if (block->map.shared) {
        abilities |= block->map.fd >= 0 ? RAM_CAN_SHARE : 0;
    } else {
        abilities |= RAM_CAN_COPY_ON_WRITE;
    }
    if (!block->map.readonly) {
        abilities |= RAM_CAN_PUNCH;
    }
    return abilities;
}

int ram_block_fd(const RamBlock *block, uint64_t *offset)
{
    RamFillPart *fill = __atomic_load_n(&block->fill, __ATOMIC_ACQUIRE);

    if (block->map.fd >= 0 && fill) {
        ram_fill_wait(fill);
    }
    if (block->map.fd >= 0 && offset) {
        *offset = block->map.file_offset;
    }
    return block->map.fd;
}

int ram_block_set_huge(RamBlock *block, bool huge)
{
    return ram_mapping_set_huge(&block->map, huge);
}

void ram_block_will_share(RamBlock *block)
{
    __atomic_store_n(&block->will_share, true, __ATOMIC_RELAXED);
}

bool ram_block_can_fill(const RamBlock *block)
{
    const RamMapping *map = &block->map;

    return !__atomic_load_n(&block->will_share, __ATOMIC_RELAXED) && map->shared && !map->named && !map->readonly &&
           !map->preallocated && map->page_size == GUEST_PAGE_SIZE;
}

void ram_block_set_fill(RamBlock *block, RamFillPart *part)
{
    __atomic_store_n(&block->fill, part, __ATOMIC_RELEASE);
}

void ram_block_clear(RamBlock *block, uint64_t offset, uint64_t length, bool sparse)
{
    ram_mapping_clear(&block->map, offset, length, sparse);
    ram_dirty_set(block, offset, length);
}

typedef struct Range {
    RamBlock *block;
    uint64_t offset, length;
} Range;

static int discard_range(void *opaque)
{
    const Range *r = opaque;

    return ram_mapping_discard(&r->block->map, r->offset, r->length);
}

int ram_block_discard(RamBlock *block, uint64_t offset, uint64_t length)
{
    RamFillPart *fill = __atomic_load_n(&block->fill, __ATOMIC_ACQUIRE);
    Range range = { block, offset, length };
    int rc = fill ? ram_fill_discard(fill, offset, length, discard_range, &range) : discard_range(&range);

    if (rc == 0) {
        ram_dirty_set(block, offset, length);
    }
    return rc;
}

int ram_block_overlay(RamBlock *block, uint64_t offset, uint64_t length, int fd, uint64_t file_offset)
{
    int rc = ram_mapping_overlay(&block->map, offset, length, fd, file_offset);

    if (rc == 0) {
        ram_dirty_set(block, offset, length);
    }
    return rc;
}

/* ---- writers ---- */

void ram_set_write_hook(RamBlock *block, RamWriteHook *hook)
{
    __atomic_store_n(&block->hook, hook, __ATOMIC_SEQ_CST);
    if (hook) {
        __atomic_fetch_or(&block->watchers, HOOKED, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_and(&block->watchers, ~HOOKED, __ATOMIC_SEQ_CST);
    }
}

bool ram_is_watched(const RamBlock *block)
{
    return __atomic_load_n(&block->watchers, __ATOMIC_ACQUIRE);
}

/* ---- dirty bits ---- */

static uint64_t pages_of(const RamBlock *block)
{
    return (block->map.size + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE;
}

static size_t words_of(const RamBlock *block)
{
    return (size_t)((pages_of(block) + 63) / 64);
}

unsigned ram_dirty_clients(const RamBlock *block)
{
    return __atomic_load_n(&block->watchers, __ATOMIC_ACQUIRE) & CLIENTS;
}

/* Bits [first, last] of one word. */
static uint64_t word_mask(unsigned first, unsigned last)
{
    return (UINT64_MAX << first) & (UINT64_MAX >> (63 - last));
}

static void set_all(RamBlock *block, uint64_t *bits)
{
    uint64_t pages = pages_of(block);

    for (uint64_t page = 0; page < pages; page += 64) {
        __atomic_store_n(&bits[page / 64], word_mask(0, (unsigned)MIN(63, pages - page - 1)), __ATOMIC_SEQ_CST);
    }
}

void ram_dirty_enable(RamBlock *block, DirtyClient client)
{
    lock_acquire(&ram.lock);
    if (!(ram_dirty_clients(block) & (1u << client))) {
        if (!block->dirty[client]) {
            block->dirty[client] = g_new0(uint64_t, words_of(block));
        }
        set_all(block, block->dirty[client]);
        __atomic_fetch_or(&block->watchers, 1u << client, __ATOMIC_SEQ_CST);
    }
    lock_release(&ram.lock);
}

void ram_dirty_disable(RamBlock *block, DirtyClient client)
{
    __atomic_fetch_and(&block->watchers, ~(1u << client), __ATOMIC_SEQ_CST);
}

/* Cuts the range to the block; false: nothing is left. */
static bool page_range(const RamBlock *block, uint64_t offset, uint64_t length, uint64_t *first, uint64_t *last)
{
    if (length == 0 || offset >= block->map.size) {
        return false;
    }
    length = MIN(length, block->map.size - offset);
    *first = offset / GUEST_PAGE_SIZE;
    *last = (offset + length - 1) / GUEST_PAGE_SIZE;
    return true;
}

static uint64_t mask_in_word(uint64_t word, uint64_t first, uint64_t last)
{
    return word_mask(word == first / 64 ? first % 64 : 0, word == last / 64 ? last % 64 : 63);
}

void ram_dirty_mark(RamBlock *block, uint64_t offset, uint64_t length)
{
    unsigned clients = ram_dirty_clients(block);
    uint64_t first, last;

    if (G_LIKELY(!clients) || !page_range(block, offset, length, &first, &last)) {
        return;
    }
    for (unsigned c = 0; c < DIRTY_CLIENTS; c++) {
        for (uint64_t w = first / 64; (clients & (1u << c)) && w <= last / 64; w++) {
            __atomic_fetch_or(&block->dirty[c][w], mask_in_word(w, first, last), __ATOMIC_SEQ_CST);
        }
    }
}

void ram_dirty_set(RamBlock *block, uint64_t offset, uint64_t length)
{
    RamWriteHook *hook;

    if (G_LIKELY(!ram_is_watched(block))) {
        return;
    }
    ram_dirty_mark(block, offset, length);
    hook = __atomic_load_n(&block->hook, __ATOMIC_ACQUIRE);
    if (hook && length && offset < block->map.size) {
        hook->written(hook, block, offset, MIN(length, block->map.size - offset));
    }
}

bool ram_dirty_test(const RamBlock *block, DirtyClient client, uint64_t offset, uint64_t length)
{
    uint64_t first, last;

    if (!(ram_dirty_clients(block) & (1u << client)) || !page_range(block, offset, length, &first, &last)) {
        return false;
    }
    for (uint64_t w = first / 64; w <= last / 64; w++) {
        if (__atomic_load_n(&block->dirty[client][w], __ATOMIC_SEQ_CST) & mask_in_word(w, first, last)) {
            return true;
        }
    }
    return false;
}

bool ram_dirty_take(RamBlock *block, DirtyClient client, uint64_t offset)
{
    uint64_t page = offset / GUEST_PAGE_SIZE;
    uint64_t bit = UINT64_C(1) << (page % 64);

    if (!(ram_dirty_clients(block) & (1u << client)) || offset >= block->map.size) {
        return false;
    }
    /* Most pages are clean: do not take the line for writing. */
    if (!(__atomic_load_n(&block->dirty[client][page / 64], __ATOMIC_SEQ_CST) & bit)) {
        return false;
    }
    return __atomic_fetch_and(&block->dirty[client][page / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
}

uint64_t ram_dirty_count(const RamBlock *block, DirtyClient client)
{
    uint64_t count = 0;

    if (ram_dirty_clients(block) & (1u << client)) {
        for (size_t w = 0; w < words_of(block); w++) {
            count += (uint64_t)__builtin_popcountll(__atomic_load_n(&block->dirty[client][w], __ATOMIC_SEQ_CST));
        }
    }
    return count;
}

/* The first page from `from` on, before `end`, whose bit is `set`; end: none. */
static uint64_t find_page(const RamBlock *block, DirtyClient client, uint64_t from, uint64_t end, bool set)
{
    while (from < end) {
        uint64_t word = __atomic_load_n(&block->dirty[client][from / 64], __ATOMIC_SEQ_CST);
        uint64_t left = (set ? word : ~word) >> (from % 64);

        if (left) {
            return MIN(from + (uint64_t)__builtin_ctzll(left), end);
        }
        from = (from / 64 + 1) * 64;
    }
    return end;
}

/* What is set meanwhile behind the end of the run that was seen stays for the next. */
uint64_t ram_dirty_take_run(RamBlock *block, DirtyClient client, uint64_t from, uint64_t most, uint64_t *ret_first)
{
    uint64_t pages = pages_of(block), first, end;

    if (!(ram_dirty_clients(block) & (1u << client)) || most == 0) {
        return 0;
    }
    first = find_page(block, client, from, pages, true);
    if (first >= pages) {
        return 0;
    }
    end = find_page(block, client, first, first + MIN(most, pages - first), false);
    for (uint64_t w = first / 64; w <= (end - 1) / 64; w++) {
        __atomic_fetch_and(&block->dirty[client][w], ~mask_in_word(w, first, end - 1), __ATOMIC_SEQ_CST);
    }
    *ret_first = first;
    return end - first;
}

static void or_word(RamBlock *block, unsigned clients, uint64_t word, uint64_t bits)
{
    for (unsigned c = 0; bits && c < DIRTY_CLIENTS; c++) {
        if (clients & (1u << c)) {
            __atomic_fetch_or(&block->dirty[c][word], bits, __ATOMIC_SEQ_CST);
        }
    }
}

void ram_dirty_or(RamBlock *block, uint64_t offset, const uint64_t *bitmap, uint64_t pages)
{
    unsigned clients = ram_dirty_clients(block);
    uint64_t first = offset / GUEST_PAGE_SIZE;
    unsigned shift = first % 64;

    if (!clients || first >= pages_of(block)) {
        return;
    }
    pages = MIN(pages, pages_of(block) - first);
    for (uint64_t done = 0; done < pages; done += 64) {
        uint64_t bits = bitmap[done / 64] & word_mask(0, (unsigned)MIN(63, pages - done - 1));
        uint64_t word = (first + done) / 64;

        or_word(block, clients, word, bits << shift);
        if (shift) { /* what does not fit: beyond the last word it is empty, for it was cut to the block */
            or_word(block, clients, word + 1, bits >> (64 - shift));
        }
    }
}
