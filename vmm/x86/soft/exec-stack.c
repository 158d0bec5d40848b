/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PUSH, POP, PUSHA, POPA, ENTER, LEAVE: SDM 2A/2B, each under its name; SDM 1-6.2.  Segment
 * registers are in exec-segment.c, flags in exec-flags.c.
 *
 * In 64-bit code, and in 32-bit code on a flat 32-bit stack, the usual widths go through the
 * TLB alone; everything else as SS says (soft_push() and its kin).
 */
#include "vmm/x86/soft/exec-int.h"

static uint64_t register_value(SoftCpu *cpu, const Op *op)
{
    return op->size == 2 ? REG(16, dst) : op->size == 4 ? REG(32, dst) : REG(64, dst);
}

static void set_register(SoftCpu *cpu, unsigned offset, unsigned size, uint64_t value)
{
    if (size == 2) {
        set16(cpu, offset, (uint16_t)value);
    } else if (size == 4) {
        set32(cpu, offset, (uint32_t)value);
    } else {
        set64(cpu, offset, value);
    }
}

static const Op *push(SoftCpu *cpu, const Op *op, uint64_t value)
{
    soft_sync(cpu, op);
    soft_push(cpu, value, op->size);
    SOFT_NEXT(cpu, op);
}

static uint64_t load(SoftCpu *cpu, const Op *op)
{
    uint64_t linear = soft_ea(cpu, op);

    return op->size == 2 ? soft_ld16(cpu, op, linear) : op->size == 4 ? soft_ld32(cpu, op, linear)
                                                                      : soft_ld64(cpu, op, linear);
}

/* ---- PUSH ---- */
const Op *stack_push_r(SoftCpu *cpu, const Op *op)
{
    return push(cpu, op, register_value(cpu, op));
}

const Op *stack_push_i(SoftCpu *cpu, const Op *op)
{
    return push(cpu, op, (uint64_t)op->imm);
}

const Op *stack_push_m(SoftCpu *cpu, const Op *op)
{
    return push(cpu, op, load(cpu, op));
}

INLINE bool push64(SoftCpu *cpu, uint64_t value)
{
    uint64_t sp = cpu->gpr[X86_RSP] - 8;
    volatile uint64_t *p = soft_tlb_write(cpu, sp, 8);

    if (UNLIKELY(!p)) {
        return false;
    }
    *p = value;
    cpu->gpr[X86_RSP] = sp;
    return true;
}

INLINE bool push32(SoftCpu *cpu, uint32_t value)
{
    uint32_t sp = (uint32_t)cpu->gpr[X86_RSP] - 4;
    volatile uint32_t *p = soft_tlb_write(cpu, sp, 4);

    if (UNLIKELY(!p)) {
        return false;
    }
    *p = value;
    cpu->gpr[X86_RSP] = sp;
    return true;
}

const Op *stack_push_r64(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(!push64(cpu, REG(64, dst)))) {
        return stack_push_r(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

const Op *stack_push_i64(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(!push64(cpu, (uint64_t)op->imm))) {
        return stack_push_i(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

const Op *stack_push_m64(SoftCpu *cpu, const Op *op)
{
    const void *p = AT_READ(64, EA_ANY);

    if (UNLIKELY(!p || !push64(cpu, LOAD(64, p)))) {
        return stack_push_m(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

const Op *stack_push_r32(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(!push32(cpu, REG(32, dst)))) {
        return stack_push_r(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

const Op *stack_push_i32(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(!push32(cpu, (uint32_t)op->imm))) {
        return stack_push_i(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

/* ---- POP: the stack pointer moves first, so POP rSP keeps what was popped ---- */
const Op *stack_pop_r(SoftCpu *cpu, const Op *op)
{
    uint64_t value;

    soft_sync(cpu, op);
    value = soft_pop(cpu, op->size);
    set_register(cpu, op->dst, op->size, value);
    SOFT_NEXT(cpu, op);
}

const Op *stack_pop_r64(SoftCpu *cpu, const Op *op)
{
    uint64_t sp = cpu->gpr[X86_RSP];
    const void *p = soft_tlb_read(cpu, sp, 8);

    if (UNLIKELY(!p)) {
        return stack_pop_r(cpu, op);
    }
    cpu->gpr[X86_RSP] = sp + 8;
    REG(64, dst) = LOAD(64, p);
    SOFT_NEXT(cpu, op);
}

const Op *stack_pop_r32(SoftCpu *cpu, const Op *op)
{
    uint32_t sp = (uint32_t)cpu->gpr[X86_RSP];
    const void *p = soft_tlb_read(cpu, sp, 4);

    if (UNLIKELY(!p)) {
        return stack_pop_r(cpu, op);
    }
    cpu->gpr[X86_RSP] = (uint32_t)(sp + 4);
    set32(cpu, op->dst, LOAD(32, p));
    SOFT_NEXT(cpu, op);
}

/* An address made of rSP is that after the pop: decoding has put the difference into the displacement. */
const Op *stack_pop_m(SoftCpu *cpu, const Op *op)
{
    uint64_t value, linear = soft_ea(cpu, op);

    soft_sync(cpu, op);
    value = soft_stack_read(cpu, 0, op->size);
    if (op->size == 2) {
        soft_st16(cpu, op, linear, (uint16_t)value);
    } else if (op->size == 4) {
        soft_st32(cpu, op, linear, (uint32_t)value);
    } else {
        soft_st64(cpu, op, linear, value);
    }
    soft_stack_move(cpu, op->size);
    SOFT_NEXT(cpu, op);
}

/* ---- several PUSH or POP of 64-bit registers other than RSP, one after the other: as functions begin and end ----
 *
 * The first op does the work of all of them, within a page; the others keep their places behind it and are what runs
 * where that cannot be. */
INLINE const Op *push_run(SoftCpu *cpu, const Op *op, unsigned n)
{
    uint64_t sp = cpu->gpr[X86_RSP] - 8 * n;
    volatile uint64_t *p = soft_tlb_write(cpu, sp, 8 * n);

    if (UNLIKELY(!p)) {
        return stack_push_r64(cpu, op);
    }
    for (unsigned i = 0; i < n; i++) {
        p[n - 1 - i] = SOFT_REG(cpu, uint64_t, op[i].dst);
    }
    cpu->gpr[X86_RSP] = sp;
    SOFT_NEXT(cpu, op + n - 1);
}

INLINE const Op *pop_run(SoftCpu *cpu, const Op *op, unsigned n)
{
    uint64_t sp = cpu->gpr[X86_RSP];
    const volatile uint64_t *p = soft_tlb_read(cpu, sp, 8 * n);

    if (UNLIKELY(!p)) {
        return stack_pop_r64(cpu, op);
    }
    for (unsigned i = 0; i < n; i++) {
        set64(cpu, op[i].dst, p[i]);
    }
    cpu->gpr[X86_RSP] = sp + 8 * n;
    SOFT_NEXT(cpu, op + n - 1);
}

#define RUN(n)                                                                                                   \
    static const Op *push_run_##n(SoftCpu *cpu, const Op *op) { return push_run(cpu, op, n); }                   \
    static const Op *pop_run_##n(SoftCpu *cpu, const Op *op) { return pop_run(cpu, op, n); }
RUN(2)
RUN(3)
RUN(4)
RUN(5)
RUN(6)
_Static_assert(STACK_RUN == 6, "a handler for each length");
OpFn *const stack_push_runs[STACK_RUN + 1] = { [2] = push_run_2, push_run_3, push_run_4, push_run_5, push_run_6 };
OpFn *const stack_pop_runs[STACK_RUN + 1] = { [2] = pop_run_2, pop_run_3, pop_run_4, pop_run_5, pop_run_6 };

/* ---- PUSHA, POPA: 16- and 32-bit code only ---- */
static uint64_t stack_mask(const SoftCpu *cpu)
{
    return soft_in_64bit_code(cpu) ? UINT64_MAX : cpu->mode & MODE_STACK32 ? UINT32_MAX : UINT16_MAX;
}

/* Where a word at that distance from rSP would be written; raises what writing it would. */
static uint64_t writable_slot(SoftCpu *cpu, uint64_t offset, unsigned size)
{
    const unsigned access = ACCESS_WRITE | ACCESS_STACK;
    uint64_t linear = offset;

    if (!soft_in_64bit_code(cpu)) {
        linear = soft_linear(cpu, X86_SS, offset & stack_mask(cpu), size, access);
    }
    soft_probe(cpu, linear, size, access);
    return linear;
}

const Op *stack_pusha(SoftCpu *cpu, const Op *op)
{
    unsigned size = op->size;
    uint64_t slot[8];

    soft_sync(cpu, op);
    for (unsigned i = 0; i < 8; i++) {
        slot[i] = writable_slot(cpu, cpu->gpr[X86_RSP] - (i + 1) * size, size);
    }
    for (unsigned i = 0; i < 8; i++) {
        soft_store(cpu, slot[i], size, cpu->gpr[i], ACCESS_STACK);
    }
    soft_stack_move(cpu, -8 * (int64_t)size);
    SOFT_NEXT(cpu, op);
}

const Op *stack_popa(SoftCpu *cpu, const Op *op)
{
    unsigned size = op->size;
    uint64_t value[8];

    soft_sync(cpu, op);
    for (unsigned i = 0; i < 8; i++) {
        value[i] = soft_stack_read(cpu, i * (int64_t)size, size);
    }
    soft_stack_move(cpu, 8 * (int64_t)size);
    for (unsigned i = 0; i < 8; i++) {
        if (7 - i != X86_RSP) {
            set_register(cpu, (7 - i) * 8, size, value[i]);
        }
    }
    SOFT_NEXT(cpu, op);
}

/* ---- ENTER, LEAVE ---- */
static void set_stack_pointer(SoftCpu *cpu, uint64_t value)
{
    uint64_t mask = stack_mask(cpu);

    cpu->gpr[X86_RSP] = mask == UINT16_MAX ? (cpu->gpr[X86_RSP] & ~mask) | (value & mask) : value & mask;
}

/* imm: bytes to reserve, nesting level in bits 16-20.  Words are read and pushed one after the other, as the host
 * does, and stay where a later one faults; the word at the new top of the stack is checked last, then the registers
 * change. */
const Op *stack_enter(SoftCpu *cpu, const Op *op)
{
    unsigned size = op->size, level = (unsigned)(op->imm >> 16) & 31, pushes = level ? level + 1 : 1;
    uint64_t sp = cpu->gpr[X86_RSP], bp = cpu->gpr[X86_RBP], frame = sp - size, mask = stack_mask(cpu), word = bp;

    soft_sync(cpu, op);
    for (unsigned i = 0; i < pushes; i++) {
        if (i && i < level) {
            word = soft_stack_read(cpu, (int64_t)(bp - i * size - sp), size);
        } else if (i) {
            word = (sp & ~mask) | (frame & mask);
        }
        soft_store(cpu, writable_slot(cpu, sp - (i + 1) * size, size), size, word, ACCESS_STACK);
    }
    writable_slot(cpu, sp - pushes * size - (uint16_t)op->imm, size);
    set_stack_pointer(cpu, frame);
    set_register(cpu, X86_RBP * 8, size, cpu->gpr[X86_RSP]);
    set_stack_pointer(cpu, sp - pushes * size - (uint16_t)op->imm);
    SOFT_NEXT(cpu, op);
}

const Op *stack_leave(SoftCpu *cpu, const Op *op)
{
    uint64_t bp = cpu->gpr[X86_RBP], value;

    soft_sync(cpu, op);
    value = soft_stack_read(cpu, (int64_t)(bp - cpu->gpr[X86_RSP]), op->size);
    set_stack_pointer(cpu, bp + op->size);
    set_register(cpu, X86_RBP * 8, op->size, value);
    SOFT_NEXT(cpu, op);
}

const Op *stack_leave64(SoftCpu *cpu, const Op *op)
{
    uint64_t bp = cpu->gpr[X86_RBP];
    const void *p = soft_tlb_read(cpu, bp, 8);

    if (UNLIKELY(!p)) {
        return stack_leave(cpu, op);
    }
    cpu->gpr[X86_RSP] = bp + 8;
    cpu->gpr[X86_RBP] = LOAD(64, p);
    SOFT_NEXT(cpu, op);
}
