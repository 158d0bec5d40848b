# SPDX-License-Identifier: GPL-2.0-or-later
"""The transcript of the modes guest: how it is collected and compared.

A line is `NAME.MODE.RING[settings]: what was seen`. A probe may end the machine (a triple fault) or meet what an
accelerator cannot run; then the line stays open, and the guest is started again behind it.
"""

import re
import selectors
import subprocess
import time

LINE = re.compile(r"([^\n]+?\.(?:real|unreal|v86|p16|c16|p32|pse|pae|c32|l64)\.[0-3](?:\[[^]\n]*\])?):([^\n]*)(\n?)")
STARTED = "modes: started\n"
ENDED = "guest: all well\n"
CANNOT = re.compile(r"\bvCPU \d+\b")  # how Lodge's messages about what KVM cannot go on with begin
QUIET = 20          # seconds without output after which a probe has hung

OPTIONS = ("-machine q35 -m 64M -nodefaults -display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 "
           "-chardev stdio,id=out -device isa-debugcon,iobase=0x402,chardev=out")


class Transcript:
    """Probe name -> what was seen; `open_lines` are those that ended the machine."""

    def __init__(self):
        self.lines = {}
        self.count = 0
        self.complete = False
        self.starts = 0

    def text(self):
        return "".join(f"{name}: {seen}\n" for name, seen in self.lines.items())

    def add(self, output, how_it_ended):
        """Take the output of one start. Whether it got anywhere."""
        began = self.count
        self.starts += 1
        _, started, text = output.partition(STARTED)
        if not started:
            return False
        text, ended, _ = text.partition(ENDED)
        at = 0
        for match in LINE.finditer(text):
            name, seen, closed = match.groups()
            if not closed or CANNOT.search(seen):
                seen = f" {how_it_ended}"
            assert name not in self.lines, f"two probes are called '{name}'"
            self.lines[name] = seen.strip()
            self.count += 1
            if not closed or CANNOT.search(match[2]):
                break
        self.complete = bool(ended)
        return self.count > began or self.complete


def run_once(command, quiet=QUIET):
    """Start a VMM on this host, and read until it ends, cannot go on or hangs: (output, how it ended)."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as vmm, \
            selectors.DefaultSelector() as selector:
        selector.register(vmm.stdout, selectors.EVENT_READ)
        output = ""
        how = "hangs"
        deadline = time.monotonic() + quiet
        while selector.select(max(0, deadline - time.monotonic())):
            data = vmm.stdout.read1(65536)
            if not data:
                how = "the machine ends"
                break
            output += data.decode(errors="replace")
            deadline = time.monotonic() + quiet
            if CANNOT.search(output[-2000:]):
                how = "cannot be run"
                break
        vmm.kill()
    return output, how


# What a comparison leaves out of every line: RF of a saved flags image and of a task's, which QEMU never sets (SDM
# 3-18.3.1.1); the accessed bit that it sets in PAE's page-directory pointers, which have none (SDM 3 table 4-8).
_PDPTE = re.compile(r" pdpte\+[08]=\w+")
_TASK_FLAGS = re.compile(r" (tss2?\+24)=(\w+)")


def _task_flags(match):
    flags = int(match[2], 16) & ~0x10000
    return f" {match[1]}={flags:x}" if flags != 2 else ""


def normal(seen):
    return _TASK_FLAGS.sub(_task_flags, _PDPTE.sub("", seen.replace(" rf ", " ")))


def compare(ours, theirs, excuses):
    """Compare two transcripts: (unexcused differences as text, how many each excuse covers, lines compared).

    An excuse is (pattern of names, reason). A probe that one of the processors lacks a feature for is no difference.
    """
    differences = []
    excused = dict.fromkeys(excuses, 0)
    compared = 0
    for name, seen in ours.lines.items():
        other = theirs.lines.get(name, "there is no such line")
        if "absent" in (seen, other):
            continue
        compared += 1
        if normal(seen) == normal(other):
            continue
        for excuse in excuses:
            if re.fullmatch(excuse[0], name):
                excused[excuse] += 1
                break
        else:
            differences.append(f"{name}:\n  tcg {seen}\n  kvm {other}")
    return differences, excused, compared


def collect(start, skip=0, log=lambda text: None, keep=None):
    """All of the transcript; start(append) runs the guest once with that command line and returns as run_once does.

    What there is stands in the file `keep` after each start.
    """
    transcript = Transcript()
    while not transcript.complete:
        output, how = start(f"from={transcript.count},skip={skip}")
        if not transcript.add(output, how):
            raise AssertionError(f"the guest did not start or did not go on: {output[-500:]}")
        if keep:
            keep.write_text(transcript.text())
        if not transcript.complete:
            log(f"{how} at line {transcript.count}: {list(transcript.lines)[-1]}")
    return transcript
