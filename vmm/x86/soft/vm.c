/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making and freeing VMs and vCPUs of the software CPU, and what is set from outside
 * before they run.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "vmm/error.h"
#include "vmm/x86/soft/translate.h"

/* ---- the VM ---- */

static bool host_is_intel(void)
{
    unsigned a, b, c, d;

    __cpuid(0, a, b, c, d);
    return b == signature_INTEL_ebx && c == signature_INTEL_ecx && d == signature_INTEL_edx;
}

SoftVm *soft_vm_new(AddressSpace *memory, AddressSpace *ports, uint64_t code_bytes, bool translate, GError **error)
{
    SoftVm *vm = g_new0(SoftVm, 1);
    pthread_mutexattr_t recursive;

    vm->memory = memory;
    vm->ports = ports;
    vm->intel = host_is_intel();
    vm->null_keeps_base = !vm->intel;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&vm->cpus_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    if (!soft_code_init(vm, code_bytes, translate, error) || !soft_stubs_init(vm, error) || !soft_map_init(vm, error)) {
        soft_vm_free(vm);
        return NULL;
    }
    return vm;
}

bool soft_vm_translates(const SoftVm *vm)
{
    return vm->translator;
}

void soft_vm_free(SoftVm *vm)
{
    if (!vm) {
        return;
    }
    soft_map_finish(vm);
    soft_stubs_finish(vm);
    soft_code_finish(vm);
    pthread_mutex_destroy(&vm->cpus_lock);
    pthread_mutex_destroy(&vm->lock);
    g_free(vm->cpus);
    g_free(vm);
}

void soft_vm_set_smm(SoftVm *vm, AddressSpace *space)
{
    vm->smm = space;
    soft_map_set_smm(vm);
}

void soft_vm_set_deterministic(SoftVm *vm, uint32_t per_instruction)
{
    vm->deterministic = per_instruction;
}

void soft_vm_set_trace(SoftVm *vm, unsigned what, void (*line)(const char *text))
{
    vm->trace_line = line;
    vm->trace = what;
}

/* ---- a vCPU ---- */

static void add_cpu(SoftVm *vm, SoftCpu *cpu)
{
    pthread_mutex_lock(&vm->cpus_lock);
    vm->cpus = g_renew(SoftCpu *, vm->cpus, vm->n_cpus + 1);
    vm->cpus[vm->n_cpus++] = cpu;
    pthread_mutex_unlock(&vm->cpus_lock);
}

static void remove_cpu(SoftVm *vm, SoftCpu *cpu)
{
    pthread_mutex_lock(&vm->cpus_lock);
    for (unsigned i = 0; i < vm->n_cpus; i++) {
        if (vm->cpus[i] == cpu) {
            vm->cpus[i] = vm->cpus[--vm->n_cpus];
        }
    }
    pthread_mutex_unlock(&vm->cpus_lock);
}

SoftCpu *soft_cpu_new(SoftVm *vm, const SoftHooks *hooks, void *opaque, GError **error)
{
    SoftCpu *cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~UINT64_C(63));
    void *tlbs = aligned_alloc(64, (TLB_SETS * sizeof(TlbSet) + 63) & ~UINT64_C(63));

    if (!cpu || !tlbs) {
        free(cpu);
        free(tlbs);
        error_set(error, "no memory for a vCPU");
        return NULL;
    }
    soft_zero(cpu, sizeof(*cpu));
    cpu->vm = vm;
    cpu->hooks = hooks;
    cpu->opaque = opaque;
    cpu->tlbs = tlbs;
    soft_zero(tlbs, TLB_SETS * sizeof(TlbSet));
    cpu->jumps = g_new0(JumpEntry, JUMP_CACHE);
    cpu->apic_page = UINT64_MAX;
    cpu->phys_bits = 40;
    cpu->code_generation = vm->code_generation;
    cpu->unlinked_return = vm->translator ? vm->translator->routines.unlinked_return : NULL;
    if (!soft_mmu_init(cpu, error)) {
        soft_cpu_free(cpu);
        return NULL;
    }
    add_cpu(vm, cpu);
    soft_cpu_init_state(cpu, true);
    return cpu;
}

void soft_cpu_free(SoftCpu *cpu)
{
    if (!cpu) {
        return;
    }
    remove_cpu(cpu->vm, cpu);
    soft_mmu_finish(cpu);
    g_free(cpu->scratch);
    g_free(cpu->watch);
    g_free(cpu->jumps);
    free(cpu->tlbs);
    free(cpu);
}

void soft_cpu_set_apic_page(SoftCpu *cpu, uint64_t gpa)
{
    cpu->apic_page = gpa;
    __atomic_fetch_or(&cpu->requests, REQUEST_FLUSH, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->attention, 1, __ATOMIC_SEQ_CST);
}

uint64_t soft_cpu_tsc(const SoftCpu *cpu)
{
    uint64_t ticks = cpu->vm->deterministic ? cpu->instructions * cpu->vm->deterministic : __rdtsc();

    return ticks + cpu->tsc_offset;
}

void soft_cpu_set_tsc(SoftCpu *cpu, uint64_t value)
{
    cpu->tsc_offset += value - soft_cpu_tsc(cpu);
}

uint64_t soft_cpu_tsc_offset(const SoftCpu *cpu)
{
    return cpu->tsc_offset;
}

void soft_cpu_set_tsc_offset(SoftCpu *cpu, uint64_t offset)
{
    cpu->tsc_offset = offset;
}

void soft_cpu_trap(SoftCpu *cpu, bool on)
{
    cpu->trap = on;
}

const SoftException *soft_cpu_exception(const SoftCpu *cpu)
{
    return &cpu->exception;
}
