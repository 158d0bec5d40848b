#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# For guests that move: "source=NAME" on the kernel's command line chooses the clock source, then bin/clocks watches.
chosen=/sys/devices/system/clocksource/clocksource0/current_clocksource
for word in $(cat /proc/cmdline); do
    case $word in
    source=*) echo "${word#source=}" >$chosen ;;
    esac
done
echo "@@source $(cat $chosen)"
exec clocks
