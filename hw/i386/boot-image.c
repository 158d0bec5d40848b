/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recognises kernels: bzImage (boot.rst, "The Real-Mode Kernel Header"), ELF64 (System V
 * ABI, AMD64 supplement; PVH notes as in Xen's public/elfnote.h), and Multiboot by its
 * header (boot-multiboot.c).  The file is untrusted: every number from it is checked
 * before use.
 */
#include "hw/i386/boot-image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/bytes.h"
#include "vmm/error.h"

/* Offsets of the setup header, boot.rst. */
enum {
    HDR_SETUP_SECTS = 0x1f1,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP = 0x200,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_LOADFLAGS = 0x211,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_KERNEL_ALIGNMENT = 0x230,
    HDR_RELOCATABLE = 0x234,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_END_MAX = 0x290,
};
#define LOADED_HIGH   0x01
#define XLF_KERNEL_64 0x01
#define PROTOCOL_2_10 0x020a /* pref_address and init_size */
#define PROTOCOL_2_12 0x020c /* xloadflags */
#define ENTRY_64_OFFSET 0x200

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define NOTES_MAX (1 << 20) /* bytes of one PT_NOTE that are looked at */
#define CMDLINE_ELF_MAX 0xfffe
#define HEAD_SIZE 8192 /* where a Multiboot header must be */

int kernel_image_read(int fd, void *buffer, uint64_t length, uint64_t offset)
{
    uint8_t *p = buffer;

    while (length > 0) {
        ssize_t n = pread(fd, p, MIN(length, UINT64_C(1) << 30), (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -ENODATA;
        }
        p += n;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return 0;
}

bool kernel_image_probe_bzimage(int fd, const char *name, const uint8_t *head, size_t head_length, uint64_t file_size,
                                uint64_t below_4g, KernelImage *ret, GError **error)
{
    KernelImage image = { .kind = KERNEL_ENTRY_LINUX32 };
    uint16_t version = get16(head + HDR_VERSION);
    uint64_t setup_bytes = (head[HDR_SETUP_SECTS] ? head[HDR_SETUP_SECTS] : 4) * UINT64_C(512) + 512;
    uint64_t load, size, init_size;
    uint32_t header_end = HDR_JUMP + 2 + head[HDR_JUMP + 1];

    if (version < PROTOCOL_2_10 || !(head[HDR_LOADFLAGS] & LOADED_HIGH)) {
        return error_set(error, "cannot boot kernel '%s': its boot protocol %u.%02u is older than 2.10 (Linux 2.6.31)",
                         name, version >> 8, version & 0xffu);
    }
    if (setup_bytes >= file_size) {
        return error_set(error, "cannot boot kernel '%s': the file is cut short after %" G_GUINT64_FORMAT " bytes",
                         name, file_size);
    }
    size = file_size - setup_bytes;
    load = get64(head + HDR_PREF_ADDRESS);
    init_size = MAX((uint64_t)get32(head + HDR_INIT_SIZE), size);
    if (load < 0x100000 || load + init_size < load || load + init_size > below_4g) {
        error_set(error,
                  "kernel '%s' needs RAM up to %" G_GUINT64_FORMAT " MiB, the machine has %" G_GUINT64_FORMAT " MiB",
                  name, ((load + init_size) >> 20) + 1, below_4g >> 20);
        return error_hint(error, "Give more with -m.");
    }
    image.entry = load;
    if (version >= PROTOCOL_2_12 && (get16(head + HDR_XLOADFLAGS) & XLF_KERNEL_64)) {
        image.kind = KERNEL_ENTRY_LINUX64;
        image.entry = load + ENTRY_64_OFFSET;
    }
    image.segment[0] = (KernelSegment){ setup_bytes, size, load, size };
    image.segments = 1;
    image.end = load + init_size;
    image.initrd_max = get32(head + HDR_INITRD_ADDR_MAX);
    image.cmdline_max = get32(head + HDR_CMDLINE_SIZE);
    image.header_length = MIN(header_end, HDR_END_MAX) - HDR_SETUP_SECTS;
    memcpy(image.header, head + HDR_SETUP_SECTS, image.header_length);
    *ret = image;
    return true;
}

/* The PVH entry of one PT_NOTE segment; 0: it has none. */
static uint64_t pvh_entry(const uint8_t *notes, uint64_t length, uint64_t align)
{
    uint64_t at = 0;

    align = align == 8 ? 8 : 4;
    while (length - at >= sizeof(Elf64_Nhdr)) {
        uint64_t name_size = get32(notes + at), desc_size = get32(notes + at + 4);
        uint32_t type = get32(notes + at + 8);
        uint64_t name_at = at + sizeof(Elf64_Nhdr);
        uint64_t desc_at = name_at + ((name_size + align - 1) & ~(align - 1));
        uint64_t next = desc_at + ((desc_size + align - 1) & ~(align - 1));

        if (desc_at + desc_size > length) {
            return 0;
        }
        if (type == XEN_ELFNOTE_PHYS32_ENTRY && name_size == 4 && memcmp(notes + name_at, "Xen", 4) == 0) {
            return desc_size >= 8 ? get64(notes + desc_at) : desc_size >= 4 ? get32(notes + desc_at) : 0;
        }
        if (next > length) {
            return 0;
        }
        at = next;
    }
    return 0;
}

static bool probe_note(int fd, const char *name, const Elf64_Phdr *ph, KernelImage *image, GError **error)
{
    uint64_t length = MIN(ph->p_filesz, NOTES_MAX);
    g_autofree uint8_t *notes = g_malloc(length + 1);
    int rc = kernel_image_read(fd, notes, length, ph->p_offset);
    uint64_t entry;

    if (rc < 0) {
        return error_set_errno(error, rc, "cannot read the notes of kernel '%s'", name);
    }
    entry = pvh_entry(notes, length, ph->p_align);
    if (entry) {
        image->kind = KERNEL_ENTRY_PVH;
        image->entry = entry;
    }
    return true;
}

static bool probe_load(const char *name, const Elf64_Phdr *ph, uint64_t file_size, uint64_t below_4g,
                       KernelImage *image, GError **error)
{
    if (ph->p_filesz > ph->p_memsz || ph->p_offset > file_size || ph->p_filesz > file_size - ph->p_offset) {
        return error_set(error, "cannot boot kernel '%s': an ELF segment lies outside of the file", name);
    }
    if (ph->p_paddr < 0x100000 || ph->p_paddr + ph->p_memsz < ph->p_paddr || ph->p_paddr + ph->p_memsz > below_4g) {
        error_set(error,
                  "kernel '%s' needs RAM from 0x%" G_GINT64_MODIFIER "x to 0x%" G_GINT64_MODIFIER
                  "x, which is not all there",
                  name, ph->p_paddr, ph->p_paddr + ph->p_memsz);
        return error_hint(error, "Give more with -m; a kernel is loaded between 1 MiB and 4 GiB.");
    }
    if (image->segments == KERNEL_SEGMENTS_MAX) {
        return error_set(error, "cannot boot kernel '%s': it has more than %d ELF segments", name, KERNEL_SEGMENTS_MAX);
    }
    image->segment[image->segments++] = (KernelSegment){ ph->p_offset, ph->p_filesz, ph->p_paddr, ph->p_memsz };
    image->end = MAX(image->end, ph->p_paddr + ph->p_memsz);
    return true;
}

bool kernel_image_probe_elf(int fd, const char *name, const uint8_t *head, size_t head_length, uint64_t file_size,
                            uint64_t below_4g, KernelImage *ret, GError **error)
{
    KernelImage image = { .kind = KERNEL_ENTRY_LINUX64, .initrd_max = UINT32_MAX, .cmdline_max = CMDLINE_ELF_MAX };
    Elf64_Ehdr eh;

    if (head_length < sizeof(eh) || head[EI_CLASS] != ELFCLASS64 || head[EI_DATA] != ELFDATA2LSB) {
        error_set(error, "cannot boot kernel '%s': it is not a 64-bit little-endian ELF file", name);
        return error_hint(error, "Use a bzImage, or an x86-64 vmlinux.");
    }
    memcpy(&eh, head, sizeof(eh));
    if (eh.e_machine != EM_X86_64) {
        return error_set(error, "cannot boot kernel '%s': it is an ELF file for machine %u, not for x86-64", name,
                         eh.e_machine);
    }
    if (eh.e_type != ET_EXEC && eh.e_type != ET_DYN) {
        return error_set(error, "cannot boot kernel '%s': it is an ELF file of type %u, not an executable", name,
                         eh.e_type);
    }
    if (eh.e_phentsize != sizeof(Elf64_Phdr)) {
        return error_set(error, "cannot boot kernel '%s': its ELF program headers are %u bytes large, not %zu", name,
                         eh.e_phentsize, sizeof(Elf64_Phdr));
    }
    image.entry = eh.e_entry;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        Elf64_Phdr ph;
        int rc =
            eh.e_phoff > file_size ? -ENODATA : kernel_image_read(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph));

        if (rc < 0) {
            return error_set_errno(error, rc, "cannot read ELF program header %u of kernel '%s'", i, name);
        }
        if (ph.p_type == PT_LOAD && ph.p_memsz > 0 && !probe_load(name, &ph, file_size, below_4g, &image, error)) {
            return false;
        }
        if (ph.p_type == PT_NOTE && image.kind != KERNEL_ENTRY_PVH && !probe_note(fd, name, &ph, &image, error)) {
            return false;
        }
    }
    if (image.segments == 0) {
        return error_set(error, "cannot boot kernel '%s': the ELF file has nothing to load", name);
    }
    for (unsigned i = 0; i < image.segments; i++) {
        const KernelSegment *s = &image.segment[i];

        if (image.entry >= s->address && image.entry < s->address + s->memory_size) {
            *ret = image;
            return true;
        }
    }
    return error_set(error,
                     "cannot boot kernel '%s': its entry 0x%" G_GINT64_MODIFIER "x lies outside of what it loads", name,
                     image.entry);
}

/* What a file that is no kernel looks like. */
static const char *looks_like(const uint8_t *head, size_t length)
{
    static const struct { unsigned at, length; const char *magic, *what; } known[] = {
        { 0, 2, "\x1f\x8b", "gzip data" },
        { 0, 6, "\xfd" "7zXZ\0", "xz data" },
        { 0, 4, "\x28\xb5\x2f\xfd", "zstd data" },
        { 0, 4, "\x02\x21\x4c\x18", "lz4 data" },
        { 0, 6, "070701", "a cpio archive (an initrd?)" },
        { 0, 4, "QFI\xfb", "a qcow2 disk image" },
        { 56, 4, "ARM\x64", "an arm64 kernel" },
        { 0, 2, "#!", "a script" },
        { 510, 2, "\x55\xaa", "a boot sector or a disk image" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if (length >= known[i].at + known[i].length &&
            memcmp(head + known[i].at, known[i].magic, known[i].length) == 0) {
            return known[i].what;
        }
    }
    return "something else";
}

bool kernel_image_probe(int fd, const char *name, uint64_t below_4g, KernelImage *ret, GError **error)
{
    uint8_t head[HEAD_SIZE] = { 0 };
    struct stat st;
    size_t length, at;
    int rc;

    if (fstat(fd, &st) < 0) {
        return error_set_errno(error, errno, "cannot read kernel '%s'", name);
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(error, "cannot boot kernel '%s': it is not a regular file", name);
    }
    length = MIN((size_t)st.st_size, sizeof(head));
    rc = kernel_image_read(fd, head, length, 0);
    if (rc < 0) {
        return error_set_errno(error, rc, "cannot read kernel '%s'", name);
    }
    if (length >= HDR_END_MAX && get16(head + HDR_BOOT_FLAG) == 0xaa55 && memcmp(head + HDR_MAGIC, "HdrS", 4) == 0) {
        return kernel_image_probe_bzimage(fd, name, head, length, (uint64_t)st.st_size, below_4g, ret, error);
    }
    if (kernel_image_is_multiboot(head, length, &at)) {
        return kernel_image_probe_multiboot(fd, name, head, length, at, (uint64_t)st.st_size, below_4g, ret, error);
    }
    if (length >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
        return kernel_image_probe_elf(fd, name, head, length, (uint64_t)st.st_size, below_4g, ret, error);
    }
    if (length == 0) {
        return error_set(error, "cannot boot kernel '%s': the file is empty", name);
    }
    error_set(error, "'%s' is not a kernel that Lodge can boot: it looks like %s", name, looks_like(head, length));
    return error_hint(error, "Give -kernel a Linux bzImage (/boot/vmlinuz-*), an ELF64 kernel, or a Multiboot one.");
}
