/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CMP or TEST with the conditional jump that follows: the op of the jump stays where it is,
 * behind the compare, whose handler does both.  Memory is base + displacement.
 */
#include "vmm/x86/soft/exec-int.h"

INLINE const Op *jump(SoftCpu *cpu, const Op *op, bool taken)
{
    if (taken) {
        return soft_jump(cpu, op, 1, op->imm);
    }
    return soft_jump(cpu, op, 0, op->disp);
}

#define EXEC(name, s, cond, d, v) \
    __asm__(#name #s " %3, %2" FLAGS_OUT : "=a"(cc), "=@cc" #cond(taken) : "r"(d), "r"(v) : )

#define FUSED_REGISTER(name, b, s, cond, suffix, source)                                                         \
    static const Op *name##b##_##suffix##_##cond(SoftCpu *cpu, const Op *op)                                     \
    {                                                                                                            \
        UINT(b) d = REG(b, dst), v = (UINT(b))(source);                                                          \
        bool taken;                                                                                              \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        EXEC(name, s, cond, d, v);                                                                               \
        cpu->cc = cc;                                                                                            \
        return jump(cpu, op + 1, taken);                                                                         \
    }
#define FUSED_MEMORY(name, b, s, cond, suffix, left, right)                                                      \
    static const Op *name##b##_##suffix##_##cond(SoftCpu *cpu, const Op *op)                                     \
    {                                                                                                            \
        const void *p = AT_READ(b, EA_BASE);                                                                     \
        UINT(b) m, d, v;                                                                                         \
        bool taken;                                                                                              \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_##suffix##_slow(cpu, op);                                                           \
        }                                                                                                        \
        m = LOAD(b, p);                                                                                          \
        d = (UINT(b))(left), v = (UINT(b))(right);                                                               \
        EXEC(name, s, cond, d, v);                                                                               \
        cpu->cc = cc;                                                                                            \
        return jump(cpu, op + 1, taken);                                                                         \
    }
/* The compare alone; the jump is an op of its own. */
#define SLOW_MEMORY(name, b, s, suffix, form)                                                                    \
    INLINE const Op *name##b##_##suffix##_slow(SoftCpu *cpu, const Op *op)                                       \
    {                                                                                                            \
        return int_alu[form][SIZE_##b][FORM_##suffix][EA_BASE][WITH_FLAGS](cpu, op);                             \
    }
#define FORM_rm FORM_RM
#define FORM_mr FORM_MR
#define FORM_mi FORM_MI
#define SLOW_CMP(b, s)                                                                                           \
    SLOW_MEMORY(cmp, b, s, rm, ALU_CMP)                                                                          \
    SLOW_MEMORY(cmp, b, s, mr, ALU_CMP)                                                                          \
    SLOW_MEMORY(cmp, b, s, mi, ALU_CMP)
#define SLOW_TEST(b, s) SLOW_MEMORY(test, b, s, mr, ALU_TEST) SLOW_MEMORY(test, b, s, mi, ALU_TEST)
FOR_SIZES(SLOW_CMP)
FOR_SIZES(SLOW_TEST)

#define CMP(b, s, cond)                                                                                          \
    FUSED_REGISTER(cmp, b, s, cond, rr, REG(b, src))                                                             \
    FUSED_REGISTER(cmp, b, s, cond, ri, op->imm)                                                                 \
    FUSED_MEMORY(cmp, b, s, cond, rm, REG(b, dst), m)                                                            \
    FUSED_MEMORY(cmp, b, s, cond, mr, m, REG(b, src))                                                            \
    FUSED_MEMORY(cmp, b, s, cond, mi, m, op->imm)
#define TEST(b, s, cond)                                                                                         \
    FUSED_REGISTER(test, b, s, cond, rr, REG(b, src))                                                            \
    FUSED_REGISTER(test, b, s, cond, ri, op->imm)                                                                \
    FUSED_MEMORY(test, b, s, cond, mr, m, REG(b, src))                                                           \
    FUSED_MEMORY(test, b, s, cond, mi, m, op->imm)
#define BOTH(b, s, cond) CMP(b, s, cond) TEST(b, s, cond)
/* Overflow and parity after a compare are too rare to be worth it. */
#define FUSED(n, cond) BOTH(8, b, cond) BOTH(16, w, cond) BOTH(32, l, cond) BOTH(64, q, cond)
#define FOR_COMMON(X)                                                                                            \
    X(2, b) X(3, nb) X(4, z) X(5, nz) X(6, be) X(7, nbe) X(8, s) X(9, ns) X(12, l) X(13, nl) X(14, le) X(15, nle)
FOR_COMMON(FUSED)

#define ENTRY(name, form)                                                                                        \
    { [2] = name##_##form##_b, [3] = name##_##form##_nb, [4] = name##_##form##_z, [5] = name##_##form##_nz,      \
      [6] = name##_##form##_be, [7] = name##_##form##_nbe, [8] = name##_##form##_s, [9] = name##_##form##_ns,    \
      [12] = name##_##form##_l, [13] = name##_##form##_nl, [14] = name##_##form##_le, [15] = name##_##form##_nle }
#define ROW_CMP(name)                                                                                            \
    { [FORM_RR] = ENTRY(name, rr), [FORM_RI] = ENTRY(name, ri), [FORM_RM] = ENTRY(name, rm),                     \
      [FORM_MR] = ENTRY(name, mr), [FORM_MI] = ENTRY(name, mi) }
#define ROW_TEST(name)                                                                                           \
    { [FORM_RR] = ENTRY(name, rr), [FORM_RI] = ENTRY(name, ri), [FORM_MR] = ENTRY(name, mr),                     \
      [FORM_MI] = ENTRY(name, mi) }
OpFn *const int_fused[2][INT_SIZES][FORMS][16] = {
    { ROW_CMP(cmp8), ROW_CMP(cmp16), ROW_CMP(cmp32), ROW_CMP(cmp64) },
    { ROW_TEST(test8), ROW_TEST(test16), ROW_TEST(test32), ROW_TEST(test64) },
};
