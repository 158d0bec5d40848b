/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map while it changes: vCPU-like threads access what others move,
 * alias, ring, map and unplug.  Meant for -Db_sanitize=thread (and address); what it
 * asserts itself is that an access hits the old or the new place, never anything
 * else, and that no dirty bit and no interrupt level is lost.
 *
 *   stress-memory [rounds]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/dma.h"
#include "vmm/epoch.h"
#include "vmm/irq.h"
#include "vmm/memory.h"

#define PAGE       UINT64_C(0x1000)
#define RAM_PAGES  64
#define CPUS       3
#define BAR_A      UINT64_C(0x10000000)
#define BAR_B      UINT64_C(0x20000000)
#define WINDOW     UINT64_C(0xc0000)  /* an alias whose target and flags flip */
#define HOTPLUG    UINT64_C(0x40000000)
#define MAGIC      UINT64_C(0x5a5a5a5a)

static struct {
    MemoryRegion root, low, window, bar;
    AddressSpace *as;
    RamBlock *ram;
    Lock bar_lock;
    uint64_t bar_writes; /* under bar_lock */
    DmaSpace dma;
    IrqLine line;
    bool seen_level;     /* under the line's lock */
    unsigned rounds;
    unsigned changers;   /* atomic: threads that still change the map */
} s;

#define CHECK(CONDITION) \
    do { \
        if (!(CONDITION)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #CONDITION); \
            abort(); \
        } \
    } while (0)

static bool changing(void)
{
    return __atomic_load_n(&s.changers, __ATOMIC_ACQUIRE) > 0;
}

/* ---- the device whose BAR moves ---- */

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
    return MAGIC;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    s.bar_writes++;
}

static const MemoryOps bar_ops = { .read = bar_read, .write = bar_write };

/* ---- readers ---- */

static void access_bar(uint64_t address, uint64_t i)
{
    uint64_t value;
    MemoryResult result = memory_load(s.as, address + 4 * (i % 16), 4, &value);

    CHECK((result == MEMORY_OK && value == MAGIC) || (result == MEMORY_UNASSIGNED && value == 0xffffffff));
    memory_store(s.as, address, 4, i);
}

/* A page of its own, through RAM and, when it is shown there, through the window. */
static void access_ram(unsigned cpu, uint64_t i)
{
    uint64_t address = cpu * PAGE + 8 * (i % 64), value;

    CHECK(memory_store(s.as, address, 8, i) == MEMORY_OK);
    CHECK(memory_load(s.as, address, 8, &value) == MEMORY_OK && value == i);
    CHECK(memory_load(s.as, WINDOW + 8 * (i % 64), 8, &value) == MEMORY_OK);
}

/* Hot-plugged memory reads as what was put there before it appeared, or as nothing. */
static void access_hotplug(uint64_t i)
{
    uint64_t value;
    MemoryResult result = memory_load(s.as, HOTPLUG + 8 * (i % 512), 8, &value);

    CHECK(result == MEMORY_UNASSIGNED ? value == UINT64_MAX : value == MAGIC);
}

static void *cpu_thread(void *opaque)
{
    unsigned cpu = GPOINTER_TO_UINT(opaque);

    epoch_thread_begin();
    for (uint64_t i = 0; changing(); i++) {
        access_bar(BAR_A, i);
        access_bar(BAR_B, i);
        access_ram(cpu, i);
        access_hotplug(i);
        epoch_quiescent();
    }
    epoch_thread_end();
    return NULL;
}

static void *dma_thread(void *opaque)
{
    uint64_t page = (8 + GPOINTER_TO_UINT(opaque)) * PAGE;
    uint64_t kept = 0;
    DmaMapping m = { 0 };

    epoch_thread_begin();
    for (uint64_t i = 0; changing(); i++) {
        uint64_t value = i, back = 0;
        DmaMapping hot;

        if (dma_write(&s.dma, page, &value, 8) == 0 && dma_read(&s.dma, page, &back, 8) == 0) {
            CHECK(back == i);
        }
        if (!m.block && dma_map(&s.dma, page + 64, 64, DMA_TO_GUEST, &m)) {
            kept = i;
        }
        if (m.block && i - kept > 50) { /* over many quiescent points */
            memset(m.host, (int)i, 64);
            dma_unmap(&m, 64);
        }
        if (dma_map(&s.dma, HOTPLUG, 8, DMA_FROM_GUEST, &hot)) {
            CHECK(*(uint64_t *)hot.host == MAGIC);
            dma_unmap(&hot, 0);
        }
        epoch_quiescent();
    }
    dma_unmap(&m, 0);
    epoch_thread_end();
    return NULL;
}

/* Takes dirty bits while the CPUs set them: whatever was written after a take is dirty again. */
static void *dirty_thread(void *opaque)
{
    epoch_thread_begin();
    memory_log_start(s.ram, DIRTY_MIGRATION);
    while (changing()) {
        for (uint64_t page = 0; page < RAM_PAGES; page++) {
            ram_dirty_take(s.ram, DIRTY_MIGRATION, page * PAGE);
        }
        memory_log_sync(s.ram);
        epoch_quiescent();
    }
    epoch_thread_end();
    return NULL;
}

/* ---- changers ---- */

static void changer_begin(void)
{
    epoch_thread_begin();
}

static void changer_end(void)
{
    __atomic_fetch_sub(&s.changers, 1, __ATOMIC_RELEASE);
    epoch_thread_end();
}

static void *move_thread(void *opaque)
{
    changer_begin();
    for (unsigned i = 0; i < s.rounds; i++) {
        memory_set_address(&s.bar, i % 2 ? BAR_A : BAR_B);
        memory_begin();
        memory_set_enabled(&s.bar, false);
        memory_set_address(&s.bar, BAR_A);
        memory_commit();
        memory_set_enabled(&s.bar, true);
        epoch_quiescent();
    }
    changer_end();
    return NULL;
}

static void *alias_thread(void *opaque)
{
    changer_begin();
    for (unsigned i = 0; i < s.rounds; i++) {
        memory_set_alias_offset(&s.window, (16 + i % 4) * PAGE);
        memory_set_readonly(&s.window, i % 3 == 0);
        epoch_quiescent();
    }
    changer_end();
    return NULL;
}

static void close_fd(void *opaque)
{
    close(GPOINTER_TO_INT(opaque));
}

static void *doorbell_thread(void *opaque)
{
    changer_begin();
    for (unsigned i = 0; i < s.rounds; i++) {
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        MemoryDoorbell bell = { .offset = 0, .size = 4, .match = i % 2, .data = i % 8, .eventfd = fd };

        memory_add_doorbell(&s.bar, &bell);
        epoch_quiescent();
        memory_remove_doorbell(&s.bar, &bell);
        epoch_retire(close_fd, GINT_TO_POINTER(fd));
        epoch_quiescent();
    }
    changer_end();
    return NULL;
}

typedef struct Dimm {
    MemoryRegion mr;
    RamBlock *ram;
} Dimm;

static void dimm_free(void *opaque)
{
    Dimm *d = opaque;

    memory_region_finish(&d->mr);
    ram_block_unref(d->ram);
    g_free(d);
}

static void *hotplug_thread(void *opaque)
{
    changer_begin();
    for (unsigned i = 0; i < s.rounds; i++) {
        g_autofree char *id = g_strdup_printf("dimm%u", i);
        Dimm *d = g_new0(Dimm, 1);

        d->ram = ram_block_new(id, PAGE, &(RamBacking) { .kind = RAM_ANONYMOUS }, NULL);
        for (unsigned n = 0; n < PAGE / 8; n++) {
            ((uint64_t *)ram_block_host(d->ram))[n] = MAGIC;
        }
        memory_region_init_ram(&d->mr, "dimm", d->ram, 0, PAGE);
        memory_add(&s.root, HOTPLUG, &d->mr, 0);
        epoch_quiescent();
        memory_remove(&d->mr);
        epoch_retire(dimm_free, d);
        epoch_quiescent();
    }
    changer_end();
    return NULL;
}

static void *bus_master_thread(void *opaque)
{
    changer_begin();
    for (unsigned i = 0; i < s.rounds; i++) {
        dma_space_set_enabled(&s.dma, i % 4 != 0);
        epoch_quiescent();
    }
    changer_end();
    return NULL;
}

/* ---- interrupts: several threads drive one line ---- */

static void line_sink(void *opaque, unsigned n, bool level)
{
    s.seen_level = level;
}

static void *line_thread(void *opaque)
{
    changer_begin();
    for (unsigned i = 0; i < 10 * s.rounds; i++) {
        irq_set(&s.line, i % 2);
        epoch_quiescent();
    }
    changer_end();
    return NULL;
}

/* ---- listeners ---- */

static void ignore_range(MemoryListener *l, const MemoryRange *range)
{
}

static MemoryListener listener = {
    .name = "stress", .add = ignore_range, .remove = ignore_range, .log_sync = ignore_range,
};

static void set_up(void)
{
    epoch_thread_begin();
    s.ram = ram_block_new("ram", RAM_PAGES * PAGE, &(RamBacking) { .kind = RAM_ANONYMOUS }, NULL);
    memory_region_init(&s.root, "root", UINT64_MAX);
    memory_region_init_ram(&s.low, "low", s.ram, 0, RAM_PAGES * PAGE);
    memory_region_init_alias(&s.window, "window", &s.low, 16 * PAGE, PAGE);
    lock_init(&s.bar_lock, LOCK_DEVICE, "bar");
    memory_region_init_io(&s.bar, "bar", PAGE, &bar_ops, NULL, &s.bar_lock);
    s.as = address_space_new("memory", &s.root, false);
    memory_add(&s.root, 0, &s.low, 0);
    memory_add(&s.root, WINDOW, &s.window, 1);
    memory_add(&s.root, BAR_A, &s.bar, 1);
    memory_listener_add(&listener, s.as);
    dma_space_init(&s.dma, s.as);
    irq_line_init(&s.line, line_sink, NULL, 0);
}

static void tear_down(void)
{
    memory_log_stop(s.ram, DIRTY_MIGRATION);
    memory_listener_remove(&listener);
    memory_remove(&s.low);
    memory_remove(&s.window);
    memory_remove(&s.bar);
    address_space_free(s.as);
    epoch_synchronize();
    memory_region_finish(&s.low);
    memory_region_finish(&s.window);
    memory_region_finish(&s.bar);
    memory_region_finish(&s.root);
    ram_block_unref(s.ram);
    lock_finish(&s.bar_lock);
    irq_line_finish(&s.line);
    epoch_thread_end();
}

int main(int argc, char **argv)
{
    void *(*const changers[])(void *) = { move_thread,       alias_thread, doorbell_thread, hotplug_thread,
                                          bus_master_thread, line_thread,  line_thread };
    pthread_t threads[G_N_ELEMENTS(changers) + 2 * CPUS + 1];
    unsigned n = 0;

    s.rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 300;
    s.changers = G_N_ELEMENTS(changers);
    set_up();
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_create(&threads[n++], NULL, cpu_thread, GUINT_TO_POINTER(i));
        pthread_create(&threads[n++], NULL, dma_thread, GUINT_TO_POINTER(i));
    }
    pthread_create(&threads[n++], NULL, dirty_thread, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(changers); i++) {
        pthread_create(&threads[n++], NULL, changers[i], NULL);
    }
    epoch_offline();
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    epoch_online();
    CHECK(s.seen_level == irq_level(&s.line));
    printf("%" G_GUINT64_FORMAT " writes reached the device\n", s.bar_writes);
    tear_down();
    return 0;
}
