/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of the bare-metal guest behind pvh.inc: 64-bit code, the trampoline of the other
 * processors, trap entries, ring 3.
 */
#include "pvh.inc"

pvh_started:
    lgdt gdt_pointer
    ljmp $0x08, $entry64

    .code64
entry64:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $stack_top, %rsp
    mov start_info(%rip), %edi
    call guest_main
1:  hlt
    jmp 1b

/* ---- the other processors: copied to 0x8000, entered there in real mode by SIPI ---- */
    .code16
    .globl ap_trampoline, ap_trampoline_end
ap_trampoline:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl 0x8000 + (ap_gdt_pointer - ap_trampoline)
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $0x30, $0x8000 + (ap32 - ap_trampoline)
    .code32
ap32:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov ap_stack, %esp
    mov $enable_long_mode, %eax
    call *%eax
    ljmp $0x08, $ap64
    .balign 4
ap_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
ap_trampoline_end:

    .code64
ap64:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov ap_stack(%rip), %rsp
    call ap_main
1:  hlt
    jmp 1b

/* ---- tables of a processor ---- */
    .globl load_tables
load_tables:                            /* gdt, gdt_limit, idt, idt_limit */
    sub $16, %rsp
    mov %si, (%rsp)
    mov %rdi, 2(%rsp)
    lgdt (%rsp)
    mov %cx, (%rsp)
    mov %rdx, 2(%rsp)
    lidt (%rsp)
    add $16, %rsp
    mov $0x28, %eax
    ltr %ax
    ret

/* ---- traps ---- */
    .macro TRAP_ENTRY n
trap_entry_\n:
    .if (\n == 8) || (\n >= 10 && \n <= 14) || (\n == 17) || (\n == 21)
    .else
    push $0
    .endif
    push $\n
    jmp trap_common
    .endm

    .altmacro
    .macro TRAP_ENTRY_EXPANDED n
    TRAP_ENTRY \n
    .endm
    .set i, 0
    .rept 256
    TRAP_ENTRY_EXPANDED %i
    .set i, i + 1
    .endr

trap_common:
    push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %rbp
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    call trap
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rbp
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    add $16, %rsp
    iretq

/* ---- ring 3, and a place to return to from a trap ---- */
    .macro SAVE_CALLEE
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm
    .macro RESTORE_CALLEE
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    .endm

    .globl user_run, user_leave
user_run:                               /* fn, argument */
    SAVE_CALLEE
    mov %rsp, user_saved_rsp(%rip)
    mov %rdi, %rax
    mov %rsi, %rdi
    push $0x1b
    lea user_stack_top(%rip), %rcx
    push %rcx
    push $2                             /* RFLAGS: interrupts off */
    push $0x23
    lea user_start(%rip), %rcx
    push %rcx
    iretq
user_start:
    call *%rax
    ud2
user_leave:
    mov %rdi, %rax
    mov user_saved_rsp(%rip), %rsp
    RESTORE_CALLEE
    ret

    .globl catch_trap, catch_resume
catch_trap:                             /* fn */
    SAVE_CALLEE
    mov %rsp, catch_saved_rsp(%rip)
    sub $8, %rsp
    call *%rdi
    add $8, %rsp
    RESTORE_CALLEE
    mov $-1, %eax
    ret
catch_resume:
    mov catch_saved_rsp(%rip), %rsp
    RESTORE_CALLEE
    mov last_trap(%rip), %eax
    ret

/* ---- data ---- */
    .section .rodata
    .balign 8
    .globl trap_entries
    .macro TRAP_POINTER n
    .quad trap_entry_\n
    .endm
trap_entries:
    .set i, 0
    .rept 256
    TRAP_POINTER %i
    .set i, i + 1
    .endr

    .data
    .balign 16
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* 0x08 code, 64 bits */
    .quad 0x00cf93000000ffff            /* 0x10 data */
    .quad 0x00cff3000000ffff            /* 0x18 user data */
    .quad 0x00affb000000ffff            /* 0x20 user code, 64 bits */
    .quad 0
    .quad 0x00cf9b000000ffff            /* 0x30 code, 32 bits */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
start_info:
    .long 0
    .balign 8
    .globl ap_stack
ap_stack:
    .quad 0
user_saved_rsp:
    .quad 0
catch_saved_rsp:
    .quad 0

/* One to one, 4 GiB in pages of 2 MiB, for every ring. */
    .balign 4096
    .globl page_map, page_directory_pointers
page_map:
    .quad page_directory_pointers + 7
    .fill 511, 8, 0
page_directory_pointers:
    .quad page_directories + 7, page_directories + 0x1007, page_directories + 0x2007, page_directories + 0x3007
    .fill 508, 8, 0
page_directories:
    .set i, 0
    .rept 2048
    .quad i * 0x200000 + 0x87
    .set i, i + 1
    .endr

    .bss
    .balign 16
    .skip 16384
stack_top:
    .skip 16384
user_stack_top:

    .section .note.GNU-stack, "", @progbits
