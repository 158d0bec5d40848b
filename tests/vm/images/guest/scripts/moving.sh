#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# For guests that move: counts, and looks after memory and a disk. Each round says "@@n COUNT UPTIME STATE", STATE "good"
# while the file of random bytes has its checksum, the log has a line for each round, and the disk what was written last.
dd if=/dev/urandom of=/tmp/block bs=1M count=8 2>/dev/null
want=$(md5sum </tmp/block)
disk=/dev/vda
n=0
while :; do
    n=$((n + 1))
    state=good
    echo "$n" >>/tmp/log
    dd if=/dev/urandom of=/tmp/other bs=64k count=2 2>/dev/null
    [ "$(md5sum </tmp/block)" = "$want" ] || state=memory
    [ "$(wc -l </tmp/log)" = "$n" ] || state=log
    if [ -b "$disk" ]; then
        printf '%-512s' "$n" | dd of="$disk" oflag=direct bs=512 count=1 conv=notrunc 2>/dev/null || state=write
        [ "$(dd if="$disk" iflag=direct bs=512 count=1 2>/dev/null | tr -d ' ')" = "$n" ] || state=disk
    fi
    echo "@@n $n $(cut -d' ' -f1 /proc/uptime) $state"
done
