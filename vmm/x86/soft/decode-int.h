/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of the decoder (decode*.c).  Private to them.
 */
#pragma once

#include "vmm/x86/soft/decode.h"
#include "vmm/x86/soft/exec-int.h"
#include "vmm/x86/soft/vm.h"

/* What an op has to do with the arithmetic flags (decode-flags.c); CC_* bits. */
#define CC_ALL (CC_CF | CC_PF | CC_AF | CC_ZF | CC_SF | CC_OF)
typedef struct OpEffects {
    OpFn *quiet;          /* the same without flags, NULL: none */
    uint16_t reads, changes;
    uint16_t kills;       /* what it changes whatever it was */
    bool may_leave;       /* before it is done: flags must be right before it */
    bool may_leave_after; /* and after it */
    bool elsewhere;       /* its handler may not go on to the next op */
    bool fused;           /* a compare that does the jump behind it */
    uint8_t compare;      /* 1 + an index of int_fused: a CMP or TEST of that size and form */
    uint8_t size, form;
} OpEffects;

/* One run of soft_decode(), and the instruction it is at. */
typedef struct Decode {
    SoftDecode *d;
    ZydisDecoder decoder;
    ZydisDecoderContext context;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    unsigned start;       /* of the instruction, from the block's first byte */
    Op *op;               /* of the instruction; counted in d->n once it is appended */
    bool ends;            /* nothing falls through it */
    bool skipped, was_skipped; /* it, and the one before, is a NOP without an op */
    OpEffects effects[BLOCK_OPS];
} Decode;

/* ---- decode.c ---- */
static inline unsigned decode_code(const Decode *x)
{
    return x->d->mode & MODE_CODE;
}

/* A new op of this instruction, not appended. */
Op *decode_new_op(Decode *x, OpFn *fn);
/* Its effects, to be made weaker: everything of the flags matters to it. */
OpEffects *decode_append(Decode *x);
/* The instruction raises that exception instead. */
void decode_raise(Decode *x, unsigned vector);

/* ---- decode-operands.c ---- */
typedef enum DecodeAddress {
    ADDRESS_ACCESS, /* linear, checked against the segment */
    ADDRESS_BASE,   /* linear, not checked: INVLPG */
    ADDRESS_OFFSET, /* the handler checks: BT with a bit in a register (bit_word() in exec-int-bits.c), ARPL */
    ADDRESS_VALUE,  /* LEA */
} DecodeAddress;
/* The op of the instruction, with its memory operand (NULL: none), after a pre-op if it needs one. */
void decode_memory(Decode *x, const ZydisDecodedOperand *o, DecodeAddress what);
/* The same with all visible operands as documented at SoftInstr. */
void decode_operands(Decode *x, DecodeAddress what);
uint16_t decode_register(ZydisRegister r);
/* Of the source of a string instruction, XLAT. */
unsigned decode_source_segment(const Decode *x);

/* ---- decode-int.c ---- */
/* Whether the instruction is one of ours; then it is done. */
bool decode_int(Decode *x);

/* ---- decode-branch.c ---- */
bool decode_jcc(Decode *x, unsigned condition);
bool decode_loop(Decode *x, unsigned which);
bool decode_jmp(Decode *x, unsigned unused);
bool decode_call(Decode *x, unsigned unused);
bool decode_ret(Decode *x, unsigned unused);
bool decode_push(Decode *x, unsigned unused);
bool decode_pop(Decode *x, unsigned unused);
/* What Zydis does not know of AMD's branches. */
void decode_branch_width(Decode *x);
void decode_stack_runs(SoftDecode *d);

/* ---- decode-flags.c ---- */
void decode_quiet_flags(Decode *x);

/* ---- decode-isa.c ---- */
/* Zydis for the mode, with the instruction sets that change what others' bytes mean. */
void decode_init(Decode *x);
/* Whether the guest's CPUID offers the instruction. */
bool decode_is_offered(const Decode *x);
/* What an instruction on vector or x87 registers raises in this mode; -1: nothing.  *ret_fp: whether it is one. */
int decode_fp_exception(const Decode *x, bool *ret_fp);
