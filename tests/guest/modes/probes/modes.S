/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every mode runs, keeps its stack's and its operands' widths, and can be left for every other: SDM 3-9.8, 3-9.9.
 */
#include "../probe.h"

    .macro EVERYWHERE macro
    \macro REAL, 0
    \macro UNREAL, 0
    \macro V86, 3
    .irp mode, PROT16, PROT32, PSE32, PAE32, COMP16, COMP32, LONG64
    \macro \mode, 0
    \macro \mode, 3
    .endr
    .endm

    .macro NOTHING mode, ring
    PROBE "nothing", \mode, \ring
    BEGIN
    END
    .endm
    EVERYWHERE NOTHING

    .macro STORE mode, ring
    PROBE "store", \mode, \ring
    BEGIN
    movl $0x12345678, DATA
    movb $0x9a, DATA + 6
    movw DATA + 12, %bx
    END
    .endm
    EVERYWHERE STORE

    .macro PUSHES mode, ring
    PROBE "push", \mode, \ring
    BEGIN
    push $0x11
    pushw $0x22
    push $-3
    pop %ax
    END
    .endm
    EVERYWHERE PUSHES

    .macro CALLS mode, ring
    PROBE "call", \mode, \ring
    BEGIN
    call 1f
    mov $0x77, %cl
    jmp 2f
1:  ret $8
2:
    END
    .endm
    EVERYWHERE CALLS

    .macro FLAGS mode, ring
    PROBE "popf", \mode, \ring
    BEGIN
    push $0x7ed7                 /* everything that 16 bits hold, NT and IOPL too */
    popf
    pushf
    pop %ax
    END
    .endm
    .irp mode, PROT16, PROT32, COMP16, COMP32, LONG64
    FLAGS \mode, 0
    FLAGS \mode, 3
    .endr
    FLAGS REAL, 0
    .irp mode, PROT32, COMP32
    .irp ring, 0, 3
    PROBE "popf-wide", \mode, \ring
    BEGIN
    push $0x3dfad7                      /* RF, VM, AC, VIF, VIP, ID */
    popf
    pushf
    pop %eax
    END
    .endr
    .endr

    .macro ENTER_LEAVE mode, ring
    PROBE "enter", \mode, \ring
    BEGIN
    enter $8, $2
    leave
    END
    .endm
    EVERYWHERE ENTER_LEAVE

    /* The stack pointer wraps at 64 KiB where the stack is of 16 bits. */
    .irp mode, REAL, PROT16
    PROBE "push-wraps", \mode, 0
    SET ENV_SP, 8, 0x8c02
    BEGIN
    mov $0x10008c00, %esp
    pushl %esp
    pushw %sp
    mov %esp, %eax
    END
    .endr

    PROBE "long-address", REAL, 0
    BEGIN
    mov $0x10000, %ebx
    mov (%ebx), %al
    END

    PROBE "long-address", UNREAL, 0
    BEGIN
    mov $PD_32, %ebx
    mov (%ebx), %al
    mov $0x9000, %ebx
    mov (%ebx), %ecx
    END

    PROBE "limit-straddled", REAL, 0
    SWEEP ENV_RBX, 4, 0xfffd, 0xffff
    BEGIN
    mov (%bx), %ax
    mov (%bx), %eax
    END

    PROBE "stack-limit-straddled", REAL, 0
    SWEEP ENV_RBP, 4, 0xfffd, 0xffff
    BEGIN
    mov (%bp), %ax
    mov (%bp), %eax
    END

    PROBE "segment-is-a-paragraph", REAL, 0
    BEGIN
    mov $0x8f0, %ax
    mov %ax, %es
    mov %es:0x100, %ecx
    movl $0x5a5a5a5a, %es:0x110
    END

    PROBE "wraps-not-above-1-mib", REAL, 0
    BEGIN
    mov $0xffff, %ax
    mov %ax, %ds
    movl $0x600df00d, 0x10
    movl 0x10, %ecx
    mov $0, %ax
    mov %ax, %ds
    movl 0, %edx
    END

    /* ---- from one mode to another ---- */
    PROBE "real-to-protected", REAL, 0
    SET IDT, 8, GATE(CS32_0, STUBS_32, 0x8e, 0)
    SWEEP ENV_RBX, 4, 0, 1
    BEGIN
    lgdtl HERE(1f)
    lidtl HERE(2f)
    mov %cr0, %eax
    or $CR0_PE, %al
    mov %eax, %cr0
    mov $DS_0, %cx                      /* still 16 bits and base 0, but selectors are selectors now */
    mov %cx, %ds
    mov %cx, %es
    cmp $0, %bx
    jne 4f
    ljmpl $CS32_0, $HERE(3f)
1:  .word 0xff
    .long GDT
2:  .word 0x1ff
    .long IDT
    .code32
3:  mov %cs, %edx
    ud2
    .code16
4:
    END

    PROBE "protected-to-real", PROT16, 0
    BEGIN
    mov $DS16_0, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    lidtl HERE(1f)
    mov %cr0, %eax
    and $~CR0_PE, %eax
    mov %eax, %cr0
    ljmp $0, $HERE(2f)
1:  .word 0x3ff
    .long 0
2:  mov $0x900, %ax
    mov %ax, %ds
    mov 0x10, %ecx
    xor %ax, %ax
    END

    .macro PAGING name, map, cr4, efer
    PROBE "protected-to-\name", PROT32, 0
    BEGIN
    mov $\cr4, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    mov $\efer, %eax
    xor %edx, %edx
    wrmsr
    mov $\map, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    jmp 1f
1:  rdmsr
    mov DATA, %ebx
    END
    .endm
    PAGING "pse", PD_32, CR4_PSE, 0
    PAGING "two-level", PD_32, 0, EFER_NXE
    PAGING "pae", PDPT_PAE, CR4_PAE, EFER_NXE

    PROBE "long-needs-pae", PROT32, 0, NEED_CHECKS
    BEGIN
    mov $0xc0000080, %ecx
    mov $EFER_LME, %eax
    xor %edx, %edx
    wrmsr
    mov $PML4, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    END

    PROBE "pse-to-pae", PSE32, 0
    BEGIN
    mov %cr0, %ebx
    and $~CR0_PG, %ebx
    mov %ebx, %cr0
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $PDPT_PAE, %eax
    mov %eax, %cr3
    or $CR0_PG, %ebx
    mov %ebx, %cr0
    mov DATA, %ecx
    END

    PROBE "pae-off-reloads", PAE32, 0
    BEGIN
    mov $PD_32, %eax
    mov %cr0, %ebx
    and $~CR0_PG, %ebx
    mov %ebx, %cr0
    mov %eax, %cr3
    xor %eax, %eax
    mov %eax, %cr4
    or $CR0_PG, %ebx
    mov %ebx, %cr0
    mov DATA, %ecx
    END

    .macro REFUSED name, mode, register, clear, set
    PROBE "\name", \mode, 0, NEED_CHECKS
    BEGIN
    .if \mode == LONG64
    mov %\register, %rax
    and $~\clear, %eax                  /* none of these bits is in the upper half */
    or $\set, %eax
    mov %rax, %\register
    .else
    mov %\register, %eax
    and $~\clear, %eax
    or $\set, %eax
    mov %eax, %\register
    .endif
    END
    .endm
    REFUSED "long-keeps-pae", LONG64, cr4, CR4_PAE, 0
    REFUSED "long-keeps-pae", COMP32, cr4, CR4_PAE, 0
    REFUSED "64-bit-keeps-paging", LONG64, cr0, 0x80000000, 0
    REFUSED "paging-needs-pe", PSE32, cr0, CR0_PE, 0
    REFUSED "nw-needs-cd", PROT32, cr0, 0, CR0_NW

    PROBE "efer-lme-while-paging", LONG64, 0
    BEGIN
    mov $0xc0000080, %ecx
    rdmsr
    mov $EFER_NXE, %eax
    wrmsr
    END

    PROBE "efer-lme-while-paging", PAE32, 0
    BEGIN
    mov $0xc0000080, %ecx
    rdmsr
    mov $EFER_LME, %eax
    wrmsr
    END

    .macro WAY mode, to, width
    PROBE "to-\to", \mode, 0
    BEGIN
    .if \mode == LONG64
    push $\to
    push $HERE(1f)
    lretq
    .elseif \mode < FIRST_32_BIT
    ljmpl $\to, $HERE(1f)
    .else
    ljmp $\to, $HERE(1f)
    .endif
    .code\width
1:  mov %cs, %bx
    .if \width == 64
    mov $0x123456789abcdef0, %rdx
    .else
    mov $0x7654321, %edx
    .endif
    ud2
    .if \mode == LONG64
    .code64
    .endif
    END
    .endm
    .irp mode, PROT16, PROT32, COMP16, COMP32, LONG64
    WAY \mode, CS16_0, 16
    WAY \mode, CS32_0, 32
    .endr
    .irp mode, COMP16, COMP32, LONG64
    WAY \mode, CS64_0, 64
    .endr
