/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU's vCPUs: creation, the run loop, kicks; what the CPU asks of its
 * surroundings (SoftHooks) and the local APIC of its CPU (LapicOps); registers in and
 * out; debugging.
 *
 * A vCPU that halts sleeps in its run loop (vmm/vcpu-thread.c), no longer than its local APIC's
 * timer says.  Whoever signals it sets the request first and wakes it then; the loop
 * forgets wakes before it looks at requests.
 *
 * Threads: hooks run on the vCPU's thread, outside (vmm/x86/soft/soft.h); LapicOps on
 * any.
 */
#include "vmm/accel-soft.h"

#include <inttypes.h>

#include "vmm/epoch.h"
#include "vmm/log.h"
#include "vmm/x86/cpu-model.h"

#define FERR_IRQ 13

#define KVM_HC_SEND_IPI 10
#define KVM_ENOSYS      1000

#define LEAF1_ECX_X2APIC       (1u << 21)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define PHYS_BITS_DEFAULT      36

static const uint32_t feature_msrs[] = { 0x8b, 0xce, 0x10a }; /* microcode, platform, architectural capabilities */

/* ---- from the local APIC to its CPU ---- */

/* Its own thread looks at signals before it halts, and need not be woken. */
static void signal_vcpu(SoftVcpu *sv, unsigned signals)
{
    soft_signal(sv->cpu, signals);
    if (vcpu_current() != sv->vcpu) {
        vcpu_wake(sv->vcpu);
    }
}

static void op_interrupt(void *cpu)
{
    signal_vcpu(cpu, SOFT_INTERRUPT);
}

static void op_nmi(void *cpu)
{
    signal_vcpu(cpu, SOFT_NMI);
}

static void op_smi(void *cpu)
{
    signal_vcpu(cpu, SOFT_SMI);
}

static void op_init(void *cpu)
{
    signal_vcpu(cpu, SOFT_INIT);
}

static void op_sipi(void *cpu, uint8_t vector)
{
    SoftVcpu *sv = cpu;

    soft_cpu_sipi(sv->cpu, vector);
    vcpu_wake(sv->vcpu);
}

static uint64_t op_tsc(void *cpu)
{
    return soft_clock_tsc(cpu);
}

static void op_moved(void *cpu, uint64_t gpa)
{
    soft_cpu_set_apic_page(((SoftVcpu *)cpu)->cpu, gpa);
}

const LapicOps soft_lapic_ops = {
    .interrupt = op_interrupt, .nmi = op_nmi, .smi = op_smi, .init = op_init, .sipi = op_sipi, .tsc = op_tsc,
    .moved = op_moved,
};

/* ---- from the CPU to its surroundings ---- */

static Lapic *lapic_of(void *opaque)
{
    return ((SoftVcpu *)opaque)->lapic;
}

static int hook_acknowledge(SoftCpu *cpu, void *opaque)
{
    return lapic_acknowledge(lapic_of(opaque));
}

/* A guest that came from KVM may still use what only KVM has; for another it is not there. */
static uint64_t *kvm_msr(SoftVcpu *sv, uint32_t index)
{
    uint32_t n = index - SOFT_KVM_MSR_FIRST;

    return n < SOFT_KVM_MSRS && sv->kvm_msr[n] ? &sv->kvm_msr[n] : NULL;
}

static bool hook_msr_read(SoftCpu *cpu, void *opaque, uint32_t index, uint64_t *ret_value)
{
    SoftVcpu *sv = opaque;
    LapicMsr lapic = lapic_msr_read(sv->lapic, index, ret_value);
    const uint64_t *kvm;

    if (lapic != LAPIC_MSR_OTHER) {
        return lapic == LAPIC_MSR_OK;
    }
    if (soft_clock_msr_read(sv, index, ret_value)) {
        return true;
    }
    kvm = kvm_msr(sv, index);
    if (kvm) {
        *ret_value = *kvm;
        return true;
    }
    sv->vcpu->exits[VCPU_COUNT_MSR]++;
    guest_error("cpu", "vCPU %u reads unknown MSR %#" PRIx32, sv->vcpu->index, index);
    return false;
}

static bool hook_msr_write(SoftCpu *cpu, void *opaque, uint32_t index, uint64_t value)
{
    SoftVcpu *sv = opaque;
    LapicMsr lapic = lapic_msr_write(sv->lapic, index, value);
    uint64_t *kvm;

    if (lapic != LAPIC_MSR_OTHER) {
        return lapic == LAPIC_MSR_OK;
    }
    if (soft_clock_msr_write(sv, index, value)) {
        return true;
    }
    kvm = kvm_msr(sv, index);
    if (kvm) {
        *kvm = value;
        return true;
    }
    sv->vcpu->exits[VCPU_COUNT_MSR]++;
    guest_error("cpu", "vCPU %u writes %#" PRIx64 " to unknown MSR %#" PRIx32, sv->vcpu->index, value, index);
    return false;
}

static uint32_t hook_apic_read(SoftCpu *cpu, void *opaque, unsigned offset)
{
    return lapic_read(lapic_of(opaque), offset);
}

static void hook_apic_write(SoftCpu *cpu, void *opaque, unsigned offset, uint32_t value)
{
    lapic_write(lapic_of(opaque), offset, value);
}

static uint64_t hook_cr8_read(SoftCpu *cpu, void *opaque)
{
    return lapic_cr8(lapic_of(opaque));
}

static void hook_cr8_write(SoftCpu *cpu, void *opaque, uint64_t value)
{
    lapic_set_cr8(lapic_of(opaque), value);
}

static void hook_ferr(SoftCpu *cpu, void *opaque)
{
    irq_pulse(gsi_line(((SoftVcpu *)opaque)->soft->fabric, FERR_IRQ));
}

static void hook_init(SoftCpu *cpu, void *opaque)
{
    lapic_init(lapic_of(opaque));
}

/* KVM_HC_SEND_IPI, Linux Documentation/virt/kvm/x86/hypercalls.rst: two words of a bitmap, the APIC ID of its first
 * bit, ICR. */
static uint64_t hook_hypercall(SoftCpu *cpu, void *opaque, uint64_t number, const uint64_t arguments[4], unsigned width)
{
    unsigned __int128 mask = arguments[0] | (unsigned __int128)arguments[1] << width;

    if (number != KVM_HC_SEND_IPI) {
        return (uint64_t)-KVM_ENOSYS;
    }
    return (uint64_t)(int64_t)lapic_send_ipis(lapic_of(opaque), mask, (uint32_t)arguments[2], arguments[3]);
}

static void hook_tsc_set(SoftCpu *cpu, void *opaque)
{
    soft_clock_tsc_set(opaque);
    lapic_tsc_changed(lapic_of(opaque));
}

static const SoftHooks hooks = {
    .acknowledge = hook_acknowledge, .msr_read = hook_msr_read, .msr_write = hook_msr_write,
    .apic_read = hook_apic_read, .apic_write = hook_apic_write, .cr8_read = hook_cr8_read,
    .cr8_write = hook_cr8_write, .ferr = hook_ferr, .init = hook_init, .tsc_set = hook_tsc_set,
    .hypercall = hook_hypercall,
};

/* ---- life ---- */

bool soft_vcpu_create(Accel *accel, Vcpu *vcpu, GError **error)
{
    SoftAccel *soft = soft_of(accel);
    SoftVcpu *sv = g_new0(SoftVcpu, 1);

    sv->soft = soft;
    sv->vcpu = vcpu;
    sv->cpu = soft_cpu_new(soft->vm, &hooks, sv, error);
    if (!sv->cpu) {
        g_free(sv);
        return false;
    }
    vcpu->accel = sv;
    sv->lapic = lapic_new(soft->bus, vcpu->apic_id, vcpu->index == 0, sv);
    pthread_mutex_lock(&soft->mutex);
    g_ptr_array_add(soft->vcpus, sv);
    pthread_mutex_unlock(&soft->mutex);
    return true;
}

void soft_vcpu_destroy(Vcpu *vcpu)
{
    SoftVcpu *sv = soft_vcpu_of(vcpu);

    pthread_mutex_lock(&sv->soft->mutex);
    g_ptr_array_remove(sv->soft->vcpus, sv);
    pthread_mutex_unlock(&sv->soft->mutex);
    lapic_free(sv->lapic);
    epoch_synchronize(); /* nobody is sending to it any more */
    soft_cpu_free(sv->cpu);
    g_free(sv->breakpoints);
    g_free(sv);
    vcpu->accel = NULL;
}

bool soft_vcpu_begin(Vcpu *vcpu, GError **error)
{
    soft_cpu_begin(soft_vcpu_of(vcpu)->cpu);
    return true;
}

bool soft_vcpu_set_cpuid(Vcpu *vcpu, const X86Cpuid *cpuid, unsigned n, GError **error)
{
    SoftVcpu *sv = soft_vcpu_of(vcpu);
    uint32_t wanted = vcpu->model ? cpu_model_tsc_khz(vcpu->model) : 0;
    LapicFeatures features = { .phys_bits = PHYS_BITS_DEFAULT, .tsc_khz = sv->soft->tsc_khz };

    for (unsigned i = 0; i < n; i++) {
        if (cpuid[i].leaf == 1) {
            features.x2apic = cpuid[i].ecx & LEAF1_ECX_X2APIC;
            features.tsc_deadline = cpuid[i].ecx & LEAF1_ECX_TSC_DEADLINE;
        } else if (cpuid[i].leaf == 0x80000008) {
            features.phys_bits = CLAMP(cpuid[i].eax & 0xff, 32, 52);
        }
    }
    if (!soft_tsc_fits(vcpu, wanted, NULL)) {
        error_set(error, "-cpu: the software CPU's TSC runs at the host's %" PRIu32 " kHz, not at %" PRIu32 " kHz",
                  sv->soft->tsc_khz, wanted);
        return error_hint(error, "Leave 'tsc-frequency' out.");
    }
    lapic_set_features(sv->lapic, &features);
    soft_cpu_set_cpuid(sv->cpu, cpuid, n);
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_msrs) && vcpu->model; i++) {
        soft_cpu_set_feature_msr(sv->cpu, feature_msrs[i], cpu_model_feature_msr(vcpu->model, feature_msrs[i]));
    }
    return true;
}

/* ---- running ---- */

static void say_stop(SoftVcpu *sv)
{
    int hit = soft_cpu_debug_hit(sv->cpu);
    const AccelBreakpoint *b = hit >= 0 ? &sv->breakpoints[hit] : NULL;

    sv->vcpu->stop = b ? (VcpuStop) { .kind = b->kind, .address = b->address } : (VcpuStop) { .step = true };
}

VcpuExit soft_vcpu_run(Vcpu *vcpu, GError **error)
{
    SoftVcpu *sv = soft_vcpu_of(vcpu);

    soft_clock_resume(sv->soft);
    lapic_timer_end_wait(sv->lapic);
    if (vcpu->told && !vcpu->stop.step) {
        soft_cpu_pass_breakpoint(sv->cpu, vcpu->stop.address);
    }
    vcpu->exits[VCPU_COUNT_RUNS]++;
    switch (sv->soft->count.on ? soft_count_run(sv) : soft_run(sv->cpu)) {
    case SOFT_EXIT_KICKED:
        vcpu->exits[VCPU_COUNT_KICKED]++;
        return VCPU_EXIT_KICKED;
    case SOFT_EXIT_HALTED:
        vcpu->halt_until = lapic_timer_begin_wait(sv->lapic);
        return VCPU_EXIT_HALTED;
    case SOFT_EXIT_TRIPLE_FAULT:
        return VCPU_EXIT_RESET;
    case SOFT_EXIT_DEBUG:
        say_stop(sv);
        return VCPU_EXIT_DEBUG;
    case SOFT_EXIT_EXCEPTION: /* only for who asked by soft_cpu_trap() */
        break;
    }
    error_set(error, "vCPU %u stopped at an exception that nobody asked for", vcpu->index);
    return VCPU_EXIT_FAILED;
}

void soft_vcpu_kick(Vcpu *vcpu)
{
    soft_signal(soft_vcpu_of(vcpu)->cpu, SOFT_KICK);
}

bool soft_vcpu_nmi(Vcpu *vcpu, GError **error)
{
    op_nmi(soft_vcpu_of(vcpu));
    return true;
}

bool soft_vcpu_smi(Vcpu *vcpu, GError **error)
{
    op_smi(soft_vcpu_of(vcpu));
    return true;
}

/* ---- registers ---- */

bool soft_vcpu_fetch(Vcpu *vcpu, GError **error)
{
    SoftVcpu *sv = soft_vcpu_of(vcpu);

    lapic_timer_end_wait(sv->lapic); /* what is due is in IRR */
    soft_cpu_save(sv->cpu, &vcpu->cpu);
    lapic_save(sv->lapic, &vcpu->cpu);
    soft_clock_save(sv, &vcpu->cpu);
    vcpu->cpu.tsc_khz = soft_tsc_khz(vcpu);
    return true;
}

bool soft_vcpu_store(Vcpu *vcpu, bool full, GError **error)
{
    SoftVcpu *sv = soft_vcpu_of(vcpu);
    const X86Cpu *cpu = &vcpu->cpu;
    uint64_t offset = soft_cpu_tsc_offset(sv->cpu);

    if (full && !soft_tsc_fits(vcpu, cpu->tsc_khz, error)) {
        return false;
    }
    if (full) {
        soft_unsignal(sv->cpu, SOFT_INTERRUPT | SOFT_NMI | SOFT_SMI | SOFT_INIT | SOFT_SIPI);
    }
    if (!soft_cpu_load(sv->cpu, cpu, error)) {
        return false;
    }
    if (full) {
        soft_clock_load(sv, cpu);
        return lapic_load(sv->lapic, cpu, error);
    }
    soft_cpu_set_tsc_offset(sv->cpu, offset); /* clocks run on */
    if (cpu->cr8 != lapic_cr8(sv->lapic)) {
        lapic_set_cr8(sv->lapic, cpu->cr8);
    }
    return true;
}

/* ---- debugging: parked ---- */

bool soft_set_breakpoints(Vcpu *vcpu, const AccelBreakpoint *list, unsigned n, bool step, GError **error)
{
    SoftVcpu *sv = soft_vcpu_of(vcpu);
    g_autofree SoftWatch *watches = g_new0(SoftWatch, n + 1);
    bool ok = true;

    for (unsigned i = 0; i < n; i++) {
        AccelBreakKind kind = list[i].kind;
        bool code = kind == ACCEL_BREAK_SOFTWARE || kind == ACCEL_BREAK_HARDWARE;

        watches[i] = (SoftWatch) {
            .address = list[i].address, .length = code ? 1 : list[i].length, .execute = code,
            .read = kind == ACCEL_WATCH_READ || kind == ACCEL_WATCH_ACCESS,
            .write = kind == ACCEL_WATCH_WRITE || kind == ACCEL_WATCH_ACCESS,
        };
        ok &= watches[i].length > 0;
    }
    if (!ok) {
        error_set(error, "a watchpoint covers at least a byte");
        n = 0;
        step = false;
    }
    g_free(sv->breakpoints);
    sv->breakpoints = g_memdup2(list, n * sizeof(*list));
    soft_cpu_set_debug(sv->cpu, watches, n, step);
    return ok;
}

typedef struct StatPass { AccelStatFn fn; void *opaque; } StatPass;

static void pass_counter(const char *name, uint64_t value, void *opaque)
{
    const StatPass *pass = opaque;
    bool size = g_str_has_suffix(name, "_bytes"); /* the rest counts events */

    pass->fn(&(AccelStat) { .name = name, .kind = size ? ACCEL_STAT_INSTANT : ACCEL_STAT_CUMULATIVE,
                            .unit = size ? ACCEL_STAT_BYTES : ACCEL_STAT_NO_UNIT, .base = 10, .values = &value,
                            .n = 1 },
             pass->opaque);
}

bool soft_stats(Accel *accel, Vcpu *vcpu, AccelStatFn fn, void *opaque)
{
    StatPass pass = { fn, opaque };

    if (vcpu) {
        soft_cpu_counters(soft_vcpu_of(vcpu)->cpu, pass_counter, &pass);
    } else {
        soft_vm_counters(soft_of(accel)->vm, pass_counter, &pass);
    }
    return true;
}
