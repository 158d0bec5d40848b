/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Message signalled interrupts: MSI and MSI-X (PCI Local Bus 3.0, 6.8).
 *
 * Each vector has a route of the interrupt fabric from realize on, so nothing can
 * fail when the guest enables it.  What the guest writes (message, masks, enable)
 * is told to the routes and committed once per write.  A message that comes while
 * its vector is masked is remembered by the route, moves to the pending bits when
 * they are looked at, and is sent when the vector is unmasked.
 *
 * A function that is no bus master sends nothing: a message is a memory write.
 */
#include "hw/pci/pci-internal.h"

#include <string.h>

#include "vmm/domain.h"
#include "vmm/error.h"

#define MSI_VECTORS_MAX  32
#define MSIX_VECTORS_MAX 2048
#define MSIX_TABLE_BYTES_MAX (MSIX_VECTORS_MAX * PCI_MSIX_ENTRY_SIZE)

struct PciMsi {
    unsigned vectors;
    bool maskable;
    uint8_t data_at, mask_at; /* offsets in config space */
    MsiRoute *route[MSI_VECTORS_MAX];
};

struct PciMsix {
    unsigned vectors;
    MsiRoute **route;
    bool *masked; /* as the routes were told: by vector, function or disabled */
};

static IrqFabric *fabric_of(const PciDevice *pci)
{
    return domain_irqs(pci->dev.domain);
}

static bool is_master(const PciDevice *pci)
{
    return __atomic_load_n(&pci->dma.enabled, __ATOMIC_RELAXED);
}

static bool make_routes(PciDevice *pci, MsiRoute **route, unsigned n, GError **error)
{
    for (unsigned i = 0; i < n; i++) {
        route[i] = msi_route_new(fabric_of(pci), error);
        if (!route[i]) {
            while (i--) {
                msi_route_free(route[i]);
            }
            return false;
        }
    }
    return true;
}

/* ---- MSI ---- */
bool pci_add_msi(PciDevice *pci, unsigned vectors, bool address64, bool per_vector_mask, GError **error)
{
    uint8_t size = (uint8_t)((address64 ? 14 : 10) + (per_vector_mask ? 10 : 0)), at;
    struct PciMsi *msi;

    g_assert(vectors && vectors <= MSI_VECTORS_MAX && (vectors & (vectors - 1)) == 0);
    msi = g_new0(struct PciMsi, 1);
    if (!make_routes(pci, msi->route, vectors, error)) {
        g_free(msi);
        return false;
    }
    at = pci_add_capability(pci, PCI_CAP_ID_MSI, size);
    msi->vectors = vectors;
    msi->maskable = per_vector_mask;
    msi->data_at = (uint8_t)(at + (address64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32));
    msi->mask_at = (uint8_t)(at + (address64 ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32));
    pci_set16(pci->config + at + PCI_MSI_FLAGS,
              (uint16_t)(__builtin_ctz(vectors) << 1 | (address64 ? PCI_MSI_FLAGS_64BIT : 0) |
                         (per_vector_mask ? PCI_MSI_FLAGS_MASKBIT : 0)));
    pci_set16(pci->wmask + at + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
    pci_set32(pci->wmask + at + PCI_MSI_ADDRESS_LO, 0xfffffffc);
    if (address64) {
        pci_set32(pci->wmask + at + PCI_MSI_ADDRESS_HI, 0xffffffff);
    }
    pci_set16(pci->wmask + msi->data_at, 0xffff);
    if (per_vector_mask) {
        uint32_t all = (uint32_t)((UINT64_C(1) << vectors) - 1);

        pci_set32(pci->wmask + msi->mask_at, all);
        pci_set32(pci->hwmask + msi->mask_at + 4, all);
    }
    pci->msi_cap = at;
    pci->msi = msi;
    return true;
}

bool pci_msi_enabled(const PciDevice *pci)
{
    return pci->msi && (pci_config_byte(pci, pci->msi_cap + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_ENABLE);
}

/* How many vectors software enabled; more than there are counts as all. */
static unsigned msi_in_use(const PciDevice *pci)
{
    unsigned n = 1u << ((pci_config_byte(pci, pci->msi_cap + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_QSIZE) >> 4);

    return MIN(n, pci->msi->vectors);
}

static bool msi_masked(const PciDevice *pci, unsigned vector)
{
    return pci->msi->maskable && (pci_config_long(pci, pci->msi->mask_at) >> vector & 1);
}

static void msi_collect_pending(PciDevice *pci)
{
    struct PciMsi *msi = pci->msi;
    uint32_t pending;

    if (!msi->maskable || !pci_msi_enabled(pci)) {
        return;
    }
    pending = pci_config_long(pci, msi->mask_at + 4);
    for (unsigned i = 0; i < msi_in_use(pci); i++) {
        if (msi_masked(pci, i) && msi_route_take_pending(msi->route[i])) {
            pending |= 1u << i;
        }
    }
    pci_config_put(pci, msi->mask_at + 4, pending, 4);
}

static void msi_update(PciDevice *pci)
{
    struct PciMsi *msi = pci->msi;
    bool enabled = pci_msi_enabled(pci), wide = msi->data_at - pci->msi_cap == PCI_MSI_DATA_64;
    unsigned n = msi_in_use(pci);
    uint32_t pending = msi->maskable ? pci_config_long(pci, msi->mask_at + 4) : 0;
    MsiMessage message = { .address = pci_config_long(pci, pci->msi_cap + PCI_MSI_ADDRESS_LO) };
    uint16_t data = pci_config_word(pci, msi->data_at);

    if (wide) {
        message.address |= (uint64_t)pci_config_long(pci, pci->msi_cap + PCI_MSI_ADDRESS_HI) << 32;
    }
    for (unsigned i = 0; i < msi->vectors; i++) {
        message.data = (data & ~(n - 1)) | (i & (n - 1));
        msi_route_set(msi->route[i], message, !enabled || i >= n || msi_masked(pci, i));
    }
    msi_routes_commit(fabric_of(pci));
    for (unsigned i = 0; i < msi->vectors; i++) {
        bool held = msi_route_take_pending(msi->route[i]) || (pending >> i & 1);

        if (enabled && i < n && held) {
            pending |= 1u << i;
            if (!msi_masked(pci, i)) {
                pending &= ~(1u << i);
                pci_msi_notify(pci, i);
            }
        }
    }
    if (msi->maskable) {
        pci_config_put(pci, msi->mask_at + 4, enabled ? pending : 0, 4);
    }
}

void pci_msi_notify(PciDevice *pci, unsigned vector)
{
    if (pci_msi_enabled(pci) && is_master(pci)) {
        /* Software may give fewer messages than there are vectors; those that are left share the last. */
        msi_route_notify(pci->msi->route[MIN(vector, msi_in_use(pci) - 1)]);
    }
}

/* ---- MSI-X ---- */
static bool bit_test(const GByteArray *bits, unsigned n)
{
    return bits->data[n / 8] >> (n % 8) & 1;
}

static void bit_put(GByteArray *bits, unsigned n, bool on)
{
    bits->data[n / 8] = (uint8_t)((bits->data[n / 8] & ~(1u << (n % 8))) | (unsigned)on << (n % 8));
}

static bool msix_masked(const PciDevice *pci, unsigned vector)
{
    uint16_t control = pci_config_word(pci, pci->msix_cap + PCI_MSIX_FLAGS);
    const uint8_t *entry = pci->msix_table->data + vector * PCI_MSIX_ENTRY_SIZE;

    return !(control & PCI_MSIX_FLAGS_ENABLE) || (control & PCI_MSIX_FLAGS_MASKALL) ||
           (entry[PCI_MSIX_ENTRY_VECTOR_CTRL] & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

bool pci_msix_enabled(const PciDevice *pci)
{
    return pci->msix && (pci_config_byte(pci, pci->msix_cap + PCI_MSIX_FLAGS + 1) & PCI_MSIX_FLAGS_ENABLE >> 8);
}

static void msix_collect_pending(PciDevice *pci, unsigned first, unsigned n)
{
    if (!pci_msix_enabled(pci)) {
        return;
    }
    for (unsigned i = first; i < MIN(first + n, pci->msix->vectors); i++) {
        if (pci->msix->masked[i] && msi_route_take_pending(pci->msix->route[i])) {
            bit_put(pci->msix_pba, i, true);
        }
    }
}

static void msix_set_route(PciDevice *pci, unsigned vector)
{
    const uint8_t *entry = pci->msix_table->data + vector * PCI_MSIX_ENTRY_SIZE;
    MsiMessage message = {
        .address = pci_get32(entry + PCI_MSIX_ENTRY_LOWER_ADDR) |
                   (uint64_t)pci_get32(entry + PCI_MSIX_ENTRY_UPPER_ADDR) << 32,
        .data = pci_get32(entry + PCI_MSIX_ENTRY_DATA),
    };

    msi_route_set(pci->msix->route[vector], message, msix_masked(pci, vector));
}

/* After the commit: sends what waited, tells the device. */
static void msix_vector_settled(PciDevice *pci, unsigned vector)
{
    struct PciMsix *msix = pci->msix;
    bool masked = msix_masked(pci, vector), changed = masked != msix->masked[vector];

    msix->masked[vector] = masked;
    if (!pci_msix_enabled(pci)) {
        msi_route_take_pending(msix->route[vector]);
        bit_put(pci->msix_pba, vector, false);
    } else if (!masked && (msi_route_take_pending(msix->route[vector]) || bit_test(pci->msix_pba, vector))) {
        bit_put(pci->msix_pba, vector, false);
        pci_msix_notify(pci, vector);
    }
    if (changed && pci->msix_vector_changed) {
        pci->msix_vector_changed(pci, vector, masked);
    }
}

static void msix_update_all(PciDevice *pci)
{
    for (unsigned i = 0; i < pci->msix->vectors; i++) {
        msix_set_route(pci, i);
    }
    msi_routes_commit(fabric_of(pci));
    for (unsigned i = 0; i < pci->msix->vectors; i++) {
        msix_vector_settled(pci, i);
    }
}

static uint64_t msix_table_read(void *opaque, uint64_t offset, unsigned size)
{
    return pci_get32(pci_device(opaque)->msix_table->data + offset);
}

static void msix_table_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PciDevice *pci = opaque;
    unsigned vector = (unsigned)offset / PCI_MSIX_ENTRY_SIZE;

    /* 6.8.2.9: all bits but the mask of Vector Control are reserved. */
    if (offset % PCI_MSIX_ENTRY_SIZE == PCI_MSIX_ENTRY_VECTOR_CTRL) {
        value &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
    }
    if (pci_get32(pci->msix_table->data + offset) == value) {
        return;
    }
    pci_set32(pci->msix_table->data + offset, (uint32_t)value);
    /* Linux writes an entry's message while it is masked: one commit, at the unmasking, will do. */
    if (pci->msix->masked[vector] && msix_masked(pci, vector)) {
        return;
    }
    msix_set_route(pci, vector);
    msi_routes_commit(fabric_of(pci));
    msix_vector_settled(pci, vector);
}

static const MemoryOps msix_table_ops = {
    .read = msix_table_read,
    .write = msix_table_write,
    .min = 4,
    .max = 8,
    .impl_min = 4,
    .impl_max = 4,
};

static uint64_t msix_pba_read(void *opaque, uint64_t offset, unsigned size)
{
    PciDevice *pci = opaque;

    msix_collect_pending(pci, (unsigned)offset * 8, 32);
    return pci_get32(pci->msix_pba->data + offset);
}

static void msix_pba_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    guest_error(device_name(opaque), "write to the MSI-X pending bits, which are read-only");
}

static const MemoryOps msix_pba_ops = {
    .read = msix_pba_read,
    .write = msix_pba_write,
    .min = 4,
    .max = 8,
    .impl_min = 4,
    .impl_max = 4,
};

static void msix_clear_table(PciDevice *pci)
{
    memset(pci->msix_pba->data, 0, pci->msix_pba->len);
    memset(pci->msix_table->data, 0, pci->msix_table->len);
    for (unsigned i = 0; i < pci->msix->vectors; i++) {
        pci->msix_table->data[i * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
    }
}

bool pci_add_msix(PciDevice *pci, unsigned vectors, unsigned bar, MemoryRegion *mr, uint32_t table_offset,
                  uint32_t pba_offset, GError **error)
{
    unsigned table_bytes = vectors * PCI_MSIX_ENTRY_SIZE, pba_bytes = (vectors + 63) / 64 * 8;
    struct PciMsix *msix;
    uint8_t at;

    if (vectors == 0 || vectors > MSIX_VECTORS_MAX) {
        return error_set(error, "%u MSI-X vectors are not possible: a function has 1 to %u", vectors, MSIX_VECTORS_MAX);
    }
    g_assert(table_offset % 8 == 0 && pba_offset % 8 == 0 && pba_offset + pba_bytes <= mr->size);
    msix = g_new0(struct PciMsix, 1);
    msix->vectors = vectors;
    msix->route = g_new0(MsiRoute *, vectors);
    if (!make_routes(pci, msix->route, vectors, error)) {
        g_free(msix->route);
        g_free(msix);
        return false;
    }
    msix->masked = g_new(bool, vectors);
    memset(msix->masked, true, vectors);
    pci->msix = msix;
    pci->msix_table = g_byte_array_set_size(g_byte_array_new(), table_bytes);
    pci->msix_pba = g_byte_array_set_size(g_byte_array_new(), pba_bytes);
    msix_clear_table(pci);

    at = pci->msix_cap = pci_add_capability(pci, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
    pci_set16(pci->config + at + PCI_MSIX_FLAGS, (uint16_t)(vectors - 1));
    pci_set16(pci->wmask + at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    pci_set32(pci->config + at + PCI_MSIX_TABLE, table_offset | bar);
    pci_set32(pci->config + at + PCI_MSIX_PBA, pba_offset | bar);
    device_init_io(&pci->dev, &pci->msix_table_region, "msix-table", &msix_table_ops, table_bytes);
    device_init_io(&pci->dev, &pci->msix_pba_region, "msix-pba", &msix_pba_ops, pba_bytes);
    memory_begin();
    memory_add(mr, table_offset, &pci->msix_table_region, 1);
    memory_add(mr, pba_offset, &pci->msix_pba_region, 1);
    memory_commit();
    return true;
}

bool pci_add_msix_bar(PciDevice *pci, unsigned vectors, unsigned bar, GError **error)
{
    /* The PBA has a page of its own behind the table, so that either can be mapped apart. */
    uint32_t pba_offset = MAX((vectors * PCI_MSIX_ENTRY_SIZE + 4095) & ~4095u, 2048);
    uint64_t size = 4096;

    if (vectors * PCI_MSIX_ENTRY_SIZE <= 2048) {
        pba_offset = 2048;
    }
    while (size < pba_offset + (vectors + 63) / 64 * 8) {
        size *= 2;
    }
    memory_region_init(&pci->msix_bar_region, "msix-bar", size);
    if (!pci_add_msix(pci, vectors, bar, &pci->msix_bar_region, 0, pba_offset, error)) {
        memory_region_finish(&pci->msix_bar_region);
        return false;
    }
    g_ptr_array_add(pci->dev.regions, &pci->msix_bar_region);
    pci_set_bar(pci, bar, PCI_BAR_MEM32, &pci->msix_bar_region);
    return true;
}

void pci_msix_notify(PciDevice *pci, unsigned vector)
{
    if (pci_msix_enabled(pci) && is_master(pci) && vector < pci->msix->vectors) {
        msi_route_notify(pci->msix->route[vector]);
    }
}

void pci_msix_notify_soon(PciDevice *pci, unsigned vector, Loop *loop)
{
    int bell;

    if (!pci_msix_enabled(pci) || !is_master(pci) || vector >= pci->msix->vectors) {
        return;
    }
    bell = msi_route_bell(pci->msix->route[vector]);
    if (bell >= 0) {
        loop_ring(loop, bell);
    } else {
        msi_route_notify(pci->msix->route[vector]);
    }
}

int pci_msix_irqfd(PciDevice *pci, unsigned vector, GError **error)
{
    if (!pci->msix || vector >= pci->msix->vectors) {
        error_set(error, "'%s' has no MSI-X vector %u", device_name(&pci->dev), vector);
        return -1;
    }
    return msi_route_fd(pci->msix->route[vector], error);
}

/* ---- of the core ---- */
void pci_msi_wrote(PciDevice *pci, unsigned offset, unsigned size)
{
    unsigned flags = pci->msi_cap + PCI_MSI_FLAGS;

    if (pci->msi && pci_touches(offset, size, flags, pci->msi->mask_at + 4u - flags)) {
        msi_update(pci);
    }
    if (pci->msix && pci_touches(offset, size, pci->msix_cap + PCI_MSIX_FLAGS, 2)) {
        msix_update_all(pci);
    }
}

void pci_msi_read(PciDevice *pci, unsigned offset, unsigned size)
{
    if (pci->msi && pci->msi->maskable && pci_touches(offset, size, pci->msi->mask_at + 4u, 4)) {
        msi_collect_pending(pci);
    }
    if (pci->msix && size == PCIE_CONFIG_SIZE) { /* saving */
        msix_collect_pending(pci, 0, pci->msix->vectors);
    }
}

void pci_msi_reset(PciDevice *pci)
{
    if (pci->msi) {
        msi_update(pci);
    }
    if (pci->msix) {
        msix_clear_table(pci);
        msix_update_all(pci);
    }
}

void pci_msi_loaded(PciDevice *pci)
{
    if (pci->msi) {
        msi_update(pci);
    }
    if (pci->msix) {
        msix_update_all(pci);
    }
}

bool pci_msi_check(const PciDevice *scratch, GError **error)
{
    unsigned vectors = scratch->msix ? scratch->msix->vectors : 0;
    const GByteArray *table = scratch->msix_table, *pba = scratch->msix_pba;

    if (vectors && (!table || table->len != vectors * PCI_MSIX_ENTRY_SIZE ||
                    !pba || pba->len != (vectors + 63) / 64 * 8)) {
        return error_set(error, "the saved MSI-X table is not one of %u vectors", vectors);
    }
    return true;
}

void pci_msi_free(PciDevice *pci)
{
    for (unsigned i = 0; pci->msi && i < pci->msi->vectors; i++) {
        msi_route_free(pci->msi->route[i]);
    }
    g_clear_pointer(&pci->msi, g_free);
    if (pci->msix) {
        memory_begin();
        memory_remove(&pci->msix_table_region);
        memory_remove(&pci->msix_pba_region);
        memory_commit();
        for (unsigned i = 0; i < pci->msix->vectors; i++) {
            msi_route_free(pci->msix->route[i]);
        }
        g_free(pci->msix->route);
        g_free(pci->msix->masked);
        g_clear_pointer(&pci->msix, g_free);
        g_byte_array_unref(g_steal_pointer(&pci->msix_table));
        g_byte_array_unref(g_steal_pointer(&pci->msix_pba));
    }
}

static bool msix_state_needed(const void *struct_)
{
    return ((const PciDevice *)struct_)->msix;
}

const StateDesc pci_msix_state = {
    .name = "msix",
    .version = 1,
    .needed = msix_state_needed,
    .fields = (const StateField[]) {
        STATE_BLOB(PciDevice, msix_table, MSIX_TABLE_BYTES_MAX),
        STATE_BLOB(PciDevice, msix_pba, MSIX_VECTORS_MAX / 8),
        STATE_END,
    },
};
