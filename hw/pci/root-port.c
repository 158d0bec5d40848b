/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcie-root-port: a PCI Express root port with one slot behind it, hot-pluggable
 * (PCIe Base 5.0: 7.5.3 capability, 6.7 hot plug).
 *
 * Hot plug in the standard's terms: a card that comes sets Presence Detect State,
 * which interrupts; software switches the slot on, and the link comes up.  To take
 * a card out, unplug presses the attention button; software quiesces the card, and
 * when it has switched off the slot's power and its indicator, the card goes.
 *
 *   empty, off --slot_plugged()--> present, off --software: power on--> present, on
 *     ^                                |                                   | slot_unplug(): button
 *     +--- slot_unplug(): unused ------+                                   v
 *     |                                                         software blinks, quiesces
 *     +--- remove_cards() <--- slot_control_wrote(): power off --+         |
 *                     present, on <--- refuse_unplugs(): no longer blinks, still on
 *
 * Nothing behind a slot that is off can be reached.  Before the guest's first
 * instruction a card that comes is as one that always was there, and one that
 * goes as one that never was.
 *
 * Where the board does hot plug by ACPI the port has no button and no power
 * controller: the root bus's slot_event asks for a card, and ejected() ends it.
 *
 * Not modelled: MRL sensor, electromechanical interlock, AER, PME, other link
 * speeds; a card that is kept while its slot is off and on again is not reset.
 *
 * Locking: the device's lock; plugging and unplugging come on the main thread and
 * take it, removing cards is posted there.
 */
#include <inttypes.h>
#include <string.h>

#include "hw/pci/pci-bridge.h"
#include "vmm/domain.h"
#include "vmm/error.h"

#define ROOT_PORT_VENDOR 0x1b36
#define ROOT_PORT_DEVICE 0x000c
#define SLOT_CAPABILITIES \
    (PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_PCP | PCI_EXP_SLTCAP_AIP | PCI_EXP_SLTCAP_PIP | PCI_EXP_SLTCAP_HPS | \
     PCI_EXP_SLTCAP_HPC)
#define SLOT_CONTROL_WRITABLE \
    (PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_CCIE | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_AIC | \
     PCI_EXP_SLTCTL_PIC | PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_DLLSCE)
#define SLOT_EVENTS (PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC)
/* Power off and its indicator off: the slot may be emptied. */
#define SLOT_OFF (PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF)
/* Guest time in which software reacts to the button, if it is there: 5 s to think better of it (6.7.1.5). */
#define ANSWER_NS (5 * NS_PER_SEC)
/* Room that a hot plug port keeps for a card, unless told otherwise. */
#define RESERVE_IO     UINT64_C(0x1000)
#define RESERVE_MEMORY UINT64_C(0x200000)

typedef struct RootPort {
    PciBridge bridge;
    /* Configuration */
    uint8_t port, chassis;
    uint16_t slot;
    bool hotplug;
    bool reserve_given[PCI_WINDOW_KINDS];
    /* Derived: what Slot Control was, whether an event interrupts. */
    uint16_t control;
    bool interrupting;
    LoopBatch remove_later, eject_later; /* that came within a wait (loop_defer()) */
} RootPort;

static RootPort *root_port(PciDevice *pci)
{
    return (RootPort *)pci;
}

/* ACPI does it for the port. */
static bool by_acpi(PciDevice *pci)
{
    return root_port(pci)->hotplug && pci_bus(pci)->slot_event;
}

/* The slot has the registers and lights of hot plug. */
static bool is_native(PciDevice *pci)
{
    return root_port(pci)->hotplug && !pci_bus(pci)->slot_event;
}

static uint16_t get(const PciDevice *pci, unsigned at)
{
    return pci_config_word(pci, pci->pcie_cap + at);
}

static void put(PciDevice *pci, unsigned at, uint16_t value)
{
    pci_config_put(pci, pci->pcie_cap + at, value, 2);
}

/* ---- events: 6.7.3.4 ---- */
static bool event_wanted(const PciDevice *pci)
{
    uint16_t status = get(pci, PCI_EXP_SLTSTA), control = get(pci, PCI_EXP_SLTCTL);
    bool any = (status & PCI_EXP_SLTSTA_ABP && control & PCI_EXP_SLTCTL_ABPE) ||
               (status & PCI_EXP_SLTSTA_PDC && control & PCI_EXP_SLTCTL_PDCE) ||
               (status & PCI_EXP_SLTSTA_CC && control & PCI_EXP_SLTCTL_CCIE) ||
               (status & PCI_EXP_SLTSTA_DLLSC && control & PCI_EXP_SLTCTL_DLLSCE);

    return any && (control & PCI_EXP_SLTCTL_HPIE);
}

static void update_interrupt(PciDevice *pci)
{
    RootPort *rp = root_port(pci);
    bool wanted = event_wanted(pci), msi = pci_msi_enabled(pci);

    pci_set_intx(pci, wanted && !msi);
    if (msi && wanted && !rp->interrupting) {
        pci_msi_notify(pci, 0);
    }
    rp->interrupting = wanted;
}

static void raise_events(PciDevice *pci, uint16_t events)
{
    put(pci, PCI_EXP_SLTSTA, get(pci, PCI_EXP_SLTSTA) | events);
    update_interrupt(pci);
}

/* ---- the slot ---- */
static uint16_t power_indicator(const PciDevice *pci)
{
    return get(pci, PCI_EXP_SLTCTL) & PCI_EXP_SLTCTL_PIC;
}

/* What power and presence lead to: whether the card can be reached, the link.  Whether the link changed. */
static bool update_link(PciDevice *pci)
{
    PciBus *bus = &pci_bridge(pci)->secondary;
    bool power = !(get(pci, PCI_EXP_SLTCTL) & PCI_EXP_SLTCTL_PCC);
    bool up = power && (get(pci, PCI_EXP_SLTSTA) & PCI_EXP_SLTSTA_PDS);
    uint16_t was = get(pci, PCI_EXP_LNKSTA), link = was & ~PCI_EXP_LNKSTA_DLLLA;

    if (__atomic_exchange_n(&bus->off, !power, __ATOMIC_ACQ_REL) == power) {
        pci_update_mapping(pci);
    }
    put(pci, PCI_EXP_LNKSTA, up ? link | PCI_EXP_LNKSTA_DLLLA : link);
    return get(pci, PCI_EXP_LNKSTA) != was;
}

/* Whether the link changed. */
static bool set_presence(PciDevice *pci, bool present)
{
    uint16_t status = get(pci, PCI_EXP_SLTSTA) & ~PCI_EXP_SLTSTA_PDS;

    put(pci, PCI_EXP_SLTSTA, present ? status | PCI_EXP_SLTSTA_PDS : status);
    return update_link(pci);
}

/* Where a slot has a button, Linux waits for it (and then blinks for 5 s), or for the link; so a card that comes
 * reports a change of the link, which comes up when software has switched the slot on. */
static void change_presence(PciDevice *pci, bool present)
{
    bool link = set_presence(pci, present) || present;

    raise_events(pci, PCI_EXP_SLTSTA_PDC | (link ? PCI_EXP_SLTSTA_DLLSC : 0));
}

/* What is in the slot when the machine is reset is there, and on; an empty slot is off. */
static void settle(PciDevice *pci)
{
    bool present = pci_bridge(pci)->secondary.bus.children->len > 0;
    uint16_t control = get(pci, PCI_EXP_SLTCTL) & ~SLOT_OFF;

    if (is_native(pci)) {
        put(pci, PCI_EXP_SLTCTL,
            control | PCI_EXP_SLTCTL_ATTN_IND_OFF | (present ? PCI_EXP_SLTCTL_PWR_IND_ON : SLOT_OFF));
    }
    set_presence(pci, present);
    root_port(pci)->control = get(pci, PCI_EXP_SLTCTL);
}

static void slot_plugged(PciBus *bus, PciDevice *card)
{
    PciDevice *pci = bus->bridge;
    bool cold = !card->dev.hotplugged || domain_run_state(pci->dev.domain) == RUN_STATE_PRELAUNCH;
    bool whole = PCI_FUNC(card->devfn) == 0; /* 3.2.2.3.4: software looks for a card's functions when this one came */

    lock_acquire(pci->dev.lock);
    if (cold) {
        settle(pci);
    } else if (whole) {
        change_presence(pci, true);
    }
    lock_release(pci->dev.lock);
    if (!cold && whole && by_acpi(pci)) {
        pci_bus(pci)->slot_event(pci_bus(pci), pci, true);
    }
}

/* Main thread; `then` with the lock held. */
static void take_cards_out(PciDevice *pci, void (*then)(PciDevice *pci))
{
    GPtrArray *cards = pci_bridge(pci)->secondary.bus.children;

    while (cards->len) {
        device_free(g_ptr_array_index(cards, cards->len - 1));
    }
    lock_acquire(pci->dev.lock);
    then(pci);
    lock_release(pci->dev.lock);
}

static void card_went(PciDevice *pci)
{
    change_presence(pci, false);
}

/* Main thread. */
static void remove_cards(void *opaque)
{
    PciDevice *pci = opaque;

    if (loop_defer(domain_loop(pci->dev.domain), &root_port(pci)->remove_later)) {
        return;
    }
    if (pci_bridge(pci)->secondary.bus.children->len && (get(pci, PCI_EXP_SLTCTL) & SLOT_OFF) == SLOT_OFF) {
        take_cards_out(pci, card_went);
    } /* else the guest thought better of it */
}

/* Main loop. */
static void eject_cards(void *opaque)
{
    PciDevice *pci = opaque;

    if (!loop_defer(domain_loop(pci->dev.domain), &root_port(pci)->eject_later)) {
        take_cards_out(pci, card_went);
    }
}

static void ask_for(PciDevice *pci, Device *card)
{
    card->unplug_until_ns = clock_ns(domain_clock(pci->dev.domain)) + ANSWER_NS;
    if (by_acpi(pci)) {
        pci_bus(pci)->slot_event(pci_bus(pci), pci, false);
        return;
    }
    lock_acquire(pci->dev.lock);
    raise_events(pci, PCI_EXP_SLTSTA_ABP);
    lock_release(pci->dev.lock);
}

static bool slot_unplug(PciBus *bus, PciDevice *card, GError **error)
{
    PciDevice *pci = bus->bridge;

    if (!root_port(pci)->hotplug) {
        return error_set(error, "'%s' cannot be unplugged: its port '%s' has hotplug=off", device_name(&card->dev),
                         device_name(&pci->dev));
    }
    if (domain_run_state(pci->dev.domain) == RUN_STATE_PRELAUNCH) {
        take_cards_out(pci, settle); /* no guest has seen it */
        return true;
    }
    if (power_indicator(pci) == PCI_EXP_SLTCTL_PWR_IND_BLINK) {
        error_set(error, "'%s' cannot be unplugged now: the guest is about to take it in or to let go of it",
                  device_name(&card->dev));
        return error_hint(error, "Try again in some seconds.");
    }
    if ((get(pci, PCI_EXP_SLTCTL) & SLOT_OFF) == SLOT_OFF) {
        remove_cards(pci); /* the guest does not use it */
    } else {
        ask_for(pci, &card->dev);
    }
    return true;
}

/* Main loop, lock held. */
static void refuse_unplugs(Device *dev)
{
    GPtrArray *cards = pci_bridge(pci_device(dev))->secondary.bus.children;

    for (unsigned i = 0; i < cards->len; i++) {
        Device *card = g_ptr_array_index(cards, i);

        if (card->unplug_pending) {
            device_unplug_refused(card);
        }
    }
}

static void slot_control_wrote(PciDevice *pci)
{
    RootPort *rp = root_port(pci);
    uint16_t was = rp->control, now = get(pci, PCI_EXP_SLTCTL);

    rp->control = now;
    /* Commands complete at once. */
    raise_events(pci, PCI_EXP_SLTSTA_CC | (update_link(pci) ? PCI_EXP_SLTSTA_DLLSC : 0));
    if ((now & SLOT_OFF) == SLOT_OFF && (was & SLOT_OFF) != SLOT_OFF &&
        (get(pci, PCI_EXP_SLTSTA) & PCI_EXP_SLTSTA_PDS)) {
        loop_post(domain_loop(pci->dev.domain), remove_cards, pci);
    } else if ((was & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_BLINK &&
               power_indicator(pci) == PCI_EXP_SLTCTL_PWR_IND_ON && !(now & PCI_EXP_SLTCTL_PCC)) {
        device_post(&pci->dev, refuse_unplugs);
    }
}

static void root_port_config_wrote(PciDevice *pci, unsigned offset, unsigned size)
{
    RootPort *rp = root_port(pci);
    unsigned control = pci->pcie_cap + PCI_EXP_SLTCTL;

    if (size > 4) { /* a load: nothing was commanded */
        rp->control = get(pci, PCI_EXP_SLTCTL);
        update_link(pci);
        rp->interrupting = event_wanted(pci);
    } else if (is_native(pci) && offset < control + 2 && offset + size > control) {
        slot_control_wrote(pci);
    } else {
        update_interrupt(pci);
    }
}

/* ---- lifecycle ---- */
typedef struct SlotSearch { RootPort *self, *found; } SlotSearch;

static bool same_slot(Device *dev, void *opaque)
{
    SlotSearch *s = opaque;

    if (dev->class == s->self->bridge.pci.dev.class && dev->realized && dev != &s->self->bridge.pci.dev) {
        RootPort *other = root_port(pci_device(dev));

        if (other->chassis == s->self->chassis && other->slot == s->self->slot) {
            s->found = other;
            return false;
        }
    }
    return true;
}

/* Software tells physical slots apart by chassis and slot. */
static bool check_slot(RootPort *rp, GError **error)
{
    SlotSearch s = { .self = rp };

    device_each(rp->bridge.pci.dev.domain, same_slot, &s);
    if (s.found) {
        error_set(error, "slot %u of chassis %u is '%s' already", rp->slot, rp->chassis,
                  device_name(&s.found->bridge.pci.dev));
        return error_hint(error, "Give each root port a slot= or chassis= of its own.");
    }
    return true;
}

static void init_slot(RootPort *rp)
{
    PciDevice *pci = &rp->bridge.pci;
    uint8_t at = pci->pcie_cap;

    pci_set16(pci->config + at + PCI_EXP_FLAGS, pci_get16(pci->config + at + PCI_EXP_FLAGS) | PCI_EXP_FLAGS_SLOT);
    pci_set32(pci->config + at + PCI_EXP_SLTCAP, (uint32_t)rp->slot << 19 | (is_native(pci) ? SLOT_CAPABILITIES : 0));
    pci_set32(pci->config + at + PCI_EXP_LNKCAP,
              pci_get32(pci->config + at + PCI_EXP_LNKCAP) | PCI_EXP_LNKCAP_DLLLARC | (uint32_t)rp->port << 24);
    pci_set16(pci->hwmask + at + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_DLLLA);
    pci_set16(pci->hwmask + at + PCI_EXP_SLTSTA, SLOT_EVENTS | PCI_EXP_SLTSTA_PDS);
    if (is_native(pci)) {
        pci_set16(pci->wmask + at + PCI_EXP_SLTCTL, SLOT_CONTROL_WRITABLE);
        pci_set16(pci->w1cmask + at + PCI_EXP_SLTSTA, SLOT_EVENTS);
    }
    pci_set16(pci->wmask + at + PCI_EXP_RTCTL,
              PCI_EXP_RTCTL_SECEE | PCI_EXP_RTCTL_SENFEE | PCI_EXP_RTCTL_SEFEE | PCI_EXP_RTCTL_PMEIE);
}

static void init_reserves(RootPort *rp)
{
    static const uint64_t usual[PCI_WINDOW_KINDS] = { RESERVE_IO, RESERVE_MEMORY, RESERVE_MEMORY };

    for (unsigned i = 0; i < PCI_WINDOW_KINDS; i++) {
        if (!rp->reserve_given[i]) {
            rp->bridge.reserve[i] = rp->hotplug ? usual[i] : 0;
        }
    }
}

static bool root_port_realize(Device *dev, GError **error)
{
    static const PciInfo info = {
        .vendor = ROOT_PORT_VENDOR,
        .device = ROOT_PORT_DEVICE,
        .class_code = 0x0604,
        .header_type = PCI_HEADER_TYPE_BRIDGE,
    };
    PciDevice *pci = pci_device(dev);
    RootPort *rp = root_port(pci);
    PciBus *bus = &rp->bridge.secondary;
    g_autofree char *name = dev->id ? g_strdup(dev->id) : g_strdup_printf("pci.%u", domain_next_number(dev->domain));

    if (pci_bus(pci)->bridge) {
        error_set(error, "a root port plugs into the root bus, not behind '%s'",
                  device_name(&pci_bus(pci)->bridge->dev));
        return error_hint(error, "Use bus=pcie.0.");
    }
    if (!check_slot(rp, error)) {
        return false;
    }
    pci_set_info(pci, &info);
    pci_set_intx_pin(pci, 1);
    pci_add_pm(pci);
    pci_add_express(pci, PCI_EXP_TYPE_ROOT_PORT);
    init_slot(rp);
    init_reserves(rp);
    if (!pci_add_msi(pci, 1, true, true, error)) {
        return false;
    }
    pci->config_wrote = root_port_config_wrote;
    pci_bridge_init(&rp->bridge, name);
    bus->slot_max = 0;
    bus->plugged = slot_plugged;
    bus->unplug = slot_unplug;
    bus->ejected = by_acpi(pci) ? eject_cards : NULL;
    rp->remove_later = (LoopBatch) { .fn = remove_cards, .opaque = pci };
    rp->eject_later = (LoopBatch) { .fn = eject_cards, .opaque = pci };
    bus->bus.hotplug = rp->hotplug;
    return true;
}

static void root_port_unrealize(Device *dev)
{
    loop_batch_cancel(domain_loop(dev->domain), &root_port(pci_device(dev))->remove_later);
    loop_batch_cancel(domain_loop(dev->domain), &root_port(pci_device(dev))->eject_later);
    pci_bridge_finish(pci_bridge(pci_device(dev)));
}

static void root_port_reset(Device *dev)
{
    PciDevice *pci = pci_device(dev);

    root_port(pci)->interrupting = false;
    settle(pci);
}

static const Property root_port_props[] = {
    PROP_UINT("port", RootPort, port, 0, .help = "Port number in the link capabilities"),
    PROP_UINT("chassis", RootPort, chassis, 0, .help = "Number of the chassis the slot is in"),
    PROP_UINT("slot", RootPort, slot, 0, .max = 0x1fff, .help = "Physical slot number"),
    PROP_BOOL("hotplug", RootPort, hotplug, true, .help = "Cards may come and go while the domain runs"),
    PROP_SIZE("io-reserve", RootPort, bridge.reserve[PCI_WINDOW_IO], 0,
              FIELD_HAS(RootPort, reserve_given[PCI_WINDOW_IO]), .help = "Ports kept for hot plug (4K if it is on)"),
    PROP_SIZE("mem-reserve", RootPort, bridge.reserve[PCI_WINDOW_MEMORY], 0,
              FIELD_HAS(RootPort, reserve_given[PCI_WINDOW_MEMORY]),
              .help = "32-bit memory kept for hot plug (2M if it is on)"),
    PROP_SIZE("pref64-reserve", RootPort, bridge.reserve[PCI_WINDOW_PREFETCH], 0,
              FIELD_HAS(RootPort, reserve_given[PCI_WINDOW_PREFETCH]),
              .help = "64-bit memory kept for hot plug (2M if it is on)"),
    PROP_END,
};

/* Presence and power are in config space, which the base saves. */
const DeviceClass pcie_root_port_class = {
    .name = "pcie-root-port",
    .desc = "PCI Express root port",
    .category = "Bridge",
    .base = &pci_bridge_class,
    .bus = &pci_bus_class,
    .size = sizeof(RootPort),
    .props = root_port_props,
    .state = &state_none,
    .realize = root_port_realize,
    .unrealize = root_port_unrealize,
    .reset = root_port_reset,
};
