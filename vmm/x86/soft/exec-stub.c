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

const Op *soft_op_nothing(SoftCpu *cpu, const Op *op)
{
    SOFT_NEXT(cpu, op);
}

/* ---- traps ---- */

void soft_stub_fault(SoftCpu *cpu, const Op *op, unsigned vector)
{
    soft_sync(cpu, op);
    if (vector == VECTOR_MF) {
        soft_fp_error(cpu);
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
        soft_fp_error(cpu);
    }
    return soft_stub_run(cpu, op, (void *)(uintptr_t)soft_read_begin(cpu, linear, op->size, soft_op_access(op)));
}

static __attribute__((noinline)) const Op *store_slowly(SoftCpu *cpu, const Op *op, uint64_t linear, bool with_contents)
{
    void *memory;

    if (must_wait(cpu, op)) {
        soft_fp_error(cpu);
    }
    memory = soft_write_begin(cpu, linear, op->size, soft_op_access(op), with_contents, false);
    soft_stub_run(cpu, op, memory);
    soft_write_end(cpu);
    SOFT_NEXT(cpu, op);
}

static __attribute__((noinline)) const Op *misaligned(SoftCpu *cpu, const Op *op)
{
    if (must_wait(cpu, op)) {
        soft_fp_error(cpu);
    }
    soft_raise_error(cpu, VECTOR_GP, 0);
}

/* ---- handlers: once per size, alignment, and way to form the address ---- */

enum { EA_BASE, EA_ANY, EAS }; /* base and displacement; all of soft_ea() */

static inline __attribute__((always_inline)) uint64_t address(const SoftCpu *cpu, const Op *op, unsigned kind)
{
    return kind == EA_BASE ? cpu->r[op->base] + (uint64_t)(int64_t)op->disp : soft_ea(cpu, op);
}

#define HANDLER(name, kind, look_up, bytes, alignment, slowly)     \
    static const Op *name(SoftCpu *cpu, const Op *op)              \
    {                                                              \
        uint64_t linear = address(cpu, op, kind);                  \
        void *memory = look_up(cpu, linear, bytes);                \
                                                                   \
        if ((alignment) && UNLIKELY(linear & ((alignment) - 1))) { \
            return misaligned(cpu, op);                            \
        }                                                          \
        if (UNLIKELY(!memory)) {                                   \
            return slowly;                                         \
        }                                                          \
        return soft_stub_run(cpu, op, memory);                          \
    }
#define HANDLERS(name, look_up, bytes, alignment, slowly)                   \
    HANDLER(name##_base, EA_BASE, look_up, bytes, alignment, slowly)        \
    HANDLER(name##_any, EA_ANY, look_up, bytes, alignment, slowly)          \
    static OpFn *const name[EAS] = { name##_base, name##_any };
#define LOADS(name, bytes, alignment) HANDLERS(name, soft_tlb_read, bytes, alignment, load_slowly(cpu, op, linear))
#define STORES(name, bytes, alignment) \
    HANDLERS(name, soft_tlb_write, bytes, alignment, store_slowly(cpu, op, linear, op->src & STUB_PARTIAL))

LOADS(load, op->size, 0)
LOADS(load_4, 4, 0)
LOADS(load_8, 8, 0)
LOADS(load_16, 16, 0)
LOADS(load_32, 32, 0)
LOADS(load_aligned_16, 16, 16)
LOADS(load_aligned_32, 32, 32)
STORES(store, op->size, 0)
STORES(store_4, 4, 0)
STORES(store_8, 8, 0)
STORES(store_16, 16, 0)
STORES(store_32, 32, 0)
STORES(store_aligned_16, 16, 16)
STORES(store_aligned_32, 32, 32)
HANDLERS(modify, soft_tlb_write, op->size, 0, store_slowly(cpu, op, linear, true))

static OpFn *const *handlers(const StubForm *form)
{
    bool writes = form->store;

    if (form->load && form->store) {
        return modify;
    }
    switch (form->bytes) {
    case 4:
        return writes ? store_4 : load_4;
    case 8:
        return writes ? store_8 : load_8;
    case 16:
        return form->aligned ? (writes ? store_aligned_16 : load_aligned_16) : writes ? store_16 : load_16;
    case 32:
        return form->aligned ? (writes ? store_aligned_32 : load_aligned_32) : writes ? store_32 : load_32;
    default:
        return form->store ? store : load;
    }
}

OpFn *soft_stub_handler(const StubForm *form, const Op *op)
{
    return handlers(form)[op->index == SLOT_ZERO && op->seg == SEG_NONE ? EA_BASE : EA_ANY];
}
