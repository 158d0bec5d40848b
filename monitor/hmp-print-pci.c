/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info pci`: query-pci as lspci -v would show it, in the words of QEMU's monitor.
 */
#include <inttypes.h>

#include "monitor/hmp-info.h"

static void print_region(const Json *region, GString *out)
{
    bool memory = g_str_equal(hmp_text_of(region, "type"), "memory");
    int64_t address = hmp_number_of(region, "address");
    int digits = memory ? 8 : 4;

    g_string_append_printf(out, "      BAR%" PRId64 ": ", hmp_number_of(region, "bar"));
    if (memory) {
        g_string_append_printf(out, "%d bit%s memory", hmp_flag_of(region, "mem_type_64") ? 64 : 32,
                               hmp_flag_of(region, "prefetch") ? " prefetchable" : "");
    } else {
        g_string_append(out, "I/O");
    }
    g_string_append_printf(out, " at 0x%0*" PRIx64 " [0x%0*" PRIx64 "].\n", digits, address, digits,
                           address + hmp_number_of(region, "size") - 1);
}

static void print_window(const Json *bus, const char *member, const char *what, int digits, GString *out)
{
    const Json *range = json_object_get_member(bus, member);

    g_string_append_printf(out, "      %s range [0x%0*" PRIx64 ", 0x%0*" PRIx64 "]\n", what, digits,
                           hmp_number_of(range, "base"), digits, hmp_number_of(range, "limit"));
}

static void print_bridge(const Json *bridge, GString *out)
{
    const Json *bus = json_object_get_member(bridge, "bus");

    g_string_append_printf(out, "      BUS %" PRId64 ".\n      secondary bus %" PRId64
                           ".\n      subordinate bus %" PRId64 ".\n", hmp_number_of(bus, "number"),
                           hmp_number_of(bus, "secondary"), hmp_number_of(bus, "subordinate"));
    print_window(bus, "io_range", "IO", 4, out);
    print_window(bus, "memory_range", "memory", 8, out);
    print_window(bus, "prefetchable_range", "prefetchable memory", 8, out);
}

static void print_ids(const Json *dev, GString *out)
{
    const Json *id = json_object_get_member(dev, "id"), *class = json_object_get_member(dev, "class_info");

    if (hmp_text_of(class, "desc")[0]) {
        g_string_append(out, hmp_text_of(class, "desc"));
    } else {
        g_string_append_printf(out, "Class %04" PRId64, hmp_number_of(class, "class"));
    }
    g_string_append_printf(out, ": PCI device %04" PRIx64 ":%04" PRIx64 "\n", hmp_number_of(id, "vendor"),
                           hmp_number_of(id, "device"));
    if (json_object_get_member(id, "subsystem")) {
        g_string_append_printf(out, "      PCI subsystem %04" PRIx64 ":%04" PRIx64 "\n",
                               hmp_number_of(id, "subsystem-vendor"), hmp_number_of(id, "subsystem"));
    }
}

static void print_device(const Json *dev, GString *out)
{
    const Json *regions = json_object_get_member(dev, "regions"), *bridge = json_object_get_member(dev, "pci_bridge");
    const Json *behind = bridge ? json_object_get_member(bridge, "devices") : NULL;

    g_string_append_printf(out, "  Bus %2" PRId64 ", device %3" PRId64 ", function %" PRId64 ":\n    ",
                           hmp_number_of(dev, "bus"), hmp_number_of(dev, "slot"), hmp_number_of(dev, "function"));
    print_ids(dev, out);
    if (hmp_number_of(dev, "irq_pin")) {
        g_string_append_printf(out, "      IRQ %" PRId64 ", pin %c\n", hmp_number_of(dev, "irq"),
                               (char)('A' + hmp_number_of(dev, "irq_pin") - 1));
    }
    if (bridge) {
        print_bridge(bridge, out);
    }
    for (size_t i = 0; regions && i < json_array_length(regions); i++) {
        print_region(json_array_get(regions, i), out);
    }
    g_string_append_printf(out, "      id \"%s\"\n", hmp_text_of(dev, "qdev_id"));
    for (size_t i = 0; behind && i < json_array_length(behind); i++) {
        print_device(json_array_get(behind, i), out);
    }
}

void hmp_print_pci(const Json *reply, GString *out)
{
    for (size_t i = 0; i < json_array_length(reply); i++) {
        const Json *devices = json_object_get_member(json_array_get(reply, i), "devices");

        for (size_t n = 0; devices && n < json_array_length(devices); n++) {
            print_device(json_array_get(devices, n), out);
        }
    }
    if (!json_array_length(reply)) {
        g_string_append(out, "PCI devices not supported\n");
    }
}
