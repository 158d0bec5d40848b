/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files of the PCI transport share. */
#pragma once

#include "hw/virtio/virtio-pci.h"

extern const MemoryOps virtio_pci_common_ops; /* opaque: VirtioPci */
/* The vector, or VIRTQUEUE_NO_VECTOR where the device has no such one. */
uint16_t virtio_pci_usable_vector(const VirtioPci *p, uint16_t vector);

/* Any thread, after the ISR bits have changed. */
void virtio_pci_update_intx(VirtioPci *p);
