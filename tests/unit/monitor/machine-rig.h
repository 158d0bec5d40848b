/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP client of a rig: a domain with a board, two vCPUs and a device on PCI, for tests of queries.
 */
#pragma once

#include "tests/unit/monitor/monitor-rig.h"
#include "tests/unit/rig.h"

typedef struct MachineRig {
    Rig *rig;
    MonitorRig *monitor; /* greeted, capabilities negotiated */
} MachineRig;

int machine_rig_setup(void **state); /* the device is a virtio-rng-pci with id "rng0" */
int machine_rig_teardown(void **state);
void machine_rig_ask(void **state, const char *request, const char *expected); /* as monitor_rig_ask() */
char *machine_rig_answer(void **state, const char *request); /* the reply; the caller's */
