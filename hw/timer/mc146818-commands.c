/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command for who has set the guest's time by other means: what driftfix=slew still owes would put it wrong again.
 * Its name is QEMU 7.2's (qapi/misc-target.json).
 */
#include "hw/timer/mc146818.h"
#include "vmm/domain.h"

static bool forget_lost_ticks(Device *dev, void *opaque)
{
    if (dev->class == &mc146818_class) {
        mc146818_forget_lost_ticks(dev);
    }
    return true;
}

static bool rtc_reset_reinjection(CommandCall *call, const void *args, void *ret, GError **error)
{
    device_each(call->domain, forget_lost_ticks, NULL);
    return true;
}

const Command mc146818_commands[] = {
    { "rtc-reset-reinjection", rtc_reset_reinjection,
      .help = "Forget the clock's ticks that were to be made up for (-rtc driftfix=slew)" },
    COMMAND_END
};
