/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus between local APICs: which of them a message is for (SDM volume 3, 11.6.2,
 * 11.12.10), lowest priority (11.6.2.4), interprocessor interrupts (11.6.1) and MSIs
 * (11.11).
 *
 * An MSI's destination has 8 bits, and where the address' upper half is not zero 24
 * more above them, as KVM reads it.  0xff is everybody for an xAPIC and number 255 for
 * an x2APIC.
 *
 * Left out: interrupt remapping, arbitration on a serial bus.  IPIs are edges,
 * whatever their trigger bit says (11.6.1).
 *
 * Locking: the list of local APICs is replaced as a whole and read without locks.
 */
#include <errno.h>

#include "vmm/x86/lapic-priv.h"

#include "vmm/epoch.h"

#define EXCEPTIONS   16
#define MSI_ADDRESS  UINT64_C(0xfee00000)
#define MSI_WINDOW   UINT64_C(0xfff00000)
#define MSI_LOGICAL  (1u << 2)
#define MSI_HINT     (1u << 3)
#define MSI_LEVEL    (1u << 15)

#define ICR_LOGICAL  (1u << 11)
#define ICR_ASSERT   (1u << 14)
#define ICR_LEVEL    (1u << 15)

enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

/* ---- the list ---- */

LapicBus *lapic_bus_new(Loop *loop, Clock *clock, const LapicOps *ops)
{
    LapicBus *bus = g_new0(LapicBus, 1);

    bus->loop = loop;
    bus->clock = clock;
    bus->ops = ops;
    bus->list = g_malloc0(sizeof(LapicList));
    return bus;
}

void lapic_bus_free(LapicBus *bus)
{
    if (bus) {
        g_assert(bus->list->n == 0);
        g_free(bus->list);
        g_free(bus);
    }
}

LapicList *lapic_bus_list(const LapicBus *bus)
{
    return __atomic_load_n(&bus->list, __ATOMIC_ACQUIRE);
}

static void publish(LapicBus *bus, LapicList *list)
{
    epoch_retire(g_free, __atomic_exchange_n(&bus->list, list, __ATOMIC_SEQ_CST));
}

void lapic_bus_add(LapicBus *bus, Lapic *apic)
{
    LapicList *list = g_malloc0(sizeof(*list) + (bus->list->n + 1) * sizeof(list->apic[0]));

    for (unsigned i = 0; i < bus->list->n; i++) {
        list->apic[list->n++] = bus->list->apic[i];
    }
    list->apic[list->n++] = apic;
    publish(bus, list);
}

void lapic_bus_remove(LapicBus *bus, Lapic *apic)
{
    LapicList *list = g_malloc0(sizeof(*list) + bus->list->n * sizeof(list->apic[0]));

    for (unsigned i = 0; i < bus->list->n; i++) {
        if (bus->list->apic[i] != apic) {
            list->apic[list->n++] = bus->list->apic[i];
        }
    }
    publish(bus, list);
}

void lapic_bus_set_eoi(LapicBus *bus, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
    bus->eoi_opaque = opaque;
    bus->eoi = eoi;
}

/* ---- destinations ---- */

static uint32_t load(const uint32_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static bool matches_logical(const Lapic *apic, uint32_t destination)
{
    uint32_t ldr = load(&apic->ldr);

    if (lapic_is_x2(apic)) {
        return destination >> 16 == ldr >> 16 && (destination & ldr & 0xffff);
    }
    ldr >>= 24;
    switch (load(&apic->dfr) >> 28) {
    case 0xf: /* flat */
        return destination <= 0xff && (destination & ldr);
    case 0: /* clusters of four */
        return destination <= 0xff && destination >> 4 == ldr >> 4 && (destination & ldr & 15);
    default:
        return false;
    }
}

static bool matches(const Lapic *apic, const LapicMessage *m)
{
    if (!lapic_is_on(apic)) {
        return false;
    }
    if (m->destination == UINT32_MAX || (m->destination == 0xff && !lapic_is_x2(apic))) {
        return true;
    }
    if (m->logical) {
        return matches_logical(apic, m->destination);
    }
    /* An ID of more than 8 bits reaches an xAPIC too: there is no other way to start that CPU. */
    return m->destination == (lapic_is_x2(apic) || m->destination > 0xff ? apic->id : load(&apic->xapic_id));
}

/* Among equals it is the turn of another one each time. */
static Lapic *choose(LapicBus *bus, const LapicList *list, const LapicMessage *m, const Lapic *except)
{
    unsigned first = __atomic_fetch_add(&bus->turn, 1, __ATOMIC_RELAXED);
    unsigned lowest = UINT_MAX;
    Lapic *chosen = NULL;

    for (unsigned i = 0; i < list->n; i++) {
        Lapic *apic = list->apic[(first + i) % list->n];
        unsigned priority;

        if (apic == except || !lapic_is_enabled(apic) || !matches(apic, m)) {
            continue;
        }
        priority = lapic_priority(apic) >> 4;
        if (priority < lowest) {
            lowest = priority;
            chosen = apic;
        }
    }
    return chosen;
}

static bool deliver(LapicBus *bus, const LapicMessage *m, const Lapic *except)
{
    const LapicList *list = lapic_bus_list(bus);
    bool taken = false;

    if (m->any) {
        Lapic *apic = choose(bus, list, m, except);

        if (apic) {
            lapic_accept(apic, m->mode, m->vector, m->level);
        }
        return apic;
    }
    for (unsigned i = 0; i < list->n; i++) {
        Lapic *apic = list->apic[i];

        if (apic != except && matches(apic, m)) {
            lapic_accept(apic, m->mode, m->vector, m->level);
            taken = true;
        }
    }
    return taken;
}

/* ---- senders ---- */

bool lapic_bus_send(LapicBus *bus, MsiMessage message)
{
    LapicMessage m = {
        .destination = (uint32_t)(message.address >> 12 & 0xff) | ((uint32_t)(message.address >> 32) & ~0xffu),
        .logical = message.address & MSI_LOGICAL, .level = message.data & MSI_LEVEL,
        .mode = message.data >> 8 & 7, .vector = (uint8_t)message.data,
    };

    m.any = m.mode == DELIVER_LOWEST || (message.address & MSI_HINT);
    return (message.address & MSI_WINDOW) == MSI_ADDRESS && deliver(bus, &m, NULL);
}

/* The level de-assert of INIT only ever synchronized arbitration. */
static bool is_ipi(uint64_t icr)
{
    unsigned mode = icr >> 8 & 7;

    return mode != 3 && mode != DELIVER_EXTINT &&
           !(mode == DELIVER_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT));
}

static bool has_bad_vector(uint64_t icr)
{
    unsigned mode = icr >> 8 & 7;

    return (mode == DELIVER_FIXED || mode == DELIVER_LOWEST) && (icr & 0xff) < EXCEPTIONS;
}

void lapic_send_icr(Lapic *apic, uint64_t icr)
{
    unsigned shorthand = icr >> 18 & 3;
    LapicMessage m = {
        .destination = lapic_is_x2(apic) ? (uint32_t)(icr >> 32) : (uint32_t)(icr >> 56),
        .logical = icr & ICR_LOGICAL, .mode = icr >> 8 & 7, .vector = (uint8_t)icr,
    };

    m.any = m.mode == DELIVER_LOWEST;
    if (!is_ipi(icr)) {
        return;
    }
    if (has_bad_vector(icr)) {
        lapic_raise_error(apic, ERROR_SENT_VECTOR);
        return;
    }
    if (shorthand == SHORTHAND_SELF) {
        lapic_accept(apic, m.mode, m.vector, false);
        return;
    }
    if (shorthand != SHORTHAND_NONE || (!lapic_is_x2(apic) && m.destination == 0xff)) {
        m.destination = UINT32_MAX;
    }
    deliver(apic->bus, &m, shorthand == SHORTHAND_OTHERS ? apic : NULL);
}

int lapic_send_ipis(Lapic *apic, unsigned __int128 mask, uint32_t first, uint64_t icr)
{
    const LapicList *list = lapic_bus_list(apic->bus);
    int taken = 0;

    if (icr & ICR_LOGICAL || icr >> 18 & 3) {
        return -EINVAL;
    }
    for (unsigned i = 0; is_ipi(icr) && !has_bad_vector(icr) && i < list->n; i++) {
        Lapic *to = list->apic[i];

        if (to->id - first < 128 && mask >> (to->id - first) & 1 && lapic_is_on(to)) {
            lapic_accept(to, icr >> 8 & 7, (uint8_t)icr, false);
            taken++;
        }
    }
    return taken;
}

/* The pin's other modes are edges. */
void lapic_bus_set_extint(LapicBus *bus, bool level, int (*acknowledge)(void *opaque), void *opaque)
{
    const LapicList *list = lapic_bus_list(bus);
    bool before;

    if (bus->acknowledge != acknowledge) { /* once, in the PIC's first reset */
        bus->acknowledge_opaque = opaque;
        __atomic_store_n(&bus->acknowledge, acknowledge, __ATOMIC_RELEASE);
    }
    before = __atomic_exchange_n(&bus->extint, level, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; level && !before && i < list->n; i++) {
        Lapic *apic = list->apic[i];

        if (lapic_takes_extint(apic)) {
            bus->ops->interrupt(apic->cpu);
        } else {
            lapic_local(apic, APIC_LVT_LINT0);
        }
    }
}
