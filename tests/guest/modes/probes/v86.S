/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual-8086 mode and its extensions: IOPL, VIF and VIP, the interrupt redirection bitmap, and protected-mode virtual
 * interrupts.  SDM 3-21.2, 3-21.3 (method numbers are table 21-2's), 3-21.4.
 */
#include "../probe.h"

#define BITMAP (TSS + TSS_IO - 0x20) /* a bit for each vector; set: the monitor's */

    .macro VIRTUAL name, iopl, more:vararg
    .irp vme, 0, 1
    PROBE "\name-vme\vme", V86, 3, (NEED_VME*\vme)
    SET ENV_CR4, 1, \vme
    SET ENV_FLAGS, 4, F_VM + F_1, F_VM + F_1 + F_VIF, F_VM + F_1 + F_VIP, F_VM + F_1 + F_VIF + F_VIP, F_VM + F_1 + F_IF, \
                      F_VM + F_1 + F_IOPL3, F_VM + F_1 + F_IOPL3 + F_VIP, F_VM + F_1 + F_IOPL3 + F_IF + F_VIF
    BEGIN
    \more
    END
    .endr
    .endm

    VIRTUAL "cli", 0, cli
    VIRTUAL "sti", 0, sti
    VIRTUAL "pushf", 0, pushf
    VIRTUAL "pushfl", 0, pushfl

    .macro POPS name, word, value, pop
    .irp vme, 0, 1
    PROBE "\name-vme\vme", V86, 3, (NEED_VME*\vme)
    SET ENV_CR4, 1, \vme
    SET ENV_FLAGS, 4, F_VM + F_1, F_VM + F_1 + F_IOPL3, F_VM + F_1 + F_VIP, F_VM + F_1 + F_VIP + F_VIF + F_IOPL3
    BEGIN
    \word \value
    \pop
    END
    .endr
    .endm
    POPS "popf-clear", pushw, $0x3002, popf
    POPS "popf-if", pushw, $0x0202, popf
    POPS "popf-nt", pushw, $0x40d7, popf
    POPS "popf-tf", pushw, $0x0102, popf
    POPS "popfl-everything", pushl, $0x3d3ad7, popfl

    .macro RETURNS name, flags, ret, push
    .irp vme, 0, 1
    PROBE "\name-vme\vme", V86, 3, (NEED_VME*\vme)
    SET ENV_CR4, 1, \vme
    SET ENV_FLAGS, 4, F_VM + F_1, F_VM + F_1 + F_IOPL3, F_VM + F_1 + F_VIP
    BEGIN
    \push $\flags
    \push $0x10
    \push $HERE(1f) - 0x100
    \ret
    nop
1:  mov %cs, %dx
    END
    .endr
    .endm
    RETURNS "iret", 0x00d7, iretw, pushw
    RETURNS "iret-if", 0x0202, iretw, pushw
    RETURNS "iretl", 0x3d3ad7, iretl, pushl

    /* INT n by way of the bitmap, and by way of the monitor. */
    .irp vme, 0, 1
    .irp vector, 0x20, 0x30, 3
    PROBE "int-\vector-vme\vme", V86, 3, (NEED_VME*\vme)
    SET ENV_CR4, 1, \vme
    SET ENV_FLAGS, 4, F_VM + F_1, F_VM + F_1 + F_IOPL3, F_VM + F_1 + F_VIF + F_IF, F_VM + F_1 + F_IF + F_IOPL3 + F_NT + F_AC
    SET (BITMAP + \vector / 8), 1, 0, 0xff
    SET (\vector * 4), 4, THERE(1f)
    BEGIN
    .byte 0xcd, \vector
    nop
1:  mov %sp, %bp
    mov (%bp), %ax
    mov 4(%bp), %cx
    END
    .endr
    PROBE "int3-vme\vme", V86, 3, (NEED_VME*\vme)
    SET ENV_CR4, 1, \vme
    SET ENV_FLAGS, 4, F_VM + F_1, F_VM + F_1 + F_IOPL3
    SET BITMAP, 1, 0, 0xff
    SET 0xc, 4, THERE(1f)
    BEGIN
    int3
    nop
1:
    END
    PROBE "int-bitmap-beyond-vme\vme", V86, 3, (NEED_VME*\vme)
    SET ENV_CR4, 1, \vme
    SET ENV_FLAGS, 4, F_VM + F_1, F_VM + F_1 + F_IOPL3
    SET TSS + 0x66, 2, 0x1f, 0x88, 0xa0, 0x100
    SET 0xc0, 4, THERE(1f)
    BEGIN
    int $0x30
    nop
1:
    END
    .endr

    PROBE "monitor-needs-ring-0", V86, 3
    SET GATE_32(0x30), 8, GATE(CS32_1 - 1, STUBS_32, 0xee, 0), GATE(CS32C, STUBS_32, 0xee, 0)
    SET ENV_FLAGS, 4, F_VM + F_1 + F_IOPL3
    BEGIN
    int $0x30
    END
    PROBE "gate-of-16-bits", V86, 3
    SET GATE_32(0x30), 8, GATE(CS16_0, STUBS_16 + 8 * 0x30, 0xe6, 0)
    SET ENV_FLAGS, 4, F_VM + F_1 + F_IOPL3
    SET ENV_ES, 2, 0x123
    SET ENV_GS, 2, 0x456
    BEGIN
    int $0x30
    END
    PROBE "segments-on-the-stack", V86, 3
    SET ENV_ES, 2, 0x1111
    SET ENV_DS, 2, 0x2222
    SET ENV_FS, 2, 0x3333
    SET ENV_GS, 2, 0x4444
    SET ENV_SS, 2, 0x80
    SET ENV_SP, 8, 0x9000
    BEGIN
    pushw %ds
    popw %es
    END
    PROBE "iret-to-segments", V86, 3
    SET ENV_CS, 2, 0xa00, 0x9ff, 0x8fe
    SET ENV_IP, 8, 0, 0x10
    SET (CODE - 0x10), 4, 0x0b0f
    BEGIN
    mov %cs, %ax
    END

    /* What is not for virtual-8086 mode. */
    .irp bytes, "0x0f, 0x00, 0xc0", "0x0f, 0x00, 0xc8", "0x0f, 0x00, 0xd8", "0x0f, 0x00, 0xe0", "0x0f, 0x02, 0xc0", \
                "0x0f, 0x03, 0xc0", "0x63, 0xc0", "0x0f, 0x01, 0xe0", "0x0f, 0x01, 0x07", "0x0f, 0x05", "0x0f, 0x07", \
                "0x0f, 0x34", "0x0f, 0x35", "0x0f, 0x01, 0xf8", "0x0f, 0xa2", "0xcc"
    PROBE "not-here \bytes", V86, 3
    BEGIN
    .byte \bytes
    END
    .endr

    /* Protected-mode virtual interrupts. */
    .irp pvi, 0, 2
    .irp which, cli, sti, pushf
    PROBE "pvi\pvi-\which", PROT32, 3, (NEED_VME*\pvi/2)
    SET ENV_CR4, 1, \pvi
    SET ENV_FLAGS, 4, F_1, F_1 + F_VIF, F_1 + F_VIP, F_1 + F_VIF + F_VIP, F_1 + F_IOPL3, F_1 + F_IOPL3 + F_VIP
    BEGIN
    \which
    END
    .endr
    PROBE "pvi\pvi-popf", PROT32, 3, (NEED_VME*\pvi/2)
    SET ENV_CR4, 1, \pvi
    SET ENV_FLAGS, 4, F_1, F_1 + F_VIP
    BEGIN
    push $F_IF + F_1
    popf
    END
    .endr
    .irp which, cli, sti
    PROBE "pvi2-\which", LONG64, 3, NEED_VME
    SET ENV_CR4, 1, CR4_PAE + CR4_PVI
    SET ENV_FLAGS, 4, F_1, F_1 + F_VIF, F_1 + F_VIP
    BEGIN
    \which
    END
    .endr
