/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "soft-rig.h"

#include <stdlib.h>

#include <string.h>

#include "vmm/epoch.h"
#include "vmm/x86/soft/cpu.h"

static void record(SoftRig *rig, bool port, uint64_t offset, uint64_t value, unsigned size)
{
    rig->last_was_port = port;
    rig->last_offset = offset;
    rig->last_value = value;
    rig->last_size = size;
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    SoftRig *rig = opaque;

    record(rig, false, offset, 0, size);
    rig->reads++;
    return rig->device_value;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    SoftRig *rig = opaque;

    record(rig, false, offset, value, size);
    rig->writes++;
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    SoftRig *rig = opaque;

    record(rig, true, offset, 0, size);
    rig->reads++;
    return rig->device_value;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    SoftRig *rig = opaque;

    record(rig, true, offset, value, size);
    rig->writes++;
}

static int acknowledge(SoftCpu *cpu, void *opaque)
{
    SoftRig *rig = opaque;
    int vector = rig->next_vector;

    rig->next_vector = -1;
    return vector;
}

static bool msr_read(SoftCpu *cpu, void *opaque, uint32_t index, uint64_t *ret_value)
{
    return false;
}

static bool msr_write(SoftCpu *cpu, void *opaque, uint32_t index, uint64_t value)
{
    return false;
}

static uint32_t apic_read(SoftCpu *cpu, void *opaque, unsigned offset)
{
    return 0xa0000000 | offset;
}

static void apic_write(SoftCpu *cpu, void *opaque, unsigned offset, uint32_t value)
{
    record(opaque, false, offset, value, 4);
}

static uint64_t cr8_read(SoftCpu *cpu, void *opaque)
{
    return ((SoftRig *)opaque)->cr8;
}

static void cr8_write(SoftCpu *cpu, void *opaque, uint64_t value)
{
    ((SoftRig *)opaque)->cr8 = value;
}

static void ferr(SoftCpu *cpu, void *opaque)
{
    ((SoftRig *)opaque)->ferrs++;
}

static void init(SoftCpu *cpu, void *opaque)
{
    ((SoftRig *)opaque)->inits++;
}

static const SoftHooks hooks = {
    .acknowledge = acknowledge, .msr_read = msr_read, .msr_write = msr_write, .apic_read = apic_read,
    .apic_write = apic_write, .cr8_read = cr8_read, .cr8_write = cr8_write, .ferr = ferr, .init = init,
};

SoftRig *soft_rig_new(void)
{
    return soft_rig_new_with(0, !getenv(RIG_INTERPRET));
}

SoftRig *soft_rig_new_with(uint64_t code_bytes, bool translate)
{
    static const MemoryOps device_ops = { .read = device_read, .write = device_write };
    static const MemoryOps port_ops = { .read = port_read, .write = port_write, .unaligned = true };
    const RamBacking backing = { .kind = RAM_ANONYMOUS };
    SoftRig *rig = g_new0(SoftRig, 1);
    X86Cpuid cpuid[X86_CPUID_MAX];
    g_autofree char *name = g_strdup_printf("ram-%p", (void *)rig);

    rig->began_epochs = !epoch_thread_registered();
    if (rig->began_epochs) {
        epoch_thread_begin();
    }
    rig->next_vector = -1;
    memory_region_init(&rig->root, "root", UINT64_MAX);
    memory_region_init(&rig->port_root, "ports", 0x10000);
    rig->memory = address_space_new("memory", &rig->root, false);
    rig->port_space = address_space_new("ports", &rig->port_root, true);
    rig->block = ram_block_new(name, RIG_RAM, &backing, NULL);
    rig->host = ram_block_host(rig->block);
    memory_region_init_ram(&rig->ram, "ram", rig->block, 0, RIG_RAM);
    memory_region_init_io(&rig->device, "device", 0x1000, &device_ops, rig, NULL);
    memory_region_init_io(&rig->ports, "device", 0x10000, &port_ops, rig, NULL);
    memory_add(&rig->root, 0, &rig->ram, 0);
    memory_add(&rig->root, RIG_DEVICE, &rig->device, 0);
    memory_add(&rig->port_root, 0, &rig->ports, 0);
    rig->vm = soft_vm_new(rig->memory, rig->port_space, code_bytes, translate, NULL);
    g_assert(rig->vm);
    rig->cpu = soft_cpu_new(rig->vm, &hooks, rig, NULL);
    g_assert(rig->cpu);
    soft_cpu_set_cpuid(rig->cpu, cpuid, soft_supported_cpuid(cpuid, X86_CPUID_MAX));
    soft_cpu_begin(rig->cpu);
    return rig;
}

void soft_rig_free(SoftRig *rig)
{
    soft_cpu_free(rig->cpu);
    soft_vm_free(rig->vm);
    memory_remove(&rig->ram);
    memory_remove(&rig->device);
    memory_remove(&rig->ports);
    address_space_free(rig->memory);
    address_space_free(rig->port_space);
    epoch_synchronize();
    memory_region_finish(&rig->ram);
    memory_region_finish(&rig->device);
    memory_region_finish(&rig->ports);
    memory_region_finish(&rig->root);
    memory_region_finish(&rig->port_root);
    ram_block_unref(rig->block);
    if (rig->began_epochs) {
        epoch_thread_end();
    }
    g_free(rig);
}

static void put64(SoftRig *rig, uint64_t gpa, uint64_t value)
{
    memcpy(rig->host + gpa, &value, sizeof(value));
}

/* Selectors 8, 0x10: 64-bit code and data of ring 0; 0x18, 0x20: 32-bit; 0x28, 0x30: data and 64-bit code of ring 3. */
static void write_gdt(SoftRig *rig)
{
    static const uint64_t entries[] = {
        0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff,
        0x00affb000000ffff,
    };

    memcpy(rig->host + RIG_GDT, entries, sizeof(entries));
    rig->cpu->gdt = (X86Table){ RIG_GDT, sizeof(entries) - 1 };
}

static void set_segments(SoftRig *rig, uint16_t cs, uint32_t cs_attributes, uint16_t data, uint32_t data_attributes)
{
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        rig->cpu->segment[s] = (X86Segment){ data, data_attributes, UINT32_MAX, 0 };
    }
    rig->cpu->segment[X86_CS] = (X86Segment){ cs, cs_attributes, UINT32_MAX, 0 };
}

static void start_at(SoftRig *rig, uint64_t rip)
{
    rig->cpu->rip = rip;
    rig->cpu->gpr[X86_RSP] = RIG_STACK;
    soft_tlb_flush(rig->cpu);
    soft_update_mode(rig->cpu);
}

void soft_rig_enter_64(SoftRig *rig, unsigned cpl)
{
    SoftCpu *cpu = rig->cpu;

    put64(rig, RIG_PML4, (RIG_PML4 + 0x1000) | 7);
    put64(rig, RIG_PML4 + 0x1000, (RIG_PML4 + 0x2000) | 7);
    for (unsigned i = 0; i < RIG_RAM >> 21; i++) {
        put64(rig, RIG_PML4 + 0x2000 + 8 * i, (uint64_t)i << 21 | 0x87);
    }
    write_gdt(rig);
    if (cpl) {
        set_segments(rig, 0x33, 0xa0fb, 0x2b, 0xc0f3);
    } else {
        set_segments(rig, 0x08, 0xa09b, 0x10, 0xc093);
    }
    cpu->cpl = (uint8_t)cpl;
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    cpu->cr3 = RIG_PML4;
    cpu->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu->xcr0 = 7;
    start_at(rig, RIG_CODE);
}

/* Nothing is asked of its surroundings. */
static const SoftHooks no_hooks;

SoftCpu *soft_rig_second_cpu(SoftRig *rig)
{
    SoftCpu *first = rig->cpu;
    SoftCpu *second;
    X86Cpuid cpuid[X86_CPUID_MAX];

    rig->cpu = soft_cpu_new(rig->vm, &no_hooks, rig, NULL);
    soft_cpu_set_cpuid(rig->cpu, cpuid, soft_supported_cpuid(cpuid, X86_CPUID_MAX));
    soft_rig_enter_64(rig, 0);
    second = rig->cpu;
    rig->cpu = first;
    return second;
}

int soft_rig_setup_64(void **state)
{
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_64(rig, 0);
    *state = rig;
    return 0;
}

int soft_rig_teardown(void **state)
{
    soft_rig_free(*state);
    return 0;
}

void soft_rig_enter_32(SoftRig *rig)
{
    write_gdt(rig);
    set_segments(rig, 0x18, 0xc09b, 0x20, 0xc093);
    rig->cpu->cpl = 0;
    rig->cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    rig->cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    start_at(rig, RIG_CODE);
}

void soft_rig_enter_16(SoftRig *rig)
{
    SoftCpu *cpu = rig->cpu;

    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        cpu->segment[s] = (X86Segment){ 0, 0x93, 0xffff, 0 };
    }
    cpu->segment[X86_CS] = (X86Segment){ 0x1000, 0x93, 0xffff, 0x10000 };
    cpu->cpl = 0;
    cpu->cr0 = CR0_ET;
    start_at(rig, 0);
    cpu->gpr[X86_RSP] = 0x8000;
}

void soft_rig_code(SoftRig *rig, const void *bytes, unsigned n)
{
    bool real = (rig->cpu->mode & (MODE_PROTECTED | MODE_CODE)) == 0;

    memcpy(rig->host + (real ? 0x10000 : RIG_CODE), bytes, n);
}

SoftExit soft_rig_run(SoftRig *rig)
{
    soft_cpu_trap(rig->cpu, true);
    return soft_run(rig->cpu);
}
