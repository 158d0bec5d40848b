/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of the CPU's state share.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/system.h"

typedef struct Fixture {
    SoftRig *rig;
    X86Cpu state, again;
} Fixture;

static inline int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->rig = soft_rig_new();
    soft_vm_set_deterministic(f->rig->vm, 1);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    Fixture *f = *state;

    soft_rig_free(f->rig);
    g_free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* It is not loaded, for that reason, and nothing has changed. */
static inline void refuse(Fixture *f, const char *says)
{
    SoftCpu *cpu = f->rig->cpu;
    g_autoptr(GError) error = NULL;
    uint64_t rip = cpu->rip, cr0 = cpu->cr0, cr4 = cpu->cr4;

    if (soft_cpu_load(cpu, &f->state, &error)) {
        fail_msg("loads although: %s", says);
    }
    if (!strstr(error->message, says)) {
        fail_msg("'%s' does not say '%s'", error->message, says);
    }
    assert_int_equal(cpu->rip, rip);
    assert_int_equal(cpu->cr0, cr0);
    assert_int_equal(cpu->cr4, cr4);
}

/* An IDT whose every gate leads to a HLT of its own, at 0x300000 + 16 * vector. */
static inline void make_idt(SoftRig *rig)
{
    for (uint64_t v = 0; v < 256; v++) {
        uint64_t target = 0x300000 + 16 * v, gate[2] = { 0x8e0000080000 | (target & 0xffff) | target >> 16 << 48, 0 };

        memcpy(rig->host + 0x310000 + 16 * v, gate, 16);
        rig->host[target] = 0xf4;
    }
    rig->cpu->idt = (X86Table) { 0x310000, 0xfff };
}
