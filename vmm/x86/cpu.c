/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Architectural state of an x86 vCPU: its reset values (Intel SDM volume 3,
 * section 10.1.1, table 10-1; local APIC: section 11.4.7) and its saved form.
 *
 * An MSR that is not in the list of X86Cpu has the value zero; accelerators rely
 * on it when they store a whole state.
 *
 * Left out: what firmware would have done before the first instruction of a
 * kernel, except for two things that have no other home: LINT0 of the bootstrap
 * processor lets the PIC through (virtual wire mode), and the x87 unit is as
 * FNINIT leaves it.
 *
 * Locking: none; an X86Cpu belongs to its vCPU's thread, or to the main thread
 * while that is parked.
 */
#include "vmm/x86/cpu.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/error.h"

#define SEG_CODE 0x009bu /* present, code, readable, accessed */
#define SEG_DATA 0x0093u /* present, data, writable, accessed */
#define SEG_LDT  0x0082u
#define SEG_TSS  0x008bu /* busy */

#define XSAVE_FCW        0
#define XSAVE_MXCSR      24
#define XSAVE_MXCSR_MASK 28
#define XSAVE_BV         512
#define XSAVE_MIN        576 /* legacy area and header */

/* Local APIC registers, by byte offset in the page. */
#define LAPIC_ID       0x020
#define LAPIC_VERSION  0x030
#define LAPIC_DFR      0x0e0
#define LAPIC_SVR      0x0f0
#define LAPIC_LVT_CMCI 0x2f0
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_ERROR 0x370
#define LAPIC_MASKED   0x10000u
#define LAPIC_EXTINT   0x00700u

/* MSRs that are not zero after a reset; sorted by index. */
static const X86Msr msr_reset_values[] = {
    { 0x9e, 0x30000 },             /* SMBASE */
    { 0x1a0, 0x1 },                /* IA32_MISC_ENABLE: fast strings */
    { 0x277, 0x0007040600070406 }, /* IA32_PAT */
    { 0x4b564d05, 0x1 },           /* KVM's poll control: the host may poll before it sleeps */
    { 0xc0000104, UINT64_C(1) << 32 }, /* AMD's TSC ratio: 1.0 */
};

static void put32(uint8_t *page, unsigned offset, uint32_t value)
{
    memcpy(page + offset, &value, sizeof(value)); /* x86 hosts only: little endian */
}

static void lapic_reset(uint8_t *page, uint32_t apic_id, bool bsp)
{
    memset(page, 0, sizeof(((X86Cpu *)0)->lapic));
    put32(page, LAPIC_ID, apic_id);
    put32(page, LAPIC_VERSION, 0x00050014); /* six LVT entries, version 0x14 */
    put32(page, LAPIC_DFR, 0xffffffff);
    put32(page, LAPIC_SVR, 0xff);
    put32(page, LAPIC_LVT_CMCI, LAPIC_MASKED);
    for (unsigned at = LAPIC_LVT_TIMER; at <= LAPIC_LVT_ERROR; at += 0x10) {
        put32(page, at, LAPIC_MASKED);
    }
    if (bsp) {
        put32(page, LAPIC_LVT_LINT0, LAPIC_EXTINT);
    }
}

void x86_cpu_reset(X86Cpu *cpu, uint32_t apic_id, bool bsp, uint32_t signature)
{
    uint32_t tsc_khz = cpu->tsc_khz;

    memset(cpu, 0, sizeof(*cpu));
    cpu->tsc_khz = tsc_khz;
    cpu->gpr[X86_RDX] = signature;
    cpu->rip = 0xfff0;
    cpu->rflags = 2;
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        cpu->segment[i] = (X86Segment) { .attributes = SEG_DATA, .limit = 0xffff };
    }
    cpu->segment[X86_CS] = (X86Segment) { 0xf000, SEG_CODE, 0xffff, 0xffff0000 };
    cpu->ldt = (X86Segment) { .attributes = SEG_LDT, .limit = 0xffff };
    cpu->tr = (X86Segment) { .attributes = SEG_TSS, .limit = 0xffff };
    cpu->gdt.limit = cpu->idt.limit = 0xffff;
    cpu->cr0 = 0x60000010;
    cpu->apic_base = bsp ? 0xfee00900 : 0xfee00800;
    cpu->dr6 = 0xffff0ff0;
    cpu->dr7 = 0x400;
    cpu->xcr0 = 1;
    cpu->xsave_size = XSAVE_MIN;
    cpu->xsave[XSAVE_FCW] = 0x7f;
    cpu->xsave[XSAVE_FCW + 1] = 0x03;
    put32(cpu->xsave, XSAVE_MXCSR, 0x1f80);
    put32(cpu->xsave, XSAVE_MXCSR_MASK, 0xffff);
    cpu->xsave[XSAVE_BV] = 3; /* x87 and SSE are here, all else is in its initial state */
    cpu->msrs = G_N_ELEMENTS(msr_reset_values);
    memcpy(cpu->msr, msr_reset_values, sizeof(msr_reset_values));
    cpu->run_state = bsp ? X86_RUNNABLE : X86_WAIT_INIT;
    lapic_reset(cpu->lapic, apic_id, bsp);
}

uint64_t x86_msr_reset_value(uint32_t index)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(msr_reset_values); i++) {
        if (msr_reset_values[i].index == index) {
            return msr_reset_values[i].value;
        }
    }
    return 0;
}

/* Position of index, or where it would be inserted. */
static unsigned msr_position(const X86Cpu *cpu, uint32_t index)
{
    unsigned low = 0, high = cpu->msrs;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (cpu->msr[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t *x86_cpu_msr(X86Cpu *cpu, uint32_t index)
{
    unsigned at = msr_position(cpu, index);

    return at < cpu->msrs && cpu->msr[at].index == index ? &cpu->msr[at].value : NULL;
}

bool x86_cpu_set_msr(X86Cpu *cpu, uint32_t index, uint64_t value)
{
    unsigned at = msr_position(cpu, index);

    if (at < cpu->msrs && cpu->msr[at].index == index) {
        cpu->msr[at].value = value;
        return true;
    }
    if (cpu->msrs == X86_MSRS_MAX) {
        return false;
    }
    memmove(&cpu->msr[at + 1], &cpu->msr[at], (cpu->msrs - at) * sizeof(cpu->msr[0]));
    cpu->msr[at] = (X86Msr) { index, value };
    cpu->msrs++;
    return true;
}

/* A loaded state is hostile until this has passed; what an accelerator cannot take beyond it is
 * refused when it is stored. */
static bool cpu_check(const void *struct_, GError **error)
{
    const X86Cpu *cpu = struct_;

    if (cpu->xsave_size < XSAVE_MIN) {
        return error_set(error, "the XSAVE area has %" PRIu32 " bytes, fewer than %d", cpu->xsave_size, XSAVE_MIN);
    }
    for (unsigned i = 1; i < cpu->msrs; i++) {
        if (cpu->msr[i - 1].index >= cpu->msr[i].index) {
            return error_set(error, "MSR %#" PRIx32 " is out of order", cpu->msr[i].index);
        }
    }
    return true;
}

static const StateDesc segment_state = {
    .name = "x86-segment", .version = 1,
    .fields = (const StateField[]) {
        STATE_U16(X86Segment, selector), STATE_U32(X86Segment, attributes), STATE_U32(X86Segment, limit),
        STATE_U64(X86Segment, base), STATE_END
    },
};

static const StateDesc table_state = {
    .name = "x86-table", .version = 1,
    .fields = (const StateField[]) { STATE_U64(X86Table, base), STATE_U16(X86Table, limit), STATE_END },
};

static const StateDesc msr_state = {
    .name = "x86-msr", .version = 1,
    .fields = (const StateField[]) { STATE_U32(X86Msr, index), STATE_U64(X86Msr, value), STATE_END },
};

/* xsave_size and msrs come before the arrays whose length they are. */
const StateDesc x86_cpu_state = {
    .name = "x86-cpu", .version = 1, .check = cpu_check,
    .fields = (const StateField[]) {
        STATE_ARRAY(X86Cpu, gpr, STATE_TYPE_U64), STATE_U64(X86Cpu, rip), STATE_U64(X86Cpu, rflags),
        STATE_STRUCTS(X86Cpu, segment, &segment_state), STATE_STRUCT(X86Cpu, ldt, &segment_state),
        STATE_STRUCT(X86Cpu, tr, &segment_state), STATE_STRUCT(X86Cpu, gdt, &table_state),
        STATE_STRUCT(X86Cpu, idt, &table_state),
        STATE_U64(X86Cpu, cr0), STATE_U64(X86Cpu, cr2), STATE_U64(X86Cpu, cr3), STATE_U64(X86Cpu, cr4),
        STATE_U64(X86Cpu, cr8), STATE_U64(X86Cpu, efer), STATE_U64(X86Cpu, apic_base),
        STATE_ARRAY(X86Cpu, pdptr, STATE_TYPE_U64), STATE_BOOL(X86Cpu, pdptrs_valid),
        STATE_ARRAY(X86Cpu, dr, STATE_TYPE_U64), STATE_U64(X86Cpu, dr6), STATE_U64(X86Cpu, dr7),
        STATE_U64(X86Cpu, xcr0),
        STATE_ROW(X86Cpu, xsave_size, STATE_TYPE_U32, .max = X86_XSAVE_MAX),
        { .name = "xsave", .type = STATE_TYPE_BYTES, .offset = offsetof(X86Cpu, xsave), .count = X86_XSAVE_MAX,
          .count_offset = offsetof(X86Cpu, xsave_size), .stride = 1 },
        STATE_ROW(X86Cpu, msrs, STATE_TYPE_U32, .max = X86_MSRS_MAX),
        { .name = "msr", .type = STATE_TYPE_STRUCT, .offset = offsetof(X86Cpu, msr), .count = X86_MSRS_MAX,
          .count_offset = offsetof(X86Cpu, msrs), .stride = sizeof(X86Msr), .nested = &msr_state },
        STATE_U8(X86Cpu, exception_pending), STATE_U8(X86Cpu, exception_injected), STATE_U8(X86Cpu, exception_vector),
        STATE_U8(X86Cpu, exception_has_error), STATE_U32(X86Cpu, exception_error),
        STATE_U8(X86Cpu, exception_has_payload), STATE_U64(X86Cpu, exception_payload),
        STATE_U8(X86Cpu, interrupt_injected), STATE_U8(X86Cpu, interrupt_vector), STATE_U8(X86Cpu, interrupt_soft),
        STATE_U8(X86Cpu, interrupt_shadow),
        STATE_U8(X86Cpu, nmi_injected), STATE_U8(X86Cpu, nmi_pending), STATE_U8(X86Cpu, nmi_masked),
        STATE_U32(X86Cpu, sipi_vector),
        STATE_U8(X86Cpu, smm), STATE_U8(X86Cpu, smi_pending), STATE_U8(X86Cpu, smi_inside_nmi),
        STATE_U8(X86Cpu, smi_latched_init), STATE_U8(X86Cpu, triple_fault_pending),
        STATE_ROW(X86Cpu, run_state, STATE_TYPE_U32, .max = X86_HALTED),
        STATE_U32(X86Cpu, tsc_khz), STATE_BYTES(X86Cpu, lapic), STATE_END
    },
};
