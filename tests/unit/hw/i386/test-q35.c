/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/i386/q35.c and hw/pci/q35-host.c: options, where RAM lies, what of low memory is RAM, what a reset writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/devices.h"
#include "hw/i386/q35.h"
#include "hw/pci/q35-host.h"
#include "tests/unit/fake-accel.h"
#include "vmm/bytes.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Builds; the error's text, freed by the caller, or NULL. */
static char *build(Domain **ret, uint64_t ram, const char *options)
{
    g_autoptr(GError) error = NULL;
    Domain *domain = *ret = domain_new("q35", NULL);
    Machine *machine;

    devices_register();
    fake_accel_new(domain);
    machine = machine_new(domain, machine_class_find("q35", NULL));
    machine->ram_size = machine->max_ram_size = ram;
    machine->cpu_type = g_strdup("qemu64,check=off");
    if ((options && !machine_set_options(machine, options, &error)) || !machine_build(machine, &error)) {
        return error_text(error);
    }
    return NULL;
}

static Domain *built(uint64_t ram, const char *options)
{
    Domain *domain;
    g_autofree char *text = build(&domain, ram, options);

    assert_null(text);
    return domain;
}

static bool is_ram(Domain *domain, uint64_t address)
{
    uint64_t length = 1;

    return memory_ram_pointer(domain_memory(domain), address, &length, true);
}

static void config(Domain *domain, unsigned offset, uint8_t value)
{
    memory_store(domain_ports(domain), 0xcf8, 4, 0x80000000 | (offset & ~3u));
    memory_store(domain_ports(domain), 0xcfc + (offset & 3), 1, value);
}

static void test_small_ram_is_below_ecam(void **state)
{
    Domain *domain = built(512 * MIB, NULL);

    assert_true(is_ram(domain, 512 * MIB - 1));
    assert_false(is_ram(domain, 512 * MIB));
    assert_false(is_ram(domain, 4 * GIB));
    domain_free(domain);
}

static void test_ram_up_to_ecam_is_in_one_piece(void **state)
{
    Domain *domain = built(Q35_ECAM_BASE - MIB, NULL);

    assert_true(is_ram(domain, Q35_ECAM_BASE - MIB - 1));
    assert_false(is_ram(domain, 4 * GIB));
    domain_free(domain);
}

static void test_more_ram_is_cut_at_2_gib(void **state)
{
    Domain *domain = built(3 * GIB, NULL);

    assert_true(is_ram(domain, 2 * GIB - 1));
    assert_false(is_ram(domain, 2 * GIB));
    assert_true(is_ram(domain, 4 * GIB));
    assert_true(is_ram(domain, 5 * GIB - 1));
    assert_false(is_ram(domain, 5 * GIB));
    domain_free(domain);
}

static void test_the_cut_can_be_lowered(void **state)
{
    Domain *domain = built(2 * GIB, "max-ram-below-4g=1G");

    assert_false(is_ram(domain, GIB));
    assert_true(is_ram(domain, 5 * GIB - 1));
    domain_free(domain);
}

static void test_the_vga_area_is_never_ram(void **state)
{
    Domain *domain = built(512 * MIB, NULL);

    assert_true(is_ram(domain, 0x9ffff));
    assert_false(is_ram(domain, 0xa0000));
    assert_false(is_ram(domain, 0xbffff));
    domain_free(domain);
}

static void test_pam_makes_segments_ram(void **state)
{
    Domain *domain = built(512 * MIB, NULL);

    assert_false(is_ram(domain, 0xc0000));
    config(domain, Q35_MCH_PAM0 + 1, 0x03);
    assert_true(is_ram(domain, 0xc0000));
    assert_false(is_ram(domain, 0xc4000));
    config(domain, Q35_MCH_PAM0 + 1, 0x30);
    assert_false(is_ram(domain, 0xc0000));
    assert_true(is_ram(domain, 0xc4000));
    config(domain, Q35_MCH_PAM0, 0x30);
    assert_true(is_ram(domain, 0xf0000));
    assert_true(is_ram(domain, 0xfffff));
    domain_free(domain);
}

static void test_pam_can_protect_a_segment(void **state)
{
    Domain *domain = built(512 * MIB, NULL);
    uint64_t value = 0;

    config(domain, Q35_MCH_PAM0 + 6, 0x03); /* e8000 */
    memory_store(domain_memory(domain), 0xe8000, 4, 0x12345678);
    config(domain, Q35_MCH_PAM0 + 6, 0x01);
    memory_store(domain_memory(domain), 0xe8000, 4, 0);
    memory_load(domain_memory(domain), 0xe8000, 4, &value);
    assert_int_equal(value, 0x12345678);
    assert_false(is_ram(domain, 0xe8000));
    domain_free(domain);
}

static void test_chips_can_be_left_out(void **state)
{
    Domain *domain = built(512 * MIB, "hpet=off,i8042=off");
    uint64_t value = 0;

    memory_load(domain_ports(domain), 0x64, 1, &value);
    assert_int_equal(value, 0xff);
    memory_load(domain_memory(domain), Q35_HPET_BASE, 4, &value);
    assert_int_equal(value, 0xffffffff);
    domain_free(domain);
}

static void test_a_byte_at_cf9_resets(void **state)
{
    Domain *domain = built(512 * MIB, NULL);
    uint64_t value = 0;

    memory_store(domain_ports(domain), 0xcf9, 1, 0x02);
    memory_load(domain_ports(domain), 0xcf9, 1, &value);
    assert_int_equal(value, 0x02);
    domain_free(domain);
}

static void test_what_is_not_there_is_refused(void **state)
{
    Domain *domain;
    g_autofree char *smm = build(&domain, 512 * MIB, "smm=on"), *vmport = NULL, *usb = NULL;

    assert_string_equal(smm, "smm=on: system management mode is not available. Leave smm= out.");
    domain_free(domain);
    vmport = build(&domain, 512 * MIB, "vmport=on");
    assert_string_equal(vmport, "vmport=on: there is no VMware port. Leave vmport= out.");
    domain_free(domain);
    usb = build(&domain, 512 * MIB, "usb=on");
    assert_non_null(strstr(usb, "only 'off' is possible: this machine has none"));
    domain_free(domain);
}

static void test_ram_beyond_the_processors_reach_is_refused(void **state)
{
    Domain *domain = domain_new("q35", NULL);
    g_autoptr(GError) error = NULL;
    Machine *machine;

    devices_register();
    fake_accel_new(domain);
    machine = machine_new(domain, machine_class_find("q35", NULL));
    machine->ram_size = 512 * MIB;
    machine->max_ram_size = UINT64_C(1) << 60;
    machine->ram_slots = 1;
    machine->cpu_type = g_strdup("qemu64,check=off");
    assert_false(machine_build(machine, &error));
    assert_non_null(strstr(error->message, "RAM would end at"));
    domain_free(domain);
}

/* Which bits of its setup header count: hw/i386/boot-image.c. */
static int bzimage_fd(void)
{
    uint8_t file[1536] = { [0x1f1] = 1, [0x1fe] = 0x55, [0x1ff] = 0xaa, [0x201] = 0x6a, [0x211] = 1, [0x236] = 1 };
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    memcpy(file + 0x202, "HdrS", 4);
    put32(file + 0x206, 0x020f);
    put32(file + 0x22c, 0x7fffffff);
    put32(file + 0x238, 2047);
    put64(file + 0x258, 16 * MIB);
    put32(file + 0x260, 4 * MIB);
    assert_int_equal(write(fd, file, sizeof(file)), sizeof(file));
    return fd;
}

static bool is_dirty(RamBlock *ram, uint64_t address)
{
    return ram_dirty_test(ram, DIRTY_MIGRATION, address, 1);
}

static void test_what_a_reset_writes_counts_as_written(void **state)
{
    int fd = bzimage_fd();
    g_autofree char *kernel = g_strdup_printf("/proc/self/fd/%d", fd);
    uint64_t length = 1, first, offset;
    Domain *domain = domain_new("q35", NULL);
    Machine *machine;
    RamBlock *ram;

    devices_register();
    fake_accel_new(domain);
    machine = machine_new(domain, machine_class_find("q35", NULL));
    machine->ram_size = machine->max_ram_size = 64 * MIB;
    machine->cpu_type = g_strdup("qemu64,check=off");
    machine->boot.kernel = g_strdup(kernel);
    assert_true(machine_build(machine, NULL));
    assert_true(machine_finalize(machine, NULL));
    ram = ram_block_find_host(memory_ram_pointer(domain_memory(domain), 0, &length, true), &offset);
    ram_dirty_enable(ram, DIRTY_MIGRATION);
    while (ram_dirty_take_run(ram, DIRTY_MIGRATION, 0, UINT64_MAX, &first)) {
    }
    machine_reset(machine);
    assert_true(is_dirty(ram, 16 * MIB));   /* the kernel */
    assert_true(is_dirty(ram, 0x500));      /* the GDT */
    assert_true(is_dirty(ram, 0x7000));     /* the zero page */
    assert_true(is_dirty(ram, 0x9000));     /* page tables */
    assert_true(is_dirty(ram, 0xe000));     /* and their last page */
    assert_true(is_dirty(ram, 0x20000));    /* the command line */
    assert_true(is_dirty(ram, 0x30000));    /* setup data */
    assert_true(is_dirty(ram, 0xf0000));    /* SMBIOS */
    assert_false(is_dirty(ram, 32 * MIB));
    domain_free(domain);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_ram_is_below_ecam),
        cmocka_unit_test(test_ram_up_to_ecam_is_in_one_piece),
        cmocka_unit_test(test_more_ram_is_cut_at_2_gib),
        cmocka_unit_test(test_the_cut_can_be_lowered),
        cmocka_unit_test(test_the_vga_area_is_never_ram),
        cmocka_unit_test(test_pam_makes_segments_ram),
        cmocka_unit_test(test_pam_can_protect_a_segment),
        cmocka_unit_test(test_chips_can_be_left_out),
        cmocka_unit_test(test_a_byte_at_cf9_resets),
        cmocka_unit_test(test_what_is_not_there_is_refused),
        cmocka_unit_test(test_ram_beyond_the_processors_reach_is_refused),
        cmocka_unit_test(test_what_a_reset_writes_counts_as_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
