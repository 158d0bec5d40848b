/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does what the command line asks for, part by part; main.c says in which order.
 * Main thread.  Errors name the option.
 */
#pragma once

#include "vmm/domain.h"
#include "vmm/machine.h"
#include "vmm/options.h"

bool options_prepare_process(const Options *options, GError **error); /* log, descriptor sets, mlockall, name */
bool options_check_files(const Options *options, GError **error); /* those of direct boot can be read */
bool options_set_domain(const Options *options, Domain *domain, GError **error); /* UUID, actions, -global */
const MachineClass *options_machine_class(const Options *options, GError **error);
/* With everything set that -machine, -cpu, -smp, -m, -numa, -rtc, -smbios and the boot options say. */
Machine *options_new_machine(const Options *options, Domain *domain, const MachineClass *class, GError **error);
Accel *options_open_accel(const Options *options, const Machine *machine, GError **error);
typedef enum ObjectTime { OBJECTS_EARLY, OBJECTS_BETWEEN, OBJECTS_LATE } ObjectTime; /* ObjectClass.early, .late */
bool options_add_objects(const Options *options, Domain *domain, ObjectTime time, GError **error);
bool options_add_chardevs(const Options *options, Domain *domain, GError **error);
bool options_add_serials(const Options *options, Domain *domain, GError **error);
bool options_add_devices(const Options *options, Domain *domain, GError **error);
