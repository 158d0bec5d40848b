/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time for the software CPU: its TSC, which is the host's plus an offset, and kvmclock
 * (Linux Documentation/virt/kvm/x86/msr.rst).
 *
 * Both stand still while the domain does: the TSCs are kept, and go on together by one
 * reading of the host's, so vCPUs that were in step stay so.  kvmclock is a function
 * of the host's TSC that all vCPUs share, each with its own offset in its page.
 *
 * Under -icount the TSC counts instructions and there is no kvmclock.
 *
 * A page is written when the guest says where it is, when it sets the TSC, and when time
 * goes on.
 *
 * Locking: soft->mutex guards the change between stopped and running, and kvmclock's
 * base.  Pages are RAM or are not written, so no device is called.
 */
#include "vmm/accel-soft.h"

#include <cpuid.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "vmm/x86/cpu-model.h"

#define MSR_TSC             0x10
#define MSR_WALL_CLOCK_OLD  0x11
#define MSR_SYSTEM_TIME_OLD 0x12
#define MSR_WALL_CLOCK      0x4b564d00
#define MSR_SYSTEM_TIME     0x4b564d01

#define SYSTEM_TIME_ON      1u

#define PVCLOCK_TSC_STABLE    (1u << 0)
#define PVCLOCK_GUEST_STOPPED (1u << 1)

#define COUNTED_KHZ         1000000 /* -icount: a tick is a nanosecond */
#define CPUID_KVM_TIMING    0x40000010 /* EAX: kHz of the TSC */
#define MEASURE_NS          (10 * NS_PER_MS)
#define TRIES               8

/* The guest's view, as Linux' struct pvclock_vcpu_time_info and pvclock_wall_clock. */
typedef struct VcpuTime {
    uint32_t version, pad0;
    uint64_t tsc_timestamp, system_time;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags, pad[2];
} VcpuTime;
G_STATIC_ASSERT(sizeof(VcpuTime) == 32);

typedef struct WallClock {
    uint32_t version, sec, nsec;
} WallClock;

/* ---- the host's TSC ---- */

/* A pair of readings as close to each other as a few tries give. */
static void read_pair(uint64_t *tsc, int64_t *ns)
{
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < TRIES; i++) {
        struct timespec now;
        uint64_t before = __rdtsc(), after;

        clock_gettime(CLOCK_MONOTONIC_RAW, &now);
        after = __rdtsc();
        if (after - before < best) {
            best = after - before;
            *tsc = before + best / 2;
            *ns = now.tv_sec * NS_PER_SEC + now.tv_nsec;
        }
    }
}

static uint32_t measure_khz(void)
{
    struct timespec pause = { .tv_nsec = MEASURE_NS };
    uint64_t tsc0 = 0, tsc1 = 0;
    int64_t ns0 = 0, ns1 = 0;

    read_pair(&tsc0, &ns0);
    nanosleep(&pause, NULL);
    read_pair(&tsc1, &ns1);
    return (uint32_t)(((tsc1 - tsc0) * 1000000 + (uint64_t)(ns1 - ns0) / 2) / (uint64_t)MAX(ns1 - ns0, 1));
}

/* What the processor or its hypervisor says, else what a clock says. */
static uint32_t host_tsc_khz(void)
{
    unsigned eax, ebx, ecx, edx;

    __cpuid(1, eax, ebx, ecx, edx);
    if (ecx >> 31) {
        __cpuid(0x40000000, eax, ebx, ecx, edx);
        if (eax >= CPUID_KVM_TIMING && eax < 0x40001000) {
            __cpuid(CPUID_KVM_TIMING, eax, ebx, ecx, edx);
            if (eax) {
                return eax;
            }
        }
    }
    if (__get_cpuid_count(0x15, 0, &eax, &ebx, &ecx, &edx) && eax && ebx && ecx) {
        return (uint32_t)((uint64_t)ecx * ebx / eax / 1000);
    }
    return measure_khz();
}

/* APM 3, CPUID Fn8000_0007: it does not change with power states. */
static bool host_tsc_is_invariant(void)
{
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && (edx >> 8 & 1);
}

uint64_t soft_clock_tsc(const SoftVcpu *sv)
{
    return __atomic_load_n(&sv->soft->stopped, __ATOMIC_ACQUIRE) ? sv->stopped_tsc : soft_cpu_tsc(sv->cpu);
}

uint32_t soft_tsc_khz(const Vcpu *vcpu)
{
    return soft_vcpu_of(vcpu)->soft->tsc_khz;
}

bool soft_tsc_fits(const Vcpu *vcpu, uint32_t khz, GError **error)
{
    uint32_t now = soft_tsc_khz(vcpu);
    uint64_t difference = now > khz ? now - khz : khz - now;

    if (!khz || difference * 1000000 <= (uint64_t)khz * 250) { /* what crystals differ by */
        return true;
    }
    error_set(error, "vCPU %u needs a TSC of %" PRIu32 " kHz, this host's runs at %" PRIu32 " kHz and is not scaled",
              vcpu->index, khz, now);
    return error_hint(error, "Use a host whose TSC has this frequency.");
}

/* ---- kvmclock ---- */

/* SDM has no such formula: Linux' pvclock scales delta * 2^shift * multiplier / 2^32. */
static void choose_scale(SoftAccel *soft)
{
    uint64_t hz = (uint64_t)soft->tsc_khz * 1000;

    soft->clock_shift = 0;
    while (hz > 2 * (uint64_t)NS_PER_SEC) { /* a multiplier of at least 2^31 loses least */
        hz >>= 1;
        soft->clock_shift--;
    }
    while (hz <= (uint64_t)NS_PER_SEC) {
        hz <<= 1;
        soft->clock_shift++;
    }
    soft->clock_multiplier = (uint32_t)(((uint64_t)NS_PER_SEC << 32) / hz);
}

static uint64_t scale(const SoftAccel *soft, uint64_t ticks)
{
    ticks = soft->clock_shift < 0 ? ticks >> -soft->clock_shift : ticks << soft->clock_shift;
    return (uint64_t)((unsigned __int128)ticks * soft->clock_multiplier >> 32);
}

/* mutex held. */
static uint64_t now_ns(const SoftAccel *soft)
{
    return soft->stopped ? soft->clock_ns : soft->clock_ns + scale(soft, __rdtsc() - soft->clock_tsc);
}

/* A guest that reads in between sees an odd version and reads again.  Memory that is none is not written. */
static void write_versioned(SoftAccel *soft, uint64_t gpa, void *page, uint32_t size, uint32_t version)
{
    uint32_t *words = page, odd = version | 1;

    dma_write(&soft->ram, gpa, &odd, sizeof(odd));
    dma_write(&soft->ram, gpa + sizeof(odd), words + 1, size - sizeof(odd));
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    dma_write(&soft->ram, gpa, &version, sizeof(version));
}

/* What all vCPUs' TSCs are offsets from.  Counted time has one vCPU. */
static uint64_t common_tsc(const SoftAccel *soft)
{
    const SoftVcpu *only = soft->count.on && soft->vcpus->len ? soft->vcpus->pdata[0] : NULL;

    return only ? soft_cpu_tsc(only->cpu) - soft_cpu_tsc_offset(only->cpu) : __rdtsc();
}

/* mutex held, time running. */
static void write_page(SoftVcpu *sv, uint8_t flags)
{
    SoftAccel *soft = sv->soft;
    VcpuTime page = {
        .tsc_timestamp = soft->clock_tsc + soft_cpu_tsc_offset(sv->cpu), .system_time = soft->clock_ns,
        .tsc_to_system_mul = soft->clock_multiplier, .tsc_shift = soft->clock_shift,
        .flags = flags | (soft->tsc_stable ? PVCLOCK_TSC_STABLE : 0),
    };

    if (sv->system_time & SYSTEM_TIME_ON) {
        sv->clock_version += 2;
        write_versioned(soft, sv->system_time & ~(uint64_t)SYSTEM_TIME_ON, &page, sizeof(page), sv->clock_version);
    }
}

/* When kvmclock was 0. */
static void write_wall_clock(SoftAccel *soft, uint64_t gpa)
{
    WallClock page = { 0 };
    struct timespec now;
    int64_t boot;

    pthread_mutex_lock(&soft->mutex);
    clock_gettime(CLOCK_REALTIME, &now);
    boot = now.tv_sec * NS_PER_SEC + now.tv_nsec - (int64_t)now_ns(soft);
    pthread_mutex_unlock(&soft->mutex);
    page.sec = (uint32_t)(boot / NS_PER_SEC);
    page.nsec = (uint32_t)(boot % NS_PER_SEC);
    write_versioned(soft, gpa, &page, sizeof(page), 2);
}

/* ---- stopped and running ---- */

/* mutex held. */
static void resume(SoftAccel *soft, uint8_t flags)
{
    uint64_t now = common_tsc(soft);

    soft->clock_tsc = now;
    __atomic_store_n(&soft->stopped, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < soft->vcpus->len; i++) {
        SoftVcpu *sv = soft->vcpus->pdata[i];

        soft_cpu_set_tsc_offset(sv->cpu, sv->stopped_tsc - now);
        write_page(sv, flags);
    }
}

void soft_clock_resume(SoftAccel *soft)
{
    if (G_LIKELY(!__atomic_load_n(&soft->stopped, __ATOMIC_ACQUIRE))) {
        return;
    }
    pthread_mutex_lock(&soft->mutex);
    if (soft->stopped) {
        resume(soft, 0);
    }
    pthread_mutex_unlock(&soft->mutex);
}

bool soft_clock_get(Accel *accel, uint64_t *kvmclock_ns, GError **error)
{
    SoftAccel *soft = soft_of(accel);
    uint64_t now;

    pthread_mutex_lock(&soft->mutex);
    if (!soft->stopped) {
        now = common_tsc(soft);
        soft->clock_ns += scale(soft, now - soft->clock_tsc);
        for (unsigned i = 0; i < soft->vcpus->len; i++) {
            SoftVcpu *sv = soft->vcpus->pdata[i];

            sv->stopped_tsc = now + soft_cpu_tsc_offset(sv->cpu);
        }
        soft->count.asleep_since = 0; /* the sleep of the guest does not go on */
        __atomic_store_n(&soft->stopped, true, __ATOMIC_RELEASE);
    }
    *kvmclock_ns = soft->clock_ns;
    pthread_mutex_unlock(&soft->mutex);
    return true;
}

/* The flag tells the guest's watchdogs that it was stopped. */
bool soft_clock_set(Accel *accel, uint64_t kvmclock_ns, GError **error)
{
    SoftAccel *soft = soft_of(accel);
    uint64_t same;

    soft_clock_get(accel, &same, NULL); /* time stands still in between, if it did not already */
    pthread_mutex_lock(&soft->mutex);
    soft->clock_ns = kvmclock_ns;
    resume(soft, PVCLOCK_GUEST_STOPPED);
    pthread_mutex_unlock(&soft->mutex);
    return true;
}

void soft_clock_init(SoftAccel *soft)
{
    soft->tsc_khz = soft->count.on ? COUNTED_KHZ : host_tsc_khz();
    soft->tsc_stable = soft->count.on || host_tsc_is_invariant();
    soft->stopped = true;
    choose_scale(soft);
}

/* ---- MSRs ---- */

bool soft_clock_msr_read(SoftVcpu *sv, uint32_t index, uint64_t *ret_value)
{
    if (sv->soft->count.on) {
        return false;
    }
    switch (index) {
    case MSR_WALL_CLOCK_OLD:
    case MSR_WALL_CLOCK:
        *ret_value = __atomic_load_n(&sv->soft->wall_clock, __ATOMIC_RELAXED);
        return true;
    case MSR_SYSTEM_TIME_OLD:
    case MSR_SYSTEM_TIME:
        *ret_value = sv->system_time;
        return true;
    default:
        return false;
    }
}

bool soft_clock_msr_write(SoftVcpu *sv, uint32_t index, uint64_t value)
{
    if (sv->soft->count.on) {
        return false;
    }
    switch (index) {
    case MSR_WALL_CLOCK_OLD:
    case MSR_WALL_CLOCK:
        __atomic_store_n(&sv->soft->wall_clock, value, __ATOMIC_RELAXED);
        write_wall_clock(sv->soft, value);
        return true;
    case MSR_SYSTEM_TIME_OLD:
    case MSR_SYSTEM_TIME:
        pthread_mutex_lock(&sv->soft->mutex);
        sv->system_time = value;
        write_page(sv, 0);
        pthread_mutex_unlock(&sv->soft->mutex);
        return true;
    default:
        return false;
    }
}

void soft_clock_tsc_set(SoftVcpu *sv)
{
    pthread_mutex_lock(&sv->soft->mutex);
    write_page(sv, 0);
    pthread_mutex_unlock(&sv->soft->mutex);
}

/* ---- saved state ---- */

static void save_msr(X86Cpu *cpu, uint32_t index, uint64_t value)
{
    if (value) {
        x86_cpu_set_msr(cpu, index, value);
    } else if (x86_cpu_msr(cpu, index)) {
        *x86_cpu_msr(cpu, index) = 0;
    }
}

static uint64_t load_msr(const X86Cpu *cpu, uint32_t index)
{
    const uint64_t *value = x86_cpu_msr((X86Cpu *)cpu, index);

    return value ? *value : 0;
}

void soft_clock_save(SoftVcpu *sv, X86Cpu *cpu)
{
    save_msr(cpu, MSR_TSC, soft_clock_tsc(sv));
    save_msr(cpu, MSR_WALL_CLOCK, __atomic_load_n(&sv->soft->wall_clock, __ATOMIC_RELAXED));
    save_msr(cpu, MSR_SYSTEM_TIME, sv->system_time);
    for (unsigned i = 0; i < SOFT_KVM_MSRS; i++) {
        save_msr(cpu, SOFT_KVM_MSR_FIRST + i, sv->kvm_msr[i]);
    }
}

static void read_offset(Vcpu *vcpu, void *ret)
{
    *(uint64_t *)ret = soft_cpu_tsc_offset(soft_vcpu_of(vcpu)->cpu);
}

/* A reset one starts at 0, that is, with those that were reset with it; one that was plugged in has to be in step with
 * those that run, or the guest takes its TSCs for broken.  KVM does the same. */
static void start_tsc(SoftVcpu *sv, uint64_t tsc)
{
    SoftAccel *soft = sv->soft;
    const SoftVcpu *first = soft->vcpus->pdata[0];
    bool follow = !tsc && first != sv, stopped;
    uint64_t offset;

    pthread_mutex_lock(&soft->mutex);
    stopped = soft->stopped;
    sv->stopped_tsc = follow && stopped ? first->stopped_tsc : tsc;
    pthread_mutex_unlock(&soft->mutex);
    if (stopped) {
        return;
    }
    if (follow) {
        vcpu_call(first->vcpu, read_offset, &offset);
        soft_cpu_set_tsc_offset(sv->cpu, offset);
    } else {
        soft_cpu_set_tsc(sv->cpu, tsc);
    }
}

void soft_clock_load(SoftVcpu *sv, const X86Cpu *cpu)
{
    SoftAccel *soft = sv->soft;

    start_tsc(sv, load_msr(cpu, MSR_TSC));
    pthread_mutex_lock(&soft->mutex);
    sv->system_time = load_msr(cpu, MSR_SYSTEM_TIME);
    for (unsigned i = 0; i < SOFT_KVM_MSRS; i++) {
        sv->kvm_msr[i] = load_msr(cpu, SOFT_KVM_MSR_FIRST + i);
    }
    pthread_mutex_unlock(&soft->mutex);
    if (sv->vcpu->index == 0) {
        __atomic_store_n(&soft->wall_clock, load_msr(cpu, MSR_WALL_CLOCK), __ATOMIC_RELAXED);
    }
}
