/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hard cases of QMP as tables, shared by the tests of the field language:
 * blockdev-add (recursive tagged union, an alternate of string and object),
 * netdev_add (flat union with lists), chardev-add (a union whose branches are
 * wrapped in "data").
 */
#pragma once

#include "vmm/field.h"

/* ---- blockdev-add ---- */
extern const FieldStruct blockdev_table;

typedef struct Blockdev {
    int driver;
    char *node_name;
    bool has_read_only, read_only;
    bool auto_read_only;
    int discard;
    struct {
        bool direct, no_flush;
    } cache;
    void *u;
} Blockdev;

typedef struct BlockdevFile {
    char *filename;
    int locking;
    uint32_t workers;
} BlockdevFile;

typedef struct BlockdevFormat {
    FieldAlternate file; /* BlockdevRef */
    bool has_offset, has_size;
    int64_t offset;
    uint64_t size;
} BlockdevFormat;

typedef struct BlockdevQuorum {
    FieldList children; /* of FieldAlternate */
    int64_t threshold;
} BlockdevQuorum;

enum { DRIVER_FILE, DRIVER_RAW, DRIVER_QUORUM, DRIVER_NULL };

static const FieldEnum blockdev_driver_enum = {
    "BlockdevDriver", (const char *const[]){ "file", "raw", "quorum", "null-co", NULL }
};
static const FieldEnum discard_enum = { "BlockdevDiscardOptions", (const char *const[]){ "ignore", "unmap", NULL } };

static const Field blockdev_ref_string = FIELD_VALUE(FIELD_STR, char *);
static const Field blockdev_ref_object = FIELD_VALUE(FIELD_STRUCT, Blockdev, .of.structure = &blockdev_table);
static const FieldAlternateDesc blockdev_ref = {
    .name = "BlockdevRef", .string_branch = &blockdev_ref_string, .object_branch = &blockdev_ref_object
};
static const Field blockdev_ref_element = FIELD_VALUE(FIELD_ALTERNATE, FieldAlternate, .of.alternate = &blockdev_ref);

static const FieldStruct blockdev_file_table = {
    .name = "BlockdevOptionsFile", .size = sizeof(BlockdevFile), .help = "A file of the host",
    .features = (const char *const[]){ "dynamic-auto-read-only", NULL },
    .fields = (const Field[]){
        F_STR("filename", BlockdevFile, filename, NULL, .flags = FIELD_REQUIRED, .help = "path of the file"),
        F_ENUM("locking", BlockdevFile, locking, &field_on_off_auto, ON_OFF_AUTO_AUTO, .help = "lock the image"),
        F_UINT("workers", BlockdevFile, workers, 4, .min = 1, .max = 64, .help = "threads"),
        FIELD_END,
    },
};
static const FieldStruct blockdev_raw_table = {
    .name = "BlockdevOptionsRaw", .size = sizeof(BlockdevFormat), .help = "A window of another node",
    .fields = (const Field[]){
        F_ALTERNATE("file", BlockdevFormat, file, &blockdev_ref, .flags = FIELD_REQUIRED, .help = "node below"),
        F_INT("offset", BlockdevFormat, offset, 0, FIELD_HAS(BlockdevFormat, has_offset), .help = "first byte"),
        F_SIZE("size", BlockdevFormat, size, 0, FIELD_HAS(BlockdevFormat, has_size), .help = "length"),
        FIELD_END,
    },
};
static const FieldStruct blockdev_quorum_table = {
    .name = "BlockdevOptionsQuorum", .size = sizeof(BlockdevQuorum), .help = "Votes of several nodes",
    .fields = (const Field[]){
        F_LIST("children", BlockdevQuorum, children, &blockdev_ref_element, .flags = FIELD_REQUIRED, .help = "nodes"),
        F_INT("vote-threshold", BlockdevQuorum, threshold, 0, .flags = FIELD_REQUIRED, .help = "votes needed"),
        FIELD_END,
    },
};
typedef struct BlockdevCache {
    bool direct, no_flush;
} BlockdevCache;
static const FieldStruct blockdev_cache_table = {
    .name = "BlockdevCacheOptions", .size = sizeof(BlockdevCache), .help = "Host cache",
    .fields = (const Field[]){
        F_BOOL("direct", BlockdevCache, direct, false, .help = "O_DIRECT"),
        F_BOOL("no-flush", BlockdevCache, no_flush, false, .help = "ignore flushes"),
        FIELD_END,
    },
};
const FieldStruct blockdev_table = {
    .name = "BlockdevOptions", .size = sizeof(Blockdev), .help = "A block node",
    .fields = (const Field[]){
        F_ENUM("driver", Blockdev, driver, &blockdev_driver_enum, 0, .flags = FIELD_REQUIRED, .help = "driver"),
        F_STR("node-name", Blockdev, node_name, NULL, .help = "name of the node"),
        F_BOOL("read-only", Blockdev, read_only, false, FIELD_HAS(Blockdev, has_read_only), .help = "refuse writes"),
        F_BOOL("auto-read-only", Blockdev, auto_read_only, true, .help = "read-only when the file is"),
        F_ENUM("discard", Blockdev, discard, &discard_enum, 0, .help = "what discards do",
               .features = (const char *const[]){ "deprecated", NULL }),
        F_STRUCT("cache", Blockdev, cache, &blockdev_cache_table, .help = "host cache"),
        FIELD_END,
    },
    .tag = "driver", .variant_offset = offsetof(Blockdev, u),
    .cases = (const FieldCase[]){
        { "file", &blockdev_file_table },
        { "raw", &blockdev_raw_table },
        { "quorum", &blockdev_quorum_table },
        { "null-co", NULL },
        { NULL, NULL },
    },
};

/* ---- netdev_add ---- */
typedef struct Netdev {
    char *id;
    int type;
    void *u;
} Netdev;
typedef struct NetdevUser {
    bool has_ipv4, ipv4;
    FieldList hostfwd; /* char * */
    double loss;
} NetdevUser;
typedef struct NetdevTap {
    bool has_vhost, vhost;
    FieldList queues; /* uint16_t */
    uint64_t sndbuf;
    char *ifname;
} NetdevTap;

enum { NETDEV_USER, NETDEV_TAP, NETDEV_NONE };
static const FieldEnum netdev_enum = { "NetClientDriver", (const char *const[]){ "user", "tap", "none", NULL } };
static const Field string_element = FIELD_VALUE(FIELD_STR, char *);
static const Field u16_element = FIELD_VALUE(FIELD_UINT, uint16_t);
static const FieldStruct netdev_user_table = {
    .name = "NetdevUserOptions", .size = sizeof(NetdevUser), .help = "User network",
    .fields = (const Field[]){
        F_BOOL("ipv4", NetdevUser, ipv4, false, FIELD_HAS(NetdevUser, has_ipv4), .help = "IPv4"),
        F_LIST("hostfwd", NetdevUser, hostfwd, &string_element, .help = "forwarded ports"),
        FIELD_AT("loss", FIELD_NUMBER, NetdevUser, loss, .help = "share of lost packets"),
        FIELD_END,
    },
};
static const FieldStruct netdev_tap_table = {
    .name = "NetdevTapOptions", .size = sizeof(NetdevTap), .help = "TAP interface",
    .fields = (const Field[]){
        F_STR("ifname", NetdevTap, ifname, NULL, .help = "interface"),
        F_BOOL("vhost", NetdevTap, vhost, false, FIELD_HAS(NetdevTap, has_vhost), .help = "vhost-net"),
        F_LIST("queues", NetdevTap, queues, &u16_element, .help = "queue numbers"),
        F_SIZE("sndbuf", NetdevTap, sndbuf, 1 << 20, .help = "send buffer"),
        FIELD_END,
    },
};
static const FieldStruct netdev_table = {
    .name = "Netdev", .size = sizeof(Netdev), .help = "A network backend",
    .fields = (const Field[]){
        F_STR("id", Netdev, id, NULL, .flags = FIELD_REQUIRED, .help = "name"),
        F_ENUM("type", Netdev, type, &netdev_enum, 0, .flags = FIELD_REQUIRED, .help = "kind"),
        FIELD_END,
    },
    .tag = "type", .variant_offset = offsetof(Netdev, u),
    .cases = (const FieldCase[]){
        { "user", &netdev_user_table }, { "tap", &netdev_tap_table }, { "none", NULL }, { NULL, NULL },
    },
};

/* ---- chardev-add ---- */
typedef struct ChardevCommon {
    char *logfile;
} ChardevCommon;
typedef struct ChardevSocket {
    ChardevCommon common;
    struct SocketAddress {
        int type;
        void *u;
    } addr;
    bool server;
} ChardevSocket;
typedef struct SocketAddress SocketAddress;
typedef struct InetAddress {
    char *host, *port;
} InetAddress;
typedef struct InetWrapper {
    InetAddress data;
} InetWrapper;
typedef struct ChardevSocketWrapper {
    ChardevSocket *data;
} ChardevSocketWrapper;
typedef struct ChardevBackend {
    int type;
    void *u;
} ChardevBackend;
typedef struct ChardevAdd {
    char *id;
    ChardevBackend backend;
} ChardevAdd;

static const FieldEnum socket_enum = { "SocketAddressType", (const char *const[]){ "inet", "fd", NULL } };
static const FieldEnum chardev_enum = { "ChardevBackendKind", (const char *const[]){ "socket", "null", NULL } };
static const FieldStruct inet_table = {
    .name = "InetSocketAddress", .size = sizeof(InetAddress), .help = "TCP address",
    .fields = (const Field[]){
        F_STR("host", InetAddress, host, NULL, .flags = FIELD_REQUIRED, .help = "host"),
        F_STR("port", InetAddress, port, NULL, .flags = FIELD_REQUIRED, .help = "port"),
        FIELD_END,
    },
};
static const FieldStruct inet_wrapper_table = {
    .name = "InetSocketAddressWrapper", .size = sizeof(InetWrapper), .help = "TCP",
    .fields = (const Field[]){
        F_STRUCT("data", InetWrapper, data, &inet_table, .flags = FIELD_REQUIRED, .help = "the address"),
        FIELD_END,
    },
};
static const FieldStruct socket_address_table = {
    .name = "SocketAddressLegacy", .size = sizeof(SocketAddress), .help = "Address",
    .fields = (const Field[]){
        F_ENUM("type", SocketAddress, type, &socket_enum, 0, .flags = FIELD_REQUIRED, .help = "kind"),
        FIELD_END,
    },
    .tag = "type", .variant_offset = offsetof(SocketAddress, u),
    .cases = (const FieldCase[]){ { "inet", &inet_wrapper_table }, { NULL, NULL } },
};
static const FieldStruct chardev_common_table = {
    .name = "ChardevCommon", .size = sizeof(ChardevCommon), .help = "Common",
    .fields = (const Field[]){
        F_STR("logfile", ChardevCommon, logfile, NULL, .help = "copy of the output"),
        FIELD_END,
    },
};
static const FieldStruct chardev_socket_table = {
    .name = "ChardevSocket", .size = sizeof(ChardevSocket), .base = &chardev_common_table, .help = "Socket",
    .fields = (const Field[]){
        F_STRUCT("addr", ChardevSocket, addr, &socket_address_table, .flags = FIELD_REQUIRED, .help = "address"),
        F_BOOL("server", ChardevSocket, server, true, .help = "listen"),
        FIELD_END,
    },
};
static const FieldStruct chardev_socket_wrapper_table = {
    .name = "ChardevSocketWrapper", .size = sizeof(ChardevSocketWrapper), .help = "Socket",
    .fields = (const Field[]){
        F_STRUCT("data", ChardevSocketWrapper, data, &chardev_socket_table, .flags = FIELD_REQUIRED | FIELD_POINTER,
                 .help = "the socket"),
        FIELD_END,
    },
};
static const FieldStruct chardev_backend_table = {
    .name = "ChardevBackend", .size = sizeof(ChardevBackend), .help = "Backend",
    .fields = (const Field[]){
        F_ENUM("type", ChardevBackend, type, &chardev_enum, 0, .flags = FIELD_REQUIRED, .help = "kind"),
        FIELD_END,
    },
    .tag = "type", .variant_offset = offsetof(ChardevBackend, u),
    .cases = (const FieldCase[]){ { "socket", &chardev_socket_wrapper_table }, { "null", NULL }, { NULL, NULL } },
};
static const FieldStruct chardev_add_table = {
    .name = "q_obj_chardev-add-arg", .size = sizeof(ChardevAdd), .help = "Arguments",
    .fields = (const Field[]){
        F_STR("id", ChardevAdd, id, NULL, .flags = FIELD_REQUIRED, .help = "name"),
        F_STRUCT("backend", ChardevAdd, backend, &chardev_backend_table, .flags = FIELD_REQUIRED, .help = "backend"),
        FIELD_END,
    },
};
