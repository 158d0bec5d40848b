/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging: every error code of #PF, accessed and dirty bits, the sizes of pages, reserved bits, SMEP, SMAP, NX, WP, PCID.
 * SDM 3-4.5 to 3-4.12.
 */
#include "../probe.h"

    /* The lowest byte of an entry: P, W, U; A and D clear, so the processor's own marks show. */
#define RIGHTS 0, 1, 3, 5, 7, 6

    .macro ENTRIES macro
    \macro PSE32, PTE_32(0xb)
    \macro PAE32, PTE_PAE(0xb)
    \macro LONG64, PTE_PAE(0xb)
    .endm

    .macro ACCESSES mode, entry
    .irp ring, 0, 3
    .irp wp, 0x00, 0x01
    PROBE "read-wp\wp", \mode, \ring
    SET ENV_CR0 + 2, 1, \wp
    SET \entry, 1, RIGHTS
    BEGIN
    mov PAGE + 4, %eax
    END
    PROBE "write-wp\wp", \mode, \ring
    SET ENV_CR0 + 2, 1, \wp
    SET \entry, 1, RIGHTS
    BEGIN
    mov %ebx, PAGE + 4
    END
    PROBE "modify-wp\wp", \mode, \ring
    SET ENV_CR0 + 2, 1, \wp
    SET \entry, 1, RIGHTS
    BEGIN
    lock incb PAGE + 4
    END
    PROBE "compare-wp\wp", \mode, \ring
    SET ENV_CR0 + 2, 1, \wp
    SET \entry, 1, RIGHTS
    BEGIN
    lock cmpxchg %ebx, PAGE + 4         /* unequal: it writes all the same */
    END
    .endr
    PROBE "execute", \mode, \ring
    SET \entry, 1, RIGHTS
    SET PAGE, 4, 0x0b0f
    SET ENV_RBX, 8, PAGE
    BEGIN
    .byte 0xff, 0xe3                    /* JMP to BX */
    END
    .endr
    .endm
    ENTRIES ACCESSES

    /* ---- no execution ---- */
    .macro FORBIDS mode, entry
    .irp ring, 0, 3
    PROBE "nx", \mode, \ring
    SET ENV_EFER + 1, 1, \entry, (\entry - 8)
    SET (PTE_PAE(0xb) + 7), 1, 0x80
    SET PAGE, 4, 0x0b0f
    SET ENV_RBX, 8, PAGE
    BEGIN
    .byte 0xff, 0xe3
    END
    PROBE "nx-read", \mode, \ring
    SET ENV_EFER + 1, 1, \entry, (\entry - 8)
    SET (PTE_PAE(0xb) + 7), 1, 0x80
    BEGIN
    mov PAGE, %eax
    END
    PROBE "nx-write", \mode, \ring
    SET ENV_EFER + 1, 1, \entry, (\entry - 8)
    SET (PTE_PAE(0xb) + 7), 1, 0x80
    SET PTE_PAE(0xb), 1, 1, 5, 6
    BEGIN
    mov %eax, PAGE
    END
    .endr
    .endm
    FORBIDS PAE32, 0x08
    FORBIDS LONG64, 0x09

    /* ---- reserved bits ---- */
    .macro RESERVED mode, name, address, bits:vararg
    .irp ring, 0, 3
    PROBE "reserved-\name", \mode, \ring
    SET \address, 1, \bits
    BEGIN
    mov PAGE, %eax
    END
    .endr
    .endm
    RESERVED LONG64, "pte-high", (PTE_PAE(0xb) + 6), 0x08, 0x10, 0x80
    RESERVED PAE32, "pte-high", (PTE_PAE(0xb) + 6), 0x08, 0x10, 0x80
    RESERVED PAE32, "pte-highest", (PTE_PAE(0xb) + 7), 0x01, 0x40
    RESERVED LONG64, "pte-ignored", (PTE_PAE(0xb) + 7), 0x01, 0x40
    RESERVED LONG64, "pte-not-present", PTE_PAE(0xb), 0x00, 0x06
    RESERVED LONG64, "pat", PTE_PAE(0xb), 0xe7

    .irp ring, 0, 3
    PROBE "pse-page", PSE32, \ring
    SET PD_32 + 4, 4, 0x81, 0x83, 0x85, 0x87, 0x200083, 0x400083, 0x400087, 0x80
    BEGIN
    mov 0x400000 + DATA, %eax
    mov %ebx, 0x400004 + DATA
    END
    PROBE "pse-off", PSE32, \ring
    SET ENV_CR4, 1, 0
    SET PD_32 + 4, 4, PT_32 + 0x87, PT_32 + 0x83
    BEGIN
    mov 0x400000 + DATA, %eax
    END
    PROBE "table", PSE32, \ring
    SET PD_32 + 4, 4, PT_32 + 1, PT_32 + 3, PT_32 + 5, PT_32 + 7, PT_32 + 6
    SET PTE_32(0xb), 1, 1, 3, 5, 7
    BEGIN
    mov 0x400000 + PAGE, %eax
    mov %ebx, 0x400004 + PAGE
    END
    .irp mode, PAE32, LONG64
    PROBE "large-page", \mode, \ring
    SET PD_PAE + 8, 8, 0x81, 0x83, 0x85, 0x87, 0x1083, 0x2083, 0x100083, 0x8000000000000083, 0x8000000000087, 0x80
    BEGIN
    mov 0x200000 + DATA, %eax
    mov %ebx, 0x200004 + DATA
    END
    PROBE "table", \mode, \ring
    SET PD_PAE + 8, 8, PT_PAE + 1, PT_PAE + 3, PT_PAE + 5, PT_PAE + 7, PT_PAE + 6, PT_PAE + 0x8000000000000003
    SET PTE_PAE(0xb), 1, 1, 3, 5, 7
    BEGIN
    mov 0x200000 + PAGE, %eax
    mov %ebx, 0x200004 + PAGE
    END
    PROBE "nx-in-a-table", \mode, \ring
    SET PD_PAE + 8, 8, PT_PAE + 0x8000000000000007, PT_PAE + 0x7
    SET ENV_RBX, 8, 0x200000 + PAGE
    SET PAGE, 4, 0x0b0f
    BEGIN
    .byte 0xff, 0xe3
    END
    .endr
    PROBE "huge-page", LONG64, \ring, NEED_1G
    SET PDPT + 8, 8, 0x81, 0x83, 0x85, 0x87, 0x1083, 0x2083, 0x20000083, 0x8000000000087, 0x80
    BEGIN
    mov 0x40000000 + DATA, %eax
    mov %ebx, 0x40000004 + DATA
    END
    PROBE "directory", LONG64, \ring
    SET PDPT + 8, 8, PD_PAE + 1, PD_PAE + 3, PD_PAE + 5, PD_PAE + 7, PD_PAE + 6
    SET PD_PAE, 4, PT_PAE + 7
    BEGIN
    mov 0x40000000 + PAGE, %eax
    mov %ebx, 0x40000004 + PAGE
    END
    PROBE "top", LONG64, \ring
    SET PML4 + 8, 8, PDPT + 1, PDPT + 3, PDPT + 5, PDPT + 7, PDPT + 0x87, PDPT + 6
    BEGIN
    mov $0x8000000000 + PAGE, %rsi
    mov (%rsi), %eax
    mov %ebx, 4(%rsi)
    END
    PROBE "marks", LONG64, \ring
    SET PML4 + 8, 8, PDPT + 7
    SET PDPT + 8, 8, PD_PAE + 7
    SET PD_PAE + 8, 8, PT_PAE + 7, 0x87
    SET PTE_PAE(9), 1, 7
    BEGIN
    mov $0x8040200000 + DATA, %rsi
    mov (%rsi), %eax
    END
    .endr

    .irp bits, 0x21, 0x3, 0x5, 0x1e1, 0x8000000000001, 0x8000000000000001
    PROBE "pdpte-\bits", PAE32, 0
    BEGIN
    movl $(PD_PAE + \bits) & 0xffffffff, PDPT_PAE + 8
    movl $(PD_PAE + \bits) >> 32 & 0xffffffff, PDPT_PAE + 12
    mov %cr3, %eax
    mov %eax, %cr3                      /* here the reserved bits are found */
    mov 0x40000000 + DATA, %eax
    END
    .endr
    PROBE "pdpte-cached", PAE32, 0
    BEGIN
    movl $PD_PAE + 1, PDPT_PAE + 8
    mov 0x40000000 + DATA, %eax         /* not seen before CR3 is loaded */
    END

    /* ---- across pages ---- */
    .macro ACROSS mode, entry
    .irp ring, 0, 3
    PROBE "across", \mode, \ring
    SET \entry, 1, 0, 1, 5, 7
    SWEEP ENV_RBX, 8, (PAGE + 0xffd), (PAGE + 0xfff)
    BEGIN
    .byte 0x66, 0x8b, 0x03              /* MOV (BX), AX in 16 bits, then in 32 */
    .byte 0x8b, 0x03
    .byte 0x89, 0x13                    /* MOV EDX, (BX) */
    END
    .endr
    .endm
    ACROSS PSE32, PTE_32(0xc)
    ACROSS PAE32, PTE_PAE(0xc)
    ACROSS LONG64, PTE_PAE(0xc)
    PROBE "code-across", LONG64, 3
    SET PTE_PAE(0xc), 1, 0, 3, 7
    SET PAGE + 0xffc, 4, 0x0001c0c7
    SET PAGE + 0x1000, 4, 0x0b0f0000
    SET ENV_RBX, 8, PAGE + 0xffc
    BEGIN
    jmp *%rbx
    END
    PROBE "string-across", LONG64, 3
    SET PTE_PAE(0xc), 1, 0
    SET ENV_RDI, 8, PAGE + 0xff4
    SET ENV_RSI, 8, DATA
    SET ENV_RCX, 8, 5
    BEGIN
    rep movsl
    END

    /* ---- SMEP, SMAP ---- */
    .irp mode, PSE32, PAE32, LONG64
    PROBE "smep", \mode, 0, NEED_SMEP
    SET ENV_CR4 + 2, 1, 0x10, 0
    SET PAGE, 4, 0x0b0f
    SET ENV_RBX, 8, PAGE
    BEGIN
    .byte 0xff, 0xe3
    END
    .irp flags, F_1, (F_1 + F_AC)
    PROBE "smap-\flags", \mode, 0, NEED_SMAP
    SET ENV_CR4 + 2, 1, 0x20, 0
    SET ENV_FLAGS, 4, \flags
    BEGIN
    mov PAGE, %eax
    mov %eax, PAGE + 4
    END
    .endr
    PROBE "stac", \mode, 0, NEED_SMAP
    SET ENV_CR4 + 2, 1, 0x20, 0
    BEGIN
    stac
    mov PAGE, %eax
    clac
    mov PAGE, %ebx
    END
    PROBE "stac", \mode, 3, NEED_SMAP
    BEGIN
    stac
    END
    .endr
    /* ---- addresses that are none ---- */
    .macro NON_CANONICAL name, what:vararg
    .irp ring, 0, 3
    PROBE "non-canonical-\name", LONG64, \ring
    SET ENV_RBX, 8, 0x800000000000, 0xffff7fffffffffff, 0x7ffffffffffd, 0xffff800000000000
    BEGIN
    \what
    END
    .endr
    .endm
    NON_CANONICAL "read", mov (%rbx), %eax
    NON_CANONICAL "write", mov %eax, (%rbx)
    NON_CANONICAL "jmp", jmp *%rbx
    NON_CANONICAL "call", call *%rbx
    NON_CANONICAL "prefetch", prefetcht0 (%rbx)
    NON_CANONICAL "rep", mov %rbx, %rsi; rep lodsb
    NON_CANONICAL "ret", push %rbx; ret
    NON_CANONICAL "push", mov %rbx, %rbp; pushq (%rbp)
    NON_CANONICAL "fs", mov %fs:(%rbx), %eax
    .irp ring, 0, 3
    PROBE "non-canonical-far", LONG64, \ring
    .if \ring
    SET ENV_RCX, 8, CS64_3
    SET ENV_RDX, 8, DS_3
    .else
    SET ENV_RCX, 8, CS64_0
    SET ENV_RDX, 8, DS_0
    .endif
    BEGIN
    push %rcx
    mov $0x800000000000, %rbx
    push %rbx
    lretq
    END
    PROBE "non-canonical-iret", LONG64, \ring
    .if \ring
    SET ENV_RCX, 8, CS64_3
    SET ENV_RDX, 8, DS_3
    .else
    SET ENV_RCX, 8, CS64_0
    SET ENV_RDX, 8, DS_0
    .endif
    BEGIN
    mov %rsp, %rax
    push %rdx
    push %rax
    pushfq
    push %rcx
    mov $0x800000000000, %rbx
    push %rbx
    iretq
    END
    .endr
    .irp ring, 3                        /* in ring 0 the exception itself would have no stack */
    PROBE "non-canonical-stack", LONG64, \ring
    SET ENV_SP, 8, 0x800000000008, 0x800000000000, 0xffff800000000000, 0xffff800000000004
    BEGIN
    push %rax
    END
    PROBE "non-canonical-bp", LONG64, \ring
    SET ENV_RBP, 8, 0x800000000008, 0xffff800000000004
    BEGIN
    mov (%rbp), %eax
    END
    .endr

    /* ---- TLBs ---- */
    PROBE "invlpg", LONG64, 0
    BEGIN
    mov PAGE, %eax
    movb $0, PTE_PAE(0xb)
    invlpg PAGE
    mov PAGE, %ebx
    END
    PROBE "cr3-flushes", LONG64, 0
    BEGIN
    mov PAGE, %eax
    movb $0, PTE_PAE(0xb)
    mov %cr3, %rdx
    mov %rdx, %cr3
    mov PAGE, %ebx
    END
    PROBE "cr4-flushes-global", LONG64, 0
    SET ENV_CR4, 1, CR4_PAE + CR4_PGE
    SET (PTE_PAE(0xb) + 1), 1, 0xb1
    BEGIN
    mov PAGE, %eax
    movb $0, PTE_PAE(0xb)
    mov %cr4, %rdx
    xor $CR4_PGE, %dl
    mov %rdx, %cr4
    mov PAGE, %ebx
    END
    PROBE "pcide", LONG64, 0, NEED_PCID
    SET ENV_RBX, 8, PML4, PML4 + 1, PML4 + 0x8000000000000fff
    BEGIN
    mov %cr4, %rax
    bts $17, %rax
    mov %rax, %cr4
    mov %rbx, %cr3
    mov %cr3, %rcx
    END
    PROBE "pcide-refused-with-a-pcid", LONG64, 0, NEED_PCID
    SET ENV_CR3, 4, PML4 + 8
    BEGIN
    mov %cr4, %rax
    bts $17, %rax
    mov %rax, %cr4
    END
    PROBE "pcide-outside-of-long-mode", PAE32, 0, NEED_PCID
    BEGIN
    mov %cr4, %eax
    bts $17, %eax
    mov %eax, %cr4
    END
    PROBE "pcide-keeps-paging", COMP32, 0, NEED_PCID
    BEGIN
    mov %cr4, %eax
    bts $17, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    btr $31, %eax
    mov %eax, %cr0
    END
    .irp ring, 0, 3
    PROBE "invpcid", LONG64, \ring, NEED_INVPCID
    SET ENV_RAX, 8, 0, 1, 2, 3, 4
    SET DATA, 8, 0, 1, 0x1000
    SET DATA + 8, 8, PAGE, 0x800000000000
    BEGIN
    invpcid DATA, %rax
    END
    .endr
    PROBE "invpcid", PAE32, 0, NEED_INVPCID
    SET ENV_RAX, 4, 0, 2, 3, 4
    SET DATA, 8, 0
    BEGIN
    invpcid DATA, %eax
    END
