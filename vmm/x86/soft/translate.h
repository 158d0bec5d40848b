/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator: host code for blocks.  Private to the library.
 *
 * A block's ops stay what they are, and the run loop can always run them one by one (run.c).
 * If there is room, its first op's handler becomes code that runs the whole block: what is
 * common as instructions of the host (translate-int.c, translate-branch.c), the rest as calls of the
 * ops' handlers, then on to the code of the next block.  So nothing has two meanings: an op
 * that does not find its page in the TLB, say, is done by its handler, and from any op the
 * run loop can go on.
 *
 * Where a block links to another (Block.link), its code has a jump: `je`, taken unless attention
 * is wanted, of which the displacement leads to the other's code or, while there is no link, to the
 * instruction behind it, which goes back to the run loop.  Links are made and undone while vCPUs
 * run through them: a displacement is four aligned bytes, so they come to the one place or to the
 * other (APM 2-7.6.1 has it for eight; dynamic compilers rely on it).  The first eight bytes that
 * links to a block lead to become a jump to the run loop likewise, when it is dropped.  Such code
 * needs neither the block nor its ops, which are elsewhere and seldom in the host's caches.
 *
 * That a vCPU which has heard of a change of the guest's code runs none that is older (SDM
 * 3-8.1.3), rests on what the processors do, not on what they promise: one that has fetched an
 * instruction ahead fetches it again when another writes it, or itself by another address.
 *
 * Guest registers stay in the SoftCpu.  In such code
 *     rbx   the SoftCpu, CPU_BIAS bytes on: general registers are within a byte's displacement
 *     rbp   the block
 *     rsp   16-byte aligned; above it is the return address into the run loop
 *     rax, rcx, rdx, rsi, rdi   free, and lost by each op
 * and in its flags, right after some ops, are the guest's.  Like any handler it is entered with
 * the SoftCpu in rdi and its op in rsi, but by `enter` (Routines), which sets rbx.
 *
 * A block that is dropped while it runs is left by its vCPU after the store that did it,
 * by others at its end: nothing leads from it any more.
 */
#pragma once

#include "vmm/x86/soft/block.h"
#include "vmm/x86/soft/decode-int.h"
#include "vmm/x86/soft/emit.h"

#define CPU_BIAS 128
_Static_assert(offsetof(SoftCpu, gpr) == 0 && offsetof(Op, fn) == 0, "code has these without an offset");
#define CPU_FIELD(field) ((int64_t)offsetof(SoftCpu, field) - CPU_BIAS)

/* Code that blocks share. */
typedef struct Routines {
    /* From C: runs an op, or all that is linked behind it; returns the op to go on with, NULL: the run loop looks
     * anew. */
    const Op *(*enter)(SoftCpu *cpu, const Op *op);
    /* The linear address rcx, of so many bytes or of n words of 8 bytes, in the TLB: ZF, and rdx is to be added to it;
     * not there: no ZF.  rcx and rdi are kept. */
    const uint8_t *access[2 /* write */][9], *words[2][STACK_RUN + 1];
    /* Notes the return address rsi of a call; its page is another one, or the block's, whose second link's code is at
     * rdx. */
    const uint8_t *note[2];
    /* What blocks end with, by a jump. */
    const uint8_t *go;                 /* rax: rip */
    const uint8_t *come_back;          /* rax: rip, from the stack */
    const uint8_t *unlinked[2];        /* that link of rbp is not made, or attention is wanted; rip is set */
    const uint8_t *unlinked_return;    /* likewise the second one, which a return came to: rbp has made the call */
    const uint8_t *look;               /* the run loop looks for the block at rip */
} Routines;

/* Where an op goes on whose operand is not in the TLB, or whose target is not canonical: all of it is its handler's. */
typedef struct SlowPath {
    uint8_t *from;       /* the end of the branch that leads there */
    const uint8_t *back; /* behind the op */
    uint8_t op;
    bool flags;          /* there the guest's flags are in the host's */
} SlowPath;
#define SLOW_PATHS_MAX (3 * BLOCK_OPS) /* of one op: operand, target, stack; or operand, alignment, vector registers */

/* In front of its first op's handler. */
typedef struct TranslationHead {
    uint32_t link[2];    /* where, from the handler on, the jump ends that is this link; 0: it has none */
} TranslationHead;
#define TRANSLATION_LINKED 16 /* from where its first op's handler begins to where links lead */

/* A block that is being translated. */
typedef struct Translation {
    Emit e;
    const Block *block;
    TranslationHead *head;
    const Routines *routines;
    const SoftDecode *d;
    unsigned i, n;      /* the op that is next, and how many are done with it */
    bool far;           /* something is too far away for a call: of no use */
    bool had_flags;     /* before the op the guest's flags are in the host's */
    bool flags;         /* and after it */
    bool ended;
    unsigned slows;
    SlowPath slow[SLOW_PATHS_MAX];
} Translation;

/* More than a block can need. */
#define TRANSLATION_BYTES(ops) (512u + 384u * (ops))

typedef struct SoftTranslator {
    uint8_t *write, *run; /* the same memory: no page is both writable and executable */
    uint64_t bytes;
    Routines routines;
    uint64_t translated;  /* blocks */
    Translation translation;
} SoftTranslator;

/* ---- translate.c: memory; vm->lock ---- */
/* Where calls from and to this program reach; as mmap(). */
void *soft_map_near(uint64_t bytes, int protection, int fd);
/* Gives each region of blocks one of code.  Without it (no memory, forbidden) blocks are interpreted. */
void soft_translator_init(SoftVm *vm);
void soft_translator_finish(SoftVm *vm);
bool soft_translator_has_room(const SoftVm *vm, const CodeRegion *region, unsigned ops);
/* Code of blocks that no vCPU knows any more: the host gets the memory, and no processor still has it. */
void soft_translator_empty(SoftVm *vm, CodeRegion *region);
/* Translates what vm->code->decode holds, and that block will, into that region, as the handler of its first op.
 * NULL: it is to be interpreted. */
OpFn *soft_translate(SoftVm *vm, CodeRegion *region, const Block *block);
/* Where that link leads has changed. */
void soft_translator_link(SoftVm *vm, const Block *from, unsigned slot);
/* The block is about to be dropped. */
void soft_translator_drop(SoftVm *vm, const Block *block);
/* Any thread that may enter the block: what its link leads to, or `look`; NULL: nothing is translated. */
const void *soft_translation(const SoftVm *vm, const Block *block);

/* ---- translate-shape.c: which handlers have code instead ---- */
/* What a handler does, in the terms of exec-int.h's tables. */
typedef struct Shape Shape;
/* Emits t->n ops from there on.  False: nothing is emitted, the handler is to be called. */
typedef bool Template(Translation *t, const Op *op, const Shape *s);
struct Shape {
    OpFn *fn;
    Template *put;
    uint8_t what;              /* IntAlu, ..., a condition, a number of words */
    uint8_t size, from;        /* SIZE_* */
    uint8_t form, ea;          /* IntForm, EA_* */
    bool quiet;                /* flags are not wanted */
    bool variant;
};
void translate_shape(Shape shape);
void translate_collect_shapes(void); /* before any is looked for */
const Shape *translate_find_shape(OpFn *fn); /* NULL: none */
/* Each names those of its file. */
void translate_int_shapes(void);
void translate_alu_shapes(void);
void translate_branch_shapes(void);
void translate_stack_shapes(void);

/* ---- translate-block.c ---- */
void translate_block(Translation *t);
/* reg: that op of the block. */
void translate_lea_op(Emit *e, unsigned reg, unsigned i);

/* ---- translate-routines.c ---- */
/* False: this program's functions are too far away. */
bool translate_routines(Emit *e, Routines *ret);

/* ---- translate-operand.c ---- */
/* ZF: no attention is wanted. */
void translate_attention(Emit *e);
/* Opcodes of byte operations are the even one of a pair. */
static inline unsigned translate_sized(unsigned bytes, unsigned opcode)
{
    return bytes == 1 ? opcode & ~1u : opcode;
}
/* Where code has the general register or slot of that offset in SoftCpu. */
static inline int64_t translate_at(unsigned offset)
{
    return (int64_t)offset - CPU_BIAS;
}
#define AT_GPR(number) translate_at((number) * 8)
/* Zero-extended: nothing waits for the rest of the host's register. */
void translate_load(Translation *t, unsigned bytes, unsigned reg, unsigned offset);
/* 32-bit results clear the upper half, shorter ones keep what is above; reg is zero-extended. */
void translate_store(Translation *t, unsigned bytes, unsigned reg, unsigned offset);
/* rcx: the operand's linear address.  Host flags are lost. */
void translate_address(Translation *t, const Op *op, unsigned ea);
/* The same in the TLB: rcx + rdx is the host's address, or the handler does the op. */
void translate_memory(Translation *t, const Op *op, unsigned ea, bool write, unsigned bytes);
/* n words of 8 bytes at the linear address rcx, likewise. */
void translate_words(Translation *t, bool write, unsigned n);
/* `reg` is canonical, or the handler does the op; rdx is lost. */
void translate_canonical(Translation *t, unsigned reg);
/* By that 0F jcc, likewise. */
void translate_slow_if(Translation *t, unsigned jcc);
void translate_flags_out(Translation *t);
/* Unless they are there.  rax is lost. */
void translate_flags_in(Translation *t);
void translate_put_flags_in(Emit *e);
void translate_carry_in(Translation *t);

/* ---- translate-vector.c ---- */
/* The op at t->i, if it has its instruction in t->d->code. */
bool translate_vector(Translation *t, const Op *op);
/* ---- translate-alu.c ---- */
/* The arithmetic of an op, without what becomes of its flags; a register's result is in rcx. */
void translate_alu(Translation *t, const Op *op, const Shape *s);
/* ---- translate-stack.c ---- */
/* rcx: where the stack pointer will be after n pushes; rcx + rdx: that place in the host. */
void translate_push_begin(Translation *t, unsigned n);
