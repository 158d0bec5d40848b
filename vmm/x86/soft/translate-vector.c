/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vector instructions in the midst of translated code, as their stubs have them (stub.h): those
 * with no general registers and no flags.
 *
 *         cmp byte [rbx + fp_loaded], 0
 *         je  slow                        the stub, which loads them
 *         lea rdx, [rcx + rdx]            the memory operand
 *         lea rdi, [rbx - 128]            a trap goes on in soft_stub_fault() with these
 *         lea rsi, [rbp + 64 + 32 * i]
 *         INSTRUCTION
 */
#include "vmm/x86/soft/translate.h"

static void find_operand(Translation *t, const Op *op, const SoftInline *code)
{
    if (code->bytes >= 8) {
        translate_address(t, op, EA_ANY);
        translate_words(t, code->writes, code->bytes / 8u);
    } else {
        translate_memory(t, op, EA_ANY, code->writes, code->bytes);
    }
    if (code->aligned) {
        EMIT(&t->e, 0xf6, 0xc1, code->bytes - 1u); /* test cl, imm8 */
        translate_slow_if(t, 0x85);                /* jne */
    }
    EMIT(&t->e, 0x48, 0x8d, 0x14, RDX << 3 | RCX); /* lea rdx, [rcx + rdx] */
}

bool translate_vector(Translation *t, const Op *op)
{
    const SoftInline *code = &t->d->code[t->i];

    if (!code->length) {
        return false;
    }
    emit_mem(&t->e, 1, 0x80, 7, RBX, CPU_FIELD(fp_loaded)); /* cmp fp_loaded, 0 */
    emit8(&t->e, 0);
    translate_slow_if(t, 0x84); /* je */
    if (code->bytes) {
        find_operand(t, op, code);
    }
    emit_mem(&t->e, 8, 0x8d, RDI, RBX, -CPU_BIAS);
    translate_lea_op(&t->e, RSI, t->i);
    emit_bytes(&t->e, code->code, code->length);
    return true;
}
