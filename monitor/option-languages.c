/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/option-languages.h.
 */
#include "monitor/option-languages.h"

#include "block/block.h"
#include "hw/i386/smbios.h"
#include "monitor/monitor.h"

const OptionLanguage option_languages[] = {
    { "drive", &drive_options, drive_help },
    { "blockdev", &blockdev_options, blockdev_help },
    { "mon", &monitor_options, NULL },
    { "smbios", &smbios_options, NULL },
    { NULL },
};
