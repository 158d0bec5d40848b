/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of system instructions share: a few bytes run by a fresh rig, and what came of it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/system.h"

#define RAX gpr[X86_RAX]
#define RBX gpr[X86_RBX]
#define RCX gpr[X86_RCX]
#define RDX gpr[X86_RDX]

static inline int setup(void **state)
{
    *state = soft_rig_new();
    return 0;
}

static inline int teardown(void **state)
{
    soft_rig_free(*state);
    return 0;
}
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Runs the bytes, which are followed by HLT, from where the rig entered. */
static inline SoftExit run(SoftRig *rig, const void *code, unsigned n)
{
    uint8_t bytes[64] = { 0 };

    memcpy(bytes, code, n);
    bytes[n] = 0xf4;
    soft_rig_code(rig, bytes, sizeof(bytes));
    soft_code_written(rig->vm, NULL, rig->host + RIG_CODE, sizeof(bytes));
    rig->cpu->halted = false; /* of a run before */
    return soft_rig_run(rig);
}
#define RUN(rig, ...) run(rig, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* The first instruction raised it, before it changed anything. */
static inline void assert_fault(SoftRig *rig, SoftExit exit, unsigned vector)
{
    assert_int_equal(exit, SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, vector);
    assert_int_equal(soft_cpu_exception(rig->cpu)->error, 0);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
}

static inline void clear_cpuid(SoftRig *rig, uint32_t leaf, uint32_t subleaf, uint32_t ecx, uint32_t edx, uint32_t ebx)
{
    X86Cpuid list[X86_CPUID_MAX];

    memcpy(list, rig->cpu->cpuid, sizeof(list));
    for (unsigned i = 0; i < rig->cpu->cpuids; i++) {
        if (list[i].leaf == leaf && list[i].subleaf == subleaf) {
            list[i].ecx &= ~ecx;
            list[i].edx &= ~edx;
            list[i].ebx &= ~ebx;
        }
    }
    soft_cpu_set_cpuid(rig->cpu, list, rig->cpu->cpuids);
}
