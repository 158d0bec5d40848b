/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot kernels: Multiboot Specification 0.6.96, sections 3.1 (header), 3.2 (machine
 * state) and 3.3 (information).  The file is untrusted.
 *
 * Left out: a.out symbols, drives, APM and video (a header that asks for a video mode gets
 * text, as the specification allows).
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "hw/i386/boot-image.h"
#include "vmm/bytes.h"
#include "vmm/error.h"

#define HEADER_MAGIC     0x1badb002
#define HEADER_WITHIN    8192
#define FLAGS_KNOWN      0x00000007 /* page-aligned modules, memory map, video: bits 15-0 must be understood */
#define FLAGS_REQUIRED   0x0000ffff
#define FLAG_ADDRESSES   0x00010000
#define CMDLINE_MULTIBOOT_MAX 0xfffe

/* Offsets in the header. */
enum { MB_FLAGS = 4, MB_CHECKSUM = 8, MB_HEADER_ADDR = 12, MB_LOAD_ADDR = 16, MB_LOAD_END = 20, MB_BSS_END = 24,
       MB_ENTRY = 28, MB_HEADER_SHORT = 12, MB_HEADER_LONG = 32 };

/* Offsets in the information, and its flags. */
enum { MBI_FLAGS = 0, MBI_MEM_LOWER = 4, MBI_MEM_UPPER = 8, MBI_CMDLINE = 16, MBI_MODS_COUNT = 20, MBI_MODS_ADDR = 24,
       MBI_MMAP_LENGTH = 44, MBI_MMAP_ADDR = 48, MBI_LOADER_NAME = 64, MBI_SIZE = 116 };
enum { MBI_HAS_MEMORY = 1 << 0, MBI_HAS_CMDLINE = 1 << 2, MBI_HAS_MODS = 1 << 3, MBI_HAS_MMAP = 1 << 6,
       MBI_HAS_LOADER_NAME = 1 << 9 };

bool kernel_image_is_multiboot(const uint8_t *head, size_t length, size_t *ret_at)
{
    for (size_t at = 0; at + MB_HEADER_SHORT <= MIN(length, (size_t)HEADER_WITHIN); at += 4) {
        const uint8_t *h = head + at;

        if (get32(h) == HEADER_MAGIC && (uint32_t)(HEADER_MAGIC + get32(h + MB_FLAGS) + get32(h + MB_CHECKSUM)) == 0 &&
            (!(get32(h + MB_FLAGS) & FLAG_ADDRESSES) || at + MB_HEADER_LONG <= length)) {
            *ret_at = at;
            return true;
        }
    }
    return false;
}

/* In low memory what is ours (hw/i386/boot.h) must stay: GDT and information below 0x7000, the command line. */
static bool fits(const char *name, uint64_t address, uint64_t size, uint64_t below_4g, GError **error)
{
    uint64_t end = address + size;

    if ((address >= 0x100000 && end <= below_4g) || (address >= 0x7000 && end <= 0x20000) ||
        (address >= 0x30000 && end <= 0x9fc00)) {
        return true;
    }
    error_set(error,
              "kernel '%s' needs RAM from 0x%" G_GINT64_MODIFIER "x to 0x%" G_GINT64_MODIFIER
              "x, which is not all there",
              name, address, address + size);
    return error_hint(error,
                      "Give more with -m; a kernel is loaded from 1 MiB on, or into 0x7000-0x1ffff, 0x30000-0x9fbff.");
}

/* The header's own addresses, section 3.1.3. */
static bool probe_addresses(const char *name, const uint8_t *h, size_t at, uint64_t file_size, uint64_t below_4g,
                            KernelImage *image, GError **error)
{
    uint64_t header = get32(h + MB_HEADER_ADDR), load = get32(h + MB_LOAD_ADDR);
    uint64_t load_end = get32(h + MB_LOAD_END), bss_end = get32(h + MB_BSS_END);
    uint64_t offset, size;

    if (load > header || header - load > at) {
        return error_set(error, "cannot boot kernel '%s': its Multiboot header places its start before the file", name);
    }
    offset = at - (header - load);
    size = load_end ? load_end - load : file_size - offset;
    if ((load_end && load_end < load) || size > file_size - offset) {
        return error_set(error, "cannot boot kernel '%s': its Multiboot header asks for more than the file has", name);
    }
    bss_end = MAX(bss_end, load + size);
    if (!fits(name, load, bss_end - load, below_4g, error)) {
        return false;
    }
    image->entry = get32(h + MB_ENTRY);
    image->segment[0] = (KernelSegment){ offset, size, load, bss_end - load };
    image->segments = 1;
    image->end = bss_end;
    return true;
}

static bool add_segment(const char *name, const Elf32_Phdr *ph, uint64_t file_size, uint64_t below_4g,
                        KernelImage *image, GError **error)
{
    if (ph->p_filesz > ph->p_memsz || ph->p_offset > file_size || ph->p_filesz > file_size - ph->p_offset) {
        return error_set(error, "cannot boot kernel '%s': an ELF segment lies outside of the file", name);
    }
    if (image->segments == KERNEL_SEGMENTS_MAX) {
        return error_set(error, "cannot boot kernel '%s': it has more than %d ELF segments", name, KERNEL_SEGMENTS_MAX);
    }
    if (!fits(name, ph->p_paddr, ph->p_memsz, below_4g, error)) {
        return false;
    }
    image->segment[image->segments++] = (KernelSegment){ ph->p_offset, ph->p_filesz, ph->p_paddr, ph->p_memsz };
    image->end = MAX(image->end, (uint64_t)ph->p_paddr + ph->p_memsz);
    return true;
}

static bool probe_elf32(int fd, const char *name, const uint8_t *head, size_t head_length, uint64_t file_size,
                        uint64_t below_4g, KernelImage *image, GError **error)
{
    Elf32_Ehdr eh;

    if (head_length < sizeof(eh) || memcmp(head, ELFMAG, SELFMAG) != 0 || head[EI_CLASS] != ELFCLASS32 ||
        head[EI_DATA] != ELFDATA2LSB) {
        error_set(error,
                  "cannot boot kernel '%s': a Multiboot kernel is a 32-bit ELF file or has addresses in its header",
                  name);
        return error_hint(error, "Convert it: objcopy -O elf32-i386 KERNEL KERNEL32.");
    }
    memcpy(&eh, head, sizeof(eh));
    if ((eh.e_machine != EM_386 && eh.e_machine != EM_X86_64) || eh.e_phentsize != sizeof(Elf32_Phdr)) {
        return error_set(error, "cannot boot kernel '%s': its ELF header is not that of an x86 executable", name);
    }
    image->entry = eh.e_entry;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        Elf32_Phdr ph;
        int rc = kernel_image_read(fd, &ph, sizeof(ph), (uint64_t)eh.e_phoff + i * sizeof(ph));

        if (rc < 0) {
            return error_set_errno(error, rc, "cannot read ELF program header %u of kernel '%s'", i, name);
        }
        if (ph.p_type == PT_LOAD && ph.p_memsz && !add_segment(name, &ph, file_size, below_4g, image, error)) {
            return false;
        }
    }
    if (image->segments) {
        return true;
    }
    return error_set(error, "cannot boot kernel '%s': the ELF file has nothing to load", name);
}

bool kernel_image_probe_multiboot(int fd, const char *name, const uint8_t *head, size_t head_length, size_t at,
                                  uint64_t file_size, uint64_t below_4g, KernelImage *ret, GError **error)
{
    KernelImage image = {
        .kind = KERNEL_ENTRY_MULTIBOOT, .initrd_max = UINT32_MAX, .cmdline_max = CMDLINE_MULTIBOOT_MAX};
    uint32_t flags = get32(head + at + MB_FLAGS);

    if (flags & FLAGS_REQUIRED & ~FLAGS_KNOWN) {
        return error_set(error, "cannot boot kernel '%s': its Multiboot header asks for 0x%x, which is not known", name,
                         flags & FLAGS_REQUIRED & ~FLAGS_KNOWN);
    }
    if (flags & FLAG_ADDRESSES ? !probe_addresses(name, head + at, at, file_size, below_4g, &image, error)
                               : !probe_elf32(fd, name, head, head_length, file_size, below_4g, &image, error)) {
        return false;
    }
    *ret = image;
    return true;
}

static uint32_t write_map(uint8_t *page, uint32_t at, const E820Entry *e820, unsigned entries)
{
    /* Each entry says how long it is, without that word itself. */
    for (unsigned i = 0; i < entries && at + 24 <= 4096; i++, at += 24) {
        put32(page + at, 20);
        put64(page + at + 4, e820[i].address);
        put64(page + at + 12, e820[i].size);
        put32(page + at + 20, e820[i].type);
    }
    return at;
}

void multiboot_write_info(uint8_t page[4096], const MultibootInfo *info)
{
    enum { MODULE = 0x80, NAME = 0x90, MAP = 0xa0 };

    memset(page, 0, 4096);
    put32(page + MBI_FLAGS, MBI_HAS_MEMORY | MBI_HAS_CMDLINE | MBI_HAS_MODS | MBI_HAS_MMAP | MBI_HAS_LOADER_NAME);
    put32(page + MBI_MEM_LOWER, 640);
    put32(page + MBI_MEM_UPPER, (uint32_t)((info->below_4g >> 10) - 1024));
    put32(page + MBI_CMDLINE, info->cmdline);
    put32(page + MBI_MODS_COUNT, info->module_end ? 1 : 0);
    put32(page + MBI_MODS_ADDR, info->address + MODULE);
    put32(page + MODULE, info->module_start);
    put32(page + MODULE + 4, info->module_end);
    put32(page + MODULE + 8, info->cmdline); /* modules have a line of their own; we know of none */
    put32(page + MBI_LOADER_NAME, info->address + NAME);
    memcpy(page + NAME, "lodge", 6);
    put32(page + MBI_MMAP_ADDR, info->address + MAP);
    put32(page + MBI_MMAP_LENGTH, write_map(page, MAP, info->e820, info->e820_entries) - MAP);
}
