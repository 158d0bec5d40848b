/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/i386/boot-image.c, boot-multiboot.c: kernels made by hand, and what is said of files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "hw/i386/boot-image.h"
#include "vmm/bytes.h"
#include "vmm/error.h"

#define RAM (UINT64_C(64) << 20)

static int file_with(const void *data, size_t length)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    assert_int_equal(write(fd, data, length), (ssize_t)length);
    return fd;
}

static bool probe(const void *data, size_t length, KernelImage *image, GError **error)
{
    int fd = file_with(data, length);
    bool ok = kernel_image_probe(fd, "k", RAM, image, error);

    close(fd);
    return ok;
}

/* One setup sector, one sector of code, loads at 16 MiB, needs 4 MiB. */
static void make_bzimage(uint8_t file[1536], uint16_t version, uint8_t xloadflags)
{
    memset(file, 0, 1536);
    file[0x1f1] = 1;
    file[0x1fe] = 0x55;
    file[0x1ff] = 0xaa;
    file[0x201] = 0x6a;
    memcpy(file + 0x202, "HdrS", 4);
    memcpy(file + 0x206, &version, 2);
    file[0x211] = 1;
    memcpy(file + 0x22c, &(uint32_t){ 0x7fffffff }, 4);
    file[0x236] = xloadflags;
    memcpy(file + 0x238, &(uint32_t){ 2047 }, 4);
    memcpy(file + 0x258, &(uint64_t){ 0x1000000 }, 8);
    memcpy(file + 0x260, &(uint32_t){ 4 << 20 }, 4);
}

typedef struct ElfFile {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[2];
    struct { Elf64_Nhdr nhdr; char name[4]; uint32_t entry; } note;
    uint8_t code[64];
} ElfFile;

static void make_elf(ElfFile *f, bool with_note)
{
    memset(f, 0, sizeof(*f));
    memcpy(f->eh.e_ident, ELFMAG, SELFMAG);
    f->eh.e_ident[EI_CLASS] = ELFCLASS64;
    f->eh.e_ident[EI_DATA] = ELFDATA2LSB;
    f->eh.e_type = ET_EXEC;
    f->eh.e_machine = EM_X86_64;
    f->eh.e_phoff = offsetof(ElfFile, ph);
    f->eh.e_phentsize = sizeof(Elf64_Phdr);
    f->eh.e_phnum = with_note ? 2 : 1;
    f->eh.e_entry = 0x100000;
    f->ph[0] = (Elf64_Phdr) { .p_type = PT_LOAD, .p_offset = offsetof(ElfFile, code), .p_paddr = 0x100000,
                              .p_filesz = 64, .p_memsz = 4096 };
    f->ph[1] = (Elf64_Phdr) { .p_type = PT_NOTE, .p_offset = offsetof(ElfFile, note), .p_filesz = sizeof(f->note),
                              .p_align = 4 };
    f->note.nhdr = (Elf64_Nhdr) { 4, 4, 18 };
    memcpy(f->note.name, "Xen", 4);
    f->note.entry = 0x100020;
}

static void test_a_64_bit_bzimage_enters_behind_its_32_bit_entry(void **state)
{
    uint8_t file[1536];
    KernelImage image;

    make_bzimage(file, 0x020f, 1);
    assert_true(probe(file, sizeof(file), &image, NULL));
    assert_int_equal(image.kind, KERNEL_ENTRY_LINUX64);
    assert_int_equal(image.entry, 0x1000200);
    assert_int_equal(image.segment[0].file_offset, 1024);
    assert_int_equal(image.end, 0x1400000);
    assert_int_equal(image.cmdline_max, 2047);
}

static void test_a_32_bit_bzimage_enters_at_its_start(void **state)
{
    uint8_t file[1536];
    KernelImage image;

    make_bzimage(file, 0x020f, 0);
    assert_true(probe(file, sizeof(file), &image, NULL));
    assert_int_equal(image.kind, KERNEL_ENTRY_LINUX32);
    assert_int_equal(image.entry, 0x1000000);
}

static void test_a_bzimage_cut_in_its_setup_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;
    uint8_t file[1536];
    KernelImage image;

    make_bzimage(file, 0x020f, 1);
    assert_false(probe(file, 900, &image, &error));
    assert_non_null(strstr(error->message, "cut short"));
}

static void test_a_kernel_larger_than_ram_says_how_much_it_needs(void **state)
{
    g_autoptr(GError) error = NULL;
    uint8_t file[1536];
    KernelImage image;

    make_bzimage(file, 0x020f, 1);
    memcpy(file + 0x260, &(uint32_t){ 256u << 20 }, 4);
    assert_false(probe(file, sizeof(file), &image, &error));
    assert_non_null(strstr(error->message, "273 MiB"));
}

static void test_an_elf_kernel_with_a_xen_note_enters_by_pvh(void **state)
{
    ElfFile file;
    KernelImage image;

    make_elf(&file, true);
    assert_true(probe(&file, sizeof(file), &image, NULL));
    assert_int_equal(image.kind, KERNEL_ENTRY_PVH);
    assert_int_equal(image.entry, 0x100020);
    assert_int_equal(image.end, 0x101000);
}

static void test_an_elf_kernel_without_a_note_enters_by_linux64(void **state)
{
    ElfFile file;
    KernelImage image;

    make_elf(&file, false);
    assert_true(probe(&file, sizeof(file), &image, NULL));
    assert_int_equal(image.kind, KERNEL_ENTRY_LINUX64);
    assert_int_equal(image.entry, 0x100000);
}

static void test_a_note_that_claims_to_be_endless_is_ignored(void **state)
{
    ElfFile file;
    KernelImage image;

    make_elf(&file, true);
    file.note.nhdr.n_descsz = UINT32_MAX;
    assert_true(probe(&file, sizeof(file), &image, NULL));
    assert_int_equal(image.kind, KERNEL_ENTRY_LINUX64);
}

static void test_a_segment_outside_of_the_file_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;
    ElfFile file;
    KernelImage image;

    make_elf(&file, false);
    file.ph[0].p_offset = UINT64_MAX - 8;
    assert_false(probe(&file, sizeof(file), &image, &error));
    assert_non_null(strstr(error->message, "outside of the file"));
}

static void test_an_entry_outside_of_all_segments_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;
    ElfFile file;
    KernelImage image;

    make_elf(&file, false);
    file.eh.e_entry = 0x200000;
    assert_false(probe(&file, sizeof(file), &image, &error));
    assert_non_null(strstr(error->message, "entry 0x200000"));
}

/* A header at byte 16 that loads the file from its start to 1 MiB, with 4 KiB of zeroes behind. */
static void make_multiboot(uint8_t file[256], uint32_t flags)
{
    const uint32_t header[] = { 0x1badb002, flags, -(0x1badb002 + flags), 0x100010, 0x100000, 0, 0x101100, 0x100040 };

    memset(file, 0, 256);
    memcpy(file + 16, header, sizeof(header));
}

static void test_a_multiboot_header_with_addresses_says_where_it_goes(void **state)
{
    uint8_t file[256];
    KernelImage image;

    make_multiboot(file, 0x10003);
    assert_true(probe(file, sizeof(file), &image, NULL));
    assert_int_equal(image.kind, KERNEL_ENTRY_MULTIBOOT);
    assert_int_equal(image.entry, 0x100040);
    assert_int_equal(image.segment[0].address, 0x100000);
    assert_int_equal(image.segment[0].file_size, sizeof(file));
    assert_int_equal(image.segment[0].memory_size, 0x1100);
}

static void test_multiboot_features_that_are_not_known_are_refused(void **state)
{
    g_autoptr(GError) error = NULL;
    uint8_t file[256];
    KernelImage image;

    make_multiboot(file, 0x10008);
    assert_false(probe(file, sizeof(file), &image, &error));
    assert_non_null(strstr(error->message, "0x8"));
}

static void test_multiboot_information_tells_of_memory_and_module(void **state)
{
    const E820Entry map = { 0x100000, 0x3f00000, E820_RAM };
    const MultibootInfo info = { .address = 0x6000, .cmdline = 0x20000, .module_start = 0x200000, .module_end = 0x200800,
                                 .below_4g = RAM, .e820 = &map, .e820_entries = 1 };
    uint8_t page[4096];

    multiboot_write_info(page, &info);
    assert_int_equal(get32(page + 8), (RAM >> 10) - 1024);
    assert_int_equal(get32(page + 20), 1);
    assert_int_equal(get32(page + (get32(page + 24) - 0x6000) + 4), 0x200800);
    assert_int_equal(get32(page + 44), 24);
    assert_int_equal(get64(page + (get32(page + 48) - 0x6000) + 4), 0x100000);
}

static void test_a_gzip_file_is_called_one(void **state)
{
    static const uint8_t gzip[600] = { 0x1f, 0x8b };
    g_autoptr(GError) error = NULL;
    KernelImage image;

    assert_false(probe(gzip, sizeof(gzip), &image, &error));
    assert_non_null(strstr(error->message, "gzip data"));
    assert_non_null(strstr(error_get_hint(error), "vmlinuz"));
}

static void test_an_empty_file_is_called_empty(void **state)
{
    g_autoptr(GError) error = NULL;
    KernelImage image;

    assert_false(probe("", 0, &image, &error));
    assert_non_null(strstr(error->message, "empty"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_64_bit_bzimage_enters_behind_its_32_bit_entry),
        cmocka_unit_test(test_a_32_bit_bzimage_enters_at_its_start),
        cmocka_unit_test(test_a_bzimage_cut_in_its_setup_is_refused),
        cmocka_unit_test(test_a_kernel_larger_than_ram_says_how_much_it_needs),
        cmocka_unit_test(test_an_elf_kernel_with_a_xen_note_enters_by_pvh),
        cmocka_unit_test(test_an_elf_kernel_without_a_note_enters_by_linux64),
        cmocka_unit_test(test_a_note_that_claims_to_be_endless_is_ignored),
        cmocka_unit_test(test_a_segment_outside_of_the_file_is_refused),
        cmocka_unit_test(test_an_entry_outside_of_all_segments_is_refused),
        cmocka_unit_test(test_a_multiboot_header_with_addresses_says_where_it_goes),
        cmocka_unit_test(test_multiboot_features_that_are_not_known_are_refused),
        cmocka_unit_test(test_multiboot_information_tells_of_memory_and_module),
        cmocka_unit_test(test_a_gzip_file_is_called_one),
        cmocka_unit_test(test_an_empty_file_is_called_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
