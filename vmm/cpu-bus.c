/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/cpu-bus.h.  What is refused, and in which words, is as QEMU 7.2 does it.
 */
#include "vmm/cpu-bus.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/x86/cpu-model-commands.h"

#define UNSET      (-1)
#define NO_APIC_ID UINT32_MAX
#define ANSWER_NS  (5 * NS_PER_SEC) /* then the guest may be asked again */

typedef struct CpuDevice {
    Device dev;
    /* Configuration; all of it is set once it is on its bus. */
    int64_t socket, die, core, thread, node;
    uint32_t apic_id;
    bool built_in;  /* of -smp */
    unsigned index;
    /* Derived */
    Vcpu *vcpu;
    bool told;      /* others have heard of it */
} CpuDevice;

typedef struct Observer {
    CpuObserverFn fn;
    void *opaque;
} Observer;

static CpuDevice *cpu(Device *dev)
{
    return (CpuDevice *)dev;
}

static CpuBus *bus_of(Device *dev)
{
    return (CpuBus *)dev->bus;
}

/* ---- places ---- */

CpuPlace cpu_bus_place(const Machine *machine, unsigned index)
{
    unsigned socket, die, core, thread;
    int node = machine_cpu_node(machine, index);

    cpu_topology_place(&machine->topology, index, &socket, &die, &core, &thread);
    return (CpuPlace) { node >= 0, machine->topology.dies > 1, node, socket, die, core, thread };
}

typedef struct Level { const char *name; int64_t *value; unsigned count; } Level;

static bool check_level(const Level *l, GError **error)
{
    if (*l->value == UNSET) {
        return error_set(error, "CPU %s is not set", l->name);
    }
    if (*l->value >= l->count) {
        error_set(error, "Invalid CPU %s: %" PRId64 " must be in range 0:%u", l->name, *l->value, l->count - 1);
        return error_hint(error, "query-hotpluggable-cpus lists the places there are; -smp maxcpus= makes more.");
    }
    return true;
}

static bool find_by_place(CpuDevice *c, const CpuTopology *t, GError **error)
{
    const Level levels[] = {
        { "socket-id", &c->socket, t->sockets }, { "die-id", &c->die, t->dies }, { "core-id", &c->core, t->cores },
        { "thread-id", &c->thread, t->threads },
    };

    if (c->die == UNSET && t->dies == 1) {
        c->die = 0;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
        if (!check_level(&levels[i], error)) {
            return false;
        }
    }
    c->index = (unsigned)(((c->socket * t->dies + c->die) * t->cores + c->core) * t->threads + c->thread);
    return true;
}

static bool find_by_apic_id(CpuDevice *c, const CpuTopology *t, GError **error)
{
    for (c->index = 0; c->index < t->maxcpus; c->index++) {
        if (cpu_topology_apic_id(t, c->index) == c->apic_id) {
            return true;
        }
    }
    error_set(error, "Invalid CPU with APIC ID %u, valid index range 0:%u", c->apic_id, t->maxcpus - 1);
    return error_hint(error, "query-hotpluggable-cpus lists the places there are.");
}

/* Sets what was not given; what was given has to be right. */
static bool settle(int64_t *value, const char *name, int64_t is, const CpuDevice *c, GError **error)
{
    if (*value != UNSET && *value != is) {
        return error_set(error, "property %s: %" PRId64 " does not match CPU %u, whose %s is %" PRId64, name, *value,
                         c->index, name, is);
    }
    *value = is;
    return true;
}

static bool find_place(CpuDevice *c, const Machine *machine, GError **error)
{
    const CpuTopology *t = &machine->topology;
    CpuPlace place;

    if (!(c->apic_id == NO_APIC_ID ? find_by_place(c, t, error) : find_by_apic_id(c, t, error))) {
        return false;
    }
    place = cpu_bus_place(machine, c->index);
    c->apic_id = cpu_topology_apic_id(t, c->index);
    return settle(&c->socket, "socket-id", place.socket, c, error) && settle(&c->die, "die-id", place.die, c, error) &&
           settle(&c->core, "core-id", place.core, c, error) &&
           settle(&c->thread, "thread-id", place.thread, c, error) &&
           settle(&c->node, "node-id", place.has_node ? place.node : UNSET, c, error);
}

static bool check_free(const CpuDevice *c, const Machine *machine, GError **error)
{
    if (!domain_find_vcpu(machine->domain, c->index)) {
        return true;
    }
    error_set(error, "CPU[%u] with APIC ID %u exists", c->index, c->apic_id);
    if (domain_vcpus(machine->domain) == machine->topology.maxcpus) {
        error_hint(error, "Every CPU that there may be is there; start the domain with a greater -smp maxcpus=.");
    }
    return false;
}

/* ---- the bus ---- */

static bool cpu_attach(Bus *base, Device *dev, GError **error)
{
    const Machine *machine = ((CpuBus *)base)->machine;
    CpuDevice *c = cpu(dev);

    if (!c->built_in && !machine->class->cpus_changed) {
        error_set(error, "machine '%s' has the CPUs of -smp and takes no others", machine->class->name);
        return error_hint(error, "Use -machine q35.");
    }
    if (base->domain->complete && !((CpuBus *)base)->ops) {
        error_set(error, "this machine cannot tell its guest of a CPU that comes");
        return error_hint(error, "Start it with ACPI, and with -smp maxcpus=.");
    }
    return find_place(c, machine, error) && check_free(c, machine, error);
}

static void tell(CpuBus *bus, Vcpu *vcpu, bool came)
{
    g_autoptr(GArray) now = g_array_copy(bus->observers);

    for (unsigned i = 0; i < now->len; i++) {
        const Observer *o = &g_array_index(now, Observer, i);

        o->fn(vcpu, came, o->opaque);
    }
}

/* Before its first instruction a guest finds in the tables what there is. */
static bool is_cold(const Domain *domain)
{
    RunState state = domain_run_state(domain);

    return !domain->complete || state == RUN_STATE_PRELAUNCH || state == RUN_STATE_INMIGRATE;
}

static void cpu_plugged(Bus *base, Device *dev)
{
    CpuBus *bus = (CpuBus *)base;
    CpuDevice *c = cpu(dev);

    c->told = true;
    tell(bus, c->vcpu, true);
    if (base->domain->complete) {
        vcpu_join_others(c->vcpu);
    }
    if (bus->ops) {
        bus->machine->class->cpus_changed(bus->machine);
        bus->ops->came(bus->opaque, c->vcpu, !is_cold(base->domain));
    }
}

static void cpu_detach(Bus *base, Device *dev)
{
    CpuBus *bus = (CpuBus *)base;
    CpuDevice *c = cpu(dev);

    if (c->told) {
        c->told = false;
        tell(bus, c->vcpu, false);
        if (bus->ops) {
            bus->ops->went(bus->opaque, c->vcpu);
        }
    }
}

static bool cpu_unplug(Bus *base, Device *dev, GError **error)
{
    CpuBus *bus = (CpuBus *)base;

    if (!cpu(dev)->index) {
        return error_set(error, "CPU 0 cannot be unplugged: it is the boot CPU");
    }
    if (!bus->ops) {
        return error_set(error, "CPU %u cannot be unplugged: this machine cannot ask its guest for it",
                         cpu(dev)->index);
    }
    if (is_cold(base->domain)) {
        device_free(dev); /* no guest has seen it */
        return true;
    }
    dev->unplug_until_ns = clock_ns(domain_clock(base->domain)) + ANSWER_NS;
    bus->ops->ask(bus->opaque, cpu(dev)->vcpu);
    return true;
}

static const BusClass cpu_bus_class = {
    .name = "CPU", .size = sizeof(CpuBus), .missing = "This machine has no CPUs.", .attach = cpu_attach,
    .detach = cpu_detach, .plugged = cpu_plugged, .unplug = cpu_unplug,
};

void cpu_bus_init(CpuBus *bus, Machine *machine)
{
    bus->machine = machine;
    bus->observers = g_array_new(FALSE, FALSE, sizeof(Observer));
    bus_init(&bus->bus, &cpu_bus_class, machine->domain, NULL, ".cpus"); /* no id can be that */
    bus->bus.hotplug = true;
}

void cpu_bus_finish(CpuBus *bus)
{
    if (bus->observers) {
        bus_finish(&bus->bus);
        g_clear_pointer(&bus->observers, g_array_unref);
    }
}

void cpu_bus_set_controller(CpuBus *bus, const CpuHotplugOps *ops, void *opaque)
{
    bus->ops = ops;
    bus->opaque = opaque;
}

void cpu_bus_observe(CpuBus *bus, CpuObserverFn fn, void *opaque)
{
    Observer o = { fn, opaque };

    g_array_append_val(bus->observers, o);
}

void cpu_bus_unobserve(CpuBus *bus, CpuObserverFn fn, void *opaque)
{
    for (unsigned i = 0; i < bus->observers->len; i++) {
        const Observer *o = &g_array_index(bus->observers, Observer, i);

        if (o->fn == fn && o->opaque == opaque) {
            g_array_remove_index(bus->observers, i);
            return;
        }
    }
}

bool cpu_bus_add(CpuBus *bus, unsigned index, GError **error)
{
    Device *dev = device_new(bus->bus.domain, &cpu_device_class, NULL);
    g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", index);

    device_set_path(dev, path);
    cpu(dev)->built_in = true;
    cpu(dev)->apic_id = cpu_topology_apic_id(&bus->machine->topology, index);
    if (!device_realize(dev, &bus->bus, error)) {
        device_free(dev);
        return false;
    }
    return true;
}

void cpu_bus_remove(CpuBus *bus, unsigned index)
{
    const Vcpu *vcpu = domain_find_vcpu(bus->bus.domain, index);

    if (vcpu) {
        device_free(vcpu->dev);
    }
}

void cpu_bus_refused(CpuBus *bus, unsigned index)
{
    const Vcpu *vcpu = domain_find_vcpu(bus->bus.domain, index);

    if (vcpu && vcpu->dev->unplug_pending) {
        device_unplug_refused(vcpu->dev);
    }
}

/* ---- the device ---- */

/* One that comes later than the others has to be as they are: its thread there, its state handed over. */
static bool start(Machine *machine, Vcpu *vcpu, GError **error)
{
    if (!vcpu_start(vcpu, error)) {
        return false;
    }
    vcpu_reset(vcpu);
    if (machine->class->reset_cpu) {
        machine->class->reset_cpu(machine, vcpu);
    }
    return vcpu_store(vcpu, error);
}

static bool cpu_realize(Device *dev, GError **error)
{
    CpuDevice *c = cpu(dev);

    c->vcpu = vcpu_new(dev->domain, c->index, c->apic_id, error);
    if (!c->vcpu) {
        return false;
    }
    c->vcpu->dev = dev;
    if (dev->domain->complete && !start(bus_of(dev)->machine, c->vcpu, error)) {
        vcpu_free(g_steal_pointer(&c->vcpu));
        return false;
    }
    return true;
}

static void cpu_unrealize(Device *dev)
{
    CpuBus *bus = bus_of(dev);

    if (bus->ops) { /* else the machine itself is on its way */
        vcpu_retire(cpu(dev)->vcpu);
    }
    vcpu_free(g_steal_pointer(&cpu(dev)->vcpu));
    if (bus->ops) {
        bus->machine->class->cpus_changed(bus->machine);
    }
}

static const Property cpu_props[] = {
    PROP_INT("socket-id", CpuDevice, socket, UNSET, .min = UNSET, .max = INT32_MAX, .help = "Its socket"),
    PROP_INT("die-id", CpuDevice, die, UNSET, .min = UNSET, .max = INT32_MAX, .help = "Its die in the socket"),
    PROP_INT("core-id", CpuDevice, core, UNSET, .min = UNSET, .max = INT32_MAX, .help = "Its core in the die"),
    PROP_INT("thread-id", CpuDevice, thread, UNSET, .min = UNSET, .max = INT32_MAX, .help = "Its thread in the core"),
    PROP_INT("node-id", CpuDevice, node, UNSET, .min = UNSET, .max = INT32_MAX, .help = "Its node, as -numa has it"),
    PROP_UINT("apic-id", CpuDevice, apic_id, NO_APIC_ID, .help = "Its APIC ID, in the place of the others"),
    PROP_END
};

/* The state of its vCPU is saved as /machine/cpu[N], however it came. */
const DeviceClass cpu_device_class = {
    .name = "x86_64-cpu", .desc = "A CPU as -cpu makes it", .category = "CPU", .size = sizeof(CpuDevice),
    .bus = &cpu_bus_class, .props = cpu_props, .hotpluggable = true,
    .realize = cpu_realize, .unrealize = cpu_unrealize,
};

static void note_model(const char *name, const char *desc, void *opaque)
{
    g_ptr_array_add(opaque, cpu_model_type_name(name));
}

const DeviceClass *cpu_device_class_find(const char *driver)
{
    g_autoptr(GPtrArray) types = g_ptr_array_new_with_free_func(g_free);

    cpu_models_each(note_model, types);
    g_ptr_array_add(types, g_strdup(cpu_device_class.name)); /* which no machine has, but "-device X,help" */
    return g_ptr_array_find_with_equal_func(types, driver, g_str_equal, NULL) ? &cpu_device_class : NULL;
}

bool cpu_bus_check_type(Domain *domain, const char *driver, GError **error)
{
    const Machine *machine = domain_machine(domain);
    const CpuModel *model = machine ? machine->cpu_model : NULL;
    g_autofree char *wanted = model ? cpu_model_type_name(cpu_model_name(model)) : NULL;

    return g_strcmp0(driver, wanted) == 0 || !wanted ||
           error_set(error, "Invalid CPU type, expected cpu type: '%s'", wanted);
}
