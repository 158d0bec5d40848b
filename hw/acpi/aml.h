/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer of AML (ACPI 6.4, chapter 20).
 *
 * AML is prefix notation, so code is written in the order it is read: an operator,
 * then its operands.  What has a length (scopes, devices, methods, packages,
 * buffers) is opened by aml_begin_*() and closed by aml_end(), which fills the
 * length in.
 *
 *     aml_begin_device(aml, "RTC");
 *     aml_name_eisa(aml, "_HID", "PNP0B00");
 *     aml_end(aml);
 *
 * Names are paths as ASL spells them: "\\_SB.PCI0", "^LNKA", "_CRS".  Misuse is an
 * assertion: nothing here comes from a guest or a user.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Aml Aml;

Aml *aml_new(void);
GByteArray *aml_finish(Aml *aml); /* everything is closed; frees aml */

/* 20.2.5.1, 20.2.5.2: named things */
void aml_begin_scope(Aml *aml, const char *path);
void aml_begin_device(Aml *aml, const char *name);
void aml_begin_method(Aml *aml, const char *name, unsigned args, bool serialized);
void aml_name(Aml *aml, const char *name); /* the object follows */
void aml_name_int(Aml *aml, const char *name, uint64_t value);
void aml_name_string(Aml *aml, const char *name, const char *value);
void aml_name_eisa(Aml *aml, const char *name, const char *id); /* "PNP0A08" as a number, 19.3.4 */
void aml_end(Aml *aml);

typedef enum AmlSpace { AML_SYSTEM_MEMORY = 0, AML_SYSTEM_IO = 1, AML_PCI_CONFIG = 2, AML_FIXED = 0x7f } AmlSpace;
typedef enum AmlAccess { AML_ANY_ACCESS, AML_BYTE_ACCESS, AML_WORD_ACCESS, AML_DWORD_ACCESS } AmlAccess;
void aml_mutex(Aml *aml, const char *name);
void aml_operation_region(Aml *aml, const char *name, AmlSpace space, uint64_t offset, uint64_t length);
void aml_begin_field(Aml *aml, const char *region, AmlAccess access, bool preserve); /* false: write as zeros */
void aml_field(Aml *aml, const char *name, unsigned bits);
void aml_field_skip(Aml *aml, unsigned bits);

/* 20.2.3: data */
void aml_int(Aml *aml, uint64_t value);
void aml_string(Aml *aml, const char *value);
void aml_path(Aml *aml, const char *path); /* a reference, or a call whose arguments follow */
void aml_begin_package(Aml *aml, unsigned elements);
void aml_buffer(Aml *aml, const uint8_t *data, size_t length);
void aml_local(Aml *aml, unsigned n);
void aml_arg(Aml *aml, unsigned n);
void aml_to_uuid(Aml *aml, const char *uuid); /* 19.6.142 */

/* 20.2.5.3, 20.2.5.4: operators; operands follow.  With a target: aml_nothing() for none. */
/* A mutex' name, which is waited for as long as it takes: no target, no result to look at. */
void aml_acquire(Aml *aml, const char *mutex);
void aml_release(Aml *aml, const char *mutex);
typedef enum AmlOp {
    AML_STORE = 0x70,
    AML_ADD = 0x72,
    AML_SUBTRACT = 0x74,
    AML_SHIFT_LEFT = 0x79,
    AML_SHIFT_RIGHT = 0x7a,
    AML_AND = 0x7b,
    AML_OR = 0x7d,
    AML_NOTIFY = 0x86,
    AML_INDEX = 0x88,
    AML_CREATE_DWORD_FIELD = 0x8a, /* source, index, then aml_new_name() */
    AML_LAND = 0x90,
    AML_LOR = 0x91,
    AML_LNOT = 0x92,
    AML_LEQUAL = 0x93,
    AML_LGREATER = 0x94,
    AML_LLESS = 0x95,
    AML_RETURN = 0xa4,
} AmlOp;
void aml_op(Aml *aml, AmlOp op);
void aml_nothing(Aml *aml);
void aml_new_name(Aml *aml, const char *name); /* the name an operator creates */
void aml_begin_if(Aml *aml); /* the predicate follows, then the body */
void aml_begin_else(Aml *aml);
void aml_begin_while(Aml *aml); /* likewise */

/* 6.4: resources, between begin and end */
void aml_begin_resources(Aml *aml);
void aml_res_io(Aml *aml, uint16_t first, uint16_t last, uint8_t align, uint8_t length);
void aml_res_irq(Aml *aml, uint8_t irq);  /* edge, active high, exclusive */
void aml_res_memory32(Aml *aml, bool writable, uint32_t base, uint32_t length);
/* 6.4.3.7: where a register is; AML_FIXED: the other values have a meaning of their own. */
void aml_res_register(Aml *aml, AmlSpace space, uint8_t width, uint8_t bit_offset, uint8_t access, uint64_t address);
void aml_res_interrupt(Aml *aml, bool consumer, bool level, bool low, bool shared, const uint32_t *gsi, unsigned n);
typedef enum AmlRange { AML_RANGE_MEMORY, AML_RANGE_IO, AML_RANGE_BUS } AmlRange;
/* Address space descriptors of a producer (a bridge's window), 16, 32 or 64 bits wide. */
void aml_res_window(Aml *aml, unsigned bits, AmlRange range, bool cacheable, uint64_t first, uint64_t last);
