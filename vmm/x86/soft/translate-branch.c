/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Near branches of 64-bit code, exec-branch.c, as code; and compares that are fused with one. */
#include "vmm/x86/soft/translate.h"

/* ---- on to another block ---- */

/* `routine` puts the op to enter into rsi. */
static void enter_by(Translation *t, const uint8_t *routine)
{
    t->far |= !emit_branch(&t->e, 0xe8, routine);
    EMIT(&t->e, 0x48, 0x83, 0xc4, 8); /* add rsp, 8 */
    emit_mem(&t->e, 8, 0x8d, RDI, RBX, -CPU_BIAS);
    EMIT(&t->e, 0xff, 0x26); /* jmp [rsi] */
    t->ended = true;
}

static void jump(Translation *t, unsigned link, int64_t delta)
{
    EMIT(&t->e, 0x48, 0xc7, 0xc0); /* mov rax, imm32 */
    emit32(&t->e, (uint32_t)delta);
    enter_by(t, t->routines->jump[link]);
}

static void from_block_start(Translation *t, unsigned reg, int64_t delta)
{
    emit_mem(&t->e, 8, 0x8b, reg, RBX, CPU_FIELD(rip));
    EMIT(&t->e, 0x48, 0x81, (uint8_t)(0xc0 | reg)); /* add reg, imm32 */
    emit32(&t->e, (uint32_t)delta);
}

/* To another page; rax is where. */
static void go(Translation *t)
{
    enter_by(t, t->routines->go);
}

static bool is_64(const Translation *t)
{
    return (t->d->mode & MODE_CODE) == MODE_CODE64;
}

/* ---- JMP, Jcc ---- */

static bool jmp_near(Translation *t, const Op *op, const Shape *s)
{
    if (!is_64(t)) {
        return false;
    }
    jump(t, 0, op->imm);
    return true;
}

/* A displacement of 32 bits is from the instruction's end: from the block's start it may be more. */
static bool reaches(const Op *op)
{
    return op->imm == (int32_t)op->imm;
}

static bool jmp(Translation *t, const Op *op, const Shape *s)
{
    if (!is_64(t) || op->size != 8 || !reaches(op)) {
        return false;
    }
    from_block_start(t, RAX, op->imm);
    translate_canonical(t, RAX);
    go(t);
    return true;
}

/* The end of a block without a branch: what is fetched next is checked then. */
static bool fall_through(Translation *t, const Op *op, const Shape *s)
{
    if (!is_64(t)) {
        return false;
    }
    from_block_start(t, RAX, op->imm);
    go(t);
    return true;
}

static uint8_t *jcc8(Translation *t, unsigned condition)
{
    EMIT(&t->e, (uint8_t)(0x70 | condition), 0);
    return t->e.next;
}

static void jump_both_ways(Translation *t, const Op *op, unsigned condition)
{
    uint8_t *taken = jcc8(t, condition);

    jump(t, 0, op->disp);
    emit_here8(&t->e, taken);
    jump(t, 1, op->imm);
}

static bool jcc_near(Translation *t, const Op *op, const Shape *s)
{
    if (!is_64(t)) {
        return false;
    }
    translate_flags_in(t);
    jump_both_ways(t, op, s->what);
    return true;
}

static bool jcc(Translation *t, const Op *op, const Shape *s)
{
    uint8_t *taken;

    if (!is_64(t) || op->size != 8 || !reaches(op)) {
        return false;
    }
    translate_flags_in(t);
    taken = jcc8(t, s->what);
    if (op->scale & BRANCH_NEXT_NEAR) {
        jump(t, 0, op->disp);
    } else {
        from_block_start(t, RAX, op->ip + op->length);
        go(t);
    }
    emit_here8(&t->e, taken);
    return jmp(t, op, s);
}

/* `what` is a compare, `from` the condition of the jump behind it. */
static bool fused(Translation *t, const Op *op, const Shape *s)
{
    if (!is_64(t)) {
        return false;
    }
    translate_alu(t, op, s);
    translate_flags_out(t);
    jump_both_ways(t, op + 1, s->from);
    return true;
}

/* ---- by address ---- */

/* rdi: where to. */
static void target(Translation *t, const Op *op, bool memory)
{
    if (memory) {
        translate_memory(t, op, EA_ANY, false, 8);
        emit_data(&t->e, 8, 0x8b, RDI);
    } else {
        translate_load(t, 8, RDI, op->dst);
    }
    translate_canonical(t, RDI);
}

static void go_to_target(Translation *t)
{
    emit_reg(&t->e, 8, 0x8b, RAX, RDI);
    go(t);
}

/* Its address on the stack and in the ring; the stack is checked. */
static void push_next(Translation *t, const Op *op, int64_t next)
{
    from_block_start(t, RSI, next);
    emit_data(&t->e, 8, 0x89, RSI);
    emit_mem(&t->e, 8, 0x89, RCX, RBX, AT_GPR(X86_RSP));
    t->far |= !emit_branch(&t->e, 0xe8, t->routines->note[op->src != 0]);
}

static bool jmp_indirect(Translation *t, const Op *op, const Shape *s)
{
    target(t, op, s->form == FORM_RM);
    go_to_target(t);
    return true;
}

static bool call_indirect(Translation *t, const Op *op, const Shape *s)
{
    bool memory = s->form == FORM_RM;

    target(t, op, memory);
    translate_push_begin(t, 1);
    push_next(t, op, memory ? op->ip + op->length : op->disp);
    go_to_target(t);
    return true;
}

static bool call_near(Translation *t, const Op *op, const Shape *s)
{
    translate_push_begin(t, 1);
    push_next(t, op, op->disp);
    jump(t, 0, op->imm);
    return true;
}

static bool call(Translation *t, const Op *op, const Shape *s)
{
    if (!reaches(op)) {
        return false;
    }
    from_block_start(t, RDI, op->imm);
    translate_canonical(t, RDI);
    translate_push_begin(t, 1);
    push_next(t, op, op->disp);
    go_to_target(t);
    return true;
}

static bool ret(Translation *t, const Op *op, const Shape *s)
{
    translate_load(t, 8, RCX, X86_RSP * 8);
    translate_words(t, false, 1);
    emit_data(&t->e, 8, 0x8b, RAX);
    translate_canonical(t, RAX);
    emit_mem(&t->e, 8, 0x8d, RCX, RCX, 8 + op->imm);
    emit_mem(&t->e, 8, 0x89, RCX, RBX, AT_GPR(X86_RSP));
    enter_by(t, t->routines->come_back);
    return true;
}

/* ---- all of them ---- */

#define FOR(i, n) for (uint8_t i = 0; i < (n); i++)

void translate_branch_shapes(void)
{
    FOR(condition, 16) {
        translate_shape((Shape) { branch_jcc[condition][0], jcc, .what = condition });
        translate_shape((Shape) { branch_jcc[condition][1], jcc_near, .what = condition });
        FOR(size, INT_SIZES) {
            FOR(form, FORMS) {
                translate_shape((Shape) { int_fused[0][size][form][condition], fused, .what = ALU_CMP, .size = size,
                                          .form = form, .from = condition });
                translate_shape((Shape) { int_fused[1][size][form][condition], fused, .what = ALU_TEST, .size = size,
                                          .form = form, .from = condition });
            }
        }
    }
    translate_shape((Shape) { branch_jmp_near, jmp_near });
    translate_shape((Shape) { branch_jmp, jmp });
    translate_shape((Shape) { soft_op_goto, fall_through });
    translate_shape((Shape) { branch_jmp_r64, jmp_indirect, .form = FORM_RR });
    translate_shape((Shape) { branch_jmp_m64, jmp_indirect, .form = FORM_RM });
    translate_shape((Shape) { branch_call_r64, call_indirect, .form = FORM_RR });
    translate_shape((Shape) { branch_call_m64, call_indirect, .form = FORM_RM });
    translate_shape((Shape) { branch_call_near64, call_near });
    translate_shape((Shape) { branch_call64, call });
    translate_shape((Shape) { branch_ret64, ret });
}
