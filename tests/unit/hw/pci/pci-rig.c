/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/hw/pci/pci-rig.h"

#include <string.h>

#include "hw/isa/ich9-lpc.h"
#include "hw/pci/q35-host.h"
#include "vmm/epoch.h"
#include "vmm/error.h"

/* ---- an accelerator that counts ---- */
typedef struct FakeAccel {
    Accel accel;
    IrqFabric fabric;
    PciRig *rig;
} FakeAccel;

typedef struct FakeRoute {
    MsiRoute route;
    MsiMessage message, staged;
    bool masked, staged_masked, pending;
    struct FakeRoute *next;
} FakeRoute;

static FakeRoute *routes;

static PciRig *rig_of(IrqFabric *fabric)
{
    return ((FakeAccel *)((char *)fabric - offsetof(FakeAccel, fabric)))->rig;
}

static void fake_send(IrqFabric *fabric, MsiMessage message)
{
    PciRig *r = rig_of(fabric);

    if (r->messages < RIG_MESSAGES) {
        r->message[r->messages++] = message;
    }
}

static MsiRoute *fake_route_new(IrqFabric *fabric, GError **error)
{
    FakeRoute *route = g_new0(FakeRoute, 1);

    route->masked = route->staged_masked = true;
    route->next = routes;
    routes = route;
    return &route->route;
}

static void fake_route_free(MsiRoute *base)
{
    for (FakeRoute **r = &routes; *r; r = &(*r)->next) {
        if (*r == (FakeRoute *)base) {
            *r = (*r)->next;
            break;
        }
    }
    g_free(base);
}

static void fake_route_set(MsiRoute *base, MsiMessage message, bool masked)
{
    FakeRoute *route = (FakeRoute *)base;

    route->staged = message;
    route->staged_masked = masked;
}

static void fake_commit(IrqFabric *fabric)
{
    for (FakeRoute *r = routes; r; r = r->next) {
        r->message = r->staged;
        r->masked = r->staged_masked;
    }
}

static void fake_notify(MsiRoute *base)
{
    FakeRoute *route = (FakeRoute *)base;

    if (route->masked) {
        route->pending = true;
    } else {
        fake_send(base->fabric, route->message);
    }
}

static bool fake_take_pending(MsiRoute *base)
{
    FakeRoute *route = (FakeRoute *)base;
    bool pending = route->pending;

    route->pending = false;
    return pending;
}

static int fake_route_fd(MsiRoute *route, GError **error)
{
    error_set(error, "no descriptors here");
    return -1;
}

static void fake_gsi_set(IrqFabric *fabric, unsigned gsi, bool level)
{
    rig_of(fabric)->gsi[gsi] = level;
}

static const IrqFabricOps fake_ops = {
    .send = fake_send,
    .route_new = fake_route_new,
    .route_free = fake_route_free,
    .route_set = fake_route_set,
    .routes_commit = fake_commit,
    .route_notify = fake_notify,
    .route_take_pending = fake_take_pending,
    .route_fd = fake_route_fd,
    .gsi_set = fake_gsi_set,
};

static IrqFabric *fake_fabric(Accel *accel)
{
    return &((FakeAccel *)accel)->fabric;
}

static void fake_close(Accel *accel)
{
    irq_fabric_finish(fake_fabric(accel));
    g_free(accel);
}

static const AccelClass fake_class = { .name = "fake", .fabric = fake_fabric, .close = fake_close };

/* ---- a function to try things on ---- */
typedef struct PciTest {
    PciDevice pci;
    MemoryRegion memory, ports, large;
} PciTest;

static uint64_t memory_read_hook(void *opaque, uint64_t offset, unsigned size)
{
    return 0x5a5a5a5a;
}

static uint64_t ports_read_hook(void *opaque, uint64_t offset, unsigned size)
{
    return 0xa5a5a5a5;
}

static void write_hook(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const MemoryOps memory_hooks = { .read = memory_read_hook, .write = write_hook };
static const MemoryOps ports_hooks = { .read = ports_read_hook, .write = write_hook };

static bool test_realize(Device *dev, GError **error)
{
    static const PciInfo info = { .vendor = 0x1234, .device = 0x5678, .revision = 9, .class_code = 0x00ff };
    PciTest *t = (PciTest *)dev;

    pci_set_info(&t->pci, &info);
    pci_set_intx_pin(&t->pci, 1);
    pci_add_pm(&t->pci);
    pci_add_express(&t->pci, PCI_EXP_TYPE_ENDPOINT);
    device_init_io(dev, &t->memory, "test-memory", &memory_hooks, 0x1000);
    device_init_io(dev, &t->ports, "test-ports", &ports_hooks, 16);
    device_init_io(dev, &t->large, "test-large", &memory_hooks, 0x100000);
    pci_set_bar(&t->pci, 0, PCI_BAR_MEM32, &t->memory);
    pci_set_bar(&t->pci, 1, PCI_BAR_IO, &t->ports);
    pci_set_bar(&t->pci, 2, PCI_BAR_MEM64_PREFETCH, &t->large);
    return pci_add_msi(&t->pci, 4, true, true, error) && pci_add_msix_bar(&t->pci, 4, 4, error);
}

const DeviceClass pci_test_class = {
    .name = "pci-test",
    .desc = "Test function",
    .base = &pci_device_class,
    .bus = &pci_bus_class,
    .size = sizeof(PciTest),
    .hotpluggable = true,
    .state = &state_none,
    .realize = test_realize,
};

/* ---- the rig ---- */
PciDevice *pci_rig_plug(PciRig *r, const DeviceClass *class, const char *bus, const char *id, const char *const *props,
                        GError **error)
{
    Device *dev = device_new(r->domain, class, id);
    bool ok = true;

    for (; ok && props && *props; props += 2) {
        ok = device_set_text(dev, props[0], props[1], error);
    }
    if (!ok || !device_realize(dev, bus_find(r->domain, bus), error)) {
        device_free(dev);
        return NULL;
    }
    return pci_device(dev);
}

PciDevice *pci_rig_add(PciRig *r, const char *bus, const char *addr, GError **error)
{
    const char *props[] = { "addr", addr, NULL };

    return pci_rig_plug(r, &pci_test_class, bus, NULL, addr ? props : NULL, error);
}

int pci_rig_setup(void **state)
{
    static const char *const mch_props[] = { "addr", "00.0", NULL };
    /* Ports do their own hot plug, since there is no machine that could have ACPI. */
    static const char *const lpc_props[] = { "addr", "1f.0", "acpi-pci-hotplug-with-bridge-support", "off", NULL };
    static MemoryRegion low_ram;
    PciRig *r = g_new0(PciRig, 1);
    FakeAccel *accel = g_new0(FakeAccel, 1);

    r->domain = domain_new("rig", NULL);
    accel->accel.class = &fake_class;
    accel->accel.domain = r->domain;
    accel->rig = r;
    irq_fabric_init(&accel->fabric, &fake_ops);
    domain_set_accel(r->domain, &accel->accel);
    memory_region_init(&low_ram, "ram", 0x100000);
    r->host = device_new(r->domain, &q35_host_class, NULL);
    q35_host_set_ram(r->host, &low_ram);
    if (!device_realize(r->host, NULL, NULL)) {
        return 1;
    }
    r->bus = q35_host_bus(r->host);
    *state = r;
    return !pci_rig_plug(r, &q35_mch_class, "pcie.0", NULL, mch_props, NULL) ||
           !pci_rig_plug(r, &ich9_lpc_class, "pcie.0", NULL, lpc_props, NULL);
}

int pci_rig_teardown(void **state)
{
    PciRig *r = *state;

    device_free(r->host);
    epoch_synchronize();
    domain_free(r->domain);
    g_free(r);
    return 0;
}

/* ---- accesses ---- */
static uint8_t bus_of(PciDevice *pci)
{
    return pci_bus_number(pci_bus(pci));
}

static PciBus *root_of(PciDevice *pci)
{
    PciBus *bus = pci_bus(pci);

    while (bus->bridge) {
        bus = pci_bus(bus->bridge);
    }
    return bus;
}

uint32_t pci_rig_config(PciDevice *pci, unsigned offset, unsigned size)
{
    return pci_config_load(root_of(pci), bus_of(pci), pci->devfn, offset, size);
}

void pci_rig_set_config(PciDevice *pci, unsigned offset, uint32_t value, unsigned size)
{
    pci_config_store(root_of(pci), bus_of(pci), pci->devfn, offset, value, size);
}

uint32_t pci_rig_load(PciRig *r, uint64_t address)
{
    uint64_t value = 0;

    memory_load(domain_memory(r->domain), address, 4, &value);
    return (uint32_t)value;
}

void pci_rig_store(PciRig *r, uint64_t address, uint32_t value)
{
    memory_store(domain_memory(r->domain), address, 4, value);
}

uint32_t pci_rig_in(PciRig *r, uint16_t port, unsigned size)
{
    uint64_t value = 0;

    memory_load(domain_ports(r->domain), port, size, &value);
    return (uint32_t)value;
}

void pci_rig_out(PciRig *r, uint16_t port, uint32_t value, unsigned size)
{
    memory_store(domain_ports(r->domain), port, size, value);
}

void pci_rig_run(PciRig *r)
{
    while (loop_run_once(domain_loop(r->domain), false)) {
    }
}
