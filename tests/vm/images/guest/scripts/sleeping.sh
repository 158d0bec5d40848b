# SPDX-License-Identifier: GPL-2.0-or-later
# Sleeps (ACPI S3) as often as sleeps=N of the kernel's command line says, the first time until somebody wakes it, then
# until the RTC's alarm does, alarm=SECONDS after it was set: by then, it must be asleep. Each time it looks whether all
# goes on: both processors, a timer, the clock beside the RTC, a virtio disk, a random source, a port of virtio-serial.

sleeps=$(sed -n 's/.*sleeps=\([0-9]*\).*/\1/p' /proc/cmdline)
alarm=$(sed -n 's/.*alarm=\([0-9]*\).*/\1/p' /proc/cmdline)
rtc=/sys/class/rtc/rtc0
disk=$(md5sum </dev/vda)

look() {
    echo 1 >/proc/sys/vm/drop_caches
    [ "$(md5sum </dev/vda)" = "$disk" ] || echo "@@bad disk"
    [ "$(dd if=/dev/hwrng bs=32 count=1 2>/dev/null | wc -c)" = 32 ] || echo "@@bad rng"
    [ "$(grep -c ^processor /proc/cpuinfo)" = 2 ] || echo "@@bad processors"
    for mask in 1 2; do
        before=$(cut -d. -f1 /proc/uptime)
        taskset $mask sleep 1 || echo "@@bad processor $mask"
        passed=$(($(cut -d. -f1 /proc/uptime) - before))
        [ $passed -ge 1 ] && [ $passed -lt 30 ] || echo "@@bad timer: $passed s"
    done
    apart=$(($(date +%s) - $(cat $rtc/since_epoch)))
    [ $apart -ge -2 ] && [ $apart -le 2 ] || echo "@@bad clock: $apart s apart"
    echo "awake $1" >"$(ls /dev/vport*p1)"
}

n=1
while [ $n -le "$sleeps" ]; do
    if [ $n -gt 1 ]; then
        echo 0 >$rtc/wakealarm
        echo +"$alarm" >$rtc/wakealarm
    fi
    before=$(cat $rtc/since_epoch)
    echo mem >/sys/power/state || echo "@@bad sleep"
    slept=$(($(cat $rtc/since_epoch) - before))
    [ $slept -ge 1 ] || echo "@@bad sleep: $slept s"
    look $n
    echo "@@awake $n"
    n=$((n + 1))
done
