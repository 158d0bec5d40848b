#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls, context switches and exits per packet of a virtio NIC on a TAP interface: the distribution's QEMU
(without vhost) and lodge, side by side.

Both boot the same stock guest in the same first-level guest (tests/vm/nested.py). The kernel's packet generator, in the
guest for what it sends and in the first level for what it receives, makes packets as fast as it can, so little but the
queues is in the way; or one by one, as ping does. Times mean nothing there, counts do. Each runs twice, with N and with
3 N packets, and the difference of the counts is divided by that of the packets that arrived.

The first level has two processors: with one, who makes packets and who moves them take turns, and the host's scheduler
decides how many a turn has. Such a first level gets stuck now and then (nested.py); then it is tried again.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
import jobs  # noqa: E402
import nested  # noqa: E402
import vmtest  # noqa: E402
from images import cache, disks  # noqa: E402

spec = importlib.util.spec_from_file_location("bench_exits", Path(__file__).resolve().parent / "bench-exits.py")
exits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exits)

MAC = "52:54:00:12:34:56"  # the guest's: frames for others do not reach its driver
GENERATE = ("echo rem_device_all >/proc/net/pktgen/kpktgend_0; echo add_device {dev} >/proc/net/pktgen/kpktgend_0; "
            "for w in count={count} pkt_size=200 delay={delay} dst=10.5.5.9 dst_mac={mac}; do "
            "echo ${{w%=*}} ${{w#*=}} >/proc/net/pktgen/{dev}; done; echo start >/proc/net/pktgen/pgctrl")
# In the guest: one run per line that the bench types, "tx|rx|ping COUNT".
GUEST = (". /scripts/network; insmod /modules/pktgen.ko; ip link set eth0 up; ip addr add 10.5.5.2/24 dev eth0; "
         "ping -c 3 -w 10 10.5.5.1 >/dev/null; echo @@bench; d=/sys/class/net/eth0/statistics; "
         "while read -r what count; do case $what in "
         "tx) " + GENERATE.format(dev="eth0", count="$count", delay=0, mac="52:54:00:00:00:99") + " ;; "
         "ping) ping -A -q -c $count 10.5.5.1 >/dev/null ;; esac; "
         "echo @@did $(cat $d/tx_packets) $(cat $d/rx_packets); done")
UP = ("printf '%s\\n' '#!/bin/sh' 'ip link set $1 up' 'ip addr add 10.5.5.1/24 dev $1' >/tmp/up; chmod +x /tmp/up; "
      "insmod /modules/pktgen.ko 2>/dev/null; true")
TRIES = 3
APART = 2000000  # ns, more than it takes to serve one there
WORK = {
    "tx": "packets that the guest sends",
    "rx": "packets that the guest receives",
    "rx-apart": "packets that the guest receives, one by one",
    "ping": "pings that the guest sends, one by one",
}


def run_once(place, job, what, count):
    """Let it happen; the guest's counters of packets, (sent, received)."""
    if what.startswith("rx"):
        script = GENERATE.format(dev="tap7", count=count, delay=APART if what == "rx-apart" else 0, mac=MAC)
        place.run(script, 120)
        job.send("nothing 0\n")
    else:
        job.send(f"{what} {count}\n")
    return tuple(int(n) for n in job.expect(r"^@@did (\d+) (\d+)\s", 150).groups())


def measure(place, program, kinds, count, options):
    """Counts per packet of that VMM, by kind of work."""
    place.run(UP)
    append = f"console=ttyS0 quiet quiet-init run=\"{GUEST}\""
    job = place.start(
        f"exec {program} -accel kvm -cpu host -M q35 -m 256M -nodefaults -display none -serial stdio -pidfile /tmp/bench.pid "
        f"{options} -kernel {place.path('cloud/vmlinuz')} -initrd {place.path('cloud/initrd')} -append '{append}'")
    try:
        job.expect("@@bench", 300)
        counters = exits.Counters(place, int(place.run("cat /tmp/bench.pid").output))
        exits.Counters.arm(place)
        results = {}
        for what in kinds:
            spent, packets = [], []
            n = count // 10 if what in ("ping", "rx-apart") else count
            for n in (exits.WARM_UP, n, 3 * n):
                before, at = counters.read(), run_once(place, job, "nothing", 0)
                after = run_once(place, job, what, n)
                spent.append(exits.difference(counters.read(), before))
                packets.append(after[1] - at[1] if what.startswith("rx") else after[0] - at[0])
            per = exits.difference(spent[2], spent[1])
            results[what] = {w: {k: n / (packets[2] - packets[1]) for k, n in c.items()} for w, c in per.items()}
        return results
    except (nested.Died, jobs.Ended, nested.Timeout) as e:
        raise nested.Died(f"{e}; the guest's last words: {job.output[-600:]}") from e
    finally:
        job.kill()


def measure_again(images, program, vmm, kinds, count, options):
    """measure() in a first level of its own; in another, where that one is stuck."""
    for left in range(TRIES - 1, -1, -1):
        try:
            with nested.Nested(images, program, smp=2, log=lambda text: print(text, file=sys.stderr)) as place:
                return measure(place, vmm, kinds, count, options)
        except (nested.Died, nested.Timeout) as e:
            if not left:
                raise
            print(f"bench-packets: again, as this failed: {e}", file=sys.stderr)
    return None


def ratios(measured, what):
    """What QEMU does for a packet, in what lodge does."""
    for name, rows in (("system calls", ["syscalls"]), ("wake-ups", ["switches"]), ("both", ["syscalls", "switches"])):
        qemu, lodge = (sum(sum(measured[v][what][row].values()) for row in rows) for v in ("QEMU", "lodge"))
        print(f"{name:24}QEMU / lodge = {qemu / max(lodge, 1e-9):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lodge", metavar="FILE", default=str(cache.TOP / "build" / "lodge"))
    parser.add_argument("--only", choices=("qemu", "lodge"))
    parser.add_argument("--packets", metavar="N", type=int, default=10000, help="N; a tenth of it one by one")
    parser.add_argument("--work", choices=list(WORK), action="append")
    parser.add_argument("--iothread", action="store_true", help="lodge serves the queues by an I/O thread")
    args = parser.parse_args()

    program = disks.Tree()
    program.directory("bin")
    netdev = ("-netdev tap,id=n,ifname=tap7,script=/tmp/up,downscript=no "
              f"-device virtio-net-pci,netdev=n,romfile=,mac={MAC}")
    vmms = {}
    if args.only != "lodge":
        nested.peer_tree(program)
        vmms["QEMU"] = ("qemu-system-x86_64", netdev)
    if args.only != "qemu":
        if not os.access(args.lodge, os.X_OK):
            parser.error(f"there is no program '{args.lodge}'; build it, name it with --lodge, or give --only qemu")
        program.program(args.lodge, "lodge")
        vmms["lodge"] = ("lodge", f"-object iothread,id=t {netdev},iothread=t" if args.iothread else netdev)
    available = {}
    images = vmtest.trees_for(["cloud"], available)
    if any(available.values()):
        sys.exit(f"bench-packets: {'; '.join(filter(None, available.values()))}")

    measured = {}
    kinds = args.work or list(WORK)
    for name, (vmm, options) in vmms.items():
        measured[name] = measure_again(images, program, vmm, kinds, args.packets, options)
    for what in kinds:
        exits.show(WORK[what], [(n, m[what]) for n, m in measured.items()])
        if len(measured) == 2:
            ratios(measured, what)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (cache.Unavailable, nested.Died, nested.Timeout) as e:
        sys.exit(f"bench-packets: {e}")
