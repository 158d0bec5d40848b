#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a stock guest takes to move, and stands still for it: lodge and the distribution's QEMU, time about.

Both boot the same kernel with a program (beat.c) that fills memory with what does not compress and says the time every
five milliseconds, on a serial port that a thread here reads. It then moves to another process of the same kind over tcp
and unix sockets, by multifd with each compression, and to a file and back.

    total     from the command until the source has completed, ms
    stop      the downtime that the source tells
    gap       between the last beat there and the first one here, as the host's clock sees it, without a beat's length
    guest     the same by the guest's own clock; QEMU stops that meanwhile
    cpu       of both processes in that time without their vCPUs, ms

For files `total` is until all is saved and on the disk, and `gap` is from the start of the process that restores it until the
first beat; `work` is what a busy guest does in the five seconds after that against what it did before, and `percpu` the same
for each second that its processor ran on one of the host's, which does not tell of waits, but is the same on a host under
load. The best of --runs, and of those two the median.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vm"))
from images import cache, initramfs, kernels  # noqa: E402

TIMEOUT = 300
BOOT, BOOTS = 40, 3
BEAT = 0.005
BANDWIDTH = 100 << 30
WAYS = ("tcp", "unix", "none", "zlib", "zstd", "file")
WRITERS = {"idle": (0, 1), "writing": (5000, 64), "busy": (10**9, 256)}    # pages a second, among MiB
AFTER = 5       # seconds of which a busy guest's work is compared with what it did before
MEDIANS = ("work", "percpu")


def guest_image():
    kernel = kernels.get("cloud")
    source = Path(__file__).with_name("beat.c")
    program = cache.entry(f"beat/{cache.digest(source.read_bytes())}",
                          lambda path: cache.run("gcc", "-O2", "-static", "-pthread", "-o", path, source))
    image = initramfs._hello(kernel)    # noqa: SLF001
    image.file("bin/beat", program, 0o755)
    return kernel.vmlinuz, image.cached(f"beat-{kernel.name}")


class Stuck(Exception):
    """A guest does not beat any more."""


class Vmm:
    """One process. `beats` are (when it was heard, what the guest's clock said)."""

    number = 0

    def __init__(self, bench, program, writer, incoming=None):
        Vmm.number += 1
        self.beats = []
        self.is_lodge = "qemu" not in Path(program).name
        qmp, serial = (f"{bench.folder}/{name}{Vmm.number}" for name in ("qmp", "serial"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(serial)
            listener.listen()
            listener.settimeout(TIMEOUT)
            rate, among = WRITERS[writer]
            run = f"beat {bench.args.fill} {rate} {among} {'0f' if bench.args.easy else 'ff'}"
            self.began = time.monotonic()
            self.process = subprocess.Popen(
                [program, "-accel", bench.args.accel, "-cpu", bench.args.cpu, "-M", "q35", "-m", f"{bench.args.memory}M",
                 "-nodefaults", "-display", "none", "-name", f"bench{os.getpid()}-{Vmm.number},debug-threads=on", "-qmp",
                 f"unix:{qmp},server=on,wait=off", "-serial", f"unix:{serial}", "-kernel", str(bench.kernel),
                 "-initrd", str(bench.initrd), "-append", f'console=ttyS0 quiet quiet-init run="{run}"',
                 *(["-incoming", incoming] if incoming else [])], stdin=subprocess.DEVNULL)
            bench.alive.append(self.process)
            self.serial, _ = listener.accept()
        threading.Thread(target=self.hear, daemon=True).start()
        self.socket = self.connect(qmp)
        self.lines = self.socket.makefile("rw")
        self.lines.readline()
        self.ask("qmp_capabilities")

    def hear(self):
        rest = b""
        while data := self.serial.recv(65536):
            now = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            self.beats += [(now, int(m[1]) / 1e9, int(m[2])) for line in lines
                           if (m := re.match(rb"@@b (\d+) (\d+)\r?$", line))]

    def connect(self, path):
        s = socket.socket(socket.AF_UNIX)
        while s.connect_ex(path):
            if self.process.poll() is not None:
                raise SystemExit(f"{self.process.args[0]} ends at once")
            time.sleep(0.001)
        return s

    def ask(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while "return" not in (reply := json.loads(self.lines.readline())):
            if "error" in reply:
                raise SystemExit(f"{self.process.args[0]}: {command}: {reply['error']['desc']}")
        return reply["return"]

    def beats_on(self, n, timeout):
        """Whether n more come in time."""
        wanted, deadline = len(self.beats) + n, time.monotonic() + timeout
        while len(self.beats) < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        return len(self.beats) >= wanted

    def beat(self, n):
        if not self.beats_on(n, BOOT):
            raise Stuck

    def vcpus(self):
        """Seconds of processor time of the vCPUs."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):    # a thread that has just ended
                if (task / "comm").read_text().startswith("CPU "):
                    total += int((task / "schedstat").read_text().split()[0]) / 1e9
        return total

    def cpu(self):
        """Those of all other threads, of which some may have ended."""
        return time.clock_gettime((~self.process.pid << 3) | 2) - self.vcpus()

    def work(self):
        """Pages that it changes a second, and a second of processor time, in the seconds that come."""
        began, ran = len(self.beats) - 1, -self.vcpus()
        time.sleep(AFTER)
        ran += self.vcpus()
        (since, _, first), (until, _, last) = self.beats[began], self.beats[-1]
        return (last - first) / (until - since), (last - first) / ran

    def set(self, multifd):
        self.ask("migrate-set-parameters", **{"max-bandwidth": BANDWIDTH, "downtime-limit": 300} | (
            {"multifd-compression": multifd, "multifd-channels": 2} if multifd else {}))
        self.ask("migrate-set-capabilities", capabilities=[{"capability": "multifd", "state": bool(multifd)}])

    def migrate(self, uri):
        began = time.monotonic()
        self.ask("migrate", uri=uri)
        while (info := self.ask("query-migrate"))["status"] != "completed":
            if info["status"] == "failed" or time.monotonic() > began + TIMEOUT:
                raise SystemExit(f"{self.process.args[0]}: {info}")
            time.sleep(0.005)
        info["total-time"] = (time.monotonic() - began) * 1000
        return info

    def end(self):
        self.process.kill()
        self.process.wait()
        self.serial.close()
        self.lines.close()
        self.socket.close()


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.alive = []
        self.guests = {}
        self.kernel, self.initrd = guest_image()
        self.moves = 0

    def move(self, program, source, writer, way):
        """The destination, and what it took."""
        self.moves += 1
        where = f"tcp:127.0.0.1:{21000 + self.moves}" if way == "tcp" else f"unix:{self.folder}/move{self.moves}"
        destination = Vmm(self, program, writer, "defer")
        multifd = way if way in ("none", "zlib", "zstd") else None
        for vmm in source, destination:
            vmm.set(multifd)
        destination.ask("migrate-incoming", uri=where)
        source.beat(20)
        cpu = -source.cpu() - destination.cpu()
        info = source.migrate(where)
        cpu += source.cpu() + destination.cpu()
        destination.beat(20)
        last, first = source.beats[-1], destination.beats[0]
        source.end()
        return destination, {
            "total": info["total-time"], "stop": info["downtime"], "gap": (first[0] - last[0] - BEAT) * 1000,
            "guest": (first[1] - last[1] - BEAT) * 1000, "cpu": cpu * 1000, "MiB": info["ram"]["transferred"] / 2**20}

    def save(self, program, source, writer):
        file = Path(self.folder) / "saved"
        source.set(None)
        source.beat(1)
        before = source.work() if writer == "busy" else None
        uri = f"file:{file}" if source.is_lodge else f"exec:cat >{file}"
        cpu = -source.cpu()
        began = time.monotonic()
        info = source.migrate(uri)
        cpu += source.cpu()
        with open(file, "rb") as saved:
            os.fdatasync(saved.fileno())
        total = (time.monotonic() - began) * 1000
        last = source.beats[-1]
        source.end()
        restored = Vmm(self, program, writer, uri if source.is_lodge else f"exec:cat {file}")
        restored.beat(1)
        first = restored.beats[0]
        row = {"total": total, "stop": info["downtime"], "gap": (first[0] - restored.began) * 1000,
               "guest": (first[1] - last[1] - BEAT) * 1000, "cpu": cpu * 1000, "MiB": info["ram"]["transferred"] / 2**20}
        if before:
            row |= {k: now / then for k, now, then in zip(MEDIANS, restored.work(), before)}
        restored.beat(20)
        file.unlink()
        return restored, row

    def boot(self, program, writer):
        """A guest that beats; QEMU's does not always get there on a host under load."""
        for _ in range(BOOTS):
            vmm = Vmm(self, program, writer)
            if vmm.beats_on(20, BOOT):
                return vmm
            vmm.end()
        raise SystemExit(f"{program}: the guest does not beat")

    def once(self, program, writer, way):
        """What it took, if the guest came through it; nobody else's runs meanwhile."""
        vmm = self.guests.pop(program, None)
        if vmm:
            vmm.ask("cont")
        else:
            vmm = self.boot(program, writer)
        try:
            vmm, row = self.save(program, vmm, writer) if way == "file" else self.move(program, vmm, writer, way)
        except Stuck:
            print(f"{writer:8} {way:5} {Path(program).name:18} the guest has stopped", flush=True)
            self.end(program)
            return []
        vmm.ask("stop")
        self.guests[program] = vmm
        return [row]

    def end(self, *programs):
        for process in self.alive[:]:
            if not programs or process.args[0] in programs:
                process.kill()
                process.wait()
                self.alive.remove(process)

    def compare(self, writer, ways):
        """Each program has one guest, which goes from process to process."""
        programs = [program for program in (self.args.lodge, self.args.peer) if program]
        for way in ways:
            rows = {program: [] for program in programs}
            for _ in range(self.args.runs):
                for program in programs:
                    rows[program] += self.once(program, writer, way)
            for program, several in rows.items():
                best = {k: (statistics.median if k in MEDIANS else min)(row[k] for row in several)
                        for k in (several[0] if several else {})}
                figures = "  ".join(f"{k} {v:7.1f}" if k not in MEDIANS else f"{k} {v:.2f}" for k, v in best.items())
                print(f"{writer:8} {way:5} {Path(program).name:18} {figures}", flush=True)
        self.end()
        self.guests.clear()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lodge", metavar="FILE", default=str(cache.TOP / "build" / "lodge"))
    parser.add_argument("--peer", metavar="FILE", default="qemu-system-x86_64")
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--cpu", default="max")
    parser.add_argument("--memory", type=int, default=1024, help="MiB of the guest")
    parser.add_argument("--fill", type=int, default=300, help="... of them filled")
    parser.add_argument("--easy", action="store_true", help="... with what compresses to a half")
    parser.add_argument("--writer", choices=WRITERS, action="append", help="idle and writing; busy is for files")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--runs", type=int, default=2)
    args = parser.parse_args()
    ways = args.ways.split(",")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        bench = Bench(args, folder)
        try:
            for writer in args.writer or ("idle", "writing"):
                bench.compare(writer, ways)
        finally:
            bench.end()


if __name__ == "__main__":
    main()
