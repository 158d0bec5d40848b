/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -smp: what is filled in, what is refused; APIC ids.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vmm/error.h"
#include "vmm/x86/cpu-model.h"

static CpuTopology parse(const char *text)
{
    CpuTopology t = { 0 };
    GError *error = NULL;

    if (!cpu_topology_parse(text, 255, &t, &error)) {
        fail_msg("%s", error->message);
    }
    return t;
}

static void assert_refused(const char *text, const char *why)
{
    CpuTopology t;
    GError *error = NULL;

    assert_false(cpu_topology_parse(text, 255, &t, &error));
    if (!strstr(error->message, why)) {
        fail_msg("'%s' does not say '%s'", error->message, why);
    }
    g_error_free(error);
}

static void test_a_number_becomes_cores_of_one_socket(void **state)
{
    CpuTopology t = parse("4");

    assert_int_equal(t.cpus, 4);
    assert_int_equal(t.maxcpus, 4);
    assert_int_equal(t.sockets, 1);
    assert_int_equal(t.dies, 1);
    assert_int_equal(t.cores, 4);
    assert_int_equal(t.threads, 1);
}

static void test_cpus_come_from_the_levels_if_not_given(void **state)
{
    CpuTopology t = parse("sockets=2,cores=3,threads=2");

    assert_int_equal(t.cpus, 12);
    assert_int_equal(t.maxcpus, 12);
    assert_int_equal(t.dies, 1);
}

static void test_sockets_are_filled_when_cores_are_given(void **state)
{
    CpuTopology t = parse("8,cores=2");

    assert_int_equal(t.sockets, 4);
    assert_int_equal(t.threads, 1);
}

static void test_threads_are_filled_last(void **state)
{
    CpuTopology t = parse("8,sockets=2,cores=2");

    assert_int_equal(t.threads, 2);
}

static void test_levels_hold_maxcpus_not_cpus(void **state)
{
    CpuTopology t = parse("2,maxcpus=8,sockets=2");

    assert_int_equal(t.cpus, 2);
    assert_int_equal(t.cores, 4);
}

static void test_product_that_does_not_match_is_refused(void **state)
{
    assert_refused("6,sockets=4", "is not maxcpus (6)");
}

static void test_more_cpus_than_maxcpus_are_refused(void **state)
{
    assert_refused("8,maxcpus=4", "more than maxcpus (4)");
}

static void test_more_than_the_machine_has_is_refused(void **state)
{
    assert_refused("256", "at most 255");
}

static void test_zero_is_refused(void **state)
{
    assert_refused("4,cores=0", "cores");
}

static void test_apic_ids_leave_room_for_odd_counts(void **state)
{
    CpuTopology t = parse("sockets=2,dies=1,cores=3,threads=2");

    assert_int_equal(cpu_topology_apic_id(&t, 0), 0);
    assert_int_equal(cpu_topology_apic_id(&t, 1), 1);
    assert_int_equal(cpu_topology_apic_id(&t, 2), 2);
    assert_int_equal(cpu_topology_apic_id(&t, 5), 5);
    assert_int_equal(cpu_topology_apic_id(&t, 6), 8); /* cores have two bits, sockets start at bit 3 */
    assert_int_equal(cpu_topology_apic_id(&t, 11), 13);
}

static void test_dies_have_a_field_of_their_own(void **state)
{
    CpuTopology t = parse("sockets=1,dies=2,cores=2,threads=1");
    unsigned socket, die, core, thread;

    cpu_topology_place(&t, 3, &socket, &die, &core, &thread);
    assert_int_equal(die, 1);
    assert_int_equal(core, 1);
    assert_int_equal(cpu_topology_apic_id(&t, 3), 3);
    assert_int_equal(cpu_topology_shift(&t, CPU_LEVEL_DIE), 1);
    assert_int_equal(cpu_topology_shift(&t, CPU_LEVEL_SOCKET), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_number_becomes_cores_of_one_socket),
        cmocka_unit_test(test_cpus_come_from_the_levels_if_not_given),
        cmocka_unit_test(test_sockets_are_filled_when_cores_are_given),
        cmocka_unit_test(test_threads_are_filled_last),
        cmocka_unit_test(test_levels_hold_maxcpus_not_cpus),
        cmocka_unit_test(test_product_that_does_not_match_is_refused),
        cmocka_unit_test(test_more_cpus_than_maxcpus_are_refused),
        cmocka_unit_test(test_more_than_the_machine_has_is_refused),
        cmocka_unit_test(test_zero_is_refused),
        cmocka_unit_test(test_apic_ids_leave_room_for_odd_counts),
        cmocka_unit_test(test_dies_have_a_field_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
