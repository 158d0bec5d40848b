/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over PCI, Virtio 1.2 section 4.1: a modern device only (no legacy or
 * transitional interface), with MSI-X per queue and INTx.
 *
 *   BAR 1  MSI-X table and pending bits
 *   BAR 4  0x0000 common configuration  0x1000 ISR  0x2000 device configuration
 *          0x3000 doorbells, 4 bytes a queue; with page-per-vq at 4 MiB, a page a queue
 *
 * The registers of the common configuration are in virtio-pci-common.c.
 *
 * Locking: the device lock (the framework's) around every hook; notify hooks come
 * from the queues' loops and touch atomics only.
 */
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "hw/virtio/virtio-pci-internal.h"
#include "vmm/error.h"

#define VENDOR_VIRTIO    0x1af4
#define DEVICE_BASE      0x1040 /* 4.1.2: plus the virtio device id */
#define BAR_MSIX         1
#define BAR_VIRTIO       4
#define WINDOW_SIZE      0x1000
#define COMMON_AT        0x0000
#define ISR_AT           0x1000
#define DEVICE_AT        0x2000
#define NOTIFY_AT        0x3000
#define NOTIFY_PAGES_AT  0x400000
#define BAR_SIZE         0x4000
#define BAR_PAGES_SIZE   0x800000
#define NOTIFY_STRIDE    4

static VirtioPci *virtio_pci(Device *dev)
{
    return (VirtioPci *)dev;
}

static VirtioPci *of_transport(VirtioTransport *t)
{
    return virtio_pci(t->dev);
}

/* ---- interrupts ---- */

/* INTx follows the ISR bits.  Two threads may race to set the line; who sets it last saw the newest bits. */
void virtio_pci_update_intx(VirtioPci *p)
{
    Virtio *v = p->transport.virtio;
    bool level;

    do {
        level = __atomic_load_n(&v->isr, __ATOMIC_SEQ_CST) != 0;
        pci_set_intx(&p->pci, level);
    } while (level != (__atomic_load_n(&v->isr, __ATOMIC_SEQ_CST) != 0));
}

static void interrupt(VirtioPci *p, uint16_t vector, uint8_t isr)
{
    if (pci_msix_enabled(&p->pci)) {
        if (vector != VIRTQUEUE_NO_VECTOR) {
            pci_msix_notify(&p->pci, vector);
        }
        return;
    }
    __atomic_fetch_or(&p->transport.virtio->isr, isr, __ATOMIC_SEQ_CST);
    virtio_pci_update_intx(p);
}

static void notify_queue(VirtioTransport *t, Virtqueue *vq)
{
    interrupt(of_transport(t), __atomic_load_n(&virtqueue_setup(vq)->vector, __ATOMIC_RELAXED), VIRTIO_ISR_QUEUE);
}

static void notify_queue_soon(VirtioTransport *t, Virtqueue *vq)
{
    VirtioPci *p = of_transport(t);

    if (pci_msix_enabled(&p->pci)) {
        pci_msix_notify_soon(&p->pci, __atomic_load_n(&virtqueue_setup(vq)->vector, __ATOMIC_RELAXED),
                             virtqueue_loop(vq));
    } else {
        notify_queue(t, vq);
    }
}

static int queue_bell(VirtioTransport *t, Virtqueue *vq)
{
    VirtioPci *p = of_transport(t);
    uint16_t vector = __atomic_load_n(&virtqueue_setup(vq)->vector, __ATOMIC_RELAXED);

    return pci_msix_enabled(&p->pci) && vector != VIRTQUEUE_NO_VECTOR ? pci_msix_irqfd(&p->pci, vector, NULL) : -1;
}

static void notify_config(VirtioTransport *t)
{
    VirtioPci *p = of_transport(t);

    interrupt(p, __atomic_load_n(&p->config_vector, __ATOMIC_RELAXED), VIRTIO_ISR_CONFIG);
}

/* ---- the other windows ---- */

static uint64_t isr_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioPci *p = opaque;
    uint8_t isr;

    if (offset) {
        return 0;
    }
    isr = __atomic_exchange_n(&p->transport.virtio->isr, 0, __ATOMIC_SEQ_CST);
    virtio_pci_update_intx(p);
    return isr;
}

static void isr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    const VirtioPci *p = opaque;
    uint64_t value = 0;

    virtio_config_load(p->transport.virtio, (uint32_t)offset, &value, size);
    return value;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const VirtioPci *p = opaque;

    virtio_config_store(p->transport.virtio, (uint32_t)offset, &value, size);
}

static uint64_t notify_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void notify_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const VirtioPci *p = opaque;
    Virtqueue *vq = virtio_queue(p->transport.virtio, (unsigned)(offset / p->notify_stride));

    if (vq) {
        virtqueue_kick(vq);
    }
}

static const MemoryOps isr_ops = { .read = isr_read, .write = isr_write, .min = 1, .max = 4 };
static const MemoryOps device_ops = {
    .read = device_read, .write = device_write, .min = 1, .max = 8, .unaligned = true
};
static const MemoryOps notify_ops = { .read = notify_read, .write = notify_write, .min = 1, .max = 4 };

/* ---- the capability that reaches into the BAR, 4.1.4.9 ---- */

typedef struct Window { const MemoryOps *ops; uint64_t at, size; } Window;

static bool find_window(const VirtioPci *p, uint64_t offset, Window *ret)
{
    const Window windows[] = {
        { &virtio_pci_common_ops, COMMON_AT, WINDOW_SIZE },
        { &isr_ops, ISR_AT, WINDOW_SIZE },
        { &device_ops, DEVICE_AT, WINDOW_SIZE },
        { &notify_ops, p->page_per_vq ? NOTIFY_PAGES_AT : NOTIFY_AT, p->notify.size },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(windows); i++) {
        if (offset >= windows[i].at && offset - windows[i].at < windows[i].size) {
            *ret = windows[i];
            return true;
        }
    }
    return false;
}

static bool access_window(VirtioPci *p, Window *ret, uint64_t *ret_offset, unsigned *ret_size)
{
    const PciDevice *pci = &p->pci;
    uint32_t offset = pci_config_long(pci, p->access_cap + offsetof(struct virtio_pci_cap, offset));
    uint32_t length = pci_config_long(pci, p->access_cap + offsetof(struct virtio_pci_cap, length));

    if (pci_config_byte(pci, p->access_cap + offsetof(struct virtio_pci_cap, bar)) != BAR_VIRTIO ||
        (length != 1 && length != 2 && length != 4) || offset % length || !find_window(p, offset, ret)) {
        return false;
    }
    *ret_offset = offset - ret->at;
    *ret_size = length;
    return true;
}

static bool touches_access_data(const VirtioPci *p, unsigned offset, unsigned size)
{
    unsigned data = p->access_cap + sizeof(struct virtio_pci_cap);

    return p->access_cap && offset < data + 4 && offset + size > data;
}

static void config_read(PciDevice *pci, unsigned offset, unsigned size)
{
    VirtioPci *p = (VirtioPci *)pci;
    uint64_t at;
    unsigned length;
    Window w;

    if (touches_access_data(p, offset, size) && access_window(p, &w, &at, &length)) {
        pci_config_put(pci, p->access_cap + (unsigned)sizeof(struct virtio_pci_cap),
                       (uint32_t)w.ops->read(p, at, length), length);
    }
}

static void config_wrote(PciDevice *pci, unsigned offset, unsigned size)
{
    VirtioPci *p = (VirtioPci *)pci;
    uint64_t at;
    unsigned length;
    Window w;

    if (touches_access_data(p, offset, size) && access_window(p, &w, &at, &length)) {
        uint32_t value = pci_config_long(pci, p->access_cap + (unsigned)sizeof(struct virtio_pci_cap));

        w.ops->write(p, at, length == 4 ? value : value & ((1u << (8 * length)) - 1), length);
    }
}

/* ---- bus mastering ---- */

static void mastering_has_changed(Device *dev)
{
    VirtioPci *p = virtio_pci(dev);
    Virtio *v = p->transport.virtio;

    (void)__atomic_exchange_n(&p->mastering_posted, false, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; v && i < v->queues; i++) {
        virtio_serve_anew_soon(v->queue[i]);
    }
}

/* Who serves a queue outside does not know of the bit; one that is served here may have work that waits for it. */
static void mastering_changed(PciDevice *pci)
{
    VirtioPci *p = (VirtioPci *)pci;

    if (!__atomic_exchange_n(&p->mastering_posted, true, __ATOMIC_SEQ_CST)) {
        device_post(&pci->dev, mastering_has_changed);
    }
}

/* ---- realize ---- */

static uint8_t add_window_cap(PciDevice *pci, uint8_t type, uint32_t offset, uint32_t length, uint8_t size)
{
    uint8_t at = pci_add_capability(pci, PCI_CAP_ID_VNDR, size);
    uint8_t *cap = pci->config + at;

    cap[offsetof(struct virtio_pci_cap, cap_len)] = size;
    cap[offsetof(struct virtio_pci_cap, cfg_type)] = type;
    cap[offsetof(struct virtio_pci_cap, bar)] = BAR_VIRTIO;
    pci_set32(cap + offsetof(struct virtio_pci_cap, offset), offset);
    pci_set32(cap + offsetof(struct virtio_pci_cap, length), length);
    return at;
}

static void add_capabilities(VirtioPci *p, uint32_t notify_at)
{
    const uint8_t plain = sizeof(struct virtio_pci_cap);
    PciDevice *pci = &p->pci;
    uint8_t at;

    add_window_cap(pci, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_AT, WINDOW_SIZE, plain);
    add_window_cap(pci, VIRTIO_PCI_CAP_ISR_CFG, ISR_AT, WINDOW_SIZE, plain);
    add_window_cap(pci, VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE_AT, WINDOW_SIZE, plain);
    at = add_window_cap(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, notify_at, (uint32_t)p->notify.size,
                        sizeof(struct virtio_pci_notify_cap));
    pci_set32(pci->config + at + plain, p->notify_stride);
    at = add_window_cap(pci, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, sizeof(struct virtio_pci_cfg_cap));
    pci->config[at + offsetof(struct virtio_pci_cap, bar)] = 0;
    memset(pci->wmask + at + offsetof(struct virtio_pci_cap, bar), 0xff, 1);
    memset(pci->wmask + at + offsetof(struct virtio_pci_cap, offset), 0xff, 12); /* offset, length, data */
    p->access_cap = at;
}

static void add_doorbells(VirtioPci *p)
{
    Virtio *v = p->transport.virtio;

    for (unsigned i = 0; i < v->queues && p->ioeventfd; i++) {
        MemoryDoorbell doorbell = {
            .offset = (uint64_t)i * p->notify_stride, .eventfd = virtqueue_doorbell(v->queue[i])
        };

        memory_add_doorbell(&p->notify, &doorbell);
    }
}

static void add_windows(VirtioPci *p)
{
    Device *dev = &p->pci.dev;
    uint32_t notify_at = p->page_per_vq ? NOTIFY_PAGES_AT : NOTIFY_AT;

    p->notify_stride = p->page_per_vq ? WINDOW_SIZE : NOTIFY_STRIDE;
    memory_region_init(&p->bar, "virtio-pci", p->page_per_vq ? BAR_PAGES_SIZE : BAR_SIZE);
    g_ptr_array_add(dev->regions, &p->bar);
    device_init_io(dev, &p->common, "virtio-common", &virtio_pci_common_ops, WINDOW_SIZE);
    device_init_io(dev, &p->isr, "virtio-isr", &isr_ops, WINDOW_SIZE);
    device_init_io(dev, &p->device, "virtio-device", &device_ops, WINDOW_SIZE);
    device_init_io(dev, &p->notify, "virtio-notify", &notify_ops, (uint64_t)p->notify_stride * VIRTIO_QUEUES_MAX);
    memory_begin();
    memory_add(&p->bar, COMMON_AT, &p->common, 0);
    memory_add(&p->bar, ISR_AT, &p->isr, 0);
    memory_add(&p->bar, DEVICE_AT, &p->device, 0);
    memory_add(&p->bar, notify_at, &p->notify, 0);
    add_doorbells(p);
    memory_commit();
    pci_set_bar(&p->pci, BAR_VIRTIO, PCI_BAR_MEM64_PREFETCH, &p->bar);
    add_capabilities(p, notify_at);
}

static void settle(Device *dev)
{
    Virtio *v = virtio_pci(dev)->transport.virtio;

    if (v) {
        virtio_settle(v);
    }
}

static bool check_options(const VirtioPci *p, GError **error)
{
    if (p->disable_legacy == ON_OFF_AUTO_OFF) {
        error_set(error, "disable-legacy=off is not supported: this is a modern device");
        return error_hint(error, "Leave disable-legacy out; every driver since 2015 speaks Virtio 1.0.");
    }
    if (p->disable_modern) {
        return error_set(error, "disable-modern=on is not supported: this is a modern device");
    }
    return true;
}

static bool add_vectors(VirtioPci *p, GError **error)
{
    if (p->vectors == VIRTIO_PCI_VECTORS_AUTO) {
        p->vectors = p->transport.virtio->queues + 1;
    }
    return !p->vectors || pci_add_msix_bar(&p->pci, p->vectors, BAR_MSIX, error);
}

static bool virtio_pci_realize(Device *dev, GError **error)
{
    VirtioPci *p = virtio_pci(dev);
    const VirtioClass *class = (const VirtioClass *)dev->class->backend;
    const PciInfo info = { .vendor = VENDOR_VIRTIO, .device = (uint16_t)(DEVICE_BASE + class->id), .revision = 1,
                           .class_code = class->pci_class };

    if (!check_options(p, error)) {
        return false;
    }
    pci_set_info(&p->pci, &info);
    p->transport = (VirtioTransport) {
        .dev = dev, .dma = &p->pci.dma, .polls_reset = true, .notify_queue = notify_queue,
        .notify_queue_soon = notify_queue_soon, .queue_bell = queue_bell, .notify_config = notify_config,
        .settle = settle,
    };
    p->bus.transport = &p->transport;
    bus_init(&p->bus.bus, &virtio_bus_class, dev->domain, dev, "virtio-bus");
    if (!device_realize(dev->backend, &p->bus.bus, error) || !add_vectors(p, error)) {
        bus_finish(&p->bus.bus);
        return false;
    }
    pci_set_intx_pin(&p->pci, 1);
    add_windows(p);
    pci_add_pm(&p->pci);
    pci_add_express(&p->pci, PCI_EXP_TYPE_ENDPOINT);
    p->pci.config_read = config_read;
    p->pci.config_wrote = config_wrote;
    p->mastering_posted = false;
    p->pci.mastering_changed = mastering_changed;
    return true;
}

static void virtio_pci_unrealize(Device *dev)
{
    bus_finish(&virtio_pci(dev)->bus.bus);
}

static void virtio_pci_reset(Device *dev)
{
    VirtioPci *p = virtio_pci(dev);

    p->queue_select = 0;
    p->config_vector = VIRTQUEUE_NO_VECTOR;
    virtio_pci_update_intx(p);
}

static bool virtio_pci_loaded(void *opaque, GError **error)
{
    VirtioPci *p = opaque;

    p->config_vector = virtio_pci_usable_vector(p, p->config_vector);
    return true;
}

static const StateDesc virtio_pci_state = {
    .name = "virtio-pci",
    .version = 1,
    .loaded = virtio_pci_loaded,
    .fields = (const StateField[]) {
        STATE_U16(VirtioPci, queue_select),
        STATE_U16(VirtioPci, config_vector),
        STATE_END
    },
};

static const Property virtio_pci_props[] = {
    PROP_UINT("vectors", VirtioPci, vectors, VIRTIO_PCI_VECTORS_AUTO,
              .help = "MSI-X vectors; 0: interrupt by pin; without it one a queue and one more"),
    PROP_BOOL("ioeventfd", VirtioPci, ioeventfd, true, .help = "Let the accelerator ring doorbells without an exit"),
    PROP_BOOL("page-per-vq", VirtioPci, page_per_vq, false, .help = "Give each doorbell a page of its own"),
    PROP_ENUM("disable-legacy", VirtioPci, disable_legacy, &field_on_off_auto, ON_OFF_AUTO_AUTO,
              .help = "on or auto: there is no legacy interface"),
    PROP_BOOL("disable-modern", VirtioPci, disable_modern, false, .help = "off: there is only the modern interface"),
    PROP_END
};

const DeviceClass virtio_pci_class = {
    .name = "virtio-pci",
    .desc = "Virtio over PCI",
    .base = &pci_device_class,
    .size = sizeof(VirtioPci),
    .bus = &pci_bus_class,
    .props = virtio_pci_props,
    .state = &virtio_pci_state,
    .abstract = true,
    .realize = virtio_pci_realize,
    .unrealize = virtio_pci_unrealize,
    .reset = virtio_pci_reset,
};
