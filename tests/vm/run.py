#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the guest tests: a line for each, and the counts.

They run on this host where it has hardware virtualization or with `--accel tcg`, and otherwise in first-level guests
that have (nested.py). There a test that hangs is tried again at the end, in a new first level, and the result
says so: with QEMU as the VMM inside, a guest with two CPUs hung too, in one of some fifty runs. More than a few such
tests are failures. `--peer` runs the tests with the distribution's QEMU in place of the VMM, which tests the tests.

Several workers take tests from one queue, each with a place of its own: a small guest keeps one processor busy.
"""

import argparse
import importlib
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import direct  # noqa: E402
import nested  # noqa: E402
import vmtest  # noqa: E402
from images import cache, disks  # noqa: E402
from jobs import Died, Ended, Timeout  # noqa: E402


MOST_AGAIN = 5
LONG = {"debian", "programs"}       # images that take longest to make


class Test:
    def __init__(self, module, name, function):
        self.name = f"{module.removeprefix('test_')}: {name.removeprefix('test_').replace('_', ' ')}"
        self.function = function
        self.needs = getattr(function, "needs", ("cloud",))
        self.lodge_only = getattr(function, "lodge_only", False)
        self.on_host = getattr(function, "on_host", False)
        self.device_only = getattr(function, "device_only", False)
        self.one_at_a_time = getattr(function, "one_at_a_time", False)
        self.takes_long = getattr(function, "takes_long", False)
        self.only_accel = "kvm" if hasattr(function, "kvm_only") else "tcg" if hasattr(function, "tcg_only") else None


def discover(patterns):
    tests = []
    for file in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(file.stem)
        for name, function in vars(module).items():
            if name.startswith("test_") and callable(function) and function.__module__ == file.stem:
                tests.append(Test(file.stem, name, function))
    if patterns:
        tests = [t for t in tests if any(p.replace("_", " ") in t.name.replace("_", " ") for p in patterns)]
    return tests


class Runner:
    """The tests that are left, and the results so far; workers share it."""

    def __init__(self, args):
        self.args = args
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.records = []
        self.lock = threading.Lock()
        self.left = deque()
        self.left_for_first = deque()   # what must not run beside another of its kind
        self.again = []

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def run(self, tests):
        available = {}
        runnable = []
        for test in tests:
            if test.lodge_only and self.args.peer:
                self.record(test, "skipped", "only for the VMM under test", 0)
            elif test.only_accel not in (None, self.args.accel):
                self.record(test, "skipped", f"only for accelerator {test.only_accel}", 0)
            else:
                runnable.append(test)
        images = vmtest.trees_for([n for t in runnable for n in t.needs], available)
        for test in sorted(runnable, key=lambda t: not t.takes_long):
            lacking = [f"{n} ({available[n]})" for n in test.needs if available[n]]
            if lacking:
                self.record(test, "skipped", f"needs {', '.join(lacking)}", 0)
            else:
                (self.left_for_first if test.one_at_a_time else self.left).append(test)
        self.work(images)
        self.left.extend(self.again)
        self.work(images, last=True)

    def work(self, images, last=False):
        jobs = min(self.args.jobs, len(self.left) + bool(self.left_for_first))
        threads = [threading.Thread(target=Worker(self, images, n == 0, last).run, daemon=True) for n in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def take(self, first):
        """The next test for a worker, or None."""
        with self.lock:
            for queue in (self.left_for_first, self.left) if first else (self.left,):
                if queue:
                    return queue.popleft()
        return None

    def try_again(self, test, words, seconds):
        """Whether the test has another try, at the end."""
        with self.lock:
            if self.args.once or len(self.again) == MOST_AGAIN:
                return False
            self.again.append(test)
        self.say(f"again {test.name} ({seconds:.1f} s)\n{indented(words)}")
        return True

    def record(self, test, outcome, words, seconds, remark=""):
        label = {"passed": "ok   ", "failed": "FAIL ", "skipped": "skip "}[outcome]
        tail = f": {words}" if outcome == "skipped" else f"{remark} ({seconds:.1f} s)"
        with self.lock:
            self.counts[outcome] += 1
            self.records.append({"name": test.name, "outcome": outcome, "words": words or remark.strip(),
                                 "seconds": round(seconds, 2)})
        self.say(f"{label} {test.name}{tail}" + ("\n" + indented(words) if outcome == "failed" else ""))


def indented(text):
    return "\n".join(f"      {line}" for line in text.splitlines())


class Worker:
    """Runs tests, one after the other, in a place that is opened for the first and replaced when one hangs in it."""

    def __init__(self, runner, images, first, last):
        self.runner = runner
        self.args = runner.args
        self.images = images
        self.first = first
        self.last = last        # a test that hangs has had its tries
        self.place = None

    def run(self):
        while test := self.runner.take(self.first):
            try:
                self.run_one(test)
            except Exception:
                self.runner.record(test, "failed", traceback.format_exc(), 0)
        self.close()

    def log(self, text):
        self.runner.say(f"      ({text})")

    def program_tree(self):
        tree = disks.Tree()
        tree.directory("bin")
        if self.args.peer:
            nested.peer_tree(tree)
        else:
            tree.program(self.args.lodge, "lodge")
            self.add_kvm_tests(tree, Path(self.args.lodge).parent / "tests")
        return tree

    @staticmethod
    def add_kvm_tests(tree, built):
        for program in sorted(built.glob("unit/test-accel-kvm*")):
            if program.is_file():
                tree.program(program)
        if (built / "guest/guest.elf").exists():
            tree.add("bin/guest.elf", built / "guest/guest.elf")

    def run_one(self, test):
        began = time.monotonic()
        vm = error = None
        try:
            if test.on_host:
                with direct.Direct(self.images, self.program_tree()) as place:
                    vm = self.vm(place)
                    try:
                        test.function(vm)
                    finally:
                        vm.finish()
            else:
                if not self.place:
                    self.open()
                    began = time.monotonic()
                if test.device_only and isinstance(self.place, nested.Nested):
                    raise vmtest.Skip("it is the same on the software CPU, where it runs; KVM is emulated here")
                vm = self.vm(self.place)
                test.function(vm)
            outcome, words = "passed", ""
        except vmtest.Skip as e:
            outcome, words = "skipped", str(e)
        except (AssertionError, Died, Ended, Timeout) as e:
            error = e
            outcome, words = "failed", self.report(e, vm)
        except cache.Unavailable as e:
            outcome, words = "failed", str(e)
        except Exception:
            outcome, words = "failed", traceback.format_exc()
        seconds = time.monotonic() - began
        stuck = isinstance(error, (Died, Timeout)) and isinstance(self.place, nested.Nested)
        try:
            if vm and not test.on_host:
                vm.finish()
        except (Died, Timeout, OSError):
            self.log("the place is gone or stuck; the next test gets a new one")
            self.close()
        if stuck and not self.last and self.runner.try_again(test, words, seconds):
            self.close()
            return
        self.runner.record(test, outcome, words, seconds, " at the second try" if self.last else "")

    def vm(self, place):
        program = "qemu-system-x86_64" if self.args.peer else "lodge"
        if isinstance(place, direct.Direct) and not self.args.peer:
            program = str(Path(self.args.lodge).resolve())
        return vmtest.Vm(place, self.reopen, program, self.args.accel, self.args.peer,
                         str(Path(self.args.lodge).resolve()))

    def reopen(self):
        self.close()
        self.open()
        return self.place

    def open(self):
        here = self.args.accel == "tcg" or direct.usable_kvm()
        if self.args.place == "direct" or self.args.place == "auto" and here:
            self.place = direct.Direct(self.images, self.program_tree()).__enter__()
            self.log("on this host")
            return
        place = nested.Nested(self.images, self.program_tree(), smp=self.args.smp, log=self.log)
        self.place = place.__enter__()
        self.log(f"in a first-level guest, booted in {self.place.boot_seconds:.1f} s")

    def close(self):
        if self.place:
            self.place.__exit__(None, None, None)
            self.place = None

    def report(self, error, vm):
        """What a failure needs to be understood: the reason, the command lines, the end of the guest's output."""
        lines = [str(error) or traceback.extract_tb(error.__traceback__)[-1].line, *getattr(error, "__notes__", ())]
        if vm:
            lines += [f"$ {c}" for c in vm.commands]
            for job in vm.jobs:
                lines += ["| " + line for line in job.output.splitlines()[-self.args.tail:]]
        if isinstance(error, Died) and self.place:
            lines += ["first level: " + line for line in self.place.console_tail(20).splitlines()]
        return "\n".join(lines)


def prepare():
    """Make the images that are lacking, whole Debians beside the rest."""
    def make(names):
        available = {}
        vmtest.trees_for(names, available)
        return [f"{name}: {why}" for name, why in available.items() if why]
    rest = [name for name in vmtest.IMAGES if name not in LONG]
    with ThreadPoolExecutor() as pool:
        for lacking in pool.map(make, [[name] for name in sorted(LONG)] + [rest]):
            print("".join(f"{line}\n" for line in lacking), end="")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="*", help="run only tests whose name contains one of these")
    parser.add_argument("--lodge", metavar="FILE", default=str(cache.TOP / "build" / "lodge"), help="the VMM under test")
    parser.add_argument("--peer", action="store_true", help="test the distribution's QEMU instead")
    parser.add_argument("--accel", choices=("kvm", "tcg"), default="kvm")
    parser.add_argument("--place", choices=("auto", "direct", "nested"), default="auto")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count(), 4), metavar="N",
                        help="tests at a time (default: as many as processors, at most 4)")
    parser.add_argument("--smp", type=int, default=1, help="CPUs of the first level")
    parser.add_argument("--once", action="store_true", help="never try a test that hung in a first level again")
    parser.add_argument("--tail", type=int, default=25, metavar="N", help="lines of guest output that a failure shows")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    parser.add_argument("--list", action="store_true", help="list the tests")
    parser.add_argument("--prepare", action="store_true", help="make the images that tests need, and run nothing")
    args = parser.parse_args()

    if args.prepare:
        prepare()
        return 0
    tests = discover(args.pattern)
    if args.list:
        for test in tests:
            print(test.name)
        return 0
    if not args.peer and not os.access(args.lodge, os.X_OK):
        parser.error(f"there is no program '{args.lodge}'; build it, or name it with --lodge")
    if args.peer and not shutil.which("qemu-system-x86_64"):
        parser.error("the peer needs the package qemu-system-x86")
    runner = Runner(args)
    runner.run(tests)
    if args.json:
        Path(args.json).write_text(json.dumps(runner.records, indent=1))
    print(", ".join(f"{n} {what}" for what, n in runner.counts.items()))
    return 1 if runner.counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
