/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * none: no board at all.  It runs nothing; tools start it to ask what this program
 * can do.
 */
#include "hw/i386/none.h"

static bool none_build(Machine *machine, GError **error)
{
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
