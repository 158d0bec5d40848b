/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory backends: objects (-object memory-backend-ram|-file|-memfd) that give
 * RAM blocks to a machine's RAM, its NUMA nodes and memory devices.  Main thread.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/object.h"
#include "vmm/ram.h"

typedef struct MemoryBackend MemoryBackend;

extern const ObjectClass memory_backend_ram_class;
extern const ObjectClass memory_backend_file_class;
extern const ObjectClass memory_backend_memfd_class;
extern const FieldStruct memory_backend_ram_props, memory_backend_file_props, memory_backend_memfd_props;
extern const Command memory_backend_commands[];

/* The backend of that name, for one user: a second one is refused. */
MemoryBackend *memory_backend_claim(Domain *domain, const char *id, GError **error);
void memory_backend_release(MemoryBackend *backend); /* NULL is fine */
RamBlock *memory_backend_ram(const MemoryBackend *backend); /* borrowed */
