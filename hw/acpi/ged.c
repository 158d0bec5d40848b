/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power control of machines with hardware-reduced ACPI (ACPI 6.4, 4.8.3.7 and 5.6.9):
 * sleep control and status, reset, and the generic event device that tells the
 * guest of the power button.
 *
 *   +0x000  ESEL       which events happened; reading clears it (our choice: the DSDT reads it)
 *   +0x200  SLEEP_CTL  SLP_TYPx in bits 2-4, SLP_EN bit 5
 *   +0x201  SLEEP_STS  WAK_STS bit 7, write 1 to clear
 *   +0x202  RESET      0x42 resets
 *
 * Left out: sleep states other than S5.  Framework-locked registers.
 */
#include "hw/acpi/ged.h"

#include "hw/acpi/aml.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/irq.h"

#define SLP_EN         0x20
#define SLP_TYP_SHIFT  2
#define WAK_STS        0x80
#define EVENT_POWER    0x1
#define REGION_SIZE    0x1000

typedef struct AcpiGed {
    Device dev;
    /* Configuration */
    uint64_t base;
    uint8_t irq;
    /* Guest state */
    uint32_t events;
    uint8_t sleep_status;
    /* Derived */
    MemoryRegion region;
    IrqLine *line;
} AcpiGed;

static AcpiGed *ged(Device *dev)
{
    return (AcpiGed *)dev;
}

static void esel_read_done(Device *dev)
{
    ged(dev)->events = 0;
}

static void sleep_control_write(Device *dev, uint64_t value)
{
    unsigned type = (unsigned)(value >> SLP_TYP_SHIFT) & 7;

    if (!(value & SLP_EN)) {
        return;
    }
    if (type == ACPI_GED_S5_TYPE) {
        domain_request_shutdown(dev->domain, REASON_GUEST_SHUTDOWN);
    } else {
        guest_error(device_name(dev), "sleep type %u is not one that the DSDT names", type);
    }
}

static void reset_write(Device *dev, uint64_t value)
{
    if (value == ACPI_GED_RESET_VALUE) {
        domain_request_reset(dev->domain, REASON_GUEST_RESET);
    }
}

static uint64_t zero_read(Device *dev)
{
    return 0;
}

static const Reg ged_regs[] = {
    { "ESEL", 0x000, REG_FIELD(AcpiGed, events), .read_done = esel_read_done },
    { "SLEEP_CTL", ACPI_GED_SLEEP_CTL, .size = 1, .read = zero_read, .write = sleep_control_write },
    { "SLEEP_STS", ACPI_GED_SLEEP_STS, REG_FIELD(AcpiGed, sleep_status), .w1c = WAK_STS },
    { "RESET", ACPI_GED_RESET, .size = 1, .read = zero_read, .write = reset_write },
};

static void power_button(Device *dev)
{
    AcpiGed *g = ged(dev);

    g->events |= EVENT_POWER;
    irq_pulse(g->line);
}

static void run_event(Domain *domain, RunEvent event, RequestReason reason, void *opaque)
{
    if (event == RUN_EVENT_POWERDOWN) {
        device_post(opaque, power_button);
    }
}

static bool ged_realize(Device *dev, GError **error)
{
    AcpiGed *g = ged(dev);

    device_init_regs(dev, &g->region, "acpi-ged", &dev->class->regs, REGION_SIZE);
    memory_add(domain_memory_root(dev->domain), g->base, &g->region, 1);
    g->line = gsi_line(domain_irqs(dev->domain), g->irq);
    domain_observe(dev->domain, run_event, dev);
    return true;
}

static void ged_unrealize(Device *dev)
{
    domain_unobserve(dev->domain, run_event, dev);
    memory_remove(&ged(dev)->region);
}

/* The event device: _EVT reads ESEL and notifies the power button. */
static void ged_aml(Device *dev, Aml *aml)
{
    AcpiGed *g = ged(dev);
    uint32_t gsi = g->irq;

    aml_begin_device(aml, "PWRB");
    aml_name_eisa(aml, "_HID", "PNP0C0C");
    aml_name_int(aml, "_UID", 0);
    aml_end(aml);
    aml_begin_device(aml, "GED");
    aml_name_string(aml, "_HID", "ACPI0013");
    aml_name_int(aml, "_UID", 0);
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_res_interrupt(aml, true, false, false, false, &gsi, 1);
    aml_end(aml);
    aml_operation_region(aml, "EREG", AML_SYSTEM_MEMORY, g->base, 4);
    aml_begin_field(aml, "EREG", AML_DWORD_ACCESS, false);
    aml_field(aml, "ESEL", 32);
    aml_end(aml);
    aml_begin_method(aml, "_EVT", 1, true);
    aml_op(aml, AML_STORE);
    aml_path(aml, "ESEL");
    aml_local(aml, 0);
    aml_begin_if(aml);
    aml_op(aml, AML_AND);
    aml_local(aml, 0);
    aml_int(aml, EVENT_POWER);
    aml_nothing(aml);
    aml_op(aml, AML_NOTIFY);
    aml_path(aml, "\\_SB.PWRB");
    aml_int(aml, 0x80);
    aml_end(aml);
    aml_end(aml);
    aml_end(aml);
}

static const Property ged_props[] = {
    PROP_UINT("base", AcpiGed, base, ACPI_GED_BASE, .help = "Guest-physical address of its registers"),
    PROP_UINT("irq", AcpiGed, irq, 9, .max = IRQ_GSIS - 1, .help = "GSI of its events"),
    PROP_END
};

static const StateDesc ged_state = {
    .name = "acpi-ged", .version = 1,
    .fields = (const StateField[]) { STATE_U32(AcpiGed, events), STATE_U8(AcpiGed, sleep_status), STATE_END },
};

const DeviceClass acpi_ged_class = {
    .name = "acpi-ged", .desc = "Power control of hardware-reduced ACPI", .category = "Misc",
    .size = sizeof(AcpiGed), .props = ged_props, .state = &ged_state, .regs = REG_BANK(ged_regs), .board_only = true,
    .realize = ged_realize, .unrealize = ged_unrealize, .aml = ged_aml,
};
