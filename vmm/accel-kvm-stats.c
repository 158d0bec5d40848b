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

/* A descriptor's flags: type, unit, base, four bits each. */
static bool describe(const struct kvm_stats_desc *d, AccelStat *ret)
{
    unsigned kind = d->flags & 15, unit = d->flags >> 4 & 15;

    *ret = (AccelStat) {
        .kind = (AccelStatKind)kind, .unit = (AccelStatUnit)unit, .base = d->flags >> 8 & 15 ? 2 : 10,
        .exponent = d->exponent, .bucket_size = d->bucket_size, .n = MIN(d->size, VALUES_MAX),
    };
    return kind < ACCEL_STAT_KINDS && unit < ACCEL_STAT_UNITS && ret->n;
}

static bool read_stats(int fd, AccelStatFn fn, void *opaque)
{
    struct kvm_stats_header h;
    size_t stride;
    g_autofree uint8_t *descriptors = NULL;
    g_autofree uint64_t *values = g_new(uint64_t, VALUES_MAX);

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
        AccelStat stat;

        if (!describe(d, &stat)) { /* of a kernel that knows more kinds */
            continue;
        }
        if (!read_at(fd, values, stat.n * sizeof(*values), h.data_offset + d->offset)) {
            return false;
        }
        stat.name = name;
        stat.values = values;
        fn(&stat, opaque);
    }
    return true;
}

static bool vm_stats(const Kvm *kvm, AccelStatFn fn, void *opaque)
{
    int fd = kvm->stats_fd ? kvm_ioctl(kvm->vm, KVM_GET_STATS_FD, NULL) : -1;
    bool ok = fd >= 0 && read_stats(fd, fn, opaque);

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

bool kvm_stats(Accel *accel, Vcpu *vcpu, AccelStatFn fn, void *opaque)
{
    int fd = vcpu ? kvm_vcpu_of(vcpu)->stats_fd : -1;

    if (!vcpu) {
        return vm_stats(kvm_of(accel), fn, opaque);
    }
    if (fd >= 0) {
        read_stats(fd, fn, opaque);
    }
    for (unsigned i = 0; i < VCPU_COUNTERS; i++) {
        fn(&(AccelStat) { .name = counter_names[i], .base = 10, .values = &vcpu->exits[i], .n = 1 }, opaque);
    }
    return true;
}
