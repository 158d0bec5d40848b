/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a return of KVM_RUN asks for: I/O is dispatched in place to the address
 * spaces, with no lock held; all else becomes a VcpuExit.  The vCPU's thread.
 *
 * Coalesced writes come before anything else the guest did later, so the ring is
 * drained before each dispatch.
 */
#include "vmm/accel-kvm.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/log.h"
#include "vmm/runstate.h"

/* The ring is one page, a header and as many entries as fit. */
#define COALESCED_ENTRIES \
    ((GUEST_PAGE_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

static AddressSpace *memory_of(const KvmVcpu *kv)
{
    Kvm *kvm = kv->kvm;

    return kvm->smm_space && (kv->run->flags & KVM_RUN_X86_SMM) ? kvm->smm_space : domain_memory(kvm->accel.domain);
}

/* One access; KVM hands out odd lengths where an access crosses a page. */
static void space_access(AddressSpace *as, uint64_t address, void *data, unsigned length, bool write)
{
    uint64_t value = 0;

    if (length != 1 && length != 2 && length != 4 && length != 8) {
        if (write) {
            memory_write(as, address, data, length);
        } else {
            memset(data, 0xff, length);
            memory_read(as, address, data, length);
        }
    } else if (write) {
        memcpy(&value, data, length);
        memory_store(as, address, length, value);
    } else {
        value = UINT64_MAX;
        memory_load(as, address, length, &value);
        memcpy(data, &value, length);
    }
}

static void dispatch_port(KvmVcpu *kv)
{
    struct kvm_run *run = kv->run;
    AddressSpace *ports = domain_ports(kv->kvm->accel.domain);
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++) {
        space_access(ports, run->io.port, data, run->io.size, run->io.direction == KVM_EXIT_IO_OUT);
        data += run->io.size;
    }
}

void kvm_drain_coalesced(KvmVcpu *kv)
{
    struct kvm_coalesced_mmio_ring *ring = kv->coalesced;
    Kvm *kvm = kv->kvm;

    if (!ring || __atomic_load_n(&ring->first, __ATOMIC_RELAXED) == __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
        return;
    }
    pthread_mutex_lock(&kvm->coalesced_mutex);
    while (ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
        struct kvm_coalesced_mmio entry = ring->coalesced_mmio[ring->first % COALESCED_ENTRIES];
        AddressSpace *as = entry.pio ? domain_ports(kvm->accel.domain) : domain_memory(kvm->accel.domain);

        space_access(as, entry.phys_addr, entry.data, MIN(entry.len, sizeof(entry.data)), true);
        __atomic_store_n(&ring->first, (ring->first + 1) % COALESCED_ENTRIES, __ATOMIC_RELEASE);
        kv->vcpu->exits[VCPU_COUNT_COALESCED]++;
    }
    pthread_mutex_unlock(&kvm->coalesced_mutex);
}

static void dispatch_msr(KvmVcpu *kv, bool write)
{
    struct kvm_run *run = kv->run;

    if (write) {
        guest_error("cpu", "vCPU %u writes %#" PRIx64 " to unknown MSR %#" PRIx32, kv->vcpu->index,
                    (uint64_t)run->msr.data, run->msr.index);
    } else {
        guest_error("cpu", "vCPU %u reads unknown MSR %#" PRIx32, kv->vcpu->index, run->msr.index);
    }
    run->msr.error = 1; /* #GP */
}

static void say_emulation_failure(KvmVcpu *kv, GError **error)
{
    struct kvm_run *run = kv->run;
    struct kvm_regs regs = { 0 };
    g_autoptr(GString) bytes = g_string_new(NULL);

    if (run->emulation_failure.ndata >= 1 &&
        (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
        unsigned n = MIN(run->emulation_failure.insn_size, sizeof(run->emulation_failure.insn_bytes));

        for (unsigned i = 0; i < n; i++) {
            g_string_append_printf(bytes, "%s%02x", i ? " " : "", run->emulation_failure.insn_bytes[i]);
        }
    }
    kvm_ioctl(kv->fd, KVM_GET_REGS, &regs);
    error_set(error, "vCPU %u: this host's KVM cannot emulate the instruction at rip %#" PRIx64 " (bytes %s)",
              kv->vcpu->index, (uint64_t)regs.rip, bytes->len ? bytes->str : "unknown");
    error_hint(error, "Use '-accel tcg', which emulates every instruction.");
}

static void say_internal_error(KvmVcpu *kv, GError **error)
{
    struct kvm_run *run = kv->run;
    g_autoptr(GString) data = g_string_new(NULL);

    if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
        say_emulation_failure(kv, error);
        return;
    }
    for (unsigned i = 0; i < MIN(run->internal.ndata, G_N_ELEMENTS(run->internal.data)); i++) {
        g_string_append_printf(data, " %" PRIx64, (uint64_t)run->internal.data[i]);
    }
    error_set(error, "vCPU %u: KVM stopped with internal error %" PRIu32 " (data%s)", kv->vcpu->index,
              (uint32_t)run->internal.suberror, data->len ? data->str : " none");
    error_hint(error, "The host's kernel log may say more; '-accel tcg' does without KVM.");
}

static bool system_event(KvmVcpu *kv, VcpuExit *ret)
{
    switch (kv->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        *ret = VCPU_EXIT_SHUTDOWN;
        return false;
    case KVM_SYSTEM_EVENT_RESET:
        *ret = VCPU_EXIT_RESET;
        return false;
    case KVM_SYSTEM_EVENT_CRASH:
        *ret = VCPU_EXIT_CRASH;
        return false;
    default: /* a wake-up or suspend that this machine does not have */
        return true;
    }
}

bool kvm_dispatch(KvmVcpu *kv, VcpuExit *ret, GError **error)
{
    struct kvm_run *run = kv->run;
    uint64_t *exits = kv->vcpu->exits;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        exits[VCPU_COUNT_PIO]++;
        log_if(LOG_EXITS, "vCPU %u: port %#x %s size %u count %u", kv->vcpu->index, run->io.port,
               run->io.direction == KVM_EXIT_IO_OUT ? "out" : "in", run->io.size, run->io.count);
        dispatch_port(kv);
        return true;
    case KVM_EXIT_MMIO:
        exits[VCPU_COUNT_MMIO]++;
        log_if(LOG_EXITS, "vCPU %u: mmio %#" PRIx64 " %s size %u", kv->vcpu->index, (uint64_t)run->mmio.phys_addr,
               run->mmio.is_write ? "write" : "read", run->mmio.len);
        space_access(memory_of(kv), run->mmio.phys_addr, run->mmio.data, MIN(run->mmio.len, sizeof(run->mmio.data)),
                     run->mmio.is_write);
        return true;
    case KVM_EXIT_IOAPIC_EOI:
        exits[VCPU_COUNT_EOI]++;
        if (kv->kvm->eoi) {
            kv->kvm->eoi(kv->kvm->eoi_opaque, run->eoi.vector);
        }
        return true;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        exits[VCPU_COUNT_MSR]++;
        dispatch_msr(kv, run->exit_reason == KVM_EXIT_X86_WRMSR);
        return true;
    default:
        break;
    }
    exits[VCPU_COUNT_OTHER]++;
    log_if(LOG_EXITS, "vCPU %u: exit reason %u", kv->vcpu->index, run->exit_reason);
    switch (run->exit_reason) {
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    case KVM_EXIT_DIRTY_RING_FULL:
        kvm_dirty_harvest(kv->kvm);
        return true;
    case KVM_EXIT_DEBUG:
        *ret = VCPU_EXIT_DEBUG;
        return !kvm_debug_exit(kv);
    case KVM_EXIT_SHUTDOWN: /* triple fault */
        *ret = VCPU_EXIT_RESET;
        return false;
    case KVM_EXIT_SYSTEM_EVENT:
        return system_event(kv, ret);
    case KVM_EXIT_NOTIFY: /* internal-error was chosen, or the guest's state is lost */
        error_set(error, "vCPU %u took no interrupt for longer than 'notify-window'", kv->vcpu->index);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        error_set(error, "vCPU %u: the host's CPU refused to enter the guest, reason %#" PRIx64, kv->vcpu->index,
                  (uint64_t)run->fail_entry.hardware_entry_failure_reason);
        error_hint(error, "If the guest had just started in real mode, this CPU may lack unrestricted guests; "
                          "'-accel tcg' does without it.");
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        say_internal_error(kv, error);
        break;
    case KVM_EXIT_UNKNOWN:
        error_set(error, "vCPU %u: KVM does not know hardware exit reason %#" PRIx64, kv->vcpu->index,
                  (uint64_t)run->hw.hardware_exit_reason);
        break;
    default:
        error_set(error, "vCPU %u: KVM left the guest for reason %" PRIu32 ", which was not asked for", kv->vcpu->index,
                  (uint32_t)run->exit_reason);
        break;
    }
    *ret = VCPU_EXIT_FAILED;
    return false;
}
