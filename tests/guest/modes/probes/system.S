/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System registers: control registers with reserved bits, MSRs, descriptor table registers, UMIP.  SDM 3-2.5, 2A/2B.
 */
#include "../probe.h"

    /* ---- control registers ---- */
    .irp mode, PROT32, LONG64
    .irp reg, 1, 5, 6, 7, 9, 10, 15
    PROBE "cr\reg", \mode, 0
    BEGIN
    .if \reg < 8
    .byte 0x0f, 0x20, 0xc0 + 8 * \reg
    .elseif \mode == LONG64
    .byte 0x44, 0x0f, 0x20, 0xc0 + 8 * (\reg - 8)
    .else
    .byte 0xf0, 0x0f, 0x20, 0xc0 + 8 * (\reg - 8)
    .endif
    END
    .endr
    PROBE "cr0-bits", \mode, 0, (-NEED_CHECKS*(\mode==LONG64))
    .if \mode == LONG64
    SWEEP ENV_RBX, 8, 0, 63
    BEGIN
    mov %cr0, %rax
    btc %rbx, %rax
    mov %rax, %cr0
    mov %cr0, %rcx
    .else
    SWEEP ENV_RBX, 8, 1, 30
    BEGIN
    mov %cr0, %eax
    btc %ebx, %eax
    mov %eax, %cr0
    mov %cr0, %ecx
    .endif
    END
    PROBE "cr3-bits", \mode, 0, (-NEED_CHECKS*(\mode==LONG64))
    .if \mode == LONG64
    SET ENV_RBX, 8, 51, 52, 63
    BEGIN
    mov %cr3, %rax
    btc %rbx, %rax
    mov %rax, %cr3
    .else
    SWEEP ENV_RBX, 8, 0, 31
    BEGIN
    mov %cr3, %eax
    btc %ebx, %eax
    mov %eax, %cr3
    .endif
    END
    PROBE "cr3-low", \mode, 0
    SWEEP ENV_RBX, 8, 0, 11
    BEGIN
    .if \mode == LONG64
    mov %cr3, %rax
    bts %rbx, %rax
    mov %rax, %cr3
    mov %cr3, %rcx
    .else
    mov %cr3, %eax
    bts %ebx, %eax
    mov %eax, %cr3
    mov %cr3, %ecx
    .endif
    END
    .endr
    PROBE "cr4-vme-to-tsd", PROT32, 0
    SWEEP ENV_RBX, 8, 0, 10
    BEGIN
    mov %cr4, %eax
    btc %ebx, %eax
    mov %eax, %cr4
    mov %cr4, %ecx
    END
    PROBE "cr4-reserved", LONG64, 0, NEED_CHECKS
    SET ENV_RBX, 8, 15, 63
    BEGIN
    mov %cr4, %rax
    btc %rbx, %rax
    mov %rax, %cr4
    END
    PROBE "cr8", LONG64, 0
    SET ENV_RBX, 8, 0, 5, 15, 16, 0x100000000
    BEGIN
    mov %rbx, %cr8
    mov %cr8, %rax
    xor %ebx, %ebx
    mov %rbx, %cr8
    END
    PROBE "lmsw", PROT32, 0
    SET ENV_RBX, 8, 0, 1, 2, 4, 8, 0xffff
    BEGIN
    lmsw %bx
    smsw %eax
    END
    PROBE "lmsw", REAL, 0
    SET ENV_RBX, 8, 0, 2, 8
    BEGIN
    lmsw %bx
    smsw %ax
    END
    .irp mode, PROT32, COMP32, LONG64
    PROBE "smsw", \mode, 3
    SET ENV_RAX, 8, 0xffffffffffffffff
    BEGIN
    smsw %eax
    smsw %cx
    smsw DATA
    END
    PROBE "clts", \mode, 0
    SET ENV_CR0, 1, 0x39
    BEGIN
    clts
    END
    .endr

    /* ---- descriptor table registers ---- */
    .irp mode, REAL, PROT16, PROT32, COMP32, LONG64
    .irp ring, 0, 3
    .if \mode != REAL || \ring == 0
    PROBE "sgdt", \mode, \ring
    BEGIN
    sgdt DATA + 0x10
    sidt DATA + 0x20
    END
    .endif
    .endr
    .endr
    .irp mode, PROT16, PROT32, LONG64
    .irp ring, 0, 3
    PROBE "sldt", \mode, \ring
    SET ENV_RAX, 8, 0xffffffffffffffff
    SET ENV_RCX, 8, 0xffffffffffffffff
    BEGIN
    sldt %eax
    str %ecx
    sldt %dx
    str %bx
    sldt DATA
    str DATA + 4
    END
    .endr
    .endr
    .irp mode, PROT32, LONG64
    .irp which, sgdt, sidt, sldt, str, smsw
    .irp ring, 0, 3
    PROBE "umip-\which", \mode, \ring, NEED_UMIP
    SET ENV_CR4 + 1, 1, 0x0e
    BEGIN
    \which DATA
    END
    .endr
    .endr
    .endr
    PROBE "lgdt-non-canonical", LONG64, 0, NEED_CHECKS
    SET DATA, 2, 0xff
    SET DATA + 2, 8, 0x800000000000, 0xffff7fffffffffff
    BEGIN
    lgdt DATA
    END
    PROBE "lidt-non-canonical", LONG64, 0, NEED_CHECKS
    SET DATA, 2, 0x3ff
    SET DATA + 2, 8, 0x800000000000
    BEGIN
    lidt DATA
    END
    PROBE "lgdt-16", PROT32, 0
    SET DATA, 8, 0xff000080000fff
    BEGIN
    .byte 0x66, 0x0f, 0x01, 0x15        /* the base has 24 bits */
    .long DATA
    sgdt DATA + 0x10
    END

    /* ---- MSRs ---- */
    .macro MSR name, index, values:vararg
    PROBE "msr-\name", LONG64, 0
    SET ENV_RBX, 8, \values
    BEGIN
    mov $\index, %ecx
    mov %ebx, %eax
    mov ENV_RBX + 4, %edx
    wrmsr
    rdmsr
    END
    .endm
    MSR "efer", 0xc0000080, 0xd01, 0x501, 0x901, 0xd00, 0xd03, 0x2d01, 0x100000d01, 0x8000000000000d01, 0xffffffff
    MSR "star", 0xc0000081, 0, 0xffffffffffffffff
    MSR "lstar", 0xc0000082, 0xffff800000000000, 0x7fffffffffff, 0x800000000000
    MSR "cstar", 0xc0000083, 0xffff800000000000, 0x800000000000
    MSR "fmask", 0xc0000084, 0xffffffff, 0x100000000
    MSR "fsbase", 0xc0000100, 0xffff800000000000, 0x800000000000
    MSR "gsbase", 0xc0000101, 0x7fffffffffff, 0x800000000000
    MSR "kgsbase", 0xc0000102, 0x7fffffffffff, 0x800000000000
    MSR "sysenter-cs", 0x174, 0xffff, 0xffffffff, 0x100000000
    MSR "sysenter-esp", 0x175, 0xffff800000000000, 0x800000000000
    MSR "sysenter-eip", 0x176, 0xffff800000000000, 0x800000000000
    MSR "pat", 0x277, 0x0007040600070406, 0x0007040600070402, 0x0807040600070406, 0x0007040600070405
    MSR "apic-base", 0x1b, 0xfee00900, 0xfee00901, 0x8000fee00900
    MSR "mtrr-def-type", 0x2ff, 0xc06, 0xc00, 0x802, 0x1c06
    MSR "mtrr-fixed", 0x250, 0x0606060606060606, 0x0606060606060602
    MSR "none", 0x5ffffff0, 0
    MSR "none-low", 0x16, 0
    PROBE "rdmsr-none", LONG64, 0
    SET ENV_RCX, 8, 0x5ffffff0, 0xc0000fff, 0x10000000c0000080
    BEGIN
    rdmsr
    END
    PROBE "efer-clears-upper", PROT32, 0
    BEGIN
    mov $0xc0000080, %ecx
    mov $EFER_LME + EFER_NXE, %eax
    xor %edx, %edx
    wrmsr
    rdmsr
    END
    PROBE "xsetbv", LONG64, 0
    SET ENV_RAX, 8, 0, 1, 2, 3, 5
    SET ENV_RCX, 8, 0, 1
    SET ENV_RDX, 8, 0
    SET ENV_CR4 + 2, 1, 0x04, 0
    BEGIN
    xsetbv
    mov $1, %eax
    xor %ecx, %ecx
    xsetbv
    END
    PROBE "rdtscp", LONG64, 3, NEED_RDTSCP
    SET ENV_CR4, 1, CR4_PAE + CR4_TSD
    BEGIN
    rdtscp
    END
    PROBE "interrupt-shadow-hlt", PROT32, 3
    BEGIN
    hlt
    END
