/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of ACPI S3: the boot processor goes to the guest's waking vector (ACPI 6.4,
 * 5.2.10 and 16.3.2), as firmware hands over to it.
 *
 *   Firmware Waking Vector     real mode, CS = address / 16
 *   X Firmware Waking Vector   if not 0: protected mode, flat, without paging; or, if the
 *                              guest set 64BIT_WAKE_F, 64-bit mode with the first 4 GiB
 *                              mapped onto themselves
 *
 * Interrupts are off, address line 20 is never held low, and the other processors wait for
 * INIT.  The GDT and the page tables are in memory that the e820 map reserves; MP tables,
 * which are there otherwise, and ACPI exclude each other.  The FACS is the guest's: what it
 * says is checked, and means nothing worse than a reset.  Main thread.
 */
#include <inttypes.h>
#include <string.h>

#include "hw/acpi/tables.h"
#include "hw/i386/boot-internal.h"
#include "hw/i386/boot.h"
#include "vmm/bytes.h"
#include "vmm/error.h"

#define WAKE_PAGE_TABLES 0xf8000u
#define WAKE_GDT         (WAKE_PAGE_TABLES + X86_IDENTITY_MAP_SIZE)
#define GDT_SIZE         0x20
#define REAL_MODE_END    0x100000u
#define PAGED_END        (UINT64_C(1) << 32)

enum { CODE_SELECTOR = 0x10, DATA_SELECTOR = 0x18 };
enum { CODE_REAL = 0x9b, CODE_32 = 0xc09b, CODE_64 = 0xa09b, DATA_FLAT = 0xc093 };

static uint8_t *guest(Domain *domain, uint64_t address, uint64_t length)
{
    uint64_t got = length;
    uint8_t *p = memory_ram_pointer(domain_memory(domain), address, &got, true);

    return p && got == length ? p : NULL;
}

static void enter_real_mode(X86Cpu *cpu, uint32_t vector)
{
    uint16_t selector = (uint16_t)(vector >> 4);

    cpu->segment[X86_CS] =
        (X86Segment) { .selector = selector, .attributes = CODE_REAL, .limit = 0xffff, .base = vector & ~0xfu };
    cpu->cr0 = 0x10; /* ET */
    cpu->rip = vector & 0xf;
}

static bool write_gdt(Domain *domain, bool long_mode, GError **error)
{
    uint8_t *p = guest(domain, WAKE_PAGE_TABLES, X86_IDENTITY_MAP_SIZE + GDT_SIZE), *gdt;

    if (!p) {
        return error_set(error, "there is no RAM at 0x%x for page tables", WAKE_PAGE_TABLES);
    }
    if (long_mode) {
        x86_boot_identity_map(p, WAKE_PAGE_TABLES);
    }
    gdt = p + (WAKE_GDT - WAKE_PAGE_TABLES);
    memset(gdt, 0, GDT_SIZE);
    put64(gdt + CODE_SELECTOR, long_mode ? UINT64_C(0x00af9b000000ffff) : UINT64_C(0x00cf9b000000ffff));
    put64(gdt + DATA_SELECTOR, UINT64_C(0x00cf93000000ffff));
    memory_ram_written(p, X86_IDENTITY_MAP_SIZE + GDT_SIZE);
    return true;
}

static bool enter_protected_mode(Domain *domain, X86Cpu *cpu, uint64_t vector, bool long_mode, GError **error)
{
    if (!write_gdt(domain, long_mode, error)) {
        return false;
    }
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        cpu->segment[i] = (X86Segment) { .selector = DATA_SELECTOR, .attributes = DATA_FLAT, .limit = UINT32_MAX };
    }
    cpu->segment[X86_CS] = (X86Segment) {
        .selector = CODE_SELECTOR, .attributes = long_mode ? CODE_64 : CODE_32, .limit = UINT32_MAX
    };
    cpu->gdt = (X86Table) { .base = WAKE_GDT, .limit = GDT_SIZE - 1 };
    cpu->cr0 = 0x11; /* PE, ET */
    if (long_mode) {
        cpu->cr0 |= UINT64_C(1) << 31; /* PG */
        cpu->cr3 = WAKE_PAGE_TABLES;
        cpu->cr4 = 0x20;   /* PAE */
        cpu->efer = 0x500; /* LME, LMA */
    }
    cpu->rip = vector;
    return true;
}

static bool enter(Domain *domain, X86Cpu *cpu, const uint8_t *facs, GError **error)
{
    uint64_t wide = get64(facs + FACS_X_WAKING_VECTOR), vector = wide ? wide : get32(facs + FACS_WAKING_VECTOR);

    if (!vector) {
        return error_set(error, "the guest left no waking vector");
    }
    if (!guest(domain, vector, 1)) {
        return error_set(error, "the guest's waking vector 0x%" PRIx64 " is not in RAM", vector);
    }
    if (vector >= (wide ? PAGED_END : REAL_MODE_END)) {
        return error_set(error, "the guest's waking vector 0x%" PRIx64 " is above what is reached there", vector);
    }
    if (wide) {
        return enter_protected_mode(domain, cpu, vector, get32(facs + FACS_OSPM_FLAGS) & FACS_OSPM_64BIT_WAKE, error);
    }
    enter_real_mode(cpu, (uint32_t)vector);
    return true;
}

bool x86_boot_wake(Domain *domain, uint64_t facs, GError **error)
{
    Vcpu *vcpu = domain_vcpu(domain, 0);
    const uint8_t *p = facs ? guest(domain, facs, FACS_SIZE) : NULL;

    if (!p) {
        error_set(error, "there are no ACPI tables");
    } else if (enter(domain, &vcpu->cpu, p, error)) {
        vcpu_set_dirty(vcpu);
        x86_boot_enable_mtrrs(domain);
        return true;
    }
    g_prefix_error(error, "cannot wake the guest, which is reset: ");
    return false;
}
