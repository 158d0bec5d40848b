/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fixed ACPI tables.  Section numbers are those of ACPI 6.4. */
#include "hw/acpi/tables.h"

#include <string.h>

#include "hw/acpi/bytes.h"
#include "vmm/error.h"

#define OEM_ID        "LODGE "
#define CREATOR_ID    "LDGE"

typedef struct Builder {
    GByteArray *blob;
    uint64_t address; /* of blob's first byte */
    GArray *tables;   /* uint64_t, addresses for the XSDT */
} Builder;

static void put_text(GByteArray *a, const char *text, guint length)
{
    g_byte_array_append(a, (const guint8 *)text, length);
}

static void zeros(GByteArray *a, guint n)
{
    for (guint i = 0; i < n; i++) {
        bytes_put(a, 0, 1);
    }
}

/* 5.2.3.2 generic address structure */
static void put_gas(GByteArray *a, uint8_t space, uint8_t bits, uint8_t access, uint64_t address)
{
    bytes_put(a, space, 1);
    bytes_put(a, bits, 1);
    bytes_put(a, 0, 1);
    bytes_put(a, access, 1);
    bytes_put(a, address, 8);
}

static guint align(Builder *b, guint to)
{
    while (b->blob->len % to) {
        bytes_put(b->blob, 0, 1);
    }
    return b->blob->len;
}

/* 5.2.6 table header; returns where the table begins. */
static guint table_begin(Builder *b, const char *signature, uint8_t revision, const char *table_id)
{
    guint start = align(b, 16);

    put_text(b->blob, signature, 4);
    bytes_put(b->blob, 0, 4);
    bytes_put(b->blob, revision, 1);
    bytes_put(b->blob, 0, 1);
    put_text(b->blob, OEM_ID, 6);
    put_text(b->blob, table_id, 8);
    bytes_put(b->blob, 1, 4);
    put_text(b->blob, CREATOR_ID, 4);
    bytes_put(b->blob, 1, 4);
    return start;
}

static uint64_t table_end(Builder *b, guint start, bool listed)
{
    uint64_t address = b->address + start;
    uint32_t length = b->blob->len - start;

    for (unsigned i = 0; i < 4; i++) {
        b->blob->data[start + 4 + i] = (uint8_t)(length >> (8 * i));
    }
    b->blob->data[start + 9] = bytes_checksum(b->blob->data + start, length);
    if (listed) {
        g_array_append_val(b->tables, address);
    }
    return address;
}

/* 5.2.9 */
enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_SLP_BUTTON = 1 << 5,
    FADT_PWR_BUTTON = 1 << 4,
    FADT_RTC_S4 = 1 << 7,
    FADT_TMR_VAL_EXT = 1 << 8,
    FADT_RESET_REG = 1 << 10,
    FADT_HW_REDUCED = 1 << 20,
    BOOT_LEGACY = 1 << 0,
    BOOT_8042 = 1 << 1,
    BOOT_NO_VGA = 1 << 2,
    BOOT_NO_ASPM = 1 << 4,
    BOOT_NO_CMOS_RTC = 1 << 5,
};

static void build_fadt(Builder *b, const AcpiFacts *f, uint64_t facs, uint64_t dsdt)
{
    guint start = table_begin(b, "FACP", 6, "LODGFACP");
    GByteArray *a = b->blob;
    uint16_t pm = f->hw_reduced ? 0 : f->pm_base;
    uint32_t flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | (f->hw_reduced ? FADT_HW_REDUCED | FADT_PWR_BUTTON
                                                                                   : FADT_RTC_S4 | FADT_TMR_VAL_EXT);
    uint16_t boot = (f->legacy_devices ? BOOT_LEGACY : 0) | (f->i8042 ? BOOT_8042 : 0) | (f->vga ? 0 : BOOT_NO_VGA) |
                    (f->century ? 0 : BOOT_NO_CMOS_RTC) | BOOT_NO_ASPM;

    bytes_put(a, f->hw_reduced ? 0 : facs, 4);
    bytes_put(a, dsdt, 4);
    bytes_put(a, 0, 1);
    bytes_put(a, 0, 1); /* unspecified power profile */
    bytes_put(a, f->hw_reduced ? 0 : f->sci, 2);
    bytes_put(a, f->smi_command, 4);
    bytes_put(a, f->acpi_enable, 1);
    bytes_put(a, f->acpi_disable, 1);
    bytes_put(a, 0, 2); /* no S4BIOS, no processor control */
    bytes_put(a, pm, 4);
    bytes_put(a, 0, 4);
    bytes_put(a, pm ? pm + 4u : 0, 4);
    bytes_put(a, 0, 8); /* PM1b_CNT, PM2_CNT */
    bytes_put(a, pm ? pm + 8u : 0, 4);
    bytes_put(a, pm && f->gpe0_length ? pm + 0x20u : 0, 4);
    bytes_put(a, 0, 4);
    bytes_put(a, pm ? 4 : 0, 1);
    bytes_put(a, pm ? 2 : 0, 1);
    bytes_put(a, 0, 1);
    bytes_put(a, pm ? 4 : 0, 1);
    bytes_put(a, pm ? f->gpe0_length : 0, 1);
    bytes_put(a, 0, 3); /* GPE1, C-state support */
    bytes_put(a, 0xfff, 2);
    bytes_put(a, 0xfff, 2); /* no C2, no C3 */
    zeros(a, 6);      /* cache flush and duty cycle */
    bytes_put(a, 0, 2);     /* day and month alarm */
    bytes_put(a, f->century, 1);
    bytes_put(a, boot, 2);
    bytes_put(a, 0, 1);
    bytes_put(a, flags | (f->reset.address ? FADT_RESET_REG : 0), 4);
    put_gas(a, f->reset.space, f->reset.address ? 8 : 0, f->reset.address ? 1 : 0, f->reset.address);
    bytes_put(a, f->reset.value, 1);
    bytes_put(a, 0, 2);
    bytes_put(a, 4, 1); /* FADT 6.4 */
    bytes_put(a, 0, 8); /* X_FIRMWARE_CTRL: the 32-bit field holds it */
    bytes_put(a, dsdt, 8);
    put_gas(a, 1, pm ? 32 : 0, pm ? 2 : 0, pm);
    put_gas(a, 0, 0, 0, 0);
    put_gas(a, 1, pm ? 16 : 0, pm ? 2 : 0, pm ? pm + 4u : 0);
    put_gas(a, 0, 0, 0, 0);
    put_gas(a, 0, 0, 0, 0);
    put_gas(a, 1, pm ? 32 : 0, pm ? 3 : 0, pm ? pm + 8u : 0);
    put_gas(a, 1, pm ? f->gpe0_length * 8 : 0, pm && f->gpe0_length ? 1 : 0, pm && f->gpe0_length ? pm + 0x20u : 0);
    put_gas(a, 0, 0, 0, 0);
    put_gas(a, 0, f->sleep_control ? 8 : 0, f->sleep_control ? 1 : 0, f->sleep_control);
    put_gas(a, 0, f->sleep_status ? 8 : 0, f->sleep_status ? 1 : 0, f->sleep_status);
    put_text(a, "Lodge\0\0", 8); /* hypervisor vendor identity */
    table_end(b, start, true);
}

/* 5.2.10; the guest writes where it is to be woken, see hw/i386/boot-wake.c. */
static uint64_t build_facs(Builder *b)
{
    guint start = align(b, 64);

    put_text(b->blob, "FACS", 4);
    bytes_put(b->blob, 64, 4);
    zeros(b->blob, 12);
    bytes_put(b->blob, FACS_64BIT_WAKE_SUPPORTED, 4);
    zeros(b->blob, 8);
    bytes_put(b->blob, 2, 1);
    zeros(b->blob, 31);
    return b->address + start;
}

/* 5.2.12 */
static void build_madt(Builder *b, const AcpiFacts *f)
{
    guint start = table_begin(b, "APIC", 5, "LODGAPIC");
    GByteArray *a = b->blob;
    bool x2apic = false;

    bytes_put(a, f->lapic_address, 4);
    bytes_put(a, f->pic ? 1 : 0, 4);
    for (unsigned i = 0; i < f->n_cpus; i++) {
        const AcpiCpu *cpu = &f->cpus[i];
        unsigned flags = cpu->enabled ? 1 : 2; /* bit 1: online capable */

        if (cpu->apic_id < 255 && i < 255) {
            bytes_put(a, 0, 1);
            bytes_put(a, 8, 1);
            bytes_put(a, i, 1);
            bytes_put(a, cpu->apic_id, 1);
            bytes_put(a, flags, 4);
        } else {
            x2apic = true;
            bytes_put(a, 9, 1);
            bytes_put(a, 16, 1);
            bytes_put(a, 0, 2);
            bytes_put(a, cpu->apic_id, 4);
            bytes_put(a, flags, 4);
            bytes_put(a, i, 4);
        }
    }
    bytes_put(a, 1, 1); /* IOAPIC */
    bytes_put(a, 12, 1);
    bytes_put(a, f->ioapic_id, 1);
    bytes_put(a, 0, 1);
    bytes_put(a, f->ioapic_address, 4);
    bytes_put(a, 0, 4);
    for (unsigned i = 0; i < f->n_overrides; i++) {
        bytes_put(a, 2, 1);
        bytes_put(a, 10, 1);
        bytes_put(a, 0, 1);
        bytes_put(a, f->overrides[i].irq, 1);
        bytes_put(a, f->overrides[i].gsi, 4);
        bytes_put(a, f->overrides[i].flags, 2);
    }
    bytes_put(a, 4, 1); /* NMI on LINT1 of every processor */
    bytes_put(a, 6, 1);
    bytes_put(a, 0xff, 1);
    bytes_put(a, 0, 2);
    bytes_put(a, 1, 1);
    if (x2apic) {
        bytes_put(a, 0xa, 1);
        bytes_put(a, 12, 1);
        bytes_put(a, 0, 2);
        bytes_put(a, 0xffffffff, 4);
        bytes_put(a, 1, 1);
        bytes_put(a, 0, 3);
    }
    table_end(b, start, true);
}

/* PCI Firmware Specification 3.2, 4.1.2 */
static void build_mcfg(Builder *b, const AcpiFacts *f)
{
    guint start = table_begin(b, "MCFG", 1, "LODGMCFG");

    bytes_put(b->blob, 0, 8);
    bytes_put(b->blob, f->ecam, 8);
    bytes_put(b->blob, 0, 2);
    bytes_put(b->blob, 0, 1);
    bytes_put(b->blob, f->ecam_last_bus, 1);
    bytes_put(b->blob, 0, 4);
    table_end(b, start, true);
}

/* IA-PC HPET 1.0a, 3.2.4 */
static void build_hpet(Builder *b, const AcpiFacts *f)
{
    guint start = table_begin(b, "HPET", 1, "LODGHPET");

    bytes_put(b->blob, 0x8086a201, 4); /* vendor, legacy replacement, 64 bits, 3 comparators, revision 1 */
    put_gas(b->blob, 0, 64, 0, f->hpet_address);
    bytes_put(b->blob, 0, 1);
    bytes_put(b->blob, 0, 2);
    bytes_put(b->blob, 0, 1);
    table_end(b, start, true);
}

/* 5.2.16 */
static void build_srat(Builder *b, const AcpiFacts *f)
{
    guint start = table_begin(b, "SRAT", 3, "LODGSRAT");
    GByteArray *a = b->blob;

    bytes_put(a, 1, 4);
    bytes_put(a, 0, 8);
    for (unsigned i = 0; i < f->n_cpus; i++) {
        const AcpiCpu *cpu = &f->cpus[i];

        if (cpu->apic_id < 255) {
            bytes_put(a, 0, 1);
            bytes_put(a, 16, 1);
            bytes_put(a, cpu->node & 0xff, 1);
            bytes_put(a, cpu->apic_id, 1);
            bytes_put(a, 1, 4);
            bytes_put(a, 0, 1);
            bytes_put(a, cpu->node >> 8, 3);
            bytes_put(a, 0, 4);
        } else {
            bytes_put(a, 2, 1);
            bytes_put(a, 24, 1);
            bytes_put(a, 0, 2);
            bytes_put(a, cpu->node, 4);
            bytes_put(a, cpu->apic_id, 4);
            bytes_put(a, 1, 4);
            bytes_put(a, 0, 8);
        }
    }
    for (unsigned i = 0; i < f->n_memory; i++) {
        const AcpiMemory *m = &f->memory[i];

        bytes_put(a, 1, 1);
        bytes_put(a, 40, 1);
        bytes_put(a, m->node, 4);
        bytes_put(a, 0, 2);
        bytes_put(a, m->address, 8);
        bytes_put(a, m->size, 8);
        bytes_put(a, 0, 4);
        bytes_put(a, 1u | (m->hotplug ? 2u : 0u), 4);
        bytes_put(a, 0, 8);
    }
    table_end(b, start, true);
}

/* 5.2.17 */
static void build_slit(Builder *b, const AcpiFacts *f)
{
    guint start = table_begin(b, "SLIT", 1, "LODGSLIT");

    bytes_put(b->blob, f->nodes, 8);
    g_byte_array_append(b->blob, f->distances, f->nodes * f->nodes);
    table_end(b, start, true);
}

/* 5.2.5.3 */
static uint64_t build_rsdp(Builder *b, uint64_t xsdt)
{
    guint start = align(b, 16);

    put_text(b->blob, "RSD PTR ", 8);
    bytes_put(b->blob, 0, 1);
    put_text(b->blob, OEM_ID, 6);
    bytes_put(b->blob, 2, 1);
    bytes_put(b->blob, 0, 4);
    bytes_put(b->blob, 36, 4);
    bytes_put(b->blob, xsdt, 8);
    bytes_put(b->blob, 0, 4);
    b->blob->data[start + 8] = bytes_checksum(b->blob->data + start, 20);
    b->blob->data[start + 32] = bytes_checksum(b->blob->data + start, 36);
    return b->address + start;
}

bool acpi_tables_build(const AcpiFacts *f, uint64_t address, uint64_t room, AcpiTables *ret, GError **error)
{
    Builder b = { g_byte_array_new(), address, g_array_new(FALSE, FALSE, sizeof(uint64_t)) };
    uint64_t facs = f->hw_reduced ? 0 : build_facs(&b);
    guint start = table_begin(&b, "DSDT", 2, "LODGDSDT");
    uint64_t dsdt;

    g_byte_array_append(b.blob, f->dsdt, (guint)f->dsdt_length);
    dsdt = table_end(&b, start, false);
    build_fadt(&b, f, facs, dsdt);
    build_madt(&b, f);
    if (f->ecam) {
        build_mcfg(&b, f);
    }
    if (f->hpet_address) {
        build_hpet(&b, f);
    }
    if (f->memory) {
        build_srat(&b, f);
    }
    if (f->distances) {
        build_slit(&b, f);
    }
    start = table_begin(&b, "XSDT", 1, "LODGXSDT");
    for (guint i = 0; i < b.tables->len; i++) {
        bytes_put(b.blob, g_array_index(b.tables, uint64_t, i), 8);
    }
    *ret = (AcpiTables){ .blob = b.blob, .address = address, .facs = facs };
    ret->rsdp = build_rsdp(&b, table_end(&b, start, false));
    g_array_free(b.tables, TRUE);
    if (ret->blob->len > room) {
        error_set(error, "the ACPI tables need %u bytes, there is room for %" G_GUINT64_FORMAT, ret->blob->len, room);
        acpi_tables_clear(ret);
        return error_hint(error, "Give fewer possible CPUs with -smp maxcpus=.");
    }
    return true;
}

void acpi_tables_clear(AcpiTables *tables)
{
    if (tables->blob) {
        g_byte_array_free(tables->blob, TRUE);
        tables->blob = NULL;
    }
}

static bool write_device(Device *dev, void *opaque)
{
    if (dev->class->aml) {
        dev->class->aml(dev, opaque);
    }
    return true;
}

void acpi_write_devices(struct Aml *aml, Domain *domain)
{
    device_each(domain, write_device, aml);
}
