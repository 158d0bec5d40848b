/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Double faults, and triple faults, which end the machine and so the line: a runner goes on behind it.  SDM 3-6.15,
 * "Interrupt 8"; table 6-5 says which pairs of exceptions make one.
 */
#include "../probe.h"

    .irp mode, PROT32, PAE32
    .irp ring, 0, 3
    /* A contributory exception while another is delivered: absent gates raise #NP, an absent page #PF. */
    PROBE "double-de-np", \mode, \ring
    SET (GATE_32(0) + 5), 1, 0x0e
    SET (GATE_32(11) + 5), 1, 0x8e, 0x0e
    BEGIN
    xor %ecx, %ecx
    div %ecx
    END
    PROBE "double-gp-np", \mode, \ring
    SET (GATE_32(13) + 5), 1, 0x0e
    BEGIN
    mov $0x107, %eax
    mov %eax, %ds
    END
    PROBE "benign-ud-np", \mode, \ring
    SET (GATE_32(6) + 5), 1, 0x0e
    BEGIN
    .byte 0x0f, 0xb9, 0xc0
    END
    PROBE "benign-int-np", \mode, \ring
    SET (GATE_32(0x31) + 5), 1, 0x6e
    BEGIN
    int $0x31
    END
    .endr
    .endr
    .irp ring, 0, 3
    PROBE "double-pf-np", PAE32, \ring
    SET (GATE_32(14) + 5), 1, 0x0e
    BEGIN
    mov 0x700000, %eax
    END
    PROBE "double-pf-np", LONG64, \ring
    SET (GATE_64(14) + 5), 1, 0x0e
    BEGIN
    mov 0x700000, %eax
    END
    PROBE "double-gp-np", LONG64, \ring
    SET (GATE_64(13) + 5), 1, 0x0e
    SET (GATE_64(8) + 4), 1, 0, 1
    BEGIN
    mov $0x107, %eax
    mov %eax, %ds
    END
    PROBE "double-by-task", PROT32, \ring
    SET (GATE_32(13) + 5), 1, 0x0e
    SET GATE_32(8), 8, GATE(TR2, 0, 0x85, 0)
    BEGIN
    mov $0x107, %eax
    mov %eax, %ds
    END
    PROBE "triple", PROT32, \ring
    SET (GATE_32(13) + 5), 1, 0x0e
    SET (GATE_32(8) + 5), 1, 0x0e
    BEGIN
    mov $0x107, %eax
    mov %eax, %ds
    END
    PROBE "triple", LONG64, \ring
    SET ENV_IDTR, 2, 0
    BEGIN
    ud2
    END
    .endr
    PROBE "triple-stack", LONG64, 0
    SET ENV_SP, 8, 0x700000
    BEGIN
    mov 0x700000, %eax
    END
    PROBE "triple-tss", PROT32, 3
    SET GDT + TR, 2, 8
    BEGIN
    int $0x31
    END
    PROBE "triple", REAL, 0
    SET ENV_IDTR, 2, 0
    BEGIN
    int $0x30
    END
    PROBE "double", REAL, 0
    SET ENV_IDTR, 2, 0x23
    BEGIN
    int $0x30
    END
    PROBE "smap-implicit", LONG64, 3, NEED_SMAP
    SET ENV_CR4 + 2, 1, 0x20
    SET PTE_PAE(8), 1, 0x67             /* the tables and stacks of ring 0 are the user's now */
    BEGIN
    mov %ds, %eax
    END
