/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug exceptions: single step, breakpoints by the debug registers, ICEBP, general detect.  SDM 3-18.2, 3-18.3.
 */
#include "../probe.h"

#define DR0 (ENV_DR)
#define DR1 (ENV_DR + 8)
#define DR7 (ENV_DR + 0x20)
/* DR7 of breakpoint 0, enabled locally, with its kind (0 execute, 1 write, 2 I/O, 3 both) and its length's code. */
#define ARMED(kind, length) (0x401 + ((kind) << 16) + ((length) << 18))

    .macro EVERYWHERE macro
    \macro REAL, 0
    \macro V86, 3
    .irp mode, PROT16, PROT32, PAE32, COMP32, LONG64
    \macro \mode, 0
    \macro \mode, 3
    .endr
    .endm

    .macro STEPS mode, ring
    PROBE "step-popf", \mode, \ring
    .if \mode == V86
    SET ENV_FLAGS, 4, F_VM + F_IOPL3 + F_1
    .endif
    BEGIN
    push $F_TF + F_1
    popf
    nop
    nop
    END
    PROBE "step-first", \mode, \ring
    .if \mode == V86
    SET ENV_FLAGS, 4, F_VM + F_TF + F_1
    .else
    SET ENV_FLAGS, 4, F_TF + F_1
    .endif
    BEGIN
    nop
    nop
    END
    PROBE "step-fault", \mode, \ring
    .if \mode == V86
    SET ENV_FLAGS, 4, F_VM + F_TF + F_1
    .else
    SET ENV_FLAGS, 4, F_TF + F_1
    .endif
    BEGIN
    .byte 0x0f, 0xb9, 0xc0
    END
    PROBE "step-int", \mode, \ring
    .if \mode == V86
    SET ENV_FLAGS, 4, F_VM + F_IOPL3 + F_TF + F_1
    .else
    SET ENV_FLAGS, 4, F_TF + F_1
    .endif
    BEGIN
    int $0x30
    END
    PROBE "icebp", \mode, \ring
    BEGIN
    .byte 0xf1
    END
    .endm
    EVERYWHERE STEPS

    .macro SHADOW mode, ring
    PROBE "step-mov-ss", \mode, \ring
    .if \mode == V86
    SET ENV_FLAGS, 4, F_VM + F_TF + F_1
    .else
    SET ENV_FLAGS, 4, F_TF + F_1
    .endif
    BEGIN
    mov %ss, %ax
    END
    PROBE "step-rep", \mode, \ring
    .if \mode == V86
    SET ENV_FLAGS, 4, F_VM + F_TF + F_1
    .else
    SET ENV_FLAGS, 4, F_TF + F_1
    .endif
    SET ENV_RCX, 4, 0, 1, 3
    SET ENV_RSI, 4, DATA
    SET ENV_RDI, 4, DATA + 0x40
    BEGIN
    rep movsb
    END
    PROBE "watch-then-mov-ss", \mode, \ring
    SET DR0, 8, DATA
    SET DR7, 4, ARMED(3, 3)
    BEGIN
    mov %ss, DATA
    mov DATA, %ss
    nop
    nop
    END
    .endm
    EVERYWHERE SHADOW

    PROBE "step-after-mov-ss", PROT32, 0
    BEGIN
    mov %ss, %eax
    push $F_TF + F_1
    popf
    mov %eax, %ss
    inc %ecx
    inc %ecx
    END
    PROBE "step-sti", PROT32, 0
    BEGIN
    push $F_TF + F_1
    popf
    sti
    inc %ecx
    END
    PROBE "step-iret", PROT32, 0
    BEGIN
    push $F_TF + F_1
    push %cs
    push $HERE(1f)
    iret
1:  inc %ecx
    inc %ecx
    END
    PROBE "step-clear", PROT32, 0
    BEGIN
    push $F_1
    push $F_TF + F_1
    popf
    popf
    inc %ecx
    END
    PROBE "step-jump", LONG64, 3
    SET ENV_FLAGS, 4, F_TF + F_1
    BEGIN
    jmp 1f
    nop
1:  nop
    END

    /* ---- breakpoints ---- */
    .macro BREAKS mode, ring
    PROBE "break-first", \mode, \ring
    SET DR0, 8, CODE
    SET DR7, 4, ARMED(0, 0), ARMED(0, 0) + 1
    BEGIN
    nop
    END
    PROBE "break-second", \mode, \ring
    SET DR0, 8, CODE + 1
    SET DR7, 4, ARMED(0, 0)
    BEGIN
    nop
    nop
    END
    PROBE "break-inside", \mode, \ring
    SET DR0, 8, CODE + 1
    SET DR7, 4, ARMED(0, 0)
    BEGIN
    mov $1, %al
    nop
    END
    PROBE "break-faulting", \mode, \ring
    SET DR0, 8, CODE
    SET DR7, 4, ARMED(0, 0)
    BEGIN
    .byte 0x0f, 0xb9, 0xc0
    END
    PROBE "break-resumed", \mode, \ring
    .if \mode == V86
    SET ENV_FLAGS, 4, F_VM + F_RF + F_1
    .else
    SET ENV_FLAGS, 4, F_RF + F_1
    .endif
    SET DR0, 8, CODE
    SET DR1, 8, CODE + 1
    SET DR7, 4, 0x401, 0x405
    BEGIN
    nop
    nop
    END
    PROBE "watch", \mode, \ring
    SET DR0, 8, DATA + 8
    SET DR7, 4, ARMED(1, 0), ARMED(1, 1), ARMED(1, 3), ARMED(3, 3), ARMED(1, 2)
    SET ENV_RBX, 4, DATA + 5, DATA + 6, DATA + 8, DATA + 9, DATA + 11, DATA + 12
    BEGIN
    .if \mode < FIRST_32_BIT
    mov (%bx), %ax
    movb %al, (%bx)
    mov %eax, (%bx)
    .else
    .byte 0x66, 0x8b, 0x03
    .byte 0x88, 0x03
    .byte 0x89, 0x03
    .endif
    nop
    END
    .endm
    BREAKS REAL, 0
    BREAKS V86, 3
    BREAKS PROT32, 0
    BREAKS PROT32, 3
    BREAKS LONG64, 0
    BREAKS LONG64, 3

    .irp ring, 0, 3
    PROBE "watch-push", LONG64, \ring
    SET DR0, 8, STACK0 - 8
    SET DR1, 8, STACK3 - 8
    SET DR7, 4, 0x405 + (1 << 16) + (2 << 18) + (1 << 20) + (2 << 22)
    BEGIN
    push %rbx
    nop
    END
    PROBE "watch-rep", LONG64, \ring
    SET DR0, 8, DATA + 0x44
    SET DR7, 4, ARMED(1, 0), ARMED(1, 3)
    SET ENV_RCX, 4, 16
    SET ENV_RSI, 4, DATA
    SET ENV_RDI, 4, DATA + 0x40
    BEGIN
    rep movsb
    nop
    END
    PROBE "watch-both", LONG64, \ring
    SET DR0, 8, DATA
    SET DR1, 8, DATA
    SET DR7, 4, 0x401 + (3 << 16) + (3 << 20), 0x405 + (3 << 16) + (3 << 20), 0x404 + (1 << 16) + (3 << 20)
    BEGIN
    mov DATA, %eax
    nop
    END
    .endr
    PROBE "watch-and-step", LONG64, 3
    SET ENV_FLAGS, 4, F_TF + F_1
    SET DR0, 8, DATA
    SET DR7, 4, ARMED(3, 3)
    BEGIN
    mov DATA, %eax
    nop
    END
    PROBE "watch-io", PROT32, 0
    SET ENV_CR4, 1, CR4_DE, 0
    SET DR0, 8, 0x80, 0x81
    SET DR7, 4, ARMED(2, 0), ARMED(2, 1)
    BEGIN
    out %al, $0x80
    nop
    END
    PROBE "watch-io", LONG64, 3
    SET ENV_FLAGS, 4, F_IOPL3 + F_1
    SET ENV_CR4, 1, CR4_DE + CR4_PAE
    SET DR0, 8, 0x80
    SET DR7, 4, ARMED(2, 0)
    BEGIN
    out %al, $0x80
    nop
    END

    /* ---- the registers themselves ---- */
    .irp mode, PROT32, LONG64
    PROBE "general-detect", \mode, 0
    SET DR7, 4, 0x2400
    BEGIN
    .byte 0x0f, 0x21, 0xc0              /* MOV DR0, AX */
    END
    PROBE "dr4-dr5", \mode, 0
    SET ENV_CR4, 1, CR4_PAE, CR4_PAE + CR4_DE
    BEGIN
    .byte 0x0f, 0x21, 0xe0              /* MOV DR4, AX */
    .byte 0x0f, 0x21, 0xeb              /* MOV DR5, BX */
    END
    PROBE "dr-reserved", \mode, 0
    SET ENV_RAX, 8, 0, -1 & 0xffffffff, 0x0000e00f, 0x1ffffffff
    BEGIN
    .byte 0x0f, 0x23, 0xf0              /* MOV AX, DR6 */
    .byte 0x0f, 0x21, 0xf3              /* MOV DR6, BX */
    .byte 0x0f, 0x23, 0xc0              /* MOV AX, DR0 */
    .byte 0x0f, 0x21, 0xc1              /* MOV DR0, CX */
    END
    PROBE "dr7-reserved", \mode, 0
    SET ENV_RAX, 8, 0, 0xffffdfff, 0x0000dc00, 0x100000400
    BEGIN
    .byte 0x0f, 0x23, 0xf8              /* MOV AX, DR7 */
    .byte 0x0f, 0x21, 0xfb              /* MOV DR7, BX */
    END
    .endr
