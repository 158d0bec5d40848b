/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs as the main thread sees them: made, parked, looked at, saved.  What their threads do is in vcpu-thread.c.
 */
#include "vmm/vcpu.h"

#include <string.h>

#include "vmm/domain-internal.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/vcpu-internal.h"

/* ---- saved state ---- */

static bool state_save_vcpu(void *struct_, GError **error)
{
    return vcpu_fetch(struct_, error);
}

static bool state_loaded_vcpu(void *struct_, GError **error)
{
    Vcpu *vcpu = struct_;

    vcpu->fetched = true;
    vcpu->dirty = false;
    return vcpu_accel(vcpu)->store(vcpu, true, error);
}

static const StateDesc vcpu_state = {
    .name = "vcpu", .version = 1, .save = state_save_vcpu, .loaded = state_loaded_vcpu,
    .fields = (const StateField[]) { STATE_STRUCT(Vcpu, cpu, &x86_cpu_state), STATE_END },
};

/* ---- creation ---- */

Vcpu *vcpu_new(Domain *domain, unsigned index, uint32_t apic_id, GError **error)
{
    const Machine *machine = domain_machine(domain);
    const AccelClass *accel = domain_accel(domain)->class;
    g_autofree X86Cpuid *cpuid = g_new(X86Cpuid, X86_CPUID_MAX);
    g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", index);
    unsigned leaves;
    Vcpu *vcpu = g_new0(Vcpu, 1);

    vcpu->domain = domain;
    vcpu->index = index;
    vcpu->apic_id = apic_id;
    vcpu->model = machine->cpu_model;
    vcpu->node = machine_cpu_node(machine, index);
    cpu_topology_place(&machine->topology, index, &vcpu->socket, &vcpu->die, &vcpu->core, &vcpu->thread);
    pthread_mutex_init(&vcpu->mutex, NULL);
    pthread_cond_init(&vcpu->cond, NULL);
    if (!accel->vcpu_create(domain_accel(domain), vcpu, error)) {
        vcpu_free(vcpu);
        return NULL;
    }
    leaves = cpu_model_cpuid(vcpu->model, &machine->topology, apic_id, cpuid, X86_CPUID_MAX);
    if (!accel->vcpu_set_cpuid(vcpu, cpuid, leaves, error)) {
        vcpu_free(vcpu);
        return NULL;
    }
    domain_add_vcpu(domain, vcpu);
    state_list_add(domain_state(domain), path, &vcpu_state, vcpu, sizeof(*vcpu), NULL);
    return vcpu;
}

void vcpu_retire(Vcpu *vcpu)
{
    if (vcpu->tid) {
        vcpu_stop_thread(vcpu);
        vcpu_reset(vcpu);
        vcpu_store(vcpu, NULL);
    }
}

void vcpu_free(Vcpu *vcpu)
{
    if (!vcpu) {
        return;
    }
    if (vcpu->tid) {
        vcpu_stop_thread(vcpu);
    }
    state_list_remove(domain_state(vcpu->domain), vcpu);
    domain_remove_vcpu(vcpu->domain, vcpu);
    if (vcpu->accel) {
        vcpu_accel(vcpu)->vcpu_destroy(vcpu);
    }
    pthread_cond_destroy(&vcpu->cond);
    pthread_mutex_destroy(&vcpu->mutex);
    g_free(vcpu);
}

/* ---- parking ---- */

static void ask_park(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->mutex);
    vcpu->park_wanted = true;
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->mutex);
    vcpu_kick(vcpu);
}

void vcpus_park(Domain *domain)
{
    lock_assert_none_held();
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        ask_park(domain_vcpu(domain, i));
    }
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        Vcpu *vcpu = domain_vcpu(domain, i);

        pthread_mutex_lock(&vcpu->mutex);
        while (vcpu->tid && !vcpu->parked) {
            vcpu_wait(vcpu);
        }
        pthread_mutex_unlock(&vcpu->mutex);
    }
}

bool vcpu_store(Vcpu *vcpu, GError **error)
{
    if (vcpu->dirty && !vcpu_accel(vcpu)->store(vcpu, vcpu->full, error)) {
        return false;
    }
    vcpu->dirty = vcpu->full = vcpu->fetched = false;
    return true;
}

/* What fails here fails again, and is said, on the vCPU's own thread. */
void vcpus_store(Domain *domain)
{
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        if (domain_vcpu(domain, i)->dirty) {
            vcpu_store(domain_vcpu(domain, i), NULL);
        }
    }
}

static void unpark(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->mutex);
    if (!vcpu->held && !vcpu->stopped) {
        vcpu->park_wanted = false;
        vcpu->parked = false;
        pthread_cond_broadcast(&vcpu->cond);
    }
    pthread_mutex_unlock(&vcpu->mutex);
}

void vcpus_unpark(Domain *domain)
{
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        unpark(domain_vcpu(domain, i));
    }
}

void vcpu_join_others(Vcpu *vcpu)
{
    if (!vcpu->domain->run.quiet) {
        unpark(vcpu);
    }
}

/* ---- for a debugger ---- */

void vcpu_hold(Vcpu *vcpu, bool held)
{
    pthread_mutex_lock(&vcpu->mutex);
    vcpu->held = held;
    pthread_mutex_unlock(&vcpu->mutex);
}

bool vcpu_take_stop(Vcpu *vcpu, VcpuStop *ret)
{
    bool stopped;

    pthread_mutex_lock(&vcpu->mutex);
    stopped = vcpu->stopped;
    vcpu->stopped = false;
    pthread_mutex_unlock(&vcpu->mutex);
    if (stopped && ret) {
        *ret = vcpu->stop;
        vcpu->told = true;
    }
    return stopped;
}

bool vcpus_any_stopped(Domain *domain)
{
    bool any = false;

    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        Vcpu *vcpu = domain_vcpu(domain, i);

        pthread_mutex_lock(&vcpu->mutex);
        any |= vcpu->stopped && !vcpu->held;
        pthread_mutex_unlock(&vcpu->mutex);
    }
    return any;
}

bool vcpus_parked(Domain *domain)
{
    bool parked = true;

    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        Vcpu *vcpu = domain_vcpu(domain, i);

        pthread_mutex_lock(&vcpu->mutex);
        parked &= vcpu->parked || !vcpu->tid;
        pthread_mutex_unlock(&vcpu->mutex);
    }
    return parked;
}

bool vcpus_freeze(Domain *domain)
{
    bool ran = !vcpus_parked(domain);

    if (ran) {
        vcpus_park(domain);
    }
    return ran;
}

void vcpus_thaw(Domain *domain, bool ran)
{
    if (ran) {
        vcpus_unpark(domain);
    }
}

/* ---- architectural state: parked ---- */

bool vcpu_fetch(Vcpu *vcpu, GError **error)
{
    if (!vcpu->fetched && !vcpu->dirty) {
        if (!vcpu_accel(vcpu)->fetch(vcpu, error)) {
            return false;
        }
        vcpu->fetched = true;
    }
    return true;
}

void vcpu_set_dirty(Vcpu *vcpu)
{
    vcpu->dirty = true;
}

void vcpu_reset(Vcpu *vcpu)
{
    x86_cpu_reset(&vcpu->cpu, vcpu->apic_id, vcpu->index == 0, cpu_model_signature(vcpu->model));
    vcpu->fetched = true;
    vcpu->dirty = true;
    vcpu->full = true;
}
