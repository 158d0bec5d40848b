/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device tree of a microvm.  libfdt collects errors in `rc`, looked at once. */
#include "hw/i386/fdt.h"

#include <libfdt.h>

#include "vmm/error.h"

#define IOAPIC_PHANDLE 1

typedef struct Writer {
    void *fdt;
    int rc; /* first error */
} Writer;

static void check(Writer *w, int rc)
{
    if (w->rc == 0 && rc < 0) {
        w->rc = rc;
    }
}

static void begin(Writer *w, const char *name)
{
    check(w, fdt_begin_node(w->fdt, name));
}

static void end(Writer *w)
{
    check(w, fdt_end_node(w->fdt));
}

static void prop_u32(Writer *w, const char *name, uint32_t value)
{
    check(w, fdt_property_u32(w->fdt, name, value));
}

static void prop_string(Writer *w, const char *name, const char *value)
{
    check(w, fdt_property_string(w->fdt, name, value));
}

static void prop_empty(Writer *w, const char *name)
{
    check(w, fdt_property(w->fdt, name, NULL, 0));
}

/* #address-cells and #size-cells are 2 everywhere but below /cpus. */
static void prop_ranges(Writer *w, const char *name, const uint64_t *pairs, unsigned n)
{
    fdt64_t cells[8];

    g_assert(n <= G_N_ELEMENTS(cells));
    for (unsigned i = 0; i < n; i++) {
        cells[i] = cpu_to_fdt64(pairs[i]);
    }
    check(w, fdt_property(w->fdt, name, cells, (int)(n * sizeof(cells[0]))));
}

static void cpus(Writer *w, const Machine *machine)
{
    begin(w, "cpus");
    prop_u32(w, "#address-cells", 1);
    prop_u32(w, "#size-cells", 0);
    for (unsigned i = 0; i < domain_vcpus(machine->domain); i++) {
        uint32_t id = cpu_topology_apic_id(&machine->topology, i);
        g_autofree char *name = g_strdup_printf("cpu@%x", id);

        begin(w, name);
        prop_string(w, "device_type", "cpu");
        prop_string(w, "compatible", "x86,cpu");
        prop_u32(w, "reg", id);
        end(w);
    }
    end(w);
}

static void memory(Writer *w, const FdtFacts *f)
{
    uint64_t ranges[] = { 0, f->below_4g, UINT64_C(1) << 32, f->above_4g };

    begin(w, "memory@0");
    prop_string(w, "device_type", "memory");
    prop_ranges(w, "reg", ranges, f->above_4g ? 4 : 2);
    end(w);
}

static void apics(Writer *w, const FdtFacts *f)
{
    g_autofree char *lapic = g_strdup_printf("lapic@%x", f->lapic_address);
    g_autofree char *ioapic = g_strdup_printf("ioapic@%x", f->ioapic_address);

    begin(w, lapic);
    prop_string(w, "compatible", "intel,ce4100-lapic");
    prop_ranges(w, "reg", (uint64_t[]) { f->lapic_address, 0x1000 }, 2);
    end(w);
    begin(w, ioapic);
    prop_string(w, "compatible", "intel,ce4100-ioapic");
    prop_ranges(w, "reg", (uint64_t[]) { f->ioapic_address, 0x1000 }, 2);
    prop_empty(w, "interrupt-controller");
    prop_u32(w, "#interrupt-cells", 2);
    prop_u32(w, "#address-cells", 2);
    prop_u32(w, "phandle", IOAPIC_PHANDLE);
    end(w);
}

static void device(Writer *w, const FdtDevice *d)
{
    g_autofree char *name = g_strdup_printf("%s@%" G_GINT64_MODIFIER "x", d->name, d->address);

    begin(w, name);
    prop_string(w, "compatible", d->compatible);
    if (d->size) {
        prop_ranges(w, "reg", (uint64_t[]) { d->address, d->size }, 2);
    }
    if (d->gsi >= 0) {
        /* Second cell, ce4100-ioapic: 0 edge rising, 1 level low, 2 level high, 3 edge falling. */
        fdt32_t cells[] = { cpu_to_fdt32((uint32_t)d->gsi), cpu_to_fdt32(d->level ? 2 : 0) };

        check(w, fdt_property(w->fdt, "interrupts", cells, sizeof(cells)));
        prop_u32(w, "interrupt-parent", IOAPIC_PHANDLE);
    }
    end(w);
}

GByteArray *fdt_build(const FdtFacts *f, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_sized_new(FDT_MAX);
    Writer w = { 0 };

    g_byte_array_set_size(bytes, FDT_MAX);
    w.fdt = bytes->data;
    check(&w, fdt_create(w.fdt, FDT_MAX));
    check(&w, fdt_finish_reservemap(w.fdt));
    begin(&w, "");
    prop_string(&w, "compatible", "linux,dummy-virt");
    prop_string(&w, "model", f->machine->class->name);
    prop_u32(&w, "#address-cells", 2);
    prop_u32(&w, "#size-cells", 2);
    begin(&w, "chosen");
    if (f->bootargs) {
        prop_string(&w, "bootargs", f->bootargs);
    }
    if (f->stdout_path) {
        prop_string(&w, "stdout-path", f->stdout_path);
    }
    end(&w);
    cpus(&w, f->machine);
    memory(&w, f);
    apics(&w, f);
    for (unsigned bus = 0; bus < 2; bus++) { /* memory first, then ports */
        begin(&w, bus ? "isa" : "soc");
        prop_string(&w, "compatible", bus ? "isa" : "simple-bus");
        prop_u32(&w, "#address-cells", 2);
        prop_u32(&w, "#size-cells", 2);
        prop_empty(&w, "ranges");
        for (unsigned i = 0; i < f->n_devices; i++) {
            if (f->devices[i].ports == (bus == 1)) {
                device(&w, &f->devices[i]);
            }
        }
        end(&w);
    }
    end(&w);
    check(&w, fdt_finish(w.fdt));
    if (w.rc < 0) {
        error_set(error, "cannot write the device tree: %s", fdt_strerror(w.rc));
        return NULL;
    }
    g_byte_array_set_size(bytes, (guint)fdt_totalsize(w.fdt));
    return g_steal_pointer(&bytes);
}
