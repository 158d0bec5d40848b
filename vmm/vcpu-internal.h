/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between vcpu.c and vcpu-thread.c; nothing else includes it.
 */
#pragma once

#include "vmm/accel.h"
#include "vmm/domain.h"
#include "vmm/vcpu.h"

static inline const AccelClass *vcpu_accel(const Vcpu *vcpu)
{
    return domain_accel(vcpu->domain)->class;
}

/* Waits for a change; the caller holds the mutex and loops.  A wait holds no reference. */
void vcpu_wait(Vcpu *vcpu);
/* Main thread; there is one. */
void vcpu_stop_thread(Vcpu *vcpu);
