/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dump as an ELF core file (System V ABI, "Object Files"): a PT_NOTE of the vCPUs, and a PT_LOAD for each piece of
 * RAM by its physical address; there are no virtual ones.
 */
#include <elf.h>
#include <string.h>

#include "vmm/dump.h"

#define PIECE (1u << 20)

static bool write_headers(Dump *dump, GError **error)
{
    const GArray *ranges = dump_ranges(dump);
    uint64_t at = sizeof(Elf64_Ehdr) + (ranges->len + 1) * sizeof(Elf64_Phdr);
    Elf64_Ehdr header = {
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_CORE, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_phoff = sizeof(header),
        .e_ehsize = sizeof(header), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = (uint16_t)(ranges->len + 1),
    };
    Elf64_Phdr note = { .p_type = PT_NOTE, .p_offset = at, .p_filesz = dump_notes(dump)->len,
                        .p_memsz = dump_notes(dump)->len };

    if (!dump_write(dump, &header, sizeof(header), error) || !dump_write(dump, &note, sizeof(note), error)) {
        return false;
    }
    at += dump_notes(dump)->len;
    for (guint i = 0; i < ranges->len; i++) {
        const DumpRange *r = &g_array_index(ranges, DumpRange, i);
        Elf64_Phdr load = { .p_type = PT_LOAD, .p_offset = at, .p_paddr = r->address, .p_filesz = r->length,
                            .p_memsz = r->length };

        if (!dump_write(dump, &load, sizeof(load), error)) {
            return false;
        }
        at += r->length;
    }
    return dump_write(dump, dump_notes(dump)->data, dump_notes(dump)->len, error);
}

bool dump_write_elf(Dump *dump, GError **error)
{
    const GArray *ranges = dump_ranges(dump);

    if (!write_headers(dump, error)) {
        return false;
    }
    for (guint i = 0; i < ranges->len; i++) {
        const DumpRange *r = &g_array_index(ranges, DumpRange, i);

        for (uint64_t at = 0; at < r->length; at += PIECE) {
            uint64_t length = MIN(PIECE, r->length - at);

            if (!dump_write(dump, r->host + at, length, error)) {
                return false;
            }
            dump_progress(dump, length);
        }
    }
    return true;
}
