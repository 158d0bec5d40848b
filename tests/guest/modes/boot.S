/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of the modes guest: the way to 64-bit code behind pvh.inc, and home's tables.
 */
#include "../pvh.inc"

pvh_started:
    lgdt home_gdt_pointer
    ljmp $0x18, $1f
    .code64
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack_top, %rsp
    mov start_info, %edi
    call guest_main
2:  hlt
    jmp 2b

    .data
    .balign 16
home_gdt:                               /* the first selectors are those of a probe's table */
    .quad 0
    .quad 0x00cf9b000000ffff            /* CS32_0 */
    .quad 0x00cf93000000ffff            /* DS_0 */
    .quad 0x00af9b000000ffff            /* CS64_0 */
home_gdt_pointer:
    .word . - home_gdt - 1
    .quad home_gdt
start_info:
    .long 0

/* One to one, 4 GiB in pages of 2 MiB. */
    .balign 4096
    .globl page_map
page_map:
    .quad home_pointers + 3
    .fill 511, 8, 0
home_pointers:
    .set i, 0
    .rept 4
    .quad home_directories + i * 4096 + 3
    .set i, i + 1
    .endr
    .fill 508, 8, 0
home_directories:
    .set i, 0
    .rept 2048
    .quad i * 0x200000 + 0x83
    .set i, i + 1
    .endr

    .bss
    .balign 16
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
