/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See rig.h.  The board is a machine class of its own, so that a rig goes through
 * the same steps as any machine: build, realize, reset.
 */
#include "tests/unit/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block/block.h"
#include "hw/devices.h"
#include "hw/isa/isa.h"
#include "hw/pci/q35-host.h"
#include "net/net.h"
#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/object.h"

typedef struct RigBoard {
    MemoryRegion low;
    IsaBus isa;
    Device *host;
} RigBoard;

static RigBoard *board(const Machine *machine)
{
    return machine->board;
}

/* INTA..INTD of every slot are GSI 16 to 19. */
static IrqLine *connect_pin(PciBus *bus, unsigned slot, unsigned pin)
{
    return gsi_add_source(domain_irqs(bus->bus.domain), 16 + pin - 1);
}

static void disconnect_pin(PciBus *bus, unsigned slot, unsigned pin, IrqLine *line)
{
    gsi_remove_source(line);
}

static bool rig_build(Machine *machine, GError **error)
{
    RigBoard *b = machine->board = g_new0(RigBoard, 1);

    memory_region_init_alias(&b->low, "low-ram", &machine->ram, 0, RIG_RAM);
    memory_add(domain_memory_root(machine->domain), 0, &b->low, 0);
    isa_bus_init(&b->isa, machine->domain, NULL, "isa.0", domain_port_root(machine->domain));
    b->host = device_new(machine->domain, &q35_host_class, NULL);
    q35_host_set_ram(b->host, &b->low);
    if (!device_realize(b->host, NULL, error)) {
        device_free(b->host);
        return false;
    }
    q35_host_bus(b->host)->connect_pin = connect_pin;
    q35_host_bus(b->host)->disconnect_pin = disconnect_pin;
    return true;
}

static void rig_destroy(Machine *machine)
{
    RigBoard *b = board(machine);

    isa_bus_finish(&b->isa);
    memory_remove(&b->low);
    memory_region_finish(&b->low);
    g_free(b);
}

/* Who looks into its tables reads them anew. */
static void rig_cpus_changed(Machine *machine)
{
}

static const MachineClass rig_machine_class = {
    .name = "rig", .desc = "Test rig", .max_cpus = 8, .default_cpu = "qemu64,check=off", .default_ram = RIG_RAM,
    .default_ram_id = "rig.ram", .options = &machine_options, .has_pci = true, .build = rig_build,
    .cpus_changed = rig_cpus_changed,
    .destroy = rig_destroy,
};

/* ---- building ---- */

static void check(const GError *error)
{
    if (error) {
        g_autofree char *text = error_text(error);

        fail_msg("%s", text);
    }
}

static void note_irq(void *opaque, unsigned gsi, bool level)
{
    Rig *r = opaque;

    r->edges[gsi] += level && !r->irq[gsi];
    r->irq[gsi] = level;
}

static bool set_property(const char *name, Json *value, void *opaque)
{
    void **pass = opaque;

    return strcmp(name, "driver") == 0 || strcmp(name, "id") == 0 || strcmp(name, "bus") == 0 ||
           device_set(pass[0], name, value, pass[1]);
}

static const char *text_member(const Json *options, const char *name)
{
    const Json *value = json_object_get_member(options, name);

    return value ? json_get_string(value) : NULL;
}

/* Like device_add(), but takes parts of boards too. */
static Device *add_device(Rig *r, const char *text, GError **error)
{
    g_autoptr(Json) options = keyval_parse(text, "driver", error);
    const DeviceClass *class = options ? device_class_find(text_member(options, "driver"), error) : NULL;
    const char *bus_name = options ? text_member(options, "bus") : NULL;
    Bus *bus = NULL;
    Device *dev;

    if (!class) {
        return NULL;
    }
    if (class->bus) {
        bus = bus_name ? bus_find(r->domain, bus_name) : bus_default(r->domain, class, error);
        if (!bus) {
            return NULL;
        }
    }
    dev = device_new(r->domain, class, text_member(options, "id"));
    if (!json_object_each(options, set_property, (void *[]){ dev, error }) || !device_realize(dev, bus, error)) {
        device_free(dev);
        return NULL;
    }
    return dev;
}

/* Guest RAM that another process can map. */
static void share_memory(Rig *r)
{
    g_autoptr(Json) options = keyval_parse("memory-backend-memfd,id=rig.mem,share=on,size=16M", "qom-type", NULL);
    g_autoptr(GError) error = NULL;

    object_add(r->domain, options, &error);
    check(error);
    machine_common(r->machine)->memory_backend = g_strdup("rig.mem");
}

static Rig *make_rig(const char *smp, const char *options, void (*setup)(Domain *domain), bool shared)
{
    g_autoptr(GError) error = NULL;
    Rig *r = g_new0(Rig, 1);

    devices_register();
    r->options = g_strdup(options);
    r->domain = domain_new("rig", &error);
    check(error);
    clock_set_manual(domain_clock(r->domain));
    fake_accel_new(r->domain);
    for (unsigned gsi = 0; gsi < IRQ_GSIS; gsi++) {
        gsi_connect(domain_irqs(r->domain), gsi, note_irq, r, gsi);
    }
    r->machine = machine_new(r->domain, &rig_machine_class);
    r->machine->rtc.clock = RTC_CLOCK_VM;
    machine_set_smp(r->machine, smp, &error);
    check(error);
    if (shared) {
        share_memory(r);
    }
    machine_build(r->machine, &error);
    check(error);
    if (setup) {
        setup(r->domain);
    }
    if (options) {
        r->dev = add_device(r, options, &error);
        check(error);
    }
    machine_reset(r->machine);
    return r;
}

Rig *rig_new_with(const char *options, void (*setup)(Domain *domain))
{
    return make_rig("1,maxcpus=2", options, setup, false);
}

Rig *rig_new_shared(const char *options, void (*setup)(Domain *domain))
{
    return make_rig("1,maxcpus=2", options, setup, true);
}

Rig *rig_new(const char *options)
{
    return make_rig("1,maxcpus=2", options, NULL, false);
}

Rig *rig_new_cpus(const char *smp)
{
    return make_rig(smp, NULL, NULL, false);
}

char *rig_try_add(Rig *r, const char *options)
{
    g_autoptr(GError) error = NULL;

    r->dev = add_device(r, options, &error);
    if (error) {
        return error_text(error);
    }
    device_reset(r->dev);
    return NULL;
}

void rig_free(Rig *r)
{
    machine_free(r->machine);
    net_remove_all(r->domain);
    block_close_all(r->domain);
    chardev_remove_all(r->domain);
    objects_free(r->domain);
    domain_free(r->domain);
    g_free(r->options);
    g_free(r);
}

/* ---- accesses ---- */

static uint64_t load(AddressSpace *as, uint64_t address, unsigned size)
{
    uint64_t value = UINT64_MAX >> (64 - 8 * size);

    memory_load(as, address, size, &value);
    return value;
}

uint8_t rig_in8(Rig *r, uint16_t port)
{
    return (uint8_t)load(domain_ports(r->domain), port, 1);
}

uint16_t rig_in16(Rig *r, uint16_t port)
{
    return (uint16_t)load(domain_ports(r->domain), port, 2);
}

uint32_t rig_in32(Rig *r, uint16_t port)
{
    return (uint32_t)load(domain_ports(r->domain), port, 4);
}

void rig_out8(Rig *r, uint16_t port, uint8_t value)
{
    memory_store(domain_ports(r->domain), port, 1, value);
}

void rig_out16(Rig *r, uint16_t port, uint16_t value)
{
    memory_store(domain_ports(r->domain), port, 2, value);
}

void rig_out32(Rig *r, uint16_t port, uint32_t value)
{
    memory_store(domain_ports(r->domain), port, 4, value);
}

uint64_t rig_read(Rig *r, uint64_t address, unsigned size)
{
    return load(domain_memory(r->domain), address, size);
}

void rig_write(Rig *r, uint64_t address, uint64_t value, unsigned size)
{
    memory_store(domain_memory(r->domain), address, size, value);
}

void *rig_ram(Rig *r, uint64_t address)
{
    uint64_t length = 1;
    void *host = memory_ram_pointer(domain_memory(r->domain), address, &length, true);

    assert_non_null(host);
    return host;
}

PciBus *rig_pci_root(Rig *r)
{
    return q35_host_bus(board(r->machine)->host);
}

uint32_t rig_config_read(Rig *r, uint8_t devfn, unsigned offset, unsigned size)
{
    return pci_config_load(rig_pci_root(r), 0, devfn, offset, size);
}

void rig_config_write(Rig *r, uint8_t devfn, unsigned offset, uint32_t value, unsigned size)
{
    pci_config_store(rig_pci_root(r), 0, devfn, offset, value, size);
}

/* ---- effects ---- */

bool rig_irq(const Rig *r, unsigned gsi)
{
    return r->irq[gsi];
}

void rig_settle(Rig *r)
{
    while (loop_run_once(domain_loop(r->domain), false)) {
    }
}

void rig_advance(Rig *r, int64_t ns)
{
    clock_set(domain_clock(r->domain), clock_ns(domain_clock(r->domain)) + ns);
    rig_settle(r);
}

/* ---- state ---- */

GByteArray *rig_save(Rig *r)
{
    g_autoptr(GError) error = NULL;
    GByteArray *state = g_byte_array_new();

    state_save(domain_state(r->domain), state, &error);
    check(error);
    return state;
}

char *rig_load(Rig *r, const GByteArray *state)
{
    g_autoptr(GError) error = NULL;

    return state_load(domain_state(r->domain), state->data, state->len, &error) ? NULL : error_text(error);
}

Rig *rig_save_restore(Rig *r)
{
    g_autoptr(GByteArray) state = rig_save(r);
    g_autofree char *options = g_strdup(r->options);
    g_autofree char *failure = NULL;

    rig_free(r);
    r = rig_new(options);
    failure = rig_load(r, state);
    if (failure) {
        fail_msg("%s", failure);
    }
    return r;
}
