/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Architectural state of an x86 vCPU (SDM volume 3, chapters 2 and 10), one form
 * for every accelerator: what KVM hands out and what the software CPU computes.
 * Its state table (x86_cpu_state) is the saved format of both.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/state.h"

enum { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
       X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15, X86_GPRS };
enum { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_SEGMENTS };

/* attributes: bits 8-15 and 20-23 of the descriptor's second word, shifted down by 8
 * (type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15); unusable: bit 16. */
typedef struct X86Segment {
    uint16_t selector;
    uint32_t attributes;
    uint32_t limit; /* bytes, G applied */
    uint64_t base;
} X86Segment;
#define X86_SEG_UNUSABLE (1u << 16)

typedef struct X86Table { uint64_t base; uint16_t limit; } X86Table;

#define X86_MSRS_MAX  256
#define X86_XSAVE_MAX 16384
#define X86_CPUID_MAX 128

typedef struct X86Msr { uint32_t index; uint64_t value; } X86Msr;
typedef struct X86Cpuid { uint32_t leaf, subleaf; bool indexed; uint32_t eax, ebx, ecx, edx; } X86Cpuid;

typedef enum X86RunState { X86_RUNNABLE, X86_WAIT_INIT, X86_INIT_RECEIVED, X86_SIPI_RECEIVED, X86_HALTED } X86RunState;

typedef struct X86Cpu {
    uint64_t gpr[X86_GPRS], rip, rflags;
    X86Segment segment[X86_SEGMENTS], ldt, tr;
    X86Table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
    uint64_t pdptr[4];
    bool pdptrs_valid;
    uint64_t dr[4], dr6, dr7;
    uint64_t xcr0;
    uint8_t xsave[X86_XSAVE_MAX]; /* standard (non-compacted) XSAVE form, SDM 1-13.4 */
    uint32_t xsave_size;
    X86Msr msr[X86_MSRS_MAX];     /* every other MSR that is state, sorted by index */
    uint32_t msrs;
    /* Events, SDM 3-6 and what KVM_GET_VCPU_EVENTS adds. */
    uint8_t exception_pending, exception_injected, exception_vector, exception_has_error;
    uint32_t exception_error;
    uint8_t exception_has_payload;
    uint64_t exception_payload;
    uint8_t interrupt_injected, interrupt_vector, interrupt_soft, interrupt_shadow;
    uint8_t nmi_injected, nmi_pending, nmi_masked;
    uint32_t sipi_vector;
    uint8_t smm, smi_pending, smi_inside_nmi, smi_latched_init, triple_fault_pending;
    uint32_t run_state; /* X86RunState */
    uint32_t tsc_khz;
    uint8_t lapic[4096]; /* register page, SDM 3-11.4.1 (x2APIC layout: ID in bits 31-0) */
} X86Cpu;

extern const StateDesc x86_cpu_state;

/* Power-on and INIT values, SDM 3-10.1.1 table 10-1. bsp: bootstrap processor. */
void x86_cpu_reset(X86Cpu *cpu, uint32_t apic_id, bool bsp, uint32_t signature);
uint64_t x86_msr_reset_value(uint32_t index);
uint64_t *x86_cpu_msr(X86Cpu *cpu, uint32_t index); /* NULL: not held */
bool x86_cpu_set_msr(X86Cpu *cpu, uint32_t index, uint64_t value); /* adds; false: full */
