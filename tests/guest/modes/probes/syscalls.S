/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and the FS and GS bases: SDM 2B, APM 3, APM 2-6.1.
 */
#include "../probe.h"

    .irp mode, LONG64, COMP32, PROT32
    .irp ring, 0, 3
    .if \mode == LONG64
    PROBE "syscall", \mode, \ring
    .else
    PROBE "syscall", \mode, \ring, NEED_SYSCALL32
    .endif
    SET ENV_EFER, 1, 0x01, 0
    SET ENV_FLAGS, 4, F_1, F_1 + F_IF + F_DF + F_CF + F_ID, F_1 + F_RF
    SET ENV_FMASK, 8, 0x700, 0, 0x47fd5
    BEGIN
    syscall
    END
    .endr
    .endr
    PROBE "syscall-absent", PROT32, 3, NEED_INTEL
    BEGIN
    syscall
    END
    PROBE "syscall-selectors", LONG64, 3
    SET ENV_STAR + 4, 4, FAST, FAST + 3, 0x1230, 0
    BEGIN
    syscall
    END
    PROBE "syscall-stepped", LONG64, 3
    SET ENV_FLAGS, 4, F_TF + F_1
    SET ENV_FMASK, 8, 0x100, 0
    BEGIN
    syscall
    END

    .irp ring, 0, 3
    PROBE "sysret", LONG64, \ring
    SET ENV_R11, 8, 0x3dfad7, 0x2
    SET ENV_RCX, 8, CODE + 0x80
    BEGIN
    sysretl
    END
    PROBE "sysretq", LONG64, \ring
    SET ENV_R11, 8, 0x3dfad7 - F_TF, 0x2
    SET ENV_RCX, 8, CODE + 0x80
    BEGIN
    sysretq
    END
    .endr
    PROBE "sysretq-user", LONG64, 0
    SET PTE_PAE(0xa), 1, 0x67
    SET CODE + 0x80, 2, 0x0b0f
    SET ENV_STAR + 4, 4, (FAST + 0x13) << 16, (FAST + 0x10) << 16, 0x1230 << 16
    SET ENV_RCX, 8, CODE + 0x80
    BEGIN
    sysretq
    END
    PROBE "sysretl-user", LONG64, 0
    SET PTE_PAE(0xa), 1, 0x67
    SET CODE + 0x80, 2, 0x0b0f
    SET ENV_STAR + 4, 4, (FAST + 0x13) << 16, (FAST + 0x10) << 16
    SET ENV_RCX, 8, CODE + 0x80 + 0x100000000
    BEGIN
    sysretl
    END
    PROBE "sysret-off", LONG64, 0
    SET ENV_EFER, 1, 0
    BEGIN
    sysretq
    END
    PROBE "sysret-protected", PROT32, 0, NEED_SYSCALL32
    SET CODE + 0x80, 2, 0x0b0f
    SET ENV_EFER, 4, EFER_SCE, 0
    SET ENV_RCX, 8, CODE + 0x80
    BEGIN
    sysret
    END

    .irp mode, PROT16, PROT32, PSE32
    .irp ring, 0, 3
    PROBE "sysenter", \mode, \ring, NEED_SYSENTER
    SET ENV_SYSENTER_CS, 8, FAST, FAST + 3, 0, 3
    SET ENV_FLAGS, 4, F_1, F_1 + F_IF + F_DF + F_ID
    BEGIN
    sysenter
    END
    .endr
    .endr
    .irp mode, COMP32, LONG64
    .irp ring, 0, 3
    PROBE "sysenter", \mode, \ring, NEED_SYSENTER64
    SET ENV_SYSENTER_CS, 8, FAST, FAST + 3, 0, 3
    SET ENV_FLAGS, 4, F_1, F_1 + F_IF + F_DF + F_ID
    BEGIN
    sysenter
    END
    PROBE "sysenter-amd", \mode, \ring, NEED_AMD
    BEGIN
    sysenter
    END
    .endr
    .endr
    PROBE "sysenter", REAL, 0, NEED_SYSENTER
    BEGIN
    sysenter
    END
    .irp ring, 0, 3
    PROBE "sysexit", PROT32, \ring, NEED_SYSENTER
    SET ENV_SYSENTER_CS, 8, FAST, 0, 3
    SET CODE + 0x80, 2, 0x0b0f
    SET ENV_RDX, 8, CODE + 0x80
    SET ENV_RCX, 8, STACK3 - 0x40
    BEGIN
    .byte 0x0f, 0x35                    /* SYSEXIT */
    END
    PROBE "sysexit", LONG64, \ring, NEED_SYSENTER64
    SET ENV_SYSENTER_CS, 8, FAST, 0
    SET PTE_PAE(0xa), 1, 0x67
    SET CODE + 0x80, 2, 0x0b0f
    SET ENV_RDX, 8, CODE + 0x80
    SET ENV_RCX, 8, STACK3 - 0x40
    BEGIN
    .byte 0x0f, 0x35                    /* SYSEXIT */
    END
    PROBE "sysexitq", LONG64, \ring, NEED_SYSENTER64
    SET PTE_PAE(0xa), 1, 0x67
    SET CODE + 0x80, 2, 0x0b0f
    SET ENV_RDX, 8, CODE + 0x80, 0x800000000000
    SET ENV_RCX, 8, STACK3 - 0x40
    BEGIN
    .byte 0x48, 0x0f, 0x35              /* SYSEXIT of 64 bits */
    END
    .endr
    PROBE "sysexit", REAL, 0, NEED_SYSENTER
    BEGIN
    .byte 0x0f, 0x35                    /* SYSEXIT */
    END

    /* ---- bases ---- */
    .irp ring, 0, 3
    PROBE "swapgs", LONG64, \ring
    SET ENV_GSBASE, 8, DATA
    SET ENV_KGSBASE, 8, DATA + 8, 0xffff800000000000
    BEGIN
    mov %gs:0, %eax
    swapgs
    mov %gs:0, %ebx
    END
    PROBE "bases-used", LONG64, \ring
    SET ENV_FSBASE, 8, DATA, DATA - 4, 0x7fffffff8000
    BEGIN
    mov %fs:4, %eax
    END
    PROBE "bases-used", COMP32, \ring
    SET ENV_FSBASE, 8, DATA
    BEGIN
    mov %fs:4, %eax
    END
    PROBE "rdfsbase", LONG64, \ring, NEED_FSGSBASE
    SET ENV_CR4 + 2, 1, 1, 0
    SET ENV_FSBASE, 8, 0xffff800012345678
    SET ENV_GSBASE, 8, 0x123456789abc
    BEGIN
    rdfsbase %rax
    rdgsbase %rbx
    rdfsbase %ecx
    END
    PROBE "wrfsbase", LONG64, \ring, NEED_FSGSBASE
    SET ENV_CR4 + 2, 1, 1, 0
    SET ENV_RAX, 8, 0x1234567887654321, 0x7ffffffff000, 0xffff7fffffffffff, 0xffff800000000000
    BEGIN
    wrfsbase %eax
    wrgsbase %rax
    END
    PROBE "rdfsbase", COMP32, \ring, NEED_FSGSBASE
    SET ENV_CR4 + 2, 1, 1
    BEGIN
    .byte 0xf3, 0x0f, 0xae, 0xc0
    END
    .endr
    PROBE "swapgs", COMP32, 0
    BEGIN
    .byte 0x0f, 0x01, 0xf8
    END
    PROBE "load-fs-sets-base", LONG64, 0
    SET GDT + TEST, 8, DESCRIPTOR(0x87654320, 0xfffff, 0x93, FLAT32)
    SET ENV_FSBASE, 8, 0x123456789a
    SET ENV_GSBASE, 8, 0x123456789a
    BEGIN
    mov $TEST, %eax
    mov %eax, %fs
    mov %eax, %gs
    END
    PROBE "load-null-fs", LONG64, 0
    SET ENV_FSBASE, 8, 0x123456789a
    BEGIN
    xor %eax, %eax
    mov %eax, %fs
    END
