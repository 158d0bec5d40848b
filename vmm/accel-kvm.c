/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM: opening the device, checking what the kernel can do, making a VM and its
 * interrupt controllers.  Main thread.
 *
 * Left out: kernel-irqchip=off (there is no local APIC outside the kernel to go
 * with it), Hyper-V and Xen interfaces.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/host.h"

/* Three pages for the real-mode TSS and one for the identity map that hosts without unrestricted
 * guests need; machines reserve [0xfeffc000, 0xff000000) in the E820 map. */
#define IDENTITY_MAP UINT64_C(0xfeffc000)
#define TSS_ADDRESS  0xfeffd000ul

#define MCE_BANKS 10
#define MCG_CTL_P (UINT64_C(1) << 8)
#define MCG_SER_P (UINT64_C(1) << 24)

typedef struct Requirement {
    unsigned capability;
    const char *name;
} Requirement;

static const Requirement required[] = {
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
    { KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "KVM_CAP_DESTROY_MEMORY_REGION_WORKS" },
    { KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM" },
    { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
    { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
    { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
    { KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS" },
    { KVM_CAP_XSAVE, "KVM_CAP_XSAVE" },
    { KVM_CAP_XCRS, "KVM_CAP_XCRS" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
    { KVM_CAP_ENABLE_CAP_VM, "KVM_CAP_ENABLE_CAP_VM" },
    { KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
    { KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
    { KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
    { KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
    { KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
    { KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
    { KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK" },
    { KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR" },
};

enum { NOTIFY_RUN, NOTIFY_INTERNAL_ERROR, NOTIFY_DISABLE };

static const FieldEnum irqchip_enum = {
    .name = "KernelIrqchip", .values = (const char *const[]) { "auto", "on", "split", NULL }
};
static const FieldEnum notify_enum = {
    .name = "NotifyVmexit", .values = (const char *const[]) { "run", "internal-error", "disable", NULL }
};

static const FieldStruct kvm_options = {
    .name = "KvmOptions", .size = sizeof(KvmOptions), .help = "Options of -accel kvm",
    .fields = (const Field[]) {
        F_STR("device", KvmOptions, device, "/dev/kvm", .help = "the KVM device"),
        F_ENUM("kernel-irqchip", KvmOptions, kernel_irqchip, &irqchip_enum, IRQCHIP_AUTO,
               .help = "interrupt controllers in the kernel: all, or the local APIC only (split)"),
        F_UINT("dirty-ring-size", KvmOptions, dirty_ring_size, 0, .min = 0, .max = 65536,
               .help = "entries of each vCPU's ring of dirty pages, a power of two; 0: bitmaps"),
        F_SIZE("kvm-shadow-mem", KvmOptions, shadow_mem, 0, FIELD_HAS(KvmOptions, has_shadow_mem),
               .help = "memory for shadow page tables"),
        F_ENUM("notify-vmexit", KvmOptions, notify_vmexit, &notify_enum, NOTIFY_RUN,
               .help = "when a vCPU takes no interrupt for too long: go on, stop the domain, or do not look"),
        F_UINT("notify-window", KvmOptions, notify_window, 0,
               .help = "how long that is, in TSC ticks above the CPU's own"),
        FIELD_END
    },
};

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
    int r;

    do {
        r = ioctl(fd, request, argument);
    } while (r < 0 && errno == EINTR);
    return r;
}

int kvm_check(const Kvm *kvm, unsigned capability)
{
    int r = kvm_ioctl(kvm->vm, KVM_CHECK_EXTENSION, (void *)(uintptr_t)capability);

    return r < 0 ? 0 : r;
}

int kvm_enable(int fd, unsigned capability, uint64_t arg0, uint64_t arg1)
{
    struct kvm_enable_cap cap = { .cap = capability, .args = { arg0, arg1 } };

    return kvm_ioctl(fd, KVM_ENABLE_CAP, &cap);
}

void kvm_fail(Kvm *kvm, const char *fmt, ...)
{
    char *none = NULL, *message;
    va_list ap;

    va_start(ap, fmt);
    message = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (!__atomic_compare_exchange_n(&kvm->failure, &none, message, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        g_free(message); /* the first one is the cause */
        return;
    }
    pthread_mutex_lock(&kvm->gate_mutex);
    for (unsigned i = 0; i < kvm->vcpus->len; i++) {
        kvm_vcpu_kick(((KvmVcpu *)kvm->vcpus->pdata[i])->vcpu);
    }
    pthread_mutex_unlock(&kvm->gate_mutex);
}

/* The device's descriptor, or -1 and a sentence with the way out. */
static int device_open(const char *path, GError **error)
{
    int fd = host_open(path, O_RDWR, 0, NULL);
    int version;

    if (fd < 0) {
        int err = errno;

        error_set_errno(error, err, "cannot open %s", path);
        if (err == ENOENT || err == ENODEV || err == ENXIO) {
            error_hint(error, "Load the kernel module kvm-intel or kvm-amd, and see that virtualization is enabled in "
                              "the firmware of this host; or use '-accel tcg'.");
        } else if (err == EACCES || err == EPERM) {
            error_hint(error, "Add your user to the group 'kvm', or run as root.");
        }
        return -1;
    }
    version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);
    if (version != KVM_API_VERSION) {
        error_set(error, "%s is not a KVM device of API version %d", path, KVM_API_VERSION);
        error_hint(error, "Use /dev/kvm.");
        close(fd);
        return -1;
    }
    return fd;
}

static bool check_required(int fd, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(required); i++) {
        if (kvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)required[i].capability) <= 0) {
            error_set_class(error, ERROR_KVM_MISSING_CAP, "this host's KVM has no %s", required[i].name);
            return error_hint(error, "Use a newer host kernel.");
        }
    }
    return true;
}

static void kvm_probe(AccelProbe *ret)
{
    g_autoptr(GError) error = NULL;
    int fd = device_open("/dev/kvm", &error);

    ret->usable = fd >= 0 && check_required(fd, &error);
    ret->reason = error ? error_text(error) : NULL;
    if (fd >= 0) {
        close(fd);
    }
}

static void read_capabilities(Kvm *kvm)
{
    int xsave2 = kvm_check(kvm, KVM_CAP_XSAVE2);
    int mce = kvm_check(kvm, KVM_CAP_MCE);
    int vcpus = kvm_check(kvm, KVM_CAP_MAX_VCPUS);

    kvm->slots_max = kvm_check(kvm, KVM_CAP_NR_MEMSLOTS);
    kvm->slots_max = kvm->slots_max ? kvm->slots_max : 32;
    kvm->gsis_max = kvm_check(kvm, KVM_CAP_IRQ_ROUTING);
    kvm->vcpus_max = vcpus ? vcpus : 4;
    kvm->xsave_size = MAX(xsave2, 4096);
    kvm->coalesced_pio = kvm_check(kvm, KVM_CAP_COALESCED_PIO);
    kvm->any_length_doorbells = kvm_check(kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH);
    kvm->sregs2 = kvm_check(kvm, KVM_CAP_SREGS2);
    kvm->smm = kvm_check(kvm, KVM_CAP_X86_SMM) && kvm_check(kvm, KVM_CAP_MULTI_ADDRESS_SPACE) >= KVM_SPACES;
    kvm->tsc_control = kvm_check(kvm, KVM_CAP_TSC_CONTROL);
    kvm->stats_fd = kvm_check(kvm, KVM_CAP_BINARY_STATS_FD);
    kvm->step_control = (uint32_t)kvm_check(kvm, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ;
    if (mce > 0 && kvm_ioctl(kvm->fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &kvm->mce_capabilities) == 0) {
        kvm->mce_banks = MIN(mce, MCE_BANKS);
        kvm->mce_capabilities = (kvm->mce_capabilities & (MCG_CTL_P | MCG_SER_P)) | kvm->mce_banks;
    }
}

/* What is worth having and off by default; a kernel that refuses goes without. */
static void enable_capabilities(Kvm *kvm)
{
    kvm->payload = kvm_enable(kvm->vm, KVM_CAP_EXCEPTION_PAYLOAD, 1, 0) == 0;
    kvm->triple_fault = kvm_enable(kvm->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1, 0) == 0;
    /* Accesses to MSRs that KVM does not know come to us, to be logged and refused with #GP.
     * KVM_CAP_EXIT_ON_EMULATION_FAILURE stays off: with it, a program in the guest's user mode could
     * stop the domain; without it such a failure is #UD there, and an exit in kernel mode. */
    kvm_enable(kvm->vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN, 0);
    if (kvm->options.notify_vmexit != NOTIFY_DISABLE) {
        uint64_t flags = KVM_X86_NOTIFY_VMEXIT_ENABLED;

        flags |= kvm->options.notify_vmexit == NOTIFY_INTERNAL_ERROR ? KVM_X86_NOTIFY_VMEXIT_USER : 0;
        kvm_enable(kvm->vm, KVM_CAP_X86_NOTIFY_VMEXIT, (uint64_t)kvm->options.notify_window << 32 | flags, 0);
    }
}

static bool vm_create(Kvm *kvm, GError **error)
{
    uint64_t identity = IDENTITY_MAP;

    kvm->vm = kvm_ioctl(kvm->fd, KVM_CREATE_VM, NULL);
    if (kvm->vm < 0) {
        int err = errno;

        error_set_errno(error, err, "cannot create a VM with %s", kvm->options.device);
        if (err == EBUSY) {
            error_hint(error, "Another hypervisor holds this host's virtualization; stop it.");
        }
        return false;
    }
    if (kvm_ioctl(kvm->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
        kvm_ioctl(kvm->vm, KVM_SET_TSS_ADDR, (void *)TSS_ADDRESS) < 0) {
        return error_set_errno(error, errno, "cannot place KVM's pages for real mode");
    }
    if (kvm->options.has_shadow_mem &&
        kvm_ioctl(kvm->vm, KVM_SET_NR_MMU_PAGES, (void *)(uintptr_t)(kvm->options.shadow_mem / GUEST_PAGE_SIZE)) < 0) {
        return error_set_errno(error, errno, "cannot use 'kvm-shadow-mem'");
    }
    return true;
}

static void kvm_close(Accel *accel)
{
    Kvm *kvm = kvm_of(accel);

    kvm_memory_finish(kvm);
    kvm_fabric_free(kvm);
    g_hash_table_unref(kvm->unplugged);
    kvm_debug_free(kvm);
    if (kvm->vm >= 0) {
        close(kvm->vm);
    }
    close(kvm->fd);
    if (kvm->msrs) {
        g_array_unref(kvm->msrs);
    }
    g_ptr_array_unref(kvm->vcpus);
    pthread_cond_destroy(&kvm->gate_cond);
    pthread_mutex_destroy(&kvm->gate_mutex);
    pthread_mutex_destroy(&kvm->coalesced_mutex);
    g_free(kvm->options.device);
    g_free(kvm->failure);
    g_free(kvm);
}

static Accel *kvm_open(Domain *domain, const void *options, GError **error)
{
    const KvmOptions *o = options;
    int fd = device_open(o->device, error);
    Kvm *kvm;
    int run_size;

    if (fd < 0) {
        return NULL;
    }
    if (!check_required(fd, error)) {
        close(fd);
        return NULL;
    }
    kvm = g_new0(Kvm, 1);
    kvm->accel = (Accel) { &accel_kvm_class, domain };
    kvm->options = *o;
    kvm->options.device = g_strdup(o->device);
    kvm->fd = fd;
    kvm->vm = -1;
    kvm->vcpus = g_ptr_array_new();
    kvm->unplugged = g_hash_table_new_full(NULL, NULL, NULL, kvm_vcpu_free);
    pthread_mutex_init(&kvm->gate_mutex, NULL);
    pthread_cond_init(&kvm->gate_cond, NULL);
    pthread_mutex_init(&kvm->coalesced_mutex, NULL);
    kvm_memory_init(kvm);
    kvm_debug_init(kvm);
    run_size = kvm_ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    kvm->run_size = MAX(run_size, (int)sizeof(struct kvm_run));
    kvm_request_amx(kvm);
    if (!vm_create(kvm, error)) {
        kvm_close(&kvm->accel);
        return NULL;
    }
    read_capabilities(kvm);
    enable_capabilities(kvm);
    if (!kvm_dirty_init(kvm, error)) {
        kvm_close(&kvm->accel);
        return NULL;
    }
    kvm_memory_listen(kvm);
    return &kvm->accel;
}

static bool create_whole_irqchip(Kvm *kvm, GError **error)
{
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

    if (kvm_ioctl(kvm->vm, KVM_CREATE_IRQCHIP, NULL) < 0) {
        error_set_errno(error, errno, "cannot create KVM's interrupt controllers");
        return error_hint(error, "Use kernel-irqchip=split.");
    }
    if (kvm_ioctl(kvm->vm, KVM_CREATE_PIT2, &pit) < 0) {
        return error_set_errno(error, errno, "cannot create KVM's interval timer");
    }
    kvm->has_pit = true;
    return true;
}

static bool kvm_setup(Accel *accel, IrqchipMode mode, GError **error)
{
    Kvm *kvm = kvm_of(accel);

    mode = mode != IRQCHIP_AUTO ? mode : (IrqchipMode)kvm->options.kernel_irqchip;
    kvm->irqchip = mode == IRQCHIP_AUTO ? IRQCHIP_ON : mode;
    switch (kvm->irqchip) {
    case IRQCHIP_ON:
        if (!create_whole_irqchip(kvm, error)) {
            return false;
        }
        break;
    case IRQCHIP_SPLIT:
        if (kvm_enable(kvm->vm, KVM_CAP_SPLIT_IRQCHIP, IRQ_GSIS, 0) < 0) {
            error_set_errno(error, errno, "kernel-irqchip=split: this host's KVM cannot split its controllers");
            return error_hint(error, "Use kernel-irqchip=on.");
        }
        break;
    default:
        error_set(error, "kernel-irqchip=off is not supported: KVM's vCPUs need the kernel's local APIC");
        return error_hint(error, "Use kernel-irqchip=split or on.");
    }
    /* APIC ids above 254 need it; old kernels have neither. */
    kvm_enable(kvm->vm, KVM_CAP_X2APIC_API,
               KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK, 0);
    if (kvm_check(kvm, KVM_CAP_SET_BOOT_CPU_ID) && kvm_ioctl(kvm->vm, KVM_SET_BOOT_CPU_ID, NULL) < 0) {
        return error_set_errno(error, errno, "cannot make vCPU 0 the bootstrap processor");
    }
    return kvm_fabric_create(kvm, error);
}

static IrqFabric *kvm_get_fabric(Accel *accel)
{
    return kvm_of(accel)->fabric;
}

static IrqchipMode kvm_irqchip(const Accel *accel)
{
    return ((const Kvm *)accel)->irqchip;
}

static unsigned kvm_max_vcpus(const Accel *accel)
{
    return ((const Kvm *)accel)->vcpus_max;
}

static bool kvm_can_log_dirty(Accel *accel)
{
    return true;
}

static void kvm_set_eoi_handler(Accel *accel, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
    Kvm *kvm = kvm_of(accel);

    kvm->eoi_opaque = opaque;
    kvm->eoi = eoi;
}

const AccelClass accel_kvm_class = {
    .name = "kvm", .type_name = "kvm-accel", .desc = "hardware virtualization, by the host's kernel",
    .options = &kvm_options,
    .probe = kvm_probe, .open = kvm_open, .close = kvm_close, .setup = kvm_setup,
    .fabric = kvm_get_fabric, .irqchip = kvm_irqchip, .max_vcpus = kvm_max_vcpus,
    .supported_cpuid = kvm_supported_cpuid, .supported_msr_features = kvm_supported_msr_features,
    .vcpu_create = kvm_vcpu_create, .vcpu_destroy = kvm_vcpu_destroy, .vcpu_begin = kvm_vcpu_begin,
    .vcpu_set_cpuid = kvm_vcpu_set_cpuid, .run = kvm_vcpu_run, .kick = kvm_vcpu_kick,
    .fetch = kvm_fetch, .store = kvm_store, .tsc_khz = kvm_tsc_khz, .tsc_fits = kvm_tsc_fits,
    .nmi = kvm_nmi, .smi = kvm_smi, .set_smm_space = kvm_set_smm_space,
    .dirty_log = kvm_can_log_dirty, .clock_get = kvm_clock_get, .clock_set = kvm_clock_set,
    .chip_get = kvm_chip_get, .chip_set = kvm_chip_set, .set_eoi_handler = kvm_set_eoi_handler,
    .set_extint = kvm_set_extint, .set_breakpoints = kvm_set_breakpoints, .stats = kvm_stats,
};
