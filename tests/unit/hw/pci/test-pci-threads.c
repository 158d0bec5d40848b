/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Config space from many threads: vCPUs move BARs and windows, toggle COMMAND and look
 * for functions while devices interrupt and the main thread plugs and unplugs.  It has
 * little to assert by itself; run it under TSan.
 */
#include "tests/unit/hw/pci/pci-rig.h"

#include <pthread.h>

#include "vmm/domain-internal.h"
#include "vmm/epoch.h"

extern const DeviceClass pcie_root_port_class;

#define ROUNDS 400

typedef struct Stress {
    PciRig *rig;
    PciDevice *port, *other;
    pthread_barrier_t start;
} Stress;

static void begin(Stress *s)
{
    epoch_thread_begin();
    pthread_barrier_wait(&s->start);
}

static void *move_bars(void *opaque)
{
    Stress *s = opaque;

    begin(s);
    for (unsigned i = 0; i < ROUNDS; i++) {
        pci_rig_set_config(s->other, PCI_BASE_ADDRESS_0, 0xe0000000 + (i % 8 << 12), 4);
        pci_rig_set_config(s->other, PCI_COMMAND, i % 2 ? 0x7 : PCI_COMMAND_INTX_DISABLE | 0x4, 2);
        pci_rig_load(s->rig, 0xe0000000 + (i % 8 << 12));
        epoch_quiescent();
    }
    epoch_thread_end();
    return NULL;
}

static void *move_windows(void *opaque)
{
    Stress *s = opaque;

    begin(s);
    for (unsigned i = 0; i < ROUNDS; i++) {
        pci_rig_set_config(s->port, PCI_MEMORY_BASE, 0xd000d000 + (i % 4) * 0x00100010, 4);
        pci_rig_set_config(s->port, PCI_COMMAND, i % 3 ? 0x7 : 0, 2);
        pci_rig_set_config(s->port, PCI_SECONDARY_BUS, 1 + i % 3, 1);
        epoch_quiescent();
    }
    epoch_thread_end();
    return NULL;
}

static void *look(void *opaque)
{
    Stress *s = opaque;

    begin(s);
    for (unsigned i = 0; i < ROUNDS; i++) {
        for (uint8_t bus = 0; bus < 4; bus++) {
            pci_config_load(s->rig->bus, bus, 0, PCI_VENDOR_ID, 4);
            pci_config_store(s->rig->bus, bus, 0, PCI_COMMAND, i % 2 ? 0x6 : 0, 2);
        }
        pci_rig_load(s->rig, 0xd0000000 + (i % 4 << 20));
        epoch_quiescent();
    }
    epoch_thread_end();
    return NULL;
}

static void *interrupt(void *opaque)
{
    Stress *s = opaque;

    begin(s);
    for (unsigned i = 0; i < ROUNDS; i++) {
        pci_set_intx(s->other, i % 2);
        epoch_quiescent();
    }
    pci_set_intx(s->other, true);
    epoch_thread_end();
    return NULL;
}

static void plug_and_unplug(Stress *s)
{
    for (unsigned i = 0; i < ROUNDS / 8; i++) {
        PciDevice *card = pci_rig_add(s->rig, "rp1", NULL, NULL);

        pci_rig_set_config(card, PCI_BASE_ADDRESS_0, 0xd0000000, 4);
        pci_rig_set_config(card, PCI_COMMAND, 0x6, 2);
        device_free(&card->dev);
    }
}

static void test_threads_leave_a_consistent_state(void **state)
{
    static const char *const props[] = { "slot", "1", NULL };
    void *(*const work[])(void *) = { move_bars, move_windows, look, interrupt };
    pthread_t thread[G_N_ELEMENTS(work)];
    Stress s = { .rig = *state };

    s.port = pci_rig_plug(s.rig, &pcie_root_port_class, "pcie.0", "rp1", props, NULL);
    s.other = pci_rig_add(s.rig, "pcie.0", "02.0", NULL);
    s.rig->domain->complete = true;
    pthread_barrier_init(&s.start, NULL, G_N_ELEMENTS(work) + 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(work); i++) {
        pthread_create(&thread[i], NULL, work[i], &s);
    }
    pthread_barrier_wait(&s.start);
    plug_and_unplug(&s);
    for (unsigned i = 0; i < G_N_ELEMENTS(work); i++) {
        pthread_join(thread[i], NULL);
    }
    pthread_barrier_destroy(&s.start);
    pci_rig_set_config(s.other, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    pci_rig_set_config(s.other, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_int_equal(pci_rig_load(s.rig, 0xe0000000), 0x5a5a5a5a);
    assert_true(s.rig->gsi[22]); /* the last level, and INTx is not disabled */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_threads_leave_a_consistent_state, pci_rig_setup, pci_rig_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
