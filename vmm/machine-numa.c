/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -numa: nodes, their CPUs and the distances between them; checks that they cover
 * the machine.  Memory sizes are checked where RAM is made (vmm/machine-ram.c).
 *
 * Main thread.
 */
#include "vmm/machine.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/log.h"

#define DISTANCE_SELF    10
#define DISTANCE_DEFAULT 20

/* ---- the language ---- */

typedef struct NodeOptions {
    bool has_nodeid;
    uint32_t nodeid;
    char *memdev;
    char *mem;
    FieldList cpus; /* uint32_t */
} NodeOptions;

static const Field cpu_index = FIELD_VALUE(FIELD_UINT, uint32_t, .max = UINT32_MAX);

static const Field node_fields[] = {
    F_UINT("nodeid", NodeOptions, nodeid, 0, .max = NUMA_NODES_MAX - 1, FIELD_HAS(NodeOptions, has_nodeid),
           .help = "Number of the node; the next one if not given"),
    F_STR("memdev", NodeOptions, memdev, NULL, .help = "Memory backend that is the node's memory"),
    F_STR("mem", NodeOptions, mem, NULL, .help = "Size of the node's part of plain RAM; a bare number is MiB"),
    F_LIST("cpus", NodeOptions, cpus, &cpu_index, .help = "CPUs of the node by index, as in 0-3; may be given again"),
    FIELD_END
};
static const FieldStruct node_options = {
    .name = "NumaNodeOptions", .size = sizeof(NodeOptions), .fields = node_fields
};

typedef struct DistOptions {
    uint32_t src, dst;
    uint8_t val;
} DistOptions;

static const Field dist_fields[] = {
    F_UINT("src", DistOptions, src, 0, .max = NUMA_NODES_MAX - 1, .flags = FIELD_REQUIRED,
           .help = "Node the access comes from"),
    F_UINT("dst", DistOptions, dst, 0, .max = NUMA_NODES_MAX - 1, .flags = FIELD_REQUIRED,
           .help = "Node the memory is on"),
    F_UINT("val", DistOptions, val, 0, .min = DISTANCE_SELF, .max = UINT8_MAX, .flags = FIELD_REQUIRED,
           .help = "How far: 10 is local, 255 unreachable"),
    FIELD_END
};
static const FieldStruct dist_options = {
    .name = "NumaDistOptions", .size = sizeof(DistOptions), .fields = dist_fields
};

typedef struct CpuOptions {
    uint32_t node;
    bool has_socket, has_die, has_core, has_thread;
    uint32_t socket, die, core, thread;
} CpuOptions;

static const Field cpu_fields[] = {
    F_UINT("node-id", CpuOptions, node, 0, .max = NUMA_NODES_MAX - 1, .flags = FIELD_REQUIRED,
           .help = "Node the CPUs are on"),
    F_UINT("socket-id", CpuOptions, socket, 0, FIELD_HAS(CpuOptions, has_socket), .help = "Only CPUs of this socket"),
    F_UINT("die-id", CpuOptions, die, 0, FIELD_HAS(CpuOptions, has_die),
           .help = "Only CPUs of this die of each socket"),
    F_UINT("core-id", CpuOptions, core, 0, FIELD_HAS(CpuOptions, has_core),
           .help = "Only CPUs of this core of each die"),
    F_UINT("thread-id", CpuOptions, thread, 0, FIELD_HAS(CpuOptions, has_thread),
           .help = "Only this thread of each core"),
    FIELD_END
};
static const FieldStruct cpu_options = { .name = "NumaCpuOptions", .size = sizeof(CpuOptions), .fields = cpu_fields };

void machine_numa_help(GString *out)
{
    field_struct_help(&node_options, "-numa node options", out);
    field_struct_help(&dist_options, "-numa dist options", out);
    field_struct_help(&cpu_options, "-numa cpu options", out);
}

/* ---- nodes ---- */

static bool node_has_cpu(const NumaNode *node, unsigned index)
{
    for (unsigned i = 0; i < node->cpus->len; i++) {
        if (g_array_index(node->cpus, unsigned, i) == index) {
            return true;
        }
    }
    return false;
}

static NumaNode *node_at(Machine *machine, unsigned id)
{
    if (id >= machine->numa->len) {
        g_array_set_size(machine->numa, id + 1);
    }
    return &g_array_index(machine->numa, NumaNode, id);
}

static NumaNode *given_node(Machine *machine, unsigned id, GError **error)
{
    if (id >= machine->numa->len || !g_array_index(machine->numa, NumaNode, id).given) {
        error_set(error, "-numa: there is no node %u", id);
        error_hint(error, "Give -numa node,nodeid=%u before it.", id);
        return NULL;
    }
    return &g_array_index(machine->numa, NumaNode, id);
}

static bool give_cpu(Machine *machine, NumaNode *node, unsigned index, GError **error)
{
    for (unsigned n = 0; n < machine->numa->len; n++) {
        const NumaNode *other = &g_array_index(machine->numa, NumaNode, n);

        if (other->given && node_has_cpu(other, index)) {
            return error_set(error, "-numa: CPU %u is given to a node twice", index);
        }
    }
    g_array_append_val(node->cpus, index);
    return true;
}

static bool give_cpus(Machine *machine, NumaNode *node, const FieldList *cpus, GError **error)
{
    for (size_t i = 0; i < cpus->n; i++) {
        uint32_t index = FIELD_LIST_AT(*cpus, uint32_t, i);

        if (index >= machine->class->max_cpus) {
            return error_set(error, "-numa: CPU %u is beyond the %u CPUs that machine '%s' can have", index,
                             machine->class->max_cpus, machine->class->name);
        }
        if (!give_cpu(machine, node, index, error)) {
            return false;
        }
    }
    return true;
}

static bool fill_node(Machine *machine, const NodeOptions *options, GError **error)
{
    unsigned id = options->has_nodeid ? options->nodeid : machine->numa->len;
    uint64_t memory = 0;
    NumaNode *node;

    if (id >= NUMA_NODES_MAX) {
        return error_set(error, "-numa: there are more than %d nodes", NUMA_NODES_MAX);
    }
    if (options->mem && options->memdev) {
        return error_set(error, "-numa: node %u has both mem= and memdev=", id);
    }
    if (options->mem && !size_parse(options->mem, UINT64_C(1) << 20, &memory, error)) {
        return false;
    }
    node = node_at(machine, id);
    if (node->given) {
        return error_set(error, "-numa: there are two nodes %u", id);
    }
    node->given = true;
    node->memory = memory;
    node->memdev = g_strdup(options->memdev);
    node->cpus = g_array_new(FALSE, FALSE, sizeof(unsigned));
    return give_cpus(machine, node, &options->cpus, error);
}

static bool add_node(Machine *machine, const char *text, GError **error)
{
    NodeOptions options;
    bool ok;

    if (!field_struct_parse_text(&node_options, text, NULL, &options, error)) {
        return error_subject(error, "-numa node");
    }
    ok = fill_node(machine, &options, error);
    field_struct_clear(&node_options, &options);
    return ok;
}

/* ---- distances ---- */

static NumaDistance *find_distance(const Machine *machine, unsigned src, unsigned dst)
{
    for (unsigned i = 0; i < machine->distances->len; i++) {
        NumaDistance *d = &g_array_index(machine->distances, NumaDistance, i);

        if (d->src == src && d->dst == dst) {
            return d;
        }
    }
    return NULL;
}

static bool add_distance(Machine *machine, const char *text, GError **error)
{
    DistOptions options;
    NumaDistance d;

    if (!field_struct_parse_text(&dist_options, text, NULL, &options, error)) {
        return error_subject(error, "-numa dist");
    }
    if (!given_node(machine, options.src, error) || !given_node(machine, options.dst, error)) {
        return false;
    }
    if (options.src == options.dst && options.val != DISTANCE_SELF) {
        return error_set(error, "-numa: the distance of node %u to itself is %d", options.src, DISTANCE_SELF);
    }
    if (find_distance(machine, options.src, options.dst)) {
        return error_set(error, "-numa: the distance from node %u to %u is given twice", options.src, options.dst);
    }
    d = (NumaDistance){ (uint8_t)options.src, (uint8_t)options.dst, options.val };
    g_array_append_val(machine->distances, d);
    return true;
}

/* One direction stands for both; if any distance is given, all are. */
static bool complete_distances(Machine *machine, GError **error)
{
    for (unsigned a = 0; machine->distances->len && a < machine->numa->len; a++) {
        for (unsigned b = 0; b < machine->numa->len; b++) {
            const NumaDistance *there = find_distance(machine, a, b), *back = find_distance(machine, b, a);
            NumaDistance d = { (uint8_t)a, (uint8_t)b, a == b ? DISTANCE_SELF : DISTANCE_DEFAULT };

            if (there) {
                continue;
            }
            if (a != b && !back) {
                error_set(error, "-numa: the distance between nodes %u and %u is missing", a, b);
                return error_hint(error, "Give one for each pair of nodes, or none at all.");
            }
            d.value = back ? back->value : d.value;
            g_array_append_val(machine->distances, d);
        }
    }
    return true;
}

/* ---- CPUs by topology ---- */

static bool add_cpus(Machine *machine, const char *text, GError **error)
{
    CpuOptions options;
    unsigned found = 0;
    NumaNode *node;

    if (!field_struct_parse_text(&cpu_options, text, NULL, &options, error)) {
        return error_subject(error, "-numa cpu");
    }
    node = given_node(machine, options.node, error);
    if (!node) {
        return false;
    }
    if (!machine->topology.cpus && !machine_set_smp(machine, "1", error)) {
        return false;
    }
    for (unsigned i = 0; i < machine->topology.maxcpus; i++) {
        unsigned socket, die, core, thread;

        cpu_topology_place(&machine->topology, i, &socket, &die, &core, &thread);
        if ((options.has_socket && options.socket != socket) || (options.has_die && options.die != die) ||
            (options.has_core && options.core != core) || (options.has_thread && options.thread != thread)) {
            continue;
        }
        if (!give_cpu(machine, node, i, error)) {
            return false;
        }
        found++;
    }
    if (!found) {
        error_set(error, "-numa cpu: -smp makes no CPU like '%s'", text);
        return error_hint(error, "Ids count from 0 within each socket, die and core.");
    }
    return true;
}

bool machine_add_numa(Machine *machine, const char *text, GError **error)
{
    size_t length = strcspn(text, ",");
    g_autofree char *kind = g_strndup(text, length);
    const char *rest = text[length] ? text + length + 1 : "";
    static const char *const kinds[] = { "node", "dist", "cpu", NULL };
    const char *nearest;

    if (strcmp(kind, "node") == 0) {
        return add_node(machine, rest, error);
    }
    if (strcmp(kind, "dist") == 0) {
        return add_distance(machine, rest, error);
    }
    if (strcmp(kind, "cpu") == 0) {
        return add_cpus(machine, rest, error);
    }
    nearest = error_nearest(kind, kinds);
    error_set(error, "-numa: '%s' is not known", kind);
    return error_hint(error, nearest ? "Did you mean '%s'?" : "Use one of node, dist and cpu.", nearest);
}

/* ---- checks ---- */

static bool check_nodes(Machine *machine, GError **error)
{
    for (unsigned n = 0; n < machine->numa->len; n++) {
        const NumaNode *node = &g_array_index(machine->numa, NumaNode, n);

        if (!node->given) {
            error_set(error, "-numa: node %u is missing", n);
            return error_hint(error, "Number the nodes from 0 without gaps.");
        }
        for (unsigned i = 0; i < node->cpus->len; i++) {
            if (g_array_index(node->cpus, unsigned, i) >= machine->topology.maxcpus) {
                error_set(error, "-numa: node %u has CPU %u, and the machine has %u", n,
                          g_array_index(node->cpus, unsigned, i), machine->topology.maxcpus);
                return error_hint(error, "Use a larger -smp maxcpus=.");
            }
        }
    }
    return true;
}

/* With no CPU given to any node, sockets go round the nodes; else what is left goes to node 0. */
static void place_cpus(Machine *machine)
{
    unsigned placed = 0;

    for (unsigned n = 0; n < machine->numa->len; n++) {
        placed += g_array_index(machine->numa, NumaNode, n).cpus->len;
    }
    if (placed && placed < machine->topology.maxcpus) {
        log_warning("-numa: %u CPUs are given to no node, they go to node 0", machine->topology.maxcpus - placed);
    }
    for (unsigned i = 0; placed < machine->topology.maxcpus && i < machine->topology.maxcpus; i++) {
        unsigned socket, die, core, thread;
        bool found = false;

        for (unsigned n = 0; n < machine->numa->len; n++) {
            found |= node_has_cpu(&g_array_index(machine->numa, NumaNode, n), i);
        }
        if (!found) {
            cpu_topology_place(&machine->topology, i, &socket, &die, &core, &thread);
            g_array_append_val(
                g_array_index(machine->numa, NumaNode, placed ? 0 : socket % machine->numa->len).cpus, i);
        }
    }
}

bool machine_check_numa(Machine *machine, GError **error)
{
    if (!machine->numa->len) {
        return true;
    }
    if (!check_nodes(machine, error) || !complete_distances(machine, error)) {
        return false;
    }
    place_cpus(machine);
    return true;
}

void machine_free_numa(Machine *machine)
{
    for (unsigned n = 0; n < machine->numa->len; n++) {
        NumaNode *node = &g_array_index(machine->numa, NumaNode, n);

        g_free(node->memdev);
        if (node->cpus) {
            g_array_unref(node->cpus);
        }
    }
    g_array_unref(machine->numa);
    g_array_unref(machine->distances);
}

int machine_cpu_node(const Machine *machine, unsigned index)
{
    for (unsigned n = 0; n < machine->numa->len; n++) {
        const GArray *cpus = g_array_index(machine->numa, NumaNode, n).cpus;

        for (unsigned i = 0; cpus && i < cpus->len; i++) {
            if (g_array_index(cpus, unsigned, i) == index) {
                return (int)n;
            }
        }
    }
    return -1;
}
