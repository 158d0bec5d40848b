# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that moves while others serve its NIC's queues (vhost-net, vhost-user): what they write into its memory
meanwhile arrives, and no connection breaks."""

import re
import time

from qmp import Qmp
from test_net import MACHINE, NET
from test_net_backends import SHARED, backend_program
from vmtest import BOOT, Skip, device_only, kvm_only, lodge_only, needs, takes_long

BLOCKS = 160        # of 64 KiB, each way, one every 0.1 s at most
SLOW = 400          # seconds for the rest of them in an emulated host
MOVED = 120
# Once there is a file `enough`, the rest follows at once.
PACED = ("i=0; {{ until [ $i = {blocks} ] || [ -e {enough} ]; do dd if={file} bs=64k skip=$i count=1; i=$((i + 1)); "
         "sleep 0.1; done; dd if={file} bs=64k skip=$i; }} 2>/dev/null | {nc}")


class Namespace:
    """A network namespace where every process of a guest that moves has an interface of its own; the host's way to the
    guest leads to one of them. A server in it sends a file slowly, another receives one."""

    def __init__(self, vm):
        self.vm = vm
        self.folder = vm.folder()
        if vm.shell("unshare -n true 2>/dev/null && test -c /dev/net/tun && echo yes || true").strip() != "yes":
            raise Skip("no network namespace, or no /dev/net/tun")
        vm.shell(f"base64 /dev/urandom | head -c {BLOCKS << 16} >{self.folder}/file; printf '%s\\n' '#!/bin/sh' "
                 f"'busybox ip link set $1 up' 'busybox ip addr add 10.5.5.1/32 dev $1' >{self.folder}/up; "
                 f"chmod +x {self.folder}/up")
        self.digest = vm.shell(f"sha256sum <{self.folder}/file").split()[0]
        paced = PACED.format(blocks=BLOCKS, file=f"{self.folder}/file", enough=f"{self.folder}/enough",
                             nc="busybox nc -l -p 7777")
        self.job = vm.place.start(f"exec unshare -n sh -c 'busybox ip link set lo up; echo holds $$; ({paced}) & "
                                  f"busybox nc -l -p 7778 >{self.folder}/heard; wait; echo over; sleep 1000'")
        vm.jobs.append(self.job)
        pid = self.job.expect(r"holds (\d+)", 20).group(1)
        self.enter = f"nsenter --net=/proc/{pid}/ns/net"

    def start(self, command):
        job = self.vm.place.start(f"exec {self.enter} {command}")
        self.vm.jobs.append(job)
        return job

    def leads_to(self, interface):
        self.vm.shell(f"{self.enter} busybox ip route replace 10.5.5.2/32 dev {interface} src 10.5.5.1")

    def heard(self):
        return self.vm.shell(f"sha256sum <{self.folder}/heard").split()[0]


class Talker:
    """A process with the guest, which receives and sends at once, and its monitor."""

    RUN = (NET + "ip link set eth0 up; ip addr add 10.5.5.2/24 dev eth0; until ping -c 1 -W 1 10.5.5.1; do sleep 1; done; "
           "dd if=/dev/urandom of=/tmp/file bs=64k count={blocks} 2>/dev/null; echo sum=$(sha256sum </tmp/file); "
           "( {paced} ) & echo begins; nc 10.5.5.1 7777 >/tmp/heard; touch /tmp/enough; "
           "echo heard=$(sha256sum </tmp/heard); wait; echo over")

    def __init__(self, space, options, incoming=None):
        self.vm = vm = space.vm
        self.console = vm.console()
        run = self.RUN.format(blocks=BLOCKS, paced=PACED.format(blocks=BLOCKS, file="/tmp/file", enough="/tmp/enough",
                                                                  nc="nc 10.5.5.1 7778"))
        self.job = space.start(
            f"{vm.program} -accel {vm.accel} -cpu {vm.cpu()} -nodefaults -display none -serial file:{self.console} "
            f"-qmp stdio {MACHINE} {options} {vm.boot(run)}" + (f" -incoming {incoming}" if incoming else ""))
        self.qmp = Qmp(self.job, BOOT)

    def text(self):
        return self.vm.shell(f"cat {self.console}")

    def move(self, where):
        """To who waits there, at such a pace that memory is written while it goes."""
        self.qmp.execute("migrate-set-parameters", {"max-bandwidth": 24 << 20})
        self.qmp.execute("migrate", {"uri": where})
        deadline = time.monotonic() + MOVED
        while (info := self.qmp.execute("query-migrate"))["status"] != "completed":
            assert info["status"] != "failed" and time.monotonic() < deadline, info
            time.sleep(0.05)
        self.qmp.execute("quit")
        assert self.job.wait(60).status == 0
        assert info["ram"]["dirty-sync-count"] > 1, "one pass alone shows nothing"


def heard_all(space, guest, shown):
    """Both ends have, in the end, what the other has sent; the guest powers off."""
    space.vm.shell(f"touch {space.folder}/enough")
    shown += space.vm.hear(guest.console, "over", SLOW)
    assert f"heard={space.digest}" in shown, "what the guest received is not what was sent"
    space.job.expect("over", BOOT)
    assert space.heard() == re.search(r"^sum=(\w+)", shown, re.MULTILINE).group(1), "what it sent is not what came"
    assert guest.job.wait(BOOT).status == 0


def moves_while_it_talks(vm, space, ways):
    """ways: for each process, its interface and its options."""
    guest = Talker(space, ways[0][1])
    space.leads_to(ways[0][0])
    shown = vm.hear(guest.console, "begins", 2 * BOOT)
    for n, (interface, options) in enumerate(ways[1:]):
        where = f"unix:{space.folder}/move{n}"
        there = Talker(space, options, incoming=where)
        time.sleep(1)
        guest.move(where)
        assert "over" not in (said := guest.text()), "it was over before it moved"
        shown += said
        space.leads_to(interface)
        guest = there
    heard_all(space, guest, shown)


def start_backend(space, name):
    vm = space.vm
    job = space.start(f"{backend_program(vm)} {space.folder}/{name} tap:{name}")
    vm.shell(f"until [ -S {space.folder}/{name} ] && {space.enter} {space.folder}/up {name} 2>/dev/null; do sleep 0.1; done")
    return job


def on_backend(space, name, more=""):
    return (SHARED + f"-chardev socket,id=c,path={space.folder}/{name}{more} -netdev vhost-user,id=n,chardev=c "
                     "-device virtio-net-pci,netdev=n,mac=52:54:00:00:00:07")


@needs("cloud")
@device_only
@lodge_only
def test_vhost_user_guest_keeps_its_connections_when_it_moves(vm):
    space = Namespace(vm)
    ways = []
    for name in ("tap1", "tap2", "tap3"):
        start_backend(space, name)
        ways.append((name, on_backend(space, name)))
    moves_while_it_talks(vm, space, ways)


@needs("cloud")
@device_only
@lodge_only
def test_vhost_user_guest_keeps_its_connections_when_its_back_end_starts_anew(vm):
    space = Namespace(vm)
    backend = start_backend(space, "tap1")
    guest = Talker(space, on_backend(space, "tap1", ",reconnect=1"))
    space.leads_to("tap1")
    vm.hear(guest.console, "begins", 2 * BOOT)
    for _ in range(3):
        time.sleep(1.5)
        assert "over" not in guest.text(), "it was over before the back end died"
        backend.kill()
        vm.shell(f"rm -f {space.folder}/tap1")
        backend = start_backend(space, "tap1")
        space.leads_to("tap1")
    heard_all(space, guest, "")


def taps(space, *more):
    return [(f"tap{n}", f"-netdev tap,id=n,ifname=tap{n},script={space.folder}/up,downscript=no{options} "
                        "-device virtio-net-pci,netdev=n,mac=52:54:00:00:00:07") for n, options in enumerate(more)]


@needs("cloud")
@device_only
@lodge_only
def test_tap_guest_keeps_its_connections_when_it_moves(vm):
    space = Namespace(vm)
    moves_while_it_talks(vm, space, taps(space, "", "", ""))


@takes_long
@needs("cloud")
@kvm_only
@lodge_only
def test_vhost_net_guest_keeps_its_connections_when_it_moves(vm):
    if vm.shell("test -c /dev/vhost-net && echo yes || true").strip() != "yes":
        raise Skip("no /dev/vhost-net")
    space = Namespace(vm)
    kernel = ",vhost=on,vhostforce=on"
    moves_while_it_talks(vm, space, taps(space, kernel, kernel, "", kernel))
