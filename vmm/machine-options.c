/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The -machine keys that every machine has.  Keys that QEMU's tools always send for
 * things that are not here (usb, graphics, nvdimm, vmport) are taken only with the
 * value that is true.
 */
#include "vmm/error.h"
#include "vmm/machine.h"

/* IrqchipMode */
static const char *const irqchip_names[] = { "auto", "on", "split", "off", NULL };
static const FieldEnum irqchip_enum = { "IrqchipMode", irqchip_names };

static bool parse_absent(const char *text, void *value, GError **error)
{
    if (g_ascii_strcasecmp(text, "off") == 0 || g_ascii_strcasecmp(text, "no") == 0 ||
        g_ascii_strcasecmp(text, "false") == 0) {
        return true;
    }
    return error_set(error, "only 'off' is possible: this machine has none");
}

static char *format_absent(const void *value)
{
    return g_strdup("off");
}

/* Something this machine does not have: "off" is the truth, anything else is refused. */
const FieldCodec machine_absent_codec = {
    .name = "'off'", .example = "off", .parse = parse_absent, .format = format_absent,
};

static const Field fields[] = {
    F_STR("accel", MachineOptions, accel, NULL, .help = "Accelerators to try, in order, separated by ':'"),
    F_ENUM("kernel-irqchip", MachineOptions, kernel_irqchip, &irqchip_enum, IRQCHIP_AUTO,
           .help = "Interrupt controllers in the kernel: all, the LAPICs only, or none"),
    F_STR("memory-backend", MachineOptions, memory_backend, NULL, .help = "Memory object that is the machine's RAM"),
    F_BOOL("dump-guest-core", MachineOptions, dump_guest_core, true, .help = "Guest RAM is part of a core dump"),
    F_BOOL("mem-merge", MachineOptions, mem_merge, true, .help = "Equal pages may be merged (KSM)"),
    F_ENUM("acpi", MachineOptions, acpi, &field_on_off_auto, ON_OFF_AUTO_AUTO, .help = "ACPI tables"),
    { .name = "usb", .type = FIELD_CODED, .of.codec = &machine_absent_codec, .flags = FIELD_HIDDEN,
      .help = "A USB controller: there is none" },
    { .name = "graphics", .type = FIELD_CODED, .of.codec = &machine_absent_codec, .flags = FIELD_HIDDEN,
      .help = "A screen: there is none" },
    { .name = "nvdimm", .type = FIELD_CODED, .of.codec = &machine_absent_codec, .flags = FIELD_HIDDEN,
      .help = "NVDIMMs: there are none" },
    FIELD_END
};

const FieldStruct machine_options = { .name = "MachineOptions", .size = sizeof(MachineOptions), .fields = fields };
