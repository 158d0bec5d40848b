#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a second vCPU is worth on the software CPU: two jobs at once in a guest with two vCPUs, against one job alone.

The scaling is twice the time of one job over the time of two at once, each the best of all rounds. The same pair runs on
the host itself in each round, so that a host whose second processor is shared or slower does not count: normalised, 2.0 is
what the host reaches.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
import direct  # noqa: E402
from images import cache, disks, initramfs, kernels  # noqa: E402

TIMEOUT = 300
JOBS = {
    "loop": "i=0; while [ $i -lt {} ]; do i=$((i+1)); done",
    "files": "i=0; while [ $i -lt {} ]; do cat /bin/busybox >/dev/null; i=$((i+1)); done",
    "digest": "i=0; while [ $i -lt {} ]; do sha512sum /bin/busybox >/dev/null; i=$((i+1)); done",
}
COUNTS = {"loop": (150_000, 4_000_000), "files": (300, 5000), "digest": (12, 300)}  # in the guest, on the host


def pair(run):
    """Seconds of one job alone, and of two at once."""
    times = []
    for copies in (1, 2):
        began = time.monotonic()
        run(copies)
        times.append(time.monotonic() - began)
    return times


def commands(job, copies):
    return " ".join(f"( {job} ) &" for _ in range(copies)) + " wait"


def in_guest(guest, job):
    def run(copies):
        guest.send(f"{commands(job, copies)}; echo done=$?\n")
        guest.expect(r"^done=0\r?$", TIMEOUT)
    return pair(run)


def on_host(busybox, job):
    return pair(lambda copies: subprocess.run([busybox, "sh", "-c", commands(job, copies)], check=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vmm", metavar="FILE", default=str(cache.TOP / "build" / "lodge"))
    parser.add_argument("--cpu", default="max")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()

    kernel = kernels.get("cloud")
    tree = disks.Tree()
    tree.add("vmlinuz", kernel.vmlinuz)
    tree.add("initrd", initramfs.hello(kernel))
    busybox = shutil.which("busybox")
    best = {name: [TIMEOUT] * 4 for name in JOBS}
    with direct.Direct(tree, disks.Tree()) as place:
        guest = place.start(
            f"exec {os.path.abspath(args.vmm) if '/' in args.vmm else args.vmm} -accel tcg,thread=multi "
            f"-cpu {args.cpu} -M q35 -m 512M -smp 2 -nodefaults -nographic -serial stdio -kernel {place.path('vmlinuz')} "
            f"-initrd {place.path('initrd')} -append 'console=ttyS0 quiet-init shell'")
        guest.expect("@@ready", TIMEOUT)
        guest.expect("# ", TIMEOUT)
        for _ in range(args.runs):
            for name, job in JOBS.items():
                there, here = COUNTS[name]
                one, two = in_guest(guest, job.format(there))
                host_one, host_two = on_host(busybox, job.format(here))
                best[name] = [min(pair) for pair in zip(best[name], (one, two, host_one, host_two))]
                print(f"{name:7} guest {one:5.2f} s, two at once {two:5.2f} s; host {host_one:5.2f} s, {host_two:5.2f} s",
                      flush=True)
        guest.send("poweroff -f\n")
        guest.wait(TIMEOUT)
    for name, (one, two, host_one, host_two) in best.items():
        guest, host = 2 * one / two, 2 * host_one / host_two
        print(f"best: {name:7} guest {guest:4.2f}, host {host:4.2f}, normalised {2 * guest / host:4.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
