/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stack (SDM 1-6.2, 3-5.8.5): pushes and pops as SS.B or 64-bit code makes them, and
 * frames on a stack that is not the CPU's yet.
 */
#include "vmm/x86/soft/descriptor.h"

/* MODE_FLAT includes 64-bit code, where soft_load() and soft_store() look for the canonical form. */
static uint64_t stack_linear(SoftCpu *cpu, uint64_t sp, unsigned size, unsigned access)
{
    return LIKELY(cpu->mode & MODE_FLAT) ? sp : soft_linear(cpu, X86_SS, sp, size, access | ACCESS_STACK);
}

uint64_t soft_stack_read(SoftCpu *cpu, int64_t depth, unsigned size)
{
    uint64_t sp = (cpu->gpr[X86_RSP] + (uint64_t)depth) & soft_stack_mask(cpu);

    return soft_load(cpu, stack_linear(cpu, sp, size, ACCESS_READ), size, ACCESS_READ | ACCESS_STACK);
}

void soft_stack_move(SoftCpu *cpu, int64_t bytes)
{
    soft_set_stack_pointer(cpu, cpu->gpr[X86_RSP] + (uint64_t)bytes, soft_stack_mask(cpu));
}

void soft_push(SoftCpu *cpu, uint64_t value, unsigned size)
{
    uint64_t mask = soft_stack_mask(cpu);
    uint64_t sp = (cpu->gpr[X86_RSP] - size) & mask;

    soft_store(cpu, stack_linear(cpu, sp, size, ACCESS_WRITE), size, value, ACCESS_WRITE | ACCESS_STACK);
    soft_set_stack_pointer(cpu, sp, mask);
}

uint64_t soft_pop(SoftCpu *cpu, unsigned size)
{
    uint64_t value = soft_stack_read(cpu, 0, size);

    soft_stack_move(cpu, (int64_t)size);
    return value;
}

/* ---- frames ---- */

void soft_frame_present(SoftCpu *cpu, SoftFrame *f)
{
    f->ss = soft_in_64bit_code(cpu) ? NULL : &cpu->segment[X86_SS];
    f->mask = soft_stack_mask(cpu);
    f->sp = cpu->gpr[X86_RSP] & f->mask;
    f->access = 0;
    f->selector = 0;
}

void soft_frame_inner(SoftFrame *f, const X86Segment *ss, uint64_t sp)
{
    f->ss = ss;
    f->mask = ss->attributes & SEG_DB ? UINT32_MAX : 0xffff;
    f->sp = sp & f->mask;
    f->access = ACCESS_SYSTEM;
    f->selector = ss->selector;
}

void soft_frame_inner64(SoftFrame *f, uint64_t sp)
{
    f->ss = NULL;
    f->mask = UINT64_MAX;
    f->sp = sp;
    f->access = ACCESS_SYSTEM;
    f->selector = 0;
}

void soft_frame_check(SoftCpu *cpu, const SoftFrame *f, unsigned n, unsigned size)
{
    for (unsigned i = 1; f->ss && i <= n; i++) {
        if (!soft_segment_fits(f->ss, (f->sp - i * size) & f->mask, size)) {
            soft_raise_selector(cpu, VECTOR_SS, f->selector);
        }
    }
}

void soft_frame_push(SoftCpu *cpu, SoftFrame *f, uint64_t value, unsigned size)
{
    uint64_t sp = (f->sp - size) & f->mask;
    uint64_t linear = f->ss ? (f->ss->base + sp) & UINT32_MAX : sp;

    soft_store(cpu, linear, size, size == 8 ? value : value & ((UINT64_C(1) << size * 8) - 1),
               ACCESS_WRITE | ACCESS_STACK | f->access);
    f->sp = sp;
}

void soft_frame_commit(SoftCpu *cpu, const SoftFrame *f)
{
    soft_set_stack_pointer(cpu, f->sp, f->mask);
}
