#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the modes guest: build.py OUTPUT. Its flags are those of the other bare-metal guest."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLAGS = ("-m64 -std=gnu17 -O1 -g -Wall -Wextra -Werror -ffreestanding -nostdlib -static -no-pie -fno-pic -fno-pie "
         "-mno-red-zone -mgeneral-regs-only -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables "
         "-fno-tree-loop-distribute-patterns -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments")


def sources():
    """In the order of the transcript, whatever the directory's is."""
    return [HERE.parent / "console.c", *sorted(HERE.glob("*.c")), *sorted(HERE.glob("*.S")),
            *sorted((HERE / "probes").glob("*.S"))]


def inputs():
    """Everything that the guest is made from."""
    shared = [HERE.parent / name for name in ("guest.h", "pvh.inc")]
    return [*sources(), *sorted(HERE.glob("*.h")), *shared, HERE / "modes.ld", Path(__file__)]


def build(output):
    subprocess.run(["gcc", *FLAGS.split(), f"-Wl,-T,{HERE / 'modes.ld'}", "-o", output, *sources()], check=True)


if __name__ == "__main__":
    build(sys.argv[1])
