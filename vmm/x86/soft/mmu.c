/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging: SDM volume 3, chapter 4 ("SDM").  No paging, 32-bit paging with 4-MiB pages
 * (PSE-36), PAE paging, 4-level paging with 2-MiB and 1-GiB pages; NX, WP, SMEP, SMAP.
 * Not there: 5-level paging, protection keys, shadow stacks.
 *
 * A walk first reads the entries and decides; then it sets the accessed and dirty flags with
 * a compare-and-exchange each, and begins anew if an entry has changed meanwhile.  An access that
 * faults sets none.  Entries in ROM or in a device are used as they read, and not written.
 *
 * The vCPU is inside, but for soft_cpu_translate(), which is for parked ones.
 */
#include "vmm/x86/soft/mmu.h"
#include "vmm/x86/soft/system.h"

/* Table 4-6 and the like. */
#define PTE_P  (UINT64_C(1) << 0)
#define PTE_W  (UINT64_C(1) << 1)
#define PTE_U  (UINT64_C(1) << 2)
#define PTE_A  (UINT64_C(1) << 5)
#define PTE_D  (UINT64_C(1) << 6)
#define PTE_PS (UINT64_C(1) << 7)
#define PTE_G  (UINT64_C(1) << 8)
#define PTE_XD (UINT64_C(1) << 63)

#define ADDRESS_MASK UINT64_C(0x000ffffffffff000)

static inline uint64_t bits(unsigned high, unsigned low)
{
    return (UINT64_MAX >> (63 - high)) & (UINT64_MAX << low);
}

/* Entries on the way to a page, from the top. */
typedef struct Entry {
    uint64_t value;
    uint8_t *host;  /* NULL: not to be written */
    uint8_t *flags;
} Entry;

typedef struct Path {
    bool parked;    /* not inside */
    unsigned n, size; /* size of an entry: 4, 8 */
    Entry entry[4];
} Path;

/* ---- reading entries ---- */

static uint64_t read_device(SoftCpu *cpu, const Path *path, uint64_t gpa)
{
    uint64_t value = 0;

    if (path->parked) {
        memory_load(cpu->in_smm && cpu->vm->smm ? cpu->vm->smm : cpu->vm->memory, gpa, path->size, &value);
    } else {
        soft_bus_read(cpu, gpa, &value, path->size);
    }
    return value;
}

static inline uint64_t read_entry(SoftCpu *cpu, Path *path, uint64_t gpa)
{
    Entry *e = &path->entry[path->n++];
    const SoftRange *r = LIKELY(!path->parked) ? soft_range(cpu, gpa) : NULL;
    uint8_t *host;

    if (UNLIKELY(!r)) {
        *e = (Entry) { .value = read_device(cpu, path, gpa) };
        return e->value;
    }
    host = r->host + (gpa - r->first);
    e->host = r->readonly ? NULL : host;
    e->flags = r->flags + (gpa - r->first) / PAGE_SIZE;
    e->value = path->size == 8 ? __atomic_load_n((uint64_t *)host, __ATOMIC_RELAXED) :
                                 __atomic_load_n((uint32_t *)host, __ATOMIC_RELAXED);
    return e->value;
}

/* ---- the levels ---- */

static bool fault(SoftWalk *w, uint32_t error)
{
    w->error = error;
    return false;
}

static void found(const SoftCpu *cpu, SoftWalk *w, uint64_t all, uint64_t leaf, unsigned shift, bool no_exec)
{
    w->shift = shift;
    w->user = all & PTE_U;
    w->writable = all & PTE_W;
    w->no_exec = no_exec;
    w->dirty = leaf & PTE_D;
    w->global = leaf & PTE_G && cpu->cr4 & CR4_PGE;
}

/* Bits that are reserved in an entry of PAE and 4-level paging whatever its level, tables 4-8 to 4-20. */
static uint64_t reserved_everywhere(const SoftCpu *cpu)
{
    uint64_t reserved = bits(51, cpu->phys_bits);

    reserved |= cpu->efer & EFER_LMA ? 0 : bits(62, 52);
    return reserved | (cpu->efer & EFER_NXE ? 0 : PTE_XD);
}

/* And by the level and form of the entry. */
static uint64_t reserved_here(const SoftCpu *cpu, uint64_t entry, unsigned shift)
{
    if (shift == 12) {
        return 0;
    }
    if (!(entry & PTE_PS) || shift == 39) {
        /* AMD64 volume 2, 5.3.3: G is reserved in the upper two levels' entries for tables. */
        return (shift == 39 ? PTE_PS : 0) | (shift >= 30 && !cpu->vm->intel ? PTE_G : 0);
    }
    if (shift == 30 && !soft_offers(cpu, FEATURE_GIGABYTE_PAGES)) {
        return PTE_PS;
    }
    return bits(shift - 1, 13);
}

/* 4.4 (from the page directory down), 4.5. */
static bool walk_wide(SoftCpu *cpu, uint64_t linear, Path *path, SoftWalk *w)
{
    const uint64_t reserved = reserved_everywhere(cpu);
    uint64_t table = cpu->cr3, all = UINT64_MAX, any = 0, entry;
    unsigned shift = 39;

    if (!(cpu->efer & EFER_LMA)) {
        table = cpu->pdptr[linear >> 30 & 3];
        shift = 21;
        if (!(table & PTE_P)) {
            return fault(w, 0);
        }
    }
    path->size = 8;
    for (;; shift -= 9) {
        entry = read_entry(cpu, path, (table & ADDRESS_MASK) + (linear >> shift & 511) * 8);
        if (!(entry & PTE_P)) {
            return fault(w, 0);
        }
        if (UNLIKELY(entry & (reserved | reserved_here(cpu, entry, shift)))) {
            return fault(w, FAULT_RSVD);
        }
        all &= entry;
        any |= entry;
        if (shift == 12 || entry & PTE_PS) {
            break;
        }
        table = entry;
    }
    w->gpa = (entry & ADDRESS_MASK & ~bits(shift - 1, 0)) | (linear & bits(shift - 1, 0));
    found(cpu, w, all, entry, shift, any & PTE_XD && cpu->efer & EFER_NXE);
    return true;
}

/* 4.3. */
static bool walk_narrow(SoftCpu *cpu, uint64_t linear, Path *path, SoftWalk *w)
{
    uint64_t pde, pte;

    path->size = 4;
    pde = read_entry(cpu, path, (cpu->cr3 & 0xfffff000) + (linear >> 22 & 1023) * 4);
    if (!(pde & PTE_P)) {
        return fault(w, 0);
    }
    if (pde & PTE_PS && cpu->cr4 & CR4_PSE) {
        unsigned physical = cpu->phys_bits < 40 ? cpu->phys_bits : 40; /* bits 39-32 are in bits 20-13 */

        if (pde & (soft_offers(cpu, FEATURE_PSE36) && physical > 32 ? bits(21, physical - 19) : bits(21, 13))) {
            return fault(w, FAULT_RSVD);
        }
        w->gpa = (pde & 0xffc00000) | (pde & bits(20, 13)) << 19 | (linear & bits(21, 0));
        found(cpu, w, pde, pde, 22, false);
        return true;
    }
    pte = read_entry(cpu, path, (pde & 0xfffff000) + (linear >> 12 & 1023) * 4);
    if (!(pte & PTE_P)) {
        return fault(w, 0);
    }
    w->gpa = (pte & 0xfffff000) | (linear & bits(11, 0));
    found(cpu, w, pde & pte, pte, 12, false);
    return true;
}

static bool walk_tables(SoftCpu *cpu, uint64_t linear, Path *path, SoftWalk *w)
{
    path->n = 0;
    if (!(cpu->cr0 & CR0_PG)) {
        *w = (SoftWalk) { .gpa = linear & UINT32_MAX, .shift = 12, .user = true, .writable = true, .dirty = true,
                          .global = true };
        return true;
    }
    return cpu->cr4 & CR4_PAE ? walk_wide(cpu, linear, path, w) : walk_narrow(cpu, linear, path, w);
}

/* ---- rights, 4.6 ---- */

static bool user_access(const SoftCpu *cpu, unsigned access)
{
    return cpu->cpl == 3 && !(access & ACCESS_SYSTEM);
}

static bool may(const SoftCpu *cpu, const SoftWalk *w, unsigned access)
{
    if (!(cpu->cr0 & CR0_PG)) {
        return true;
    }
    if (access & ACCESS_EXEC && w->no_exec) {
        return false;
    }
    if (user_access(cpu, access)) {
        return w->user && (w->writable || !(access & ACCESS_WRITE));
    }
    if (access & ACCESS_EXEC) {
        return !(w->user && cpu->cr4 & CR4_SMEP);
    }
    if (w->user && cpu->cr4 & CR4_SMAP && (access & ACCESS_SYSTEM || !(cpu->eflags & EFLAGS_AC))) {
        return false;
    }
    return w->writable || !(access & ACCESS_WRITE) || !(cpu->cr0 & CR0_WP);
}

/* 4.7 */
static uint32_t error_code(const SoftCpu *cpu, unsigned access)
{
    uint32_t error = (access & ACCESS_WRITE ? FAULT_W : 0) | (user_access(cpu, access) ? FAULT_U : 0);

    if (access & ACCESS_EXEC && (cpu->cr4 & CR4_SMEP || (cpu->cr4 & CR4_PAE && cpu->efer & EFER_NXE))) {
        error |= FAULT_I;
    }
    return error;
}

/* ---- accessed and dirty flags, 4.8 ---- */

static bool set_flags(const Path *path, const Entry *e, uint64_t set)
{
    if (path->size == 8) {
        uint64_t old = e->value;

        return __atomic_compare_exchange_n((uint64_t *)e->host, &old, old | set, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    } else {
        uint32_t old = (uint32_t)e->value;

        return __atomic_compare_exchange_n((uint32_t *)e->host, &old, old | (uint32_t)set, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    }
}

/* False: walk once more, since an entry or the map has changed. */
static bool mark_used(SoftCpu *cpu, const Path *path, SoftWalk *w, bool write)
{
    uint32_t voids = cpu->mmu->voids;

    for (unsigned i = 0; i < path->n; i++) {
        const Entry *e = &path->entry[i];
        uint64_t want = PTE_A | (write && i + 1 == path->n ? PTE_D : 0);

        if (LIKELY(!(want & ~e->value)) || !e->host) {
            continue;
        }
        if (!set_flags(path, e, want)) {
            return false;
        }
        soft_wrote(cpu, e->flags, e->host, path->size);
        if (cpu->mmu->voids != voids) {
            return false;
        }
    }
    w->dirty |= write;
    return true;
}

/* ---- accesses ---- */

static bool walk(SoftCpu *cpu, uint64_t linear, unsigned access, SoftWalk *w)
{
    Path path = { .parked = false };
    uint32_t voids;

    cpu->count[COUNT_WALKS]++;
    do {
        voids = cpu->mmu->voids;
        if (!walk_tables(cpu, linear, &path, w)) {
            w->error |= w->error ? FAULT_P : 0;
            return false;
        }
        if (!may(cpu, w, access)) {
            return fault(w, FAULT_P);
        }
    } while (UNLIKELY(cpu->mmu->voids != voids) || UNLIKELY(!mark_used(cpu, &path, w, access & ACCESS_WRITE)));
    return true;
}

static _Noreturn void raise_page_fault(SoftCpu *cpu, uint64_t linear, uint32_t error)
{
    SoftEvent event = { .kind = EVENT_FAULT, .vector = VECTOR_PF, .has_error = true, .error = error, .cr2 = linear };

    soft_raise_event(cpu, &event);
}

void soft_resolve(SoftCpu *cpu, uint64_t linear, unsigned access, SoftPlace *ret)
{
    const SoftRange *r;
    SoftWalk w;

    if (UNLIKELY(!soft_is_canonical(linear))) {
        soft_raise_error(cpu, access & ACCESS_STACK ? VECTOR_SS : VECTOR_GP, 0);
    }
    if (UNLIKELY(!walk(cpu, linear, access, &w))) {
        raise_page_fault(cpu, linear, w.error | error_code(cpu, access));
    }
    *ret = (SoftPlace) { .gpa = w.gpa };
    r = soft_is_apic(cpu, w.gpa) ? NULL : soft_range(cpu, w.gpa);
    if (UNLIKELY(!r) || (r->readonly && access & ACCESS_WRITE)) {
        return;
    }
    ret->host = r->host + (w.gpa - r->first);
    ret->flags = r->flags + (w.gpa - r->first) / PAGE_SIZE;
    if (access & ACCESS_EXEC || LIKELY(!soft_watched_page(cpu, linear))) {
        bool store = !r->readonly && w.dirty && may(cpu, &w, access | ACCESS_WRITE);

        soft_tlb_fill(cpu, linear, access, &w, ret->host, store ? ret->flags : NULL);
    }
}

const uint8_t *soft_code(SoftCpu *cpu, uint64_t linear)
{
    bool user = cpu->cpl == 3;
    const TlbSet *tlb = &cpu->tlbs[user ? TLB_USER : TLB_SUPERVISOR];
    const TlbEntry *e = &tlb->exec[linear >> 12 & (TLB_EXEC - 1)];
    SoftPlace place;

    cpu->mmu->code[user][linear >> 18 & (CODE_BITS / 64 - 1)] |= UINT64_C(1) << (linear >> 12 & 63);
    if (LIKELY(e->tag == ((linear & PAGE_MASK) | tlb->asid))) {
        return (const uint8_t *)(linear + e->addend);
    }
    soft_resolve(cpu, linear, ACCESS_EXEC, &place);
    return place.host;
}

bool soft_cpu_translate(SoftCpu *cpu, uint64_t linear, uint64_t *ret_gpa)
{
    Path path = { .parked = true };
    SoftWalk w;

    linear &= cpu->linear_mask;
    if (!soft_is_canonical(linear) || !walk_tables(cpu, linear, &path, &w)) {
        return false;
    }
    *ret_gpa = w.gpa;
    return true;
}
