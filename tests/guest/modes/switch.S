/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From home (64-bit code, everything mapped one to one) into a probe's mode, as ENV says, and back.
 *
 * Every way leads over 32-bit code without paging, where CR3, CR4 and EFER may be anything.  The last instruction is
 * an IRET whose frame C has written, so nothing is pushed on the probe's own stack.
 */
#include "layout.h"

    .macro LOAD_REGS_32
    mov ENV_RCX, %ecx
    mov ENV_RDX, %edx
    mov ENV_RBX, %ebx
    mov ENV_RBP, %ebp
    mov ENV_RSI, %esi
    mov ENV_RDI, %edi
    mov ENV_RAX, %eax
    .endm

    .section .low, "awx"
    .code64
    .globl probe_run
probe_run:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, HOME_RSP
    sidt HOME_IDTR
    lgdt ENV_GDTR
    mov $CATCH_STACK, %esp
    push $CS32_0
    push $go_32
    lretq

    .code32
go_32:
    mov $DS_0, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %cr0, %eax
    and $~CR0_PG, %eax
    mov %eax, %cr0
    mov $0xc0000080, %ecx
    mov ENV_EFER, %eax
    xor %edx, %edx
    wrmsr
    mov ENV_CR4, %eax
    mov %eax, %cr4
    mov ENV_CR3, %eax
    mov %eax, %cr3
    lidt ENV_IDTR
    mov ENV_CR0, %eax
    test $CR0_PE, %eax
    jz go_real
    mov %eax, %cr0
    jmp 1f
1:  testl $EFER_LME, ENV_EFER
    jnz 2f
    lldt ENV_LDTR
    ltr ENV_TR
    mov ENV_ES, %es
    mov ENV_FS, %fs
    mov ENV_GS, %gs
    LOAD_REGS_32
    testl $F_VM, ENV_FLAGS
    jnz 3f
    testl $3, ENV_CS
    jnz 3f
    mov ENV_SS, %ss
3:  mov ENV_FRAMESP, %esp
    mov ENV_DS, %ds
    iretl
2:  ljmp $CS64_0, $go_64

    .code64
go_64:
    lldt ENV_LDTR
    ltr ENV_TR
    mov ENV_ES, %es
    mov ENV_FS, %fs
    mov ENV_GS, %gs
    .set i, 0
    .rept 3                             /* FS.base, GS.base, KernelGSBase */
    mov $0xc0000100 + i, %ecx
    mov ENV_FSBASE + 8 * i, %eax
    mov ENV_FSBASE + 8 * i + 4, %edx
    wrmsr
    .set i, i + 1
    .endr
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov ENV_REGS + 8 * \n, %r\n
    .endr
    mov ENV_RCX, %rcx
    mov ENV_RDX, %rdx
    mov ENV_RBX, %rbx
    mov ENV_RBP, %rbp
    mov ENV_RSI, %rsi
    mov ENV_RDI, %rdi
    mov ENV_RAX, %rax
    mov ENV_FRAMESP, %rsp
    mov ENV_DS, %ds
    iretq

    .code32
go_real:
    ljmp $CS16_0, $1f
    .code16
1:  mov %eax, %ebx
    cmpl $0, ENV_UNREAL
    jne 2f
    mov $DS16_0, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
2:  mov %ebx, %cr0
    ljmp $0, $3f
3:  mov ENV_ES, %es
    mov ENV_FS, %fs
    mov ENV_GS, %gs
    mov ENV_SS, %ss
    mov ENV_FRAMESP, %esp
    LOAD_REGS_32
    mov ENV_DS, %ds
    iretw

/* ---- back: 32-bit code, DS and SS flat, paging as it was ---- */
    .code32
    .globl go_home
go_home:
    mov $0x33, %eax                     /* NE, ET, MP, PE */
    mov %eax, %cr0
    mov $0x620, %eax
    mov %eax, %cr4
    mov $page_map, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov $0x900, %eax
    xor %edx, %edx
    wrmsr
    lgdt HOME_GDTR
    movb $0x89, HOME_GDT + HOME_TR + 5
    mov $HOME_TR, %eax                  /* long mode is not entered with a task of 16 bits */
    ltr %ax
    mov $0x80000033, %eax
    mov %eax, %cr0
    ljmp $CS64_0, $1f
    .code64
1:  lidt HOME_IDTR
    lgdt HOME_GDTR
    mov $DS_0, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov HOME_RSP, %rsp
    push $2
    popfq
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
