/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain with one accelerator, 1 MiB of RAM, two ports and an MMIO page, and no machine:
 * for tests that run a few instructions of real-mode code on threads of their own.
 */
#pragma once

#include "vmm/accel.h"
#include "vmm/domain.h"

#define CODE 0x1000

#define END 0xe6, 0xf4, 0xf4 /* out 0xf4, al; hlt */

typedef struct Fixture {
    Domain *domain;
    Accel *accel;
    RamBlock *ram;
    MemoryRegion ram_region;
    MemoryRegion port, end, mmio; /* 0xe9, 0xf4; 0xd0000 */
    Lock lock;
    uint8_t out[64]; /* what was written to port 0xe9, which reads 0x5a */
    unsigned outs;
    bool ended;      /* the guest wrote to port 0xf4 */
    uint64_t mmio_value;
    Vcpu *vcpu[4];
    unsigned vcpus;
} Fixture;

void fail_with(GError *error); /* NULL: goes on */
/* accel: as for -accel.  The test fails if there is none. */
Fixture *fixture_new(const char *accel, IrqchipMode mode);
void fixture_free(Fixture *f);
Vcpu *fixture_vcpu(Fixture *f, unsigned index); /* in its reset state, not stored yet */
/* Real mode at 0:CODE. */
void start_at_code(Fixture *f, Vcpu *vcpu, const uint8_t *code, size_t length);
/* Runs on this thread until the guest ends itself (VCPU_EXIT_KICKED) or leaves otherwise. */
VcpuExit run_here(Fixture *f, Vcpu *vcpu, GError **error);
/* A group's main(): 77, with the reason, where this host has no KVM. */
struct CMUnitTest;
int run_with_kvm(const struct CMUnitTest *tests, size_t n);
