/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as KVM sees it: listeners that turn ranges of RAM into memory
 * slots, doorbells into ioeventfds and coalesced regions into zones.
 *
 * A transaction's ranges are collected and applied in its commit.  Where what goes
 * and what comes overlap, every vCPU is held out of the guest meanwhile
 * (accel-kvm.h, the gate).  Slots cover whole pages; what is left of a range at its
 * edges is reached by MMIO exits, and so are ROM devices that are not in ROM mode.
 *
 * Locking: listeners run under LOCK_MAPPING; the tables of slots are under slot_lock.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/log.h"

#define SLOT_PAGES_MAX ((UINT64_C(1) << 31) - 1)

static KvmSpace *space_of(MemoryListener *l)
{
    return (KvmSpace *)l;
}

/* The whole pages of a range of RAM that the guest may read directly; false: none. */
static bool slot_of(const MemoryRange *range, KvmSlot *ret)
{
    const MemoryRegion *mr = range->region;
    uint64_t start = (range->address + GUEST_PAGE_SIZE - 1) & ~(GUEST_PAGE_SIZE - 1);
    uint64_t end = (range->address + range->size) & ~(GUEST_PAGE_SIZE - 1);
    bool direct = mr->kind == MEMORY_RAM || mr->kind == MEMORY_ROM || (mr->kind == MEMORY_ROM_DEVICE && range->romd);

    if (!direct || start >= end) {
        return false;
    }
    *ret = (KvmSlot) {
        .address = start, .size = end - start, .block = mr->ram,
        .offset = mr->ram_offset + range->offset + (start - range->address),
        .flags = range->readonly || mr->kind != MEMORY_RAM ? KVM_MEM_READONLY : 0,
    };
    return ((uintptr_t)ram_block_host(ret->block) + ret->offset) % GUEST_PAGE_SIZE == 0;
}

bool kvm_slot_apply(KvmSpace *space, const KvmSlot *slot, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot->number | space->id << 16, .flags = slot->flags, .guest_phys_addr = slot->address,
        .memory_size = size, .userspace_addr = (uintptr_t)ram_block_host(slot->block) + slot->offset,
    };

    return kvm_ioctl(space->kvm->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

KvmSlot *kvm_slot_find(KvmSpace *space, uint64_t address)
{
    for (unsigned i = 0; i < space->slots->len; i++) {
        KvmSlot *slot = space->slots->pdata[i];

        if (slot && address >= slot->address && address - slot->address < slot->size) {
            return slot;
        }
    }
    return NULL;
}

/* The slot that is gone, or NULL.  Its block is let go of after slot_lock. */
static KvmSlot *slot_remove(KvmSpace *space, const MemoryRange *range)
{
    KvmSlot wanted, *slot;

    if (!slot_of(range, &wanted)) {
        return NULL;
    }
    slot = kvm_slot_find(space, wanted.address);
    if (!slot) {
        return NULL;
    }
    if (slot->flags & KVM_MEM_LOG_DIRTY_PAGES) {
        kvm_dirty_pull(space, slot);
    }
    if (!kvm_slot_apply(space, slot, 0)) {
        kvm_fail(space->kvm, "cannot remove memory at %#" PRIx64 ": %s", slot->address, g_strerror(errno));
    }
    space->slots->pdata[slot->number] = NULL;
    return slot;
}

static void slot_free(void *opaque)
{
    KvmSlot *slot = opaque;

    if (slot) {
        ram_block_unref(slot->block);
        g_free(slot);
    }
}

static bool slot_number(KvmSpace *space, uint32_t *ret)
{
    unsigned i = 0;

    while (i < space->slots->len && space->slots->pdata[i]) {
        i++;
    }
    if (i == space->kvm->slots_max) {
        return false;
    }
    if (i == space->slots->len) {
        g_ptr_array_add(space->slots, NULL);
    }
    *ret = i;
    return true;
}

static void slot_add(KvmSpace *space, const MemoryRange *range)
{
    KvmSlot wanted, *slot;

    if (!slot_of(range, &wanted)) {
        return;
    }
    if (wanted.size / GUEST_PAGE_SIZE > SLOT_PAGES_MAX || !slot_number(space, &wanted.number)) {
        kvm_fail(space->kvm, "no memory slot for %#" PRIx64 " bytes at %#" PRIx64, wanted.size, wanted.address);
        return;
    }
    wanted.flags |= ram_dirty_clients(wanted.block) ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    if (!kvm_slot_apply(space, &wanted, wanted.size)) {
        kvm_fail(space->kvm, "cannot map %#" PRIx64 " bytes of memory at %#" PRIx64 ": %s", wanted.size, wanted.address,
                 g_strerror(errno));
        return;
    }
    ram_block_ref(wanted.block);
    slot = g_memdup2(&wanted, sizeof(wanted));
    space->slots->pdata[slot->number] = slot;
}

static void space_begin(MemoryListener *l)
{
    g_array_set_size(space_of(l)->removed, 0);
    g_array_set_size(space_of(l)->added, 0);
}

static void space_add(MemoryListener *l, const MemoryRange *range)
{
    g_array_append_val(space_of(l)->added, *range);
}

static void space_remove(MemoryListener *l, const MemoryRange *range)
{
    g_array_append_val(space_of(l)->removed, *range);
}

static bool overlap(const KvmSpace *space)
{
    for (unsigned i = 0; i < space->removed->len; i++) {
        const MemoryRange *out = &g_array_index(space->removed, MemoryRange, i);

        for (unsigned j = 0; j < space->added->len; j++) {
            const MemoryRange *in = &g_array_index(space->added, MemoryRange, j);

            if (out->address <= in->address + (in->size - 1) && in->address <= out->address + (out->size - 1)) {
                return true;
            }
        }
    }
    return false;
}

static void space_commit(MemoryListener *l)
{
    KvmSpace *space = space_of(l);
    Kvm *kvm = space->kvm;
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(slot_free);
    /* With rings: pages written in what goes must be in a ring before their slot is gone. */
    bool hold = overlap(space) || (kvm->ring_entries && space->removed->len);

    if (hold) {
        kvm_hold(kvm);
    }
    lock_acquire(&kvm->slot_lock);
    if (kvm->ring_entries && space->removed->len) {
        kvm_dirty_pull(space, NULL);
    }
    for (unsigned i = 0; i < space->removed->len; i++) {
        g_ptr_array_add(gone, slot_remove(space, &g_array_index(space->removed, MemoryRange, i)));
    }
    for (unsigned i = 0; i < space->added->len; i++) {
        slot_add(space, &g_array_index(space->added, MemoryRange, i));
    }
    lock_release(&kvm->slot_lock);
    if (hold) {
        kvm_release(kvm);
    }
    space_begin(l);
}

static void doorbell(KvmSpace *space, uint64_t address, const MemoryDoorbell *d, bool add)
{
    struct kvm_ioeventfd event = {
        .datamatch = d->data, .addr = address, .len = d->size, .fd = d->eventfd,
        .flags = (d->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) | (add ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN) |
                 (address_space_is_ports(space->listener.space) ? KVM_IOEVENTFD_FLAG_PIO : 0),
    };

    if (!d->size && !space->kvm->any_length_doorbells) {
        return; /* the write exits to us and the memory core rings */
    }
    if (kvm_ioctl(space->kvm->vm, KVM_IOEVENTFD, &event) < 0 && add) {
        /* Slower, not wrong: as above. */
        log_warning("KVM takes no ioeventfd at %#" PRIx64 ": %s", address, g_strerror(errno));
    }
}

static void space_doorbell_add(MemoryListener *l, uint64_t address, const MemoryDoorbell *d)
{
    doorbell(space_of(l), address, d, true);
}

static void space_doorbell_remove(MemoryListener *l, uint64_t address, const MemoryDoorbell *d)
{
    doorbell(space_of(l), address, d, false);
}

/* Zones: a region whose writes may wait.  A kernel that has no room for one exits instead. */
static void zone(MemoryListener *l, const MemoryRange *range, bool add)
{
    Kvm *kvm = space_of(l)->kvm;
    bool ports = address_space_is_ports(l->space);
    struct kvm_coalesced_mmio_zone z = { .addr = range->address, .size = (uint32_t)range->size, .pio = ports };

    if (range->region->kind == MEMORY_MMIO && range->region->coalesced && (!ports || kvm->coalesced_pio) &&
        range->size <= UINT32_MAX) {
        kvm_ioctl(kvm->vm, add ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &z);
    }
}

static void memory_range_added(MemoryListener *l, const MemoryRange *range)
{
    zone(l, range, true);
    space_add(l, range);
}

static void memory_range_removed(MemoryListener *l, const MemoryRange *range)
{
    zone(l, range, false);
    space_remove(l, range);
}

static void port_range_added(MemoryListener *l, const MemoryRange *range)
{
    zone(l, range, true);
}

static void port_range_removed(MemoryListener *l, const MemoryRange *range)
{
    zone(l, range, false);
}

static void space_init(Kvm *kvm, KvmSpace *space, unsigned id)
{
    space->kvm = kvm;
    space->id = id;
    space->slots = g_ptr_array_new();
    space->removed = g_array_new(false, false, sizeof(MemoryRange));
    space->added = g_array_new(false, false, sizeof(MemoryRange));
}

void kvm_memory_init(Kvm *kvm)
{
    static const MemoryListener memory = {
        .name = "kvm", .priority = 10, .begin = space_begin, .add = memory_range_added, .remove = memory_range_removed,
        .doorbell_add = space_doorbell_add, .doorbell_remove = space_doorbell_remove, .commit = space_commit,
        .log_start = kvm_log_start, .log_stop = kvm_log_stop, .log_sync = kvm_log_sync,
    };
    /* In SMM only the slots differ: doorbells and zones belong to both. */
    static const MemoryListener smm = {
        .name = "kvm-smm", .priority = 10, .begin = space_begin, .add = space_add, .remove = space_remove,
        .commit = space_commit, .log_start = kvm_log_start, .log_stop = kvm_log_stop, .log_sync = kvm_log_sync,
    };
    static const MemoryListener ports = {
        .name = "kvm-ports", .priority = 10, .add = port_range_added, .remove = port_range_removed,
        .doorbell_add = space_doorbell_add, .doorbell_remove = space_doorbell_remove,
    };

    lock_init(&kvm->slot_lock, LOCK_RAM, "kvm slots");
    space_init(kvm, &kvm->space[0], 0);
    space_init(kvm, &kvm->space[1], 1);
    space_init(kvm, &kvm->ports, 0);
    kvm->space[0].listener = memory;
    kvm->space[1].listener = smm;
    kvm->ports.listener = ports;
}

void kvm_memory_listen(Kvm *kvm)
{
    memory_listener_add(&kvm->space[0].listener, domain_memory(kvm->accel.domain));
    memory_listener_add(&kvm->ports.listener, domain_ports(kvm->accel.domain));
}

bool kvm_set_smm_space(Accel *accel, AddressSpace *space, GError **error)
{
    Kvm *kvm = kvm_of(accel);

    if (!kvm->smm) {
        error_set(error, "this host's KVM has no system management mode");
        return error_hint(error, "Use '-machine smm=off'.");
    }
    kvm->smm_space = space;
    memory_listener_add(&kvm->space[1].listener, space);
    return true;
}

static void space_finish(KvmSpace *space)
{
    if (space->listener.space) {
        memory_listener_remove(&space->listener);
    }
    for (unsigned i = 0; i < space->slots->len; i++) {
        slot_free(space->slots->pdata[i]); /* the VM is about to go, and its slots with it */
    }
    g_ptr_array_unref(space->slots);
    g_array_unref(space->removed);
    g_array_unref(space->added);
}

void kvm_memory_finish(Kvm *kvm)
{
    space_finish(&kvm->ports);
    space_finish(&kvm->space[1]);
    space_finish(&kvm->space[0]);
    lock_finish(&kvm->slot_lock);
}
