/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * none: no board at all.  It runs nothing; tools start it to ask what this program
 * can do.
 */
#include "hw/i386/none.h"
#include "vmm/error.h"

static bool none_build(Machine *machine, GError **error)
{
    const BootOptions *boot = &machine->boot;
    const char *option = boot->kernel ? "kernel" : boot->bios ? "bios" : machine->smbios->len ? "smbios" : NULL;

    if (option) {
        error_set(error, "machine 'none' runs nothing and takes no -%s", option);
        return error_hint(error, "Use -machine q35 or microvm.");
    }
    return true;
}

const MachineClass none_machine_class = {
    .name = "none",
    .desc = "Empty machine",
    .max_cpus = 1,
    .default_cpu = "max",
    .options = &machine_options,
    .build = none_build,
};
