/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map as text for people, laid out as `info mtree` of QEMU is.
 */
#include <inttypes.h>

#include "vmm/memory-view.h"

static const char *kind_name(const MemoryRegion *mr)
{
    static const char *const names[] = {
        [MEMORY_CONTAINER] = "i/o", [MEMORY_RAM] = "ram",  [MEMORY_ROM] = "rom",       [MEMORY_ROM_DEVICE] = "romd",
        [MEMORY_MMIO] = "i/o",      [MEMORY_ALIAS] = NULL, [MEMORY_TRANSLATED] = "i/o",
    };

    while (mr->alias) {
        mr = mr->alias;
    }
    return names[mr->kind];
}

typedef struct Dump {
    GString *out;
    GPtrArray *targets; /* MemoryRegion: roots of what aliases show, each once */
    bool disabled;      /* regions that are switched off, too */
} Dump;

static void remember_target(const Dump *d, MemoryRegion *mr)
{
    while (mr->parent) {
        mr = mr->parent;
    }
    if (!g_ptr_array_find(d->targets, mr, NULL)) {
        g_ptr_array_add(d->targets, mr);
    }
}

static void dump_region(const Dump *d, const MemoryRegion *mr, uint64_t base, unsigned indent)
{
    uint64_t address = base + mr->address;

    if (!mr->enabled && !d->disabled) {
        return;
    }
    g_string_append_printf(d->out, "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, %s): ", (int)indent, "", address,
                           address + region_last(mr), mr->priority, kind_name(mr));
    if (mr->alias) {
        g_string_append_printf(d->out, "alias %s @%s %016" PRIx64 "-%016" PRIx64, mr->name, mr->alias->name,
                               mr->alias_offset, mr->alias_offset + region_last(mr));
        remember_target(d, mr->alias);
    } else {
        g_string_append(d->out, mr->name);
    }
    g_string_append_printf(d->out, "%s\n", mr->enabled ? "" : " [disabled]");
    for (unsigned i = 0; mr->children && i < mr->children->len; i++) {
        dump_region(d, mr->children->pdata[i], address, indent + 2);
    }
}

static bool is_root_of_any(AddressSpace *const *spaces, unsigned n, const MemoryRegion *mr)
{
    for (unsigned i = 0; i < n; i++) {
        if (spaces[i]->root == mr) {
            return true;
        }
    }
    return false;
}

void memory_dump_tree(AddressSpace *const *spaces, unsigned n, bool disabled, GString *out)
{
    g_autoptr(GPtrArray) targets = g_ptr_array_new();
    Dump dump = { out, targets, disabled };

    memory_begin();
    for (unsigned i = 0; i < n; i++) {
        g_string_append_printf(out, "address-space: %s\n", spaces[i]->name);
        dump_region(&dump, spaces[i]->root, 0, 2);
        g_string_append_c(out, '\n');
    }
    for (unsigned i = 0; i < targets->len; i++) { /* which may have aliases of their own */
        if (!is_root_of_any(spaces, n, targets->pdata[i])) {
            g_string_append_printf(out, "memory-region: %s\n", ((MemoryRegion *)targets->pdata[i])->name);
            dump_region(&dump, targets->pdata[i], 0, 2);
            g_string_append_c(out, '\n');
        }
    }
    memory_commit();
}

static bool dump_range(const MemoryRange *r, void *opaque)
{
    g_string_append_printf(opaque, "  %016" PRIx64 "-%016" PRIx64 " (prio %d, %s): %s", r->address,
                           r->address + (r->size == UINT64_MAX ? r->size : r->size - 1), r->region->priority,
                           kind_name(r->region), r->region->name);
    if (r->offset) {
        g_string_append_printf(opaque, " @%016" PRIx64, r->offset);
    }
    g_string_append_c(opaque, '\n');
    return true;
}

void memory_dump_view(AddressSpace *as, GString *out)
{
    g_string_append_printf(out, " AS \"%s\", root: %s\n Root memory region: %s\n", as->name, as->root->name,
                           as->root->name);
    memory_each_range(as, dump_range, out);
    g_string_append_c(out, '\n');
}
