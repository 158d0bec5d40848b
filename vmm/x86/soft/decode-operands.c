/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operands of an instruction, packed into its op: SDM 1-3.7, SDM 2A section 2.1 and 2.2.
 *
 * In 64-bit code an address of 64 bits is a sum of slots and needs nothing else.  Everything
 * else is computed by a pre-op: what is truncated to 16 or 32 bits, what has a segment with a
 * base or a limit, and displacements of more than 32 bits.
 */
#include "vmm/x86/soft/decode-int.h"

/* ---- pre-ops: the address goes to SLOT_EA ---- */

INLINE uint64_t offset_of(const SoftCpu *cpu, const Op *op)
{
    return cpu->r[op->base] + (cpu->r[op->index] << op->scale) + (uint64_t)(int64_t)op->disp;
}

static const Op *op_ea_flat16(SoftCpu *cpu, const Op *op)
{
    cpu->ea = (uint16_t)offset_of(cpu, op);
    SOFT_NEXT(cpu, op);
}

static const Op *op_ea_flat32(SoftCpu *cpu, const Op *op)
{
    cpu->ea = (uint32_t)offset_of(cpu, op);
    SOFT_NEXT(cpu, op);
}

static const Op *op_ea_flat32_base(SoftCpu *cpu, const Op *op)
{
    cpu->ea = (uint32_t)int_ea(cpu, op, EA_BASE);
    SOFT_NEXT(cpu, op);
}

/* imm instead of disp. */
static const Op *op_ea_far(SoftCpu *cpu, const Op *op)
{
    cpu->ea = cpu->r[op->base] + (cpu->r[op->index] << op->scale) + (uint64_t)op->imm;
    SOFT_NEXT(cpu, op);
}

static uint64_t truncated_offset(const SoftCpu *cpu, const Op *op)
{
    return offset_of(cpu, op) & (op_address_bytes(op) == 2 ? UINT16_MAX : UINT32_MAX);
}

/* imm: size; dst: access. */
static const Op *op_ea_segment(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    cpu->ea = soft_linear(cpu, op->seg, truncated_offset(cpu, op), (unsigned)op->imm, op->dst);
    SOFT_NEXT(cpu, op);
}

static const Op *op_ea_unchecked(SoftCpu *cpu, const Op *op)
{
    cpu->ea = (uint32_t)(truncated_offset(cpu, op) + cpu->seg_base[op->seg]);
    SOFT_NEXT(cpu, op);
}

/* ---- registers ---- */

uint16_t decode_register(ZydisRegister r)
{
    if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL) {
        return (uint16_t)((r - ZYDIS_REGISTER_AL) * 8);
    }
    if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
        return (uint16_t)((r - ZYDIS_REGISTER_AH) * 8 + 1);
    }
    if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B) {
        return (uint16_t)((r - ZYDIS_REGISTER_SPL + X86_RSP) * 8);
    }
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return (uint16_t)(ZydisRegisterGetId(r) * 8);
    default:
        return (uint16_t)ZydisRegisterGetId(r);
    }
}

static unsigned slot_of(ZydisRegister r)
{
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        return (unsigned)ZydisRegisterGetId(r);
    case ZYDIS_REGCLASS_IP:
        return SLOT_RIP;
    default:
        return SLOT_ZERO; /* none, or the vector of indices of a gather */
    }
}

static unsigned segment_of(ZydisRegister r)
{
    return r >= ZYDIS_REGISTER_ES && r <= ZYDIS_REGISTER_GS ? (unsigned)(r - ZYDIS_REGISTER_ES) : X86_DS;
}

unsigned decode_source_segment(const Decode *x)
{
    ZydisInstructionAttributes a = x->z.attributes;

    if (a & ZYDIS_ATTRIB_HAS_SEGMENT_FS) {
        return X86_FS;
    }
    if (a & ZYDIS_ATTRIB_HAS_SEGMENT_GS) {
        return X86_GS;
    }
    if (decode_code(x) == MODE_CODE64) {
        return SEG_NONE;
    }
    return a & ZYDIS_ATTRIB_HAS_SEGMENT_ES   ? X86_ES
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_CS ? X86_CS
           : a & ZYDIS_ATTRIB_HAS_SEGMENT_SS ? X86_SS
                                             : X86_DS;
}

/* ---- memory ---- */

/* A SIB byte without a base: Zydis 4.0 does not see it if REX.B is set and the address size is 32. */
static bool has_no_base(const ZydisDecodedInstruction *z)
{
    return z->address_width != 16 && z->raw.modrm.mod == 0 && z->raw.modrm.rm == 4 && z->raw.sib.base == 5;
}

/* The sum of slots; the displacement of what is relative to rIP is from the block's start. */
static int64_t put_sum(const Decode *x, Op *op, const ZydisDecodedOperand *o)
{
    bool no_base = has_no_base(&x->z) && o->mem.base >= ZYDIS_REGISTER_R8D && o->mem.base <= ZYDIS_REGISTER_R15D;
    int64_t disp = no_base ? x->z.raw.disp.value : o->mem.disp.has_displacement ? o->mem.disp.value : 0;

    op->base = no_base ? SLOT_ZERO : (uint8_t)slot_of(o->mem.base);
    op->index = (uint8_t)slot_of(o->mem.index);
    op->scale = o->mem.scale >= 8 ? 3 : o->mem.scale / 2;
    if (op->index == SLOT_ZERO) {
        op->scale = 0;
    }
    if (op->base == SLOT_RIP) {
        disp += x->start + x->z.length;
    }
    op->disp = (int32_t)disp;
    return disp;
}

/* The pre-op is complete; the op of the instruction finds its address in SLOT_EA. */
static void put_pre_op(Decode *x, bool may_leave)
{
    OpEffects *e = decode_append(x);

    e->reads = 0;
    e->may_leave = may_leave;
    e->may_leave_after = false;
    decode_new_op(x, NULL)->base = SLOT_EA;
}

static bool is_stack(const Decode *x, const ZydisDecodedOperand *o)
{
    if (decode_code(x) == MODE_CODE64) {
        unsigned base = slot_of(o->mem.base);

        return (base == X86_RSP || base == X86_RBP) && o->mem.segment != ZYDIS_REGISTER_FS &&
               o->mem.segment != ZYDIS_REGISTER_GS;
    }
    return o->mem.segment == ZYDIS_REGISTER_SS;
}

static void put_64bit_address(Decode *x, const ZydisDecodedOperand *o)
{
    unsigned segment = segment_of(o->mem.segment);
    int64_t disp = put_sum(x, x->op, o);

    if (x->z.address_width == 32) {
        x->op->fn = op_ea_flat32;
        put_pre_op(x, false);
    } else if (disp != (int32_t)disp) {
        x->op->fn = op_ea_far;
        x->op->imm = disp;
        put_pre_op(x, false);
    }
    x->op->seg = segment == X86_FS || segment == X86_GS ? (uint8_t)segment : SEG_NONE;
}

/* Whether segmentation adds and checks nothing.  A flat CS may not be read. */
static bool is_flat(const Decode *x, unsigned segment)
{
    return x->d->mode & MODE_FLAT && (segment == X86_ES || segment == X86_SS || segment == X86_DS);
}

static OpFn *flat_pre_op(const Decode *x)
{
    return x->z.address_width == 16 ? op_ea_flat16 : x->op->index == SLOT_ZERO ? op_ea_flat32_base : op_ea_flat32;
}

/* These are checked as a load of a byte is. */
static bool is_line(const ZydisDecodedInstruction *z)
{
    return z->mnemonic == ZYDIS_MNEMONIC_CLFLUSH || z->mnemonic == ZYDIS_MNEMONIC_CLFLUSHOPT ||
           z->mnemonic == ZYDIS_MNEMONIC_CLWB;
}

static void put_legacy_address(Decode *x, const ZydisDecodedOperand *o, DecodeAddress what)
{
    unsigned segment = segment_of(o->mem.segment);
    bool writes = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    Op *op = x->op;

    put_sum(x, op, o);
    op->seg = (uint8_t)segment;
    if (what == ADDRESS_OFFSET || (what == ADDRESS_ACCESS && is_flat(x, segment))) {
        op->fn = flat_pre_op(x);
    } else if (what == ADDRESS_BASE) {
        op->fn = op_ea_unchecked;
    } else {
        op->fn = op_ea_segment;
        op->imm = is_line(&x->z) ? 1 : MAX(o->size / 8, 1);
        op->dst = (writes ? ACCESS_WRITE : ACCESS_READ) | (op->flags & OP_STACK ? ACCESS_STACK : 0);
    }
    put_pre_op(x, op->fn == op_ea_segment);
    if (what == ADDRESS_OFFSET) {
        x->op->seg = (uint8_t)segment;
    }
}

/* An address that is a value, not used: truncated to its own size if the result is wider. */
static void put_value(Decode *x, const ZydisDecodedOperand *o)
{
    int64_t disp = put_sum(x, x->op, o);

    if (x->z.address_width < x->z.operand_width) {
        x->op->fn = flat_pre_op(x);
        put_pre_op(x, false);
    } else if (x->z.address_width == 64 && disp != (int32_t)disp) {
        x->op->fn = op_ea_far;
        x->op->imm = disp;
        put_pre_op(x, false);
    }
}

void decode_memory(Decode *x, const ZydisDecodedOperand *o, DecodeAddress what)
{
    uint8_t kind;

    decode_new_op(x, NULL);
    if (!o) {
        return;
    }
    kind = OP_MEM | (what != ADDRESS_VALUE && is_stack(x, o) ? OP_STACK : 0);
    x->op->flags |= kind;
    if (what == ADDRESS_VALUE) {
        put_value(x, o);
    } else if (decode_code(x) == MODE_CODE64) {
        put_64bit_address(x, o);
    } else {
        put_legacy_address(x, o, what);
    }
    x->op->flags |= kind;
}

/* ---- all of them ---- */

static void put_operand(Decode *x, const ZydisDecodedOperand *o, unsigned i, bool *source)
{
    Op *op = x->op;

    switch (o->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        if (i == 0) {
            op->dst = decode_register(o->reg.value);
        } else if (!*source) {
            op->src = decode_register(o->reg.value);
            *source = true;
        }
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        op->imm = o->imm.value.s + (o->imm.is_relative ? (int64_t)x->start + x->z.length : 0);
        break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        op->imm = (int64_t)((uint64_t)o->ptr.segment << 32 | o->ptr.offset);
        break;
    default:
        break;
    }
}

void decode_operands(Decode *x, DecodeAddress what)
{
    const ZydisDecodedOperand *memory = NULL;
    bool source = false;

    for (unsigned i = 0; i < x->z.operand_count_visible; i++) {
        if (x->o[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
            memory = &x->o[i];
        }
    }
    decode_memory(x, memory, what);
    for (unsigned i = 0; i < x->z.operand_count_visible; i++) {
        put_operand(x, &x->o[i], i, &source);
    }
}
