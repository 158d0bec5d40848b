/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors of every type: loaded, used to their limits, and asked about.  SDM 3-3.4, 3-5.2 to 3-5.8; 2A LAR, LSL.
 */
#include "../probe.h"

    /* ---- loads ---- */
    .macro LOADS mode, ring, selector
    .irp reg, ds, ss
    .irp first, 0x80, 0xe0, 0x10
    PROBE "load-\reg", \mode, \ring
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfffff, 0, FLAT32)
    SWEEP (GDT + TEST + 5), 1, \first, (\first + 0x15)
    BEGIN
    mov $\selector, %eax
    mov %eax, %\reg
    END
    PROBE "load-\reg", \mode, \ring
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfff, 0, 4) /* expands down */
    SWEEP (GDT + TEST + 5), 1, (\first + 0x16), (\first + 0x17)
    BEGIN
    mov $\selector, %eax
    mov %eax, %\reg
    END
    PROBE "load-\reg", \mode, \ring
    SET GDT + TEST, 8, DESCRIPTOR(0, 0xfffff, 0, FLAT32)
    SWEEP (GDT + TEST + 5), 1, (\first + 0x18), (\first + 0x1f)
    BEGIN
    mov $\selector, %eax
    mov %eax, %\reg
    END
    .endr
    .endr
    .endm
    LOADS PROT32, 0, TEST
    LOADS PROT32, 3, (TEST + 3)
    LOADS LONG64, 0, TEST
    LOADS LONG64, 3, (TEST + 3)

    .irp mode, PROT16, PROT32, COMP32, LONG64
    .irp reg, ds, es, fs, gs, ss
    PROBE "selector-\reg", \mode, 0
    SET ENV_RAX, 4, 0, 3, DS_0 + 1, DS_3, DS_1, CS32_0, CS32C, TR, LDTR, 0x0c, 0x0f, 0x14, 0x3c, 0x44, 0xb8, 0x100, 0xffff
    BEGIN
    mov %ax, %\reg
    END
    PROBE "selector-\reg", \mode, 3
    SET ENV_RAX, 4, 0, 3, DS_0, DS_3 - 3, DS_1, CS32_3, CS32C + 3, 0x0c, 0x0f, 0x17, 0x44, 0x103
    BEGIN
    mov %ax, %\reg
    END
    .endr
    PROBE "null-used", \mode, 3
    SET ENV_ES, 2, 0, 3
    BEGIN
    mov %es:DATA, %al
    END
    PROBE "ldt-none", \mode, 3
    SET ENV_LDTR, 2, 0
    BEGIN
    mov $0x0f, %ax
    mov %ax, %es
    END
    .endr

    .irp mode, PROT32, COMP32
    PROBE "lds", \mode, 0
    SET DATA, 8, 0x1000000000 + DATA, DATA, 0x10000000000 + DATA, 0xb800000000 + DATA
    BEGIN
    lds DATA, %ebx
    END
    PROBE "lss", \mode, 0
    SET DATA, 8, 0x1000000000 + STACK0, STACK0, 0xf000000000 + STACK0 - 0x20
    BEGIN
    lss DATA, %esp
    END
    PROBE "push-segment", \mode, 0
    BEGIN
    push %ds
    pushw %ss
    push %fs
    pop %gs
    END
    PROBE "pop-segment-absent", \mode, 0
    BEGIN
    push $0xb8
    pop %es
    END
    .endr
    PROBE "lfs-64", LONG64, 0
    SET DATA, 8, 0x123456789abcdef0
    SET DATA + 8, 2, DS_0, 0, 0xb8
    BEGIN
    .byte 0x48, 0x0f, 0xb4, 0x1c, 0x25
    .long DATA                          /* LFS with REX.W; AMD's ignore REX.W */
    END

    /* ---- limits ---- */
    .macro LIMIT name, mode, ring, selector, access, descriptor:vararg
    PROBE "limit-\name", \mode, \ring
    SET GDT + TEST, 8, \descriptor
    SET (GDT + TEST + 5), 1, (\access + \ring * 0x20)
    SET ENV_RBX, 4, 0x1b, 0x1c, 0x1d, 0x1f, 0x20, 0x22, 0xfd, 0xfffc, 0xfffd, 0x10000, 0xfffffffc, 0xfffffffd
    BEGIN
    mov $\selector, %ax
    mov %ax, %es
    mov %es:(%ebx), %eax
    mov %ecx, %es:(%ebx)
    END
    .endm
    .macro LIMITS mode, ring, selector
    LIMIT "up", \mode, \ring, \selector, 0x93, DESCRIPTOR(DATA, 0x1f, 0, 4)
    LIMIT "down", \mode, \ring, \selector, 0x97, DESCRIPTOR(DATA, 0x1f, 0, 4)
    LIMIT "down-16", \mode, \ring, \selector, 0x97, DESCRIPTOR(DATA, 0x1f, 0, 0)
    LIMIT "code", \mode, \ring, \selector, 0x9b, DESCRIPTOR(DATA, 0x1f, 0, 4)
    LIMIT "read-only", \mode, \ring, \selector, 0x91, DESCRIPTOR(DATA, 0x1f, 0, 4)
    LIMIT "page", \mode, \ring, \selector, 0x93, DESCRIPTOR(DATA, 0, 0, 0xc)
    LIMIT "down-none", \mode, \ring, \selector, 0x97, DESCRIPTOR(DATA, 0xfffff, 0, 0xc)
    .endm
    LIMITS PROT32, 0, TEST
    LIMITS PROT32, 3, (TEST + 3)
    LIMITS COMP32, 3, (TEST + 3)

    PROBE "stack-limit", PROT32, 0
    SET GDT + TEST, 8, DESCRIPTOR(DATA, 0x1f, 0x93, 4), DESCRIPTOR(DATA, 0x0f, 0x97, 4)
    SET GATE_32(12), 8, GATE(TR2, 0, 0x85, 0)
    SET GATE_32(6), 8, GATE(TR2, 0, 0x85, 0)
    SET ENV_RBX, 4, 0x20, 0x21, 0x14, 0x13, 4, 2, 0
    BEGIN
    mov $TEST, %ax
    mov %ax, %ss
    mov %ebx, %esp
    push %ebx
    END
    PROBE "code-limit", PROT32, 0
    SET GDT + TEST, 8, DESCRIPTOR(CODE, 0x40, 0x9b, 4), DESCRIPTOR(CODE, 0x41, 0x9b, 4), DESCRIPTOR(CODE, 0x42, 0x9b, 4), \
                       DESCRIPTOR(CODE, 0x43, 0x9b, 4)
    BEGIN
    ljmp $TEST, $0x40
    .org 900b + 0x40
    .byte 0x0f, 0x1f, 0x00              /* NOP of three bytes */
    END
    PROBE "code-execute-only", PROT32, 0
    SET GDT + TEST, 8, DESCRIPTOR(CODE, 0xfff, 0x99, 4), DESCRIPTOR(CODE, 0xfff, 0x9b, 4)
    BEGIN
    ljmp $TEST, $1f - 900b
1:  mov %cs:0, %eax
    mov %eax, %cs:0x100
    END

    /* ---- questions ---- */
    .macro ASKS mode, ring, selector
    .irp first, 0x80, 0xe0, 0x10
    .irp which, lar, lsl, verr, verw
    PROBE "\which", \mode, \ring
    SET GDT + TEST, 8, DESCRIPTOR(0x12345678, 0x0bcde, 0, 0xd)
    SWEEP (GDT + TEST + 5), 1, \first, (\first + 0x1f)
    BEGIN
    mov $\selector, %ecx
    .ifc \which, lar
    lar %ecx, %eax
    .endif
    .ifc \which, lsl
    lsl %ecx, %eax
    .endif
    .ifc \which, verr
    verr %cx
    .endif
    .ifc \which, verw
    verw %cx
    .endif
    END
    .endr
    .endr
    .endm
    ASKS PROT32, 0, TEST
    ASKS PROT32, 3, (TEST + 3)
    ASKS LONG64, 0, TEST
    ASKS LONG64, 3, (TEST + 3)

    .irp mode, PROT32, COMP32, LONG64
    .irp ring, 0, 3
    .irp which, lar, lsl, verr, verw
    PROBE "\which-selector", \mode, \ring
    SET ENV_RCX, 4, 0, 3, DS_0, DS_0 + 3, DS_3, CS32C, CS32C + 3, CS32_1, TR, LDTR, TR2, TR16, 0x0f, 0x44, 0xf8, 0x100
    BEGIN
    .ifc \which, lar
    lar %cx, %ax
    .endif
    .ifc \which, lsl
    lsl %cx, %ax
    .endif
    .ifc \which, verr
    verr %cx
    .endif
    .ifc \which, verw
    verw %cx
    .endif
    END
    .endr
    .endr
    .endr
    .irp mode, PROT16, PROT32, COMP32
    PROBE "arpl", \mode, 3
    SET ENV_RAX, 4, 0x10, 0x11, 0x12, 0x13
    SET ENV_RCX, 4, 0x20, 0x21, 0x22, 0x23
    BEGIN
    arpl %cx, %ax
    END
    .endr

    /* ---- system segments ---- */
    .irp mode, PROT32, LONG64
    .irp first, 0x80, 0x00
    PROBE "lldt", \mode, 0
    SET GDT + TEST, 8, DESCRIPTOR(LDT, 0x3f, 0, 0)
    SWEEP (GDT + TEST + 5), 1, \first, (\first + 0x1f)
    BEGIN
    mov $TEST, %ax
    lldt %ax
    mov $0x0f, %ax
    mov %ax, %es
    END
    PROBE "ltr", \mode, 0
    SET GDT + TEST, 8, DESCRIPTOR(TSS, 0x67, 0, 0)
    SWEEP (GDT + TEST + 5), 1, \first, (\first + 0x1f)
    BEGIN
    mov $TEST, %ax
    ltr %ax
    END
    .endr
    .irp which, lldt, ltr
    PROBE "\which-selector", \mode, 0
    SET ENV_RAX, 4, 0, 3, TR, LDTR, LDTR + 3, CS32_0, 0x0c, 0xb8, 0x100
    BEGIN
    \which %ax
    END
    .endr
    .endr
    PROBE "lldt-high", LONG64, 0
    SET GDT + LDTR + 8, 4, 0x8000, 0xffff8000, 0
    SET GDT + LDTR + 12, 4, 0, 0x100, 0x1f00
    SET ENV_LDTR, 2, 0
    BEGIN
    mov $LDTR, %ax
    lldt %ax
    END
    PROBE "ltr-high", LONG64, 0
    SET GDT + TEST, 8, DESCRIPTOR(TSS, 0x67, 0x89, 0)
    SET GDT + TEST + 8, 4, 0x8000, 0
    SET GDT + TEST + 12, 4, 0, 0x100, 0x1f00
    BEGIN
    mov $TEST, %ax
    ltr %ax
    END
    PROBE "ldt-limit", PROT32, 3
    SET GDT + LDTR, 2, 0xf, 0xe, 0x8, 0x7
    BEGIN
    mov $0x0f, %ax
    mov %ax, %es
    END
    PROBE "gdt-limit", PROT32, 3
    SET ENV_GDTR, 2, 0xff, 0xfe, 0xf8, 0xf7
    BEGIN
    mov $0xfb, %ax
    mov %ax, %es
    END
