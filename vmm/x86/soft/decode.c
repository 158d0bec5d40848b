/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding of blocks (decode.h): SDM 2A chapter 2 through Zydis; exceptions of decoding in
 * the order of SDM 3-6.9: code segment limits are block.c's, then length, then #UD, then #NM.
 *
 * The files: decode-operands.c packs operands, decode-int.c and decode-branch.c choose among
 * the handlers of the integer instructions, decode-isa.c says what this guest may use now,
 * decode-flags.c drops flags that nobody sees.
 */
#include "vmm/x86/soft/decode-int.h"

#define LENGTH_MAX 15

static const SoftInstr *const tables[] = {
    soft_transfer_instructions, soft_system_instructions, soft_segment_instructions,
    soft_string_instructions,   soft_flag_instructions,   soft_fpu_instructions,
};

/* ---- ops ---- */

static unsigned log2_of(unsigned bits)
{
    return bits == 64 ? 3 : bits == 32 ? 2 : 1;
}

Op *decode_new_op(Decode *x, OpFn *fn)
{
    const ZydisDecodedInstruction *z = &x->z;
    Op *op = &x->d->op[x->d->n];

    soft_zero(op, sizeof(*op));
    x->d->code[x->d->n].length = 0;
    op->fn = fn;
    op->base = op->index = SLOT_ZERO;
    op->seg = SEG_NONE;
    op->ip = (uint16_t)(x->start & 0xfff);
    op->length = z->length & 15;
    op->size = z->operand_width / 8;
    op->flags = (uint8_t)log2_of(z->address_width);
    op->flags |= z->attributes & ZYDIS_ATTRIB_HAS_LOCK ? OP_LOCK : 0;
    op->flags |= z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? OP_REP : 0;
    op->flags |= z->attributes & ZYDIS_ATTRIB_HAS_REPNE ? OP_REPNE : 0;
    x->op = op;
    return op;
}

OpEffects *decode_append(Decode *x)
{
    OpEffects *e = &x->effects[x->d->n++];

    *e = (OpEffects){ .reads = CC_ALL, .may_leave = true, .may_leave_after = true, .elsewhere = true };
    return e;
}

void decode_raise(Decode *x, unsigned vector)
{
    decode_new_op(x, soft_op_raise)->imm = vector;
    decode_append(x);
    x->ends = true;
}

/* ---- instructions of the tables ---- */

static unsigned class_of(const Decode *x, unsigned i)
{
    if (i >= x->z.operand_count_visible || x->o[i].type != ZYDIS_OPERAND_TYPE_REGISTER) {
        return ZYDIS_REGCLASS_INVALID;
    }
    return ZydisRegisterGetClass(x->o[i].reg.value);
}

static bool is_string(const Decode *x)
{
    return x->z.meta.category == ZYDIS_CATEGORY_STRINGOP || x->z.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

/* MOVSD and CMPSD are names of two instructions each. */
static bool row_is_for(const Decode *x, const SoftInstr *row)
{
    return row->mnemonic == x->z.mnemonic && (!row->first || row->first == class_of(x, 0)) &&
           (!row->second || row->second == class_of(x, 1)) && (!(row->flags & INSTR_STRING) || is_string(x));
}

static const SoftInstr *find_row(const Decode *x)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
        for (const SoftInstr *row = tables[i]; row->mnemonic; row++) {
            if (row_is_for(x, row)) {
                return row;
            }
        }
    }
    return NULL;
}

static bool is_allowed(const Decode *x, const SoftInstr *row)
{
    bool is_64 = decode_code(x) == MODE_CODE64;

    return !(row->flags & INSTR_NO_64 && is_64) && !(row->flags & INSTR_NO_LEGACY && !is_64) &&
           !(row->flags & INSTR_PROTECTED && !(x->d->mode & MODE_PROTECTED)) &&
           !(x->z.attributes & ZYDIS_ATTRIB_HAS_LOCK && !(row->flags & INSTR_LOCK));
}

static void use_row(Decode *x, const SoftInstr *row, bool fp)
{
    if (!is_allowed(x, row)) {
        decode_raise(x, VECTOR_UD);
        return;
    }
    if (row->flags & INSTR_STRING) {
        decode_new_op(x, row->fn)->seg = (uint8_t)decode_source_segment(x);
    } else {
        decode_operands(x, x->z.mnemonic == ZYDIS_MNEMONIC_INVLPG ? ADDRESS_BASE :
                           x->z.mnemonic == ZYDIS_MNEMONIC_ARPL   ? ADDRESS_OFFSET :
                                                                    ADDRESS_ACCESS);
        x->op->fn = row->fn;
    }
    x->op->flags |= fp || row->flags & INSTR_FP ? OP_FP : 0;
    decode_append(x);
    x->ends = row->flags & INSTR_ENDS;
}

/* ---- native ones ---- */

static const ZydisDecodedOperand *memory_operand(const Decode *x)
{
    for (unsigned i = 0; i < x->z.operand_count; i++) {
        if (x->o[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
            return &x->o[i];
        }
    }
    return NULL;
}

static bool use_stub(Decode *x, bool fp)
{
    OpEffects *e;

    if (x->z.attributes & ZYDIS_ATTRIB_HAS_LOCK ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&x->decoder, &x->context, &x->z, x->o, x->z.operand_count))) {
        return false;
    }
    decode_memory(x, memory_operand(x), ADDRESS_ACCESS);
    x->op->flags |= fp ? OP_FP : 0;
    if (!soft_stub_emit(x->d, &x->z, x->o, x->op)) {
        return false;
    }
    e = decode_append(x);
    e->may_leave_after = x->op->flags & OP_MEM;
    e->elsewhere = x->op->fn == soft_op_raise;
    return true;
}

/* ---- instructions ---- */

/* A NOP on Intel's processors; APM 3 PREFETCH: #UD. */
static bool is_prefetch_of_register(const Decode *x)
{
    return x->z.mnemonic == ZYDIS_MNEMONIC_NOP && x->z.opcode_map == ZYDIS_OPCODE_MAP_0F && x->z.opcode == 0x0d &&
           !x->d->cpu->vm->intel;
}

static bool is_undefined(const Decode *x)
{
    switch (x->z.mnemonic) {
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_INVALID:
        return true;
    default:
        /* LOCK wants a memory destination; real and virtual-8086 mode have no VEX. */
        return (x->z.attributes & ZYDIS_ATTRIB_HAS_LOCK && x->o[0].type != ZYDIS_OPERAND_TYPE_MEMORY) ||
               (x->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && !(x->d->mode & MODE_PROTECTED)) ||
               !decode_is_offered(x) || is_prefetch_of_register(x);
    }
}

static void decode_instruction(Decode *x)
{
    unsigned before = x->d->n;
    const SoftInstr *row;
    int exception;
    bool fp;

    if (!ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&x->decoder, &x->context, &x->z, x->o, x->z.operand_count_visible)) ||
        is_undefined(x)) {
        decode_raise(x, VECTOR_UD);
        return;
    }
    exception = decode_fp_exception(x, &fp);
    if (exception >= 0) {
        decode_raise(x, (unsigned)exception);
        return;
    }
    if (!fp && decode_int(x)) {
        return;
    }
    row = find_row(x);
    if (row) {
        use_row(x, row, fp);
    } else if (!use_stub(x, fp)) {
        x->d->n = before; /* without its pre-op */
        decode_raise(x, VECTOR_UD);
    }
}

/* ---- blocks ---- */

/* What Zydis cannot read: the bytes that say so are part of the block, too. */
static void decode_failure(Decode *x, ZyanStatus status, unsigned rest)
{
    bool too_long = status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || status == ZYDIS_STATUS_NO_MORE_DATA;

    soft_zero(&x->z, sizeof(x->z));
    x->z.length = (ZyanU8)MIN(rest, (unsigned)LENGTH_MAX);
    decode_raise(x, too_long ? VECTOR_GP : VECTOR_UD);
}

/* False: it needs more bytes than there are. */
static bool decode_next(Decode *x)
{
    SoftDecode *d = x->d;
    unsigned rest = d->available - d->length;
    ZyanStatus status;

    x->start = d->length;
    status = ZydisDecoderDecodeInstruction(&x->decoder, &x->context, d->bytes + x->start, rest, &x->z);
    if (status == ZYDIS_STATUS_NO_MORE_DATA && rest < LENGTH_MAX) {
        return false;
    }
    if (ZYAN_SUCCESS(status)) {
        x->was_skipped = x->skipped;
        x->skipped = false;
        decode_branch_width(x);
        decode_instruction(x);
    } else {
        decode_failure(x, status, rest);
    }
    d->length += x->z.length;
    d->count++;
    return true;
}

static void append_goto(Decode *x)
{
    Op *op;

    x->start = x->d->length;
    soft_zero(&x->z, sizeof(x->z));
    op = decode_new_op(x, soft_op_goto);
    op->imm = x->d->length;
    decode_append(x);
}

bool soft_decode(SoftDecode *d)
{
    unsigned most = d->crossing || d->mode & MODE_SINGLE ? 1 : BLOCK_INSTRUCTIONS;
    Decode x;

    x.d = d;
    x.ends = x.skipped = false;
    d->crosses = false;
    d->length = d->count = d->n = 0;
    decode_init(&x);
    while (!x.ends && d->count < most && d->length < d->available) {
        if (!decode_next(&x)) {
            break;
        }
    }
    if (d->count == 0) {
        d->crosses = true;
        return false;
    }
    if (!x.ends) {
        append_goto(&x);
    }
    decode_quiet_flags(&x);
    for (unsigned i = 0; i < d->n; i++) {
        const OpEffects *e = &x.effects[i];

        d->does[i] = 1;
        d->after[i] = (e->may_leave_after ? AFTER_STORE : 0) | (e->elsewhere ? AFTER_ELSEWHERE : 0) |
                      (e->fused ? AFTER_FUSED : 0);
    }
    decode_stack_runs(d);
    return true;
}
