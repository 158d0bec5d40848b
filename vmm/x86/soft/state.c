/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU's state as a whole: between X86Cpu, the form that every accelerator saves, and SoftCpu;
 * and what power-on and INIT make of it (SDM 3-10.1.1 table 10-1).
 *
 * A state that is loaded may come from KVM, or from an enemy.  All of it is checked before the first
 * change: what this CPU cannot hold is refused by name, and no value that passes can make anything but
 * the guest misbehave.
 *
 * Not held here: the local APIC, APIC base, CR8 and clocks (the embedder's).  A vCPU that waits for a
 * SIPI is saved as having received INIT, which power-on amounts to.
 *
 * The vCPU does not run, or it is its own thread.
 */
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/system.h"
#include "vmm/x86/soft/vm.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/error.h"

#define SEG_REAL_CODE 0x9bu
#define SEG_REAL_DATA 0x93u
#define SEG_REAL_LDT  0x82u
#define SEG_REAL_TSS  0x8bu
#define SEG_ATTRIBUTES (0xf0ffu | X86_SEG_UNUSABLE)

#define CR0_RESET (CR0_CD | CR0_NW | CR0_ET)
#define RFLAGS_BITS UINT64_C(0x3f7fd7)

/* ---- power-on and INIT ---- */
static void set_segment(X86Segment *s, uint16_t selector, uint32_t attributes, uint64_t base)
{
    s->selector = selector;
    s->attributes = attributes;
    s->limit = 0xffff;
    s->base = base;
}

static void set_table(X86Table *t)
{
    t->base = 0;
    t->limit = 0xffff;
}

static void init_registers(SoftCpu *cpu, bool power_on)
{
    const X86Cpuid *signature = soft_cpuid(cpu, 1, 0);

    soft_zero(cpu->gpr, sizeof(cpu->gpr));
    cpu->gpr[X86_RDX] = signature ? signature->eax : 0;
    cpu->rip = 0xfff0;
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        set_segment(&cpu->segment[i], 0, SEG_REAL_DATA, 0);
    }
    set_segment(&cpu->segment[X86_CS], 0xf000, SEG_REAL_CODE, 0xffff0000);
    set_segment(&cpu->ldt, 0, SEG_REAL_LDT, 0);
    set_segment(&cpu->tr, 0, SEG_REAL_TSS, 0);
    set_table(&cpu->gdt);
    set_table(&cpu->idt);
    cpu->cr0 = power_on ? CR0_RESET : (cpu->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->efer = 0;
    for (unsigned i = 0; i < 4; i++) {
        cpu->dr[i] = cpu->pdptr[i] = 0;
    }
    cpu->dr6 = DR6_FIXED;
    cpu->dr7 = DR7_FIXED;
    cpu->cpl = 0;
}

static void init_events(SoftCpu *cpu)
{
    cpu->event.kind = EVENT_NONE;
    cpu->event_waits = cpu->in_delivery = false;
    cpu->debug_pending = cpu->debug_hits = 0;
    cpu->nmi_masked = cpu->in_smm = cpu->smi_inside_nmi = false;
    cpu->halted = cpu->shutdown = cpu->wait_sipi = false;
    soft_set_shadow(cpu, 0);
    soft_unsignal(cpu, SOFT_NMI);
}

/* After INIT all but the bootstrap processor wait for a SIPI, SDM 3-10.4.2. */
static bool is_bootstrap(SoftCpu *cpu)
{
    uint64_t base = 0;
    bool known;

    soft_outside_begin(cpu);
    known = cpu->hooks->msr_read(cpu, cpu->opaque, MSR_APIC_BASE, &base);
    soft_outside_end(cpu);
    return !known || base & APIC_BASE_BSP;
}

void soft_cpu_init_state(SoftCpu *cpu, bool power_on)
{
    init_registers(cpu, power_on);
    init_events(cpu);
    if (power_on) {
        soft_fp_init(cpu);
        cpu->xcr0 = XCR0_X87;
        soft_msrs_power_on(cpu);
    } else {
        cpu->wait_sipi = !is_bootstrap(cpu);
    }
    soft_tlb_flush(cpu);
    soft_set_rflags(cpu, EFLAGS_FIXED);
}

/* ---- checks of a state ---- */
static void control_of(const X86Cpu *state, SoftControl *ret)
{
    ret->cr0 = state->cr0;
    ret->cr3 = state->cr3;
    ret->cr4 = state->cr4;
    ret->efer = state->efer;
    ret->rflags = state->rflags;
    ret->cs_attributes = state->segment[X86_CS].attributes;
}

static bool check_segment(const X86Segment *s, const char *name, GError **error)
{
    if (s->attributes & ~SEG_ATTRIBUTES) {
        return error_set(error, "%s has the attributes %#" PRIx32, name, s->attributes);
    }
    return soft_is_canonical(s->base) ||
           error_set(error, "the base of %s, %#" PRIx64 ", is not canonical", name, s->base);
}

static bool check_segments(const X86Cpu *state, GError **error)
{
    static const char *const names[X86_SEGMENTS] = { "ES", "CS", "SS", "DS", "FS", "GS" };

    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        if (!check_segment(&state->segment[i], names[i], error)) {
            return false;
        }
        if (i != X86_FS && i != X86_GS && state->segment[i].base >> 32) {
            return error_set(error, "the base of %s, %#" PRIx64 ", has more than 32 bits", names[i],
                             state->segment[i].base);
        }
    }
    if (!check_segment(&state->ldt, "LDTR", error) || !check_segment(&state->tr, "TR", error)) {
        return false;
    }
    if (!soft_is_canonical(state->gdt.base) || !soft_is_canonical(state->idt.base)) {
        return error_set(error, "the base of GDTR or IDTR is not canonical");
    }
    return true;
}

static bool check_control(SoftCpu *cpu, const X86Cpu *state, GError **error)
{
    SoftControl control;
    const char *problem;

    control_of(state, &control);
    problem = soft_control_problem(cpu, &control);
    if (problem) {
        return error_set(error, "%s (CR0 %#" PRIx64 ", CR3 %#" PRIx64 ", CR4 %#" PRIx64 ", EFER %#" PRIx64 ")", problem,
                         state->cr0, state->cr3, state->cr4, state->efer);
    }
    if (state->rflags & ~RFLAGS_BITS) {
        return error_set(error, "RFLAGS has reserved bits: %#" PRIx64, state->rflags);
    }
    if (state->dr6 >> 32 || state->dr7 >> 32) {
        return error_set(error, "DR6 or DR7 has reserved bits: %#" PRIx64 ", %#" PRIx64, state->dr6, state->dr7);
    }
    if (state->pdptrs_valid && soft_is_pae(state->cr0, state->cr4, state->efer) &&
        !soft_pdptes_valid(cpu, state->pdptr)) {
        return error_set(error, "a page directory pointer has reserved bits");
    }
    return true;
}

/* ---- x87, SSE, AVX: the XSAVE area's standard form, SDM 1-13.4 ---- */
/* What of it is ours.  A component that is marked, but that we have not, is all zero: its initial state. */
static void xsave_image(const SoftCpu *cpu, const X86Cpu *state, uint8_t image[XSAVE_BYTES])
{
    uint64_t bv, ours = soft_xcr0_bits(cpu) | XCR0_SSE;

    memset(image, 0, XSAVE_BYTES);
    memcpy(image, state->xsave, MIN(ours & XCR0_AVX ? XS_END : XS_AVX, state->xsave_size));
    memcpy(&bv, image + XS_BV, sizeof(bv));
    bv &= ours;
    memcpy(image + XS_BV, &bv, sizeof(bv));
}

static bool check_xsave(SoftCpu *cpu, const X86Cpu *state, GError **error)
{
    uint64_t ours = soft_xcr0_bits(cpu) | XCR0_SSE;
    uint32_t size = ours & XCR0_AVX ? XS_END : XS_AVX;
    g_autofree uint8_t *image = g_malloc(XSAVE_BYTES);

    if (state->xcr0 & ~ours || !(state->xcr0 & XCR0_X87) || (state->xcr0 & XCR0_AVX && !(state->xcr0 & XCR0_SSE))) {
        return error_set(error, "XCR0 cannot be %#" PRIx64, state->xcr0);
    }
    if (state->xsave_size < XS_AVX || state->xsave_size > X86_XSAVE_MAX) {
        return error_set(error, "the XSAVE area has %" PRIu32 " bytes", state->xsave_size);
    }
    for (uint32_t i = size; i < state->xsave_size; i++) {
        if (state->xsave[i]) {
            return error_set(error, "the XSAVE area holds registers that the CPU model does not offer");
        }
    }
    xsave_image(cpu, state, image);
    return soft_fp_valid(cpu->vm, image) || error_set(error, "the XSAVE area has reserved bits");
}

static void load_xsave(SoftCpu *cpu, const X86Cpu *state)
{
    soft_fp_replace(cpu);
    xsave_image(cpu, state, cpu->xsave);
}

static void save_xsave(SoftCpu *cpu, X86Cpu *state)
{
    uint64_t bv = soft_xcr0_bits(cpu) | XCR0_SSE;

    memset(state->xsave, 0, sizeof(state->xsave));
    state->xsave_size = bv & XCR0_AVX ? XS_END : XS_AVX;
    memcpy(state->xsave, soft_fp_image(cpu), state->xsave_size);
    memcpy(state->xsave + XS_BV, &bv, sizeof(bv));
}

/* ---- events ---- */
static bool check_events(const SoftCpu *cpu, const X86Cpu *state, GError **error)
{
    bool exception = state->exception_injected || state->exception_pending;

    if (state->smm && !cpu->vm->smm) {
        return error_set(error, "it is in system management mode, which this machine has not");
    }
    if (exception && state->exception_vector > 31) {
        return error_set(error, "exception %u is none", state->exception_vector);
    }
    if (exception && state->interrupt_injected && !state->interrupt_soft) {
        return error_set(error, "an exception and an interrupt are both being delivered");
    }
    return state->run_state <= X86_HALTED || error_set(error, "run state %" PRIu32 " is none", state->run_state);
}

/* A debug trap that MOV SS holds back for one instruction. */
static bool waits_for_shadow(const X86Cpu *state)
{
    return state->exception_pending && !state->exception_injected && state->exception_vector == VECTOR_DB &&
           state->exception_has_payload && state->interrupt_shadow == SHADOW_MOV_SS;
}

/* What KVM was delivering, or about to; software interrupts it leaves out, as their instruction runs again. */
static void load_event(SoftCpu *cpu, const X86Cpu *state)
{
    SoftEvent *e = &cpu->event;

    soft_zero(e, sizeof(*e));
    if (waits_for_shadow(state)) {
        cpu->debug_pending = state->exception_payload & DR6_WRITABLE;
    } else if (state->exception_injected || state->exception_pending) {
        bool trap = state->exception_vector == VECTOR_DB || state->exception_vector == VECTOR_BP ||
                    state->exception_vector == VECTOR_OF;

        e->kind = trap ? EVENT_TRAP : EVENT_FAULT;
        e->vector = state->exception_vector;
        e->has_error = state->exception_has_error != 0;
        e->error = state->exception_error;
        e->cr2 = state->exception_has_payload ? state->exception_payload : state->cr2;
        e->dr6 = state->exception_has_payload && e->vector == VECTOR_DB ? state->exception_payload & DR6_WRITABLE : 0;
    } else if (state->nmi_injected) {
        e->kind = EVENT_NMI;
        e->vector = VECTOR_NMI;
    } else if (state->interrupt_injected && !state->interrupt_soft) {
        e->kind = EVENT_EXTERNAL;
        e->vector = state->interrupt_vector;
    }
    cpu->event_waits = e->kind != EVENT_NONE && !cpu->wait_sipi;
}

static void load_events(SoftCpu *cpu, const X86Cpu *state)
{
    uint32_t pending = 0;

    cpu->halted = state->run_state == X86_HALTED;
    cpu->wait_sipi = state->run_state == X86_WAIT_INIT || state->run_state == X86_INIT_RECEIVED ||
                     state->run_state == X86_SIPI_RECEIVED;
    cpu->shutdown = state->triple_fault_pending != 0;
    soft_set_shadow(cpu, state->interrupt_shadow);
    cpu->nmi_masked = state->nmi_masked != 0;
    cpu->in_smm = state->smm != 0;
    cpu->smi_inside_nmi = state->smm && state->smi_inside_nmi;
    cpu->in_delivery = false;
    cpu->debug_pending = cpu->debug_hits = 0;
    load_event(cpu, state);
    pending |= state->nmi_pending ? SOFT_NMI : 0;
    pending |= state->smi_pending ? SOFT_SMI : 0;
    pending |= state->smi_latched_init ? SOFT_INIT : 0;
    pending |= state->run_state == X86_SIPI_RECEIVED ? SOFT_SIPI : 0;
    __atomic_store_n(&cpu->sipi_vector, (uint8_t)state->sipi_vector, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&cpu->pending, pending, __ATOMIC_SEQ_CST);
}

/* As being delivered, with what the delivery would write to CR2 and DR6 already there. */
static void save_event(const SoftCpu *cpu, X86Cpu *state)
{
    const SoftEvent *e = &cpu->event;

    state->exception_pending = state->exception_injected = state->exception_vector = state->exception_has_error = 0;
    state->exception_error = 0;
    state->exception_has_payload = 0;
    state->exception_payload = 0;
    state->interrupt_injected = state->interrupt_vector = state->interrupt_soft = state->nmi_injected = 0;
    if (!cpu->event_waits) {
        state->exception_pending = state->exception_has_payload = cpu->debug_pending != 0;
        state->exception_vector = cpu->debug_pending ? VECTOR_DB : 0;
        state->exception_payload = cpu->debug_pending;
        return;
    }
    if (e->kind == EVENT_NMI) {
        state->nmi_injected = 1;
    } else if (e->kind == EVENT_EXTERNAL) {
        state->interrupt_injected = 1;
        state->interrupt_vector = e->vector;
    } else {
        state->exception_injected = 1;
        state->exception_vector = e->vector;
        state->exception_has_error = e->has_error;
        state->exception_error = e->error;
        state->cr2 = e->vector == VECTOR_PF ? e->cr2 : state->cr2;
        state->dr6 = e->dr6 ? (state->dr6 & ~(uint64_t)DR6_TRAPS) | e->dr6 : state->dr6;
        state->rflags |= e->kind == EVENT_FAULT ? EFLAGS_RF : 0;
    }
}

static void save_events(const SoftCpu *cpu, X86Cpu *state)
{
    uint32_t pending = __atomic_load_n(&cpu->pending, __ATOMIC_SEQ_CST);

    save_event(cpu, state);
    state->run_state = !cpu->wait_sipi ? cpu->halted ? X86_HALTED : X86_RUNNABLE
                                       : pending & SOFT_SIPI ? X86_SIPI_RECEIVED : X86_INIT_RECEIVED;
    state->sipi_vector = __atomic_load_n(&cpu->sipi_vector, __ATOMIC_SEQ_CST);
    state->triple_fault_pending = cpu->shutdown;
    state->interrupt_shadow = soft_get_shadow(cpu);
    state->nmi_masked = cpu->nmi_masked;
    state->nmi_pending = (pending & SOFT_NMI) != 0;
    state->smm = cpu->in_smm;
    state->smi_inside_nmi = cpu->smi_inside_nmi;
    state->smi_pending = (pending & SOFT_SMI) != 0;
    state->smi_latched_init = (pending & SOFT_INIT) != 0;
}

/* ---- the whole ---- */
/* Present or not: KVM marks what is null, its own or not, as unusable. */
static void load_segment(X86Segment *to, const X86Segment *from)
{
    *to = *from;
    to->attributes |= to->attributes & SEG_P ? 0 : X86_SEG_UNUSABLE;
}

static void load_registers(SoftCpu *cpu, const X86Cpu *state, const SoftControl *control)
{
    memcpy(cpu->gpr, state->gpr, sizeof(cpu->gpr));
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        load_segment(&cpu->segment[i], &state->segment[i]);
    }
    load_segment(&cpu->ldt, &state->ldt);
    load_segment(&cpu->tr, &state->tr);
    cpu->gdt = state->gdt;
    cpu->idt = state->idt;
    cpu->cr0 = state->cr0 | CR0_ET;
    cpu->cr2 = state->cr2;
    cpu->cr3 = state->cr3;
    cpu->cr4 = state->cr4;
    cpu->efer = state->efer;
    memcpy(cpu->pdptr, state->pdptr, sizeof(cpu->pdptr));
    memcpy(cpu->dr, state->dr, sizeof(cpu->dr));
    cpu->dr6 = (state->dr6 & DR6_WRITABLE) | DR6_FIXED;
    cpu->dr7 = (state->dr7 & DR7_WRITABLE) | DR7_FIXED;
    cpu->xcr0 = state->xcr0;
    cpu->tsc_khz = state->tsc_khz;
    cpu->rip = control->efer & EFER_LMA && control->cs_attributes & SEG_L ? state->rip : (uint32_t)state->rip;
    cpu->cpl = soft_cpl_of(control, state->segment[X86_SS].attributes);
}

bool soft_cpu_load(SoftCpu *cpu, const X86Cpu *state, GError **error)
{
    SoftControl control;
    uint64_t pdpte[4];
    bool pae = soft_is_pae(state->cr0, state->cr4, state->efer);

    if (!check_control(cpu, state, error) || !check_segments(state, error) || !check_xsave(cpu, state, error) ||
        !check_events(cpu, state, error) || !soft_msrs_check(cpu, state, error)) {
        return false;
    }
    if (pae && !state->pdptrs_valid && !soft_read_pdptes(cpu, state->cr3, pdpte)) {
        return error_set(error, "CR3, %#" PRIx64 ", leads to no page directory pointers", state->cr3);
    }
    control_of(state, &control);
    load_registers(cpu, state, &control);
    if (pae && !state->pdptrs_valid) {
        memcpy(cpu->pdptr, pdpte, sizeof(pdpte));
    }
    load_xsave(cpu, state);
    soft_msrs_load(cpu, state);
    load_events(cpu, state);
    cpu->linked_from = NULL;
    soft_tlb_flush(cpu);
    soft_set_rflags(cpu, state->rflags);
    return true;
}

void soft_cpu_save(SoftCpu *cpu, X86Cpu *state)
{
    memcpy(state->gpr, cpu->gpr, sizeof(state->gpr));
    state->rip = cpu->rip;
    state->rflags = soft_get_rflags(cpu);
    memcpy(state->segment, cpu->segment, sizeof(state->segment));
    state->segment[X86_SS].attributes &= ~0x60u;
    state->segment[X86_SS].attributes |= (uint32_t)cpu->cpl << 5;
    state->ldt = cpu->ldt;
    state->tr = cpu->tr;
    state->gdt = cpu->gdt;
    state->idt = cpu->idt;
    state->cr0 = cpu->cr0;
    state->cr2 = cpu->cr2;
    state->cr3 = cpu->cr3;
    state->cr4 = cpu->cr4;
    state->efer = cpu->efer;
    memcpy(state->pdptr, cpu->pdptr, sizeof(state->pdptr));
    state->pdptrs_valid = soft_is_pae(cpu->cr0, cpu->cr4, cpu->efer);
    memcpy(state->dr, cpu->dr, sizeof(state->dr));
    state->dr6 = cpu->dr6;
    state->dr7 = cpu->dr7;
    state->xcr0 = cpu->xcr0;
    state->tsc_khz = cpu->tsc_khz;
    save_xsave(cpu, state);
    soft_msrs_save(cpu, state);
    save_events(cpu, state);
}
