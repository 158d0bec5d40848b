/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See block/block-commands.h.  Names and members are QEMU 7.2's (qapi/block-core.json).
 *
 * A disk is what uses a node (BlockUser), or a drive that nothing uses.  There is no throttling and no encryption, so
 * what query-block says of them is 0 and false.
 */
#include "block/block-commands.h"

#include <errno.h>
#include <string.h>

#include "block/node.h"
#include "vmm/domain.h"
#include "vmm/error.h"

#define APPEND(LIST, TYPE, ...) \
    ((LIST)->items = g_renew(TYPE, (LIST)->items, (LIST)->n + 1), \
     FIELD_LIST_AT(*(LIST), TYPE, (LIST)->n++) = (TYPE) __VA_ARGS__)

/* ---- BLOCK_IO_ERROR ---- */

static const FieldEnum operation_enum = { "IoOperationType", (const char *const[]) { "read", "write", NULL } };
enum { ACTION_IGNORE, ACTION_REPORT, ACTION_STOP };
static const FieldEnum action_enum = { "BlockErrorAction", (const char *const[]) { "ignore", "report", "stop", NULL } };

typedef struct IoError {
    char *device, *node, *path, *reason;
    int operation, action;
    bool has_nospace, nospace;
} IoError;
static const FieldStruct io_error = {
    .name = "BlockIoError", .size = sizeof(IoError),
    .fields = (const Field[]) {
        F_STR("device", IoError, device, NULL, .flags = FIELD_REQUIRED, .help = "Id of the drive, if it has one"),
        F_STR("qom-path", IoError, path, NULL, .help = "Path of the device"),
        F_STR("node-name", IoError, node, NULL, .help = "The node"),
        F_ENUM("operation", IoError, operation, &operation_enum, 0, .flags = FIELD_REQUIRED, .help = "What failed"),
        F_ENUM("action", IoError, action, &action_enum, 0, .flags = FIELD_REQUIRED, .help = "What is done about it"),
        F_BOOL("nospace", IoError, nospace, false, FIELD_HAS(IoError, has_nospace),
               .help = "Whether the host has no space left"),
        F_STR("reason", IoError, reason, NULL, .flags = FIELD_REQUIRED, .help = "Why, for people to read"),
        FIELD_END
    },
};
/* A guest may make them as fast as it likes. */
const EventType event_block_io_error = {
    "BLOCK_IO_ERROR", &io_error, .interval_ms = 1000, .key = "qom-path", .help = "A disk could not do a request"
};

void block_io_error_emit(const BlockUser *user, BlockOp op, BlockErrorAction action, int ret)
{
    IoError data = {
        .device = (char *)(user->drive ? user->drive : ""), .path = (char *)user->path, .node = user->node->name,
        .reason = (char *)g_strerror(-ret), .operation = op != BLOCK_OP_READ,
        .action = action == BLOCK_ERROR_IGNORE ? ACTION_IGNORE :
                  action == BLOCK_ERROR_STOP   ? ACTION_STOP : ACTION_REPORT,
        .has_nospace = action == BLOCK_ERROR_STOP, .nospace = ret == -ENOSPC,
    };

    event_emit(user->node->domain, &event_block_io_error, &data);
}

/* ---- nodes ---- */

typedef struct ImageInfo {
    char *filename, *format;
    bool dirty, has_actual;
    int64_t actual, virtual;
} ImageInfo;
static const FieldStruct image_info = {
    .name = "ImageInfo", .size = sizeof(ImageInfo),
    .fields = (const Field[]) {
        F_STR("filename", ImageInfo, filename, NULL, .flags = FIELD_REQUIRED, .help = "Path of the image"),
        F_STR("format", ImageInfo, format, NULL, .flags = FIELD_REQUIRED, .help = "Driver of the node"),
        F_BOOL("dirty-flag", ImageInfo, dirty, false, .help = "Whether it was not closed well"),
        F_INT("actual-size", ImageInfo, actual, 0, FIELD_HAS(ImageInfo, has_actual),
              .help = "Bytes it takes on the host"),
        F_INT("virtual-size", ImageInfo, virtual, 0, .flags = FIELD_REQUIRED, .help = "Bytes the guest sees"),
        FIELD_END
    },
};

typedef struct CacheInfo { bool writeback, direct, no_flush; } CacheInfo;
static const FieldStruct cache_info = {
    .name = "BlockdevCacheInfo", .size = sizeof(CacheInfo),
    .fields = (const Field[]) {
        F_BOOL("writeback", CacheInfo, writeback, false, .flags = FIELD_REQUIRED,
               .help = "Whether the disk has a write cache"),
        F_BOOL("direct", CacheInfo, direct, false, .flags = FIELD_REQUIRED,
               .help = "Whether the host's cache is passed by"),
        F_BOOL("no-flush", CacheInfo, no_flush, false, .flags = FIELD_REQUIRED, .help = "Whether flushes are ignored"),
        FIELD_END
    },
};

typedef struct NodeInfo {
    char *file, *node_name, *driver;
    bool ro, encrypted;
    int64_t depth, threshold;
    struct { int64_t bps, bps_rd, bps_wr, iops, iops_rd, iops_wr; } limit;
    int detect_zeroes;
    ImageInfo image;
    CacheInfo cache;
} NodeInfo;
#define LIMIT(NAME, MEMBER) \
    F_INT(NAME, NodeInfo, limit.MEMBER, 0, .flags = FIELD_REQUIRED, .help = "Limit of throttling; 0: none")
static const FieldStruct node_info = {
    .name = "BlockDeviceInfo", .size = sizeof(NodeInfo),
    .fields = (const Field[]) {
        F_STR("file", NodeInfo, file, NULL, .flags = FIELD_REQUIRED, .help = "Path of the image"),
        F_STR("node-name", NodeInfo, node_name, NULL, .help = "Name of the node"),
        F_BOOL("ro", NodeInfo, ro, false, .flags = FIELD_REQUIRED, .help = "Whether it is read-only"),
        F_STR("drv", NodeInfo, driver, NULL, .flags = FIELD_REQUIRED, .help = "Its driver"),
        F_INT("backing_file_depth", NodeInfo, depth, 0, .flags = FIELD_REQUIRED, .help = "Number of images below it"),
        F_BOOL("encrypted", NodeInfo, encrypted, false, .flags = FIELD_REQUIRED, .help = "Whether it is encrypted"),
        F_ENUM("detect_zeroes", NodeInfo, detect_zeroes, &block_detect_zeroes_enum, 0, .flags = FIELD_REQUIRED,
               .help = "What becomes of writes of zeroes"),
        LIMIT("bps", bps), LIMIT("bps_rd", bps_rd), LIMIT("bps_wr", bps_wr),
        LIMIT("iops", iops), LIMIT("iops_rd", iops_rd), LIMIT("iops_wr", iops_wr),
        F_STRUCT("image", NodeInfo, image, &image_info, .flags = FIELD_REQUIRED, .help = "The image"),
        F_STRUCT("cache", NodeInfo, cache, &cache_info, .flags = FIELD_REQUIRED, .help = "How it is cached"),
        F_INT("write_threshold", NodeInfo, threshold, 0, .flags = FIELD_REQUIRED,
              .help = "Where a write causes an event; 0: nowhere"),
        FIELD_END
    },
};
static const Field node_info_element = FIELD_VALUE(FIELD_STRUCT, NodeInfo, .of.structure = &node_info);

static int64_t allocated(BlockNode *node)
{
    while (node && !node->driver->allocated) {
        node = node->child;
    }
    return node ? node->driver->allocated(node) : -ENOTSUP;
}

static NodeInfo describe_node(BlockNode *node, bool writeback)
{
    int64_t actual = allocated(node);

    return (NodeInfo) {
        .file = g_strdup(block_filename(node)), .node_name = g_strdup(node->name),
        .driver = g_strdup(node->driver->name), .ro = node->read_only, .detect_zeroes = (int)node->detect_zeroes,
        .image = { .filename = g_strdup(block_filename(node)), .format = g_strdup(node->driver->name),
                   .has_actual = actual >= 0, .actual = actual, .virtual = MAX(block_length(node), 0) },
        .cache = { writeback, node->direct, node->no_flush },
    };
}

typedef struct NodesArgs { bool flat; } NodesArgs;
static const FieldStruct nodes_args = {
    .name = "QueryNamedBlockNodesArguments", .size = sizeof(NodesArgs),
    .fields = (const Field[]) {
        F_BOOL("flat", NodesArgs, flat, false, .help = "Leave out what lies below; there are no backing images yet"),
        FIELD_END
    },
};

static bool add_node_info(BlockNode *node, void *opaque)
{
    APPEND((FieldList *)opaque, NodeInfo, describe_node(node, true));
    return true;
}

static bool query_named_block_nodes(CommandCall *call, const void *args, void *ret, GError **error)
{
    block_each(call->domain, add_node_info, ret);
    return true;
}

/* ---- disks ---- */

static const FieldEnum io_status_enum = {
    "BlockDeviceIoStatus", (const char *const[]) { "ok", "failed", "nospace", NULL }
};
G_STATIC_ASSERT(BLOCK_IO_OK == 0 && BLOCK_IO_FAILED == 1 && BLOCK_IO_NO_SPACE == 2);

typedef struct BlockInfo {
    char *device, *qdev, *type;
    bool removable, locked, has_io_status;
    int io_status;
    NodeInfo *inserted;
} BlockInfo;
static const FieldStruct block_info = {
    .name = "BlockInfo", .size = sizeof(BlockInfo),
    .fields = (const Field[]) {
        F_ENUM("io-status", BlockInfo, io_status, &io_status_enum, 0, FIELD_HAS(BlockInfo, has_io_status),
               .help = "Whether the domain stopped for a request that failed"),
        F_STR("device", BlockInfo, device, NULL, .flags = FIELD_REQUIRED, .help = "Id of the drive, if it has one"),
        F_BOOL("locked", BlockInfo, locked, false, .flags = FIELD_REQUIRED,
               .help = "Whether the guest holds the medium"),
        F_BOOL("removable", BlockInfo, removable, false, .flags = FIELD_REQUIRED,
               .help = "Whether the medium may change"),
        F_STRUCT("inserted", BlockInfo, inserted, &node_info, .flags = FIELD_POINTER, .help = "The node"),
        F_STR("qdev", BlockInfo, qdev, NULL, .help = "Path of the device"),
        F_STR("type", BlockInfo, type, NULL, .flags = FIELD_REQUIRED, .help = "Always 'unknown'"),
        FIELD_END
    },
};
static const Field block_info_element = FIELD_VALUE(FIELD_STRUCT, BlockInfo, .of.structure = &block_info);

static void add_disk(const BlockDisk *disk, void *opaque)
{
    const BlockUser *user = disk->user;
    NodeInfo node = describe_node(disk->node, !user || disk->status.write_cache);

    APPEND((FieldList *)opaque, BlockInfo, {
        .device = g_strdup(disk->drive ? disk->drive : ""), .qdev = g_strdup(user ? user->path : NULL),
        .type = g_strdup("unknown"), .has_io_status = user != NULL, .io_status = (int)disk->status.io_status,
        .inserted = g_memdup2(&node, sizeof(node)),
    });
}

static bool query_block(CommandCall *call, const void *args, void *ret, GError **error)
{
    block_each_disk(call->domain, add_disk, ret);
    return true;
}

/* ---- making and removing ---- */

static bool add(CommandCall *call, const void *args, void *ret, GError **error)
{
    g_autoptr(Json) none = json_new_object();

    return blockdev_add(call->domain, call->arguments ? call->arguments : none, error) != NULL;
}

typedef struct DelArgs { char *node_name; } DelArgs;
static const FieldStruct del_args = {
    .name = "BlockdevDelArguments", .size = sizeof(DelArgs),
    .fields = (const Field[]) {
        F_STR("node-name", DelArgs, node_name, NULL, .flags = FIELD_REQUIRED, .help = "Name of the node"), FIELD_END
    },
};

static bool del(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const DelArgs *args = opaque;

    return blockdev_del(call->domain, args->node_name, error);
}

/* ---- jobs ---- */

typedef struct JobInfo { char *id, *type, *status, *error; int64_t current, total; } JobInfo;
static const FieldStruct job_info = {
    .name = "JobInfo", .size = sizeof(JobInfo),
    .fields = (const Field[]) {
        F_STR("id", JobInfo, id, NULL, .flags = FIELD_REQUIRED, .help = "Its id"),
        F_STR("type", JobInfo, type, NULL, .flags = FIELD_REQUIRED, .help = "What it does"),
        F_STR("status", JobInfo, status, NULL, .flags = FIELD_REQUIRED, .help = "How far it is"),
        F_INT("current-progress", JobInfo, current, 0, .flags = FIELD_REQUIRED, .help = "Work done"),
        F_INT("total-progress", JobInfo, total, 0, .flags = FIELD_REQUIRED, .help = "Work in all"),
        F_STR("error", JobInfo, error, NULL, .help = "Why it failed"),
        FIELD_END
    },
};
static const Field job_info_element = FIELD_VALUE(FIELD_STRUCT, JobInfo, .of.structure = &job_info);

/* Clients that come back to a domain ask for the jobs they left behind; no command starts one yet. */
static bool query_jobs(CommandCall *call, const void *args, void *ret, GError **error)
{
    return true;
}

const Command block_commands[] = {
    { "query-block", query_block, NULL, COMMAND_RETURNS_LIST(&block_info_element), .help = "List the disks" },
    { "query-named-block-nodes", query_named_block_nodes, &nodes_args, COMMAND_RETURNS_LIST(&node_info_element),
      .help = "List the block nodes" },
    { "blockdev-add", add, &blockdev_options, .flags = COMMAND_UNCHECKED, .help = "Make a block node" },
    { "blockdev-del", del, &del_args, .help = "Remove a block node that nothing uses" },
    { "query-jobs", query_jobs, NULL, COMMAND_RETURNS_LIST(&job_info_element), .help = "List the jobs" },
    COMMAND_END
};
