/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/i386/q35.c and hw/pci/q35-host.c: options, where RAM lies, what of low memory is RAM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hw/devices.h"
#include "hw/i386/q35.h"
#include "hw/pci/q35-host.h"
#include "tests/unit/fake-accel.h"
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
