# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of a domain while its memory is dumped, and what it does then.  The dump goes into a pipe, and waits for its
reader.

    test-dump-process.py BUILD/lodge BUILD/lodgectl
"""

import os
import unittest

from migrate_rig import MigrateCase, Process


class DumpTest(MigrateCase):
    def setUp(self):
        super().setUp()
        self.pipe = None
        self.options = self.guest_options(4)

    def tearDown(self):
        if self.pipe:
            self.pipe.close()

    def begins(self, *options):
        """A domain, and its dump, which is under way."""
        p = Process(self, *self.options, *options, machine="microvm")
        self.dump(p)
        return p

    def dump(self, p):
        read, write = os.pipe()
        self.pipe = os.fdopen(read, "rb")
        p.ask("getfd", fdname="x", fds=[write])
        os.close(write)
        self.assertEqual(p.ask("dump-guest-memory", paging=False, protocol="fd:x", detach=True), {})
        self.assertEqual(p.ask("query-dump")["status"], "active")

    def ends(self, p):
        """The dump is read, and p.events is what was told since then."""
        p.events.clear()
        dump = self.pipe.read()
        while "DUMP_COMPLETED" not in (name for name, _ in p.events):
            p.ask("query-dump")
        self.assertEqual(p.ask("query-dump")["status"], "completed")
        return dump

    def test_a_domain_that_is_reset_meanwhile_is_reset_then_and_runs_on(self):
        p = self.begins()
        self.assertEqual(p.ask("system_reset"), {})
        self.assertEqual(p.state(), "save-vm")
        dump = self.ends(p)
        self.assertEqual(p.state(), "running")
        self.assertEqual([name for name, _ in p.events], ["DUMP_COMPLETED", "RESET", "RESUME"])
        self.assertIn(b"CORE", dump)

    def test_a_paused_domain_that_is_reset_meanwhile_can_go_on(self):
        p = Process(self, *self.options, machine="microvm")
        p.ask("stop")
        self.dump(p)
        self.assertEqual(p.ask("system_reset"), {})
        self.assertEqual(p.state(), "paused")
        self.ends(p)
        self.assertEqual(p.state(), "prelaunch")
        self.assertEqual(p.ask("cont"), {})
        self.assertEqual(p.state(), "running")

    def test_it_cannot_go_on_meanwhile(self):
        p = self.begins("-S")
        self.assertIn("a dump of its memory is under way", p.ask("cont"))
        self.ends(p)
        self.assertEqual(p.state(), "prelaunch")
        self.assertEqual(p.ask("cont"), {})

    def test_a_stop_meanwhile_holds(self):
        p = self.begins()
        self.assertEqual(p.ask("stop"), {})
        self.assertEqual(p.state(), "paused")
        self.ends(p)
        self.assertEqual(p.state(), "paused")
        self.assertEqual(p.ask("cont"), {})

    def test_the_power_button_is_pressed_meanwhile(self):
        p = self.begins()
        self.assertEqual(p.ask("system_powerdown"), {})
        p.ask("query-name")
        self.assertIn("POWERDOWN", [name for name, _ in p.events])
        self.ends(p)
        self.assertEqual(p.state(), "running")

    def test_with_no_reboot_a_reset_meanwhile_is_its_end(self):
        p = self.begins("-no-reboot", "-no-shutdown")
        self.assertEqual(p.ask("system_reset"), {})
        self.ends(p)
        self.assertEqual(p.state(), "shutdown")

    def test_a_dump_that_fails_lets_it_run_on(self):
        p = self.begins()
        self.assertEqual(p.ask("system_reset"), {})
        self.pipe.close()
        while p.ask("query-dump")["status"] == "active":
            pass
        self.assertEqual(p.ask("query-dump")["status"], "failed")
        self.assertEqual(p.state(), "running")

    def test_it_ends_at_once_if_told_to(self):
        p = self.begins()
        self.assertEqual(p.ask("quit"), {})
        self.pipe.close()
        self.assertEqual(p.ends()[0], 0)

    def test_it_does_not_move_meanwhile(self):
        p = self.begins()
        self.assertIn("dump", p.ask("migrate", uri=f"file:{self.directory}/saved"))
        self.assertIn("dump", p.ask("query-migrate")["blocked-reasons"][0])
        self.ends(p)
        self.assertNotIn("blocked-reasons", p.ask("query-migrate"))
        self.assertEqual(p.ask("migrate", uri=f"file:{self.directory}/saved"), {})
        p.wait("completed")

    def test_what_moves_or_waits_for_its_source_is_not_dumped(self):
        where = f"unix:{self.directory}/move"
        p = Process(self, *self.options, "-incoming", where, machine="microvm")
        source = Process(self, *self.options, machine="microvm")
        source.ask("migrate-set-capabilities",
                   capabilities=[{"capability": "pause-before-switchover", "state": True}])
        self.assertIn("migrates", p.ask("dump-guest-memory", paging=False, protocol="file:/dev/null"))
        self.assertEqual(source.ask("migrate", uri=where), {})
        source.wait("pre-switchover")
        self.assertIn("migrates", source.ask("dump-guest-memory", paging=False, protocol="file:/dev/null"))
        self.assertEqual(source.ask("migrate_cancel"), {})
        source.wait("cancelled")
        self.assertEqual(source.ask("dump-guest-memory", paging=False, protocol="file:/dev/null"), {})
        self.assertEqual(source.state(), "running")


if __name__ == "__main__":
    unittest.main()
