/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read-modify-write that is atomic, or has three operands: LOCK with ADD...XOR, INC, DEC,
 * NOT and NEG; XCHG (always locked with memory), XADD, CMPXCHG, CMPXCHG8B and CMPXCHG16B
 * (SDM 2A-2D, SDM 3-9.1).
 *
 * On RAM in one cache line the host's own LOCK prefix does it.  What crosses lines would be a
 * split lock, which hosts slow down or forbid (SDM 3-9.1.2.3): it goes through
 * soft_write_begin(locked), alone in the machine.
 */
#include "vmm/x86/soft/exec-int.h"

/* Body for p with the TLB's help, and the same for what the TLB does not have. */
#define MODIFY(name, b, locked, ...)                                                                             \
    SLOW const Op *name##_slow(SoftCpu *cpu, const Op *op)                                                       \
    {                                                                                                            \
        volatile UINT(b) *p = int_modify_begin(cpu, op, soft_ea(cpu, op), (b) / 8, locked);                      \
                                                                                                                 \
        __VA_ARGS__                                                                                              \
        soft_write_end(cpu);                                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *name(SoftCpu *cpu, const Op *op)                                                            \
    {                                                                                                            \
        volatile UINT(b) *p = AT_WRITE(b, EA_ANY);                                                               \
                                                                                                                 \
        if (UNLIKELY(!p) || ((locked) && UNLIKELY(soft_splits_lock((uintptr_t)p, (b) / 8)))) {                   \
            return name##_slow(cpu, op);                                                                         \
        }                                                                                                        \
        __VA_ARGS__                                                                                              \
        SOFT_NEXT(cpu, op);                                                                                      \
    }

/* ---- LOCK with arithmetic ---- */
#define LOCKED(name, b, s, suffix, source)                                                                       \
    MODIFY(lock_##name##b##_##suffix, b, true,                                                                   \
           UINT(b) v = (UINT(b))(source); SoftCc cc;                                                             \
           __asm__("lock\n\t" #name #s " %2, %0" FLAGS_OUT : "+m"(*p), "=a"(cc) : "r"(v) : "cc", "memory");      \
           cpu->cc = cc;)
#define LOCKED_CARRY(name, b, s, suffix, source)                                                                 \
    MODIFY(lock_##name##b##_##suffix, b, true,                                                                   \
           UINT(b) v = (UINT(b))(source); SoftCc cc = cpu->cc;                                                   \
           __asm__(CARRY_IN "lock\n\t" #name #s " %2, %0" FLAGS_OUT                                              \
                   : "+m"(*p), "+&a"(cc) : "r"(v) : "cc", "memory");                                             \
           cpu->cc = cc;)
#define LOCKED_BOTH(kind, name, b, s) kind(name, b, s, mr, REG(b, src)) kind(name, b, s, mi, op->imm)
#define LOCK_add(b, s) LOCKED_BOTH(LOCKED, add, b, s)
#define LOCK_or(b, s)  LOCKED_BOTH(LOCKED, or, b, s)
#define LOCK_adc(b, s) LOCKED_BOTH(LOCKED_CARRY, adc, b, s)
#define LOCK_sbb(b, s) LOCKED_BOTH(LOCKED_CARRY, sbb, b, s)
#define LOCK_and(b, s) LOCKED_BOTH(LOCKED, and, b, s)
#define LOCK_sub(b, s) LOCKED_BOTH(LOCKED, sub, b, s)
#define LOCK_xor(b, s) LOCKED_BOTH(LOCKED, xor, b, s)
FOR_SIZES(LOCK_add)
FOR_SIZES(LOCK_or)
FOR_SIZES(LOCK_adc)
FOR_SIZES(LOCK_sbb)
FOR_SIZES(LOCK_and)
FOR_SIZES(LOCK_sub)
FOR_SIZES(LOCK_xor)

#define ROW_LOCK(name, b) { lock_##name##b##_mr, lock_##name##b##_mi }
#define ROWS(row, name)   { row(name, 8), row(name, 16), row(name, 32), row(name, 64) }
OpFn *const int_alu_lock[ALU_WRITES][INT_SIZES][2] = {
    [ALU_ADD] = ROWS(ROW_LOCK, add), [ALU_OR] = ROWS(ROW_LOCK, or),   [ALU_ADC] = ROWS(ROW_LOCK, adc),
    [ALU_SBB] = ROWS(ROW_LOCK, sbb), [ALU_AND] = ROWS(ROW_LOCK, and), [ALU_SUB] = ROWS(ROW_LOCK, sub),
    [ALU_XOR] = ROWS(ROW_LOCK, xor),
};

#define LOCK_UNARY(name, b, s, in, ...)                                                                          \
    MODIFY(lock_##name##b, b, true, SoftCc cc = cpu->cc;                                                         \
           __asm__(in "lock\n\t" #name #s " %0" FLAGS_OUT : "+m"(*p), "+&a"(cc) : : "cc", "memory"); __VA_ARGS__)
#define LOCK_inc(b, s) LOCK_UNARY(inc, b, s, CARRY_IN, cpu->cc = cc;)
#define LOCK_dec(b, s) LOCK_UNARY(dec, b, s, CARRY_IN, cpu->cc = cc;)
#define LOCK_neg(b, s) LOCK_UNARY(neg, b, s, "", cpu->cc = cc;)
#define LOCK_not(b, s) LOCK_UNARY(not, b, s, "", (void)cc;)
FOR_SIZES(LOCK_inc)
FOR_SIZES(LOCK_dec)
FOR_SIZES(LOCK_neg)
FOR_SIZES(LOCK_not)

#define ROW_LOCK_UNARY(name) { lock_##name##8, lock_##name##16, lock_##name##32, lock_##name##64 }
OpFn *const int_unary_lock[UNARIES][INT_SIZES] = {
    [UNARY_INC] = ROW_LOCK_UNARY(inc),
    [UNARY_DEC] = ROW_LOCK_UNARY(dec),
    [UNARY_NOT] = ROW_LOCK_UNARY(not),
    [UNARY_NEG] = ROW_LOCK_UNARY(neg),
};

/* ---- XCHG, XADD ---- */
/* In the register forms both may be the same register: what is written last stays, as on the host. */
#define EXCHANGE(b, s)                                                                                           \
    static const Op *xchg##b##_rr(SoftCpu *cpu, const Op *op)                                                    \
    {                                                                                                            \
        UINT(b) d = REG(b, dst), v = REG(b, src);                                                                \
                                                                                                                 \
        set##b(cpu, op->src, d);                                                                                 \
        set##b(cpu, op->dst, v);                                                                                 \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    MODIFY(xchg##b##_mr, b, true, UINT(b) v = REG(b, src);                                                       \
           __asm__("xchg" #s " %1, %0" : "+m"(*p), "+r"(v) : : "memory");                                        \
           set##b(cpu, op->src, v);)                                                                             \
    static const Op *xadd##b##_rr(SoftCpu *cpu, const Op *op)                                                    \
    {                                                                                                            \
        UINT(b) d = REG(b, dst), v = REG(b, src), sum = v;                                                       \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        __asm__("add" #s " %2, %0" FLAGS_OUT : "+r"(sum), "=a"(cc) : "r"(d) : "cc");                             \
        cpu->cc = cc;                                                                                            \
        set##b(cpu, op->src, d);                                                                                 \
        set##b(cpu, op->dst, sum);                                                                               \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    XADD(xadd##b##_mr, b, s, "", false)                                                                          \
    XADD(xadd##b##_lock, b, s, "lock\n\t", true)
#define XADD(name, b, s, prefix, locked)                                                                         \
    MODIFY(name, b, locked, UINT(b) v = REG(b, src); SoftCc cc;                                                  \
           __asm__(prefix "xadd" #s " %1, %0" FLAGS_OUT : "+m"(*p), "+r"(v), "=a"(cc) : : "cc", "memory");       \
           cpu->cc = cc; set##b(cpu, op->src, v);)
FOR_SIZES(EXCHANGE)

OpFn *const int_xchg[INT_SIZES][2] = {
    { xchg8_rr, xchg8_mr }, { xchg16_rr, xchg16_mr }, { xchg32_rr, xchg32_mr }, { xchg64_rr, xchg64_mr },
};
OpFn *const int_xadd[INT_SIZES][3] = {
    { xadd8_rr, xadd8_mr, xadd8_lock },
    { xadd16_rr, xadd16_mr, xadd16_lock },
    { xadd32_rr, xadd32_mr, xadd32_lock },
    { xadd64_rr, xadd64_mr, xadd64_lock },
};

/* ---- CMPXCHG: the whole of RAX goes through the host's, which clears the upper half or not ---- */
#define COMPARE_EXCHANGE(b, s)                                                                                   \
    static const Op *cmpxchg##b##_rr(SoftCpu *cpu, const Op *op)                                                 \
    {                                                                                                            \
        CONTAINER(b) d = SOFT_REG(cpu, CONTAINER(b), op->dst);                                                   \
        UINT(b) v = REG(b, src);                                                                                 \
        uint64_t a = cpu->gpr[X86_RAX];                                                                          \
        SoftCc cc;                                                                                               \
                                                                                                                 \
        __asm__("movq %1, %%rax\n\tcmpxchg" #s " %3, " PART(b, 0) "\n\tmovq %%rax, %1" FLAGS_OUT                 \
                : "+&r"(d), "+&r"(a), "=&a"(cc) : "r"(v) : "cc");                                                \
        cpu->cc = cc;                                                                                            \
        cpu->gpr[X86_RAX] = a;                                                                                   \
        SOFT_REG(cpu, CONTAINER(b), op->dst) = d;                                                                \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    CMPXCHG(cmpxchg##b##_mr, b, s, "", false)                                                                    \
    CMPXCHG(cmpxchg##b##_lock, b, s, "lock\n\t", true)
#define CMPXCHG(name, b, s, prefix, locked)                                                                      \
    MODIFY(name, b, locked, UINT(b) v = REG(b, src); uint64_t a = cpu->gpr[X86_RAX]; SoftCc cc;                  \
           __asm__("movq %1, %%rax\n\t" prefix "cmpxchg" #s " %3, %0\n\tmovq %%rax, %1" FLAGS_OUT                \
                   : "+m"(*p), "+&r"(a), "=&a"(cc) : "r"(v) : "cc", "memory");                                   \
           cpu->cc = cc; cpu->gpr[X86_RAX] = a;)
FOR_SIZES(COMPARE_EXCHANGE)

OpFn *const int_cmpxchg[INT_SIZES][3] = {
    { cmpxchg8_rr, cmpxchg8_mr, cmpxchg8_lock },
    { cmpxchg16_rr, cmpxchg16_mr, cmpxchg16_lock },
    { cmpxchg32_rr, cmpxchg32_mr, cmpxchg32_lock },
    { cmpxchg64_rr, cmpxchg64_mr, cmpxchg64_lock },
};

/* ---- CMPXCHG8B, CMPXCHG16B: only ZF changes ---- */
#define PAIR(name, prefix, insn)                                                                                 \
    INLINE void name##_do(SoftCpu *cpu, void *p)                                                                 \
    {                                                                                                            \
        uint64_t a = cpu->gpr[X86_RAX], d = cpu->gpr[X86_RDX];                                                   \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__ volatile(FLAGS_IN "movq %1, %%rax\n\t" prefix insn " (%3)\n\tmovq %%rax, %1" FLAGS_OUT           \
                         : "+&a"(cc), "+&r"(a), "+&d"(d)                                                         \
                         : "r"(p), "b"(cpu->gpr[X86_RBX]), "c"(cpu->gpr[X86_RCX])                                \
                         : "cc", "memory");                                                                      \
        cpu->cc = cc;                                                                                            \
        cpu->gpr[X86_RAX] = a;                                                                                   \
        cpu->gpr[X86_RDX] = d;                                                                                   \
    }
PAIR(pair8, "", "cmpxchg8b")
PAIR(pair8_lock, "lock\n\t", "cmpxchg8b")
PAIR(pair16, "", "cmpxchg16b")
PAIR(pair16_lock, "lock\n\t", "cmpxchg16b")

#define PAIR_HANDLER(name, size, locked)                                                                         \
    SLOW const Op *cmpxchg_##name##_slow(SoftCpu *cpu, const Op *op)                                             \
    {                                                                                                            \
        uint64_t linear = soft_ea(cpu, op);                                                                      \
        void *p;                                                                                                 \
                                                                                                                 \
        soft_sync(cpu, op);                                                                                      \
        if ((size) == 16 && linear & 15) {                                                                       \
            soft_raise_error(cpu, VECTOR_GP, 0);                                                                 \
        }                                                                                                        \
        p = int_modify_begin(cpu, op, linear, size, locked);                                                     \
        name##_do(cpu, p);                                                                                       \
        soft_write_end(cpu);                                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *cmpxchg_##name(SoftCpu *cpu, const Op *op)                                                  \
    {                                                                                                            \
        uint64_t linear = soft_ea(cpu, op);                                                                      \
        void *p = soft_tlb_write(cpu, linear, size);                                                             \
                                                                                                                 \
        if (UNLIKELY(!p || ((size) == 16 && linear & 15)) ||                                                     \
            ((locked) && UNLIKELY(soft_splits_lock(linear, size)))) {                                            \
            return cmpxchg_##name##_slow(cpu, op);                                                               \
        }                                                                                                        \
        name##_do(cpu, p);                                                                                       \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
PAIR_HANDLER(pair8, 8, false)
PAIR_HANDLER(pair8_lock, 8, true)
PAIR_HANDLER(pair16, 16, false)
PAIR_HANDLER(pair16_lock, 16, true)

OpFn *const int_cmpxchg_pair[2][2] = { { cmpxchg_pair8, cmpxchg_pair8_lock }, { cmpxchg_pair16, cmpxchg_pair16_lock } };
