/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SMBIOS tables.  Section numbers are those of DMTF DSP0134 3.4.0. */
#include "hw/i386/smbios-options.h"

#include <stdio.h>
#include <string.h>

#include "hw/acpi/bytes.h"
#include "vmm/error.h"

/* ---- structures, 6.1: formatted area, then strings ---- */

typedef struct Tables {
    GByteArray *bytes;
    GPtrArray *strings; /* of the open structure, borrowed */
    guint start, largest;
    uint16_t count;
} Tables;

static void put(Tables *t, uint64_t value, unsigned bytes)
{
    bytes_put(t->bytes, value, bytes);
}

static void put_string(Tables *t, const char *s)
{
    if (!s || !*s) {
        put(t, 0, 1);
        return;
    }
    g_ptr_array_add(t->strings, (gpointer)s);
    put(t, t->strings->len, 1);
}

static void begin(Tables *t, uint8_t type, uint16_t handle)
{
    t->start = t->bytes->len;
    g_ptr_array_set_size(t->strings, 0);
    put(t, type, 1);
    put(t, 0, 1);
    put(t, handle, 2);
}

static void end(Tables *t)
{
    t->bytes->data[t->start + 1] = (guint8)(t->bytes->len - t->start);
    for (guint i = 0; i < t->strings->len; i++) {
        const char *s = g_ptr_array_index(t->strings, i);

        g_byte_array_append(t->bytes, (const guint8 *)s, (guint)strlen(s) + 1);
    }
    put(t, 0, t->strings->len ? 1 : 2);
    t->largest = MAX(t->largest, t->bytes->len - t->start);
    t->count++;
}

/* Handles: the type in the high byte, a number in the low one. */
static uint16_t handle(uint8_t type, unsigned n)
{
    return (uint16_t)(type << 8 | n);
}

/* 7.1 */
static bool firmware(Tables *t, const Type0 *o, GError **error)
{
    unsigned major = 0, minor = 0;

    if (!o) {
        return true;
    }
    if (o->release && (sscanf(o->release, "%3u.%3u", &major, &minor) != 2 || major > 255 || minor > 255)) {
        return error_set(error, "-smbios type=0: release '%s' is not MAJOR.MINOR, each 0 to 255", o->release);
    }
    begin(t, 0, handle(0, 0));
    put_string(t, o->vendor);
    put_string(t, o->version);
    put(t, 0xe800, 2);
    put_string(t, o->date);
    put(t, 0, 1);
    put(t, 0x08, 8);                             /* characteristics are not supported */
    put(t, 0, 1);
    put(t, 0x14 | (o->uefi ? 0x08u : 0u), 1);    /* virtual machine, targeted content distribution */
    put(t, major, 1);
    put(t, minor, 1);
    put(t, 0xffff, 2);
    end(t);
    return true;
}

/* 7.2.1: the first three fields are little endian. */
static void put_uuid(Tables *t, const uint8_t uuid[16])
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

    for (unsigned i = 0; i < 16; i++) {
        put(t, uuid[order[i]], 1);
    }
}

static bool parse_uuid(const char *text, uint8_t uuid[16])
{
    unsigned n = 0;

    for (const char *p = text; *p; p++) {
        if (*p == '-') {
            continue;
        }
        if (!g_ascii_isxdigit(p[0]) || !g_ascii_isxdigit(p[1]) || n == 16) {
            return false;
        }
        uuid[n++] = (uint8_t)(g_ascii_xdigit_value(p[0]) << 4 | g_ascii_xdigit_value(p[1]));
        p++;
    }
    return n == 16;
}

/* 7.2 */
static bool system_information(Tables *t, const Type1 *o, const Machine *machine, GError **error)
{
    bool has_uuid;
    uint8_t uuid[16] = { 0 };

    memcpy(uuid, domain_uuid(machine->domain, &has_uuid), sizeof(uuid));
    if (o && o->uuid && !parse_uuid(o->uuid, uuid)) {
        return error_set(error, "-smbios type=1: '%s' is not a UUID", o->uuid);
    }
    begin(t, 1, handle(1, 0));
    put_string(t, o && o->manufacturer ? o->manufacturer : "Lodge");
    put_string(t, o && o->product ? o->product : machine->class->desc);
    put_string(t, o && o->version ? o->version : machine->class->name);
    put_string(t, o ? o->serial : NULL);
    put_uuid(t, uuid);
    put(t, 6, 1); /* woken by the power switch */
    put_string(t, o ? o->sku : NULL);
    put_string(t, o ? o->family : NULL);
    end(t);
    return true;
}

/* 7.3 */
static void base_board(Tables *t, const Type2 *o)
{
    if (!o) {
        return;
    }
    begin(t, 2, handle(2, 0));
    put_string(t, o->manufacturer);
    put_string(t, o->product);
    put_string(t, o->version);
    put_string(t, o->serial);
    put_string(t, o->asset);
    put(t, 1, 1); /* hosting board */
    put_string(t, o->location);
    put(t, handle(3, 0), 2);
    put(t, 0x0a, 1); /* motherboard */
    put(t, 0, 1);
    end(t);
}

/* 7.4 */
static void chassis(Tables *t, const Type3 *o)
{
    begin(t, 3, handle(3, 0));
    put_string(t, o && o->manufacturer ? o->manufacturer : "Lodge");
    put(t, 1, 1); /* other */
    put_string(t, o ? o->version : NULL);
    put_string(t, o ? o->serial : NULL);
    put_string(t, o ? o->asset : NULL);
    put(t, 3, 1); /* boot-up state: safe */
    put(t, 3, 1);
    put(t, 3, 1);
    put(t, 2, 1); /* security: unknown */
    put(t, 0, 4);
    put(t, 0, 1);
    put(t, 1, 1); /* power cords */
    put(t, 0, 2); /* contained elements */
    put_string(t, o ? o->sku : NULL);
    end(t);
}

/* 7.5: one per socket */
static void processors(Tables *t, const Type4 *o, const Machine *machine)
{
    const CpuTopology *top = &machine->topology;
    unsigned cores = top->cores * MAX(top->dies, 1), threads = cores * top->threads;

    for (unsigned n = 0; n < top->sockets; n++) {
        g_autofree char *socket = g_strdup_printf("%s %u", o ? o->sock_pfx : "CPU", n);

        begin(t, 4, handle(4, n));
        put_string(t, socket);
        put(t, 3, 1); /* central processor */
        put(t, 1, 1); /* family: other */
        put_string(t, o && o->manufacturer ? o->manufacturer : "Lodge");
        put(t, o && o->processor_id ? o->processor_id : cpu_model_signature(machine->cpu_model), 8);
        put_string(t, o && o->version ? o->version : machine->class->name);
        put(t, 0, 1);
        put(t, 0, 2);
        put(t, o ? o->max_speed : 2000, 2);
        put(t, o ? o->current_speed : 2000, 2);
        put(t, 0x41, 1); /* populated, enabled */
        put(t, 1, 1);
        put(t, 0xffff, 2);
        put(t, 0xffff, 2);
        put(t, 0xffff, 2); /* no cache structures */
        put_string(t, o ? o->serial : NULL);
        put_string(t, o ? o->asset : NULL);
        put_string(t, o ? o->part : NULL);
        put(t, MIN(cores, 255), 1);
        put(t, MIN(cores, 255), 1);
        put(t, MIN(threads, 255), 1);
        put(t, 0x02, 2); /* characteristics: unknown */
        put(t, 1, 2);
        put(t, cores, 2);
        put(t, cores, 2);
        put(t, threads, 2);
        end(t);
    }
}

/* 7.12 */
static void oem_strings(Tables *t, const GPtrArray *strings)
{
    if (!strings->len) {
        return;
    }
    begin(t, 11, handle(11, 0));
    put(t, strings->len, 1);
    for (guint i = 0; i < strings->len; i++) {
        g_ptr_array_add(t->strings, g_ptr_array_index(strings, i));
    }
    end(t);
}

/* 7.17, 7.18, 7.20 */
#define DEVICE_MAX (UINT64_C(16) << 30) /* bytes of one memory device */
static void memory(Tables *t, const Type17 *o, uint64_t below_4g, uint64_t above_4g)
{
    uint64_t total = below_4g + above_4g;
    unsigned devices = (unsigned)MIN((total + DEVICE_MAX - 1) / DEVICE_MAX, 255);
    uint64_t each = devices == 255 ? (total + 254) / 255 : DEVICE_MAX, left = total;

    begin(t, 16, handle(16, 0));
    put(t, 1, 1); /* other location */
    put(t, 3, 1); /* system memory */
    put(t, 6, 1); /* multi-bit ECC */
    put(t, UINT32_C(0x80000000), 4);
    put(t, 0xfffe, 2);
    put(t, devices, 2);
    put(t, total, 8);
    end(t);
    for (unsigned n = 0; n < devices; n++) {
        g_autofree char *locator = g_strdup_printf("%s %u", o ? o->loc_pfx : "DIMM", n);
        uint64_t mib = MIN(each, left) >> 20;

        left -= MIN(each, left);
        begin(t, 17, handle(17, n));
        put(t, handle(16, 0), 2);
        put(t, 0xfffe, 2);
        put(t, 0xffff, 2);
        put(t, 0xffff, 2);
        put(t, mib < 0x7fff ? mib : 0x7fff, 2);
        put(t, 9, 1); /* DIMM */
        put(t, 0, 1);
        put_string(t, locator);
        put_string(t, o ? o->bank : NULL);
        put(t, 7, 1); /* RAM */
        put(t, 2, 2);
        put(t, o ? o->speed : 0, 2);
        put_string(t, o && o->manufacturer ? o->manufacturer : "Lodge");
        put_string(t, o ? o->serial : NULL);
        put_string(t, o ? o->asset : NULL);
        put_string(t, o ? o->part : NULL);
        put(t, 0, 1);
        put(t, mib < 0x7fff ? 0 : mib, 4);
        put(t, o ? o->speed : 0, 2);
        put(t, 0, 6); /* voltages */
        end(t);
    }
    for (unsigned n = 0; n < (above_4g ? 2u : 1u); n++) {
        uint64_t first = n ? UINT64_C(1) << 32 : 0, size = n ? above_4g : below_4g;

        begin(t, 19, handle(19, n));
        put(t, UINT32_MAX, 4);
        put(t, UINT32_MAX, 4);
        put(t, handle(16, 0), 2);
        put(t, 1, 1);
        put(t, first, 8);
        put(t, first + size - 1, 8);
        end(t);
    }
}

/* 7.33, 7.45 */
static void boot_status_and_end(Tables *t)
{
    begin(t, 32, handle(32, 0));
    put(t, 0, 6);
    put(t, 0, 1); /* no errors */
    end(t);
    begin(t, 127, handle(127, 0));
    end(t);
}

#define ENTRY_AREA 64 /* "_SM_" at 0 (31 bytes), "_SM3_" at 32 (24 bytes) */

/* 5.2.1 and 5.2.2, before the structures they point at */
static void entry_points(uint8_t *p, uint64_t table, const Tables *t)
{
    uint32_t length = t->bytes->len - ENTRY_AREA;

    memcpy(p, "_SM_", 4);
    p[5] = 31;
    p[6] = 2;
    p[7] = 8;
    p[8] = (uint8_t)MIN(t->largest, 0xffff);
    p[9] = (uint8_t)(MIN(t->largest, 0xffff) >> 8);
    memcpy(p + 16, "_DMI_", 5);
    p[22] = (uint8_t)MIN(length, 0xffff);
    p[23] = (uint8_t)(MIN(length, 0xffff) >> 8);
    for (unsigned i = 0; i < 4; i++) {
        p[24 + i] = (uint8_t)(table >> (8 * i));
    }
    p[28] = (uint8_t)t->count;
    p[29] = (uint8_t)(t->count >> 8);
    p[30] = 0x28;
    p[21] = bytes_checksum(p + 16, 15);
    p[4] = bytes_checksum(p, 31);
    p += 32;
    memcpy(p, "_SM3_", 5);
    p[6] = 24;
    p[7] = 3;
    p[10] = 1;
    for (unsigned i = 0; i < 8; i++) {
        p[16 + i] = (uint8_t)(table >> (8 * i));
        if (i < 4) {
            p[12 + i] = (uint8_t)(length >> (8 * i));
        }
    }
    p[5] = bytes_checksum(p, 24);
}

GByteArray *smbios_build(const Machine *machine, uint64_t below_4g, uint64_t above_4g, uint64_t address, size_t room,
                         GError **error)
{
    Tables t = { .bytes = g_byte_array_new(), .strings = g_ptr_array_new() };
    SmbiosGiven o;
    bool ok = smbios_options_parse(machine, &o, error);

    if (ok) {
        put(&t, 0, 8);
        g_byte_array_set_size(t.bytes, ENTRY_AREA);
        memset(t.bytes->data, 0, ENTRY_AREA);
        ok = firmware(&t, smbios_given(&o, SMBIOS_0), error) &&
             system_information(&t, smbios_given(&o, SMBIOS_1), machine, error);
        base_board(&t, smbios_given(&o, SMBIOS_2));
        chassis(&t, smbios_given(&o, SMBIOS_3));
        processors(&t, smbios_given(&o, SMBIOS_4), machine);
        oem_strings(&t, o.oem);
        memory(&t, smbios_given(&o, SMBIOS_17), below_4g, above_4g);
        boot_status_and_end(&t);
        entry_points(t.bytes->data, address + ENTRY_AREA, &t);
        smbios_options_clear(&o);
    }
    g_ptr_array_unref(t.strings);
    if (ok && t.bytes->len > room) {
        ok = error_set(error, "the SMBIOS tables need %u bytes, there is room for %zu", t.bytes->len, room);
        error_hint(error, "Shorten the strings of -smbios.");
    }
    if (!ok) {
        g_byte_array_free(t.bytes, TRUE);
        return NULL;
    }
    return t.bytes;
}
