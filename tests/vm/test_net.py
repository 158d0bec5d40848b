# SPDX-License-Identifier: GPL-2.0-or-later
"""Networking under stock drivers: what a guest can reach, and what can reach it."""

from vmtest import BOOT, ended_well, needs

NET = ". /scripts/network; "


@needs("cloud")
def test_user_network_gives_a_lease_and_answers(vm):
    output = ended_well(vm.guest(
        "-M q35 -m 256M -nic user,model=virtio-net-pci,hostname=guest7,domainname=example.org,net=10.9.8.0/24",
        run=NET + "lease eth0 && ping -c 3 -w 10 10.9.8.2"))
    assert "lease: address=10.9.8.15/24 gateway=10.9.8.2 dns=10.9.8.3 hostname=guest7 domain=example.org" in output
    assert "3 packets transmitted, 3 packets received" in output
