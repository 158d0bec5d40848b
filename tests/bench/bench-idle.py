#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What many idle domains take of the host: each boots a stock kernel to a shell, which waits for a key.

They start one after the other, each when the one before has its shell, and are measured together when all are idle:
the processor time of each process as the kernel counts it (all of its threads, those that have ended too), in percent
of one core, and its memory (PSS, and what is private to it). A peer, the distribution's QEMU, is measured in the same
way afterwards, in smaller numbers.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
from images import cache, initramfs, kernels  # noqa: E402

SHELL = b"built-in shell"
CPUCLOCK_SCHED = 2  # of a process: include/uapi/linux/time.h, kernel/time/posix-cpu-timers.c
MUST = 0.2          # percent of a core


def cpu_seconds(pid):
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def memory(pid):
    """MiB: PSS, private."""
    kib = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value = line.split(":")
        kib[name] = int(value.split()[0])
    return kib["Pss"] / 1024, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024


def switches(pid):
    """How often its threads have slept."""
    return sum(int(line.split()[1]) for status in Path(f"/proc/{pid}/task").glob("*/status")
               for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("voluntary_ctxt"))


class Domain:
    def __init__(self, program, args, folder, number, kernel, initrd):
        self.console = folder / f"console-{number}"
        self.process = subprocess.Popen(
            [program, "-accel", args.accel, "-M", args.machine, "-cpu", args.cpu, "-m", f"{args.memory}M", "-nodefaults", "-display",
             "none", "-chardev", f"file,id=c,path={self.console}", "-serial", "chardev:c", "-kernel", kernel,
             "-initrd", initrd, "-append", f"console=ttyS0 quiet shell {args.append}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_for_shell(self, seconds):
        deadline = time.monotonic() + seconds
        while not (self.console.exists() and SHELL in self.console.read_bytes()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"a domain has no shell; its console: {self.console.read_bytes()[-500:]!r}")
            time.sleep(0.1)

    def end(self):
        self.process.kill()
        self.process.wait()


def measure(title, program, count, args, kernel, initrd):
    """Starts, measures and ends them; the largest share of a core."""
    domains = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number in range(count):
                domains.append(Domain(program, args, Path(folder), number, kernel, initrd))
                domains[-1].wait_for_shell(args.patience)
            time.sleep(args.settle)
            pids = [d.process.pid for d in domains]
            began, before = time.monotonic(), [(cpu_seconds(p), switches(p)) for p in pids]
            time.sleep(args.seconds)
            after, took = [(cpu_seconds(p), switches(p)) for p in pids], time.monotonic() - began
            sizes = [memory(p) for p in pids]
        finally:
            for domain in domains:
                domain.end()
    cpu = [(b[0] - a[0]) / took * 100 for a, b in zip(before, after)]
    sleeps = [(b[1] - a[1]) / took for a, b in zip(before, after)]
    pss, private = zip(*sizes)
    if args.each:
        for number, (share, size) in enumerate(zip(cpu, sizes)):
            print(f"  {title} {number}: {share:.3f} % of a core, PSS {size[0]:.1f} MiB, private {size[1]:.1f} MiB")
    print(f"{title}: {count} domains of {args.memory} MiB, {took:.0f} s: of a core each {statistics.median(cpu):.3f} % "
          f"(median), {max(cpu):.3f} % (worst), {sum(cpu):.1f} % in all; {statistics.median(sleeps):.0f} wake-ups a "
          f"second each; PSS {statistics.median(pss):.1f} MiB, private {statistics.median(private):.1f} MiB (medians)",
          flush=True)
    return max(cpu)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lodge", metavar="FILE", default=str(cache.TOP / "build" / "lodge"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--peer", metavar="FILE", default="qemu-system-x86_64")
    parser.add_argument("--peer-count", type=int, default=20, help="0: no peer")
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--machine", default="microvm")
    parser.add_argument("--cpu", default="max")
    parser.add_argument("--memory", type=int, default=128, help="MiB")
    parser.add_argument("--append", default="", help="more for the kernel's command line")
    parser.add_argument("--settle", type=float, default=10, help="seconds from the last shell to the measurement")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--patience", type=float, default=120, help="seconds for one to boot")
    parser.add_argument("--each", action="store_true", help="a line for each domain, too")
    args = parser.parse_args()

    kernel = kernels.get("cloud")
    vmlinuz, initrd = str(kernel.vmlinuz), str(initramfs.hello(kernel))
    worst = measure("lodge", args.lodge, args.count, args, vmlinuz, initrd)
    if args.peer_count and shutil.which(args.peer):
        measure("peer", args.peer, args.peer_count, args, vmlinuz, initrd)
    print(f"must be at most {MUST} % of a core each: {'yes' if worst <= MUST else 'NO'}")
    return 0 if worst <= MUST else 1


if __name__ == "__main__":
    sys.exit(main())
