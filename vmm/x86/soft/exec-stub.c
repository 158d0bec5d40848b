/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of native instructions with a memory operand, and where stubs go on that trapped
 * (stub.h).
 *
 * All checks of the operand come before the stub runs: alignment (SDM 2A section 2.4), then
 * the page.  An operand that is in one piece of guest RAM is used in place, any other by
 * soft_read_begin() and soft_write_begin(), which may go outside and put the vector registers
 * away; so stubs look for them last.
 */
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/stub.h"

static const Op *run_stub(SoftCpu *cpu, const Op *op, void *memory)
{
    return ((StubFn *)(uintptr_t)op->ptr)(cpu, op, memory);
}

const Op *soft_op_nothing(SoftCpu *cpu, const Op *op)
{
    SOFT_NEXT(cpu, op);
}

/* ---- from C and back ---- */

static const Op *op_return(SoftCpu *cpu, const Op *op)
{
    return op;
}

/* The stub goes on to the op after the one that it is given, which returns here.  (Inlined, its frame would keep callers
 * from ending in a jump.) */
__attribute__((noinline)) const Op *soft_stub_call(SoftCpu *cpu, const Op *op, void *memory)
{
    const Op frame[2] = { { .ip = op->ip, .length = op->length, .ptr = op->ptr }, { .fn = op_return } };

    return run_stub(cpu, frame, memory);
}

const Op *soft_stub_fault(SoftCpu *cpu, const Op *op, unsigned vector)
{
    soft_sync(cpu, op);
    if (vector == VECTOR_MF) {
        return soft_fp_error(cpu, op);
    }
    if (vector == VECTOR_GP) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    /* SDM 3-2.5 "OSXMMEXCPT". */
    soft_raise(cpu, vector == VECTOR_XM && !(cpu->cr4 & CR4_OSXMMEXCPT) ? VECTOR_UD : vector);
}

/* ---- what is not in the TLB, or misaligned ---- */

static bool must_wait(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    return op->src & STUB_WAITS && soft_fp_pending(cpu);
}

static __attribute__((noinline)) const Op *load_slowly(SoftCpu *cpu, const Op *op, uint64_t linear)
{
    if (must_wait(cpu, op)) {
        return soft_fp_error(cpu, op);
    }
    return run_stub(cpu, op, (void *)(uintptr_t)soft_read_begin(cpu, linear, op->size, soft_op_access(op)));
}

static __attribute__((noinline)) const Op *store_slowly(SoftCpu *cpu, const Op *op, uint64_t linear, bool with_contents)
{
    void *memory;

    if (must_wait(cpu, op)) {
        return soft_fp_error(cpu, op);
    }
    memory = soft_write_begin(cpu, linear, op->size, soft_op_access(op), with_contents, false);
    if (!soft_stub_call(cpu, op, memory)) {
        return NULL;
    }
    soft_write_end(cpu);
    SOFT_NEXT(cpu, op);
}

static __attribute__((noinline)) const Op *misaligned(SoftCpu *cpu, const Op *op)
{
    if (must_wait(cpu, op)) {
        return soft_fp_error(cpu, op);
    }
    soft_raise_error(cpu, VECTOR_GP, 0);
}

/* ---- handlers ---- */

#define STUB_OPERAND(name, look_up, bytes, alignment, slowly)      \
    static const Op *name(SoftCpu *cpu, const Op *op)              \
    {                                                              \
        uint64_t linear = soft_ea(cpu, op);                        \
        void *memory = look_up(cpu, linear, bytes);                \
                                                                   \
        if ((alignment) && UNLIKELY(linear & ((alignment) - 1))) { \
            return misaligned(cpu, op);                            \
        }                                                          \
        if (UNLIKELY(!memory)) {                                   \
            return slowly;                                         \
        }                                                          \
        return run_stub(cpu, op, memory);                          \
    }
#define STUB_LOAD(name, bytes, alignment) \
    STUB_OPERAND(name, soft_tlb_read, bytes, alignment, load_slowly(cpu, op, linear))
#define STUB_STORE(name, bytes, alignment) \
    STUB_OPERAND(name, soft_tlb_write, bytes, alignment, store_slowly(cpu, op, linear, op->src & STUB_PARTIAL))

STUB_LOAD(op_load, op->size, 0)
STUB_LOAD(op_load_4, 4, 0)
STUB_LOAD(op_load_8, 8, 0)
STUB_LOAD(op_load_16, 16, 0)
STUB_LOAD(op_load_32, 32, 0)
STUB_LOAD(op_load_aligned_16, 16, 16)
STUB_LOAD(op_load_aligned_32, 32, 32)
STUB_STORE(op_store, op->size, 0)
STUB_STORE(op_store_4, 4, 0)
STUB_STORE(op_store_8, 8, 0)
STUB_STORE(op_store_16, 16, 0)
STUB_STORE(op_store_32, 32, 0)
STUB_STORE(op_store_aligned_16, 16, 16)
STUB_STORE(op_store_aligned_32, 32, 32)
STUB_OPERAND(op_modify, soft_tlb_write, op->size, 0, store_slowly(cpu, op, linear, true))

/* ---- choosing ---- */

typedef struct Handlers { OpFn *any, *of_4, *of_8, *of_16, *of_32, *aligned_16, *aligned_32; } Handlers;

static const Handlers loads = { op_load, op_load_4, op_load_8, op_load_16, op_load_32, op_load_aligned_16,
                                op_load_aligned_32 };
static const Handlers stores = { op_store, op_store_4, op_store_8, op_store_16, op_store_32, op_store_aligned_16,
                                 op_store_aligned_32 };

OpFn *soft_stub_handler(const StubForm *form)
{
    const Handlers *h = form->store ? &stores : &loads;

    if (form->load && form->store) {
        return op_modify;
    }
    switch (form->bytes) {
    case 4:
        return h->of_4;
    case 8:
        return h->of_8;
    case 16:
        return form->aligned ? h->aligned_16 : h->of_16;
    case 32:
        return form->aligned ? h->aligned_32 : h->of_32;
    default:
        return h->any;
    }
}
