#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a stock guest on the software CPU moves TCP: lodge and the distribution's QEMU, in turn.

Both boot the same kernel and initramfs with a virtio NIC or another (--device), on a user network or (--tap, as root)
on a TAP interface in a network namespace, and fetch a file from a web server on the host, then send one there. MB/s as
the guest's clock counts; the best of each, and their ratio. With --small it is busybox nc, and with --iperf iperf3, that sends and receives, in larger
pieces than wget: so less of the time is the guest's own programs'.
"""

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
import direct  # noqa: E402
import vmtest  # noqa: E402
from images import cache, disks, initramfs, kernels  # noqa: E402

TIMEOUT = 300

# Time is /proc/uptime's, to 10 ms.
GUEST = (". /scripts/network; {up}; "
         "yes xxxxxxxxxxxxxxx | dd of=/tmp/file bs=64k count={blocks} iflag=fullblock 2>/dev/null; "
         "read a x </proc/uptime; wget -q -O /dev/null http://{host}/file; read b x </proc/uptime; "
         "wget -q -O /dev/null --post-file=/tmp/file http://{host}/cgi-bin/sink; read c x </proc/uptime; "
         "echo times: $a $b $c")
# busybox nc reads and writes 1 KiB at a time: most of it is the guest's own instructions.
SMALL = (". /scripts/network; {up}; "
         "yes xxxxxxxxxxxxxxx | dd of=/tmp/file bs=64k count={blocks} iflag=fullblock 2>/dev/null; "
         "mkfifo /tmp/open; sleep 600 >/tmp/open & "
         "read a x </proc/uptime; nc {host} {port} </tmp/open >/dev/null; read b x </proc/uptime; "
         "nc {host} {port}1 </tmp/file >/dev/null; read c x </proc/uptime; echo times: $a $b $c")
# MB/s is the receiver's.
IPERF = (". /scripts/network; {up}; mount -t ext4 -o ro /dev/vda /mnt; for way in -R -4; do "
         "/mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/bin/iperf3 -c {host} -p {port} -i 0 -f M "
         "-t {seconds} $way; done")
SECONDS = 5


def prepare(place, megabytes):
    """A folder for a web server."""
    script = (f"f=$(mktemp -d); head -c {megabytes}M /dev/zero >$f/file; mkdir $f/cgi-bin; cd $f; "
              "printf '%s\\n' '#!/bin/sh' 'head -c $CONTENT_LENGTH >/dev/null' "
              "'printf \"Content-Type: text/plain\\r\\n\\r\\nok\"' >cgi-bin/sink; "
              "printf '%s\\n' '#!/bin/sh' 'busybox ip link set lo up' 'busybox ip link set $1 up' "
              "'busybox ip addr add 10.5.5.1/24 dev $1' >up; chmod +x cgi-bin/sink up; echo $f")
    return place.run(script, 60).output.strip()


def transfer(place, folder, program, args):
    """MB/s to the guest and from it."""
    port = random.randrange(2000, 3000)
    if args.tap:
        netdev = f"tap,id=n,ifname=tap7,script={folder}/up,downscript=no"
        up, host = "ip link set eth0 up; ip addr add 10.5.5.2/24 dev eth0", "10.5.5.1"
    else:
        netdev, up, host = "user,id=n", "lease eth0 >/dev/null 2>&1", "10.0.2.2"
    if args.iperf:
        server = f"{place.path('bin/iperf3')} -s -p {port} >/dev/null"
        disk = f"-drive file={place.path('iperf.raw')},format=raw,if=virtio,read-only=on "
        run = IPERF.format(up=up, host=host, port=port, seconds=SECONDS)
    elif args.small:
        server = f"busybox nc -l -p {port} <{folder}/file & sleep 600 | busybox nc -l -p {port}1 >/dev/null"
        disk, run = "", SMALL.format(up=up, host=host, port=port, blocks=16 * args.megabytes)
    else:
        server, disk = f"busybox httpd -f -p {port} -h {folder}", ""
        run = GUEST.format(up=up, host=f"{host}:{port}", blocks=16 * args.megabytes)
    command = (f"{program} -accel tcg -cpu {args.cpu} -M q35 -m 512M -nodefaults -display none -serial stdio {disk}"
               f"-netdev {netdev} -device {args.device},netdev=n,romfile= -kernel {place.path('vmlinuz')} "
               f"-initrd {place.path('initrd')} -append 'console=ttyS0 quiet quiet-init run=\"{run}\"'")
    (Path(folder) / "run").write_text(f"{server} & server=$!\n{command}\nkill $server\n")
    job = place.start(f"exec {'unshare -n ' if args.tap else ''}sh {folder}/run")
    if args.iperf:
        pair = [float(job.expect(r"([\d.]+) MBytes/sec.*receiver", TIMEOUT).group(1)) for _ in "du"]
        job.wait(TIMEOUT)
        return pair
    a, b, c = (float(t) for t in job.expect(r"^times: (\S+) (\S+) (\S+)\s", TIMEOUT).groups())
    job.wait(TIMEOUT)
    return args.megabytes / (b - a), args.megabytes / (c - b)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lodge", metavar="FILE", default=str(cache.TOP / "build" / "lodge"))
    parser.add_argument("--peer", metavar="FILE", default="qemu-system-x86_64")
    parser.add_argument("--device", default="virtio-net-pci", help="the NIC: e1000, e1000e")
    parser.add_argument("--cpu", default="max")
    parser.add_argument("--tap", action="store_true", help="a TAP interface instead of a user network")
    parser.add_argument("--iperf", action="store_true", help="iperf3 instead of a web server and wget")
    parser.add_argument("--small", action="store_true", help="busybox nc, in pieces of 1 KiB")
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--runs", type=int, default=2)
    args = parser.parse_args()

    kernel = kernels.get("cloud" if args.device.startswith("virtio") else "generic")  # the cloud's lacks other drivers
    tree = disks.Tree()
    tree.add("vmlinuz", kernel.vmlinuz)
    tree.add("initrd", initramfs.hello(kernel))
    if args.iperf:
        vmtest.IMAGES["iperf"](tree)
    best = {}
    with direct.Direct(tree, disks.Tree()) as place:
        folder = prepare(place, args.megabytes)
        for _ in range(args.runs):
            for program in (str(Path(args.lodge).resolve()), args.peer):
                rates = transfer(place, folder, program, args)
                name = Path(program).name
                print(f"{name}: {rates[0]:.1f} MB/s to the guest, {rates[1]:.1f} MB/s from it", flush=True)
                best[program] = [max(pair) for pair in zip(rates, best.get(program, (0, 0)))]
        place.run(f"rm -r {folder}", 60)
    (down, up), (peer_down, peer_up) = best.values()
    print(f"lodge against its peer: {down / peer_down:.2f} to the guest, {up / peer_up:.2f} from it")


if __name__ == "__main__":
    main()
