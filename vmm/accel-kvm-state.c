/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers between KVM and X86Cpu.  The vCPU's thread, or any thread while it is
 * parked.
 *
 * Order of reading: the MP state first (KVM works off a pending INIT or SIPI then),
 * events next (they may hold an exception back), the rest after them.
 * Order of writing: special registers first (APIC base, EFER and modes decide how
 * the rest is taken), MSRs after XCR0 and XSAVE, the local APIC before the TSC
 * deadline (its timer mode says whether that is armed), events and MP state last.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LAPIC_ID      0x20
#define APIC_BASE_X2  (1u << 10)
#define XSAVE_BV      512
#define CR0_PG        (UINT64_C(1) << 31)
#define CR4_PAE       (1u << 5)
#define EFER_LMA      (1u << 10)

static bool failed(const KvmVcpu *kv, GError **error, const char *what)
{
    return error_set_errno(error, errno, "vCPU %u: KVM refuses %s", kv->vcpu->index, what);
}

/* ---- segments ---- */
static void segment_from_kvm(X86Segment *s, const struct kvm_segment *k)
{
    s->selector = k->selector;
    s->base = k->base;
    s->limit = k->limit;
    s->attributes = k->type | k->s << 4 | k->dpl << 5 | k->present << 7 | k->avl << 12 | k->l << 13 | k->db << 14 |
                    k->g << 15 | (k->unusable ? X86_SEG_UNUSABLE : 0);
}

static void segment_to_kvm(struct kvm_segment *k, const X86Segment *s)
{
    *k = (struct kvm_segment) {
        .base = s->base, .limit = s->limit, .selector = s->selector,
        .type = s->attributes & 15, .s = s->attributes >> 4 & 1, .dpl = s->attributes >> 5 & 3,
        .present = s->attributes >> 7 & 1, .avl = s->attributes >> 12 & 1, .l = s->attributes >> 13 & 1,
        .db = s->attributes >> 14 & 1, .g = s->attributes >> 15 & 1,
        .unusable = (s->attributes & X86_SEG_UNUSABLE) != 0,
    };
}

/* The two forms of special registers have their common part first, under the same names. */
#define SREGS_FROM_KVM(CPU, K) do { \
        segment_from_kvm(&(CPU)->segment[X86_ES], &(K)->es); \
        segment_from_kvm(&(CPU)->segment[X86_CS], &(K)->cs); \
        segment_from_kvm(&(CPU)->segment[X86_SS], &(K)->ss); \
        segment_from_kvm(&(CPU)->segment[X86_DS], &(K)->ds); \
        segment_from_kvm(&(CPU)->segment[X86_FS], &(K)->fs); \
        segment_from_kvm(&(CPU)->segment[X86_GS], &(K)->gs); \
        segment_from_kvm(&(CPU)->ldt, &(K)->ldt); \
        segment_from_kvm(&(CPU)->tr, &(K)->tr); \
        (CPU)->gdt = (X86Table) { (K)->gdt.base, (K)->gdt.limit }; \
        (CPU)->idt = (X86Table) { (K)->idt.base, (K)->idt.limit }; \
        (CPU)->cr0 = (K)->cr0; \
        (CPU)->cr2 = (K)->cr2; \
        (CPU)->cr3 = (K)->cr3; \
        (CPU)->cr4 = (K)->cr4; \
        (CPU)->cr8 = (K)->cr8; \
        (CPU)->efer = (K)->efer; \
        (CPU)->apic_base = (K)->apic_base; \
    } while (0)

#define SREGS_TO_KVM(K, CPU) do { \
        segment_to_kvm(&(K)->es, &(CPU)->segment[X86_ES]); \
        segment_to_kvm(&(K)->cs, &(CPU)->segment[X86_CS]); \
        segment_to_kvm(&(K)->ss, &(CPU)->segment[X86_SS]); \
        segment_to_kvm(&(K)->ds, &(CPU)->segment[X86_DS]); \
        segment_to_kvm(&(K)->fs, &(CPU)->segment[X86_FS]); \
        segment_to_kvm(&(K)->gs, &(CPU)->segment[X86_GS]); \
        segment_to_kvm(&(K)->ldt, &(CPU)->ldt); \
        segment_to_kvm(&(K)->tr, &(CPU)->tr); \
        (K)->gdt.base = (CPU)->gdt.base; \
        (K)->gdt.limit = (CPU)->gdt.limit; \
        (K)->idt.base = (CPU)->idt.base; \
        (K)->idt.limit = (CPU)->idt.limit; \
        (K)->cr0 = (CPU)->cr0; \
        (K)->cr2 = (CPU)->cr2; \
        (K)->cr3 = (CPU)->cr3; \
        (K)->cr4 = (CPU)->cr4; \
        (K)->cr8 = (CPU)->cr8; \
        (K)->efer = (CPU)->efer; \
        (K)->apic_base = (CPU)->apic_base; \
    } while (0)

static bool sregs_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    struct kvm_sregs2 s2;
    struct kvm_sregs s;

    cpu->pdptrs_valid = false;
    memset(cpu->pdptr, 0, sizeof(cpu->pdptr));
    if (!kv->kvm->sregs2) {
        if (kvm_ioctl(kv->fd, KVM_GET_SREGS, &s) < 0) {
            return failed(kv, error, "to give its special registers");
        }
        SREGS_FROM_KVM(cpu, &s);
        return true;
    }
    if (kvm_ioctl(kv->fd, KVM_GET_SREGS2, &s2) < 0) {
        return failed(kv, error, "to give its special registers");
    }
    SREGS_FROM_KVM(cpu, &s2);
    if (s2.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) {
        cpu->pdptrs_valid = true;
        memcpy(cpu->pdptr, s2.pdptrs, sizeof(cpu->pdptr));
    }
    return true;
}

static bool sregs_store(KvmVcpu *kv, const X86Cpu *cpu, GError **error)
{
    bool pae = (cpu->cr0 & CR0_PG) && (cpu->cr4 & CR4_PAE) && !(cpu->efer & EFER_LMA);
    struct kvm_sregs2 s2 = { 0 };
    struct kvm_sregs s = { 0 };

    if (!kv->kvm->sregs2) {
        SREGS_TO_KVM(&s, cpu);
        return kvm_ioctl(kv->fd, KVM_SET_SREGS, &s) == 0 || failed(kv, error, "the special registers");
    }
    SREGS_TO_KVM(&s2, cpu);
    if (cpu->pdptrs_valid && pae) {
        s2.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
        memcpy(s2.pdptrs, cpu->pdptr, sizeof(cpu->pdptr));
    }
    return kvm_ioctl(kv->fd, KVM_SET_SREGS2, &s2) == 0 || failed(kv, error, "the special registers");
}

/* ---- general registers ---- */
static bool regs_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    struct kvm_regs r;

    if (kvm_ioctl(kv->fd, KVM_GET_REGS, &r) < 0) {
        return failed(kv, error, "to give its registers");
    }
    cpu->gpr[X86_RAX] = r.rax;
    cpu->gpr[X86_RCX] = r.rcx;
    cpu->gpr[X86_RDX] = r.rdx;
    cpu->gpr[X86_RBX] = r.rbx;
    cpu->gpr[X86_RSP] = r.rsp;
    cpu->gpr[X86_RBP] = r.rbp;
    cpu->gpr[X86_RSI] = r.rsi;
    cpu->gpr[X86_RDI] = r.rdi;
    memcpy(&cpu->gpr[X86_R8], &r.r8, 8 * sizeof(r.r8));
    cpu->rip = r.rip;
    cpu->rflags = r.rflags;
    return true;
}

static bool regs_store(KvmVcpu *kv, const X86Cpu *cpu, GError **error)
{
    struct kvm_regs r = {
        .rax = cpu->gpr[X86_RAX], .rcx = cpu->gpr[X86_RCX], .rdx = cpu->gpr[X86_RDX], .rbx = cpu->gpr[X86_RBX],
        .rsp = cpu->gpr[X86_RSP], .rbp = cpu->gpr[X86_RBP], .rsi = cpu->gpr[X86_RSI], .rdi = cpu->gpr[X86_RDI],
        .rip = cpu->rip, .rflags = cpu->rflags,
    };

    memcpy(&r.r8, &cpu->gpr[X86_R8], 8 * sizeof(r.r8));
    return kvm_ioctl(kv->fd, KVM_SET_REGS, &r) == 0 || failed(kv, error, "the registers");
}

/* ---- XSAVE area and XCR0 ---- */
static bool xsave_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    uint32_t size = kv->kvm->xsave_size;
    struct kvm_xcrs xcrs = { 0 };

    if (size > X86_XSAVE_MAX) {
        return error_set(error, "this host's XSAVE area has %" PRIu32 " bytes, more than can be saved", size);
    }
    memset(cpu->xsave, 0, sizeof(cpu->xsave));
    if (kvm_ioctl(kv->fd, size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, cpu->xsave) < 0) {
        return failed(kv, error, "to give its XSAVE area");
    }
    cpu->xsave_size = size;
    if (kvm_ioctl(kv->fd, KVM_GET_XCRS, &xcrs) < 0) {
        return failed(kv, error, "to give XCR0");
    }
    for (unsigned i = 0; i < MIN(xcrs.nr_xcrs, KVM_MAX_XCRS); i++) {
        if (xcrs.xcrs[i].xcr == 0) {
            cpu->xcr0 = xcrs.xcrs[i].value;
        }
    }
    return true;
}

static bool xsave_store(KvmVcpu *kv, const X86Cpu *cpu, GError **error)
{
    uint32_t size = kv->kvm->xsave_size;
    g_autofree uint8_t *area = g_malloc0(MAX(size, X86_XSAVE_MAX));
    struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = cpu->xcr0 } } };

    memcpy(area, cpu->xsave, cpu->xsave_size);
    for (uint32_t i = size; i < cpu->xsave_size; i++) {
        if (area[i]) {
            return error_set(error, "vCPU %u: the XSAVE area of %" PRIu32 " bytes is larger than this host's %" PRIu32,
                             kv->vcpu->index, cpu->xsave_size, size);
        }
    }
    if (kvm_ioctl(kv->fd, KVM_SET_XSAVE, area) < 0) {
        return failed(kv, error, "the XSAVE area");
    }
    return kvm_ioctl(kv->fd, KVM_SET_XCRS, &xcrs) == 0 || failed(kv, error, "XCR0");
}

/* ---- events and MP state ---- */
static bool events_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    struct kvm_vcpu_events e = { 0 };

    if (kvm_ioctl(kv->fd, KVM_GET_VCPU_EVENTS, &e) < 0) {
        return failed(kv, error, "to give its pending events");
    }
    cpu->exception_pending = e.exception.pending;
    cpu->exception_injected = e.exception.injected;
    cpu->exception_vector = e.exception.nr;
    cpu->exception_has_error = e.exception.has_error_code;
    cpu->exception_error = e.exception.error_code;
    cpu->exception_has_payload = e.exception_has_payload;
    cpu->exception_payload = e.exception_payload;
    cpu->interrupt_injected = e.interrupt.injected;
    cpu->interrupt_vector = e.interrupt.nr;
    cpu->interrupt_soft = e.interrupt.soft;
    cpu->interrupt_shadow = e.interrupt.shadow;
    cpu->nmi_injected = e.nmi.injected;
    cpu->nmi_pending = e.nmi.pending;
    cpu->nmi_masked = e.nmi.masked;
    cpu->sipi_vector = e.sipi_vector;
    cpu->smm = e.smi.smm;
    cpu->smi_pending = e.smi.pending;
    cpu->smi_inside_nmi = e.smi.smm_inside_nmi;
    cpu->smi_latched_init = e.smi.latched_init;
    cpu->triple_fault_pending = kv->kvm->triple_fault ? e.triple_fault.pending : 0;
    return true;
}

/* Not full: an NMI or SIPI may be on its way from elsewhere and stays. */
static bool events_store(KvmVcpu *kv, const X86Cpu *cpu, bool full, GError **error)
{
    struct kvm_vcpu_events e = {
        .exception = { .injected = cpu->exception_injected, .nr = cpu->exception_vector,
                       .has_error_code = cpu->exception_has_error, .pending = cpu->exception_pending,
                       .error_code = cpu->exception_error },
        .interrupt = { .injected = cpu->interrupt_injected, .nr = cpu->interrupt_vector, .soft = cpu->interrupt_soft,
                       .shadow = cpu->interrupt_shadow },
        .nmi = { .injected = cpu->nmi_injected, .pending = cpu->nmi_pending, .masked = cpu->nmi_masked },
        .sipi_vector = cpu->sipi_vector,
        .flags = KVM_VCPUEVENT_VALID_SHADOW,
    };

    if (full) {
        e.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR;
        if (kv->kvm->triple_fault) {
            e.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
            e.triple_fault.pending = cpu->triple_fault_pending;
        }
    }
    if (kv->kvm->payload) {
        e.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
        e.exception_has_payload = cpu->exception_has_payload;
        e.exception_payload = cpu->exception_payload;
    } else if (cpu->exception_pending) {
        /* Such kernels have one flag for both. */
        e.exception.injected = 1;
        e.exception.pending = 0;
    }
    if (kv->kvm->smm) {
        e.flags |= KVM_VCPUEVENT_VALID_SMM;
        e.smi.smm = cpu->smm;
        e.smi.pending = cpu->smi_pending;
        e.smi.smm_inside_nmi = cpu->smi_inside_nmi;
        e.smi.latched_init = cpu->smi_latched_init;
    } else if (cpu->smm) {
        return error_set(error, "vCPU %u is in system management mode, which this host's KVM has not", kv->vcpu->index);
    }
    return kvm_ioctl(kv->fd, KVM_SET_VCPU_EVENTS, &e) == 0 || failed(kv, error, "the pending events");
}

static const uint8_t mp_of_run_state[] = {
    [X86_RUNNABLE] = KVM_MP_STATE_RUNNABLE,
    [X86_WAIT_INIT] = KVM_MP_STATE_UNINITIALIZED,
    [X86_INIT_RECEIVED] = KVM_MP_STATE_INIT_RECEIVED,
    [X86_SIPI_RECEIVED] = KVM_MP_STATE_SIPI_RECEIVED,
    [X86_HALTED] = KVM_MP_STATE_HALTED,
};

static bool mp_state_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    struct kvm_mp_state mp = { 0 };

    if (kvm_ioctl(kv->fd, KVM_GET_MP_STATE, &mp) < 0) {
        return failed(kv, error, "to give its run state");
    }
    cpu->run_state = X86_RUNNABLE;
    for (unsigned i = 0; i < G_N_ELEMENTS(mp_of_run_state); i++) {
        if (mp_of_run_state[i] == mp.mp_state) {
            cpu->run_state = i;
        }
    }
    return true;
}

static bool mp_state_store(KvmVcpu *kv, const X86Cpu *cpu, GError **error)
{
    struct kvm_mp_state mp = { .mp_state = mp_of_run_state[MIN(cpu->run_state, X86_HALTED)] };

    return kvm_ioctl(kv->fd, KVM_SET_MP_STATE, &mp) == 0 || failed(kv, error, "the run state");
}

/* ---- debug registers ---- */
static bool debug_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    struct kvm_debugregs d = { 0 };

    if (kvm_ioctl(kv->fd, KVM_GET_DEBUGREGS, &d) < 0) {
        return failed(kv, error, "to give its debug registers");
    }
    memcpy(cpu->dr, d.db, sizeof(cpu->dr));
    cpu->dr6 = d.dr6;
    cpu->dr7 = d.dr7;
    return true;
}

static bool debug_store(KvmVcpu *kv, const X86Cpu *cpu, GError **error)
{
    struct kvm_debugregs d = { .dr6 = cpu->dr6, .dr7 = cpu->dr7 };

    memcpy(d.db, cpu->dr, sizeof(d.db));
    return kvm_ioctl(kv->fd, KVM_SET_DEBUGREGS, &d) == 0 || failed(kv, error, "the debug registers");
}

/* ---- local APIC: KVM keeps the id of an xAPIC in bits 31-24, X86Cpu always the whole in 31-0 ---- */
static bool lapic_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    struct kvm_lapic_state lapic;
    uint32_t id;

    if (kvm_ioctl(kv->fd, KVM_GET_LAPIC, &lapic) < 0) {
        return failed(kv, error, "to give its local APIC");
    }
    memset(cpu->lapic, 0, sizeof(cpu->lapic));
    memcpy(cpu->lapic, lapic.regs, sizeof(lapic.regs));
    if (!(cpu->apic_base & APIC_BASE_X2)) {
        memcpy(&id, cpu->lapic + LAPIC_ID, sizeof(id));
        id >>= 24;
        memcpy(cpu->lapic + LAPIC_ID, &id, sizeof(id));
    }
    return true;
}

static bool lapic_store(KvmVcpu *kv, const X86Cpu *cpu, GError **error)
{
    struct kvm_lapic_state lapic;
    uint32_t id;

    memcpy(lapic.regs, cpu->lapic, sizeof(lapic.regs));
    if (!(cpu->apic_base & APIC_BASE_X2)) {
        memcpy(&id, lapic.regs + LAPIC_ID, sizeof(id));
        id <<= 24;
        memcpy(lapic.regs + LAPIC_ID, &id, sizeof(id));
    }
    return kvm_ioctl(kv->fd, KVM_SET_LAPIC, &lapic) == 0 || failed(kv, error, "the local APIC");
}

/* ---- TSC frequency ---- */
/* Asked for once: KVM_RUN keeps every other request of the vCPU waiting. */
uint32_t kvm_tsc_khz(const Vcpu *vcpu)
{
    return __atomic_load_n(&kvm_vcpu_of(vcpu)->tsc_khz, __ATOMIC_RELAXED);
}

bool kvm_tsc_set_khz(KvmVcpu *kv, uint32_t khz)
{
    if (kvm_ioctl(kv->fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)khz) < 0) {
        return false;
    }
    __atomic_store_n(&kv->tsc_khz, khz, __ATOMIC_RELAXED);
    return true;
}

/* A guest may have measured the frequency it was saved with: another one is a refusal, unless the
 * difference is what crystals differ by (250 parts in a million, as KVM's own tolerance). */
static bool as_fast(const Vcpu *vcpu, uint32_t khz, GError **error)
{
    uint32_t now = kvm_tsc_khz(vcpu);
    uint64_t difference = now > khz ? now - khz : khz - now;

    if (!khz || difference * 1000000 <= (uint64_t)khz * 250) {
        return true;
    }
    error_set(error, "vCPU %u needs a TSC of %" PRIu32 " kHz, this host's runs at %" PRIu32 " kHz and cannot be scaled",
              vcpu->index, khz, now);
    return error_hint(error, "Use a host whose TSC has this frequency or can be scaled.");
}

bool kvm_tsc_fits(const Vcpu *vcpu, uint32_t khz, GError **error)
{
    return kvm_vcpu_of(vcpu)->kvm->tsc_control || as_fast(vcpu, khz, error);
}

static bool tsc_khz_store(KvmVcpu *kv, const X86Cpu *cpu, GError **error)
{
    return !cpu->tsc_khz || cpu->tsc_khz == kvm_tsc_khz(kv->vcpu) ||
           (kv->kvm->tsc_control && kvm_tsc_set_khz(kv, cpu->tsc_khz)) || as_fast(kv->vcpu, cpu->tsc_khz, error);
}

bool kvm_fetch(Vcpu *vcpu, GError **error)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);
    X86Cpu *cpu = &vcpu->cpu;

    if (!mp_state_fetch(kv, cpu, error) || !events_fetch(kv, cpu, error) || !regs_fetch(kv, cpu, error) ||
        !sregs_fetch(kv, cpu, error) || !xsave_fetch(kv, cpu, error) || !debug_fetch(kv, cpu, error) ||
        !kvm_msrs_fetch(kv, cpu, error) || !lapic_fetch(kv, cpu, error)) {
        return false;
    }
    cpu->tsc_khz = kvm_tsc_khz(vcpu);
    return true;
}

bool kvm_store(Vcpu *vcpu, bool full, GError **error)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);
    X86Cpu *cpu = &vcpu->cpu;

    if (full && !tsc_khz_store(kv, cpu, error)) {
        return false;
    }
    if (!sregs_store(kv, cpu, error) || !regs_store(kv, cpu, error) || !xsave_store(kv, cpu, error) ||
        !kvm_msrs_store(kv, cpu, full, error)) {
        return false;
    }
    if (full && (!lapic_store(kv, cpu, error) || !kvm_tsc_deadline_store(kv, cpu, error))) {
        return false;
    }
    if (!debug_store(kv, cpu, error) || !events_store(kv, cpu, full, error)) {
        return false;
    }
    return !full || mp_state_store(kv, cpu, error);
}
