#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM exits, system calls and context switches per virtio-blk request: the distribution's QEMU and lodge, side by side.

Both boot the same stock guest in the same first-level guest (tests/vm/nested.py) and run the same fio job, 4 KiB random
reads. Times mean nothing there, counts do. Each job runs twice, with N and with 3 N requests, and the difference is
divided by 2 N, so that start and end of fio do not count. The counters are the first level's own: its debugfs for KVM,
histogram triggers on trace events for system calls, exits to user space and context switches.
"""

import argparse
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
import jobs  # noqa: E402
import nested  # noqa: E402
import vmtest  # noqa: E402
from images import cache, disks  # noqa: E402

TRACE = "/sys/kernel/debug/tracing"
EVENTS = {"syscalls": ("raw_syscalls/sys_enter", "hist:keys=common_pid,id"),
          "switches": ("sched/sched_switch", "hist:keys=prev_pid"),
          "user exits": ("kvm/kvm_userspace_exit", "hist:keys=common_pid,reason"),
          "exits": ("kvm/kvm_exit", "hist:keys=common_pid,exit_reason")}
KVM_COUNTERS = ["exits", "irq_injections"]
# SVM's exit codes (AMD APM volume 2, appendix C). Timer ticks make exits too: an MSR write and an interrupt each.
EXITS = {0x60: "physical interrupt", 0x64: "interrupt window", 0x72: "CPUID", 0x78: "HLT", 0x7b: "port I/O", 0x7c: "MSR",
         0x400: "nested page fault"}
WARM_UP = 50
DRIVES = {
    "main loop": "-blockdev driver=file,filename={disk},node-name=f,cache.direct=on{aio} "
                 "-blockdev driver=raw,file=f,node-name=d -device virtio-blk-pci,drive=d",
    "iothread": "-object iothread,id=t -blockdev driver=file,filename={disk},node-name=f,cache.direct=on{aio} "
                "-blockdev driver=raw,file=f,node-name=d -device virtio-blk-pci,drive=d,iothread=t",
}
# In the guest: one fio run per line that the bench types, "DEPTH REQUESTS".
GUEST = ("ln -s vdb /dev/disk-tools; mount -t ext4 -o ro /dev/disk-tools /mnt; echo @@bench; "
         "while read -r depth count; do "
         "/mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/bin/fio --name=b --filename=/dev/vda --rw=randread "
         "--bs=4k --direct=1 --ioengine=libaio --randseed=7 --norandommap --size=256M "
         "--number_ios=$count --iodepth=$depth >/tmp/out 2>&1; echo @@fio $?; done")


class Counters:
    """What the first level counts for one process, all its threads."""

    def __init__(self, place, pid):
        self._place = place
        self._pid = pid

    @staticmethod
    def arm(place):
        for event, trigger in EVENTS.values():
            place.run(f"echo '!{trigger}' >{TRACE}/events/{event}/trigger 2>/dev/null; "
                      f"echo '{trigger}:size=65536' >{TRACE}/events/{event}/trigger")

    def read(self):
        tasks = set(self._place.run(f"ls /proc/{self._pid}/task").output.split())
        counts = {}
        for what, (event, _) in EVENTS.items():
            counts[what] = {}
            for keys, hits in re.findall(r"\{ ([^}]*) \} hitcount: +(\d+)",
                                         self._place.run(f"cat {TRACE}/events/{event}/hist").output):
                fields = dict(re.findall(r"(\w+): +(\w+)", keys))
                if fields.pop("common_pid", None) in tasks or fields.get("prev_pid") in tasks:
                    key = next((fields[k] for k in ("id", "reason", "exit_reason") if k in fields), "all")
                    counts[what][key] = counts[what].get(key, 0) + int(hits)
        counts["kvm"] = {}
        for name in KVM_COUNTERS:
            said = self._place.run(f"cat /sys/kernel/debug/kvm/{self._pid}-*/{name}").output.split()
            counts["kvm"][name] = sum(int(n) for n in said if n.isdigit())
        return counts


def difference(after, before):
    return {what: {k: n - before[what].get(k, 0) for k, n in counts.items()} for what, counts in after.items()}


def syscall_names():
    """Numbers to names from the host's headers; numbers stay where there are none."""
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        return {}
    return {n: name for name, n in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}


def measure(place, program, drive, depths, count, aio):
    """Counts per request of that VMM, by queue depth."""
    disk = place.path("scratch/bench.raw")
    place.run(f"[ -e {disk} ] || dd if=/dev/urandom of={disk} bs=1M count=256", 300)
    options = drive.format(disk=disk, aio=aio)
    append = f"console=ttyS0 quiet quiet-init run=\"{GUEST}\""
    job = place.start(
        f"exec {program} -accel kvm -cpu host -M q35 -m 512M -nodefaults -display none -serial stdio -pidfile /tmp/bench.pid "
        f"{options} -drive file={place.path('tools.raw')},format=raw,if=none,id=t,read-only=on "
        f"-device virtio-blk-pci,drive=t -kernel {place.path('cloud/vmlinuz')} -initrd {place.path('cloud/initrd')} "
        f"-append '{append}'")
    try:
        job.expect("@@bench", 240)
        counters = Counters(place, int(place.run("cat /tmp/bench.pid").output))
        Counters.arm(place)
        results = {}
        for depth in depths:
            spent = []
            for requests in (WARM_UP, count, 3 * count):
                before = counters.read()
                job.send(f"{depth} {requests}\n")
                status = int(job.expect(r"^@@fio (\d+)", 400).group(1))
                if status:
                    raise nested.Died(f"fio failed in the guest: {job.output[-500:]}")
                spent.append(difference(counters.read(), before))
            per = difference(spent[2], spent[1])
            results[depth] = {w: {k: n / (2 * count) for k, n in c.items()} for w, c in per.items()}
        return results
    except (nested.Died, jobs.Ended, nested.Timeout) as e:
        raise nested.Died(f"{e}; the guest's last words: {job.output[-600:]}") from e
    finally:
        job.kill()


def show(title, columns):
    """A table: rows are counters, columns are (heading, counts per request)."""
    names = syscall_names()

    def detail(what, name):
        seen = {}
        for _, c in columns:
            for k, n in c[what].items():
                seen[k] = max(seen.get(k, 0), n)
        return [(f"  {name(k)}", lambda c, k=k: c[what].get(k, 0))
                for k, n in sorted(seen.items(), key=lambda kn: -kn[1]) if n >= 0.02]

    rows = [("KVM exits", lambda c: c["kvm"]["exits"])]
    rows += detail("exits", lambda k: EXITS.get(int(k, 0), k))
    rows += [("interrupts injected", lambda c: c["kvm"]["irq_injections"]),
             ("exits to user space", lambda c: sum(c["user exits"].values())),
             ("context switches", lambda c: sum(c["switches"].values())),
             ("system calls", lambda c: sum(c["syscalls"].values()))]
    rows += detail("syscalls", lambda k: names.get(k, k))
    print(f"\n{title}, per request")
    print(f"{'':24}" + "".join(f"{heading:>16}" for heading, _ in columns))
    for label, value in rows:
        print(f"{label:24}" + "".join(f"{value(c):16.2f}" for _, c in columns), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lodge", metavar="FILE", default=str(cache.TOP / "build" / "lodge"))
    parser.add_argument("--only", choices=("qemu", "lodge"))
    parser.add_argument("--requests", metavar="N", type=int, default=1000)
    parser.add_argument("--depth", metavar="N", type=int, action="append", help="queue depth (default: 1 and 32)")
    parser.add_argument("--drive", choices=list(DRIVES), action="append")
    args = parser.parse_args()
    depths = args.depth or [1, 32]

    program = disks.Tree()
    program.directory("bin")
    vmms = {}
    if args.only != "lodge":
        nested.peer_tree(program)
        vmms["QEMU"] = ("qemu-system-x86_64", "")
        vmms["QEMU io_uring"] = ("qemu-system-x86_64", ",aio=io_uring")
    if args.only != "qemu":
        if not os.access(args.lodge, os.X_OK):
            parser.error(f"there is no program '{args.lodge}'; build it, name it with --lodge, or give --only qemu")
        program.program(args.lodge, "lodge")
        vmms["lodge"] = ("lodge", "")
    available = {}
    images = vmtest.trees_for(["cloud", "tools"], available)
    if any(available.values()):
        sys.exit(f"bench-exits: {'; '.join(filter(None, available.values()))}")

    for drive in args.drive or DRIVES:
        measured = {}
        for name, (vmm, aio) in vmms.items():
            with nested.Nested(images, program, log=lambda text: print(text, file=sys.stderr)) as place:
                measured[name] = measure(place, vmm, DRIVES[drive], depths, args.requests, aio)
        for depth in depths:
            show(f"4 KiB random reads at depth {depth}, {drive}", [(n, m[depth]) for n, m in measured.items()])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (cache.Unavailable, nested.Died, nested.Timeout) as e:
        sys.exit(f"bench-exits: {e}")
