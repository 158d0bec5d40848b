/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Native stubs: short pieces of generated code that execute one guest instruction with the
 * guest's own vector, x87 and (in other registers) general registers.  Private to the
 * library.
 *
 * A stub is a handler of an Op (op.h) that ends by going on to the next op.  One with a
 * memory operand takes the operand's host address as a third argument and is entered by the
 * handlers of exec-stub.c, which make all checks; it is Op.ptr then, and in Op
 *     size   bytes of memory that it accesses
 *     src    STUB_* bits
 *     dst    register numbers of masked operations, exec-mask.c
 *
 * What runs natively is what has no effect but on registers, flags and its one memory
 * operand; stub-list.c has the list.  The instruction is re-encoded for 64-bit mode, with
 * its memory operand replaced by a register, so that one stub serves every address; stubs
 * are found by these bytes.
 *
 * At the guest's instruction rdi is the SoftCpu, rsi the Op, and the stack as at entry:
 * signal.c goes on from a trap there in soft_stub_fault().  (MASKMOVQ and MASKMOVDQU, which
 * need rdi, cannot trap.)
 *
 * The store is one memory object mapped twice, writable and executable.  It grows until it
 * is full; then every block is dropped and it starts anew (SoftVm.stubs_full).
 */
#pragma once

#include "vmm/x86/soft/decode.h"
#include "vmm/x86/soft/op.h"

typedef const Op *StubFn(SoftCpu *cpu, const Op *op, void *memory);

/* The stub of an op, on its operand or what stands for it; returns the next op. */
static inline const Op *soft_stub_run(SoftCpu *cpu, const Op *op, void *memory)
{
    return ((StubFn *)(uintptr_t)op->ptr)(cpu, op, memory);
}

enum {
    STUB_PARTIAL = 1 << 0,   /* may leave bytes of its destination as they were */
    STUB_WAITS = 1 << 1,     /* #MF of earlier x87 instructions comes before any fault of the memory operand */
    STUB_ELEMENT = 0xf << 4, /* bytes of an element of a masked operation: 1, 4, 8 */
};
#define STUB_ELEMENT_SHIFT 4

enum { HOST_AX, HOST_CX, HOST_DX, HOST_BX, HOST_SP, HOST_BP, HOST_SI, HOST_DI, HOST_NONE = 0xff };

/* ---- stub-list.c: which instructions ---- */
typedef struct StubForm StubForm;
/* nothing: a hint, or what is one without its feature. */
bool soft_stub_allowed(const ZydisDecodedInstruction *insn, uint32_t mode, bool *ret_nothing);
/* Whether it takes pending x87 exceptions. */
bool soft_stub_waits(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands);
/* Whether the x87 instruction pointer becomes its address. */
bool soft_stub_sets_pointer(const ZydisDecodedInstruction *insn);
/* Whether it depends on vector or x87 state though no operand tells: VZEROUPPER, EMMS, FNOP, CVTSD2SI from memory. */
bool soft_stub_uses_vectors(const ZydisDecodedInstruction *insn);
/* Whether its memory operand must be aligned to its size. */
bool soft_stub_aligned(const ZydisDecodedInstruction *insn, const StubForm *form);
/* Whether with a memory operand it is more than an access to that. */
bool soft_stub_special(const ZydisDecodedInstruction *insn, const StubForm *form);

/* ---- stub-form.c: what an instruction becomes ---- */
typedef struct StubRegister { uint8_t guest, host; bool high, fixed, written; } StubRegister;

struct StubForm {
    uint8_t code[16];        /* for 64-bit mode */
    uint8_t length;
    uint8_t registers;
    StubRegister reg[6];     /* general registers that it reads or writes */
    uint8_t memory;          /* host register that addresses the memory operand; HOST_NONE: no such operand */
    uint8_t bytes;           /* of it */
    bool load, store;
    bool aligned;            /* #GP(0) unless aligned to its size */
    bool partial, waits;     /* STUB_PARTIAL, STUB_WAITS */
    bool nothing;            /* a hint that does nothing */
    bool fp, flags_in, flags_out;
    bool pointer;            /* becomes the last x87 instruction */
    bool byte_mask;          /* MASKMOVQ, MASKMOVDQU */
};

/* False: not to be run natively. */
bool soft_stub_form(const SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                    StubForm *ret);
/* Whether `form` still decodes as the instruction it was made of. */
bool soft_stub_form_check(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                          const StubForm *form);

/* ---- stub.c: the store; vm->lock ---- */
void *soft_stub_find(SoftVm *vm, const StubForm *form); /* NULL: there is none yet */
void *soft_stub_add(SoftVm *vm, const StubForm *form);  /* NULL: no room, and vm->stubs_full is set */

/* ---- stub-emit.c: code ---- */
#define STUB_BYTES_MAX 256
/* What every stub may call, at the start of the store; returns its length. */
uint32_t soft_stub_common(uint8_t *to);
/* The stub's code; common: from `to` to soft_stub_common()'s.  Returns its length. */
uint32_t soft_stub_code(uint8_t *to, int32_t common, const StubForm *form);
/* An op whose address is not to be checked: its pre-op, if it has one, does nothing. */
void soft_stub_drop_address(Op *op);
/* Finds or makes the stub of an instruction.  NULL: none. */
void *soft_stub_make(SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                     StubForm *ret);

/* ---- exec-stub.c ---- */
OpFn soft_op_nothing;
OpFn *soft_stub_handler(const StubForm *form, const Op *op); /* of one with a memory operand, packed already */
/* Where a stub that trapped goes on: raises the exception. */
_Noreturn void soft_stub_fault(SoftCpu *cpu, const Op *op, unsigned vector);

/* ---- exec-mask.c: VMASKMOV, VPMASKMOV, MASKMOV, gathers ---- */
bool soft_mask_emit(SoftDecode *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands, Op *op);

/* ---- signal.c ---- */
/* Addresses at which SIGFPE, SIGILL and SIGSEGV are a guest's exceptions; called: the stack is as at a stub's entry,
 * else it is 16-byte aligned. */
bool soft_signals_add(uintptr_t first, uintptr_t end, bool called, GError **error);
void soft_signals_remove(uintptr_t first);
