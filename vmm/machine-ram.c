/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's RAM: its size (-m), its blocks, and the one region that shows them.
 *
 * Its blocks are those of memory backends: -machine memory-backend=, -numa node,memdev=,
 * or one that is made.  Memory for slots is address space only: a board reserves
 * max_ram_size - ram_size above its RAM.
 *
 * Main thread.
 */
#include "vmm/machine.h"

#include "vmm/domain-internal.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/memory-backend.h"
#include "vmm/object.h"

#define MIB       (UINT64_C(1) << 20)
#define SLOTS_MAX 256

/* A piece of machine->ram. */
typedef struct RamPart {
    MemoryRegion region;
    MemoryBackend *backend;
    bool own; /* made here, and goes with the machine */
} RamPart;

/* ---- -m ---- */

typedef struct MemoryOptions {
    char *size, *maxmem;
    uint32_t slots;
} MemoryOptions;

static const Field memory_fields[] = {
    F_STR("size", MemoryOptions, size, NULL, .help = "RAM at start; a bare number is MiB"),
    F_UINT("slots", MemoryOptions, slots, 0, .max = SLOTS_MAX,
           .help = "Places for memory added later; nothing adds any yet"),
    F_STR("maxmem", MemoryOptions, maxmem, NULL, .help = "RAM at most, with what is added later"),
    FIELD_END
};
const FieldStruct machine_memory_options = { .name = "MemorySizeConfiguration", .size = sizeof(MemoryOptions),
                                             .fields = memory_fields };

static bool check_sizes(const MemoryOptions *options, uint64_t size, uint64_t max, GError **error)
{
    if (!options->maxmem != !options->slots) {
        error_set(error, "-m: '%s' is given without '%s'", options->slots ? "slots" : "maxmem",
                  options->slots ? "maxmem" : "slots");
        return error_hint(error, "Give both, as in -m 1G,slots=2,maxmem=4G.");
    }
    if (options->maxmem && max < size) {
        return error_set(error, "-m: maxmem is smaller than the RAM at start");
    }
    if (options->slots && max == size) {
        return error_set(error, "-m: there are slots, but maxmem leaves nothing to put into them");
    }
    return true;
}

/* A size of 0 is the machine's default, as QEMU's users know it. */
bool machine_set_memory(Machine *machine, const char *text, GError **error)
{
    MemoryOptions options;
    uint64_t size = 0, max = 0;
    bool ok;

    if (!field_struct_parse_text(&machine_memory_options, text, "size", &options, error)) {
        return error_subject(error, "-m");
    }
    ok = (!options.size || size_parse(options.size, MIB, &size, error)) &&
         (!options.maxmem || size_parse(options.maxmem, MIB, &max, error)) &&
         check_sizes(&options, size ? size : machine->class->default_ram, max, error);
    if (ok) {
        machine->ram_size = size;
        machine->max_ram_size = max;
        machine->ram_slots = options.slots;
    }
    field_struct_clear(&machine_memory_options, &options);
    return ok;
}

/* ---- blocks ---- */

static RamPart *add_part(Machine *machine, MemoryBackend *backend, uint64_t at, uint64_t size)
{
    RamBlock *block = memory_backend_ram(backend);
    RamPart *part = g_new0(RamPart, 1);

    part->backend = backend;
    memory_region_init_ram(&part->region, ram_block_id(block), block, 0, size);
    memory_add(&machine->ram, at, &part->region, 0);
    g_ptr_array_add(machine->ram_parts, part);
    return part;
}

static RamPart *add_backend(Machine *machine, const char *id, uint64_t at, uint64_t size, GError **error)
{
    MemoryBackend *backend = memory_backend_claim(machine->domain, id, error);

    return backend ? add_part(machine, backend, at, size) : NULL;
}

/* By its name it is listed, and found in what was saved. */
static bool add_own(Machine *machine, GError **error)
{
    const char *id = machine->class->default_ram_id ? machine->class->default_ram_id : "ram";
    g_autoptr(Json) options = json_new_object();

    if (object_find(machine->domain, id, NULL, NULL)) {
        error_set(error, "object id '%s' is the name of the machine's own RAM", id);
        return error_hint(error, "Give the object another id or, if it is to be that RAM, add -machine "
                          "memory-backend=%s.", id);
    }
    json_object_put_member(options, "qom-type", json_new_string(memory_backend_ram_class.name));
    json_object_put_member(options, "id", json_new_string(id));
    json_object_put_member(options, "size", json_new_int((int64_t)machine->ram_size));
    json_object_put_member(options, "merge", json_new_bool(machine_common(machine)->mem_merge));
    json_object_put_member(options, "dump", json_new_bool(machine_common(machine)->dump_guest_core));
    if (!object_add(machine->domain, options, error)) {
        return error_hint(error, "Use a smaller -m.");
    }
    add_backend(machine, id, 0, machine->ram_size, NULL)->own = true;
    machine_common(machine)->memory_backend = g_strdup(id);
    return true;
}

/* The size of a backend that is there; 0: error set. */
static uint64_t backend_size(Machine *machine, const char *id, GError **error)
{
    MemoryBackend *backend = memory_backend_claim(machine->domain, id, error);
    uint64_t size = backend ? ram_block_size(memory_backend_ram(backend)) : 0;

    memory_backend_release(backend);
    return size;
}

static bool add_nodes(Machine *machine, GError **error)
{
    uint64_t at = 0;

    for (unsigned n = 0; n < machine->numa->len; n++) {
        const NumaNode *node = &g_array_index(machine->numa, NumaNode, n);

        if (node->memdev && !add_backend(machine, node->memdev, at, node->memory, error)) {
            return false;
        }
        at += node->memory;
    }
    return true;
}

static bool nodes_have_backends(const Machine *machine)
{
    for (unsigned n = 0; n < machine->numa->len; n++) {
        if (g_array_index(machine->numa, NumaNode, n).memdev) {
            return true;
        }
    }
    return false;
}

/* What the nodes' backends add up to; fills in each node's size. */
static bool size_nodes(Machine *machine, GError **error)
{
    bool backends = nodes_have_backends(machine);
    uint64_t total = 0;

    for (unsigned n = 0; n < machine->numa->len; n++) {
        NumaNode *node = &g_array_index(machine->numa, NumaNode, n);

        if (node->memdev) {
            node->memory = backend_size(machine, node->memdev, error);
            if (!node->memory) {
                return false;
            }
        } else if (backends && node->memory) {
            error_set(error, "-numa: node %u has mem= while other nodes have memdev=", n);
            return error_hint(error, "Give every node with memory a memdev=.");
        }
        total += node->memory;
    }
    if (machine->numa->len && !machine->ram_size) {
        machine->ram_size = total ? total : machine->class->default_ram;
    }
    if (machine->numa->len && total != machine->ram_size) {
        error_set(error,
                  "-numa: the nodes have %" G_GUINT64_FORMAT " MiB of memory, the machine has %" G_GUINT64_FORMAT,
                  total / MIB, machine->ram_size / MIB);
        return error_hint(error, "Give the nodes' memdev= backends sizes that add up to -m.");
    }
    return true;
}

static bool size_from_backend(Machine *machine, const char *id, GError **error)
{
    uint64_t size = backend_size(machine, id, error);

    if (size && machine->ram_size && size != machine->ram_size) {
        error_set(error, "memory backend '%s' has %" G_GUINT64_FORMAT " MiB, -m says %" G_GUINT64_FORMAT, id,
                  size / MIB, machine->ram_size / MIB);
        return error_hint(error, "Leave out -m, or give the same size.");
    }
    machine->ram_size = size;
    return size != 0;
}

bool machine_build_ram(Machine *machine, GError **error)
{
    const char *backend = machine_common(machine)->memory_backend;

    if (backend && nodes_have_backends(machine)) {
        error_set(error, "RAM cannot be both memory-backend '%s' and the memdev= of NUMA nodes", backend);
        return error_hint(error, "Leave out one of them.");
    }
    if ((backend && !size_from_backend(machine, backend, error)) || !size_nodes(machine, error)) {
        return false;
    }
    if (!machine->ram_size) {
        machine->ram_size = machine->class->default_ram;
    }
    machine->ram_size = (machine->ram_size + GUEST_PAGE_SIZE - 1) & ~(GUEST_PAGE_SIZE - 1);
    machine->max_ram_size = MAX(machine->max_ram_size, machine->ram_size);
    memory_region_init(&machine->ram, "ram", machine->ram_size);
    if (!machine->ram_size) {
        return true; /* machine 'none' */
    }
    if (backend) {
        return add_backend(machine, backend, 0, machine->ram_size, error) != NULL;
    }
    return nodes_have_backends(machine) ? add_nodes(machine, error) : add_own(machine, error);
}

void machine_free_ram(Machine *machine)
{
    for (unsigned i = 0; i < machine->ram_parts->len; i++) {
        memory_remove(&((RamPart *)g_ptr_array_index(machine->ram_parts, i))->region);
    }
    memory_remove(&machine->ram);
    epoch_synchronize();
    for (unsigned i = 0; i < machine->ram_parts->len; i++) {
        RamPart *part = g_ptr_array_index(machine->ram_parts, i);

        memory_region_finish(&part->region);
        memory_backend_release(part->backend);
        if (part->own) {
            object_del(machine->domain, machine_common(machine)->memory_backend, NULL);
        }
        g_free(part);
    }
    if (machine->ram.name) {
        memory_region_finish(&machine->ram);
    }
    g_ptr_array_unref(machine->ram_parts);
}
