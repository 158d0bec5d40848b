/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics of the kernel (KVM_GET_STATS_FD): a header, descriptors with names,
 * and a block of values, read from a descriptor of the VM or of a vCPU.  Our own
 * counters of a vCPU come after them.  Main thread.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 256
#define DESCRIPTORS_MAX 4096
#define VALUES_MAX      4096

static const char *const counter_names[VCPU_COUNTERS] = {
    [VCPU_COUNT_RUNS] = "lodge_runs", [VCPU_COUNT_PIO] = "lodge_port_exits", [VCPU_COUNT_MMIO] = "lodge_mmio_exits",
    [VCPU_COUNT_COALESCED] = "lodge_coalesced_writes", [VCPU_COUNT_MSR] = "lodge_msr_exits",
    [VCPU_COUNT_EOI] = "lodge_eoi_exits", [VCPU_COUNT_KICKED] = "lodge_kicks", [VCPU_COUNT_OTHER] = "lodge_other_exits",
};

static bool read_at(int fd, void *buffer, size_t length, uint64_t offset)
{
    return pread(fd, buffer, length, offset) == (ssize_t)length;
}

static bool read_stats(int fd, void (*fn)(const char *name, uint64_t value, void *opaque), void *opaque)
{
    struct kvm_stats_header h;
    size_t stride;
    g_autofree uint8_t *descriptors = NULL;

    if (!read_at(fd, &h, sizeof(h), 0) || h.name_size > NAME_MAX_BYTES || h.num_desc > DESCRIPTORS_MAX) {
        return false;
    }
    stride = sizeof(struct kvm_stats_desc) + h.name_size;
    descriptors = g_malloc(stride * h.num_desc);
    if (!read_at(fd, descriptors, stride * h.num_desc, h.desc_offset)) {
        return false;
    }
    for (uint32_t i = 0; i < h.num_desc; i++) {
        const struct kvm_stats_desc *d = (void *)(descriptors + i * stride);
        g_autofree char *name = g_strndup(d->name, h.name_size);
        uint64_t value;

        for (uint16_t n = 0; n < MIN(d->size, VALUES_MAX); n++) {
            g_autofree char *element = d->size > 1 ? g_strdup_printf("%s[%u]", name, n) : g_strdup(name);

            if (!read_at(fd, &value, sizeof(value), h.data_offset + d->offset + n * sizeof(value))) {
                return false;
            }
            fn(element, value, opaque);
        }
    }
    return true;
}

bool kvm_stats(Accel *accel, Vcpu *vcpu, void (*fn)(const char *name, uint64_t value, void *opaque), void *opaque)
{
    Kvm *kvm = kvm_of(accel);
    int of = vcpu ? kvm_vcpu_of(vcpu)->fd : kvm->vm;
    int fd = kvm->stats_fd ? kvm_ioctl(of, KVM_GET_STATS_FD, NULL) : -1;
    bool ok = fd >= 0 && read_stats(fd, fn, opaque);

    if (fd >= 0) {
        close(fd);
    }
    for (unsigned i = 0; vcpu && i < VCPU_COUNTERS; i++) {
        fn(counter_names[i], vcpu->exits[i], opaque);
    }
    return ok || vcpu;
}
