/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec-int-alu.c and exec-int-shift.c as code; what is undefined in their flags comes out alike, being the host's. */
#include "vmm/x86/soft/translate.h"

static bool fits_in_byte(int64_t value, unsigned bytes)
{
    return bytes > 1 && emit_is_byte(bytes == 2 ? (int16_t)value : bytes == 4 ? (int32_t)value : value);
}

/* `alu rm, imm` with its number in ModRM.reg, as SDM 2D table A-6 has it. */
static unsigned immediate_opcode(const Op *op, unsigned alu, unsigned bytes)
{
    return alu == ALU_TEST ? translate_sized(bytes, 0xf7)
           : fits_in_byte(op->imm, bytes) ? 0x83 : translate_sized(bytes, 0x81);
}

static void put_immediate(Translation *t, const Op *op, unsigned alu, unsigned bytes)
{
    emit_immediate(&t->e, alu != ALU_TEST && fits_in_byte(op->imm, bytes) ? 1 : bytes, op->imm);
}

/* `alu rm, reg` */
static unsigned opcode_to_rm(unsigned alu, unsigned bytes)
{
    return translate_sized(bytes, alu == ALU_TEST ? 0x85 : alu << 3 | 1);
}

/* `alu reg, rm`; TEST is the same both ways */
static unsigned opcode_to_reg(unsigned alu, unsigned bytes)
{
    return alu == ALU_TEST ? opcode_to_rm(alu, bytes) : opcode_to_rm(alu, bytes) | 2;
}

static void alu_to_register(Translation *t, const Op *op, const Shape *s, bool carry)
{
    unsigned bytes = 1u << s->size, number = s->what == ALU_TEST ? 0 : s->what;

    if (s->form == FORM_RI && s->what >= ALU_WRITES) {
        emit_mem(&t->e, bytes, immediate_opcode(op, s->what, bytes), number, RBX, translate_at(op->dst));
        put_immediate(t, op, s->what, bytes);
        return;
    }
    translate_load(t, bytes, RCX, op->dst);
    if (carry) {
        translate_carry_in(t);
    }
    if (s->form == FORM_RR) {
        emit_mem(&t->e, bytes, opcode_to_reg(s->what, bytes), RCX, RBX, translate_at(op->src));
    } else {
        emit_reg(&t->e, bytes, immediate_opcode(op, s->what, bytes), number, RCX);
        put_immediate(t, op, s->what, bytes);
    }
}

static void alu_from_memory(Translation *t, const Op *op, const Shape *s, bool carry)
{
    unsigned bytes = 1u << s->size;

    translate_memory(t, op, s->ea, false, bytes);
    translate_load(t, bytes, RAX, op->dst);
    if (carry) {
        translate_carry_in(t);
    }
    emit_data(&t->e, bytes, opcode_to_reg(s->what, bytes), RAX);
    emit_reg(&t->e, 8, 0x8b, RCX, RAX); /* flags go through rax */
}

static void alu_to_memory(Translation *t, const Op *op, const Shape *s, bool carry)
{
    unsigned bytes = 1u << s->size, number = s->what == ALU_TEST ? 0 : s->what;

    translate_memory(t, op, s->ea, s->what < ALU_WRITES, bytes);
    if (s->form == FORM_MR) {
        translate_load(t, bytes, RAX, op->src);
    }
    if (carry) {
        translate_carry_in(t);
    }
    if (s->form == FORM_MR) {
        emit_data(&t->e, bytes, opcode_to_rm(s->what, bytes), RAX);
    } else {
        emit_data(&t->e, bytes, immediate_opcode(op, s->what, bytes), number);
        put_immediate(t, op, s->what, bytes);
    }
}

void translate_alu(Translation *t, const Op *op, const Shape *s)
{
    bool carry = s->what == ALU_ADC || s->what == ALU_SBB;

    if (s->form == FORM_RM) {
        alu_from_memory(t, op, s, carry);
    } else if (s->form == FORM_MR || s->form == FORM_MI) {
        alu_to_memory(t, op, s, carry);
    } else {
        alu_to_register(t, op, s, carry);
    }
}

static bool alu(Translation *t, const Op *op, const Shape *s)
{
    translate_alu(t, op, s);
    if (!s->quiet) {
        translate_flags_out(t);
    }
    if (s->what < ALU_WRITES && s->form != FORM_MR && s->form != FORM_MI) {
        translate_store(t, 1u << s->size, RCX, op->dst);
    }
    return true;
}

static bool unary(Translation *t, const Op *op, const Shape *s)
{
    static const uint8_t codes[UNARIES][2] = { /* opcode, ModRM.reg */
        [UNARY_INC] = { 0xff, 0 }, [UNARY_DEC] = { 0xff, 1 }, [UNARY_NOT] = { 0xf7, 2 }, [UNARY_NEG] = { 0xf7, 3 },
    };
    unsigned bytes = 1u << s->size, opcode = translate_sized(bytes, codes[s->what][0]), number = codes[s->what][1];
    bool memory = s->form == FORM_MI, flags = !s->quiet && s->what != UNARY_NOT;

    if (memory) {
        translate_memory(t, op, EA_ANY, true, bytes);
    } else {
        translate_load(t, bytes, RCX, op->dst);
    }
    if (flags && s->what != UNARY_NEG) {
        translate_carry_in(t); /* INC and DEC keep it */
    }
    if (memory) {
        emit_data(&t->e, bytes, opcode, number);
    } else {
        emit_reg(&t->e, bytes, opcode, number, RCX);
    }
    if (flags) {
        translate_flags_out(t);
    }
    if (!memory) {
        translate_store(t, bytes, RCX, op->dst);
    }
    return true;
}

/* By CL, as the handlers do, and on the whole register where they do. */
static bool shift(Translation *t, const Op *op, const Shape *s)
{
    static const uint8_t numbers[SHIFTS] = { [SHIFT_ROL] = 0, [SHIFT_ROR] = 1, [SHIFT_RCL] = 2, [SHIFT_RCR] = 3,
                                             [SHIFT_SHL] = 4, [SHIFT_SHR] = 5, [SHIFT_SAR] = 7 };
    unsigned bytes = 1u << s->size, container = bytes == 1 ? 1 : 8;

    translate_load(t, container, RDX, op->dst);
    if (s->variant) {
        translate_load(t, 1, RCX, X86_RCX * 8);
    } else {
        emit8(&t->e, 0xb9); /* mov ecx, imm32 */
        emit32(&t->e, (uint8_t)op->imm);
    }
    if (!s->quiet) {
        translate_flags_in(t);
    }
    emit_reg(&t->e, bytes, translate_sized(bytes, 0xd3), numbers[s->what], RDX);
    if (!s->quiet) {
        translate_flags_out(t);
    }
    translate_store(t, container, RDX, op->dst);
    return true;
}

#define FOR(i, n) for (uint8_t i = 0; i < (n); i++)

static void shapes_of_size(uint8_t size, uint8_t quiet)
{
    FOR(what, ALUS) {
        FOR(form, FORMS) {
            FOR(ea, EAS) {
                translate_shape((Shape) { int_alu[what][size][form][ea][quiet], alu, .what = what, .size = size,
                                          .form = form, .ea = ea, .quiet = quiet });
            }
        }
    }
    FOR(what, UNARIES) {
        FOR(memory, 2) {
            translate_shape((Shape) { int_unary[what][size][memory][quiet], unary, .what = what, .size = size,
                                      .form = memory ? FORM_MI : FORM_RI, .quiet = quiet });
        }
    }
    FOR(what, SHIFTS) {
        FOR(by_cl, 2) {
            translate_shape((Shape) { int_shift[what][size][0][by_cl ? COUNT_CL : COUNT_IMMEDIATE][quiet], shift,
                                      .what = what, .size = size, .quiet = quiet, .variant = by_cl });
        }
    }
}

void translate_alu_shapes(void)
{
    FOR(size, INT_SIZES) {
        FOR(quiet, VARIANTS) {
            shapes_of_size(size, quiet);
        }
    }
}
