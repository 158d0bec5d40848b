/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU's side: CPL 3 under page tables that show code and data where the
 * native child has them, in 64-bit or in compatibility mode, with the descriptors that
 * Linux gives its processes.
 */
#include "diff.h"

#include <string.h>

#include "soft-rig.h"
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/vm.h"

/* Guest-physical. */
enum { PML4 = 0x300000, PDPT = 0x301000, PD = 0x302000, PT_CODE = 0x303000, PT_DATA = 0x304000, PT_SYSTEM = 0x305000,
       PDPT_SYSTEM = 0x306000, PD_SYSTEM = 0x307000, GDT = 0x308000, CODE = 0x400000, DATA = 0x500000 };
#define SYSTEM_BASE UINT64_C(0xffff800000000000) /* a page with the GDT, the LDT, and a TSS that allows no port */
#define LDT_OFFSET  0x400
#define TSS_OFFSET  0x800
#define LIMIT       100000 /* enough for a stack to overflow */
#define LIMIT_SINGLE 60 /* so few that each instruction is a block */

struct Engine {
    SoftRig *rig;
    unsigned code_offset, code_length;
};

static void put(Engine *e, uint64_t gpa, uint64_t value)
{
    memcpy(e->rig->host + gpa, &value, sizeof(value));
}

/* Adjacent linear pages are not adjacent in memory. */
static uint64_t code_page(unsigned i)
{
    return CODE + (1 - i) * 2 * PAGE;
}

static uint64_t data_page(unsigned present)
{
    return DATA + (present * 5 + 3) % 7 * PAGE;
}

static void make_tables(Engine *e)
{
    const uint64_t nx = UINT64_C(1) << 63;
    unsigned present = 0;

    put(e, PML4, PDPT | 7);
    put(e, PDPT, PD | 7);
    put(e, PD + 8 * (CODE_BASE >> 21), PT_CODE | 7);
    put(e, PD + 8 * (DATA_BASE >> 21), PT_DATA | 7);
    for (unsigned i = 0; i < CODE_SIZE / PAGE; i++) {
        put(e, PT_CODE + 8 * i, code_page(i) | 5);
    }
    for (unsigned i = 0; i < DATA_PAGES; i++) {
        if (page_kinds[i] != PAGE_NONE) {
            put(e, PT_DATA + 8 * i, data_page(present++) | nx | (page_kinds[i] == PAGE_RW ? 7 : 5));
        }
    }
    put(e, PML4 + 8 * 256, PDPT_SYSTEM | 3);
    put(e, PDPT_SYSTEM, PD_SYSTEM | 3);
    put(e, PD_SYSTEM, PT_SYSTEM | 3);
    put(e, PT_SYSTEM, GDT | 3);
}

/* Bits 8-15 and 20-23 of a descriptor's upper half, less eight; granularity in bytes. */
static uint32_t attributes(const Segment *s)
{
    unsigned type = s->code ? 9 | (s->readonly ? 0 : 2) : 1 | (s->readonly ? 0 : 2) | (s->down ? 4 : 0);

    return type | 0x70 | (s->absent ? 0 : 0x80) | 0x1000 | (s->wide ? 0x4000 : 0);
}

static uint64_t descriptor(const Segment *s)
{
    return (s->limit & 0xffff) | (uint64_t)(s->base & 0xffffff) << 16 | (uint64_t)attributes(s) << 40 |
           (uint64_t)(s->limit >> 16) << 48 | (uint64_t)(s->base >> 24) << 56;
}

/* arch/x86/include/asm/segment.h of Linux says which is where. */
static void make_system_page(Engine *e)
{
    const uint64_t entries[16] = { 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff,
                                   0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff,
                                   [15] = 0x0040f50000000000 | native_processor() };

    memcpy(e->rig->host + GDT, entries, sizeof(entries));
    for (unsigned i = 0; i < LDT_SEGMENTS; i++) {
        put(e, GDT + LDT_OFFSET + 8 * i, descriptor(&ldt[i]));
    }
    put(e, GDT + TSS_OFFSET + 0x66, 0xffff); /* where the map of ports would be */
}

static void init_system(Engine *e)
{
    SoftCpu *cpu = e->rig->cpu;

    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    cpu->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP;
    cpu->cr4 |= native_has_fsgsbase() ? CR4_FSGSBASE : 0;
    cpu->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu->cr3 = PML4;
    cpu->xcr0 = XFEATURES;
    cpu->gdt = (X86Table){ SYSTEM_BASE, 127 };
    cpu->tr = (X86Segment){ 0x40, 0x8b, 0x67, SYSTEM_BASE + TSS_OFFSET };
    cpu->ldt = (X86Segment){ 0x50, 0x82, 8 * LDT_SEGMENTS - 1, SYSTEM_BASE + LDT_OFFSET };
    cpu->cpl = 3;
    soft_tlb_flush(cpu);
    soft_update_mode(cpu);
    soft_cpu_trap(cpu, true);
}

Engine *engine_new(void)
{
    Engine *e = g_new0(Engine, 1);
    unsigned present = 0;

    e->rig = soft_rig_new();
    make_tables(e);
    make_system_page(e);
    for (unsigned i = 0; i < CODE_SIZE / PAGE; i++) {
        memset(e->rig->host + code_page(i), 0xcc, PAGE);
    }
    for (unsigned i = 0; i < DATA_PRESENT; i++) {
        memcpy(e->rig->host + data_page(present++), data_fill(0) + i * PAGE, PAGE);
    }
    init_system(e);
    return e;
}

void engine_free(Engine *e)
{
    soft_rig_free(e->rig);
    g_free(e);
}

/* ---- a case ---- */

static void set_code(Engine *e, unsigned offset, unsigned length, const uint8_t *bytes)
{
    for (unsigned i = 0; i < length; i++) {
        e->rig->host[code_page((offset + i) / PAGE) + (offset + i) % PAGE] = bytes ? bytes[i] : 0xcc;
    }
    for (unsigned i = 0; i < CODE_SIZE / PAGE; i++) {
        unsigned first = MAX(offset, i * PAGE), end = MIN(offset + length, (i + 1) * PAGE);

        if (first < end) {
            soft_code_written(e->rig->vm, NULL, e->rig->host + code_page(i) + first % PAGE, end - first);
        }
    }
}

static void load_data(Engine *e, const uint8_t *from)
{
    unsigned present = 0;

    for (unsigned i = 0; i < DATA_PAGES; i++) {
        if (page_kinds[i] == PAGE_RW) {
            memcpy(e->rig->host + data_page(present), from + present * PAGE, PAGE);
        }
        present += page_kinds[i] != PAGE_NONE;
    }
}

static X86Segment segment(uint16_t selector, uint64_t base)
{
    switch (selector) {
    case 0:
        return (X86Segment){ 0, X86_SEG_UNUSABLE, 0, base };
    case SELECTOR_DATA:
        return (X86Segment){ selector, 0xc0f3, UINT32_MAX, base };
    case SELECTOR_CODE32:
        return (X86Segment){ selector, 0xc0fb, UINT32_MAX, base };
    case SELECTOR_CODE64:
        return (X86Segment){ selector, 0xa0fb, UINT32_MAX, base };
    default:
        return (X86Segment){ selector, attributes(&ldt[selector >> 3]), ldt[selector >> 3].limit, base };
    }
}

static void load_state(SoftCpu *cpu, const Case *c)
{
    const State *s = &c->in;

    memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
    cpu->rip = s->rip;
    cpu->segment[X86_CS] = segment(s->cs, selector_base(s->cs));
    cpu->segment[X86_SS] = segment(s->ss, selector_base(s->ss));
    cpu->segment[X86_DS] = segment(s->ds, selector_base(s->ds));
    cpu->segment[X86_ES] = segment(s->es, selector_base(s->es));
    cpu->segment[X86_FS] = segment(s->fs, s->fs_base);
    cpu->segment[X86_GS] = segment(s->gs, s->gs_base);
    cpu->cpl = 3;
    cpu->cr2 = 0;
    cpu->fp_loaded = false;
    memcpy(cpu->xsave, s->fx, 416);
    memcpy(cpu->xsave + XS_AVX, s->ymm_high, sizeof(s->ymm_high));
    *fp_u64(cpu->xsave, XS_BV) = XFEATURES;
    *fp_u64(cpu->xsave, XS_COMP_BV) = 0;
    soft_set_rflags(cpu, s->rflags);
}

static void save_state(SoftCpu *cpu, State *s)
{
    const uint8_t *image = soft_fp_image(cpu);

    memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
    s->rip = cpu->rip;
    s->rflags = soft_get_rflags(cpu);
    s->cs = cpu->segment[X86_CS].selector;
    s->ss = cpu->segment[X86_SS].selector;
    s->ds = cpu->segment[X86_DS].selector;
    s->es = cpu->segment[X86_ES].selector;
    s->fs = cpu->segment[X86_FS].selector;
    s->gs = cpu->segment[X86_GS].selector;
    s->fs_base = cpu->segment[X86_FS].base;
    s->gs_base = cpu->segment[X86_GS].base;
    memcpy(s->fx, image, 416);
    memcpy(s->ymm_high, image + XS_AVX, sizeof(s->ymm_high));
}

/* limit 0: none, and only then blocks go on to each other without the run loop. */
static void run_once(Engine *e, const Case *c, uint64_t limit, Result *ret)
{
    SoftCpu *cpu = e->rig->cpu;
    const SoftException *exception;

    load_data(e, data_fill(c->fill));
    load_state(cpu, c);
    soft_cpu_limit(cpu, limit);
    memset(ret, 0, offsetof(Result, data));
    if (soft_run(cpu) == SOFT_EXIT_EXCEPTION) {
        exception = soft_cpu_exception(cpu);
        ret->vector = exception->vector;
        ret->error = exception->error;
        ret->address = exception->vector == VECTOR_PF ? exception->address : 0;
    } else {
        ret->vector = VECTOR_HUNG;
    }
    save_state(cpu, &ret->out);
}

void engine_run(Engine *e, const Case *c, Result *ret)
{
    set_code(e, e->code_offset, e->code_length, NULL);
    set_code(e, c->code_offset, c->code_length, c->code);
    e->code_offset = c->code_offset;
    e->code_length = c->code_length;
    if (mix(c->seed, 2) % 4 == 0) {
        soft_tlb_flush(e->rig->cpu);
    }
    run_once(e, c, mix(c->seed, 1) % 4 ? LIMIT : LIMIT_SINGLE, ret);
    if (mix(c->seed, 3) % 2 && ret->vector != VECTOR_HUNG) {
        run_once(e, c, 0, ret); /* it ends; what is decoded already, linked, and in the TLB */
    }
    for (unsigned i = 0; i < DATA_PRESENT; i++) {
        memcpy(ret->data + i * PAGE, e->rig->host + data_page(i), PAGE);
    }
}

/* Decoding anything makes the library learn it. */
void engine_isa(Engine *e, uint64_t ret_isa[8])
{
    Case c = { .in = { .rip = CODE_BASE, .cs = 0x33 } };
    Result *result = g_new(Result, 1);

    engine_run(e, &c, result);
    g_free(result);
    memcpy(ret_isa, e->rig->vm->isa, sizeof(e->rig->vm->isa));
}
