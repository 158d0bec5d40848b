# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt gives its domains networks."""

import subprocess
import time
from pathlib import Path

from libvirt import Failed
from test_libvirt import SERIAL_FILE, domain, libvirt, wait_for_serial, wait_until
from vmtest import BOOT, Skip, lodge_only, needs, one_at_a_time, tcg_only

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


STATIC = (". /scripts/network; until [ -e /sys/class/net/eth0 ]; do sleep 0.2; done; sleep 0.5; ip link set eth0 up; "
          "ip addr add 10.5.9.2/24 dev eth0; echo up; until ping -c 1 -w 2 10.5.9.1 >/dev/null; do :; done; echo answered; "
          "while [ -e /sys/class/net/eth0 ]; do sleep 0.2; done; echo gone; sleep 1000")


def limit_bandwidth(daemon):
    """tc limits it, not the domain: where the host's kernel has what that takes."""
    try:
        daemon.virsh("domiftune", "net", "tap9", "--inbound", "1000,2000,512", "--outbound", "500")
    except Failed as e:
        assert "tc qdisc" in str(e) or "tc filter" in str(e), e
        return
    assert "inbound.average: 1000" in daemon.virsh("domiftune", "net", "tap9")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_attaches_interfaces_limits_them_and_counts(vm):
    with libvirt(vm, network=True) as daemon:
        def here(*command):
            return subprocess.run(daemon.inside(*command), check=True, capture_output=True, text=True).stdout

        daemon.serial.touch()
        daemon.virsh("create", domain(daemon, "net", serial=SERIAL_FILE, run=STATIC))
        for words in (["link", "add", "br9", "type", "bridge"], ["addr", "add", "10.5.9.1/24", "dev", "br9"],
                      ["link", "set", "br9", "up"]):
            here("/usr/sbin/ip", *words)
        daemon.virsh("attach-interface", "net", "bridge", "br9", "--target", "tap9", "--mac", "52:54:00:00:00:09",
                     "--model", "virtio", "--live")
        wait_for_serial(daemon, "answered")
        counts = dict(line.split()[1:] for line in daemon.virsh("domifstat", "net", "tap9").splitlines())
        assert int(counts["rx_packets"]) > 0 and int(counts["tx_packets"]) > 0, counts
        daemon.virsh("domif-setlink", "net", "tap9", "down")
        assert "down" in daemon.virsh("domif-getlink", "net", "tap9")
        daemon.virsh("domif-setlink", "net", "tap9", "up")
        limit_bandwidth(daemon)
        daemon.virsh("detach-interface", "net", "bridge", "--mac", "52:54:00:00:00:09", "--live")
        wait_for_serial(daemon, "gone")
        wait_until(lambda: "52:54:00:00:00:09" not in daemon.virsh("domiflist", "net"), "end of the NIC", BOOT)
        ethernet = daemon.file("ethernet.xml", "<interface type='ethernet'><mac address='52:54:00:00:00:0b'/>"
                               "<target dev='tap10'/><model type='virtio'/></interface>")
        daemon.virsh("attach-device", "net", ethernet)
        assert "tap10" in here("/usr/sbin/ip", "-o", "link") and "ethernet" in daemon.virsh("domiflist", "net")
        time.sleep(2)
        daemon.virsh("detach-device", "net", ethernet)
        wait_until(lambda: "52:54:00:00:00:0b" not in daemon.virsh("domiflist", "net"), "end of the second NIC", BOOT)
        daemon.virsh("destroy", "net")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_attaches_a_vhost_user_interface(vm):
    backend = Path(vm.program_here).parent / "tests" / "vhost-user-backend"
    if not backend.exists():
        raise Skip(f"{backend} is not built")
    with libvirt(vm, network=True) as daemon:
        socket = daemon.top / "vu"
        peer = subprocess.Popen(daemon.inside(str(daemon.copy(backend)), str(socket), "tap:tap8"),
                                stdout=subprocess.DEVNULL)
        try:
            wait_until(socket.exists, "socket of the back end", 10)
            socket.chmod(0o777)
            for words in (["link", "set", "tap8", "up"], ["addr", "add", "10.5.9.1/24", "dev", "tap8"]):
                subprocess.run(daemon.inside("/usr/sbin/ip", *words), check=True)
            daemon.serial.touch()
            more = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
            daemon.virsh("create", domain(daemon, "net", serial=SERIAL_FILE, run=STATIC, more=more))
            nic = daemon.file("nic.xml", f"<interface type='vhostuser'><mac address='52:54:00:00:00:0a'/>"
                              f"<source type='unix' path='{socket}' mode='client'/><model type='virtio'/></interface>")
            daemon.virsh("attach-device", "net", nic)
            wait_for_serial(daemon, "answered")
            daemon.virsh("detach-device", "net", nic)
            wait_for_serial(daemon, "gone")
            daemon.virsh("destroy", "net")
        finally:
            peer.kill()
            peer.wait()
