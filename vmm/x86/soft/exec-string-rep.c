/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repeated string instructions (SDM 2B "REP/REPE/REPZ/REPNE/REPNZ"), in bulk: round by
 * round, the host's own repeated instruction runs over the elements that lie on one page
 * of each operand.
 *
 * Within a round host addresses are one to one with physical memory, in the same order;
 * so operands that overlap, also where two linear pages show one physical page, mean the
 * same to the host as to the guest.  Elements that miss the TLB, cross a page or are not in
 * RAM go one by one through mmu.c.
 *
 * Between rounds the registers are exact and `attention` is looked at: then the instruction
 * is left and restarted.  A fault leaves it at the element that faulted.
 */
#include "vmm/x86/soft/exec-string.h"
#include "vmm/x86/soft/vm.h"

/* ---- the host's instructions: n > 0 elements from the present one, in the direction of DF ---- */

#define NATIVE(down, insn, ...)                                                                    \
    do {                                                                                           \
        if (UNLIKELY(down)) { /* DF of the host is clear in C code */                              \
            __asm__ volatile("std; " insn "; cld" __VA_ARGS__);                                    \
        } else {                                                                                   \
            __asm__ volatile(insn __VA_ARGS__);                                                    \
        }                                                                                          \
    } while (0)
#define BY_SIZE(size, down, name, ...)                  \
    switch (size) {                                     \
    case 1:                                             \
        NATIVE(down, "rep " name "b", __VA_ARGS__);     \
        break;                                          \
    case 2:                                             \
        NATIVE(down, "rep " name "w", __VA_ARGS__);     \
        break;                                          \
    case 4:                                             \
        NATIVE(down, "rep " name "l", __VA_ARGS__);     \
        break;                                          \
    default:                                            \
        NATIVE(down, "rep " name "q", __VA_ARGS__);     \
        break;                                          \
    }

static inline void native_movs(void *to, const void *from, uint64_t n, unsigned size, bool down)
{
    BY_SIZE(size, down, "movs", : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static inline void native_stos(void *to, uint64_t value, uint64_t n, unsigned size, bool down)
{
    BY_SIZE(size, down, "stos", : "+D"(to), "+c"(n) : "a"(value) : "memory");
}

/* These return how many elements were compared. */
#define COMPARE_BY_SIZE(size, before, after, name, ...)                                    \
    switch (size) {                                                                        \
    case 1:                                                                                \
        __asm__ volatile(before name "b" after "; lahf; seto %%al" __VA_ARGS__);           \
        break;                                                                             \
    case 2:                                                                                \
        __asm__ volatile(before name "w" after "; lahf; seto %%al" __VA_ARGS__);           \
        break;                                                                             \
    case 4:                                                                                \
        __asm__ volatile(before name "l" after "; lahf; seto %%al" __VA_ARGS__);           \
        break;                                                                             \
    default:                                                                               \
        __asm__ volatile(before name "q" after "; lahf; seto %%al" __VA_ARGS__);           \
        break;                                                                             \
    }
#define COMPARE(size, down, until_equal, name, ...)                                        \
    if (down && until_equal) {                                                             \
        COMPARE_BY_SIZE(size, "std; repne ", "; cld", name, __VA_ARGS__)                   \
    } else if (down) {                                                                     \
        COMPARE_BY_SIZE(size, "std; repe ", "; cld", name, __VA_ARGS__)                    \
    } else if (until_equal) {                                                              \
        COMPARE_BY_SIZE(size, "repne ", "", name, __VA_ARGS__)                             \
    } else {                                                                               \
        COMPARE_BY_SIZE(size, "repe ", "", name, __VA_ARGS__)                              \
    }

static uint64_t native_cmps(const void *a, const void *b, uint64_t n, unsigned size, bool down, bool until_equal,
                            SoftCc *ret_cc)
{
    uint64_t left = n, cc = 0;

    COMPARE(size, down, until_equal, "cmps", : "+S"(a), "+D"(b), "+c"(left), "+a"(cc) : : "memory", "cc")
    *ret_cc = (SoftCc)cc;
    return n - left;
}

static uint64_t native_scas(uint64_t value, const void *p, uint64_t n, unsigned size, bool down, bool until_equal,
                            SoftCc *ret_cc)
{
    uint64_t left = n;

    COMPARE(size, down, until_equal, "scas", : "+D"(p), "+c"(left), "+a"(value) : : "memory", "cc")
    *ret_cc = (SoftCc)value;
    return n - left;
}

/* ---- how far a round goes ---- */

/* Elements from the one at `offset` on that lie on its page, before the offset wraps and inside the segment; 0: not
 * even that one lies on one page. */
static uint64_t room(const SoftCpu *cpu, const Op *op, unsigned seg, uint64_t offset, uint64_t linear)
{
    const X86Segment *s = &cpu->segment[seg < X86_SEGMENTS ? seg : X86_DS];
    unsigned size = op->size, in_page = (unsigned)(linear & (PAGE_SIZE - 1));
    bool down = cpu->eflags & EFLAGS_DF, flat = string_is_flat(cpu, seg);
    bool expand_down = !flat && (s->attributes & (SEG_S | 0xc)) == (SEG_S | 4);
    uint64_t n, last = flat || expand_down ? string_mask(op) : MIN(string_mask(op), (uint64_t)s->limit);

    if (down) {
        uint64_t first = expand_down ? (uint64_t)s->limit + 1 : 0;

        n = in_page + size > PAGE_SIZE ? 0 : in_page / size + 1;
        return MIN(n, (offset - first) / size + 1);
    }
    n = (PAGE_SIZE - in_page) / size;
    return last - offset < PAGE_SIZE ? MIN(n, (last - offset + 1) / size) : n;
}

static inline uint64_t round_limit(const SoftCpu *cpu, uint64_t count)
{
    return UNLIKELY(soft_debug_iterates(cpu)) ? 1 : count;
}

/* The lowest of n elements from linear on. */
static inline uint64_t lowest(const SoftCpu *cpu, const Op *op, uint64_t linear, uint64_t n)
{
    return cpu->eflags & EFLAGS_DF ? linear - (n - 1) * op->size : linear;
}

/* Host addresses of the present one of n elements, NULL: go one by one. */
static const uint8_t *host_source(SoftCpu *cpu, const Op *op, uint64_t linear, uint64_t n)
{
    uint64_t low = lowest(cpu, op, linear, n);
    const uint8_t *p = n ? soft_tlb_read(cpu, low, (unsigned)(n * op->size)) : NULL;

    return p ? p + (linear - low) : NULL;
}

/* *ret_end: soft_write_end() must follow.  Pointers to other operands are void afterwards. */
static uint8_t *host_destination(SoftCpu *cpu, const Op *op, uint64_t linear, uint64_t n, bool *ret_end)
{
    uint64_t low = lowest(cpu, op, linear, n);
    unsigned bytes = (unsigned)(n * op->size);
    uint8_t *p;

    *ret_end = false;
    if (!n) {
        return NULL;
    }
    p = soft_tlb_write(cpu, low, bytes);
    if (UNLIKELY(!p) && low == linear && n > 1 && cpu->tlb != &cpu->tlbs[TLB_NONE]) {
        /* Pages with code never get an entry, and many are cleared or overwritten as a whole. */
        p = soft_write_begin(cpu, low, bytes, ACCESS_WRITE, false, false);
        if (cpu->write.bounced) {
            return NULL;
        }
        *ret_end = true;
    }
    return p ? p + (linear - low) : NULL;
}

/* ---- beginning and ending ---- */

/* Zero iterations or a fault in the first truncate the registers nevertheless, and which is the processor's own affair:
 * it is asked by an instruction that repeats zero times. */
void soft_rep_truncate(SoftCpu *cpu, const Op *op, bool movs, bool stos)
{
    uint64_t *r = cpu->gpr, count = r[X86_RCX] >> 32 << 32;

    if (LIKELY(op_address_bytes(op) != 4) || !soft_in_64bit_code(cpu)) {
        return;
    }
    if (movs) {
        __asm__ volatile("addr32 rep movsb" : "+S"(r[X86_RSI]), "+D"(r[X86_RDI]), "+c"(count) : : "memory");
    } else if (stos) {
        __asm__ volatile("addr32 rep stosb" : "+D"(r[X86_RDI]), "+c"(count) : "a"(0) : "memory");
    } else {
        uint64_t si = r[X86_RSI], al = 0;

        __asm__ volatile("addr32 rep lodsb" : "+S"(si), "+c"(count), "+a"(al) : : "memory");
    }
    r[X86_RCX] = count | (uint32_t)r[X86_RCX];
}

const Op *soft_rep_leave(SoftCpu *cpu, const Op *op)
{
    bool single = soft_debug_iterates(cpu);

    cpu->eflags |= EFLAGS_RF;
    soft_update_mode(cpu);
    if (single) { /* an iteration counts as an instruction */
        cpu->rip = cpu->ip;
        return NULL;
    }
    return soft_leave_before(cpu, op->ip);
}

/* `attention` is also set while there is a limit or a shadow, which let an instruction finish. */
bool soft_rep_wanted_elsewhere(const SoftCpu *cpu)
{
    return UNLIKELY(__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED)) &&
           (__atomic_load_n(&cpu->pending, __ATOMIC_RELAXED) || __atomic_load_n(&cpu->requests, __ATOMIC_RELAXED) ||
            cpu->code_generation != __atomic_load_n(&cpu->vm->code_generation, __ATOMIC_RELAXED) ||
            soft_debug_iterates(cpu));
}

/* After a round of n elements.  True: go on with the next round. */
static inline bool next_round(SoftCpu *cpu, const Op *op, uint64_t count, uint64_t n, bool *ret_leave)
{
    string_set(cpu, op, X86_RCX, count - n);
    *ret_leave = count != n && soft_rep_wanted_elsewhere(cpu);
    return count != n && !*ret_leave;
}

/* ---- MOVS ---- */

static uint64_t movs_round(SoftCpu *cpu, const Op *op, uint64_t count)
{
    uint64_t si = string_get(cpu, op, X86_RSI), di = string_get(cpu, op, X86_RDI);
    uint64_t from = string_source(cpu, op, op->size), to, n;
    const uint8_t *s;
    uint8_t *d;
    bool end;

    n = MIN(round_limit(cpu, count), room(cpu, op, op->seg, si, from));
    if (LIKELY(host_source(cpu, op, from, n))) {
        to = string_destination(cpu, op, op->size, ACCESS_WRITE);
        n = MIN(n, room(cpu, op, X86_ES, di, to));
        d = host_destination(cpu, op, to, n, &end);
        s = d ? host_source(cpu, op, from, n) : NULL;
        if (LIKELY(s)) {
            native_movs(d, s, n, op->size, cpu->eflags & EFLAGS_DF);
            if (UNLIKELY(end)) {
                soft_write_end(cpu);
            }
            return n;
        }
    }
    uint64_t value = string_load(cpu, from, op->size, string_source_access(op));

    to = string_destination(cpu, op, op->size, ACCESS_WRITE);
    string_store(cpu, to, op->size, value);
    return 1;
}

const Op *soft_rep_movs(SoftCpu *cpu, const Op *op)
{
    uint64_t count, n;
    bool leave;

    soft_sync(cpu, op);
    soft_rep_truncate(cpu, op, true, false);
    if (!string_get(cpu, op, X86_RCX)) {
        SOFT_NEXT(cpu, op);
    }
    do {
        count = string_get(cpu, op, X86_RCX);
        n = movs_round(cpu, op, count);
        string_advance(cpu, op, X86_RSI, n, op->size);
        string_advance(cpu, op, X86_RDI, n, op->size);
    } while (next_round(cpu, op, count, n, &leave));
    if (UNLIKELY(leave)) {
        return soft_rep_leave(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

/* ---- STOS ---- */

static uint64_t stos_round(SoftCpu *cpu, const Op *op, uint64_t count)
{
    uint64_t to = string_destination(cpu, op, op->size, ACCESS_WRITE);
    uint64_t n = MIN(round_limit(cpu, count), room(cpu, op, X86_ES, string_get(cpu, op, X86_RDI), to));
    bool end;
    uint8_t *d = host_destination(cpu, op, to, n, &end);

    if (UNLIKELY(!d)) {
        string_store(cpu, to, op->size, cpu->gpr[X86_RAX]);
        return 1;
    }
    native_stos(d, cpu->gpr[X86_RAX], n, op->size, cpu->eflags & EFLAGS_DF);
    if (UNLIKELY(end)) {
        soft_write_end(cpu);
    }
    return n;
}

const Op *soft_rep_stos(SoftCpu *cpu, const Op *op)
{
    uint64_t count, n;
    bool leave;

    soft_sync(cpu, op);
    soft_rep_truncate(cpu, op, false, true);
    if (!string_get(cpu, op, X86_RCX)) {
        SOFT_NEXT(cpu, op);
    }
    do {
        count = string_get(cpu, op, X86_RCX);
        n = stos_round(cpu, op, count);
        string_advance(cpu, op, X86_RDI, n, op->size);
    } while (next_round(cpu, op, count, n, &leave));
    if (UNLIKELY(leave)) {
        return soft_rep_leave(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

/* ---- LODS: only the last element of a round is seen ---- */

static uint64_t lods_round(SoftCpu *cpu, const Op *op, uint64_t count)
{
    uint64_t from = string_source(cpu, op, op->size);
    uint64_t n = MIN(round_limit(cpu, count), room(cpu, op, op->seg, string_get(cpu, op, X86_RSI), from));

    if (LIKELY(host_source(cpu, op, from, n))) {
        from = cpu->eflags & EFLAGS_DF ? from - (n - 1) * op->size : from + (n - 1) * op->size;
    } else {
        n = 1;
    }
    string_set_rax(cpu, op->size, string_load(cpu, from, op->size, string_source_access(op)));
    return n;
}

const Op *soft_rep_lods(SoftCpu *cpu, const Op *op)
{
    uint64_t count, n;
    bool leave;

    soft_sync(cpu, op);
    soft_rep_truncate(cpu, op, false, false);
    if (!string_get(cpu, op, X86_RCX)) {
        SOFT_NEXT(cpu, op);
    }
    do {
        count = string_get(cpu, op, X86_RCX);
        n = lods_round(cpu, op, count);
        string_advance(cpu, op, X86_RSI, n, op->size);
    } while (next_round(cpu, op, count, n, &leave));
    if (UNLIKELY(leave)) {
        return soft_rep_leave(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

/* ---- CMPS: [rDI] is read first; what interrupts it finds the flags as they were before the first iteration ---- */

static uint64_t cmps_round(SoftCpu *cpu, const Op *op, uint64_t count, SoftCc *ret_cc)
{
    uint64_t si = string_get(cpu, op, X86_RSI), di = string_get(cpu, op, X86_RDI);
    uint64_t second = string_destination(cpu, op, op->size, ACCESS_READ), first, n, a, b;
    const uint8_t *p, *q;

    n = MIN(round_limit(cpu, count), room(cpu, op, X86_ES, di, second));
    if (LIKELY(host_source(cpu, op, second, n))) {
        first = string_source(cpu, op, op->size);
        n = MIN(n, room(cpu, op, op->seg, si, first));
        p = host_source(cpu, op, first, n);
        q = host_source(cpu, op, second, n);
        if (LIKELY(p && q)) {
            return native_cmps(p, q, n, op->size, cpu->eflags & EFLAGS_DF, op->flags & OP_REPNE, ret_cc);
        }
    }
    b = string_load(cpu, second, op->size, ACCESS_READ);
    first = string_source(cpu, op, op->size);
    a = string_load(cpu, first, op->size, string_source_access(op));
    *ret_cc = string_compare(a, b, op->size);
    return 1;
}

const Op *soft_rep_cmps(SoftCpu *cpu, const Op *op)
{
    uint64_t count, n;
    SoftCc cc = cpu->cc;
    bool leave;

    soft_sync(cpu, op);
    soft_rep_truncate(cpu, op, false, false);
    if (!string_get(cpu, op, X86_RCX)) {
        SOFT_NEXT(cpu, op);
    }
    do {
        count = string_get(cpu, op, X86_RCX);
        n = cmps_round(cpu, op, count, &cc);
        string_advance(cpu, op, X86_RSI, n, op->size);
        string_advance(cpu, op, X86_RDI, n, op->size);
        if (!string_goes_on(op, cc)) {
            string_set(cpu, op, X86_RCX, count - n);
            cpu->cc = cc;
            SOFT_NEXT(cpu, op);
        }
    } while (next_round(cpu, op, count, n, &leave));
    if (UNLIKELY(leave)) {
        return soft_rep_leave(cpu, op);
    }
    cpu->cc = cc;
    SOFT_NEXT(cpu, op);
}

/* ---- SCAS: likewise ---- */

static uint64_t scas_round(SoftCpu *cpu, const Op *op, uint64_t count, SoftCc *ret_cc)
{
    uint64_t from = string_destination(cpu, op, op->size, ACCESS_READ);
    uint64_t n = MIN(round_limit(cpu, count), room(cpu, op, X86_ES, string_get(cpu, op, X86_RDI), from));
    const uint8_t *p = host_source(cpu, op, from, n);

    if (LIKELY(p)) {
        return native_scas(cpu->gpr[X86_RAX], p, n, op->size, cpu->eflags & EFLAGS_DF, op->flags & OP_REPNE, ret_cc);
    }
    *ret_cc = string_compare(cpu->gpr[X86_RAX], string_load(cpu, from, op->size, ACCESS_READ), op->size);
    return 1;
}

const Op *soft_rep_scas(SoftCpu *cpu, const Op *op)
{
    uint64_t count, n;
    SoftCc cc = cpu->cc;
    bool leave;

    soft_sync(cpu, op);
    soft_rep_truncate(cpu, op, false, false);
    if (!string_get(cpu, op, X86_RCX)) {
        SOFT_NEXT(cpu, op);
    }
    do {
        count = string_get(cpu, op, X86_RCX);
        n = scas_round(cpu, op, count, &cc);
        string_advance(cpu, op, X86_RDI, n, op->size);
        if (!string_goes_on(op, cc)) {
            string_set(cpu, op, X86_RCX, count - n);
            cpu->cc = cc;
            SOFT_NEXT(cpu, op);
        }
    } while (next_round(cpu, op, count, n, &leave));
    if (UNLIKELY(leave)) {
        return soft_rep_leave(cpu, op);
    }
    cpu->cc = cc;
    SOFT_NEXT(cpu, op);
}
