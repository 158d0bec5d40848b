#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What busybox' DHCP client calls when something becomes of a lease.

case $1 in
bound | renew)
    ip address flush dev "$interface" scope global
    ip address add "$ip/$mask" dev "$interface"
    for gateway in $router; do
        ip route add default via "$gateway" dev "$interface"
    done
    : >/etc/resolv.conf
    for server in $dns; do
        echo "nameserver $server" >>/etc/resolv.conf
    done
    echo "lease: address=$ip/$mask gateway=$router dns=$dns hostname=$hostname domain=$domain search=$search bootfile=$boot_file"
    ;;
esac
