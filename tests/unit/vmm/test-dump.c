/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dumps of a rig's memory, read back by what the formats say.
 */
#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "tests/unit/rig.h"
#include "vmm/bytes.h"
#include "vmm/dump.h"
#include "vmm/vcpu.h"

#define PAGE 4096u

static int setup(void **state)
{
    Rig *r = rig_new_cpus("2");

    memset(rig_ram(r, 0x1000), 0xa5, PAGE);
    for (unsigned i = 0; i < PAGE; i++) {
        *(uint8_t *)rig_ram(r, 0x3000 + i) = (uint8_t)(i * i * 7 + i / 3 * 13 + (i >> 5)); /* does not shrink much */
    }
    vcpu_fetch(domain_vcpu(r->domain, 1), NULL);
    domain_vcpu(r->domain, 1)->cpu.rip = 0x123456789a;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static GByteArray *contents(int fd)
{
    GByteArray *all = g_byte_array_new();
    off_t length = lseek(fd, 0, SEEK_END);

    g_byte_array_set_size(all, (guint)length);
    assert_int_equal(pread(fd, all->data, (size_t)length, 0), length);
    close(fd);
    return all;
}

static GByteArray *dump(Rig *r, DumpFormat format, uint64_t begin, uint64_t length)
{
    int fd = memfd_create("dump", MFD_CLOEXEC), ours = dup(fd);
    Dump *d = dump_new(r->domain, &(DumpOptions) { format, begin, length, fd }, NULL);

    assert_non_null(d);
    assert_true(dump_run(d, NULL));
    assert_int_equal(dump_written(d), dump_total(d));
    dump_free(d);
    return contents(ours);
}

static void test_elf_has_every_page_at_its_address(void **state)
{
    g_autoptr(GByteArray) core = dump(*state, DUMP_ELF, 0, 0);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)core->data;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(core->data + header->e_phoff);
    uint64_t bytes = 0;

    assert_memory_equal(header->e_ident, ELFMAG, SELFMAG);
    assert_int_equal(header->e_type, ET_CORE);
    for (unsigned i = 1; i < header->e_phnum; i++) {
        assert_int_equal(p[i].p_type, PT_LOAD);
        assert_true(p[i].p_offset + p[i].p_filesz <= core->len);
        assert_memory_equal(core->data + p[i].p_offset, rig_ram(*state, p[i].p_paddr), p[i].p_filesz);
        bytes += p[i].p_filesz;
    }
    assert_true(bytes > RIG_RAM * 9 / 10); /* the board keeps some for its ROMs */
}

static void test_each_vcpu_has_its_registers(void **state)
{
    g_autoptr(GByteArray) core = dump(*state, DUMP_ELF, 0, PAGE);
    const Elf64_Phdr *note = (const Elf64_Phdr *)(core->data + sizeof(Elf64_Ehdr));
    const uint8_t *second = core->data + note->p_offset + note->p_filesz / 2;
    const Elf64_Nhdr *header = (const Elf64_Nhdr *)second;
    struct elf_prstatus status;

    assert_int_equal(note->p_type, PT_NOTE);
    assert_int_equal(header->n_type, NT_PRSTATUS);
    assert_int_equal(header->n_descsz, sizeof(status));
    memcpy(&status, second + sizeof(*header) + 8, sizeof(status));
    assert_int_equal(status.pr_pid, 2);
    assert_int_equal(status.pr_reg[16], 0x123456789a);
    header = (const Elf64_Nhdr *)(second + sizeof(*header) + 8 + sizeof(status));
    assert_string_equal((const char *)(header + 1), "QEMU");
}

static void test_a_part_of_memory(void **state)
{
    g_autoptr(GByteArray) core = dump(*state, DUMP_ELF, 0x1000, 2 * PAGE);
    const Elf64_Phdr *p = (const Elf64_Phdr *)(core->data + sizeof(Elf64_Ehdr));

    assert_int_equal(p[1].p_paddr, 0x1000);
    assert_int_equal(core->len - p[1].p_offset, 2 * PAGE);
    assert_memory_equal(core->data + p[1].p_offset, rig_ram(*state, 0x1000), 2 * PAGE);
}

/* What a reader makes of the flattened form. */
static GByteArray *unflatten(const GByteArray *flat)
{
    GByteArray *file = g_byte_array_new();
    guint at = PAGE;

    assert_string_equal((const char *)flat->data, "makedumpfile");
    while (get64(flat->data + at) != UINT64_MAX) {
        uint64_t offset = GUINT64_FROM_BE(get64(flat->data + at)), length = GUINT64_FROM_BE(get64(flat->data + at + 8));
        guint before = file->len;

        assert_true(at + 16 + length <= flat->len);
        if (offset + length > before) {
            g_byte_array_set_size(file, (guint)(offset + length));
            memset(file->data + before, 0, file->len - before);
        }
        memcpy(file->data + offset, flat->data + at + 16, length);
        at += 16 + (guint)length;
    }
    assert_int_equal(at + 16, flat->len);
    return file;
}

static void test_kdump_has_every_page(void **state)
{
    g_autoptr(GByteArray) flat = dump(*state, DUMP_KDUMP_ZLIB, 0, 0), file = unflatten(flat);
    uint64_t sub_blocks = get32(file->data + 432), bitmap_blocks = get32(file->data + 436);
    const uint8_t *bitmap = file->data + (1 + sub_blocks) * PAGE;
    const uint8_t *desc = file->data + (1 + sub_blocks + bitmap_blocks) * PAGE;
    unsigned pages = 0;

    assert_memory_equal(file->data, "KDUMP   ", 8);
    assert_int_equal(get32(file->data + 428), PAGE);
    assert_true(flat->len < RIG_RAM / 10);
    for (uint64_t pfn = 0; pfn < RIG_RAM / PAGE; pfn++) {
        uint8_t page[PAGE];
        uLongf length = sizeof(page);
        const uint8_t *from = file->data + get64(desc);

        if (!(bitmap[pfn / 8] >> pfn % 8 & 1)) {
            continue;
        }
        if (get32(desc + 12)) {
            assert_int_equal(uncompress(page, &length, from, get32(desc + 8)), Z_OK);
            from = page;
        }
        assert_memory_equal(from, rig_ram(*state, pfn * PAGE), PAGE);
        desc += 24;
        pages++;
    }
    assert_true(pages > RIG_RAM / PAGE * 9 / 10);
}

static void test_no_ram_there_is_an_error(void **state)
{
    Rig *r = *state;

    assert_null(dump_new(r->domain, &(DumpOptions) { DUMP_ELF, UINT64_C(1) << 40, PAGE, -1 }, NULL));
}

static void test_a_full_disk_is_told(void **state)
{
    Rig *r = *state;
    Dump *d = dump_new(r->domain, &(DumpOptions) { DUMP_ELF, 0, 0, open("/dev/full", O_WRONLY | O_CLOEXEC) }, NULL);
    g_autoptr(GError) error = NULL;

    assert_false(dump_run(d, &error));
    assert_non_null(strstr(error->message, "No space left"));
    dump_free(d);
}

static void on_done(const GError *error, void *opaque)
{
    *(int *)opaque = error ? 2 : 1;
}

static void test_a_thread_writes_it(void **state)
{
    Rig *r = *state;
    int fd = memfd_create("dump", MFD_CLOEXEC), ours = dup(fd), done = 0;
    Dump *d = dump_new(r->domain, &(DumpOptions) { DUMP_ELF, 0, 0, fd }, NULL);

    assert_true(dump_start(d, on_done, &done, NULL));
    while (!done) {
        rig_settle(r);
    }
    assert_int_equal(done, 1);
    assert_true(lseek(ours, 0, SEEK_END) > (off_t)dump_total(d));
    dump_free(d);
    close(ours);
}

static void test_a_dump_that_is_freed_tells_nothing_more(void **state)
{
    Rig *r = *state;
    int done = 0;
    Dump *d = dump_new(r->domain, &(DumpOptions) { DUMP_ELF, 0, 0, memfd_create("dump", MFD_CLOEXEC) }, NULL);

    assert_true(dump_start(d, on_done, &done, NULL));
    dump_free(d);
    rig_settle(r);
    assert_int_equal(done, 0);
}

static void test_a_reader_that_does_not_read_holds_nobody_up(void **state)
{
    Rig *r = *state;
    int done = 0, fds[2];
    Dump *d;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fcntl(fds[1], F_SETPIPE_SZ, PAGE);
    d = dump_new(r->domain, &(DumpOptions) { DUMP_ELF, 0, 0, fds[1] }, NULL);
    assert_true(dump_start(d, on_done, &done, NULL));
    while (poll(&(struct pollfd) { .fd = fds[0], .events = POLLIN }, 1, -1) != 1) {
    }
    g_usleep(10000); /* it is full */
    dump_free(d);
    rig_settle(r);
    assert_int_equal(done, 0);
    close(fds[0]);
}

static void test_a_reader_gets_all_of_it(void **state)
{
    Rig *r = *state;
    g_autoptr(GByteArray) file = dump(r, DUMP_ELF, 0, 0);
    g_autofree uint8_t *all = g_malloc(file->len + 1);
    int done = 0, fds[2];
    size_t got = 0;
    ssize_t n;
    Dump *d;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    d = dump_new(r->domain, &(DumpOptions) { DUMP_ELF, 0, 0, fds[1] }, NULL);
    assert_true(dump_start(d, on_done, &done, NULL));
    while ((n = read(fds[0], all + got, file->len + 1 - got)) > 0) {
        got += (size_t)n;
    }
    assert_int_equal(got, file->len);
    assert_memory_equal(all, file->data, got);
    while (!done) {
        rig_settle(r);
    }
    assert_int_equal(done, 1);
    dump_free(d);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_elf_has_every_page_at_its_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_vcpu_has_its_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_part_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kdump_has_every_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_ram_there_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_disk_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_thread_writes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_dump_that_is_freed_tells_nothing_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reader_that_does_not_read_holds_nobody_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reader_gets_all_of_it, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
