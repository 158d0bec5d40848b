/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dispatch: what a load or store at an address of a space does.
 *
 * A thread finds its range in the current view through a hint: the index of its
 * last hit.  The hint is checked against the view in use, so a stale one only costs
 * the search.  RAM is accessed in place; a write that matches a doorbell rings it;
 * anything else goes to the region's handlers, with the region's lock held.
 *
 * Locking: none but the region's own lock around its handlers.  The caller is online
 * (vmm/epoch.h), so the view and the regions in it stay until it is quiescent.
 */
#include "vmm/memory-view.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "vmm/error.h"

#define HINTS            4
#define TRANSLATIONS_MAX 4 /* translated regions in a row, one vIOMMU behind the other */

static __thread unsigned hints[HINTS];

static const ViewRange *find(const AddressSpace *as, const View *view, uint64_t address)
{
    unsigned *hint = &hints[as->hint % HINTS];
    const ViewRange *r;

    if (G_LIKELY(*hint < view->n_ranges)) {
        r = &view->ranges[*hint];
        if (r->first <= address && address <= r->last) {
            return r;
        }
    }
    r = view_find(view, address);
    if (r) {
        *hint = (unsigned)(r - view->ranges);
    }
    return r;
}

static uint64_t ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

/* ---- memory: single accesses are atomic when aligned, as on the real bus ---- */

static uint64_t host_load(const uint8_t *host, unsigned size)
{
    uint64_t value = 0;

    switch ((uintptr_t)host % size ? 0 : size) {
    case 1:
        return __atomic_load_n(host, __ATOMIC_RELAXED);
    case 2:
        return __atomic_load_n((const uint16_t *)host, __ATOMIC_RELAXED);
    case 4:
        return __atomic_load_n((const uint32_t *)host, __ATOMIC_RELAXED);
    case 8:
        return __atomic_load_n((const uint64_t *)host, __ATOMIC_RELAXED);
    default:
        memcpy(&value, host, size);
        return value;
    }
}

static void host_store(uint8_t *host, unsigned size, uint64_t value)
{
    switch ((uintptr_t)host % size ? 0 : size) {
    case 1:
        __atomic_store_n(host, (uint8_t)value, __ATOMIC_RELEASE);
        break;
    case 2:
        __atomic_store_n((uint16_t *)host, (uint16_t)value, __ATOMIC_RELEASE);
        break;
    case 4:
        __atomic_store_n((uint32_t *)host, (uint32_t)value, __ATOMIC_RELEASE);
        break;
    case 8:
        __atomic_store_n((uint64_t *)host, value, __ATOMIC_RELEASE);
        break;
    default:
        memcpy(host, &value, size);
        break;
    }
}

static bool reads_memory(const ViewRange *r)
{
    return r->ram && (r->region->kind != MEMORY_ROM_DEVICE || r->romd);
}

static bool writes_memory(const ViewRange *r)
{
    return r->ram && !r->readonly && r->region->kind != MEMORY_ROM_DEVICE;
}

/* ---- handlers ---- */

typedef struct Sizes {
    unsigned min, max, impl_min, impl_max;
} Sizes;

static Sizes sizes_of(const AddressSpace *as, const MemoryOps *ops)
{
    Sizes s = { ops->min ? ops->min : 1, ops->max ? ops->max : as->ports ? 4 : 8, 0, 0 };

    s.impl_min = ops->impl_min ? ops->impl_min : s.min;
    s.impl_max = ops->impl_max ? ops->impl_max : s.max;
    return s;
}

static bool takes(const MemoryOps *ops, const Sizes *s, uint64_t offset, unsigned size)
{
    return size >= s->min && size <= s->max && (ops->unaligned || offset % size == 0);
}

/* One handler call, widened to impl_min: the aligned word that holds the bytes. */
static uint64_t read_piece(const MemoryRegion *mr, const Sizes *s, uint64_t offset, unsigned size)
{
    unsigned lead = size < s->impl_min ? (unsigned)(offset % s->impl_min) : 0;
    uint64_t value;

    if (size >= s->impl_min) {
        return mr->ops->read(mr->opaque, offset, size) & ones(size);
    }
    value = mr->ops->read(mr->opaque, offset - lead, s->impl_min) & ones(s->impl_min);
    value >>= 8 * lead;
    if (lead + size > s->impl_min) { /* the rest lies in the next word */
        unsigned got = s->impl_min - lead;

        value |= (mr->ops->read(mr->opaque, offset + got, s->impl_min) & ones(size - got)) << (8 * got);
    }
    return value & ones(size);
}

static MemoryResult io_read(const AddressSpace *as, const ViewRange *r, uint64_t offset, unsigned size, uint64_t *value)
{
    const MemoryRegion *mr = r->region;
    Sizes s;

    *value = ones(size);
    if (!mr->ops || !mr->ops->read) {
        return MEMORY_ACCESS_ERROR;
    }
    s = sizes_of(as, mr->ops);
    if (!takes(mr->ops, &s, offset, size)) {
        guest_error(mr->name, "read of %u bytes at 0x%" PRIx64 " is not allowed", size, offset);
        return MEMORY_ACCESS_ERROR;
    }
    g_assert(!memory_in_transaction());
    *value = 0;
    if (mr->lock) {
        lock_acquire(mr->lock);
    }
    for (unsigned done = 0; done < size;) {
        unsigned piece = MIN(size - done, s.impl_max);

        *value |= read_piece(mr, &s, offset + done, piece) << (8 * done);
        done += piece;
    }
    if (mr->lock) {
        lock_release(mr->lock);
    }
    return MEMORY_OK;
}

static MemoryResult io_write(const AddressSpace *as, const ViewRange *r, uint64_t offset, unsigned size, uint64_t value)
{
    const MemoryRegion *mr = r->region;
    Sizes s;

    if (!mr->ops || !mr->ops->write) {
        return MEMORY_ACCESS_ERROR;
    }
    s = sizes_of(as, mr->ops);
    if (!takes(mr->ops, &s, offset, size)) {
        guest_error(mr->name, "write of %u bytes at 0x%" PRIx64 " is not allowed", size, offset);
        return MEMORY_ACCESS_ERROR;
    }
    g_assert(!memory_in_transaction());
    if (mr->lock) {
        lock_acquire(mr->lock);
    }
    for (unsigned done = 0; done < size;) {
        unsigned piece = MIN(size - done, s.impl_max);

        mr->ops->write(mr->opaque, offset + done, (value >> (8 * done)) & ones(piece), piece);
        done += piece;
    }
    if (mr->lock) {
        lock_release(mr->lock);
    }
    return MEMORY_OK;
}

static bool ring(const View *view, uint64_t address, unsigned size, uint64_t value)
{
    const ViewBell *end = view->bells + view->n_bells;

    for (const ViewBell *b = view_bell(view, address); b && b < end && b->address == address; b++) {
        const uint64_t one = 1;

        if ((b->bell.size && b->bell.size != size) || (b->bell.match && b->bell.data != (value & ones(size)))) {
            continue;
        }
        if (write(b->bell.eventfd, &one, sizeof(one)) < 0) {
            /* EAGAIN: the counter is full, so it rings already. */
        }
        return true;
    }
    return false;
}

/* ---- one access within one range ---- */

static MemoryResult load_at(AddressSpace *as, uint64_t address, unsigned size, uint64_t *value, unsigned translations);
static MemoryResult store_at(AddressSpace *as, uint64_t address, unsigned size, uint64_t value, unsigned translations);

/* Where an access to a translated region goes; false: nowhere.  *length is cut to the page. */
static bool translate(const ViewRange *r, uint64_t address, MemoryPermission wanted, unsigned translations,
                      AddressSpace **space, uint64_t *target, uint64_t *length)
{
    uint64_t offset = address - r->first + r->offset;
    MemoryTranslation t;

    if (translations >= TRANSLATIONS_MAX) {
        return false;
    }
    t = r->region->translate(r->region->opaque, offset, wanted);
    if ((t.permission & wanted) != wanted || !t.space) {
        return false;
    }
    *space = t.space;
    *target = (t.target & ~t.mask) | (offset & t.mask);
    *length = MIN(*length - 1, t.mask - (offset & t.mask)) + 1;
    return true;
}

static MemoryResult range_load(AddressSpace *as, const ViewRange *r, uint64_t address, unsigned size, uint64_t *value,
                               unsigned translations)
{
    uint64_t delta = address - r->first;

    if (reads_memory(r)) {
        *value = host_load(r->host + delta, size);
        return MEMORY_OK;
    }
    if (r->region->kind == MEMORY_TRANSLATED) {
        uint64_t target, length = size;
        AddressSpace *space;

        *value = ones(size);
        if (!translate(r, address, MEMORY_READ, translations, &space, &target, &length) || length < size) {
            return MEMORY_ACCESS_ERROR;
        }
        return load_at(space, target, size, value, translations + 1);
    }
    return io_read(as, r, r->offset + delta, size, value);
}

static MemoryResult range_store(AddressSpace *as, const View *view, const ViewRange *r, uint64_t address, unsigned size,
                                uint64_t value, unsigned translations)
{
    uint64_t delta = address - r->first;

    if (writes_memory(r)) {
        host_store(r->host + delta, size, value);
        ram_dirty_set(r->ram, r->ram_offset + delta, size);
        return MEMORY_OK;
    }
    if (r->region->kind == MEMORY_TRANSLATED) {
        uint64_t target, length = size;
        AddressSpace *space;

        if (!translate(r, address, MEMORY_WRITE, translations, &space, &target, &length) || length < size) {
            return MEMORY_ACCESS_ERROR;
        }
        return store_at(space, target, size, value, translations + 1);
    }
    if (r->bells && ring(view, address, size, value)) {
        return MEMORY_OK;
    }
    if (r->readonly) {
        return MEMORY_OK; /* a write to ROM is lost */
    }
    return io_write(as, r, r->offset + delta, size, value);
}

static MemoryResult load_at(AddressSpace *as, uint64_t address, unsigned size, uint64_t *value, unsigned translations)
{
    const View *view = address_space_view(as); /* one for all bytes: the access is not torn by a change */
    const ViewRange *r = find(as, view, address);
    MemoryResult result = MEMORY_OK;

    if (r && size - 1 <= r->last - address) {
        return range_load(as, r, address, size, value, translations);
    }
    *value = 0;
    for (unsigned i = 0; i < size; i++) { /* it runs over the end of a range, or hits nothing */
        uint64_t byte = 0xff;
        MemoryResult got = MEMORY_UNASSIGNED;

        r = find(as, view, address + i);
        if (r) {
            got = range_load(as, r, address + i, 1, &byte, translations);
        }
        *value |= (byte & 0xff) << (8 * i);
        result = MAX(result, got);
    }
    return result;
}

static MemoryResult store_at(AddressSpace *as, uint64_t address, unsigned size, uint64_t value, unsigned translations)
{
    const View *view = address_space_view(as);
    const ViewRange *r = find(as, view, address);
    MemoryResult result = MEMORY_OK;

    if (r && size - 1 <= r->last - address) {
        return range_store(as, view, r, address, size, value, translations);
    }
    for (unsigned i = 0; i < size; i++) {
        MemoryResult got = MEMORY_UNASSIGNED;

        r = find(as, view, address + i);
        if (r) {
            got = range_store(as, view, r, address + i, 1, value >> (8 * i) & 0xff, translations);
        }
        result = MAX(result, got);
    }
    return result;
}

MemoryResult memory_load(AddressSpace *as, uint64_t address, unsigned size, uint64_t *value)
{
    return load_at(as, address, size, value, 0);
}

MemoryResult memory_store(AddressSpace *as, uint64_t address, unsigned size, uint64_t value)
{
    return store_at(as, address, size, value, 0);
}

/* ---- buffers ---- */

/* The widest access that the range takes, is aligned, and does not exceed length. */
static unsigned io_size(const AddressSpace *as, const ViewRange *r, uint64_t offset, uint64_t length)
{
    const MemoryOps *ops = r->region->ops;
    unsigned size = ops ? sizes_of(as, ops).max : 8;

    while (size > 1 && (size > length || (offset % size && !(ops && ops->unaligned)))) {
        size /= 2;
    }
    return size;
}

static MemoryResult read_buffer(AddressSpace *as, uint64_t address, uint8_t *buffer, uint64_t length,
                                unsigned translations);
static MemoryResult write_buffer(AddressSpace *as, uint64_t address, const uint8_t *buffer, uint64_t length,
                                 unsigned translations);

/* Reads a prefix of [address, +*length), at least a byte; *length says how much. */
static MemoryResult read_prefix(AddressSpace *as, uint64_t address, uint8_t *buffer, uint64_t *length,
                                unsigned translations)
{
    const View *view = address_space_view(as);
    const ViewRange *r = find(as, view, address);
    uint64_t value, target;
    AddressSpace *space;
    MemoryResult result;

    if (!r) {
        const ViewRange *next = view_next(view, address);

        *length = next ? MIN(*length, next->first - address) : *length;
        memset(buffer, 0xff, *length);
        return MEMORY_UNASSIGNED;
    }
    *length = MIN(*length - 1, r->last - address) + 1;
    if (reads_memory(r)) {
        memcpy(buffer, r->host + (address - r->first), *length);
        return MEMORY_OK;
    }
    if (r->region->kind == MEMORY_TRANSLATED) {
        if (!translate(r, address, MEMORY_READ, translations, &space, &target, length)) {
            *length = 1;
            *buffer = 0xff;
            return MEMORY_ACCESS_ERROR;
        }
        return read_buffer(space, target, buffer, *length, translations + 1);
    }
    *length = io_size(as, r, address - r->first + r->offset, *length);
    result = io_read(as, r, address - r->first + r->offset, (unsigned)*length, &value);
    memcpy(buffer, &value, *length);
    return result;
}

static MemoryResult write_prefix(AddressSpace *as, uint64_t address, const uint8_t *buffer, uint64_t *length,
                                 unsigned translations)
{
    const View *view = address_space_view(as);
    const ViewRange *r = find(as, view, address);
    uint64_t value = 0, target;
    AddressSpace *space;

    if (!r) {
        const ViewRange *next = view_next(view, address);

        *length = next ? MIN(*length, next->first - address) : *length;
        return MEMORY_UNASSIGNED;
    }
    *length = MIN(*length - 1, r->last - address) + 1;
    if (writes_memory(r)) {
        memcpy(r->host + (address - r->first), buffer, *length);
        ram_dirty_set(r->ram, r->ram_offset + (address - r->first), *length);
        return MEMORY_OK;
    }
    if (r->region->kind == MEMORY_TRANSLATED) {
        if (!translate(r, address, MEMORY_WRITE, translations, &space, &target, length)) {
            *length = 1;
            return MEMORY_ACCESS_ERROR;
        }
        return write_buffer(space, target, buffer, *length, translations + 1);
    }
    if (r->readonly) {
        return MEMORY_OK;
    }
    *length = io_size(as, r, address - r->first + r->offset, *length);
    memcpy(&value, buffer, *length);
    return range_store(as, view, r, address, (unsigned)*length, value, translations);
}

static MemoryResult read_buffer(AddressSpace *as, uint64_t address, uint8_t *buffer, uint64_t length,
                                unsigned translations)
{
    MemoryResult result = MEMORY_OK;

    while (length) {
        uint64_t done = length;
        MemoryResult got = read_prefix(as, address, buffer, &done, translations);

        result = MAX(result, got);
        address += done;
        buffer += done;
        length -= done;
    }
    return result;
}

static MemoryResult write_buffer(AddressSpace *as, uint64_t address, const uint8_t *buffer, uint64_t length,
                                 unsigned translations)
{
    MemoryResult result = MEMORY_OK;

    while (length) {
        uint64_t done = length;
        MemoryResult got = write_prefix(as, address, buffer, &done, translations);

        result = MAX(result, got);
        address += done;
        buffer += done;
        length -= done;
    }
    return result;
}

MemoryResult memory_read(AddressSpace *as, uint64_t address, void *buffer, uint64_t length)
{
    return read_buffer(as, address, buffer, length, 0);
}

MemoryResult memory_write(AddressSpace *as, uint64_t address, const void *buffer, uint64_t length)
{
    return write_buffer(as, address, buffer, length, 0);
}

/* A file that cannot be written is mapped so. */
static bool is_patchable(const ViewRange *r)
{
    return r && reads_memory(r) && ram_block_is_writable(r->ram);
}

MemoryResult memory_patch(AddressSpace *as, uint64_t address, const void *buffer, uint64_t length)
{
    MemoryResult result = MEMORY_OK;

    for (uint64_t done = 0, n; done < length; done += n) {
        const ViewRange *r = find(as, address_space_view(as), address + done);
        const uint8_t *from = (const uint8_t *)buffer + done;
        MemoryResult got = MEMORY_OK;

        n = length - done;
        if (is_patchable(r)) {
            uint64_t delta = address + done - r->first;

            n = MIN(n - 1, r->last - r->first - delta) + 1;
            memcpy(r->host + delta, from, n);
            ram_dirty_set(r->ram, r->ram_offset + delta, n);
        } else if (r && r->ram && r->readonly) {
            n = 1;
            got = MEMORY_ACCESS_ERROR;
        } else {
            got = write_prefix(as, address + done, from, &n, 0);
        }
        result = MAX(result, got);
    }
    return result;
}

/* ---- lookup ---- */

bool memory_lookup(AddressSpace *as, uint64_t address, MemoryRange *ret)
{
    const ViewRange *r = find(as, address_space_view(as), address);

    if (!r) {
        return false;
    }
    *ret = view_range_export(r);
    return true;
}

void *memory_ram_pointer(AddressSpace *as, uint64_t address, uint64_t *length, bool write)
{
    const ViewRange *r = find(as, address_space_view(as), address);

    if (!r || !*length || !(write ? writes_memory(r) : reads_memory(r))) {
        return NULL;
    }
    *length = MIN(*length - 1, r->last - address) + 1;
    return r->host + (address - r->first);
}

void memory_ram_written(const void *host, uint64_t length)
{
    uint64_t offset;
    RamBlock *block = ram_block_find_host(host, &offset);

    if (block) {
        ram_dirty_set(block, offset, length);
    }
}

void memory_each_range(AddressSpace *as, MemoryRangeFn fn, void *opaque)
{
    const View *view = address_space_view(as);

    for (unsigned i = 0; i < view->n_ranges; i++) {
        MemoryRange range = view_range_export(&view->ranges[i]);

        if (!fn(&range, opaque)) {
            return;
        }
    }
}
