/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ROL, ROR, RCL, RCR, SHL, SHR, SAR (SDM 2B "RCL/RCR/ROL/ROR", "SAL/SAR/SHL/SHR"), SHLD and
 * SHRD.  Counts that are 0 after masking leave the flags alone, others leave some undefined:
 * the host gets the flags as they were and decides.
 *
 * OF after a rotation of a register by an immediate other than 1 is undefined, and not what it
 * is after one by CL: the host makes it by ending with a rotation by an immediate 2.
 */
#include "vmm/x86/soft/exec-int.h"

#define COUNT_imm  ((uint8_t)op->imm)
#define COUNT_cl   ((uint8_t)cpu->gpr[X86_RCX])
#define COUNT_more ((uint8_t)(op->imm - 2))

#define CODE_imm(insn, d)  FLAGS_IN insn " %%cl, " d FLAGS_OUT
#define CODE_cl            CODE_imm
#define CODE_more(insn, d) insn " %%cl, " d "\n\t" FLAGS_IN insn " $2, " d FLAGS_OUT

#define SHIFT_REGISTER(name, b, s, from)                                                                         \
    static const Op *name##b##_r_##from(SoftCpu *cpu, const Op *op)                                              \
    {                                                                                                            \
        CONTAINER(b) d = SOFT_REG(cpu, CONTAINER(b), op->dst);                                                   \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__(CODE_##from(#name #s, PART(b, 0)) : "+&r"(d), "+&a"(cc) : "c"(COUNT_##from) : "cc");             \
        cpu->cc = cc;                                                                                            \
        SOFT_REG(cpu, CONTAINER(b), op->dst) = d;                                                                \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define SHIFT_MEMORY(name, b, s, from)                                                                           \
    INLINE void name##b##_m_##from##_do(SoftCpu *cpu, const Op *op, volatile UINT(b) *p)                         \
    {                                                                                                            \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__(CODE_##from(#name #s, "%0") : "+m"(*p), "+&a"(cc) : "c"(COUNT_##from) : "cc");                   \
        cpu->cc = cc;                                                                                            \
    }                                                                                                            \
    SLOW const Op *name##b##_m_##from##_slow(SoftCpu *cpu, const Op *op)                                         \
    {                                                                                                            \
        name##b##_m_##from##_do(cpu, op, int_modify_begin(cpu, op, soft_ea(cpu, op), (b) / 8, false));           \
        soft_write_end(cpu);                                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *name##b##_m_##from(SoftCpu *cpu, const Op *op)                                              \
    {                                                                                                            \
        void *p = AT_WRITE(b, EA_ANY);                                                                           \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_m_##from##_slow(cpu, op);                                                           \
        }                                                                                                        \
        name##b##_m_##from##_do(cpu, op, p);                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
/* Nobody looks at the flags; not for RCL and RCR, which read them. */
#define SHIFT_QUIET(name, b, s, from)                                                                            \
    static const Op *name##b##_r_##from##_quiet(SoftCpu *cpu, const Op *op)                                      \
    {                                                                                                            \
        CONTAINER(b) d = SOFT_REG(cpu, CONTAINER(b), op->dst);                                                   \
                                                                                                                 \
        __asm__(#name #s " %%cl, " PART(b, 0) : "+r"(d) : "c"(COUNT_##from) : "cc");                             \
        SOFT_REG(cpu, CONTAINER(b), op->dst) = d;                                                                \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define SHIFT(name, b, s, from) SHIFT_REGISTER(name, b, s, from) SHIFT_MEMORY(name, b, s, from)
#define SHIFT_BOTH(name, b, s)  SHIFT(name, b, s, imm) SHIFT(name, b, s, cl)
#define SHIFT_ALL(name, b, s)   SHIFT_BOTH(name, b, s) SHIFT_QUIET(name, b, s, imm) SHIFT_QUIET(name, b, s, cl)
#define SHIFT_rol(b, s) SHIFT_ALL(rol, b, s) SHIFT_REGISTER(rol, b, s, more)
#define SHIFT_ror(b, s) SHIFT_ALL(ror, b, s) SHIFT_REGISTER(ror, b, s, more)
#define SHIFT_rcl(b, s) SHIFT_BOTH(rcl, b, s)
#define SHIFT_rcr(b, s) SHIFT_BOTH(rcr, b, s)
#define SHIFT_shl(b, s) SHIFT_ALL(shl, b, s)
#define SHIFT_shr(b, s) SHIFT_ALL(shr, b, s)
#define SHIFT_sar(b, s) SHIFT_ALL(sar, b, s)
FOR_SIZES(SHIFT_rol)
FOR_SIZES(SHIFT_ror)
FOR_SIZES(SHIFT_rcl)
FOR_SIZES(SHIFT_rcr)
FOR_SIZES(SHIFT_shl)
FOR_SIZES(SHIFT_shr)
FOR_SIZES(SHIFT_sar)

#define ROW_ALL(name, b)                                                                                         \
    {                                                                                                            \
        { { name##b##_r_imm, name##b##_r_imm_quiet }, { name##b##_r_cl, name##b##_r_cl_quiet } },                \
        { { name##b##_m_imm }, { name##b##_m_cl } },                                                             \
    }
#define ROW_ROTATE(name, b)                                                                                      \
    {                                                                                                            \
        { { name##b##_r_imm, name##b##_r_imm_quiet },                                                            \
          { name##b##_r_cl, name##b##_r_cl_quiet },                                                              \
          { name##b##_r_more, name##b##_r_imm_quiet } },                                                         \
        { { name##b##_m_imm }, { name##b##_m_cl } },                                                             \
    }
#define ROW_CARRY(name, b) { { { name##b##_r_imm }, { name##b##_r_cl } }, { { name##b##_m_imm }, { name##b##_m_cl } } }
#define ROWS(row, name)    { row(name, 8), row(name, 16), row(name, 32), row(name, 64) }
OpFn *const int_shift[SHIFTS][INT_SIZES][2][COUNTS][VARIANTS] = {
    [SHIFT_ROL] = ROWS(ROW_ROTATE, rol), [SHIFT_ROR] = ROWS(ROW_ROTATE, ror), [SHIFT_RCL] = ROWS(ROW_CARRY, rcl),
    [SHIFT_RCR] = ROWS(ROW_CARRY, rcr), [SHIFT_SHL] = ROWS(ROW_ALL, shl),   [SHIFT_SHR] = ROWS(ROW_ALL, shr),
    [SHIFT_SAR] = ROWS(ROW_ALL, sar),
};

/* ---- SHLD, SHRD: the source is the register in src ---- */
#define DOUBLE(name, b, s, from)                                                                                 \
    static const Op *name##b##_r_##from(SoftCpu *cpu, const Op *op)                                              \
    {                                                                                                            \
        uint64_t d = SOFT_REG(cpu, uint64_t, op->dst);                                                           \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__(FLAGS_IN #name #s " %%cl, %3, " PART(b, 0) FLAGS_OUT                                             \
                : "+&r"(d), "+&a"(cc) : "c"(COUNT_##from), "r"(REG(b, src)) : "cc");                             \
        cpu->cc = cc;                                                                                            \
        SOFT_REG(cpu, uint64_t, op->dst) = d;                                                                    \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    INLINE void name##b##_m_##from##_do(SoftCpu *cpu, const Op *op, volatile UINT(b) *p)                         \
    {                                                                                                            \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__(FLAGS_IN #name #s " %%cl, %3, %0" FLAGS_OUT                                                      \
                : "+m"(*p), "+&a"(cc) : "c"(COUNT_##from), "r"(REG(b, src)) : "cc");                             \
        cpu->cc = cc;                                                                                            \
    }                                                                                                            \
    SLOW const Op *name##b##_m_##from##_slow(SoftCpu *cpu, const Op *op)                                         \
    {                                                                                                            \
        name##b##_m_##from##_do(cpu, op, int_modify_begin(cpu, op, soft_ea(cpu, op), (b) / 8, false));           \
        soft_write_end(cpu);                                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *name##b##_m_##from(SoftCpu *cpu, const Op *op)                                              \
    {                                                                                                            \
        void *p = AT_WRITE(b, EA_ANY);                                                                           \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_m_##from##_slow(cpu, op);                                                           \
        }                                                                                                        \
        name##b##_m_##from##_do(cpu, op, p);                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
#define DOUBLE_shld(b, s) DOUBLE(shld, b, s, imm) DOUBLE(shld, b, s, cl)
#define DOUBLE_shrd(b, s) DOUBLE(shrd, b, s, imm) DOUBLE(shrd, b, s, cl)
FOR_WORDS(DOUBLE_shld)
FOR_WORDS(DOUBLE_shrd)

#define ROW_DOUBLE(name, b) { { name##b##_r_imm, name##b##_r_cl }, { name##b##_m_imm, name##b##_m_cl } }
#define ROWS_DOUBLE(name)                                                                                        \
    { [SIZE_16] = ROW_DOUBLE(name, 16), [SIZE_32] = ROW_DOUBLE(name, 32), [SIZE_64] = ROW_DOUBLE(name, 64) }
OpFn *const int_double[DOUBLES][INT_SIZES][2][2] = {
    [DOUBLE_SHLD] = ROWS_DOUBLE(shld),
    [DOUBLE_SHRD] = ROWS_DOUBLE(shrd),
};
