#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debugs the bare-metal guest with gdb: debug.py LODGE GUEST ACCELERATOR.

The guest is stopped before its first instruction; gdb then does what its users do, and each command's output is held
against what it must show. A KVM that emulates ring 0 (no VMX or SVM below it) knows neither INT3 nor data breakpoints
there, so those are left out. Exit status: 0 all as it must be, 1 not, 77 this host has no gdb or no KVM.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

TIMEOUT = 120

# (command, what its output must contain)
START = [
    ("target remote {socket}", r"pvh_entry"),
    ("info registers cr0 cs", r"cr0 +0x[0-9a-f]*1 .*PE"),
    ("hbreak guest_main", r"Hardware assisted breakpoint 1 at"),
    ("continue", r"Breakpoint 1, .*guest_main"),
    ("backtrace", r"#0 +.*guest_main"),
    ("print cpus_wanted", r"\$\d+ = 1\b"),
    ("print/x info->magic", r"= 0x336ec578"),
    ("print $efer", r"LMA"),
    ("print $_thread", r"= 1\b"),
    ("info threads", r"CPU#0 \[running\][\s\S]*CPU#1 \[halted\]"),
    ("set $before = $pc", r""),
    ("stepi", r""),
    ("print $pc > $before && $pc < $before + 16", r"= 1\b"),
    ("print $rbx = 0x1122334455667788", r"= 1234605616436508552"),
    ("print $xmm1.v2_int64[1] = 7", r"= 7\b"),
    ("print $xmm1.v2_int64[1]", r"= 7\b"),
    ("print cpus_wanted = 77", r"= 77\b"),
    ("print cpus_wanted", r"= 77\b"),
    ("print cpus_wanted = 1", r"= 1\b"),
    ("x/i $pc", r"=> 0x[0-9a-f]+ <guest_main\+\d+>"),
    ("monitor help", r"help"),
    ("maintenance packet Qqemu.PhyMemMode:1", r'received: "OK"'),
    ("print cpus_wanted", r"= 1\b"),  # mapped one to one
    ("maintenance packet Qqemu.PhyMemMode:0", r'received: "OK"'),
    ("print *(int *)0xffff800000000000", r"Cannot access memory"),
    ("delete", r""),
]

BREAKPOINTS = [
    ("watch cpus_wanted", r"Hardware watchpoint 2: cpus_wanted"),
    ("continue", r"watchpoint 2: cpus_wanted[\s\S]*Old value = 1\s+New value = 0"),
    ("continue", r"Old value = 0\s+New value = 2"),
    ("delete", r""),
    ("break test_ring_3_computes", r"Breakpoint 3 at"),
    ("continue", r"Breakpoint 3, .*test_ring_3_computes"),
    ("break add_up", r"Breakpoint 4 at"),
    ("continue", r"Breakpoint 4, .*add_up"),
    ("print $cs", r"= 35\b"),
    ("stepi", r"0x[0-9a-f]+"),
    ("print $cs", r"= 35\b"),
    ("delete", r""),
    ("rwatch cpus_wanted", r"Hardware read watchpoint 5"),
    ("awatch page_map[511]", r"Hardware access \(read/write\) watchpoint 6"),
    ("continue", r"Hardware read watchpoint 5: cpus_wanted\s+Value = 2"),
    ("delete", r""),
    ("hbreak *0x8000", r"Hardware assisted breakpoint 7"),  # the second processor's first instruction, in real mode
    ("continue", r"Thread 2 received signal SIGTRAP"),
    ("info registers cs rip", r"cs +0x800 [\s\S]*rip +0x0 "),
    ("info registers cr0", r"cr0 .*\[ ET NW CD \]"),
]

ALSO_ON_WEAK_KVM = [
    ("hbreak test_ring_3_computes", r"Hardware assisted breakpoint"),
    ("continue", r"Breakpoint \d+, .*test_ring_3_computes"),
    ("delete", r""),
]

# Each processor comes by it.
THREADS = [
    ("hbreak ap_main", r"Hardware assisted breakpoint"),
    ("continue", r"Thread 2[\s\S]*hit Breakpoint \d+"),
    ("info threads", r"\* 2 +Thread 2 \(CPU#1 \[running\]\)"),
    ("thread 1", r"Switching to thread 1"),
    ("print/x $cs", r"= 0x8"),
    ("delete", r""),
]

END = [
    ("continue", r"exited with code 041"),  # what isa-debug-exit makes of the guest's 0x10
]


def is_weak_kvm():
    flags = Path("/proc/cpuinfo").read_text()
    return not re.search(r"^flags\s*:.*\b(vmx|svm)\b", flags, re.MULTILINE)


def check(session, output):
    parts = re.split(r"^@@\d+$", output, flags=re.MULTILINE)[1:]
    for n, (command, wanted) in enumerate(session):
        got = parts[n] if n < len(parts) else "(gdb had ended)"
        print(f"(gdb) {command}{got.rstrip()}")
        if not re.search(wanted, got):
            print(f"does not show {wanted!r}")
            return False
    return True


def talk(guest, session, path, timeout=TIMEOUT):
    """What gdb shows of a session with the server at that socket, a part for each command."""
    script = "".join(f"echo @@{n}\\n\n{line.format(socket=path)}\n" for n, (line, _) in enumerate(session))
    try:
        gdb = subprocess.run(
            ["gdb", "-q", "-nx", "-ex", "set pagination off", "-ex", "set confirm off", "-ex", "set width 0",
             "-ex", f"set remotetimeout {timeout}", guest],
            input=f"{script}quit\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
            check=False)
        output = gdb.stdout
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
        print(f"gdb did not end within {timeout} s")
    return output.replace("(gdb) ", "")


def debug(lodge, guest, accel, directory):
    session = START + (ALSO_ON_WEAK_KVM if accel == "kvm" and is_weak_kvm() else BREAKPOINTS) + THREADS + END
    path = f"{directory}/gdb"
    listener = socket.socket(socket.AF_UNIX)  # made here, so that gdb finds it however late lodge comes
    listener.bind(path)
    listener.listen(1)
    command = [lodge, "-accel", accel, "-machine", "q35", "-cpu", "qemu64", "-m", "128M", "-smp", "2", "-nodefaults",
               "-display", "none", "-kernel", guest, "-append", "cpus=2", "-device", "virtio-rng-pci",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-S",
               "-chardev", f"socket,id=gdb,fd={listener.fileno()},server=on,wait=on", "-gdb", "chardev:gdb"]
    vmm = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[listener.fileno()])
    listener.close()
    output = talk(guest, session, path)
    try:
        return check(session, output) and vmm.wait(timeout=10) == 0x21
    except subprocess.TimeoutExpired:
        print("lodge did not end")
        return False
    finally:
        vmm.kill()
        vmm.wait()


def main():
    lodge, guest, accel = sys.argv[1:]
    if not shutil.which("gdb"):
        print("skipped: this host has no gdb")
        return 77
    if accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: this host has no usable /dev/kvm")
        return 77
    with tempfile.TemporaryDirectory() as directory:
        return 0 if debug(lodge, guest, accel, directory) else 1


if __name__ == "__main__":
    sys.exit(main())
