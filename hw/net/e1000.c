/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel's gigabit Ethernet controllers: `e1000`, an 82540EM on PCI (SDM), and `e1000e`, an 82574L on PCI Express (DS),
 * for guests without virtio drivers.  One model: the newer chip has what the older has, and extended and split receive
 * descriptors, two queues each way with RSS, and MSI-X.
 *
 *   vCPU: register -> state, doorbell -> main loop: work() -> net_send()
 *   net_receive() on the main loop -> ring -> cause -> interrupt
 *
 * Left out: wake-up and manageability (their registers are storage), the TBI and fibre parts, time stamps of frames, a
 * flash.
 *
 * Locking: hw/net/e1000.h.
 */
#include "hw/net/e1000.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/error.h"

#define MMIO_BYTES   0x20000
#define FLASH_BYTES  0x20000
#define MSIX_BYTES   0x4000
#define MSIX_PBA_AT  0x2000
#define FLASH_BAR    1
#define MSIX_BAR     3
#define PCI_CLASS_ETHERNET 0x0200

/* Words of the EEPROM (SDM 5.6, DS 6.1): LED and init control words as Intel's cards have them. */
const E1000Model e1000_82540em = {
    .chip = CHIP_82540,
    .info = { .vendor = 0x8086, .device = 0x100e, .revision = 3, .class_code = PCI_CLASS_ETHERNET },
    .queues = 1,
    .causes = ICR_CAUSES_82540,
    .phy_id2 = 0x0c20,
    .nvm = { [0x04] = 0xffff, [0x05] = 0xffff, [0x0a] = 0x4408, [0x0b] = PCI_SUBSYSTEM_DEFAULT,
             [0x0c] = PCI_SUBSYSTEM_DEFAULT_VENDOR, [0x0d] = 0x100e, [0x0e] = 0x8086, [0x0f] = 0x3040,
             [0x2f] = 0x0602 },
};

const E1000Model e1000_82574l = {
    .chip = CHIP_82574,
    .info = { .vendor = 0x8086, .device = 0x10d3, .class_code = PCI_CLASS_ETHERNET },
    .queues = E1000_QUEUES,
    .causes = ICR_CAUSES_82574,
    .phy_id2 = 0x0cb1,
    .nvm = { [0x03] = 0x0420, [0x05] = 0xf746, [0x0a] = 0x026a, [0x0d] = 0x10d3, [0x0e] = 0x8086, [0x0f] = 0x3058,
             [0x17] = 0x2001, [0x18] = 0x7e94, [0x19] = 0xffff, [0x1a] = 0x1000, [0x1b] = 0x0048, [0x21] = 0x7e94 },
};

/* ---- the loop ---- */

void e1000_ring_doorbell(E1000 *e)
{
    const uint64_t one = 1;

    if (!e->work_due) {
        e->work_due = true;
        while (write(e->doorbell, &one, sizeof(one)) < 0 && errno == EINTR) {
        }
    }
}

static void work(void *opaque)
{
    E1000 *e = opaque;
    bool receive;

    lock_acquire(e->pci.dev.lock);
    e->work_due = false;
    receive = e->running && e->rx_waits;
    lock_release(e->pci.dev.lock);
    if (receive) {
        net_receive_ready(&e->nic, 0);
    }
    e1000_transmit(e);
}

static void send_ready(NetNic *nic, unsigned queue)
{
    e1000_transmit((E1000 *)((char *)nic - offsetof(E1000, nic)));
}

static void link_changed(NetNic *nic)
{
    E1000 *e = (E1000 *)((char *)nic - offsetof(E1000, nic));

    lock_acquire(e->pci.dev.lock);
    e1000_cable_changed(e);
    lock_release(e->pci.dev.lock);
}

/* Its driver cannot be asked to. */
static void announce(NetNic *nic, uint8_t mac[NET_MAC_BYTES])
{
    E1000 *e = (E1000 *)((char *)nic - offsetof(E1000, nic));

    lock_acquire(e->pci.dev.lock);
    pci_set32(mac, e->ra[0]);
    pci_set16(mac + 4, (uint16_t)e->ra[1]);
    lock_release(e->pci.dev.lock);
}

static const NetNicOps nic_ops = {
    .receive = e1000_nic_receive,
    .send_ready = send_ready,
    .link_changed = link_changed,
    .announce = announce,
    .look_at_filter = e1000_look_at_filter,
};

/* ---- reset ---- */

static void reset_common(E1000 *e)
{
    for (unsigned i = 0; i < DUES; i++) {
        e->due[i] = i == DUE_LINK ? e->due[i] : INT64_MAX;
    }
    memset(e->throttled_until, 0, sizeof(e->throttled_until));
    for (unsigned i = 0; i < E1000_QUEUES; i++) {
        memset(e->tx[i].context, 0, sizeof(e->tx[i].context));
        e->tx[i].skipping = false;
    }
    e->msix_sent = e->delayed_rx = e->delayed_tx = 0;
    e->systim = 0;
    e->systim_since = 0;
    e->generation++;
    e1000_load_address(e);
    e1000_update_irq(e);
    e1000_arm(e);
    net_filter_changed(&e->nic);
}

/* The PHY goes on, and what it has found. */
void e1000_reset_by_guest(E1000 *e)
{
    reg_reset(&e->pci.dev, &e1000_regs);
    reset_common(e);
}

static void e1000_reset(Device *dev)
{
    E1000 *e = e1000(dev);

    reg_reset(dev, &e1000_regs);
    e->nvm_in = e->nvm_out = 0;
    e->nvm_bits = 0;
    e->nvm_writable = false;
    e->ioaddr = 0;
    e1000_phy_reset(e);
    reset_common(e);
}

/* ---- pause and resume: main thread, which is the loop's ---- */

static void e1000_pause(Device *dev)
{
    E1000 *e = e1000(dev);

    lock_acquire(dev->lock);
    e->running = false;
    lock_release(dev->lock);
}

static void e1000_resume(Device *dev)
{
    E1000 *e = e1000(dev);

    lock_acquire(dev->lock);
    e->running = true;
    e1000_ring_doorbell(e);
    lock_release(dev->lock);
}

/* ---- realize ---- */

static uint64_t flash_read(void *opaque, uint64_t offset, unsigned size)
{
    return UINT64_MAX;
}

static void flash_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const MemoryOps flash_ops = { .read = flash_read, .write = flash_write };

/* Whether MSI or MSI-X is on decides where interrupts go; COMMAND, whether rings can be read. */
static void config_wrote(PciDevice *pci, unsigned offset, unsigned size)
{
    E1000 *e = (E1000 *)pci;

    e1000_update_irq(e);
    e1000_ring_doorbell(e);
}

static void add_registers(E1000 *e, unsigned io_bar, uint64_t io_bytes)
{
    device_init_regs(&e->pci.dev, &e->mmio, "e1000-mmio", &e1000_regs, MMIO_BYTES);
    pci_set_bar(&e->pci, 0, PCI_BAR_MEM32, &e->mmio);
    device_init_io(&e->pci.dev, &e->io, "e1000-io", &e1000_io_ops, io_bytes);
    pci_set_bar(&e->pci, io_bar, PCI_BAR_IO, &e->io);
}

static bool set_up_82540em(E1000 *e, GError **error)
{
    pci_set_info(&e->pci, &e->model->info);
    add_registers(e, 1, 64);
    pci_add_pm(&e->pci);
    pci_set_intx_pin(&e->pci, 1);
    return true;
}

static bool set_up_82574l(E1000 *e, GError **error)
{
    PciInfo info = e->model->info;

    info.subsystem_vendor = e->subsys_ven;
    info.subsystem = e->subsys;
    pci_set_info(&e->pci, &info);
    add_registers(e, 2, 32);
    device_init_io(&e->pci.dev, &e->flash, "e1000-flash", &flash_ops, FLASH_BYTES);
    pci_set_bar(&e->pci, FLASH_BAR, PCI_BAR_MEM32, &e->flash);
    memory_region_init(&e->msix, "e1000-msix", MSIX_BYTES);
    g_ptr_array_add(e->pci.dev.regions, &e->msix);
    pci_set_bar(&e->pci, MSIX_BAR, PCI_BAR_MEM32, &e->msix);
    pci_add_pm(&e->pci);
    pci_add_express(&e->pci, PCI_EXP_TYPE_ENDPOINT);
    pci_set_intx_pin(&e->pci, 1);
    return pci_add_msi(&e->pci, 1, true, false, error) &&
           pci_add_msix(&e->pci, E1000_VECTORS, MSIX_BAR, &e->msix, 0, MSIX_PBA_AT, error);
}

static void release(E1000 *e)
{
    net_nic_unrealize(&e->nic);
    if (e->event) {
        loop_remove_event(g_steal_pointer(&e->event));
    }
    if (e->doorbell >= 0) {
        close(e->doorbell);
        e->doorbell = -1;
    }
    timer_free(g_steal_pointer(&e->timer));
    g_clear_pointer(&e->tx_frame, g_free);
    g_clear_pointer(&e->rx_frame, g_free);
}

static bool make_doorbell(E1000 *e, GError **error)
{
    e->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->doorbell < 0) {
        return error_set(error, "cannot make an eventfd: %s", g_strerror(errno));
    }
    e->event = loop_add_event(e->pci.dev.loop, e->doorbell, work, NULL, e);
    return true;
}

static void name_nic(E1000 *e)
{
    const Device *dev = &e->pci.dev;

    e->nic.ops = &nic_ops;
    e->nic.model = dev->class->name;
    e->nic.id = dev->id;
    e->nic.path = dev->path;
}

static bool realize(E1000 *e, const E1000Model *model, bool (*set_up)(E1000 *e, GError **error), GError **error)
{
    Device *dev = &e->pci.dev;

    e->model = model;
    e->running = true;
    e->pci.config_wrote = config_wrote;
    e->timer = device_timer_new(dev, domain_clock(dev->domain), e1000_time_has_come);
    e->tx_frame = g_malloc(E1000_VLAN_BYTES + NET_FRAME_MAX);
    e->rx_frame = g_malloc(NET_FRAME_MAX);
    for (unsigned i = 0; i < DUES; i++) {
        e->due[i] = INT64_MAX;
    }
    name_nic(e);
    if (!make_doorbell(e, error) || !set_up(e, error) ||
        !net_nic_realize(&e->nic, dev->domain, &dev->loop, 1, error)) {
        release(e);
        return false;
    }
    e1000_nvm_init(e);
    return true;
}

static bool realize_82540em(Device *dev, GError **error)
{
    return realize(e1000(dev), &e1000_82540em, set_up_82540em, error);
}

static bool realize_82574l(Device *dev, GError **error)
{
    return realize(e1000(dev), &e1000_82574l, set_up_82574l, error);
}

static void e1000_unrealize(Device *dev)
{
    release(e1000(dev));
}

/* ---- properties ---- */

#define COMMON_PROPS \
    PROP_LINK("netdev", E1000, nic.backend, &netdev_link, .help = "Backend; without it no cable is plugged in"), \
    PROP_CODED("mac", E1000, nic.mac, &net_mac_codec, .def.s = "00:00:00:00:00:00", \
               .help = "Address; without it 52:54:00:12:34:56 and on"), \
    PROP_INT("bootindex", E1000, bootindex, -1, \
             .help = "Place in firmware's boot order, -1: none; no effect with -kernel, which boots without firmware")

static const Property e1000_props[] = { COMMON_PROPS, PROP_END };

static const Property e1000e_props[] = {
    COMMON_PROPS,
    PROP_UINT("subsys_ven", E1000, subsys_ven, 0x8086, .help = "PCI subsystem vendor"),
    PROP_UINT("subsys", E1000, subsys, 0, .help = "PCI subsystem"),
    PROP_END
};

static const char *const e1000_aliases[] = { "e1000-82540em", NULL };

#define COMMON_CLASS(PROPS) \
    .category = "Network", .base = &pci_device_class, .size = sizeof(E1000), .bus = &pci_bus_class, .props = PROPS, \
    .state = &e1000_state, .hotpluggable = true, .unrealize = e1000_unrealize, .reset = e1000_reset, \
    .pause = e1000_pause, .resume = e1000_resume

const DeviceClass e1000_class = {
    .name = "e1000",
    .desc = "Intel 82540EM gigabit Ethernet on PCI",
    .aliases = e1000_aliases,
    COMMON_CLASS(e1000_props),
    .realize = realize_82540em,
};

const DeviceClass e1000e_class = {
    .name = "e1000e",
    .desc = "Intel 82574L gigabit Ethernet on PCI Express",
    COMMON_CLASS(e1000e_props),
    .realize = realize_82574l,
};
