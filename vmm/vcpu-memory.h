/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory as a vCPU sees it, for who looks at a guest from outside: debuggers, dumps,
 * monitors.  Main thread, vCPUs parked.
 */
#pragma once

#include "vmm/vcpu.h"

/* False: nothing is mapped there, or the state cannot be read. */
bool vcpu_translate(Vcpu *vcpu, uint64_t linear, uint64_t *ret_gpa);
/* Bytes done: those before the first one that is not there.  Devices are read and written, too; writes change ROM. */
uint64_t vcpu_read(Vcpu *vcpu, uint64_t linear, void *buffer, uint64_t length);
uint64_t vcpu_write(Vcpu *vcpu, uint64_t linear, const void *buffer, uint64_t length);
