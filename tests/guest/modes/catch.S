/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where every interrupt and exception of a probe ends: an entry for each vector and each width of gate, which saves in
 * CAPTURE what it finds and goes home.
 *
 * Handlers of 16 and 32 bits push what they save on the stack they were given, the only memory they know, and copy it
 * from there; the 64-bit one writes to absolute addresses at once.  What was pushed, from the lowest address: gs fs es
 * ds flags, PUSHAL's eight, the vector, 4 bytes each, then the processor's frame.
 */
#include "layout.h"

    .macro PUSH_ALL
    pushal
    pushfl
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    .endm

    .section .low_start, "awx"
    ud2                                 /* LAND */
    .org LAND_IRET - LOW_CODE
    .code32
    iretl

    .code16
    .org STUBS_16 - LOW_CODE
    .set i, 0
    .rept VECTORS
    .balign 8
    pushl $i
    jmp catch_16
    .set i, i + 1
    .endr

    .code32
    .org STUBS_32 - LOW_CODE
    .set i, 0
    .rept VECTORS
    .balign 8
    push $i
    jmp catch_32
    .set i, i + 1
    .endr

    .code64
    .org STUBS_64 - LOW_CODE
    .set i, 0
    .rept VECTORS
    .balign 16
    movb $i, CAP_VECTOR
    jmp catch_64
    .set i, i + 1
    .endr

/* ---- 16 bits ---- */
    .code16
catch_16:
    PUSH_ALL
    cld
    mov %cr0, %ebx
    test $CR0_PE, %bl
    jnz 2f
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %esp, CAP_SP
    mov %ss, CAP_SS
    mov %cs, CAP_CS
    mov %sp, %si
    mov $CAP_STACK, %di
    mov $32, %cx
    rep movsl %ss:(%si), %es:(%di)
    lgdtl HOME_GDTR
    mov %ebx, %eax
    or $CR0_PE, %eax
    mov %eax, %cr0
    ljmpl $CS32_0, $1f
2:  mov $DS_0, %ax
    mov %ax, %ds
    lgdtl HOME_GDTR
    ljmpl $CS32_0, $3f
    .code32
1:  mov $DS_0, %eax
    mov %eax, %ds
    movb $8, CAP_WIDTH
    jmp caught
3:  mov $DS_0, %eax
    mov %eax, %ds
    movb $16, CAP_WIDTH
    movl $CS16_0, CAP_CS
    jmp copy_stack

/* ---- 32 bits ---- */
catch_32:
    PUSH_ALL
    cld
    mov %cs, %ecx
    mov $DS_0, %eax
    mov %eax, %ds
    lgdt HOME_GDTR
    movb $32, CAP_WIDTH
    mov %ecx, CAP_CS
    str CAP_TR
    sldt CAP_LDTR
copy_stack:
    mov %esp, CAP_SP
    mov %ss, CAP_SS
    mov %esp, %esi
    cmpw $SS16_0, CAP_SS
    jb 1f
    movzwl %si, %esi
1:  mov $CAP_STACK, %edi
    mov $32, %ecx
2:  mov %ss:(%esi), %eax
    mov %eax, (%edi)
    add $4, %esi
    add $4, %edi
    dec %ecx
    jnz 2b
    mov %cr0, %ebx
caught:
    mov %ebx, CAP_CR0
    mov %cr2, %eax
    mov %eax, CAP_CR2
    mov %cr3, %eax
    mov %eax, CAP_CR3
    mov %cr4, %eax
    mov %eax, CAP_CR4
    mov $DS_0, %eax
    mov %eax, %ss
    mov $CATCH_STACK, %esp
    jmp go_home

/* ---- 64 bits ---- */
    .code64
catch_64:
    mov %rax, CAP_REGS
    mov %rcx, CAP_REGS + 8
    mov %rdx, CAP_REGS + 16
    mov %rbx, CAP_REGS + 24
    mov %rbp, CAP_REGS + 40
    mov %rsi, CAP_REGS + 48
    mov %rdi, CAP_REGS + 56
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov %r\n, CAP_REGS + 8 * \n
    .endr
    mov %rsp, CAP_SP
    mov %rsp, %rsi
    mov $CATCH_STACK, %esp
    pushfq
    popq CAP_FLAGS
    cld
    mov %es, CAP_SEGS
    mov %cs, CAP_CS
    mov %ss, CAP_SS
    mov %ds, CAP_SEGS + 12
    mov %fs, CAP_SEGS + 16
    mov %gs, CAP_SEGS + 20
    str CAP_TR
    sldt CAP_LDTR
    mov $CAP_STACK, %edi
    mov $8, %ecx
1:  mov (%rsi), %rax
    mov %rax, (%rdi)
    add $8, %rsi
    add $8, %rdi
    dec %ecx
    jnz 1b
    .set i, 0
    .rept 3
    mov $0xc0000100 + i, %ecx
    rdmsr
    mov %eax, CAP_BASES + 8 * i
    mov %edx, CAP_BASES + 8 * i + 4
    .set i, i + 1
    .endr
    movb $64, CAP_WIDTH
    mov %cr0, %rax
    mov %rax, CAP_CR0
    mov %cr2, %rax
    mov %rax, CAP_CR2
    mov %cr3, %rax
    mov %rax, CAP_CR3
    mov %cr4, %rax
    mov %rax, CAP_CR4
    btr $17, %rax                       /* PCIDE must go before paging does */
    mov %rax, %cr4
    lgdt HOME_GDTR
    push $CS32_0
    push $1f
    lretq
    .code32
1:  mov $DS_0, %eax
    mov %eax, %ds
    mov %eax, %ss
    jmp go_home

    .section .note.GNU-stack, "", @progbits
