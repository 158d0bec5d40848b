/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PUSH and POP of exec-stack.c as code, one or several at once, and LEAVE: in 64-bit code. */
#include "vmm/x86/soft/translate.h"

/* [rcx + rdx + 8 * word] */
static void emit_word(Emit *e, unsigned opcode, unsigned reg, unsigned word)
{
    emit_opcode(e, 8, opcode);
    EMIT(e, (uint8_t)(0x44 | reg << 3), RDX << 3 | RCX, (uint8_t)(8 * word));
}

static void add_words(Emit *e, int n)
{
    EMIT(e, 0x48, 0x83, 0xc1, (uint8_t)(8 * n)); /* add rcx, 8 * n */
}

static void set_stack_pointer(Translation *t)
{
    emit_mem(&t->e, 8, 0x89, RCX, RBX, AT_GPR(X86_RSP));
}

void translate_push_begin(Translation *t, unsigned n)
{
    emit_mem(&t->e, 8, 0x8b, RCX, RBX, AT_GPR(X86_RSP));
    add_words(&t->e, -(int)n);
    translate_words(t, true, n);
}

static bool push(Translation *t, const Op *op, const Shape *s)
{
    unsigned n = s->what;

    translate_push_begin(t, n);
    for (unsigned i = 0; i < n; i++) {
        translate_load(t, 8, RAX, op[i].dst);
        emit_word(&t->e, 0x89, RAX, n - 1 - i);
    }
    set_stack_pointer(t);
    t->n = n;
    return true;
}

static bool push_immediate(Translation *t, const Op *op, const Shape *s)
{
    translate_push_begin(t, 1);
    emit_data(&t->e, 8, 0xc7, 0); /* mov [rcx + rdx], imm32: sign-extended, as all that can be pushed */
    emit32(&t->e, (uint32_t)op->imm);
    set_stack_pointer(t);
    return true;
}

/* The stack pointer moves first, so POP RSP keeps what was popped. */
static bool pop(Translation *t, const Op *op, const Shape *s)
{
    translate_load(t, 8, RCX, X86_RSP * 8);
    translate_words(t, false, 1);
    emit_data(&t->e, 8, 0x8b, RAX);
    add_words(&t->e, 1);
    set_stack_pointer(t);
    translate_store(t, 8, RAX, op->dst);
    return true;
}

static bool pop_run(Translation *t, const Op *op, const Shape *s)
{
    unsigned n = s->what;

    translate_load(t, 8, RCX, X86_RSP * 8);
    translate_words(t, false, n);
    for (unsigned i = 0; i < n; i++) {
        emit_word(&t->e, 0x8b, RAX, i);
        translate_store(t, 8, RAX, op[i].dst);
    }
    add_words(&t->e, (int)n);
    set_stack_pointer(t);
    t->n = n;
    return true;
}

static bool leave(Translation *t, const Op *op, const Shape *s)
{
    translate_load(t, 8, RCX, X86_RBP * 8);
    translate_words(t, false, 1);
    emit_data(&t->e, 8, 0x8b, RAX);
    add_words(&t->e, 1);
    set_stack_pointer(t);
    translate_store(t, 8, RAX, X86_RBP * 8);
    return true;
}

void translate_stack_shapes(void)
{
    translate_shape((Shape) { stack_push_r64, push, .what = 1 });
    translate_shape((Shape) { stack_push_i64, push_immediate });
    translate_shape((Shape) { stack_pop_r64, pop });
    translate_shape((Shape) { stack_leave64, leave });
    for (uint8_t n = 2; n <= STACK_RUN; n++) {
        translate_shape((Shape) { stack_push_runs[n], push, .what = n });
        translate_shape((Shape) { stack_pop_runs[n], pop_run, .what = n });
    }
}
