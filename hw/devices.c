/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every device class, every machine, and the classes of objects above the core, one line each: "where is it?" starts
 * here.
 */
#include "hw/devices.h"

#include "hw/virtio/virtio-serial.h"
#include "net/egress.h"
#include "net/filter.h"
#include "vmm/machine.h"

#define DEVICES(X) \
    X(acpi_ged_class) \
    X(e1000_class) \
    X(e1000e_class) \
    X(hpet_class) \
    X(i6300esb_class) \
    X(i8042_class) \
    X(i8254_class) \
    X(i8259_class) \
    X(ich9_lpc_class) \
    X(ioapic_class) \
    X(isa_debug_exit_class) \
    X(isa_debugcon_class) \
    X(isa_serial_class) \
    X(mc146818_class) \
    X(pc_testdev_class) \
    X(pci_bridge_plain_class) \
    X(pcie_pci_bridge_class) \
    X(pcie_root_port_class) \
    X(pvpanic_class) \
    X(q35_host_class) \
    X(q35_mch_class) \
    X(virtio_balloon_pci_class) \
    X(virtio_blk_pci_class) \
    X(virtio_mmio_class) \
    X(virtio_net_pci_class) \
    X(virtio_rng_pci_class) \
    X(virtio_serial_pci_class)

#define VIRTIO_DEVICES(X) \
    X(virtio_balloon_class) \
    X(virtio_blk_class) \
    X(virtio_net_class) \
    X(virtio_rng_class) \
    X(virtio_serial_class)

#define SERIAL_PORTS(X) \
    X(virtconsole_class) \
    X(virtserialport_class)

#define MACHINES(X) \
    X(microvm_machine_class) \
    X(none_machine_class) \
    X(q35_machine_class)

#define DECLARE_DEVICE(CLASS) extern const DeviceClass CLASS;
#define DECLARE_VIRTIO(CLASS) extern const VirtioClass CLASS;
#define DECLARE_PORT(CLASS) extern const VirtioSerialPortClass CLASS;
#define DECLARE_MACHINE(CLASS) extern const MachineClass CLASS;
#define ADDRESS(CLASS) &CLASS,
#define DEVICE_ADDRESS(CLASS) &CLASS.device,

DEVICES(DECLARE_DEVICE)
VIRTIO_DEVICES(DECLARE_VIRTIO)
SERIAL_PORTS(DECLARE_PORT)
MACHINES(DECLARE_MACHINE)

static const DeviceClass *const device_classes[] = { DEVICES(ADDRESS) VIRTIO_DEVICES(DEVICE_ADDRESS)
                                                   SERIAL_PORTS(DEVICE_ADDRESS) NULL };
static const MachineClass *const machine_classes[] = { MACHINES(ADDRESS) NULL };

static const ObjectClass *const objects[] = {&egress_policy_class, &filter_dump_class.object, &filter_rate_class.object,
                                             NULL};

void devices_register(void)
{
    object_classes_add(objects);
    device_classes_set(device_classes);
    machine_classes_set(machine_classes);
}
