/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost, what both ways have in common (vmm/vhost.h): the guest's memory as a table that follows the memory map, the
 * rings that are out, and the log in which they tell of their writes while a migration wants to know.
 *
 * The log has a bit for each 4 KiB of the guest's address space.  It is made when the first range is logged, as large
 * as the table needs, and goes with the last; each log_sync moves the bits of a range into its block's bitmaps.  Where
 * there is no log though one is wanted, or not all know of it, each log_sync says that the whole range was written.
 */
#include "vmm/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

/* ---- the table ---- */

static VhostDevice *of_listener(MemoryListener *l)
{
    return (VhostDevice *)((char *)l - offsetof(VhostDevice, listener));
}

static bool is_meant(const VhostDevice *d, const MemoryRange *range)
{
    const MemoryRegion *mr = range->region;

    return mr->kind == MEMORY_RAM && mr->ram &&
           (!d->ops->shared || ram_block_abilities(mr->ram) & RAM_CAN_SHARE);
}

/* NULL: it is not in the table. */
static VhostRegion *find(const VhostDevice *d, const MemoryRange *range)
{
    unsigned n = is_meant(d, range) ? d->table->len : 0;

    for (unsigned i = 0; i < n; i++) {
        VhostRegion *r = &g_array_index(d->table, VhostRegion, i);

        if (r->address == range->address) {
            return r;
        }
    }
    return NULL;
}

static void add_range(MemoryListener *l, const MemoryRange *range)
{
    VhostDevice *d = of_listener(l);
    VhostRegion r = { range->address, range->size, range->region->ram, range->region->ram_offset + range->offset,
                      false };

    if (!is_meant(d, range)) {
        return;
    }
    ram_block_ref(r.block);
    if (d->ops->shared) {
        ram_block_will_share(r.block);
    }
    lock_acquire(&d->lock);
    g_array_append_val(d->table, r);
    d->table_changed = true;
    lock_release(&d->lock);
}

static void remove_range(MemoryListener *l, const MemoryRange *range)
{
    VhostDevice *d = of_listener(l);
    VhostRegion *r;

    lock_acquire(&d->lock);
    r = find(d, range);
    if (r) {
        g_array_append_val(d->gone, *r);
        g_array_remove_index_fast(d->table, (unsigned)(r - (VhostRegion *)d->table->data));
        d->table_changed = true;
    }
    lock_release(&d->lock);
}

static int by_address(const void *a, const void *b)
{
    const VhostRegion *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

/* Those that go on from one another, in the guest and here, are one. */
static GArray *merged(const VhostDevice *d)
{
    GArray *all = g_array_copy(d->table);
    unsigned n = 0;

    g_array_sort(all, by_address);
    for (unsigned i = 1; i < all->len; i++) {
        VhostRegion *last = &g_array_index(all, VhostRegion, n);
        const VhostRegion *r = &g_array_index(all, VhostRegion, i);

        if (last->address + last->size == r->address && last->block == r->block &&
            last->offset + last->size == r->offset) {
            last->size += r->size;
        } else {
            g_array_index(all, VhostRegion, ++n) = *r;
        }
    }
    g_array_set_size(all, all->len ? n + 1 : 0);
    return all;
}

static bool send_table(VhostDevice *d, GError **error)
{
    g_autoptr(GArray) all = merged(d);

    return d->ops->set_table(d, (const VhostRegion *)all->data, all->len, error);
}

/* ---- the log ---- */

static uint64_t log_size(const VhostDevice *d)
{
    uint64_t end = 0, page = (uint64_t)sysconf(_SC_PAGESIZE);

    for (unsigned i = 0; i < d->table->len; i++) {
        const VhostRegion *r = &g_array_index(d->table, VhostRegion, i);

        end = MAX(end, r->address + r->size);
    }
    end = (end / GUEST_PAGE_SIZE + 8) / 8;
    return (end + page - 1) / page * page;
}

static void free_log(const VhostLog *log)
{
    if (log->bits) {
        munmap(log->bits, log->bytes);
        close(log->fd);
    }
}

static void free_kept(VhostDevice *d)
{
    for (unsigned i = 0; i < d->kept->len; i++) {
        free_log(&g_array_index(d->kept, VhostLog, i));
    }
    g_array_set_size(d->kept, 0);
}

/* told: they all know that it goes. */
static void discard_log(VhostDevice *d, VhostLog log, bool told)
{
    if (told || !d->running) {
        free_log(&log);
    } else {
        g_array_append_val(d->kept, log);
    }
}

static bool make_log(VhostDevice *d, GError **error)
{
    uint64_t bytes = log_size(d);
    int fd = host_memfd("vhost-log", MFD_ALLOW_SEALING, error);
    void *log;

    if (fd < 0) {
        return false;
    }
    log = ftruncate(fd, (off_t)bytes) == 0 ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (log == MAP_FAILED) {
        close(fd);
        return error_set_errno(error, errno, "no memory for the log of a vhost device");
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); /* nobody takes it from under us */
    d->log = (VhostLog) { log, bytes, fd };
    return true;
}

static void sync_region(const VhostDevice *d, const VhostRegion *r)
{
    uint64_t first = r->address / GUEST_PAGE_SIZE, end = first + r->size / GUEST_PAGE_SIZE;

    end = MIN(end, d->log.bytes * 8);
    for (uint64_t page = first; page < end; page = (page / 64 + 1) * 64) {
        uint64_t word = page / 64, mask = UINT64_MAX << page % 64, bits;

        mask &= end - word * 64 < 64 ? (UINT64_C(1) << (end - word * 64)) - 1 : UINT64_MAX;
        if (!(__atomic_load_n(&d->log.bits[word], __ATOMIC_RELAXED) & mask)) {
            continue;
        }
        for (bits = __atomic_fetch_and(&d->log.bits[word], ~mask, __ATOMIC_SEQ_CST) & mask; bits; bits &= bits - 1) {
            uint64_t at = (word * 64 + (unsigned)__builtin_ctzll(bits) - first) * GUEST_PAGE_SIZE;

            ram_dirty_mark(r->block, r->offset + at, GUEST_PAGE_SIZE);
        }
    }
}

/* The rings that run are told again, with the log or without. */
static bool tell_log(VhostDevice *d, GError **error)
{
    bool logged = d->log.bits;

    if (!d->running) {
        return true;
    }
    if ((logged && !d->ops->set_log(d, error)) ||
        !d->ops->set_features(d, d->accepted | (logged ? UINT64_C(1) << VHOST_F_LOGS : 0), error)) {
        return false;
    }
    for (unsigned i = 0; i < VHOST_RINGS_MAX; i++) {
        if (d->runs[i] && !d->ops->set_addresses(d, &d->ring[i], logged, error)) {
            return false;
        }
    }
    return true;
}

static void complain(const GError *error)
{
    log_warning("vhost: %s", error->message);
}

static bool any_logged(const VhostDevice *d)
{
    for (unsigned i = 0; i < d->table->len; i++) {
        if (g_array_index(d->table, VhostRegion, i).logged) {
            return true;
        }
    }
    return false;
}

static void end_log(VhostDevice *d)
{
    g_autoptr(GError) error = NULL;
    VhostLog log = d->log;
    bool told;

    if (log.bits) {
        d->log = (VhostLog) { .fd = -1 };
        told = tell_log(d, &error);
        if (!told) {
            complain(error);
        }
        discard_log(d, log, told);
    }
}

static void end_log_unless_wanted(VhostDevice *d)
{
    if (!any_logged(d)) {
        end_log(d);
        d->unlogged = false;
    }
}

static void log_start(MemoryListener *l, const MemoryRange *range)
{
    VhostDevice *d = of_listener(l);
    g_autoptr(GError) error = NULL;
    VhostRegion *r;

    lock_acquire(&d->lock);
    r = find(d, range);
    if (r) {
        r->logged = true;
        if (!d->log.bits && !d->unlogged && !(make_log(d, &error) && tell_log(d, &error))) {
            d->unlogged = true;
            complain(error);
        }
    }
    lock_release(&d->lock);
}

static void log_stop(MemoryListener *l, const MemoryRange *range)
{
    VhostDevice *d = of_listener(l);
    VhostRegion *r;

    lock_acquire(&d->lock);
    r = find(d, range);
    if (r && r->logged) {
        r->logged = false;
        end_log_unless_wanted(d);
    }
    lock_release(&d->lock);
}

static void log_sync(MemoryListener *l, const MemoryRange *range)
{
    VhostDevice *d = of_listener(l);
    const VhostRegion *r = find(d, range);

    /* All of these stand while LOCK_MAPPING is held. */
    if (r && d->unlogged) {
        ram_dirty_mark(r->block, r->offset, r->size);
    } else if (r && d->log.bits) {
        sync_region(d, r);
    }
}

/* Memory that came while it is logged may lie beyond the log. */
static bool grow_log(VhostDevice *d, GError **error)
{
    VhostLog old = d->log;
    bool told;

    if (!old.bits || log_size(d) <= old.bytes) {
        return true;
    }
    if (!make_log(d, error)) {
        return false;
    }
    /* What is in the old one is carried over; nobody writes there once they know the new one. */
    told = tell_log(d, error);
    for (uint64_t i = 0; i < old.bytes / sizeof(uint64_t); i++) {
        __atomic_fetch_or(&d->log.bits[i], old.bits[i], __ATOMIC_SEQ_CST);
    }
    discard_log(d, old, told);
    return told;
}

/* The log first: they take no memory that it does not reach. */
static void tell_table(VhostDevice *d)
{
    g_autoptr(GError) error = NULL;

    end_log_unless_wanted(d);
    if (!grow_log(d, &error)) {
        complain(error);
        g_clear_error(&error);
        d->unlogged = true;
        end_log(d);
    }
    if (d->running && !send_table(d, &error)) {
        complain(error);
    }
}

static void commit(MemoryListener *l)
{
    VhostDevice *d = of_listener(l);
    g_autoptr(GArray) gone = NULL;

    lock_acquire(&d->lock);
    if (d->table_changed) {
        tell_table(d);
    }
    d->table_changed = false;
    gone = g_steal_pointer(&d->gone);
    d->gone = g_array_new(FALSE, FALSE, sizeof(VhostRegion));
    lock_release(&d->lock);
    for (unsigned i = 0; i < gone->len; i++) {
        ram_block_unref(g_array_index(gone, VhostRegion, i).block);
    }
}

/* ---- rings ---- */

/* What they must know before the first ring. */
static bool prepare(VhostDevice *d, uint64_t features, GError **error)
{
    if (d->log.bits && !(d->features & UINT64_C(1) << VHOST_F_LOGS)) {
        return error_set(error, "it came while the domain moves, and cannot tell what it writes");
    }
    d->accepted = features;
    return d->ops->set_features(d, features | (d->log.bits ? UINT64_C(1) << VHOST_F_LOGS : 0), error) &&
           send_table(d, error) && (!d->log.bits || d->ops->set_log(d, error));
}

bool vhost_start_ring(VhostDevice *d, const VhostRing *ring, uint64_t features, GError **error)
{
    bool ok;

    lock_acquire(&d->lock);
    g_assert(ring->index < VHOST_RINGS_MAX && !d->runs[ring->index]);
    ok = (d->running ? features == d->accepted || error_set(error, "its rings have different features")
                     : prepare(d, features, error)) &&
         d->ops->start_ring(d, ring, d->log.bits, error);
    if (ok) {
        d->ring[ring->index] = *ring;
        d->runs[ring->index] = true;
        d->running++;
    }
    lock_release(&d->lock);
    return ok;
}

bool vhost_stop_ring(VhostDevice *d, unsigned ring, uint32_t *ret_base)
{
    bool ok;

    lock_acquire(&d->lock);
    g_assert(d->runs[ring]);
    ok = d->ops->stop_ring(d, &d->ring[ring], ret_base);
    d->runs[ring] = false;
    if (--d->running == 0) {
        free_kept(d);
    }
    lock_release(&d->lock);
    return ok;
}

/* ---- life ---- */

void vhost_device_init(VhostDevice *d, const VhostOps *ops, Domain *domain)
{
    d->ops = ops;
    d->domain = domain;
    d->log.fd = -1;
    d->table = g_array_new(FALSE, FALSE, sizeof(VhostRegion));
    d->gone = g_array_new(FALSE, FALSE, sizeof(VhostRegion));
    d->kept = g_array_new(FALSE, FALSE, sizeof(VhostLog));
    lock_init(&d->lock, LOCK_LEAF, "vhost");
    d->listener = (MemoryListener) {
        .name = "vhost", .add = add_range, .remove = remove_range, .commit = commit, .log_start = log_start,
        .log_stop = log_stop, .log_sync = log_sync,
    };
    memory_listener_add(&d->listener, domain_memory(domain));
}

void vhost_device_finish(VhostDevice *d)
{
    g_assert(!d->running);
    memory_listener_remove(&d->listener);
    for (unsigned i = 0; i < d->table->len; i++) {
        ram_block_unref(g_array_index(d->table, VhostRegion, i).block);
    }
    g_array_unref(d->table);
    g_array_unref(d->gone);
    free_log(&d->log);
    g_array_unref(d->kept); /* empty, as no ring runs */
    lock_finish(&d->lock);
}
