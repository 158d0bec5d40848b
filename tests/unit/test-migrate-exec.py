# SPDX-License-Identifier: GPL-2.0-or-later
"""exec:COMMAND, out and in, of domains without a guest: what is written and read, what fails and how, who is left over.

    test-migrate-exec.py BUILD/lodge BUILD/lodgectl
"""

import gzip
import os
import pathlib
import subprocess
import time
import unittest

from migrate_rig import LODGE, PATIENCE, MigrateCase, Process


def read(path):
    """A file of /proc; nothing if its process or thread has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def threads(pid):
    """Their folders in /proc; none of a process that has ended meanwhile."""
    try:
        return list(pathlib.Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(pid):
    """Processes below this one, and whether each is alive or a zombie: the launcher's are its."""
    found = {}
    for thread in threads(pid):
        for child in read(thread / "children").split():
            stat = read(pathlib.Path(f"/proc/{child}/stat"))
            if not stat:
                continue
            name, state = stat[stat.index("(") + 1:stat.rindex(")")], stat[stat.rindex(")") + 2]
            found[name] = "zombie" if state in "ZX" else "alive"
            found.update(children(child))
    return found


class ExecTest(MigrateCase):
    def only_the_launcher_is_left(self, process):
        deadline = time.monotonic() + PATIENCE
        while children(process.process.pid) != {"lodge-launcher": "alive"} and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(children(process.process.pid), {"lodge-launcher": "alive"})

    def fails(self, source, command):
        self.assertEqual(source.ask("migrate", uri=f"exec:{command}"), {})
        error = source.wait("failed")["error-desc"]
        self.assertEqual(source.state(), "running")
        self.only_the_launcher_is_left(source)
        return error

    def test_a_domain_goes_through_gzip_and_comes_back(self):
        path = self.directory / "saved.gz"
        source = Process(self)
        self.assertEqual(source.ask("migrate", uri=f"exec:gzip -c > {path}"), {})
        source.wait("completed")
        self.assertEqual(source.state(), "postmigrate")
        self.only_the_launcher_is_left(source)
        self.assertEqual(gzip.decompress(path.read_bytes())[:8], b"LODGESAV")
        destination = Process(self, "-incoming", f"exec:gzip -dc {path}")
        destination.wait("completed")
        self.assertEqual(destination.state(), "running")
        self.only_the_launcher_is_left(destination)

    def test_a_process_without_standard_streams_has_a_launcher(self):
        path = self.directory / "saved"
        source = Process(self, before=lambda: os.closerange(0, 2))
        self.assertEqual(source.ask("migrate", uri=f"exec:cat > {path}"), {})
        source.wait("completed")
        self.assertGreater(path.stat().st_size, 0)
        for fd in 0, 1:
            self.assertEqual(os.readlink(f"/proc/{source.process.pid}/fd/{fd}"), "/dev/null")

    def test_a_command_given_later_is_where_it_comes_from(self):
        path = self.directory / "saved"
        source = Process(self)
        source.ask("migrate", uri=f"exec:cat > {path}")
        source.wait("completed")
        destination = Process(self, "-S", "-incoming", "defer")
        self.assertEqual(destination.ask("migrate-incoming", uri=f"exec:cat {path}"), {})
        destination.wait("completed")
        self.assertEqual(destination.state(), "paused")

    def test_a_command_that_fails_is_named_and_the_domain_runs_on(self):
        source = Process(self)
        self.assertIn("'no-such-command-here' failed with status 127", self.fails(source, "no-such-command-here"))
        self.assertIn("'exit 3' failed with status 3", self.fails(source, "exit 3"))
        self.assertIn("failed with status 4", self.fails(source, "head -c 10 >/dev/null; exit 4"))
        self.assertIn("failed with status 5", self.fails(source, "cat >/dev/null; exit 5"))
        self.assertIn("ended by signal 9", self.fails(source, "cat >/dev/null; kill -9 $$"))

    def test_a_command_that_takes_not_everything_is_no_place(self):
        # More than the pipe holds, so that it is noticed.
        source = Process(self, *self.guest_options(4096), machine="q35")
        while source.ask("stop") or not self.numbers(source)[-1]:
            source.ask("cont")
        source.ask("migrate", uri="exec:true")
        self.assertIn("Broken pipe", source.wait("failed")["error-desc"])
        self.assertEqual(source.state(), "paused")

    def test_cancelling_ends_the_command(self):
        source = Process(self)
        self.assertEqual(source.ask("migrate", uri="exec:cat >/dev/null; sleep 1000"), {})
        source.wait("active")
        self.assertIn("sleep", self.wait_for_child(source, "sleep"))
        self.assertEqual(source.ask("migrate_cancel"), {})
        source.wait("cancelled")
        self.assertEqual(source.state(), "running")
        self.only_the_launcher_is_left(source)

    def wait_for_child(self, process, name):
        deadline = time.monotonic() + PATIENCE
        while name not in children(process.process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        return children(process.process.pid)

    def test_a_command_that_runs_on_with_everything_and_fails_may_have_been_the_destination(self):
        source = Process(self)
        self.assertEqual(source.ask("migrate", uri="exec:cat >/dev/null; sleep 11; exit 3"), {})
        self.assertIn("failed with status 3", source.wait("failed")["error-desc"])
        self.assertEqual(source.state(), "postmigrate")
        self.assertEqual(source.ask("cont"), {})
        self.assertEqual(source.state(), "running")

    def test_commands_end_with_the_process_that_wants_them(self):
        marker = self.directory / "ended"
        source = Process(self)
        command = f"trap 'touch {marker}; exit' TERM; cat >/dev/null; while :; do sleep 0.01; done"
        self.assertEqual(source.ask("migrate", uri=f"exec:{command}"), {})
        self.wait_for_child(source, "sleep")
        source.process.kill()
        deadline = time.monotonic() + PATIENCE
        while not marker.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertTrue(marker.exists())

    def test_what_a_command_brings_is_checked_and_its_failure_is_named(self):
        self.assertIn("'exit 7' failed with status 7", self.refused("-incoming", "exec:exit 7"))
        self.assertIn("failed with status 127", self.refused("-incoming", "exec:no-such-command-here"))
        self.assertIn("the saved domain is cut off", self.refused("-incoming", "exec:true"))
        self.assertIn("no saved domain", self.refused("-incoming", "exec:cat /bin/sh"))
        self.assertIn("names no command", self.refused("-incoming", "exec:"))

    def test_the_sandbox_can_forbid_it(self):
        for sandbox in "on,spawn=deny", "strict":
            source = Process(self, "-sandbox", sandbox)
            self.assertIn("the sandbox forbids to start programs", source.ask("migrate", uri="exec:cat >/dev/null"))
            self.assertEqual(source.ask("query-migrate")["status"], "failed")
            self.assertEqual(source.state(), "running")
            self.assertEqual(children(source.process.pid), {})
        self.assertIn("the sandbox forbids", self.refused("-sandbox", "on,spawn=deny", "-incoming", "exec:cat x"))

    def test_without_a_sandbox_and_with_permission_it_works(self):
        for sandbox in "off", "strict,spawn=allow", "on,elevateprivileges=allow":
            source = Process(self, "-sandbox", sandbox)
            self.assertEqual(source.ask("migrate", uri="exec:cat >/dev/null"), {})
            source.wait("completed")

    def test_commands_have_no_descriptor_of_the_domain_and_no_blocked_signal(self):
        said = self.directory / "said"
        read, write = os.pipe()
        source = Process(self, fds=[write])
        os.close(write)
        command = f"ls -l /proc/self/fd > {said}; grep SigBlk /proc/self/status >> {said}; cat >/dev/null"
        self.assertEqual(source.ask("migrate", uri=f"exec:{command}"), {})
        source.wait("completed")
        text = said.read_text()
        self.assertEqual({line.split()[8] for line in text.splitlines() if "->" in line} - {"3"}, {"0", "1", "2"})
        self.assertRegex(text, r"SigBlk:\s+0+\n")
        source.process.kill()
        source.process.wait()
        self.assertEqual(os.read(read, 1), b"")
        os.close(read)

    def test_who_waits_for_the_output_of_a_daemon_does_not_wait_for_its_launcher(self):
        pidfile = self.directory / "pid"
        command = [LODGE, "-M", "none", "-accel", "tcg", "-sandbox", "off", "-daemonize", "-pidfile", pidfile]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        pid = int(pidfile.read_text())
        self.assertEqual(children(pid), {"lodge-launcher": "alive"})
        os.kill(pid, 15)


if __name__ == "__main__":
    unittest.main()
