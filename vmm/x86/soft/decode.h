/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From guest bytes to operations.  Private to the library.
 *
 * decode.c reads instructions with Zydis and looks each up in the tables of handlers, in
 * the order: the integer instructions of its own (decode-int.c); the explicit lists below;
 * at last the native stubs (stub.h), which run whatever user-mode instruction has no
 * handler.  What is in none of them, is not in the guest's CPUID, or is not allowed in this
 * mode raises #UD.
 *
 * Decoding runs outside (soft_outside_begin()) under vm->lock.
 */
#pragma once

#include <Zydis/Zydis.h>

#include "vmm/x86/soft/op.h"

#define BLOCK_OPS (2 * BLOCK_INSTRUCTIONS + 2)

/* What can be after an op's handler: its block may be gone, or it may go on to another op than the next.  FUSED: it is
 * a compare that does the jump behind it, too, and the last. */
enum { AFTER_STORE = 1, AFTER_ELSEWHERE = 2, AFTER_FUSED = 4 };

/* An instruction of vector registers, with its memory operand (bytes of it; 0: none) at rdx: for translate-vector.c. */
typedef struct SoftInline { uint8_t code[16], length, bytes; bool writes, aligned; } SoftInline;

typedef struct SoftDecode {
    SoftCpu *cpu;
    const uint8_t *bytes;    /* copy of guest code: stable */
    unsigned available;      /* bytes up to the end of the page (or 15 with crossing) */
    bool crossing;           /* bytes holds one instruction that crosses into the next page */
    uint32_t mode;
    unsigned page_offset;    /* of the first byte */
    /* Results. */
    bool crosses;            /* nothing decoded: the first instruction needs bytes of the next page */
    unsigned length, count, n;
    Op op[BLOCK_OPS];
    uint8_t does[BLOCK_OPS];    /* how many ops its handler does, if it does all that it can */
    uint8_t after[BLOCK_OPS];   /* AFTER_* */
    SoftInline code[BLOCK_OPS]; /* length 0: it is not one */
} SoftDecode;

/* Up to the first instruction that ends a block, the page's end, BLOCK_INSTRUCTIONS, or one with MODE_SINGLE.  Always
 * ends in an op that does not fall through.  False: crosses. */
bool soft_decode(SoftDecode *d);

/* ---- tables of handlers ---- */
typedef enum SoftInstrFlags {
    INSTR_ENDS = 1,      /* may change what decoding depends on, or where execution goes on: the last of its block; the
                          * handler returns soft_end() or soft_goto() */
    INSTR_NO_64 = 2,     /* #UD in 64-bit code */
    INSTR_NO_LEGACY = 4, /* #UD outside of it */
    INSTR_PROTECTED = 8, /* #UD in real and virtual-8086 mode */
    INSTR_STRING = 16,   /* memory operands are implicit (rSI, rDI): no effective address; op->seg is the number of the
                          * source's segment */
    INSTR_LOCK = 32,     /* LOCK is allowed with a memory destination */
    INSTR_FP = 64,       /* #NM, #UD by MODE_NO_FPU, MODE_NO_SSE ... as for its class of instructions */
} SoftInstrFlags;

/* A row gets its operands packed in the order they are written: general registers as byte offsets into dst (the first
 * operand) and src (another), segment, control and debug registers as numbers in the same places, memory as base,
 * index, scale, seg, disp and OP_MEM (linear address by soft_ea(), already checked against its segment outside of
 * 64-bit code), an immediate in imm (sign-extended; far pointers: selector << 32 | offset), near branch targets as
 * delta from the block's start in imm. size: the operand size; flags: address size, LOCK, REP, REPNE, OP_STACK. */
typedef struct SoftInstr {
    ZydisMnemonic mnemonic;
    OpFn *fn;
    unsigned flags;
    /* The register class of the first operand that this row is for (ZYDIS_REGCLASS_*), 0: any.  Tells MOV to and from
     * control, debug and segment registers from each other and from the plain MOV. */
    uint8_t first, second;
} SoftInstr;

/* mnemonic 0 ends each. */
extern const SoftInstr soft_transfer_instructions[]; /* exec-transfer.c: far branches, INT, IRET, SYSCALL ... */
extern const SoftInstr soft_system_instructions[];   /* exec-system.c: control registers, MSRs, CPUID, TLB ... */
extern const SoftInstr soft_segment_instructions[];  /* exec-segment.c: MOV/POP/PUSH segment, LDS, LAR, VERR, FS ... */
extern const SoftInstr soft_string_instructions[];   /* exec-string.c: MOVS ... OUTS, IN, OUT */
extern const SoftInstr soft_flag_instructions[];     /* exec-flags.c: PUSHF, POPF, CLI, STI, CLD, STD, CLAC, STAC */
extern const SoftInstr soft_fpu_instructions[];      /* exec-fpu.c: FXSAVE, XSAVE family, FSAVE, WAIT, VMASKMOV ... */

/* ---- stub.h: the rest ---- */
/* Fills fn, ptr, size, dst, src of an op whose memory operand, if any, is packed already.  False: no such
 * instruction. */
bool soft_stub_emit(SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands, Op *op);
