#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the bare-metal guest and says how it went: run.py LODGE GUEST PROCESSORS [OPTION...].

With KVM unless the options name another accelerator. Exit status: 0 every test passed, 1 one failed, 77 this host
has no KVM.
"""

import os
import subprocess
import sys

TIMEOUT = 150
ALL_WELL = (0x10 << 1) | 1  # what isa-debug-exit makes of the guest's 0x10


def main():
    lodge, guest, processors, *options = sys.argv[1:]
    if "-accel" not in options:
        options = ["-accel", "kvm", *options]
    accel = options[options.index("-accel") + 1].split(",")[0]
    if accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: this host has no usable /dev/kvm")
        return 77
    if "-machine" not in options:
        options = ["-machine", "q35", *options]
    command = [lodge, *options, "-cpu", "qemu64", "-m", "128M", "-smp", processors,
               "-nodefaults", "-display", "none", "-kernel", guest, "-append", f"cpus={processors}",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-chardev", "stdio,id=out",
               "-device", "isa-debugcon,iobase=0x402,chardev=out"]
    if not any(o.startswith("microvm") for o in options):
        command += ["-device", "virtio-rng-pci"]
    print(" ".join(command), flush=True)
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as expired:
        print((expired.stdout or b"").decode(errors="replace"))
        print(f"the guest did not end within {TIMEOUT} s")
        return 1
    text = result.stdout.decode(errors="replace")
    print(text)
    if result.returncode != ALL_WELL or "guest: all well" not in text:
        print(f"exit status {result.returncode}, not {ALL_WELL}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
