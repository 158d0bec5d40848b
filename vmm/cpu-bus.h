/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUs as devices: each vCPU of a machine is one, on a bus of the machine's own; those of -smp too.
 *
 *     -smp, -device, device_add --> attach: which place, is it free --> realize: the vCPU and its thread, parked
 *        --> plugged: observers, the machine's tables, the controller tells the guest --> it runs if the others do
 *     device_del --> the controller asks the guest --> cpu_bus_remove() --> the thread ends, the vCPU is freed
 *
 * A place is what -smp makes: socket, die, core and thread.  What a CPU is, is the same for all of a machine (-cpu).
 * Main thread.
 */
#pragma once

#include "vmm/device.h"

typedef struct Vcpu Vcpu;
typedef struct Machine Machine;

/* The part of a board that tells the guest of CPUs that come and go. */
typedef struct CpuHotplugOps {
    /* hot: the guest runs, and has to hear of it. */
    void (*came)(void *opaque, const Vcpu *vcpu, bool hot);
    void (*ask)(void *opaque, const Vcpu *vcpu); /* the guest is to let go of it */
    void (*went)(void *opaque, const Vcpu *vcpu);
} CpuHotplugOps;

/* A vCPU is there (parked, if the domain runs), or is about to go (its thread still there). */
typedef void (*CpuObserverFn)(Vcpu *vcpu, bool came, void *opaque);

typedef struct CpuBus {
    Bus bus; /* first */
    Machine *machine;
    const CpuHotplugOps *ops; /* NULL: nobody can tell the guest */
    void *opaque;
    GArray *observers; /* of cpu_bus_observe() */
} CpuBus;

void cpu_bus_init(CpuBus *bus, Machine *machine);
void cpu_bus_finish(CpuBus *bus);
void cpu_bus_set_controller(CpuBus *bus, const CpuHotplugOps *ops, void *opaque); /* ops NULL: it goes */
void cpu_bus_observe(CpuBus *bus, CpuObserverFn fn, void *opaque);
void cpu_bus_unobserve(CpuBus *bus, CpuObserverFn fn, void *opaque);

/* One of those that -smp wants at start. */
bool cpu_bus_add(CpuBus *bus, unsigned index, GError **error);
/* The guest has let go of it, or takes none any more.  None there: nothing happens. */
void cpu_bus_remove(CpuBus *bus, unsigned index);
/* The guest keeps it, although it was asked for it. */
void cpu_bus_refused(CpuBus *bus, unsigned index);

/* The class for "qemu64-x86_64-cpu" and its like; NULL: that is no CPU. */
const DeviceClass *cpu_device_class_find(const char *driver);
bool cpu_bus_check_type(Domain *domain, const char *driver, GError **error); /* it is the type of this machine's CPUs */
extern const DeviceClass cpu_device_class;
/* Where a CPU sits, whether it is there or not.  A die is worth telling of where sockets have several. */
typedef struct CpuPlace {
    bool has_node, has_die;
    int64_t node, socket, die, core, thread;
} CpuPlace;
CpuPlace cpu_bus_place(const Machine *machine, unsigned index);
