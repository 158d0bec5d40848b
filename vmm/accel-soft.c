/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU as an accelerator: the class, its options, opening, what CPUID can
 * be.  Main thread.
 *
 * The guest sees KVM's signature and kvmclock with it, as under KVM, so that a saved
 * domain finds the same clock under either.
 */
#include "vmm/accel-soft.h"

#include <cpuid.h>
#include <string.h>

#include "vmm/epoch.h"
#include "vmm/log.h"

#define VCPUS_MAX 1024

#define LEAF1_ECX_SSE42        (1u << 20)
#define LEAF1_ECX_X2APIC       (1u << 21)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_XSAVE        (1u << 26)
#define LEAF1_ECX_OSXSAVE      (1u << 27)
#define LEAF1_ECX_RDRAND       (1u << 30)
#define LEAF1_ECX_HYPERVISOR   (1u << 31)
#define LEAF6_EAX_ARAT         (1u << 2)
#define LEAF7_EBX_RDSEED       (1u << 18)

/* KVM's paravirtual features, Linux Documentation/virt/kvm/x86/cpuid.rst */
#define KVM_PV_LEAF            0x40000001
#define PV_CLOCKSOURCE         (1u << 0)
#define PV_CLOCKSOURCE2        (1u << 3)
#define PV_CLOCKSOURCE_STABLE  (1u << 24)

enum { THREAD_MULTI, THREAD_SINGLE };

static const FieldEnum thread_enum = {
    .name = "TcgThread", .values = (const char *const[]) { "multi", "single", NULL }
};

static const FieldStruct soft_options = {
    .name = "TcgOptions", .size = sizeof(SoftOptions), .help = "Options of -accel tcg",
    .fields = (const Field[]) {
        F_ENUM("thread", SoftOptions, thread, &thread_enum, THREAD_MULTI, .help = "one host thread a vCPU: multi"),
        F_UINT("tb-size", SoftOptions, tb_size, 0, .max = 65536, .help = "room for decoded code, MiB; 0: as it suits"),
        F_BOOL("translate", SoftOptions, translate, true,
               .help = "make code of the host of the guest's; off: interpret"),
        FIELD_END
    },
};

static bool check_host(GError **error)
{
    unsigned need = LEAF1_ECX_SSE42 | LEAF1_ECX_XSAVE | LEAF1_ECX_OSXSAVE, eax, ebx, ecx, edx;

    __cpuid(1, eax, ebx, ecx, edx);
    return (ecx & need) == need || error_set(error, "this host's processor has no SSE4.2 or no XSAVE");
}

static void soft_probe(AccelProbe *ret)
{
    g_autoptr(GError) error = NULL;

    ret->usable = check_host(&error);
    ret->reason = error ? error_text(error) : NULL;
}

/* ---- -d in_asm,int,cpu,exec ---- */

static void trace_line(const char *text)
{
    log_category(log_on(LOG_IN_ASM) ? LOG_IN_ASM : log_on(LOG_INT) ? LOG_INT : log_on(LOG_CPU) ? LOG_CPU : LOG_EXEC,
                 "%s", text);
}

static void set_trace(SoftVm *vm)
{
    unsigned what = 0;

    what |= log_on(LOG_IN_ASM) ? SOFT_TRACE_ASM : 0;
    what |= log_on(LOG_INT) ? SOFT_TRACE_INT : 0;
    what |= log_on(LOG_CPU) ? SOFT_TRACE_CPU : 0;
    what |= log_on(LOG_EXEC) ? SOFT_TRACE_EXEC : 0;
    if (what) {
        soft_vm_set_trace(vm, what, trace_line);
    }
}

/* ---- life ---- */

static void soft_close(Accel *accel)
{
    SoftAccel *soft = soft_of(accel);

    soft_count_finish(soft);
    epoch_synchronize();
    soft_fabric_free(soft);
    lapic_bus_free(soft->bus);
    soft_vm_free(soft->vm);
    g_ptr_array_unref(soft->vcpus);
    pthread_mutex_destroy(&soft->mutex);
    g_free(soft);
}

static Accel *soft_open(Domain *domain, const void *options, GError **error)
{
    const SoftOptions *o = options;
    SoftAccel *soft;
    SoftVm *vm;

    if (o->thread == THREAD_SINGLE) {
        error_set(error, "thread=single is not supported: every vCPU has a host thread of its own");
        error_hint(error, "Leave 'thread' out.");
        return NULL;
    }
    if (!check_host(error)) {
        return NULL;
    }
    vm = soft_vm_new(domain_memory(domain), domain_ports(domain), o->tb_size << 20, o->translate, error);
    if (!vm) {
        return NULL;
    }
    if (o->translate && !soft_vm_translates(vm)) {
        log_warning("accelerator tcg interprets: there is no memory near the program for code of the host, or the "
                    "kernel lacks membarrier()");
    }
    soft = g_new0(SoftAccel, 1);
    soft->accel = (Accel) { &accel_soft_class, domain };
    soft->vm = vm;
    soft->vcpus = g_ptr_array_new();
    pthread_mutex_init(&soft->mutex, NULL);
    dma_space_init(&soft->ram, domain_memory(domain));
    dma_space_set_enabled(&soft->ram, true);
    soft->bus = lapic_bus_new(domain_loop(domain), domain_clock(domain), &soft_lapic_ops);
    soft_clock_init(soft);
    soft_fabric_create(soft);
    set_trace(vm);
    return &soft->accel;
}

static bool soft_setup(Accel *accel, IrqchipMode mode, GError **error)
{
    if (mode == IRQCHIP_ON || mode == IRQCHIP_SPLIT) {
        error_set(error, "kernel-irqchip=%s needs accelerator kvm: with tcg no interrupt controller is in the kernel",
                  mode == IRQCHIP_ON ? "on" : "split");
        return error_hint(error, "Leave 'kernel-irqchip' out.");
    }
    return true;
}

static IrqFabric *soft_get_fabric(Accel *accel)
{
    return soft_of(accel)->fabric;
}

static IrqchipMode soft_irqchip(const Accel *accel)
{
    return IRQCHIP_OFF;
}

static unsigned soft_max_vcpus(const Accel *accel)
{
    return VCPUS_MAX;
}

/* ---- CPUID ---- */

/* Counted time is for runs that can be repeated: no random numbers, no clock that is the host's. */
static void adjust_counted(X86Cpuid *leaf)
{
    if (leaf->leaf == 1) {
        leaf->ecx &= ~LEAF1_ECX_RDRAND;
    } else if (leaf->leaf == 7 && leaf->subleaf == 0) {
        leaf->ebx &= ~LEAF7_EBX_RDSEED;
    } else if (leaf->leaf == KVM_PV_LEAF) {
        leaf->eax &= ~(PV_CLOCKSOURCE | PV_CLOCKSOURCE2);
    }
}

static void adjust(const SoftAccel *soft, X86Cpuid *leaf)
{
    if (leaf->leaf == 1) {
        leaf->ecx |= LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE;
    } else if (leaf->leaf == 6 && leaf->subleaf == 0) {
        leaf->eax |= LEAF6_EAX_ARAT; /* the timer never stops */
    } else if (leaf->leaf == KVM_PV_LEAF && !soft->tsc_stable) {
        leaf->eax &= ~PV_CLOCKSOURCE_STABLE;
    }
    if (soft->count.on) {
        adjust_counted(leaf);
    }
}

static unsigned soft_cpuid_supported(Accel *accel, X86Cpuid *ret, unsigned max)
{
    unsigned n = soft_supported_cpuid(ret, max);
    bool has_leaf6 = false;

    for (unsigned i = 0; i < n; i++) {
        adjust(soft_of(accel), &ret[i]);
        has_leaf6 |= ret[i].leaf == 6;
    }
    if (!has_leaf6 && n < max) {
        ret[n++] = (X86Cpuid) { .leaf = 6, .eax = LEAF6_EAX_ARAT };
    }
    return n;
}

static uint64_t soft_msr_features(Accel *accel, uint32_t msr)
{
    return soft_supported_msr_feature(msr);
}

/* ---- the rest ---- */

static bool soft_set_smm_space(Accel *accel, AddressSpace *space, GError **error)
{
    soft_vm_set_smm(soft_of(accel)->vm, space);
    return true;
}

static bool soft_can_log_dirty(Accel *accel)
{
    return true;
}

static void soft_set_eoi_handler(Accel *accel, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
    lapic_bus_set_eoi(soft_of(accel)->bus, eoi, opaque);
}

static void soft_set_extint(Accel *accel, bool level, int (*acknowledge)(void *opaque), void *opaque)
{
    lapic_bus_set_extint(soft_of(accel)->bus, level, acknowledge, opaque);
}

const AccelClass accel_soft_class = {
    .name = "tcg", .type_name = "tcg-accel", .desc = "Lodge's own processor in software; needs nothing of the host",
    .tsc_frequency_kept = true, .options = &soft_options,
    .probe = soft_probe, .open = soft_open, .close = soft_close, .count = soft_count_init, .setup = soft_setup,
    .fabric = soft_get_fabric, .irqchip = soft_irqchip, .max_vcpus = soft_max_vcpus,
    .supported_cpuid = soft_cpuid_supported, .supported_msr_features = soft_msr_features,
    .vcpu_create = soft_vcpu_create, .vcpu_destroy = soft_vcpu_destroy, .vcpu_begin = soft_vcpu_begin,
    .vcpu_set_cpuid = soft_vcpu_set_cpuid, .run = soft_vcpu_run, .kick = soft_vcpu_kick,
    .fetch = soft_vcpu_fetch, .store = soft_vcpu_store, .tsc_khz = soft_tsc_khz, .tsc_fits = soft_tsc_fits,
    .nmi = soft_vcpu_nmi, .smi = soft_vcpu_smi, .set_smm_space = soft_set_smm_space,
    .dirty_log = soft_can_log_dirty, .clock_get = soft_clock_get, .clock_set = soft_clock_set,
    .set_eoi_handler = soft_set_eoi_handler, .set_extint = soft_set_extint,
    .set_breakpoints = soft_set_breakpoints, .stats = soft_stats,
};
