/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BT, BTS, BTR, BTC, BSF, BSR, TZCNT, LZCNT, POPCNT: SDM 2A/2B, each under its name.
 *
 * The bit of a memory operand may be far from it when its number is in a register: then the
 * operand is the word that the bit is in, relative to the address that is encoded.
 */
#include "vmm/x86/soft/exec-int.h"

/* ---- a register, or a bit within the operand: the host masks the number ---- */
#define BIT_REGISTER(name, b, s, suffix, source)                                                                 \
    static const Op *name##b##_##suffix(SoftCpu *cpu, const Op *op)                                              \
    {                                                                                                            \
        uint64_t d = SOFT_REG(cpu, uint64_t, op->dst);                                                           \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__(FLAGS_IN #name #s " %2, " PART(b, 0) FLAGS_OUT                                                   \
                : "+&r"(d), "+&a"(cc) : "r"((UINT(b))(source)) : "cc");                                          \
        cpu->cc = cc;                                                                                            \
        SOFT_REG(cpu, uint64_t, op->dst) = d;                                                                    \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
/* On a word in memory, the bit's number already within it. */
#define BIT_DO(name, b, s, prefix, do_name)                                                                      \
    INLINE void do_name(SoftCpu *cpu, volatile UINT(b) *p, UINT(b) bit)                                          \
    {                                                                                                            \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__ volatile(FLAGS_IN prefix #name #s " %2, %0" FLAGS_OUT                                            \
                         : "+m"(*p), "+&a"(cc) : "r"(bit) : "cc", "memory");                                     \
        cpu->cc = cc;                                                                                            \
    }
#define BIT_WRITES(do_name, b, locked, handler, ea, bit)                                                         \
    SLOW const Op *handler##_slow(SoftCpu *cpu, const Op *op)                                                    \
    {                                                                                                            \
        void *p = int_modify_begin(cpu, op, ea, (b) / 8, locked);                                                \
                                                                                                                 \
        do_name(cpu, p, (UINT(b))((bit) & ((b)-1)));                                                             \
        soft_write_end(cpu);                                                                                     \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *handler(SoftCpu *cpu, const Op *op)                                                         \
    {                                                                                                            \
        void *p = soft_tlb_write(cpu, ea, (b) / 8);                                                              \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return handler##_slow(cpu, op);                                                                      \
        }                                                                                                        \
        do_name(cpu, p, (UINT(b))((bit) & ((b)-1)));                                                             \
        SOFT_NEXT(cpu, op);                                                                                      \
    }
/* BT only reads. */
#define BIT_READS(b, s, handler, ea, bit)                                                                        \
    SLOW const Op *handler##_slow(SoftCpu *cpu, const Op *op)                                                    \
    {                                                                                                            \
        UINT(b) v = soft_ld##b(cpu, op, ea);                                                                     \
                                                                                                                 \
        bt##b##_do(cpu, &v, (UINT(b))((bit) & ((b)-1)));                                                         \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *handler(SoftCpu *cpu, const Op *op)                                                         \
    {                                                                                                            \
        void *p = soft_tlb_read(cpu, ea, (b) / 8);                                                               \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return handler##_slow(cpu, op);                                                                      \
        }                                                                                                        \
        bt##b##_do(cpu, p, (UINT(b))((bit) & ((b)-1)));                                                          \
        SOFT_NEXT(cpu, op);                                                                                      \
    }

/* The linear address of the word that holds bit number `bit` (signed) of the operand.  Outside of 64-bit code the
 * offset that decoding left in SLOT_EA is not yet checked, and op->seg is the number of the segment. */
static uint64_t bit_word(SoftCpu *cpu, const Op *op, int64_t bit, unsigned size, bool writes)
{
    uint64_t offset = (uint64_t)(bit >> 3) & ~(uint64_t)(size - 1);
    unsigned access = soft_op_access(op) | (writes ? ACCESS_WRITE : ACCESS_READ);

    if (soft_in_64bit_code(cpu)) {
        offset += cpu->r[op->base] + (cpu->r[op->index] << op->scale) + (uint64_t)(int64_t)op->disp;
        if (op_address_bytes(op) == 4) {
            offset = (uint32_t)offset;
        }
        return offset + cpu->seg_base[op->seg];
    }
    offset += cpu->r[SLOT_EA];
    offset &= op_address_bytes(op) == 2 ? UINT16_MAX : UINT32_MAX;
    soft_sync(cpu, op);
    return soft_linear(cpu, op->seg, offset, size, access);
}

#define NUMBER(b) ((int64_t)(SINT(b))REG(b, src))
#define BIT_TEST(b, s)                                                                                           \
    BIT_REGISTER(bt, b, s, rr, REG(b, src))                                                                      \
    BIT_REGISTER(bt, b, s, ri, op->imm)                                                                          \
    BIT_DO(bt, b, s, "", bt##b##_do)                                                                             \
    BIT_READS(b, s, bt##b##_mi, soft_ea(cpu, op), op->imm)                                                       \
    BIT_READS(b, s, bt##b##_mr, bit_word(cpu, op, NUMBER(b), (b) / 8, false), NUMBER(b))
#define BIT_MODIFY(name, b, s)                                                                                   \
    BIT_REGISTER(name, b, s, rr, REG(b, src))                                                                    \
    BIT_REGISTER(name, b, s, ri, op->imm)                                                                        \
    BIT_DO(name, b, s, "", name##b##_do)                                                                         \
    BIT_DO(name, b, s, "lock\n\t", name##b##_lock_do)                                                            \
    BIT_WRITES(name##b##_do, b, false, name##b##_mi, soft_ea(cpu, op), op->imm)                                  \
    BIT_WRITES(name##b##_lock_do, b, true, name##b##_mi_lock, soft_ea(cpu, op), op->imm)                         \
    BIT_WRITES(name##b##_do, b, false, name##b##_mr, bit_word(cpu, op, NUMBER(b), (b) / 8, true), NUMBER(b))     \
    BIT_WRITES(name##b##_lock_do, b, true, name##b##_mr_lock, bit_word(cpu, op, NUMBER(b), (b) / 8, true), NUMBER(b))
#define BIT_bts(b, s) BIT_MODIFY(bts, b, s)
#define BIT_btr(b, s) BIT_MODIFY(btr, b, s)
#define BIT_btc(b, s) BIT_MODIFY(btc, b, s)
FOR_WORDS(BIT_TEST)
FOR_WORDS(BIT_bts)
FOR_WORDS(BIT_btr)
FOR_WORDS(BIT_btc)

#define WORDS(row, name) { [SIZE_16] = row(name, 16), [SIZE_32] = row(name, 32), [SIZE_64] = row(name, 64) }
#define ROW_TEST(name, b)          { name##b##_rr, name##b##_ri, name##b##_mi, NULL }
#define ROW_MODIFY(name, b)        { name##b##_rr, name##b##_ri, name##b##_mi, name##b##_mi_lock }
#define ROW_TEST_STRING(name, b)   { name##b##_mr, NULL }
#define ROW_MODIFY_STRING(name, b) { name##b##_mr, name##b##_mr_lock }
OpFn *const int_bit[BITS][INT_SIZES][4] = {
    [BIT_BT] = WORDS(ROW_TEST, bt),
    [BIT_BTS] = WORDS(ROW_MODIFY, bts),
    [BIT_BTR] = WORDS(ROW_MODIFY, btr),
    [BIT_BTC] = WORDS(ROW_MODIFY, btc),
};
OpFn *const int_bit_string[BITS][INT_SIZES][2] = {
    [BIT_BT] = WORDS(ROW_TEST_STRING, bt),
    [BIT_BTS] = WORDS(ROW_MODIFY_STRING, bts),
    [BIT_BTR] = WORDS(ROW_MODIFY_STRING, btr),
    [BIT_BTC] = WORDS(ROW_MODIFY_STRING, btc),
};

/* ---- scans: the host says what becomes of the destination when there is no bit ---- */
#define SCAN(name, b, s)                                                                                         \
    INLINE const Op *name##b##_do(SoftCpu *cpu, const Op *op, UINT(b) v)                                         \
    {                                                                                                            \
        uint64_t d = SOFT_REG(cpu, uint64_t, op->dst);                                                           \
        SoftCc cc = cpu->cc;                                                                                     \
                                                                                                                 \
        __asm__(FLAGS_IN #name #s " %2, " PART(b, 0) FLAGS_OUT : "+&r"(d), "+&a"(cc) : "r"(v) : "cc");           \
        cpu->cc = cc;                                                                                            \
        SOFT_REG(cpu, uint64_t, op->dst) = d;                                                                    \
        SOFT_NEXT(cpu, op);                                                                                      \
    }                                                                                                            \
    static const Op *name##b##_r(SoftCpu *cpu, const Op *op)                                                     \
    {                                                                                                            \
        return name##b##_do(cpu, op, REG(b, src));                                                               \
    }                                                                                                            \
    SLOW const Op *name##b##_m_slow(SoftCpu *cpu, const Op *op)                                                  \
    {                                                                                                            \
        return name##b##_do(cpu, op, soft_ld##b(cpu, op, soft_ea(cpu, op)));                                     \
    }                                                                                                            \
    static const Op *name##b##_m(SoftCpu *cpu, const Op *op)                                                     \
    {                                                                                                            \
        const void *p = AT_READ(b, EA_ANY);                                                                      \
                                                                                                                 \
        if (UNLIKELY(!p)) {                                                                                      \
            return name##b##_m_slow(cpu, op);                                                                    \
        }                                                                                                        \
        return name##b##_do(cpu, op, LOAD(b, p));                                                                \
    }
#define SCAN_bsf(b, s)    SCAN(bsf, b, s)
#define SCAN_bsr(b, s)    SCAN(bsr, b, s)
#define SCAN_tzcnt(b, s)  SCAN(tzcnt, b, s)
#define SCAN_lzcnt(b, s)  SCAN(lzcnt, b, s)
#define SCAN_popcnt(b, s) SCAN(popcnt, b, s)
FOR_WORDS(SCAN_bsf)
FOR_WORDS(SCAN_bsr)
FOR_WORDS(SCAN_tzcnt)
FOR_WORDS(SCAN_lzcnt)
FOR_WORDS(SCAN_popcnt)

#define ROW_SCAN(name, b) { name##b##_r, name##b##_m }
OpFn *const int_scan[SCANS][INT_SIZES][2] = {
    [SCAN_BSF] = WORDS(ROW_SCAN, bsf),     [SCAN_BSR] = WORDS(ROW_SCAN, bsr),
    [SCAN_TZCNT] = WORDS(ROW_SCAN, tzcnt), [SCAN_LZCNT] = WORDS(ROW_SCAN, lzcnt),
    [SCAN_POPCNT] = WORDS(ROW_SCAN, popcnt),
};
