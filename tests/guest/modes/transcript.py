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
    """Probe name -> what was seen, in `lines`; `complete` once the guest has come to its end."""

    def __init__(self):
        self.lines = {}
        self.count = 0
        self.complete = False

    def text(self):
        return "".join(f"{name}: {seen}\n" for name, seen in self.lines.items())

    @staticmethod
    def lines_of(text):
        return dict(line.split(": ", 1) for line in text.splitlines())

    def add(self, output, how_it_ended):
        """Take the output of one start. Whether it got anywhere."""
        began = self.count
        _, started, text = output.partition(STARTED)
        if not started:
            return False
        text, ended, _ = text.partition(ENDED)
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


# ---- comparison ----
ENDINGS = ("hangs", "the machine ends", "cannot be run")
WHAT, WHERE, HANDLER, STACK = "what", "where", "handler", "handler's stack"


def parts(seen):
    """A line as a dictionary: what ended the probe, where, each register and dword of memory by its name."""
    found = {}
    if seen in ENDINGS:
        return {WHAT: seen}
    for n, section in enumerate(seen.split("|")):
        words = section.split()
        if n < 2:
            found.update(zip(((WHAT, WHERE), (HANDLER, STACK))[n], words))
            words = words[2:]
        for word in words:
            name, _, value = word.partition("=")
            found[f"h.{name}" if n == 1 else name] = value or word
    return found


def stack_name(found):
    return re.match(r"[a-z]*\d?", found.get(STACK, ""))[0]


def difference(ours, theirs):
    """How two lines differ, in words "NAME=OURS>THEIRS", empty where there is none; the first ones need no name.

    Other events mean another count of words on the handler's stack; then only which stack that is counts. Of a probe
    that does not end in one of the processors the other's event and its place are told.
    """
    a, b = parts(ours), parts(theirs)
    if a == b:
        return ""
    if ours in ENDINGS or theirs in ENDINGS:
        return " > ".join(" ".join(x[name] for name in (WHAT, WHERE) if name in x) for x in (a, b))
    if a[WHAT] != b[WHAT]:
        a[STACK], b[STACK] = stack_name(a), stack_name(b)
    words = []
    for name in [*a, *(name for name in b if name not in a)]:
        x, y = a.get(name, ""), b.get(name, "")
        if x != y:
            label = "" if name in (WHAT, WHERE, HANDLER, STACK, x, y) else f"{name}="
            words.append(f"{label}{x}>{y}")
    return " ".join(words)


class Excuse:
    """Why some probes may differ, and how.

    `names` is a regular expression for their names, or for a beginning up to a separator. In a difference * stands for
    any part of a word, & for any words of what only the other processor shows, ... for anything.
    """

    def __init__(self, names, why, *differences):
        self.names = re.compile(f"(?:{names})(?:[].,[].*)?")
        self.why = why
        self.differences = {text: re.compile(self._expression(text)) for text in differences}
        self.used = dict.fromkeys(differences, 0)

    @staticmethod
    def _expression(text):
        text = re.escape(text).replace(r"\*", "[^ ]*").replace(r"\.\.\.", ".*")
        return text.replace(r"\ \&", r"(?: (?:[^ ]+=)?>[^ ]+)*")

    def covers(self, name, how):
        if not self.names.fullmatch(name):
            return False
        for text, expression in self.differences.items():
            if expression.fullmatch(how):
                self.used[text] += 1
                return True
        return False


class Comparison:
    """Of two transcripts: lines `compared`, `excused` and, as text, `different`; `unused` excuses.

    A probe that one of the processors lacks a feature for is no difference.
    """

    def __init__(self, ours, theirs, excuses, normal=lambda seen: seen):
        self.compared = self.excused = 0
        self.different = []
        for name, seen in ours.items():
            other = theirs.get(name, "there is no such line")
            if "absent" in (seen, other):
                continue
            self.compared += 1
            how = difference(normal(seen), normal(other))
            if not how:
                continue
            if any(excuse.covers(name, how) for excuse in excuses):
                self.excused += 1
            else:
                self.different.append(f"{name}: {how}\n  tcg {seen}\n  kvm {other}")
        self.unused = [f"{excuse.names.pattern}: {text}" for excuse in excuses
                       for text, count in excuse.used.items() if not count]

    def __str__(self):
        return f"{self.compared} lines compared, {len(self.different)} differ, {self.excused} excused"


def collect(start, skip=0, log=lambda text: None, keep=None):
    """All of the transcript; start(append) runs the guest once with that command line and returns as run_once does.

    A start that brings nothing new is tried once more. What there is stands in the file `keep` after each start.
    """
    transcript = Transcript()
    went_on = True
    while not transcript.complete:
        output, how = start(f"from={transcript.count},skip={skip}")
        if not transcript.add(output, how):
            if not went_on:
                raise AssertionError(f"the guest did not start or did not go on, twice: {output[-500:]}")
            went_on = False
            continue
        went_on = True
        if keep:
            keep.write_text(transcript.text())
        if not transcript.complete:
            log(f"{how} at line {transcript.count}: {list(transcript.lines)[-1]}")
    return transcript
