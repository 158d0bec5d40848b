/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest state of the legacy chips, in the form that accel.h's chip_get() and
 * chip_set() exchange: KVM_GET_IRQCHIP and KVM_GET_PIT2 convert to it, the devices
 * hw/intc/i8259.c, hw/intc/ioapic.c and hw/timer/i8254.c are made of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One 8259A (ACCEL_PIC_MASTER, ACCEL_PIC_SLAVE). */
typedef struct I8259State {
    uint8_t irr, imr, isr;
    uint8_t inputs;       /* levels of IR0-7 as last seen (KVM: last_irr) */
    uint8_t highest;      /* input of highest priority: rotation (KVM: priority_add) */
    uint8_t vector_base;  /* ICW2 (KVM: irq_base) */
    uint8_t init_step;    /* 0: initialized; 1-3: waits for ICW2, ICW3, ICW4 (KVM: init_state) */
    uint8_t elcr;         /* set: level triggered */
    bool icw4_needed;     /* ICW1.IC4 (KVM: init4) */
    bool read_isr;        /* OCW3: reads give ISR, else IRR (KVM: read_reg_select) */
    bool poll;            /* the next read is a poll */
    bool special_mask;
    bool auto_eoi, rotate_on_auto_eoi;
    bool special_fully_nested;
} I8259State;

#define IOAPIC_PINS 24

/* 82093AA (ACCEL_IOAPIC). */
typedef struct IoapicState {
    uint64_t base;        /* address of the register window */
    uint32_t select;      /* IOREGSEL */
    uint32_t id;          /* 0..15 */
    uint32_t irr;         /* level pins: asserted; edge pins: seen, not sent (KVM: irr) */
    uint32_t inputs;      /* levels as last seen (KVM does not tell: irr) */
    uint64_t redirection[IOAPIC_PINS];
} IoapicState;

typedef struct I8254Channel {
    uint32_t count;         /* initial count, 1..65536 */
    uint16_t latched_count;
    uint8_t count_latched;  /* 0: no; else the access mode (1 LSB, 2 MSB, 3 both, 4: both, LSB was read) */
    uint8_t status, write_latch;
    bool status_latched;
    /* Where the next byte goes or comes from: 1 LSB, 2 MSB, 3 word LSB next, 4 word MSB next. */
    uint8_t read_state, write_state;
    uint8_t access;         /* RW bits of the control word */
    uint8_t mode;           /* 0..5 */
    bool bcd, gate;
    int64_t loaded_ns;      /* when the count was loaded, on the domain's clock (KVM: CLOCK_MONOTONIC of the host) */
} I8254Channel;

/* ACCEL_PIT, with the bits of port 0x61 that belong to it. */
typedef struct I8254State {
    I8254Channel channel[3];
    bool speaker;           /* port 0x61 bit 1 */
    bool irq_disabled;      /* HPET legacy replacement took IRQ 0 (KVM_PIT_FLAGS_HPET_LEGACY) */
} I8254State;
