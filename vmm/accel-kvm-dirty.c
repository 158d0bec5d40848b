/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty pages: KVM's bitmaps per slot (with manual protection where the kernel has
 * it), or, with dirty-ring-size, a ring per vCPU.
 *
 * A bitmap is fetched, put into the block's bitmaps, and only then are those pages
 * protected again: a write in between is in the fetched bits, or will be in the
 * next.  A ring's entries are put into the block's bitmaps before the kernel is
 * told to protect their pages again.
 *
 * Locking: slot_lock.  The log hooks come under LOCK_MAPPING, a full ring on its
 * vCPU's thread.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/log.h"

bool kvm_dirty_init(Kvm *kvm, GError **error)
{
    uint32_t entries = kvm->options.dirty_ring_size;
    uint64_t bytes = (uint64_t)entries * sizeof(struct kvm_dirty_gfn);
    int max = kvm_check(kvm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL);
    unsigned capability = max > 0 ? KVM_CAP_DIRTY_LOG_RING_ACQ_REL : KVM_CAP_DIRTY_LOG_RING;

    max = max > 0 ? max : kvm_check(kvm, KVM_CAP_DIRTY_LOG_RING);
    if (!entries) {
        int manual = kvm_check(kvm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);

        kvm->manual_protect = (manual & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) &&
            kvm_enable(kvm->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                       manual & (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET), 0) == 0;
        return true;
    }
    if (max <= 0) {
        error_set(error, "dirty-ring-size: this host's KVM has no dirty rings");
        return error_hint(error, "Leave the option out; bitmaps are used then.");
    }
    if ((entries & (entries - 1)) || bytes < GUEST_PAGE_SIZE || bytes > (uint64_t)max) {
        return error_set(error, "dirty-ring-size must be a power of two from %zu to %zu here",
                         (size_t)GUEST_PAGE_SIZE / sizeof(struct kvm_dirty_gfn), max / sizeof(struct kvm_dirty_gfn));
    }
    if (kvm_enable(kvm->vm, capability, bytes, 0) < 0) {
        return error_set_errno(error, errno, "cannot use dirty rings of %" PRIu32 " entries", entries);
    }
    kvm->ring_entries = entries;
    return true;
}

void kvm_dirty_map_ring(KvmVcpu *kv)
{
    void *ring;

    if (!kv->kvm->ring_entries) {
        return;
    }
    ring = mmap(NULL, kv->kvm->ring_entries * sizeof(struct kvm_dirty_gfn), PROT_READ | PROT_WRITE, MAP_SHARED, kv->fd,
                KVM_DIRTY_LOG_PAGE_OFFSET * GUEST_PAGE_SIZE);
    if (ring == MAP_FAILED) {
        kvm_fail(kv->kvm, "cannot map the dirty ring of vCPU %u: %s", kv->vcpu->index, g_strerror(errno));
        return;
    }
    kv->ring = ring;
}

void kvm_dirty_unmap_ring(KvmVcpu *kv)
{
    if (kv->ring) {
        munmap(kv->ring, kv->kvm->ring_entries * sizeof(struct kvm_dirty_gfn));
    }
}

static void ring_entry(Kvm *kvm, const struct kvm_dirty_gfn *gfn)
{
    unsigned space = gfn->slot >> 16, number = gfn->slot & 0xffff;
    KvmSlot *slot;

    if (space >= KVM_SPACES || number >= kvm->space[space].slots->len) {
        return;
    }
    slot = kvm->space[space].slots->pdata[number];
    if (slot && gfn->offset < slot->size / GUEST_PAGE_SIZE) {
        ram_dirty_mark(slot->block, slot->offset + gfn->offset * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE);
    }
}

/* slot_lock.  The flags word hands an entry over: dirty from the kernel, reset to it. */
static unsigned ring_collect(KvmVcpu *kv)
{
    uint32_t mask = kv->kvm->ring_entries - 1;
    unsigned n = 0;

    while (n < kv->kvm->ring_entries) {
        struct kvm_dirty_gfn *gfn = &kv->ring[kv->ring_next & mask];

        if (__atomic_load_n(&gfn->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY) {
            break;
        }
        ring_entry(kv->kvm, gfn);
        __atomic_store_n(&gfn->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        kv->ring_next++;
        n++;
    }
    return n;
}

static void rings_collect(Kvm *kvm)
{
    unsigned n = 0;

    pthread_mutex_lock(&kvm->gate_mutex);
    for (unsigned i = 0; i < kvm->vcpus->len; i++) {
        KvmVcpu *kv = kvm->vcpus->pdata[i];

        n += kv->ring ? ring_collect(kv) : 0;
    }
    pthread_mutex_unlock(&kvm->gate_mutex);
    if (n && kvm_ioctl(kvm->vm, KVM_RESET_DIRTY_RINGS, NULL) < 0) {
        kvm_fail(kvm, "cannot reset the dirty rings: %s", g_strerror(errno));
    }
}

void kvm_dirty_harvest(Kvm *kvm)
{
    lock_acquire(&kvm->slot_lock);
    rings_collect(kvm);
    lock_release(&kvm->slot_lock);
}

static void bitmap_pull(KvmSpace *space, KvmSlot *slot)
{
    Kvm *kvm = space->kvm;
    uint64_t pages = slot->size / GUEST_PAGE_SIZE;
    g_autofree uint64_t *bitmap = g_try_malloc0((pages + 63) / 64 * 8);
    struct kvm_dirty_log log = { .slot = slot->number | space->id << 16, .dirty_bitmap = bitmap };
    struct kvm_clear_dirty_log clear = {
        .slot = slot->number | space->id << 16, .num_pages = (uint32_t)pages, .dirty_bitmap = bitmap
    };

    if (!bitmap || kvm_ioctl(kvm->vm, KVM_GET_DIRTY_LOG, &log) < 0) {
        /* What may have been written counts as written. */
        ram_dirty_mark(slot->block, slot->offset, slot->size);
        return;
    }
    ram_dirty_or(slot->block, slot->offset, bitmap, pages);
    if (kvm->manual_protect && kvm_ioctl(kvm->vm, KVM_CLEAR_DIRTY_LOG, &clear) < 0) {
        kvm_fail(kvm, "cannot protect pages at %#" PRIx64 " again: %s", slot->address, g_strerror(errno));
    }
}

void kvm_dirty_pull(KvmSpace *space, KvmSlot *slot)
{
    if (space->kvm->ring_entries) {
        rings_collect(space->kvm);
    } else if (slot) {
        bitmap_pull(space, slot);
    }
}

/* Calls for a range that this listener's view shows; the slot may have been refused. */
static void set_logging(MemoryListener *l, const MemoryRange *range, bool on)
{
    KvmSpace *space = (KvmSpace *)l;
    uint64_t start = (range->address + GUEST_PAGE_SIZE - 1) & ~(GUEST_PAGE_SIZE - 1);
    KvmSlot *slot;

    lock_acquire(&space->kvm->slot_lock);
    slot = kvm_slot_find(space, start);
    if (slot && !(slot->flags & KVM_MEM_LOG_DIRTY_PAGES) == on) {
        slot->flags ^= KVM_MEM_LOG_DIRTY_PAGES;
        if (!kvm_slot_apply(space, slot, slot->size)) {
            kvm_fail(space->kvm, "cannot switch the dirty log at %#" PRIx64 ": %s", slot->address, g_strerror(errno));
        }
    }
    lock_release(&space->kvm->slot_lock);
}

void kvm_log_start(MemoryListener *l, const MemoryRange *range)
{
    set_logging(l, range, true);
}

void kvm_log_stop(MemoryListener *l, const MemoryRange *range)
{
    if (!ram_dirty_clients(range->region->ram)) {
        set_logging(l, range, false);
    }
}

/* A ring holds pages of running vCPUs that the CPU has not written back yet (page-modification
 * logging): all leave the guest once. */
void kvm_log_sync(MemoryListener *l, const MemoryRange *range)
{
    KvmSpace *space = (KvmSpace *)l;
    uint64_t start = (range->address + GUEST_PAGE_SIZE - 1) & ~(GUEST_PAGE_SIZE - 1);
    KvmSlot *slot;

    if (space->kvm->ring_entries) {
        kvm_hold(space->kvm);
        kvm_release(space->kvm);
    }
    lock_acquire(&space->kvm->slot_lock);
    slot = kvm_slot_find(space, start);
    if (slot && (slot->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
        kvm_dirty_pull(space, slot);
    }
    lock_release(&space->kvm->slot_lock);
}
