/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLBs: what is cached of translations, and when it goes; SDM volume 3, 4.10.
 *
 * Entries are of 4 KiB whatever the page's size.  The supervisor's sets have no address space
 * in their tags: entries that are not global are dropped when CR3 is written.  The user's
 * set has: a CR3 write changes the number, and with PCIDs an address space that is known
 * gets its number back.  That drops more than 4.10.4 asks for, never less:
 *
 *   - a place of an array depends on the linear address only, so INVLPG finds the entries of
 *     every address space there;
 *   - of large pages it is remembered (hashed) where there are any, and INVLPG then drops
 *     everything that such a page may have left;
 *   - the jump cache goes whenever a page with code in it may have changed.
 *
 * The jump cache (linear address to block) has tags too, of 15 bits above the address, so
 * that a change of address space keeps what it can.  The supervisor's changes with CR3
 * only if code was fetched from pages that are not global; the user's is made of the address
 * space and of a generation.  (Blocks of the two never mix, for their mode differs.)
 *
 * All is the vCPU's own, no locks.
 */
#include "vmm/x86/soft/mmu.h"
#include "vmm/x86/soft/system.h"

static void empty(TlbEntry *entries, unsigned n)
{
    uint64_t words = n * sizeof(*entries) / 8;

    __asm__ volatile("rep stosq" : "+D"(entries), "+c"(words) : "a"(TLB_INVALID) : "memory");
}

static void empty_set(SoftCpu *cpu, unsigned set)
{
    TlbSet *tlb = &cpu->tlbs[set];

    empty(tlb->read, TLB_SIZE);
    empty(tlb->write, TLB_SIZE);
    empty(tlb->exec, TLB_EXEC);
    cpu->mmu->used[set] = cpu->mmu->wrote[set] = false;
}

/* ---- the jump cache ---- */

/* Canonical addresses have 16 bits from there on that are all as the one below, so two tags never make two of them
 * alike.  No tag has the last of these bits: so 2^47, which code can run on to, is not like any of them either. */
#define TAG_SHIFT 48
#define TAG_BITS  15

void soft_jumps_forget(SoftCpu *cpu)
{
    for (unsigned i = 0; i < JUMP_CACHE; i++) {
        cpu->jumps[i].tag = UINT64_MAX;
    }
    for (unsigned i = 0; i < RETURNS; i++) {
        cpu->returns[i].tag = UINT64_MAX;
    }
}

static void clear_jumps(SoftCpu *cpu)
{
    soft_jumps_forget(cpu);
    cpu->mmu->supervisor_tag = 1;
    cpu->mmu->user_generation = 0;
}

static void choose_jump_tags(SoftCpu *cpu)
{
    const struct SoftMmu *mmu = cpu->mmu;

    cpu->jump_tags[0] = (uint64_t)mmu->supervisor_tag << TAG_SHIFT;
    cpu->jump_tags[1] = (mmu->user_generation << ASID_BITS | cpu->tlbs[TLB_USER].asid) << TAG_SHIFT;
    cpu->jump_tag = cpu->jump_tags[cpu->cpl == 3];
    cpu->flushes++;
    cpu->linked_from = NULL;
}

static void flush_supervisor_jumps(SoftCpu *cpu)
{
    soft_zero(cpu->mmu->code[0], sizeof(cpu->mmu->code[0]));
    if (++cpu->mmu->supervisor_tag == 1u << TAG_BITS) {
        clear_jumps(cpu);
    }
    choose_jump_tags(cpu);
}

/* Of all address spaces. */
static void flush_user_jumps(SoftCpu *cpu)
{
    soft_zero(cpu->mmu->code[1], sizeof(cpu->mmu->code[1]));
    if (++cpu->mmu->user_generation == 1u << (TAG_BITS - ASID_BITS)) {
        clear_jumps(cpu);
    }
    choose_jump_tags(cpu);
}

/* ---- filling ---- */

static void set_bit(uint64_t *bits, uint64_t n)
{
    bits[n / 64] |= UINT64_C(1) << n % 64;
}

static bool has_bit(const uint64_t *bits, uint64_t n)
{
    return bits[n / 64] >> n % 64 & 1;
}

static unsigned large_hash(uint64_t linear)
{
    return (unsigned)(linear >> 22) & (LARGE_BITS - 1);
}

static unsigned giant_hash(uint64_t linear)
{
    return (unsigned)(linear >> 30) & (LARGE_BITS - 1);
}

void soft_tlb_fill(SoftCpu *cpu, uint64_t linear, unsigned access, const SoftWalk *w, const uint8_t *host,
                   uint8_t *flags)
{
    struct SoftMmu *mmu = cpu->mmu;
    unsigned set = access & ACCESS_EXEC ? cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR : soft_set_of(cpu, access);
    unsigned at = linear >> 12 & (TLB_SIZE - 1);
    TlbSet *tlb = &cpu->tlbs[set];
    const TlbEntry entry = { (linear & PAGE_MASK) | tlb->asid, (uintptr_t)host - linear };

    cpu->count[COUNT_TLB_FILLS]++;
    mmu->used[set] = true;
    if (UNLIKELY(w->shift > 12)) {
        set_bit(w->shift == 30 ? mmu->giant : mmu->large, w->shift == 30 ? giant_hash(linear) : large_hash(linear));
    }
    if (access & ACCESS_EXEC) {
        at &= TLB_EXEC - 1;
        tlb->exec[at] = entry;
        if (set == TLB_SUPERVISOR && !w->global) {
            set_bit(mmu->local_exec, at);
            mmu->local_jumps = true;
        }
        return;
    }
    tlb->read[at] = entry;
    mmu->flags[set][at] = flags;
    if (access & ACCESS_WRITE && flags && !__atomic_load_n(flags, __ATOMIC_SEQ_CST)) {
        tlb->write[at] = entry;
        mmu->wrote[set] = true;
    }
    if (set != TLB_USER && !w->global) {
        set_bit(mmu->local[set], at);
    }
}

/* ---- address spaces ---- */

static uint16_t *asid_slot(SoftCpu *cpu)
{
    return &cpu->mmu->asid_of[cpu->cr4 & CR4_PCIDE ? cpu->cr3 & 0xfff : 0];
}

/* The present one's user entries from before are void. */
static void new_asid(SoftCpu *cpu)
{
    struct SoftMmu *mmu = cpu->mmu;

    if (UNLIKELY(mmu->next_asid == ASIDS)) {
        empty_set(cpu, TLB_USER);
        soft_zero(mmu->asid_of, sizeof(mmu->asid_of));
        mmu->next_asid = mmu->oldest_asid = 1;
        flush_user_jumps(cpu);
    }
    *asid_slot(cpu) = mmu->next_asid++;
    cpu->tlbs[TLB_USER].asid = *asid_slot(cpu);
}

/* Of the supervisor.  Lastly the jump cache follows the address space. */
static void drop_local(SoftCpu *cpu)
{
    struct SoftMmu *mmu = cpu->mmu;

    for (unsigned set = TLB_SUPERVISOR; set <= TLB_SUPERVISOR_AC; set++) {
        for (unsigned word = 0; word < TLB_SIZE / 64; word++) {
            uint64_t left = mmu->local[set][word];

            for (; left; left &= left - 1) {
                unsigned at = word * 64 + (unsigned)__builtin_ctzll(left);

                cpu->tlbs[set].read[at].tag = cpu->tlbs[set].write[at].tag = TLB_INVALID;
            }
            mmu->local[set][word] = 0;
        }
    }
    for (unsigned word = 0; word < TLB_EXEC / 64; word++) {
        uint64_t left = mmu->local_exec[word];

        for (; left; left &= left - 1) {
            cpu->tlbs[TLB_SUPERVISOR].exec[word * 64 + (unsigned)__builtin_ctzll(left)].tag = TLB_INVALID;
        }
        mmu->local_exec[word] = 0;
    }
    if (mmu->local_jumps) {
        flush_supervisor_jumps(cpu);
        mmu->local_jumps = false;
    } else {
        choose_jump_tags(cpu);
    }
}

/* Everything but global entries, of all address spaces. */
static void drop_all_local(SoftCpu *cpu)
{
    cpu->mmu->oldest_asid = cpu->mmu->next_asid;
    new_asid(cpu);
    drop_local(cpu);
}

/* 4.10.4.1, "MOV to CR3" */
void soft_set_cr3(SoftCpu *cpu, uint64_t value, bool keep)
{
    bool pae = soft_is_pae(cpu->cr0, cpu->cr4, cpu->efer);
    uint64_t pdpte[4];
    uint16_t asid;

    if ((cpu->efer & EFER_LMA && value >> cpu->phys_bits) || (pae && !soft_read_pdptes(cpu, value, pdpte))) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    for (unsigned i = 0; pae && i < 4; i++) {
        cpu->pdptr[i] = pdpte[i];
    }
    cpu->cr3 = value;
    asid = *asid_slot(cpu);
    if (keep && asid >= cpu->mmu->oldest_asid) {
        cpu->tlbs[TLB_USER].asid = asid;
    } else {
        new_asid(cpu);
    }
    drop_local(cpu);
}

void soft_invpcid(SoftCpu *cpu, unsigned type, uint64_t pcid, uint64_t linear)
{
    switch (type) {
    case 0:
        soft_tlb_flush_page(cpu, linear);
        break;
    case 1:
        if (asid_slot(cpu) == &cpu->mmu->asid_of[pcid]) {
            new_asid(cpu);
            drop_local(cpu);
        } else {
            cpu->mmu->asid_of[pcid] = 0;
        }
        break;
    case 2:
        soft_tlb_flush(cpu);
        break;
    default:
        drop_all_local(cpu);
        break;
    }
}

/* ---- dropping ---- */

void soft_tlb_flush(SoftCpu *cpu)
{
    struct SoftMmu *mmu = cpu->mmu;

    for (unsigned set = TLB_SUPERVISOR; set <= TLB_SUPERVISOR_AC; set++) {
        if (mmu->used[set]) {
            empty_set(cpu, set);
        }
    }
    soft_zero(mmu->local, sizeof(mmu->local));
    soft_zero(mmu->local_exec, sizeof(mmu->local_exec));
    soft_zero(mmu->large, sizeof(mmu->large));
    soft_zero(mmu->giant, sizeof(mmu->giant));
    mmu->oldest_asid = mmu->next_asid;
    new_asid(cpu);
    mmu->voids++;
    mmu->local_jumps = false;
    flush_supervisor_jumps(cpu); /* the user's went with the address spaces */
}

static void drop_within(TlbEntry *entries, unsigned n, uint64_t linear, unsigned shift)
{
    for (unsigned i = 0; i < n; i++) {
        if (!((entries[i].tag ^ linear) >> shift)) {
            entries[i].tag = TLB_INVALID;
        }
    }
}

/* Whatever was made of the page of that size that linear is in. */
static void drop_large(SoftCpu *cpu, uint64_t linear, unsigned shift)
{
    for (unsigned set = 0; set < TLB_NONE; set++) {
        if (cpu->mmu->used[set]) {
            drop_within(cpu->tlbs[set].read, TLB_SIZE, linear, shift);
            drop_within(cpu->tlbs[set].write, TLB_SIZE, linear, shift);
            drop_within(cpu->tlbs[set].exec, TLB_EXEC, linear, shift);
        }
    }
}

static void drop_page(TlbEntry *entry, uint64_t linear)
{
    if (!((entry->tag ^ linear) >> 12)) {
        entry->tag = TLB_INVALID;
    }
}

void soft_tlb_flush_page(SoftCpu *cpu, uint64_t linear)
{
    struct SoftMmu *mmu = cpu->mmu;
    bool large = has_bit(mmu->large, large_hash(linear)), giant = has_bit(mmu->giant, giant_hash(linear));

    for (unsigned set = 0; set < TLB_NONE; set++) {
        drop_page(&cpu->tlbs[set].read[linear >> 12 & (TLB_SIZE - 1)], linear);
        drop_page(&cpu->tlbs[set].write[linear >> 12 & (TLB_SIZE - 1)], linear);
        drop_page(&cpu->tlbs[set].exec[linear >> 12 & (TLB_EXEC - 1)], linear);
    }
    if (UNLIKELY(large || giant)) {
        drop_large(cpu, linear, giant ? 30 : 22);
    }
    if (large || giant || has_bit(mmu->code[0], linear >> 12 & (CODE_BITS - 1))) {
        flush_supervisor_jumps(cpu);
    }
    if (large || giant || has_bit(mmu->code[1], linear >> 12 & (CODE_BITS - 1))) {
        flush_user_jumps(cpu);
    }
}

/* All of them: an entry is made anew from the read entry beside it in a few nanoseconds, so dropping is cheaper than
 * looking for those of one page. */
void soft_tlb_revoke(SoftCpu *cpu, const void *host)
{
    struct SoftMmu *mmu = cpu->mmu;

    mmu->voids++;
    for (unsigned set = 0; set < TLB_NONE; set++) {
        if (mmu->wrote[set]) {
            empty(cpu->tlbs[set].write, TLB_SIZE);
            mmu->wrote[set] = false;
        }
    }
}

/* ---- life ---- */

bool soft_mmu_init(SoftCpu *cpu, GError **error)
{
    cpu->mmu = g_new0(struct SoftMmu, 1);
    cpu->mmu->next_asid = cpu->mmu->oldest_asid = 1;
    for (unsigned set = 0; set < TLB_SETS; set++) {
        empty(cpu->tlbs[set].read, TLB_SIZE);
        empty(cpu->tlbs[set].write, TLB_SIZE);
        empty(cpu->tlbs[set].exec, TLB_EXEC);
        cpu->tlbs[set].asid = 0;
    }
    new_asid(cpu);
    clear_jumps(cpu);
    choose_jump_tags(cpu);
    return true;
}

void soft_mmu_finish(SoftCpu *cpu)
{
    g_clear_pointer(&cpu->mmu, g_free);
}
