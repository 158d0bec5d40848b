/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment and gate descriptors (SDM 3-3.4.5, 3-3.5, 3-5.8.3), and stacks that are not the
 * CPU's yet.  Private to the files that load segments and transfer control.
 *
 * The order of a far transfer is the same everywhere: descriptors are read and checked,
 * words go to the stack, accessed bits are set, then the registers change.  All but the
 * last may raise an exception.
 */
#pragma once

#include "vmm/x86/soft/op.h"
#include "vmm/x86/soft/vm.h"

enum { /* types of system descriptors, SDM 3-3.5 table 3-2 */
    SYSTEM_TSS16 = 1, SYSTEM_LDT, SYSTEM_TSS16_BUSY, SYSTEM_CALL_GATE16, SYSTEM_TASK_GATE, SYSTEM_INTERRUPT_GATE16,
    SYSTEM_TRAP_GATE16, SYSTEM_TSS32 = 9, SYSTEM_TSS32_BUSY = 11, SYSTEM_CALL_GATE32, SYSTEM_INTERRUPT_GATE32 = 14,
    SYSTEM_TRAP_GATE32,
};
#define SYSTEM_TYPE_BUSY 2u

#define SELECTOR_RPL  3u
#define SELECTOR_TI   4u
#define SELECTOR_MASK 0xfffcu /* what an error code keeps of it */

/* Attributes of segments that get theirs without a descriptor. */
#define SEG_ATTR_V86    0xf3u   /* present, DPL 3, writable data, accessed */
#define SEG_ATTR_REAL   0x93u
#define SEG_ATTR_CODE64 0xa09bu
#define SEG_ATTR_CODE32 0xc09bu
#define SEG_ATTR_DATA   0xc093u
#define SEG_ATTR_DPL3   0x60u

typedef struct SoftDescriptor {
    uint64_t low;      /* the first eight bytes */
    uint64_t high;     /* of a 16-byte descriptor, once soft_read_descriptor_high() was called; else 0 */
    uint64_t linear;   /* where it is */
    uint16_t selector;
} SoftDescriptor;

static inline unsigned descriptor_type(const SoftDescriptor *d)
{
    return d->low >> 40 & 15;
}

static inline bool descriptor_is_system(const SoftDescriptor *d)
{
    return !(d->low >> 44 & 1);
}

static inline unsigned descriptor_dpl(const SoftDescriptor *d)
{
    return d->low >> 45 & 3;
}

static inline bool descriptor_is_present(const SoftDescriptor *d)
{
    return d->low >> 47 & 1;
}

static inline bool descriptor_is_code(const SoftDescriptor *d)
{
    return (d->low >> 40 & 0x18) == 0x18;
}

static inline bool descriptor_is_conforming(const SoftDescriptor *d)
{
    return (d->low >> 40 & 0x1c) == 0x1c;
}

static inline bool descriptor_is_writable(const SoftDescriptor *d)
{
    return (d->low >> 40 & 0x1a) == 0x12;
}

static inline bool descriptor_is_readable(const SoftDescriptor *d)
{
    return !descriptor_is_system(d) && (!descriptor_is_code(d) || d->low >> 41 & 1);
}

/* The L and D bits of a code segment. */
static inline bool descriptor_is_long(const SoftDescriptor *d)
{
    return d->low >> 53 & 1;
}

static inline bool descriptor_is_big(const SoftDescriptor *d)
{
    return d->low >> 54 & 1;
}

static inline uint32_t descriptor_limit(const SoftDescriptor *d)
{
    uint32_t limit = (uint32_t)(d->low & 0xffff) | (uint32_t)(d->low >> 32 & 0xf0000);

    return d->low >> 55 & 1 ? limit << 12 | 0xfff : limit;
}

/* Gates, SDM 3-5.8.3 and 3-6.11. */
static inline uint16_t gate_selector(const SoftDescriptor *d)
{
    return (uint16_t)(d->low >> 16);
}

static inline uint32_t gate_offset(const SoftDescriptor *d)
{
    return (uint32_t)(d->low & 0xffff) | (uint32_t)(d->low >> 32 & 0xffff0000);
}

static inline bool selector_is_null(uint16_t selector)
{
    return !(selector & SELECTOR_MASK);
}

static inline _Noreturn void soft_raise_selector(SoftCpu *cpu, unsigned vector, uint16_t selector)
{
    soft_raise_error(cpu, vector, selector & SELECTOR_MASK);
}

static inline bool soft_in_long_mode(const SoftCpu *cpu)
{
    return cpu->efer & EFER_LMA;
}

/* Bytes of the offset in a far pointer: AMD's ignore REX.W there. */
static inline unsigned soft_far_offset_size(const SoftCpu *cpu, const Op *op)
{
    return op->size == 8 && !cpu->vm->intel ? 4 : op->size;
}

/* A table that the processor reads by itself: supervisor's rights whatever the CPL is. */
static inline uint64_t soft_load_system64(SoftCpu *cpu, uint64_t linear)
{
    const TlbSet *tlb = &cpu->tlbs[TLB_SUPERVISOR];
    const TlbEntry *e;

    linear &= cpu->linear_mask;
    e = &tlb->read[linear >> 12 & (TLB_SIZE - 1)];
    if (LIKELY(e->tag == (((linear + 7) & PAGE_MASK) | tlb->asid))) {
        return *(const volatile uint64_t *)(linear + e->addend);
    }
    return soft_load(cpu, linear, 8, ACCESS_SYSTEM);
}

/* ---- descriptor.c ---- */
/* False: beyond the limit of its table, or in an LDT that is not there. */
bool soft_read_descriptor(SoftCpu *cpu, uint16_t selector, SoftDescriptor *ret);
/* The other half of a system descriptor in long mode; false: beyond the limit, or its type field is not 0. */
bool soft_read_descriptor_high(SoftCpu *cpu, SoftDescriptor *d);
void soft_unpack_descriptor(const SoftDescriptor *d, uint16_t selector, X86Segment *ret);
/* Sets the accessed bit in memory, unless it is set. */
void soft_mark_accessed(SoftCpu *cpu, const SoftDescriptor *d);
void soft_mark_busy(SoftCpu *cpu, const SoftDescriptor *d, bool busy);
/* A segment for SS of privilege `level`; what is wrong with it raises `vector`, not present: #SS. */
void soft_read_stack_descriptor(SoftCpu *cpu, uint16_t selector, unsigned level, unsigned vector, SoftDescriptor *ret);
/* For DS, ES, FS, GS at privilege `level`; selector not null; likewise, not present: #NP. */
void soft_read_data_descriptor(SoftCpu *cpu, uint16_t selector, unsigned level, unsigned vector, SoftDescriptor *ret);
/* L and D: #GP(selector), SDM 3-5.2.1. */
void soft_check_code_size(SoftCpu *cpu, const SoftDescriptor *d);
/* Whether offset is in that code segment: #GP(0). */
void soft_check_code_target(SoftCpu *cpu, const SoftDescriptor *d, uint64_t offset);
/* CS as of the descriptor, CPL, and where execution goes on; nothing raises. */
void soft_commit_code(SoftCpu *cpu, const SoftDescriptor *d, unsigned cpl, uint64_t offset);
/* A null selector in a segment register. */
void soft_set_null(SoftCpu *cpu, unsigned seg, uint16_t selector);
/* Real and virtual-8086 mode: base is selector * 16. */
void soft_set_paragraph(SoftCpu *cpu, unsigned seg, uint16_t selector);
/* After a return outwards, data segments that the new CPL may not use become null, SDM 2B RET. */
void soft_drop_privileged_segments(SoftCpu *cpu);

/* ---- segment.c ---- */
/* Whether `size` bytes at offset are within the limit. */
bool soft_segment_fits(const X86Segment *s, uint64_t offset, unsigned size);

/* ---- stack.c ---- */
/* Words to push before any register changes: onto the present stack, or onto one of a more privileged level. */
typedef struct SoftFrame {
    const X86Segment *ss; /* NULL: a 64-bit stack */
    uint64_t sp, mask;
    unsigned access;      /* ACCESS_SYSTEM: more privileged than the CPL */
    uint16_t selector;    /* in the error code of #SS */
} SoftFrame;
void soft_frame_present(SoftCpu *cpu, SoftFrame *f);
/* ss must outlive the frame. */
void soft_frame_inner(SoftFrame *f, const X86Segment *ss, uint64_t sp);
void soft_frame_inner64(SoftFrame *f, uint64_t sp);
/* #SS unless `n` words of `size` bytes fit the segment. */
void soft_frame_check(SoftCpu *cpu, const SoftFrame *f, unsigned n, unsigned size);
void soft_frame_push(SoftCpu *cpu, SoftFrame *f, uint64_t value, unsigned size);
/* (E/R)SP is where the pushes led to. */
void soft_frame_commit(SoftCpu *cpu, const SoftFrame *f);

/* SP, ESP or RSP, by the width of the stack. */
static inline uint64_t soft_stack_mask(const SoftCpu *cpu)
{
    return soft_in_64bit_code(cpu) ? UINT64_MAX : cpu->mode & MODE_STACK32 ? UINT32_MAX : 0xffff;
}

static inline void soft_set_stack_pointer(SoftCpu *cpu, uint64_t sp, uint64_t mask)
{
    cpu->gpr[X86_RSP] = mask == 0xffff ? (cpu->gpr[X86_RSP] & ~mask) | (sp & mask) : sp & mask;
}
