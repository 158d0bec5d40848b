# SPDX-License-Identifier: GPL-2.0-or-later
# Brings every CPU online that comes, and says which there are whenever that changes, until the machine ends: "@@cpus",
# then for each that is online on which CPU a program ran that was bound to it. With "nap" on the command line it leaves
# CPUs offline that are so. What the kernel says of a CPU that came
# with a TSC out of step follows as "@@tsc".

said=
while :; do
    have=
    for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
        number=${cpu##*cpu}
        if [ -e "$cpu/online" ] && [ "$(cat "$cpu/online")" = 0 ]; then
            grep -qw nap /proc/cmdline && continue
            echo 1 2>/dev/null >"$cpu/online" || continue
        fi
        ran=$(taskset -c "$number" sh -c 'i=0; while [ $i -lt 300 ]; do i=$((i + 1)); done; cut -d " " -f 39 /proc/self/stat')
        have="$have $ran"
    done 2>/dev/null
    if [ "$have" != "$said" ]; then
        echo "@@cpus$have."
        said=$have
        dmesg | grep -i 'TSC warp\|skew' | sed 's/^/@@tsc /'
    fi
    sleep 0.1
done
