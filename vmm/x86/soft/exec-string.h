/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the string instructions share: index registers and addresses.  Private to
 * exec-string.c, exec-string-rep.c and exec-io.c.
 *
 * rSI, rDI and rCX are as wide as the address size: 16-bit ones leave the rest of the
 * register alone, 32-bit ones clear its upper half (SDM 1-3.4.1.1).
 */
#pragma once

#include "vmm/x86/soft/op.h"

static inline uint64_t string_mask(const Op *op)
{
    return UINT64_MAX >> (64 - 8 * op_address_bytes(op));
}

static inline uint64_t string_get(const SoftCpu *cpu, const Op *op, unsigned reg)
{
    return cpu->gpr[reg] & string_mask(op);
}

static inline void string_set(SoftCpu *cpu, const Op *op, unsigned reg, uint64_t value)
{
    if (op_address_bytes(op) == 2) {
        *(uint16_t *)&cpu->gpr[reg] = (uint16_t)value;
    } else {
        cpu->gpr[reg] = value & string_mask(op);
    }
}

/* n elements on, in the direction of DF. */
static inline void string_advance(SoftCpu *cpu, const Op *op, unsigned reg, uint64_t n, unsigned size)
{
    uint64_t bytes = n * size;

    string_set(cpu, op, reg, cpu->gpr[reg] + (cpu->eflags & EFLAGS_DF ? -bytes : bytes));
}

static inline bool string_is_repeated(const Op *op)
{
    return op->flags & (OP_REP | OP_REPNE);
}

/* A segment of 4 GiB from 0, or one whose base is all that counts. */
static inline bool string_is_flat(const SoftCpu *cpu, unsigned seg)
{
    return soft_in_64bit_code(cpu) || (cpu->mode & MODE_FLAT && (seg == X86_ES || seg == X86_SS || seg == X86_DS));
}

/* Synced, unless the segment is flat. */
static inline uint64_t string_linear(SoftCpu *cpu, unsigned seg, uint64_t offset, unsigned size, unsigned access)
{
    if (LIKELY(string_is_flat(cpu, seg))) {
        return seg >= X86_FS ? offset + cpu->seg_base[seg] : offset;
    }
    return soft_linear(cpu, seg, offset, size, access);
}

/* The rights of the source: a bad address in the stack segment is #SS. */
static inline unsigned string_source_access(const Op *op)
{
    return op->seg == X86_SS ? ACCESS_STACK : ACCESS_READ;
}

/* The addresses of the element that rSI and rDI point to.  Synced, as above. */
static inline uint64_t string_source(SoftCpu *cpu, const Op *op, unsigned size)
{
    return string_linear(cpu, op->seg, string_get(cpu, op, X86_RSI), size, string_source_access(op));
}

static inline uint64_t string_destination(SoftCpu *cpu, const Op *op, unsigned size, unsigned access)
{
    return string_linear(cpu, X86_ES, string_get(cpu, op, X86_RDI), size, access);
}

static inline uint64_t string_load(SoftCpu *cpu, uint64_t linear, unsigned size, unsigned access)
{
    const void *p = soft_tlb_read(cpu, linear, size);

    if (LIKELY(p)) {
        switch (size) {
        case 1:
            return *(const volatile uint8_t *)p;
        case 2:
            return *(const volatile uint16_t *)p;
        case 4:
            return *(const volatile uint32_t *)p;
        default:
            return *(const volatile uint64_t *)p;
        }
    }
    return soft_load(cpu, linear, size, access);
}

static inline void string_store(SoftCpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
    void *p = soft_tlb_write(cpu, linear, size);

    if (UNLIKELY(!p)) {
        soft_store(cpu, linear, size, value, ACCESS_WRITE);
        return;
    }
    switch (size) {
    case 1:
        *(volatile uint8_t *)p = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)p = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)p = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)p = value;
        break;
    }
}

/* The element goes to the accumulator as MOV would move it there. */
static inline void string_set_rax(SoftCpu *cpu, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *(uint8_t *)&cpu->gpr[X86_RAX] = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)&cpu->gpr[X86_RAX] = (uint16_t)value;
        break;
    default:
        cpu->gpr[X86_RAX] = size == 4 ? (uint32_t)value : value;
        break;
    }
}

/* Flags of a - b. */
static inline SoftCc string_compare(uint64_t a, uint64_t b, unsigned size)
{
    uint64_t cc = 0;

    switch (size) {
    case 1:
        __asm__("cmpb %b2, %b1; lahf; seto %%al" : "+a"(cc) : "q"(a), "q"(b) : "cc");
        break;
    case 2:
        __asm__("cmpw %w2, %w1; lahf; seto %%al" : "+a"(cc) : "r"(a), "r"(b) : "cc");
        break;
    case 4:
        __asm__("cmpl %k2, %k1; lahf; seto %%al" : "+a"(cc) : "r"(a), "r"(b) : "cc");
        break;
    default:
        __asm__("cmpq %2, %1; lahf; seto %%al" : "+a"(cc) : "r"(a), "r"(b) : "cc");
        break;
    }
    return (SoftCc)cc;
}

/* Whether REPE or REPNE goes on after a comparison. */
static inline bool string_goes_on(const Op *op, SoftCc cc)
{
    return !(cc & CC_ZF) == !!(op->flags & OP_REPNE);
}

/* ---- exec-string-rep.c: the repeated forms ---- */
OpFn soft_rep_movs, soft_rep_stos, soft_rep_lods, soft_rep_cmps, soft_rep_scas;
/* Whether to leave with iterations left: others want this vCPU, or each iteration is to be seen by itself. */
bool soft_rep_wanted_elsewhere(const SoftCpu *cpu);
/* 32-bit addresses in 64-bit code: the registers lose their upper halves as the host does it, before the first
 * iteration.  movs, stos: the pointers of which instruction take part. */
void soft_rep_truncate(SoftCpu *cpu, const Op *op, bool movs, bool stos);
/* Some iterations are left: the instruction is restarted after what comes in between, with RF set (SDM 3-18.3.1.1). */
const Op *soft_rep_leave(SoftCpu *cpu, const Op *op);

/* ---- exec-io.c ---- */
OpFn soft_op_in_dx, soft_op_in_imm, soft_op_out_dx, soft_op_out_imm, soft_op_ins, soft_op_outs;
