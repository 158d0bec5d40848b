/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a domain is made of: for the files of the core that implement vmm/domain.h,
 * vmm/device.h, vmm/runstate.h, vmm/machine.h and vmm/vcpu.h, nobody else.
 */
#pragma once

#include <glib.h>

#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/vcpu.h"

/* Requests of any thread to the main loop: bits of RunControl.requests. */
enum {
    REQUEST_RESET = 1 << 0,
    REQUEST_SHUTDOWN = 1 << 1,
    REQUEST_SUSPEND = 1 << 2,
    REQUEST_WAKEUP = 1 << 3,
    REQUEST_POWERDOWN = 1 << 4,
    REQUEST_PANIC = 1 << 5,
    REQUEST_PAUSE = 1 << 6,
};

typedef struct RunControl {
    /* Any thread: atomics. */
    unsigned state;    /* RunState */
    unsigned requests; /* REQUEST_ bits not yet carried out */
    unsigned reset_reason, shutdown_reason, panic_kind, pause_state;
    /* The main thread's. */
    bool started;      /* the machine was reset for the first time */
    bool quiet;        /* vCPUs parked, clock stopped, queues paused */
    unsigned holds;    /* domain_hold() without its domain_release() */
    bool quit;
    int status;        /* of domain_main() */
    GArray *observers; /* Observer */
} RunControl;

struct Domain {
    /* Constant after start. */
    char *name;
    uint8_t uuid[16];
    bool uuid_given;
    Loop *loop;
    GMainLoop *main_loop;
    Clock *clock;
    MemoryRegion memory_root, port_root;
    AddressSpace *memory, *ports;
    Accel *accel;
    Machine *machine;
    StateList *state;
    Actions actions;
    /* Topology: the main thread's. */
    GPtrArray *vcpus;   /* Vcpu, owned */
    GPtrArray *devices; /* Device, realized, in that order */
    GPtrArray *buses;   /* Bus, in order of bus_init() */
    GHashTable *tables[DOMAIN_TABLES];
    unsigned next_number, next_anonymous;
    bool complete;      /* the board is there: devices that come now are hot plugged */
    RunControl run;
};

/* vmm/runstate.c */
void run_control_init(Domain *domain);
void run_control_finish(Domain *domain);
