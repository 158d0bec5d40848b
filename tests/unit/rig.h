/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rig: a domain with RAM, an ISA bus, a PCI Express root bus, fake interrupts and
 * a clock that only tests move, around one device under test, which is reset.
 *
 *     Rig *r = rig_new("isa-serial,index=0");
 *     rig_out8(r, 0x3f8 + UART_IER, IER_RDA);
 *     assert_true(rig_irq(r, 4));
 *
 * Failures of the rig itself fail the test.  One rig at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "hw/pci/pci.h"
#include "tests/unit/fake-accel.h"
#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/machine.h"

#define RIG_RAM (UINT64_C(16) << 20) /* from address 0 */

typedef struct Rig {
    Domain *domain;
    Machine *machine;
    Device *dev;       /* under test; NULL: only the board */
    char *options;
    bool irq[IRQ_GSIS];
    uint32_t edges[IRQ_GSIS]; /* how often each was raised */
} Rig;

/* options: as after -device, "driver,property=value"; classes that are part of a board too. NULL: none. */
Rig *rig_new(const char *options);
/* Also calls setup() before the device is made: character devices, block nodes. */
Rig *rig_new_with(const char *options, void (*setup)(Domain *domain));
/* The same; other processes can map guest RAM. */
Rig *rig_new_shared(const char *options, void (*setup)(Domain *domain));
/* A board with several vCPUs and no device under test. */
Rig *rig_new_cpus(const char *smp);
void rig_free(Rig *r);
/* Makes the device; on failure the error's text, freed by the caller, else NULL.  For rigs made without one. */
char *rig_try_add(Rig *r, const char *options);

/* ---- the guest's accesses ---- */
uint8_t rig_in8(Rig *r, uint16_t port);
uint16_t rig_in16(Rig *r, uint16_t port);
uint32_t rig_in32(Rig *r, uint16_t port);
void rig_out8(Rig *r, uint16_t port, uint8_t value);
void rig_out16(Rig *r, uint16_t port, uint16_t value);
void rig_out32(Rig *r, uint16_t port, uint32_t value);
uint64_t rig_read(Rig *r, uint64_t address, unsigned size);
void rig_write(Rig *r, uint64_t address, uint64_t value, unsigned size);
/* The host's view of guest RAM. */
void *rig_ram(Rig *r, uint64_t address);
/* Config space of function devfn on the root bus. */
uint32_t rig_config_read(Rig *r, uint8_t devfn, unsigned offset, unsigned size);
void rig_config_write(Rig *r, uint8_t devfn, unsigned offset, uint32_t value, unsigned size);
PciBus *rig_pci_root(Rig *r);

/* ---- what the device does ---- */
bool rig_irq(const Rig *r, unsigned gsi); /* level of an interrupt input */
/* Moves guest time on and lets timers and posted calls run. */
void rig_advance(Rig *r, int64_t ns);
/* Lets the main loop run until nothing is left to do at once. */
void rig_settle(Rig *r);

/* ---- saved state ---- */
GByteArray *rig_save(Rig *r);
/* The text of the error, freed by the caller; NULL: loaded. */
char *rig_load(Rig *r, const GByteArray *state);
/* Saves, and loads that into a fresh rig of the same options; the old one is freed. */
Rig *rig_save_restore(Rig *r);
