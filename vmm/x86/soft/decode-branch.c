/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handlers of near branches, and of PUSH and POP: which of them need no checks beyond
 * what the mode says (exec-branch.c, exec-stack.c).
 *
 * In 64-bit code near branches and the stack are 64 bits wide; Intel's processors ignore an operand size prefix on
 * branches, AMD's do not (ZYDIS_DECODER_MODE_AMD_BRANCHES, which has those with a displacement of 16 bits; here are the
 * rest).
 */
#include "vmm/x86/soft/decode-int.h"

static bool is_far(const Decode *x)
{
    return x->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static bool is_kind(const Decode *x, ZydisOperandType type)
{
    return x->z.operand_count_visible && x->o[0].type == type;
}

static int64_t next_of(const Decode *x)
{
    return (int64_t)x->start + x->z.length;
}

/* Whether a link may lead there: in the page, and not to be truncated. */
static bool is_near(const Decode *x, int64_t delta)
{
    int64_t offset = (int64_t)x->d->page_offset + delta;

    return x->d->mode & MODE_CS_FLAT && x->z.operand_width != 16 && offset >= 0 && offset < (int64_t)PAGE_SIZE;
}

static bool is_wide_64(const Decode *x)
{
    return decode_code(x) == MODE_CODE64 && x->z.operand_width == 64;
}

/* 32-bit code in which neither the stack nor branches have anything to check. */
static bool is_wide_32(const Decode *x)
{
    const uint32_t flat = MODE_FLAT | MODE_CS_FLAT | MODE_STACK32;

    return decode_code(x) == MODE_CODE32 && (x->d->mode & flat) == flat && x->z.operand_width == 32;
}

void decode_branch_width(Decode *x)
{
    bool near = x->z.meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR || x->z.meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT;

    if (near && x->z.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE && decode_code(x) == MODE_CODE64 && !x->z.raw.rex.W &&
        !x->d->cpu->vm->intel) {
        x->z.operand_width = 16;
    }
}

static void put(Decode *x, OpFn *fn)
{
    x->op->fn = fn;
    decode_append(x);
    x->ends = true;
}

/* The op of a branch with two ways on. */
static void pack_conditional(Decode *x)
{
    decode_operands(x, ADDRESS_ACCESS);
    x->op->disp = (int32_t)next_of(x);
    x->op->scale = is_near(x, next_of(x)) ? BRANCH_NEXT_NEAR : 0;
}

/* A compare just before becomes one with the jump; its own op keeps its place. */
static void fuse(Decode *x, unsigned condition)
{
    SoftDecode *d = x->d;
    OpEffects *e = d->n ? &x->effects[d->n - 1] : NULL;
    OpFn *fn = e && e->compare ? int_fused[e->compare - 1][e->size][e->form][condition] : NULL;

    if (fn) {
        d->op[d->n - 1].fn = fn;
        e->fused = true;
    }
}

bool decode_jcc(Decode *x, unsigned condition)
{
    bool near;

    pack_conditional(x);
    near = x->op->scale & BRANCH_NEXT_NEAR && is_near(x, x->op->imm);
    if (near) {
        fuse(x, condition);
    }
    put(x, branch_jcc[condition][near]);
    return true;
}

bool decode_loop(Decode *x, unsigned which)
{
    pack_conditional(x);
    put(x, branch_loop[which]);
    return true;
}

bool decode_jmp(Decode *x, unsigned unused)
{
    bool memory = is_kind(x, ZYDIS_OPERAND_TYPE_MEMORY);

    if (is_far(x)) {
        return false;
    }
    decode_operands(x, ADDRESS_ACCESS);
    if (is_kind(x, ZYDIS_OPERAND_TYPE_IMMEDIATE)) {
        put(x, is_near(x, x->op->imm) ? branch_jmp_near : branch_jmp);
    } else if (is_wide_64(x)) {
        put(x, memory ? branch_jmp_m64 : branch_jmp_r64);
    } else {
        put(x, memory ? branch_jmp_m : branch_jmp_r);
    }
    return true;
}

bool decode_call(Decode *x, unsigned unused)
{
    bool memory = is_kind(x, ZYDIS_OPERAND_TYPE_MEMORY), near;

    if (is_far(x)) {
        return false;
    }
    decode_operands(x, ADDRESS_ACCESS);
    if (!memory) {
        x->op->disp = (int32_t)next_of(x);
    }
    x->op->src = is_near(x, next_of(x));
    if (is_kind(x, ZYDIS_OPERAND_TYPE_IMMEDIATE)) {
        near = is_near(x, x->op->imm);
        put(x, is_wide_64(x)   ? near ? branch_call_near64 : branch_call64
               : is_wide_32(x) ? near ? branch_call_near32 : branch_call32
                               : branch_call);
    } else if (is_wide_64(x)) {
        put(x, memory ? branch_call_m64 : branch_call_r64);
    } else {
        put(x, memory ? branch_call_m : branch_call_r);
    }
    return true;
}

bool decode_ret(Decode *x, unsigned unused)
{
    if (is_far(x)) {
        return false;
    }
    decode_operands(x, ADDRESS_ACCESS);
    put(x, is_wide_64(x) ? branch_ret64 : is_wide_32(x) ? branch_ret32 : branch_ret);
    return true;
}

/* ---- the stack ---- */

static bool is_segment(const Decode *x)
{
    return is_kind(x, ZYDIS_OPERAND_TYPE_REGISTER) &&
           ZydisRegisterGetClass(x->o[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

static void put_stack(Decode *x, OpFn *fn, bool writes)
{
    OpEffects *e;

    x->op->fn = fn;
    e = decode_append(x);
    e->reads = 0;
    e->elsewhere = false;
    e->may_leave_after = writes;
}

bool decode_push(Decode *x, unsigned unused)
{
    bool wide_64 = is_wide_64(x), wide_32 = is_wide_32(x);

    if (is_segment(x)) {
        return false;
    }
    decode_operands(x, ADDRESS_ACCESS);
    if (is_kind(x, ZYDIS_OPERAND_TYPE_MEMORY)) {
        put_stack(x, wide_64 ? stack_push_m64 : stack_push_m, true);
    } else if (is_kind(x, ZYDIS_OPERAND_TYPE_IMMEDIATE)) {
        put_stack(x, wide_64 ? stack_push_i64 : wide_32 ? stack_push_i32 : stack_push_i, true);
    } else {
        put_stack(x, wide_64 ? stack_push_r64 : wide_32 ? stack_push_r32 : stack_push_r, true);
    }
    return true;
}

static bool is_stack_pointer(ZydisRegister r)
{
    return r == ZYDIS_REGISTER_RSP || r == ZYDIS_REGISTER_ESP;
}

bool decode_pop(Decode *x, unsigned unused)
{
    if (is_segment(x)) {
        return false;
    }
    if (is_kind(x, ZYDIS_OPERAND_TYPE_MEMORY)) {
        /* The address is that after the pop. */
        if (is_stack_pointer(x->o[0].mem.base)) {
            x->o[0].mem.disp.has_displacement = ZYAN_TRUE;
            x->o[0].mem.disp.value += x->z.operand_width / 8;
        }
        decode_operands(x, ADDRESS_ACCESS);
        put_stack(x, stack_pop_m, true);
        return true;
    }
    decode_operands(x, ADDRESS_ACCESS);
    put_stack(x, is_wide_64(x) ? stack_pop_r64 : is_wide_32(x) ? stack_pop_r32 : stack_pop_r, false);
    return true;
}

/* How many ops from there on are the same PUSH or POP, none of them of the stack pointer. */
static unsigned run_length(const Op *op, const Op *end)
{
    const uint16_t rsp = offsetof(SoftCpu, gpr) + X86_RSP * sizeof(uint64_t);
    unsigned n = 0;

    while (n < STACK_RUN && op + n < end && op[n].fn == op->fn && op[n].dst != rsp) {
        n++;
    }
    return n;
}

/* Functions begin and end with several of them. */
void decode_stack_runs(SoftDecode *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        OpFn *fn = d->op[i].fn;
        OpFn *const *runs = fn == stack_push_r64 ? stack_push_runs : fn == stack_pop_r64 ? stack_pop_runs : NULL;
        unsigned n = runs ? run_length(&d->op[i], d->op + d->n) : 0;

        if (n > 1) {
            d->op[i].fn = runs[n];
            d->does[i] = (uint8_t)n;
            i += n - 1;
        }
    }
}
