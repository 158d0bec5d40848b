/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU's time: TSCs that stand still in a pause and stay in step, kvmclock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/vmm/accel-rig.h"
#include "vmm/error.h"

#define MSR_TSC 0x10

static Fixture *tcg(void)
{
    return fixture_new("tcg", IRQCHIP_AUTO);
}

static uint64_t tsc_of(Fixture *f, Vcpu *vcpu)
{
    const uint64_t *value;

    assert_true(f->accel->class->fetch(vcpu, NULL));
    value = x86_cpu_msr(&vcpu->cpu, MSR_TSC);
    return value ? *value : 0;
}

static void test_time_stands_still_in_a_pause_and_goes_on_in_step(void **state)
{
    static const uint8_t code[] = { END };
    Fixture *f = tcg();
    Vcpu *a = fixture_vcpu(f, 0), *b = fixture_vcpu(f, 1);
    uint64_t ns, again, tsc, other;

    start_at_code(f, a, code, sizeof(code));
    assert_true(f->accel->class->store(b, true, NULL));
    assert_int_equal(tsc_of(f, a), 0); /* nothing has run */
    run_here(f, a, NULL);
    f->accel->class->clock_get(f->accel, &ns, NULL);
    assert_true(ns > 0);
    tsc = tsc_of(f, a);
    other = tsc_of(f, b);
    assert_int_equal(tsc, other);
    g_usleep(20000);
    f->accel->class->clock_get(f->accel, &again, NULL);
    assert_int_equal(again, ns);
    assert_int_equal(tsc_of(f, a), tsc);
    f->accel->class->clock_set(f->accel, ns, NULL);
    f->accel->class->clock_get(f->accel, &again, NULL);
    assert_in_range(again, ns, ns + 10000000);
    assert_in_range(tsc_of(f, a), tsc, tsc + 50000000);
    assert_int_equal(tsc_of(f, a), tsc_of(f, b));
    fixture_free(f);
}

static void test_a_vcpu_that_comes_later_is_in_step(void **state)
{
    static const uint8_t code[] = { END };
    Fixture *f = tcg();
    Vcpu *first = fixture_vcpu(f, 0), *running, *stopped;
    uint64_t ns;

    start_at_code(f, first, code, sizeof(code));
    run_here(f, first, NULL);
    running = fixture_vcpu(f, 1);
    assert_true(f->accel->class->store(running, true, NULL));
    f->accel->class->clock_get(f->accel, &ns, NULL);
    stopped = fixture_vcpu(f, 2);
    assert_true(f->accel->class->store(stopped, true, NULL));
    assert_true(tsc_of(f, first) > 0);
    assert_int_equal(tsc_of(f, running), tsc_of(f, first));
    assert_int_equal(tsc_of(f, stopped), tsc_of(f, first));
    fixture_free(f);
}

static void test_kvmclock_page_tells_the_time(void **state)
{
    static const uint8_t code[] = {
        0x66, 0xb9, 0x01, 0x4d, 0x56, 0x4b,       /* mov ecx, 0x4b564d01 */
        0x66, 0xb8, 0x01, 0x30, 0x00, 0x00,       /* mov eax, 0x3001 */
        0x66, 0x31, 0xd2, 0x0f, 0x30,             /* xor edx, edx; wrmsr */
        0xa0, 0x00, 0x30, 0xe6, 0xe9,             /* mov al, [0x3000]; out 0xe9, al */
        0x0f, 0x31, 0x66, 0xa3, 0x40, 0x30,       /* rdtsc; mov [0x3040], eax */
        0x66, 0x89, 0x16, 0x44, 0x30, END };      /* mov [0x3044], edx */
    struct { uint32_t version, pad; uint64_t tsc, ns; uint32_t multiplier; int8_t shift; uint8_t flags; } page;
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);
    uint64_t tsc, ns, now;

    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    f->accel->class->clock_get(f->accel, &now, NULL);
    memcpy(&page, ram_block_host(f->ram) + 0x3000, sizeof(page));
    memcpy(&tsc, ram_block_host(f->ram) + 0x3040, sizeof(tsc));
    assert_int_equal(f->out[0], 2); /* the version, as the guest saw it */
    assert_int_equal(page.version, 2);
    assert_true(tsc > page.tsc);
    ns = tsc - page.tsc;
    ns = page.shift < 0 ? ns >> -page.shift : ns << page.shift;
    ns = page.ns + (uint64_t)((unsigned __int128)ns * page.multiplier >> 32);
    assert_in_range(ns, now > 50000000 ? now - 50000000 : 0, now); /* as the host reads it, a little earlier */
    f->accel->class->clock_set(f->accel, UINT64_C(5000000000), NULL);
    memcpy(&page, ram_block_host(f->ram) + 0x3000, sizeof(page));
    assert_int_equal(page.version, 4);
    assert_int_equal(page.ns, UINT64_C(5000000000));
    assert_int_equal(page.flags & 2, 2); /* the guest was stopped */
    fixture_free(f);
}

static void test_kvmclock_does_not_follow_a_tsc_that_is_set(void **state)
{
    static const uint8_t code[] = {
        0x66, 0xb9, 0x01, 0x4d, 0x56, 0x4b,       /* mov ecx, 0x4b564d01 */
        0x66, 0xb8, 0x01, 0x30, 0x00, 0x00,       /* mov eax, 0x3001 */
        0x66, 0x31, 0xd2, 0x0f, 0x30,             /* xor edx, edx; wrmsr */
        0x66, 0xb9, 0x10, 0x00, 0x00, 0x00,       /* mov ecx, 0x10 */
        0x66, 0xba, 0x00, 0x10, 0x00, 0x00,       /* mov edx, 0x1000 */
        0x0f, 0x30, END };                        /* wrmsr */
    static const X86Cpuid cpuid = { .leaf = 1, .edx = 1 << 4 | 1 << 5 }; /* TSC, MSR */
    uint64_t tsc, ns;
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);

    assert_true(f->accel->class->vcpu_set_cpuid(vcpu, &cpuid, 1, NULL));
    start_at_code(f, vcpu, code, sizeof(code));
    assert_int_equal(run_here(f, vcpu, NULL), VCPU_EXIT_KICKED);
    assert_int_equal(ram_block_host(f->ram)[0x3000], 4); /* the page was written again */
    memcpy(&tsc, ram_block_host(f->ram) + 0x3008, sizeof(tsc));
    memcpy(&ns, ram_block_host(f->ram) + 0x3010, sizeof(ns));
    assert_int_equal(ns, 0);
    assert_in_range(UINT64_C(0x100000003001) - tsc, 0, UINT64_C(10000000000)); /* when kvmclock was 0, by this TSC */
    fixture_free(f);
}

static void test_foreign_tsc_frequency_is_refused(void **state)
{
    Fixture *f = tcg();
    Vcpu *vcpu = fixture_vcpu(f, 0);
    GError *error = NULL;

    assert_true(f->accel->class->fetch(vcpu, NULL));
    assert_true(vcpu->cpu.tsc_khz > 100000);
    vcpu->cpu.tsc_khz += vcpu->cpu.tsc_khz / 1000;
    assert_false(f->accel->class->store(vcpu, true, &error));
    assert_non_null(strstr(error->message, "kHz"));
    g_error_free(error);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_stands_still_in_a_pause_and_goes_on_in_step),
        cmocka_unit_test(test_a_vcpu_that_comes_later_is_in_step),
        cmocka_unit_test(test_kvmclock_page_tells_the_time),
        cmocka_unit_test(test_kvmclock_does_not_follow_a_tsc_that_is_set),
        cmocka_unit_test(test_foreign_tsc_frequency_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
