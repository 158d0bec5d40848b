/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest on the q35: any access to ports, memory and config space, with time
 * passing in between.  The board is built once and its devices are reset for each
 * input, which is a list of operations:
 *
 *   op 0-1  port access: port (2), value (4); the size is in bits 4-5 of op
 *   op 2-3  memory access in a window of the board: where (1), offset (2), value (4)
 *   op 4-5  config cycle: bus and devfn (2), offset (2), value (4)
 *   op 6    guest time goes on by value (2) units of 100 us
 *   op 7    the main loop runs
 * Odd ones read.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hw/devices.h"
#include "hw/i386/q35.h"
#include "hw/pci/q35-host.h"
#include "tests/unit/fake-accel.h"
#include "vmm/chardev.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"

typedef struct Input {
    const uint8_t *data;
    size_t left;
} Input;

static Domain *domain;
static PciBus *root;

static uint32_t take(Input *in, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        if (in->left) {
            value |= (uint32_t)*in->data++ << (8 * i);
            in->left--;
        }
    }
    return value;
}

static void add(const char *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = keyval_parse(options, "driver", &error);

    if (!json || !device_add(domain, json, &error)) {
        g_error("%s", error->message);
    }
}

static void build(void)
{
    g_autoptr(GError) error = NULL;
    Machine *machine;

    devices_register();
    domain = domain_new("fuzz", &error);
    clock_set_manual(domain_clock(domain));
    fake_accel_new(domain);
    machine = machine_new(domain, machine_class_find("q35", NULL));
    machine->ram_size = machine->max_ram_size = 16 << 20;
    machine->cpu_type = g_strdup("qemu64,check=off");
    if (!machine_build(machine, &error) || !chardev_add_text(domain, "null,id=serial", &error) ||
        !chardev_add_text(domain, "null,id=debug", &error)) {
        g_error("%s", error->message);
    }
    add("isa-serial,chardev=serial");
    add("isa-debugcon,chardev=debug");
    add("pvpanic");
    add("pcie-root-port,id=port");
    add("virtio-rng-pci,bus=port");
    root = (PciBus *)bus_find(domain, "pcie.0");
    domain_actions(domain)->reboot = 1; /* shutdown: there is no kernel to start again */
}

static bool reset(Device *dev, void *opaque)
{
    device_reset(dev);
    return true;
}

static void program(void)
{
    static const PciWindows windows = {
        .mem32_base = 0xc0000000, .mem32_end = Q35_MEM32_END, .mem64_base = UINT64_C(1) << 32, .mem64_end = UINT64_C(1) << 33,
        .io_base = Q35_IO_BASE, .io_end = Q35_IO_END,
    };

    device_each(domain, reset, NULL);
    pci_config_store(root, 0, 0, Q35_MCH_PCIEXBAR, (uint32_t)Q35_ECAM_BASE | Q35_MCH_PCIEXBAR_EN, 4);
    pci_config_store(root, 0, Q35_LPC_DEVFN, 0x40, Q35_PMBASE | 1, 4);
    pci_config_store(root, 0, Q35_LPC_DEVFN, 0x44, 0x80, 1);
    pci_assign_resources(root, &windows);
}

static void access_space(AddressSpace *as, uint64_t address, unsigned size, bool read, uint32_t value)
{
    uint64_t got;

    if (read) {
        memory_load(as, address, size, &got);
    } else {
        memory_store(as, address, size, value);
    }
}

static void settle(void)
{
    for (unsigned i = 0; i < 64 && loop_run_once(domain_loop(domain), false); i++) {
    }
}

static void step(Input *in)
{
    static const uint64_t window[] = {
        0xa0000, 0xc0000, Q35_ECAM_BASE, Q35_ECAM_BASE + 0x100000, 0xc0000000, 0xc0100000, Q35_IOAPIC_BASE, Q35_HPET_BASE,
        UINT64_C(1) << 32, (UINT64_C(1) << 32) + 0x2000,
    };
    unsigned op = take(in, 1), size = 1u << (op >> 4 & 3);
    uint32_t where, value;

    switch (op & 7) {
    case 0:
    case 1:
        where = take(in, 2);
        access_space(domain_ports(domain), where, MIN(size, 4), op & 1, take(in, 4));
        break;
    case 2:
    case 3:
        where = take(in, 1);
        value = take(in, 2);
        access_space(domain_memory(domain), window[where % G_N_ELEMENTS(window)] + value, size, op & 1, take(in, 4));
        break;
    case 4:
    case 5:
        where = take(in, 2);
        value = take(in, 2) & 0xfff & ~(MIN(size, 4) - 1);
        if (op & 1) {
            pci_config_load(root, where >> 8 & 3, (uint8_t)where, value, MIN(size, 4));
        } else {
            pci_config_store(root, where >> 8 & 3, (uint8_t)where, value, take(in, 4), MIN(size, 4));
        }
        break;
    case 6:
        clock_set(domain_clock(domain), clock_ns(domain_clock(domain)) + INT64_C(100000) * take(in, 2));
        settle();
        break;
    default:
        settle();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };

    if (!domain) {
        build();
    }
    program();
    while (in.left) {
        step(&in);
    }
    settle();
    return 0;
}
