/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors of the GDT and LDT: reading them, the checks that several instructions
 * share, and segment registers made of them (SDM 3-3.4, 3-3.5, 3-5.2 to 3-5.8).
 *
 * In long mode system descriptors are 16 bytes long; segment descriptors stay at eight.
 */
#include "vmm/x86/soft/descriptor.h"

bool soft_read_descriptor(SoftCpu *cpu, uint16_t selector, SoftDescriptor *ret)
{
    uint64_t base = cpu->gdt.base;
    uint32_t limit = cpu->gdt.limit;

    if (selector & SELECTOR_TI) {
        if (cpu->ldt.attributes & X86_SEG_UNUSABLE) {
            return false;
        }
        base = cpu->ldt.base;
        limit = cpu->ldt.limit;
    }
    if ((selector | 7u) > limit) {
        return false;
    }
    ret->linear = (base + (selector & ~7u)) & cpu->linear_mask;
    ret->low = soft_load_system64(cpu, ret->linear);
    ret->high = 0;
    ret->selector = selector;
    return true;
}

bool soft_read_descriptor_high(SoftCpu *cpu, SoftDescriptor *d)
{
    uint32_t limit = d->selector & SELECTOR_TI ? cpu->ldt.limit : cpu->gdt.limit;

    if ((d->selector & ~7u) + 15 > limit) {
        return false;
    }
    d->high = soft_load_system64(cpu, d->linear + 8);
    return !(d->high >> 40 & 0x1f);
}

void soft_unpack_descriptor(const SoftDescriptor *d, uint16_t selector, X86Segment *ret)
{
    ret->selector = selector;
    ret->attributes = (uint32_t)(d->low >> 40) & 0xf0ff;
    ret->limit = descriptor_limit(d);
    ret->base = (d->low >> 16 & 0xffffff) | (d->low >> 32 & 0xff000000) | d->high << 32;
    if (!descriptor_is_system(d)) {
        ret->attributes |= 1;
    }
}

/* Byte 5 of the descriptor holds the type.  Other processors may change it too. */
static uint8_t *type_begin(SoftCpu *cpu, const SoftDescriptor *d)
{
    return soft_write_begin(cpu, (d->linear + 5) & cpu->linear_mask, 1, ACCESS_WRITE | ACCESS_SYSTEM, true, true);
}

void soft_mark_accessed(SoftCpu *cpu, const SoftDescriptor *d)
{
    if (UNLIKELY(!(d->low >> 40 & 1))) {
        __atomic_fetch_or(type_begin(cpu, d), 1, __ATOMIC_SEQ_CST);
        soft_write_end(cpu);
    }
}

void soft_mark_busy(SoftCpu *cpu, const SoftDescriptor *d, bool busy)
{
    uint8_t *type = type_begin(cpu, d);

    if (busy) {
        __atomic_fetch_or(type, SYSTEM_TYPE_BUSY, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_and(type, (uint8_t)~SYSTEM_TYPE_BUSY, __ATOMIC_SEQ_CST);
    }
    soft_write_end(cpu);
}

void soft_read_stack_descriptor(SoftCpu *cpu, uint16_t selector, unsigned level, unsigned vector, SoftDescriptor *ret)
{
    if (selector_is_null(selector) || !soft_read_descriptor(cpu, selector, ret) ||
        (selector & SELECTOR_RPL) != level || !descriptor_is_writable(ret) || descriptor_dpl(ret) != level) {
        soft_raise_selector(cpu, vector, selector);
    }
    if (!descriptor_is_present(ret)) {
        soft_raise_selector(cpu, VECTOR_SS, selector);
    }
}

void soft_read_data_descriptor(SoftCpu *cpu, uint16_t selector, unsigned level, unsigned vector, SoftDescriptor *ret)
{
    if (!soft_read_descriptor(cpu, selector, ret) || !descriptor_is_readable(ret) ||
        (!descriptor_is_conforming(ret) &&
         ((selector & SELECTOR_RPL) > descriptor_dpl(ret) || level > descriptor_dpl(ret)))) {
        soft_raise_selector(cpu, vector, selector);
    }
    if (!descriptor_is_present(ret)) {
        soft_raise_selector(cpu, VECTOR_NP, selector);
    }
}

void soft_check_code_size(SoftCpu *cpu, const SoftDescriptor *d)
{
    if (soft_in_long_mode(cpu) && descriptor_is_long(d) && descriptor_is_big(d)) {
        soft_raise_selector(cpu, VECTOR_GP, d->selector);
    }
}

void soft_check_code_target(SoftCpu *cpu, const SoftDescriptor *d, uint64_t offset)
{
    bool inside = soft_in_long_mode(cpu) && descriptor_is_long(d) ? soft_is_canonical(offset) :
                                                                     (uint32_t)offset <= descriptor_limit(d);

    if (UNLIKELY(!inside)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
}

void soft_commit_code(SoftCpu *cpu, const SoftDescriptor *d, unsigned cpl, uint64_t offset)
{
    soft_unpack_descriptor(d, (uint16_t)((d->selector & SELECTOR_MASK) | cpl), &cpu->segment[X86_CS]);
    cpu->cpl = (uint8_t)cpl;
    cpu->rip = soft_in_long_mode(cpu) && descriptor_is_long(d) ? offset : (uint32_t)offset;
}

void soft_set_null(SoftCpu *cpu, unsigned seg, uint16_t selector)
{
    X86Segment *s = &cpu->segment[seg];

    s->selector = selector;
    s->limit = 0;
    /* The DPL of SS is the CPL, null or not. */
    s->attributes = X86_SEG_UNUSABLE | (seg == X86_SS ? (uint32_t)(selector & SELECTOR_RPL) << 5 : 0);
    if ((seg != X86_FS && seg != X86_GS) || !cpu->vm->null_keeps_base || !soft_in_long_mode(cpu)) {
        s->base = 0; /* AMD's processors keep the bases of FS and GS (APM 2-4.5.3), but for new ones */
    }
}

void soft_set_paragraph(SoftCpu *cpu, unsigned seg, uint16_t selector)
{
    X86Segment *s = &cpu->segment[seg];

    s->selector = selector;
    s->base = (uint32_t)selector << 4;
    if (cpu->eflags & EFLAGS_VM) {
        s->limit = 0xffff;
        s->attributes = SEG_ATTR_V86;
    } else if (s->attributes & X86_SEG_UNUSABLE) {
        s->limit = 0xffff;
        s->attributes = SEG_ATTR_REAL;
    }
    /* Else limit and attributes are those of protected mode ("unreal mode"). */
}

void soft_drop_privileged_segments(SoftCpu *cpu)
{
    static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };

    for (unsigned i = 0; i < sizeof(data); i++) {
        X86Segment *s = &cpu->segment[data[i]];
        uint64_t base = s->base; /* stays: in 64-bit code that of FS and GS is in use */

        if (selector_is_null(s->selector)) {
            s->selector = 0;
        } else if (SEG_DPL(s->attributes) < cpu->cpl && (s->attributes & 0xc) != 0xc) {
            soft_set_null(cpu, data[i], 0);
            s->base = base;
        }
    }
}
