/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-balloon: the traditional memory balloon, Virtio 1.2 section 5.5: inflating and deflating, memory statistics,
 * deflating when the guest runs out of memory, free page reporting, page poisoning.  Free page hinting (5.5.6.5) is for
 * migration and not offered.
 *
 * A page in the balloon is given back to the host, and reads as zero when the guest takes it out again.
 *
 * Locking: queues, the timer and commands on the main loop.  Registers are written on vCPUs under the transport's
 * lock: what both see are atomics.
 */
#include <inttypes.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>

#include "hw/virtio/virtio-pci.h"
#include "vmm/balloon.h"
#include "vmm/bytes.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/ram.h"

#define QUEUE_SIZE       128
#define PCI_CLASS_OTHERS 0x00ff
#define PAGE_SHIFT       12 /* of page frame numbers, 5.5.6 */
#define PFNS_AT_ONCE     256
#define PFNS_MAX         4096 /* of a buffer; drivers use 256: the rest stays where it is */
#define STATS_MAX        64
#define PER_ROUND        64   /* buffers, before others on the loop get their turn */
#define CHAIN_BYTES_MAX  (1 << 20) /* of a saved chain */
#define STAT_BYTES       10 /* le16 tag, le64 value, 5.5.6.3 */
#define CONFIG_NUM_PAGES 0
#define CONFIG_ACTUAL    4
#define CONFIG_POISON    12
#define CONFIG_SIZE      16

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS, QUEUE_REPORTING };

/* `guest-stats`: UINT64_MAX is what the guest did not tell. */
typedef struct GuestStats {
    struct GuestStatValues { uint64_t value[VIRTIO_BALLOON_S_NR]; } stats;
    int64_t last_update; /* seconds since 1970; 0: never */
} GuestStats;

typedef struct VirtioBalloon {
    Virtio virtio;
    /* Configuration */
    bool deflate_on_oom, free_page_reporting, page_poison;
    uint32_t interval_s; /* of the statistics; 0: none; may change */
    /* Set by realize */
    DmaSpace physical;
    Timer *timer;
    bool attached;
    /* Guest state: atomics */
    uint32_t num_pages, actual, poison;
    /* The loop's */
    VirtqueueChain *stats_chain; /* the guest's last answer, given back to ask again; NULL: none */
    GuestStats stats;
    /* Saved state only */
    GByteArray *saved;
} VirtioBalloon;

static VirtioBalloon *virtio_balloon(Virtio *v)
{
    return (VirtioBalloon *)v;
}

static uint32_t load(const uint32_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void store(uint32_t *field, uint32_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* ---- pages ---- */

/* Whatever of [address, +length) is RAM; where the backing cannot (locked, huge pages), the guest loses nothing. */
static void discard(VirtioBalloon *b, uint64_t address, uint64_t length)
{
    while (length) {
        DmaMapping m;

        if (!dma_map(&b->physical, address, length, DMA_TO_GUEST, &m)) {
            guest_error("virtio-balloon", "no RAM at 0x%" PRIx64, address);
            return;
        }
        ram_block_discard(m.block, m.offset, m.length);
        address += m.length;
        length -= m.length;
        dma_unmap(&m, 0);
    }
}

/* Drivers list pages one by one, often neighbours in rising or falling order: each run is one call. */
static void discard_pages(VirtioBalloon *b, const uint32_t *pfn, unsigned n)
{
    for (unsigned i = 0; i < n;) {
        uint32_t first = pfn[i], last = pfn[i];

        for (i++; i < n && (pfn[i] == last + 1 || pfn[i] == first - 1); i++) {
            first = MIN(first, pfn[i]);
            last = MAX(last, pfn[i]);
        }
        discard(b, (uint64_t)first << PAGE_SHIFT, ((uint64_t)last - first + 1) << PAGE_SHIFT);
    }
}

static void inflate(VirtioBalloon *b, const VirtqueueChain *c)
{
    uint32_t pfn[PFNS_AT_ONCE];
    uint64_t at = 0;

    while (at + sizeof(pfn[0]) <= MIN(c->out_bytes, PFNS_MAX * sizeof(pfn[0]))) {
        unsigned n = (unsigned)(iov_to_buffer(c->out, c->outs, at, pfn, sizeof(pfn)) / sizeof(pfn[0]));

        discard_pages(b, pfn, n); /* le32 is what this host has */
        at += n * sizeof(pfn[0]);
    }
}

/* 5.5.6.7: the pages themselves are the buffers.  Poisoned ones must keep what is in them, unless that is zero. */
static void report(VirtioBalloon *b, const VirtqueueChain *c)
{
    bool keep = virtio_has(&b->virtio, VIRTIO_BALLOON_F_PAGE_POISON) && load(&b->poison);

    for (unsigned i = 0; i < c->ins && !keep; i++) {
        const DmaMapping *m = &c->segments[c->outs + i].mapping;
        uint64_t begin = (m->offset + GUEST_PAGE_SIZE - 1) & -GUEST_PAGE_SIZE;
        uint64_t end = (m->offset + m->length) & -GUEST_PAGE_SIZE;

        if (begin < end) {
            ram_block_discard(m->block, begin, end - begin);
        }
    }
}

/* ---- statistics ---- */

static void forget_stats(VirtioBalloon *b)
{
    memset(b->stats.stats.value, 0xff, sizeof(b->stats.stats.value));
}

static void take_stats(VirtioBalloon *b, const VirtqueueChain *c)
{
    uint8_t stat[STAT_BYTES];

    forget_stats(b);
    for (uint64_t at = 0; at + sizeof(stat) <= MIN(c->out_bytes, STATS_MAX * STAT_BYTES); at += sizeof(stat)) {
        uint16_t tag;

        iov_to_buffer(c->out, c->outs, at, stat, sizeof(stat));
        tag = get16(stat);
        if (tag < VIRTIO_BALLOON_S_NR) {
            b->stats.stats.value[tag] = get64(stat + sizeof(tag));
        }
    }
    b->stats.last_update = g_get_real_time() / G_USEC_PER_SEC;
}

static void arm_timer(VirtioBalloon *b)
{
    if (b->interval_s) {
        timer_mod(b->timer, clock_ns(domain_clock(b->virtio.dev.domain)) + b->interval_s * NS_PER_SEC);
    } else {
        timer_del(b->timer);
    }
}

/* The buffer goes back: the guest fills it again. */
static void ask_for_stats(Device *dev)
{
    VirtioBalloon *b = virtio_balloon((Virtio *)dev);
    Virtqueue *vq = b->virtio.queue[QUEUE_STATS];

    if (b->stats_chain && virtqueue_running(vq)) {
        virtqueue_push(vq, g_steal_pointer(&b->stats_chain), 0);
        virtqueue_notify(vq);
    }
    arm_timer(b);
}

static void interval_changed(Device *dev)
{
    arm_timer(virtio_balloon((Virtio *)dev));
}

/* There is one buffer, 5.5.6.3; of more, the last. */
static void serve_stats(VirtioBalloon *b, Virtqueue *vq)
{
    unsigned left = PER_ROUND;
    VirtqueueChain *c;

    while (left && (c = virtqueue_pop(vq, sizeof(VirtqueueChain)))) {
        left--;
        if (b->stats_chain) {
            virtqueue_push(vq, g_steal_pointer(&b->stats_chain), 0);
            virtqueue_notify(vq);
        }
        take_stats(b, c);
        virtqueue_hold(vq, c, true);
        b->stats_chain = c;
    }
    if (!left) {
        virtqueue_kick(vq);
    }
}

/* ---- queues ---- */

static void balloon_queue_ready(Virtio *v, Virtqueue *vq)
{
    VirtioBalloon *b = virtio_balloon(v);
    unsigned n = virtqueue_index(vq), left = PER_ROUND;
    VirtqueueChain *c;

    if (n == QUEUE_STATS) {
        serve_stats(b, vq);
        return;
    }
    while (left && (c = virtqueue_pop(vq, sizeof(VirtqueueChain)))) {
        left--;
        if (n == QUEUE_INFLATE) {
            inflate(b, c);
        } else if (n == QUEUE_REPORTING) {
            report(b, c);
        }
        virtqueue_push(vq, c, 0);
        virtqueue_notify_soon(vq);
    }
    if (!left) {
        virtqueue_kick(vq);
    }
}

static void balloon_drop_queue(Virtio *v, Virtqueue *vq)
{
    VirtioBalloon *b = virtio_balloon(v);

    if (virtqueue_index(vq) == QUEUE_STATS && b->stats_chain) {
        virtqueue_detach(vq, g_steal_pointer(&b->stats_chain));
    }
}

/* ---- registers ---- */

static uint64_t balloon_features(Virtio *v)
{
    const VirtioBalloon *b = virtio_balloon(v);

    return VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ) |
           (b->deflate_on_oom ? VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) : 0) |
           (b->free_page_reporting ? VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING) : 0) |
           (b->page_poison ? VIRTIO_BIT(VIRTIO_BALLOON_F_PAGE_POISON) : 0);
}

static void balloon_config_read(Virtio *v, uint8_t *config)
{
    const VirtioBalloon *b = virtio_balloon(v);

    put32(config + CONFIG_NUM_PAGES, load(&b->num_pages));
    put32(config + CONFIG_ACTUAL, load(&b->actual));
    put32(config + CONFIG_POISON, load(&b->poison));
}

static uint64_t memory_of(const VirtioBalloon *b, uint32_t pages)
{
    uint64_t ram = domain_machine(b->virtio.dev.domain)->ram_size;

    return ram - MIN(ram, (uint64_t)pages << PAGE_SHIFT);
}

/* Drivers write fields whole, 4.1.3.1; anything else is put together from what was there. */
static void balloon_config_write(Virtio *v, uint32_t offset, const uint8_t *data, uint32_t length)
{
    VirtioBalloon *b = virtio_balloon(v);
    uint32_t before = load(&b->actual), actual;
    uint8_t config[CONFIG_SIZE];

    balloon_config_read(v, config);
    memcpy(config + offset, data, length);
    actual = get32(config + CONFIG_ACTUAL);
    store(&b->actual, actual);
    store(&b->poison, get32(config + CONFIG_POISON));
    if (actual != before) {
        balloon_changed(v->dev.domain, memory_of(b, actual));
    }
}

static void balloon_reset(Virtio *v)
{
    VirtioBalloon *b = virtio_balloon(v);

    store(&b->actual, 0);
    store(&b->poison, 0);
    forget_stats(b);
    b->stats.last_update = 0;
    g_byte_array_set_size(b->saved, 0);
}

/* ---- commands ---- */

static void set_target(void *opaque, uint64_t bytes)
{
    VirtioBalloon *b = opaque;
    uint64_t ram = domain_machine(b->virtio.dev.domain)->ram_size;

    store(&b->num_pages, (uint32_t)MIN((ram - bytes) >> PAGE_SHIFT, UINT32_MAX));
    virtio_config_changed(&b->virtio);
}

static uint64_t actual(void *opaque)
{
    const VirtioBalloon *b = opaque;

    return memory_of(b, load(&b->actual));
}

static const BalloonClass balloon_class = { set_target, actual };

/* ---- saved state ---- */

static bool balloon_start(Virtio *v, GError **error)
{
    VirtioBalloon *b = virtio_balloon(v);
    const uint8_t *data = b->saved->data;
    size_t length = b->saved->len;

    if (length) {
        if (!virtqueue_mapped(v->queue[QUEUE_STATS])) {
            return error_set(error, "there is a saved buffer of statistics, but the queue does not run");
        }
        b->stats_chain = virtqueue_chain_load(v->queue[QUEUE_STATS], sizeof(VirtqueueChain), &data, &length, error);
        g_byte_array_set_size(b->saved, 0);
        return b->stats_chain != NULL;
    }
    return true;
}

static bool balloon_save(void *opaque, GError **error)
{
    VirtioBalloon *b = opaque;

    if (b->virtio.started) { /* else it is still as it was loaded */
        g_byte_array_set_size(b->saved, 0);
        if (b->stats_chain) {
            virtqueue_chain_save(b->stats_chain, b->saved);
        }
    }
    return true;
}

static const StateDesc balloon_state = {
    .name = "virtio-balloon",
    .version = 1,
    .save = balloon_save,
    .fields = (const StateField[]) {
        STATE_U32(VirtioBalloon, num_pages), STATE_U32(VirtioBalloon, actual), STATE_U32(VirtioBalloon, poison),
        STATE_BLOB(VirtioBalloon, saved, CHAIN_BYTES_MAX), STATE_END
    },
};

/* ---- realize ---- */

static bool add_queues(VirtioBalloon *b, GError **error)
{
    unsigned queues = b->free_page_reporting ? QUEUE_REPORTING + 1 : QUEUE_STATS + 1;

    for (unsigned i = 0; i < queues; i++) {
        if (!virtio_add_queue(&b->virtio, QUEUE_SIZE, NULL, error)) {
            return false;
        }
    }
    return true;
}

static void balloon_unrealize(Device *dev)
{
    VirtioBalloon *b = virtio_balloon((Virtio *)dev);

    virtio_remove_queues(&b->virtio);
    balloon_detach(dev->domain, b);
    timer_free(g_steal_pointer(&b->timer));
    g_clear_pointer(&b->saved, g_byte_array_unref);
}

static bool balloon_realize(Device *dev, GError **error)
{
    VirtioBalloon *b = virtio_balloon((Virtio *)dev);

    if (!balloon_attach(dev->domain, &balloon_class, b, error)) {
        return false;
    }
    dma_space_init(&b->physical, domain_memory(dev->domain));
    dma_space_set_enabled(&b->physical, true);
    b->saved = g_byte_array_new();
    b->timer = device_timer_new(dev, domain_clock(dev->domain), ask_for_stats);
    forget_stats(b);
    if (!add_queues(b, error)) {
        balloon_unrealize(dev);
        return false;
    }
    arm_timer(b);
    return true;
}

#define STAT(NAME, TAG, HELP) \
    F_UINT(NAME, struct GuestStatValues, value[TAG], UINT64_MAX, .flags = FIELD_REQUIRED, .help = HELP)
static const FieldStruct stat_values = {
    .name = "GuestStatValues", .size = sizeof(struct GuestStatValues),
    .fields = (const Field[]) {
        STAT("stat-swap-in", VIRTIO_BALLOON_S_SWAP_IN, "Bytes swapped in"),
        STAT("stat-swap-out", VIRTIO_BALLOON_S_SWAP_OUT, "Bytes swapped out"),
        STAT("stat-major-faults", VIRTIO_BALLOON_S_MAJFLT, "Page faults that read a disk"),
        STAT("stat-minor-faults", VIRTIO_BALLOON_S_MINFLT, "Page faults that did not"),
        STAT("stat-free-memory", VIRTIO_BALLOON_S_MEMFREE, "Unused, bytes"),
        STAT("stat-total-memory", VIRTIO_BALLOON_S_MEMTOT, "All, bytes"),
        STAT("stat-available-memory", VIRTIO_BALLOON_S_AVAIL, "To be had without swapping, bytes"),
        STAT("stat-disk-caches", VIRTIO_BALLOON_S_CACHES, "In caches, bytes"),
        STAT("stat-htlb-pgalloc", VIRTIO_BALLOON_S_HTLB_PGALLOC, "Huge pages allocated"),
        STAT("stat-htlb-pgfail", VIRTIO_BALLOON_S_HTLB_PGFAIL, "Huge pages that could not be"),
        FIELD_END
    },
};
static const FieldStruct guest_stats = {
    .name = "GuestStats", .size = sizeof(GuestStats),
    .fields = (const Field[]) {
        F_STRUCT("stats", GuestStats, stats, &stat_values, .flags = FIELD_REQUIRED, .help = "What the guest told"),
        F_INT("last-update", GuestStats, last_update, 0, .flags = FIELD_REQUIRED, .help = "When, seconds since 1970"),
        FIELD_END
    },
};

static const Property balloon_props[] = {
    PROP_BOOL("deflate-on-oom", VirtioBalloon, deflate_on_oom, false,
              .help = "Let the guest take pages back when it runs out of memory"),
    PROP_BOOL("free-page-reporting", VirtioBalloon, free_page_reporting, false,
              .help = "Give the host what the guest does not use"),
    PROP_BOOL("page-poison", VirtioBalloon, page_poison, true, .help = "Let the guest say what free pages hold"),
    { .field = F_UINT("guest-stats-polling-interval", VirtioBalloon, interval_s, 0, .flags = FIELD_RUNTIME,
                      .max = INT32_MAX, .help = "Seconds between statistics; 0: none are asked for"),
      .changed = interval_changed },
    { .field = F_STRUCT("guest-stats", VirtioBalloon, stats, &guest_stats, .flags = FIELD_READONLY,
                        .help = "The guest's statistics") },
    PROP_END
};

static const char *const balloon_pci_aliases[] = { "virtio-balloon", "virtio-balloon-pci-non-transitional", NULL };
static const char *const balloon_aliases[] = { "virtio-balloon", NULL };

const VirtioClass virtio_balloon_class = {
    .device = {
        .name = "virtio-balloon-device",
        .desc = "Virtio memory balloon",
        .aliases = balloon_aliases,
        .category = "Misc",
        .base = &virtio_device_class,
        .size = sizeof(VirtioBalloon),
        .bus = &virtio_bus_class,
        .props = balloon_props,
        .state = &balloon_state,
        .realize = balloon_realize,
        .unrealize = balloon_unrealize,
    },
    .id = VIRTIO_ID_BALLOON,
    .pci_class = PCI_CLASS_OTHERS,
    .config_size = CONFIG_SIZE,
    .features = balloon_features,
    .config_read = balloon_config_read,
    .config_write = balloon_config_write,
    .queue_ready = balloon_queue_ready,
    .start = balloon_start,
    .drop_queue = balloon_drop_queue,
    .reset = balloon_reset,
};

const DeviceClass virtio_balloon_pci_class = {
    VIRTIO_PCI_CLASS(virtio_balloon_class),
    .name = "virtio-balloon-pci",
    .desc = "Virtio memory balloon on PCI",
    .aliases = balloon_pci_aliases,
    .category = "Misc",
};
