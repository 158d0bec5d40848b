/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec-int.c as code: MOV, MOVZX, MOVSX, LEA, SETcc, CMOVcc, CBW and CWD and their kin. */
#include "vmm/x86/soft/translate.h"

/* ---- MOV ---- */

static void mov_immediate(Translation *t, const Op *op, unsigned bytes)
{
    Emit *e = &t->e;

    if (bytes == 8 && op->imm != (int32_t)op->imm) {
        EMIT(e, 0x48, 0xb9); /* mov rcx, imm64 */
        emit64(e, (uint64_t)op->imm);
        translate_store(t, 8, RCX, op->dst);
    } else if (bytes == 4 && (int32_t)op->imm < 0) {
        emit8(e, 0xb9); /* mov ecx, imm32 */
        emit32(e, (uint32_t)op->imm);
        translate_store(t, 8, RCX, op->dst);
    } else {
        emit_mem(e, bytes == 4 ? 8 : bytes, translate_sized(bytes, 0xc7), 0, RBX, translate_at(op->dst));
        emit_immediate(e, bytes, op->imm);
    }
}

static bool mov(Translation *t, const Op *op, const Shape *s)
{
    unsigned bytes = 1u << s->size;

    t->flags = t->had_flags;
    switch ((IntForm)s->form) {
    case FORM_RR:
        translate_load(t, bytes, RCX, op->src);
        translate_store(t, bytes, RCX, op->dst);
        break;
    case FORM_RI:
        mov_immediate(t, op, bytes);
        break;
    case FORM_RM:
        t->flags = false;
        translate_memory(t, op, s->ea, false, bytes);
        emit_data(&t->e, bytes == 8 ? 8 : 4, bytes == 1 ? 0xfb6 : bytes == 2 ? 0xfb7 : 0x8b, RCX);
        translate_store(t, bytes, RCX, op->dst);
        break;
    case FORM_MR:
        t->flags = false;
        translate_memory(t, op, s->ea, true, bytes);
        translate_load(t, bytes, RAX, op->src);
        emit_data(&t->e, bytes, translate_sized(bytes, 0x89), RAX);
        break;
    default:
        t->flags = false;
        translate_memory(t, op, s->ea, true, bytes);
        emit_data(&t->e, bytes, translate_sized(bytes, 0xc7), 0);
        emit_immediate(&t->e, bytes, op->imm);
        break;
    }
    return true;
}

/* ---- MOVZX, MOVSX, MOVSXD ---- */

static bool extend(Translation *t, const Op *op, const Shape *s)
{
    unsigned from = 1u << s->from, to = 1u << s->size;
    bool sign = s->what == EXTEND_SIGN;
    unsigned opcode = from == 4 ? (sign ? 0x63 : 0x8b) : (sign ? 0xfbe : 0xfb6) + (from == 2);
    unsigned width = to == 8 && sign ? 8 : 4;

    if (s->form == FORM_RM) {
        translate_memory(t, op, s->ea, false, from);
        emit_data(&t->e, width, opcode, RCX);
    } else {
        emit_mem(&t->e, width, opcode, RCX, RBX, translate_at(op->src));
    }
    translate_store(t, to, RCX, op->dst);
    return true;
}

static bool widen(Translation *t, const Op *op, const Shape *s)
{
    unsigned bytes = 1u << s->size, opcode = bytes == 8 ? 0x63 : bytes == 4 ? 0xfbf : 0xfbe;

    emit_mem(&t->e, bytes == 8 ? 8 : 4, opcode, RCX, RBX, AT_GPR(X86_RAX));
    translate_store(t, bytes, RCX, X86_RAX * 8);
    return true;
}

static bool spread(Translation *t, const Op *op, const Shape *s)
{
    unsigned bytes = 1u << s->size;

    translate_load(t, bytes, RCX, X86_RAX * 8);
    emit_reg(&t->e, bytes, 0xc1, 7, RCX); /* sar */
    emit8(&t->e, 8 * bytes - 1);
    translate_store(t, bytes, RCX, X86_RDX * 8);
    return true;
}

/* ---- LEA ---- */

static bool lea(Translation *t, const Op *op, const Shape *s)
{
    translate_address(t, op, s->ea);
    if (s->size == SIZE_32) {
        emit_reg(&t->e, 4, 0x8b, RCX, RCX);
    }
    translate_store(t, 1u << s->size, RCX, op->dst);
    return true;
}

/* ---- SETcc, CMOVcc ---- */

static bool setcc(Translation *t, const Op *op, const Shape *s)
{
    translate_flags_in(t);
    emit_mem(&t->e, 1, 0xf90 | s->what, 0, RBX, translate_at(op->dst));
    t->flags = true;
    return true;
}

static bool cmov(Translation *t, const Op *op, const Shape *s)
{
    unsigned bytes = 1u << s->size;

    if (s->form == FORM_RM) {
        translate_memory(t, op, EA_ANY, false, bytes);
        emit_data(&t->e, bytes == 8 ? 8 : 4, bytes == 2 ? 0xfb7 : 0x8b, RCX);
    } else {
        translate_load(t, bytes, RCX, op->src);
    }
    translate_load(t, bytes, RDX, op->dst);
    translate_flags_in(t);
    emit_reg(&t->e, bytes, 0xf40 | s->what, RDX, RCX);
    translate_store(t, bytes, RDX, op->dst);
    t->flags = true;
    return true;
}

static bool nop(Translation *t, const Op *op, const Shape *s)
{
    t->flags = t->had_flags;
    return true;
}

/* ---- all of them ---- */

#define FOR(i, n) for (uint8_t i = 0; i < (n); i++)

static void shapes_with_address(uint8_t size, uint8_t ea)
{
    FOR(form, FORMS) {
        translate_shape((Shape) { int_mov[size][form][ea], mov, .size = size, .form = form, .ea = ea });
    }
    FOR(what, EXTENDS) {
        FOR(to, INT_SIZES) {
            translate_shape((Shape) { int_extend[what][size][to][0][ea], extend, .what = what, .size = to, .from = size,
                                      .form = FORM_RR });
            translate_shape((Shape) { int_extend[what][size][to][1][ea], extend, .what = what, .size = to, .from = size,
                                      .form = FORM_RM, .ea = ea });
        }
    }
    translate_shape((Shape) { int_lea[size][ea], lea, .size = size, .ea = ea });
}

void translate_int_shapes(void)
{
    FOR(size, INT_SIZES) {
        FOR(ea, EAS) {
            shapes_with_address(size, ea);
        }
        translate_shape((Shape) { int_widen[size], widen, .size = size });
        translate_shape((Shape) { int_spread[size], spread, .size = size });
        FOR(condition, 16) {
            translate_shape((Shape) { int_cmovcc[condition][size][0], cmov, .what = condition, .size = size,
                                      .form = FORM_RR });
            translate_shape((Shape) { int_cmovcc[condition][size][1], cmov, .what = condition, .size = size,
                                      .form = FORM_RM });
        }
    }
    FOR(condition, 16) {
        translate_shape((Shape) { int_setcc[condition][0], setcc, .what = condition });
    }
    translate_shape((Shape) { int_op_nop, nop });
}
