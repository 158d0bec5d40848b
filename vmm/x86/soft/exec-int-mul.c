/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MUL, IMUL, DIV, IDIV: SDM 2A/2B, each under its name.  Division checks first what would
 * raise #DE, so that the host's never does.
 */
#include "vmm/x86/soft/exec-int.h"

/* ---- what does not divide ---- */
INLINE bool div_fails8(SoftCpu *cpu, uint8_t v)
{
    return SOFT_REG(cpu, uint8_t, 1) >= v;
}
#define DIV_FAILS(b)                                                                                             \
    INLINE bool div_fails##b(SoftCpu *cpu, UINT(b) v)                                                            \
    {                                                                                                            \
        return (UINT(b))cpu->gpr[X86_RDX] >= v;                                                                  \
    }
DIV_FAILS(16)
DIV_FAILS(32)
DIV_FAILS(64)

INLINE bool idiv_fails8(SoftCpu *cpu, uint8_t v)
{
    int32_t n = (int16_t)cpu->gpr[X86_RAX];

    return v == 0 || n / (int8_t)v != (int8_t)(n / (int8_t)v);
}
INLINE bool idiv_fails16(SoftCpu *cpu, uint16_t v)
{
    int64_t n = (int32_t)((uint32_t)cpu->gpr[X86_RDX] << 16 | (uint16_t)cpu->gpr[X86_RAX]);

    return v == 0 || n / (int16_t)v != (int16_t)(n / (int16_t)v);
}
/* The quotient's magnitude, unless even that is too long; then whether the sign leaves room for it. */
#define IDIV_FAILS(b, s)                                                                                         \
    INLINE bool idiv_fails##b(SoftCpu *cpu, UINT(b) v)                                                           \
    {                                                                                                            \
        UINT(b) low = (UINT(b))cpu->gpr[X86_RAX], high = (UINT(b))cpu->gpr[X86_RDX];                             \
        UINT(b) magnitude = (SINT(b))v < 0 ? -v : v;                                                             \
        bool negative = ((SINT(b))high < 0) != ((SINT(b))v < 0);                                                 \
                                                                                                                 \
        if (LIKELY(high == (UINT(b))((SINT(b))low >> ((b)-1)))) {                                                \
            return v == 0 || (v == (UINT(b))-1 && low == (UINT(b))1 << ((b)-1));                                 \
        }                                                                                                        \
        if ((SINT(b))high < 0) {                                                                                 \
            high = ~high + (low == 0);                                                                           \
            low = -low;                                                                                          \
        }                                                                                                        \
        if (high >= magnitude) {                                                                                 \
            return true;                                                                                         \
        }                                                                                                        \
        __asm__("div" #s " %2" : "+a"(low), "+d"(high) : "r"(magnitude) : "cc");                                 \
        return low > ((UINT(b))1 << ((b)-1)) - !negative;                                                        \
    }
IDIV_FAILS(32, l)
IDIV_FAILS(64, q)

#define never_fails(cpu, v) false

/* ---- on (R/E)DX:(R/E)AX, or AX: whole registers go through the host ---- */
#define MULTIPLY(name, b, s, fails)                                                                              \
    INLINE const Op *name##b##_do(SoftCpu *cpu, const Op *op, UINT(b) v)                                         \
    {                                                                                                            \
        uint64_t a = cpu->gpr[X86_RAX], d = cpu->gpr[X86_RDX];                                                   \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__(FLAGS_IN "movq %1, %%rax\n\t" #name #s " %3\n\tmovq %%rax, %1" FLAGS_OUT                         \
                : "+&a"(cc), "+&r"(a), "+&d"(d) : "r"(v) : "cc");                                                \
        cpu->cc = cc;                                                                                            \
        cpu->gpr[X86_RAX] = a;                                                                                   \
        cpu->gpr[X86_RDX] = d;                                                                                   \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    SLOW const Op *name##b##_slow(SoftCpu *cpu, const Op *op)                                                    \
    {                                                                                                            \
        UINT(b) v = op->flags & OP_MEM ? soft_ld##b(cpu, op, soft_ea(cpu, op)) : REG(b, dst);                    \
                                                                                                                 \
        if (fails(cpu, v)) {                                                                                     \
            soft_sync(cpu, op);                                                                                  \
            soft_raise(cpu, VECTOR_DE);                                                                          \
        }                                                                                                        \
        return name##b##_do(cpu, op, v);                                                                         \
    }                                                                                                            \
    static const Op *name##b##_r(SoftCpu *cpu, const Op *op)                                                     \
    {                                                                                                            \
        if (UNLIKELY(fails(cpu, REG(b, dst)))) {                                                                 \
            return name##b##_slow(cpu, op);                                                                      \
        }                                                                                                        \
        return name##b##_do(cpu, op, REG(b, dst));                                                               \
    }                                                                                                            \
    static const Op *name##b##_m(SoftCpu *cpu, const Op *op)                                                     \
    {                                                                                                            \
        const void *p = AT_READ(b, EA_ANY);                                                                      \
        UINT(b) v;                                                                                               \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_slow(cpu, op);                                                                      \
        }                                                                                                        \
        v = LOAD(b, p);                                                                                          \
        if (UNLIKELY(fails(cpu, v))) {                                                                           \
            return name##b##_slow(cpu, op);                                                                      \
        }                                                                                                        \
        return name##b##_do(cpu, op, v);                                                                         \
    }
#define MUL_mul(b, s)  MULTIPLY(mul, b, s, never_fails)
#define MUL_imul(b, s) MULTIPLY(imul, b, s, never_fails)
#define MUL_div(b, s)  MULTIPLY(div, b, s, div_fails##b)
#define MUL_idiv(b, s) MULTIPLY(idiv, b, s, idiv_fails##b)
FOR_SIZES(MUL_mul)
FOR_SIZES(MUL_imul)
FOR_SIZES(MUL_div)
FOR_SIZES(MUL_idiv)

#define ROW(name)                                                                                                \
    { { name##8_r, name##8_m }, { name##16_r, name##16_m }, { name##32_r, name##32_m }, { name##64_r, name##64_m } }
OpFn *const int_mul[MULS][INT_SIZES][2] = {
    [MUL_MUL] = ROW(mul),
    [MUL_IMUL] = ROW(imul),
    [MUL_DIV] = ROW(div),
    [MUL_IDIV] = ROW(idiv),
};

/* ---- IMUL with two or three operands ---- */
#define IMUL(b, s, suffix, factor)                                                                               \
    INLINE const Op *imul2_##b##_##suffix##_do(SoftCpu *cpu, const Op *op, UINT(b) v)                            \
    {                                                                                                            \
        UINT(b) d = (UINT(b))(factor);                                                                           \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__(FLAGS_IN "imul" #s " %2, %0" FLAGS_OUT : "+&r"(d), "+&a"(cc) : "r"(v) : "cc");                   \
        cpu->cc = cc;                                                                                            \
        set##b(cpu, op->dst, d);                                                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *imul2_##b##_r##suffix(SoftCpu *cpu, const Op *op)                                           \
    {                                                                                                            \
        return imul2_##b##_##suffix##_do(cpu, op, REG(b, src));                                                  \
    }                                                                                                            \
    static const Op *imul2_##b##_r##suffix##_quiet(SoftCpu *cpu, const Op *op)                                   \
    {                                                                                                            \
        set##b(cpu, op->dst, (UINT(b))((uint64_t)REG(b, src) * (uint64_t)(factor)));                             \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    SLOW const Op *imul2_##b##_m##suffix##_slow(SoftCpu *cpu, const Op *op)                                      \
    {                                                                                                            \
        return imul2_##b##_##suffix##_do(cpu, op, soft_ld##b(cpu, op, soft_ea(cpu, op)));                        \
    }                                                                                                            \
    static const Op *imul2_##b##_m##suffix(SoftCpu *cpu, const Op *op)                                           \
    {                                                                                                            \
        const void *p = AT_READ(b, EA_ANY);                                                                      \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return imul2_##b##_m##suffix##_slow(cpu, op);                                                        \
        }                                                                                                        \
        return imul2_##b##_##suffix##_do(cpu, op, LOAD(b, p));                                                   \
    }
#define IMUL_BOTH(b, s) IMUL(b, s, r, REG(b, dst)) IMUL(b, s, i, op->imm)
FOR_WORDS(IMUL_BOTH)

#define ROW_IMUL(b)                                                                                              \
    {                                                                                                            \
        { { imul2_##b##_rr, imul2_##b##_rr_quiet }, { imul2_##b##_ri, imul2_##b##_ri_quiet } },                  \
        { { imul2_##b##_mr }, { imul2_##b##_mi } },                                                              \
    }
OpFn *const int_imul[INT_SIZES][2][2][VARIANTS] = {
    [SIZE_16] = ROW_IMUL(16),
    [SIZE_32] = ROW_IMUL(32),
    [SIZE_64] = ROW_IMUL(64),
};
