/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU: an x86-64 processor for x86-64 hosts, registers and memory, no
 * devices.  Its documents are the Intel SDM ("SDM", volumes 1-3, edition 325462-083)
 * and AMD's APM; where they differ it follows the vendor that the guest is told of, but for
 * vector, x87 and rare integer instructions, which run natively.
 *
 * This is the only header that the rest of Lodge includes.  A SoftVm holds what the
 * vCPUs of a domain share (decoded code, the memory map); a SoftCpu is one of them
 * and belongs to one thread, which calls soft_run().
 *
 * Host requirements: XSAVE and SSE4.2.  Not modelled: VMX, SVM, TSX, performance
 * counters, CET, 5-level paging, protection keys, AVX-512.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory.h"
#include "vmm/x86/cpu.h"

typedef struct SoftVm SoftVm;
typedef struct SoftCpu SoftCpu;

typedef enum SoftExit {
    SOFT_EXIT_KICKED,       /* SOFT_KICK */
    SOFT_EXIT_HALTED,       /* HLT or wait-for-SIPI: nothing to do until the next soft_signal() */
    SOFT_EXIT_TRIPLE_FAULT, /* shutdown state, SDM 3-6.15 "#DF" */
    SOFT_EXIT_DEBUG,        /* a breakpoint, watchpoint or step of soft_cpu_set_debug() */
    SOFT_EXIT_EXCEPTION,    /* only with soft_cpu_trap(): an exception instead of its delivery */
} SoftExit;

/* What other threads may tell a vCPU; bits. */
typedef enum SoftSignal {
    SOFT_KICK = 1 << 0,      /* leave soft_run() once */
    SOFT_INTERRUPT = 1 << 1, /* the controllers have an interrupt for it: hooks.acknowledge() */
    SOFT_NMI = 1 << 2,
    SOFT_SMI = 1 << 3,
    SOFT_INIT = 1 << 4,
    SOFT_SIPI = 1 << 5,      /* with soft_cpu_sipi() */
} SoftSignal;

/* What the CPU asks of its surroundings, on the vCPU's thread, with no lock held and the guest's vector
 * registers put away.  A hook may take locks, change the memory map, and signal any vCPU. */
typedef struct SoftHooks {
    /* Takes the interrupt of highest priority from the local APIC, else from the PIC, and signals again if
     * there is another.  Returns its vector, -1: there is none after all. */
    int (*acknowledge)(SoftCpu *cpu, void *opaque);
    /* MSRs that are not the library's own: IA32_APIC_BASE, x2APIC, TSC deadline, kvmclock.  False: #GP. */
    bool (*msr_read)(SoftCpu *cpu, void *opaque, uint32_t index, uint64_t *ret_value);
    bool (*msr_write)(SoftCpu *cpu, void *opaque, uint32_t index, uint64_t value);
    /* The xAPIC register page, while soft_cpu_set_apic_page() says where it is. */
    uint32_t (*apic_read)(SoftCpu *cpu, void *opaque, unsigned offset);
    void (*apic_write)(SoftCpu *cpu, void *opaque, unsigned offset, uint32_t value);
    /* TPR bits 7-4, as CR8. */
    uint64_t (*cr8_read)(SoftCpu *cpu, void *opaque);
    void (*cr8_write)(SoftCpu *cpu, void *opaque, uint64_t value);
    /* CR0.NE is clear and an x87 exception is pending: FERR#, which a PC wires to IRQ 13. */
    void (*ferr)(SoftCpu *cpu, void *opaque);
    /* INIT: the local APIC is reset too. */
    void (*init)(SoftCpu *cpu, void *opaque);
    /* VMCALL and VMMCALL at CPL 0: its arguments (RBX, RCX, RDX, RSI) have `width` bits.  NULL: there are none. */
    uint64_t (*hypercall)(SoftCpu *cpu, void *opaque, uint64_t number, const uint64_t arguments[4], unsigned width);
    /* The guest has set its TSC; NULL: it does not matter. */
    void (*tsc_set)(SoftCpu *cpu, void *opaque);
} SoftHooks;

/* ---- the VM: main thread ---- */
/* code_bytes: size of the store of decoded code, 0: default.  translate: blocks become code of the host, where memory
 * can be had for it; else they are interpreted.  Listens to both spaces until freed. */
SoftVm *soft_vm_new(AddressSpace *memory, AddressSpace *ports, uint64_t code_bytes, bool translate, GError **error);
bool soft_vm_translates(const SoftVm *vm);
void soft_vm_free(SoftVm *vm); /* no vCPUs left */
/* What vCPUs see in system management mode; before vCPUs are made.  Without it there is no SMM. */
void soft_vm_set_smm(SoftVm *vm, AddressSpace *space);
/* Instruction-counted time: the TSC advances by `per_instruction` ticks an instruction, from 0, and nothing
 * depends on the host's clock.  0: off.  Before vCPUs are made. */
void soft_vm_set_deterministic(SoftVm *vm, uint32_t per_instruction);

/* CPUID and feature MSRs that this host and this library can give at most. */
unsigned soft_supported_cpuid(X86Cpuid *ret, unsigned max);
uint64_t soft_supported_msr_feature(uint32_t index);

/* ---- a vCPU: main thread, while it does not run, unless said otherwise ---- */
SoftCpu *soft_cpu_new(SoftVm *vm, const SoftHooks *hooks, void *opaque, GError **error);
void soft_cpu_free(SoftCpu *cpu);
void soft_cpu_set_cpuid(SoftCpu *cpu, const X86Cpuid *cpuid, unsigned n);
/* IA32_ARCH_CAPABILITIES (0x10a), the microcode revision (0x8b), PLATFORM_INFO (0xce): after soft_cpu_set_cpuid(),
 * which sets them to what soft_supported_msr_feature() gives.  Bits beyond that, and other MSRs, are left out. */
void soft_cpu_set_feature_msr(SoftCpu *cpu, uint32_t index, uint64_t value);
/* Everything but the local APIC (X86Cpu.lapic) and the MSRs of the hooks.  load: false if the state cannot be
 * this CPU's. */
bool soft_cpu_load(SoftCpu *cpu, const X86Cpu *state, GError **error);
void soft_cpu_save(SoftCpu *cpu, X86Cpu *state);
void soft_cpu_set_apic_page(SoftCpu *cpu, uint64_t gpa); /* its thread or parked; UINT64_MAX: none */
uint64_t soft_cpu_tsc(const SoftCpu *cpu);
void soft_cpu_set_tsc(SoftCpu *cpu, uint64_t value);
/* What is added to the host's TSC: equal offsets are equal clocks. */
uint64_t soft_cpu_tsc_offset(const SoftCpu *cpu);
void soft_cpu_set_tsc_offset(SoftCpu *cpu, uint64_t offset);
/* A debugger's: exits with SOFT_EXIT_DEBUG; the guest's own debug registers stay its own.  No length is 0.  A step
 * takes no interrupt before its instruction; it ends at the first instruction of a handler if that raises an
 * exception. */
typedef struct SoftWatch { uint64_t address, length; bool read, write, execute; } SoftWatch;
void soft_cpu_set_debug(SoftCpu *cpu, const SoftWatch *list, unsigned n, bool step);
/* The next instruction, if it is there, is not stopped at: a debugger that knows of it goes on. */
void soft_cpu_pass_breakpoint(SoftCpu *cpu, uint64_t linear);
/* Which of the list was the reason for SOFT_EXIT_DEBUG; -1: the step. */
int soft_cpu_debug_hit(const SoftCpu *cpu);
/* Exceptions end soft_run() with SOFT_EXIT_EXCEPTION, the state as before the instruction (after it, for traps). */
typedef struct SoftException { uint8_t vector; bool has_error; uint32_t error; uint64_t address; } SoftException;
void soft_cpu_trap(SoftCpu *cpu, bool on);
const SoftException *soft_cpu_exception(const SoftCpu *cpu);
/* Ends soft_run() with SOFT_EXIT_KICKED after that many instructions; 0: no end. */
void soft_cpu_limit(SoftCpu *cpu, uint64_t instructions);
/* Instructions executed so far; in a hook, or an access to a device, those before the present one.  Its thread or
 * parked. */
uint64_t soft_cpu_count(const SoftCpu *cpu);

/* ---- its thread ---- */
void soft_cpu_begin(SoftCpu *cpu); /* first thing on the thread */
SoftExit soft_run(SoftCpu *cpu);

/* ---- any thread ---- */
void soft_signal(SoftCpu *cpu, unsigned signals); /* SoftSignal bits */
void soft_unsignal(SoftCpu *cpu, unsigned signals);
void soft_cpu_sipi(SoftCpu *cpu, uint8_t vector);
/* Guest-linear to guest-physical with the present page tables; false: not mapped.  Parked. */
bool soft_cpu_translate(SoftCpu *cpu, uint64_t linear, uint64_t *ret_gpa);
typedef void (*SoftCounterFn)(const char *name, uint64_t value, void *opaque);
void soft_cpu_counters(const SoftCpu *cpu, SoftCounterFn fn, void *opaque);
void soft_vm_counters(const SoftVm *vm, SoftCounterFn fn, void *opaque);

/* -d in_asm,int,cpu,exec: the library writes lines through this.  Before vCPUs run: blocks that are linked, or in a
 * jump cache, already are entered without a line. */
typedef enum SoftTrace { SOFT_TRACE_ASM = 1, SOFT_TRACE_INT = 2, SOFT_TRACE_CPU = 4, SOFT_TRACE_EXEC = 8 } SoftTrace;
void soft_vm_set_trace(SoftVm *vm, unsigned what, void (*line)(const char *text));
