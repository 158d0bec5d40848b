/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The KVM accelerator on a real /dev/kvm: debugging the guest, statistics, hidden MSRs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cpuid.h>
#include <string.h>

#include "tests/unit/vmm/accel-rig.h"

/* ---- debugging ---- */
/* A KVM without VMX or SVM below it emulates ring 0: it does not look at data breakpoints, and INT3 it either does not
 * know or lets the guest have. */
static bool emulates_ring_0(void)
{
    unsigned eax, ebx, ecx, edx;
    bool vmx = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & 1u << 5);

    return !vmx && !(__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & 1u << 2));
}

/* QEMU's software CPU enters a guest of SVM without arming the debug registers, and its INT3 does not look at the
 * intercept of #BP. */
static bool emulates_svm(void)
{
    unsigned eax, name[3];

    __cpuid(0x40000000, eax, name[0], name[1], name[2]);
    return !memcmp(name, "TCGTCGTCGTCG", sizeof(name));
}

static void set(Fixture *f, Vcpu *vcpu, const AccelBreakpoint *at, bool step)
{
    GError *error = NULL;

    f->accel->class->set_breakpoints(vcpu, at, at ? 1 : 0, step, &error);
    fail_with(error);
}

static void assert_stops_at(Fixture *f, Vcpu *vcpu, uint64_t rip)
{
    GError *error = NULL;

    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_DEBUG);
    f->accel->class->fetch(vcpu, &error);
    assert_int_equal(vcpu->cpu.rip, rip);
}

/* All that code below prints. */
static void assert_goes_on(Fixture *f, Vcpu *vcpu)
{
    GError *error = NULL;

    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_int_equal(f->out[0], 'd');
}

static void test_hardware_breakpoint_stops(void **state)
{
    static const uint8_t code[] = { 0x90, 0x90, 0x90, 0xb0, 'd', 0xe6, 0xe9, END };
    AccelBreakpoint at = { ACCEL_BREAK_HARDWARE, CODE + 1, 1 };
    Fixture *f;
    Vcpu *vcpu;

    if (emulates_svm()) {
        skip();
    }
    f = fixture_new("kvm", IRQCHIP_AUTO);
    vcpu = fixture_vcpu(f, 0);
    start_at_code(f, vcpu, code, sizeof(code));
    set(f, vcpu, &at, false);
    assert_stops_at(f, vcpu, CODE + 1);
    assert_false(vcpu->stop.step);
    assert_int_equal(vcpu->stop.kind, ACCEL_BREAK_HARDWARE);
    assert_int_equal(vcpu->stop.address, CODE + 1);
    set(f, vcpu, NULL, false);
    assert_goes_on(f, vcpu);
    fixture_free(f);
}

static void test_single_step_is_one_instruction(void **state)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xb0, 'd', 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);

    start_at_code(f, vcpu, code, sizeof(code));
    set(f, vcpu, NULL, true);
    assert_stops_at(f, vcpu, CODE + 1);
    assert_true(vcpu->stop.step);
    assert_stops_at(f, vcpu, CODE + 2);
    set(f, vcpu, NULL, false);
    assert_goes_on(f, vcpu);
    fixture_free(f);
}

static void test_step_begins_where_the_debugger_has_put_the_guest(void **state)
{
    static const uint8_t code[] = { 0x90, 0x90, 0x90, 0xb0, 'd', 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);

    start_at_code(f, vcpu, code, sizeof(code));
    vcpu->cpu.rip = CODE + 1;
    vcpu_set_dirty(vcpu);
    set(f, vcpu, NULL, true);
    assert_stops_at(f, vcpu, CODE + 2);
    assert_true(vcpu->stop.step);
    set(f, vcpu, NULL, false);
    assert_goes_on(f, vcpu);
    fixture_free(f);
}

static void test_code_breakpoint_is_an_int3_while_it_is_set(void **state)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xb0, 'd', 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    AccelBreakpoint at = { ACCEL_BREAK_SOFTWARE, CODE + 1, 1 };

    start_at_code(f, vcpu, code, sizeof(code));
    set(f, vcpu, &at, false);
    assert_int_equal(ram_block_host(f->ram)[CODE + 1], 0xcc);
    set(f, vcpu, NULL, false);
    assert_int_equal(ram_block_host(f->ram)[CODE + 1], 0x90);
    fixture_free(f);
}

static void test_code_breakpoint_stays_while_the_list_changes(void **state)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xb0, 'd', 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    AccelBreakpoint at = { ACCEL_BREAK_SOFTWARE, CODE + 1, 1 };

    start_at_code(f, vcpu, code, sizeof(code));
    set(f, vcpu, &at, false);
    /* Where it is now, the address is mapped no more. */
    vcpu->cpu.cr0 |= UINT64_C(0x80000001);
    vcpu->cpu.cr3 = 0x80000;
    set(f, vcpu, &at, true);
    assert_int_equal(ram_block_host(f->ram)[CODE + 1], 0xcc);
    set(f, vcpu, NULL, false);
    assert_int_equal(ram_block_host(f->ram)[CODE + 1], 0x90);
    fixture_free(f);
}

static void test_code_breakpoint_is_not_taken_out_of_other_code(void **state)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xb0, 'd', 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    AccelBreakpoint at = { ACCEL_BREAK_SOFTWARE, CODE + 1, 1 };

    start_at_code(f, vcpu, code, sizeof(code));
    set(f, vcpu, &at, false);
    ram_block_host(f->ram)[CODE + 1] = 0x42; /* a kernel that was loaded anew */
    set(f, vcpu, NULL, false);
    assert_int_equal(ram_block_host(f->ram)[CODE + 1], 0x42);
    fixture_free(f);
}

static void test_code_breakpoint_stops(void **state)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xb0, 'd', 0xe6, 0xe9, END };
    AccelBreakpoint at = { ACCEL_BREAK_SOFTWARE, CODE + 1, 1 };
    Fixture *f;
    Vcpu *vcpu;

    if (emulates_ring_0() || emulates_svm()) {
        skip();
    }
    f = fixture_new("kvm", IRQCHIP_AUTO);
    vcpu = fixture_vcpu(f, 0);
    start_at_code(f, vcpu, code, sizeof(code));
    set(f, vcpu, &at, false);
    assert_stops_at(f, vcpu, CODE + 1);
    set(f, vcpu, NULL, false);
    assert_goes_on(f, vcpu);
    fixture_free(f);
}

static void test_watchpoint_stops_after_the_write(void **state)
{
    static const uint8_t code[] = { 0xb0, 7, 0xa2, 0x00, 0x30, 0xb0, 'd', 0xe6, 0xe9, END }; /* mov [0x3000], al */
    AccelBreakpoint at = { ACCEL_WATCH_WRITE, 0x3000, 1 };
    Fixture *f;
    Vcpu *vcpu;

    if (emulates_ring_0() || emulates_svm()) {
        skip();
    }
    f = fixture_new("kvm", IRQCHIP_AUTO);
    vcpu = fixture_vcpu(f, 0);
    start_at_code(f, vcpu, code, sizeof(code));
    set(f, vcpu, &at, false);
    assert_stops_at(f, vcpu, CODE + 5);
    assert_int_equal(ram_block_host(f->ram)[0x3000], 7);
    assert_goes_on(f, vcpu);
    fixture_free(f);
}

static void test_watchpoint_of_odd_length_is_refused(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    AccelBreakpoint at = { ACCEL_WATCH_WRITE, 0x3000, 3 };
    GError *error = NULL;

    assert_false(f->accel->class->set_breakpoints(vcpu, &at, 1, false, &error));
    assert_non_null(strstr(error->message, "1, 2, 4 or 8"));
    g_error_free(error);
    fixture_free(f);
}

/* ---- statistics ---- */
static void count_stat(const AccelStat *stat, void *opaque)
{
    *(unsigned *)opaque += !strcmp(stat->name, "lodge_port_exits") && stat->values[0] == 2;
}

static void test_statistics_count_port_exits(void **state)
{
    static const uint8_t code[] = { 0xe6, 0xe9, END };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;
    unsigned found = 0;

    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    assert_true(f->accel->class->stats(f->accel, vcpu, count_stat, &found));
    assert_int_equal(found, 1);
    fixture_free(f);
}

static void find_name(const AccelStat *stat, void *opaque)
{
    const char **wanted = opaque;

    if (*wanted && g_str_equal(*wanted, stat->name)) {
        *wanted = NULL;
    }
}

static void test_statistics_of_the_kernel_come_by_name(void **state)
{
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    const char *of_vcpu = "halt_exits", *of_vm = "remote_tlb_flush";

    if (!f->accel->class->stats(f->accel, NULL, find_name, &of_vm)) {
        fixture_free(f);
        skip(); /* this kernel has no KVM_CAP_BINARY_STATS_FD */
    }
    assert_null(of_vm);
    assert_true(f->accel->class->stats(f->accel, vcpu, find_name, &of_vcpu));
    assert_null(of_vcpu);
    fixture_free(f);
}

/* ---- MSRs ---- */
/* Runs code with this word of paravirtual features; #GP prints 'g'. */
static Fixture *run_with_pv_features(uint32_t features, const uint8_t *code, size_t length)
{
    static const uint8_t handler[] = { 0xb0, 'g', 0xe6, 0xe9, END };
    static const uint8_t vector[] = { 0x00, 0x11, 0x00, 0x00 };
    const X86Cpuid cpuid[] = {
        { .leaf = 0, .eax = 1 },
        { .leaf = 1, .edx = 1u << 5 /* MSR */ },
        { .leaf = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d },
        { .leaf = 0x40000001, .eax = features },
    };
    Fixture *f = fixture_new("kvm", IRQCHIP_AUTO);
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    f->accel->class->vcpu_set_cpuid(vcpu, cpuid, G_N_ELEMENTS(cpuid), &error);
    fail_with(error);
    memcpy(ram_block_host(f->ram) + 0x1100, handler, sizeof(handler));
    memcpy(ram_block_host(f->ram) + 4 * 13, vector, sizeof(vector));
    vcpu->cpu.gpr[X86_RSP] = 0x4000;
    start_at_code(f, vcpu, code, length);
    assert_int_equal(run_here(f, vcpu, &error), VCPU_EXIT_KICKED);
    return f;
}

/* mov ecx, MSR; xor eax, eax; xor edx, edx; wrmsr; mov al, 'w'; out 0xe9, al */
#define WRITE_MSR(B0, B1, B2, B3)                                                                                      \
    { 0x66, 0xb9, B0, B1, B2, B3, 0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30, 0xb0, 'w', 0xe6, 0xe9, END }

static const uint8_t write_pv_eoi[] = WRITE_MSR(0x04, 0x4d, 0x56, 0x4b); /* MSR_KVM_PV_EOI_EN */

static void test_msr_of_a_feature_that_cpuid_hides_is_gp(void **state)
{
    Fixture *f = run_with_pv_features(0, write_pv_eoi, sizeof(write_pv_eoi));

    assert_int_equal(f->out[0], 'g');
    fixture_free(f);
}

static void test_msr_of_a_feature_that_cpuid_shows_is_there(void **state)
{
    Fixture *f = run_with_pv_features(1u << 6, write_pv_eoi, sizeof(write_pv_eoi));

    assert_int_equal(f->out[0], 'w');
    fixture_free(f);
}

static void test_msr_that_nobody_knows_exits_and_is_gp(void **state)
{
    static const uint8_t code[] = WRITE_MSR(0x34, 0x12, 0x00, 0x77);
    Fixture *f = run_with_pv_features(0, code, sizeof(code));

    assert_int_equal(f->out[0], 'g');
    assert_int_equal(f->vcpu[0]->exits[VCPU_COUNT_MSR], 1);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hardware_breakpoint_stops),
        cmocka_unit_test(test_single_step_is_one_instruction),
        cmocka_unit_test(test_step_begins_where_the_debugger_has_put_the_guest),
        cmocka_unit_test(test_code_breakpoint_is_an_int3_while_it_is_set),
        cmocka_unit_test(test_code_breakpoint_stays_while_the_list_changes),
        cmocka_unit_test(test_code_breakpoint_is_not_taken_out_of_other_code),
        cmocka_unit_test(test_code_breakpoint_stops),
        cmocka_unit_test(test_watchpoint_stops_after_the_write),
        cmocka_unit_test(test_watchpoint_of_odd_length_is_refused),
        cmocka_unit_test(test_statistics_count_port_exits),
        cmocka_unit_test(test_statistics_of_the_kernel_come_by_name),
        cmocka_unit_test(test_msr_of_a_feature_that_cpuid_hides_is_gp),
        cmocka_unit_test(test_msr_of_a_feature_that_cpuid_shows_is_there),
        cmocka_unit_test(test_msr_that_nobody_knows_exits_and_is_gp),
    };

    return run_with_kvm(tests, G_N_ELEMENTS(tests));
}
