#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the modes guest on this host: run.py LODGE GUEST tcg|kvm. Or compares two kept transcripts, as often as their
excuses change: run.py compare TCG KVM nested|weak. What weak excuses depends on the vendor of this host's processor.

tcg: the software CPU runs every probe, and only those that must end the machine. kvm: it sees what this host's
/dev/kvm sees, one that emulates ring 0 (excuses.py lists what such a one cannot), in the modes that it has. With KVM
on hardware, or in an emulated host, tests/vm compares everything. Exit status: 0 well, 1 not, 77 no /dev/kvm here.
"""

import os
import re
import sys
from pathlib import Path

import excuses
import transcript

# What ends the machine: triple faults (probes/fatal.S).
ENDS = re.compile(r"triple.*|smap-implicit\..*")
# What such a KVM is asked: ring 3 of compatibility and 64-bit mode. It knows no other, and ring 0 is its emulator's.
WEAK_MODES = {"c16": 4, "c32": 8, "l64": 9}
SKIP_RING_0 = 1 << 10
CPU = "Haswell-noTSX"


def collect(lodge, guest, accel, skip):
    command = [lodge, "-accel", accel, "-cpu", CPU, *transcript.OPTIONS.split(), "-kernel", guest, "-append"]
    return transcript.collect(lambda append: transcript.run_once([*command, append], quiet=5), skip)


def report(comparison, one_host=True):
    """Whether it failed. Excuses that excuse nothing are too many, unless they are for hosts of other kinds."""
    unused = [f"excuses nothing: {text}" for text in comparison.unused]
    print("\n".join([*comparison.different, *unused, str(comparison)]))
    return bool(comparison.different or (one_host and comparison.unused))


def compare(ours, theirs, which):
    ours, theirs = (transcript.Transcript.lines_of(Path(path).read_text()) for path in (ours, theirs))
    return report(excuses.compare_nested(ours, theirs) if which == "nested" else
                  excuses.compare_weak(ours, theirs, excuses.host_vendor()))


def run_tcg(lodge, guest):
    ours = collect(lodge, guest, "tcg", 0)
    wrong = [f"{name}: {seen}" for name, seen in ours.lines.items()
             if seen == "hangs" or seen not in ("absent", "the machine ends") and ENDS.fullmatch(name)
             or seen == "the machine ends" and not ENDS.fullmatch(name)]
    print("\n".join(wrong))
    print(f"{len(ours.lines)} probes, {len(wrong)} went wrong")
    return bool(wrong)


def run_kvm(lodge, guest):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: this host has no usable /dev/kvm")
        return 77
    skip = SKIP_RING_0 | ((1 << 10) - 1 - sum(1 << n for n in WEAK_MODES.values()))
    ours, theirs = (collect(lodge, guest, accel, skip).lines for accel in ("tcg", "kvm"))
    return report(excuses.compare_weak(ours, theirs, excuses.host_vendor()), False)


def main():
    if sys.argv[1] == "compare":
        return compare(*sys.argv[2:])
    lodge, guest, accel = sys.argv[1:]
    return run_tcg(lodge, guest) if accel == "tcg" else run_kvm(lodge, guest)


if __name__ == "__main__":
    sys.exit(main())
