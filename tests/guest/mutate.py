#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved domains that are cut, damaged, forged, or another machine's: refused by one sentence, or restored, never worse.

    mutate.py LODGE MOVING.ELF [--count 60] [--seed 1] [--domain q35]

A container without right checksums is always refused. With right ones, as somebody makes who means harm, it may be
refused or taken; the process neither dies of it nor hangs, and ends when it is told to. Under a sanitizer what it
says is looked through, too.
"""

import argparse
import contextlib
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import golden  # noqa: E402
from saved_format import crc32c, put_header, record, take_header  # noqa: E402

RECORD, SECTION = 16, 12
STATE, END, RAM = 4, 5, 1
PATIENCE = 60


class Container:
    """Its parts; `bytes` puts them together, with right checksums."""

    def __init__(self, data):
        self.header, rest = take_header(data)
        self.records = []
        at = len(data) - len(rest)
        while at < len(data):
            kind, size = struct.unpack_from("<II", data, at)
            self.records.append([kind, bytearray(data[at + RECORD:at + RECORD + size]), data[at:at + RECORD + size]])
            at += RECORD + size

    def state(self):
        return next(r for r in self.records if r[0] == STATE)

    def sections(self):
        """Where each begins in the state, and how long its body is."""
        state = self.state()[1]
        found, at = [], 0
        while at < len(state):
            length, = struct.unpack_from("<I", state, at + 4)
            found.append((at, length))
            at += SECTION + length
        return found

    def seal(self):
        state = self.state()[1]
        for at, length in self.sections():
            struct.pack_into("<I", state, at + 8, crc32c(state[at + SECTION:at + SECTION + length]))

    def bytes(self):
        body = [whole if whole and whole[RECORD:] == payload else record(kind, payload)
                for kind, payload, whole in self.records]
        return put_header(self.header) + b"".join(body)


class Trial:
    def __init__(self, args, work):
        self.args = args
        self.path = Path(work) / "mutated"
        self.said = Path(work) / "errors"
        self.options = golden.DOMAINS[args.domain]
        self.refused = self.taken = 0

    def lodge(self, options=()):
        command = [self.args.lodge, *golden.COMMON, *self.options, *options, "-kernel", self.args.guest, "-append",
                   "pages=10", "-chardev", "null,id=out", "-qmp", "stdio", "-incoming", f"file:{self.path}"]
        with open(self.said, "w+b") as errors:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
            alarm = threading.Timer(PATIENCE, process.kill)
            alarm.start()
            try:
                self.wait_and_quit(process)
                status = process.wait(PATIENCE)
            finally:
                alarm.cancel()
            errors.seek(0)
            return status, errors.read().decode(errors="replace")

    @staticmethod
    def wait_and_quit(process):
        """Until it has ended, or runs for a moment and is told to end."""
        command = b"qmp_capabilities"
        with contextlib.suppress(BrokenPipeError):
            while True:
                process.stdin.write(b'{"execute":"%s"}\n' % command)
                process.stdin.flush()
                while (line := process.stdout.readline()) and b'"return"' not in line:
                    pass
                if not line:
                    break
                if b'"completed"' in line:
                    time.sleep(0.02)
                    command = b"quit"
                elif command != b"quit":
                    command = b"query-migrate"
                    time.sleep(0.002)

    def complain(self, what, why):
        kept = Path(f"mutated-{self.args.seed}.lodge").resolve()
        kept.write_bytes(self.path.read_bytes())
        raise SystemExit(f"{what} (seed {self.args.seed}): {why}; it is in {kept}")

    def check(self, what, data, must_refuse, sentence="", options=()):
        self.path.write_bytes(data)
        status, errors = self.lodge(options)
        if status == -9:
            self.complain(what, f"it hangs for {PATIENCE} s")
        if status not in (0, 1) or "Sanitizer" in errors or "runtime error" in errors or "CRITICAL" in errors:
            self.complain(what, f"exit status {status}: {errors[-3000:]}")
        if status == 1:
            self.refused += 1
            lines = [line for line in errors.splitlines() if line and "the sandbox is off" not in line]
            if len(lines) != 1 or sentence not in errors:
                self.complain(what, f"it is refused by {lines}, where one line with {sentence!r} is expected")
        else:
            self.taken += 1
            if must_refuse:
                self.complain(what, f"it is taken: {errors}")


def saved(args, work):
    """A container of the inline layout."""
    with open(Path(work) / "inline", "wb") as file:
        domain = golden.Domain(args, golden.DOMAINS[args.domain], work, fds=[file.fileno()])
        domain.ask("cont")
        domain.counts(20)
        domain.save(f"fd:{file.fileno()}")
        domain.quit()
    return (Path(work) / "inline").read_bytes()


def flip(data, at, rand):
    data = bytearray(data)
    data[at] ^= rand.randrange(1, 256)
    return bytes(data)


def damage(trial, good, rand, count):
    """Cut and flipped: somewhere, and once in each section and kind of record."""
    container = Container(good)
    for _ in range(count):
        trial.check("cut", good[:rand.randrange(len(good))], True)
        trial.check("flipped", flip(good, rand.randrange(len(good)), rand), True)
    base = good.index(bytes(container.state()[1]))
    sections = container.sections()
    for at, length in sections if count > 20 else rand.sample(sections, min(len(sections), count)):
        trial.check("flipped in a section", flip(good, base + at + rand.randrange(SECTION + length), rand), True)


def forge(trial, good, rand, count):
    """Checksums are right, the contents are not."""
    for _ in range(count):
        container = Container(good)
        sections = container.sections()
        state = container.state()[1]
        for _ in range(rand.choice([1, 1, 1, 4, 16])):
            at, length = rand.choice(sections)
            place = at + SECTION + (rand.randrange(length) if rand.random() < 0.3 else
                                    length - 1 - rand.randrange(length // 4 + 1))   # values are last
            state[place] = rand.choice([0, 0xff, 0x80, 0x7f, state[place] ^ 1 << rand.randrange(8)])
        container.seal()
        trial.check("forged", container.bytes(), False)
    for kind in range(8):
        container = Container(good)
        rand.choice(container.records)[0] = kind
        trial.check(f"a record of type {kind}", container.bytes(), False)
    for _ in range(count // 8):
        container = Container(good)
        index = rand.randrange(len(container.records))
        rand.choice([lambda: container.records.insert(rand.randrange(len(container.records)), container.records[index]),
                     lambda: container.records.pop(index),
                     lambda: container.records[index][1].__delitem__(slice(rand.randrange(16), None)),
                     lambda: container.records[index][1].extend(bytes(4096))])()
        trial.check("records in another order", container.bytes(), False)
    for _ in range(count // 8):
        container = Container(good)
        for member in rand.sample(sorted(container.header), 2):
            container.header[member] = rand.choice([None, -1, 2**64, "", "x" * 5000, [], {}, [[]] * 100, 0.5, True])
        trial.check("another header", container.bytes(), False)


def others(trial, good):
    """Other machines': the difference is named, and nothing was touched before."""
    def changed(**members):
        container = Container(good)
        container.header.update(members)
        return container.bytes()

    header = Container(good).header
    more = header["features"][0] | {"bits": 0xffffffff}
    for what, data, sentence in (
            ("machine", changed(machine="pc-q35-9.9"), "its machine is 'pc-q35-9.9'"),
            ("number of CPUs", changed(cpus=3), "it has 3 CPUs, this domain 1"),
            ("memory", changed(ram=[b | {"size": b["size"] * 2} for b in header["ram"]]), "its memory '"),
            ("no memory", changed(ram=[]), "blocks of memory"),
            ("frequency", changed(**{"tsc-khz": header["tsc-khz"] * 2}), "needs a TSC of"),
            ("features", changed(features=[more]), "its CPU has features that this one"),
            ("features without a name", changed(features=[{"leaf": 0x80000001, "register": "edx", "bits": 0x400}]),
             "has not: bits 0x400 of edx in CPUID leaf 0x80000001, subleaf 0"),
            ("a device less", changed(devices=header["devices"][1:]), "which it does not have"),
            ("a device more", changed(devices=[*header["devices"], {"path": "/x", "state": "y", "version": 1}]),
             "it has '/x' (y), which this domain does not have"),
            ("a version", changed(devices=[header["devices"][0] | {"version": 99}, *header["devices"][1:]]),
             "has version 99, and this program knows versions up to"),
            ("a state", changed(devices=[header["devices"][0] | {"state": "y"}, *header["devices"][1:]]),
             "is 'y' there")):
        trial.check(what, data, True, sentence)
    for options, sentence in ((["-m", "32M"], "its memory"), (["-cpu", "x86-64-v1,-sse2"], "sse2"),
                              (["-device", "isa-debug-exit"], "this domain has '")):
        trial.check(f"with {options}", good, True, sentence, options)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lodge")
    parser.add_argument("guest")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--domain", default="q35", choices=golden.DOMAINS)
    args = parser.parse_args()
    rand = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as work:
        good = saved(args, work)
        trial = Trial(args, work)
        trial.check("the one that is good", good, False)
        if not trial.taken:
            sys.exit("the good one is refused")
        others(trial, good)
        damage(trial, good, rand, args.count)
        forge(trial, good, rand, args.count * 2)
    print(f"{trial.refused} refused, {trial.taken} taken")


if __name__ == "__main__":
    main()
