/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with a virtio driver for the function at 00:05.0 of a rig: finds the
 * capabilities, negotiates, sets up queues, rings and waits.  For tests of whole
 * devices.
 */
#pragma once

#include "tests/unit/rig.h"
#include "virtio-driver.h"

#define GUEST_DEVFN (5 << 3)
#define GUEST_BAR   UINT64_C(0xe0000000)
#define GUEST_QUEUES_AT 0x100000 /* rings; 16 KiB a queue */

typedef struct VirtioGuest {
    Rig *rig;
    uint64_t common, isr, device, notify;
    uint32_t stride;
    uint64_t features; /* negotiated */
} VirtioGuest;

/* Maps the BAR and finds the windows in it. */
void guest_init(VirtioGuest *g, Rig *rig);
uint64_t guest_offered(VirtioGuest *g);
uint8_t guest_status(VirtioGuest *g);
void guest_write_status(VirtioGuest *g, uint8_t status);
/* Reset, ACKNOWLEDGE, DRIVER, features (what is offered and wanted), FEATURES_OK; false: refused. */
bool guest_negotiate(VirtioGuest *g, uint64_t wanted);
void guest_add_queue(VirtioGuest *g, unsigned n, DriverQueue *q, unsigned size);
void guest_driver_ok(VirtioGuest *g);
void guest_kick(VirtioGuest *g, unsigned n);
void guest_run(VirtioGuest *g); /* a moment of the main loop */
/* Runs the main loop until queue `q` has a used chain. */
void guest_wait(VirtioGuest *g, DriverQueue *q, uint16_t *ret_id, uint32_t *ret_length);
/* Runs the main loop until status reads 0. */
void guest_wait_reset(VirtioGuest *g);
/* Writes 0 and waits. */
void guest_reset(VirtioGuest *g);
/* Pauses the device, moves its state, guest RAM and queue `q` to a fresh rig, and goes on there. */
void guest_move(VirtioGuest *g, DriverQueue *q, const char *device, void (*with)(Domain *domain));
