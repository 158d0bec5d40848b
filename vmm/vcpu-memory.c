/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory as a vCPU sees it: its page tables, then the guest-physical address space, page
 * by page.  What belongs to one vCPU alone (the registers of its local APIC) is not seen.
 */
#include "vmm/vcpu-memory.h"

#include "vmm/domain.h"
#include "vmm/x86/paging.h"

bool vcpu_translate(Vcpu *vcpu, uint64_t linear, uint64_t *ret_gpa)
{
    return vcpu_fetch(vcpu, NULL) && x86_translate(&vcpu->cpu, domain_memory(vcpu->domain), linear, ret_gpa);
}

typedef MemoryResult (*AccessFn)(AddressSpace *as, uint64_t gpa, uint8_t *buffer, uint64_t length);

static uint64_t each_page(Vcpu *vcpu, uint64_t linear, uint8_t *buffer, uint64_t length, AccessFn access)
{
    uint64_t done = 0, gpa;

    while (done < length) {
        uint64_t n = MIN(length - done, GUEST_PAGE_SIZE - (linear + done) % GUEST_PAGE_SIZE);

        if (!vcpu_translate(vcpu, linear + done, &gpa) ||
            access(domain_memory(vcpu->domain), gpa, buffer + done, n) != MEMORY_OK) {
            break;
        }
        done += n;
    }
    return done;
}

static MemoryResult read_page(AddressSpace *as, uint64_t gpa, uint8_t *buffer, uint64_t length)
{
    return memory_read(as, gpa, buffer, length);
}

static MemoryResult write_page(AddressSpace *as, uint64_t gpa, uint8_t *buffer, uint64_t length)
{
    return memory_patch(as, gpa, buffer, length);
}

uint64_t vcpu_read(Vcpu *vcpu, uint64_t linear, void *buffer, uint64_t length)
{
    return each_page(vcpu, linear, buffer, length, read_page);
}

uint64_t vcpu_write(Vcpu *vcpu, uint64_t linear, const void *buffer, uint64_t length)
{
    return each_page(vcpu, linear, (uint8_t *)buffer, length, write_page);
}
