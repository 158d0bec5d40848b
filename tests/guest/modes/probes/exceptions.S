/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The exceptions that instructions raise themselves, in every mode: SDM 3-6.15, APM 2-8.2.  Page faults, segment faults
 * and debug exceptions have files of their own.
 */
#include "../probe.h"

    .macro EVERYWHERE macro
    \macro REAL, 0
    \macro V86, 3
    .irp mode, PROT16, PROT32, PSE32, PAE32, COMP16, COMP32, LONG64
    \macro \mode, 0
    \macro \mode, 3
    .endr
    .endm

    .macro NOT_64 macro
    \macro REAL, 0
    \macro V86, 3
    .irp mode, PROT16, PROT32, COMP16, COMP32
    \macro \mode, 0
    \macro \mode, 3
    .endr
    .endm

    /* ---- #DE ---- */
    .macro DIVIDE mode, ring
    PROBE "de-zero", \mode, \ring
    BEGIN
    mov $0, %ecx
    div %ecx
    END
    PROBE "de-overflow", \mode, \ring
    BEGIN
    mov $0x80, %ax
    mov $0xff, %bl
    idiv %bl
    mov $0x8000, %ax
    idiv %bl
    END
    .endm
    EVERYWHERE DIVIDE
    .macro ADJUST mode, ring
    PROBE "de-aam", \mode, \ring
    BEGIN
    aam $0
    END
    .endm
    NOT_64 ADJUST

    /* ---- #BP, #OF, INT n ---- */
    .macro TRAPS mode, ring
    PROBE "bp", \mode, \ring
    BEGIN
    int3
    END
    PROBE "int-3", \mode, \ring
    BEGIN
    .byte 0xcd, 3
    END
    PROBE "int-30", \mode, \ring
    BEGIN
    int $0x30
    END
    PROBE "int-20", \mode, \ring
    BEGIN
    int $0x20
    END
    .endm
    EVERYWHERE TRAPS
    .macro OVERFLOW mode, ring
    PROBE "of", \mode, \ring
    BEGIN
    into
    mov $0x7f, %al
    inc %al
    into
    END
    PROBE "br", \mode, \ring
    SET DATA, 4, 0x00200010
    SET DATA + 4, 4, 0x30
    SET ENV_RAX, 4, 0x0f, 0x10, 0x20, 0x21, 0x200000
    BEGIN
    bound %ax, DATA
    bound %eax, DATA
    END
    .endm
    NOT_64 OVERFLOW

    /* ---- #UD ---- */
    .macro UNDEFINED mode, ring
    .irpc which, 0123456789abcd
    PROBE "ud-\which", \mode, \ring
    BEGIN
    .ifc \which, 0
    .byte 0x0f, 0xb9, 0xc0              /* UD1 */
    .endif
    .ifc \which, 1
    .byte 0x0f, 0xff, 0xc0              /* UD0 */
    .endif
    .ifc \which, 2
    .byte 0xf0, 0x90                    /* LOCK NOP */
    .endif
    .ifc \which, 3
    .byte 0xf0, 0x01, 0xc0              /* LOCK ADD to a register */
    .endif
    .ifc \which, 4
    .byte 0x8e, 0xc8                    /* MOV to CS */
    .endif
    .ifc \which, 5
    .byte 0x8c, 0xf8                    /* MOV from segment register 7 */
    .endif
    .ifc \which, 6
    .byte 0x8d, 0xc0                    /* LEA of a register */
    .endif
    .ifc \which, 7
    .byte 0xc7, 0xc8, 0, 0, 0, 0        /* group 11, not MOV */
    .endif
    .ifc \which, 8
    .byte 0x0f, 0xc7, 0xc8              /* CMPXCHG8B of a register */
    .endif
    .ifc \which, 9
    .byte 0xff, 0xf8                    /* group 5, 7 */
    .endif
    .ifc \which, a
    .byte 0xff, 0xe8                    /* JMP far to a register */
    .endif
    .ifc \which, b
    .byte 0x0f, 0x04                    /* reserved */
    .endif
    .ifc \which, c
    .byte 0x0f, 0x20, 0xc8              /* MOV from CR1 */
    .endif
    .ifc \which, d
    .byte 0x0f, 0x00, 0xf8              /* group 6, 7 */
    .endif
    END
    .endr
    .endm
    UNDEFINED REAL, 0
    UNDEFINED V86, 3
    UNDEFINED PROT32, 0
    UNDEFINED PROT32, 3
    UNDEFINED LONG64, 0
    UNDEFINED LONG64, 3

    .irp byte, 0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xc4, 0xc5, 0xce, 0xd4, \
               0xd5, 0xd6, 0xea
    PROBE "ud-in-64-bits-\byte", LONG64, 3
    BEGIN
    .byte \byte, 0, 0, 0, 0, 0, 0
    END
    .endr
    PROBE "too-long", LONG64, 3
    BEGIN
    .fill 15, 1, 0x66
    nop
    END
    PROBE "longest", LONG64, 3
    BEGIN
    .fill 14, 1, 0x66
    nop
    END
    PROBE "too-long", PROT32, 0
    BEGIN
    .fill 15, 1, 0x2e
    nop
    END

    /* ---- #NM, #MF, #XM ---- */
    .macro FLOATING mode, ring
    PROBE "nm", \mode, \ring
    SET ENV_CR0, 1, 0x31, 0x33, 0x35, 0x37, 0x39, 0x3b
    BEGIN
    fnop
    fwait
    END
    PROBE "nm-wait", \mode, \ring
    SET ENV_CR0, 1, 0x31, 0x33, 0x35, 0x39, 0x3b
    BEGIN
    fwait
    END
    PROBE "nm-mmx", \mode, \ring
    SET ENV_CR0, 1, 0x33, 0x37, 0x3b, 0x3f
    BEGIN
    emms
    END
    PROBE "nm-sse", \mode, \ring
    SET ENV_CR0, 1, 0x33, 0x37, 0x3b, 0x3f
    SET ENV_CR4 + 1, 1, 0x06, 0x02, 0x00
    BEGIN
    xorps %xmm0, %xmm0
    END
    PROBE "mf", \mode, \ring
    BEGIN
    movw $0x337, DATA
    fldcw DATA                          /* #Z, #I, #O unmasked */
    movw $0x33b, DATA
    fldcw DATA
    fld1
    fldz
    fdivrp
    fnstsw %ax
    fnop
    fld1
    END
    PROBE "xm", \mode, \ring
    SET ENV_CR4 + 1, 1, 0x06, 0x02
    SET DATA, 4, 0x1d80                 /* #Z unmasked */
    SET DATA + 16, 4, 0x3f800000
    BEGIN
    ldmxcsr DATA
    movups DATA + 16, %xmm0
    xorps %xmm1, %xmm1
    divss %xmm1, %xmm0
    END
    PROBE "mxcsr-reserved", \mode, \ring
    SET ENV_CR4 + 1, 1, 0x06
    SET DATA, 4, 0x11f80, 0xffff, 0x80001f80
    BEGIN
    ldmxcsr DATA
    END
    .endm
    FLOATING PROT32, 0
    FLOATING PROT32, 3
    FLOATING COMP32, 3
    FLOATING LONG64, 0
    FLOATING LONG64, 3

    .irp mode, PROT32, LONG64
    PROBE "movaps-misaligned", \mode, 3
    SET ENV_CR4 + 1, 1, 0x06
    SWEEP ENV_RBX, 8, DATA, DATA + 16, 8
    BEGIN
    .byte 0x0f, 0x28, 0x03              /* MOVAPS (BX), XMM0 */
    END
    .endr

    /* ---- #AC ---- */
    .macro ALIGNMENT mode, ring, flags
    PROBE "ac", \mode, \ring
    SET ENV_CR0 + 2, 1, 0x04, 0
    SET ENV_FLAGS, 4, F_AC + F_1 + \flags, F_1 + \flags
    SET ENV_RBX, 8, DATA + 1, DATA + 2, DATA + 4
    BEGIN
    .if \mode < FIRST_32_BIT
    mov (%bx), %ax
    mov (%bx), %eax
    .else
    .byte 0x66, 0x8b, 0x03
    .byte 0x8b, 0x03
    .endif
    END
    .endm
    ALIGNMENT PROT32, 0, 0
    ALIGNMENT PROT32, 3, 0
    ALIGNMENT PAE32, 3, 0
    ALIGNMENT COMP16, 3, 0
    ALIGNMENT COMP32, 3, 0
    ALIGNMENT LONG64, 0, 0
    ALIGNMENT LONG64, 3, 0
    ALIGNMENT V86, 3, F_VM
    PROBE "ac-stack", LONG64, 3
    SET ENV_CR0 + 2, 1, 0x04
    SET ENV_FLAGS, 4, F_AC + F_1
    SWEEP ENV_SP, 8, (STACK3 - 17), (STACK3 - 16)
    BEGIN
    push %rax
    END
    PROBE "ac-and-page-fault", LONG64, 3
    SET ENV_CR0 + 2, 1, 0x04
    SET ENV_FLAGS, 4, F_AC + F_1
    BEGIN
    mov 0x700001, %eax
    END

    /* ---- #GP of privilege ---- */
    .macro PRIVILEGED mode
    .irp bytes, "0xf4", "0x0f, 0x06", "0x0f, 0x08", "0x0f, 0x09", "0x0f, 0x20, 0xc0", "0x0f, 0x22, 0xc0", \
                "0x0f, 0x21, 0xc0", "0x0f, 0x23, 0xf8", "0x0f, 0x30", "0x0f, 0x32", "0x0f, 0x33", "0x0f, 0x01, 0xf0", \
                "0x0f, 0x01, 0x38", "0x0f, 0x00, 0xd0", "0x0f, 0x00, 0xd8", "0xfa", "0xfb", "0xee", "0x6c", "0x6e"
    PROBE "privileged \bytes", \mode, 3
    BEGIN
    .byte \bytes
    END
    .endr
    .endm
    .irp mode, V86, PROT32, COMP32, LONG64
    PRIVILEGED \mode
    .endr
    .irp mode, V86, PROT32, LONG64
    PROBE "rdtsc-forbidden", \mode, 3
    SET ENV_CR4, 1, CR4_TSD + CR4_PAE
    BEGIN
    rdtsc
    END
    .endr

    /* ---- the I/O bitmap of the TSS: port 0x80 is a scratch port of the PC ---- */
    .irp mode, V86, PROT32, LONG64
    PROBE "io-bitmap", \mode, 3
    SET TSS + TSS_IO + 0x10, 1, 0x00, 0x01, 0x02, 0x06, 0x08
    BEGIN
    mov $0x80, %dx
    out %al, %dx
    mov $0x81, %dx
    out %ax, %dx
    END
    PROBE "io-bitmap-beyond", \mode, 3
    SET GDT + TR, 1, 0xa8, 0xa7, 0x97, 0x98, 0x99
    SET TSS + TSS_IO + 0x10, 1, 0
    BEGIN
    mov $0x80, %dx
    out %al, %dx
    END
    PROBE "iopl-3", \mode, 3
    .if \mode == V86
    SET ENV_FLAGS, 4, F_IOPL3 + F_1 + F_VM
    .else
    SET ENV_FLAGS, 4, F_IOPL3 + F_1
    .endif
    SET TSS + TSS_IO + 0x10, 1, 0xff
    BEGIN
    sti
    cli
    mov $0x80, %dx
    out %al, %dx
    END
    .endr
