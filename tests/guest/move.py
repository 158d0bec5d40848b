#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves a guest that counts (moving.c) from process to process, again and again.

    move.py LODGE MOVING.ELF [--accel kvm,tcg] [--moves 20] [--restores 50] [--kills 10] [--cancels 5] [--seed 1] ...

All processes append to one transcript, so a line that is lost, doubled or out of order shows, as do two guests that run
at once; what it says must be what a guest says that nobody moves. Its clocks must go on with the world's. With two
accelerators each move is from one to the other.

Killed at a random moment, a destination leaves a source that runs; a source leaves a destination that runs, or, if it
had not sent everything yet, one that ends. A guest that died with its source is started anew.

Exit status: 0 all well, 1 not, 77 this host lacks an accelerator.
"""

import argparse
import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 60
MEMORY = "32M"
CLOCK_SLACK = 0.15      # seconds that its clocks may differ from the world's after all those moves, and be seen late
LOOKS = 5
HPET_HZ = 100_000_000


class Wrong(Exception):
    """What must not be."""


def until(condition, what, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise Wrong(f"{what} does not come")
        time.sleep(0.002)
    return result


class Vmm:
    """One process, and its monitor."""

    number = 0

    def __init__(self, run, accel, incoming=None):
        Vmm.number += 1
        self.run = run
        self.path = run.directory / f"qmp{Vmm.number}"
        command = [run.lodge, "-accel", accel, "-M", "q35", "-nodefaults", "-display", "none", "-cpu", run.args.cpu,
                   "-m", MEMORY, "-smp", str(run.args.cpus), "-kernel", run.guest, "-append", f"cpus={run.args.cpus}",
                   "-device", "virtio-rng-pci", "-chardev", f"file,id=out,path={run.transcript},append=on",
                   "-device", "isa-debugcon,iobase=0x402,chardev=out",
                   "-qmp", f"unix:{self.path},server=on,wait=off"]
        if run.args.shared:
            command += ["-object", f"memory-backend-memfd,id=pc.ram,size={MEMORY},share=on", "-machine",
                        "memory-backend=pc.ram"]
        self.process = subprocess.Popen(command + (["-incoming", incoming] if incoming else []),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        run.alive.append(self)
        self.socket = until(self.connect, "its monitor")
        self.lines = self.socket.makefile("rwb")
        self.lines.readline()
        self.ask("qmp_capabilities")

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(str(self.path))
        except OSError:
            s.close()
            if self.process.poll() is not None:
                raise Wrong(f"a process ends at once: {self.end()}") from None
            return None
        s.settimeout(PATIENCE)
        return s

    def ask(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.lines.flush()
        while True:
            line = self.lines.readline()
            if not line:
                raise EOFError
            reply = json.loads(line)
            if "error" in reply:
                raise Wrong(f"{command}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]

    def migration(self):
        return self.ask("query-migrate").get("status", "none")

    def state(self):
        return self.ask("query-status")["status"]

    def ends_up(self, *statuses):
        return until(lambda: (s := self.migration()) in statuses and s, f"one of {statuses}")

    def kill(self):
        self.process.kill()
        self.end()

    def end(self):
        """Its exit status and what it said."""
        _, said = self.process.communicate(timeout=PATIENCE)
        if self in self.run.alive:
            self.run.alive.remove(self)
        if hasattr(self, "socket"):
            with contextlib.suppress(OSError):
                self.lines.close()
            self.socket.close()
            self.path.unlink(missing_ok=True)
        return self.process.returncode, said.decode(errors="replace").strip()

    def quit(self):
        self.ask("quit")
        status, said = self.end()
        if status:
            raise Wrong(f"a process ends with status {status}: {said}")


class Run:
    def __init__(self, args, directory):
        self.args = args
        self.lodge, self.guest = args.lodge.resolve(), args.guest.resolve()
        self.accels = args.accel.split(",")
        self.directory = directory
        self.random = random.Random(args.seed)
        self.alive = []
        self.turn = 0
        self.guests = 0
        self.longest = self.off = 0
        self.said = []
        self.fresh()

    # ---- the transcript ----

    def fresh(self):
        """A guest of its own, with a transcript of its own."""
        self.guests += 1
        self.transcript = self.directory / f"transcript{self.guests}"
        self.transcript.touch()
        self.read = self.rounds = 0
        self.began = None
        self.vmm = Vmm(self, self.accels[0])
        self.counts_on(1)
        self.began = time.monotonic(), self.clock()

    def counted(self):
        """Rounds so far. What has been read is not read again, but for the last line's beginning."""
        with self.transcript.open("rb") as transcript:
            transcript.seek(self.read)
            whole = transcript.read().rpartition(b"\n")[0]
        self.rounds += whole.count(b"\nn ")
        self.read += len(whole)
        return self.rounds

    def counts_on(self, rounds=3):
        before = self.counted()
        until(lambda: self.counted() >= before + rounds, "its next round")

    def clock(self):
        """HPET and TSC in seconds, as they have just been said, and when that was. It is seen late, never early: the
        best of a few."""
        line = re.compile(r"^c 0x(\w+) 0x(\w+) .*\n", re.MULTILINE)
        best, text = None, ""
        with self.transcript.open() as transcript:
            transcript.seek(0, os.SEEK_END)     # who reads all of it again sees it later each time

            def lines():
                nonlocal text
                text += transcript.read()
                return line.findall(text)
            for n in range(LOOKS):
                tsc, hpet = until(lambda n=n: lines()[n:], "the time")[0]
                now = time.monotonic()
                seen = int(hpet, 16) / HPET_HZ, int(tsc, 16) / (self.args.tsc_hz or 1), now
                best = max(best or seen, seen, key=lambda s: s[0] - s[2])
        return best

    def check(self):
        """What this guest has said so far; its clocks against the world's."""
        hpet0, tsc0, then = self.began[1]
        hpet, tsc, now = self.clock()
        wraps = (1 << 32) / HPET_HZ
        off = (hpet - hpet0 - (now - then) + wraps / 2) % wraps - wraps / 2
        if abs(off) > CLOCK_SLACK:
            raise Wrong(f"the HPET is wrong by {off:.3f} s after {now - then:.3f} s")
        if self.args.tsc_hz and abs(tsc - tsc0 - (now - then)) > CLOCK_SLACK:
            raise Wrong(f"the TSC went on by {tsc - tsc0:.3f} s in {now - then:.3f} s")
        self.off = max(abs(off), self.off, key=abs)
        text = self.transcript.read_text()
        if "FAIL" in text:
            raise Wrong(text[text.index("FAIL"):][:200])
        lines = text.splitlines()
        rounds = [(int(n, 16), s) for n, s in re.findall(r"^n 0x(\w+) 0x(\w+)\n", text, re.MULTILINE)]
        if [n for n, _ in rounds] != list(range(1, len(rounds) + 1)):
            odd = next(i for i, (n, _) in enumerate(rounds) if n != i + 1)
            raise Wrong(f"round {odd + 1} is lost or doubled: {lines[max(0, odd - 3):odd + 8]}")
        tscs = [int(t, 16) for t in re.findall(r"^c 0x(\w+) ", text, re.MULTILINE)]
        if tscs != sorted(tscs):
            raise Wrong("the TSC went back")
        self.said.append([s for _, s in rounds])

    def compare(self):
        """All that was said with what a guest says that stays where it is."""
        most = max(len(said) for said in self.said)
        done = subprocess.run(
            [self.lodge, "-accel", "tcg", "-M", "q35", "-nodefaults", "-display", "none", "-cpu", self.args.cpu, "-m",
             MEMORY, "-kernel", self.guest, "-append", f"rounds={most:x}", "-chardev", "stdio,id=out", "-device",
             "isa-debugcon,iobase=0x402,chardev=out", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE + most, check=False)
        whole = re.findall(r"^n 0x\w+ 0x(\w+)\n", done.stdout.decode(), re.MULTILINE)
        for said in self.said:
            if whole[:len(said)] != said:
                odd = next(i for i, (a, b) in enumerate(zip(whole + [None] * most, said)) if a != b)
                raise Wrong(f"it computes what a guest that stays does not: round {odd + 1} of {len(said)}, "
                            f"{sum(a != b for a, b in zip(whole, said))} differ, {len(whole)} in the other")
        return most

    # ---- what is done to it ----

    def next_accel(self):
        self.turn += 1
        return self.accels[self.turn % len(self.accels)]

    def pair(self):
        """Source and destination, and where they meet."""
        where = f"unix:{self.directory}/move"
        return self.vmm, Vmm(self, self.next_accel(), where), where

    def move(self):
        source, destination, where = self.pair()
        began = time.monotonic()
        source.ask("migrate", uri=where)
        if (status := source.ends_up("completed", "failed")) != "completed":
            raise Wrong(f"a move has failed: {source.ask('query-migrate')} {status}")
        self.longest = max(self.longest, time.monotonic() - began)
        until(lambda: destination.state() == "running", "a destination that runs")
        if source.state() != "postmigrate":
            raise Wrong(f"the source of a move is {source.state()}")
        source.quit()
        self.vmm = destination
        self.counts_on()

    def restore(self):
        file = self.directory / f"saved{self.turn % 2}"
        self.vmm.ask("migrate", uri=f"file:{file}")
        if self.vmm.ends_up("completed", "failed") != "completed":
            raise Wrong(f"saving has failed: {self.vmm.ask('query-migrate')}")
        self.vmm.quit()
        lazy = self.random.choice(["on", "off", "prefault"])
        self.vmm = Vmm(self, self.next_accel(), f"file:{file},lazy={lazy}")
        self.counts_on()

    def cancel(self):
        """At a random moment, in whatever stage that is."""
        source, destination, where = self.pair()
        source.ask("migrate-set-parameters", **{"max-bandwidth": self.random.choice([1 << 20, 20 << 20, 0])})
        source.ask("migrate", uri=where)
        time.sleep(self.random.random() * 0.1)
        source.ask("migrate_cancel")
        status = source.ends_up("completed", "cancelled")
        source.ask("migrate-set-parameters", **{"max-bandwidth": 0})
        if status == "completed":
            source.quit()
            self.vmm = destination
        elif destination.end()[0] != 1:
            raise Wrong("the destination of a move that was cancelled does not end")
        self.counts_on()
        return status

    def kill(self):
        source, destination, where = self.pair()
        victim = self.random.choice([source, destination])
        source.ask("migrate-set-parameters", **{"max-bandwidth": self.random.choice([4 << 20, 40 << 20, 0])})
        source.ask("migrate", uri=where)
        time.sleep(self.random.random() * 0.12)
        victim.kill()
        return self.source_died(destination) if victim is source else self.destination_died(source)

    def source_died(self, destination):
        began = time.monotonic()
        while destination.process.poll() is None:
            with contextlib.suppress(EOFError, OSError):
                if destination.state() == "running":
                    self.vmm = destination
                    self.counts_on()
                    return "source, destination runs"
                if destination.migration() == "setup" and time.monotonic() > began + 1:
                    break       # nobody came; it waits for another source
            if time.monotonic() > began + PATIENCE:
                raise Wrong("a destination without a source neither runs nor ends")
            time.sleep(0.002)
        waits = destination.process.poll() is None
        destination.process.kill()
        if (status := destination.end())[0] != 1 and not waits:
            raise Wrong(f"a destination without a source ends with {status}")
        self.check_lines_only()
        self.fresh()
        return "source, too early for the destination"

    def destination_died(self, source):
        status = source.ends_up("completed", "failed")
        if status == "failed" and source.state() != "postmigrate":
            until(lambda: source.state() == "running", "a source that runs")
            source.ask("migrate-set-parameters", **{"max-bandwidth": 0})
            self.vmm = source
            self.counts_on()
            return "destination, source runs"
        # The guest ran there; the source can tell that it has moved, and does not run by itself.
        if source.state() != "postmigrate":
            raise Wrong(f"the guest has moved, and its source is {source.state()}")
        source.quit()
        self.check_lines_only()
        self.fresh()
        return "destination, as it ran already"

    def check_lines_only(self):
        """Of a guest that was killed, whose last line may not be whole."""
        text = self.transcript.read_text()
        rounds = [int(n, 16) for n in re.findall(r"^n 0x(\w+) 0x\w+\n", text, re.MULTILINE)]
        if rounds != list(range(1, len(rounds) + 1)):
            raise Wrong(f"a guest that was killed counted {rounds[-20:]}")

    def play(self):
        outcomes = {}

        def several(times, what):
            began = time.monotonic()
            for _ in range(times):
                outcome = what()
                if outcome:
                    outcomes[outcome] = outcomes.get(outcome, 0) + 1
            self.check()
            print(f"{what.__name__}: {times} in {time.monotonic() - began:.1f} s {outcomes or ''}", flush=True)
            outcomes.clear()

        several(self.args.moves, self.move)
        several(self.args.restores, self.restore)
        several(self.args.cancels, self.cancel)
        several(self.args.kills, self.kill)
        self.vmm.quit()
        print(f"{self.compare()} rounds as in a guest that stays; the longest move took {self.longest:.3f} s; "
              f"its clocks were off by {self.off:.3f} s at most")


def play(kind, args):
    """Plays a run of that kind; the status to exit with."""
    with tempfile.TemporaryDirectory() as directory:
        run = None
        try:
            run = kind(args, Path(directory))
            run.play()
        except Wrong as wrong:
            print(f"FAIL (seed {args.seed}): {wrong}")
            return 1
        finally:
            for vmm in list(run.alive) if run else []:
                vmm.process.kill()
                print(f"killed; it had said: {vmm.end()[1]}")
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lodge", type=Path)
    parser.add_argument("guest", type=Path)
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--cpu", default="x86-64-v1")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--restores", type=int, default=50)
    parser.add_argument("--cancels", type=int, default=5)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--shared", action="store_true", help="with memory that other processes could have, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tsc-hz", type=float, default=0, help="check the guest's TSC against this")
    args = parser.parse_args()
    if "kvm" in args.accel and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: this host has no usable /dev/kvm")
        return 77
    return play(Run, args)


if __name__ == "__main__":
    sys.exit(main())
