/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST, INC, DEC, NOT, NEG: SDM 2A/2B, each under its
 * name.  In every size and form; LOCK is in exec-int-lock.c.
 */
#include "vmm/x86/soft/exec-int.h"

/* ---- what they compute: with the host's flags, and without ---- */
#define EXEC(name, s, kind, d, v, cc) \
    __asm__(#name #s " %2, %0" FLAGS_OUT : "+" kind(d), "=a"(cc) : "r"(v) : "cc")
#define EXEC_CARRY(name, s, kind, d, v, cc)                                                                      \
    do {                                                                                                        \
        (cc) = cpu->cc;                                                                                         \
        __asm__(CARRY_IN #name #s " %2, %0" FLAGS_OUT : "+" kind(d), "+&a"(cc) : "r"(v) : "cc");                \
    } while (0)
#define EXEC_COMPARE(name, s, d, v, cc) __asm__(#name #s " %2, %1" FLAGS_OUT : "=a"(cc) : "r"(d), "r"(v) : "cc")

#define CARRY          (cpu->cc >> 8 & 1)
#define VALUE_add(d, v) ((d) + (v))
#define VALUE_or(d, v)  ((d) | (v))
#define VALUE_adc(d, v) ((d) + (v) + CARRY)
#define VALUE_sbb(d, v) ((d) - (v) - CARRY)
#define VALUE_and(d, v) ((d) & (v))
#define VALUE_sub(d, v) ((d) - (v))
#define VALUE_xor(d, v) ((d) ^ (v))

/* ---- register destination ---- */
#define TO_REGISTER(exec, name, b, s, suffix, source)                                                            \
    static const Op *name##b##_##suffix(SoftCpu *cpu, const Op *op)                                              \
    {                                                                                                            \
        UINT(b) d = REG(b, dst), v = (UINT(b))(source);                                                          \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        exec(name, s, "r", d, v, cc);                                                                            \
        cpu->cc = cc;                                                                                            \
        set##b(cpu, op->dst, d);                                                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *name##b##_##suffix##_quiet(SoftCpu *cpu, const Op *op)                                      \
    {                                                                                                            \
        set##b(cpu, op->dst, (UINT(b))VALUE_##name(REG(b, dst), (UINT(b))(source)));                             \
        SOFT_NEXT(cpu, op);                                                                                      \
    }

/* ---- register destination, memory source ---- */
#define FROM_MEMORY_AT(exec, name, b, s, suffix, kind)                                                           \
    static const Op *name##b##_rm_##suffix(SoftCpu *cpu, const Op *op)                                           \
    {                                                                                                            \
        const void *p = AT_READ(b, kind);                                                                        \
        UINT(b) d, v;                                                                                            \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_rm_slow(cpu, op);                                                                   \
        }                                                                                                        \
        v = LOAD(b, p);                                                                                          \
        d = REG(b, dst);                                                                                         \
        exec(name, s, "r", d, v, cc);                                                                            \
        cpu->cc = cc;                                                                                            \
        set##b(cpu, op->dst, d);                                                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *name##b##_rm_##suffix##_quiet(SoftCpu *cpu, const Op *op)                                   \
    {                                                                                                            \
        const void *p = AT_READ(b, kind);                                                                        \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_rm_slow(cpu, op);                                                                   \
        }                                                                                                        \
        set##b(cpu, op->dst, (UINT(b))VALUE_##name(REG(b, dst), LOAD(b, p)));                                    \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define FROM_MEMORY(exec, name, b, s)                                                                            \
    SLOW const Op *name##b##_rm_slow(SoftCpu *cpu, const Op *op)                                                 \
    {                                                                                                            \
        UINT(b) v = soft_ld##b(cpu, op, soft_ea(cpu, op)), d = REG(b, dst);                                      \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        exec(name, s, "r", d, v, cc);                                                                            \
        cpu->cc = cc;                                                                                            \
        set##b(cpu, op->dst, d);                                                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    FROM_MEMORY_AT(exec, name, b, s, base, EA_BASE)                                                              \
    FROM_MEMORY_AT(exec, name, b, s, any, EA_ANY)

/* ---- memory destination ---- */
#define TO_MEMORY_AT(exec, name, b, s, suffix, source, where, kind)                                              \
    static const Op *name##b##_##suffix##_##where(SoftCpu *cpu, const Op *op)                                    \
    {                                                                                                            \
        void *p = AT_WRITE(b, kind);                                                                             \
        UINT(b) v = (UINT(b))(source);                                                                           \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_##suffix##_slow(cpu, op);                                                           \
        }                                                                                                        \
        exec(name, s, "m", *(volatile UINT(b) *)p, v, cc);                                                       \
        cpu->cc = cc;                                                                                            \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define TO_MEMORY(exec, name, b, s, suffix, source)                                                              \
    SLOW const Op *name##b##_##suffix##_slow(SoftCpu *cpu, const Op *op)                                         \
    {                                                                                                            \
        void *p = int_modify_begin(cpu, op, soft_ea(cpu, op), (b) / 8, false);                                   \
        UINT(b) v = (UINT(b))(source);                                                                           \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        exec(name, s, "m", *(volatile UINT(b) *)p, v, cc);                                                       \
        cpu->cc = cc;                                                                                            \
        soft_write_end(cpu);                                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    TO_MEMORY_AT(exec, name, b, s, suffix, source, base, EA_BASE)                                                \
    TO_MEMORY_AT(exec, name, b, s, suffix, source, any, EA_ANY)

#define ALU(exec, name, b, s)                                                                                    \
    TO_REGISTER(exec, name, b, s, rr, REG(b, src))                                                               \
    TO_REGISTER(exec, name, b, s, ri, op->imm)                                                                   \
    FROM_MEMORY(exec, name, b, s)                                                                                \
    TO_MEMORY(exec, name, b, s, mr, REG(b, src))                                                                 \
    TO_MEMORY(exec, name, b, s, mi, op->imm)

#define ALU_add(b, s) ALU(EXEC, add, b, s)
#define ALU_or(b, s)  ALU(EXEC, or, b, s)
#define ALU_adc(b, s) ALU(EXEC_CARRY, adc, b, s)
#define ALU_sbb(b, s) ALU(EXEC_CARRY, sbb, b, s)
#define ALU_and(b, s) ALU(EXEC, and, b, s)
#define ALU_sub(b, s) ALU(EXEC, sub, b, s)
#define ALU_xor(b, s) ALU(EXEC, xor, b, s)
FOR_SIZES(ALU_add)
FOR_SIZES(ALU_or)
FOR_SIZES(ALU_adc)
FOR_SIZES(ALU_sbb)
FOR_SIZES(ALU_and)
FOR_SIZES(ALU_sub)
FOR_SIZES(ALU_xor)

/* ---- CMP and TEST: nothing is written ---- */
#define COMPARE_REGISTER(name, b, s, suffix, source)                                                             \
    static const Op *name##b##_##suffix(SoftCpu *cpu, const Op *op)                                              \
    {                                                                                                            \
        UINT(b) d = REG(b, dst), v = (UINT(b))(source);                                                          \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        EXEC_COMPARE(name, s, d, v, cc);                                                                         \
        cpu->cc = cc;                                                                                            \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
/* left and right are made of m, what memory holds. */
#define COMPARE_MEMORY_AT(name, b, s, suffix, left, right, where, kind)                                          \
    static const Op *name##b##_##suffix##_##where(SoftCpu *cpu, const Op *op)                                    \
    {                                                                                                            \
        const void *p = AT_READ(b, kind);                                                                        \
        UINT(b) m, d, v;                                                                                         \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_##suffix##_slow(cpu, op);                                                           \
        }                                                                                                        \
        m = LOAD(b, p);                                                                                          \
        d = (UINT(b))(left), v = (UINT(b))(right);                                                               \
        EXEC_COMPARE(name, s, d, v, cc);                                                                         \
        cpu->cc = cc;                                                                                            \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define COMPARE_MEMORY(name, b, s, suffix, left, right)                                                          \
    SLOW const Op *name##b##_##suffix##_slow(SoftCpu *cpu, const Op *op)                                         \
    {                                                                                                            \
        UINT(b) m = soft_ld##b(cpu, op, soft_ea(cpu, op)), d = (UINT(b))(left), v = (UINT(b))(right);            \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        EXEC_COMPARE(name, s, d, v, cc);                                                                         \
        cpu->cc = cc;                                                                                            \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    COMPARE_MEMORY_AT(name, b, s, suffix, left, right, base, EA_BASE)                                            \
    COMPARE_MEMORY_AT(name, b, s, suffix, left, right, any, EA_ANY)

/* TEST has no form with memory on the right. */
#define COMPARE(name, b, s)                                                                                      \
    COMPARE_REGISTER(name, b, s, rr, REG(b, src))                                                                \
    COMPARE_REGISTER(name, b, s, ri, op->imm)                                                                    \
    COMPARE_MEMORY(name, b, s, mr, m, REG(b, src))                                                               \
    COMPARE_MEMORY(name, b, s, mi, m, op->imm)
#define ALU_cmp(b, s)  COMPARE(cmp, b, s) COMPARE_MEMORY(cmp, b, s, rm, REG(b, dst), m)
#define ALU_test(b, s) COMPARE(test, b, s)
FOR_SIZES(ALU_cmp)
FOR_SIZES(ALU_test)

#define ROW_WRITES(name, b)                                                                                      \
    {                                                                                                            \
        [FORM_RR] = { { name##b##_rr, name##b##_rr_quiet }, { name##b##_rr, name##b##_rr_quiet } },              \
        [FORM_RI] = { { name##b##_ri, name##b##_ri_quiet }, { name##b##_ri, name##b##_ri_quiet } },              \
        [FORM_RM] = { { name##b##_rm_base, name##b##_rm_base_quiet },                                            \
                      { name##b##_rm_any, name##b##_rm_any_quiet } },                                            \
        [FORM_MR] = { { name##b##_mr_base }, { name##b##_mr_any } },                                             \
        [FORM_MI] = { { name##b##_mi_base }, { name##b##_mi_any } },                                             \
    }
#define ROW_CMP(name, b)                                                                                         \
    {                                                                                                            \
        [FORM_RR] = { { name##b##_rr }, { name##b##_rr } },                                                      \
        [FORM_RI] = { { name##b##_ri }, { name##b##_ri } },                                                      \
        [FORM_RM] = { { name##b##_rm_base }, { name##b##_rm_any } },                                             \
        [FORM_MR] = { { name##b##_mr_base }, { name##b##_mr_any } },                                             \
        [FORM_MI] = { { name##b##_mi_base }, { name##b##_mi_any } },                                             \
    }
#define ROW_TEST(name, b)                                                                                        \
    {                                                                                                            \
        [FORM_RR] = { { name##b##_rr }, { name##b##_rr } },                                                      \
        [FORM_RI] = { { name##b##_ri }, { name##b##_ri } },                                                      \
        [FORM_MR] = { { name##b##_mr_base }, { name##b##_mr_any } },                                             \
        [FORM_MI] = { { name##b##_mi_base }, { name##b##_mi_any } },                                             \
    }
#define ROWS(row, name) { row(name, 8), row(name, 16), row(name, 32), row(name, 64) }
OpFn *const int_alu[ALUS][INT_SIZES][FORMS][EAS][VARIANTS] = {
    [ALU_ADD] = ROWS(ROW_WRITES, add),    [ALU_OR] = ROWS(ROW_WRITES, or),    [ALU_ADC] = ROWS(ROW_WRITES, adc),
    [ALU_SBB] = ROWS(ROW_WRITES, sbb),    [ALU_AND] = ROWS(ROW_WRITES, and),  [ALU_SUB] = ROWS(ROW_WRITES, sub),
    [ALU_XOR] = ROWS(ROW_WRITES, xor),    [ALU_CMP] = ROWS(ROW_CMP, cmp),       [ALU_TEST] = ROWS(ROW_TEST, test),
};

/* ---- one operand ---- */
#define UNARY_FLAGS(name, s, kind, d) \
    __asm__(#name #s " %0" FLAGS_OUT : "+" kind(d), "=a"(cc) : : "cc"); cpu->cc = cc
/* INC and DEC keep CF. */
#define UNARY_CARRY(name, s, kind, d) \
    cc = cpu->cc; __asm__(CARRY_IN #name #s " %0" FLAGS_OUT : "+" kind(d), "+&a"(cc) : : "cc"); cpu->cc = cc
#define UNARY_NONE(name, s, kind, d) (void)cc; __asm__(#name #s " %0" : "+" kind(d) : : "cc")

#define UNARY(exec, name, b, s)                                                                                  \
    static const Op *name##b##_r(SoftCpu *cpu, const Op *op)                                                     \
    {                                                                                                            \
        UINT(b) d = REG(b, dst);                                                                                 \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        exec(name, s, "r", d);                                                                                   \
        set##b(cpu, op->dst, d);                                                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    SLOW const Op *name##b##_m_slow(SoftCpu *cpu, const Op *op)                                                  \
    {                                                                                                            \
        void *p = int_modify_begin(cpu, op, soft_ea(cpu, op), (b) / 8, false);                                   \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        exec(name, s, "m", *(volatile UINT(b) *)p);                                                              \
        soft_write_end(cpu);                                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *name##b##_m(SoftCpu *cpu, const Op *op)                                                     \
    {                                                                                                            \
        void *p = AT_WRITE(b, EA_ANY);                                                                           \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_m_slow(cpu, op);                                                                    \
        }                                                                                                        \
        exec(name, s, "m", *(volatile UINT(b) *)p);                                                              \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define UNARY_QUIET(name, b, s)                                                                                  \
    static const Op *name##b##_r_quiet(SoftCpu *cpu, const Op *op)                                               \
    {                                                                                                            \
        UINT(b) d = REG(b, dst);                                                                                 \
                                                                                                                 \
        __asm__(#name #s " %0" : "+r"(d) : : "cc");                                                              \
        set##b(cpu, op->dst, d);                                                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define UNARY_inc(b, s) UNARY(UNARY_CARRY, inc, b, s) UNARY_QUIET(inc, b, s)
#define UNARY_dec(b, s) UNARY(UNARY_CARRY, dec, b, s) UNARY_QUIET(dec, b, s)
#define UNARY_not(b, s) UNARY(UNARY_NONE, not, b, s)
#define UNARY_neg(b, s) UNARY(UNARY_FLAGS, neg, b, s) UNARY_QUIET(neg, b, s)
FOR_SIZES(UNARY_inc)
FOR_SIZES(UNARY_dec)
FOR_SIZES(UNARY_not)
FOR_SIZES(UNARY_neg)

#define ROW_UNARY(name, b) { { name##b##_r, name##b##_r_quiet }, { name##b##_m } }
#define ROW_NOT(name, b)   { { name##b##_r }, { name##b##_m } }
OpFn *const int_unary[UNARIES][INT_SIZES][2][VARIANTS] = {
    [UNARY_INC] = ROWS(ROW_UNARY, inc),
    [UNARY_DEC] = ROWS(ROW_UNARY, dec),
    [UNARY_NOT] = ROWS(ROW_NOT, not),
    [UNARY_NEG] = ROWS(ROW_UNARY, neg),
};
