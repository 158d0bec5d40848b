# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt gives its domains networks."""

import time

from test_libvirt import SERIAL_FILE, domain, libvirt, wait_for_serial, wait_until
from vmtest import BOOT, lodge_only, needs, one_at_a_time, tcg_only

INTERFACE = ("<interface type='user'><mac address='52:54:00:00:00:{n:02x}'/><model type='virtio'/></interface>")

RUN = (". /scripts/network; lease eth0; echo carrier=$(cat /sys/class/net/eth0/carrier); "
       "until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do sleep 0.2; done; echo pulled; "
       "until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do sleep 0.2; done; echo plugged; "
       "until [ -e /sys/class/net/eth1 ]; do sleep 0.2; done; lease eth1; "
       "while [ -e /sys/class/net/eth1 ]; do sleep 0.2; done; echo gone; sleep 1000")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_gives_a_domain_a_user_network(vm):
    with libvirt(vm) as daemon:
        xml = domain(daemon, "net", serial=SERIAL_FILE + INTERFACE.format(n=1), run=RUN)
        daemon.serial.touch()
        daemon.virsh("create", xml)
        assert "user" in daemon.virsh("domiflist", "net")
        wait_for_serial(daemon, "carrier=1")
        assert "lease: address=10.0.2.15/24" in daemon.serial.read_text(errors="replace")
        daemon.virsh("domif-setlink", "net", "52:54:00:00:00:01", "down")
        wait_for_serial(daemon, "pulled")
        assert "down" in daemon.virsh("domif-getlink", "net", "52:54:00:00:00:01")
        daemon.virsh("domif-setlink", "net", "52:54:00:00:00:01", "up")
        wait_for_serial(daemon, "plugged")
        second = daemon.file("second.xml", INTERFACE.format(n=2))
        daemon.virsh("attach-device", "net", second)
        wait_for_serial(daemon, "address=10.0.2.15/24", 2)
        time.sleep(1)
        daemon.virsh("detach-device", "net", second)
        wait_until(lambda: "52:54:00:00:00:02" not in daemon.virsh("domiflist", "net"), "end of the second NIC", BOOT)
        wait_for_serial(daemon, "gone")
        daemon.virsh("destroy", "net")
