/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What control.c, cpuid.c, msr.c, smm.c, state.c and exec-system.c share.  Private to them.
 *
 * A feature is a bit of SoftCpu.feature[], which holds the words of CPUID that the CPU itself
 * looks at; word 0 is made of the others.
 */
#pragma once

#include "vmm/x86/soft/cpu.h"

enum { FEATURE_DERIVED, FEATURE_1_ECX, FEATURE_1_EDX, FEATURE_7_EBX, FEATURE_7_ECX, FEATURE_7_EDX, FEATURE_7_1_EAX,
       FEATURE_7_2_EDX, FEATURE_D_1_EAX, FEATURE_80000001_ECX, FEATURE_80000001_EDX, FEATURE_80000007_EDX,
       FEATURE_80000008_EBX, FEATURE_80000021_EAX, FEATURE_WORDS };
#define FEATURE(word, bit) ((word) << 5 | (bit))

enum {
    FEATURE_ALWAYS = FEATURE(FEATURE_DERIVED, 0),
    FEATURE_INTEL = FEATURE(FEATURE_DERIVED, 1),       /* the guest's vendor */
    FEATURE_AMD = FEATURE(FEATURE_DERIVED, 2),
    FEATURE_SPEC_CTRL = FEATURE(FEATURE_DERIVED, 3),   /* any bit of it */
    FEATURE_IBRS = FEATURE(FEATURE_DERIVED, 4),        /* either vendor's bit, from here on */
    FEATURE_STIBP = FEATURE(FEATURE_DERIVED, 5),
    FEATURE_SSBD = FEATURE(FEATURE_DERIVED, 6),
    FEATURE_IBPB = FEATURE(FEATURE_DERIVED, 7),
    FEATURE_TSC_AUX = FEATURE(FEATURE_DERIVED, 8),     /* RDTSCP or RDPID */
    FEATURE_SMM = FEATURE(FEATURE_DERIVED, 9),         /* the VM has it */
    FEATURE_KVM_CALLS = FEATURE(FEATURE_DERIVED, 10),  /* KVM's leaves are there, so VMCALL is its hypercall */
    FEATURE_PCID = FEATURE(FEATURE_1_ECX, 17),
    FEATURE_XSAVE = FEATURE(FEATURE_1_ECX, 26),
    FEATURE_VME = FEATURE(FEATURE_1_EDX, 1),
    FEATURE_DE = FEATURE(FEATURE_1_EDX, 2),
    FEATURE_PSE = FEATURE(FEATURE_1_EDX, 3),
    FEATURE_TSC = FEATURE(FEATURE_1_EDX, 4),
    FEATURE_PAE = FEATURE(FEATURE_1_EDX, 6),
    FEATURE_MCE = FEATURE(FEATURE_1_EDX, 7),
    FEATURE_SEP = FEATURE(FEATURE_1_EDX, 11),
    FEATURE_MTRR = FEATURE(FEATURE_1_EDX, 12),
    FEATURE_PGE = FEATURE(FEATURE_1_EDX, 13),
    FEATURE_MCA = FEATURE(FEATURE_1_EDX, 14),
    FEATURE_PAT = FEATURE(FEATURE_1_EDX, 16),
    FEATURE_PSE36 = FEATURE(FEATURE_1_EDX, 17),
    FEATURE_FXSR = FEATURE(FEATURE_1_EDX, 24),
    FEATURE_SSE = FEATURE(FEATURE_1_EDX, 25),
    FEATURE_FSGSBASE = FEATURE(FEATURE_7_EBX, 0),
    FEATURE_TSC_ADJUST = FEATURE(FEATURE_7_EBX, 1),
    FEATURE_SMEP = FEATURE(FEATURE_7_EBX, 7),
    FEATURE_SMAP = FEATURE(FEATURE_7_EBX, 20),
    FEATURE_UMIP = FEATURE(FEATURE_7_ECX, 2),
    FEATURE_FLUSH_L1D = FEATURE(FEATURE_7_EDX, 28),
    FEATURE_ARCH_CAPABILITIES = FEATURE(FEATURE_7_EDX, 29),
    FEATURE_BHI_CTRL = FEATURE(FEATURE_7_2_EDX, 4),
    FEATURE_SYSCALL = FEATURE(FEATURE_80000001_EDX, 11),
    FEATURE_NX = FEATURE(FEATURE_80000001_EDX, 20),
    FEATURE_GIGABYTE_PAGES = FEATURE(FEATURE_80000001_EDX, 26),
    FEATURE_LM = FEATURE(FEATURE_80000001_EDX, 29),
    FEATURE_PSFD = FEATURE(FEATURE_80000008_EBX, 28),
    FEATURE_NULL_CLEARS_BASE = FEATURE(FEATURE_80000021_EAX, 6),
    FEATURE_AUTO_IBRS = FEATURE(FEATURE_80000021_EAX, 8),
};

static inline bool soft_offers(const SoftCpu *cpu, unsigned feature)
{
    return cpu->feature[feature >> 5] >> (feature & 31) & 1;
}

#define EFER_AUTO_IBRS (UINT64_C(1) << 21)
#define XCR0_X87 1u
#define XCR0_SSE 2u
#define XCR0_AVX 4u

#define DR6_TRAPS   0xfu                /* B0-B3 */
#define DR6_BD      (UINT64_C(1) << 13)
#define DR6_FIXED   UINT64_C(0xffff0ff0)
#define DR6_WRITABLE UINT64_C(0xe00f)   /* B0-B3, BD, BS, BT */
#define DR7_FIXED   UINT64_C(0x400)
#define DR7_ENABLES 0xffu
#define DR7_GD      (UINT64_C(1) << 13)
#define DR7_WRITABLE UINT64_C(0xffff23ff)

#define MSR_APIC_BASE      0x1bu
#define APIC_BASE_BSP      (1u << 8)
#define APIC_BASE_ENABLE   (1u << 11)
#define MSR_TSC            0x10u
#define MSR_SMBASE         0x9eu
#define MISC_FEATURE_CPUID_FAULT 1u

/* ---- control.c ---- */
/* Which bits CPUID allows in them. */
uint64_t soft_cr4_bits(const SoftCpu *cpu);
uint64_t soft_efer_bits(const SoftCpu *cpu);
uint64_t soft_xcr0_bits(const SoftCpu *cpu);
/* Control registers as a whole, from a saved state or SMRAM. */
typedef struct SoftControl { uint64_t cr0, cr3, cr4, efer, rflags; uint32_t cs_attributes; } SoftControl;
/* Why these cannot be a CPU's at the same time; NULL: they can. */
const char *soft_control_problem(const SoftCpu *cpu, const SoftControl *c);
static inline bool soft_is_pae(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}
/* The CPL is the DPL of SS. */
static inline uint8_t soft_cpl_of(const SoftControl *c, uint32_t ss_attributes)
{
    return !(c->cr0 & CR0_PE) ? 0 : c->rflags & EFLAGS_VM ? 3 : SEG_DPL(ss_attributes);
}
bool soft_pdptes_valid(const SoftCpu *cpu, const uint64_t pdpte[4]);
/* From guest memory; false: not RAM, or reserved bits are set. */
bool soft_read_pdptes(const SoftCpu *cpu, uint64_t cr3, uint64_t ret[4]);

/* The interrupt shadow as KVM and SMRAM hold it. */
enum { SHADOW_MOV_SS = 1, SHADOW_STI = 2 };
static inline uint8_t soft_get_shadow(const SoftCpu *cpu)
{
    return !cpu->shadow ? 0 : cpu->shadow_sti ? SHADOW_STI : SHADOW_MOV_SS;
}
static inline void soft_set_shadow(SoftCpu *cpu, uint8_t shadow)
{
    cpu->shadow = shadow != 0;
    cpu->shadow_sti = shadow == SHADOW_STI;
}

/* ---- msr.c ---- */
/* RDMSR and WRMSR, hooks included.  Inside, synced.  False: #GP(0). */
bool soft_msr_read(SoftCpu *cpu, uint32_t index, uint64_t *ret);
bool soft_msr_write(SoftCpu *cpu, uint32_t index, uint64_t value);
void soft_msrs_power_on(SoftCpu *cpu);
/* X86Cpu.msr: check first, then take it all.  The hooks' MSRs are left out, and stay in *state when saving. */
bool soft_msrs_check(SoftCpu *cpu, const X86Cpu *state, GError **error);
void soft_msrs_load(SoftCpu *cpu, const X86Cpu *state);
void soft_msrs_save(SoftCpu *cpu, X86Cpu *state);

/* ---- cpuid.c ---- */
void soft_cpuid_execute(SoftCpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t ret[4]);

/* ---- smm.c ---- */
/* RSM.  The CPU is in SMM; it may end in the shutdown state. */
void soft_leave_smm(SoftCpu *cpu);
