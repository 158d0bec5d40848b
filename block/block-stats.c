/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and what was asked of them: query-blockstats, with QEMU 7.2's names and members (qapi/block-core.json).
 *
 * A device counts the requests of its guest, each queue its own, without a lock.  A node that is asked about by itself
 * (query-nodes, "parent") tells where the furthest write went; nothing else is counted for each node, which would cost
 * every request once a layer.
 *
 * Locking: main thread; counters are read while others count.
 */
#include "block/block-commands.h"

#include <string.h>

#include "block/node.h"
#include "vmm/domain.h"

void block_counters_add(BlockCounters *sum, const BlockCounters *counters)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)counters;

    for (unsigned i = 0; i < sizeof(*sum) / sizeof(*to); i++) {
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
}

/* ---- disks ---- */

typedef struct Walk {
    Domain *domain;
    void (*fn)(const BlockDisk *disk, void *opaque);
    void *opaque;
} Walk;

static void show_user(const Walk *walk, BlockNode *node, const BlockUser *user)
{
    BlockDisk disk = { .node = node, .user = user, .drive = user->drive };

    user->look(user, &disk.status);
    walk->fn(&disk, walk->opaque);
}

static bool show_node(BlockNode *node, void *opaque)
{
    const Walk *walk = opaque;
    const Drive *drive = drive_of_node(node);
    bool used = false;

    for (unsigned i = 0; i < node->users->len; i++) {
        const BlockUser *user = node->users->pdata[i];

        if (user->node == node && user->look) {
            show_user(walk, node, user);
            used = true;
        }
    }
    if (drive && !used) {
        walk->fn(&(BlockDisk) { .node = node, .drive = drive->id }, walk->opaque);
    }
    return true;
}

void block_each_disk(Domain *domain, void (*fn)(const BlockDisk *disk, void *opaque), void *opaque)
{
    Walk walk = { domain, fn, opaque };

    block_each(domain, show_node, &walk);
}

/* ---- query-blockstats ---- */

typedef struct DeviceStats {
    uint64_t bytes[BLOCK_OPS], operations[BLOCK_OPS], time_ns[BLOCK_OPS], failed[BLOCK_OPS], invalid[BLOCK_OPS],
        merged[BLOCK_OPS];
    uint64_t highest;
    bool account_invalid, account_failed;
    FieldList timed;
} DeviceStats;

typedef struct TimedStats { uint64_t interval_length; } TimedStats;
static const FieldStruct timed_stats = {
    .name = "BlockDeviceTimedStats", .size = sizeof(TimedStats),
    .fields = (const Field[]) {
        F_UINT("interval_length", TimedStats, interval_length, 0, .flags = FIELD_REQUIRED, .help = "Seconds"), FIELD_END
    },
};
static const Field timed_stats_element = FIELD_VALUE(FIELD_STRUCT, TimedStats, .of.structure = &timed_stats);

#define COUNTER(NAME, MEMBER, OP, HELP) \
    F_UINT(NAME, DeviceStats, MEMBER[BLOCK_OP_##OP], 0, .flags = FIELD_REQUIRED, .help = HELP)
static const FieldStruct device_stats = {
    .name = "BlockDeviceStats", .size = sizeof(DeviceStats),
    .fields = (const Field[]) {
        COUNTER("rd_bytes", bytes, READ, "Bytes read"),
        COUNTER("wr_bytes", bytes, WRITE, "Bytes written"),
        COUNTER("unmap_bytes", bytes, UNMAP, "Bytes discarded"),
        COUNTER("rd_operations", operations, READ, "Reads"),
        COUNTER("wr_operations", operations, WRITE, "Writes"),
        COUNTER("flush_operations", operations, FLUSH, "Flushes"),
        COUNTER("unmap_operations", operations, UNMAP, "Discards"),
        COUNTER("rd_total_time_ns", time_ns, READ, "Time of all reads"),
        COUNTER("wr_total_time_ns", time_ns, WRITE, "Time of all writes"),
        COUNTER("flush_total_time_ns", time_ns, FLUSH, "Time of all flushes"),
        COUNTER("unmap_total_time_ns", time_ns, UNMAP, "Time of all discards"),
        F_UINT("wr_highest_offset", DeviceStats, highest, 0, .flags = FIELD_REQUIRED,
               .help = "Where the furthest write ended"),
        COUNTER("rd_merged", merged, READ, "Reads that became part of another"),
        COUNTER("wr_merged", merged, WRITE, "Writes that became part of another"),
        COUNTER("unmap_merged", merged, UNMAP, "Discards that became part of another"),
        COUNTER("failed_rd_operations", failed, READ, "Reads that failed"),
        COUNTER("failed_wr_operations", failed, WRITE, "Writes that failed"),
        COUNTER("failed_flush_operations", failed, FLUSH, "Flushes that failed"),
        COUNTER("failed_unmap_operations", failed, UNMAP, "Discards that failed"),
        COUNTER("invalid_rd_operations", invalid, READ, "Reads that the guest may not ask for"),
        COUNTER("invalid_wr_operations", invalid, WRITE, "Writes that the guest may not ask for"),
        COUNTER("invalid_flush_operations", invalid, FLUSH, "Flushes that the guest may not ask for"),
        COUNTER("invalid_unmap_operations", invalid, UNMAP, "Discards that the guest may not ask for"),
        F_BOOL("account_invalid", DeviceStats, account_invalid, false, .flags = FIELD_REQUIRED,
               .help = "Whether invalid requests count as operations"),
        F_BOOL("account_failed", DeviceStats, account_failed, false, .flags = FIELD_REQUIRED,
               .help = "Whether failed requests count as operations"),
        F_LIST("timed_stats", DeviceStats, timed, &timed_stats_element, .flags = FIELD_REQUIRED,
               .help = "Statistics of intervals: none"),
        FIELD_END
    },
};

typedef struct BlockStats BlockStats;
struct BlockStats {
    char *device, *qdev, *node_name;
    DeviceStats stats;
    BlockStats *parent;
};
static const FieldStruct block_stats = {
    .name = "BlockStats", .size = sizeof(BlockStats),
    .fields = (const Field[]) {
        F_STR("device", BlockStats, device, NULL, .help = "Id of the drive, if it has one"),
        F_STR("qdev", BlockStats, qdev, NULL, .help = "Path of the device"),
        F_STR("node-name", BlockStats, node_name, NULL, .help = "The node"),
        F_STRUCT("stats", BlockStats, stats, &device_stats, .flags = FIELD_REQUIRED, .help = "What was counted"),
        F_STRUCT("parent", BlockStats, parent, &block_stats, .flags = FIELD_POINTER, .help = "The node that holds it"),
        FIELD_END
    },
};
static const Field block_stats_element = FIELD_VALUE(FIELD_STRUCT, BlockStats, .of.structure = &block_stats);

static void take_counters(DeviceStats *stats, const BlockCounters *counters)
{
    for (unsigned op = 0; op < BLOCK_OPS; op++) {
        stats->operations[op] = counters->op[op].operations;
        stats->bytes[op] = counters->op[op].bytes;
        stats->time_ns[op] = counters->op[op].time_ns;
        stats->failed[op] = counters->op[op].failed;
        stats->invalid[op] = counters->op[op].invalid;
        stats->merged[op] = counters->op[op].merged;
    }
}

static BlockStats describe(BlockNode *node)
{
    BlockStats s = { .node_name = g_strdup(node->name) };

    s.stats.highest = __atomic_load_n(&node->highest_write, __ATOMIC_RELAXED);
    if (node->child) {
        BlockStats child = describe(node->child);

        s.parent = g_memdup2(&child, sizeof(child));
    }
    return s;
}

static void append(FieldList *list, const BlockStats *stats)
{
    list->items = g_renew(BlockStats, list->items, list->n + 1);
    FIELD_LIST_AT(*list, BlockStats, list->n++) = *stats;
}

static void add_disk(const BlockDisk *disk, void *opaque)
{
    BlockStats s = describe(disk->node);

    s.device = g_strdup(disk->drive ? disk->drive : "");
    s.qdev = g_strdup(disk->user ? disk->user->path : NULL);
    take_counters(&s.stats, &disk->status.counters);
    append(opaque, &s);
}

static bool add_node(BlockNode *node, void *opaque)
{
    BlockStats s = describe(node);

    append(opaque, &s);
    return true;
}

typedef struct StatsArgs { bool query_nodes; } StatsArgs;
static const FieldStruct stats_args = {
    .name = "QueryBlockstatsArguments", .size = sizeof(StatsArgs),
    .fields = (const Field[]) {
        F_BOOL("query-nodes", StatsArgs, query_nodes, false, .help = "List nodes instead of disks"), FIELD_END
    },
};

static bool query_blockstats(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const StatsArgs *args = opaque;

    if (args->query_nodes) {
        block_each(call->domain, add_node, ret);
    } else {
        block_each_disk(call->domain, add_disk, ret);
    }
    return true;
}

const Command block_stats_commands[] = {
    { "query-blockstats", query_blockstats, &stats_args, COMMAND_RETURNS_LIST(&block_stats_element),
      .help = "Tell what was asked of the disks" },
    COMMAND_END
};
