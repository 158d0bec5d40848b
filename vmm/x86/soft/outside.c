/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside and outside: how other threads change what a vCPU may be using (its TLBs, its
 * write permissions) and how one vCPU gets the machine for itself.
 *
 *     outside --soft_outside_end()--> inside --soft_outside_begin()--> outside
 *
 * Inside, a vCPU executes guest code and uses its TLBs.  A request is written to
 * cpu->requests, then `attention` is set; whoever asks waits until the vCPU is outside or has
 * served it.  A vCPU that comes inside sets `inside`, then looks at its requests: of the
 * two orders one sees the other (both are sequentially consistent).
 *
 * Outside counts as online for epochs (the memory map may be read), inside as offline.
 */
#include <sched.h>
#include <setjmp.h>

#include "vmm/epoch.h"
#include "vmm/x86/soft/vm.h"

#define SPINS 200

static void serve(SoftCpu *cpu)
{
    uint32_t requests = __atomic_fetch_and(&cpu->requests, ~(REQUEST_FLUSH | REQUEST_REVOKE), __ATOMIC_SEQ_CST);

    if (requests & REQUEST_FLUSH) {
        soft_tlb_flush(cpu);
        /* Whoever asks sets this after the request; the block that runs must end before that, too. */
        __atomic_store_n(&cpu->attention, 1, __ATOMIC_SEQ_CST);
    } else if (requests & REQUEST_REVOKE) {
        soft_tlb_revoke(cpu, NULL);
    }
    cpu->count[COUNT_REQUESTS] += requests != 0;
}

static void set_inside(SoftCpu *cpu, uint32_t inside)
{
    __atomic_store_n(&cpu->inside, inside, __ATOMIC_SEQ_CST);
}

/* Waits until nobody is alone. */
static void wait_for_stop(SoftCpu *cpu)
{
    pthread_mutex_lock(&cpu->vm->cpus_lock);
    pthread_mutex_unlock(&cpu->vm->cpus_lock);
}

void soft_outside_begin(SoftCpu *cpu)
{
    soft_fp_leave(cpu);
    set_inside(cpu, 0);
    epoch_online();
}

void soft_outside_end(SoftCpu *cpu)
{
    epoch_offline();
    set_inside(cpu, 1);
    while (UNLIKELY(__atomic_load_n(&cpu->requests, __ATOMIC_SEQ_CST) & REQUEST_STOP)) {
        set_inside(cpu, 0);
        wait_for_stop(cpu);
        set_inside(cpu, 1);
    }
    if (UNLIKELY(__atomic_load_n(&cpu->requests, __ATOMIC_SEQ_CST))) {
        serve(cpu);
    }
}

/* cpus_lock.  Asks every vCPU but self, and waits for those that are inside. */
static void ask_all(SoftVm *vm, const SoftCpu *self, uint32_t request)
{
    for (unsigned i = 0; i < vm->n_cpus; i++) {
        if (vm->cpus[i] != self) {
            __atomic_fetch_or(&vm->cpus[i]->requests, request, __ATOMIC_SEQ_CST);
            __atomic_store_n(&vm->cpus[i]->attention, 1, __ATOMIC_SEQ_CST);
        }
    }
    for (unsigned i = 0; i < vm->n_cpus; i++) {
        const SoftCpu *cpu = vm->cpus[i];

        for (unsigned spins = 0; cpu != self && __atomic_load_n(&cpu->inside, __ATOMIC_SEQ_CST) &&
                                 __atomic_load_n(&cpu->requests, __ATOMIC_SEQ_CST) & request; spins++) {
            if (spins < SPINS) {
                __builtin_ia32_pause();
            } else {
                sched_yield();
            }
        }
    }
}

void soft_broadcast(SoftVm *vm, SoftCpu *self, unsigned request)
{
    pthread_mutex_lock(&vm->cpus_lock);
    ask_all(vm, self, request);
    pthread_mutex_unlock(&vm->cpus_lock);
}

void soft_exclusive_begin(SoftCpu *cpu)
{
    soft_outside_begin(cpu);
    pthread_mutex_lock(&cpu->vm->cpus_lock);
    ask_all(cpu->vm, cpu, REQUEST_STOP);
    cpu->count[COUNT_EXCLUSIVE]++;
    epoch_offline();
    set_inside(cpu, 1);
    serve(cpu);
}

void soft_exclusive_end(SoftCpu *cpu)
{
    SoftVm *vm = cpu->vm;

    for (unsigned i = 0; i < vm->n_cpus; i++) {
        __atomic_fetch_and(&vm->cpus[i]->requests, ~REQUEST_STOP, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&vm->cpus_lock);
}

void soft_vm_lock(SoftCpu *cpu)
{
    soft_outside_begin(cpu);
    pthread_mutex_lock(&cpu->vm->lock);
}

void soft_vm_unlock(SoftCpu *cpu)
{
    pthread_mutex_unlock(&cpu->vm->lock);
    soft_outside_end(cpu);
}
