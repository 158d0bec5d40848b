/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with a virtio driver.  Virtio 1.2, 3.1 and 4.1.
 */
#include "virtio-guest.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint32_t config(VirtioGuest *g, unsigned offset, unsigned size)
{
    return rig_config_read(g->rig, GUEST_DEVFN, offset, size);
}

void guest_init(VirtioGuest *g, Rig *rig)
{
    *g = (VirtioGuest) { .rig = rig };
    rig_config_write(rig, GUEST_DEVFN, 0x10 + 4 * 4, (uint32_t)GUEST_BAR, 4);
    rig_config_write(rig, GUEST_DEVFN, 0x10 + 4 * 5, 0, 4);
    rig_config_write(rig, GUEST_DEVFN, 4, 6, 2); /* memory, bus master */
    for (unsigned at = config(g, 0x34, 1); at; at = config(g, at + 1, 1)) {
        uint64_t address = GUEST_BAR + config(g, at + 8, 4);

        if (config(g, at, 1) != 9) {
            continue;
        }
        switch (config(g, at + 3, 1)) {
        case VIRTIO_PCI_CAP_COMMON_CFG:
            g->common = address;
            break;
        case VIRTIO_PCI_CAP_NOTIFY_CFG:
            g->notify = address;
            g->stride = config(g, at + 16, 4);
            break;
        case VIRTIO_PCI_CAP_ISR_CFG:
            g->isr = address;
            break;
        case VIRTIO_PCI_CAP_DEVICE_CFG:
            g->device = address;
            break;
        }
    }
    assert_true(g->common && g->notify && g->isr && g->device);
}

static uint64_t get(VirtioGuest *g, unsigned offset, unsigned size)
{
    return rig_read(g->rig, g->common + offset, size);
}

static void put(VirtioGuest *g, unsigned offset, uint64_t value, unsigned size)
{
    rig_write(g->rig, g->common + offset, value, size);
}

uint64_t guest_offered(VirtioGuest *g)
{
    uint64_t low;

    put(g, VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
    low = get(g, VIRTIO_PCI_COMMON_DF, 4);
    put(g, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
    return low | get(g, VIRTIO_PCI_COMMON_DF, 4) << 32;
}

uint8_t guest_status(VirtioGuest *g)
{
    return (uint8_t)get(g, VIRTIO_PCI_COMMON_STATUS, 1);
}

void guest_write_status(VirtioGuest *g, uint8_t status)
{
    put(g, VIRTIO_PCI_COMMON_STATUS, status, 1);
}

/* Other loops may be at work, too, and wake nobody here. */
void guest_run(VirtioGuest *g)
{
    if (!loop_run_once(domain_loop(g->rig->domain), false)) {
        g_usleep(50);
    }
}

void guest_wait_reset(VirtioGuest *g)
{
    while (guest_status(g)) {
        guest_run(g);
    }
}

void guest_reset(VirtioGuest *g)
{
    guest_write_status(g, 0);
    guest_wait_reset(g);
}

bool guest_negotiate(VirtioGuest *g, uint64_t wanted)
{
    guest_reset(g);
    guest_write_status(g, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    guest_write_status(g, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    g->features = guest_offered(g) & (wanted | UINT64_C(1) << VIRTIO_F_VERSION_1);
    put(g, VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
    put(g, VIRTIO_PCI_COMMON_GF, (uint32_t)g->features, 4);
    put(g, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
    put(g, VIRTIO_PCI_COMMON_GF, g->features >> 32, 4);
    guest_write_status(g, guest_status(g) | VIRTIO_CONFIG_S_FEATURES_OK);
    return guest_status(g) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static void put64(VirtioGuest *g, unsigned offset, uint64_t value)
{
    put(g, offset, (uint32_t)value, 4);
    put(g, offset + 4, value >> 32, 4);
}

void guest_add_queue(VirtioGuest *g, unsigned n, DriverQueue *q, unsigned size)
{
    driver_queue_init(q, rig_ram(g->rig, 0), GUEST_QUEUES_AT + 0x4000 * n, size,
                      g->features & (UINT64_C(1) << VIRTIO_F_RING_PACKED), g->features & (1 << 29));
    put(g, VIRTIO_PCI_COMMON_Q_SELECT, n, 2);
    assert_true(get(g, VIRTIO_PCI_COMMON_Q_SIZE, 2) >= size);
    put(g, VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
    put64(g, VIRTIO_PCI_COMMON_Q_DESCLO, q->desc);
    put64(g, VIRTIO_PCI_COMMON_Q_AVAILLO, q->avail);
    put64(g, VIRTIO_PCI_COMMON_Q_USEDLO, q->used);
    put(g, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

void guest_driver_ok(VirtioGuest *g)
{
    guest_write_status(g, guest_status(g) | VIRTIO_CONFIG_S_DRIVER_OK);
}

void guest_kick(VirtioGuest *g, unsigned n)
{
    rig_write(g->rig, g->notify + (uint64_t)n * g->stride, n, 2);
}

void guest_wait(VirtioGuest *g, DriverQueue *q, uint16_t *ret_id, uint32_t *ret_length)
{
    while (!driver_take_used(q, ret_id, ret_length)) {
        guest_run(g);
    }
}

static void pause_device(Rig *r)
{
    device_pause(r->dev->backend);
    device_pause(r->dev);
}

void guest_move(VirtioGuest *g, DriverQueue *q, const char *device, void (*with)(Domain *domain))
{
    g_autoptr(GByteArray) saved = NULL;
    g_autofree uint8_t *memory = NULL;
    g_autofree char *failure = NULL;

    pause_device(g->rig);
    saved = rig_save(g->rig);
    memory = g_memdup2(rig_ram(g->rig, 0), RIG_RAM);
    rig_free(g->rig);
    g->rig = rig_new_with(device, with);
    pause_device(g->rig);
    memcpy(rig_ram(g->rig, 0), memory, RIG_RAM);
    q->ram = rig_ram(g->rig, 0);
    failure = rig_load(g->rig, saved);
    if (failure) {
        fail_msg("%s", failure);
    }
    device_resume(g->rig->dev->backend);
    device_resume(g->rig->dev);
    rig_settle(g->rig);
}
