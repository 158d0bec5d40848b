/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transfer-rig.h"

#include <string.h>

#include "vmm/x86/soft/vm.h"

#define HLT 0xf4

uint64_t rig_read(const SoftRig *rig, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, rig->host + gpa, size);
    return value;
}

void rig_write(SoftRig *rig, uint64_t gpa, unsigned size, uint64_t value)
{
    memcpy(rig->host + gpa, &value, size);
}

void rig_put_words(SoftRig *rig, uint64_t gpa, unsigned size, const uint64_t *word, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rig_write(rig, gpa + i * size, size, word[i]);
    }
}

void rig_gdt(SoftRig *rig, unsigned selector, uint64_t descriptor)
{
    rig_write(rig, RIG_GDT + (selector & ~7u), 8, descriptor);
}

uint64_t rig_gdt_entry(const SoftRig *rig, unsigned selector)
{
    return rig_read(rig, RIG_GDT + (selector & ~7u), 8);
}

uint64_t rig_gate(unsigned type, unsigned dpl, unsigned selector, uint32_t offset)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)(0x80 | dpl << 5 | type) << 40 |
           (uint64_t)(offset >> 16) << 48;
}

void rig_idt32(SoftRig *rig, unsigned vector, uint64_t gate)
{
    rig_write(rig, RIG_IDT + vector * 8, 8, gate);
}

void rig_idt64(SoftRig *rig, unsigned vector, unsigned type, unsigned dpl, unsigned selector, uint64_t offset,
               unsigned ist)
{
    rig_write(rig, RIG_IDT + vector * 16, 8, rig_gate(type, dpl, selector, (uint32_t)offset) | (uint64_t)ist << 32);
    rig_write(rig, RIG_IDT + vector * 16 + 8, 8, offset >> 32);
}

uint64_t rig_system(unsigned type, uint64_t base, uint32_t limit)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)(0x80 | type) << 40 | (uint64_t)(limit >> 16) << 48 |
           (base >> 24 & 0xff) << 56;
}

static void write_gdt(SoftRig *rig)
{
    static const struct { unsigned selector; uint64_t descriptor; } entries[] = {
        { SEL_CODE64, 0x00af9b000000ffff }, { SEL_DATA, 0x00cf93000000ffff }, { SEL_CODE32, 0x00cf9b000000ffff },
        { SEL_USER_CODE32, 0x00cffb000000ffff }, { SEL_USER_DATA, 0x00cff3000000ffff },
        { SEL_USER_CODE64, 0x00affb000000ffff }, { SEL_CODE32_1, 0x00cfbb000000ffff },
        { SEL_DATA_1, 0x00cfb3000000ffff }, { SEL_CONFORMING, 0x00cf9f000000ffff },
    };

    memset(rig->host + RIG_GDT, 0, 0x100);
    for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
        rig_gdt(rig, entries[i].selector, entries[i].descriptor);
    }
    rig_gdt(rig, SEL_TSS, rig_system(SYSTEM_TSS32_BUSY, RIG_TSS, 0x67));
    rig_gdt(rig, SEL_TSS2, rig_system(SYSTEM_TSS32, RIG_TSS2, 0x67));
    rig_gdt(rig, SEL_LDT, rig_system(SYSTEM_LDT, RIG_LDT, 0xff));
    rig->cpu->gdt = (X86Table){ RIG_GDT, 0xff };
    rig->cpu->ldt = (X86Segment){ 0, X86_SEG_UNUSABLE, 0, 0 };
    rig->cpu->tr = (X86Segment){ SEL_TSS, SEG_P | SYSTEM_TSS32_BUSY, 0x67, RIG_TSS };
    rig->cpu->idt = (X86Table){ RIG_IDT, 0xfff };
    memset(rig->host + RIG_TSS, 0, 0x1000);
    for (unsigned vector = 0; vector < 256; vector++) {
        rig_write(rig, RIG_HANDLERS + vector * 16, 1, HLT);
    }
}

static void set_segments(SoftRig *rig, unsigned code, unsigned data, unsigned cpl, uint32_t code_attributes)
{
    SoftCpu *cpu = rig->cpu;

    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        cpu->segment[s] = (X86Segment){ (uint16_t)(data | cpl), SEG_ATTR_DATA | cpl << 5, UINT32_MAX, 0 };
    }
    cpu->segment[X86_CS] = (X86Segment){ (uint16_t)(code | cpl), code_attributes | cpl << 5, UINT32_MAX, 0 };
    cpu->cpl = (uint8_t)cpl;
    rig->vm->intel = true;
    soft_update_mode(cpu);
}

void transfer_rig_enter_32(SoftRig *rig, unsigned cpl)
{
    soft_rig_enter_32(rig);
    write_gdt(rig);
    rig_write(rig, RIG_TSS + 4, 4, RIG_STACK0);
    rig_write(rig, RIG_TSS + 8, 2, SEL_DATA);
    rig_write(rig, RIG_TSS + 12, 4, RIG_STACK1);
    rig_write(rig, RIG_TSS + 16, 2, SEL_DATA_1 | 1);
    for (unsigned vector = 0; vector < 256; vector++) {
        rig_idt32(rig, vector, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE32, (uint32_t)RIG_HANDLERS + vector * 16));
    }
    set_segments(rig, cpl ? SEL_USER_CODE32 : SEL_CODE32, cpl ? SEL_USER_DATA : SEL_DATA, cpl, SEG_ATTR_CODE32);
}

void transfer_rig_page_32(SoftRig *rig)
{
    for (uint64_t i = 0; i < 1024; i++) {
        rig_write(rig, RIG_PML4 + i * 4, 4, i << 22 == RIG_HOLE || i << 22 >= RIG_RAM ? 0 : i << 22 | 0x87);
    }
    rig->cpu->cr3 = RIG_PML4;
    rig->cpu->cr4 |= CR4_PSE;
    rig->cpu->cr0 |= CR0_PG | CR0_WP;
    soft_tlb_flush(rig->cpu);
    soft_update_mode(rig->cpu);
}

void transfer_rig_split(SoftRig *rig)
{
    bool long_mode = rig->cpu->efer & EFER_LMA;

    rig_write(rig, RIG_PML4 + (long_mode ? 0x2000 : 0), 1, 0x83);
    rig->cpu->rip = RIG_USER;
    rig->cpu->gpr[X86_RSP] = RIG_USER + 0x100000;
    soft_tlb_flush(rig->cpu);
    soft_update_mode(rig->cpu);
}

static void enter_long(SoftRig *rig)
{
    soft_rig_enter_64(rig, 0);
    rig_write(rig, RIG_PML4 + 0x2000 + (RIG_HOLE >> 21) * 8, 8, 0);
    rig_write(rig, RIG_PML4 + 0x2000 + (RIG_HOLE >> 21) * 8 + 8, 8, 0);
    write_gdt(rig);
    rig_write(rig, RIG_TSS + TSS64_RSP0, 8, RIG_STACK0);
    rig_write(rig, RIG_TSS + TSS64_IST1, 8, RIG_IST1);
    for (unsigned vector = 0; vector < 256; vector++) {
        rig_idt64(rig, vector, SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE64, RIG_HANDLERS + vector * 16, 0);
    }
}

/* Segment attributes carry the DPL by themselves. */
static uint32_t without_dpl(uint32_t attributes)
{
    return attributes & ~SEG_ATTR_DPL3;
}

void transfer_rig_enter_64(SoftRig *rig, unsigned cpl)
{
    enter_long(rig);
    set_segments(rig, cpl ? SEL_USER_CODE64 : SEL_CODE64, cpl ? SEL_USER_DATA : SEL_DATA, cpl,
                 without_dpl(SEG_ATTR_CODE64));
}

void transfer_rig_enter_compatibility(SoftRig *rig, unsigned cpl)
{
    enter_long(rig);
    set_segments(rig, cpl ? SEL_USER_CODE32 : SEL_CODE32, cpl ? SEL_USER_DATA : SEL_DATA, cpl,
                 without_dpl(SEG_ATTR_CODE32));
}

void transfer_rig_enter_v86(SoftRig *rig, unsigned iopl)
{
    SoftCpu *cpu = rig->cpu;

    transfer_rig_enter_32(rig, 0);
    cpu->eflags = EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF | iopl << EFLAGS_IOPL_SHIFT;
    cpu->cpl = 3;
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        cpu->segment[s] = (X86Segment){ (uint16_t)(0x6000 + s), SEG_ATTR_V86, 0xffff, (0x6000 + s) << 4 };
    }
    cpu->segment[X86_CS] = (X86Segment){ 0x1000, SEG_ATTR_V86, 0xffff, 0x10000 };
    cpu->gpr[X86_RSP] = 0x1000;
    cpu->rip = 0;
    soft_update_mode(cpu);
}

void rig_put_code(SoftRig *rig, const uint8_t *bytes, unsigned n)
{
    soft_rig_code(rig, bytes, n);
    soft_code_written(rig->vm, NULL, rig->host, RIG_RAM);
}

SoftExit rig_step(SoftRig *rig)
{
    SoftExit exit;

    soft_cpu_trap(rig->cpu, false);
    soft_cpu_limit(rig->cpu, 1);
    exit = soft_run(rig->cpu);
    soft_cpu_limit(rig->cpu, 0);
    if (rig->cpu->halted) {
        /* An exception did not count as an instruction, so the handler's HLT did. */
        rig->cpu->halted = false;
        rig->cpu->rip--;
        soft_update_mode(rig->cpu);
    }
    return exit;
}

int rig_handler(const SoftRig *rig)
{
    uint64_t offset = rig->cpu->rip - RIG_HANDLERS;

    return offset < 0x1000 && offset % 16 == 0 ? (int)(offset / 16) : -1;
}

void rig_save_state(const SoftRig *rig, RigState *ret)
{
    const SoftCpu *cpu = rig->cpu;

    memset(ret, 0, sizeof(*ret));
    memcpy(ret->gpr, cpu->gpr, sizeof(ret->gpr));
    memcpy(ret->segment, cpu->segment, sizeof(ret->segment));
    ret->rip = cpu->rip;
    ret->rflags = soft_get_rflags(cpu);
    ret->ldt = cpu->ldt;
    ret->tr = cpu->tr;
    ret->cpl = cpu->cpl;
}

static bool same(const X86Segment *a, const X86Segment *b)
{
    return a->selector == b->selector && a->attributes == b->attributes && a->limit == b->limit && a->base == b->base;
}

bool rig_state_is(const SoftRig *rig, const RigState *state)
{
    RigState now;
    bool segments = true;

    rig_save_state(rig, &now);
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        segments = segments && same(&now.segment[s], &state->segment[s]);
    }
    return segments && same(&now.ldt, &state->ldt) && same(&now.tr, &state->tr) && now.rip == state->rip &&
           memcmp(now.gpr, state->gpr, sizeof(now.gpr)) == 0 && now.rflags == state->rflags && now.cpl == state->cpl;
}
