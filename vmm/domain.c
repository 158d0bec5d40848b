/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain: the owner of everything a virtual machine is made of.  Topology belongs
 * to the main thread; what is constant after start is read by any thread.
 *
 * Taken down in the reverse order of building: machine with its devices, vCPUs,
 * accelerator (its memory listeners with it), address spaces, clock, loop.  Objects,
 * character devices and block nodes are freed by their own modules before.
 */
#include "vmm/domain.h"

#include <string.h>

#include "vmm/domain-internal.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/machine.h"

#define PORTS 0x10000

static void init_tables(Domain *domain)
{
    for (DomainTable t = 0; t < DOMAIN_TABLES; t++) {
        domain->tables[t] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, t == TABLE_GLOBALS ? g_free : NULL);
    }
}

Domain *domain_new(const char *name, GError **error)
{
    Loop *loop = loop_new("main", LOOP_ENGINE_AUTO, error);
    Domain *domain;

    if (!loop) {
        return NULL;
    }
    domain = g_new0(Domain, 1);
    domain->name = g_strdup(name);
    domain->loop = loop;
    loop_attach_glib(loop, NULL);
    domain->clock = clock_new_virtual();
    memory_region_init(&domain->memory_root, "memory", UINT64_MAX);
    memory_region_init(&domain->port_root, "io", PORTS);
    domain->memory = address_space_new("memory", &domain->memory_root, false);
    domain->ports = address_space_new("io", &domain->port_root, true);
    domain->state = state_list_new();
    domain->vcpus = g_ptr_array_new();
    domain->devices = g_ptr_array_new();
    domain->buses = g_ptr_array_new();
    init_tables(domain);
    domain->events = event_hub_new(domain);
    run_control_init(domain);
    return domain;
}

void domain_free(Domain *domain)
{
    if (!domain) {
        return;
    }
    domain->run.quit = true; /* requests that are still posted come too late */
    dirty_rate_free(domain->dirty_rate);
    dump_control_free(domain->dump);
    migrate_control_free(domain->migration);
    machine_free(domain->machine);
    epoch_synchronize(); /* devices are gone before what they point to */
    if (domain->accel) {
        domain->accel->class->close(domain->accel);
    }
    address_space_free(domain->memory);
    address_space_free(domain->ports);
    epoch_synchronize();
    memory_region_finish(&domain->memory_root);
    memory_region_finish(&domain->port_root);
    run_control_finish(domain);
    for (DomainTable t = 0; t < DOMAIN_TABLES; t++) {
        g_hash_table_unref(domain->tables[t]);
    }
    g_ptr_array_unref(domain->vcpus);
    g_ptr_array_unref(domain->devices);
    g_ptr_array_unref(domain->buses);
    state_list_free(domain->state);
    event_hub_stop(domain->events);
    loop_free(domain->loop); /* lets go of the clock */
    event_hub_free(domain->events);
    clock_free(domain->clock);
    g_free(domain->name);
    g_free(domain);
}

const char *domain_name(const Domain *domain)
{
    return domain->name;
}

const uint8_t *domain_uuid(const Domain *domain, bool *ret_given)
{
    if (ret_given) {
        *ret_given = domain->uuid_given;
    }
    return domain->uuid;
}

void domain_set_uuid(Domain *domain, const uint8_t uuid[16])
{
    memcpy(domain->uuid, uuid, sizeof(domain->uuid));
    domain->uuid_given = true;
}

Loop *domain_loop(const Domain *domain)
{
    return domain->loop;
}

Clock *domain_clock(const Domain *domain)
{
    return domain->clock;
}

MemoryRegion *domain_memory_root(const Domain *domain)
{
    return (MemoryRegion *)&domain->memory_root;
}

MemoryRegion *domain_port_root(const Domain *domain)
{
    return (MemoryRegion *)&domain->port_root;
}

AddressSpace *domain_memory(const Domain *domain)
{
    return domain->memory;
}

AddressSpace *domain_ports(const Domain *domain)
{
    return domain->ports;
}

Accel *domain_accel(const Domain *domain)
{
    return domain->accel;
}

void domain_set_accel(Domain *domain, Accel *accel)
{
    domain->accel = accel;
}

IrqFabric *domain_irqs(const Domain *domain)
{
    return domain->accel ? domain->accel->class->fabric(domain->accel) : NULL;
}

Machine *domain_machine(const Domain *domain)
{
    return domain->machine;
}

void domain_set_machine(Domain *domain, Machine *machine)
{
    domain->machine = machine;
}

GdbServer *domain_gdb_server(const Domain *domain)
{
    return domain->gdb_server;
}

void domain_set_gdb_server(Domain *domain, GdbServer *server)
{
    domain->gdb_server = server;
}

StateList *domain_state(const Domain *domain)
{
    return domain->state;
}

Actions *domain_actions(Domain *domain)
{
    return &domain->actions;
}

bool domain_storage_is_inactive(const Domain *domain)
{
    return domain->storage_inactive;
}

void domain_set_storage_inactive(Domain *domain, bool inactive)
{
    domain->storage_inactive = inactive;
}

/* ---- vCPUs ---- */

unsigned domain_vcpus(const Domain *domain)
{
    return domain->vcpus->len;
}

Vcpu *domain_vcpu(const Domain *domain, unsigned n)
{
    return n < domain->vcpus->len ? g_ptr_array_index(domain->vcpus, n) : NULL;
}

Vcpu *domain_find_vcpu(const Domain *domain, unsigned index)
{
    for (unsigned i = 0; i < domain->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(domain->vcpus, i);

        if (vcpu->index == index) {
            return vcpu;
        }
    }
    return NULL;
}

void domain_add_vcpu(Domain *domain, Vcpu *vcpu)
{
    g_ptr_array_add(domain->vcpus, vcpu);
}

void domain_remove_vcpu(Domain *domain, Vcpu *vcpu)
{
    g_ptr_array_remove(domain->vcpus, vcpu);
}

/* ---- named things ---- */

bool domain_is_complete(const Domain *domain)
{
    return domain->complete;
}

GHashTable *domain_table(Domain *domain, DomainTable table)
{
    return domain->tables[table];
}

unsigned domain_next_number(Domain *domain)
{
    return domain->next_number++;
}

static bool id_is_well_formed(const char *id)
{
    if (!g_ascii_isalpha(id[0])) {
        return false;
    }
    for (const char *p = id; *p; p++) {
        if (!g_ascii_isalnum(*p) && !strchr("-._", *p)) {
            return false;
        }
    }
    return true;
}

bool domain_check_id(Domain *domain, DomainTable table, const char *id, const char *what, GError **error)
{
    if (!id_is_well_formed(id)) {
        error_set(error, "'%s' is no %s id", id, what);
        return error_hint(error, "An id begins with a letter and goes on with letters, digits, '-', '.' and '_'.");
    }
    if (g_hash_table_contains(domain->tables[table], id)) {
        return error_set(error, "Duplicate %s id '%s'", what, id);
    }
    return true;
}
