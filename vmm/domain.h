/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain: one virtual machine, one process.  It owns the loops, the accelerator,
 * the memory map, the machine, and every table of named things.  Topology (what
 * exists) changes on the main thread only; accessors of what is constant after
 * start are for any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/accel.h"
#include "vmm/memory.h"
#include "vmm/runstate.h"
#include "vmm/state.h"
#include "vmm/timer.h"

typedef struct Machine Machine;
typedef struct Domain Domain;
typedef struct GdbServer GdbServer;

Domain *domain_new(const char *name, GError **error);
void domain_free(Domain *domain);
/* The main loop until domain_quit(); returns the exit status. */
int domain_main(Domain *domain);

/* ---- constant after start: any thread ---- */
const char *domain_name(const Domain *domain); /* NULL: unnamed */
const uint8_t *domain_uuid(const Domain *domain, bool *ret_given); /* 16 bytes, RFC 4122 order */
void domain_set_uuid(Domain *domain, const uint8_t uuid[16]);
Loop *domain_loop(const Domain *domain);       /* the main loop */
Clock *domain_clock(const Domain *domain);     /* guest time */
MemoryRegion *domain_memory_root(const Domain *domain);
MemoryRegion *domain_port_root(const Domain *domain);
AddressSpace *domain_memory(const Domain *domain);
AddressSpace *domain_ports(const Domain *domain);
Accel *domain_accel(const Domain *domain);
void domain_set_accel(Domain *domain, Accel *accel);
IrqFabric *domain_irqs(const Domain *domain);
Machine *domain_machine(const Domain *domain);
void domain_set_machine(Domain *domain, Machine *machine);
StateList *domain_state(const Domain *domain); /* everything that is saved */
Actions *domain_actions(Domain *domain);
/* Whether the disks' images are another process', from which this domain moves here or to which it has moved: who opens
 * one takes no lock.  Main thread. */
bool domain_storage_is_inactive(const Domain *domain);
void domain_set_storage_inactive(Domain *domain, bool inactive);

/* ---- vCPUs: main thread; the array grows by hot plug ---- */
unsigned domain_vcpus(const Domain *domain);
Vcpu *domain_vcpu(const Domain *domain, unsigned n); /* in the order in which they came: 0 is the boot processor */
Vcpu *domain_find_vcpu(const Domain *domain, unsigned index); /* NULL: there is none now */
void domain_add_vcpu(Domain *domain, Vcpu *vcpu);
void domain_remove_vcpu(Domain *domain, Vcpu *vcpu);

/* ---- named things: main thread ---- */
/* TABLE_GLOBALS: "driver.property" to the value's text, filled by device_global_add(). */
typedef enum DomainTable {
    TABLE_DEVICES, TABLE_OBJECTS, TABLE_CHARDEVS, TABLE_BUSES, TABLE_BLOCK, TABLE_DRIVES, TABLE_NETDEVS, TABLE_NICS,
    TABLE_ANNOUNCEMENTS, TABLE_GLOBALS, DOMAIN_TABLES
} DomainTable;
GHashTable *domain_table(Domain *domain, DomainTable table); /* char * (owned) to pointer */
/* The board and the devices of the command line are there. */
bool domain_is_complete(const Domain *domain);
/* monitor/gdb.h sets it; NULL: there is none. */
GdbServer *domain_gdb_server(const Domain *domain);
void domain_set_gdb_server(Domain *domain, GdbServer *server);
/* "/machine/unattached/device[N]" and the like; the next N. */
unsigned domain_next_number(Domain *domain);
/* id is well-formed (letter first; letters, digits, - . _) and unused in table. */
bool domain_check_id(Domain *domain, DomainTable table, const char *id, const char *what, GError **error);
