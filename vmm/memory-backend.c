/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory backends.  The properties are QEMU's; what they ask for is done by
 * ram_block_new().
 *
 * Locking: none; main thread.
 */
#include "vmm/memory-backend.h"

#include <numaif.h>
#include <string.h>

#include "vmm/domain.h"
#include "vmm/error.h"

#define HOST_NODES_MAX 1024
#define HOST_NODES_WORDS (HOST_NODES_MAX / (8 * sizeof(unsigned long)))

struct MemoryBackend {
    Object obj;
    /* Configuration: every backend */
    uint64_t size;
    bool share, prealloc, merge, dump, reserve;
    uint32_t prealloc_threads;
    FieldList host_nodes; /* uint16_t */
    int policy;
    /* memory-backend-file */
    char *mem_path;
    uint64_t align, offset;
    bool discard_data, pmem, readonly;
    /* memory-backend-memfd */
    bool hugetlb;
    uint64_t hugetlbsize;
    /* Derived */
    RamBlock *ram;
};

static const FieldEnum policy_enum = {
    .name = "HostMemPolicy",
    .values = (const char *const[]){ "default", "preferred", "bind", "interleave", NULL },
};

static const int mpol[] = { MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE };

static const Field host_node = FIELD_VALUE(FIELD_UINT, uint16_t, .min = 0, .max = HOST_NODES_MAX - 1);

#define COMMON_FIELDS(SHARE) \
    F_SIZE("size", MemoryBackend, size, 0, .min = 1, .max = INT64_MAX, .flags = FIELD_REQUIRED, \
           .help = "bytes of memory"), \
    F_BOOL("share", MemoryBackend, share, SHARE, .help = "other processes may map it and see writes"), \
    F_BOOL("prealloc", MemoryBackend, prealloc, false, .help = "take all of it from the host now"), \
    F_UINT("prealloc-threads", MemoryBackend, prealloc_threads, 1, .min = 1, .max = 64, \
           .help = "threads that do that"), \
    F_LIST("host-nodes", MemoryBackend, host_nodes, &host_node, .help = "NUMA nodes of the host, as in 0-1"), \
    F_ENUM("policy", MemoryBackend, policy, &policy_enum, 0, .help = "how those nodes are used"), \
    F_BOOL("merge", MemoryBackend, merge, true, .help = "equal pages may be merged (KSM)"), \
    F_BOOL("dump", MemoryBackend, dump, true, .help = "part of a core dump of this process"), \
    F_BOOL("reserve", MemoryBackend, reserve, true, .help = "reserve swap space or huge pages")

const FieldStruct memory_backend_ram_props = {
    .name = "MemoryBackendProperties",
    .size = sizeof(MemoryBackend),
    .fields = (const Field[]){ COMMON_FIELDS(false), FIELD_END },
};

const FieldStruct memory_backend_file_props = {
    .name = "MemoryBackendFileProperties",
    .size = sizeof(MemoryBackend),
    .fields = (const Field[]){
        COMMON_FIELDS(false),
        F_STR("mem-path", MemoryBackend, mem_path, NULL, .flags = FIELD_REQUIRED, .help = "file or directory"),
        F_SIZE("align", MemoryBackend, align, 0, .help = "alignment of the mapping, 0: natural"),
        F_SIZE("offset", MemoryBackend, offset, 0, .help = "where in the file the memory begins"),
        F_BOOL("discard-data", MemoryBackend, discard_data, false,
               .help = "contents need not reach the file at the end"),
        F_BOOL("pmem", MemoryBackend, pmem, false, .help = "the file lies on persistent memory"),
        F_BOOL("readonly", MemoryBackend, readonly, false, .help = "open the file read-only"),
        FIELD_END,
    },
};

const FieldStruct memory_backend_memfd_props = {
    .name = "MemoryBackendMemfdProperties",
    .size = sizeof(MemoryBackend),
    .fields = (const Field[]){
        COMMON_FIELDS(true),
        F_BOOL("hugetlb", MemoryBackend, hugetlb, false, .help = "use huge pages"),
        F_SIZE("hugetlbsize", MemoryBackend, hugetlbsize, 0, .help = "their size, 0: the host's default"),
        FIELD_END,
    },
};

/* Sets the bits of host-nodes; returns the number of bits, 0 if there are none. */
static unsigned node_mask(const MemoryBackend *mb, unsigned long mask[HOST_NODES_WORDS])
{
    unsigned bits = 0;

    for (size_t i = 0; i < mb->host_nodes.n; i++) {
        unsigned node = FIELD_LIST_AT(mb->host_nodes, uint16_t, i);

        mask[node / (8 * sizeof(long))] |= 1ul << node % (8 * sizeof(long));
        bits = MAX(bits, node + 1);
    }
    return bits;
}

static bool check_policy(const MemoryBackend *mb, unsigned nodes, GError **error)
{
    const char *name = policy_enum.values[mb->policy];

    if (nodes && mpol[mb->policy] == MPOL_DEFAULT) {
        error_set(error, "host-nodes is given, but policy is 'default', which uses none");
        return error_hint(error, "Add policy=bind, preferred or interleave.");
    }
    if (!nodes && mpol[mb->policy] != MPOL_DEFAULT) {
        error_set(error, "policy is '%s', but host-nodes is missing", name);
        return error_hint(error, "Add host-nodes=0, or leave policy out.");
    }
    return true;
}

static bool make(MemoryBackend *mb, RamBackingKind kind, GError **error)
{
    unsigned long mask[HOST_NODES_WORDS] = { 0 };
    unsigned nodes = node_mask(mb, mask);
    RamBacking backing = {
        .kind = kind,
        .shared = mb->share,
        .prealloc = mb->prealloc,
        .prealloc_threads = mb->prealloc_threads,
        .reserve = mb->reserve,
        .merge = mb->merge,
        .dump = mb->dump,
        .readonly = mb->readonly,
        .hugetlb = mb->hugetlb,
        .hugetlb_size = mb->hugetlbsize,
        .path = mb->mem_path,
        .file_offset = mb->offset,
        .discard_data = mb->discard_data,
        .pmem = mb->pmem,
        .align = mb->align,
        .policy = mpol[mb->policy],
        .host_nodes = mask,
        .max_node = nodes,
    };

    if (!check_policy(mb, nodes, error)) {
        return false;
    }
    mb->ram = ram_block_new(mb->obj.id, mb->size, &backing, error);
    return mb->ram != NULL;
}

/* memory-backend-ram with share=on needs a descriptor that others can map. */
static bool ram_create(Object *obj, GError **error)
{
    MemoryBackend *mb = (MemoryBackend *)obj;

    return make(mb, mb->share ? RAM_MEMFD : RAM_ANONYMOUS, error);
}

static bool file_create(Object *obj, GError **error)
{
    return make((MemoryBackend *)obj, RAM_FILE, error);
}

static bool memfd_create_backend(Object *obj, GError **error)
{
    MemoryBackend *mb = (MemoryBackend *)obj;

    if (mb->hugetlbsize && !mb->hugetlb) {
        error_set(error, "hugetlbsize is given, but hugetlb is off");
        return error_hint(error, "Add hugetlb=on.");
    }
    return make(mb, RAM_MEMFD, error);
}

static void backend_destroy(Object *obj)
{
    ram_block_unref(((MemoryBackend *)obj)->ram);
}

const ObjectClass memory_backend_ram_class = {
    .name = "memory-backend-ram",
    .desc = "Memory of this process",
    .size = sizeof(MemoryBackend),
    .props = &memory_backend_ram_props,
    .create = ram_create,
    .destroy = backend_destroy,
    .early = true,
};

const ObjectClass memory_backend_file_class = {
    .name = "memory-backend-file",
    .desc = "Memory in a file of the host",
    .size = sizeof(MemoryBackend),
    .props = &memory_backend_file_props,
    .create = file_create,
    .destroy = backend_destroy,
    .early = true,
};

const ObjectClass memory_backend_memfd_class = {
    .name = "memory-backend-memfd",
    .desc = "Memory without a name that other processes can be given",
    .size = sizeof(MemoryBackend),
    .props = &memory_backend_memfd_props,
    .create = memfd_create_backend,
    .destroy = backend_destroy,
    .early = true,
};

/* ---- users ---- */

static bool is_backend(const Object *obj)
{
    return obj->class == &memory_backend_ram_class || obj->class == &memory_backend_file_class ||
           obj->class == &memory_backend_memfd_class;
}

MemoryBackend *memory_backend_claim(Domain *domain, const char *id, GError **error)
{
    Object *obj = object_find(domain, id, NULL, error);

    if (!obj) {
        error_hint(error, "Add -object memory-backend-ram,id=%s,size=....", id);
        return NULL;
    }
    if (!is_backend(obj)) {
        error_set(error, "Object '%s' is not a memory backend but an %s", id, obj->class->name);
        return NULL;
    }
    if (obj->users) {
        error_set(error, "Memory backend '%s' is in use already", id);
        error_hint(error, "Give each user a backend of its own.");
        return NULL;
    }
    obj->users++;
    return (MemoryBackend *)obj;
}

void memory_backend_release(MemoryBackend *backend)
{
    if (backend) {
        backend->obj.users--;
    }
}

RamBlock *memory_backend_ram(const MemoryBackend *backend)
{
    return backend->ram;
}

/* ---- query-memdev (QEMU 7.2, qapi/machine.json) ---- */

typedef struct Memdev {
    char *id;
    uint64_t size;
    bool merge, dump, prealloc, share, reserve;
    FieldList host_nodes;
    int policy;
} Memdev;
static const FieldStruct memdev_info = {
    .name = "Memdev",
    .size = sizeof(Memdev),
    .fields = (const Field[]){
        F_STR("id", Memdev, id, NULL, .help = "its id"),
        F_SIZE("size", Memdev, size, 0, .flags = FIELD_REQUIRED, .help = "bytes"),
        F_BOOL("merge", Memdev, merge, false, .flags = FIELD_REQUIRED, .help = "equal pages may be merged"),
        F_BOOL("dump", Memdev, dump, false, .flags = FIELD_REQUIRED, .help = "part of a core dump"),
        F_BOOL("prealloc", Memdev, prealloc, false, .flags = FIELD_REQUIRED, .help = "all of it was taken at once"),
        F_BOOL("share", Memdev, share, false, .flags = FIELD_REQUIRED, .help = "other processes may map it"),
        F_BOOL("reserve", Memdev, reserve, true, .flags = FIELD_REQUIRED, .help = "swap or huge pages are reserved"),
        F_LIST("host-nodes", Memdev, host_nodes, &host_node, .flags = FIELD_REQUIRED, .help = "NUMA nodes of the host"),
        F_ENUM("policy", Memdev, policy, &policy_enum, 0, .flags = FIELD_REQUIRED, .help = "how those nodes are used"),
        FIELD_END,
    },
};
static const Field memdev_element = FIELD_VALUE(FIELD_STRUCT, Memdev, .of.structure = &memdev_info);

static bool add_memdev(Object *obj, void *list)
{
    const MemoryBackend *mb = (const MemoryBackend *)obj;
    Memdev m;

    if (is_backend(obj)) {
        m = (Memdev){
            .id = g_strdup(obj->id), .size = mb->size, .merge = mb->merge, .dump = mb->dump, .prealloc = mb->prealloc,
            .share = mb->share, .reserve = mb->reserve, .policy = mb->policy,
            .host_nodes = { g_memdup2(mb->host_nodes.items, mb->host_nodes.n * sizeof(uint16_t)), mb->host_nodes.n },
        };
        g_array_append_val((GArray *)list, m);
    }
    return true;
}

static bool query_memdev(CommandCall *call, const void *args, void *ret, GError **error)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(Memdev));
    FieldList *list = ret;

    object_each(call->domain, add_memdev, all);
    list->n = all->len;
    list->items = g_array_free(all, FALSE);
    return true;
}

const Command memory_backend_commands[] = {
    { "query-memdev", query_memdev, NULL, COMMAND_RETURNS_LIST(&memdev_element), .help = "List the memory backends" },
    COMMAND_END
};
