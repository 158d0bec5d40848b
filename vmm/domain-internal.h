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
    REQUEST_WATCHDOG = 1 << 7,
    REQUEST_DEBUG = 1 << 8, /* a pause: a vCPU has stopped for a debugger */
};

typedef struct EventHub EventHub; /* vmm/event.c */

typedef struct RunControl {
    /* Any thread: atomics. */
    unsigned state;    /* RunState */
    unsigned requests; /* REQUEST_ bits not yet carried out; a post is under way while there are any */
    unsigned reset_reason, shutdown_reason, panic_kind, pause_state;
    /* The main thread's. */
    bool quiet;        /* vCPUs parked, queues paused, clock stopped (running while suspended) */
    bool waking;       /* machine_wakeup() is under way */
    bool frozen;       /* domain_freeze() */
    unsigned kept;     /* REQUEST_ bits that wait for domain_thaw() */
    RunState next;     /* in finish-migrate: the state that follows, here or at the destination */
    LoopBatch later;   /* requests came within a wait (loop_defer()) */
    bool quit;
    int status;        /* of domain_main() */
    GArray *observers; /* Observer */
    /* Guest time, while quiet: saved, and set again by domain_cont(). */
    struct GuestTime {
        Domain *domain;
        int64_t virtual_ns;
        uint64_t kvmclock_ns;
        bool has_kvmclock;
        int64_t stopped_at_ns; /* since 1970; 0: it has not run */
        int64_t caught_up_ns;  /* clock_realtime, while it is brought up to date; 0: it is not */
        bool restored;         /* since then it was somewhere else: when it goes on, it is brought up to date */
    } time;
} RunControl;

struct Domain {
    /* Constant after start. */
    char *name;
    uint8_t uuid[16];
    bool uuid_given;
    Loop *loop;
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
    bool storage_inactive; /* domain_set_storage_inactive() */
    bool complete;      /* the board is there: devices that come now are hot plugged */
    RunControl run;
    EventHub *events;
    struct MigrateControl *migration; /* vmm/migrate-internal.h; NULL: nobody has asked */
    struct DirtyRate *dirty_rate; /* the last measurement; NULL: there was none */
    struct DumpControl *dump; /* of the last dump; NULL: there was none */
    struct { unsigned percent; struct Timer *timer; } throttle; /* vcpus_throttle(); atomic; NULL: not throttled */
    struct GdbServer *gdb_server; /* the main thread's; NULL: there is none */
    struct { const struct BalloonClass *class; void *opaque; } balloon; /* the main thread's; NULL: there is none */
};

/* vmm/dirty-rate.c */
void dirty_rate_free(struct DirtyRate *rate); /* breaks off what is under way; NULL is fine */

/* vmm/dump-commands.c */
void dump_control_free(struct DumpControl *control); /* ends a dump that is under way; NULL is fine */

/* vmm/migrate.c */
void migrate_control_free(struct MigrateControl *control); /* ends what is under way; NULL is fine */

/* vmm/migrate-clock.c */
void migrate_catch_up(Domain *domain); /* quiet; before devices and vCPUs go on */
void migrate_catch_up_rest(Domain *domain); /* right before time goes on */

/* vmm/event.c */
EventHub *event_hub_new(Domain *domain);
void event_hub_stop(EventHub *hub); /* no listener hears any more; frees what waits for its time */
void event_hub_free(EventHub *hub); /* the loop is gone, and with it every event under way */

/* vmm/runstate.c */
void run_control_init(Domain *domain);
void run_control_finish(Domain *domain);
/* Another state for a domain that is quiet. */
void run_control_set_state(Domain *domain, RunState state);
/* finish-migrate; RunControl.next is the state that it was in. */
void run_control_finish_migrate(Domain *domain);
/* Every device is there: paused, like all of the domain, until domain_cont(). */
void run_control_ready(Domain *domain);

/* vmm/machine-ram.c, vmm/machine-numa.c: parts of machine_build() and machine_free() */
bool machine_build_ram(Machine *machine, GError **error);
void machine_free_ram(Machine *machine);
bool machine_check_numa(Machine *machine, GError **error);
void machine_free_numa(Machine *machine);
