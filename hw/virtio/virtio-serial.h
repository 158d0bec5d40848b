/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-serial, between the device (virtio-serial.c: bus, control queues) and its
 * ports (virtio-console.c: a byte stream to a chardev).  Everything happens on the
 * main loop.
 */
#pragma once

#include <linux/virtio_console.h>

#include "hw/virtio/virtio.h"
#include "vmm/chardev.h"
#include "vmm/event.h"

typedef struct VirtioSerial VirtioSerial;

#define VIRTIO_SERIAL_NR_AUTO UINT32_MAX

typedef struct VirtioSerialPort {
    Device dev;
    /* Configuration */
    Chardev *chr; /* NULL: output goes nowhere */
    char *name;   /* NULL: none */
    uint32_t nr;
    /* Set by the bus */
    VirtioSerial *serial;
    Virtqueue *in, *out; /* towards the guest; from it */
    /* Guest state */
    bool guest_open;
    uint32_t sent;       /* bytes of `output` that the chardev took */
    GByteArray *saved;   /* the chains below, in saved state only */
    /* Derived */
    bool host_open;      /* the chardev has a peer */
    VirtqueueChain *input, *output; /* held: waits for bytes; for room */
} VirtioSerialPort;

typedef struct VirtioSerialPortClass {
    DeviceClass device;
    bool console;
} VirtioSerialPortClass;

typedef struct VirtioSerialBus {
    Bus bus;
    VirtioSerial *serial;
} VirtioSerialBus;

extern const BusClass virtio_serial_bus_class;
extern const EventType event_vserport_change;

/* A control message to the driver, about the port; text may be NULL. */
void virtio_serial_tell(VirtioSerialPort *port, uint16_t event, uint16_t value, const char *text);
bool virtio_serial_has_multiport(const VirtioSerial *serial);

/* ---- of the port, called by the device ---- */
bool virtio_serial_port_is_console(const VirtioSerialPort *port);
void virtio_serial_port_set_open(VirtioSerialPort *port, bool open); /* the driver opened it */
void virtio_serial_port_output(VirtioSerialPort *port); /* chains may be there */
void virtio_serial_port_input(VirtioSerialPort *port);  /* buffers may be there */
void virtio_serial_port_drop(VirtioSerialPort *port, Virtqueue *vq);
bool virtio_serial_port_start(VirtioSerialPort *port, GError **error);
