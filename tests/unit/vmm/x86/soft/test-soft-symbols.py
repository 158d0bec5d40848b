# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's vector registers stay in the host's while the software CPU runs: its code may use none, and may call nothing
that does. The second cannot be seen by the compiler, so the files whose code runs inside are searched for calls of libc."""

import subprocess
import sys

# Calls of these may come from code that runs inside; compilers make them of plain assignments, too.
FORBIDDEN = {"memcpy", "memset", "memmove", "memcmp", "strlen", "printf", "__memcpy_chk", "__memset_chk"}
# These run only while a vCPU is outside, or before there is one.
OUTSIDE = {"map.c", "state.c", "trace.c", "vm.c", "cpuid.c", "counters.c", "signal.c"}


def main():
    listing = subprocess.run(["nm", "--undefined-only", "--print-file-name", sys.argv[1]], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    bad = []
    for line in listing.splitlines():
        where, symbol = line.rsplit(" ", 1)
        source = where.split(":")[-2].split("/")[-1].removesuffix(".o") if where.count(":") > 1 else where
        if symbol in FORBIDDEN and source not in OUTSIDE:
            bad.append(f"{source} calls {symbol}")
    if bad:
        sys.exit("\n".join(bad))
    print("no file that runs inside calls for vector registers")


main()
