# SPDX-License-Identifier: GPL-2.0-or-later
"""The stages of ./check, in order, each with its duration; at the end the counts of all of them together.

A stage either gives records of tests (name, outcome, words) or fails as a whole, which counts as one failed test.

Tests wait for much of their time. What only computes (the builds that later stages use, generated instructions, images)
is done beside them, with what they leave of the processors.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUILDS = TOP / "build-check"
FUZZ_SECONDS = 15
INSTRUCTION_COUNT = 9_000_000       # what two cores do beside the guest tests; every machine runs the same cases
INTERPRETED_COUNT = 1_000_000       # ... and again without the translator
INSTRUCTION_SECONDS = 1800          # ... that it does not take longer than that
TESTS_AT_A_TIME = 2 * os.cpu_count()    # unit tests wait for most of their time
ASSERT = "-Ddebug_locks=true"

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    "G_DEBUG": "gc-friendly",
    "G_SLICE": "always-malloc",
}


class StageFailed(Exception):
    """A stage could not do its work; the message is what is worth reading of the tool's output."""


def call(argv, env=None, timeout=None, start=subprocess.Popen):
    """Run a tool in the top directory. Returns (status, output)."""
    with start([str(a) for a in argv], cwd=TOP, env={**os.environ, **(env or {})}, text=True, errors="replace",
               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as e:
            process.kill()
            raise StageFailed(f"{argv[0]} did not end in {timeout} s") from e
    return process.returncode, output


def must(argv, env=None, lines=40):
    """The output of a tool that runs beside tests."""
    status, output = call(argv, env, start=BESIDE.start)
    if status:
        raise StageFailed("\n".join(output.splitlines()[-lines:]))
    return output


class Beside:
    """Works beside the stages, at one piece after the other. Its processes give way to tests, but not while a stage
    waits for them."""

    def __init__(self):
        self.pool = ThreadPoolExecutor(max_workers=1)
        self.processes = []
        self.nice = 19

    def start(self, argv, **how):
        process = subprocess.Popen(argv, start_new_session=True, **how)
        self.processes = [p for p in self.processes if p.poll() is None] + [process]
        prioritize(process, self.nice)
        return process

    def set_nice(self, nice):
        self.nice = nice
        for process in self.processes:
            if process.poll() is None:
                prioritize(process, nice)

    def result(self, future):
        """What becomes of a piece of work, or its exception."""
        self.set_nice(0)
        try:
            return future.result()
        finally:
            self.set_nice(19)

    def wait(self, process):
        self.set_nice(0)
        process.wait()
        self.set_nice(19)

    def end(self):
        """Where the check ends early, with everything that still runs."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


def prioritize(process, nice):
    """Linux weighs sessions before it weighs the processes in one (sched(7), autogroup). Only root gets back what it
    gave."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, nice)
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text(str(nice))


BESIDE = Beside()


def configure(name, compiler, *options):
    """Make a build directory of that name."""
    path = BUILDS / name
    if not (path / "build.ninja").exists():
        shutil.rmtree(path, ignore_errors=True)
        # A fifth of the time would go into what debuggers know beyond lines, and half of a program's linking into
        # the linker.
        linker = {"CC_LD": "lld"} if compiler == "clang" else {}
        must(["meson", "setup", path, "-Dwerror=true", "-Dc_args=-g1", *options], {"CC": compiler} | linker)
    return path


def make(path, *targets):
    """Build those targets, or everything."""
    must(["ninja", "-k", "0", "-C", path, *targets], lines=60)
    return path


def build(name, compiler, *options):
    return make(configure(name, compiler, *options))


def build_gcc():
    return build("gcc", "gcc", ASSERT)


def build_clang():
    return build("clang", "clang")


def build_asan():
    return build("asan", "clang", ASSERT, "-Db_sanitize=address,undefined", "-Db_lundef=false",
                 "-Dbuildtype=debugoptimized", "-Dfuzz=true")


def build_tsan():
    path = configure("tsan", "clang", ASSERT, "-Db_sanitize=thread", "-Db_lundef=false")
    must(["ninja", "-C", path, "build.ninja"])  # of an older tree, it would not know all tests
    tests = json.loads(must(["meson", "introspect", "--tests", path]))
    return make(path, *[os.path.relpath(t["cmd"][0], path) for t in tests if "lodge:stress" in t["suite"]])


def meson_tests(path, name, *selection):
    """Run a build's tests; a record for each, with the cases that cmocka counts inside."""
    status, output = call(["meson", "test", "-C", path, "--no-rebuild", "--logbase", name, "--print-errorlogs",
                           "--no-suite", "nightly", "--num-processes", str(TESTS_AT_A_TIME), *selection], SANITIZER_ENV)
    log = path / "meson-logs" / f"{name}.json"
    if not log.exists():
        if "No tests defined" in output or "No suitable tests" in output:
            return []
        raise StageFailed("\n".join(output.splitlines()[-40:]))
    records = []
    for line in log.read_text().splitlines():
        test = json.loads(line)
        said = test.get("stdout", "") + test.get("stderr", "")
        records += unit_records(f"{path.name} {test['name']}", test["result"], said)
    if status and not any(r["outcome"] == "failed" for r in records):
        raise StageFailed("\n".join(output.splitlines()[-40:]))
    return records


def unit_records(name, result, said):
    """A test program's records: one for each case where it is cmocka's, otherwise one for the whole program."""
    ok = result in ("OK", "EXPECTEDFAIL")
    cases = [(m.group(2), m.group(1)) for m in
             re.finditer(r"^\[\s+(OK|FAILED|SKIPPED|ERROR)\s+\] (\w+)$", said, re.MULTILINE)]
    cases = list(dict(cases).items())
    if result == "SKIP" or not cases:
        outcome = "skipped" if result == "SKIP" else "passed" if ok else "failed"
        reason = [line for line in said.splitlines() if line.strip()]
        words = (reason[-1] if reason else "it says no reason") if outcome == "skipped" else tail(said)
        return [record(name, outcome, "" if outcome == "passed" else words)]
    records = []
    for case, word in cases:
        outcome = {"OK": "passed", "SKIPPED": "skipped"}.get(word, "failed")
        words = {"passed": "", "skipped": "skipped by the test", "failed": tail(said)}[outcome]
        records.append(record(f"{name}: {case}", outcome, words))
    if not ok and not any(r["outcome"] == "failed" for r in records):
        # It died after its last case, or a sanitizer objected at the end.
        records.append(record(name, "failed", f"{result}\n{tail(said)}"))
    return records


def record(name, outcome, words=""):
    return {"name": name, "outcome": outcome, "words": words}


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])


def stage_gcc(path):
    """Build with gcc and all assertions, unit tests"""
    return meson_tests(path, "unit")


def stage_clang(path):
    """Build with clang, as users do, unit tests; the other builds run the bare-metal guests"""
    return meson_tests(path, "unit", "--no-suite", "guest")


def stage_asan(path):
    """Unit tests under the address and undefined-behaviour sanitizers"""
    return meson_tests(path, "unit")


def stage_fuzz(path):
    """Each fuzz target for a while, two at a time, under the same sanitizers"""
    targets = [t for t in sorted((path / "tests/fuzz").glob("fuzz-*")) if t.is_file() and os.access(t, os.X_OK)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(fuzz, targets))


def fuzz(target):
    with tempfile.TemporaryDirectory() as work:
        # Long inputs from the start: grown by and by, those of a slow target are a few bytes when its time is up.
        # Without the entropic schedule, whose bookkeeping took as long as the runs.  The same inputs everywhere, as
        # far as the time goes.
        status, output = call([target, f"-max_total_time={FUZZ_SECONDS}", "-rss_limit_mb=2048", "-timeout=20",
                               "-max_len=4096", "-len_control=0", "-entropic=0", "-seed=1",
                               f"-artifact_prefix={BUILDS}/{target.name}-", work],
                              SANITIZER_ENV, timeout=FUZZ_SECONDS * 10)
        runs = re.search(r"Done (\d+) runs", output)
        print(f"      {target.name}: {runs.group(1) if runs else 'no'} runs", flush=True)
        return record(target.name, "failed" if status else "passed", tail(output) if status else "")


def stage_tsan(path):
    """The stress programs under the thread sanitizer"""
    return meson_tests(path, "stress", "--suite", "stress")


def stage_instructions(path, seconds=None):
    """Generated instructions on this processor and on the software CPU; instructions=SECONDS for another time"""
    limits = ["--seconds", seconds or INSTRUCTION_SECONDS] + ([] if seconds else ["--count", INSTRUCTION_COUNT])
    return [generated("generated instructions", path, limits, 0 if seconds else INSTRUCTION_COUNT),
            generated("generated instructions, interpreted", path,
                      [*limits[:2], "--interpret", "--count", INTERPRETED_COUNT], INTERPRETED_COUNT)]


def generated(name, path, options, least):
    status, output = call([path / "tests/soft/soft-diff", "--seed", 1, *options], timeout=int(options[1]) + 300,
                          start=BESIDE.start)
    cases = re.search(r"^(\d+) cases from seed .*", output, re.MULTILINE)
    if not status and cases and int(cases[1]) >= least:
        return record(name, "passed", cases[0])
    return record(name, "failed", tail(output, 200))


def stage_tcg(path):
    """Guest tests on the software CPU"""
    return guest_tests(path, "tcg")


def stage_guests(path):
    """Guest tests under KVM"""
    return guest_tests(path, "kvm")


def guest_tests(path, accel):
    results = BUILDS / f"guests-{accel}.json"
    results.unlink(missing_ok=True)
    # On the software CPU a guest is a host's process, and waits a good part of its time for timers and devices.
    jobs = ["--jobs", str(min(os.cpu_count(), 4) + 1)] if accel == "tcg" else []
    subprocess.run([sys.executable, TOP / "tests/vm/run.py", "--lodge", path / "lodge", "--accel", accel,
                    "--json", results, *jobs], cwd=TOP, stdin=subprocess.DEVNULL, check=False)
    if not results.exists():
        raise StageFailed("the guest tests did not run to their end")
    # They printed their failures already.
    return [{**r, "words": "" if r["outcome"] == "failed" else r["words"]} for r in json.loads(results.read_text())]


def begin_images():
    """Images of guests are made while other stages run: that waits for a mirror and for disks more than it computes."""
    with open(BUILDS / "images.log", "wb") as log:
        return BESIDE.start([sys.executable, TOP / "tests/vm/run.py", "--prepare"], cwd=TOP, stdin=subprocess.DEVNULL,
                            stdout=log, stderr=subprocess.STDOUT)


BUILD = {"gcc": build_gcc, "clang": build_clang, "asan": build_asan, "tsan": build_tsan}
# Name -> the build that it uses, and what it does.
STAGES = {"gcc": ("gcc", stage_gcc), "clang": ("clang", stage_clang), "asan": ("asan", stage_asan),
          "fuzz": ("asan", stage_fuzz), "tsan": ("tsan", stage_tsan), "tcg": ("gcc", stage_tcg),
          "guests": ("gcc", stage_guests), "instructions": ("gcc", stage_instructions)}
GUEST_STAGES = {"tcg", "guests"}
BESIDE_STAGES = {"instructions"}        # done beside the others, once the builds are


def main():
    wanted = {name: value for name, _, value in (argument.partition("=") for argument in sys.argv[1:] or STAGES)}
    for name, value in wanted.items():
        if name not in STAGES:
            sys.exit(f"There is no stage '{name}'; the stages are {', '.join(STAGES)}.")
        if value and (name not in BESIDE_STAGES or not value.isdecimal()):
            sys.exit(f"Of the stages, only {', '.join(BESIDE_STAGES)} takes a value: a number of seconds.")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))   # and so ends what runs beside
    BUILDS.mkdir(exist_ok=True)
    try:
        return report(*run_stages(wanted))
    finally:
        BESIDE.end()


def run_stages(wanted):
    """Records of all tests, and (name, seconds) of each stage."""
    images = begin_images() if GUEST_STAGES.intersection(wanted) else None
    builds = {name: BESIDE.pool.submit(BUILD[name]) for name in BUILD if name in [STAGES[stage][0] for stage in wanted]}

    def run(name, result):
        build_name, work = STAGES[name]
        path = result(builds[build_name])
        if name in GUEST_STAGES:
            BESIDE.wait(images)     # what could not be made is said by the tests that need it
        return work(path, *[wanted[name]] if wanted[name] else [])

    early = {name: BESIDE.pool.submit(run, name, Future.result) for name in wanted if name in BESIDE_STAGES}
    records = []
    durations = []
    for name in wanted:
        print(f"== {name}: {STAGES[name][1].__doc__}", flush=True)
        began = time.monotonic()
        try:
            done = BESIDE.result(early[name]) if name in early else run(name, BESIDE.result)
        except StageFailed as e:
            done = [record(f"stage {name}", "failed", str(e))]
        except Exception:   # noqa: BLE001: a fault of the check itself loses no report
            done = [record(f"stage {name}", "failed", traceback.format_exc())]
        seconds = time.monotonic() - began
        durations.append((name, seconds))
        for r in done:
            if r["outcome"] == "failed":
                print(f"FAIL  {r['name']}")
                print("".join(f"      {line}\n" for line in r["words"].splitlines()), end="")
        counts = count(done)
        print(f"   {name}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped, "
              f"{seconds:.0f} s", flush=True)
        records += done
    return records, durations


def report(records, durations):
    """The end of the output; the status to exit with."""
    print("\n== Summary")
    print(f"   durations: {', '.join(f'{n} {s:.0f} s' for n, s in durations)}; "
          f"all {sum(s for _, s in durations) / 60:.1f} min")
    for r in records:
        if r["outcome"] == "skipped":
            print(f"skip  {r['name']}: {r['words']}")
    for r in records:
        if r["outcome"] == "passed" and r["words"]:
            print(f"ok    {r['name']}: {r['words']}")
    for r in records:
        if r["outcome"] == "failed":
            print(f"FAIL  {r['name']}")
    counts = count(records)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


def count(records):
    return {outcome: sum(r["outcome"] == outcome for r in records) for outcome in ("passed", "failed", "skipped")}


if __name__ == "__main__":
    sys.exit(main())
