/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guests report of devices by _OST (ACPI 6.4, 6.3.5): ACPI_DEVICE_OST, query-acpi-ospm-status.  Names and members
 * are QEMU 7.2's (qapi/acpi.json).
 */
#include "hw/acpi/cpu-hotplug.h"

#include "vmm/domain.h"
#include "vmm/error.h"

enum { SLOT_DIMM, SLOT_CPU };
static const FieldEnum slot_type_enum = { "ACPISlotType", (const char *const[]) { "DIMM", "CPU", NULL } };

typedef struct OstInfo { char *device, *slot; int slot_type; int64_t source, status; } OstInfo;
static const FieldStruct ost_info = {
    .name = "ACPIOSTInfo", .size = sizeof(OstInfo),
    .fields = (const Field[]) {
        F_STR("device", OstInfo, device, NULL, .help = "Id of the device, if it is there and has one"),
        F_STR("slot", OstInfo, slot, NULL, .flags = FIELD_REQUIRED, .help = "Its slot: of a CPU, its number"),
        F_ENUM("slot-type", OstInfo, slot_type, &slot_type_enum, 0, .flags = FIELD_REQUIRED, .help = "What it is"),
        F_INT("source", OstInfo, source, 0, .flags = FIELD_REQUIRED, .help = "What it reports on (Source Event)"),
        F_INT("status", OstInfo, status, 0, .flags = FIELD_REQUIRED, .help = "How that went (Status Code)"),
        FIELD_END
    },
};

typedef struct OstEvent { OstInfo info; } OstEvent;
static const FieldStruct ost_event = {
    .name = "AcpiDeviceOstData", .size = sizeof(OstEvent),
    .fields = (const Field[]) {
        F_STRUCT("info", OstEvent, info, &ost_info, .flags = FIELD_REQUIRED, .help = "What it says"), FIELD_END
    },
};
const EventType event_acpi_device_ost = {
    "ACPI_DEVICE_OST", &ost_event, .help = "The guest reports how it took a device, or let go of it"
};

/* Lock held; the caller frees what it owns. */
static OstInfo describe(const AcpiCpuHotplug *h, unsigned index)
{
    const AcpiCpuSlot *slot = &h->slot[index];

    return (OstInfo) { g_strdup(slot->id), g_strdup_printf("%u", index), SLOT_CPU, slot->ost_event, slot->ost_status };
}

void acpi_cpu_hotplug_tell(const AcpiCpuHotplug *h, unsigned index)
{
    OstEvent data = { describe(h, index) };

    event_emit(h->dev->domain, &event_acpi_device_ost, &data);
    field_struct_clear(&ost_event, &data);
}

static const Field ost_element = FIELD_VALUE(FIELD_STRUCT, OstInfo, .of.structure = &ost_info);

static bool query_status(CommandCall *call, const void *args, void *ret, GError **error)
{
    AcpiCpuHotplug *h = acpi_cpu_hotplug_of(call->domain);
    FieldList *list = ret;

    if (!h) {
        return error_set(error, "command is not supported, missing ACPI device");
    }
    lock_acquire(h->dev->lock);
    list->n = h->count;
    list->items = g_new0(OstInfo, list->n);
    for (unsigned i = 0; i < list->n; i++) {
        FIELD_LIST_AT(*list, OstInfo, i) = describe(h, i);
    }
    lock_release(h->dev->lock);
    return true;
}

const Command acpi_commands[] = {
    { "query-acpi-ospm-status", query_status, NULL, COMMAND_RETURNS_LIST(&ost_element),
      .help = "Tell what the guest reported of its CPUs" },
    COMMAND_END
};
