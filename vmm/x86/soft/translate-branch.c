/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Near branches of 64-bit code, exec-branch.c, as code; and compares that are fused with one. */
#include "vmm/x86/soft/translate.h"

/* ---- on to another block ---- */

static void end_by(Translation *t, const uint8_t *routine)
{
    t->far |= !emit_branch(&t->e, 0xe9, routine);
    t->ended = true;
}

/* Where the link leads, unless attention is wanted or there is none: then by the routine. */
static void follow(Translation *t, unsigned link, const uint8_t *routine)
{
    Emit *e = &t->e;

    translate_attention(e);
    while (((uintptr_t)e->next + 2) % 4) {
        emit8(e, 0x90);
    }
    EMIT(e, 0x0f, 0x84, 0, 0, 0, 0); /* je */
    t->head->link[link] = (uint32_t)(e->next - (const uint8_t *)(t->head + 1));
    end_by(t, routine);
}

static void jump(Translation *t, unsigned link, int64_t delta)
{
    emit_mem(&t->e, 8, emit_is_byte(delta) ? 0x83 : 0x81, 0, RBX, CPU_FIELD(rip)); /* add rip, imm */
    emit_immediate(&t->e, emit_is_byte(delta) ? 1 : 4, delta);
    follow(t, link, t->routines->unlinked[link]);
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
    end_by(t, t->routines->go);
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

static void jump_both_ways(Translation *t, const Op *op, unsigned condition)
{
    uint8_t *taken = emit_short(&t->e, 0x70 | condition);

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
    taken = emit_short(&t->e, 0x70u | s->what);
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

/* Its address on the stack and in the ring; the stack is checked.  The end of a distance to where a return comes to. */
static uint8_t *push_next(Translation *t, const Op *op, int64_t next)
{
    Emit *e = &t->e;
    uint8_t *ret;

    from_block_start(t, RSI, next);
    emit_data(e, 8, 0x89, RSI);
    emit_mem(e, 8, 0x89, RCX, RBX, AT_GPR(X86_RSP));
    EMIT(e, 0x48, 0x8d, RDX << 3 | 5, 0, 0, 0, 0); /* lea rdx, [rip + disp32] */
    ret = e->next;
    t->far |= !emit_branch(e, 0xe8, t->routines->note[op->src != 0]);
    return ret;
}

static void put_return(Translation *t, const Op *op, uint8_t *noted)
{
    emit_here32(&t->e, noted);
    if (op->src) {
        follow(t, 1, t->routines->unlinked_return);
    }
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
    uint8_t *noted;

    target(t, op, memory);
    translate_push_begin(t, 1);
    noted = push_next(t, op, memory ? op->ip + op->length : op->disp);
    go_to_target(t);
    put_return(t, op, noted);
    return true;
}

static bool call_near(Translation *t, const Op *op, const Shape *s)
{
    uint8_t *noted;

    translate_push_begin(t, 1);
    noted = push_next(t, op, op->disp);
    jump(t, 0, op->imm);
    put_return(t, op, noted);
    return true;
}

static bool call(Translation *t, const Op *op, const Shape *s)
{
    uint8_t *noted;

    if (!reaches(op)) {
        return false;
    }
    from_block_start(t, RDI, op->imm);
    translate_canonical(t, RDI);
    translate_push_begin(t, 1);
    noted = push_next(t, op, op->disp);
    go_to_target(t);
    put_return(t, op, noted);
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
    end_by(t, t->routines->come_back);
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
