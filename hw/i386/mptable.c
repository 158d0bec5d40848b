/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MP tables: MultiProcessor Specification 1.4, chapter 4. */
#include "hw/i386/mptable.h"

#include <string.h>

#include "hw/acpi/bytes.h"
#include "vmm/error.h"

enum { ENTRY_PROCESSOR, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_IO_INTERRUPT, ENTRY_LOCAL_INTERRUPT };
enum { INTERRUPT_INT, INTERRUPT_NMI, INTERRUPT_SMI, INTERRUPT_EXTINT };
enum { BUS_PCI, BUS_ISA };
#define LEVEL_HIGH 0xd
#define LEVEL_LOW  0xf

typedef struct Table {
    GByteArray *bytes;
    unsigned entries;
} Table;

static void put(Table *t, uint64_t value, unsigned bytes)
{
    bytes_put(t->bytes, value, bytes);
}

static void put_text(Table *t, const char *text)
{
    g_byte_array_append(t->bytes, (const guint8 *)text, (guint)strlen(text));
}

/* 4.3.1 */
static void processor(Table *t, const MpFacts *f, unsigned n)
{
    put(t, ENTRY_PROCESSOR, 1);
    put(t, f->apic_ids[n], 1);
    put(t, 0x14, 1);
    put(t, 1u | (n == 0 ? 2u : 0u), 1); /* enabled, boot processor */
    put(t, f->signature, 4);
    put(t, f->feature_flags, 4);
    put(t, 0, 8);
    t->entries++;
}

/* 4.3.2; the name has six characters */
static void bus(Table *t, uint8_t id, const char *name)
{
    put(t, ENTRY_BUS, 1);
    put(t, id, 1);
    put_text(t, name);
    t->entries++;
}

/* 4.3.4, 4.3.5 */
static void interrupt(Table *t, uint8_t entry, uint8_t type, uint16_t flags, uint8_t source_bus, uint8_t source,
                      uint8_t id, uint8_t input)
{
    put(t, entry, 1);
    put(t, type, 1);
    put(t, flags, 2);
    put(t, source_bus, 1);
    put(t, source, 1);
    put(t, id, 1);
    put(t, input, 1);
    t->entries++;
}

static void interrupts(Table *t, const MpFacts *f)
{
    uint8_t isa = f->pci ? BUS_ISA : 0;

    for (unsigned irq = 0; irq < 16; irq++) {
        bool level = f->level_irqs & (1u << irq);

        if (irq != 2) {
            interrupt(t, ENTRY_IO_INTERRUPT, INTERRUPT_INT, level ? LEVEL_HIGH : 0, isa, (uint8_t)irq, f->ioapic_id,
                      irq == 0 && f->pit ? 2 : (uint8_t)irq);
        }
    }
    for (unsigned i = 0; i < f->n_pci_irqs; i++) {
        const MpPciIrq *p = &f->pci_irqs[i];

        interrupt(t, ENTRY_IO_INTERRUPT, INTERRUPT_INT, LEVEL_LOW, BUS_PCI, (uint8_t)(p->slot << 2 | p->pin),
                  f->ioapic_id, p->gsi);
    }
    interrupt(t, ENTRY_LOCAL_INTERRUPT, INTERRUPT_EXTINT, 0, isa, 0, 0xff, 0);
    interrupt(t, ENTRY_LOCAL_INTERRUPT, INTERRUPT_NMI, 0, isa, 0, 0xff, 1);
}

GByteArray *mptable_build(const MpFacts *f, uint64_t address, size_t room, GError **error)
{
    Table t = { .bytes = g_byte_array_new() };
    guint config = 16, length;

    /* 4.1: the floating pointer */
    put_text(&t, "_MP_");
    put(&t, address + config, 4);
    put(&t, 1, 1);
    put(&t, 4, 1);
    put(&t, 0, 6);
    t.bytes->data[10] = bytes_checksum(t.bytes->data, 16);
    /* 4.2: the configuration table's header */
    put_text(&t, "PCMP");
    put(&t, 0, 2);
    put(&t, 4, 1);
    put(&t, 0, 1);
    put_text(&t, "LODGE   ");
    put_text(&t, "PC          ");
    put(&t, 0, 6);
    put(&t, 0, 2);
    put(&t, f->lapic_address, 4);
    put(&t, 0, 4);
    for (unsigned i = 0; i < f->cpus; i++) {
        if (f->apic_ids[i] >= 255) {
            g_byte_array_free(t.bytes, TRUE);
            error_set(error, "%u CPUs need ACPI: MP tables name at most 255 APIC ids", f->cpus);
            error_hint(error, "Leave out -no-acpi or acpi=off, or give fewer CPUs.");
            return NULL;
        }
        processor(&t, f, i);
    }
    if (f->pci) {
        bus(&t, BUS_PCI, "PCI   ");
    }
    bus(&t, f->pci ? BUS_ISA : 0, "ISA   ");
    put(&t, ENTRY_IOAPIC, 1);
    put(&t, f->ioapic_id, 1);
    put(&t, 0x20, 1);
    put(&t, 1, 1);
    put(&t, f->ioapic_address, 4);
    t.entries++;
    interrupts(&t, f);
    length = t.bytes->len - config;
    t.bytes->data[config + 4] = (uint8_t)length;
    t.bytes->data[config + 5] = (uint8_t)(length >> 8);
    t.bytes->data[config + 34] = (uint8_t)t.entries;
    t.bytes->data[config + 35] = (uint8_t)(t.entries >> 8);
    t.bytes->data[config + 7] = bytes_checksum(t.bytes->data + config, length);
    if (t.bytes->len > room) {
        error_set(error, "the MP tables need %u bytes, there is room for %zu", t.bytes->len, room);
        g_byte_array_free(t.bytes, TRUE);
        return NULL;
    }
    return t.bytes;
}
