/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power management registers of the ICH9 (Intel I/O Controller Hub 9 data sheet
 * 316972, 13.8; ACPI 6.4, 4.8): a part of the LPC bridge, under its lock.  See
 * hw/acpi/ich9-pm.c for sleeping and waking.
 */
#pragma once

#include "vmm/device.h"
#include "vmm/irq.h"

#define ICH9_PM_SIZE 128 /* ports */

typedef struct Ich9Pm {
    /* Configuration */
    Device *dev; /* whose part it is */
    IrqLine *sci;
    MemoryRegion region;
    Timer *timer;
    bool no_s3, no_s4; /* sleep states that are not there */
    /* Guest state, saved by ich9_pm_state */
    uint16_t pm1_sts, pm1_en, pm1_cnt;
    uint64_t gpe0_sts, gpe0_en;
    int64_t tmr_half; /* half periods of the PM timer that were seen to end */
} Ich9Pm;

/* timer: made by the owner with device_timer_new(); its callback calls ich9_pm_tick(). */
void ich9_pm_init(Ich9Pm *pm, Device *dev, IrqLine *sci, Timer *timer);
void ich9_pm_reset(Ich9Pm *pm);
void ich9_pm_tick(Ich9Pm *pm);
void ich9_pm_power_button(Ich9Pm *pm);
void ich9_pm_rtc_alarm(Ich9Pm *pm);
void ich9_pm_slept(Ich9Pm *pm); /* the domain is suspended now: what came on the way there wakes it */
void ich9_pm_raise_gpe(Ich9Pm *pm, unsigned event); /* a general purpose event, 0 to 63 */
void ich9_pm_set_acpi(Ich9Pm *pm, bool enable); /* SCI_EN, as SMM firmware does on the SMI command */
extern const StateDesc ich9_pm_state;
