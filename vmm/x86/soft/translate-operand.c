/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operands of translated ops: registers, memory, flags. */
#include "vmm/x86/soft/translate.h"

/* ---- registers ---- */

void translate_load(Translation *t, unsigned bytes, unsigned reg, unsigned offset)
{
    unsigned opcode = bytes == 1 ? 0xfb6 : bytes == 2 ? 0xfb7 : 0x8b; /* movzx, mov */

    emit_mem(&t->e, bytes == 8 ? 8 : 4, opcode, reg, RBX, translate_at(offset));
}

void translate_store(Translation *t, unsigned bytes, unsigned reg, unsigned offset)
{
    emit_mem(&t->e, bytes == 4 ? 8 : bytes, translate_sized(bytes, 0x89), reg, RBX, translate_at(offset));
}

void translate_attention(Emit *e)
{
    emit_mem(e, 4, 0x83, 7, RBX, CPU_FIELD(attention)); /* cmp attention, 0 */
    emit8(e, 0);
}

/* ---- memory ---- */

static void add_to_rcx(Emit *e, int32_t value)
{
    if (value && emit_is_byte(value)) {
        EMIT(e, 0x48, 0x83, 0xc1, (uint8_t)value); /* add rcx, imm8 */
    } else if (value) {
        EMIT(e, 0x48, 0x81, 0xc1);
        emit32(e, (uint32_t)value);
    }
}

void translate_address(Translation *t, const Op *op, unsigned ea)
{
    Emit *e = &t->e;

    t->had_flags = false;
    if (ea == EA_ANY && op->index != SLOT_ZERO) {
        emit_mem(e, 8, 0x8b, RCX, RBX, AT_GPR(op->base));
        emit_mem(e, 8, 0x8b, RDX, RBX, AT_GPR(op->index));
        /* lea rcx, [rcx + rdx * 2^scale + disp32] */
        EMIT(e, 0x48, 0x8d, 0x8c, (uint8_t)(op->scale << 6 | RDX << 3 | RCX));
        emit32(e, (uint32_t)op->disp);
    } else if (op->base == SLOT_ZERO) {
        EMIT(e, 0x48, 0xc7, 0xc1); /* mov rcx, imm32 */
        emit32(e, (uint32_t)op->disp);
    } else {
        emit_mem(e, 8, 0x8b, RCX, RBX, AT_GPR(op->base));
        add_to_rcx(e, op->disp);
    }
    if (ea == EA_ANY && op->seg != SEG_NONE) {
        emit_mem(e, 8, 0x03, RCX, RBX, translate_at(offsetof(SoftCpu, seg_base) + op->seg * 8u));
    }
}

void translate_slow_if(Translation *t, unsigned jcc)
{
    EMIT(&t->e, 0x0f, (uint8_t)jcc, 0, 0, 0, 0);
    t->slow[t->slows++] = (SlowPath) { .from = t->e.next, .op = (uint8_t)t->i };
}
#define JA 0x87
#define JNE 0x85

static void look_up(Translation *t, const uint8_t *routine)
{
    t->far |= !emit_branch(&t->e, 0xe8, routine);
    translate_slow_if(t, JNE);
    t->had_flags = false;
}

void translate_memory(Translation *t, const Op *op, unsigned ea, bool write, unsigned bytes)
{
    translate_address(t, op, ea);
    look_up(t, t->routines->access[write][bytes]);
}

void translate_words(Translation *t, bool write, unsigned n)
{
    look_up(t, t->routines->words[write][n]);
}

/* Bits 63 to 47 are all the same. */
void translate_canonical(Translation *t, unsigned reg)
{
    emit_reg(&t->e, 8, 0x8b, RDX, reg);
    EMIT(&t->e, 0x48, 0xc1, 0xfa, 47, 0xff, 0xc2, 0x83, 0xfa, 1); /* sar rdx, 47; inc edx; cmp edx, 1 */
    translate_slow_if(t, JA);
    t->had_flags = false;
}

/* ---- flags ---- */

#define AT_CC CPU_FIELD(cc)

void translate_flags_out(Translation *t)
{
    EMIT(&t->e, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto al */
    emit_mem(&t->e, 2, 0x89, RAX, RBX, AT_CC);
    t->flags = true;
}

void translate_put_flags_in(Emit *e)
{
    emit_mem(e, 4, 0xfb7, RAX, RBX, AT_CC); /* movzx eax, cc */
    EMIT(e, 0x04, 0x7f, 0x9e);              /* add al, 127: OF; sahf */
}

void translate_flags_in(Translation *t)
{
    if (!t->had_flags) {
        translate_put_flags_in(&t->e);
    }
}

void translate_carry_in(Translation *t)
{
    emit_mem(&t->e, 2, 0xfba, 4, RBX, AT_CC); /* bt cc, 8 */
    emit8(&t->e, 8);
}
