/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts of the KVM accelerator on a real /dev/kvm: routes, irqfds, resampling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/vmm/accel-rig.h"
#include "vmm/error.h"

static void test_masked_route_remembers_and_unmasked_one_is_empty(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    IrqFabric *fabric = f->accel->class->fabric(f->accel);
    MsiRoute *route = msi_route_new(fabric, NULL);
    MsiMessage message = { 0xfee00000, 0x31 };

    fixture_vcpu(f, 0);
    msi_route_set(route, message, true);
    msi_routes_commit(fabric);
    msi_route_notify(route);
    assert_true(msi_route_take_pending(route));
    assert_false(msi_route_take_pending(route));
    msi_route_set(route, message, false);
    msi_routes_commit(fabric);
    msi_route_notify(route);
    assert_false(msi_route_take_pending(route));
    msi_route_free(route);
    fixture_free(f);
}

/* sti; hlt; jmp to hlt, its APIC enabled.  The vector's handler, at 0x1100, prints a letter and ends. */
static void wait_for(Fixture *f, Vcpu *vcpu, unsigned number, char letter)
{
    static const uint8_t code[] = { 0xfb, 0xf4, 0xeb, 0xfd };
    static const uint8_t vector[] = { 0x00, 0x11, 0x00, 0x00 };
    const uint8_t handler[] = { 0xb0, (uint8_t)letter, 0xe6, 0xe9, END };

    memcpy(ram_block_host(f->ram) + 0x1100, handler, sizeof(handler));
    memcpy(ram_block_host(f->ram) + 4 * number, vector, sizeof(vector));
    vcpu->cpu.lapic[0xf1] = 1; /* SVR: enabled */
    vcpu->cpu.gpr[X86_RSP] = 0x4000;
    start_at_code(f, vcpu, code, sizeof(code));
}

static void test_irqfd_of_an_unmasked_route_interrupts(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    IrqFabric *fabric = f->accel->class->fabric(f->accel);
    MsiRoute *route = msi_route_new(fabric, NULL);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;
    uint64_t one = 1;
    int fd;

    wait_for(f, vcpu, 0x31, 'i');
    fd = msi_route_fd(route, &error);
    fail_with(error);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one)); /* masked: stays */
    msi_route_set(route, (MsiMessage) { 0xfee00000, 0x31 }, false);
    msi_routes_commit(fabric);
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'i');
    msi_route_free(route);
    fixture_free(f);
}

static void test_route_has_a_bell_while_it_is_unmasked(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    IrqFabric *fabric = f->accel->class->fabric(f->accel);
    MsiRoute *route = msi_route_new(fabric, NULL);
    MsiMessage message = { 0xfee00000, 0x31 };
    int fd;

    fixture_vcpu(f, 0);
    assert_int_equal(msi_route_bell(route), -1);
    msi_route_set(route, message, false);
    msi_routes_commit(fabric);
    fd = msi_route_bell(route);
    assert_true(fd >= 0);
    assert_int_equal(msi_route_fd(route, NULL), fd);
    msi_route_set(route, message, true);
    msi_routes_commit(fabric);
    assert_int_equal(msi_route_bell(route), -1);
    msi_route_free(route);
    fixture_free(f);
}

static void test_message_that_changes_while_masked_is_the_one_that_interrupts(void **state)
{
    /* As above: what is rung while masked comes with the newest message. */
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    IrqFabric *fabric = f->accel->class->fabric(f->accel);
    MsiRoute *route = msi_route_new(fabric, NULL);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;
    uint64_t one = 1;
    int fd;

    wait_for(f, vcpu, 0x42, 'j');
    fd = msi_route_fd(route, &error);
    fail_with(error);
    msi_route_set(route, (MsiMessage) { 0xfee00000, 0x31 }, false);
    msi_routes_commit(fabric);
    msi_route_set(route, (MsiMessage) { 0xfee00000, 0x42 }, true);
    msi_routes_commit(fabric);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    msi_route_set(route, (MsiMessage) { 0xfee00000, 0x42 }, false);
    msi_routes_commit(fabric);
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'j');
    msi_route_free(route);
    fixture_free(f);
}

static void test_nmi_reaches_a_halted_vcpu(void **state)
{
    static const uint8_t code[] = { 0xf4, 0xeb, 0xfd };
    static const uint8_t handler[] = { 0xb0, 'n', 0xe6, 0xe9, END };
    static const uint8_t vector[] = { 0x00, 0x11, 0x00, 0x00 };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    memcpy(ram_block_host(f->ram) + 0x1100, handler, sizeof(handler));
    memcpy(ram_block_host(f->ram) + 4 * 2, vector, sizeof(vector));
    vcpu->cpu.gpr[X86_RSP] = 0x4000;
    vcpu->cpu.lapic[0xf1] = 1;
    start_at_code(f, vcpu, code, sizeof(code));
    f->accel->class->nmi(vcpu, &error);
    fail_with(error);
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'n');
    fixture_free(f);
}

static void test_resampling_irqfd_holds_its_line_until_the_eoi(void **state)
{
    static const uint8_t set_up[] = {
        0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21,
        0xb0, 0x00, 0xe6, 0x21,                   /* PIC: vectors from 0x20, none masked */
        0xba, 0xd0, 0x04, 0xb0, 0x10, 0xee, END   /* ELCR: input 4 is a level */
    };
    static const uint8_t code[] = { 0xfb, 0xf4, 0xeb, 0xfd }; /* sti; hlt; jmp to hlt */
    static const uint8_t handler[] = { 0xb0, 'r', 0xe6, 0xe9, 0xb0, 0x20, 0xe6, 0x20, END };
    static const uint8_t vector[] = { 0x00, 0x11, 0x00, 0x00 };
    Fixture *f = fixture_new("kvm", IRQCHIP_ON);
    IrqFabric *fabric = f->accel->class->fabric(f->accel);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    int line = eventfd(0, EFD_NONBLOCK), eoi = eventfd(0, EFD_NONBLOCK);
    GError *error = NULL;
    uint64_t count = 1;

    memcpy(ram_block_host(f->ram) + 0x1100, handler, sizeof(handler));
    memcpy(ram_block_host(f->ram) + 4 * 0x24, vector, sizeof(vector));
    vcpu->cpu.gpr[X86_RSP] = 0x4000;
    start_at_code(f, vcpu, set_up, sizeof(set_up));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    gsi_irqfd(fabric, 4, line, eoi, true, &error);
    fail_with(error);
    assert_int_equal(write(line, &count, sizeof(count)), sizeof(count));
    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->outs, 1);
    assert_int_equal(f->out[0], 'r');
    assert_int_equal(read(eoi, &count, sizeof(count)), sizeof(count));
    assert_int_equal(count, 1);
    gsi_irqfd(fabric, 4, line, -1, false, &error);
    fail_with(error);
    close(line);
    close(eoi);
    fixture_free(f);
}

static void test_resampling_needs_the_whole_irqchip(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_SPLIT);
    int line = eventfd(0, EFD_NONBLOCK), eoi = eventfd(0, EFD_NONBLOCK);
    GError *error = NULL;

    assert_false(gsi_irqfd(f->accel->class->fabric(f->accel), 4, line, eoi, true, &error));
    assert_string_equal(error_get_hint(error), "Use kernel-irqchip=on.");
    g_error_free(error);
    close(line);
    close(eoi);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked_route_remembers_and_unmasked_one_is_empty),
        cmocka_unit_test(test_irqfd_of_an_unmasked_route_interrupts),
        cmocka_unit_test(test_route_has_a_bell_while_it_is_unmasked),
        cmocka_unit_test(test_message_that_changes_while_masked_is_the_one_that_interrupts),
        cmocka_unit_test(test_nmi_reaches_a_halted_vcpu),
        cmocka_unit_test(test_resampling_irqfd_holds_its_line_until_the_eoi),
        cmocka_unit_test(test_resampling_needs_the_whole_irqchip),
    };

    return run_with_kvm(tests, G_N_ELEMENTS(tests));
}
