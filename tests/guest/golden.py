#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What earlier releases saved must be restored, and go on as it would have gone on there.

    golden.py LODGE MOVING.ELF              restores everything in tests/golden
    golden.py LODGE MOVING.ELF --make 0.1.0 saves the domains below into tests/golden/0.1.0: once for each release

Each release has a directory: list.json, and a container for each domain and layout. A container is the bare-metal guest
moving.c, under -icount, so that it goes on in the same way on every host; what it says next is in the list, as are the
options of its domain.
"""

import argparse
import json
import lzma
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
SAVED_AT = 40       # rounds, or a few more
NEXT = 24           # rounds that are compared
PATIENCE = 60
COMMON = ["-accel", "tcg", "-icount", "shift=0", "-nodefaults", "-display", "none", "-cpu", "x86-64-v1",
          "-m", "16M", "-rtc", "base=2026-01-01T00:00:00,clock=vm", "-uuid", "6c6f6467-6520-4000-8000-676f6c64656e",
          "-device", "isa-debugcon,iobase=0x402,chardev=out"]
PCI = ["-blockdev", "null-co,node-name=n0,size=1M", "-device", "virtio-blk-pci,drive=n0,id=blk",
       "-netdev", "hubport,id=h0,hubid=0", "-device", "virtio-net-pci,netdev=h0,id=net,mac=52:54:00:12:34:56",
       "-device", "virtio-rng-pci,id=rng", "-device", "virtio-balloon-pci,id=balloon",
       "-chardev", "null,id=c0", "-device", "virtio-serial-pci,id=serial", "-device", "virtconsole,chardev=c0,id=con",
       "-device", "pcie-root-port,id=port,chassis=1", "-serial", "null"]
DOMAINS = {
    "q35": ["-M", "pc-q35-7.2", *PCI],
    "microvm": ["-M", "microvm,pit=on,pic=on,rtc=on", "-blockdev", "null-co,node-name=n0,size=1M",
                "-device", "virtio-blk-device,drive=n0,id=blk", "-device", "virtio-rng-device,id=rng",
                "-serial", "null"],
}


class Domain:
    """One process; its monitor is on its standard streams, what the guest says in a file."""

    def __init__(self, args, options, work, incoming=None, fds=()):
        self.said = Path(work) / "said"
        self.said.unlink(missing_ok=True)
        command = [args.lodge, *COMMON, *options, "-kernel", args.guest, "-append", "pages=10",
                   "-chardev", f"file,id=out,path={self.said}", "-qmp", "stdio"]
        self.process = subprocess.Popen([*command, "-S"] if not incoming else [*command, "-incoming", incoming],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        pass_fds=fds)
        self.event("QMP")
        self.ask("qmp_capabilities")

    def event(self, *names):
        """Reads on until one of these members, or events, comes."""
        while line := self.process.stdout.readline():
            message = json.loads(line)
            for name in names:
                if name in message or message.get("event") == name:
                    return message
        _, said = self.process.communicate(timeout=PATIENCE)
        raise SystemExit(f"it ends with status {self.process.returncode}: {said.decode().strip()}")

    def ask(self, command, **arguments):
        self.process.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.process.stdin.flush()
        reply = self.event("return", "error")
        if "error" in reply:
            raise SystemExit(f"{command}: {reply['error']['desc']}")
        return reply["return"]

    def rounds(self):
        return re.findall(r"^n 0x(\w+) 0x(\w+)\n", self.said.read_text() if self.said.exists() else "", re.MULTILINE)

    def counts(self, rounds):
        deadline = time.monotonic() + PATIENCE
        while len(self.rounds()) < rounds:
            self.ask("query-status")    # fails when it has ended
            if time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"it does not go on: {self.said.read_text()[-200:]}")
            time.sleep(0.01)
        return self.rounds()

    def save(self, uri):
        self.ask("migrate", uri=uri)
        while (status := self.ask("query-migrate")["status"]) != "completed":
            if status == "failed":
                raise SystemExit(f"cannot save: {self.ask('query-migrate')}")

    def arrives(self):
        deadline = time.monotonic() + PATIENCE
        while self.ask("query-status")["status"] == "inmigrate":
            if time.monotonic() > deadline:
                raise SystemExit("it does not arrive")
            time.sleep(0.01)

    def quit(self):
        self.ask("quit")
        self.process.communicate(timeout=PATIENCE)


def make(args, release):
    directory = GOLDEN / release
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, options in DOMAINS.items():
        with tempfile.TemporaryDirectory() as work, open(Path(work) / "inline", "wb") as inline:
            domain = Domain(args, options, work, fds=[inline.fileno()])
            rounds = SAVED_AT
            saved = {}
            for layout, uri in (("mapped", f"file:{work}/mapped"), ("inline", f"fd:{inline.fileno()}")):
                domain.ask("cont")
                domain.counts(rounds)
                domain.ask("stop")
                saved[layout] = len(domain.rounds()) + 1    # the next line may be said half
                domain.save(uri)
                rounds += SAVED_AT
            domain.ask("cont")
            said = domain.counts(rounds + NEXT)
            domain.quit()
            for layout, at in saved.items():
                file = f"{name}-{layout}.xz"
                (directory / file).write_bytes(lzma.compress((Path(work) / layout).read_bytes(), preset=9))
                entries.append({"file": file, "options": options, "next": said[at:at + NEXT]})
    (directory / "list.json").write_text(json.dumps(entries, indent=1) + "\n")


def compare(name, before, after):
    """What was saved, restored and saved: the same bytes, unless a table has grown since."""
    length, = struct.unpack_from("<I", before, 12)
    grown = struct.unpack_from("<I", after, 12)[0]
    headers = json.loads(before[24:24 + length]), json.loads(after[24:24 + grown])
    if headers[0]["devices"] != headers[1]["devices"]:
        print(f"   {name}: tables have grown, so it is not the same when it is saved again")
    elif before[24 + length:] != after[24 + grown:]:
        at = next(i for i, (a, b) in enumerate(zip(before[24 + length:], after[24 + grown:])) if a != b)
        raise SystemExit(f"{name}: saved again, it differs from byte {at} on: "
                         f"{before[24 + length + at - 60:][:80]} {after[24 + grown + at - 60:][:80]}")


def restore(args, directory, entry):
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "saved"
        path.write_bytes(lzma.decompress((directory / entry["file"]).read_bytes()))
        with open(Path(work) / "again", "w+b") as again:
            domain = Domain(args, entry["options"], work, incoming=f"file:{path}", fds=[again.fileno()])
            domain.arrives()
            if entry["file"].endswith("-inline.xz"):
                domain.save(f"fd:{again.fileno()}")
                again.seek(0)
                compare(entry["file"], path.read_bytes(), again.read())
        expected = [tuple(r) for r in entry["next"]]
        domain.ask("cont")
        rounds = domain.counts(len(expected) + 1)
        domain.quit()
    rounds = rounds[rounds[0] != expected[0]:][:len(expected)]
    if rounds != expected:
        raise SystemExit(f"{directory.name}/{entry['file']}: it goes on with {rounds[:3]}, not {expected[:3]}")
    print(f"ok {directory.name}/{entry['file']}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lodge")
    parser.add_argument("guest")
    parser.add_argument("--make", metavar="RELEASE")
    args = parser.parse_args()
    if args.make:
        make(args, args.make)
        return
    releases = sorted(path for path in GOLDEN.iterdir() if (path / "list.json").exists())
    if not releases:
        sys.exit(f"there is nothing in {GOLDEN}")
    for directory in releases:
        for entry in json.loads((directory / "list.json").read_text()):
            restore(args, directory, entry)


if __name__ == "__main__":
    main()
