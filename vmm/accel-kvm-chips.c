/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chips that KVM holds (PIC, IOAPIC, PIT), kvmclock, NMI and SMI: between
 * KVM's structures and the portable ones of vmm/x86/chips.h.  Main thread, vCPUs
 * parked, but for NMI and SMI (any thread).
 *
 * KVM counts the PIT from the moment its state is set: the phase within a period
 * is not restored.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "vmm/x86/chips.h"

#define MSI_ADDRESS UINT64_C(0xfee00000)
#define DELIVER_SMI 0x200
#define DELIVER_NMI 0x400

static int64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static void pic_from_kvm(I8259State *s, const struct kvm_pic_state *k)
{
    *s = (I8259State) {
        .irr = k->irr, .imr = k->imr, .isr = k->isr, .inputs = k->last_irr, .highest = k->priority_add,
        .vector_base = k->irq_base, .init_step = k->init_state, .elcr = k->elcr, .icw4_needed = k->init4,
        .read_isr = k->read_reg_select, .poll = k->poll, .special_mask = k->special_mask, .auto_eoi = k->auto_eoi,
        .rotate_on_auto_eoi = k->rotate_on_auto_eoi, .special_fully_nested = k->special_fully_nested_mode,
    };
}

static void pic_to_kvm(struct kvm_pic_state *k, const I8259State *s, bool master)
{
    *k = (struct kvm_pic_state) {
        .last_irr = s->inputs, .irr = s->irr, .imr = s->imr, .isr = s->isr, .priority_add = s->highest,
        .irq_base = s->vector_base, .read_reg_select = s->read_isr, .poll = s->poll, .special_mask = s->special_mask,
        .init_state = s->init_step, .auto_eoi = s->auto_eoi, .rotate_on_auto_eoi = s->rotate_on_auto_eoi,
        .special_fully_nested_mode = s->special_fully_nested, .init4 = s->icw4_needed, .elcr = s->elcr,
        .elcr_mask = master ? 0xf8 : 0xde, /* inputs that can be level triggered */
    };
}

static void ioapic_from_kvm(IoapicState *s, const struct kvm_ioapic_state *k)
{
    *s = (IoapicState) { .base = k->base_address, .select = k->ioregsel, .id = k->id, .irr = k->irr, .inputs = k->irr };
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        s->redirection[i] = k->redirtbl[i].bits;
    }
}

static void ioapic_to_kvm(struct kvm_ioapic_state *k, const IoapicState *s)
{
    *k = (struct kvm_ioapic_state) { .base_address = s->base, .ioregsel = s->select, .id = s->id, .irr = s->irr };
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        k->redirtbl[i].bits = s->redirection[i];
    }
}

static void pit_from_kvm(I8254State *s, const struct kvm_pit_state2 *k, int64_t clock_minus_monotonic)
{
    *s = (I8254State) {
        .speaker = k->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON, .irq_disabled = k->flags & KVM_PIT_FLAGS_HPET_LEGACY
    };
    for (unsigned i = 0; i < 3; i++) {
        const struct kvm_pit_channel_state *c = &k->channels[i];

        s->channel[i] = (I8254Channel) {
            .count = c->count, .latched_count = c->latched_count, .count_latched = c->count_latched,
            .status = c->status, .write_latch = c->write_latch, .status_latched = c->status_latched,
            .read_state = c->read_state, .write_state = c->write_state, .access = c->rw_mode, .mode = c->mode,
            .bcd = c->bcd, .gate = c->gate, .loaded_ns = c->count_load_time + clock_minus_monotonic,
        };
    }
}

static void pit_to_kvm(struct kvm_pit_state2 *k, const I8254State *s, int64_t clock_minus_monotonic)
{
    *k = (struct kvm_pit_state2) {
        .flags = (s->speaker ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0) | (s->irq_disabled ? KVM_PIT_FLAGS_HPET_LEGACY : 0)
    };
    for (unsigned i = 0; i < 3; i++) {
        const I8254Channel *c = &s->channel[i];

        k->channels[i] = (struct kvm_pit_channel_state) {
            .count = c->count, .latched_count = c->latched_count, .count_latched = c->count_latched,
            .status_latched = c->status_latched, .status = c->status, .read_state = c->read_state,
            .write_state = c->write_state, .write_latch = c->write_latch, .rw_mode = c->access, .mode = c->mode,
            .bcd = c->bcd, .gate = c->gate, .count_load_time = c->loaded_ns - clock_minus_monotonic,
        };
    }
}

static int64_t clock_minus_monotonic(const Kvm *kvm)
{
    return clock_ns(domain_clock(kvm->accel.domain)) - monotonic_ns();
}

static const unsigned irqchip_of[ACCEL_CHIPS] = {
    [ACCEL_PIC_MASTER] = KVM_IRQCHIP_PIC_MASTER,
    [ACCEL_PIC_SLAVE] = KVM_IRQCHIP_PIC_SLAVE,
    [ACCEL_IOAPIC] = KVM_IRQCHIP_IOAPIC,
};

bool kvm_chip_get(Accel *accel, AccelChip chip, void *state, GError **error)
{
    Kvm *kvm = kvm_of(accel);
    struct kvm_irqchip irqchip = { .chip_id = irqchip_of[chip] };
    struct kvm_pit_state2 pit;

    if (chip == ACCEL_PIT) {
        if (kvm_ioctl(kvm->vm, KVM_GET_PIT2, &pit) < 0) {
            return error_set_errno(error, errno, "cannot read KVM's interval timer");
        }
        pit_from_kvm(state, &pit, clock_minus_monotonic(kvm));
        return true;
    }
    if (kvm_ioctl(kvm->vm, KVM_GET_IRQCHIP, &irqchip) < 0) {
        return error_set_errno(error, errno, "cannot read KVM's interrupt controller");
    }
    if (chip == ACCEL_IOAPIC) {
        ioapic_from_kvm(state, &irqchip.chip.ioapic);
    } else {
        pic_from_kvm(state, &irqchip.chip.pic);
    }
    return true;
}

bool kvm_chip_set(Accel *accel, AccelChip chip, const void *state, GError **error)
{
    Kvm *kvm = kvm_of(accel);
    struct kvm_irqchip irqchip = { .chip_id = irqchip_of[chip] };
    struct kvm_pit_state2 pit;

    if (chip == ACCEL_PIT) {
        pit_to_kvm(&pit, state, clock_minus_monotonic(kvm));
        kvm->pit_saved = false; /* what a pause had kept is out of date */
        if (kvm_ioctl(kvm->vm, KVM_SET_PIT2, &pit) < 0) {
            return error_set_errno(error, errno, "cannot set KVM's interval timer");
        }
        return true;
    }
    if (chip == ACCEL_IOAPIC) {
        ioapic_to_kvm(&irqchip.chip.ioapic, state);
    } else {
        pic_to_kvm(&irqchip.chip.pic, state, chip == ACCEL_PIC_MASTER);
    }
    if (kvm_ioctl(kvm->vm, KVM_SET_IRQCHIP, &irqchip) < 0) {
        return error_set_errno(error, errno, "cannot set KVM's interrupt controller");
    }
    return true;
}

/* HPET legacy replacement: the PIT counts, but drives no interrupt. */
void kvm_pit_legacy(Kvm *kvm, bool on)
{
    struct kvm_pit_state2 pit;

    if (!kvm->has_pit || kvm_ioctl(kvm->vm, KVM_GET_PIT2, &pit) < 0) {
        return;
    }
    pit.flags = (pit.flags & ~KVM_PIT_FLAGS_HPET_LEGACY) | (on ? KVM_PIT_FLAGS_HPET_LEGACY : 0);
    if (kvm_ioctl(kvm->vm, KVM_SET_PIT2, &pit) < 0) {
        kvm_fail(kvm, "cannot switch the interval timer's interrupt: %s", g_strerror(errno));
    }
}

/* What is saved later is to agree with kvmclock. */
static void keep_tscs(Kvm *kvm)
{
    pthread_mutex_lock(&kvm->gate_mutex);
    for (unsigned i = 0; i < kvm->vcpus->len; i++) {
        KvmVcpu *kv = kvm->vcpus->pdata[i];

        kv->tsc_stopped = kvm_get_tsc(kv, &kv->stopped_tsc);
    }
    pthread_mutex_unlock(&kvm->gate_mutex);
}

/* A pause: the PIT is kept too, for it goes on in the kernel and would hand every tick in later. */
bool kvm_clock_get(Accel *accel, uint64_t *kvmclock_ns, GError **error)
{
    Kvm *kvm = kvm_of(accel);
    struct kvm_clock_data data = { 0 };

    if (kvm_ioctl(kvm->vm, KVM_GET_CLOCK, &data) < 0) {
        return error_set_errno(error, errno, "cannot read kvmclock");
    }
    *kvmclock_ns = data.clock;
    keep_tscs(kvm);
    kvm->pit_saved = kvm->has_pit && kvm_ioctl(kvm->vm, KVM_GET_PIT2, &kvm->paused_pit) == 0;
    return true;
}

/* The flag KVM_CLOCK_REALTIME is not given: guest time stands still in a pause. */
bool kvm_clock_set(Accel *accel, uint64_t kvmclock_ns, GError **error)
{
    Kvm *kvm = kvm_of(accel);
    struct kvm_clock_data data = { .clock = kvmclock_ns };

    if (kvm_ioctl(kvm->vm, KVM_SET_CLOCK, &data) < 0) {
        return error_set_errno(error, errno, "cannot set kvmclock");
    }
    if (kvm->pit_saved && kvm_ioctl(kvm->vm, KVM_SET_PIT2, &kvm->paused_pit) < 0) {
        return error_set_errno(error, errno, "cannot set KVM's interval timer");
    }
    kvm->pit_saved = false;
    pthread_mutex_lock(&kvm->gate_mutex);
    for (unsigned i = 0; i < kvm->vcpus->len; i++) {
        KvmVcpu *kv = kvm->vcpus->pdata[i];

        kv->tsc_stopped = false;
        /* Tells the guest's watchdogs that it was stopped; EINVAL: it does not use kvmclock. */
        kvm_ioctl(kv->fd, KVM_KVMCLOCK_CTRL, NULL);
    }
    pthread_mutex_unlock(&kvm->gate_mutex);
    return true;
}

/* By a message to its local APIC, which needs no stop of the vCPU. */
static bool deliver(Vcpu *vcpu, uint32_t mode, const char *what, GError **error)
{
    struct kvm_msi msi = {
        .address_lo = (uint32_t)(MSI_ADDRESS | (vcpu->apic_id & 0xff) << 12), .address_hi = vcpu->apic_id & ~0xffu,
        .data = mode,
    };

    if (kvm_ioctl(kvm_vcpu_of(vcpu)->kvm->vm, KVM_SIGNAL_MSI, &msi) < 0) {
        return error_set_errno(error, errno, "cannot deliver %s to vCPU %u", what, vcpu->index);
    }
    return true;
}

bool kvm_nmi(Vcpu *vcpu, GError **error)
{
    return deliver(vcpu, DELIVER_NMI, "an NMI", error);
}

bool kvm_smi(Vcpu *vcpu, GError **error)
{
    if (!kvm_vcpu_of(vcpu)->kvm->smm) {
        return error_set(error, "this host's KVM has no system management mode");
    }
    return deliver(vcpu, DELIVER_SMI, "an SMI", error);
}
