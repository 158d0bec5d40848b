#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Vector, x87 and string instructions on the software CPU: lodge and the distribution's QEMU, in turn.

Both boot the same kernel, which runs instructions.c as its one program. Nanoseconds of each of its loops, the best of all
runs, and their ratio (below 1 lodge is faster); and whether both computed the same.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
import direct  # noqa: E402
from images import cache, disks, initramfs, kernels  # noqa: E402

TIMEOUT = 300


def image(work):
    """An initramfs whose /init is the program."""
    program = Path(work) / "instructions"
    source = Path(__file__).with_suffix(".c").with_name("instructions.c")
    subprocess.run(["cc", "-O2", "-fno-tree-vectorize", "-static", "-o", program, source, "-lm"], check=True)
    made = initramfs.Initramfs()
    made.busybox()
    made.file("bin/instructions", program, 0o755)
    init = Path(work) / "init"
    init.write_text("#!/bin/sh\nexport PATH=/bin\necho\n/bin/instructions\npoweroff -f\n")
    made.file("init", init, 0o755)
    return made.cached("instructions")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lodge", metavar="FILE", default=str(cache.TOP / "build" / "lodge"))
    parser.add_argument("--peer", metavar="FILE", default="qemu-system-x86_64")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()

    best = {"lodge": {}, "peer": {}}
    computed = {"lodge": {}, "peer": {}}
    tree = disks.Tree()
    tree.add("vmlinuz", kernels.get("cloud").vmlinuz)
    with tempfile.TemporaryDirectory() as work:
        tree.add("initrd", image(work))
        with direct.Direct(tree, disks.Tree()) as place:
            for _ in range(args.runs):
                for name, program in (("lodge", os.path.abspath(args.lodge)), ("peer", args.peer)):
                    result = place.run(
                        f"exec {program} -accel tcg -cpu max -M q35 -m 512M -nodefaults -nographic -serial stdio "
                        f"-kernel {place.path('vmlinuz')} -initrd {place.path('initrd')} -append 'console=ttyS0 quiet'",
                        TIMEOUT)
                    for loop, ns, value in re.findall(r"^@@ (\S+) (\d+) (\S+)\r?$", result.output, re.MULTILINE):
                        best[name][loop] = min(best[name].get(loop, float("inf")), int(ns))
                        computed[name][loop] = value
    for loop, ns in best["lodge"].items():
        peer = best["peer"].get(loop)
        if not peer:
            print(f"{loop:15} lodge {ns:9} ns, the peer does not have it")
            continue
        same = "" if computed["lodge"][loop] == computed["peer"].get(loop) else "  NOT THE SAME RESULT"
        print(f"{loop:15} lodge {ns:9} ns, peer {peer:9} ns, ratio {ns / peer:5.2f}{same}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
