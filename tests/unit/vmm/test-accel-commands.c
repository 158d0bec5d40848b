/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Statistics of the software CPU, as a QMP client reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/monitor/monitor-rig.h"
#include "tests/unit/vmm/accel-rig.h"

#define STATS(ARGUMENTS) "{\"execute\": \"query-stats\", \"arguments\": {" ARGUMENTS "}}"

typedef struct Rigs { Fixture *f; MonitorRig *m; } Rigs;

/* A domain whose vCPU has written to a port once. */
static int setup(void **state)
{
    static const uint8_t code[] = { 0xe6, 0xe9, END };
    Rigs *r = g_new0(Rigs, 1);

    r->f = fixture_new("tcg", IRQCHIP_AUTO);
    fixture_vcpu(r->f, 0);
    start_at_code(r->f, r->f->vcpu[0], code, sizeof(code));
    assert_int_equal(run_here(r->f, r->f->vcpu[0], NULL), VCPU_EXIT_KICKED);
    domain_add_vcpu(r->f->domain, r->f->vcpu[0]);
    r->m = monitor_rig_new(r->f->domain);
    monitor_rig_ask(r->m, "", "{\"QMP\": ...");
    monitor_rig_ask(r->m, "{\"execute\": \"qmp_capabilities\"}", "{\"return\": {}}");
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    Rigs *r = *state;

    monitor_rig_free(r->m);
    domain_remove_vcpu(r->f->domain, r->f->vcpu[0]);
    fixture_free(r->f);
    g_free(r);
    return 0;
}

static void test_what_is_described_can_be_read(void **state)
{
    MonitorRig *m = ((Rigs *)*state)->m;
    g_autofree char *schemas = NULL, *vcpu = NULL, *vm = NULL;

    monitor_rig_send(m, "{\"execute\": \"query-stats-schemas\"}", 34, -1);
    schemas = monitor_rig_line(m);
    assert_non_null(strstr(schemas, "{\"provider\": \"tcg\", \"target\": \"vcpu\", \"stats\": [{"));
    assert_non_null(strstr(schemas, "{\"name\": \"code_bytes\", \"type\": \"instant\", \"unit\": \"bytes\", \"exponent\": 0}"));
    assert_non_null(strstr(schemas, "{\"name\": \"pio\", \"type\": \"cumulative\", \"exponent\": 0}"));
    monitor_rig_send(m, STATS("\"target\": \"vcpu\""), strlen(STATS("\"target\": \"vcpu\"")), -1);
    vcpu = monitor_rig_line(m);
    assert_true(g_str_has_prefix(vcpu, "{\"return\": [{\"provider\": \"tcg\", \"qom-path\": \"/machine/cpu[0]\", "));
    monitor_rig_send(m, STATS("\"target\": \"vm\""), strlen(STATS("\"target\": \"vm\"")), -1);
    vm = monitor_rig_line(m);
    assert_true(g_str_has_prefix(vm, "{\"return\": [{\"provider\": \"tcg\", \"stats\": [{\"name\": "));
}

static void test_what_is_not_asked_for_is_left_out(void **state)
{
    MonitorRig *m = ((Rigs *)*state)->m;

    monitor_rig_ask(m, STATS("\"target\": \"vcpu\", \"providers\": [{\"provider\": \"tcg\", \"names\": [\"pio\"]}]"),
                    "{\"return\": [{\"provider\": \"tcg\", \"qom-path\": \"/machine/cpu[0]\", "
                    "\"stats\": [{\"name\": \"pio\", \"value\": 2}]}]}");
    monitor_rig_ask(m, STATS("\"target\": \"vcpu\", \"providers\": [{\"provider\": \"kvm\"}]"), "{\"return\": []}");
    monitor_rig_ask(m, STATS("\"target\": \"vcpu\", \"vcpus\": [\"/machine/cpu[7]\"]"), "{\"return\": []}");
    monitor_rig_ask(m, STATS("\"target\": \"moon\""), "{\"error\": {\"class\": \"GenericError\", ...");
    monitor_rig_ask(m, "{\"execute\": \"query-stats-schemas\", \"arguments\": {\"provider\": \"kvm\"}}", "{\"return\": []}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_described_can_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_asked_for_is_left_out, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
