/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain of four vCPU threads on an accelerator that runs nothing, and letters for what observers are told. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake-accel.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"

#define CPUS 4

typedef struct Fixture {
    Domain *domain;
    FakeAccel *fake;
    GString *events;
} Fixture;

extern const MachineClass runstate_rig_class;
/* The observer. */
void runstate_rig_note(Domain *domain, RunEvent event, RequestReason reason, void *opaque);
/* Of cmocka: a machine that is built, or finalized; and its end. */
int runstate_rig_set_up(void **state);
int runstate_rig_set_up_final(void **state);
int runstate_rig_tear_down(void **state);
void wait_inside(Fixture *f, unsigned n); /* until so many vCPUs are in the accelerator */
void run_until(Fixture *f, RunState state);
void run_until_events(Fixture *f, const char *events); /* so many of them, and they are these */
void start(Fixture *f);

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, runstate_rig_set_up_final, runstate_rig_tear_down)
