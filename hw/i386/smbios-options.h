/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the options of SMBIOS (smbios-options.c) and its tables (smbios.c). */
#pragma once

#include "hw/i386/smbios.h"

typedef enum SmbiosType {
    SMBIOS_0, SMBIOS_1, SMBIOS_2, SMBIOS_3, SMBIOS_4, SMBIOS_11, SMBIOS_17, SMBIOS_TYPES
} SmbiosType;

typedef struct Type0 { char *vendor, *version, *date, *release; bool uefi; } Type0;
typedef struct Type1 { char *manufacturer, *product, *version, *serial, *uuid, *sku, *family; } Type1;
typedef struct Type2 { char *manufacturer, *product, *version, *serial, *asset, *location; } Type2;
typedef struct Type3 { char *manufacturer, *version, *serial, *asset, *sku; } Type3;
typedef struct Type4 {
    char *sock_pfx, *manufacturer, *version, *serial, *asset, *part;
    uint16_t max_speed, current_speed;
    uint64_t processor_id;
} Type4;
typedef struct Type11 { FieldList value; } Type11;
typedef struct Type17 { char *loc_pfx, *bank, *manufacturer, *serial, *asset, *part; uint16_t speed; } Type17;
typedef struct SmbiosOptions { int type; void *of; } SmbiosOptions;

typedef struct SmbiosGiven {
    SmbiosOptions *of[SMBIOS_TYPES]; /* the last of each type wins, strings of type 11 add up */
    GPtrArray *oem;                  /* char * */
} SmbiosGiven;

bool smbios_options_parse(const Machine *machine, SmbiosGiven *o, GError **error);
void smbios_options_clear(SmbiosGiven *o);
const void *smbios_given(const SmbiosGiven *o, SmbiosType type); /* its TypeN, or NULL */
