/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC whose queues another process serves (tests/tools/vhost-user-backend.c), as a driver sees it; at the other end
 * of that process' wire is the test.
 */
#pragma once

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sys/types.h>

#include "net/backend.h"
#include "tests/unit/hw/virtio/virtio-guest.h"

#define DEVICE  "virtio-net-pci,netdev=n,addr=5,mac=52:54:00:00:00:07"
#define RX      0
#define TX      1
#define BUFFERS 0x20000
#define FRAMES  0x40000
#define HEADER  12
#define STATUS  (UINT64_C(1) << VIRTIO_NET_F_STATUS)
#define PACKED  (UINT64_C(1) << VIRTIO_F_RING_PACKED)
#define FRAME   200

typedef struct Guest {
    VirtioGuest g;
    DriverQueue rx, tx;
    unsigned sent;
} Guest;

extern int wire;
extern pid_t backend;              /* 0: there is none */
extern const char *backend_option; /* NULL: none */
extern const char *netdev;         /* what -netdev says */

void start_backend(void);
void kill_backend(void);
void wait_until(Domain *domain, bool (*true_now)(Domain *domain));
bool has_left(Domain *domain);
bool has_link(Domain *domain);
bool has_no_link(Domain *domain);
void with_backend(Domain *domain);
int vhost_user_setup(void **state);
int vhost_user_teardown(void **state);
void start(Guest *t, const char *device, uint64_t features);
void send_frame(Guest *t);
void comes_in(Guest *t);
void goes_both_ways(Guest *t);
