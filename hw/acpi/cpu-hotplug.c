/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU hot plug by ACPI (ACPI 6.4: 5.6.6 notifications 1 and 3, 6.3.3 _EJ0, 6.3.5 _OST): the registers that QEMU's
 * guests and firmware know (its docs/specs/acpi_cpu_hotplug, the "modern" interface, which ours is from the start).
 *
 *     plugged, device_del --> INSERT, REMOVE in the slot, GPE 2 --> \_GPE._E02 --> Notify(CPU, 1 or 3)
 *     guest: _EJ0 --> EJECT --> the main loop takes the CPU out      guest: _OST --> ACPI_DEVICE_OST
 *
 *   +0  w: SELECT, a CPU                          r: DATA2, upper half of what DATA tells
 *   +4  w: CONTROL  bit 1, 2: INSERT, REMOVE is seen; 3: EJECT; 4: FIRMWARE
 *       r: STATUS   bit 0: there; 1: INSERT; 2: REMOVE; 4: FIRMWARE
 *   +5  w: COMMAND  0: select the next with an event, 1, 2: DATA is _OST's event, status, 3: DATA is the APIC ID
 *   +8  w: DATA     r: DATA; of command 0 the CPU that is selected
 *
 * A CPU that is ejected is gone for the guest at once, and for the monitor when the main loop has come to it.
 * QEMU sends no DEVICE_UNPLUG_GUEST_ERROR for a CPU; here a guest that says by _OST that it keeps one makes it, so
 * that nobody waits for what does not come.
 *
 * Not modelled: the bitmap of the "legacy" interface, SMIs to firmware (its bit is kept, and nothing else done).
 *
 * Locking: the lock of the LPC bridge.
 */
#include "hw/acpi/cpu-hotplug.h"

#include <string.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/x86/cpu-model.h"

enum { SELECT = 0, DATA2 = 0, CONTROL = 4, STATUS = 4, COMMAND = 5, DATA = 8 };
enum { COMMAND_NEXT, COMMAND_OST_EVENT, COMMAND_OST_STATUS, COMMAND_APIC_ID, COMMANDS };
/* CONTROL and STATUS; the events of a slot. */
enum { PRESENT = 1 << 0, INSERT = 1 << 1, REMOVE = 1 << 2, EJECT = 1 << 3, FIRMWARE = 1 << 4 };
#define EVENTS (INSERT | REMOVE | FIRMWARE)

/* _OST, tables 6.21 to 6.23 */
#define OST_EJECT_REQUEST    3
#define OST_EJECT_PROCESSING 0x103
#define OST_SUCCESS          0
#define OST_EJECT_PENDING    0x84
#define REPORTS_MAX (2 * ACPI_CPUS_MAX) /* on their way: a guest that says more is not listened to */

/* What a vCPU's thread leaves to the main loop: a CPU by its number, for domains may end in between. */
typedef struct Errand { Domain *domain; unsigned index; } Errand;

static void send_errand(const AcpiCpuHotplug *h, unsigned index, void (*fn)(void *opaque))
{
    Errand *e = g_new(Errand, 1);

    *e = (Errand) { h->dev->domain, index };
    loop_post(domain_loop(e->domain), fn, e);
}

/* ---- ejecting ---- */

/* False: a reset or a new CPU came first. */
static bool take_ejection(AcpiCpuHotplug *h, unsigned index)
{
    bool ejected;

    lock_acquire(h->dev->lock);
    ejected = h->slot[index].events & EJECT;
    h->slot[index].events &= (uint8_t)~EJECT;
    lock_release(h->dev->lock);
    return ejected;
}

static void take_out(void *opaque)
{
    Errand *e = opaque;
    AcpiCpuHotplug *h = acpi_cpu_hotplug_of(e->domain);

    if (h && take_ejection(h, e->index)) {
        cpu_bus_remove(h->bus, e->index);
    }
    g_free(e);
}

static void eject(AcpiCpuHotplug *h)
{
    AcpiCpuSlot *slot = &h->slot[h->selected];

    if (!h->selected || !slot->present) {
        guest_error("acpi-cpu-hotplug", "CPU %u cannot be ejected: it is %s", h->selected,
                    h->selected ? "not there" : "the boot CPU");
        return;
    }
    slot->present = false;
    slot->events = EJECT;
    g_clear_pointer(&slot->id, g_free);
    send_errand(h, h->selected, take_out);
}

/* ---- _OST ---- */

static bool is_refusal(uint32_t event, uint32_t status)
{
    return (event == OST_EJECT_REQUEST || event == OST_EJECT_PROCESSING) && status != OST_SUCCESS &&
           status != OST_EJECT_PENDING;
}

/* The event itself is on its way before. */
static void reported(void *opaque)
{
    Errand *e = opaque;
    AcpiCpuHotplug *h = acpi_cpu_hotplug_of(e->domain);
    bool refused = false;

    if (h) {
        lock_acquire(h->dev->lock);
        h->reports -= h->reports > 0;
        refused = is_refusal(h->slot[e->index].ost_event, h->slot[e->index].ost_status);
        lock_release(h->dev->lock);
    }
    if (refused) {
        cpu_bus_refused(h->bus, e->index);
    }
    g_free(e);
}

static void note_status(AcpiCpuHotplug *h, uint32_t status)
{
    AcpiCpuSlot *slot = &h->slot[h->selected];

    slot->ost_status = status;
    if (h->reports >= REPORTS_MAX) {
        guest_error("acpi-cpu-hotplug", "a report of CPU %u comes too fast to be told", h->selected);
        return;
    }
    h->reports++;
    acpi_cpu_hotplug_tell(h, h->selected);
    send_errand(h, h->selected, reported);
}

/* ---- registers ---- */

static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    const AcpiCpuHotplug *h = opaque;

    if (h->selected >= h->count) {
        return 0;
    }
    switch (offset) {
    case STATUS:
        return h->slot[h->selected].present | (h->slot[h->selected].events & EVENTS);
    case DATA:
        return h->command == COMMAND_NEXT      ? h->selected
               : h->command == COMMAND_APIC_ID ? cpu_topology_apic_id(&h->bus->machine->topology, h->selected) : 0;
    default: /* DATA2: APIC IDs have 32 bits */
        return 0;
    }
}

/* One thing at a time, as QEMU does it. */
static void control_write(AcpiCpuHotplug *h, uint8_t value)
{
    uint8_t *events = &h->slot[h->selected].events;

    if (value & INSERT) {
        *events &= (uint8_t)~INSERT;
    } else if (value & REMOVE) {
        *events &= (uint8_t)~REMOVE;
    } else if (value & EJECT) {
        eject(h);
    } else if (value & FIRMWARE) {
        *events ^= FIRMWARE;
    }
}

static void select_next(AcpiCpuHotplug *h)
{
    for (unsigned i = 0; i < h->count; i++) {
        unsigned index = (h->selected + i) % h->count;

        if (h->slot[index].events & EVENTS) {
            h->selected = index;
            return;
        }
    }
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiCpuHotplug *h = opaque;

    if (offset == SELECT) {
        h->selected = (uint32_t)value;
    }
    if (offset == SELECT || h->selected >= h->count) {
        return;
    }
    switch (offset) {
    case CONTROL:
        control_write(h, (uint8_t)value);
        break;
    case COMMAND:
        if (value < COMMANDS) {
            h->command = (uint8_t)value;
        }
        if (value == COMMAND_NEXT) {
            select_next(h);
        }
        break;
    case DATA:
        if (h->command == COMMAND_OST_EVENT) {
            h->slot[h->selected].ost_event = (uint32_t)value;
        } else if (h->command == COMMAND_OST_STATUS) {
            note_status(h, (uint32_t)value);
        }
        break;
    default:
        break;
    }
}

static const MemoryOps hotplug_ops = { .read = hotplug_read, .write = hotplug_write, .min = 1, .max = 4 };

/* ---- the machine's CPUs: main thread ---- */

static void cpu_came(void *opaque, const Vcpu *vcpu, bool hot)
{
    AcpiCpuHotplug *h = opaque;
    AcpiCpuSlot *slot = &h->slot[vcpu->index];

    lock_acquire(h->dev->lock);
    g_free(slot->id);
    *slot = (AcpiCpuSlot) { .present = true, .id = g_strdup(vcpu->dev->id), .events = hot ? INSERT : 0,
                            .ost_event = slot->ost_event, .ost_status = slot->ost_status };
    if (hot) {
        h->raise(h->dev);
    }
    lock_release(h->dev->lock);
}

static void ask_for_cpu(void *opaque, const Vcpu *vcpu)
{
    AcpiCpuHotplug *h = opaque;

    lock_acquire(h->dev->lock);
    h->slot[vcpu->index].events |= REMOVE;
    h->raise(h->dev);
    lock_release(h->dev->lock);
}

static void cpu_went(void *opaque, const Vcpu *vcpu)
{
    AcpiCpuHotplug *h = opaque;
    AcpiCpuSlot *slot = &h->slot[vcpu->index];

    lock_acquire(h->dev->lock);
    slot->present = false;
    slot->events = 0;
    g_clear_pointer(&slot->id, g_free);
    lock_release(h->dev->lock);
}

static const CpuHotplugOps cpu_ops = { .came = cpu_came, .ask = ask_for_cpu, .went = cpu_went };

AcpiCpuHotplug *acpi_cpu_hotplug_of(Domain *domain)
{
    Machine *machine = domain_machine(domain);

    return machine && machine->cpus.ops == &cpu_ops ? machine->cpus.opaque : NULL;
}

/* ---- with the bridge ---- */

void acpi_cpu_hotplug_init(AcpiCpuHotplug *h, Device *dev, MemoryRegion *ports, uint16_t base,
                           void (*raise)(Device *dev))
{
    h->dev = dev;
    h->bus = &domain_machine(dev->domain)->cpus;
    h->raise = raise;
    h->count = MIN(h->bus->machine->topology.maxcpus, ACPI_CPUS_MAX);
    for (unsigned i = 0; i < domain_vcpus(dev->domain); i++) {
        const Vcpu *vcpu = domain_vcpu(dev->domain, i);

        h->slot[vcpu->index].present = true;
        h->slot[vcpu->index].id = vcpu->dev ? g_strdup(vcpu->dev->id) : NULL;
    }
    memory_region_init_io(&h->region, "acpi-cpu-hotplug", ACPI_CPU_HOTPLUG_SIZE, &hotplug_ops, h, dev->lock);
    g_ptr_array_add(dev->regions, &h->region);
    memory_add(ports, base, &h->region, 0);
    cpu_bus_set_controller(h->bus, &cpu_ops, h);
}

void acpi_cpu_hotplug_finish(AcpiCpuHotplug *h)
{
    if (h->bus) {
        cpu_bus_set_controller(h->bus, NULL, NULL);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(h->slot); i++) {
        g_clear_pointer(&h->slot[i].id, g_free);
    }
}

void acpi_cpu_hotplug_reset(AcpiCpuHotplug *h)
{
    h->selected = 0;
    h->command = COMMAND_NEXT;
    for (unsigned i = 0; i < G_N_ELEMENTS(h->slot); i++) {
        h->slot[i].events &= EJECT; /* the main loop comes to that yet */
        h->slot[i].ost_event = h->slot[i].ost_status = 0;
    }
}

/* ---- saved state ---- */

static const StateDesc slot_state = {
    .name = "acpi-cpu-slot",
    .version = 1,
    .fields = (const StateField[]) {
        STATE_ROW(AcpiCpuSlot, events, STATE_TYPE_U8, .max = EVENTS | EJECT),
        STATE_U32(AcpiCpuSlot, ost_event),
        STATE_U32(AcpiCpuSlot, ost_status),
        STATE_END
    },
};

/* Which CPUs there are is told by their own sections.  One that the guest has ejected, and that was there yet, goes. */
static bool hotplug_loaded(void *struct_, GError **error)
{
    AcpiCpuHotplug *h = struct_;

    for (unsigned i = 0; i < h->count; i++) {
        h->slot[i].present = domain_find_vcpu(h->dev->domain, i) && !(h->slot[i].events & EJECT);
        if (h->slot[i].events & EJECT) {
            send_errand(h, i, take_out);
        }
    }
    return true;
}

const StateDesc acpi_cpu_hotplug_state = {
    .name = "acpi-cpu-hotplug",
    .version = 1,
    .loaded = hotplug_loaded,
    .fields = (const StateField[]) {
        STATE_U32(AcpiCpuHotplug, selected),
        STATE_ROW(AcpiCpuHotplug, command, STATE_TYPE_U8, .max = COMMANDS - 1),
        STATE_STRUCTS(AcpiCpuHotplug, slot, &slot_state),
        STATE_END
    },
};
