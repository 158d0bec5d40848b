/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions: MOVS, STOS, LODS, CMPS, SCAS (SDM 1-7.3.9, 2A and 2B under their
 * names), of one element; exec-string-rep.c has the repeated forms.  And the table of
 * them and of the port instructions (exec-io.c).
 *
 * Registers change last, so a fault leaves them at the element that faulted.
 */
#include "vmm/x86/soft/decode.h"
#include "vmm/x86/soft/exec-string.h"

static inline __attribute__((always_inline)) const Op *movs(SoftCpu *cpu, const Op *op, unsigned size)
{
    uint64_t value, to;

    if (string_is_repeated(op)) {
        return soft_rep_movs(cpu, op);
    }
    soft_sync(cpu, op);
    value = string_load(cpu, string_source(cpu, op, size), size, string_source_access(op));
    to = string_destination(cpu, op, size, ACCESS_WRITE);
    string_store(cpu, to, size, value);
    string_advance(cpu, op, X86_RSI, 1, size);
    string_advance(cpu, op, X86_RDI, 1, size);
    SOFT_NEXT(cpu, op);
}

static inline __attribute__((always_inline)) const Op *stos(SoftCpu *cpu, const Op *op, unsigned size)
{
    if (string_is_repeated(op)) {
        return soft_rep_stos(cpu, op);
    }
    soft_sync(cpu, op);
    string_store(cpu, string_destination(cpu, op, size, ACCESS_WRITE), size, cpu->gpr[X86_RAX]);
    string_advance(cpu, op, X86_RDI, 1, size);
    SOFT_NEXT(cpu, op);
}

static inline __attribute__((always_inline)) const Op *lods(SoftCpu *cpu, const Op *op, unsigned size)
{
    if (string_is_repeated(op)) {
        return soft_rep_lods(cpu, op);
    }
    soft_sync(cpu, op);
    string_set_rax(cpu, size, string_load(cpu, string_source(cpu, op, size), size, string_source_access(op)));
    string_advance(cpu, op, X86_RSI, 1, size);
    SOFT_NEXT(cpu, op);
}

static inline __attribute__((always_inline)) const Op *cmps(SoftCpu *cpu, const Op *op, unsigned size)
{
    uint64_t a, b;

    if (string_is_repeated(op)) {
        return soft_rep_cmps(cpu, op);
    }
    soft_sync(cpu, op);
    b = string_load(cpu, string_destination(cpu, op, size, ACCESS_READ), size, ACCESS_READ);
    a = string_load(cpu, string_source(cpu, op, size), size, string_source_access(op));
    cpu->cc = string_compare(a, b, size);
    string_advance(cpu, op, X86_RSI, 1, size);
    string_advance(cpu, op, X86_RDI, 1, size);
    SOFT_NEXT(cpu, op);
}

static inline __attribute__((always_inline)) const Op *scas(SoftCpu *cpu, const Op *op, unsigned size)
{
    uint64_t value;

    if (string_is_repeated(op)) {
        return soft_rep_scas(cpu, op);
    }
    soft_sync(cpu, op);
    value = string_load(cpu, string_destination(cpu, op, size, ACCESS_READ), size, ACCESS_READ);
    cpu->cc = string_compare(cpu->gpr[X86_RAX], value, size);
    string_advance(cpu, op, X86_RDI, 1, size);
    SOFT_NEXT(cpu, op);
}

#define STRING(name, letter, size)                                 \
    static const Op *op_##name##letter(SoftCpu *cpu, const Op *op) \
    {                                                              \
        return name(cpu, op, size);                                \
    }
#define STRING_SIZES(name) STRING(name, b, 1) STRING(name, w, 2) STRING(name, d, 4) STRING(name, q, 8)
STRING_SIZES(movs)
STRING_SIZES(stos)
STRING_SIZES(lods)
STRING_SIZES(cmps)
STRING_SIZES(scas)

#define ROWS(NAME, name)                                             \
    { ZYDIS_MNEMONIC_##NAME##B, op_##name##b, INSTR_STRING, 0, 0 },  \
    { ZYDIS_MNEMONIC_##NAME##W, op_##name##w, INSTR_STRING, 0, 0 },  \
    { ZYDIS_MNEMONIC_##NAME##D, op_##name##d, INSTR_STRING, 0, 0 },  \
    { ZYDIS_MNEMONIC_##NAME##Q, op_##name##q, INSTR_STRING, 0, 0 }

/* Ports may change anything: the memory map, interrupts. */
#define PORTS (INSTR_STRING | INSTR_ENDS)

const SoftInstr soft_string_instructions[] = {
    ROWS(MOVS, movs),
    ROWS(STOS, stos),
    ROWS(LODS, lods),
    ROWS(CMPS, cmps),
    ROWS(SCAS, scas),
    { ZYDIS_MNEMONIC_INSB, soft_op_ins, PORTS, 0, 0 },
    { ZYDIS_MNEMONIC_INSW, soft_op_ins, PORTS, 0, 0 },
    { ZYDIS_MNEMONIC_INSD, soft_op_ins, PORTS, 0, 0 },
    { ZYDIS_MNEMONIC_OUTSB, soft_op_outs, PORTS, 0, 0 },
    { ZYDIS_MNEMONIC_OUTSW, soft_op_outs, PORTS, 0, 0 },
    { ZYDIS_MNEMONIC_OUTSD, soft_op_outs, PORTS, 0, 0 },
    { ZYDIS_MNEMONIC_IN, soft_op_in_dx, INSTR_ENDS, 0, ZYDIS_REGCLASS_GPR16 },
    { ZYDIS_MNEMONIC_IN, soft_op_in_imm, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_OUT, soft_op_out_dx, INSTR_ENDS, ZYDIS_REGCLASS_GPR16, 0 },
    { ZYDIS_MNEMONIC_OUT, soft_op_out_imm, INSTR_ENDS, 0, 0 },
    { 0 },
};
