/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processor devices in the ACPI namespace (ACPI 6.4: 8.4).
 *
 * _CST (8.4.1.1) has one state, C1, which is HLT: FFixedHW with nothing but zeros (Intel 302223, "Processor
 * Vendor-Specific ACPI").  Every CPU halts without being told so; but only a guest that finds the state in a table has
 * an idle governor. Linux without one lets its tick go on once more after most wake-ups, which makes half as many more.
 */
#include "hw/acpi/processor.h"

#include "hw/acpi/aml.h"

#define C1_LATENCY_US 1

#define STATES "CSTS" /* once for all, as there is room of 64 KiB for all tables (hw/i386/pc-tables.h) */

void acpi_write_processor_states(Aml *aml)
{
    aml_name(aml, STATES);
    aml_begin_package(aml, 2);
    aml_int(aml, 1);
    aml_begin_package(aml, 4);
    aml_begin_resources(aml);
    aml_res_register(aml, AML_FIXED, 0, 0, 0, 0);
    aml_end(aml);
    aml_int(aml, 1); /* C1 */
    aml_int(aml, C1_LATENCY_US);
    aml_int(aml, 0); /* mW, unknown */
    aml_end(aml);
    aml_end(aml);
}

char *acpi_processor_name(unsigned index)
{
    return g_strdup_printf("C%03X", index);
}

void acpi_begin_processor(Aml *aml, unsigned index)
{
    g_autofree char *name = acpi_processor_name(index);

    aml_begin_device(aml, name);
    aml_name_string(aml, "_HID", "ACPI0007");
    aml_name_int(aml, "_UID", index);
    aml_begin_method(aml, "_CST", 0, false);
    aml_op(aml, AML_RETURN);
    aml_path(aml, STATES);
    aml_end(aml);
}
