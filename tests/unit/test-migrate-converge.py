# SPDX-License-Identifier: GPL-2.0-or-later
"""Capability auto-converge and calc-dirty-rate, with a guest that writes to memory all the time.

    test-migrate-converge.py BUILD/lodge BUILD/lodgectl
"""

import pathlib
import time
import unittest

from migrate_rig import PATIENCE, MigrateCase, Process

PAGES = 2048
PAUSE = 3000  # a round through the pages takes some tenths of a second


class ConvergeTest(MigrateCase):
    def guest(self, *options, pages=PAGES, pause=PAUSE):
        return Process(self, *self.guest_options(pages, pause=pause), *options, machine="q35")

    def rounds(self, process):
        """How many times, parts of one too, the guest has been through its pages."""
        process.ask("stop")
        numbers = self.numbers(process)
        process.ask("cont")
        return sum(numbers) / len(numbers)

    def rate(self, process, seconds=1.0):
        while self.rounds(process) < 1:
            pass
        before, since = self.rounds(process), time.monotonic()
        time.sleep(seconds)
        return (self.rounds(process) - before) / (time.monotonic() - since)

    def capability(self, process, name, state):
        status = {"capability": name, "state": state}
        self.assertEqual(process.ask("migrate-set-capabilities", capabilities=[status]), {})

    def test_a_guest_that_writes_too_fast_moves_only_when_it_is_slowed_down(self):
        source = self.guest()
        written = self.rate(source) * PAGES * 4096
        # Half of what it writes; it may stand still for a tenth of a pass.
        bandwidth = int(written / 2)
        downtime = int(PAGES * 4096 / bandwidth * 100)
        source.ask("migrate-set-parameters", max_bandwidth=bandwidth, downtime_limit=downtime,
                   cpu_throttle_initial=40, cpu_throttle_increment=25, max_cpu_throttle=95)
        uri = f"unix:{self.directory}/move"
        destination = self.guest("-incoming", uri)
        self.assertEqual(source.ask("migrate", uri=uri), {})
        source.wait("active")
        while (info := source.ask("query-migrate"))["status"] == "active" and info["ram"]["dirty-sync-count"] < 6:
            time.sleep(0.05)
        self.assertEqual(info["status"], "active")
        self.assertNotIn("cpu-throttle-percentage", info)
        source.ask("migrate_cancel")
        source.wait("cancelled")
        self.assertEqual(destination.ends()[0], 1)

        self.capability(source, "auto-converge", True)
        destination = self.guest("-incoming", uri)
        self.assertEqual(source.ask("migrate", uri=uri), {})
        seen = set()
        while (info := source.wait("active", "completed", "setup", "device"))["status"] != "completed":
            seen.add(info.get("cpu-throttle-percentage"))
            time.sleep(0.01)
        self.assertIn(40, seen)
        self.assertLessEqual(seen, {None, 40, 65, 90, 95})
        self.assertNotIn("cpu-throttle-percentage", info)
        destination.wait("completed")
        destination.ask("stop")
        self.assert_in_order(destination)

    def share(self, process):
        """Of the time that the vCPU's thread runs."""
        thread = process.ask("query-cpus-fast")[0]["thread-id"]
        schedstat = pathlib.Path(f"/proc/{process.process.pid}/task/{thread}/schedstat")
        ran, since = int(schedstat.read_text().split()[0]), time.monotonic_ns()
        time.sleep(1)
        return (int(schedstat.read_text().split()[0]) - ran) / (time.monotonic_ns() - since)

    def test_a_throttled_guest_runs_for_as_much_less_and_stops_at_once(self):
        source = self.guest()
        self.capability(source, "auto-converge", True)
        source.ask("migrate-set-parameters", max_bandwidth=8 << 20, downtime_limit=0, cpu_throttle_initial=80,
                   max_cpu_throttle=80, throttle_trigger_threshold=1)
        destination = self.guest("-incoming", f"unix:{self.directory}/move")
        source.ask("migrate", uri=f"unix:{self.directory}/move")
        deadline = time.monotonic() + PATIENCE
        while source.ask("query-migrate").get("cpu-throttle-percentage") != 80:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        source.ask("migrate-set-parameters", max_bandwidth=1 << 16)
        self.assertLess(self.share(source), 0.4)
        began = time.monotonic()
        for _ in range(10):
            source.ask("stop")
            source.ask("cont")
        self.assertLess(time.monotonic() - began, 5)
        source.ask("migrate_cancel")
        self.assertNotIn("cpu-throttle-percentage", source.wait("cancelled"))
        self.assertEqual(destination.ends()[0], 1)

    def test_parameters_have_bounds(self):
        p = Process(self)
        self.assertIn("cpu-throttle-initial", p.ask("migrate-set-parameters", cpu_throttle_initial=100))
        self.assertIn("max-cpu-throttle", p.ask("migrate-set-parameters", max_cpu_throttle=19))
        self.assertEqual(p.ask("migrate-set-parameters", cpu_throttle_initial=10, max_cpu_throttle=19,
                               cpu_throttle_tailslow=True), {})
        told = p.ask("query-migrate-parameters")
        self.assertEqual((told["cpu-throttle-initial"], told["cpu-throttle-increment"], told["max-cpu-throttle"],
                          told["cpu-throttle-tailslow"], told["throttle-trigger-threshold"]), (10, 10, 19, True, 50))

    # ---- calc-dirty-rate ----

    def measure(self, process, seconds=1, **arguments):
        self.assertEqual(process.ask("calc-dirty-rate", calc_time=seconds, **arguments), {})
        self.assertEqual(process.ask("query-dirty-rate")["status"], "measuring")
        deadline = time.monotonic() + PATIENCE + seconds
        while (info := process.ask("query-dirty-rate"))["status"] != "measured":
            self.assertNotIn("dirty-rate", info)
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        return info

    def test_the_rate_is_that_of_the_guest(self):
        source = self.guest(pages=8192, pause=500)
        seconds = int(2 / self.rate(source)) + 1  # each of its pages changes, which are 32 MiB
        exact = self.measure(source, seconds, mode="dirty-bitmap")
        self.assertEqual((exact["mode"], exact["sample-pages"], exact["calc-time"]), ("dirty-bitmap", 0, seconds))
        self.assertAlmostEqual(exact["dirty-rate"], 32 / seconds, delta=1 + 10 / seconds)
        sampled = self.measure(source, seconds, sample_pages=16384)
        self.assertEqual((sampled["mode"], sampled["sample-pages"]), ("page-sampling", 16384))
        self.assertAlmostEqual(sampled["dirty-rate"], 32 / seconds, delta=1 + 10 / seconds)
        source.ask("stop")
        self.assertEqual(self.measure(source)["dirty-rate"], 0)
        self.assertEqual(self.measure(source, mode="dirty-bitmap")["dirty-rate"], 0)

    def test_what_cannot_be_measured_is_refused(self):
        p = self.guest()
        self.assertEqual(p.ask("query-dirty-rate"), {"status": "unstarted", "start-time": 0, "calc-time": 0,
                                                     "sample-pages": 0, "mode": "page-sampling"})
        self.assertIn("calc-time", p.ask("calc-dirty-rate", calc_time=0))
        self.assertIn("calc-time", p.ask("calc-dirty-rate", calc_time=61))
        self.assertIn("sample-pages", p.ask("calc-dirty-rate", calc_time=1, sample_pages=127))
        self.assertIn("dirty-ring", p.ask("calc-dirty-rate", calc_time=1, mode="dirty-ring"))
        self.assertIn("page-sampling", p.ask("calc-dirty-rate", calc_time=1, mode="dirty-bitmap", sample_pages=512))
        self.assertEqual(p.ask("calc-dirty-rate", calc_time=60), {})
        self.assertIn("already being measured", p.ask("calc-dirty-rate", calc_time=1))
        p.ask("quit")  # does not wait for the minute
        self.assertEqual(p.ends()[0], 0)


if __name__ == "__main__":
    unittest.main()
