/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions on segment registers and descriptors (SDM 2A-2D): MOV, PUSH and POP of
 * segment registers, LDS and its like, LAR, LSL, VERR, VERW, ARPL, FS and GS bases,
 * SWAPGS, SLDT, STR, LLDT, LTR.
 *
 * SGDT, SIDT, LGDT, LIDT, SMSW and LMSW are in exec-system.c.
 */
#include "vmm/x86/soft/decode.h"
#include "vmm/x86/soft/descriptor.h"

/* ---- operands ---- */

static uint16_t read_selector(SoftCpu *cpu, const Op *op, uint16_t reg)
{
    return op->flags & OP_MEM ? soft_ld16(cpu, op, soft_ea(cpu, op)) : SOFT_REG(cpu, uint16_t, reg);
}

/* Memory takes 16 bits whatever the operand size; a register all of it, zero-extended. */
static void write_selector(SoftCpu *cpu, const Op *op, uint16_t selector)
{
    if (op->flags & OP_MEM) {
        soft_st16(cpu, op, soft_ea(cpu, op), selector);
    } else if (op->size == 2) {
        SOFT_REG(cpu, uint16_t, op->dst) = selector;
    } else {
        SOFT_REG(cpu, uint64_t, op->dst) = selector;
    }
}

static void write_register(SoftCpu *cpu, const Op *op, uint64_t value)
{
    if (op->size == 2) {
        SOFT_REG(cpu, uint16_t, op->dst) = (uint16_t)value;
    } else {
        SOFT_REG(cpu, uint64_t, op->dst) = op->size == 4 ? (uint32_t)value : value;
    }
}

static void set_zf(SoftCpu *cpu, bool on)
{
    cpu->cc = on ? cpu->cc | CC_ZF : cpu->cc & (SoftCc)~CC_ZF;
}

static void require_cpl0(SoftCpu *cpu)
{
    if (cpu->cpl) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
}

/* ---- MOV, PUSH, POP, LDS ... ---- */

/* After a load of SS by MOV or POP, interrupts and debug traps wait until ESP is loaded too, SDM 3-6.8.3. */
static const Op *end_after_load(SoftCpu *cpu, const Op *op, bool shadow)
{
    cpu->shadow = shadow;
    cpu->shadow_sti = false;
    soft_update_mode(cpu);
    return soft_end(cpu, op);
}

static const Op *op_mov_to_segment(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    if (op->dst == X86_CS) {
        soft_raise(cpu, VECTOR_UD);
    }
    soft_load_segment(cpu, op->dst, read_selector(cpu, op, op->src));
    return end_after_load(cpu, op, op->dst == X86_SS);
}

static const Op *op_mov_from_segment(SoftCpu *cpu, const Op *op)
{
    write_selector(cpu, op, cpu->segment[op->src].selector);
    SOFT_NEXT(cpu, op);
}

static const Op *op_push_segment(SoftCpu *cpu, const Op *op)
{
    uint16_t selector = cpu->segment[op->dst].selector;

    soft_sync(cpu, op);
    if (op->size == 4 && cpu->vm->intel) {
        /* A word is written, and asked of the segment; the upper one keeps what it has, SDM 2B PUSH. */
        uint64_t sp = (cpu->gpr[X86_RSP] - 4) & soft_stack_mask(cpu);

        soft_store(cpu, soft_linear(cpu, X86_SS, sp, 2, ACCESS_WRITE), 2, selector, ACCESS_WRITE | ACCESS_STACK);
        soft_stack_move(cpu, -4);
    } else {
        soft_push(cpu, selector, op->size);
    }
    SOFT_NEXT(cpu, op);
}

static const Op *op_pop_segment(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    /* Intel's read a word. */
    soft_load_segment(cpu, op->dst, (uint16_t)soft_stack_read(cpu, 0, cpu->vm->intel ? 2 : op->size));
    soft_stack_move(cpu, op->size); /* as wide as the stack was */
    return end_after_load(cpu, op, op->dst == X86_SS);
}

static const Op *load_far_pointer(SoftCpu *cpu, const Op *op, unsigned seg)
{
    uint64_t linear = soft_ea(cpu, op), offset;
    unsigned access = soft_op_access(op), size = soft_far_offset_size(cpu, op);

    soft_sync(cpu, op);
    offset = soft_load(cpu, linear, size, access);
    soft_load_segment(cpu, seg, (uint16_t)soft_load(cpu, linear + size, 2, access));
    write_register(cpu, op, offset);
    return end_after_load(cpu, op, false);
}

#define FAR_POINTER(name, seg)                                         \
    static const Op *name(SoftCpu *cpu, const Op *op)                  \
    {                                                                  \
        return load_far_pointer(cpu, op, seg);                         \
    }
FAR_POINTER(op_les, X86_ES)
FAR_POINTER(op_lss, X86_SS)
FAR_POINTER(op_lds, X86_DS)
FAR_POINTER(op_lfs, X86_FS)
FAR_POINTER(op_lgs, X86_GS)
#undef FAR_POINTER

/* ---- LAR, LSL, VERR, VERW, ARPL ---- */

/* Bits are the types of system descriptors that LAR and LSL accept; the second is for long mode. */
static const uint16_t lar_types[2] = { 0x1a3e, 0x1a04 }, lsl_types[2] = { 0x0a0e, 0x0a04 };

/* SDM 2A LAR, LSL: whether the segment is visible at this CPL and RPL. */
static bool find_visible(SoftCpu *cpu, uint16_t selector, const uint16_t types[2], SoftDescriptor *d)
{
    bool long_mode = soft_in_long_mode(cpu);

    if (selector_is_null(selector) || !soft_read_descriptor(cpu, selector, d)) {
        return false;
    }
    if (descriptor_is_system(d) && (!(types[long_mode] >> descriptor_type(d) & 1) ||
                                    (long_mode && !soft_read_descriptor_high(cpu, d)))) {
        return false;
    }
    return descriptor_is_conforming(d) ||
           (cpu->cpl <= descriptor_dpl(d) && (selector & SELECTOR_RPL) <= descriptor_dpl(d));
}

static const Op *op_lar(SoftCpu *cpu, const Op *op)
{
    SoftDescriptor d;
    bool visible;

    soft_sync(cpu, op);
    visible = find_visible(cpu, read_selector(cpu, op, op->src), lar_types, &d);
    if (visible) {
        /* The undefined bits 19:16 are the limit's, as processors give them. */
        write_register(cpu, op, d.low >> 32 & 0xffff00);
    }
    set_zf(cpu, visible);
    SOFT_NEXT(cpu, op);
}

static const Op *op_lsl(SoftCpu *cpu, const Op *op)
{
    SoftDescriptor d;
    bool visible;

    soft_sync(cpu, op);
    visible = find_visible(cpu, read_selector(cpu, op, op->src), lsl_types, &d);
    if (visible) {
        write_register(cpu, op, descriptor_limit(&d));
    }
    set_zf(cpu, visible);
    SOFT_NEXT(cpu, op);
}

static bool find_segment(SoftCpu *cpu, uint16_t selector, SoftDescriptor *d)
{
    static const uint16_t no_system_types[2];

    return find_visible(cpu, selector, no_system_types, d);
}

static const Op *op_verr(SoftCpu *cpu, const Op *op)
{
    SoftDescriptor d;

    soft_sync(cpu, op);
    set_zf(cpu, find_segment(cpu, read_selector(cpu, op, op->dst), &d) && descriptor_is_readable(&d));
    SOFT_NEXT(cpu, op);
}

static const Op *op_verw(SoftCpu *cpu, const Op *op)
{
    SoftDescriptor d;

    soft_sync(cpu, op);
    set_zf(cpu, find_segment(cpu, read_selector(cpu, op, op->dst), &d) && descriptor_is_writable(&d));
    SOFT_NEXT(cpu, op);
}

/* What ARPL reads or writes.  Decoding left the offset in SLOT_EA, and asked nothing of the segment. */
static uint64_t arpl_operand(SoftCpu *cpu, const Op *op, unsigned access)
{
    soft_sync(cpu, op);
    return soft_linear(cpu, op->seg, cpu->r[SLOT_EA], 2, soft_op_access(op) | access);
}

/* A selector that it leaves alone may be where nothing can be written. */
static const Op *op_arpl(SoftCpu *cpu, const Op *op)
{
    uint16_t destination = op->flags & OP_MEM ? soft_ld16(cpu, op, arpl_operand(cpu, op, ACCESS_READ))
                                              : SOFT_REG(cpu, uint16_t, op->dst);
    uint16_t source = SOFT_REG(cpu, uint16_t, op->src) & SELECTOR_RPL;
    bool lower = (destination & SELECTOR_RPL) < source;

    destination = (uint16_t)((destination & ~SELECTOR_RPL) | source);
    if (lower && op->flags & OP_MEM) {
        soft_st16(cpu, op, arpl_operand(cpu, op, ACCESS_WRITE), destination);
    } else if (lower) {
        SOFT_REG(cpu, uint16_t, op->dst) = destination;
    }
    set_zf(cpu, lower);
    SOFT_NEXT(cpu, op);
}

/* ---- bases of FS and GS ---- */

static void require_fsgsbase(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(!(cpu->cr4 & CR4_FSGSBASE))) {
        soft_sync(cpu, op);
        soft_raise(cpu, VECTOR_UD);
    }
}

static const Op *read_base(SoftCpu *cpu, const Op *op, unsigned seg)
{
    uint64_t base = cpu->segment[seg].base;

    require_fsgsbase(cpu, op);
    SOFT_REG(cpu, uint64_t, op->dst) = op->size == 8 ? base : (uint32_t)base; /* a prefix 66 changes nothing */
    SOFT_NEXT(cpu, op);
}

static const Op *write_base(SoftCpu *cpu, const Op *op, unsigned seg)
{
    uint64_t value = op->size == 8 ? SOFT_REG(cpu, uint64_t, op->dst) : SOFT_REG(cpu, uint32_t, op->dst);

    require_fsgsbase(cpu, op);
    if (UNLIKELY(!soft_is_canonical(value))) {
        soft_sync(cpu, op);
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    cpu->segment[seg].base = cpu->seg_base[seg] = value;
    SOFT_NEXT(cpu, op);
}

static const Op *op_rdfsbase(SoftCpu *cpu, const Op *op)
{
    return read_base(cpu, op, X86_FS);
}

static const Op *op_rdgsbase(SoftCpu *cpu, const Op *op)
{
    return read_base(cpu, op, X86_GS);
}

static const Op *op_wrfsbase(SoftCpu *cpu, const Op *op)
{
    return write_base(cpu, op, X86_FS);
}

static const Op *op_wrgsbase(SoftCpu *cpu, const Op *op)
{
    return write_base(cpu, op, X86_GS);
}

static const Op *op_swapgs(SoftCpu *cpu, const Op *op)
{
    uint64_t base = cpu->segment[X86_GS].base;

    if (UNLIKELY(cpu->cpl)) {
        soft_sync(cpu, op);
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    cpu->segment[X86_GS].base = cpu->seg_base[X86_GS] = cpu->kernel_gs_base;
    cpu->kernel_gs_base = base;
    SOFT_NEXT(cpu, op);
}

/* ---- LDTR and TR ---- */

static const Op *store_system_selector(SoftCpu *cpu, const Op *op, uint16_t selector)
{
    soft_sync(cpu, op);
    if (cpu->cr4 & CR4_UMIP) {
        require_cpl0(cpu);
    }
    write_selector(cpu, op, selector);
    SOFT_NEXT(cpu, op);
}

static const Op *op_sldt(SoftCpu *cpu, const Op *op)
{
    return store_system_selector(cpu, op, cpu->ldt.selector);
}

static const Op *op_str(SoftCpu *cpu, const Op *op)
{
    return store_system_selector(cpu, op, cpu->tr.selector);
}

/* In long mode the base has 64 bits. */
static void read_system_segment(SoftCpu *cpu, uint16_t selector, uint32_t types, SoftDescriptor *d)
{
    if (selector & SELECTOR_TI || !soft_read_descriptor(cpu, selector, d) || !descriptor_is_system(d) ||
        !(types >> descriptor_type(d) & 1) || (soft_in_long_mode(cpu) && !soft_read_descriptor_high(cpu, d))) {
        soft_raise_selector(cpu, VECTOR_GP, selector);
    }
    if (!descriptor_is_present(d)) {
        soft_raise_selector(cpu, VECTOR_NP, selector);
    }
}

static void require_canonical_base(SoftCpu *cpu, const X86Segment *s)
{
    if (!soft_is_canonical(s->base)) {
        soft_raise_selector(cpu, VECTOR_GP, s->selector);
    }
}

static const Op *op_lldt(SoftCpu *cpu, const Op *op)
{
    X86Segment ldt = { .attributes = X86_SEG_UNUSABLE };
    SoftDescriptor d;

    soft_sync(cpu, op);
    require_cpl0(cpu);
    ldt.selector = read_selector(cpu, op, op->dst);
    if (!selector_is_null(ldt.selector)) {
        read_system_segment(cpu, ldt.selector, 1 << SYSTEM_LDT, &d);
        soft_unpack_descriptor(&d, ldt.selector, &ldt);
        require_canonical_base(cpu, &ldt);
    }
    cpu->ldt = ldt;
    SOFT_NEXT(cpu, op);
}

static const Op *op_ltr(SoftCpu *cpu, const Op *op)
{
    uint32_t types = 1 << SYSTEM_TSS32 | (soft_in_long_mode(cpu) ? 0 : 1 << SYSTEM_TSS16);
    uint16_t selector;
    X86Segment tr;
    SoftDescriptor d;

    soft_sync(cpu, op);
    require_cpl0(cpu);
    selector = read_selector(cpu, op, op->dst);
    if (selector_is_null(selector)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    read_system_segment(cpu, selector, types, &d);
    soft_unpack_descriptor(&d, selector, &tr);
    require_canonical_base(cpu, &tr);
    soft_mark_busy(cpu, &d, true);
    tr.attributes |= SYSTEM_TYPE_BUSY;
    cpu->tr = tr;
    SOFT_NEXT(cpu, op);
}

const SoftInstr soft_segment_instructions[] = {
    { ZYDIS_MNEMONIC_MOV, op_mov_to_segment, INSTR_ENDS, ZYDIS_REGCLASS_SEGMENT, 0 },
    { ZYDIS_MNEMONIC_MOV, op_mov_from_segment, 0, 0, ZYDIS_REGCLASS_SEGMENT },
    { ZYDIS_MNEMONIC_PUSH, op_push_segment, 0, ZYDIS_REGCLASS_SEGMENT, 0 },
    { ZYDIS_MNEMONIC_POP, op_pop_segment, INSTR_ENDS, ZYDIS_REGCLASS_SEGMENT, 0 },
    { ZYDIS_MNEMONIC_LES, op_les, INSTR_ENDS | INSTR_NO_64, 0, 0 },
    { ZYDIS_MNEMONIC_LDS, op_lds, INSTR_ENDS | INSTR_NO_64, 0, 0 },
    { ZYDIS_MNEMONIC_LSS, op_lss, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_LFS, op_lfs, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_LGS, op_lgs, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_LAR, op_lar, INSTR_PROTECTED, 0, 0 },
    { ZYDIS_MNEMONIC_LSL, op_lsl, INSTR_PROTECTED, 0, 0 },
    { ZYDIS_MNEMONIC_VERR, op_verr, INSTR_PROTECTED, 0, 0 },
    { ZYDIS_MNEMONIC_VERW, op_verw, INSTR_PROTECTED, 0, 0 },
    { ZYDIS_MNEMONIC_ARPL, op_arpl, INSTR_PROTECTED | INSTR_NO_64, 0, 0 },
    { ZYDIS_MNEMONIC_RDFSBASE, op_rdfsbase, INSTR_NO_LEGACY, 0, 0 },
    { ZYDIS_MNEMONIC_RDGSBASE, op_rdgsbase, INSTR_NO_LEGACY, 0, 0 },
    { ZYDIS_MNEMONIC_WRFSBASE, op_wrfsbase, INSTR_NO_LEGACY, 0, 0 },
    { ZYDIS_MNEMONIC_WRGSBASE, op_wrgsbase, INSTR_NO_LEGACY, 0, 0 },
    { ZYDIS_MNEMONIC_SWAPGS, op_swapgs, INSTR_NO_LEGACY, 0, 0 },
    { ZYDIS_MNEMONIC_SLDT, op_sldt, INSTR_PROTECTED, 0, 0 },
    { ZYDIS_MNEMONIC_STR, op_str, INSTR_PROTECTED, 0, 0 },
    { ZYDIS_MNEMONIC_LLDT, op_lldt, INSTR_PROTECTED, 0, 0 },
    { ZYDIS_MNEMONIC_LTR, op_ltr, INSTR_PROTECTED, 0, 0 },
    { 0 },
};
