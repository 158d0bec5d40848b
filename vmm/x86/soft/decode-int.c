/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler of each integer instruction, by its operands.  `families` says which function
 * below chooses for a mnemonic, and what it is told.
 */
#include "vmm/x86/soft/decode-int.h"

typedef bool Choose(Decode *x, unsigned arg);

/* ---- helpers ---- */

static unsigned size_index(unsigned bits)
{
    return bits == 8 ? SIZE_8 : bits == 16 ? SIZE_16 : bits == 32 ? SIZE_32 : SIZE_64;
}

static unsigned size_of(const Decode *x, unsigned i)
{
    return size_index(x->o[i].size);
}

static bool is_memory(const Decode *x, unsigned i)
{
    return i < x->z.operand_count_visible && x->o[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

static bool is_immediate(const Decode *x, unsigned i)
{
    return i < x->z.operand_count_visible && x->o[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static bool is_general(const Decode *x, unsigned i)
{
    unsigned c = ZYDIS_REGCLASS_INVALID;

    if (i < x->z.operand_count_visible && x->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
        c = ZydisRegisterGetClass(x->o[i].reg.value);
    }
    return c >= ZYDIS_REGCLASS_GPR8 && c <= ZYDIS_REGCLASS_GPR64;
}

static bool is_locked(const Decode *x)
{
    return x->z.attributes & ZYDIS_ATTRIB_HAS_LOCK;
}

static IntForm form_of(const Decode *x)
{
    if (is_memory(x, 0)) {
        return is_immediate(x, 1) ? FORM_MI : FORM_MR;
    }
    return is_memory(x, 1) ? FORM_RM : is_immediate(x, 1) ? FORM_RI : FORM_RR;
}

static unsigned ea_of(const Op *op)
{
    return op->index == SLOT_ZERO && op->seg == SEG_NONE ? EA_BASE : EA_ANY;
}

/* The instruction's op, with operands packed already.  NULL: there is none of this shape, try elsewhere. */
static OpEffects *put(Decode *x, OpFn *fn, unsigned reads, unsigned kills)
{
    OpEffects *e;

    if (!fn) {
        return NULL;
    }
    x->op->fn = fn;
    e = decode_append(x);
    e->reads = (uint16_t)reads;
    e->kills = e->changes = (uint16_t)kills;
    e->elsewhere = false;
    e->may_leave = x->op->flags & OP_MEM;
    e->may_leave_after = is_memory(x, 0) && x->o[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    return e;
}

static bool put_or_undefined(Decode *x, OpFn *fn, unsigned reads, unsigned kills)
{
    if (!put(x, fn, reads, kills)) {
        decode_raise(x, VECTOR_UD);
    }
    return true;
}

/* ---- arithmetic ---- */

static bool choose_alu(Decode *x, unsigned alu)
{
    unsigned size = size_of(x, 0), form = form_of(x), ea, reads = alu == ALU_ADC || alu == ALU_SBB ? CC_CF : 0;
    OpEffects *e;

    decode_operands(x, ADDRESS_ACCESS);
    if (is_locked(x)) {
        return put_or_undefined(x, alu < ALU_WRITES ? int_alu_lock[alu][size][form == FORM_MI] : NULL, reads, CC_ALL);
    }
    ea = ea_of(x->op);
    e = put(x, int_alu[alu][size][form][ea][WITH_FLAGS], reads, CC_ALL);
    e->quiet = int_alu[alu][size][form][ea][NO_FLAGS];
    if (alu >= ALU_WRITES && (ea == EA_BASE || form == FORM_RR || form == FORM_RI)) {
        e->compare = (uint8_t)(1 + alu - ALU_WRITES);
        e->size = (uint8_t)size;
        e->form = (uint8_t)form;
    }
    return true;
}

static bool choose_unary(Decode *x, unsigned unary)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 0);
    unsigned kills = unary == UNARY_NOT ? 0 : unary == UNARY_NEG ? CC_ALL : CC_ALL & ~CC_CF;

    decode_operands(x, ADDRESS_ACCESS);
    if (is_locked(x)) {
        return put_or_undefined(x, int_unary_lock[unary][size], 0, kills);
    }
    put(x, int_unary[unary][size][memory][WITH_FLAGS], 0, kills)->quiet = int_unary[unary][size][memory][NO_FLAGS];
    return true;
}

static bool choose_shift(Decode *x, unsigned shift)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 0), count = is_immediate(x, 1) ? COUNT_IMMEDIATE : COUNT_CL;
    unsigned reads = shift == SHIFT_RCL || shift == SHIFT_RCR ? CC_CF : 0;
    OpEffects *e;

    decode_operands(x, ADDRESS_ACCESS);
    if (count == COUNT_IMMEDIATE) {
        x->op->imm &= size == SIZE_64 ? 63 : 31;
        count = shift <= SHIFT_ROR && !memory && x->op->imm > 1 ? COUNT_MORE : COUNT_IMMEDIATE;
    }
    /* It may shift by 0, and pass on what it does not change or leaves undefined. */
    e = put(x, int_shift[shift][size][memory][count][WITH_FLAGS], reads, 0);
    e->changes = CC_ALL;
    e->quiet = int_shift[shift][size][memory][count][NO_FLAGS];
    if (count == COUNT_IMMEDIATE && x->op->imm && shift >= SHIFT_SHL) {
        e->kills = CC_ALL & ~(CC_AF | CC_OF);
    }
    return true;
}

static bool choose_double(Decode *x, unsigned which)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 0), from_cl = !is_immediate(x, 2);

    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_double[which][size][memory][from_cl], CC_ALL, 0);
}

static bool choose_mul(Decode *x, unsigned mul)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 0);
    OpEffects *e;

    decode_operands(x, ADDRESS_ACCESS);
    e = put(x, int_mul[mul][size][memory], CC_ALL, 0);
    e->may_leave |= mul >= MUL_DIV;
    return true;
}

static bool choose_imul(Decode *x, unsigned unused)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 1), immediate = is_immediate(x, 2);
    OpEffects *e;

    if (x->z.operand_count_visible == 1) {
        return choose_mul(x, MUL_IMUL);
    }
    decode_operands(x, ADDRESS_ACCESS);
    e = put(x, int_imul[size][memory][immediate][WITH_FLAGS], 0, CC_CF | CC_OF);
    e->changes = CC_ALL;
    e->quiet = int_imul[size][memory][immediate][NO_FLAGS];
    return true;
}

/* ---- bits ---- */

static bool choose_bit(Decode *x, unsigned bit)
{
    unsigned size = size_of(x, 0), locked = is_locked(x);

    if (is_memory(x, 0) && !is_immediate(x, 1)) {
        decode_operands(x, ADDRESS_OFFSET);
        return put_or_undefined(x, int_bit_string[bit][size][locked], CC_ALL, 0);
    }
    decode_operands(x, ADDRESS_ACCESS);
    return put_or_undefined(x, int_bit[bit][size][is_memory(x, 0) ? 2 + locked : is_immediate(x, 1)], CC_ALL, 0);
}

static bool choose_scan(Decode *x, unsigned scan)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 1);

    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_scan[scan][size][memory], CC_ALL, 0);
}

/* ---- exchanges ---- */

static bool choose_xchg(Decode *x, unsigned unused)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 0);

    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_xchg[size][memory], 0, 0);
}

static bool choose_xadd(Decode *x, unsigned unused)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 0);

    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_xadd[size][memory + is_locked(x)], 0, CC_ALL);
}

static bool choose_cmpxchg(Decode *x, unsigned unused)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 0);

    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_cmpxchg[size][memory + is_locked(x)], 0, CC_ALL);
}

static bool choose_cmpxchg_pair(Decode *x, unsigned wide)
{
    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_cmpxchg_pair[wide][is_locked(x)], CC_ALL, 0);
}

/* ---- moves ---- */

static bool choose_mov(Decode *x, unsigned unused)
{
    unsigned size = size_of(x, 0), form = form_of(x);

    if (!(is_memory(x, 0) || is_general(x, 0)) || !(is_memory(x, 1) || is_immediate(x, 1) || is_general(x, 1))) {
        return false; /* to or from a segment, control or debug register */
    }
    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_mov[size][form][ea_of(x->op)], 0, 0);
}

static bool choose_movbe(Decode *x, unsigned unused)
{
    unsigned size = size_of(x, 0), store = is_memory(x, 0);

    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_movbe[size][store], 0, 0);
}

static bool choose_extend(Decode *x, unsigned extend)
{
    unsigned to = size_of(x, 0), from = MIN(size_of(x, 1), to), memory = is_memory(x, 1);

    /* MOVSXD to 16 bits reads as many: SDM 2B, not Zydis. */
    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_extend[extend][from][to][memory][ea_of(x->op)], 0, 0);
}

static bool choose_lea(Decode *x, unsigned unused)
{
    decode_operands(x, ADDRESS_VALUE);
    put(x, int_lea[size_of(x, 0)][ea_of(x->op)], 0, 0)->may_leave = false;
    return true;
}

static bool choose_setcc(Decode *x, unsigned condition)
{
    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_setcc[condition][is_memory(x, 0)], CC_ALL, 0);
}

static bool choose_cmov(Decode *x, unsigned condition)
{
    unsigned size = size_of(x, 0), memory = is_memory(x, 1);

    decode_operands(x, ADDRESS_ACCESS);
    return put(x, int_cmovcc[condition][size][memory], CC_ALL, 0);
}

static bool choose_bswap(Decode *x, unsigned unused)
{
    OpFn *fn = int_bswap[size_of(x, 0)];

    if (!fn) {
        return false;
    }
    decode_operands(x, ADDRESS_ACCESS);
    return put(x, fn, 0, 0);
}

/* ---- without visible operands, or with an immediate only ---- */

typedef enum Simple { SIMPLE_WIDEN, SIMPLE_SPREAD, SIMPLE_LAHF, SIMPLE_SAHF, SIMPLE_CLC, SIMPLE_STC, SIMPLE_CMC,
                      SIMPLE_XLAT, SIMPLE_SALC, SIMPLE_DAA, SIMPLE_DAS, SIMPLE_AAA, SIMPLE_AAS, SIMPLE_AAM, SIMPLE_AAD,
                      SIMPLE_PAUSE, SIMPLE_PUSHA, SIMPLE_POPA, SIMPLE_ENTER, SIMPLE_LEAVE, SIMPLE_BOUND } Simple;

static OpFn *simple_handler(const Decode *x, unsigned which, unsigned *reads, unsigned *kills)
{
    unsigned size = size_index(x->z.operand_width);

    *reads = *kills = 0;
    switch (which) {
    case SIMPLE_WIDEN:
        return int_widen[size];
    case SIMPLE_SPREAD:
        return int_spread[size];
    case SIMPLE_LAHF:
        *reads = CC_ALL;
        return int_op_lahf;
    case SIMPLE_SAHF:
        *kills = CC_ALL & ~CC_OF;
        return int_op_sahf;
    case SIMPLE_CLC:
        *kills = CC_CF;
        return int_op_clc;
    case SIMPLE_STC:
        *kills = CC_CF;
        return int_op_stc;
    case SIMPLE_CMC:
        *reads = CC_CF;
        return int_op_cmc;
    case SIMPLE_SALC:
        *reads = CC_CF;
        return int_op_salc;
    case SIMPLE_PAUSE:
        return int_op_pause;
    default:
        *reads = CC_ALL;
        return which == SIMPLE_XLAT    ? int_op_xlat
               : which == SIMPLE_DAA   ? int_op_daa
               : which == SIMPLE_DAS   ? int_op_das
               : which == SIMPLE_AAA   ? int_op_aaa
               : which == SIMPLE_AAS   ? int_op_aas
               : which == SIMPLE_AAM   ? int_op_aam
               : which == SIMPLE_AAD   ? int_op_aad
               : which == SIMPLE_PUSHA ? stack_pusha
               : which == SIMPLE_POPA  ? stack_popa
               : which == SIMPLE_ENTER ? stack_enter
               : which == SIMPLE_BOUND ? int_op_bound
               : decode_code(x) == MODE_CODE64 && x->z.operand_width == 64 ? stack_leave64
                                                                            : stack_leave;
    }
}

static bool choose_simple(Decode *x, unsigned which)
{
    unsigned reads, kills;
    OpFn *fn = simple_handler(x, which, &reads, &kills);
    OpEffects *e;

    decode_operands(x, ADDRESS_ACCESS);
    if (which == SIMPLE_XLAT) {
        x->op->seg = (uint8_t)decode_source_segment(x);
        x->op->flags |= x->op->seg == X86_SS ? OP_STACK : 0;
    }
    if (which == SIMPLE_ENTER) {
        x->op->imm = (int64_t)(x->o[0].imm.value.u | x->o[1].imm.value.u << 16);
    }
    e = put(x, fn, reads, kills);
    e->may_leave = reads == CC_ALL;
    e->may_leave_after = which >= SIMPLE_PUSHA;
    return true;
}

/* One alone among others has no op, only a gap between those around it. */
static bool choose_nop(Decode *x, unsigned unused)
{
    if (x->was_skipped) {
        decode_new_op(x, NULL);
        return put(x, int_op_nop, 0, 0);
    }
    x->skipped = true;
    return true;
}

/* ---- which ---- */

enum { FAMILY_NONE, FAMILY_ALU, FAMILY_UNARY, FAMILY_SHIFT, FAMILY_DOUBLE, FAMILY_MUL, FAMILY_IMUL, FAMILY_BIT,
       FAMILY_SCAN, FAMILY_XCHG, FAMILY_XADD, FAMILY_CMPXCHG, FAMILY_PAIR, FAMILY_MOV, FAMILY_MOVBE, FAMILY_EXTEND,
       FAMILY_LEA, FAMILY_SETCC, FAMILY_CMOV, FAMILY_BSWAP, FAMILY_SIMPLE, FAMILY_NOP, FAMILY_JCC, FAMILY_LOOP,
       FAMILY_JMP, FAMILY_CALL, FAMILY_RET, FAMILY_PUSH, FAMILY_POP };

static Choose *const choosers[] = {
    [FAMILY_ALU] = choose_alu,       [FAMILY_UNARY] = choose_unary,     [FAMILY_SHIFT] = choose_shift,
    [FAMILY_DOUBLE] = choose_double, [FAMILY_MUL] = choose_mul,         [FAMILY_IMUL] = choose_imul,
    [FAMILY_BIT] = choose_bit,       [FAMILY_SCAN] = choose_scan,       [FAMILY_XCHG] = choose_xchg,
    [FAMILY_XADD] = choose_xadd,     [FAMILY_CMPXCHG] = choose_cmpxchg, [FAMILY_PAIR] = choose_cmpxchg_pair,
    [FAMILY_MOV] = choose_mov,       [FAMILY_MOVBE] = choose_movbe,     [FAMILY_EXTEND] = choose_extend,
    [FAMILY_LEA] = choose_lea,       [FAMILY_SETCC] = choose_setcc,     [FAMILY_CMOV] = choose_cmov,
    [FAMILY_BSWAP] = choose_bswap,   [FAMILY_SIMPLE] = choose_simple,   [FAMILY_NOP] = choose_nop,
    [FAMILY_JCC] = decode_jcc,       [FAMILY_LOOP] = decode_loop,       [FAMILY_JMP] = decode_jmp,
    [FAMILY_CALL] = decode_call,     [FAMILY_RET] = decode_ret,         [FAMILY_PUSH] = decode_push,
    [FAMILY_POP] = decode_pop,
};

#define ROW(mnemonic, family, arg)  [ZYDIS_MNEMONIC_##mnemonic] = { FAMILY_##family, arg }
#define ROW_CC(n, cond)                                                                                          \
    ROW(J##cond, JCC, n), ROW(SET##cond, SETCC, n), ROW(CMOV##cond, CMOV, n)
static const struct { uint8_t family, arg; } families[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
    ROW(ADD, ALU, ALU_ADD), ROW(OR, ALU, ALU_OR), ROW(ADC, ALU, ALU_ADC), ROW(SBB, ALU, ALU_SBB),
    ROW(AND, ALU, ALU_AND), ROW(SUB, ALU, ALU_SUB), ROW(XOR, ALU, ALU_XOR), ROW(CMP, ALU, ALU_CMP),
    ROW(TEST, ALU, ALU_TEST),
    ROW(INC, UNARY, UNARY_INC), ROW(DEC, UNARY, UNARY_DEC), ROW(NOT, UNARY, UNARY_NOT), ROW(NEG, UNARY, UNARY_NEG),
    ROW(ROL, SHIFT, SHIFT_ROL), ROW(ROR, SHIFT, SHIFT_ROR), ROW(RCL, SHIFT, SHIFT_RCL), ROW(RCR, SHIFT, SHIFT_RCR),
    ROW(SHL, SHIFT, SHIFT_SHL), ROW(SHR, SHIFT, SHIFT_SHR), ROW(SAR, SHIFT, SHIFT_SAR),
    ROW(SHLD, DOUBLE, DOUBLE_SHLD), ROW(SHRD, DOUBLE, DOUBLE_SHRD),
    ROW(MUL, MUL, MUL_MUL), ROW(DIV, MUL, MUL_DIV), ROW(IDIV, MUL, MUL_IDIV), ROW(IMUL, IMUL, 0),
    ROW(BT, BIT, BIT_BT), ROW(BTS, BIT, BIT_BTS), ROW(BTR, BIT, BIT_BTR), ROW(BTC, BIT, BIT_BTC),
    ROW(BSF, SCAN, SCAN_BSF), ROW(BSR, SCAN, SCAN_BSR), ROW(TZCNT, SCAN, SCAN_TZCNT), ROW(LZCNT, SCAN, SCAN_LZCNT),
    ROW(POPCNT, SCAN, SCAN_POPCNT),
    ROW(XCHG, XCHG, 0), ROW(XADD, XADD, 0), ROW(CMPXCHG, CMPXCHG, 0), ROW(CMPXCHG8B, PAIR, 0), ROW(CMPXCHG16B, PAIR, 1),
    ROW(MOV, MOV, 0), ROW(MOVNTI, MOV, 0), ROW(MOVBE, MOVBE, 0), ROW(MOVZX, EXTEND, EXTEND_ZERO),
    ROW(MOVSX, EXTEND, EXTEND_SIGN), ROW(MOVSXD, EXTEND, EXTEND_SIGN), ROW(LEA, LEA, 0), ROW(BSWAP, BSWAP, 0),
    ROW(CBW, SIMPLE, SIMPLE_WIDEN), ROW(CWDE, SIMPLE, SIMPLE_WIDEN), ROW(CDQE, SIMPLE, SIMPLE_WIDEN),
    ROW(CWD, SIMPLE, SIMPLE_SPREAD), ROW(CDQ, SIMPLE, SIMPLE_SPREAD), ROW(CQO, SIMPLE, SIMPLE_SPREAD),
    ROW(LAHF, SIMPLE, SIMPLE_LAHF), ROW(SAHF, SIMPLE, SIMPLE_SAHF), ROW(CLC, SIMPLE, SIMPLE_CLC),
    ROW(STC, SIMPLE, SIMPLE_STC), ROW(CMC, SIMPLE, SIMPLE_CMC), ROW(XLAT, SIMPLE, SIMPLE_XLAT),
    ROW(SALC, SIMPLE, SIMPLE_SALC), ROW(DAA, SIMPLE, SIMPLE_DAA), ROW(DAS, SIMPLE, SIMPLE_DAS),
    ROW(AAA, SIMPLE, SIMPLE_AAA), ROW(AAS, SIMPLE, SIMPLE_AAS), ROW(AAM, SIMPLE, SIMPLE_AAM),
    ROW(AAD, SIMPLE, SIMPLE_AAD), ROW(PAUSE, SIMPLE, SIMPLE_PAUSE), ROW(BOUND, SIMPLE, SIMPLE_BOUND),
    ROW(PUSHA, SIMPLE, SIMPLE_PUSHA), ROW(PUSHAD, SIMPLE, SIMPLE_PUSHA), ROW(POPA, SIMPLE, SIMPLE_POPA),
    ROW(POPAD, SIMPLE, SIMPLE_POPA), ROW(ENTER, SIMPLE, SIMPLE_ENTER), ROW(LEAVE, SIMPLE, SIMPLE_LEAVE),
    ROW(NOP, NOP, 0), ROW(ENDBR32, NOP, 0), ROW(ENDBR64, NOP, 0), ROW(PREFETCH, NOP, 0), ROW(PREFETCHW, NOP, 0),
    ROW(PREFETCHWT1, NOP, 0), ROW(PREFETCHNTA, NOP, 0), ROW(PREFETCHT0, NOP, 0), ROW(PREFETCHT1, NOP, 0),
    ROW(PREFETCHT2, NOP, 0), ROW(CLDEMOTE, NOP, 0),
    ROW_CC(0, O), ROW_CC(1, NO), ROW_CC(2, B), ROW_CC(3, NB), ROW_CC(4, Z), ROW_CC(5, NZ), ROW_CC(6, BE),
    ROW_CC(7, NBE), ROW_CC(8, S), ROW_CC(9, NS), ROW_CC(10, P), ROW_CC(11, NP), ROW_CC(12, L), ROW_CC(13, NL),
    ROW_CC(14, LE), ROW_CC(15, NLE),
    ROW(LOOPNE, LOOP, LOOP_LOOPNE), ROW(LOOPE, LOOP, LOOP_LOOPE), ROW(LOOP, LOOP, LOOP_LOOP),
    ROW(JCXZ, LOOP, LOOP_JCXZ), ROW(JECXZ, LOOP, LOOP_JCXZ), ROW(JRCXZ, LOOP, LOOP_JCXZ),
    ROW(JMP, JMP, 0), ROW(CALL, CALL, 0), ROW(RET, RET, 0), ROW(PUSH, PUSH, 0), ROW(POP, POP, 0),
};

bool decode_int(Decode *x)
{
    unsigned family = families[x->z.mnemonic].family;

    return family != FAMILY_NONE && choosers[family](x, families[x->z.mnemonic].arg);
}
