/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processor devices in the ACPI namespace: what every board says of them. */
#pragma once

struct Aml;

/* What CPU `index` is called: C000 and on.  The caller frees it. */
char *acpi_processor_name(unsigned index);
/* What the devices share; \_SB is open. */
void acpi_write_processor_states(struct Aml *aml);
/* Opens the device of CPU `index`, in \_SB: _HID, _UID, _CST.  The caller adds what it has, and aml_end(). */
void acpi_begin_processor(struct Aml *aml, unsigned index);
