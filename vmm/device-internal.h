/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of the device model: device.c (lifecycle), device-props.c
 * (properties), device-add.c (-device), bus.c.
 */
#pragma once

#include "vmm/device.h"

const Property *device_class_property(const DeviceClass *class, const char *name); /* the backend's too */

/* Defaults of the class, then compat rows of the machine, then -global. */
void device_props_init(Device *dev);
void device_props_clear(Device *dev);
/* What must be given was given; resolves links / lets go of them. */
bool device_props_attach(Device *dev, GError **error);
void device_props_detach(Device *dev);

void bus_clear(Bus *bus); /* unplugs and frees its devices, last plugged first */
