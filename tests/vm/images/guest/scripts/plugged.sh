# SPDX-License-Identifier: GPL-2.0-or-later
# Says what is plugged in whenever that changes, until the machine ends: "@@have", then for each virtio disk its serial
# number and first line, for each virtio-serial port its name, and how many bytes a random source gave.

said=
while :; do
    have=
    for disk in /sys/block/vd*; do
        if [ -e "$disk" ]; then
            have="$have disk=$(cat "$disk/serial"):$(dd if="/dev/${disk##*/}" bs=512 count=1 2>/dev/null | head -n 1)"
        fi
    done
    for port in /sys/class/virtio-ports/*; do
        [ -e "$port" ] && have="$have port=$(cat "$port/name")"
    done
    case $(cat /sys/class/misc/hw_random/rng_current) in
    virtio*) have="$have rng=$(dd if=/dev/hwrng bs=32 count=1 2>/dev/null | wc -c)" ;;
    esac
    if [ "$have" != "$said" ]; then
        echo "@@have$have."
        said=$have
    fi
    sleep 0.1
done
