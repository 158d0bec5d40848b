/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct kernel boot: puts a kernel, an initrd and a command line into guest RAM
 * and the boot processor at the kernel's entry.  No firmware runs.
 *
 *   bzImage   Linux boot protocol (Documentation/arch/x86/boot.rst), 64-bit entry,
 *             or the 32-bit entry for kernels that have only that
 *   ELF64     with a XEN_ELFNOTE_PHYS32_ENTRY note: the PVH entry (Xen's
 *             docs/misc/pvh.pandoc, start_info.h); without: Linux' 64-bit entry
 *   Multiboot a 32-bit ELF file or one whose header has addresses (boot-multiboot.c)
 *
 * Everything is checked and placed once, by x86_boot_new(); x86_boot_reset() writes
 * it into RAM at each machine reset, reading kernel and initrd from their
 * descriptors straight into guest memory.
 *
 * Low memory, below what a kernel calls usable or within what the e820 map keeps
 * for us:  GDT 0x500, start_info and zero page 0x6000-0x7fff, page tables
 * 0x9000-0xefff, command line 0x20000-0x2ffff.  Main thread.
 */
#pragma once

#include "hw/i386/boot-image.h"
#include "vmm/machine.h"

#define E820_MAX 128

/* What the board tells the loader. */
typedef struct X86BootLayout {
    uint64_t below_4g;            /* bytes of RAM from 0 on */
    const E820Entry *e820;        /* the whole map, rising; copied */
    unsigned e820_entries;
    uint64_t rsdp;                /* guest address of the RSDP; 0: no ACPI */
    const char *append_more;      /* added to -append by the board; NULL */
    const uint8_t *dtb;           /* device tree for SETUP_DTB; NULL; copied */
    size_t dtb_length;
} X86BootLayout;

typedef struct X86Boot X86Boot;

/* The map of a PC: RAM with the legacy holes, extra reserved ranges are added by the board.
 * Returns the number of entries written (at most E820_MAX). */
unsigned x86_boot_e820(uint64_t below_4g, uint64_t above_4g, const E820Entry *extra, unsigned n_extra,
                       E820Entry ret[E820_MAX]);

/* machine->boot names the files.  Errors say what the file looks like instead of a kernel, or how
 * much RAM an initrd needs. */
X86Boot *x86_boot_new(Machine *machine, const X86BootLayout *layout, GError **error);
/* Every device was reset and low RAM is writable: loads, and sets vCPU 0.  false: a file shrank or
 * cannot be read any more. */
bool x86_boot_reset(X86Boot *boot, GError **error);
void x86_boot_reset_cpu(Vcpu *vcpu); /* any: what firmware leaves behind in it */
/* Every device was reset at the end of ACPI S3: sets vCPU 0 to where the FACS at this address (0: there is none)
 * says.  false: it says nothing that can be entered. */
bool x86_boot_wake(Domain *domain, uint64_t facs, GError **error);
void x86_boot_free(X86Boot *boot); /* NULL is fine */
