/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block as code (translate.h).
 *
 *                                     TranslationHead; then the handler of the first op:
 *         sub rsp, 8                  the block was entered
 *         lea rbp, [rsi - 64]
 *         jmp 1f
 *         mov rbp, block              where links lead, and the jump cache: enter it
 *         mov [block], rbp
 *         add [instructions], count
 *     1:  ...                         each op's template, or a call of its handler:
 *         lea rdi, [rbx - 128]
 *         lea rsi, [rbp + 64 + 32 * i]
 *         call handler
 *         lea rcx, [rbp + 64 + 32 * n]    if it may go on elsewhere
 *         cmp rax, rcx
 *         jne 3f
 *         cmp [rbp], DEAD             if it stores: is this still a block?
 *         je  3f
 *         ...
 *     2:  the slow paths of templates: a call as above, and a jump back behind the op
 *     3:  add rsp, 8                  to the run loop, with the op in rax
 *         ret
 */
#include "vmm/x86/soft/translate.h"

void translate_lea_op(Emit *e, unsigned reg, unsigned i)
{
    emit_mem(e, 8, 0x8d, reg, RBP, (int64_t)(offsetof(Block, op) + i * sizeof(Op)));
}

static void call_handler(Translation *t, unsigned i)
{
    emit_mem(&t->e, 8, 0x8d, RDI, RBX, -CPU_BIAS);
    translate_lea_op(&t->e, RSI, i);
    t->far |= !emit_branch(&t->e, 0xe8, (void *)(uintptr_t)t->d->op[i].fn);
}

/* A fused compare is followed by the op of its jump, which only the run loop comes to. */
static bool is_last(const Translation *t, unsigned i)
{
    return i + t->d->does[i] >= t->d->n || t->d->after[i] & AFTER_FUSED;
}

/* To the op in rax: of any block, maybe none. */
static void go_on(Emit *e)
{
    uint8_t *none;

    EMIT(e, 0x48, 0x83, 0xc4, 8, 0x48, 0x85, 0xc0); /* add rsp, 8; test rax, rax */
    none = emit_short(e, SHORT_JE);
    emit_mem(e, 8, 0x8d, RDI, RBX, -CPU_BIAS);
    EMIT(e, 0x48, 0x89, 0xc6, 0xff, 0x20); /* mov rsi, rax; jmp [rax] */
    emit_here8(e, none);
    emit8(e, 0xc3);
}

/* To the run loop, with the op in rax. */
static void leave(Emit *e)
{
    EMIT(e, 0x48, 0x83, 0xc4, 8, 0xc3); /* add rsp, 8; ret */
}

static void check_next(Emit *e, unsigned next)
{
    uint8_t *good;

    translate_lea_op(e, RCX, next);
    EMIT(e, 0x48, 0x39, 0xc8); /* cmp rax, rcx */
    good = emit_short(e, SHORT_JE);
    leave(e);
    emit_here8(e, good);
}

static void check_alive(Emit *e, unsigned next)
{
    uint8_t *good;

    emit_mem(e, 4, 0x81, 7, RBP, offsetof(Block, mode)); /* cmp mode, imm32 */
    emit32(e, MODE_DEAD);
    good = emit_short(e, SHORT_JNE);
    translate_lea_op(e, RAX, next); /* has become soft_op_leave() */
    leave(e);
    emit_here8(e, good);
}

/* Behind the call of a handler. */
static void after_handler(Translation *t, unsigned i)
{
    unsigned n = t->d->does[i];

    if (is_last(t, i)) {
        go_on(&t->e);
        t->ended = true;
        return;
    }
    if (t->d->after[i] & AFTER_ELSEWHERE || n > 1) {
        check_next(&t->e, i + n);
    }
    if (t->d->after[i] & AFTER_STORE) {
        check_alive(&t->e, i + n);
    }
}

static void put_op(Translation *t)
{
    const Op *op = &t->d->op[t->i];
    const Shape *shape = translate_find_shape(op->fn);
    unsigned slows = t->slows;

    t->n = 1;
    t->had_flags = t->flags;
    t->flags = false;
    if (!(shape ? shape->put(t, op, shape) : translate_vector(t, op))) {
        call_handler(t, t->i);
        after_handler(t, t->i);
        t->n = t->d->does[t->i];
    }
    for (; slows < t->slows; slows++) {
        t->slow[slows].back = t->e.next;
        t->slow[slows].flags = t->flags;
    }
}

static void put_slow_path(Translation *t, const SlowPath *slow)
{
    emit_here32(&t->e, slow->from);
    call_handler(t, slow->op);
    after_handler(t, slow->op);
    if (!is_last(t, slow->op)) {
        if (slow->flags) {
            translate_put_flags_in(&t->e);
        }
        emit_branch(&t->e, 0xe9, slow->back + t->e.to_run);
    }
}

/* Both ways in: from C, which has done soft_enter(), and from other code, for which this does it. */
static void begin(Translation *t)
{
    Emit *e = &t->e;
    uint8_t *handler, *skip;

    t->head = (TranslationHead *)(void *)e->next;
    *t->head = (TranslationHead) { { 0, 0 } };
    handler = e->next += sizeof(*t->head);
    EMIT(e, 0x48, 0x83, 0xec, 8); /* sub rsp, 8 */
    emit_mem(e, 8, 0x8d, RBP, RSI, -(int64_t)offsetof(Block, op));
    skip = emit_short(e, SHORT_JMP);
    while (e->next < handler + TRANSLATION_LINKED) {
        emit8(e, 0xcc);
    }
    EMIT(e, 0x48, 0xb8 | RBP); /* mov rbp, imm64 */
    emit64(e, (uintptr_t)t->block);
    emit_mem(e, 8, 0x89, RBP, RBX, CPU_FIELD(block));
    emit_mem(e, 8, 0x83, 0, RBX, CPU_FIELD(instructions)); /* add instructions, imm8 */
    emit8(e, t->d->count);
    emit_here8(e, skip);
}

void translate_block(Translation *t)
{
    t->far = t->flags = t->ended = false;
    t->slows = 0;
    begin(t);
    for (t->i = 0; !t->ended; t->i += t->n) {
        put_op(t);
    }
    for (unsigned k = 0; k < t->slows; k++) {
        put_slow_path(t, &t->slow[k]);
    }
}
