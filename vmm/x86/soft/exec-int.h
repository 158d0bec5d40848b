/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the integer handlers (exec-int*.c, exec-branch.c, exec-stack.c) are made of, and
 * the tables in which decode-int.c finds them.  Private to these files.
 *
 * A handler that touches memory is two functions of one body: the fast one knows only the
 * TLB and calls nothing, so it needs no frame; when the TLB does not have the page it ends
 * in the slow one, which does the whole instruction.  Bodies exist once per way to form an
 * address: EA_BASE is base + displacement, EA_ANY all of soft_ea().
 *
 * A handler with a variant that leaves the flags alone is used where they are overwritten
 * before anyone can see them (decode-flags.c).
 */
#pragma once

#include "vmm/x86/soft/op.h"

#define INLINE static inline __attribute__((always_inline))
#define SLOW   static __attribute__((noinline, cold))

enum { SIZE_8, SIZE_16, SIZE_32, SIZE_64, INT_SIZES };
/* The shapes of two operands, destination first: register, memory, immediate. */
typedef enum IntForm { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORMS } IntForm;
enum { EA_BASE, EA_ANY, EAS };
enum { WITH_FLAGS, NO_FLAGS, VARIANTS };

#define UINT(bits) uint##bits##_t
#define SINT(bits) int##bits##_t
/* X(bits, the suffix of instructions) */
#define FOR_SIZES(X)  X(8, b) X(16, w) X(32, l) X(64, q)
#define FOR_WORDS(X)  X(16, w) X(32, l) X(64, q)
/* X(number, name) in the order of opcodes. */
#define FOR_CONDITIONS(X)                                                                                 \
    X(0, o) X(1, no) X(2, b) X(3, nb) X(4, z) X(5, nz) X(6, be) X(7, nbe)                                 \
    X(8, s) X(9, ns) X(10, p) X(11, np) X(12, l) X(13, nl) X(14, le) X(15, nle)

/* ---- pieces of assembly: the flags in AX as SoftCc has them ---- */
#define FLAGS_OUT "\n\tlahf\n\tseto %%al"
#define FLAGS_IN  "addb $127, %%al\n\tsahf\n\t"
#define CARRY_IN  "btw $8, %%ax\n\t"

/* ---- registers ---- */
#define REG(bits, field) SOFT_REG(cpu, UINT(bits), op->field)

/* 32-bit results clear the upper half, shorter ones keep what is above. */
INLINE void set8(SoftCpu *cpu, unsigned offset, uint8_t value)
{
    SOFT_REG(cpu, uint8_t, offset) = value;
}
INLINE void set16(SoftCpu *cpu, unsigned offset, uint16_t value)
{
    SOFT_REG(cpu, uint16_t, offset) = value;
}
INLINE void set32(SoftCpu *cpu, unsigned offset, uint32_t value)
{
    SOFT_REG(cpu, uint64_t, offset) = value;
}
INLINE void set64(SoftCpu *cpu, unsigned offset, uint64_t value)
{
    SOFT_REG(cpu, uint64_t, offset) = value;
}

/* What an instruction does to the whole of a register is left to the host; a byte (AH...) is a register of its own. */
#define CONTAINER_8  uint8_t
#define CONTAINER_16 uint64_t
#define CONTAINER_32 uint64_t
#define CONTAINER_64 uint64_t
#define CONTAINER(bits) CONTAINER_##bits
/* The operand modifier that names the part of a container. */
#define PART_8  "b"
#define PART_16 "w"
#define PART_32 "k"
#define PART_64 "q"
#define PART(bits, n) "%" PART_##bits #n

/* ---- memory ---- */
INLINE uint64_t int_ea(const SoftCpu *cpu, const Op *op, unsigned kind)
{
    return kind == EA_BASE ? cpu->r[op->base] + (uint64_t)(int64_t)op->disp : soft_ea(cpu, op);
}

/* Where to read or to modify bits / 8 bytes; NULL: the slow handler must do it. */
#define AT_READ(bits, kind)  soft_tlb_read(cpu, int_ea(cpu, op, kind), (bits) / 8)
#define AT_WRITE(bits, kind) soft_tlb_write(cpu, int_ea(cpu, op, kind), (bits) / 8)
#define LOAD(bits, p)        (*(const volatile UINT(bits) *)(p))

static inline void *int_modify_begin(SoftCpu *cpu, const Op *op, uint64_t linear, unsigned size, bool locked)
{
    soft_sync(cpu, op);
    return soft_write_begin(cpu, linear, size, soft_op_access(op) | ACCESS_WRITE, true, locked);
}

/* ---- conditions ---- */
INLINE bool int_condition(SoftCc cc, unsigned n)
{
    bool less = ((cc >> 15) ^ cc) & 1; /* SF != OF */
    bool holds;

    switch (n >> 1) {
    case 0:
        holds = cc & CC_OF;
        break;
    case 1:
        holds = cc & CC_CF;
        break;
    case 2:
        holds = cc & CC_ZF;
        break;
    case 3:
        holds = cc & (CC_CF | CC_ZF);
        break;
    case 4:
        holds = cc & CC_SF;
        break;
    case 5:
        holds = cc & CC_PF;
        break;
    case 6:
        holds = less;
        break;
    default:
        holds = less || cc & CC_ZF;
        break;
    }
    return holds != (n & 1);
}

/* ---- tables ---- */
typedef enum IntAlu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_WRITES, ALU_CMP = ALU_WRITES,
                      ALU_TEST, ALUS } IntAlu;
typedef enum IntUnary { UNARY_INC, UNARY_DEC, UNARY_NOT, UNARY_NEG, UNARIES } IntUnary;
typedef enum IntShift { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAR, SHIFTS } IntShift;
typedef enum IntDouble { DOUBLE_SHLD, DOUBLE_SHRD, DOUBLES } IntDouble;
typedef enum IntBit { BIT_BT, BIT_BTS, BIT_BTR, BIT_BTC, BITS } IntBit;
typedef enum IntScan { SCAN_BSF, SCAN_BSR, SCAN_TZCNT, SCAN_LZCNT, SCAN_POPCNT, SCANS } IntScan;
typedef enum IntMul { MUL_MUL, MUL_IMUL, MUL_DIV, MUL_IDIV, MULS } IntMul;
typedef enum IntExtend { EXTEND_ZERO, EXTEND_SIGN, EXTENDS } IntExtend;

/* Rows that do not exist are NULL. */
extern OpFn *const int_alu[ALUS][INT_SIZES][FORMS][EAS][VARIANTS];
extern OpFn *const int_alu_lock[ALU_WRITES][INT_SIZES][2 /* mr, mi */];
extern OpFn *const int_unary[UNARIES][INT_SIZES][2 /* r, m */][VARIANTS];
extern OpFn *const int_unary_lock[UNARIES][INT_SIZES];
extern OpFn *const int_xchg[INT_SIZES][2 /* rr, mr */], *const int_xadd[INT_SIZES][3 /* rr, mr, lock */];
extern OpFn *const int_cmpxchg[INT_SIZES][3 /* rr, mr, lock */], *const int_cmpxchg_pair[2 /* 8B, 16B */][2 /* lock */];
/* By an immediate; by CL; a rotation of a register by an immediate above 1. */
enum { COUNT_IMMEDIATE, COUNT_CL, COUNT_MORE, COUNTS };
extern OpFn *const int_shift[SHIFTS][INT_SIZES][2 /* r, m */][COUNTS][VARIANTS];
extern OpFn *const int_double[DOUBLES][INT_SIZES][2 /* r, m */][2 /* imm, cl */];
extern OpFn *const int_bit[BITS][INT_SIZES][4 /* rr, ri, mi, mi lock */];
extern OpFn *const int_bit_string[BITS][INT_SIZES][2 /* mr, lock */];
extern OpFn *const int_scan[SCANS][INT_SIZES][2 /* r, m */];
extern OpFn *const int_mul[MULS][INT_SIZES][2 /* r, m */];
extern OpFn *const int_imul[INT_SIZES][2 /* r, m */][2 /* immediate */][VARIANTS];
extern OpFn *const int_mov[INT_SIZES][FORMS][EAS];
extern OpFn *const int_extend[EXTENDS][INT_SIZES /* from */][INT_SIZES /* to */][2 /* r, m */][EAS];
extern OpFn *const int_lea[INT_SIZES][EAS];
extern OpFn *const int_setcc[16][2 /* r, m */];
extern OpFn *const int_cmovcc[16][INT_SIZES][2 /* r, m */];
extern OpFn *const int_bswap[INT_SIZES], *const int_movbe[INT_SIZES][2 /* load, store */];
extern OpFn *const int_widen[INT_SIZES], *const int_spread[INT_SIZES]; /* CBW ...; CWD ..., by the operand size */
OpFn int_op_nop, int_op_pause, int_op_lahf, int_op_sahf, int_op_clc, int_op_stc, int_op_cmc;
OpFn int_op_xlat, int_op_salc, int_op_daa, int_op_das, int_op_aaa, int_op_aas, int_op_aam, int_op_aad, int_op_bound;

/* A compare and the conditional jump that is the next op, both within the page: one dispatch for two instructions. */
extern OpFn *const int_fused[2 /* CMP, TEST */][INT_SIZES][FORMS][16];

/* exec-branch.c.  near: both ways stay in the page of a flat segment (soft_jump()); else op->size is the width of the
 * target and op->scale tells whether the way on does (BRANCH_NEXT_NEAR). */
#define BRANCH_NEXT_NEAR 1
extern OpFn *const branch_jcc[16][2 /* near */];
typedef enum BranchLoop { LOOP_LOOPNE, LOOP_LOOPE, LOOP_LOOP, LOOP_JCXZ, LOOPS } BranchLoop;
extern OpFn *const branch_loop[LOOPS];
OpFn branch_jmp_near, branch_jmp, branch_jmp_r, branch_jmp_m, branch_jmp_r64, branch_jmp_m64;
const Op *branch_to_be_linked(SoftCpu *cpu, uint64_t target, Block *from);
OpFn branch_call, branch_call_r, branch_call_m, branch_ret;
OpFn branch_call_near64, branch_call64, branch_call_r64, branch_call_m64, branch_ret64;
OpFn branch_call_near32, branch_call32, branch_ret32; /* flat 32-bit code on a flat 32-bit stack */

/* exec-stack.c.  64: 8 bytes in 64-bit code; 32: 4 bytes on a flat 32-bit stack. */
OpFn stack_push_r, stack_push_i, stack_push_m, stack_pop_r, stack_pop_m;
OpFn stack_push_r64, stack_push_i64, stack_push_m64, stack_pop_r64;
#define STACK_RUN 6
extern OpFn *const stack_push_runs[STACK_RUN + 1], *const stack_pop_runs[STACK_RUN + 1]; /* that many of them at once */
OpFn stack_push_r32, stack_push_i32, stack_pop_r32;
OpFn stack_pusha, stack_popa, stack_enter, stack_leave, stack_leave64;
