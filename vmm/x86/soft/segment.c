/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segmentation: what an offset in a segment may be (SDM 3-5.3, 3-5.5, 3-3.3 for 64-bit
 * mode) and what loads of DS, ES, FS, GS and SS check (SDM 3-5.6, 3-5.7, 2B MOV).
 *
 * Neither soft_load_segment() nor soft_set_segment() calls soft_update_mode(): their
 * callers do, once.
 */
#include "vmm/x86/soft/descriptor.h"

/* A limit of 4 GiB also allows what wraps around, as it does on the processors of today; SDM 3-5.3 leaves it open. */
bool soft_segment_fits(const X86Segment *s, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - 1;

    if ((s->attributes & (SEG_S | 0xc)) == (SEG_S | 4)) { /* expands down */
        return offset > s->limit && last <= (s->attributes & SEG_DB ? UINT32_MAX : 0xffff);
    }
    return last <= s->limit || s->limit == UINT32_MAX;
}

static bool type_allows(const X86Segment *s, unsigned access)
{
    bool code = s->attributes & 8, second = s->attributes & 2; /* readable, or writable */

    if (s->attributes & X86_SEG_UNUSABLE) {
        return false;
    }
    if (access & ACCESS_EXEC) {
        return code;
    }
    return access & ACCESS_WRITE ? !code && second : !code || second;
}

static _Noreturn void raise_bad_address(SoftCpu *cpu, unsigned seg, unsigned access)
{
    soft_raise_error(cpu, seg == X86_SS || access & ACCESS_STACK ? VECTOR_SS : VECTOR_GP, 0);
}

uint64_t soft_linear(SoftCpu *cpu, unsigned seg, uint64_t offset, unsigned size, unsigned access)
{
    const X86Segment *s;
    uint64_t linear;

    if (soft_in_64bit_code(cpu)) {
        linear = offset + (seg == X86_FS || seg == X86_GS ? cpu->segment[seg].base : 0);
        if (!soft_is_canonical(linear) || !soft_is_canonical(linear + size - 1)) {
            raise_bad_address(cpu, seg, access);
        }
        return linear;
    }
    if (seg >= X86_SEGMENTS) {
        return offset & UINT32_MAX;
    }
    s = &cpu->segment[seg];
    if (!soft_segment_fits(s, offset, size) || (cpu->mode & MODE_PROTECTED && !type_allows(s, access))) {
        raise_bad_address(cpu, seg, access);
    }
    return (s->base + offset) & UINT32_MAX;
}

void soft_check_target_slow(SoftCpu *cpu, uint64_t target)
{
    bool inside = soft_in_64bit_code(cpu) ? soft_is_canonical(target) : target <= cpu->segment[X86_CS].limit;

    if (!inside) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
}

void soft_set_segment(SoftCpu *cpu, unsigned seg, const X86Segment *value)
{
    X86Segment *s = &cpu->segment[seg];

    s->selector = value->selector;
    s->attributes = value->attributes;
    s->limit = value->limit;
    s->base = value->base;
}

static void load_null(SoftCpu *cpu, unsigned seg, uint16_t selector)
{
    if (seg == X86_SS && (!soft_in_64bit_code(cpu) || cpu->cpl == 3 || selector != cpu->cpl)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    soft_set_null(cpu, seg, selector);
}

void soft_load_segment(SoftCpu *cpu, unsigned seg, uint16_t selector)
{
    SoftDescriptor d;

    if (!(cpu->mode & MODE_PROTECTED)) {
        soft_set_paragraph(cpu, seg, selector);
        return;
    }
    if (selector_is_null(selector)) {
        load_null(cpu, seg, selector);
        return;
    }
    if (seg == X86_SS) {
        soft_read_stack_descriptor(cpu, selector, cpu->cpl, VECTOR_GP, &d);
    } else {
        soft_read_data_descriptor(cpu, selector, cpu->cpl, VECTOR_GP, &d);
    }
    soft_mark_accessed(cpu, &d);
    soft_unpack_descriptor(&d, selector, &cpu->segment[seg]);
}
