/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fake-accel.h.  Kicks are a flag per vCPU, consumed by the run() that they end,
 * as immediate_exit is.
 */
#include "tests/unit/fake-accel.h"

#include <cpuid.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/domain.h"
#include "vmm/epoch.h"
#include "vmm/error.h"

typedef struct FakeVcpu {
    bool kicked;
} FakeVcpu;

typedef struct FakeRoute {
    MsiRoute route;
    MsiMessage message;
    bool masked, pending;
    int fd;
} FakeRoute;

static FakeAccel *fake_of(Accel *accel)
{
    return (FakeAccel *)accel;
}

FakeAccel *fake_accel(Domain *domain)
{
    return fake_of(domain_accel(domain));
}

/* ---- fabric ---- */

static FakeAccel *of_fabric(IrqFabric *fabric)
{
    return (FakeAccel *)((uint8_t *)fabric - offsetof(FakeAccel, fabric));
}

static void fake_send(IrqFabric *fabric, MsiMessage message)
{
    FakeAccel *fake = of_fabric(fabric);

    pthread_mutex_lock(&fake->mutex);
    fake->msi.count++;
    fake->msi.last = message;
    pthread_mutex_unlock(&fake->mutex);
}

static MsiRoute *fake_route_new(IrqFabric *fabric, GError **error)
{
    FakeRoute *r = g_new0(FakeRoute, 1);

    r->masked = true;
    r->fd = -1;
    return &r->route;
}

static void fake_route_free(MsiRoute *route)
{
    FakeRoute *r = (FakeRoute *)route;

    if (r->fd >= 0) {
        close(r->fd);
    }
    g_free(r);
}

static void fake_route_set(MsiRoute *route, MsiMessage message, bool masked)
{
    FakeRoute *r = (FakeRoute *)route;

    r->message = message;
    __atomic_store_n(&r->masked, masked, __ATOMIC_RELEASE);
}

static void fake_routes_commit(IrqFabric *fabric)
{
}

static void fake_route_notify(MsiRoute *route)
{
    FakeRoute *r = (FakeRoute *)route;

    if (__atomic_load_n(&r->masked, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&r->pending, true, __ATOMIC_RELEASE);
    } else {
        fake_send(route->fabric, r->message);
    }
}

static bool fake_route_take_pending(MsiRoute *route)
{
    return __atomic_exchange_n(&((FakeRoute *)route)->pending, false, __ATOMIC_ACQ_REL);
}

static int fake_route_fd(MsiRoute *route, GError **error)
{
    FakeRoute *r = (FakeRoute *)route;

    if (r->fd < 0) {
        r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return r->fd;
}

static const IrqFabricOps fabric_ops = {
    .send = fake_send, .route_new = fake_route_new, .route_free = fake_route_free, .route_set = fake_route_set,
    .routes_commit = fake_routes_commit, .route_notify = fake_route_notify,
    .route_take_pending = fake_route_take_pending, .route_fd = fake_route_fd,
};

/* ---- the accelerator ---- */

static void fake_close(Accel *accel)
{
    FakeAccel *fake = fake_of(accel);

    irq_fabric_finish(&fake->fabric);
    pthread_cond_destroy(&fake->cond);
    pthread_mutex_destroy(&fake->mutex);
    g_free(fake);
}

static bool fake_setup(Accel *accel, IrqchipMode mode, GError **error)
{
    ((FakeAccel *)accel)->set_up = true;
    return true;
}

static IrqFabric *fake_fabric(Accel *accel)
{
    return &fake_of(accel)->fabric;
}

static IrqchipMode fake_irqchip(const Accel *accel)
{
    return ((const FakeAccel *)accel)->irqchip;
}

/* ---- chips ---- */

static void *chip_state(FakeAccel *fake, AccelChip chip, size_t *size)
{
    switch (chip) {
    case ACCEL_PIC_MASTER:
    case ACCEL_PIC_SLAVE:
        *size = sizeof(fake->pic[0]);
        return &fake->pic[chip - ACCEL_PIC_MASTER];
    case ACCEL_IOAPIC:
        *size = sizeof(fake->ioapic);
        return &fake->ioapic;
    default:
        *size = sizeof(fake->pit);
        return &fake->pit;
    }
}

static bool fake_chip_get(Accel *accel, AccelChip chip, void *state, GError **error)
{
    size_t size;
    const void *stored = chip_state(fake_of(accel), chip, &size);

    memcpy(state, stored, size);
    return true;
}

static bool fake_chip_set(Accel *accel, AccelChip chip, const void *state, GError **error)
{
    size_t size;
    void *stored = chip_state(fake_of(accel), chip, &size);

    memcpy(stored, state, size);
    return true;
}

static unsigned fake_max_vcpus(const Accel *accel)
{
    return 64;
}

static unsigned fake_supported_cpuid(Accel *accel, X86Cpuid *ret, unsigned max)
{
    static const uint32_t leaves[] = { 0, 1, 7, 0xd, 0x80000000, 0x80000001, 0x80000007, 0x80000008 };

    for (unsigned i = 0; i < G_N_ELEMENTS(leaves); i++) {
        ret[i].leaf = leaves[i];
        __cpuid_count(leaves[i], 0, ret[i].eax, ret[i].ebx, ret[i].ecx, ret[i].edx);
    }
    return G_N_ELEMENTS(leaves);
}

static uint64_t fake_msr_features(Accel *accel, uint32_t msr)
{
    return 0;
}

/* ---- vCPUs ---- */

static bool fake_vcpu_create(Accel *accel, Vcpu *vcpu, GError **error)
{
    vcpu->accel = g_new0(FakeVcpu, 1);
    return true;
}

static void fake_vcpu_destroy(Vcpu *vcpu)
{
    g_clear_pointer(&vcpu->accel, g_free);
}

static bool fake_vcpu_begin(Vcpu *vcpu, GError **error)
{
    return !fake_accel(vcpu->domain)->fail_begin || error_set(error, "this vCPU does not begin");
}

static bool fake_set_cpuid(Vcpu *vcpu, const X86Cpuid *cpuid, unsigned n, GError **error)
{
    return true;
}

static bool take_kick(FakeAccel *fake, FakeVcpu *fv)
{
    bool kicked;

    pthread_mutex_lock(&fake->mutex);
    kicked = fv->kicked;
    fv->kicked = false;
    pthread_mutex_unlock(&fake->mutex);
    return kicked;
}

static VcpuExit run_guest(FakeAccel *fake, Vcpu *vcpu)
{
    while (!take_kick(fake, vcpu->accel)) {
        fake->guest(vcpu, fake->opaque);
        epoch_quiescent();
    }
    return VCPU_EXIT_KICKED;
}

static VcpuExit fake_run(Vcpu *vcpu, GError **error)
{
    FakeAccel *fake = fake_accel(vcpu->domain);
    FakeVcpu *fv = vcpu->accel;
    VcpuExit why = VCPU_EXIT_KICKED;

    if (fake->guest) {
        return run_guest(fake, vcpu);
    }
    epoch_offline();
    pthread_mutex_lock(&fake->mutex);
    fake->runs++;
    fake->inside++;
    pthread_cond_broadcast(&fake->cond);
    while (!fv->kicked && fake->next_exit == VCPU_EXIT_KICKED) {
        pthread_cond_wait(&fake->cond, &fake->mutex);
    }
    if (!fv->kicked) {
        why = fake->next_exit;
        vcpu->stop = fake->next_stop;
        fake->next_exit = VCPU_EXIT_KICKED;
    }
    fv->kicked = false;
    fake->inside--;
    pthread_cond_broadcast(&fake->cond);
    pthread_mutex_unlock(&fake->mutex);
    epoch_online();
    if (why == VCPU_EXIT_FAILED) {
        error_set(error, "vCPU %u: asked by a test to fail", vcpu->index);
    }
    return why;
}

static void fake_kick(Vcpu *vcpu)
{
    FakeAccel *fake = fake_accel(vcpu->domain);

    pthread_mutex_lock(&fake->mutex);
    ((FakeVcpu *)vcpu->accel)->kicked = true;
    pthread_cond_broadcast(&fake->cond);
    pthread_mutex_unlock(&fake->mutex);
}

static bool fake_fetch(Vcpu *vcpu, GError **error)
{
    return !fake_accel(vcpu->domain)->fail_fetch || error_set(error, "asked by a test to fail");
}

static bool fake_store(Vcpu *vcpu, bool full, GError **error)
{
    FakeAccel *fake = fake_accel(vcpu->domain);

    pthread_mutex_lock(&fake->mutex);
    fake->stores++;
    pthread_mutex_unlock(&fake->mutex);
    return !fake->fail_store || error_set(error, "asked by a test to fail");
}

static bool fake_set_breakpoints(Vcpu *vcpu, const AccelBreakpoint *list, unsigned n, bool step, GError **error)
{
    FakeAccel *fake = fake_accel(vcpu->domain);

    fake->armed_count = fake->fail_breakpoints ? 0 : MIN(n, G_N_ELEMENTS(fake->armed));
    for (unsigned i = 0; i < fake->armed_count; i++) {
        fake->armed[i] = list[i];
    }
    fake->steps = (fake->steps & ~(1u << vcpu->index)) | (unsigned)step << vcpu->index;
    return !n || !fake->fail_breakpoints || error_set(error, "asked by a test to fail");
}

static bool fake_nmi(Vcpu *vcpu, GError **error)
{
    return true;
}

static bool fake_clock_get(Accel *accel, uint64_t *kvmclock_ns, GError **error)
{
    *kvmclock_ns = fake_of(accel)->kvmclock_ns;
    return true;
}

static bool fake_clock_set(Accel *accel, uint64_t kvmclock_ns, GError **error)
{
    fake_of(accel)->kvmclock_ns = kvmclock_ns;
    return true;
}

static void fake_set_eoi_handler(Accel *accel, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
}

static void fake_set_extint(Accel *accel, bool level, int (*acknowledge)(void *opaque), void *opaque)
{
}

static const AccelClass fake_class = {
    .name = "fake", .type_name = "fake-accel", .desc = "Runs nothing", .close = fake_close, .setup = fake_setup,
    .fabric = fake_fabric, .irqchip = fake_irqchip, .max_vcpus = fake_max_vcpus,
    .supported_cpuid = fake_supported_cpuid, .supported_msr_features = fake_msr_features,
    .vcpu_create = fake_vcpu_create, .vcpu_destroy = fake_vcpu_destroy, .vcpu_begin = fake_vcpu_begin,
    .vcpu_set_cpuid = fake_set_cpuid, .run = fake_run, .kick = fake_kick, .fetch = fake_fetch, .store = fake_store,
    .set_breakpoints = fake_set_breakpoints, .nmi = fake_nmi, .clock_get = fake_clock_get, .clock_set = fake_clock_set,
    .chip_get = fake_chip_get, .chip_set = fake_chip_set,
    .set_eoi_handler = fake_set_eoi_handler, .set_extint = fake_set_extint,
};

FakeAccel *fake_accel_new(Domain *domain)
{
    FakeAccel *fake = g_new0(FakeAccel, 1);

    fake->accel.class = &fake_class;
    fake->accel.domain = domain;
    fake->next_exit = VCPU_EXIT_KICKED;
    fake->irqchip = IRQCHIP_SPLIT;
    pthread_mutex_init(&fake->mutex, NULL);
    pthread_cond_init(&fake->cond, NULL);
    irq_fabric_init(&fake->fabric, &fabric_ops);
    domain_set_accel(domain, &fake->accel);
    return fake;
}

FakeMsi fake_accel_msi(Domain *domain)
{
    FakeAccel *fake = fake_accel(domain);
    FakeMsi msi;

    pthread_mutex_lock(&fake->mutex);
    msi = fake->msi;
    pthread_mutex_unlock(&fake->mutex);
    return msi;
}

void fake_accel_exit(Domain *domain, VcpuExit why)
{
    FakeAccel *fake = fake_accel(domain);

    pthread_mutex_lock(&fake->mutex);
    fake->next_exit = why;
    pthread_cond_broadcast(&fake->cond);
    pthread_mutex_unlock(&fake->mutex);
}

void fake_accel_wait_parked(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->mutex);
    while (!vcpu->parked) {
        pthread_cond_wait(&vcpu->cond, &vcpu->mutex);
    }
    pthread_mutex_unlock(&vcpu->mutex);
}
