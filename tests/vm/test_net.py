# SPDX-License-Identifier: GPL-2.0-or-later
"""Networking under stock drivers: what a guest can reach, and what can reach it."""

import random

from vmtest import BOOT, Skip, device_only, ended_well, lodge_only, needs

NET = ". /scripts/network; "
MACHINE = "-M q35 -m 256M "


def some_port():
    """A port that is likely free, where the VMM runs."""
    return random.randrange(20000, 30000)


def web_folder(vm, megabytes):
    """What a web server offers: a file of random text (wget uploads no other), and a program that answers with the
    checksum of an upload."""
    folder = vm.folder()
    vm.shell(f"base64 /dev/urandom | head -c {megabytes << 20} >{folder}/file; "
             f"[ $(wc -c <{folder}/file) = {megabytes << 20} ] || exit 1; mkdir {folder}/cgi-bin; "
             "printf '%s\\n' '#!/bin/sh' "
             "'printf \"Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n\"; head -c $CONTENT_LENGTH | sha256sum' "
             f">{folder}/cgi-bin/sum; chmod +x {folder}/cgi-bin/sum")
    return folder, vm.shell(f"sha256sum <{folder}/file").split()[0]


def web_server(vm, port, megabytes):
    """The same on the host's own address; the file's checksum."""
    folder, digest = web_folder(vm, megabytes)
    vm.jobs.append(vm.place.start(f"cd {folder} && exec busybox httpd -f -p 127.0.0.1:{port} -h {folder}"))
    return digest


def transfer(server):
    """Commands that download the file, upload it again, and tell both checksums."""
    return (f"wget -q -O /tmp/file http://{server}/file && echo down=$(sha256sum </tmp/file) && "
            f"echo up=$(wget -q -O - --post-file=/tmp/file http://{server}/cgi-bin/sum)")


def arrived(output, digest):
    assert f"down={digest}" in output, "the download is not what was sent"
    assert f"up={digest}" in output, "the upload is not what was sent"


@needs("cloud")
def test_user_network_gives_a_lease_and_answers(vm):
    output = ended_well(vm.guest(
        MACHINE + "-nic user,model=virtio-net-pci,hostname=guest7,domainname=example.org,net=10.9.8.0/24",
        run=NET + "lease eth0 && ping -c 3 -w 10 10.9.8.2"))
    assert "lease: address=10.9.8.15/24 gateway=10.9.8.2 dns=10.9.8.3 hostname=guest7 domain=example.org" in output
    assert "3 packets transmitted, 3 packets received" in output


def copy_both_ways(vm, mib, options):
    """A file of so many MiB goes to the guest and comes back, from a web server of the host."""
    port = some_port()
    digest = web_server(vm, port, mib)
    arrived(ended_well(vm.guest(MACHINE + options, run=NET + f"lease eth0 && {transfer(f'10.0.2.2:{port}')}")), digest)


@needs("cloud")
@device_only
def test_files_arrive_whole_both_ways(vm):
    copy_both_ways(vm, 8, "-netdev user,id=n -device virtio-net-pci,netdev=n")


@needs("cloud")
@device_only
def test_files_arrive_whole_through_a_hub_without_offloads(vm):
    copy_both_ways(vm, 2, "-net nic,model=virtio -net user")


@needs("cloud")
@device_only
def test_forwarded_port_leads_into_the_guest(vm):
    port, closed = some_port(), some_port()
    web_server(vm, closed, 1)
    job = vm.guest(MACHINE + f"-nic user,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:7777",
                   run=NET + "lease eth0 && echo listens && echo from the guest | nc -l -p 7777 -w 30 >/tmp/heard; "
                             "cat /tmp/heard; "
                             f"! timeout 5 wget -q -O /dev/null http://10.0.2.2:{closed}/file && echo kept in")
    job.expect("listens", BOOT)
    peer = vm.place.start(f"sleep 1; (echo from the host; sleep 1) | busybox nc -w 10 127.0.0.1 {port}")
    vm.jobs.append(peer)
    output = ended_well(job)
    assert "from the guest" in peer.wait(BOOT).output
    assert "from the host" in output and "kept in" in output


@needs("cloud")
@device_only
def test_ipv6_comes_by_itself(vm):
    output = ended_well(vm.guest(
        MACHINE + "-nic user,ipv4=off,ipv6=on",
        run=NET + "autoconf6 eth0 && ping6 -c 2 -w 10 fec0::2 && ip -6 address show dev eth0"))
    assert "2 packets transmitted, 2 packets received" in output


@needs("cloud")
@device_only
def test_microvm_has_a_network(vm):
    output = ended_well(vm.guest("-M microvm -m 256M -nic user", run=NET + "lease eth0 && ping -c 1 -w 10 10.0.2.2"))
    assert "lease: address=10.0.2.15/24" in output


@needs("cloud")
@device_only
def test_tap_carries_large_segments_both_ways_from_an_iothread(vm):
    if vm.shell("unshare -n true 2>/dev/null && test -c /dev/net/tun && echo yes || true").strip() != "yes":
        raise Skip("no network namespace, or no /dev/net/tun")
    folder, digest = web_folder(vm, 8)
    vm.shell(f"printf '%s\\n' '#!/bin/sh' 'busybox ip link set lo up' 'busybox ip link set $1 up' "
             f"'busybox ip addr add 10.5.5.1/24 dev $1' >{folder}/up; chmod +x {folder}/up")
    run = (NET + "ip link set eth0 up; ip addr add 10.5.5.2/24 dev eth0; ping -c 1 -w 10 10.5.5.1 && "
           f"{transfer('10.5.5.1:8080')} && echo packets=$(cat /sys/class/net/eth0/statistics/rx_packets)")
    command = (f"{vm.program} -accel {vm.accel} -cpu {vm.cpu()} -nodefaults -nographic -serial stdio {MACHINE} "
               f"-object iothread,id=t -netdev tap,id=n,ifname=tap7,script={folder}/up,downscript=no "
               f"-device virtio-net-pci,netdev=n,iothread=t {vm.boot(run)}")
    vm.commands.append(command)
    vm.shell(f"cat >{folder}/run <<'END'\ncd {folder}; busybox httpd -f -p 8080 -h {folder} & server=$!\n"
             f"{command}\nstatus=$?; kill $server; exit $status\nEND")
    job = vm.place.start(f"exec unshare -n sh {folder}/run")
    vm.jobs.append(job)
    output = ended_well(job)
    arrived(output, digest)
    assert int(output.partition("packets=")[2].split()[0]) < 4000, "frames of 1500 bytes"


@needs("cloud")
@device_only
def test_two_guests_talk_over_a_socket(vm):
    port = some_port()
    first = vm.guest(MACHINE + f"-nic socket,listen=127.0.0.1:{port},mac=52:54:00:00:00:01",
                     run=NET + "ip link set eth0 up; ip addr add 10.7.7.1/24 dev eth0; echo listens; "
                               "nc -l -p 7777 >/tmp/heard; cat /tmp/heard")
    first.expect("listens", BOOT)
    second = vm.guest(
        MACHINE + f"-netdev stream,id=n,addr.type=inet,addr.host=127.0.0.1,addr.port={port} "
                  "-device virtio-net-pci,netdev=n,mac=52:54:00:00:00:02",
        run=NET + "ip link set eth0 up; ip addr add 10.7.7.2/24 dev eth0; ping -c 2 -w 20 10.7.7.1 && "
                  "echo over the wire | nc -w 20 10.7.7.1 7777")
    assert " 0% packet loss" in ended_well(second, 2 * BOOT)
    assert "over the wire" in ended_well(first)


@needs("cloud")
@device_only
def test_user_network_serves_files_and_asks_for_names_in_the_sandbox(vm):
    folder = vm.folder()
    vm.shell(f"chmod 755 {folder}; echo by tftp >{folder}/boot")
    # Whether there is an answer from a name server is the host's matter; that the domain survives the question is not.
    output = ended_well(vm.guest(
        MACHINE + f"-nic user,tftp={folder},bootfile=boot -sandbox on",
        run=NET + "lease eth0; tftp -g -r boot -l /tmp/boot 10.0.2.2 && cat /tmp/boot; "
                  "timeout 3 nslookup localhost 10.0.2.3; ping -c 1 -w 2 127.0.0.1; ping -c 1 -W 1 10.0.2.3; "
                  "echo survived"))
    assert "bootfile=boot" in output
    assert "by tftp" in output
    assert "survived" in output


@needs("cloud")
@lodge_only
@device_only
def test_guestfwd_starts_a_program_for_each_connection_in_the_sandbox(vm):
    many = "for i in $(seq 10); do (sleep 2; echo a$((i + 100))z) | nc 10.0.2.100 80 & done; wait"
    output = ended_well(vm.guest(
        MACHINE + "-nic user,guestfwd=tcp:10.0.2.100:80-cmd:cat,"
        "guestfwd=tcp:10.0.2.101:80-cmd:\"/bin/sh -c 'echo pid=\\$\\$; read x; echo got \\$x; echo bad >&2'\"",
        run=NET + f"lease eth0; {many}; for i in 1 2; do echo $((40 + i)) | nc 10.0.2.101 80; done"))
    assert all(f"a{i + 100}z" in output for i in range(1, 11)), "a connection got no program"
    assert "got 41" in output and "got 42" in output and output.count("bad") == 2
    pids = [line for line in output.splitlines() if line.startswith("pid=")]
    assert len(set(pids)) == 2, pids
