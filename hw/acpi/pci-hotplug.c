/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI hot plug by ACPI (ACPI 6.4: 5.6.6 notifications 1 and 3, 6.3.3 _EJ0): what happened at a root port is kept until
 * a method of ours asks, and then told to the operating system.
 *
 *   card comes, or is to go --> events[port], GPE 1 --> _E01: Notify(slot, device check or eject request)
 *                                                        _EJ0: register EJECT --> the port lets the card go
 *
 * The registers are known to that method only:
 *   0 SELECT  device and function number of a port on the root bus
 *   4 EVENT   bit 0: its card came, bit 1: its card is to go; reading clears both
 *   8 EJECT   writing a port's number: its card goes
 *
 * Not modelled: cards on the root bus itself, which stay; bridges behind ports.
 *
 * Locking: the lock of the LPC bridge.
 */
#include "hw/acpi/pci-hotplug.h"

#include <string.h>

#include "hw/acpi/aml.h"
#include "vmm/error.h"

enum { SELECT = 0, EVENT = 4, EJECT = 8 };
enum { CAME = 1 << 0, GOES = 1 << 1 };
#define NOTIFY_DEVICE_CHECK  1
#define NOTIFY_EJECT_REQUEST 3

/* ---- registers ---- */

static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    AcpiPciHotplug *h = opaque;
    uint8_t events;

    if (offset == SELECT) {
        return h->selected;
    }
    if (offset != EVENT) {
        return 0;
    }
    events = h->events[h->selected];
    h->events[h->selected] = 0;
    return events;
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPciHotplug *h = opaque;
    PciDevice *port;

    if (offset == SELECT) {
        h->selected = (uint8_t)value;
    } else if (offset == EJECT) {
        port = pci_find_function(h->root, h->root->number, (uint8_t)value);
        if (port && pci_is_bridge(port)) {
            pci_bridge_ejected(port);
        }
    }
}

static const MemoryOps hotplug_ops = { .read = hotplug_read, .write = hotplug_write, .min = 4, .max = 4 };

void acpi_pci_hotplug_init(AcpiPciHotplug *h, Device *dev, PciBus *root, uint16_t base)
{
    h->root = root;
    h->base = base;
    memory_region_init_io(&h->region, "acpi-pci-hotplug", ACPI_PCI_HOTPLUG_SIZE, &hotplug_ops, h, dev->lock);
    g_ptr_array_add(dev->regions, &h->region);
    memory_add(root->ports, base, &h->region, 0);
}

void acpi_pci_hotplug_reset(AcpiPciHotplug *h)
{
    memset(h->events, 0, sizeof(h->events));
    h->selected = 0;
}

void acpi_pci_hotplug_event(AcpiPciHotplug *h, const PciDevice *port, bool came)
{
    h->events[port->devfn] |= came ? CAME : GOES;
}

static bool hotplug_check(const void *opaque, GError **error)
{
    const AcpiPciHotplug *h = opaque;

    return h->selected < PCI_DEVFN_COUNT || error_set(error, "port %u does not exist", h->selected);
}

const StateDesc acpi_pci_hotplug_state = {
    .name = "acpi-pci-hotplug",
    .version = 1,
    .check = hotplug_check,
    .fields = (const StateField[]) {
        STATE_BYTES(AcpiPciHotplug, events),
        STATE_U32(AcpiPciHotplug, selected),
        STATE_END
    },
};

/* ---- AML ---- */

typedef void (*PortFn)(Aml *aml, unsigned devfn);

/* Every port with a slot: where a card is, there may be another one. */
static void each_port(const AcpiPciHotplug *h, Aml *aml, PortFn fn)
{
    for (unsigned devfn = 0; devfn < PCI_DEVFN_COUNT; devfn++) {
        PciDevice *port = pci_find_function(h->root, h->root->number, (uint8_t)devfn);

        if (port && pci_is_bridge(port) && pci_bridge_ejectable(port)) {
            fn(aml, devfn);
        }
    }
}

static void write_port(Aml *aml, unsigned devfn)
{
    g_autofree char *name = g_strdup_printf("P%02X", devfn);

    aml_begin_device(aml, name);
    aml_name_int(aml, "_ADR", (uint64_t)PCI_SLOT(devfn) << 16 | PCI_FUNC(devfn));
    aml_begin_device(aml, "S00");
    aml_name_int(aml, "_ADR", 0);
    aml_name_int(aml, "_SUN", devfn);
    aml_begin_method(aml, "_EJ0", 1, false);
    aml_op(aml, AML_STORE);
    aml_int(aml, devfn);
    aml_path(aml, "\\_SB.PCI0.LPC.HPEJ");
    aml_end(aml);
    aml_end(aml);
    aml_end(aml);
}

static void write_notification(Aml *aml, unsigned devfn, unsigned event, unsigned notification)
{
    g_autofree char *slot = g_strdup_printf("\\_SB.PCI0.P%02X.S00", devfn);

    aml_begin_if(aml);
    aml_op(aml, AML_AND);
    aml_local(aml, 0);
    aml_int(aml, event);
    aml_nothing(aml);
    aml_op(aml, AML_NOTIFY);
    aml_path(aml, slot);
    aml_int(aml, notification);
    aml_end(aml);
}

static void write_check(Aml *aml, unsigned devfn)
{
    aml_op(aml, AML_STORE);
    aml_int(aml, devfn);
    aml_path(aml, "\\_SB.PCI0.LPC.HPSL");
    aml_op(aml, AML_STORE);
    aml_path(aml, "\\_SB.PCI0.LPC.HPEV");
    aml_local(aml, 0);
    write_notification(aml, devfn, CAME, NOTIFY_DEVICE_CHECK);
    write_notification(aml, devfn, GOES, NOTIFY_EJECT_REQUEST);
}

void acpi_pci_hotplug_aml(const AcpiPciHotplug *h, Aml *aml)
{
    aml_operation_region(aml, "HPRG", AML_SYSTEM_IO, h->base, ACPI_PCI_HOTPLUG_SIZE);
    aml_begin_field(aml, "HPRG", AML_DWORD_ACCESS, false);
    aml_field(aml, "HPSL", 32);
    aml_field(aml, "HPEV", 32);
    aml_field(aml, "HPEJ", 32);
    aml_end(aml);
    aml_begin_scope(aml, "\\_SB.PCI0");
    each_port(h, aml, write_port);
    aml_end(aml);
    aml_begin_scope(aml, "\\_GPE");
    aml_begin_method(aml, "_E01", 0, true);
    each_port(h, aml, write_check);
    aml_end(aml);
    aml_end(aml);
}
