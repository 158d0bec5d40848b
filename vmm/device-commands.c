/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/device-commands.h.  Names and members are QEMU 7.2's (qapi/qdev.json).
 */
#include "vmm/device-commands.h"

#include "vmm/error.h"
#include "vmm/migrate.h"

/* ---- events ---- */

typedef struct DeviceData { char *device, *path; } DeviceData;
static const FieldStruct device_data = {
    .name = "DeviceEventData", .size = sizeof(DeviceData),
    .fields = (const Field[]) {
        F_STR("device", DeviceData, device, NULL, .help = "Id of the device, if it has one"),
        F_STR("path", DeviceData, path, NULL, .flags = FIELD_REQUIRED, .help = "Its path"),
        FIELD_END
    },
};
const EventType event_device_deleted = { "DEVICE_DELETED", &device_data, .help = "A device is gone" };
const EventType event_device_unplug_guest_error = {
    "DEVICE_UNPLUG_GUEST_ERROR", &device_data, .help = "The guest does not let go of a device"
};

void device_emit_deleted(const Device *dev)
{
    event_emit(dev->domain, &event_device_deleted, &(DeviceData) { dev->id, dev->path });
}

void device_unplug_refused(Device *dev)
{
    dev->unplug_pending = false;
    event_emit(dev->domain, &event_device_unplug_guest_error, &(DeviceData) { dev->id, dev->path });
}

/* ---- commands ---- */

/* What introspection shows; the other members are the driver's properties. */
typedef struct AddArgs { char *driver, *id, *bus; } AddArgs;
static const FieldStruct add_args = {
    .name = "DeviceAddArguments", .size = sizeof(AddArgs),
    .fields = (const Field[]) {
        F_STR("driver", AddArgs, driver, NULL, .flags = FIELD_REQUIRED, .help = "Name of the device model"),
        F_STR("id", AddArgs, id, NULL, .help = "Its id"),
        F_STR("bus", AddArgs, bus, NULL, .help = "The bus it plugs into"),
        FIELD_END
    },
};

/* What moves has the devices that its other end was told of. */
static bool may_change(Domain *domain, const char *command, GError **error)
{
    if (!migrate_keeps_devices(domain)) {
        return true;
    }
    error_set(error, "%s is not allowed while the domain migrates", command);
    return error_hint(error, "Wait until it has moved, or cancel the migration.");
}

static bool add(CommandCall *call, const void *args, void *ret, GError **error)
{
    g_autoptr(Json) none = json_new_object();

    return may_change(call->domain, "device_add", error) &&
           device_add(call->domain, call->arguments ? call->arguments : none, error) != NULL;
}

typedef struct DelArgs { char *id; } DelArgs;
static const FieldStruct del_args = {
    .name = "DeviceDelArguments", .size = sizeof(DelArgs),
    .fields = (const Field[]) {
        F_STR("id", DelArgs, id, NULL, .flags = FIELD_REQUIRED, .help = "Id or path of the device"), FIELD_END
    },
};

static bool del(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const DelArgs *args = opaque;

    return may_change(call->domain, "device_del", error) && device_del(call->domain, args->id, error);
}

static const char *const add_features[] = { "json-cli", "json-cli-hotplug", NULL };

const Command device_commands[] = {
    { "device_add", add, &add_args, .flags = COMMAND_UNCHECKED, .features = add_features, .help = "Plug a device in" },
    { "device_del", del, &del_args, .help = "Ask the guest to let go of a device, which then goes" },
    COMMAND_END
};
