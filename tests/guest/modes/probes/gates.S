/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gates of the interrupt descriptor table, and the stacks they lead to: SDM 3-6.11 to 3-6.14.  Vector 0x31 is theirs.
 */
#include "../probe.h"

    /* ---- types, privilege, presence; 0x85 is a task gate whose selector is no task's ---- */
    .irp first, 0x80, 0xe0, 0x60
    .irp ring, 0, 3
    PROBE "gate-type", PROT32, \ring
    SWEEP (GATE_32(0x31) + 5), 1, \first, (\first + 0x1f)
    BEGIN
    int $0x31
    END
    PROBE "gate-type", LONG64, \ring
    SWEEP (GATE_64(0x31) + 5), 1, \first, (\first + 0x1f)
    BEGIN
    int $0x31
    END
    .endr
    .endr

    .irp ring, 0, 3
    PROBE "gate-16", PROT32, \ring
    SET GATE_32(0x31), 8, GATE(CS16_0, STUBS_16 + 8 * 0x31, 0xe6, 0), GATE(CS16_0, STUBS_16 + 8 * 0x31, 0xe7, 0)
    SET ENV_FLAGS, 4, F_1, F_1 + F_IF + F_NT + F_AC
    BEGIN
    int $0x31
    END
    PROBE "gate-flags", PROT32, \ring
    SET (GATE_32(0x31) + 5), 1, 0xee, 0xef
    SET ENV_FLAGS, 4, F_1 + F_IF, F_1 + F_NT, F_1 + F_DF + F_AC + F_ID, F_1 + F_RF
    BEGIN
    int $0x31
    END
    PROBE "gate-flags", LONG64, \ring
    SET (GATE_64(0x31) + 5), 1, 0xee, 0xef
    SET ENV_FLAGS, 4, F_1 + F_IF, F_1 + F_NT, F_1 + F_DF + F_AC + F_ID, F_1 + F_RF
    BEGIN
    int $0x31
    END

    /* ---- the selector ---- */
#define TARGETS 0, 3, CS32_0, CS32_0 + 1, DS_0, CS32_3, CS32_1, CS32C, CS32C + 3, TR, LDTR, 0x14, 0x0c, 0xb8, 0x100, \
                0x44
    PROBE "gate-selector", PROT32, \ring
    SET (GATE_32(0x31) + 2), 2, TARGETS
    BEGIN
    int $0x31
    END
    PROBE "gate-selector", LONG64, \ring
    SET (GATE_64(0x31) + 2), 2, TARGETS
    BEGIN
    int $0x31
    END
    PROBE "gate-target-type", PROT32, \ring
    SET (GATE_32(0x31) + 2), 2, TEST
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfffff, 0, FLAT32)
    SWEEP (GDT + TEST + 5), 1, 0x80, 0x9f
    BEGIN
    int $0x31
    END
    PROBE "gate-target-type", LONG64, \ring
    SET (GATE_64(0x31) + 2), 2, TEST
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfffff, 0, FLAT64)
    SWEEP (GDT + TEST + 5), 1, 0x80, 0x9f
    BEGIN
    int $0x31
    END
    PROBE "gate-target", LONG64, \ring
    SET (GATE_64(0x31) + 2), 2, TEST
    SET GDT + TEST, 8, DESCRIPTOR(0, 0, 0x9b, FLAT64), DESCRIPTOR(0, 0xfffff, 0x9b, 0xe), DESCRIPTOR(0, 0xfffff, 0x1b, FLAT64), \
                       DESCRIPTOR(0, 0xfffff, 0xdb, FLAT64), DESCRIPTOR(0, 0xfffff, 0x9a, FLAT64)
    BEGIN
    int $0x31
    END
    PROBE "gate-target", PROT32, \ring
    SET (GATE_32(0x31) + 2), 2, TEST
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfff, 0x9b, 4), DESCRIPTOR(0, 0xffff, 0x9b, 0), DESCRIPTOR(0, 0xfffff, 0x1b, FLAT32), \
                       DESCRIPTOR(0, 0xfffff, 0x9a, FLAT32), DESCRIPTOR(0, 0x5487, 0x9b, 4), DESCRIPTOR(0, 0x5488, 0x9b, 4)
    BEGIN
    int $0x31
    END

    /* ---- the table's limit ---- */
    PROBE "idt-limit", PROT32, \ring
    SET ENV_IDTR, 2, 8 * 0x31 + 7, 8 * 0x31 + 6, 8 * 0x31
    BEGIN
    int $0x31
    END
    PROBE "idt-limit", LONG64, \ring
    SET ENV_IDTR, 2, 16 * 0x31 + 15, 16 * 0x31 + 14, 16 * 0x31 + 7
    BEGIN
    int $0x31
    END
    PROBE "beyond-idt", PROT32, \ring
    BEGIN
    int $0x40
    END
    PROBE "beyond-idt", LONG64, \ring
    BEGIN
    int $0xff
    END

    /* ---- interrupt stacks ---- */
    PROBE "ist", LONG64, \ring
    SET (GATE_64(0x31) + 4), 1, 1, 0, 8
    SET (TSS + 0x24), 8, IST1, IST1 - 3, IST1 - 8
    BEGIN
    int $0x31
    END
    PROBE "ist", COMP32, \ring
    SET (GATE_64(0x31) + 4), 1, 1
    BEGIN
    int $0x31
    END
    PROBE "ist-non-canonical", LONG64, \ring
    SET (GATE_64(0x31) + 4), 1, 1
    SET (GATE_64(12) + 4), 1, 2
    SET (TSS + 0x24), 8, 0x800000000010
    SET (TSS + 0x2c), 8, IST1
    BEGIN
    int $0x31
    END
    PROBE "ist-beyond-tss", LONG64, \ring
    SET (GATE_64(0x31) + 4), 1, 1, 7
    SET GDT + TR, 2, 0x2b, 0x2a, 0x23, 0x5b
    BEGIN
    int $0x31
    END
    PROBE "gate-offset-high", LONG64, \ring
    SET (GATE_64(0x31) + 8), 4, 0x8000, 0xffff7fff
    BEGIN
    int $0x31
    END
    PROBE "gate-reserved", LONG64, \ring
    SET (GATE_64(0x31) + 12), 4, 0x00000100, 0x00001f00, 0xffffffff
    BEGIN
    int $0x31
    END
    .endr

    PROBE "stack-aligned", LONG64, 0
    SWEEP ENV_SP, 8, (STACK0 - 9), (STACK0 - 7)
    BEGIN
    int $0x31
    END
    PROBE "stack-not-aligned", PROT32, 0
    SET ENV_SP, 8, STACK0 - 3
    BEGIN
    int $0x31
    END

    /* ---- the inner stack; faults there must find another one, so #TS and #SS go to a task or to an IST ---- */
#define BY_TASK GATE(TR2, 0, 0x85, 0)
    PROBE "inner-ss", PROT32, 3
    SET GATE_32(10), 8, BY_TASK
    SET GATE_32(12), 8, BY_TASK
    SET (TSS + 8), 2, 0, 3, DS_0, DS_0 + 1, DS_1, CS32_0, DS_3, TR, 0x100, 0x14, 0x0c, 0xb8, SS16_0
    BEGIN
    int $0x31
    END
    PROBE "inner-ss-type", PROT32, 3
    SET GATE_32(10), 8, BY_TASK
    SET GATE_32(12), 8, BY_TASK
    SET (TSS + 8), 2, TEST
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfffff, 0, FLAT32)
    SWEEP (GDT + TEST + 5), 1, 0x90, 0x9b
    BEGIN
    int $0x31
    END
    PROBE "inner-ss-absent", PROT32, 3
    SET GATE_32(10), 8, BY_TASK
    SET GATE_32(12), 8, BY_TASK
    SET (TSS + 8), 2, TEST
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfffff, 0x13, FLAT32), DESCRIPTOR(0, 0x8cff, 0x93, 4), DESCRIPTOR(0, 0x8cfe, 0x93, 4), \
                       DESCRIPTOR(0, 0x8cec, 0x97, 4), DESCRIPTOR(0, 0x8ceb, 0x97, 4)
    BEGIN
    int $0x31
    END
    PROBE "tss-too-short", PROT32, 3
    SET GATE_32(10), 8, BY_TASK
    SET GDT + TR, 2, 9
    BEGIN
    int $0x31
    END
    PROBE "tss-too-short", LONG64, 3
    SET (GATE_64(10) + 4), 1, 1
    SET GDT + TR, 2, 0x67, 0x2b, 0x2a
    BEGIN
    int $0x31
    END
    PROBE "rsp0-non-canonical", LONG64, 3
    SET (GATE_64(12) + 4), 1, 1
    SET (TSS + 4), 8, 0x800000000000, 0x800000000028, 0xffff800000000000
    SET (GATE_64(14) + 4), 1, 1
    SET (GATE_64(8) + 4), 1, 1
    BEGIN
    int $0x31
    END
    PROBE "rsp0-unmapped", LONG64, 3
    SET (GATE_64(14) + 4), 1, 1
    SET (TSS + 4), 8, 0x700000
    BEGIN
    int $0x31
    END
    PROBE "esp0-unmapped", PAE32, 3
    SET GATE_32(14), 8, BY_TASK
    SET TSS2 + 0x1c, 4, PDPT_PAE
    SET (TSS + 4), 4, 0x700000
    BEGIN
    int $0x31
    END
    PROBE "inner-16-bit-stack", PROT32, 3
    SET (TSS + 8), 2, SS16_0
    SET (TSS + 4), 4, 0x10000 + INNER0
    BEGIN
    int $0x31
    END

    /* ---- a 16-bit TSS gives a 16-bit stack pointer ---- */
    PROBE "inner-by-tss-16", PROT32, 3
    SET GDT + TR, 8, DESCRIPTOR(TSS, 0x2b, 0x81, 0)
    SET TSS + 2, 4, SS16_0 << 16 | INNER0, DS_0 << 16 | INNER0
    BEGIN
    int $0x31
    END

    /* ---- IRET ---- */
    .macro RETURN mode, ring
    PROBE "iret-selector", \mode, \ring
    .if \ring
    SET ENV_RBX, 8, 0, CS32_0, CS32_3, CS32_3 - 3, CS32_1, DS_3, CS64_3, CS16_3, CS32C + 3, 0x103, 0xbb, 0x17
    SET ENV_RDX, 8, DS_3
    .else
    SET ENV_RBX, 8, 0, CS32_0, CS32_3, CS32_3 - 3, CS32_1, DS_0, CS64_0, CS16_0, CS32C, CS32C + 3, 0x100, 0xb8, 0x17, CS64_3
    SET ENV_RDX, 8, DS_0
    .endif
    BEGIN
    .if \mode == LONG64
    mov %rsp, %rax
    push %rdx
    push %rax
    pushfq
    push %rbx
    push $LAND
    iretq
    .else
    pushf
    push %ebx
    push $LAND
    iret
    .endif
    END
    .endm
    RETURN PROT32, 0
    RETURN PROT32, 3
    RETURN COMP32, 0
    RETURN COMP32, 3
    RETURN LONG64, 0
    RETURN LONG64, 3

    .irp mode, PROT32, COMP32, LONG64
    PROBE "iret-outer-ss", \mode, 0
    SET ENV_RBX, 8, CS32_3, CS64_3
    SET ENV_RDX, 8, 0, 3, DS_0, DS_3, DS_3 - 3, CS32_3, 0x103, 0xbb, 0xf, SS16_3
    BEGIN
    .if \mode == LONG64
    push %rdx
    push $STACK3
    pushfq
    push %rbx
    push $CODE + 0x80
    iretq
    .else
    push %edx
    push $STACK3
    pushf
    push %ebx
    push $CODE + 0x80
    iret
    .endif
    END
    PROBE "iret-outer-segments", \mode, 0
    SET ENV_DS, 2, DS_0, DS_3, 0, CS32C, CS32_0
    SET CODE + 0x80, 2, 0x0b0f
    BEGIN
    .if \mode == LONG64
    push $DS_3
    push $STACK3
    pushfq
    push $CS32_3
    push $CODE + 0x80
    iretq
    .else
    push $DS_3
    push $STACK3
    pushf
    push $CS32_3
    push $CODE + 0x80
    iret
    .endif
    END
    PROBE "iret-flags", \mode, 3
    SET ENV_RBX, 8, 0x3dfad7, 0x4002
    BEGIN
    .if \mode == LONG64
    mov %rsp, %rax
    push $DS_3
    push %rax
    push %rbx
    push $CS64_3
    push $HERE(1f)
    iretq
    .else
    push %ebx
    push $CS32_3
    push $HERE(1f)
    iret
    .endif
1:  nop
    END
    PROBE "iret-flags", \mode, 0
    SET ENV_RBX, 8, 0x25bad7, 0x40d7
    BEGIN
    .if \mode == LONG64
    mov %rsp, %rax
    push $DS_0
    push %rax
    push %rbx
    push $CS64_0
    push $HERE(1f)
    iretq
    .else
    push %ebx
    push $CS32_0
    push $HERE(1f)
    iret
    .endif
1:  nop
    END
    PROBE "iret-16", \mode, 0
    BEGIN
    pushw $DS_0
    pushw $STACK0 - 0x10
    pushw $0x02d7
    pushw $CS16_0
    pushw $LAND
    iretw
    END
    .endr
    PROBE "iret-nt", LONG64, 0
    SET ENV_FLAGS, 4, F_NT + F_1
    BEGIN
    iretq
    END
    PROBE "iret-null-ss", LONG64, 0
    SET ENV_RDX, 8, 0, 1, 2, 3
    BEGIN
    mov %rsp, %rax
    push %rdx
    push %rax
    pushfq
    push $CS64_0
    push $HERE(1f)
    iretq
1:  nop
    END
    PROBE "iret-to-v86", PROT32, 0
    SET ENV_RBX, 4, F_VM + F_1, F_VM + F_1 + F_IOPL3 + F_IF, F_VM + F_1 + F_NT + F_AC + F_ID
    BEGIN
    push $0x44
    push $0x33
    push $0x22
    push $0x11
    push $0x80
    push $0x9000
    push %ebx
    push $0x500
    push $LAND - 0x5000
    iret
    END
