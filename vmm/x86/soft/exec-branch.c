/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Near control transfers: Jcc, JMP, CALL, RET, LOOPcc, JrCXZ.  SDM 2A/2B, each under its
 * name.  Far ones are in exec-transfer.c.
 *
 * Distances from the block's start: in imm the target of a direct branch, in disp the next
 * instruction (not with a memory operand).  The target is checked before anything changes; so
 * is the stack.
 */
#include "vmm/x86/soft/exec-int.h"

static uint64_t next_of(const SoftCpu *cpu, const Op *op)
{
    return (cpu->rip + op->ip + op->length) & cpu->ip_mask;
}

/* As wide as the operand; a wider one than the code segment can hold is beyond its limit. */
static uint64_t target_of(SoftCpu *cpu, const Op *op, uint64_t target)
{
    target &= op->size == 2 ? UINT16_MAX : op->size == 4 ? UINT32_MAX : UINT64_MAX;
    if (UNLIKELY(target > cpu->ip_mask)) {
        soft_sync(cpu, op);
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    soft_check_target(cpu, op, target);
    return target;
}

static uint64_t direct_target(SoftCpu *cpu, const Op *op)
{
    return target_of(cpu, op, cpu->rip + (uint64_t)op->imm);
}

SLOW const Op *branch_slow(SoftCpu *cpu, const Op *op)
{
    return soft_goto(cpu, direct_target(cpu, op));
}

/* A conditional branch of which one way at least leaves the page. */
INLINE const Op *branch(SoftCpu *cpu, const Op *op, bool taken)
{
    uint64_t target = cpu->rip + (uint64_t)op->imm;

    if (taken) {
        if (UNLIKELY(op->size != 8 || !soft_is_canonical(target))) {
            return branch_slow(cpu, op);
        }
        return soft_goto(cpu, target);
    }
    if (op->scale & BRANCH_NEXT_NEAR) {
        return soft_jump(cpu, op, 0, op->disp);
    }
    return soft_goto(cpu, next_of(cpu, op));
}

/* ---- Jcc ---- */
#define JCC(n, cond)                                                                                             \
    static const Op *jcc_##cond##_near(SoftCpu *cpu, const Op *op)                                               \
    {                                                                                                            \
        if (int_condition(cpu->cc, n)) {                                                                         \
            return soft_jump(cpu, op, 1, op->imm);                                                               \
        }                                                                                                        \
        return soft_jump(cpu, op, 0, op->disp);                                                                  \
    }                                                                                                            \
    static const Op *jcc_##cond(SoftCpu *cpu, const Op *op)                                                      \
    {                                                                                                            \
        return branch(cpu, op, int_condition(cpu->cc, n));                                                       \
    }
FOR_CONDITIONS(JCC)
#define ROW_JCC(n, cond) { jcc_##cond, jcc_##cond##_near },
OpFn *const branch_jcc[16][2] = { FOR_CONDITIONS(ROW_JCC) };

/* ---- LOOP, LOOPE, LOOPNE, JCXZ: the counter is as wide as an address ---- */
static uint64_t counter_mask(const Op *op)
{
    return op_address_bytes(op) == 2 ? UINT16_MAX : op_address_bytes(op) == 4 ? UINT32_MAX : UINT64_MAX;
}

INLINE const Op *loop(SoftCpu *cpu, const Op *op, bool condition)
{
    uint64_t mask = counter_mask(op), count = (cpu->gpr[X86_RCX] - 1) & mask;
    bool taken = count != 0 && condition;

    if (taken) {
        direct_target(cpu, op);
    }
    if (op_address_bytes(op) == 2) {
        SOFT_REG(cpu, uint16_t, X86_RCX * 8) = (uint16_t)count;
    } else {
        cpu->gpr[X86_RCX] = count;
    }
    return branch(cpu, op, taken);
}
static const Op *loop_ne(SoftCpu *cpu, const Op *op)
{
    return loop(cpu, op, !(cpu->cc & CC_ZF));
}
static const Op *loop_e(SoftCpu *cpu, const Op *op)
{
    return loop(cpu, op, cpu->cc & CC_ZF);
}
static const Op *loop_always(SoftCpu *cpu, const Op *op)
{
    return loop(cpu, op, true);
}
static const Op *jcxz(SoftCpu *cpu, const Op *op)
{
    return branch(cpu, op, !(cpu->gpr[X86_RCX] & counter_mask(op)));
}
OpFn *const branch_loop[LOOPS] = {
    [LOOP_LOOPNE] = loop_ne,
    [LOOP_LOOPE] = loop_e,
    [LOOP_LOOP] = loop_always,
    [LOOP_JCXZ] = jcxz,
};

/* ---- JMP ---- */
const Op *branch_jmp_near(SoftCpu *cpu, const Op *op)
{
    return soft_jump(cpu, op, 0, op->imm);
}

const Op *branch_jmp(SoftCpu *cpu, const Op *op)
{
    return soft_goto(cpu, direct_target(cpu, op));
}

static uint64_t target_in_memory(SoftCpu *cpu, const Op *op)
{
    uint64_t linear = soft_ea(cpu, op);

    return op->size == 2 ? soft_ld16(cpu, op, linear) : op->size == 4 ? soft_ld32(cpu, op, linear)
                                                                      : soft_ld64(cpu, op, linear);
}

const Op *branch_jmp_r(SoftCpu *cpu, const Op *op)
{
    return soft_goto(cpu, target_of(cpu, op, REG(64, dst)));
}

const Op *branch_jmp_m(SoftCpu *cpu, const Op *op)
{
    return soft_goto(cpu, target_of(cpu, op, target_in_memory(cpu, op)));
}

SLOW const Op *jmp_r_slow(SoftCpu *cpu, const Op *op)
{
    return branch_jmp_r(cpu, op);
}

SLOW const Op *jmp_m_slow(SoftCpu *cpu, const Op *op)
{
    return branch_jmp_m(cpu, op);
}

/* In 64-bit code only what is not canonical can go wrong. */
const Op *branch_jmp_r64(SoftCpu *cpu, const Op *op)
{
    uint64_t target = REG(64, dst);

    if (UNLIKELY(!soft_is_canonical(target))) {
        return jmp_r_slow(cpu, op);
    }
    return soft_goto(cpu, target);
}

const Op *branch_jmp_m64(SoftCpu *cpu, const Op *op)
{
    const void *p = AT_READ(64, EA_ANY);
    uint64_t target;

    if (UNLIKELY(!p || !soft_is_canonical(target = LOAD(64, p)))) {
        return jmp_m_slow(cpu, op);
    }
    return soft_goto(cpu, target);
}

/* ---- CALL ---- */
static const Op *call(SoftCpu *cpu, const Op *op, uint64_t target)
{
    target = target_of(cpu, op, target);
    soft_sync(cpu, op);
    soft_push(cpu, cpu->next_ip, op->size);
    return soft_goto(cpu, target);
}

SLOW const Op *call_slow(SoftCpu *cpu, const Op *op)
{
    return call(cpu, op, cpu->rip + (uint64_t)op->imm);
}

const Op *branch_call(SoftCpu *cpu, const Op *op)
{
    return call(cpu, op, cpu->rip + (uint64_t)op->imm);
}

const Op *branch_call_r(SoftCpu *cpu, const Op *op)
{
    return call(cpu, op, REG(64, dst));
}

const Op *branch_call_m(SoftCpu *cpu, const Op *op)
{
    return call(cpu, op, target_in_memory(cpu, op));
}

SLOW const Op *call_r_slow(SoftCpu *cpu, const Op *op)
{
    return branch_call_r(cpu, op);
}

SLOW const Op *call_m_slow(SoftCpu *cpu, const Op *op)
{
    return branch_call_m(cpu, op);
}

/* The return address; false: it needs the slow way. */
INLINE bool push_next64(SoftCpu *cpu, uint64_t next)
{
    uint64_t sp = cpu->gpr[X86_RSP] - 8;
    volatile uint64_t *p = soft_tlb_write(cpu, sp, 8);

    if (UNLIKELY(!p)) {
        return false;
    }
    *p = next;
    cpu->gpr[X86_RSP] = sp;
    return true;
}

INLINE bool push_next32(SoftCpu *cpu, uint32_t next)
{
    uint32_t sp = (uint32_t)cpu->gpr[X86_RSP] - 4;
    volatile uint32_t *p = soft_tlb_write(cpu, sp, 4);

    if (UNLIKELY(!p)) {
        return false;
    }
    *p = next;
    cpu->gpr[X86_RSP] = sp;
    return true;
}

/* Calls of 64-bit code note where they return to, and RET then needs no place in the jump cache, which is large and
 * often not in the host's.  src: the return address is in the page of this block.  While attention is wanted, what that
 * page is may have changed since the block was entered. */
INLINE void note_return(SoftCpu *cpu, const Op *op, uint64_t next)
{
    bool leads_back = op->src && !__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED);
    uint64_t last = (cpu->last_call + 1) % RETURNS;

    cpu->last_call = last;
    cpu->returns[last] = (ReturnEntry) { leads_back ? next ^ cpu->jump_tag : UINT64_MAX, cpu->block,
                                         cpu->unlinked_return, cpu->mode };
}

const Op *branch_call_near64(SoftCpu *cpu, const Op *op)
{
    uint64_t next = cpu->rip + (uint64_t)(int64_t)op->disp;

    if (UNLIKELY(!push_next64(cpu, next))) {
        return call_slow(cpu, op);
    }
    note_return(cpu, op, next);
    return soft_jump(cpu, op, 0, op->imm);
}

const Op *branch_call64(SoftCpu *cpu, const Op *op)
{
    uint64_t target = cpu->rip + (uint64_t)op->imm, next = cpu->rip + (uint64_t)(int64_t)op->disp;

    if (UNLIKELY(!soft_is_canonical(target) || !push_next64(cpu, next))) {
        return call_slow(cpu, op);
    }
    note_return(cpu, op, next);
    return soft_goto(cpu, target);
}

const Op *branch_call_r64(SoftCpu *cpu, const Op *op)
{
    uint64_t target = REG(64, dst), next = cpu->rip + (uint64_t)(int64_t)op->disp;

    if (UNLIKELY(!soft_is_canonical(target) || !push_next64(cpu, next))) {
        return call_r_slow(cpu, op);
    }
    note_return(cpu, op, next);
    return soft_goto(cpu, target);
}

const Op *branch_call_m64(SoftCpu *cpu, const Op *op)
{
    uint64_t target, next = cpu->rip + op->ip + op->length;
    const void *p = AT_READ(64, EA_ANY);

    if (UNLIKELY(!p || !soft_is_canonical(target = LOAD(64, p)) || !push_next64(cpu, next))) {
        return call_m_slow(cpu, op);
    }
    note_return(cpu, op, next);
    return soft_goto(cpu, target);
}

const Op *branch_call_near32(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(!push_next32(cpu, (uint32_t)cpu->rip + (uint32_t)op->disp))) {
        return call_slow(cpu, op);
    }
    return soft_jump(cpu, op, 0, op->imm);
}

const Op *branch_call32(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(!push_next32(cpu, (uint32_t)cpu->rip + (uint32_t)op->disp))) {
        return call_slow(cpu, op);
    }
    return soft_goto(cpu, cpu->rip + (uint64_t)op->imm);
}

/* ---- RET: imm is what it takes off the stack beyond the address ---- */
const Op *branch_ret(SoftCpu *cpu, const Op *op)
{
    uint64_t target;

    soft_sync(cpu, op);
    target = target_of(cpu, op, soft_stack_read(cpu, 0, op->size));
    soft_stack_move(cpu, op->size + op->imm);
    return soft_goto(cpu, target);
}

SLOW const Op *ret_slow(SoftCpu *cpu, const Op *op)
{
    return branch_ret(cpu, op);
}

/* The link is of another mode, or is to be made; a block that crosses into another page gets none. */
const Op *branch_to_be_linked(SoftCpu *cpu, uint64_t target, Block *from)
{
    const JumpEntry *entry = soft_jump_entry(cpu, target);

    if (__atomic_load_n(&from->link[1], __ATOMIC_RELAXED) ||
        (entry->tag == (target ^ cpu->jump_tag) && entry->block->code2)) {
        return soft_goto(cpu, target);
    }
    cpu->rip = target;
    cpu->linked_from = from;
    cpu->linked_slot = 1;
    return NULL;
}

/* To where the last call said that it would return. */
INLINE const Op *return_as_noted(SoftCpu *cpu, uint64_t target, Block *from)
{
    Block *to = __atomic_load_n(&from->link[1], __ATOMIC_ACQUIRE);

    if (LIKELY(to && to->mode == cpu->mode && !__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED))) {
        cpu->rip = target;
        return soft_enter(cpu, to);
    }
    return branch_to_be_linked(cpu, target, from);
}

const Op *branch_ret64(SoftCpu *cpu, const Op *op)
{
    uint64_t sp = cpu->gpr[X86_RSP], target, last = cpu->last_call;
    const void *p = soft_tlb_read(cpu, sp, 8);
    const ReturnEntry *noted = &cpu->returns[last];

    if (UNLIKELY(!p || !soft_is_canonical(target = LOAD(64, p)))) {
        return ret_slow(cpu, op);
    }
    cpu->gpr[X86_RSP] = sp + 8 + (uint64_t)op->imm;
    cpu->last_call = (last - 1) % RETURNS;
    if (LIKELY(noted->tag == (target ^ cpu->jump_tag))) {
        return return_as_noted(cpu, target, noted->from);
    }
    return soft_goto(cpu, target);
}

const Op *branch_ret32(SoftCpu *cpu, const Op *op)
{
    uint32_t sp = (uint32_t)cpu->gpr[X86_RSP];
    const void *p = soft_tlb_read(cpu, sp, 4);

    if (UNLIKELY(!p)) {
        return ret_slow(cpu, op);
    }
    cpu->gpr[X86_RSP] = (uint32_t)(sp + 4 + (uint32_t)op->imm);
    return soft_goto(cpu, LOAD(32, p));
}
