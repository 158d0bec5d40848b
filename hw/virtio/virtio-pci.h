/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI transport, for the files of devices: each defines the class that users
 * type, "virtio-X-pci", as VIRTIO_PCI_CLASS with its name and its backend.
 */
#pragma once

#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

typedef struct VirtioPci {
    PciDevice pci;
    VirtioTransport transport;
    VirtioBus bus;
    /* Configuration */
    uint32_t vectors; /* VIRTIO_PCI_VECTORS_AUTO: one a queue and one for the configuration */
    int disable_legacy; /* OnOffAuto */
    bool disable_modern, ioeventfd, page_per_vq;
    MemoryRegion bar, common, isr, device, notify;
    uint32_t notify_stride;
    uint8_t access_cap; /* offset of the capability that reaches into the BAR */
    bool mastering_posted; /* atomic: that it has changed */
    /* Guest state */
    uint16_t queue_select;
    uint16_t config_vector; /* atomic */
} VirtioPci;

#define VIRTIO_PCI_VECTORS_AUTO UINT32_MAX

extern const DeviceClass virtio_pci_class; /* abstract */

#define VIRTIO_PCI_CLASS(BACKEND) \
    .base = &virtio_pci_class, .size = sizeof(VirtioPci), .bus = &pci_bus_class, .state = &state_none, \
    .hotpluggable = true, .backend = &(BACKEND).device
