/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that 64-bit code has not, so that the host cannot be asked: DAA, DAS, AAA,
 * AAS, AAM, AAD (SDM 2A, each under its name), SALC, BOUND.  Flags that are undefined there
 * are as the operation's last addition or AND leaves them.
 */
#include "vmm/x86/soft/exec-int.h"

#define AL SOFT_REG(cpu, uint8_t, X86_RAX * 8)
#define AH SOFT_REG(cpu, uint8_t, X86_RAX * 8 + 1)

/* SF, ZF and PF of a byte; the others clear. */
static SoftCc flags_of(uint8_t value)
{
    SoftCc cc;

    __asm__("testb %1, %1" FLAGS_OUT : "=a"(cc) : "q"(value) : "cc");
    return cc & (SoftCc)~CC_AF;
}

static const Op *decimal(SoftCpu *cpu, const Op *op, int sign)
{
    uint8_t old = AL, al = old;
    bool carry = cpu->cc & CC_CF, low = (old & 15) > 9 || cpu->cc & CC_AF, high = old > 0x99 || carry;

    al += low ? sign * 6 : 0;
    al += high ? sign * 0x60 : 0;
    /* DAS borrows from the low digit too. */
    carry = high || (sign < 0 && low && old < 6);
    AL = al;
    cpu->cc = flags_of(al) | (low ? CC_AF : 0) | (carry ? CC_CF : 0);
    SOFT_NEXT(cpu, op);
}

const Op *int_op_daa(SoftCpu *cpu, const Op *op)
{
    return decimal(cpu, op, 1);
}

const Op *int_op_das(SoftCpu *cpu, const Op *op)
{
    return decimal(cpu, op, -1);
}

static const Op *ascii(SoftCpu *cpu, const Op *op, int sign)
{
    bool adjust = (AL & 15) > 9 || cpu->cc & CC_AF;

    if (adjust) {
        SOFT_REG(cpu, uint16_t, X86_RAX * 8) += sign * 6;
        AH += sign;
    }
    AL &= 15;
    cpu->cc = flags_of(AL) | (adjust ? CC_AF | CC_CF : 0);
    SOFT_NEXT(cpu, op);
}

const Op *int_op_aaa(SoftCpu *cpu, const Op *op)
{
    return ascii(cpu, op, 1);
}

const Op *int_op_aas(SoftCpu *cpu, const Op *op)
{
    return ascii(cpu, op, -1);
}

const Op *int_op_aam(SoftCpu *cpu, const Op *op)
{
    uint8_t base = (uint8_t)op->imm, al = AL;

    if (base == 0) {
        soft_sync(cpu, op);
        soft_raise(cpu, VECTOR_DE);
    }
    AH = al / base;
    AL = al % base;
    cpu->cc = flags_of(AL);
    SOFT_NEXT(cpu, op);
}

const Op *int_op_aad(SoftCpu *cpu, const Op *op)
{
    uint8_t sum = AL, product = (uint8_t)(AH * (uint8_t)op->imm);
    SoftCc cc;

    __asm__("addb %2, %0" FLAGS_OUT : "+q"(sum), "=a"(cc) : "q"(product) : "cc");
    SOFT_REG(cpu, uint16_t, X86_RAX * 8) = sum;
    cpu->cc = cc;
    SOFT_NEXT(cpu, op);
}

const Op *int_op_salc(SoftCpu *cpu, const Op *op)
{
    AL = cpu->cc & CC_CF ? 0xff : 0;
    SOFT_NEXT(cpu, op);
}

static int64_t bound_at(SoftCpu *cpu, const Op *op, uint64_t linear)
{
    return op->size == 2 ? (int16_t)soft_ld16(cpu, op, linear) : (int32_t)soft_ld32(cpu, op, linear);
}

const Op *int_op_bound(SoftCpu *cpu, const Op *op)
{
    int64_t index = op->size == 2 ? (int16_t)REG(16, dst) : (int32_t)REG(32, dst);
    uint64_t linear = soft_ea(cpu, op);

    if (index < bound_at(cpu, op, linear) || index > bound_at(cpu, op, linear + op->size)) {
        soft_sync(cpu, op);
        soft_raise(cpu, VECTOR_BR);
    }
    SOFT_NEXT(cpu, op);
}
