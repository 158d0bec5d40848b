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
