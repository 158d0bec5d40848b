/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer instructions that move data: MOV, MOVBE, MOVZX, MOVSX, MOVSXD, LEA, SETcc, CMOVcc,
 * BSWAP, CBW and CWD and their kin, XLAT; and those on single flags.  SDM 2A/2B, each under
 * its name.
 */
#include "vmm/x86/soft/exec-int.h"

/* ---- MOV ---- */
#define MOV_AT(b, where, kind)                                                                                   \
    static const Op *mov##b##_rm_##where(SoftCpu *cpu, const Op *op)                                             \
    {                                                                                                            \
        const void *p = AT_READ(b, kind);                                                                        \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return mov##b##_rm_slow(cpu, op);                                                                    \
        }                                                                                                        \
        set##b(cpu, op->dst, LOAD(b, p));                                                                        \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *mov##b##_mr_##where(SoftCpu *cpu, const Op *op)                                             \
    {                                                                                                            \
        void *p = AT_WRITE(b, kind);                                                                             \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return mov##b##_mr_slow(cpu, op);                                                                    \
        }                                                                                                        \
        *(volatile UINT(b) *)p = REG(b, src);                                                                    \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *mov##b##_mi_##where(SoftCpu *cpu, const Op *op)                                             \
    {                                                                                                            \
        void *p = AT_WRITE(b, kind);                                                                             \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return mov##b##_mi_slow(cpu, op);                                                                    \
        }                                                                                                        \
        *(volatile UINT(b) *)p = (UINT(b))op->imm;                                                               \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define MOV(b, s)                                                                                                \
    static const Op *mov##b##_rr(SoftCpu *cpu, const Op *op)                                                     \
    {                                                                                                            \
        set##b(cpu, op->dst, REG(b, src));                                                                       \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *mov##b##_ri(SoftCpu *cpu, const Op *op)                                                     \
    {                                                                                                            \
        set##b(cpu, op->dst, (UINT(b))op->imm);                                                                  \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    SLOW const Op *mov##b##_rm_slow(SoftCpu *cpu, const Op *op)                                                  \
    {                                                                                                            \
        set##b(cpu, op->dst, soft_ld##b(cpu, op, soft_ea(cpu, op)));                                             \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    SLOW const Op *mov##b##_mr_slow(SoftCpu *cpu, const Op *op)                                                  \
    {                                                                                                            \
        soft_st##b(cpu, op, soft_ea(cpu, op), REG(b, src));                                                      \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    SLOW const Op *mov##b##_mi_slow(SoftCpu *cpu, const Op *op)                                                  \
    {                                                                                                            \
        soft_st##b(cpu, op, soft_ea(cpu, op), (UINT(b))op->imm);                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    MOV_AT(b, base, EA_BASE)                                                                                     \
    MOV_AT(b, any, EA_ANY)
FOR_SIZES(MOV)

#define ROW_MOV(b)                                                                                               \
    {                                                                                                            \
        [FORM_RR] = { mov##b##_rr, mov##b##_rr },                                                                \
        [FORM_RI] = { mov##b##_ri, mov##b##_ri },                                                                \
        [FORM_RM] = { mov##b##_rm_base, mov##b##_rm_any },                                                       \
        [FORM_MR] = { mov##b##_mr_base, mov##b##_mr_any },                                                       \
        [FORM_MI] = { mov##b##_mi_base, mov##b##_mi_any },                                                       \
    }
OpFn *const int_mov[INT_SIZES][FORMS][EAS] = { ROW_MOV(8), ROW_MOV(16), ROW_MOV(32), ROW_MOV(64) };

/* ---- MOVBE ---- */
#define MOVBE(b, s)                                                                                              \
    static const Op *movbe##b##_load(SoftCpu *cpu, const Op *op)                                                 \
    {                                                                                                            \
        set##b(cpu, op->dst, __builtin_bswap##b(soft_ld##b(cpu, op, soft_ea(cpu, op))));                         \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *movbe##b##_store(SoftCpu *cpu, const Op *op)                                                \
    {                                                                                                            \
        soft_st##b(cpu, op, soft_ea(cpu, op), __builtin_bswap##b(REG(b, src)));                                  \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
FOR_WORDS(MOVBE)
OpFn *const int_movbe[INT_SIZES][2] = {
    [SIZE_16] = { movbe16_load, movbe16_store },
    [SIZE_32] = { movbe32_load, movbe32_store },
    [SIZE_64] = { movbe64_load, movbe64_store },
};

/* ---- MOVZX, MOVSX, MOVSXD ---- */
#define EXTEND_AT(name, type, f, t, where, kind)                                                                 \
    static const Op *name##f##_##t##_##where(SoftCpu *cpu, const Op *op)                                         \
    {                                                                                                            \
        const void *p = AT_READ(f, kind);                                                                        \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##f##_##t##_slow(cpu, op);                                                                \
        }                                                                                                        \
        set##t(cpu, op->dst, (UINT(t))(type(f))LOAD(f, p));                                                      \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define EXTEND(name, type, f, t)                                                                                 \
    static const Op *name##f##_##t##_r(SoftCpu *cpu, const Op *op)                                               \
    {                                                                                                            \
        set##t(cpu, op->dst, (UINT(t))(type(f))REG(f, src));                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    SLOW const Op *name##f##_##t##_slow(SoftCpu *cpu, const Op *op)                                              \
    {                                                                                                            \
        set##t(cpu, op->dst, (UINT(t))(type(f))soft_ld##f(cpu, op, soft_ea(cpu, op)));                           \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    EXTEND_AT(name, type, f, t, base, EA_BASE)                                                                   \
    EXTEND_AT(name, type, f, t, any, EA_ANY)
/* From 16 to 16 and from 32 to 32 bits: MOVSXD without REX.W, and MOVZX and MOVSX with one 66 too many. */
#define EXTEND_PAIRS(X, name, type)                                                                              \
    X(name, type, 8, 16) X(name, type, 8, 32) X(name, type, 8, 64) X(name, type, 16, 16)                         \
    X(name, type, 16, 32) X(name, type, 16, 64) X(name, type, 32, 32) X(name, type, 32, 64)
EXTEND_PAIRS(EXTEND, movzx, UINT)
EXTEND_PAIRS(EXTEND, movsx, SINT)

#define ROW_EXTEND(name, f, t)                                                                                   \
    { { name##f##_##t##_r, name##f##_##t##_r }, { name##f##_##t##_base, name##f##_##t##_any } }
#define ROWS_EXTEND(name)                                                                                        \
    {                                                                                                            \
        [SIZE_8] = { [SIZE_16] = ROW_EXTEND(name, 8, 16),                                                        \
                     [SIZE_32] = ROW_EXTEND(name, 8, 32),                                                        \
                     [SIZE_64] = ROW_EXTEND(name, 8, 64) },                                                      \
        [SIZE_16] = { [SIZE_16] = ROW_EXTEND(name, 16, 16),                                                      \
                      [SIZE_32] = ROW_EXTEND(name, 16, 32),                                                      \
                      [SIZE_64] = ROW_EXTEND(name, 16, 64) },                                                    \
        [SIZE_32] = { [SIZE_32] = ROW_EXTEND(name, 32, 32), [SIZE_64] = ROW_EXTEND(name, 32, 64) },              \
    }
OpFn *const int_extend[EXTENDS][INT_SIZES][INT_SIZES][2][EAS] = {
    [EXTEND_ZERO] = ROWS_EXTEND(movzx),
    [EXTEND_SIGN] = ROWS_EXTEND(movsx),
};

/* ---- LEA: decoding sees to it that the address is as wide as the result, or truncated ---- */
#define LEA(b, s)                                                                                                \
    static const Op *lea##b##_base(SoftCpu *cpu, const Op *op)                                                   \
    {                                                                                                            \
        set##b(cpu, op->dst, (UINT(b))int_ea(cpu, op, EA_BASE));                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *lea##b##_any(SoftCpu *cpu, const Op *op)                                                    \
    {                                                                                                            \
        uint64_t offset = cpu->r[op->base] + (cpu->r[op->index] << op->scale) + (uint64_t)(int64_t)op->disp;     \
                                                                                                                 \
        set##b(cpu, op->dst, (UINT(b))offset);                                                                   \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
FOR_WORDS(LEA)
OpFn *const int_lea[INT_SIZES][EAS] = {
    [SIZE_16] = { lea16_base, lea16_any },
    [SIZE_32] = { lea32_base, lea32_any },
    [SIZE_64] = { lea64_base, lea64_any },
};

/* ---- SETcc, CMOVcc ---- */
#define SETCC(n, cond)                                                                                           \
    static const Op *set##cond##_r(SoftCpu *cpu, const Op *op)                                                   \
    {                                                                                                            \
        REG(8, dst) = int_condition(cpu->cc, n);                                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *set##cond##_m(SoftCpu *cpu, const Op *op)                                                   \
    {                                                                                                            \
        soft_st8(cpu, op, soft_ea(cpu, op), int_condition(cpu->cc, n));                                          \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
FOR_CONDITIONS(SETCC)
#define ROW_SETCC(n, cond) { set##cond##_r, set##cond##_m },
OpFn *const int_setcc[16][2] = { FOR_CONDITIONS(ROW_SETCC) };

/* The 32-bit form clears the upper half, moved or not; memory is read in any case. */
#define CMOV(n, cond, b)                                                                                         \
    static const Op *cmov##cond##b##_r(SoftCpu *cpu, const Op *op)                                               \
    {                                                                                                            \
        UINT(b) d = REG(b, dst), v = REG(b, src);                                                                \
                                                                                                                 \
        set##b(cpu, op->dst, int_condition(cpu->cc, n) ? v : d);                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    SLOW const Op *cmov##cond##b##_m_slow(SoftCpu *cpu, const Op *op)                                            \
    {                                                                                                            \
        UINT(b) v = soft_ld##b(cpu, op, soft_ea(cpu, op));                                                       \
                                                                                                                 \
        set##b(cpu, op->dst, int_condition(cpu->cc, n) ? v : REG(b, dst));                                       \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *cmov##cond##b##_m(SoftCpu *cpu, const Op *op)                                               \
    {                                                                                                            \
        const void *p = AT_READ(b, EA_ANY);                                                                      \
        UINT(b) v;                                                                                               \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return cmov##cond##b##_m_slow(cpu, op);                                                              \
        }                                                                                                        \
        v = LOAD(b, p);                                                                                          \
        set##b(cpu, op->dst, int_condition(cpu->cc, n) ? v : REG(b, dst));                                       \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define CMOVCC(n, cond) CMOV(n, cond, 16) CMOV(n, cond, 32) CMOV(n, cond, 64)
FOR_CONDITIONS(CMOVCC)
#define ROW_CMOV(cond, b) { cmov##cond##b##_r, cmov##cond##b##_m }
#define ROWS_CMOV(n, cond)                                                                                       \
    { [SIZE_16] = ROW_CMOV(cond, 16), [SIZE_32] = ROW_CMOV(cond, 32), [SIZE_64] = ROW_CMOV(cond, 64) },
OpFn *const int_cmovcc[16][INT_SIZES][2] = { FOR_CONDITIONS(ROWS_CMOV) };

/* ---- BSWAP: of 16 bits is undefined, and left to the native stubs ---- */
static const Op *bswap32(SoftCpu *cpu, const Op *op)
{
    set32(cpu, op->dst, __builtin_bswap32(REG(32, dst)));
    SOFT_NEXT(cpu, op);
}
static const Op *bswap64(SoftCpu *cpu, const Op *op)
{
    set64(cpu, op->dst, __builtin_bswap64(REG(64, dst)));
    SOFT_NEXT(cpu, op);
}
OpFn *const int_bswap[INT_SIZES] = { [SIZE_32] = bswap32, [SIZE_64] = bswap64 };

/* ---- CBW, CWDE, CDQE; CWD, CDQ, CQO ---- */
#define RAX(bits) SOFT_REG(cpu, UINT(bits), X86_RAX * 8)
#define WIDEN(f, t)                                                                                              \
    static const Op *widen##t(SoftCpu *cpu, const Op *op)                                                        \
    {                                                                                                            \
        set##t(cpu, X86_RAX * 8, (UINT(t))(SINT(f))RAX(f));                                                      \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *spread##t(SoftCpu *cpu, const Op *op)                                                       \
    {                                                                                                            \
        set##t(cpu, X86_RDX * 8, (UINT(t))((SINT(t))RAX(t) >> ((t)-1)));                                         \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
WIDEN(8, 16)
WIDEN(16, 32)
WIDEN(32, 64)
OpFn *const int_widen[INT_SIZES] = { [SIZE_16] = widen16, [SIZE_32] = widen32, [SIZE_64] = widen64 };
OpFn *const int_spread[INT_SIZES] = { [SIZE_16] = spread16, [SIZE_32] = spread32, [SIZE_64] = spread64 };

/* ---- XLAT: [op->seg:(R/E)BX + AL] ---- */
const Op *int_op_xlat(SoftCpu *cpu, const Op *op)
{
    uint64_t offset = cpu->gpr[X86_RBX] + RAX(8), linear;

    offset &= op_address_bytes(op) == 8 ? UINT64_MAX : op_address_bytes(op) == 4 ? UINT32_MAX : UINT16_MAX;
    if (soft_in_64bit_code(cpu)) {
        linear = offset + cpu->seg_base[op->seg];
    } else {
        soft_sync(cpu, op);
        linear = soft_linear(cpu, op->seg, offset, 1, ACCESS_READ | soft_op_access(op));
    }
    RAX(8) = soft_ld8(cpu, op, linear);
    SOFT_NEXT(cpu, op);
}

/* ---- flags ---- */
const Op *int_op_lahf(SoftCpu *cpu, const Op *op)
{
    SOFT_REG(cpu, uint8_t, X86_RAX * 8 + 1) = (uint8_t)(cpu->cc >> 8) | EFLAGS_FIXED;
    SOFT_NEXT(cpu, op);
}
const Op *int_op_sahf(SoftCpu *cpu, const Op *op)
{
    unsigned ah = SOFT_REG(cpu, uint8_t, X86_RAX * 8 + 1);

    ah &= EFLAGS_SF | EFLAGS_ZF | EFLAGS_AF | EFLAGS_PF | EFLAGS_CF;
    cpu->cc = (SoftCc)((ah | EFLAGS_FIXED) << 8 | (cpu->cc & CC_OF));
    SOFT_NEXT(cpu, op);
}
const Op *int_op_clc(SoftCpu *cpu, const Op *op)
{
    cpu->cc &= (SoftCc)~CC_CF;
    SOFT_NEXT(cpu, op);
}
const Op *int_op_stc(SoftCpu *cpu, const Op *op)
{
    cpu->cc |= CC_CF;
    SOFT_NEXT(cpu, op);
}
const Op *int_op_cmc(SoftCpu *cpu, const Op *op)
{
    cpu->cc ^= CC_CF;
    SOFT_NEXT(cpu, op);
}

/* ---- nothing ---- */
const Op *int_op_nop(SoftCpu *cpu, const Op *op)
{
    SOFT_NEXT(cpu, op);
}
const Op *int_op_pause(SoftCpu *cpu, const Op *op)
{
    __asm__ volatile("pause");
    SOFT_NEXT(cpu, op);
}
