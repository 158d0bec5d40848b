/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine of one software CPU and 16 MiB of RAM, for tests: identity-mapped in 64-bit
 * mode, or any state that a test puts together itself.
 */
#pragma once

#include "vmm/x86/soft/soft.h"

#define RIG_RAM   (UINT64_C(16) << 20)
#define RIG_CODE  UINT64_C(0x100000) /* where soft_rig_code() puts bytes */
#define RIG_STACK UINT64_C(0x180000) /* initial stack pointer */
#define RIG_DATA  UINT64_C(0x200000) /* free for the test */
#define RIG_PML4  UINT64_C(0x10000)  /* the tables of soft_rig_enter_64(): PML4, PDPT, PD */
#define RIG_GDT   UINT64_C(0x20000)
#define RIG_DEVICE UINT64_C(0xd0000000) /* 4 KiB that remember accesses; not below RIG_RAM, so unmapped by the tables */

typedef struct SoftRig {
    MemoryRegion root, ram, device, port_root, ports;
    RamBlock *block;
    uint8_t *host; /* of guest-physical 0 */
    AddressSpace *memory, *port_space;
    SoftVm *vm;
    SoftCpu *cpu;
    /* The device, at RIG_DEVICE and at every port. */
    uint64_t device_value, last_offset, last_value;
    unsigned last_size, reads, writes;
    bool last_was_port;
    /* What the hooks were asked. */
    int next_vector;   /* of acknowledge(); -1 */
    unsigned inits, ferrs;
    uint64_t cr8;
    bool began_epochs; /* the first rig of a thread, to be freed last */
} SoftRig;

SoftRig *soft_rig_new(void); /* interprets if the environment has RIG_INTERPRET */
#define RIG_INTERPRET "LODGE_INTERPRET"
SoftRig *soft_rig_new_with(uint64_t code_bytes, bool translate);
void soft_rig_free(SoftRig *rig);
/* 64-bit mode with SSE and AVX on, at RIG_CODE; cpl 0 or 3; a flat GDT; pages 2 MiB, present, writable, user. */
void soft_rig_enter_64(SoftRig *rig, unsigned cpl);
/* Another vCPU of that VM, without hooks, in 64-bit mode at level 0; to be freed before the rig. */
SoftCpu *soft_rig_second_cpu(SoftRig *rig);
/* Of cmocka: a rig in 64-bit mode at level 0 as *state, and its end. */
int soft_rig_setup_64(void **state);
int soft_rig_teardown(void **state);
/* Flat 32-bit protected mode without paging, at RIG_CODE. */
void soft_rig_enter_32(SoftRig *rig);
/* Real mode with CS:IP 0x1000:0 (guest-physical 0x10000) and every other segment 0. */
void soft_rig_enter_16(SoftRig *rig);
void soft_rig_code(SoftRig *rig, const void *bytes, unsigned n); /* at RIG_CODE, or 0x10000 in real mode */
/* Exceptions end soft_run(); runs until one does, or HLT. */
SoftExit soft_rig_run(SoftRig *rig);
