/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -smp, and where a vCPU sits: APIC ids have a field for each level, wide enough
 * for its count (SDM 3-9.9.1), so they are dense only where counts are powers of two.
 */
#include "vmm/x86/cpu-model.h"

#include "vmm/error.h"

#define LEVEL_MAX 1024

const FieldStruct smp_options = {
    .name = "SMPConfiguration", .size = sizeof(CpuTopology), .help = "Options of -smp",
    .fields = (const Field[]) {
        F_UINT("cpus", CpuTopology, cpus, 0, .min = 1, .max = LEVEL_MAX, .help = "vCPUs that are there at start"),
        F_UINT("maxcpus", CpuTopology, maxcpus, 0, .min = 1, .max = LEVEL_MAX, .help = "vCPUs there may ever be"),
        F_UINT("sockets", CpuTopology, sockets, 0, .min = 1, .max = LEVEL_MAX, .help = "sockets of the board"),
        F_UINT("dies", CpuTopology, dies, 0, .min = 1, .max = LEVEL_MAX, .help = "dies in a socket"),
        F_UINT("cores", CpuTopology, cores, 0, .min = 1, .max = LEVEL_MAX, .help = "cores in a die"),
        F_UINT("threads", CpuTopology, threads, 0, .min = 1, .max = LEVEL_MAX, .help = "threads in a core"),
        FIELD_END
    },
};

static unsigned given_or(unsigned value, unsigned otherwise)
{
    return value ? value : otherwise;
}

/* Levels that were not given: cores first, as there are more of them than of sockets. */
static void fill(CpuTopology *t)
{
    unsigned maxcpus = given_or(t->maxcpus, t->cpus);

    t->dies = given_or(t->dies, 1);
    if (!maxcpus) {
        t->sockets = given_or(t->sockets, 1);
        t->cores = given_or(t->cores, 1);
        t->threads = given_or(t->threads, 1);
    } else if (!t->cores) {
        t->sockets = given_or(t->sockets, 1);
        t->threads = given_or(t->threads, 1);
        t->cores = maxcpus / (t->sockets * t->dies * t->threads);
    } else if (!t->sockets) {
        t->threads = given_or(t->threads, 1);
        t->sockets = maxcpus / (t->dies * t->cores * t->threads);
    }
    if (!t->threads) {
        t->threads = MAX(maxcpus / (t->sockets * t->dies * t->cores), 1);
    }
    t->maxcpus = given_or(maxcpus, t->sockets * t->dies * t->cores * t->threads);
    t->cpus = given_or(t->cpus, t->maxcpus);
}

bool cpu_topology_parse(const char *text, unsigned max, CpuTopology *ret, GError **error)
{
    CpuTopology t = { 0 };

    if (!field_struct_parse_text(&smp_options, text, "cpus", &t, error)) {
        return false;
    }
    if ((uint64_t)given_or(t.sockets, 1) * given_or(t.dies, 1) * given_or(t.cores, 1) * given_or(t.threads, 1) >
        LEVEL_MAX) {
        return error_set(error, "sockets * dies * cores * threads is more than %d", LEVEL_MAX);
    }
    fill(&t);
    if (t.sockets * t.dies * t.cores * t.threads != t.maxcpus) {
        error_set(error, "sockets (%u) * dies (%u) * cores (%u) * threads (%u) is not maxcpus (%u)", t.sockets, t.dies,
                  t.cores, t.threads, t.maxcpus);
        return error_hint(error, "Leave out one of them, or give numbers whose product is maxcpus.");
    }
    if (t.cpus > t.maxcpus) {
        return error_set(error, "cpus (%u) is more than maxcpus (%u)", t.cpus, t.maxcpus);
    }
    if (t.maxcpus > max) {
        return error_set(error, "this machine has at most %u vCPUs, not %u", max, t.maxcpus);
    }
    *ret = t;
    return true;
}

static unsigned width(unsigned count)
{
    return count > 1 ? 32 - __builtin_clz(count - 1) : 0;
}

void cpu_topology_place(const CpuTopology *t, unsigned index, unsigned *socket, unsigned *die, unsigned *core,
                        unsigned *thread)
{
    *thread = index % t->threads;
    *core = index / t->threads % t->cores;
    *die = index / (t->threads * t->cores) % t->dies;
    *socket = index / (t->threads * t->cores * t->dies);
}

unsigned cpu_topology_shift(const CpuTopology *t, CpuLevel level)
{
    unsigned core = width(t->threads), die = core + width(t->cores);

    return level == CPU_LEVEL_CORE ? core : level == CPU_LEVEL_DIE ? die : die + width(t->dies);
}

uint32_t cpu_topology_apic_id(const CpuTopology *t, unsigned index)
{
    unsigned socket, die, core, thread;

    cpu_topology_place(t, index, &socket, &die, &core, &thread);
    return socket << cpu_topology_shift(t, CPU_LEVEL_SOCKET) | die << cpu_topology_shift(t, CPU_LEVEL_DIE) |
           core << cpu_topology_shift(t, CPU_LEVEL_CORE) | thread;
}
