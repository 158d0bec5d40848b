# SPDX-License-Identifier: GPL-2.0-or-later
# To be sourced: loads the drivers of NICs. Then `lease eth0` gets an address by DHCP.

while read -r module; do
    insmod "/modules/$module" 2>/dev/null
done </modules/network
ip link set lo up

lease() {
    ip link set "$1" up
    udhcpc -q -n -i "$1" -t 10 -T 1 -s /scripts/udhcpc
}

# Until the interface has an IPv6 address that it may use beyond its link.
autoconf6() {
    ip link set "$1" up
    n=0
    until ip -6 address show dev "$1" scope site 2>/dev/null | grep -v tentative | grep -q inet6 ||
        ip -6 address show dev "$1" scope global 2>/dev/null | grep -v tentative | grep -q inet6; do
        n=$((n + 1))
        [ $n -lt 20 ] || return 1
        sleep 1
    done
}
