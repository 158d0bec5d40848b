/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See accel-rig.h. */
#include "tests/unit/vmm/accel-rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Fixture *f = opaque;

    if (f->outs < sizeof(f->out)) {
        f->out[f->outs++] = (uint8_t)value;
    }
}

/* The guest's last instruction: leave as if the main loop had asked. */
static void end_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Fixture *f = opaque;

    f->ended = true;
    f->accel->class->kick(f->vcpu[0]);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0x5a;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    ((Fixture *)opaque)->mmio_value = value + offset;
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0x11223344;
}

static const MemoryOps port_ops = { .read = port_read, .write = port_write };
static const MemoryOps end_ops = { .read = port_read, .write = end_write };
static const MemoryOps mmio_ops = { .read = mmio_read, .write = mmio_write };

void fail_with(GError *error)
{
    if (error) {
        fail_msg("%s", error->message);
    }
}

Fixture *fixture_new(const char *accel, IrqchipMode mode)
{
    Fixture *f = g_new0(Fixture, 1);
    RamBacking backing = { .kind = RAM_ANONYMOUS, .reserve = true };
    const char *names[] = { accel, NULL };
    GError *error = NULL;

    f->domain = domain_new(NULL, &error);
    fail_with(error);
    f->accel = accel_open(f->domain, names, &error);
    fail_with(error);
    domain_set_accel(f->domain, f->accel);
    f->accel->class->setup(f->accel, mode, &error);
    fail_with(error);
    f->ram = ram_block_new("ram", 1 << 20, &backing, &error);
    fail_with(error);
    lock_init(&f->lock, LOCK_DEVICE, "test");
    memory_region_init_ram(&f->ram_region, "ram", f->ram, 0, 1 << 20);
    memory_region_init_io(&f->port, "port", 1, &port_ops, f, &f->lock);
    memory_region_init_io(&f->end, "end", 1, &end_ops, f, &f->lock);
    memory_region_init_io(&f->mmio, "mmio", 0x1000, &mmio_ops, f, &f->lock);
    memory_add(domain_memory_root(f->domain), 0, &f->ram_region, 0);
    memory_add(domain_memory_root(f->domain), 0xd0000, &f->mmio, 1);
    memory_add(domain_port_root(f->domain), 0xe9, &f->port, 0);
    memory_add(domain_port_root(f->domain), 0xf4, &f->end, 0);
    return f;
}

Vcpu *fixture_vcpu(Fixture *f, unsigned index)
{
    Vcpu *vcpu = g_new0(Vcpu, 1);
    GError *error = NULL;

    vcpu->domain = f->domain;
    vcpu->index = vcpu->apic_id = index;
    f->accel->class->vcpu_create(f->accel, vcpu, &error);
    fail_with(error);
    f->vcpu[f->vcpus++] = vcpu;
    x86_cpu_reset(&vcpu->cpu, index, index == 0, 0x600);
    return vcpu;
}

void start_at_code(Fixture *f, Vcpu *vcpu, const uint8_t *code, size_t length)
{
    GError *error = NULL;

    memcpy(ram_block_host(f->ram) + CODE, code, length);
    vcpu->cpu.segment[X86_CS].selector = 0;
    vcpu->cpu.segment[X86_CS].base = 0;
    vcpu->cpu.rip = CODE;
    vcpu->cpu.run_state = X86_RUNNABLE;
    f->accel->class->store(vcpu, true, &error);
    fail_with(error);
}

void fixture_free(Fixture *f)
{
    for (unsigned i = 0; i < f->vcpus; i++) {
        f->accel->class->vcpu_destroy(f->vcpu[i]);
        g_free(f->vcpu[i]);
    }
    memory_remove(&f->ram_region);
    memory_remove(&f->port);
    memory_remove(&f->end);
    memory_remove(&f->mmio);
    memory_region_finish(&f->ram_region);
    memory_region_finish(&f->port);
    memory_region_finish(&f->end);
    memory_region_finish(&f->mmio);
    ram_block_unref(f->ram);
    domain_free(f->domain);
    lock_finish(&f->lock);
    g_free(f);
}

VcpuExit run_here(Fixture *f, Vcpu *vcpu, GError **error)
{
    VcpuExit exit;

    f->ended = false;
    f->accel->class->vcpu_begin(vcpu, NULL);
    do {
        exit = f->accel->class->run(vcpu, error);
    } while (exit == VCPU_EXIT_KICKED && !f->ended);
    return exit;
}

int run_with_kvm(const struct CMUnitTest *tests, size_t n)
{
    AccelProbe probe = { 0 };

    for (unsigned i = 0; accel_classes[i]; i++) {
        if (!strcmp(accel_classes[i]->name, "kvm")) {
            accel_classes[i]->probe(&probe);
        }
    }
    if (!probe.usable) {
        print_message("skipped: %s\n", probe.reason);
        g_free(probe.reason);
        return 77;
    }
    return _cmocka_run_group_tests("kvm", tests, n, NULL, NULL);
}
