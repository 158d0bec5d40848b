/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See machine-rig.h.
 */
#include "tests/unit/monitor/machine-rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

int machine_rig_setup(void **state)
{
    MachineRig *m = g_new0(MachineRig, 1);
    g_autofree char *wrong = NULL;

    m->rig = rig_new_cpus("2,sockets=2");
    wrong = rig_try_add(m->rig, "virtio-rng-pci,id=rng0,addr=05.0,packed=on");
    assert_null(wrong);
    m->monitor = monitor_rig_new(m->rig->domain);
    *state = m;
    machine_rig_ask(state, "", "{\"QMP\": ...");
    machine_rig_ask(state, "{\"execute\": \"qmp_capabilities\"}", "{\"return\": {}}");
    return 0;
}

int machine_rig_teardown(void **state)
{
    MachineRig *m = *state;

    monitor_rig_free(m->monitor);
    rig_free(m->rig);
    g_free(m);
    return 0;
}

void machine_rig_ask(void **state, const char *request, const char *expected)
{
    monitor_rig_ask(((MachineRig *)*state)->monitor, request, expected);
}

char *machine_rig_answer(void **state, const char *request)
{
    MonitorRig *r = ((MachineRig *)*state)->monitor;

    monitor_rig_send(r, request, strlen(request), -1);
    return monitor_rig_line(r);
}
