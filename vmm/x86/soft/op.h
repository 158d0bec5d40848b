/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoded operations, and how their handlers run.  Private to the library.
 *
 * An instruction is one Op, or two: in 16- and 32-bit code an operand whose address needs
 * more than the sum of slots is preceded by an Op that leaves the linear address in
 * SLOT_EA (decode.c); it changes nothing else, so leaving between the two is harmless.
 *
 * A handler does its work and ends in one of
 *     SOFT_NEXT(cpu, op)              the next op of the block
 *     return soft_jump(cpu, op, slot, delta)   a direct branch within the page
 *     return soft_goto(cpu, target)   any other branch
 *     return soft_end(cpu, op)        the block ends here: the run loop looks at everything anew
 * which return the op to run next, of this or another block, or NULL: the run loop decides.
 * Who calls handlers is that loop, or the code that translate.h makes of a block; then the
 * handler of its first op is that code.
 *
 * Flags are the host's own: an instruction's handler executes it (or one with the same
 * flags) in inline assembly and keeps AH and OF (SoftCc), so undefined flags are what this
 * processor makes of them.
 */
#pragma once

#include "vmm/x86/soft/cpu.h"

typedef const Op *OpFn(SoftCpu *cpu, const Op *op);

struct Op {
    OpFn *fn;             /* atomic: soft_op_leave once the block is dropped */
    uint16_t dst, src;    /* byte offsets in SoftCpu of register operands (AH...BH too); of control, debug and segment
                           * registers the number */
    uint8_t base, index;  /* slots */
    uint8_t scale;        /* shift of the index */
    uint8_t seg;          /* segment whose base is added; the overridden or default segment for string instructions */
    uint16_t ip : 12, length : 4; /* offset from the block's first byte; of the instruction */
    uint8_t size;         /* operand size in bytes: 1, 2, 4, 8; of memory operands of stubs see stub.h */
    uint8_t flags;        /* OP_* */
    int32_t disp;         /* of the effective address; of a conditional branch the delta when not taken */
    union { int64_t imm; const void *ptr; };
};
_Static_assert(sizeof(Op) == 32, "an Op is half a cache line");

enum {
    OP_ADDRESS = 3,       /* log2 of the address size in bytes: 1, 2, 3 */
    OP_STACK = 1 << 2,    /* the address is SS-relative: faults are #SS */
    OP_MEM = 1 << 3,      /* the r/m operand is memory */
    OP_LOCK = 1 << 4,
    OP_REP = 1 << 5,      /* F3 */
    OP_REPNE = 1 << 6,    /* F2 */
    OP_FP = 1 << 7,       /* uses vector or x87 registers */
};
static inline unsigned op_address_bytes(const Op *op) { return 1u << (op->flags & OP_ADDRESS); }

#define BLOCK_INSTRUCTIONS 64

#define BLOCK_SHOWN (1u << 15)

struct Block {
    uint32_t mode;               /* key; atomic: MODE_DEAD once dropped */
    uint16_t length;             /* bytes of guest code; atomic: with BLOCK_SHOWN once -d in_asm has shown it */
    uint8_t count, ops;          /* of instructions; of ops */
    const uint8_t *code;         /* key: host address of the first byte */
    const uint8_t *code2;        /* first byte on the second page, of one instruction that crosses; NULL */
    Block *link[2];              /* atomic: where direct branches within the page lead; [0] not taken or unconditional;
                                  * [1] also where a near call returns to */
    BlockRef hash_next;          /* atomic */
    BlockRef page_next[2];       /* of the code pages it is on */
    BlockRef in, in_next[2];     /* blocks with a link to this one, and the rest of those lists; * 2 + which link */
    Op op[];
};
_Static_assert(sizeof(Block) == 64 && BLOCK_INSTRUCTIONS * 15 < BLOCK_SHOWN, "a header is as long as two ops");

static inline unsigned soft_block_length(const Block *block)
{
    return __atomic_load_n(&block->length, __ATOMIC_RELAXED) & ~BLOCK_SHOWN;
}

#define SOFT_NEXT(cpu, op) return (op) + 1

/* The addresses of this instruction and the next, for what may raise. */
static inline void soft_sync(SoftCpu *cpu, const Op *op)
{
    cpu->ip = (cpu->rip + op->ip) & cpu->ip_mask;
    cpu->next_ip = (cpu->rip + op->ip + op->length) & cpu->ip_mask;
}

#define SOFT_INLINE static inline __attribute__((always_inline))

SOFT_INLINE const Op *soft_enter(SoftCpu *cpu, Block *block)
{
    cpu->block = block;
    cpu->instructions += block->count;
    return block->op;
}

/* The block ends, the next instruction follows it. */
static inline const Op *soft_end(SoftCpu *cpu, const Op *op)
{
    cpu->rip = (cpu->rip + op->ip + op->length) & cpu->ip_mask;
    return NULL;
}

/* A direct branch to `delta` bytes from the block's start, in the same page of the same flat code segment. */
SOFT_INLINE const Op *soft_jump(SoftCpu *cpu, const Op *op, unsigned slot, int64_t delta)
{
    Block *from = cpu->block;
    Block *to = __atomic_load_n(&from->link[slot], __ATOMIC_ACQUIRE);

    cpu->rip = (cpu->rip + (uint64_t)delta) & cpu->ip_mask;
    if (LIKELY(to && !__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED))) {
        return soft_enter(cpu, to);
    }
    cpu->linked_from = from;
    cpu->linked_slot = (uint8_t)slot;
    return NULL;
}

static inline JumpEntry *soft_jump_entry(const SoftCpu *cpu, uint64_t linear)
{
    return &cpu->jumps[(linear ^ linear >> 12) & (JUMP_CACHE - 1)];
}

/* A branch to an offset in the code segment: truncated to ip_mask here; limit and canonical form are checked at fetch
 * (run loop), but see soft_check_target(). */
SOFT_INLINE const Op *soft_goto(SoftCpu *cpu, uint64_t target)
{
    const JumpEntry *entry;
    Block *to;

    target &= cpu->ip_mask;
    cpu->rip = target;
    entry = soft_jump_entry(cpu, target);
    to = entry->block;
    if (LIKELY(entry->tag == (target ^ cpu->jump_tag) && to->mode == cpu->mode &&
               !__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED))) {
        return soft_enter(cpu, to);
    }
    return NULL;
}

/* Near branches fault before they change anything: #GP(0) beyond the limit or not canonical, SDM 2A CALL, JMP, RET.
 * segment.c; synced. */
void soft_check_target_slow(SoftCpu *cpu, uint64_t target);
static inline void soft_check_target(SoftCpu *cpu, const Op *op, uint64_t target)
{
    if (UNLIKELY(!(cpu->mode & MODE_CS_FLAT) || !soft_is_canonical(target))) {
        soft_sync(cpu, op);
        soft_check_target_slow(cpu, target & cpu->ip_mask);
    }
}

/* ---- operands ---- */
#define SOFT_REG(cpu, type, offset) (*(type *)((uint8_t *)(cpu) + (offset)))

static inline uint64_t soft_ea(const SoftCpu *cpu, const Op *op)
{
    return cpu->r[op->base] + (cpu->r[op->index] << op->scale) + cpu->seg_base[op->seg] + (uint64_t)(int64_t)op->disp;
}

static inline unsigned soft_op_access(const Op *op)
{
    return op->flags & OP_STACK ? ACCESS_STACK : 0;
}

/* Host address of `size` bytes at linear, or NULL: not in the TLB, or across two pages. */
static inline void *soft_tlb_read(const SoftCpu *cpu, uint64_t linear, unsigned size)
{
    const TlbSet *tlb = cpu->tlb;
    const TlbEntry *e = &tlb->read[linear >> 12 & (TLB_SIZE - 1)];

    return LIKELY(e->tag == (((linear + size - 1) & PAGE_MASK) | tlb->asid)) ? (void *)(linear + e->addend) : NULL;
}

static inline void *soft_tlb_write(const SoftCpu *cpu, uint64_t linear, unsigned size)
{
    const TlbSet *tlb = cpu->tlb;
    const TlbEntry *e = &tlb->write[linear >> 12 & (TLB_SIZE - 1)];

    return LIKELY(e->tag == (((linear + size - 1) & PAGE_MASK) | tlb->asid)) ? (void *)(linear + e->addend) : NULL;
}

#define SOFT_ACCESS(bits)                                                                                 \
    static inline uint##bits##_t soft_ld##bits(SoftCpu *cpu, const Op *op, uint64_t linear)               \
    {                                                                                                     \
        const void *p = soft_tlb_read(cpu, linear, bits / 8);                                             \
                                                                                                          \
        if (LIKELY(p)) {                                                                                  \
            return *(const volatile uint##bits##_t *)p;                                                   \
        }                                                                                                 \
        soft_sync(cpu, op);                                                                               \
        return (uint##bits##_t)soft_load(cpu, linear, bits / 8, soft_op_access(op));                      \
    }                                                                                                     \
    static inline void soft_st##bits(SoftCpu *cpu, const Op *op, uint64_t linear, uint##bits##_t value)   \
    {                                                                                                     \
        void *p = soft_tlb_write(cpu, linear, bits / 8);                                                  \
                                                                                                          \
        if (LIKELY(p)) {                                                                                  \
            *(volatile uint##bits##_t *)p = value;                                                        \
            return;                                                                                       \
        }                                                                                                 \
        soft_sync(cpu, op);                                                                               \
        soft_store(cpu, linear, bits / 8, value, soft_op_access(op));                                     \
    }
SOFT_ACCESS(8)
SOFT_ACCESS(16)
SOFT_ACCESS(32)
SOFT_ACCESS(64)
#undef SOFT_ACCESS

/* ---- common handlers, run.c ---- */
/* Leaves the block before the instruction that many bytes from its start. */
const Op *soft_leave_before(SoftCpu *cpu, unsigned at);
OpFn soft_op_leave;  /* leaves before this instruction: what every op of a dropped block becomes */
OpFn soft_op_raise;  /* raises exception `imm` (a fault without error code, or #GP(0)) */
OpFn soft_op_goto;   /* on to `imm` bytes from the block's start: the end of a block without a branch */
