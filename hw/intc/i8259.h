/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "isa-i8259": the pair of interrupt controllers of a PC.
 */
#pragma once

#include "vmm/device.h"

extern const DeviceClass i8259_class;

/* Inputs 0 to 15 (IrqSink); input 2 is where the second one sits.  The chip connects itself to the
 * GSIs; this is for what has a wire of its own. */
void i8259_set_input(void *opaque, unsigned n, bool level);
/* The INTA cycles: the vector of the interrupt now taken.  Any thread. */
int i8259_acknowledge(void *opaque);
