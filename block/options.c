/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The language of -blockdev and blockdev-add: members common to all nodes, and the
 * union of the drivers' own.  Names and meanings as QEMU's BlockdevOptions.
 */
#include "block/node.h"

/* In the order of block_drivers. */
static const char *const driver_names[] = { "file", "host_device", "null-co", "raw", NULL };
static const FieldEnum driver_enum = { "BlockdevDriver", driver_names };

static const FieldCase driver_cases[] = {
    { "file", &block_file_options },
    { "host_device", &block_file_options },
    { "null-co", &block_null_options },
    { "raw", &block_raw_options },
    { NULL, NULL },
};

static const char *const discard_names[] = { "ignore", "unmap", NULL };
const FieldEnum block_discard_enum = { "BlockdevDiscardOptions", discard_names };
static const char *const detect_zeroes_names[] = { "off", "on", "unmap", NULL };
const FieldEnum block_detect_zeroes_enum = { "BlockdevDetectZeroesOptions", detect_zeroes_names };
static const char *const error_names[] = { "auto", "report", "ignore", "enospc", "stop", NULL };
const FieldEnum block_error_enum = { "BlockdevOnError", error_names };

static const Field cache_fields[] = {
    F_BOOL("direct", BlockdevCache, direct, false, FIELD_HAS(BlockdevCache, has_direct),
           .help = "Bypass the host's page cache (O_DIRECT)"),
    F_BOOL("no-flush", BlockdevCache, no_flush, false, FIELD_HAS(BlockdevCache, has_no_flush),
           .help = "Ignore flushes: data is lost when the host crashes"),
    FIELD_END
};

static const FieldStruct cache_struct = {
    .name = "BlockdevCacheOptions",
    .size = sizeof(BlockdevCache),
    .fields = cache_fields,
};

static const Field blockdev_fields[] = {
    F_ENUM("driver", BlockdevOptions, driver, &driver_enum, 0, .flags = FIELD_REQUIRED, .help = "Kind of node"),
    F_STR("node-name", BlockdevOptions, node_name, NULL, .help = "Name that devices and other nodes refer to"),
    F_BOOL("read-only", BlockdevOptions, read_only, false, FIELD_HAS(BlockdevOptions, has_read_only),
           .help = "Refuse writes"),
    F_BOOL("auto-read-only", BlockdevOptions, auto_read_only, false, FIELD_HAS(BlockdevOptions, has_auto_read_only),
           .help = "Become read-only when the file cannot be written"),
    F_ENUM("discard", BlockdevOptions, discard, &block_discard_enum, 0, FIELD_HAS(BlockdevOptions, has_discard),
           .help = "What becomes of discarded ranges"),
    F_ENUM("detect-zeroes", BlockdevOptions, detect_zeroes, &block_detect_zeroes_enum, BLOCK_DETECT_OFF,
           .help = "Turn writes of zeroes into zeroed or unmapped ranges"),
    F_BOOL("force-share", BlockdevOptions, force_share, false, .help = "Read it even while somebody else writes"),
    F_STRUCT("cache", BlockdevOptions, cache, &cache_struct, .help = "How the host caches"),
    FIELD_END
};

const FieldStruct blockdev_options = {
    .name = "BlockdevOptions",
    .size = sizeof(BlockdevOptions),
    .fields = blockdev_fields,
    .tag = "driver",
    .cases = driver_cases,
    .variant_offset = offsetof(BlockdevOptions, variant),
    .help = "A node of the block graph",
};

/* BlockdevRef: the name of a node, or its definition in place. */
static const Field reference_name = { .name = "reference", .type = FIELD_STR, .width = sizeof(char *),
                                      .help = "Name of a block node" };
static const Field reference_definition = { .name = "definition", .type = FIELD_STRUCT,
                                            .width = sizeof(BlockdevOptions), .of.structure = &blockdev_options,
                                            .help = "A block node" };
const FieldAlternateDesc blockdev_reference = {
    .name = "BlockdevRef",
    .string_branch = &reference_name,
    .object_branch = &reference_definition,
};
