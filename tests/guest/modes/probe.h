/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The language of probes, for the assembly files in probes/.
 *
 *     PROBE "name", MODE, ring, needed feature
 *     SET address, size, value...       what to write before it starts; several values: once for each
 *     SWEEP address, size, first, last, step
 *     BEGIN
 *     instructions
 *     END
 *
 * A probe starts with rax=0, rcx=1, rdx=2, rbx=3, rbp=5 ... r15=15, flags 2, its stack's top at STACK0 or STACK3, segments of
 * base 0 and ends by any exception; END appends a UD2, whose exception the transcript calls "end".  Two lists of values
 * make every pair.  The code runs at CODE: the address of label 1 is HERE(1f).
 */
#include "layout.h"

    .section .note.GNU-stack, "", @progbits

/* In expressions a comparison that holds is -1. */
#define HERE(label) (label - 900b + CODE)
/* The same, before BEGIN. */
#define THERE(label) (label - 900f + CODE)

    .macro PROBE name, mode, ring=0, needs=0
    .section .probe_names, "a"
910: .asciz "\name"
    .section .probes, "a"
    .quad 910b, 900f, 909f, 911f, 919f
    .long \mode, \ring, \needs, 0
    .section .probe_sets, "a"
911:
    .section .probe_code, "ax"
    .if \mode < FIRST_32_BIT
    .code16
    .elseif \mode < FIRST_64_BIT
    .code32
    .else
    .code64
    .endif
    .endm

    .macro SET address, size, values:vararg
    .pushsection .probe_sets
    .long \address
    .short \size, (913f - 912f) / 8
912: .quad \values
913:
    .popsection
    .endm

    .macro SWEEP address, size, first, last, step=1
    .pushsection .probe_sets
    .long \address
    .short \size, (\last - \first) / \step + 1
    .set sweep, \first
    .rept (\last - \first) / \step + 1
    .quad sweep
    .set sweep, sweep + \step
    .endr
    .popsection
    .endm

    .macro BEGIN
900:
    .endm

    .macro END
909:  ud2
    .section .probe_sets
919:
    .endm
