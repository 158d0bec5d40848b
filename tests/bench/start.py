#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""From exec to the guest's first instruction: p50 of warm starts on microvm.

The guest is the smallest there is: a PVH kernel of four instructions that writes a byte to the debug console. The clock
runs from before the process is made until that byte arrives. Memory beyond the guest's RAM is read while the guest
halts: what is private and dirty in the process, without the mapping that is guest RAM.
"""

import argparse
import os
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
ENTRY = 0x100000
#                  mov dx, 0xe9          mov al, '!'  out dx, al  1: hlt  jmp 1b
CODE = bytes.fromhex("66bae900" "b021" "ee" "f4" "ebfd")


def kernel(path):
    """An ELF64 file with one segment and the note that names its 32-bit entry."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", ENTRY)
    code_at = 64 + 2 * 56 + len(note)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, ENTRY, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, code_at, ENTRY, ENTRY, len(CODE), 4096, 4096)
    notes = struct.pack("<IIQQQQQQ", 4, 4, 64 + 2 * 56, 0, 0, len(note), len(note), 4)
    path.write_bytes(header + load + notes + note + CODE)


def command(lodge, machine, image, memory):
    return [lodge, "-accel", "kvm", "-cpu", "host", "-M", machine, "-m", str(memory), "-nodefaults", "-display", "none",
            "-kernel", str(image), "-chardev", "stdio,id=c,signal=off", "-device", "isa-debugcon,iobase=0xe9,chardev=c"]


def start(args):
    """Milliseconds until the first byte; the process, still running."""
    begin = time.perf_counter()
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    byte = os.read(process.stdout.fileno(), 1)
    took = (time.perf_counter() - begin) * 1000
    if byte != b"!":
        raise SystemExit(f"the guest did not run: {' '.join(args)}")
    return took, process


def memory_beyond(pid, memory):
    """KiB that are private and dirty in the process, guest RAM left out."""
    total = 0
    size = 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if words[0] == "Size:":
            size = int(words[1])
        elif words[0] == "Private_Dirty:" and size != memory * 1024:
            total += int(words[1])
    return total


def cpu_time(pid):
    """Milliseconds of processor time that all threads have taken; the guest halts and takes none."""
    spent = [int(p.read_text().split()[0]) for p in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(spent) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lodge", default=str(TOP / "build" / "lodge"))
    parser.add_argument("--machine", default="microvm")
    parser.add_argument("--memory", type=int, default=128, help="MiB")
    parser.add_argument("--runs", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "kernel"
        kernel(image)
        line = command(args.lodge, args.machine, image, args.memory)
        times = []
        spent = []
        for n in range(args.runs + 3):
            took, process = start(line)
            if n >= 3:  # the first ones warm the caches
                times.append(took)
                spent.append(cpu_time(process.pid))
            if n == args.runs + 2:
                beyond = memory_beyond(process.pid, args.memory)
            process.kill()
            process.wait()
    times.sort()
    print(f"{args.machine}: first instruction after {statistics.median(times):.1f} ms (p50 of {len(times)}), "
          f"best {times[0]:.1f}, p90 {times[int(len(times) * 0.9)]:.1f}; {statistics.median(spent):.1f} ms of processor time")
    print(f"{args.machine}: {beyond / 1024:.1f} MiB beyond {args.memory} MiB of guest RAM")


if __name__ == "__main__":
    main()
