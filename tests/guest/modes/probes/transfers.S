/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far jumps, calls and returns; call gates of 16, 32 and 64 bits with copied parameters: SDM 3-5.8; 2A CALL, JMP, RET.
 */
#include "../probe.h"

    /* ---- straight to a selector: the far pointer is in memory, so every mode has the same code ---- */
#define FAR_JMP .byte 0xff, 0x2b        /* JMP far (BX) */
#define FAR_CALL .byte 0xff, 0x1b       /* CALL far (BX) */
#define FAR_RET .byte 0xcb

    .macro STRAIGHT mode, ring, rpl
    .irp which, jmp, call
    PROBE "far-\which", \mode, \ring
    SET DATA, 4, LAND
    SET DATA + 4, 2, 0, CS32_0 + \rpl, CS64_0 + \rpl, CS16_0 + \rpl, CS32_3, CS32_3 - 3, CS64_3, CS32_1, CS32C, CS32C + 3, \
                     DS_0 + \rpl, DS_3, 0x14 + \rpl, 0x0c + \rpl, 0xb8 + \rpl, 0x100 + \rpl, LDTR + \rpl
    SET ENV_RBX, 4, DATA
    BEGIN
    .ifc \which, jmp
    FAR_JMP
    .else
    FAR_CALL
    .endif
    END
    .endr
    .irp first, 0x8a, 0xea, 0x10
    PROBE "far-type", \mode, \ring
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfffff, 0, FLAT32)
    SWEEP (GDT + TEST + 5), 1, \first, (\first | 0x1f)
    SET DATA, 4, LAND
    SET DATA + 4, 2, TEST + \rpl
    SET ENV_RBX, 4, DATA
    BEGIN
    FAR_CALL
    END
    .endr
    .endm
    STRAIGHT PROT32, 0, 0
    STRAIGHT PROT32, 3, 3
    STRAIGHT COMP32, 0, 0
    STRAIGHT LONG64, 0, 0
    STRAIGHT LONG64, 3, 3

    PROBE "far-code", LONG64, 0
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfffff, 0x9b, 0xe), DESCRIPTOR(0, 0xfffff, 0x9b, FLAT64), DESCRIPTOR(0, 0xfffff, 0x9b, FLAT32), \
                       DESCRIPTOR(0, 0, 0x9b, FLAT64), DESCRIPTOR(0, 0, 0x9b, 4)
    SET DATA, 4, LAND
    SET DATA + 4, 2, TEST
    SET ENV_RBX, 4, DATA
    BEGIN
    FAR_JMP
    END
    PROBE "far-limit", PROT32, 0
    SET GDT + TEST, 8, DESCRIPTOR(0, LAND, 0x9b, 4), DESCRIPTOR(0, LAND - 1, 0x9b, 4), DESCRIPTOR(0, LAND + 1, 0x9a, 4)
    SET DATA, 4, LAND
    SET DATA + 4, 2, TEST
    SET ENV_RBX, 4, DATA
    BEGIN
    FAR_JMP
    END

    .irp mode, REAL, V86, PROT16, PROT32, COMP32, LONG64
    PROBE "far-call-16", \mode, (-3*(\mode==V86))
    .if \mode < PROT16
    SET DATA, 4, (LAND - 0x4000) | 0x400 << 16
    .else
    SET DATA, 4, LAND | CS16_0 << 16
    .endif
    SET ENV_RBX, 4, DATA
    BEGIN
    .if \mode < FIRST_32_BIT
    lcallw *(%bx)
    .else
    .byte 0x66
    FAR_CALL
    .endif
    END
    .endr

    /* ---- returns ---- */
    .macro RETURNS mode, ring
    .irp count, 0, 8
    PROBE "far-ret-\count", \mode, \ring
    .if \ring
    SET ENV_RAX, 8, 0, CS32_0, CS32_3, CS32_3 - 3, CS64_3, CS16_3, CS32C + 3, DS_3, 0xbb, 0x103, 0x17
    .else
    SET ENV_RAX, 8, 0, CS32_0, CS32_0 + 1, CS64_0, CS16_0, CS32C, CS32_1, CS32_3, CS32_3 - 3, CS64_3, DS_0, 0xb8, 0x100
    .endif
    SET ENV_RBX, 8, DS_3, 0, DS_0
    BEGIN
    .if \mode == LONG64
    push %rbx
    push $STACK3 - 0x20
    .if \count
    push $0x11
    .endif
    push %rax
    push $CODE + 0x80
    rex64 lret $\count
    .else
    push %ebx
    push $STACK3 - 0x20
    .if \count
    push $0x11
    push $0x22
    .endif
    push %eax
    push $CODE + 0x80
    lret $\count
    .endif
    END
    .endr
    .endm
    RETURNS PROT32, 0
    RETURNS PROT32, 3
    RETURNS COMP32, 0
    RETURNS LONG64, 0
    RETURNS LONG64, 3

    PROBE "far-ret", REAL, 0
    BEGIN
    push $0x500
    push $LAND - 0x5000
    lret $4
    END

    /* ---- call gates: type 0x84 is of 16 bits, 0x8c of 32 bits, of 64 in long mode ---- */
    .macro GATES mode, ring, rpl, code
    .irp which, jmp, call
    PROBE "gate-\which", \mode, \ring
    SET GDT + TEST, 8, GATE(\code, LAND, 0, 0)
    SET GDT + TEST + 5, 1, 0x8c, 0xec, 0x6c
    SET GDT + TEST + 2, 2, CS32_0, CS64_0, 0, CS32_3, CS32_1, CS32C, DS_0, 0xb8, 0x14, 0x100, CS16_0
    SET DATA + 4, 2, TEST, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    .ifc \which, jmp
    FAR_JMP
    .else
    FAR_CALL
    .endif
    END
    .endr
    .endm
    GATES PROT32, 0, 0, CS32_0
    GATES PROT32, 3, 3, CS32_0
    GATES LONG64, 0, 0, CS64_0
    GATES LONG64, 3, 3, CS64_0
    GATES COMP32, 3, 3, CS64_0

    PROBE "gate-parameters", PROT32, 3
    SET GDT + TEST, 8, GATE(CS32_0, LAND, 0xec, 0), GATE(CS32_0, LAND, 0xec, 1), GATE(CS32_0, LAND, 0xec, 3), GATE(CS32_0, LAND, 0xe4, 3), \
                       GATE(CS32_0, LAND, 0xec, 0xe2)
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    push $0x11
    push $0x22
    push $0x33
    FAR_CALL
    END
    PROBE "gate-return", PROT32, 3
    SET GDT + TEST, 8, GATE(CS32_0, CODE + 0x80, 0xec, 2)
    SET CODE + 0x80, 8, 0x0008ca42      /* INC EDX; RETF 8 */
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    push $0x11
    push $0x22
    FAR_CALL
    nop
    END
    PROBE "gate-return", LONG64, 3
    SET GDT + TEST, 8, GATE(CS64_0, CODE + 0x80, 0xec, 0)
    SET CODE + 0x80, 8, 0xcb48c2ff      /* INC EDX; RETF of 64 bits */
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    FAR_CALL
    nop
    END
    PROBE "gate-from-16-bits", PROT16, 3
    SET GDT + TEST, 8, GATE(CS16_0, LAND, 0xe4, 2), GATE(CS32_0, LAND, 0xec, 2)
    SET DATA + 2, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    pushl $0x110022
    pushl $0x330044
    lcallw *(%bx)
    END
    PROBE "gate-to-ring-1", PROT32, 3
    SET GDT + TEST, 8, GATE(CS32_1, LAND, 0xec, 0)
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    FAR_CALL
    END
    PROBE "gate-inner-ss", PROT32, 3
    SET GDT + TEST, 8, GATE(CS32_1, LAND, 0xec, 0)
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    SET (TSS + 0x10), 2, 0, 1, DS_1, DS_1 - 1, DS_0, DS_3, CS32_1, 0xb9, 0x101
    BEGIN
    FAR_CALL
    END
    PROBE "gate-limit", PROT32, 3
    SET GDT + TEST, 8, GATE(TEST2, LAND, 0xec, 0)
    SET GDT + TEST2, 8, DESCRIPTOR(0, LAND - 1, 0x9b, 4)
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    FAR_CALL
    END
    PROBE "gate-tss-limit", PROT32, 3
    SET GDT + TEST, 8, GATE(CS32_1, LAND, 0xec, 0)
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    SET GDT + TR, 2, 0x11, 0x10
    BEGIN
    FAR_CALL
    END
    PROBE "gate-upper-half", LONG64, 3
    SET GDT + TEST, 8, GATE(CS64_0, LAND, 0xec, 0)
    SET GDT + TEST + 8, 8, 0, 0x8000, 0xffff8000, 0x0000010000000000, 0x00001f0000000000
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    FAR_CALL
    END
    PROBE "gate-beyond-gdt", LONG64, 3
    SET ENV_GDTR, 2, TEST + 15, TEST + 14, TEST + 7
    SET ENV_LDTR, 2, 0
    SET GDT + TEST, 8, GATE(CS64_0, LAND, 0xec, 0)
    SET DATA + 4, 2, TEST + 3
    SET ENV_RBX, 4, DATA
    SET ENV_DS, 2, DS_3
    BEGIN
    FAR_CALL
    END
