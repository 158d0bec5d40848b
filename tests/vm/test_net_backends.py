# SPDX-License-Identifier: GPL-2.0-or-later
"""Backends that take privileges, other processes or the host's kernel: in network namespaces of their own."""

import re
import select
import socket
import time
from pathlib import Path

from qmp import Qmp, Socket
from test_net import MACHINE, NET, arrived, transfer, web_folder
from vmtest import BOOT, Skip, device_only, ended_well, kvm_only, lodge_only, needs

STATIC = "ip link set eth0 up; ip addr add 10.5.5.2/24 dev eth0; ping -c 1 -w 10 10.5.5.1 && "
SHARED = "-object memory-backend-memfd,id=mem,size=256M,share=on -machine memory-backend=mem "


def backend_program(vm):
    """The vhost-user back end of the tests, built beside the VMM."""
    path = Path(vm.program_here).parent / "tests" / "vhost-user-backend"
    if not path.exists():
        raise Skip(f"{path} is not built")
    return path


def guest_command(vm, options, run):
    return (f"{vm.program} -accel {vm.accel} -cpu {vm.cpu()} -nodefaults -nographic -serial stdio {MACHINE} {options} "
            f"{vm.boot(run)}")


def in_namespace(vm, before, options, run, unshare="-n"):
    """A guest in a network namespace of its own, where `before` has run first; the web server's folder and the digest
    of its file come with it. The Job, and the digest."""
    if vm.shell(f"unshare {unshare} true 2>/dev/null && test -c /dev/net/tun && echo yes || true").strip() != "yes":
        raise Skip("no network namespace, or no /dev/net/tun")
    folder, digest = web_folder(vm, 4)
    command = guest_command(vm, options.replace("@FOLDER", folder), run)
    vm.commands.append(command)
    vm.shell(f"cat >{folder}/run <<'END'\ncd {folder}; busybox ip link set lo up\n{before.replace('@FOLDER', folder)}\n"
             f"busybox httpd -f -p 8080 -h {folder} &\n{command}\nstatus=$?\n"
             "for p in $(cat /proc/$$/task/*/children); do kill $p $(cat /proc/$p/task/*/children); done 2>/dev/null\n"
             "exit $status\nEND")
    job = vm.place.start(f"exec unshare {unshare} sh {folder}/run")
    vm.jobs.append(job)
    job.folder = folder
    return job, digest


TAP = ("cat >up <<'UP'\n#!/bin/sh\nbusybox ip link set $1 up\nbusybox ip addr add 10.5.5.1/24 dev $1\nUP\nchmod +x up")
ON_TAP = "-netdev tap,id=n,ifname=tap7,script=@FOLDER/up,downscript=no"


@needs("cloud")
@lodge_only
@device_only
def test_bridge_helper_gives_an_interface_at_a_bridge(vm):
    if vm.shell("test -x /usr/lib/qemu/qemu-bridge-helper && test -x /usr/sbin/ip && echo yes || true").strip() != "yes":
        raise Skip("no bridge helper, or no iproute2")
    before = ("mount -t tmpfs none /etc; mkdir /etc/qemu; echo allow br0 >/etc/qemu/bridge.conf\n"
              "/usr/sbin/ip link add br0 type bridge; busybox ip addr add 10.5.5.1/24 dev br0; busybox ip link set br0 up")
    job, digest = in_namespace(vm, before, "-nic bridge,br=br0,model=virtio-net-pci",
                               NET + STATIC + transfer("10.5.5.1:8080"), "-nm")
    arrived(ended_well(job), digest)


@needs("cloud")
@lodge_only
@device_only
def test_bridge_helper_that_refuses_is_one_sentence_with_what_to_do(vm):
    if vm.shell("test -x /usr/lib/qemu/qemu-bridge-helper && echo yes || true").strip() != "yes":
        raise Skip("no bridge helper")
    for conf, netdev, expected in (
            ("deny all", "bridge,id=n", "access denied by acl file. Put the line 'allow br0' into"),
            ("allow all", "tap,id=n,br=br7", "No such device. Make the bridge first (ip link add br7 type bridge)"),
            ("allow all", "bridge,id=n,helper=/nonexistent/helper", "Install qemu-system-common")):
        result = vm.place.run(f"unshare -nm sh -c 'mount -t tmpfs none /etc; mkdir /etc/qemu; "
                              f"echo {conf} >/etc/qemu/bridge.conf; exec {vm.program} -M none -netdev {netdev}'")
        assert result.status == 1 and expected in result.output, result.output


# Eight downloads at a time, and how often each queue rang.
SEVERAL = (NET + STATIC + "( " + " ".join(f"wget -q -O /tmp/f{n} http://10.5.5.1:8080/file &" for n in range(8)) +
           " wait ) && cat /tmp/f[0-7] | wc -c && grep virtio /proc/interrupts")


def came_by_several_queues(output, pairs):
    assert str(8 * 4 << 20) in output, "not every file came whole"
    used = {}
    for direction, queue, counts in ((m[2], m[3], m[1]) for m in re.finditer(
            r"\n +\d+:((?: +\d+)+) .*virtio\d+-(input|output)\.(\d)", output)):
        used[direction, queue] = sum(int(n) for n in counts.split())
    assert len(used) == 2 * pairs, f"{pairs} pairs of queues"
    # The slower a guest, the more comes with one interrupt.
    assert sum(n > 10 for (direction, _), n in used.items() if direction == "input") > 1, used


@needs("cloud")
@lodge_only
@device_only
def test_four_queues_of_a_tap_carry_traffic(vm):
    job, _ = in_namespace(vm, TAP, ON_TAP + ",queues=4 -smp 4 -device virtio-net-pci,netdev=n,mq=on", SEVERAL)
    came_by_several_queues(ended_well(job, 2 * BOOT), 4)


@needs("cloud")
@lodge_only
@device_only
def test_macvtap_comes_by_descriptor(vm):
    if vm.shell("test -x /usr/sbin/ip && unshare -n sh -c 'ip link add v0 type veth peer name v1 && "
                "ip link add link v0 name m0 type macvtap' && echo yes || true").strip() != "yes":
        raise Skip("no macvtap")
    before = ("mount -t sysfs none /sys; ip=/usr/sbin/ip\n$ip link add v0 type veth peer name v1\n"
              "$ip link add link v0 name m0 address 52:54:00:00:00:07 type macvtap mode bridge\n"
              "for i in v0 v1 m0; do $ip link set $i up; done; $ip addr add 10.5.5.1/24 dev v1\n"
              "d=$(cat /sys/class/net/m0/macvtap/tap*/dev); mknod tap c ${d%:*} ${d#*:}; exec 9<>tap")
    job, digest = in_namespace(vm, before, "-netdev tap,id=n,fd=9 -device virtio-net-pci,netdev=n,mac=52:54:00:00:00:07",
                               NET + STATIC + transfer("10.5.5.1:8080"), "-nm")
    arrived(ended_well(job), digest)


@needs("cloud")
@lodge_only
@kvm_only
def test_vhost_net_serves_the_queues(vm):
    if vm.shell("test -c /dev/vhost-net && echo yes || true").strip() != "yes":
        raise Skip("no /dev/vhost-net")
    job, digest = in_namespace(
        vm, TAP, ON_TAP + ",vhost=on,vhostforce=on -device virtio-net-pci,netdev=n",
        NET + STATIC + transfer("10.5.5.1:8080"))
    arrived(ended_well(job, 3 * BOOT), digest)


@needs("cloud")
@lodge_only
@kvm_only
def test_vhost_net_serves_two_pairs_of_queues(vm):
    if vm.shell("test -c /dev/vhost-net && echo yes || true").strip() != "yes":
        raise Skip("no /dev/vhost-net")
    job, _ = in_namespace(
        vm, TAP, ON_TAP + ",queues=2,vhost=on,vhostforce=on -smp 2 -device virtio-net-pci,netdev=n,mq=on",
        SEVERAL)
    came_by_several_queues(ended_well(job, 3 * BOOT), 2)


@needs("cloud")
@lodge_only
@device_only
def test_vhost_user_serves_four_pairs_of_queues(vm):
    before = (f"{backend_program(vm)} @FOLDER/vu tap:tap8 >said 2>&1 & sleep 0.5; busybox ip link set tap8 up; "
              "busybox ip addr add 10.5.5.1/24 dev tap8")
    job, _ = in_namespace(
        vm, before, SHARED + "-smp 4 -chardev socket,id=c,path=@FOLDER/vu -netdev vhost-user,id=n,chardev=c,queues=4 "
        "-device virtio-net-pci,netdev=n,mq=on", SEVERAL)
    came_by_several_queues(ended_well(job, 2 * BOOT), 4)
    said = vm.shell(f"cat {job.folder}/said")
    assert all(f"ring {n} on" in said for n in range(8)), said


@needs("cloud")
@lodge_only
@device_only
def test_vhost_user_serves_the_queues_and_its_death_is_a_pulled_cable(vm):
    before = (f"while :; do {backend_program(vm)} @FOLDER/vu tap:tap8 >said 2>&1 & echo $! >pid; sleep 0.5; "
              "busybox ip link set tap8 up; busybox ip addr add 10.5.5.1/24 dev tap8; wait; sleep 1; done & sleep 1")
    run = (NET + STATIC + transfer("10.5.5.1:8080") + "; echo waits; "
           "until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do sleep 0.2; done; echo pulled; "
           "until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do sleep 0.2; done; echo plugged; "
           "sleep 1; " + transfer("10.5.5.1:8080").replace("down=", "down2=").replace("up=", "up2="))
    job, digest = in_namespace(
        vm, before, SHARED + "-chardev socket,id=c,path=@FOLDER/vu,reconnect=1 -netdev vhost-user,id=n,chardev=c "
        "-device virtio-net-pci,netdev=n", run)
    job.expect("waits", 2 * BOOT)
    vm.shell(f"kill -9 $(cat {job.folder}/pid)")
    output = ended_well(job, 2 * BOOT)
    arrived(output, digest)
    assert "pulled" in output and "plugged" in output
    assert f"down2={digest}" in output and f"up2={digest}" in output


@needs("cloud")
@lodge_only
@device_only
def test_passt_gives_a_lease_and_carries_files(vm):
    if vm.shell("command -v passt || true").strip() == "":
        raise Skip("passt is not installed")
    # passt hands out the addresses of the host's own interface, here one that the namespace has.
    before = ("/usr/sbin/ip link add v0 type veth peer name v1; for i in v0 v1; do /usr/sbin/ip link set $i up; done\n"
              "/usr/sbin/ip addr add 10.6.6.7/24 dev v0; /usr/sbin/ip route add default via 10.6.6.1\n"
              "chmod 755 .; mkdir p; chmod 777 p; passt --foreground --quiet --socket @FOLDER/p/s -i v0 2>/dev/null & sleep 2")
    job, digest = in_namespace(
        vm, before, "-netdev stream,id=n,addr.type=unix,addr.path=@FOLDER/p/s -device virtio-net-pci,netdev=n",
        NET + "lease eth0 && " + transfer("10.6.6.1:8080"))
    output = ended_well(job)
    assert "address=10.6.6.7/24" in output
    arrived(output, digest)


@needs("cloud")
@lodge_only
@device_only
def test_guest_and_host_announce_the_nic_when_that_is_asked_for(vm):
    folder = vm.folder()
    here = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    here.bind(f"{folder}/here")
    job = vm.guest(
        MACHINE + f"-netdev dgram,id=n,local.type=unix,local.path={folder}/there,remote.type=unix,"
        f"remote.path={folder}/here -device virtio-net-pci,netdev=n,id=net0,mac=52:54:00:00:00:07 "
        f"-qmp unix:{folder}/qmp,server=on,wait=off",
        run=NET + "ip link set eth0 up; ip addr add 10.7.7.1/24 dev eth0; sleep 2; echo waits; sleep 6")
    job.expect("waits", BOOT)
    qmp = Qmp(Socket(f"{folder}/qmp"))
    while select.select([here], [], [], 0)[0]:
        here.recv(65536)
    qmp.execute("announce-self", {"initial": 10, "max": 10, "rounds": 2, "step": 10, "interfaces": ["net0"]})
    frames = []
    until = time.monotonic() + 5
    while time.monotonic() < until and select.select([here], [], [], 1)[0]:
        frames.append(here.recv(65536))
    mac = bytes.fromhex("525400000007")
    assert sum(f[12:14] == b"\x80\x35" and f[6:12] == mac for f in frames) == 2, "two RARP requests of the host's"
    assert any(f[12:14] == b"\x08\x06" and f[28:32] == f[38:42] == bytes([10, 7, 7, 1]) for f in frames), \
        "a gratuitous ARP of the guest's"
    ended_well(job)
