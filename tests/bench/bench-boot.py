#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a stock guest takes on the software CPU: lodge and the distribution's QEMU, in turn.

Both boot the same kernel and initramfs to a shell, or with --debian a full Debian to its login prompt and down again,
with the same options under -accel tcg. Wall and CPU seconds; the best of each, and their ratio.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
import direct  # noqa: E402
from images import cache, disks, initramfs, kernels  # noqa: E402

TIMEOUT = 300


def boot(place, program, options, debian):
    """Wall seconds from the start of `program` to the guest's mark, CPU seconds to its end."""
    if debian:
        options += f" -drive file={place.writable('disk.raw')},format=raw,if=virtio"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    job = place.start(f"exec {program} {options}")
    job.expect("guest login: " if debian else "@@ready", TIMEOUT)
    seconds = time.monotonic() - began
    if debian:
        job.expect("guest# ", TIMEOUT)
        job.send("systemctl poweroff\n")
    job.wait(TIMEOUT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lodge", metavar="FILE", default=str(cache.TOP / "build" / "lodge"))
    parser.add_argument("--peer", metavar="FILE", default="qemu-system-x86_64")
    parser.add_argument("--kernel", default="cloud", choices=sorted(kernels.PACKAGES))
    parser.add_argument("--debian", action="store_true", help="a full Debian to its login prompt")
    parser.add_argument("--smp", type=int, default=1)
    parser.add_argument("--cpu", default="max")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()

    tree = disks.Tree()
    if args.debian:
        debian = disks.debian()
        tree.add("vmlinuz", debian.vmlinuz)
        tree.add("initrd", debian.initrd)
        tree.add("disk.raw", debian.disk)
    else:
        kernel = kernels.get(args.kernel)
        tree.add("vmlinuz", kernel.vmlinuz)
        tree.add("initrd", initramfs.hello(kernel))
    best = {}
    with direct.Direct(tree, disks.Tree()) as place:
        options = (f"-accel tcg,thread=multi -cpu {args.cpu} -M q35 -m 512M -smp {args.smp} -nodefaults -nographic "
                   f"-serial stdio -kernel {place.path('vmlinuz')} -initrd {place.path('initrd')} "
                   f"-append 'console=ttyS0 {'root=/dev/vda' if args.debian else 'quiet run=true'}'")
        for run in range(args.runs):
            for name, program in (("lodge", os.path.abspath(args.lodge)), ("peer", args.peer)):
                seconds, cpu = boot(place, program, options, args.debian)
                best[name] = [min(a, b) for a, b in zip(best.get(name, (seconds, cpu)), (seconds, cpu))]
                print(f"{name:5} run {run + 1}: {seconds:6.2f} s to its mark, {cpu:6.2f} s of CPU in all", flush=True)
    print(f"best: lodge {best['lodge'][0]:.2f} s, peer {best['peer'][0]:.2f} s, ratio "
          f"{best['lodge'][0] / best['peer'][0]:.2f}; of CPU {best['lodge'][1] / best['peer'][1]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
