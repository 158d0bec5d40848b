/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging as SDM volume 3, chapter 4 describes it, for who looks at a guest from
 * outside: no paging, 32-bit paging with 4-MiB pages (PSE-36), PAE paging, 4-level and
 * 5-level paging with their large pages.
 *
 * Left out: rights, reserved bits, accessed and dirty flags, protection keys.
 *
 * Locking: none.
 */
#include "vmm/x86/paging.h"

#define CR0_PG   (UINT64_C(1) << 31)
#define CR4_PSE  (UINT64_C(1) << 4)
#define CR4_PAE  (UINT64_C(1) << 5)
#define CR4_LA57 (UINT64_C(1) << 12)
#define EFER_LMA (UINT64_C(1) << 10)

#define PTE_P  (UINT64_C(1) << 0)
#define PTE_RW (UINT64_C(1) << 1)
#define PTE_US (UINT64_C(1) << 2)
#define PTE_PS (UINT64_C(1) << 7)

#define ADDRESS_MASK UINT64_C(0x000ffffffffff000)

#define SHIFT_PAGE 12 /* of an entry's index in the linear address, by level: 12, 21, 30, 39, 48 */
#define SHIFT_PD   21
#define SHIFT_PDPT 30
#define SHIFT_PML4 39
#define SHIFT_PML5 48

/* The entry, or 0, which is not present. */
static uint64_t read_entry(AddressSpace *memory, uint64_t gpa, unsigned size)
{
    uint64_t entry = 0;

    return memory_load(memory, gpa, size, &entry) == MEMORY_OK ? entry : 0;
}

static uint64_t low_bits(uint64_t value, unsigned n)
{
    return value & ((UINT64_C(1) << n) - 1);
}

/* 4.5, and 4.4 from the page directory down: entries of 8 bytes, 512 a table. */
static bool walk_wide(AddressSpace *memory, uint64_t table, uint64_t linear, unsigned shift, uint64_t *ret_gpa)
{
    for (;; shift -= 9) {
        uint64_t entry = read_entry(memory, (table & ADDRESS_MASK) + (linear >> shift & 511) * 8, 8);

        if (!(entry & PTE_P)) {
            return false;
        }
        if (shift == SHIFT_PAGE || (entry & PTE_PS && shift < SHIFT_PML4)) {
            uint64_t page = entry & ADDRESS_MASK;

            *ret_gpa = (page - low_bits(page, shift)) | low_bits(linear, shift);
            return true;
        }
        table = entry;
    }
}

/* 4.4.1: the four entries are registers, loaded from memory by MOV to CR3. */
static bool walk_pae(const X86Cpu *cpu, AddressSpace *memory, uint64_t linear, uint64_t *ret_gpa)
{
    unsigned n = linear >> SHIFT_PDPT & 3;
    uint64_t entry = cpu->pdptrs_valid ? cpu->pdptr[n] : read_entry(memory, (cpu->cr3 & 0xffffffe0) + n * 8, 8);

    return entry & PTE_P && walk_wide(memory, entry, linear, SHIFT_PD, ret_gpa);
}

/* 4.3 */
static bool walk_narrow(const X86Cpu *cpu, AddressSpace *memory, uint64_t linear, uint64_t *ret_gpa)
{
    uint64_t entry = read_entry(memory, (cpu->cr3 & 0xfffff000) + (linear >> 22 & 1023) * 4, 4);

    if (entry & PTE_P && entry & PTE_PS && cpu->cr4 & CR4_PSE) {
        *ret_gpa = (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32 | low_bits(linear, 22);
        return true;
    }
    if (entry & PTE_P) {
        entry = read_entry(memory, (entry & 0xfffff000) + (linear >> SHIFT_PAGE & 1023) * 4, 4);
    }
    *ret_gpa = (entry & 0xfffff000) | low_bits(linear, SHIFT_PAGE);
    return entry & PTE_P;
}

bool x86_translate(const X86Cpu *cpu, AddressSpace *memory, uint64_t linear, uint64_t *ret_gpa)
{
    uint64_t gpa = (uint32_t)linear;
    unsigned top = cpu->cr4 & CR4_LA57 ? SHIFT_PML5 : SHIFT_PML4;
    bool mapped = true;

    if (cpu->cr0 & CR0_PG && cpu->efer & EFER_LMA) {
        int64_t sign = (int64_t)linear >> (top + 8);

        mapped = (sign == 0 || sign == -1) && walk_wide(memory, cpu->cr3, linear, top, &gpa);
    } else if (cpu->cr0 & CR0_PG) {
        linear = (uint32_t)linear;
        mapped = cpu->cr4 & CR4_PAE ? walk_pae(cpu, memory, linear, &gpa) : walk_narrow(cpu, memory, linear, &gpa);
    }
    if (mapped) {
        *ret_gpa = gpa;
    }
    return mapped;
}

/* ---- every page ---- */

typedef struct Walk {
    AddressSpace *memory;
    unsigned tables; /* that may still be read */
    unsigned bits;   /* of a linear address; above them its sign */
    X86MappingFn fn;
    void *opaque;
} Walk;

bool x86_paging_is_on(const X86Cpu *cpu)
{
    return cpu->cr0 & CR0_PG;
}

/* A page of a table in RAM; NULL: it is elsewhere. */
static const void *table_at(const Walk *w, uint64_t gpa)
{
    uint64_t length = 1u << SHIFT_PAGE;
    const void *table = memory_ram_pointer(w->memory, gpa, &length, false);

    return length == 1u << SHIFT_PAGE ? table : NULL;
}

/* rights: PTE_RW and PTE_US as the levels above give them. */
static bool tell(const Walk *w, uint64_t linear, uint64_t gpa, unsigned shift, uint64_t entry, uint64_t rights)
{
    unsigned above = 64 - w->bits;
    X86Mapping m = {
        .linear = (uint64_t)((int64_t)(linear << above) >> above), .gpa = gpa, .size = UINT64_C(1) << shift,
        .entry = entry, .writable = rights & entry & PTE_RW, .user = rights & entry & PTE_US,
    };

    return w->fn(&m, w->opaque);
}

static bool each_wide(Walk *w, uint64_t gpa, uint64_t linear, unsigned shift, uint64_t rights)
{
    const uint64_t *table = table_at(w, gpa & ADDRESS_MASK);

    if (!w->tables) {
        return false;
    }
    w->tables--;
    for (unsigned i = 0; table && i < 512; i++, linear += UINT64_C(1) << shift) {
        uint64_t entry = table[i], page = entry & ADDRESS_MASK;
        bool last = shift == SHIFT_PAGE || (entry & PTE_PS && shift < SHIFT_PML4);

        if (entry & PTE_P && !(last ? tell(w, linear, page - low_bits(page, shift), shift, entry, rights)
                                    : each_wide(w, entry, linear, shift - 9, rights & entry))) {
            return false;
        }
    }
    return true;
}

/* Its top entries have no rights. */
static bool each_pae(const X86Cpu *cpu, Walk *w)
{
    for (unsigned n = 0; n < 4; n++) {
        uint64_t entry = cpu->pdptrs_valid ? cpu->pdptr[n] : read_entry(w->memory, (cpu->cr3 & 0xffffffe0) + n * 8, 8);

        if (entry & PTE_P && !each_wide(w, entry, (uint64_t)n << SHIFT_PDPT, SHIFT_PD, PTE_RW | PTE_US)) {
            return false;
        }
    }
    return true;
}

static bool each_narrow_page(Walk *w, uint32_t directory_entry, uint64_t linear)
{
    const uint32_t *table = table_at(w, directory_entry & 0xfffff000);

    if (!w->tables) {
        return false;
    }
    w->tables--;
    for (unsigned i = 0; table && i < 1024; i++, linear += 1u << SHIFT_PAGE) {
        if (table[i] & PTE_P && !tell(w, linear, table[i] & 0xfffff000, SHIFT_PAGE, table[i], directory_entry)) {
            return false;
        }
    }
    return true;
}

static bool each_narrow(const X86Cpu *cpu, Walk *w)
{
    const uint32_t *table = table_at(w, cpu->cr3 & 0xfffff000);

    for (unsigned i = 0; table && i < 1024; i++) {
        uint64_t entry = table[i], linear = (uint64_t)i << 22;
        bool large = entry & PTE_PS && cpu->cr4 & CR4_PSE;
        uint64_t page = (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;

        if (entry & PTE_P && !(large ? tell(w, linear, page, 22, entry, PTE_RW | PTE_US)
                                     : each_narrow_page(w, (uint32_t)entry, linear))) {
            return false;
        }
    }
    return true;
}

bool x86_paging_each(const X86Cpu *cpu, AddressSpace *memory, unsigned max_tables, X86MappingFn fn, void *opaque)
{
    unsigned top = cpu->cr4 & CR4_LA57 ? SHIFT_PML5 : SHIFT_PML4;
    Walk w = { memory, max_tables, 64, fn, opaque };

    if (!x86_paging_is_on(cpu)) {
        return true;
    }
    if (cpu->efer & EFER_LMA) {
        w.bits = top + 9;
        return each_wide(&w, cpu->cr3, 0, top, PTE_RW | PTE_US);
    }
    return cpu->cr4 & CR4_PAE ? each_pae(cpu, &w) : each_narrow(cpu, &w);
}
