/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole domain under stress: vCPU threads drive a virtio-blk device whose queue
 * runs on an iothread, move its BAR under it, and hammer another device that comes
 * and goes, while the main thread pauses, saves, loads, resets and unplugs; a vCPU
 * that reads all of it comes and goes as well.  Meant
 * for -Db_sanitize=thread (and address); what it asserts itself is that every read
 * of the disk is right and that reads go on after each upheaval.
 *
 *   stress-domain [rounds]
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>

#include "block/block.h"
#include "tests/unit/hw/virtio/virtio-driver.h"
#include "tests/unit/rig.h"
#include "vmm/epoch.h"
#include "vmm/object.h"

#define DISK_SECTORS 2048
#define SLOTS        16
#define QUEUE_SIZE   64
#define QUEUE_AT     0x100000
#define BUFFERS_AT   0x200000 /* a page per slot: header, status, then a sector */
#define STATUS_AT    0x20
#define DATA_AT      0x200
#define NOTIFY_AT    0x3000   /* of BAR 4, as hw/virtio/virtio-pci.c lays it out; a driver reads the capability */
#define BLK_DEVFN    0x20
#define RNG_DEVFN    0x28
#define BAR4         0x20
#define HOME_A       0xd0000000u
#define HOME_B       0xd1000000u
#define RNG_BAR      0xd8000000u
#define S_DRIVING    (1 | 2 | 8) /* ACKNOWLEDGE, DRIVER, FEATURES_OK */
#define S_DRIVER_OK  (S_DRIVING | 4)

typedef struct Stress {
    Rig *rig;
    Device *rng;              /* main thread */
    pthread_mutex_t bar_lock; /* the guest's own: set-up wants a BAR that stays */
    /* vCPU 0 */
    DriverQueue queue;
    bool ready;
    unsigned in_flight;
    int slot_of[QUEUE_SIZE];
    bool busy[SLOTS];
    uint64_t sector[SLOTS];
    uint32_t seed[4];
    uint64_t reads; /* atomic */
} Stress;

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static uint8_t pattern(uint64_t sector, unsigned i)
{
    return (uint8_t)(sector * 7 + i);
}

/* ---- vCPU 0: a driver ---- */

static void common_write(Stress *s, uint64_t bar, unsigned at, unsigned size, uint64_t value)
{
    rig_write(s->rig, bar + at, value, size);
}

static void set_up_queue(Stress *s, uint64_t bar)
{
    driver_queue_init(&s->queue, rig_ram(s->rig, 0), QUEUE_AT, QUEUE_SIZE, false, false);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_SIZE, 2, QUEUE_SIZE);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_DESCLO, 4, s->queue.desc);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, s->queue.avail);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 0);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_USEDLO, 4, s->queue.used);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_USEDHI, 4, 0);
    common_write(s, bar, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

/* Virtio 1.2, 3.1.1 */
static void set_up_device(Stress *s, uint64_t bar)
{
    common_write(s, bar, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    common_write(s, bar, VIRTIO_PCI_COMMON_STATUS, 1, 3);
    common_write(s, bar, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
    common_write(s, bar, VIRTIO_PCI_COMMON_GF, 4, 1); /* VERSION_1 */
    common_write(s, bar, VIRTIO_PCI_COMMON_STATUS, 1, S_DRIVING);
    set_up_queue(s, bar);
    common_write(s, bar, VIRTIO_PCI_COMMON_STATUS, 1, S_DRIVER_OK);
    s->in_flight = 0;
    memset(s->busy, 0, sizeof(s->busy));
    s->ready = true;
}

static void add_read(Stress *s)
{
    unsigned slot = 0;
    uint64_t at;
    struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN };

    while (s->busy[slot]) {
        slot++;
    }
    at = BUFFERS_AT + slot * 0x1000;
    s->busy[slot] = true;
    s->sector[slot] = header.sector = next_random(&s->seed[0]) % DISK_SECTORS;
    memcpy(rig_ram(s->rig, at), &header, sizeof(header));
    memset(rig_ram(s->rig, at + DATA_AT), 0xee, 512);
    s->slot_of[driver_add(&s->queue, (DriverBuffer[]){ { at, sizeof(header), false }, { at + DATA_AT, 512, true },
                                                       { at + STATUS_AT, 1, true } }, 3)] = (int)slot;
    s->in_flight++;
}

static void take_reads(Stress *s)
{
    uint16_t id;
    uint32_t length;

    while (driver_take_used(&s->queue, &id, &length)) {
        unsigned slot = (unsigned)s->slot_of[id];
        const uint8_t *data = rig_ram(s->rig, BUFFERS_AT + slot * 0x1000 + DATA_AT);

        g_assert_cmpuint(length, ==, 513);
        g_assert_cmpuint(*(uint8_t *)rig_ram(s->rig, BUFFERS_AT + slot * 0x1000 + STATUS_AT), ==, VIRTIO_BLK_S_OK);
        for (unsigned i = 0; i < 512; i++) {
            g_assert_cmpuint(data[i], ==, pattern(s->sector[slot], i));
        }
        s->busy[slot] = false;
        s->in_flight--;
        __atomic_fetch_add(&s->reads, 1, __ATOMIC_RELAXED);
    }
}

static void drive_disk(Stress *s)
{
    uint64_t bar;
    uint8_t status;

    pthread_mutex_lock(&s->bar_lock);
    bar = rig_config_read(s->rig, BLK_DEVFN, BAR4, 4) & ~15u;
    status = bar ? (uint8_t)rig_read(s->rig, bar + VIRTIO_PCI_COMMON_STATUS, 1) : 0xff;
    if (status != 0xff && (status != S_DRIVER_OK || !s->ready)) {
        set_up_device(s, bar);
    }
    pthread_mutex_unlock(&s->bar_lock);
    if (status != S_DRIVER_OK) {
        return;
    }
    take_reads(s);
    while (s->in_flight < SLOTS) {
        add_read(s);
    }
    rig_write(s->rig, bar + NOTIFY_AT, 0, 2); /* lost when the BAR has moved: rung again next time */
}

/* ---- vCPU 1: moves the BAR ---- */

static void move_bar(Stress *s)
{
    pthread_mutex_lock(&s->bar_lock);
    rig_config_write(s->rig, BLK_DEVFN, BAR4 + 4, 0, 4);
    rig_config_write(s->rig, BLK_DEVFN, BAR4, next_random(&s->seed[1]) & 1 ? HOME_A : HOME_B, 4);
    rig_config_write(s->rig, BLK_DEVFN, 4, 6, 2); /* memory, bus master */
    pthread_mutex_unlock(&s->bar_lock);
    g_usleep(50);
}

/* ---- vCPU 2: anything at all to a device that comes and goes, which may do no DMA ---- */

static void hammer(Stress *s)
{
    uint32_t *seed = &s->seed[2];

    rig_config_write(s->rig, RNG_DEVFN, BAR4 + 4, 0, 4);
    rig_config_write(s->rig, RNG_DEVFN, BAR4, RNG_BAR, 4);
    rig_config_write(s->rig, RNG_DEVFN, 4, 2, 2);
    for (unsigned i = 0; i < 32; i++) {
        unsigned size = 1u << next_random(seed) % 3;
        uint64_t at = next_random(seed) % 0x4000 & ~(uint64_t)(size - 1);

        rig_write(s->rig, RNG_BAR + at, next_random(seed), size);
        rig_read(s->rig, RNG_BAR + at, size);
    }
}

/* ---- vCPU 3, which comes and goes: reads what the others write ---- */

static void look(Stress *s)
{
    uint32_t *seed = &s->seed[3];

    for (unsigned i = 0; i < 32; i++) {
        rig_config_read(s->rig, next_random(seed) & 1 ? BLK_DEVFN : RNG_DEVFN, next_random(seed) & 0xfc, 4);
        rig_read(s->rig, HOME_A + (next_random(seed) & 0x3ffc), 4);
    }
}

static void guest(Vcpu *vcpu, void *opaque)
{
    static void (*const parts[])(Stress *s) = { drive_disk, move_bar, hammer, look };

    parts[vcpu->index](opaque);
}

/* ---- the main thread: upheavals ---- */

static void plug_or_unplug(Stress *s)
{
    g_autofree char *failure = NULL;

    if (s->rng) {
        device_free(g_steal_pointer(&s->rng));
        return;
    }
    failure = rig_try_add(s->rig, "virtio-rng-pci,addr=05.0,rng=rng0");
    g_assert_cmpstr(failure, ==, NULL);
    s->rng = s->rig->dev;
}

static void no_news(void *opaque, const Vcpu *vcpu, bool hot)
{
}

static void no_question(void *opaque, const Vcpu *vcpu)
{
}

static const CpuHotplugOps cpu_ops = { .came = no_news, .ask = no_question, .went = no_question };

static void plug_or_unplug_cpu(Stress *s)
{
    CpuBus *cpus = &s->rig->machine->cpus;
    g_autoptr(Json) options = keyval_parse("qemu64-x86_64-cpu,id=cpu3,apic-id=3", "driver", NULL);

    if (domain_find_vcpu(s->rig->domain, 3)) {
        cpu_bus_remove(cpus, 3);
    } else {
        g_assert_nonnull(device_add(s->rig->domain, options, NULL));
    }
}

static void save_and_load(Stress *s)
{
    g_autoptr(GByteArray) saved = NULL, again = NULL;
    g_autofree char *failure = NULL;

    domain_stop(s->rig->domain, RUN_STATE_PAUSED);
    saved = rig_save(s->rig);
    failure = rig_load(s->rig, saved);
    g_assert_cmpstr(failure, ==, NULL);
    again = rig_save(s->rig);
    g_assert_cmpmem(saved->data, saved->len, again->data, again->len);
    g_assert_true(domain_cont(s->rig->domain, NULL));
}

static void stop_and_go(Stress *s)
{
    uint64_t reads;

    domain_stop(s->rig->domain, RUN_STATE_PAUSED);
    reads = __atomic_load_n(&s->reads, __ATOMIC_RELAXED);
    g_usleep(200);
    g_assert_cmpuint(__atomic_load_n(&s->reads, __ATOMIC_RELAXED), ==, reads);
    g_assert_true(domain_cont(s->rig->domain, NULL));
}

static void reset(Stress *s)
{
    domain_request_reset(s->rig->domain, REASON_HOST_QMP_RESET);
    rig_settle(s->rig);
}

static void wait_for_reads(Stress *s)
{
    uint64_t reads = __atomic_load_n(&s->reads, __ATOMIC_RELAXED);

    while (__atomic_load_n(&s->reads, __ATOMIC_RELAXED) < reads + SLOTS) {
        loop_run_once(domain_loop(s->rig->domain), false);
        g_usleep(100);
    }
}

/* ---- set-up ---- */

static void make_disk(Domain *domain)
{
    char path[] = "/tmp/lodge-stress-XXXXXX";
    int fd = mkstemp(path);
    g_autofree char *drive = g_strdup_printf("if=none,id=d0,format=raw,file=%s", path);

    for (uint64_t sector = 0; sector < DISK_SECTORS; sector++) {
        uint8_t data[512];

        for (unsigned i = 0; i < sizeof(data); i++) {
            data[i] = pattern(sector, i);
        }
        g_assert_cmpint(write(fd, data, sizeof(data)), ==, sizeof(data));
    }
    g_assert_true(drive_add(domain, drive, NULL));
    close(fd);
    unlink(path);
}

static void add_object(Domain *domain, const char *text)
{
    g_autoptr(Json) options = keyval_parse(text, "qom-type", NULL);

    g_assert_nonnull(object_add(domain, options, NULL));
}

int main(int argc, char **argv)
{
    static void (*const upheavals[])(Stress *s) = {
        plug_or_unplug, plug_or_unplug_cpu, save_and_load, stop_and_go, reset
    };
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 60;
    Stress s = { .seed = { 1, 2, 3, 5 } };
    uint32_t seed = 4;
    g_autofree char *failure = NULL;

    pthread_mutex_init(&s.bar_lock, NULL);
    s.rig = rig_new_cpus("3,maxcpus=4");
    fake_accel(s.rig->domain)->guest = guest;
    fake_accel(s.rig->domain)->opaque = &s;
    make_disk(s.rig->domain);
    add_object(s.rig->domain, "iothread,id=io0");
    add_object(s.rig->domain, "rng-builtin,id=rng0");
    failure = rig_try_add(s.rig, "virtio-blk-pci,addr=04.0,drive=d0,iothread=io0");
    g_assert_cmpstr(failure, ==, NULL);
    cpu_bus_set_controller(&s.rig->machine->cpus, &cpu_ops, NULL);
    g_assert_true(machine_finalize(s.rig->machine, NULL));
    g_assert_true(domain_cont(s.rig->domain, NULL));
    for (unsigned i = 0; i < rounds; i++) {
        upheavals[next_random(&seed) % G_N_ELEMENTS(upheavals)](&s);
        wait_for_reads(&s);
    }
    domain_stop(s.rig->domain, RUN_STATE_SHUTDOWN);
    printf("%u upheavals, %" PRIu64 " reads\n", rounds, s.reads);
    cpu_bus_set_controller(&s.rig->machine->cpus, NULL, NULL);
    rig_free(s.rig);
    pthread_mutex_destroy(&s.bar_lock);
    return 0;
}
