/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where is a command?  Every table of commands, one line each, and every event.
 */
#include "monitor/commands.h"

#include "block/block-commands.h"
#include "hw/acpi/cpu-hotplug.h"
#include "hw/pci/pci-commands.h"
#include "hw/timer/mc146818.h"
#include "hw/virtio/virtio-serial.h"
#include "monitor/command-line.h"
#include "monitor/hmp.h"
#include "monitor/introspect.h"
#include "monitor/qmp.h"
#include "net/egress.h"
#include "net/net-commands.h"
#include "vmm/accel-commands.h"
#include "vmm/balloon.h"
#include "vmm/chardev-commands.h"
#include "vmm/device-commands.h"
#include "vmm/dirty-rate.h"
#include "vmm/domain-commands.h"
#include "vmm/dump.h"
#include "vmm/error.h"
#include "vmm/host-commands.h"
#include "vmm/iothread-commands.h"
#include "vmm/machine-commands.h"
#include "vmm/memory-backend.h"
#include "vmm/memory-commands.h"
#include "vmm/migrate.h"
#include "vmm/object-commands.h"
#include "vmm/qom.h"
#include "vmm/runstate-commands.h"
#include "vmm/vcpu-commands.h"
#include "vmm/x86/cpu-model-commands.h"

const Command *const command_tables[] = {
    qmp_commands,
    accel_commands,
    acpi_commands,
    balloon_commands,
    block_commands,
    block_stats_commands,
    chardev_commands,
    command_line_commands,
    cpu_model_commands,
    device_commands,
    dirty_rate_commands,
    domain_commands,
    dump_commands,
    egress_commands,
    hmp_qmp_commands,
    host_commands,
    introspect_commands,
    iothread_commands,
    machine_commands,
    mc146818_commands,
    memory_backend_commands,
    memory_commands,
    migrate_check_commands,
    migrate_commands,
    migrate_parameter_commands,
    net_commands,
    object_commands,
    pci_commands,
    qom_commands,
    runstate_commands,
    vcpu_commands,
    NULL
};

const EventType *const event_types[] = {
    &event_acpi_device_ost, &event_balloon_change, &event_block_io_error, &event_device_deleted,
    &event_device_unplug_guest_error, &event_dump_completed, &event_guest_crashloaded, &event_guest_panicked,
    &event_migration, &event_migration_pass, &event_netdev_stream_connected, &event_netdev_stream_disconnected,
    &event_nic_rx_filter_changed, &event_powerdown, &event_reset, &event_resume, &event_rtc_change, &event_shutdown,
    &event_stop, &event_suspend, &event_suspend_disk, &event_vserport_change, &event_wakeup, &event_watchdog,
    NULL
};

void command_each(CommandFn fn, void *opaque)
{
    for (const Command *const *table = command_tables; *table; table++) {
        for (const Command *c = *table; c->name; c++) {
            fn(c, opaque);
        }
    }
}

static void add_name(const Command *command, void *opaque)
{
    g_ptr_array_add(opaque, (gpointer)command->name);
}

static const char *nearest(const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    command_each(add_name, names);
    g_ptr_array_add(names, NULL);
    return error_nearest(name, (const char *const *)names->pdata);
}

const Command *command_find(const char *name, GError **error)
{
    const char *near;

    for (const Command *const *table = command_tables; *table; table++) {
        for (const Command *c = *table; c->name; c++) {
            if (g_str_equal(c->name, name)) {
                return c;
            }
        }
    }
    error_set_class(error, ERROR_COMMAND_NOT_FOUND, "The command %s has not been found", name);
    near = nearest(name);
    if (near) {
        error_hint(error, "Did you mean '%s'?", near);
    }
    return NULL;
}

static const FieldStruct no_arguments = { .name = "NoArguments", .fields = (const Field[]) { FIELD_END } };

static bool run_checked(const Command *command, CommandCall *call, void *ret, GError **error)
{
    const FieldStruct *desc = command->args ? command->args : &no_arguments;
    g_autofree void *args = g_malloc0(MAX(desc->size, 1));
    g_autoptr(Json) none = call->arguments ? NULL : json_new_object();
    bool ok;

    if (command->flags & COMMAND_UNCHECKED) {
        return command->run(call, NULL, ret, error);
    }
    if (!field_struct_parse(desc, call->arguments ? call->arguments : none,
                            call->lenient ? FIELD_LENIENT : FIELD_STRICT, args, error)) {
        return false;
    }
    ok = command->run(call, args, ret, error);
    field_struct_clear(desc, args);
    return ok;
}

bool command_run(const Command *command, CommandCall *call, JsonWriter *w, const char *name, GError **error)
{
    Field value = command->ret ? *command->ret : (Field) { 0 };
    g_autofree void *ret = g_malloc0(MAX(value.width, 1));
    bool ok;

    if (command->ret) {
        field_init(&value, ret);
    }
    ok = run_checked(command, call, ret, error);
    if (ok && command->ret) {
        value.name = name;
        field_write(&value, ret, w);
    } else if (ok) {
        json_write_begin_object(w, name);
        json_write_end_object(w);
    }
    if (command->ret) {
        field_clear(&value, ret);
    }
    return ok;
}
