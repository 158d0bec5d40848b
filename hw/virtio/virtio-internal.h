/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the two halves of the virtio core: the registers of a device
 * (virtio.c) and the life of its queues (virtio-queues.c).  Nobody else includes
 * this.
 */
#pragma once

#include "hw/virtio/virtio.h"

/* Tells the class what the driver has accepted; lock held. */
void virtio_accept_features(Virtio *v);

/* Starts to stop those that run: virtio_settle() is called when they are done.  Lock held. */
void virtio_stop_queues(Virtio *v);
/* Forgets what is in them.  Paused, so that the main thread may touch them. */
void virtio_drop_queues(Virtio *v);
/* The class hooks; main thread. */
void virtio_pause(Device *dev);
void virtio_resume(Device *dev);
