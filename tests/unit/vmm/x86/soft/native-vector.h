/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One instruction executed by the host's own processor in this process, from and to a state
 * of general, x87, SSE and AVX registers: what native stubs are compared with.  In 64-bit
 * mode; the instruction must not branch.  Exceptions come back as their vector.  One
 * thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/x86/soft/cpu.h"

typedef struct VectorState {
    _Alignas(64) uint8_t xsave[XSAVE_BYTES]; /* standard form */
    uint64_t gpr[X86_GPRS], rflags;          /* RSP is like any other; of rflags the arithmetic ones */
} VectorState;

/* A page of memory for it, and behind it one that is not there. */
#define NATIVE_DATA UINT64_C(0x5ff000)

/* The bits of MXCSR that the host's processor has: with AMD's also MM (bit 17), misaligned operands. */
uint32_t native_mxcsr_mask(void);
/* Whether it keeps x87 FCS and FDS, which the software CPU does not (CPUID.7.EBX[13]; Zen 3 does). */
bool native_has_x87_selectors(void);

/* In the test itself, after the VM was made: each takes signals for itself and passes others on to whom it found. */
void native_vector_begin(void);
void native_vector_end(void);
/* -1, or the vector of the exception that it raised. */
int native_vector_run(const uint8_t *bytes, unsigned n, const VectorState *before, VectorState *ret_after);
