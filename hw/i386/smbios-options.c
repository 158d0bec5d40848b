/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -smbios: the language of its types, and what was given.  Main thread. */
#include "hw/i386/smbios-options.h"

#include <string.h>

#include "vmm/error.h"

static const char *const type_names[] = { "0", "1", "2", "3", "4", "11", "17", NULL };
static const FieldEnum type_enum = { "SmbiosType", type_names };


static const Field type0_fields[] = {
    F_STR("vendor", Type0, vendor, NULL, .help = "Who wrote the firmware"),
    F_STR("version", Type0, version, NULL, .help = "Firmware version"),
    F_STR("date", Type0, date, NULL, .help = "Firmware release date, mm/dd/yyyy"),
    F_STR("release", Type0, release, NULL, .help = "Firmware release, MAJOR.MINOR"),
    F_BOOL("uefi", Type0, uefi, false, .help = "Say that the firmware is UEFI"),
    FIELD_END
};
static const Field type1_fields[] = {
    F_STR("manufacturer", Type1, manufacturer, NULL, .help = "Manufacturer of the system"),
    F_STR("product", Type1, product, NULL, .help = "Product name"),
    F_STR("version", Type1, version, NULL, .help = "Version"),
    F_STR("serial", Type1, serial, NULL, .help = "Serial number"),
    F_STR("uuid", Type1, uuid, NULL, .help = "UUID of the system instead of -uuid"),
    F_STR("sku", Type1, sku, NULL, .help = "SKU number"),
    F_STR("family", Type1, family, NULL, .help = "Family"),
    FIELD_END
};
static const Field type2_fields[] = {
    F_STR("manufacturer", Type2, manufacturer, NULL, .help = "Manufacturer of the base board"),
    F_STR("product", Type2, product, NULL, .help = "Product name"),
    F_STR("version", Type2, version, NULL, .help = "Version"),
    F_STR("serial", Type2, serial, NULL, .help = "Serial number"),
    F_STR("asset", Type2, asset, NULL, .help = "Asset tag"),
    F_STR("location", Type2, location, NULL, .help = "Location in the chassis"),
    FIELD_END
};
static const Field type3_fields[] = {
    F_STR("manufacturer", Type3, manufacturer, NULL, .help = "Manufacturer of the chassis"),
    F_STR("version", Type3, version, NULL, .help = "Version"),
    F_STR("serial", Type3, serial, NULL, .help = "Serial number"),
    F_STR("asset", Type3, asset, NULL, .help = "Asset tag"),
    F_STR("sku", Type3, sku, NULL, .help = "SKU number"),
    FIELD_END
};
static const Field type4_fields[] = {
    F_STR("sock_pfx", Type4, sock_pfx, "CPU", .help = "Socket designation, before its number"),
    F_STR("manufacturer", Type4, manufacturer, NULL, .help = "Manufacturer of the processor"),
    F_STR("version", Type4, version, NULL, .help = "Version"),
    F_STR("serial", Type4, serial, NULL, .help = "Serial number"),
    F_STR("asset", Type4, asset, NULL, .help = "Asset tag"),
    F_STR("part", Type4, part, NULL, .help = "Part number"),
    F_UINT("max-speed", Type4, max_speed, 2000, .help = "Maximum speed, MHz"),
    F_UINT("current-speed", Type4, current_speed, 2000, .help = "Speed at start, MHz"),
    F_UINT("processor-id", Type4, processor_id, 0, .help = "CPUID leaf 1 EAX and EDX"),
    FIELD_END
};
static const Field type11_value = { .name = "value", .type = FIELD_STR, .width = sizeof(char *), .help = "A string" };
static const Field type11_fields[] = {
    F_LIST("value", Type11, value, &type11_value, .help = "OEM string; may be repeated"),
    FIELD_END
};
static const Field type17_fields[] = {
    F_STR("loc_pfx", Type17, loc_pfx, "DIMM", .help = "Device locator, before its number"),
    F_STR("bank", Type17, bank, NULL, .help = "Bank locator"),
    F_STR("manufacturer", Type17, manufacturer, NULL, .help = "Manufacturer of the memory"),
    F_STR("serial", Type17, serial, NULL, .help = "Serial number"),
    F_STR("asset", Type17, asset, NULL, .help = "Asset tag"),
    F_STR("part", Type17, part, NULL, .help = "Part number"),
    F_UINT("speed", Type17, speed, 0, .help = "Speed, MT/s"),
    FIELD_END
};
#define TYPE_STRUCT(N) \
    static const FieldStruct type##N##_struct = { \
        .name = "SmbiosType" #N, .size = sizeof(Type##N), .fields = type##N##_fields \
    }
TYPE_STRUCT(0);
TYPE_STRUCT(1);
TYPE_STRUCT(2);
TYPE_STRUCT(3);
TYPE_STRUCT(4);
TYPE_STRUCT(11);
TYPE_STRUCT(17);
static const FieldCase type_cases[] = {
    { "0", &type0_struct }, { "1", &type1_struct },   { "2", &type2_struct },   { "3", &type3_struct },
    { "4", &type4_struct }, { "11", &type11_struct }, { "17", &type17_struct }, { NULL, NULL },
};
static const Field smbios_fields[] = {
    F_ENUM("type", SmbiosOptions, type, &type_enum, 0, .flags = FIELD_REQUIRED, .help = "SMBIOS structure type"),
    FIELD_END
};
const FieldStruct smbios_options = {
    .name = "SmbiosOptions", .size = sizeof(SmbiosOptions), .fields = smbios_fields,
    .tag = "type", .cases = type_cases, .variant_offset = offsetof(SmbiosOptions, of),
    .help = "Contents of the SMBIOS tables",
};

void smbios_options_clear(SmbiosGiven *o)
{
    for (unsigned i = 0; i < SMBIOS_TYPES; i++) {
        if (o->of[i]) {
            field_struct_clear(&smbios_options, o->of[i]);
            g_free(o->of[i]);
        }
    }
    g_clear_pointer(&o->oem, g_ptr_array_unref);
}

bool smbios_options_parse(const Machine *machine, SmbiosGiven *o, GError **error)
{
    memset(o, 0, sizeof(*o));
    o->oem = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; machine->smbios && i < machine->smbios->len; i++) {
        const char *text = g_ptr_array_index(machine->smbios, i);
        g_autofree SmbiosOptions *one = g_new0(SmbiosOptions, 1);
        SmbiosType type;

        if (!field_struct_parse_text(&smbios_options, text, NULL, one, error)) {
            g_prefix_error(error, "-smbios %s: ", text);
            smbios_options_clear(o);
            return false;
        }
        type = (SmbiosType)one->type;
        if (type == SMBIOS_11) {
            const FieldList *values = &((Type11 *)one->of)->value;

            for (size_t k = 0; k < values->n; k++) {
                g_ptr_array_add(o->oem, g_strdup(FIELD_LIST_AT(*values, char *, k)));
            }
        }
        if (o->of[type]) {
            field_struct_clear(&smbios_options, o->of[type]);
            g_free(o->of[type]);
        }
        o->of[type] = g_steal_pointer(&one);
    }
    return true;
}

const void *smbios_given(const SmbiosGiven *o, SmbiosType type)
{
    return o->of[type] ? o->of[type]->of : NULL;
}
