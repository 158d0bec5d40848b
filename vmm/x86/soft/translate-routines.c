/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that blocks share (translate.h): the TLB, and what op.h and exec-branch.c do to find
 * the next block.
 */
#include "vmm/x86/soft/translate.h"

static const uint8_t *begin(Emit *e)
{
    while ((uintptr_t)e->next & 15) {
        emit8(e, 0xcc);
    }
    return e->next + e->to_run;
}

/* ---- from C ---- */

static void put_enter(Emit *e)
{
    EMIT(e, 0x53, 0x55, 0x48, 0x83, 0xec, 8); /* push rbx; push rbp; sub rsp, 8 */
    emit_mem(e, 8, 0x8d, RBX, RDI, CPU_BIAS);
    EMIT(e, 0xff, 0x16, 0x48, 0x83, 0xc4, 8, 0x5d, 0x5b, 0xc3); /* call [rsi]; add rsp, 8; pop rbp; pop rbx; ret */
}

/* ---- soft_tlb_read(), soft_tlb_write() ---- */

_Static_assert(sizeof(TlbEntry) == 16, "an index is shifted by 4");

static void put_access(Emit *e, unsigned table, unsigned bytes)
{
    emit_mem(e, 8, 0x8b, RSI, RBX, CPU_FIELD(tlb));
    EMIT(e, 0x89, 0xca, 0xc1, 0xea, 8, 0x81, 0xe2); /* mov edx, ecx; shr edx, 8; and edx, imm32: 16 bytes an entry */
    emit32(e, (TLB_SIZE - 1) * sizeof(TlbEntry));
    emit_mem(e, 8, 0x8d, RAX, RCX, bytes - 1);
    EMIT(e, 0x48, 0x25); /* and rax, imm32 */
    emit32(e, (uint32_t)PAGE_MASK);
    emit_mem(e, 8, 0x0b, RAX, RSI, offsetof(TlbSet, asid));
    EMIT(e, 0x48, 0x3b, 0x84, RDX << 3 | RSI); /* cmp rax, [rsi + rdx + disp32] */
    emit32(e, table + offsetof(TlbEntry, tag));
    EMIT(e, 0x48, 0x8b, 0x94, RDX << 3 | RSI); /* mov rdx, [rsi + rdx + disp32] */
    emit32(e, table + offsetof(TlbEntry, addend));
    emit8(e, 0xc3);
}

/* ---- to the run loop ---- */

static void put_look(Emit *e)
{
    EMIT(e, 0x31, 0xc0, 0x48, 0x83, 0xc4, 8, 0xc3); /* xor eax, eax; add rsp, 8; ret */
}

/* As soft_jump(). */
static void put_unlinked(Emit *e, unsigned link)
{
    emit_mem(e, 8, 0x89, RBP, RBX, CPU_FIELD(linked_from));
    emit_mem(e, 1, 0xc6, 0, RBX, CPU_FIELD(linked_slot));
    emit8(e, link);
    put_look(e);
}

/* branch_to_be_linked(cpu, rip, from), and with the op that it returns. */
static bool put_unlinked_return(Emit *e)
{
    emit_mem(e, 8, 0x8d, RDI, RBX, -CPU_BIAS);
    emit_mem(e, 8, 0x8b, RSI, RBX, CPU_FIELD(rip));
    EMIT(e, 0x48, 0x89, 0xea, 0x48, 0x83, 0xc4, 8); /* mov rdx, rbp; add rsp, 8 */
    return emit_branch(e, 0xe9, (const void *)(uintptr_t)branch_to_be_linked);
}

/* ---- to another block ---- */

static uint8_t *if_attention(Emit *e)
{
    translate_attention(e);
    return emit_short(e, SHORT_JNE);
}

#define ENTRY_SHIFT 5
_Static_assert(sizeof(ReturnEntry) == 1 << ENTRY_SHIFT && sizeof(JumpEntry) == 1 << ENTRY_SHIFT,
               "an index is shifted by that");

/* soft_goto() */
static void put_go(Emit *e)
{
    uint8_t *other[3];

    emit_mem(e, 8, 0x89, RAX, RBX, CPU_FIELD(rip));
    /* mov rcx, rax; shr rcx, 12; xor ecx, eax; and ecx, imm32; shl ecx, imm8 */
    EMIT(e, 0x48, 0x89, 0xc1, 0x48, 0xc1, 0xe9, 12, 0x31, 0xc1, 0x81, 0xe1);
    emit32(e, JUMP_CACHE - 1);
    EMIT(e, 0xc1, 0xe1, ENTRY_SHIFT);
    emit_mem(e, 8, 0x03, RCX, RBX, CPU_FIELD(jumps));
    emit_mem(e, 8, 0x33, RAX, RBX, CPU_FIELD(jump_tag));
    emit_mem(e, 8, 0x3b, RAX, RCX, offsetof(JumpEntry, tag));
    other[0] = emit_short(e, SHORT_JNE);
    emit_mem(e, 4, 0x8b, RAX, RCX, offsetof(JumpEntry, mode));
    emit_mem(e, 4, 0x3b, RAX, RBX, CPU_FIELD(mode));
    other[1] = emit_short(e, SHORT_JNE);
    other[2] = if_attention(e);
    emit_mem(e, 4, 0xff, 4, RCX, offsetof(JumpEntry, code)); /* jmp [code] */
    for (unsigned i = 0; i < G_N_ELEMENTS(other); i++) {
        emit_here8(e, other[i]);
    }
    put_look(e);
}

/* ---- calls and returns ---- */

#define RETURN(field) (CPU_FIELD(returns) + (int64_t)offsetof(ReturnEntry, field))

/* note_return() */
static void put_note(Emit *e, bool leads_back)
{
    uint8_t *attention, *known = NULL;

    if (leads_back) {
        attention = if_attention(e);
        emit_mem(e, 8, 0x33, RSI, RBX, CPU_FIELD(jump_tag));
        known = emit_short(e, SHORT_JMP);
        emit_here8(e, attention);
    }
    EMIT(e, 0x48, 0x83, 0xce, 0xff); /* or rsi, -1 */
    if (known) {
        emit_here8(e, known);
    }
    emit_mem(e, 8, 0x8b, RAX, RBX, CPU_FIELD(last_call));
    EMIT(e, 0xff, 0xc0, 0x83, 0xe0, RETURNS - 1); /* inc eax; and eax, imm8 */
    emit_mem(e, 8, 0x89, RAX, RBX, CPU_FIELD(last_call));
    EMIT(e, 0xc1, 0xe0, ENTRY_SHIFT, 0x48, 0x01, 0xd8); /* shl eax, imm8; add rax, rbx */
    emit_mem(e, 8, 0x89, RSI, RAX, RETURN(tag));
    if (leads_back) {
        emit_mem(e, 4, 0x8b, RCX, RBX, CPU_FIELD(mode));
        emit_mem(e, 8, 0x89, RBP, RAX, RETURN(from));
        emit_mem(e, 8, 0x89, RDX, RAX, RETURN(code));
        emit_mem(e, 4, 0x89, RCX, RAX, RETURN(mode));
    }
    emit8(e, 0xc3);
}

/* What branch_ret64() does with an address from the stack. */
static bool put_come_back(Emit *e, const uint8_t *go)
{
    uint8_t *other[2];

    emit_mem(e, 8, 0x8b, RCX, RBX, CPU_FIELD(last_call));
    EMIT(e, 0x8d, 0x51, 0xff, 0x83, 0xe2, RETURNS - 1); /* lea edx, [rcx - 1]; and edx, imm8 */
    emit_mem(e, 8, 0x89, RDX, RBX, CPU_FIELD(last_call));
    EMIT(e, 0xc1, 0xe1, ENTRY_SHIFT, 0x48, 0x01, 0xd9); /* shl ecx, imm8; add rcx, rbx */
    EMIT(e, 0x48, 0x89, 0xc2);                          /* mov rdx, rax */
    emit_mem(e, 8, 0x33, RDX, RBX, CPU_FIELD(jump_tag));
    emit_mem(e, 8, 0x3b, RDX, RCX, RETURN(tag));
    other[0] = emit_short(e, SHORT_JNE);
    emit_mem(e, 4, 0x8b, RDX, RCX, RETURN(mode));
    emit_mem(e, 4, 0x3b, RDX, RBX, CPU_FIELD(mode));
    other[1] = emit_short(e, SHORT_JNE);
    emit_mem(e, 8, 0x89, RAX, RBX, CPU_FIELD(rip));
    emit_mem(e, 8, 0x8b, RBP, RCX, RETURN(from));
    emit_mem(e, 4, 0xff, 4, RCX, RETURN(code)); /* jmp [code] */
    emit_here8(e, other[0]);
    emit_here8(e, other[1]);
    return emit_branch(e, 0xe9, go);
}

bool translate_routines(Emit *e, Routines *ret)
{
    static const uint8_t sizes[] = { 1, 2, 4, 8 };
    bool near;

    ret->enter = (const Op *(*)(SoftCpu *, const Op *))(uintptr_t)begin(e);
    put_enter(e);
    ret->go = begin(e);
    put_go(e);
    ret->come_back = begin(e);
    near = put_come_back(e, ret->go);
    ret->unlinked_return = begin(e);
    near &= put_unlinked_return(e);
    ret->look = begin(e);
    put_look(e);
    for (unsigned i = 0; i < 2; i++) {
        unsigned table = i ? offsetof(TlbSet, write) : offsetof(TlbSet, read);

        ret->unlinked[i] = begin(e);
        put_unlinked(e, i);
        ret->note[i] = begin(e);
        put_note(e, i);
        for (unsigned k = 0; k < G_N_ELEMENTS(sizes); k++) {
            ret->access[i][sizes[k]] = begin(e);
            put_access(e, table, sizes[k]);
        }
        for (unsigned n = 1; n <= STACK_RUN; n++) {
            ret->words[i][n] = begin(e);
            put_access(e, table, 8 * n);
        }
    }
    return near;
}
