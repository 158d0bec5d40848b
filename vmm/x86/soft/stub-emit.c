/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code of native stubs (stub.h), and the Op that runs one.
 *
 *         cmp byte [rdi + fp_loaded], 0   if it uses vector or x87 registers
 *         je  2f
 *     1:  mov memory, rdx                 if rdx is needed otherwise
 *         movzx eax, word [rdi + cc]      if it reads flags, or leaves some alone
 *         add al, 127                     OF
 *         sahf
 *         mov host, [rdi + guest]         each general register
 *         INSTRUCTION
 *         mov [rdi + guest], host         each that it writes
 *         lahf                            if it writes flags
 *         seto al
 *         mov [rdi + cc], ax
 *         movzx eax, word [rsi + ip]      x87_ip, if it becomes the last x87 instruction
 *         and eax, 4095
 *         add rax, [rdi + rip]
 *         mov [rdi + x87_ip], rax
 *         lea rax, [rsi + 32]             SOFT_NEXT()
 *         ret
 *     2:  call common                     soft_fp_load(), keeps rdi, rsi, rdx
 *         jmp 1b
 *
 * Run under vm->lock, outside.
 */
#include "vmm/x86/soft/emit.h"
#include "vmm/x86/soft/stub.h"
#include "vmm/x86/soft/vm.h"

_Static_assert(offsetof(SoftCpu, gpr) == 0, "general registers are within a byte's displacement");
#define OP_IP (offsetof(Op, size) - 2) /* the 16 bits of Op.ip and Op.length */

/* A 64-bit move between `reg` and [rdi + 8 * guest]: 8b loads, 89 stores. */
static void put_move(Emit *c, unsigned opcode, const StubRegister *r)
{
    EMIT(c, 0x48 | r->host >> 3 << 2, (uint8_t)opcode, 0x47 | (r->host & 7) << 3, r->guest * 8);
}

static void put_next(Emit *c)
{
    EMIT(c, 0x48, 0x8d, 0x46, sizeof(Op), 0xc3); /* lea rax, [rsi + 32]; ret */
}

static void put_flags_in(Emit *c)
{
    EMIT(c, 0x0f, 0xb7, 0x87); /* movzx eax, word [rdi + disp32] */
    emit32(c, offsetof(SoftCpu, cc));
    EMIT(c, 0x04, 0x7f, 0x9e); /* add al, 127; sahf */
}

static void put_flags_out(Emit *c)
{
    EMIT(c, 0x9f, 0x0f, 0x90, 0xc0, 0x66, 0x89, 0x87); /* lahf; seto al; mov [rdi + disp32], ax */
    emit32(c, offsetof(SoftCpu, cc));
}

static void put_pointer(Emit *c)
{
    EMIT(c, 0x0f, 0xb7, 0x46, OP_IP, 0x25, 0xff, 0x0f, 0, 0, 0x48, 0x03, 0x87); /* add rax, [rdi + disp32] */
    emit32(c, offsetof(SoftCpu, rip));
    EMIT(c, 0x48, 0x89, 0x87);
    emit32(c, offsetof(SoftCpu, x87_ip));
}

/* rdi addresses the destination.  The FWAIT takes #MF while rdi is still the SoftCpu. */
static void put_byte_mask(Emit *c, const StubForm *form)
{
    if (form->waits) {
        emit8(c, 0x9b);
    }
    EMIT(c, 0x57, 0x48, 0x89, 0xd7); /* push rdi; mov rdi, rdx */
    emit_bytes(c, form->code, form->length);
    EMIT(c, 0x5f); /* pop rdi */
}

static void put_instruction(Emit *c, const StubForm *form)
{
    if (form->byte_mask) {
        put_byte_mask(c, form);
        return;
    }
    if (form->memory != HOST_NONE && form->memory != HOST_DX) {
        EMIT(c, 0x48 | form->memory >> 3, 0x89, 0xd0 | (form->memory & 7)); /* mov memory, rdx */
    }
    if (form->flags_in) {
        put_flags_in(c);
    }
    for (unsigned i = 0; i < form->registers; i++) {
        put_move(c, 0x8b, &form->reg[i]);
    }
    emit_bytes(c, form->code, form->length);
    for (unsigned i = 0; i < form->registers; i++) {
        if (form->reg[i].written) {
            put_move(c, 0x89, &form->reg[i]);
        }
    }
    if (form->flags_out) {
        put_flags_out(c);
    }
    if (form->pointer) {
        put_pointer(c); /* behind: #MF of an earlier one leaves that one's */
    }
}

uint32_t soft_stub_common(uint8_t *to)
{
    Emit c = { .next = to };

    EMIT(&c, 0x57, 0x56, 0x52, 0x48, 0x83, 0xec, 0x08, 0x48, 0xb8); /* push rdi, rsi, rdx; sub rsp, 8; mov rax, imm64 */
    emit64(&c, (uintptr_t)soft_fp_load);
    EMIT(&c, 0xff, 0xd0, 0x48, 0x83, 0xc4, 0x08, 0x5a, 0x5e, 0x5f, 0xc3); /* call rax; add rsp, 8; pop rdx, rsi, rdi */
    return (uint32_t)(c.next - to);
}

uint32_t soft_stub_code(uint8_t *to, int32_t common, const StubForm *form)
{
    Emit c = { .next = to };
    uint8_t *check = NULL, *start;

    if (form->fp) {
        EMIT(&c, 0x80, 0xbf); /* cmp byte [rdi + disp32], 0 */
        emit32(&c, offsetof(SoftCpu, fp_loaded));
        EMIT(&c, 0x00, 0x74, 0x00); /* je rel8, set below */
        check = c.next;
    }
    start = c.next;
    put_instruction(&c, form);
    put_next(&c);
    if (check) {
        emit_here8(&c, check);
        emit8(&c, 0xe8); /* call rel32 */
        emit32(&c, (uint32_t)(common - (c.next + 4 - to)));
        emit8(&c, 0xe9); /* jmp rel32 */
        emit32(&c, (uint32_t)(start - (c.next + 4)));
    }
    return (uint32_t)(c.next - to);
}

void *soft_stub_make(SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                     StubForm *ret)
{
    SoftVm *vm = d->cpu->vm;
    void *stub;

    if (!soft_stub_form(d, insn, operands, ret) || ret->nothing) {
        return NULL;
    }
    stub = soft_stub_find(vm, ret);
    if (!stub && soft_stub_form_check(insn, operands, ret)) {
        stub = soft_stub_add(vm, ret);
    }
    return stub;
}

void soft_stub_drop_address(Op *op)
{
    if (op->base == SLOT_EA) {
        op[-1].fn = soft_op_nothing;
    }
}

/* Translated code may have the instruction itself, if nothing but it is in the stub. */
static void note_inline(SoftDecode *d, const ZydisDecodedInstruction *insn, const StubForm *form, const Op *op)
{
    bool memory = form->memory != HOST_NONE, simple = form->fp && !form->registers && !form->flags_in &&
                  !form->flags_out && !form->pointer && !form->byte_mask;
    SoftInline *code = &d->code[op - d->op];

    if (simple && (!memory || (form->memory == HOST_DX && !soft_stub_special(insn, form) &&
                               (form->bytes == 4 || form->bytes == 8 || form->bytes == 16 || form->bytes == 32)))) {
        soft_copy(code->code, form->code, sizeof(code->code));
        code->length = form->length;
        code->bytes = memory ? form->bytes : 0;
        code->writes = form->store;
        code->aligned = form->aligned;
    }
}

bool soft_stub_emit(SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands, Op *op)
{
    StubForm form;
    void *stub;

    if (soft_mask_emit(d, insn, operands, op)) {
        return true;
    }
    stub = soft_stub_make(d, insn, operands, &form);
    if (form.nothing) {
        soft_stub_drop_address(op);
        op->fn = soft_op_nothing;
        op->flags &= (uint8_t)~(OP_FP | OP_MEM);
        return true;
    }
    if (!stub) {
        return false;
    }
    /* The decoder has looked at the operands of what uses vector registers, and these have none. */
    if (form.fp && !(op->flags & OP_FP) && d->mode & (MODE_NO_SSE | MODE_TS)) {
        op->fn = soft_op_raise;
        op->imm = d->mode & MODE_NO_SSE ? VECTOR_UD : VECTOR_NM;
        return true;
    }
    note_inline(d, insn, &form, op);
    op->ptr = stub;
    op->size = form.bytes;
    op->src = (uint16_t)((form.partial ? STUB_PARTIAL : 0) | (form.waits ? STUB_WAITS : 0));
    op->flags = (uint8_t)((op->flags & ~OP_FP) | (form.fp ? OP_FP : 0));
    /* Without a memory operand the stub itself is the handler, which a third argument does not disturb. */
    op->fn = form.memory == HOST_NONE ? (OpFn *)(uintptr_t)stub : soft_stub_handler(&form, op);
    return true;
}
