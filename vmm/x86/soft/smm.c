/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System management mode: the way in (SDM 3-33.4, 3-33.5) and out (RSM, 3-33.7), with SMBASE
 * relocation, the auto-HALT flag and NMI blocking.
 *
 * The state is saved at SMBASE + 0xfe00 as AMD's processors with long mode do (APM 2-10.2.3,
 * revision 0x20064), or without long mode in the CPUID as the P6 did (revision 0x20000), with hidden
 * parts of segments where KVM and firmware have them.  Like KVM, and unlike AMD's processors, the
 * byte at 0xfecb (0xff1a) keeps the interrupt shadow: the CPL is the DPL of SS.  The word at 0xfecc
 * (0xff18) keeps the debug traps that the shadow holds back.
 *
 * Left out: I/O instruction restart, and the synchronization of SMIs between vCPUs, which is the
 * chipset's.
 *
 * On the vCPU's thread, between instructions (in) or in RSM (out).
 */
#include "vmm/x86/soft/system.h"
#include "vmm/x86/soft/vm.h"

#define AREA       0xfe00u
#define AREA_BYTES 0x200u
#define ENTRY      0x8000u
#define REVISION_64 0x20064u
#define REVISION_32 0x20000u

#define CR0_CLEARED (CR0_PE | CR0_EM | CR0_TS | CR0_PG)
#define ATTRIBUTES  0xf0ffu    /* what of X86Segment.attributes is saved */
#define DATA_16     0x8093u    /* present, writable, accessed, limit in pages */

/* Offsets from SMBASE: both layouts end at 0x10000. */
enum { /* 64 bits */
    S64_ES = 0xfe00, S64_GDT = 0xfe60, S64_LDT = 0xfe70, S64_IDT = 0xfe80, S64_TR = 0xfe90, S64_AUTO_HALT = 0xfec9,
    S64_SHADOW = 0xfecb, S64_DEBUG = 0xfecc, S64_EFER = 0xfed0, S64_REVISION = 0xfefc, S64_SMBASE = 0xff00,
    S64_CR4 = 0xff48, S64_CR3 = 0xff50, S64_CR0 = 0xff58, S64_DR7 = 0xff60, S64_DR6 = 0xff68,
    S64_RFLAGS = 0xff70, S64_RIP = 0xff78, S64_R15 = 0xff80,
};
enum { /* 32 bits */
    S32_SMBASE = 0xfef8, S32_REVISION = 0xfefc, S32_AUTO_HALT = 0xff02, S32_CR4 = 0xff14, S32_DEBUG = 0xff18,
    S32_SHADOW = 0xff1a, S32_DS = 0xff2c, S32_FS = 0xff38, S32_GS = 0xff44, S32_IDT = 0xff50, S32_TR = 0xff5c,
    S32_GDT = 0xff6c, S32_LDT = 0xff78, S32_ES = 0xff84, S32_CS = 0xff90, S32_SS = 0xff9c, S32_SELECTORS = 0xffa8,
    S32_LDT_SELECTOR = 0xffc0, S32_TR_SELECTOR = 0xffc4, S32_DR7 = 0xffc8, S32_DR6 = 0xffcc, S32_EAX = 0xffd0,
    S32_EIP = 0xfff0, S32_EFLAGS = 0xfff4, S32_CR3 = 0xfff8, S32_CR0 = 0xfffc,
};
static const uint16_t segment_32[X86_SEGMENTS] = { S32_ES, S32_CS, S32_SS, S32_DS, S32_FS, S32_GS };

static void put(uint8_t *area, unsigned at, uint64_t value, unsigned size)
{
    soft_copy(area + (at - AREA), &value, size);
}

static uint64_t get(const uint8_t *area, unsigned at, unsigned size)
{
    uint64_t value = 0;

    soft_copy(&value, area + (at - AREA), size);
    return value;
}

/* ---- segments in the area ---- */
static void put_segment_64(uint8_t *area, unsigned at, const X86Segment *s)
{
    put(area, at, s->selector, 2);
    put(area, at + 2, s->attributes & ATTRIBUTES, 2);
    put(area, at + 4, s->limit, 4);
    put(area, at + 8, s->base, 8);
}

static void get_segment(X86Segment *s, uint64_t selector, uint64_t attributes, uint64_t limit, uint64_t base)
{
    s->selector = (uint16_t)selector;
    s->attributes = attributes & ATTRIBUTES;
    s->attributes |= s->attributes & SEG_P ? 0 : X86_SEG_UNUSABLE;
    s->limit = (uint32_t)limit;
    s->base = base;
}

static void get_segment_64(const uint8_t *area, unsigned at, X86Segment *s)
{
    get_segment(s, get(area, at, 2), get(area, at + 2, 2), get(area, at + 4, 4), get(area, at + 8, 8));
}

/* Attributes, where the descriptor's second word has them; limit; base. */
static void put_segment_32(uint8_t *area, unsigned at, unsigned selector_at, const X86Segment *s)
{
    put(area, at, (s->attributes & ATTRIBUTES) << 8, 4);
    put(area, at + 4, s->limit, 4);
    put(area, at + 8, s->base, 4);
    put(area, selector_at, s->selector, 4);
}

static void get_segment_32(const uint8_t *area, unsigned at, unsigned selector_at, X86Segment *s)
{
    get_segment(s, get(area, selector_at, 2), get(area, at, 4) >> 8, get(area, at + 4, 4), get(area, at + 8, 4));
}

static void put_table(uint8_t *area, unsigned at, unsigned base_size, const X86Table *t)
{
    put(area, at + 4, t->limit, 4);
    put(area, at + 8, t->base, base_size);
}

static void get_table(const uint8_t *area, unsigned at, unsigned base_size, X86Table *t)
{
    t->limit = (uint16_t)get(area, at + 4, 4);
    t->base = get(area, at + 8, base_size);
}

/* ---- in ---- */
static void save_64(const SoftCpu *cpu, uint8_t *area)
{
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        put_segment_64(area, S64_ES + 16 * i, &cpu->segment[i]);
    }
    put_table(area, S64_GDT, 8, &cpu->gdt);
    put_segment_64(area, S64_LDT, &cpu->ldt);
    put_table(area, S64_IDT, 8, &cpu->idt);
    put_segment_64(area, S64_TR, &cpu->tr);
    put(area, S64_AUTO_HALT, cpu->halted, 1);
    put(area, S64_SHADOW, soft_get_shadow(cpu), 1);
    put(area, S64_DEBUG, cpu->debug_pending, 2);
    put(area, S64_EFER, cpu->efer, 8);
    put(area, S64_REVISION, REVISION_64, 4);
    put(area, S64_SMBASE, cpu->smbase, 4);
    put(area, S64_CR4, cpu->cr4, 8);
    put(area, S64_CR3, cpu->cr3, 8);
    put(area, S64_CR0, cpu->cr0, 8);
    put(area, S64_DR7, cpu->dr7, 8);
    put(area, S64_DR6, cpu->dr6, 8);
    put(area, S64_RFLAGS, soft_get_rflags(cpu), 8);
    put(area, S64_RIP, cpu->rip, 8);
    for (unsigned i = 0; i < X86_GPRS; i++) {
        put(area, S64_R15 + 8 * (X86_R15 - i), cpu->gpr[i], 8);
    }
}

static void save_32(const SoftCpu *cpu, uint8_t *area)
{
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        put_segment_32(area, segment_32[i], S32_SELECTORS + 4 * i, &cpu->segment[i]);
    }
    put_segment_32(area, S32_LDT, S32_LDT_SELECTOR, &cpu->ldt);
    put_segment_32(area, S32_TR, S32_TR_SELECTOR, &cpu->tr);
    put_table(area, S32_GDT, 4, &cpu->gdt);
    put_table(area, S32_IDT, 4, &cpu->idt);
    put(area, S32_SMBASE, cpu->smbase, 4);
    put(area, S32_REVISION, REVISION_32, 4);
    put(area, S32_AUTO_HALT, cpu->halted, 2);
    put(area, S32_CR4, cpu->cr4, 4);
    put(area, S32_SHADOW, soft_get_shadow(cpu), 1);
    put(area, S32_DEBUG, cpu->debug_pending, 2);
    put(area, S32_DR7, cpu->dr7, 4);
    put(area, S32_DR6, cpu->dr6, 4);
    for (unsigned i = 0; i <= X86_RDI; i++) {
        put(area, S32_EAX + 4 * i, cpu->gpr[i], 4);
    }
    put(area, S32_EIP, cpu->rip, 4);
    put(area, S32_EFLAGS, soft_get_rflags(cpu), 4);
    put(area, S32_CR3, cpu->cr3, 4);
    put(area, S32_CR0, cpu->cr0, 4);
}

/* SDM 3-33.5.1 table 33-4. */
static void set_entry_state(SoftCpu *cpu)
{
    soft_set_rflags(cpu, EFLAGS_FIXED);
    cpu->cr0 &= ~CR0_CLEARED;
    cpu->cr4 = 0;
    cpu->efer = 0;
    cpu->dr7 = DR7_FIXED;
    cpu->idt.base = 0;
    cpu->idt.limit = 0;
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        get_segment(&cpu->segment[i], 0, DATA_16, UINT32_MAX, 0);
    }
    cpu->segment[X86_CS].selector = (uint16_t)(cpu->smbase >> 4);
    cpu->segment[X86_CS].base = cpu->smbase;
    cpu->rip = ENTRY;
    cpu->cpl = 0;
    soft_set_shadow(cpu, 0);
    cpu->debug_pending = 0;
    cpu->halted = false;
}

void soft_enter_smm(SoftCpu *cpu)
{
    uint8_t area[AREA_BYTES];

    soft_zero(area, sizeof(area));
    if (soft_offers(cpu, FEATURE_LM)) {
        save_64(cpu, area);
    } else {
        save_32(cpu, area);
    }
    soft_outside_begin(cpu);
    memory_write(cpu->vm->smm, cpu->smbase + AREA, area, sizeof(area));
    soft_outside_end(cpu);
    cpu->smi_inside_nmi = cpu->nmi_masked;
    cpu->nmi_masked = true;
    cpu->in_smm = true;
    cpu->smi_count++;
    set_entry_state(cpu);
    soft_tlb_flush(cpu);
    soft_update_mode(cpu);
}

/* ---- out ---- */
typedef struct Restored {
    SoftControl control;
    uint64_t dr6, dr7, rip;
    uint32_t smbase;
    uint16_t debug;
    uint8_t shadow;
    bool halted;
    X86Segment segment[X86_SEGMENTS], ldt, tr;
    X86Table gdt, idt;
    uint64_t gpr[X86_GPRS];
} Restored;

static void restore_64(const uint8_t *area, Restored *r)
{
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        get_segment_64(area, S64_ES + 16 * i, &r->segment[i]);
    }
    get_table(area, S64_GDT, 8, &r->gdt);
    get_segment_64(area, S64_LDT, &r->ldt);
    get_table(area, S64_IDT, 8, &r->idt);
    get_segment_64(area, S64_TR, &r->tr);
    r->halted = get(area, S64_AUTO_HALT, 1) & 1;
    r->shadow = (uint8_t)get(area, S64_SHADOW, 1);
    r->debug = (uint16_t)get(area, S64_DEBUG, 2);
    r->smbase = (uint32_t)get(area, S64_SMBASE, 4);
    r->control.efer = get(area, S64_EFER, 8);
    r->control.cr4 = get(area, S64_CR4, 8);
    r->control.cr3 = get(area, S64_CR3, 8);
    r->control.cr0 = get(area, S64_CR0, 8);
    r->control.rflags = get(area, S64_RFLAGS, 8);
    r->dr7 = get(area, S64_DR7, 8);
    r->dr6 = get(area, S64_DR6, 8);
    r->rip = get(area, S64_RIP, 8);
    for (unsigned i = 0; i < X86_GPRS; i++) {
        r->gpr[i] = get(area, S64_R15 + 8 * (X86_R15 - i), 8);
    }
}

static void restore_32(const uint8_t *area, Restored *r)
{
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        get_segment_32(area, segment_32[i], S32_SELECTORS + 4 * i, &r->segment[i]);
    }
    get_segment_32(area, S32_LDT, S32_LDT_SELECTOR, &r->ldt);
    get_segment_32(area, S32_TR, S32_TR_SELECTOR, &r->tr);
    get_table(area, S32_GDT, 4, &r->gdt);
    get_table(area, S32_IDT, 4, &r->idt);
    r->smbase = (uint32_t)get(area, S32_SMBASE, 4);
    r->halted = get(area, S32_AUTO_HALT, 2) & 1;
    r->shadow = (uint8_t)get(area, S32_SHADOW, 1);
    r->debug = (uint16_t)get(area, S32_DEBUG, 2);
    r->control.efer = 0;
    r->control.cr4 = get(area, S32_CR4, 4);
    r->control.cr3 = get(area, S32_CR3, 4);
    r->control.cr0 = get(area, S32_CR0, 4);
    r->control.rflags = get(area, S32_EFLAGS, 4);
    r->dr7 = get(area, S32_DR7, 4);
    r->dr6 = get(area, S32_DR6, 4);
    r->rip = get(area, S32_EIP, 4);
    for (unsigned i = 0; i < X86_GPRS; i++) {
        r->gpr[i] = i <= X86_RDI ? get(area, S32_EAX + 4 * i, 4) : 0;
    }
}

static bool bases_canonical(const Restored *r)
{
    bool ok = soft_is_canonical(r->ldt.base) && soft_is_canonical(r->tr.base) && soft_is_canonical(r->gdt.base) &&
              soft_is_canonical(r->idt.base);

    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        ok = ok && soft_is_canonical(r->segment[i].base);
    }
    return ok;
}

static void take_segment(X86Segment *to, const X86Segment *from)
{
    get_segment(to, from->selector, from->attributes, from->limit, from->base);
}

static void take_restored(SoftCpu *cpu, const Restored *r)
{
    const SoftControl *c = &r->control;

    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        take_segment(&cpu->segment[i], &r->segment[i]);
    }
    take_segment(&cpu->ldt, &r->ldt);
    take_segment(&cpu->tr, &r->tr);
    cpu->gdt.base = r->gdt.base;
    cpu->gdt.limit = r->gdt.limit;
    cpu->idt.base = r->idt.base;
    cpu->idt.limit = r->idt.limit;
    soft_copy(cpu->gpr, r->gpr, sizeof(cpu->gpr));
    cpu->rip = c->efer & EFER_LMA && c->cs_attributes & SEG_L ? r->rip : (uint32_t)r->rip;
    cpu->cr0 = c->cr0 | CR0_ET;
    cpu->cr3 = c->cr3;
    cpu->cr4 = c->cr4;
    cpu->efer = c->efer;
    cpu->dr6 = (r->dr6 & DR6_WRITABLE) | DR6_FIXED;
    cpu->dr7 = (r->dr7 & DR7_WRITABLE) | DR7_FIXED;
    cpu->smbase = r->smbase;
    soft_set_shadow(cpu, r->shadow);
    cpu->debug_pending = r->debug & DR6_WRITABLE;
    cpu->halted = r->halted;
    cpu->cpl = soft_cpl_of(c, cpu->segment[X86_SS].attributes);
    soft_set_rflags(cpu, c->rflags);
}

static _Noreturn void shut_down(SoftCpu *cpu)
{
    cpu->shutdown = true;
    cpu->rip = cpu->ip;
    soft_update_attention(cpu);
    soft_leave(cpu, SOFT_EXIT_TRIPLE_FAULT);
}

void soft_leave_smm(SoftCpu *cpu)
{
    uint8_t area[AREA_BYTES];
    Restored r;

    soft_zero(area, sizeof(area));
    soft_outside_begin(cpu);
    memory_read(cpu->vm->smm, cpu->smbase + AREA, area, sizeof(area));
    soft_outside_end(cpu);
    if (soft_offers(cpu, FEATURE_LM)) {
        restore_64(area, &r);
    } else {
        restore_32(area, &r);
    }
    /* LMA follows from the others; what the area says of it is not asked. */
    r.control.efer &= ~EFER_LMA;
    r.control.efer |= r.control.efer & EFER_LME && r.control.cr0 & CR0_PG ? EFER_LMA : 0;
    r.control.cs_attributes = r.segment[X86_CS].attributes;
    if (soft_control_problem(cpu, &r.control) || !bases_canonical(&r)) {
        shut_down(cpu);
    }
    cpu->in_smm = false;
    if (soft_is_pae(r.control.cr0, r.control.cr4, r.control.efer) &&
        !soft_read_pdptes(cpu, r.control.cr3, cpu->pdptr)) {
        shut_down(cpu);
    }
    cpu->nmi_masked = cpu->smi_inside_nmi;
    cpu->smi_inside_nmi = false;
    take_restored(cpu, &r);
    soft_tlb_flush(cpu);
    soft_update_mode(cpu);
}
