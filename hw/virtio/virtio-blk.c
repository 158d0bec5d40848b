/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: a disk, Virtio 1.2 section 5.2.  Properties as QEMU's; not offered:
 * geometry, size_max, lifetime, secure erase, zones.
 *
 * Locking: config hooks under the transport's lock; requests in virtio-blk-request.c.
 */
#include <linux/virtio_ids.h>
#include <string.h>

#include "hw/virtio/virtio-blk.h"
#include "hw/virtio/virtio-pci.h"
#include "vmm/domain.h"
#include "vmm/error.h"

#define PCI_CLASS_STORAGE 0x0100
#define CONFIG_SIZE       (offsetof(struct virtio_blk_config, write_zeroes_may_unmap) + 4)
#define WCE_AT            offsetof(struct virtio_blk_config, wce)
#define QUEUE_SIZE_MAX    1024
#define REQUEST_SECTORS   (INT32_MAX / 512) /* what a discard may cover */
#define GRANULARITY_AUTO  UINT32_MAX
#define HELD_BYTES_MAX    (64 << 20)

typedef struct BlkMapping { char *iothread; FieldList vqs; } BlkMapping;

static VirtioBlk *virtio_blk(Virtio *v)
{
    return (VirtioBlk *)v;
}

/* ---- features and config space ---- */

static uint64_t blk_features(Virtio *v)
{
    const VirtioBlk *b = virtio_blk(v);

    return VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) |
           (b->write_cache_default || b->config_wce ? VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) : 0) |
           (b->config_wce ? VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) : 0) |
           (b->num_queues > 1 ? VIRTIO_BIT(VIRTIO_BLK_F_MQ) : 0) |
           (b->discard ? VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) : 0) |
           (b->write_zeroes ? VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES) : 0) |
           (block_read_only(b->node) ? VIRTIO_BIT(VIRTIO_BLK_F_RO) : 0);
}

/* 5.2.5: who cannot flush gets write-through. */
static void blk_set_features(Virtio *v, uint64_t bits)
{
    VirtioBlk *b = virtio_blk(v);

    if (!(bits & VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE))) {
        __atomic_store_n(&b->writeback, !!(bits & VIRTIO_BIT(VIRTIO_BLK_F_FLUSH)), __ATOMIC_RELAXED);
    }
}

static void blk_reset(Virtio *v)
{
    VirtioBlk *b = virtio_blk(v);

    __atomic_store_n(&b->writeback, b->write_cache_default, __ATOMIC_RELAXED);
    g_byte_array_set_size(b->waiting, 0);
}

static uint32_t discard_granularity(const VirtioBlk *b)
{
    return b->discard_granularity == GRANULARITY_AUTO ? b->logical_block_size : b->discard_granularity;
}

static void blk_config_read(Virtio *v, uint8_t *config)
{
    const VirtioBlk *b = virtio_blk(v);
    struct virtio_blk_config c = {
        .capacity = GUINT64_TO_LE(b->capacity),
        .seg_max = GUINT32_TO_LE(b->seg_max_adjust ? b->queue_size - 2u : 126u),
        .blk_size = GUINT32_TO_LE(b->logical_block_size),
        .physical_block_exp = (uint8_t)__builtin_ctz(b->physical_block_size / b->logical_block_size),
        .min_io_size = GUINT16_TO_LE((uint16_t)(b->min_io_size / b->logical_block_size)),
        .opt_io_size = GUINT32_TO_LE(b->opt_io_size / b->logical_block_size),
        .wce = __atomic_load_n(&b->writeback, __ATOMIC_RELAXED),
        .num_queues = GUINT16_TO_LE(b->num_queues),
    };

    if (b->discard) {
        uint32_t granularity = b->report_discard_granularity ? discard_granularity(b) : b->logical_block_size;

        c.max_discard_sectors = GUINT32_TO_LE(b->max_discard_sectors);
        c.max_discard_seg = GUINT32_TO_LE(1);
        c.discard_sector_alignment = GUINT32_TO_LE(granularity / (uint32_t)VIRTIO_BLK_SECTOR);
    }
    if (b->write_zeroes) {
        c.max_write_zeroes_sectors = GUINT32_TO_LE(b->max_write_zeroes_sectors);
        c.max_write_zeroes_seg = GUINT32_TO_LE(1);
        c.write_zeroes_may_unmap = block_discards(b->node);
    }
    memcpy(config, &c, CONFIG_SIZE);
}

static void blk_config_write(Virtio *v, uint32_t offset, const uint8_t *data, uint32_t length)
{
    VirtioBlk *b = virtio_blk(v);

    if (virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE) && offset <= WCE_AT && WCE_AT - offset < length) {
        __atomic_store_n(&b->writeback, data[WCE_AT - offset] & 1, __ATOMIC_RELAXED);
    }
}

/* ---- realize ---- */

static bool is_power_of_two(uint32_t x)
{
    return x && !(x & (x - 1));
}

static bool check_sizes(const VirtioBlk *b, GError **error)
{
    if (!is_power_of_two(b->logical_block_size) || !is_power_of_two(b->physical_block_size)) {
        return error_set(error, "logical_block_size and physical_block_size are powers of two from 512 to 32768");
    }
    if (b->logical_block_size > b->physical_block_size) {
        return error_set(error, "logical_block_size %u is greater than physical_block_size %u", b->logical_block_size,
                         b->physical_block_size);
    }
    if (b->min_io_size % b->logical_block_size || b->opt_io_size % b->logical_block_size) {
        return error_set(error, "min_io_size and opt_io_size are multiples of logical_block_size %u",
                         b->logical_block_size);
    }
    if (discard_granularity(b) % b->logical_block_size) {
        return error_set(error, "discard_granularity is a multiple of logical_block_size %u", b->logical_block_size);
    }
    if (!is_power_of_two(b->queue_size)) {
        return error_set(error, "queue-size %u is not a power of two", b->queue_size);
    }
    if (b->rerror == BLOCK_ERROR_ENOSPC) {
        return error_set(error, "rerror=enospc makes no sense: reading needs no space");
    }
    return true;
}

/* What the device does not say, its drive does. */
static void take_defaults(VirtioBlk *b)
{
    const Drive *drive = drive_of_node(b->node);

    if (b->werror == BLOCK_ERROR_AUTO) {
        b->werror = drive && drive->werror != BLOCK_ERROR_AUTO ? drive->werror : BLOCK_ERROR_ENOSPC;
    }
    if (b->rerror == BLOCK_ERROR_AUTO) {
        b->rerror = drive && drive->rerror != BLOCK_ERROR_AUTO ? drive->rerror : BLOCK_ERROR_REPORT;
    }
    b->write_cache_default = b->write_cache == ON_OFF_AUTO_AUTO ? !drive || drive->write_cache
                                                                : b->write_cache == ON_OFF_AUTO_ON;
    if (!b->num_queues) {
        b->num_queues = (uint16_t)CLAMP(domain_vcpus(b->virtio.dev.domain), 1, VIRTIO_QUEUES_MAX - 1);
    }
}

static bool map_queues(VirtioBlk *b, unsigned row, Loop *loop, Loop **loops, GError **error)
{
    const BlkMapping *m = &FIELD_LIST_AT(b->mapping, BlkMapping, row);

    for (unsigned i = 0; i < m->vqs.n; i++) {
        uint16_t vq = FIELD_LIST_AT(m->vqs, uint16_t, i);

        if (vq >= b->num_queues) {
            return error_set(error, "iothread-vq-mapping names queue %u, the last one is %u", vq, b->num_queues - 1u);
        }
        if (loops[vq]) {
            return error_set(error, "iothread-vq-mapping names queue %u twice", vq);
        }
        loops[vq] = loop;
    }
    for (unsigned vq = row; !m->vqs.n && vq < b->num_queues; vq += (unsigned)b->mapping.n) {
        loops[vq] = loop;
    }
    return true;
}

/* Rows with queues, all of them, or rows without: in turn. */
static bool check_mapping(const VirtioBlk *b, GError **error)
{
    unsigned with = 0;

    for (unsigned i = 0; i < b->mapping.n; i++) {
        with += FIELD_LIST_AT(b->mapping, BlkMapping, i).vqs.n > 0;
    }
    if (b->mapping.n && b->iothread) {
        return error_set(error, "iothread and iothread-vq-mapping exclude each other");
    }
    if (with && with < b->mapping.n) {
        return error_set(error, "iothread-vq-mapping has vqs in some rows but not in all");
    }
    return true;
}

static bool choose_loops(VirtioBlk *b, Loop **loops, GError **error)
{
    Device *dev = &b->virtio.dev;

    if (!check_mapping(b, error)) {
        return false;
    }
    for (unsigned i = 0; i < b->num_queues && b->iothread; i++) {
        loops[i] = iothread_loop(b->iothread);
    }
    b->mapped = g_new0(void *, b->mapping.n);
    for (unsigned i = 0; i < b->mapping.n; i++) {
        const char *id = FIELD_LIST_AT(b->mapping, BlkMapping, i).iothread;

        if (!object_link_attach(dev, id, &iothread_class, &b->mapped[i], error) ||
            !map_queues(b, i, iothread_loop(b->mapped[i]), loops, error)) {
            return false;
        }
    }
    for (unsigned i = 0; i < b->num_queues && b->mapping.n; i++) {
        if (!loops[i]) {
            return error_set(error, "iothread-vq-mapping leaves queue %u out", i);
        }
    }
    return true;
}

static bool add_queues(VirtioBlk *b, GError **error)
{
    g_autofree Loop **loops = g_new0(Loop *, b->num_queues);

    if (!choose_loops(b, loops, error)) {
        return false;
    }
    b->queue = g_new0(BlkQueue, b->num_queues);
    for (unsigned i = 0; i < b->num_queues; i++) {
        b->queue[i].blk = b;
        b->queue[i].vq = virtio_add_queue(&b->virtio, b->queue_size, loops[i], error);
        if (!b->queue[i].vq) {
            return false;
        }
    }
    return true;
}

static void release(VirtioBlk *b)
{
    virtio_remove_queues(&b->virtio);
    for (unsigned i = 0; b->mapped && i < b->mapping.n; i++) {
        if (b->mapped[i]) {
            object_link_detach(&b->virtio.dev, &b->mapped[i]);
        }
    }
    g_clear_pointer(&b->mapped, g_free);
    block_user_detach(&b->user);
    g_clear_pointer(&b->waiting, g_byte_array_unref);
    g_clear_pointer(&b->queue, g_free);
}

/* Main thread. */
static void blk_look(const BlockUser *user, BlockUserStatus *ret)
{
    const VirtioBlk *b = (const VirtioBlk *)((const char *)user - offsetof(VirtioBlk, user));

    for (unsigned i = 0; i < b->num_queues; i++) {
        block_counters_add(&ret->counters, &b->queue[i].counters);
    }
    ret->io_status = (BlockIoStatus)__atomic_load_n(&b->io_status, __ATOMIC_RELAXED);
    ret->write_cache = __atomic_load_n(&b->writeback, __ATOMIC_RELAXED);
}

static bool blk_realize(Device *dev, GError **error)
{
    VirtioBlk *b = virtio_blk((Virtio *)dev);
    unsigned permissions = BLOCK_READ | (block_read_only(b->node) ? 0 : BLOCK_WRITE);
    uint64_t length = (uint64_t)MAX(block_length(b->node), 0);

    if (!check_sizes(b, error)) {
        return false;
    }
    take_defaults(b);
    b->capacity = length / b->logical_block_size * (b->logical_block_size / VIRTIO_BLK_SECTOR);
    b->waiting = g_byte_array_new();
    if (!block_user_attach(&b->user, device_name(dev), b->node, permissions, b->share_rw, error) ||
        !add_queues(b, error)) {
        release(b);
        return false;
    }
    b->user.path = dev->path;
    b->user.look = blk_look;
    return true;
}

static void blk_unrealize(Device *dev)
{
    release(virtio_blk((Virtio *)dev));
}

/* ---- saved state ---- */

static bool blk_start(Virtio *v, GError **error)
{
    return virtio_blk_load_held(virtio_blk(v), error);
}

static bool blk_save(void *opaque, GError **error)
{
    VirtioBlk *b = opaque;

    if (b->virtio.started) { /* else they are still as they were loaded */
        virtio_blk_save_held(b);
    }
    return true;
}

static const StateDesc blk_state = {
    .name = "virtio-blk",
    .version = 1,
    .save = blk_save,
    .fields = (const StateField[]) {
        STATE_BOOL(VirtioBlk, writeback),
        STATE_BLOB(VirtioBlk, waiting, HELD_BYTES_MAX),
        STATE_END
    },
};

/* ---- properties ---- */

static const Field mapping_queue = { .name = "vq", .type = FIELD_UINT, .width = sizeof(uint16_t), .help = "Queue" };
static const Field mapping_fields[] = {
    F_STR("iothread", BlkMapping, iothread, NULL, .flags = FIELD_REQUIRED, .help = "Id of an iothread"),
    F_LIST("vqs", BlkMapping, vqs, &mapping_queue, .help = "Its queues; without it they are dealt in turn"),
    FIELD_END
};
static const FieldStruct mapping_struct = {
    .name = "IOThreadVirtQueueMapping",
    .size = sizeof(BlkMapping),
    .fields = mapping_fields,
};
static const Field mapping_row = { .name = "mapping", .type = FIELD_STRUCT, .width = sizeof(BlkMapping),
                                   .of.structure = &mapping_struct, .help = "An iothread and its queues" };

static const Property blk_props[] = {
    PROP_LINK("drive", VirtioBlk, node, &block_link, .flags = FIELD_REQUIRED, .help = "Drive or block node"),
    PROP_STR("serial", VirtioBlk, serial, NULL, .help = "Serial number, at most 20 bytes are seen"),
    PROP_UINT("logical_block_size", VirtioBlk, logical_block_size, 512, .min = 512, .max = 32768,
              .help = "Smallest unit of a request"),
    PROP_UINT("physical_block_size", VirtioBlk, physical_block_size, 512, .min = 512, .max = 32768,
              .help = "Unit that is written without reading first"),
    PROP_UINT("min_io_size", VirtioBlk, min_io_size, 0, .help = "Smallest request that is fast, bytes"),
    PROP_UINT("opt_io_size", VirtioBlk, opt_io_size, 0, .help = "Best size of a request, bytes"),
    PROP_UINT("discard_granularity", VirtioBlk, discard_granularity, GRANULARITY_AUTO,
              .help = "Unit of discards, bytes; without it the logical block"),
    PROP_UINT("num-queues", VirtioBlk, num_queues, 0, .max = VIRTIO_QUEUES_MAX - 1, .help = "Queues; 0: one a vCPU"),
    PROP_UINT("queue-size", VirtioBlk, queue_size, 256, .min = 4, .max = QUEUE_SIZE_MAX, .help = "Entries of a queue"),
    PROP_LINK("iothread", VirtioBlk, iothread, &iothread_link, .help = "Thread that serves the queues"),
    PROP_LIST("iothread-vq-mapping", VirtioBlk, mapping, &mapping_row, .help = "Threads that share the queues"),
    PROP_ENUM("write-cache", VirtioBlk, write_cache, &field_on_off_auto, ON_OFF_AUTO_AUTO,
              .help = "Write-back cache; auto: as the drive's cache="),
    PROP_BOOL("config-wce", VirtioBlk, config_wce, true, .help = "Let the driver switch the write-back cache"),
    PROP_BOOL("discard", VirtioBlk, discard, true, .help = "Offer discard"),
    PROP_BOOL("write-zeroes", VirtioBlk, write_zeroes, true, .help = "Offer write zeroes"),
    PROP_UINT("max-discard-sectors", VirtioBlk, max_discard_sectors, REQUEST_SECTORS, .min = 1, .max = REQUEST_SECTORS,
              .help = "Most sectors in a discard"),
    PROP_UINT("max-write-zeroes-sectors", VirtioBlk, max_write_zeroes_sectors, REQUEST_SECTORS, .min = 1,
              .max = REQUEST_SECTORS, .help = "Most sectors in a write zeroes"),
    PROP_BOOL("report-discard-granularity", VirtioBlk, report_discard_granularity, true,
              .help = "Tell the driver discard_granularity"),
    PROP_BOOL("share-rw", VirtioBlk, share_rw, false, .help = "Let others write to the same image"),
    PROP_ENUM("werror", VirtioBlk, werror, &block_error_enum, BLOCK_ERROR_AUTO,
              .help = "What to do when a write fails"),
    PROP_ENUM("rerror", VirtioBlk, rerror, &block_error_enum, BLOCK_ERROR_AUTO, .help = "What to do when a read fails"),
    PROP_BOOL("seg-max-adjust", VirtioBlk, seg_max_adjust, true,
              .help = "Allow as many segments as the queue has room for"),
    PROP_BOOL("request-merging", VirtioBlk, request_merging, true, .help = "Do adjacent requests as one"),
    PROP_INT("bootindex", VirtioBlk, bootindex, -1,
             .help = "Place in firmware's boot order, -1: none; no effect with -kernel, which boots without firmware"),
    PROP_END
};

static const char *const blk_pci_aliases[] = { "virtio-blk", "virtio-blk-pci-non-transitional", NULL };
static const char *const blk_aliases[] = { "virtio-blk", NULL };

const VirtioClass virtio_blk_class = {
    .device = {
        .name = "virtio-blk-device",
        .desc = "Virtio disk",
        .aliases = blk_aliases,
        .category = "Storage",
        .base = &virtio_device_class,
        .size = sizeof(VirtioBlk),
        .bus = &virtio_bus_class,
        .props = blk_props,
        .state = &blk_state,
        .realize = blk_realize,
        .unrealize = blk_unrealize,
    },
    .id = VIRTIO_ID_BLOCK,
    .pci_class = PCI_CLASS_STORAGE,
    .config_size = CONFIG_SIZE,
    .features = blk_features,
    .set_features = blk_set_features,
    .config_read = blk_config_read,
    .config_write = blk_config_write,
    .queue_ready = virtio_blk_queue_ready,
    .start = blk_start,
    .drop_queue = virtio_blk_drop_queue,
    .reset = blk_reset,
    .resuming = virtio_blk_resuming,
};

const DeviceClass virtio_blk_pci_class = {
    VIRTIO_PCI_CLASS(virtio_blk_class),
    .name = "virtio-blk-pci",
    .desc = "Virtio disk on PCI",
    .aliases = blk_pci_aliases,
    .category = "Storage",
};
