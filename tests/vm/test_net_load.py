# SPDX-License-Identifier: GPL-2.0-or-later
"""NICs under load: iperf3 both ways, floods of pings, cards that come and go meanwhile."""

import re

from qmp import Qmp, Socket
from test_net import MACHINE, NET
from test_net_backends import ON_TAP, STATIC, TAP, in_namespace
from vmtest import BOOT, device_only, ended_well, lodge_only, needs

IPERF = "/mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/bin/iperf3 -c 10.5.5.1 -i 0 -f m"
TOOLS = "mount -t ext4 -o ro /dev/vda /mnt; "
QUIET = "; ! dmesg | grep -v run= | grep -e NETDEV.WATCHDOG -e BUG: -e Oops: -e WARNING:"
# Linux 6.1 breaks a virtio device's queues when it powers off, and then polls a busy one for ever.
DOWN = " && ip link set eth0 down"


def with_iperf(vm):
    """Options for its disk, and what runs its servers: one that has lost its client serves no other for long."""
    return (f"-drive file={vm.path('iperf.raw')},format=raw,if=virtio,read-only=on ",
            f"{TAP}\nfor i in 1 2 3 4; do {vm.path('bin/iperf3')} -s -p 520$i >/dev/null 2>&1 & done\n")


def rates(output):
    """Mbit/s of each test, as the receiver counts."""
    return [float(n) for n in re.findall(r"([\d.]+) Mbits/sec.*receiver", output)]


@needs("cloud", "iperf")
@lodge_only
@device_only
def test_iperf_both_ways_in_a_flood_of_pings(vm):
    disk, before = with_iperf(vm)
    flood = ("( until busybox ping -c 1 10.5.5.2; do sleep 1; done; exec busybox ping -A -q 10.5.5.2 ) "
             ">/dev/null 2>&1 &\n")
    run = (NET + TOOLS + STATIC + f"ping -A -q 10.5.5.1 >/tmp/pings & {IPERF} -t 3 && {IPERF} -t 3 -R && "
           f"{IPERF} -t 3 --bidir -P 2 && {IPERF} -t 2 -u -b 50M && {IPERF} -t 2 -u -b 50M -R && "
           f"killall -INT ping && sleep 1 && cat /tmp/pings{QUIET}{DOWN}")
    job, _ = in_namespace(vm, before + flood, disk + ON_TAP + " -device virtio-net-pci,netdev=n", run)
    output = ended_well(job, 2 * BOOT)
    assert len(rates(output)) >= 6 and min(rates(output)) > 1, output
    assert max(int(n) for n in re.findall(r"(\d+) packets received", output)) > 100, "the guest's own flood"


@needs("cloud")
@lodge_only
@device_only
def test_a_tap_carries_ipv6(vm):
    before = TAP + "\nbusybox sed -i '$a busybox ip -6 addr add fd00::1/64 dev $1' up"
    run = (NET + "ip link set eth0 up; ip -6 addr add fd00::2/64 dev eth0; sleep 3; ping6 -c 3 -w 10 fd00::1 && "
           "wget -q -O - http://[fd00::1]:8080/file | sha256sum")
    job, digest = in_namespace(vm, before, ON_TAP + " -device virtio-net-pci,netdev=n", run)
    output = ended_well(job)
    assert "3 packets received" in output and digest in output


@needs("cloud", "iperf")
@lodge_only
@device_only
def test_a_card_comes_and_goes_in_mid_transfer(vm):
    disk, before = with_iperf(vm)
    run = (NET + TOOLS + "for i in 1 2 3 4; do echo waits $i; until [ -e /sys/class/net/eth0 ]; do sleep 0.2; done; "
           f"ip link set eth0 up; ip addr add 10.5.5.2/24 dev eth0; ping -c 1 -w 10 10.5.5.1; "
           f"{IPERF} -p 520$i -t 30 --bidir >/dev/null 2>&1 & "
           "until [ $(cat /sys/class/net/eth0/statistics/rx_bytes) -gt 3000000 ]; do sleep 0.2; done; echo plugged $i; "
           "while [ -e /sys/class/net/eth0 ]; do sleep 0.2; done; killall ld-linux-x86-64.so.2; "
           f"echo gone $i; done{QUIET}")
    options = disk + "-qmp unix:@FOLDER/qmp,server=on,wait=off -device pcie-root-port,id=rp,chassis=1"
    job, _ = in_namespace(vm, before, options, run)
    job.expect("waits 1", BOOT)
    qmp = Qmp(Socket(f"{job.folder}/qmp"))
    for n in range(1, 5):
        qmp.execute("netdev_add", {"type": "tap", "id": "n", "ifname": "tap7", "script": f"{job.folder}/up",
                                   "downscript": "no"})
        qmp.execute("device_add", {"driver": "virtio-net-pci", "netdev": "n", "id": "nic", "bus": "rp"})
        job.expect(f"plugged {n}", BOOT)
        if n % 2:  # the backend first, which is a pulled cable
            qmp.execute("netdev_del", {"id": "n"})
        qmp.execute("device_del", {"id": "nic"})
        qmp.event("DEVICE_DELETED", BOOT, device="nic")
        if not n % 2:
            qmp.execute("netdev_del", {"id": "n"})
        job.expect(f"gone {n}", BOOT)
    ended_well(job)
