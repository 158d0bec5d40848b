/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How replies of QMP commands look to people: as in QEMU's monitor where people know them, else a line for each member.
 */
#include <inttypes.h>

#include "monitor/hmp-info.h"

static void print_inline(const Json *value, GString *out)
{
    JsonWriter *w;
    g_autofree char *text = NULL;

    if (json_type_of(value) == JSON_STRING) {
        g_string_append(out, json_get_string(value));
        return;
    }
    w = json_writer_new(false);
    json_write_value(w, NULL, value);
    text = json_writer_finish(w);
    g_string_append(out, text);
}

static bool print_member(const char *name, Json *value, void *opaque)
{
    GString *out = opaque;

    g_string_append_printf(out, "%s: ", name);
    print_inline(value, out);
    g_string_append_c(out, '\n');
    return true;
}

static bool print_item(const char *name, Json *value, void *opaque)
{
    GString *out = opaque;

    g_string_append_printf(out, "%s%s=", out->len && out->str[out->len - 1] != '\n' ? " " : "", name);
    print_inline(value, out);
    return true;
}

/* An object is a line for each member; an array a line for each element. */
void hmp_print_reply(const Json *reply, GString *out)
{
    if (json_type_of(reply) == JSON_OBJECT) {
        json_object_each(reply, print_member, out);
        return;
    }
    for (size_t i = 0; json_type_of(reply) == JSON_ARRAY && i < json_array_length(reply); i++) {
        const Json *element = json_array_get(reply, i);

        if (json_type_of(element) == JSON_OBJECT) {
            json_object_each(element, print_item, out);
        } else {
            print_inline(element, out);
        }
        g_string_append_c(out, '\n');
    }
}

static const char *text_of(const Json *object, const char *name)
{
    const Json *value = json_object_get_member(object, name);

    return value && json_type_of(value) == JSON_STRING ? json_get_string(value) : "";
}

static int64_t number_of(const Json *object, const char *name)
{
    const Json *value = json_object_get_member(object, name);

    return value ? json_get_int(value) : 0;
}

static bool flag_of(const Json *object, const char *name)
{
    const Json *value = json_object_get_member(object, name);

    return value && json_get_bool(value);
}

void hmp_print_status(const Json *reply, GString *out)
{
    bool running = flag_of(reply, "running");
    const char *status = text_of(reply, "status");

    g_string_append_printf(out, "VM status: %s", running ? "running" : "paused");
    if (!running && !g_str_equal(status, "paused")) {
        g_string_append_printf(out, " (%s)", status);
    }
    g_string_append_c(out, '\n');
}

void hmp_print_version(const Json *reply, GString *out)
{
    const Json *qemu = json_object_get_member(reply, "qemu");

    g_string_append_printf(out, "%" PRId64 ".%" PRId64 ".%" PRId64 " (%s)\n", number_of(qemu, "major"),
                           number_of(qemu, "minor"), number_of(qemu, "micro"), text_of(reply, "package"));
}

void hmp_print_name(const Json *reply, GString *out)
{
    if (text_of(reply, "name")[0]) {
        g_string_append_printf(out, "%s\n", text_of(reply, "name"));
    }
}

void hmp_print_uuid(const Json *reply, GString *out)
{
    g_string_append_printf(out, "%s\n", text_of(reply, "UUID"));
}

void hmp_print_kvm(const Json *reply, GString *out)
{
    g_string_append_printf(out, "kvm support: %s\n", flag_of(reply, "enabled") ? "enabled" : "disabled");
}

void hmp_print_balloon(const Json *reply, GString *out)
{
    g_string_append_printf(out, "balloon: actual=%" PRId64 "\n", number_of(reply, "actual") >> 20);
}

/* The star marks the one that commands for one vCPU are about. */
void hmp_print_cpus(const Json *reply, GString *out)
{
    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *cpu = json_array_get(reply, i);

        g_string_append_printf(out, "%c CPU #%" PRId64 ": thread_id=%" PRId64 "\n", i ? ' ' : '*',
                               number_of(cpu, "cpu-index"), number_of(cpu, "thread-id"));
    }
}

void hmp_print_chardev(const Json *reply, GString *out)
{
    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *chr = json_array_get(reply, i);

        g_string_append_printf(out, "%s: filename=%s\n", text_of(chr, "label"), text_of(chr, "filename"));
    }
}

void hmp_print_block(const Json *reply, GString *out)
{
    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *disk = json_array_get(reply, i), *inserted = json_object_get_member(disk, "inserted");

        g_string_append_printf(out, "%s%s", i ? "\n" : "", text_of(disk, "device"));
        if (inserted) {
            g_string_append_printf(out, "%s(%s): %s (%s%s)", text_of(disk, "device")[0] ? " " : "",
                                   text_of(inserted, "node-name"), text_of(inserted, "file"), text_of(inserted, "drv"),
                                   flag_of(inserted, "ro") ? ", read-only" : "");
        }
        g_string_append_printf(out, "\n    Attached to:      %s\n", text_of(disk, "qdev"));
    }
}

static void print_pci_region(const Json *region, GString *out)
{
    bool memory = g_str_equal(text_of(region, "type"), "memory");
    int64_t address = number_of(region, "address");

    g_string_append_printf(out, "      BAR%" PRId64 ": %s at 0x%0*" PRIx64 " [0x%0*" PRIx64 "].\n", number_of(region, "bar"),
                           !memory ? "I/O" : flag_of(region, "mem_type_64") ? "64 bit memory" : "32 bit memory",
                           memory ? 8 : 4, address, memory ? 8 : 4, address + number_of(region, "size") - 1);
}

static void print_pci_device(const Json *dev, GString *out)
{
    const Json *id = json_object_get_member(dev, "id"), *class = json_object_get_member(dev, "class_info");
    const Json *regions = json_object_get_member(dev, "regions"), *bridge = json_object_get_member(dev, "pci_bridge");
    const Json *behind = bridge ? json_object_get_member(bridge, "devices") : NULL;

    g_string_append_printf(out, "  Bus %2" PRId64 ", device %3" PRId64 ", function %" PRId64 ":\n", number_of(dev, "bus"),
                           number_of(dev, "slot"), number_of(dev, "function"));
    g_string_append_printf(out, "    Class %04" PRIx64 ": PCI device %04" PRIx64 ":%04" PRIx64 "\n",
                           (uint64_t)number_of(class, "class"), (uint64_t)number_of(id, "vendor"),
                           (uint64_t)number_of(id, "device"));
    for (size_t i = 0; regions && i < json_array_length(regions); i++) {
        print_pci_region(json_array_get(regions, i), out);
    }
    g_string_append_printf(out, "      id \"%s\"\n", text_of(dev, "qdev_id"));
    for (size_t i = 0; behind && i < json_array_length(behind); i++) {
        print_pci_device(json_array_get(behind, i), out);
    }
}

void hmp_print_pci(const Json *reply, GString *out)
{
    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *devices = json_object_get_member(json_array_get(reply, i), "devices");

        for (size_t n = 0; devices && n < json_array_length(devices); n++) {
            print_pci_device(json_array_get(devices, n), out);
        }
    }
}
