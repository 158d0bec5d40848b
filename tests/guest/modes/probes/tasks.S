/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task switches: by JMP, CALL, INT, an exception and IRET, to 32- and 16-bit tasks; busy bits, links, errors.  SDM 3-8.
 */
#include "../probe.h"

    /* ---- each way ---- */
    .irp ring, 0, 3
    .irp which, jmp, call
    PROBE "task-\which", PROT32, \ring
    SET DATA + 4, 2, TR2, TR16, TR, TR2 + 3
    SET GDT + TR2 + 5, 1, 0x89, 0xe9
    SET ENV_RBX, 4, DATA
    BEGIN
    .ifc \which, jmp
    .byte 0xff, 0x2b
    .else
    .byte 0xff, 0x1b
    .endif
    END
    PROBE "task-gate-\which", PROT32, \ring
    SET GDT + TEST, 8, GATE(TR2, 0, 0x85, 0), GATE(TR2, 0, 0xe5, 0), GATE(TR2, 0, 0x65, 0), GATE(TR16, 0, 0xe5, 0), GATE(TR, 0, 0xe5, 0), \
                       GATE(CS32_0, 0, 0xe5, 0), GATE(0, 0, 0xe5, 0), GATE(0x74, 0, 0xe5, 0), GATE(0x100, 0, 0xe5, 0)
    SET DATA + 4, 2, TEST, TEST + 3
    SET ENV_RBX, 4, DATA
    BEGIN
    .ifc \which, jmp
    .byte 0xff, 0x2b
    .else
    .byte 0xff, 0x1b
    .endif
    END
    .endr
    PROBE "task-int", PROT32, \ring
    SET GATE_32(0x31), 8, GATE(TR2, 0, 0x85, 0), GATE(TR2, 0, 0xe5, 0), GATE(TR2, 0, 0x65, 0), GATE(TR16, 0, 0xe5, 0), GATE(TR, 0, 0xe5, 0), \
                       GATE(CS32_0, 0, 0xe5, 0), GATE(0, 0, 0xe5, 0), GATE(0x74, 0, 0xe5, 0), GATE(0x100, 0, 0xe5, 0)
    SET ENV_FLAGS, 4, F_1, F_1 + F_IF + F_AC + F_ID
    BEGIN
    int $0x31
    END
    PROBE "task-exception", PROT32, \ring
    SET GATE_32(13), 8, GATE(TR2, 0, 0x85, 0), GATE(TR16, 0, 0x85, 0)
    BEGIN
    mov $0x107, %eax
    mov %eax, %ds
    END
    PROBE "task-page-fault", PSE32, \ring
    SET GATE_32(14), 8, GATE(TR2, 0, 0x85, 0)
    SET TSS2 + 0x1c, 4, PD_32
    BEGIN
    mov 0x700000, %eax
    END
    .endr
    PROBE "task-int", V86, 3
    SET ENV_FLAGS, 4, F_VM + F_IOPL3 + F_1
    SET GATE_32(0x31), 8, GATE(TR2, 0, 0xe5, 0), GATE(TR16, 0, 0xe5, 0)
    BEGIN
    int $0x31
    END
    PROBE "task-jmp", PROT16, 0
    SET DATA + 2, 2, TR2, TR16
    SET ENV_RBX, 4, DATA
    BEGIN
    ljmpw *(%bx)
    END
    PROBE "task-jmp", LONG64, 0
    SET GDT + TEST, 8, DESCRIPTOR(TSS2, 0x67, 0x89, 0)
    SET DATA + 4, 2, TEST, TR
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x2b
    END

    /* ---- there and back ---- */
    PROBE "task-call-and-iret", PROT32, 0
    SET TSS2 + 0x20, 4, LAND_IRET
    SET DATA + 4, 2, TR2
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x1b
    inc %ecx
    END
    PROBE "task-call-twice", PROT32, 0, NEED_CHECKS
    SET TSS2 + 0x20, 4, LAND_IRET
    SET DATA + 4, 2, TR2
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x1b
    .byte 0xff, 0x1b                    /* its EIP is behind the IRET now */
    END
    PROBE "task-iret", PROT32, 0
    SET ENV_FLAGS, 4, F_NT + F_1
    SET TSS, 2, TR2, TR16, 0, CS32_0, 0x74, 0x100
    SET GDT + TR2 + 5, 1, 0x8b, 0x89, 0x0b
    SET GDT + TR16 + 5, 1, 0x83
    BEGIN
    iret
    END

    /* ---- what the new task may have wrong ---- */
    .macro WRONG name, address, size, values:vararg
    .irp which, jmp, call
    PROBE "task-\name-\which", PROT32, 0
    SET \address, \size, \values
    .irp vector, 10, 11, 12, 13             /* a task that is not yet whole has no stack for a handler */
    SET GATE_32(\vector), 8, GATE(TR16, 0, 0x85, 0)
    .endr
    SET DATA + 4, 2, TR2
    SET ENV_RBX, 4, DATA
    BEGIN
    .ifc \which, jmp
    .byte 0xff, 0x2b
    .else
    .byte 0xff, 0x1b
    .endif
    END
    .endr
    .endm
    WRONG "limit", GDT + TR2, 2, 0x66, 0x67, 0x68, 0x2b
    WRONG "type", GDT + TR2 + 5, 1, 0x89, 0x8b, 0x09, 0x82, 0x8c
    WRONG "cs", TSS2 + 0x4c, 2, 0, CS32_0, CS32_0 + 3, DS_0, CS32_1, CS32C, CS16_0, 0x74, 0xb8, 0x100
    WRONG "ss", TSS2 + 0x50, 2, 0, DS_0, DS_0 + 1, DS_3, CS32_0, SS16_0, 0x0c, 0xb8, 0x100
    WRONG "ds", TSS2 + 0x54, 2, 0, DS_0 + 3, DS_3, DS_1, CS32_0, CS32C, 0x0c, 0xb8, 0x100, TR
    WRONG "ldt", TSS2 + 0x60, 2, 0, LDTR, LDTR + 4, CS32_0, 0xb8, 0x100
    WRONG "flags", TSS2 + 0x24, 4, 0, 0x3cfad7, F_1 + F_TF, F_1 + F_NT
    WRONG "trap", TSS2 + 0x64, 2, 1, 0xfffe
    PROBE "task-code-limit", PROT32, 0
    SET TSS2 + 0x4c, 2, TEST
    SET GDT + TEST, 8, DESCRIPTOR(0, LAND - 1, 0x9b, 4)
    SET DATA + 4, 2, TR2
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x2b
    END
    PROBE "task-ring-3", PROT32, 0
    SET GATE_32(10), 8, GATE(TR16, 0, 0x85, 0)
    SET TSS2 + 0x4c, 2, CS32_3, CS32_3 - 3
    SET TSS2 + 0x50, 2, DS_3
    SET TSS2 + 0x54, 2, DS_3, DS_0
    SET TSS2 + 0x04, 4, TASK2
    SET TSS2 + 0x08, 2, DS_0
    SET DATA + 4, 2, TR2
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x2b
    END
    PROBE "task-v86", PROT32, 0
    SET TSS2 + 0x24, 4, F_VM + F_1
    SET TSS2 + 0x4c, 2, 0x500
    SET TSS2 + 0x20, 4, LAND - 0x5000
    SET TSS2 + 0x50, 2, 0x80
    SET TSS2 + 0x04, 4, TASK2
    SET TSS2 + 0x08, 2, DS_0
    SET DATA + 4, 2, TR2
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x2b
    END
    PROBE "task-cr3", PSE32, 0
    SET TSS2 + 0x1c, 4, PD_32, PD_32 + 0x18
    SET DATA + 4, 2, TR2
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x2b
    END
    PROBE "task-sets-ts", PROT32, 0
    SET DATA + 4, 2, TR2, TR16
    SET ENV_CR0, 1, 0x31, 0x39
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x2b
    END
    PROBE "task-clears-breakpoints", PROT32, 0
    SET ENV_DR + 0x20, 4, 0x7ff
    SET ENV_DR, 8, 0x123
    SET TSS2 + 0x20, 4, CODE + 0x80
    SET CODE + 0x80, 4, 0x0bf8210f      /* MOV DR7, EAX; UD2 */
    SET CODE + 0x83, 4, 0x0b0f
    SET DATA + 4, 2, TR2
    SET ENV_RBX, 4, DATA
    BEGIN
    .byte 0xff, 0x2b
    END
